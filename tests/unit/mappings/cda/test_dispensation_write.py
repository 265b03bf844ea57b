"""A dispensation as written: every row of the eDISP-MED model, and the traps of its rules."""

from __future__ import annotations

from typing import Any

import pytest

from mappings import cda
from tests.support import documents
from tests.unit.mappings.cda.support import find, one, tree, written

SUPPLY = "//h:entry/h:supply"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}type"


@pytest.fixture
def value() -> dict[str, Any]:
    """A dispensation of one product."""
    return documents.dispensation()


def test_the_header_links_to_the_prescription(value: dict[str, Any]) -> None:
    """By the id of its document, then by its number."""
    root = written(value)
    orders = [dict(e.attrib) for e in find(root, "h:inFulfillmentOf/h:order/h:id")]
    assert orders == [
        {"root": "1.2.250.1.999.9.2.101"},
        {"root": "1.2.250.1.215.500.1.1", "extension": "EPU000000000000042"},
    ]
    assert find(root, "string(h:documentationOf/h:serviceEvent/h:code/@code)") == "60593-1"
    assert {"1.3.6.1.4.1.19376.1.9.1.1.3", "1.2.250.1.213.1.1.1.54"} <= {
        e.get("root") for e in find(root, "h:templateId")
    }


def test_a_line_says_how_complete_it_is_and_what_it_answers(value: dict[str, Any]) -> None:
    """Completeness, quantity, link to the prescribed line and to its document."""
    supply = one(written(value), SUPPLY)
    assert one(supply, "h:code").get("code") == "FFP"
    assert (one(supply, "h:quantity").get("value"), one(supply, "h:quantity").get("unit")) == ("1", "30009000")
    item = one(supply, "h:entryRelationship[@typeCode='REFR']/h:substanceAdministration")
    assert one(item, "h:id").get("root") == "11111111-1111-4111-8111-111111111111"
    assert one(item, "h:code").get("code") == "PREItem"
    assert one(item, ".//h:manufacturedMaterial").get("nullFlavor") == "NA"
    assert one(item, "h:reference[@typeCode='XCRPT']/h:externalDocument/h:id").get("root") == "1.2.250.1.999.9.2.101"


def test_a_cip_is_the_main_code_of_a_product_given(value: dict[str, Any]) -> None:
    """A dispensation allows it, a prescription does not; lot and expiry belong here."""
    value["lines"][0]["medication"] |= {"lotNumber": "L1", "expiresOn": "2028-01-31"}
    material = one(written(value), f"{SUPPLY}/h:product//h:manufacturedMaterial")
    assert one(material, "h:code").get("codeSystem") == "1.2.250.1.213.2.3.2"
    assert find(material, "string(h:lotNumberText)") == "L1"
    assert one(material, "p:expirationTime").get("value") == "20280131"


def test_a_note_is_always_there(value: dict[str, Any]) -> None:
    """As soon as a supply has a relationship PCC wants FINSTRUCT; without a note it points at the product."""
    del value["lines"][0]["note"]
    supply = one(written(value), SUPPLY)
    note = one(supply, "h:entryRelationship/h:act[h:code/@code='FINSTRUCT']")
    product = find(supply, "string(h:product//h:code/h:originalText/h:reference/@value)")
    assert find(note, "string(h:text/h:reference/@value)") == product


@pytest.mark.parametrize("substitution", [None, {}, {"reason": "Rupture"}])
def test_a_substitution_made_is_an_act(value: dict[str, Any], substitution: dict[str, Any] | None) -> None:
    """Its absence means that none was made; its reason is in words."""
    value["lines"][0]["substitution"] = substitution
    root = written(value)
    acts = find(root, f"{SUPPLY}/h:entryRelationship/h:act[h:templateId/@root='1.2.250.1.213.1.1.3.206']")
    assert [find(act, "string(h:code/@code)") for act in acts] == ([] if substitution is None else ["G"])
    said = [find(act, "count(h:code/h:originalText)") for act in acts]
    assert said == ([] if substitution is None else [1.0 if substitution else 0.0])


@pytest.mark.parametrize(
    ("posology", "kinds"),
    [
        ({"text": "1 le soir"}, []),
        ({"dosage": {"dose": {"low": {"value": "1"}, "high": {"value": "1"}}}}, []),
        ({"dosage": {"timing": [{"kind": "event", "event": "HS"}]}}, ["IVL_TS", "SXPR_TS"]),
        (
            {
                "dosage": {
                    "period": {"start": "2026-11-20"},
                    "timing": [{"kind": "every", "period": {"value": "8", "unit": "h"}}],
                }
            },
            ["IVL_TS", "SXPR_TS"],
        ),
    ],
)
def test_a_changed_posology_tells_duration_and_frequency_together(
    value: dict[str, Any], posology: dict[str, Any], kinds: list[str]
) -> None:
    """The rule wants an IVL_TS and an SXPR_TS that repeats it; words alone have neither."""
    value["lines"][0]["changedPosology"] = posology
    element = one(written(value), f"{SUPPLY}/h:entryRelationship[@typeCode='COMP']/h:substanceAdministration")
    assert [e.get(XSI) for e in find(element, "h:effectiveTime")] == kinds
    assert [e.get("operator") for e in find(element, "h:effectiveTime/h:comp")] == (["A", "A"] if kinds else [])
    has_template = bool(find(element, "h:templateId[@root='1.3.6.1.4.1.19376.1.9.1.3.6']"))
    assert has_template is bool(kinds)


def test_a_line_not_given_is_told_in_the_narrative(value: dict[str, Any]) -> None:
    """The model has no entry for it: people read it, and the report says so."""
    value["refused"] = [{"prescribedLine": "22222222-2222-4222-8222-222222222222", "reason": "Rupture de stock"}]
    out = cda.write(documents.load(value))
    assert "Rupture de stock" in "".join(find(tree(out.data), "//h:section/h:text//text()"))
    (item,) = [item for item in out.loss.items if item.place == "/refused"]
    assert item.fate == "textOnly"
    assert not out.loss.refuses
