"""Rules and figures in FHIR R4: Measure, and the MeasureReport that ``$evaluate-measure`` gives."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import Connection

from gateway.api.feeds_access import PROBLEMS, Viewer, answer, viewing
from gateway.api.fhir_access import fhir_json
from gateway.feeds.entry import PARIS
from gateway.feeds.fhir import measure, measure_report
from gateway.feeds.periods import state_of
from gateway.problems import Invalid, NotFound, rule
from gateway.services import feeds_figures as figures
from gateway.services.feeds_rules import UNKNOWN, Scheme, catalogue, chosen_policy, schemes

__all__ = ["router"]

router = APIRouter(prefix="/fhir", tags=["fhir"], responses=PROBLEMS)

OTHER_PERIOD = rule(
    "FEED-FIGURE-003",
    "Cette règle se calcule sur sa propre période.",
    "This rule is worked out over its own period.",
    "Donnez la période de la règle, ou aucune.",
    "Give the period of the rule, or none.",
    "FHIR R4, Measure/$evaluate-measure",
)

View = Annotated[Viewer, Depends(viewing)]


def _base(viewer: Viewer) -> str:
    return viewer.gateway.settings.base_url.rstrip("/")


def _named(viewer: Viewer, name: str) -> Scheme:
    for one in schemes(catalogue(viewer.gateway.settings)):
        if one.latest.id[:64] == name:
            return one
    raise NotFound([UNKNOWN.finding("Measure")])


@router.get("/Measure", summary="Incentive rules as Measures", response_class=Response)
async def search(
    viewer: View,
    url: Annotated[str | None, Query(description="Canonical URL of one.")] = None,
    version: Annotated[str | None, Query(description="Version; the last if absent.")] = None,
) -> Response:
    """The rules at hand, as a searchset."""
    base = _base(viewer)
    found: list[dict[str, Any]] = []
    for one in schemes(catalogue(viewer.gateway.settings)):
        rules = [v for v in one.versions if version is None or str(v.version) == version]
        resource = measure(rules[-1], base_url=base) if rules else None
        if resource is not None and url in (None, resource["url"]):
            found.append(resource)
    return fhir_json(
        {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(found),
            "entry": [
                {"fullUrl": resource["url"], "resource": resource, "search": {"mode": "match"}} for resource in found
            ],
        }
    )


@router.get("/Measure/{name}", summary="One rule as a Measure", response_class=Response)
async def read(viewer: View, name: str) -> Response:
    """The last version of a rule: its populations, its period, and how far to trust its sources."""
    return fhir_json(measure(_named(viewer, name).latest, base_url=_base(viewer)))


def _operand(value: str | None) -> str | None:
    """The number in ``Practitioner/101...`` or alone."""
    return None if value is None else value.rpartition("/")[2]


@router.get("/Measure/{name}/$evaluate-measure", summary="A figure as a MeasureReport", response_class=Response)
async def evaluate(
    viewer: View,
    name: str,
    practitioner: Annotated[str | None, Query(description="RPPS; your own if you are a professional.")] = None,
    subject: Annotated[str | None, Query(description="Organization (FINESS), for a rule about structures.")] = None,
    start: Annotated[str | None, Query(alias="periodStart")] = None,
    end: Annotated[str | None, Query(alias="periodEnd")] = None,
    report: Annotated[str, Query(alias="reportType", pattern="^(summary|population)$")] = "summary",
) -> Response:
    """Populations, rate and exclusions by reason, for one professional or structure; pending until it is closed."""
    one = _named(viewer, name)
    period = one.latest.period
    for place, given, own in (("periodStart", start, period.start), ("periodEnd", end, period.end)):
        if given is not None and given != own.isoformat():
            raise Invalid([OTHER_PERIOD.finding(place, expected=own.isoformat())], slug="other-period")
    who = figures.about(viewer.audience, _operand(practitioner), _operand(subject))
    now, chosen = viewer.gateway.now(), chosen_policy(viewer.gateway.settings)

    def work(connection: Connection) -> dict[str, Any]:
        made = figures.figure_of(connection, viewer.audience, one, who, as_of=now, chosen=chosen)
        state = state_of(period, now.astimezone(PARIS).date(), list(made.closings))
        return measure_report(made.made, base_url=_base(viewer), state=state)

    made = await answer(viewer, work, {"evaluate-measure": name, **who.as_json(), "report": report}, lambda _: 1)
    return fhir_json(made)
