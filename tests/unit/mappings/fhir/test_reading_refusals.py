"""What the reader refuses to invent, and what hostile Bundles get."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest

from mappings import fhir
from mappings.loss import Fate
from tests.unit.mappings.fhir.bundles import Json, add, bundle, codes, drop, head, lost, of

# --- Refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "FHIR-READ-001"),
        ([], "FHIR-READ-001"),
        ({"resourceType": "Patient"}, "FHIR-READ-001"),
        ({"resourceType": "Bundle", "type": "searchset"}, "FHIR-READ-002"),
        ({"resourceType": "Bundle", "type": "document"}, "FHIR-READ-003"),
        ({"resourceType": "Bundle", "type": "document", "entry": [{"resource": 3}]}, "FHIR-READ-012"),
    ],
)
def test_what_is_not_a_document_is_refused(value: Any, code: str) -> None:
    """With a code, and words for people."""
    assert codes(value) == [code]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("Composition", "FHIR-READ-003"),
        ("Patient", "FHIR-READ-006"),
        ("Encounter", "FHIR-READ-006"),
        ("Location", "FHIR-READ-006"),
    ],
)
def test_a_missing_resource_of_the_header_is_refused(kind: str, code: str) -> None:
    """A dangling reference of the header: named, not guessed."""
    value = bundle()
    drop(value, kind)
    assert code in codes(value)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda b: head(b).pop("encounter"), "FHIR-READ-036"),
        (lambda b: of(b, "Encounter").pop("period"), "FHIR-READ-036"),
        (lambda b: of(b, "Encounter").pop("location"), "FHIR-READ-038"),
        (lambda b: of(b, "Location").pop("type"), "FHIR-READ-038"),
        (lambda b: head(b).pop("event"), "FHIR-READ-039"),
        (lambda b: head(b).pop("subject"), "FHIR-READ-035"),
        (lambda b: head(b).pop("author"), "FHIR-READ-037"),
        (lambda b: of(b, "Practitioner").pop("identifier"), "FHIR-READ-033"),
        (lambda b: of(b, "Practitioner").pop("name"), "FHIR-READ-033"),
        (lambda b: of(b, "Patient")["name"][0].pop("family"), "FHIR-READ-031"),
        (lambda b: of(b, "Patient").pop("birthDate"), "FHIR-READ-020"),
        (lambda b: head(b).pop("title"), "FHIR-READ-020"),
        (lambda b: head(b).update(date="2026-11-20", language="fr-FR") or b.pop("timestamp"), "FHIR-READ-020"),
        (lambda b: of(b, "DocumentReference").pop("content"), "FHIR-READ-041"),
        (lambda b: of(b, "DocumentReference")["content"][0]["attachment"].update(data="%"), "FHIR-READ-041"),
    ],
)
def test_nothing_is_invented(change: Any, code: str) -> None:
    """What only the sender can know is asked of the sender."""
    value = bundle()
    change(value)
    assert code in codes(value)


@pytest.mark.parametrize(
    ("kind", "change", "code"),
    [
        ("summary", lambda b: of(b, "Condition", 1).update(abatementDateTime="2010"), "FHIR-READ-020"),
        ("prescription", lambda b: of(b, "MedicationRequest").pop("substitution"), "FHIR-READ-050"),
        ("prescription", lambda b: of(b, "MedicationRequest").pop("dosageInstruction"), "FHIR-READ-051"),
        ("prescription", lambda b: of(b, "MedicationRequest").pop("medicationReference"), "FHIR-READ-040"),
        ("dispensation", lambda b: of(b, "MedicationDispense").pop("quantity"), "FHIR-READ-020"),
        ("dispensation", lambda b: of(b, "MedicationDispense").pop("type"), "FHIR-READ-020"),
        (
            "prescription",
            lambda b: of(b, "MedicationRequest")["dosageInstruction"][0]["doseAndRate"][0]["doseRange"]["low"].update(
                comparator="<"
            ),
            "FHIR-READ-022",
        ),
    ],
)
def test_content_that_contradicts_itself_is_refused_at_its_place(kind: str, change: Any, code: str) -> None:
    """End before start, a line without its permission, a dose with a comparator."""
    value = bundle(kind)
    change(value)
    with pytest.raises(fhir.UnreadableBundle) as caught:
        fhir.read(value)
    assert code in [f.code for f in caught.value.findings]
    assert caught.value.findings[0].location.startswith("/entry/")


def test_every_fault_is_told_at_once() -> None:
    """Two bad lines and a bad header: three findings, not the first alone."""
    value = bundle("prescription")
    for rank in (0, 1):
        of(value, "MedicationRequest", rank).pop("substitution")
    of(value, "Patient").pop("birthDate")
    assert codes(value) == ["FHIR-READ-020", "FHIR-READ-050", "FHIR-READ-050"]


def test_two_patients_are_refused() -> None:
    """A document is about one person."""
    value = bundle()
    add(value, {"resourceType": "Patient"})
    assert codes(value) == ["FHIR-READ-030"]


def test_an_entry_about_someone_else_is_refused() -> None:
    """A subject that is not the document's patient: never mixed in."""
    value = bundle("summary")
    of(value, "Condition")["subject"] = {"reference": "Patient/voisin"}
    assert codes(value) == ["FHIR-READ-030"]


def test_the_words_of_a_refusal_hold_no_trait() -> None:
    """Neither name, matricule nor birth date of the patient in what is said or logged."""
    value = bundle()
    patient = of(value, "Patient")
    patient["birthDate"] = "28/03/1979"
    patient["identifier"][0]["value"] = "279035121518989" * 20
    with pytest.raises(fhir.UnreadableBundle) as caught:
        fhir.read(value)
    said = str(caught.value) + "".join(str(f.as_json()) for f in caught.value.findings)
    for trait in ("279035121518989", "PAT-TROIS", "28/03", "DOMINIQUE"):
        assert trait not in said


@pytest.mark.parametrize("kind", ["Observation", "Medication", "Organization", "Encounter"])
def test_a_resource_that_is_part_of_itself_is_refused(kind: str) -> None:
    """Cycles of parts have no end: refused before they are followed."""
    member = {
        "Observation": lambda a: {"hasMember": [{"reference": a}]},
        "Medication": lambda a: {"ingredient": [{"itemReference": {"reference": a}}]},
        "Organization": lambda a: {"partOf": {"reference": a}},
        "Encounter": lambda a: {"partOf": {"reference": a}},
    }[kind]
    value = bundle("summary")
    first, second = "00000000-0000-4000-8000-0000000000b1", "00000000-0000-4000-8000-0000000000b2"
    add(value, {"resourceType": kind, **member(f"urn:uuid:{second}")}, first)
    add(value, {"resourceType": kind, **member(f"urn:uuid:{first}")}, second)
    assert codes(value) == ["FHIR-READ-007"]


def test_two_entries_of_one_address_are_refused() -> None:
    """A reference must have one meaning."""
    value = bundle()
    value["entry"].append(value["entry"][2])
    assert codes(value) == ["FHIR-READ-010"]


# --- Hostile sizes ---------------------------------------------------------------------------------------------------


def test_ten_thousand_entries_are_refused_at_once() -> None:
    """Before anything is read."""
    value = bundle("summary")
    value["entry"] += [{"resource": {"resourceType": "Observation"}}] * 10_000
    start = time.process_time()
    assert codes(value) == ["FHIR-READ-008"]
    assert time.process_time() - start < 0.5


def test_thousands_of_entries_are_read_in_bounded_time() -> None:
    """2,000 problems of one section: a second or two, and the hub's own limit beyond."""
    value = bundle("summary")
    section = next(s for s in head(value)["section"] if s["code"]["coding"][0]["code"] == "11450-4")
    template = of(value, "Condition")
    for n in range(1_900):
        address = add(value, {**template, "identifier": []}, f"00000000-0000-4000-8000-{n:012d}")
        section["entry"].append({"reference": address})
    start = time.process_time()
    assert len(fhir.read(value).document.problems.entries) == 1_901
    assert time.process_time() - start < 5


def test_a_long_chain_of_parts_is_followed_without_recursion() -> None:
    """4,000 organizations, each part of the next."""
    value = bundle()
    addresses = [f"00000000-0000-4000-8000-{n:012d}" for n in range(4_000)]
    for key, following in pairwise(addresses):
        add(value, {"resourceType": "Organization", "partOf": {"reference": f"urn:uuid:{following}"}}, key)
    start = time.process_time()
    places = lost(value)
    assert time.process_time() - start < 5
    assert len(places) == 3_999
    assert not any(places.values())


def test_deep_sections_are_refused() -> None:
    """A tower of sections is not a document."""
    value = bundle("summary")
    sections = head(value)["section"]
    for _ in range(60):
        sections = [{"title": "x", "section": sections}]
    head(value)["section"] = sections
    with pytest.raises(fhir.UnreadableBundle, match="FHIR-READ-009"):
        fhir.read(value)


@pytest.mark.parametrize(
    "div",
    [
        "<div>" * 5_000 + "</div>" * 5_000,
        "<!DOCTYPE x [<!ENTITY a 'b'>]><div>&a;</div>",
        "<div>" + "<p>x</p>" * 200_000 + "</div>",
        "<div><p>pas fermé</div>",
        "pas du tout",
    ],
)
def test_a_hostile_narrative_is_not_read(div: str) -> None:
    """Too deep, with entities, too long, malformed: the structure is read, the text is lost aloud."""
    value = bundle("summary")
    for section in head(value)["section"]:
        section["text"]["div"] = div
    start = time.process_time()
    reading = fhir.read(value)
    assert time.process_time() - start < 5
    assert reading.document.problems is not None
    lost = [item for item in reading.loss.items if item.name == "text"]
    assert lost
    assert all(item.clinical and item.fate is Fate.LOST for item in lost)


def test_a_script_in_a_narrative_is_only_text() -> None:
    """Markup of the sender never comes through as markup."""
    value = bundle("summary")
    section = next(s for s in head(value)["section"] if s["code"]["coding"][0]["code"] == "44944-7")
    section["text"] = {
        "status": "additional",
        "div": '<div xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script><p>Chute&nbsp;récente</p></div>',
    }
    assert fhir.read(value).document.vigilance == "Chute récente"


def refusal(value: Json) -> list[str]:
    """The codes of the refusal, none when the Bundle is read."""
    try:
        fhir.read(value)
    except fhir.UnreadableBundle as fault:
        return [finding.code for finding in fault.findings]
    return []


WRONG: list[Any] = [None, 7, "x", [], {}, [7], [{}]]


def places(value: Any) -> list[tuple[Any, ...]]:
    """The place of one member of each shape of the Bundle."""
    out: list[tuple[Any, ...]] = []
    seen: set[tuple[Any, ...]] = set()
    stack: list[tuple[Any, tuple[Any, ...], tuple[Any, ...]]] = [(value, (), ())]
    while stack:
        item, here, shape = stack.pop()
        if here and shape not in seen:
            seen.add(shape)
            out.append(here)
        steps = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        for key, inner in steps:
            mark = inner.get("resourceType", key) if isinstance(inner, dict) else key
            stack.append((inner, (*here, key), (*shape, "*" if isinstance(key, int) else mark)))
    return out


@pytest.mark.parametrize("kind", ["report", "prescription", "dispensation", "summary"])
def test_no_wrong_value_anywhere_is_more_than_a_refusal(kind: str) -> None:
    """Each member in turn replaced by a value of another type: read, or refused with a finding."""
    clean = bundle(kind)
    for rank, place in enumerate(places(clean)):
        # Three of the wrong values in turn: every shape meets several, every value meets every kind of shape.
        for wrong in [WRONG[(rank + step) % len(WRONG)] for step in (0, 2, 4)]:
            value = bundle(kind)
            target: Any = value
            for step in place[:-1]:
                target = target[step]
            target[place[-1]] = wrong
            said = refusal(value)
            assert all(code.startswith("FHIR-READ-") for code in said)
