"""Places: one convention, and every place leads back to its element."""

from __future__ import annotations

import pytest

from conformance.cda import place, resolve
from conformance.cda.model import XSI
from conformance.cda.places import Places
from security.xml import parse
from tests.support.cda import official, one, tree, written


@pytest.mark.parametrize("data", [written("prescription"), official("VSM_1.4_2022.01"), official("IPS-FR_2024.01")])
def test_every_element_has_a_place_of_its_own_that_leads_back_to_it(data: bytes) -> None:
    """Whole documents, pharmacy and other extensions included."""
    root = tree(data)
    places = {}
    for element in root.iter("{*}*"):
        where = place(element)
        assert resolve(root, where) is element
        places[where] = element
    assert len(places) == sum(1 for _ in root.iter("{*}*"))


def test_names_of_cda_have_no_prefix_and_extensions_have_theirs() -> None:
    """A position stands only where an element has brothers of its name."""
    root = tree(written("prescription"))
    medicine = next(root.iter("{urn:ihe:pharm:medication}asSpecializedKind"))
    assert place(medicine).endswith("/consumable/manufacturedProduct/manufacturedMaterial/pharm:asSpecializedKind")
    assert place(one(root, "templateId[2]")) == "/ClinicalDocument/templateId[2]"
    assert place(one(root, "title")) == "/ClinicalDocument/title"
    assert place(root) == "/ClinicalDocument"


def test_an_attribute_is_named_at_the_end() -> None:
    """Attributes of the schema instance keep their prefix."""
    root = tree(written("prescription"))
    value = next(each for each in root.iter("{urn:hl7-org:v3}value") if each.get(XSI + "type"))
    where = place(value, XSI + "type")
    assert where.endswith("/value/@xsi:type")
    assert resolve(root, where) is value


def test_foreign_elements_have_a_place_too() -> None:
    """An element of an unknown namespace, and a root that is no CDA."""
    root = parse(b'<a xmlns="urn:x"><b/><b><c xmlns="urn:y"/></b></a>')
    inner = root[1][0]
    assert place(inner) == "/*:a/*:b[2]/*:c"
    assert resolve(root, place(inner)) is inner
    assert place(parse(b"<a><b/></a>")[0]) == "/a/b"


@pytest.mark.parametrize("wrong", ["/Other", "/ClinicalDocument/title[2]", "/ClinicalDocument/(x)", ""])
def test_a_place_that_leads_nowhere_gives_none(wrong: str) -> None:
    """No exception for a wrong place."""
    assert resolve(tree(written("report")), wrong) is None


def test_many_places_are_found_by_counting_brothers_once() -> None:
    """The same words as one by one, attributes, foreign names and comments between brothers included."""
    root = parse(
        b"<ClinicalDocument xmlns='urn:hl7-org:v3'><a/><!-- -->"
        b"<a><b x='1'/><c:b xmlns:c='urn:x'/><b/></a><d/></ClinicalDocument>"
    )
    for tree_of in (root, tree(official("VSM_1.4_2022.01")), tree(written("prescription"))):
        places = Places()
        for element in tree_of.iter("{*}*"):
            assert places(element) == place(element)
            assert places(element, XSI + "type") == place(element, XSI + "type")
