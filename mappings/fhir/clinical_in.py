"""Entries of a summary read from FHIR: problems, allergies, acts, family, treatments, vaccines, devices."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from conformance.verdict import Text
from mappings.document.summary import (
    Allergy,
    FamilyCondition,
    FamilyMember,
    Problem,
    Procedure,
    Reaction,
    UsedDevice,
)
from mappings.document.values import Code, Period
from mappings.fhir.clinical_out import (
    ACT_STATUS,
    ALLERGY_TYPES,
    CLINICAL,
    CONDITION_CLINICAL,
)
from mappings.fhir.names import oid_of, system_name
from mappings.fhir.node import Node
from mappings.fhir.reasons_in import business_uuid, motives
from mappings.fhir.source import Source
from mappings.fhir.values_in import code, codings, concept, concept_of, first_code, moment, period, uuid_of

__all__ = [
    "absence_code",
    "allergy",
    "condition",
    "entered_in_error",
    "family",
    "not_a_fact",
    "notes",
    "past",
    "procedure",
    "status_of",
    "used_device",
]

SNOMED: Final = "2.16.840.1.113883.6.96"
ABSENT_UNKNOWN: Final = "2.16.840.1.113883.5.1150.1"
_ERROR = Text("Saisi par erreur : non repris.", "Entered in error: not kept.")
_NOT_TAKEN = Text(
    "Ce qui n'a pas été fait, pris ou administré n'est pas repris comme un fait.",
    "What was not done, taken or given is not kept as a fact.",
)
_STATUSES: Final = {
    "completed": "completed",
    "in-progress": "active",
    "preparation": "active",
    "stopped": "aborted",
    "on-hold": "active",
    "not-done": "cancelled",
}
_TYPE_OF: Final = {(kind, category): symbol for symbol, (kind, category) in reversed(ALLERGY_TYPES.items())}
_GRADES: Final = {"mild": "255604002", "moderate": "6736007", "severe": "24484000"}
_GRADE_WORDS: Final = {"mild": "léger", "moderate": "modéré", "severe": "grave"}
_TYPE_WORDS: Final = {
    "609328004": "allergie",
    "416098002": "allergie médicamenteuse",
    "414285001": "allergie alimentaire",
    "609396006": "hypersensibilité non allergique",
    "59037007": "intolérance aux drogues et/ou médicaments",
    "235719002": "intolérance alimentaire",
}


_DISEASE: Final = Code(code="64572001", system=SNOMED, display="maladie", system_name=system_name(SNOMED))


def absence_code(value: Any) -> str | None:
    """The IPS code for "none known" or "no information" in a CodeableConcept."""
    found = value.get("coding") if type(value) is dict else None
    for item in found if type(found) is list else ():
        if type(item) is dict and isinstance(item.get("system"), str) and oid_of(item["system"]) == ABSENT_UNKNOWN:
            return str(item.get("code"))
    return None


def entered_in_error(source: Source, node: Node) -> bool:
    """True for an entry that says of itself that it is an error; it is dropped aloud."""
    said = node.value.get("status") == "entered-in-error"
    verified = node.value.get("verificationStatus")
    if type(verified) is dict:
        said = said or any(
            type(c) is dict and c.get("code") == "entered-in-error" for c in codings(verified, node.place)
        )
    if said:
        node.use(*node.value)
        source.log.lost(node.place, node.kind, _ERROR)
    return said


def not_a_fact(source: Source, node: Node, *statuses: str) -> bool:
    if node.value.get("status") in statuses:
        node.use(*node.value)
        source.log.lost(node.place, node.kind, _NOT_TAKEN, clinical=True)
        return True
    return False


def status_of(node: Node, usual: str) -> str:
    """The act status kept in a tag, else the usual one of the section."""
    return next((symbol for system, symbol, _ in node.tags() if oid_of(system) == ACT_STATUS), usual)


def notes(node: Node) -> str | None:
    """The notes of an entry, a line each."""
    said = []
    for item in node.nodes("note"):
        text = item.text("text")
        if text is not None:
            said.append(text)
    return "\n".join(said) or None


def _certainty(node: Node) -> str | None:
    value = node.raw("verificationStatus")
    found = codings(value, f"{node.place}/verificationStatus") if value is not None else []
    symbol = next((c.get("code") for c in found if type(c) is dict), None)
    if symbol in ("provisional", "differential"):
        return "unconfirmed"
    return symbol if symbol in ("unconfirmed", "confirmed", "refuted") else None


def _clinical(node: Node) -> Code | None:
    value = node.raw("clinicalStatus")
    if value is None:
        return None
    place = f"{node.place}/clinicalStatus"
    return next((c for i, x in enumerate(codings(value, place)) if (c := code(x, f"{place}/coding/{i}"))), None)


def past(node: Node) -> bool:
    """True for a problem that is over: by the section it came from when a tag says so, else by its status."""
    for _, symbol, _ in node.tags():
        if symbol in ("11348-0", "11450-4"):
            return symbol == "11348-0"
    value = node.value.get("clinicalStatus")
    found = codings(value, node.place) if type(value) is dict else []
    status = next((c.get("code") for c in found if type(c) is dict), None)
    return status in ("inactive", "remission", "resolved")


def condition(source: Source, node: Node) -> Problem:
    """A Condition."""
    over = past(node)
    node.use("subject", "encounter")
    category = None
    for i, item in enumerate(node.nodes("category")):
        item.use("text", "coding")
        for j, one in enumerate(codings(item.value, item.place)):
            found = code(one, f"{node.place}/category/{i}/coding/{j}")
            category = category or found
    start = moment(node, "onsetDateTime")
    onset = period(node, "onsetPeriod")
    end = moment(node, "abatementDateTime")
    node.use("_onsetDateTime")
    stage = next((first_code(item, "summary") for item in node.nodes("stage")), None)
    said = _clinical(node)
    what: Any = concept(source.log, node, "code")
    members: dict[str, Any] = {"category": category} if category is not None else {}
    if said is not None and said.system == CONDITION_CLINICAL and not said.display:
        said = said.model_copy(update={"display": CLINICAL.get(said.code)})
    source.log.carried(node.place, "Condition")
    return source.attempt(
        lambda: Problem(
            id=business_uuid(node),
            concept=what,
            period=Period(start=start or (onset.start if onset else None), end=end),
            act_status=status_of(node, "completed" if over else "active"),
            severity=first_code(node, "severity"),
            clinical_status=said,
            health_status=stage,
            certainty=_certainty(node),
            comment=notes(node),
            **members,
        ),
        node,
    )


def _severity(node: Node) -> Code | None:
    """The exact severity of a reaction, else the grade of R4 in SNOMED CT."""
    grade = node.text("severity")
    beside = node.node("_severity")
    if beside is not None and (exact := beside.extension("alternate-codes")) is not None:
        found = first_code(exact, "valueCodeableConcept")
        if found is not None:
            return found
    if grade not in _GRADES:
        return None
    return Code(code=_GRADES[grade], system=SNOMED, display=_GRADE_WORDS[grade], system_name=system_name(SNOMED))


def allergy(source: Source, node: Node) -> Allergy:
    """An AllergyIntolerance."""
    node.use("patient", "encounter")
    exact = node.extension("allergy-type")
    kind = first_code(exact, "valueCodeableConcept") if exact is not None else None
    categories = node.texts("category")
    general = node.text("type")
    if kind is None:
        symbol = _TYPE_OF.get((general or "allergy", categories[0] if categories else None))
        symbol = symbol or _TYPE_OF.get((general or "allergy", None))
        if symbol is not None:
            kind = Code(code=symbol, system=SNOMED, display=_TYPE_WORDS.get(symbol), system_name=system_name(SNOMED))
    severity: Code | None = None
    reactions = []
    for item in node.nodes("reaction"):
        shown = item.raw("manifestation")
        what = None
        for i, one in enumerate(shown if type(shown) is list else []):
            what = what or concept_of(source.log, one, f"{item.place}/manifestation/{i}")
        grade = _severity(item)
        if what is None:
            severity = severity or grade
            item.use("onset")
            continue
        onset = moment(item, "onset")
        reactions.append(Reaction(concept=what, onset=onset, severity=grade))
    when = period(node, "onsetPeriod")
    start = moment(node, "onsetDateTime")
    clinical = _clinical(node)
    members: dict[str, Any] = {"type": kind} if kind is not None else {}
    agent: Any = concept(source.log, node, "code")
    source.log.carried(node.place, "AllergyIntolerance")
    return source.attempt(
        lambda: Allergy(
            id=business_uuid(node),
            agent=agent,
            period=when or Period(start=start),
            act_status=status_of(node, "active"),
            reactions=tuple(reactions),
            severity=severity,
            clinical_status=clinical.code if clinical is not None else None,
            certainty=_certainty(node),
            criticality=node.text("criticality"),
            comment=notes(node),
            **members,
        ),
        node,
    )


def procedure(source: Source, node: Node, known: dict[int, UUID]) -> Procedure:
    """A Procedure, or a ServiceRequest for an act only planned."""
    planned = node.kind == "ServiceRequest"
    node.use("subject", "encounter")
    status, _ = node.text("status"), node.text("intent")
    if planned:
        performed = moment(node, "occurrenceDateTime")
        state = status_of(node, {"completed": "completed", "revoked": "cancelled"}.get(status or "", "active"))
    else:
        performed = moment(node, "performedDateTime")
        span = period(node, "performedPeriod")
        performed = performed or (span.start or span.end if span is not None else None)
        node.use("_performedDateTime")
        state = _STATUSES.get(status or "", "completed")
        planned = status == "preparation"
    what: Any = concept(source.log, node, "code")
    why = motives(source, node, None, known)
    source.log.carried(node.place, node.kind)
    return source.attempt(
        lambda: Procedure(
            id=business_uuid(node),
            concept=what,
            performed=performed,
            status=state,
            planned=planned,
            reasons=why,
            comment=notes(node),
        ),
        node,
    )


def family(source: Source, node: Node) -> FamilyMember:
    """A FamilyMemberHistory."""
    node.use("patient", "status")
    found = []
    for item in node.nodes("condition"):
        item.use("id")
        key = item.value.get("id")
        onset = period(item, "onsetPeriod")
        words = item.text("onsetString")
        start = onset.start if onset is not None else None
        what: Any = concept(source.log, item, "code")
        if what is not None and words and start is None:
            what = what.model_copy(update={"text": f"{what.label} ({words})"})
        found.append(
            source.attempt(
                lambda key=key, what=what, start=start: FamilyCondition(  # type: ignore[misc]
                    id=uuid_of(key) if isinstance(key, str) else None, category=_DISEASE, concept=what, onset=start
                ),
                item,
            )
        )
    relation = first_code(node, "relationship")
    source.log.carried(node.place, "FamilyMemberHistory")
    return source.attempt(lambda: FamilyMember(relation=relation, conditions=tuple(found)), node)


def used_device(source: Source, node: Node) -> UsedDevice:
    """A DeviceUseStatement."""
    node.use("status", "subject")
    target = source.resolve(node, "device", required=True)
    when = period(node, "timingPeriod")
    start = moment(node, "timingDateTime")
    what: Any = None
    if target is not None:
        target.use("patient", "status")
        what = concept(source.log, target, "type")
    source.log.carried(node.place, "DeviceUseStatement")
    return source.attempt(
        lambda: UsedDevice(
            id=business_uuid(node), concept=what, period=when or (Period(start=start) if start else None)
        ),
        node,
    )
