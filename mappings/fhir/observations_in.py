"""Observations, results and care plans read from FHIR."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from conformance.verdict import Text
from mappings.document.base import Part
from mappings.document.summary import (
    CarePlanItem,
    FunctionalAssessment,
    LifestyleObservation,
    PregnancyObservation,
    Result,
    ResultGroup,
    Value,
    VitalSign,
    VitalSigns,
)
from mappings.document.values import Code
from mappings.fhir.names import oid_of
from mappings.fhir.node import Node
from mappings.fhir.observations_out import ACT_MOOD
from mappings.fhir.reasons_in import business_uuid
from mappings.fhir.source import Source, refuse
from mappings.fhir.values_in import code, codings, concept, first_code, moment, period, quantity

__all__ = ["care_plan", "observation", "result_group", "value_of", "vital_signs"]

P = TypeVar("P", bound=Part)

_COMPARATOR = Text(
    "Une valeur avec comparateur (< ou >) est reprise en texte.", "A value with a comparator is kept as text."
)
_NO_VALUE = Text("Cette observation n'a pas de valeur reprise.", "This observation has no value that is kept.")
_MOODS: Final = {"plan": "INT", "order": "RQO", "proposal": "PRP", "directive": "PRMS"}
PANEL: Final = "85353-1"


def value_of(source: Source, node: Node) -> Value | None:
    """The ``value[x]`` of an Observation or a component; None when it has none that the hub holds."""
    raw = node.value.get("valueQuantity")
    if type(raw) is dict and raw.get("comparator"):
        node.use("valueQuantity")
        source.log.text_only(f"{node.place}/valueQuantity", "Observation.value", _COMPARATOR)
        said = " ".join(str(raw[k]) for k in ("comparator", "value", "unit") if raw.get(k) is not None)
        return Value(text=said)
    amount = quantity(node, "valueQuantity")
    if amount is not None:
        return Value(quantity=amount)
    coded = concept(source.log, node, "valueCodeableConcept")
    if coded is not None:
        return Value(concept=coded)
    flag = node.flag("valueBoolean")
    if flag is not None:
        return Value(boolean=flag)
    text = node.text("valueString") or moment(node, "valueDateTime")
    if text is not None:
        return Value(text=text)
    count = node.integer("valueInteger")
    return Value(text=str(count)) if count is not None else None


def _common(node: Node) -> None:
    node.use("status", "category", "subject", "encounter")


def _observed(node: Node) -> str | None:
    when = moment(node, "effectiveDateTime") or moment(node, "effectiveInstant")
    span = period(node, "effectivePeriod")
    return when or (span.start or span.end if span is not None else None)


def _interpretation(node: Node) -> Code | None:
    for i, item in enumerate(node.nodes("interpretation")):
        item.use("text", "coding")
        for j, one in enumerate(codings(item.value, item.place)):
            if (found := code(one, f"{node.place}/interpretation/{i}/coding/{j}")) is not None:
                return found
    return None


def observation(
    source: Source,
    node: Node,
    kind: type[LifestyleObservation] | type[FunctionalAssessment] | type[PregnancyObservation] | type[Result],
) -> Any:
    """An Observation as one of the observed entries of the hub; None when it holds no value."""
    _common(node)
    value = value_of(source, node)
    if value is None:
        node.use(*node.value)
        source.log.lost(node.place, "Observation", _NO_VALUE, clinical=True)
        return None
    observed = _observed(node)
    members: dict[str, Any] = {"interpretation": _interpretation(node)} if kind is Result else {}
    subject: Any = first_code(node, "code")
    source.log.carried(node.place, "Observation")
    return source.attempt(
        lambda: kind(id=business_uuid(node), code=subject, observed_at=observed, value=value, **members), node
    )


def _sign(source: Source, node: Node, when: str | None, own: Node) -> VitalSign | None:
    amount = quantity(node, "valueQuantity")
    if amount is None:
        node.use(*node.value)
        source.log.lost(node.place, "Observation", _NO_VALUE, clinical=True)
        return None
    observed = _observed(own)
    subject: Any = first_code(node, "code")
    return source.attempt(
        lambda: VitalSign(
            id=business_uuid(own) if own is node else None,
            code=subject,
            quantity=amount,
            observed_at=None if observed == when else observed,
            interpretation=_interpretation(node),
        ),
        node,
    )


def _signs(source: Source, node: Node, when: str | None) -> list[VitalSign]:
    """One measure, or the components of one (blood pressure)."""
    _common(node)
    if node.value.get("valueQuantity") is not None or not node.value.get("component"):
        found = _sign(source, node, when, node)
        return [found] if found is not None else []
    node.use("code", "identifier")
    out = []
    for part in node.nodes("component"):
        found = _sign(source, part, when, node)
        if found is not None:
            out.append(found)
    return out


def vital_signs(source: Source, node: Node, fallback: str | None) -> VitalSigns | None:
    """A panel and its measures, or a measure that stands alone."""
    members = [n for _, _, n in source.resolve_all(node, "hasMember") if n is not None and n.kind == "Observation"]
    when: Any = _observed(node) or fallback
    if members:
        _common(node)
        node.use("code")
        signs = [sign for member in members for sign in _signs(source, member, when)]
        key = business_uuid(node)
    else:
        signs, key = _signs(source, node, when), None
    if not signs:
        return None
    source.log.carried(node.place, "Observation panel")
    return source.attempt(lambda: VitalSigns(id=key, observed_at=when, signs=tuple(signs)), node)


def result_group(source: Source, node: Node) -> ResultGroup | None:
    """A DiagnosticReport and its results, or a result that stands alone."""
    if node.kind == "Observation":
        alone = observation(source, node, Result)
        if alone is None:
            return None
        return ResultGroup(code=_LABORATORY, results=(alone,))
    node.use("status", "category", "subject", "encounter")
    when = _observed(node)
    found = []
    for _, _, target in source.resolve_all(node, "result"):
        if target is not None and target.kind == "Observation":
            read = observation(source, target, Result)
            if read is not None:
                found.append(read)
    subject: Any = first_code(node, "code")
    if not found:
        node.use(*node.value)
        source.log.lost(node.place, "DiagnosticReport", _NO_VALUE, clinical=True)
        return None
    source.log.carried(node.place, "DiagnosticReport")
    return source.attempt(
        lambda: ResultGroup(id=business_uuid(node), code=subject, observed_at=when, results=tuple(found)), node
    )


_LABORATORY: Final = Code(
    code="26436-6", system="2.16.840.1.113883.6.1", display="Examens de laboratoire", system_name="LOINC"
)


def _item(source: Source, node: Node) -> CarePlanItem:
    if node.kind == "Goal":
        node.use("lifecycleStatus", "subject")
        due = None
        for target in node.nodes("target"):
            due = due or moment(target, "dueDate")
        what: Any = concept(source.log, node, "description")
        return source.attempt(
            lambda: CarePlanItem(id=business_uuid(node), concept=what, planned_for=due, mood="GOL"), node
        )
    node.use("status", "subject", "encounter")
    intent = node.text("intent") or "plan"
    mood = _MOODS.get(intent, "RQO")
    mood = next((symbol for system, symbol, _ in node.tags() if oid_of(system) == ACT_MOOD), mood)
    when = moment(node, "occurrenceDateTime")
    span = period(node, "occurrencePeriod")
    planned = when or (span.start or span.end if span is not None else None)
    subject: Any = concept(source.log, node, "code")
    return source.attempt(
        lambda: CarePlanItem(
            id=business_uuid(node),
            concept=subject,
            planned_for=planned,
            mood=mood,
        ),
        node,
    )


def care_plan(source: Source, node: Node) -> list[CarePlanItem]:
    """The items of a CarePlan, or a planned act that stands alone."""
    if node.kind in ("ServiceRequest", "Goal"):
        source.log.carried(node.place, node.kind)
        return [_item(source, node)]
    if node.kind != "CarePlan":
        raise refuse(
            "FHIR-READ-042",
            node.place,
            "Cette ressource n'a pas sa place dans un plan de soins.",
            "This resource has no place in a care plan.",
            "Désignez un CarePlan, un ServiceRequest ou un Goal.",
            "Refer to a CarePlan, a ServiceRequest or a Goal.",
            found=node.kind,
        )
    node.use("status", "intent", "subject", "encounter")
    out = []
    for activity in node.nodes("activity"):
        target = source.resolve(activity, "reference")
        if target is not None and target.kind in ("ServiceRequest", "Goal"):
            out.append(_item(source, target))
            continue
        detail = activity.node("detail")
        if detail is None:
            continue
        detail.use("status", "kind")
        what: Any = concept(source.log, detail, "code")
        words = detail.text("description")
        span = period(detail, "scheduledPeriod")
        if what is None and words is not None:
            out.append(CarePlanItem.model_validate({"concept": {"text": words}}))
        elif what is not None:
            out.append(CarePlanItem(concept=what, planned_for=span.start if span is not None else None))
    for _, _, target in source.resolve_all(node, "goal"):
        if target is not None and target.kind == "Goal":
            out.append(_item(source, target))
    source.log.carried(node.place, "CarePlan")
    return out
