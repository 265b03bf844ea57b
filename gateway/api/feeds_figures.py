"""Figures under the incentive rules: indicators, statements, periods, payers' numbers entered and compared."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel
from sqlalchemy import Connection

from gateway import tenants
from gateway.api.access import NO_TENANT, read_body
from gateway.api.feeds_access import PROBLEMS, Viewer, answer, enter, viewing, writing
from gateway.api.shapes import Shape
from gateway.feeds.imports import ImportFault, OutsideMeasure, read_payer_file, record_measures
from gateway.feeds.memberships import declare_membership, end_membership, memberships_of
from gateway.feeds.statements import statement_pdf
from gateway.problems import Forbidden, Invalid, NotFound, rule
from gateway.services import feeds_figures as figures
from gateway.services.feeds import day_of
from gateway.services.feeds_rules import Scheme, catalogue, chosen_policy, scheme, schemes

__all__ = ["router"]

router = APIRouter(prefix="/v1/feeds", tags=["feeds"], responses=PROBLEMS)

BAD_MOMENT = rule(
    "API-FEEDS-005",
    "Cet instant n'est pas lisible.",
    "This instant cannot be read.",
    "Donnez un instant avec son décalage, 2026-11-22T09:30:00+01:00.",
    "Give an instant with its offset, 2026-11-22T09:30:00+01:00.",
)
BAD_MEMBERSHIP = rule(
    "API-FEEDS-006",
    "Cette appartenance n'est pas possible.",
    "This membership is not possible.",
    "Donnez membre (RPPS ou FINESS), organisation (cpts, msp, esp, centre), et des jours dans l'ordre.",
    "Give member (RPPS or FINESS), organisation (cpts, msp, esp, centre), and days in order.",
)
TOO_MANY = rule(
    "API-FEEDS-007",
    "Trop de chiffres à comparer en une fois.",
    "Too many numbers to compare at once.",
    "Envoyez le fichier en plusieurs parties.",
    "Send the file in several parts.",
)
_MOST_COMPARED: Final = 500
_MOST_BYTES: Final = 32 * 1024 * 1024
_REASON: Final = r"^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$"

View = Annotated[Viewer, Depends(viewing)]
Write = Annotated[Viewer, Depends(writing)]
For = Annotated[str | None, Header(alias="Passerelle-Tenant", description="Structure whose ledger it goes to.")]
Professional = Annotated[str | None, Query(description="RPPS; your own if you are a professional.")]
Structure = Annotated[str | None, Query(description="FINESS, geographic or legal after the rule.")]
Site = Annotated[str | None, Query(description="One site, for a rule that splits.")]
Version = Annotated[int | None, Query(ge=1, description="Version of the rule; the last if absent.")]
AsOf = Annotated[str | None, Query(alias="asOf", description="What the ledger held at that instant; now if absent.")]


class _In(Shape):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class DeclarationIn(_In):
    """What a professional or structure declares: a condition held, or a number of their own."""

    measure: str = Field(pattern="^[a-z][a-z0-9_]{0,63}$", description="Name of the measure in the rule.")
    by: str = Field(pattern="^(rpps|finess|legal_finess)$")
    subject: str = Field(pattern="^[0-9A-Z]{8,14}$", description="RPPS or FINESS.")
    value: bool | Annotated[int, Field(ge=0, le=10**15)]
    start: date = Field(alias="from")
    end: date | None = Field(None, alias="to", description="Last day; in force until further notice if absent.")


class MembershipIn(_In):
    """Who belongs to which organisation, and when (days included)."""

    member: str = Field(max_length=14, description="RPPS or FINESS.")
    kind: str = Field("cpts", max_length=16, description="cpts, msp, esp, centre.")
    organisation: str = Field(max_length=64)
    start: date | None = Field(None, alias="from")
    end: date | None = Field(None, alias="to", description="Without a first day: the last day of a membership held.")


class AmendIn(_In):
    """Why a closed period is amended."""

    reason: str = Field(pattern=_REASON, description="A code.")


def _moment(viewer: Viewer, text: str | None) -> datetime:
    if text is None:
        return viewer.gateway.now()
    try:
        # A "+" of a query string that was not escaped arrives as a space.
        found = datetime.fromisoformat(re.sub(r" (?=\d\d:?\d\d$)", "+", text))
        if found.tzinfo is None:
            raise ValueError
    except ValueError:
        raise Invalid([BAD_MOMENT.finding("asOf")], slug="invalid-parameter") from None
    return found


def _rows(found: list[Any]) -> int:
    return len(found)


async def _ledger_of(viewer: Viewer, named: str | None) -> str:
    """The tenant whose ledger an entry goes to: the one named, or the only one."""
    if viewer.audience.tenants is not None:
        return viewer.caller.acting_for(named).id
    found = await viewer.gateway.store.read(
        lambda c: (tenants.tenant(c, named) or tenants.tenant_of_structure(c, named)) if named else None
    )
    if found is None:
        raise Forbidden([NO_TENANT.finding("Passerelle-Tenant")])
    return found.id


@router.get("/rules", summary="Incentive rules at hand")
async def rules(viewer: View) -> Response:
    """Every scheme and year a rule file exists for, its versions, its sources and how far to trust them."""
    found = schemes(catalogue(viewer.gateway.settings))
    return JSONResponse({"items": [one.as_json() for one in found]})


@router.get("/indicators/{name}/{year}", summary="Indicators of a professional or structure")
async def indicators(
    viewer: View,
    name: str,
    year: int,
    professional: Professional = None,
    structure: Structure = None,
    site: Site = None,
    version: Version = None,
    as_of: AsOf = None,
) -> Response:
    """Where each indicator of a scheme and year is: its exact fraction, its funnel with every exclusion by reason, the
    number missing to the threshold, a forecast with its assumption, each reading where the unit is disputed, the
    version of the rule and its sources; and what other versions of the rule give for the same counts.
    """
    settings = viewer.gateway.settings
    found = scheme(settings, name, year)
    who = figures.about(viewer.audience, professional, structure, site)
    when, chosen = _moment(viewer, as_of), chosen_policy(settings)
    made = await answer(
        viewer,
        lambda c: figures.indicators_for(c, viewer.audience, found, who, as_of=when, chosen=chosen, version=version),
        {"indicators": name, "year": year, **who.as_json()},
        _rows,
    )
    return JSONResponse({"scheme": name, "year": year, "asOf": when.isoformat(), "rules": made})


@router.get("/statements", summary="Statement of a figure, JSON or PDF")
async def statements(
    request: Request,
    viewer: View,
    name: Annotated[str, Query(alias="scheme", max_length=120)],
    year: Annotated[int, Query()],
    professional: Professional = None,
    structure: Structure = None,
    site: Site = None,
    version: Version = None,
    as_of: AsOf = None,
    form: Annotated[str | None, Query(alias="format", pattern="^(json|pdf)$")] = None,
) -> Response:
    """The rule and its trust, the policy, the make-up of each number, the result and the heads it rests on.

    `Accept: application/pdf` or `format=pdf` gives it as PDF/A. Provisional until its period is closed.
    """
    settings = viewer.gateway.settings
    found = scheme(settings, name, year)
    who = figures.about(viewer.audience, professional, structure, site)
    when, chosen = _moment(viewer, as_of), chosen_policy(settings)

    def read(connection: Connection) -> list[dict[str, Any]]:
        return [
            figures.statement_for(connection, viewer.audience, one, who, as_of=when, chosen=chosen, version=version)
            for one in figures.fitting(found, who)
        ]

    made = await answer(viewer, read, {"statements": name, "year": year, **who.as_json()}, _rows)
    wants_pdf = form == "pdf" or (form is None and "application/pdf" in request.headers.get("accept", ""))
    if not wants_pdf:
        return JSONResponse({"items": made})
    if len(made) > 1:
        expected = ", ".join(f"{one.name}.{one.part}" for one in figures.fitting(found, who))
        raise Invalid([figures.ONE_PART.finding("scheme", expected=expected)], slug="one-part")
    data = await viewer.gateway.compute(partial(statement_pdf, made[0], created=when))
    headers = {"Content-Disposition": f'inline; filename="releve-{name}-{year}.pdf"'}
    return Response(data, media_type="application/pdf", headers=headers)


@router.get("/periods/{name}/{year}", summary="Where a period is, and its closings")
async def periods(
    viewer: View, name: str, year: int, professional: Professional = None, structure: Structure = None
) -> Response:
    """Open, in grace, due, closed or amended; each closing with its counts and the root over the entries it used."""
    found = scheme(viewer.gateway.settings, name, year)
    who = figures.about(viewer.audience, professional, structure)
    now = viewer.gateway.now()
    made = await answer(
        viewer,
        lambda c: figures.periods_for(c, viewer.audience, found, who, as_of=now),
        {"periods": name, "year": year, **who.as_json()},
        _rows,
    )
    return JSONResponse({"scheme": name, "year": year, "periods": made})


async def _closed(
    viewer: Viewer, name: str, year: int, who: figures.About, tenant: str | None, reason: str | None
) -> Response:
    settings = viewer.gateway.settings
    found = figures.fitting(scheme(settings, name, year), who)
    ledger = await _ledger_of(viewer, tenant)
    chosen, now = chosen_policy(settings), viewer.gateway.now()

    def write(connection: Connection, one: Scheme) -> dict[str, Any]:
        made = figures.close_for(connection, viewer.audience, ledger, one, who, now=now, chosen=chosen, reason=reason)
        return figures.closing_json(made)

    made = [await viewer.gateway.store.write(partial(write, one=one)) for one in found]
    await enter(viewer, {"close": name, "year": year, **who.as_json()}, rows=len(made), of=[ledger])
    return JSONResponse({"scheme": name, "year": year, "closings": made}, 201)


@router.post("/periods/{name}/{year}/close", status_code=201, summary="Close a period for one subject")
async def close(
    viewer: Write,
    name: str,
    year: int,
    professional: Professional = None,
    structure: Structure = None,
    tenant: For = None,
) -> Response:
    """One sealed entry with the counts, exclusions and rule versions; nothing changes them afterwards.

    Refused (409) before the grace period is over. Closing again gives the closing that is there.
    """
    return await _closed(viewer, name, year, figures.about(viewer.audience, professional, structure), tenant, None)


@router.post("/periods/{name}/{year}/amend", status_code=201, summary="Amend a closed period")
async def amend(
    viewer: Write,
    name: str,
    year: int,
    body: AmendIn,
    professional: Professional = None,
    structure: Structure = None,
    tenant: For = None,
) -> Response:
    """A new closing that replaces the last, the difference listed entry by entry; the former stays in the ledger."""
    who = figures.about(viewer.audience, professional, structure)
    return await _closed(viewer, name, year, who, tenant, body.reason)


async def _payer_file(request: Request) -> list[OutsideMeasure]:
    body = await read_body(request, _MOST_BYTES)
    try:
        return read_payer_file(body)
    except ImportFault as exc:
        raise Invalid(exc.verdict.findings, slug="invalid-import") from None


_FILE: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "example": "measure;by;subject;value;from;to\n"
                "consultations;rpps;10100000001;4812;2023-01-01;2023-12-31\n"
            },
            "application/json": {
                "example": [
                    {
                        "measure": "consultations",
                        "by": "rpps",
                        "subject": "10100000001",
                        "value": 4812,
                        "from": "2023-01-01",
                        "to": "2023-12-31",
                    }
                ]
            },
        },
    }
}


@router.post("/imports", status_code=201, summary="Enter numbers from elsewhere", openapi_extra=_FILE)
async def imports(
    request: Request,
    viewer: Write,
    origin: Annotated[str, Query(description="Who gave them: cnam, ars, lgo, structure...")],
    tenant: For = None,
) -> Response:
    """A payer's or a program's numbers (CSV or JSON), all or none: each becomes an entry with its origin.

    Faults are told line by line: an unknown subject, a malformed number or day, a period that overlaps another.
    """
    viewer.audience.may_enter(origin)
    given = await _payer_file(request)
    made = await _recorded(viewer, given, origin, tenant)
    return JSONResponse({"entries": made, "origin": origin}, 201)


@router.post("/declarations", status_code=201, summary="Declare a condition or a number")
async def declarations(viewer: Write, body: DeclarationIn, tenant: For = None) -> Response:
    """What a rule takes as declared (coordinated practice, referenced software...): an entry in force from a day on."""
    viewer.audience.may_enter("declared")
    given = OutsideMeasure(
        measure=body.measure,
        by=body.by,
        subject=body.subject,
        value=body.value,
        start=body.start,
        end=body.end,
        declared=True,
    )
    made = await _recorded(viewer, [given], "declared", tenant)
    return JSONResponse({"entries": made, "origin": "declared"}, 201)


async def _recorded(viewer: Viewer, given: list[OutsideMeasure], origin: str, tenant: str | None) -> list[str]:
    for by, subject in {(one.by, one.subject) for one in given}:
        viewer.audience.check_subject(by, subject)
    ledger = await _ledger_of(viewer, tenant)
    now = viewer.gateway.now()
    if origin == "declared":
        given = [replace(one, declared=True) for one in given]
    try:
        return await viewer.gateway.store.write(lambda c: record_measures(c, ledger, given, origin=origin, now=now))
    except ImportFault as exc:
        raise Invalid(exc.verdict.findings, slug="invalid-import") from None


@router.post("/reconciliations/{name}/{year}", summary="Compare a payer's file with the ledger", openapi_extra=_FILE)
async def reconciliations(request: Request, viewer: View, name: str, year: int) -> Response:
    """Payer, gateway, difference, and how much of it each known cause would explain: the same entries counted again
    under each other reading. Nothing is entered, and nothing says who is right.
    """
    settings = viewer.gateway.settings
    found = scheme(settings, name, year)
    given = await _payer_file(request)
    if len(given) > _MOST_COMPARED:
        raise Invalid([TOO_MANY.finding("", expected=f"{_MOST_COMPARED} au plus")], slug="too-many")
    now, chosen = viewer.gateway.now(), chosen_policy(settings)
    made = await answer(
        viewer,
        lambda c: figures.reconcile_for(c, viewer.audience, found, given, as_of=now, chosen=chosen),
        {"reconciliation": name, "year": year, "numbers": len(given)},
        _rows,
    )
    return JSONResponse({"scheme": name, "year": year, "items": made})


@router.get("/funnel", summary="From what was submitted to what counts")
async def funnel(
    viewer: View,
    since: Annotated[str, Query(alias="from", description="First day, 2026-01-01.")],
    until: Annotated[str, Query(alias="to", description="Last day.")],
    professional: Professional = None,
    structure: Structure = None,
) -> Response:
    """Feeds of the DMP of one professional or structure: each loss with its reason, so that the sums fall right."""
    who = figures.about(viewer.audience, professional, structure)
    first, last = day_of("from", since) or "", day_of("to", until) or ""
    now, chosen = viewer.gateway.now(), chosen_policy(viewer.gateway.settings)
    made = await answer(
        viewer,
        lambda c: figures.funnel_for(c, viewer.audience, who, since=first, until=last, as_of=now, chosen=chosen),
        {"funnel": who.as_json(), "from": first, "to": last},
        lambda _: 1,
    )
    return JSONResponse({**who.as_json(), "from": first, "to": last, "funnel": made.as_json()})


@router.post("/memberships", status_code=201, summary="Declare or end a membership")
async def membership(viewer: Write, body: MembershipIn, tenant: For = None) -> Response:
    """A professional or structure belongs to a CPTS, MSP, care team or centre: a dimension of every count."""
    viewer.audience.check_subject("rpps" if len(body.member) != 9 else "finess", body.member)
    ledger = await _ledger_of(viewer, tenant)
    now = viewer.gateway.now()
    try:
        if body.start is not None:
            start, end = body.start, body.end
            made = await viewer.gateway.store.write(
                lambda c: declare_membership(
                    c,
                    ledger,
                    member=body.member,
                    kind=body.kind,
                    organisation=body.organisation,
                    start=start,
                    end=end,
                    now=now,
                )
            )
            return JSONResponse({"entry": made}, 201)
        if body.end is None:
            raise ValueError("FEED-MEMBER-003: from, or to")
        last = body.end
        ended = await viewer.gateway.store.write(
            lambda c: end_membership(c, ledger, member=body.member, organisation=body.organisation, end=last, now=now)
        )
    except ValueError as exc:
        code, _, expected = str(exc).partition(": ")
        raise Invalid([BAD_MEMBERSHIP.finding("", found=code, expected=expected)], slug="invalid-membership") from None
    if not ended:
        raise NotFound([BAD_MEMBERSHIP.finding("organisation")])
    return JSONResponse({"ended": True}, 201)


@router.get("/memberships", summary="Memberships of a professional or structure")
async def membership_list(viewer: View, member: Annotated[str, Query(max_length=14)], tenant: For = None) -> Response:
    """The organisations a member belongs or belonged to, oldest first."""
    viewer.audience.check_subject("rpps" if len(member) != 9 else "finess", member)
    ledger = await _ledger_of(viewer, tenant)
    found = await answer(
        viewer, lambda c: memberships_of(c, ledger, member), {"memberships": member}, _rows, lambda _: [ledger]
    )
    return JSONResponse(
        {
            "items": [
                {
                    "kind": row.organisation_kind,
                    "organisation": row.organisation,
                    "from": row.valid_from,
                    "to": row.valid_to,
                }
                for row in found
            ]
        }
    )
