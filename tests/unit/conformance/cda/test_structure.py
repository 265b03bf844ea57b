"""The structure of CDA R2: order, number, attributes, types; the same answers as the published schema."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import pytest
from lxml import etree

from conformance.cda import check
from conformance.cda.model import MAX_REMEMBERED, XSI, root_model, type_model
from conformance.cda.report import Report
from conformance.cda.structure import walk
from security.xml import parse_own
from tests.support import outside
from tests.support.cda import KINDS, changed, codes, one, tree, written
from tests.support.mutants import base, sampled

H = "{urn:hl7-org:v3}"
PHARM = "{urn:ihe:pharm:medication}"
_Element = etree._Element


def faults(data: bytes) -> list[tuple[str, str]]:
    """Code and place of each fault of structure."""
    report = Report()
    walk(tree(data), report)
    return [(finding.code, finding.location) for finding in report.findings]


def child(root: _Element, path: str, tag: str, **attributes: str) -> _Element:
    """Add an element at the end of another."""
    return etree.SubElement(one(root, path), tag, attributes)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda r: child(r, "author", H + "bogus"), ("CDA-STR-002", "/ClinicalDocument/author/bogus")),
        (lambda r: child(r, "author", PHARM + "id"), ("CDA-STR-002", "/ClinicalDocument/author/pharm:id")),
        (lambda r: r.append(one(r, "title")), ("CDA-STR-003", "/ClinicalDocument/title")),
        (lambda r: one(r, "title").addnext(r.makeelement(H + "title")), ("CDA-STR-004", "/ClinicalDocument/title[2]")),
        (lambda r: r.remove(one(r, "custodian")), ("CDA-STR-003", "/ClinicalDocument/legalAuthenticator")),
        (lambda r: r.remove(one(r, "component")), ("CDA-STR-005", "/ClinicalDocument")),
        (lambda r: one(r, "title").set("bogus", "1"), ("CDA-STR-006", "/ClinicalDocument/title/@bogus")),
        (lambda r: one(r, "title").set(XSI + "nil", "1"), ("CDA-STR-006", "/ClinicalDocument/title/@xsi:nil")),
        (lambda r: one(r, "typeId").attrib.pop("extension"), ("CDA-STR-007", "/ClinicalDocument/typeId")),
        (lambda r: one(r, "author").set("typeCode", "XX"), ("CDA-STR-008", "/ClinicalDocument/author/@typeCode")),
        (
            lambda r: one(r, "effectiveTime").set("value", "hier"),
            ("CDA-STR-008", "/ClinicalDocument/effectiveTime/@value"),
        ),
        (
            lambda r: one(r, "versionNumber").set("value", "1.5"),
            ("CDA-STR-008", "/ClinicalDocument/versionNumber/@value"),
        ),
        (lambda r: one(r, "title").set(XSI + "type", "PQ"), ("CDA-STR-009", "/ClinicalDocument/title/@xsi:type")),
        (lambda r: one(r, "title").set(XSI + "type", "x:ST"), ("CDA-STR-009", "/ClinicalDocument/title/@xsi:type")),
        (lambda r: setattr(one(r, "author"), "text", "text"), ("CDA-STR-011", "/ClinicalDocument/author")),
        (lambda r: setattr(one(r, "author/time"), "tail", "text"), ("CDA-STR-011", "/ClinicalDocument/author")),
    ],
)
def test_a_fault_of_structure_is_named_at_its_place(
    change: Callable[[_Element], object], expected: tuple[str, str]
) -> None:
    """One change, one fault among those found."""
    assert expected in faults(changed(written("report"), change))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda value: value.attrib.pop(XSI + "type"), "CDA-STR-010"),
        (lambda value: value.set(XSI + "type", "ANY"), "CDA-STR-009"),
        (lambda value: value.set("bogus", "1"), "CDA-STR-006"),
    ],
)
def test_the_value_of_an_observation_has_a_type(change: Callable[[_Element], object], expected: str) -> None:
    """Its attributes are those of the type named, whatever the order they stand in."""
    root = tree(written("prescription"))
    value = next(each for each in root.iter(H + "value") if each.get(XSI + "type") == "BL")
    change(value)
    assert expected in {code for code, _ in faults(etree.tostring(root))}


def test_ids_are_unique_and_pointers_lead_to_them() -> None:
    """An ID twice, and a file referenced that is not there."""
    root = tree(written("summary"))
    marked = [each for each in root.iter() if each.get("ID")]
    marked[1].set("ID", marked[0].get("ID", ""))
    next(root.iter(H + "renderMultiMedia")).set("referencedObject", "nowhere")
    assert {"CDA-STR-012", "CDA-STR-013"} <= {code for code, _ in faults(etree.tostring(root))}


def test_comments_and_instructions_change_nothing() -> None:
    """They may stand anywhere, text after one still counts."""
    root = tree(written("report"))
    for element in list(root.iter(H + "*")):
        element.insert(0, etree.Comment("x"))
        element.append(etree.ProcessingInstruction("x", "y"))
    assert faults(etree.tostring(root)) == []
    one(root, "author")[0].tail = "text"
    assert [code for code, _ in faults(etree.tostring(root))] == ["CDA-STR-011"]


def test_one_misplaced_element_hides_no_other_fault() -> None:
    """What follows is still checked, inside the misplaced element too."""
    root = tree(written("report"))
    title = one(root, "title")
    title.set("bogus", "1")
    root.append(title)
    one(root, "author").set("bogus", "1")
    found = faults(etree.tostring(root))
    assert ("CDA-STR-006", "/ClinicalDocument/title/@bogus") in found
    assert ("CDA-STR-006", "/ClinicalDocument/author/@bogus") in found


def test_foreign_markup_stands_where_cda_allows_it_only() -> None:
    """An encapsulated text may hold markup of another namespace, an author may not."""
    root = tree(written("summary"))
    text = next(each for each in root.iter(H + "originalText"))
    etree.SubElement(text, "{urn:x}y")
    assert faults(etree.tostring(root)) == []
    child(root, "author", "{urn:x}y")
    assert [code for code, _ in faults(etree.tostring(root))] == ["CDA-STR-002"]


def test_hostile_sequences_do_not_fill_the_memory() -> None:
    """Only so many sequences of children are remembered, and none that is wrong."""
    model = type_model("StrucDoc.Text")
    assert model is not None
    draw = random.Random(1)
    names = ["content", "br", "paragraph", "list", "table"]
    data = written("summary")
    for _ in range(20):
        root = tree(data)
        for text in root.iter(H + "text"):
            for _ in range(40):
                etree.SubElement(text, H + draw.choice(names))
        walk(root, Report())
    assert len(model.known) <= MAX_REMEMBERED
    wrong = (H + "bogus",)
    assert wrong not in root_model().known


@cache
def schema() -> etree.XMLSchema:
    """The published schema."""
    return etree.XMLSchema(parse_own(outside.packs() / "ans-cda/infrastructure/cda/CDA_extended.xsd"))


@pytest.mark.parametrize(
    "name", [*KINDS, "official-vsm", "official-edisp", "official-n1", "header-patient", "header-act"]
)
def test_whatever_the_published_schema_refuses_is_refused(name: str) -> None:
    """Single changes to whole documents: never valid here and invalid there (a seeded sample)."""
    for mutant in sampled(name, 100):
        root = tree(mutant.data)
        if not schema().validate(root):
            assert not check(root=root, environment="test").ok, mutant.name


@pytest.mark.parametrize("kind", KINDS)
def test_what_our_writers_make_follows_the_published_schema(kind: str) -> None:
    """Valid there, and no fault of structure here."""
    assert schema().validate(tree(written(kind)))
    assert faults(written(kind)) == []
    assert codes(check(base(kind), environment="test").errors) == set()
