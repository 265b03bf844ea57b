"""The schema made of the table accepts nothing that the walk refuses, and leads to the same notes."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from lxml import etree

from conformance.cda import schema
from conformance.cda.model import XSI, full_name, table, type_model
from conformance.cda.report import Report
from conformance.cda.structure import Seen, look, walk
from conformance.verdict import Finding
from tests.support.cda import KINDS, changed, one, tree, written
from tests.support.mutants import BASES, base, sampled

H = "{urn:hl7-org:v3}"
_Element = etree._Element


def both(root: _Element) -> tuple[list[Finding], list[Finding], Seen, Seen]:
    """The faults the walk finds and those of the quick way, and what each notes."""
    schema.prepare()
    walked, quick = Report(), Report()
    seen = walk(root, walked)
    return walked.findings, quick.findings, seen, look(root, quick)


@pytest.mark.parametrize("name", BASES)
def test_a_right_document_is_accepted_and_noted_as_the_walk_notes_it(name: str) -> None:
    """The same elements, in the same order."""
    root = tree(base(name))
    faults, _, walked, quick = both(root)
    assert faults == []
    assert schema.accepts(root)
    assert list(quick.templates.items()) == list(walked.templates.items())
    assert quick.wanted == walked.wanted
    assert quick.ids == walked.ids


@pytest.mark.parametrize("name", [each for each in BASES if each not in ("official-ips", "official-ep")])
def test_nothing_that_the_walk_refuses_is_accepted(name: str) -> None:
    """Single changes, a seeded sample: the quick way and the slow one say the same."""
    for mutant in sampled(name, 60):
        faults, told, walked, quick = both(tree(mutant.data))
        assert told == faults, mutant.name
        assert quick.wanted == walked.wanted, mutant.name


VALUES = [
    "",
    " ",
    "x",
    " AUT ",
    "a b",
    "\u00a0",
    "é",
    "A\u0301",
    "1.2.3",
    "2024",
    "#x",
    "+5",
    "1e5",
    "INF",
    ".",
    "true",
]


@pytest.mark.parametrize("kind", KINDS)
def test_odd_values_are_not_accepted_where_the_forms_refuse_them(kind: str) -> None:
    """Each attribute in turn with values on the edge of its form, white space around included."""
    draw = random.Random(kind)
    data = written(kind)
    places = [(n, key) for n, each in enumerate(tree(data).iter("{*}*")) for key in each.attrib]
    for place, key in draw.sample(places, 40):
        root = tree(data)
        element = list(root.iter("{*}*"))[place]
        old = element.get(key, "")
        for value in (*draw.sample(VALUES, 4), f"{old} ", f" {old}", old.lower()):
            element.set(key, value)
            faults, told, _, _ = both(root)
            assert told == faults, (key, value)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: one(r, "title").set(XSI + "nil", "false"),
        lambda r: one(r, "title").set(XSI + "type", "ANY"),
        lambda r: one(r, "author").insert(0, etree.Comment("x")),
        lambda r: etree.SubElement(one(r, "title"), "{urn:x}y"),
        lambda r: [one(r, path).set("ID", "twice") for path in ("title", "component")],
        lambda r: next(r.iter(H + "renderMultiMedia")).set("referencedObject", "nowhere"),
    ],
)
def test_what_the_schema_cannot_tell_is_left_to_the_walk(change: Callable[[_Element], object]) -> None:
    """Foreign markup, comments, identifiers and pointers: the findings are those of the walk."""
    root = tree(changed(written("summary"), change))
    walked, quick = Report(), Report()
    walk(root, walked)
    schema.prepare()
    look(root, quick)
    assert quick.findings == walked.findings


def test_nothing_is_counted_in_a_pattern() -> None:
    """libxml2 takes sixteen digits for nine to fourteen where another alternative begins alike."""
    for document in schema.documents().values():
        for pattern in tree(document).iter("{*}pattern"):
            assert not re.search(r"\{[0-9,]+\}", pattern.get("value", "")), pattern.get("value")


def test_the_schema_of_the_instance_is_never_fetched() -> None:
    """A schemaLocation says where a schema is; nothing is read from there, and ours is the one used."""
    root = tree(written("report"))
    root.set(XSI + "schemaLocation", "urn:hl7-org:v3 http://192.0.2.1/CDA.xsd urn:x file:///etc/passwd")
    assert schema.accepts(root)
    one(root, "title").set("bogus", "1")
    assert not schema.accepts(root)


def test_every_pointer_of_the_table_is_known() -> None:
    """One attribute an element, and a list of every element that has one."""
    children = {pair for row in table()["types"].values() for pair in schema.elements(row.get("content"))}
    models = [(name, model) for name, kind in children if (model := type_model(kind)) is not None]
    expected = {
        (name, key)
        for name, model in models
        for key, each in model.attributes.items()
        if each.link in ("IDREF", "IDREFS")
    }
    assert {(full_name(name), key) for name, key in expected} == set(schema.pointers().items())
    assert len(expected) == len(schema.pointers())


def test_a_schema_that_is_wrong_fails_when_it_is_made() -> None:
    """A type that is nowhere is named at once, and nothing outside is looked for."""
    from security.xml import own_schema

    head = b'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:a="urn:a">'
    with pytest.raises(etree.XMLSchemaParseError, match="nowhere"):
        own_schema("main", {"main": head + b'<xs:element name="x" type="nowhere"/></xs:schema>'})
    away = head + b'<xs:import namespace="urn:a" schemaLocation="/etc/passwd"/>'
    away += b'<xs:element name="x" type="a:y"/></xs:schema>'
    with pytest.raises(etree.XMLSchemaParseError):
        own_schema("main", {"main": away})
