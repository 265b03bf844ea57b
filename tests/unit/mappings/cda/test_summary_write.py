"""A summary as written: its sections, the text rules of those that hold others, "none" and "no information"."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mappings import cda
from mappings.cda.posology_write import MODES
from mappings.document.medication import PosologyMode
from tests.support import documents
from tests.unit.mappings.cda.support import find, one, written

XSI = "{http://www.w3.org/2001/XMLSchema-instance}type"
SECTION = "//h:section[h:code/@code='{}']"
CODED = ("problems", "history", "procedures", "allergies", "treatments")
ALL = (*CODED, "lifestyle", "familyHistory")


@pytest.fixture
def value() -> dict[str, Any]:
    """A summary with one entry in most sections."""
    return documents.summary()


def section(root: Any, code: str) -> Any:
    """The only section of a code."""
    return one(root, SECTION.format(code))


def roots(element: Any) -> list[str]:
    """The templates of an element."""
    return [str(each.get("root")) for each in find(element, "h:templateId")]


def text(element: Any) -> str:
    """The words of the narrative of a section."""
    return " ".join(one(element, "h:text").itertext()).strip()


# --- Document -------------------------------------------------------------------------------------


def test_a_vsm_says_what_it_is(value: dict[str, Any]) -> None:
    """Template, code, and the act documented with its four attributes."""
    root = written(value)
    third = find(root, "/*/h:templateId")[2]
    assert (third.get("root"), third.get("extension")) == ("1.2.250.1.213.1.1.1.13", "2023.01")
    assert dict(one(root, "/*/h:documentationOf/h:serviceEvent/h:code").attrib) == {
        "code": "34117-2",
        "displayName": "Historique et clinique",
        "codeSystem": "2.16.840.1.113883.6.1",
        "codeSystemName": "LOINC",
    }


def test_sections_stand_in_the_order_of_the_model(value: dict[str, Any]) -> None:
    """VSM section 2, the copy last."""
    value["occupationalRisks"] = "Amiante"
    root = written(value)
    codes = [each.get("code") for each in find(root, "//h:section/h:code")]
    assert codes == [
        "46612-8",
        "34117-2",
        "11450-4",
        "11348-0",
        "47519-4",
        "48765-2",
        "57207-3",
        "29762-2",
        "10161-8",
        "10157-6",
        "30954-2",
        "18776-5",
        "10160-0",
        "55108-5",
    ]
    assert len(find(root, "//h:section[not(h:id)]")) == 0


@pytest.mark.parametrize(
    ("given", "expected"), [("SYNTH", "60591-5"), ("74207-2", "74207-2"), ("60591-5", "60591-5"), ("x", "60591-5")]
)
def test_an_ips_has_a_type_of_its_own(value: dict[str, Any], given: str, expected: str) -> None:
    """The type of a VSM does not pass in an IPS-FR, its own two are kept."""
    system = "1.2.250.1.213.1.1.4.12" if given == "SYNTH" else "2.16.840.1.113883.6.1"
    value |= {"profile": "IPS-FR-2024.01", "type": {"code": given, "system": system}}
    assert one(written(value), "/*/h:code").get("code") == expected


def test_a_vsm_is_a_synthesis_whatever_was_asked(value: dict[str, Any]) -> None:
    """The rules of the VSM impose SYNTH."""
    value["type"] = {"code": "60591-5", "system": "2.16.840.1.113883.6.1"}
    assert one(written(value), "/*/h:code").get("code") == "SYNTH"


def test_an_ips_has_a_flat_list_of_sections(value: dict[str, Any]) -> None:
    """No wrapper; the five required sections always, those that were not given saying that nothing is known."""
    value["profile"] = "IPS-FR-2024.01"
    value["treatments"] = None
    root = written(value)
    assert find(root, "//h:section//h:section") == []
    codes = [each.get("code") for each in find(root, "//h:section/h:code")]
    assert codes[:6] == ["11450-4", "11348-0", "47519-4", "48765-2", "10160-0", "46264-8"]
    assert "44944-7" in codes
    said = one(section(root, "10160-0"), "h:entry/h:substanceAdministration/h:code")
    assert said.get("code") == "no-medication-info"
    assert one(section(root, "46264-8"), ".//h:playingDevice/h:code").get("code") == "no-device-info"


# --- Text of the sections that hold others --------------------------------------------------------


def test_a_full_wrapper_has_no_text(value: dict[str, Any]) -> None:
    """Text is forbidden when every part is there."""
    root = written(value)
    assert find(section(root, "34117-2"), "h:text") == []
    assert find(section(root, "46612-8"), "h:text") == []
    assert find(section(root, "18776-5"), "h:text") == []


def test_an_empty_summary_is_four_short_texts(value: dict[str, Any]) -> None:
    """The smallest legal body says that nothing was said."""
    value |= dict.fromkeys(ALL) | {"vigilance": None}
    root = written(value)
    for code in ("34117-2", "57207-3", "30954-2", "18776-5"):
        assert text(section(root, code)) == "Non renseigné."
    assert find(root, "//h:section//h:section//h:section") == []


def test_words_alone_stand_in_the_text_of_the_wrapper(value: dict[str, Any]) -> None:
    """A coded part must hold an entry: its words go up, under its title."""
    value |= {name: {"text": f"Mots de {name}\nencore"} for name in ALL}
    root = written(value)
    cells = [" ".join(each.itertext()) for each in find(section(root, "34117-2"), "h:text//h:td")]
    assert cells[:2] == ["Problèmes actifs", "Mots de problems encore"]
    assert len(cells) == 8
    assert len(find(section(root, "57207-3"), "h:text//h:td")) == 4
    assert "Mots de treatments" in text(section(root, "18776-5"))
    assert find(root, "//h:entry[not(ancestor::h:section[h:code/@code='55108-5'])]") == []


def test_words_beside_entries_stay_in_their_section(value: dict[str, Any]) -> None:
    """A paragraph before the table."""
    value["problems"]["text"] = "Suivi partagé"
    assert text(section(written(value), "11450-4")).startswith("Suivi partagé")


# --- None, and no information ---------------------------------------------------------------------

ABSENCES = {
    "problems": ("11450-4", ".//h:observation/h:value", "no-known-problems", "no-problem-info"),
    "history": ("11348-0", ".//h:observation/h:value", "no-known-problems", "no-problem-info"),
    "procedures": ("47519-4", ".//h:procedure/h:code", "no-known-procedures", "no-procedure-info"),
    "allergies": ("48765-2", ".//h:observation/h:value", "no-known-allergies", "no-allergy-info"),
    "treatments": ("10160-0", ".//h:substanceAdministration/h:code", "no-known-medications", "no-medication-info"),
    "immunizations": (
        "11369-6",
        ".//h:substanceAdministration/h:code",
        "no-known-immunizations",
        "no-immunization-info",
    ),
    "devices": ("46264-8", ".//h:playingDevice/h:code", "no-known-devices", "no-device-info"),
}


@pytest.mark.parametrize("name", sorted(ABSENCES))
@pytest.mark.parametrize("unknown", [False, True])
def test_an_empty_section_says_why_in_code_and_in_words(value: dict[str, Any], name: str, unknown: bool) -> None:
    """VSM section 4, row by row; the words of the narrative are those the code refers to."""
    code, path, none, no_information = ABSENCES[name]
    value[name] = {"absence": "no-information" if unknown else "none-known"}
    root = written(value)
    found = one(section(root, code), path)
    assert found.get("code") == (no_information if unknown else none)
    assert found.get("codeSystem") == "2.16.840.1.113883.5.1150.1"
    anchor = str(one(found, "h:originalText/h:reference").get("value")).removeprefix("#")
    assert one(root, f"//*[@ID='{anchor}']").text == found.get("displayName")
    assert (found.get("displayName") or "").startswith("Aucun")


def test_only_a_known_absence_negates(value: dict[str, Any]) -> None:
    """Problems and acts are negated when none is known; allergies never are."""
    value |= {name: {"absence": "none-known"} for name in CODED}
    root = written(value)
    assert one(section(root, "11450-4"), ".//h:observation").get("negationInd") == "true"
    assert one(section(root, "47519-4"), ".//h:procedure").get("negationInd") == "true"
    assert one(section(root, "48765-2"), ".//h:observation").get("negationInd") == "false"
    value |= {name: {"absence": "no-information"} for name in CODED}
    root = written(value)
    assert one(section(root, "11450-4"), ".//h:observation").get("negationInd") == "false"
    assert one(section(root, "47519-4"), ".//h:procedure").get("negationInd") is None


def test_habits_and_family_without_entry_are_told_in_words(value: dict[str, Any]) -> None:
    """They have no code to say so: the text of the risk factors does."""
    value |= {"lifestyle": {"absence": "none-known"}, "familyHistory": {"absence": "no-information", "text": "Adopté"}}
    root = written(value)
    said = text(section(root, "57207-3"))
    assert "Aucun élément notable du mode de vie" in said
    assert "Aucune information sur les antécédents familiaux" in said
    assert "Adopté" in said


def test_words_alone_where_an_entry_is_imposed(value: dict[str, Any]) -> None:
    """An IPS-FR has no text above: the entry says "no information", the words stand beside."""
    value |= {"profile": "IPS-FR-2024.01", "allergies": {"text": "Voir le dossier"}}
    found = section(written(value), "48765-2")
    assert "Voir le dossier" in text(found)
    assert one(found, ".//h:observation/h:value").get("code") == "no-allergy-info"


def test_templates_that_impose_an_entry_go_with_it(value: dict[str, Any]) -> None:
    """A section of measures in words is not a coded one."""
    value |= {"profile": "IPS-FR-2024.01", "vitalSigns": {"text": "Poids stable"}}
    found = section(written(value), "8716-3")
    assert "1.3.6.1.4.1.19376.1.5.3.1.1.5.3.2" not in roots(found)
    assert find(found, "h:entry") == []


# --- Entries --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "end", "expected"),
    [
        ("active", None, ["low"]),
        ("suspended", "2022", ["low"]),
        ("completed", None, ["low", "high"]),
        ("aborted", "2022", ["low", "high"]),
    ],
)
def test_a_concern_has_an_end_when_it_is_over(
    value: dict[str, Any], status: str, end: str | None, expected: list[str]
) -> None:
    """Active or suspended: no high; over: both, a nullFlavor when the end is not known (VSM 3.1)."""
    value["problems"]["entries"][0] |= {"actStatus": status, "period": {"start": "2021", "end": end}}
    act = one(section(written(value), "11450-4"), "h:entry/h:act")
    time = one(act, "h:effectiveTime")
    assert [str(each.tag).rpartition("}")[2] for each in time] == expected
    if expected[-1] == "high":
        assert time[-1].get("value" if end else "nullFlavor") == (end or "UNK")
    observed = one(act, "h:entryRelationship/h:observation/h:effectiveTime")
    assert (find(observed, "h:high") != []) is (end is not None)


def test_details_of_a_problem(value: dict[str, Any]) -> None:
    """Severity, statuses, certainty and comment, each with its relationship, its code and its words."""
    snomed = "2.16.840.1.113883.6.96"
    value["problems"]["entries"][0] |= {
        "severity": {"code": "6736007", "system": snomed, "display": "modéré"},
        "clinicalStatus": {"code": "remission", "system": "2.16.840.1.113883.4.642.1.1074", "display": "En rémission"},
        "healthStatus": {"code": "84387000", "system": snomed, "display": "asymptomatique"},
    }
    root = written(value)
    inner = one(section(root, "11450-4"), "h:entry/h:act/h:entryRelationship/h:observation")
    found = [
        (
            each.get("typeCode"),
            each.get("inversionInd"),
            find(each, "string(*/h:code/@code)"),
            find(each, "string(*/h:value/@code)"),
        )
        for each in find(inner, "h:entryRelationship")
    ]
    assert found == [
        ("SUBJ", "true", "SEV", "6736007"),
        ("REFR", "false", "33999-4", "remission"),
        ("REFR", "false", "11323-3", "84387000"),
        ("SUBJ", "true", "66455-7", "confirmed"),
        ("SUBJ", "true", "48767-8", ""),
    ]
    table = text(section(root, "11450-4"))
    for words in ("Diabète de type 2", "modéré", "En rémission", "asymptomatique", "Confirmé", "Équilibré"):
        assert words in table


def test_columns_that_nobody_fills_are_left_out(value: dict[str, Any]) -> None:
    """A table shows what the entries say."""
    headings = [each.text for each in find(section(written(value), "11348-0"), "h:text//h:th")]
    assert headings == ["Problème", "Période"]


def test_an_allergy_names_its_agent_and_its_reactions(value: dict[str, Any]) -> None:
    """The agent is the consumable; a reaction is a problem of its own, with its severity."""
    value["allergies"]["entries"][0]["reactions"] = [
        {
            "concept": {"text": "Urticaire"},
            "onset": "2016",
            "severity": {"code": "24484000", "system": "2.16.840.1.113883.6.96", "display": "grave"},
        },
        {"concept": {"text": "Œdème"}},
    ]
    root = written(value)
    observation = one(section(root, "48765-2"), "h:entry/h:act/h:entryRelationship/h:observation")
    entity = one(observation, "h:participant[@typeCode='CSM']//h:playingEntity")
    assert one(entity, "h:code").get("nullFlavor") == "UNK"
    assert one(entity, "h:name").text == "Arachide"
    reactions = find(observation, "h:entryRelationship[@typeCode='MFST']/h:observation")
    assert [find(each, "string(h:effectiveTime/h:low/@value)") for each in reactions] == ["2016", ""]
    assert len(find(reactions[0], "h:entryRelationship/h:observation[h:code/@code='SEV']")) == 1
    assert "Urticaire (grave) 2016, Œdème" in "".join(one(section(root, "48765-2"), "h:text").itertext())


def test_a_planned_act_is_an_intention(value: dict[str, Any]) -> None:
    """Mood, template and an answer for its date, even unknown."""
    value["procedures"]["entries"][0] |= {"planned": True, "performed": None}
    act = one(section(written(value), "47519-4"), "h:entry/h:procedure")
    assert act.get("moodCode") == "INT"
    assert "2.16.840.1.113883.10.20.1.25" in roots(act)
    assert "2.16.840.1.113883.10.20.1.29" not in roots(act)
    assert one(act, "h:effectiveTime").get("nullFlavor") == "UNK"


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"quantity": {"value": "20", "unit": "{pack}/a"}}, "PQ"),
        ({"concept": {"text": "ancien fumeur"}}, "CD"),
        ({"boolean": True}, "BL"),
        ({"text": "un peu\nle soir"}, "ED"),
    ],
)
def test_a_value_has_the_type_of_what_it_says(value: dict[str, Any], given: dict[str, Any], kind: str) -> None:
    """Quantity, code, yes or no, words."""
    value["lifestyle"]["entries"][0]["value"] = given
    found = one(section(written(value), "29762-2"), "h:entry/h:observation/h:value")
    assert found.get(XSI) == kind


def test_a_treatment_has_one_extent(value: dict[str, Any]) -> None:
    """The dates of the treatment win; both ends are always there; the frequency comes second."""
    treatment = value["treatments"]["entries"][0]
    treatment["posology"]["dosage"]["duration"] = {"value": "3", "unit": "mo"}
    element = one(section(written(value), "10160-0"), "h:entry/h:substanceAdministration")
    first, second = find(element, "h:effectiveTime")
    assert (first.get(XSI), second.get(XSI), second.get("operator")) == ("IVL_TS", "PIVL_TS", "A")
    assert one(first, "h:low").get("value") == "20210315"
    assert one(first, "h:high").get("nullFlavor") == "UNK"
    assert roots(element)[-1] == "1.3.6.1.4.1.19376.1.5.3.1.4.7.1"
    report = cda.write(documents.load(value)).loss
    assert [item.fate for item in report.items if item.name == "duration"] == ["textOnly"]


@pytest.mark.parametrize("mode", [mode for mode in PosologyMode if mode is not PosologyMode.NORMAL])
def test_a_treatment_in_steps_is_not_in_normal_mode(value: dict[str, Any], mode: PosologyMode) -> None:
    """Steps are subordinate entries, in order, without a product of their own; the mode is the last template."""
    treatment = value["treatments"]["entries"][0]
    treatment["posology"] = {
        "mode": mode,
        "steps": [{"text": "2 comprimés 7 jours"}, {"duration": {"value": "7", "unit": "d"}}],
    }
    element = one(section(written(value), "10160-0"), "h:entry/h:substanceAdministration")
    assert roots(element)[-1] == MODES[mode]
    steps = find(element, "h:entryRelationship[@typeCode='COMP']")
    assert [one(each, "h:sequenceNumber").get("value") for each in steps] == ["1", "2"]
    assert [find(each, "count(.//h:manufacturedMaterial/h:code[@nullFlavor='NA'])") for each in steps] == [1, 1]


def test_every_reference_leads_to_words(value: dict[str, Any]) -> None:
    """The official tools do not check it (VSM 3)."""
    for name in ("problems", "allergies", "treatments"):
        value[name]["entries"] = copy.deepcopy(value[name]["entries"]) * 2
    root = written(value)
    anchors = [each.get("ID") for each in find(root, "//*[@ID]")]
    assert len(anchors) == len(set(anchors))
    references = find(root, "//h:reference/@value")
    assert references
    assert {each.removeprefix("#") for each in references} <= set(anchors)


def test_identifiers_are_given_or_derived(value: dict[str, Any]) -> None:
    """Upper case; the same document gives the same ones, two entries never share one."""
    given = "abcdefab-1111-4111-8111-111111111111"
    value["problems"]["entries"] = [value["problems"]["entries"][0] | {"id": given}, value["problems"]["entries"][0]]
    root = written(value)
    found = [each.get("root") for each in find(section(root, "11450-4"), ".//h:observation/h:id")]
    assert found[0] == given.upper()
    every = [each.get("root") for each in find(root, "//h:structuredBody//h:id[@root]")]
    assert len(every) == len(set(every))
    assert cda.write(documents.load(value)).data == cda.write(documents.load(value)).data


def test_the_printed_copy_comes_last(value: dict[str, Any]) -> None:
    """Given apart, or held by the document; left out when there is none."""
    assert find(written(value), "//h:section")[-1].find("{*}code").get("code") == "55108-5"
    assert find(written(value, pdf=None), "//h:section[h:code/@code='55108-5']") == []
