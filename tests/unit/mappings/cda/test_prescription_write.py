"""An e-prescription as written: every row of the eP-MED-DM model, and the traps of its rules."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mappings import cda
from mappings.cda.posology_write import DEFERRED, DOSING, MODES
from mappings.document.medication import PosologyMode
from tests.support import documents
from tests.unit.mappings.cda.support import find, one, tree, written

LINES = "//h:entry/h:substanceAdministration"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}type"


@pytest.fixture
def value() -> dict[str, Any]:
    """A prescription of one medicine."""
    made = documents.prescription()
    made["lines"] = [copy.deepcopy(made["lines"][0])]
    return made


@pytest.fixture
def line(value: dict[str, Any]) -> dict[str, Any]:
    """Its line."""
    found: dict[str, Any] = value["lines"][0]
    return found


def roots(element: Any) -> list[str]:
    """The templates of an element."""
    return [str(each.get("root")) for each in find(element, "h:templateId")]


# --- Document -------------------------------------------------------------------------------------


def test_the_header_says_what_a_prescription_is(value: dict[str, Any]) -> None:
    """Templates in order, number, validity with both ends, context marks as acts of their own."""
    value["contextMarks"] = ["MED-1096", "MED-1098", "MED-1096"]
    value["acts"][0]["period"] = {"start": "2026-11-20"}
    root = written(value)
    assert roots(root)[2:] == ["1.3.6.1.4.1.19376.1.5.3.1.1.1", "1.3.6.1.4.1.19376.1.9.1.1.1", "1.2.250.1.213.1.1.1.39"]
    main, *marks = find(root, "//h:serviceEvent")
    assert one(main, "h:id").get("root") == "1.2.250.1.215.500.1.1"
    assert one(main, "h:code").get("code") == "57833-6"
    assert one(main, "h:effectiveTime/h:high").get("nullFlavor") == "UNK"
    assert [(e.get("classCode"), find(e, "string(h:code/@code)")) for e in marks] == [
        ("INFO", "MED-1096"),
        ("INFO", "MED-1098"),
    ]


def test_an_absent_contact_is_said(value: dict[str, Any]) -> None:
    """The model imposes an address and a telecom of the patient; a nullFlavor passes."""
    value["patient"] |= {"addresses": [], "telecoms": []}
    role = one(written(value), "//h:patientRole")
    assert [one(role, path).get("nullFlavor") for path in ("h:addr", "h:telecom")] == ["NAV", "NAV"]


def test_the_sections_stand_in_the_order_of_the_model(value: dict[str, Any]) -> None:
    """2D code, medicines, devices, comment, vital signs, pregnancy, printed copy."""
    value["lines"].append(documents.prescription()["lines"][2])
    value |= {
        "codeImage": b"\x89PNG\r\n",
        "comment": "Revoir dans un mois",
        "weight": {"value": "61.5", "unit": "kg"},
        "height": {"value": "170", "unit": "cm"},
        "pregnant": False,
    }
    root = written(value)
    codes = [e.get("code") for e in find(root, "//h:structuredBody/h:component/h:section/h:code")]
    assert codes == ["57723-9", "57828-6", "46264-8", "55112-7", "8716-3", "10162-6", "55108-5"]
    assert find(root, "string(//h:section[h:code/@code='55108-5']/h:title)") == "Copie du document"
    measures = find(root, "//h:organizer[h:code/@code='85353-1']/h:component/h:observation/h:value")
    assert [(e.get("value"), e.get("unit")) for e in measures] == [("61.5", "kg"), ("170", "cm")]
    assert one(root, "//h:observation[h:code/@code='11449-6']/h:value").get("code") == "60001007"


def test_without_a_printed_copy_it_is_refused(value: dict[str, Any]) -> None:
    """Exactly one is imposed; the copy of the document itself wins over the one passed in."""
    document = documents.load(value)
    with pytest.raises(cda.MissingPart) as caught:
        cda.write(document)
    assert caught.value.place == "/pdf"
    own = documents.load(value | {"pdf": b"%PDF-1.7 own"})
    assert cda.read(cda.write(own, pdf=documents.PDF).data).document.pdf == b"%PDF-1.7 own"  # type: ignore[union-attr]


def test_every_reference_of_the_document_resolves() -> None:
    """The official examples have several dangling ones: ours have none, and every ID is unique."""
    root = written(documents.prescription())
    anchors = find(root, "//@ID")
    assert len(anchors) == len(set(anchors))
    references = [str(each)[1:] for each in find(root, "//h:reference/@value")]
    assert references
    assert set(references) <= set(anchors)
    assert set(find(root, "//h:renderMultiMedia/@referencedObject")) <= set(anchors)


# --- Product --------------------------------------------------------------------------------------


def test_a_cis_is_the_main_code_and_the_others_are_translations(value: dict[str, Any], line: dict[str, Any]) -> None:
    """Whatever their order in the source."""
    line["medication"]["codes"].reverse()
    coded = one(written(value), f"{LINES}//h:manufacturedMaterial/h:code")
    assert coded.get("codeSystem") == "1.2.250.1.213.2.3.1"
    assert [e.get("codeSystem") for e in find(coded, "h:translation")] == ["1.2.250.1.213.2.3.2"]
    assert find(coded, "h:originalText/h:reference")


def test_a_virtual_medicine_has_a_code_without_attributes(value: dict[str, Any], line: dict[str, Any]) -> None:
    """Any other code system on the main code is refused by the rules."""
    line["medication"] = {"codes": [{"code": "MV00002306", "system": "1.2.250.1.213.2.59", "display": "Paracétamol"}]}
    root = written(value)
    coded = one(root, f"{LINES}//h:manufacturedMaterial/h:code")
    assert dict(coded.attrib) == {}
    assert find(coded, "string(h:translation/@code)") == "MV00002306"
    assert one(root, f"{LINES}//h:manufacturedMaterial/h:name").get("nullFlavor") == "NA"


def test_a_magistral_preparation_keeps_its_formula_in_words(value: dict[str, Any], line: dict[str, Any]) -> None:
    """Code and name NA, the formula behind originalText, line by line."""
    line["medication"] = {"preparation": "30 g de diprosone\n70 g de cérat"}
    root = written(value)
    material = one(root, f"{LINES}//h:manufacturedMaterial")
    assert [one(material, path).get("nullFlavor") for path in ("h:code", "h:name")] == ["NA", "NA"]
    anchor = find(material, "string(h:code/h:originalText/h:reference/@value)")[1:]
    assert find(root, f"//h:content[@ID='{anchor}']/h:br")


def test_the_details_of_a_product_have_their_pharm_elements(value: dict[str, Any], line: dict[str, Any]) -> None:
    """Form, expiry, package, class and substances, in the order of the schema; no lot in a prescription."""
    line["medication"] |= {
        "form": {"code": "10219000", "system": "0.4.0.127.0.16.1.1.2.1"},
        "lotNumber": "L1",
        "expiresOn": "2028-01",
        "package": {"code": {"code": "3400933516390", "system": "1.2.250.1.213.2.3.2"}, "capacity": {"value": "16"}},
        "ingredients": [
            {
                "name": "Paracétamol",
                "strength": {"numerator": {"value": "1", "unit": "g"}, "denominator": {"value": "1"}},
            }
        ],
    }
    out = cda.write(documents.load(value), pdf=documents.PDF)
    names = [str(e.tag).rpartition("}")[2] for e in one(tree(out.data), f"{LINES}//h:manufacturedMaterial")]
    assert names == [
        "templateId",
        "code",
        "name",
        "formCode",
        "expirationTime",
        "asContent",
        "asSpecializedKind",
        "ingredient",
    ]
    assert "/lines/0/medication/lotNumber" in {item.place for item in out.loss.items if item.fate == "lost"}


# --- Posology -------------------------------------------------------------------------------------

STEP = {"dose": {"low": {"value": "1"}, "high": {"value": "1"}}, "timing": [{"kind": "event", "event": "HS"}]}


@pytest.mark.parametrize("mode", list(PosologyMode))
def test_each_mode_has_exactly_its_template(value: dict[str, Any], line: dict[str, Any], mode: PosologyMode) -> None:
    """One of the five, and steps numbered without a hole in the four that have some."""
    if mode is not PosologyMode.NORMAL:
        line["posology"] = {"mode": str(mode), "steps": [STEP, STEP]}
    element = one(written(value), LINES)
    assert set(roots(element)) & set(MODES.values()) == {MODES[mode]}
    assert DOSING in roots(element)
    numbers = [e.get("value") for e in find(element, "h:entryRelationship/h:sequenceNumber")]
    assert numbers == ([] if mode is PosologyMode.NORMAL else ["1", "2"])


def test_a_posology_in_words_has_no_structure(value: dict[str, Any], line: dict[str, Any]) -> None:
    """Only text and narrative; the words are what the entry refers to."""
    line["posology"] = {"text": "1 comprimé si besoin"}
    root = written(value)
    element = one(root, LINES)
    assert DOSING not in roots(element)
    assert not find(element, "h:effectiveTime | h:doseQuantity | h:routeCode")
    anchor = find(element, "string(h:text/h:reference/@value)")[1:]
    assert find(root, f"string(//h:content[@ID='{anchor}'])") == "1 comprimé si besoin"


def test_without_words_the_sentence_is_made_and_the_entry_points_at_the_product(
    value: dict[str, Any], line: dict[str, Any]
) -> None:
    """People read a sentence; programs know that it is not the prescriber's."""
    del line["posology"]["text"]
    root = written(value)
    element = one(root, LINES)
    product = find(element, "string(h:consumable//h:code/h:originalText/h:reference/@value)")
    assert find(element, "string(h:text/h:reference/@value)") == product
    assert "toutes les 8 heures" in find(
        root, "string(//h:section[h:code/@code='57828-6']/h:text//h:tbody/h:tr/h:td[2])"
    )


def test_the_first_time_is_the_duration_even_unknown(value: dict[str, Any], line: dict[str, Any]) -> None:
    """PCC: IVL_TS with both ends first, then the frequency with its operator."""
    del line["posology"]["dosage"]["period"]
    first, second = find(written(value), f"{LINES}/h:effectiveTime")
    assert (first.get(XSI), [e.get("nullFlavor") for e in first]) == ("IVL_TS", ["UNK", "UNK"])
    assert (second.get(XSI), second.get("operator")) == ("PIVL_TS", "A")


def test_a_deferred_start_is_a_width_after_an_unknown_start(value: dict[str, Any], line: dict[str, Any]) -> None:
    """And its template stands beside that of the mode."""
    line["posology"] = {"deferredStart": True, "dosage": {**STEP, "duration": {"value": "5", "unit": "d"}}}
    element = one(written(value), LINES)
    assert {DEFERRED, MODES[PosologyMode.NORMAL]} <= set(roots(element))
    time = find(element, "h:effectiveTime")[0]
    assert [(str(e.tag).rpartition("}")[2], e.get("nullFlavor"), e.get("value")) for e in time] == [
        ("low", "UNK", None),
        ("width", None, "5"),
    ]


def test_several_intakes_add_up(value: dict[str, Any], line: dict[str, Any]) -> None:
    """An SXPR_TS whose components are included, not intersected."""
    line["posology"]["dosage"]["timing"] = [{"kind": "event", "event": "ACM"}, {"kind": "event", "event": "ACV"}]
    time = find(written(value), f"{LINES}/h:effectiveTime")[1]
    assert (time.get(XSI), time.get("operator")) == ("SXPR_TS", "A")
    assert [(e.get(XSI), e.get("operator")) for e in time] == [("EIVL_TS", "I"), ("EIVL_TS", "I")]


def test_a_site_passes_both_rules_that_contradict_each_other(value: dict[str, Any], line: dict[str, Any]) -> None:
    """nullFlavor OTH, words, and the SNOMED code as a translation."""
    line["posology"]["dosage"]["site"] = {
        "code": {"code": "81745001", "system": "2.16.840.1.113883.6.96", "display": "œil"}
    }
    element = one(written(value), f"{LINES}/h:approachSiteCode")
    assert element.get("nullFlavor") == "OTH"
    assert find(element, "string(h:translation/@code)") == "81745001"


def test_an_amount_range_maximum_and_condition_are_written(value: dict[str, Any], line: dict[str, Any]) -> None:
    """In the order of the schema, the condition last."""
    line["posology"]["dosage"] |= {
        "dose": {"low": {"value": "1"}, "high": {"value": "2"}},
        "rate": {"low": {"value": "5", "unit": "mg/h"}, "high": {"value": "5", "unit": "mg/h"}},
        "maximum": {"numerator": {"value": "4"}, "denominator": {"value": "1", "unit": "d"}},
        "condition": "en cas de douleur",
    }
    element = one(written(value), LINES)
    names = [str(e.tag).rpartition("}")[2] for e in element]
    wanted = ["repeatNumber", "routeCode", "doseQuantity", "rateQuantity", "maxDoseQuantity", "consumable"]
    assert [name for name in names if name in wanted] == wanted
    assert names[-1] == "precondition"


# --- What goes with a line ------------------------------------------------------------------------


def test_a_silence_on_renewals_is_not_a_zero(value: dict[str, Any], line: dict[str, Any]) -> None:
    """0 means none; unknown is NI."""
    assert one(written(value), f"{LINES}/h:repeatNumber").get("value") == "0"
    del line["renewals"]
    assert one(written(value), f"{LINES}/h:repeatNumber").get("nullFlavor") == "NI"


@pytest.mark.parametrize(
    ("substitution", "code", "text"),
    [
        ({"permitted": True}, "G", None),
        ({"permitted": False, "reason": "CIF", "text": "allergie"}, "N", "CIF : allergie"),
        ({"permitted": False, "reason": "MTE"}, "N", "MTE : non substituable, marge thérapeutique étroite"),
        ({"permitted": False, "text": "autre motif"}, "N", "autre motif"),
    ],
)
def test_a_substitution_ban_starts_with_its_acronym(
    value: dict[str, Any], line: dict[str, Any], substitution: dict[str, Any], code: str, text: str | None
) -> None:
    """CDA has no coded place for the motive."""
    line["substitution"] = substitution
    root = written(value)
    coded = one(root, "//h:act[h:templateId/@root='1.2.250.1.213.1.1.3.87']/h:code")
    assert coded.get("code") == code
    anchors = find(coded, "h:originalText/h:reference/@value")
    assert [find(root, f"string(//*[@ID='{a[1:]}'])") for a in anchors] == ([text] if text else [])


def test_all_five_statements_are_always_written(value: dict[str, Any], line: dict[str, Any]) -> None:
    """False is a statement; the off-label reason follows in words."""
    line["marks"] |= {"offLabel": True, "offLabelReason": "RCP"}
    root = written(value)
    found = find(root, f"{LINES}/h:entryRelationship/h:observation")
    assert [(find(e, "string(h:code/@code)"), find(e, "string(h:value/@value)")) for e in found] == [
        ("MED-574", "false"),
        ("GEN-180", "false"),
        ("GEN-295", "false"),
        ("GEN-181", "false"),
        ("GEN-179", "true"),
    ]
    assert "Oui : RCP" in find(root, "//h:content/text()")


def test_instructions_quantity_renewals_motives_and_plan_item_have_their_entries(
    value: dict[str, Any], line: dict[str, Any]
) -> None:
    """Each by its French template."""
    line |= {
        "patientInstruction": "Avec un verre d'eau",
        "dispenserInstruction": "À déconditionner",
        "renewalPeriod": {"start": "2026-12-20"},
        "motives": [{"concept": {"text": "Douleur"}}, {"id": "55555555-5555-4555-8555-555555555555"}],
        "treatmentPlanItem": "66666666-6666-4666-8666-666666666666",
    }
    root = written(value)
    element = one(root, LINES)
    suffixes = ("33", "34", "86", "88", "87", "36", "85")
    present = {
        suffix: len(find(element, f"h:entryRelationship/*[h:templateId/@root='1.2.250.1.213.1.1.3.{suffix}']"))
        for suffix in suffixes
    }
    assert present == {"33": 1, "34": 1, "86": 1, "88": 1, "87": 1, "36": 2, "85": 1}
    boxes = one(element, "h:entryRelationship/h:supply[h:templateId/@root='1.2.250.1.213.1.1.3.86']/h:quantity")
    assert (boxes.get("value"), boxes.get("unit")) == ("2", "30009000")


# --- Devices --------------------------------------------------------------------------------------


def test_a_device_known_by_its_lpp_has_no_main_code(value: dict[str, Any]) -> None:
    """Most French software has no EMDN: nullFlavor and the LPP as translation."""
    value["lines"] = [documents.prescription()["lines"][2]]
    supply = one(written(value), "//h:entry/h:supply")
    coded = one(supply, "h:participant/h:participantRole/h:playingDevice/h:code")
    assert coded.get("nullFlavor") == "UNK"
    assert find(coded, "string(h:translation/@code)") == "1215702"
    assert len(find(supply, "h:entryRelationship/h:observation")) == 4
    assert one(supply, "h:repeatNumber").get("value") == "0"


def test_a_device_with_an_emdn_has_it_as_main_code(value: dict[str, Any]) -> None:
    """With rental time, quantity and instructions."""
    device = copy.deepcopy(documents.prescription()["lines"][2])
    device["codes"].append({"code": "V0806", "system": "1.2.250.1.213.2.68"})
    device |= {"rentalDuration": {"value": "60", "unit": "d"}, "text": "Livrer avant vendredi"}
    del device["period"]
    value["lines"] = [device]
    supply = one(written(value), "//h:entry/h:supply")
    assert one(supply, ".//h:playingDevice/h:code").get("code") == "V0806"
    assert one(supply, "h:expectedUseTime/h:width").get("value") == "60"
    assert one(supply, "h:effectiveTime").get("nullFlavor") == "UNK"
