"""What was fed: counts, lines, histories, samples, proofs and unusual patterns, taken from the ledger."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse

from gateway.api import feeds_exports, feeds_fhir, feeds_figures, feeds_heads
from gateway.api.access import Language
from gateway.api.feeds_access import (
    PROBLEMS,
    Filters,
    Viewer,
    answer,
    camel,
    cursor_of,
    enter,
    open_cursor,
    viewing,
)
from gateway.api.shapes import CountRow, Counts
from gateway.feeds.heads import sign_head
from gateway.problems import Busy, rule
from gateway.services import feeds
from gateway.services.feeds_proofs import keep_public_key, proof_for, signing_key

__all__ = ["router"]

router = APIRouter()
#: Counts and lines; figures, exports and heads have modules of their own.
reading = APIRouter(prefix="/v1/feeds", tags=["feeds"], responses=PROBLEMS)

AGAIN = rule(
    "API-FEEDS-004",
    "Le journal avance plus vite que ses têtes.",
    "The ledger moves faster than its heads.",
    "Recommencez dans une seconde.",
    "Try again in a second.",
)

View = Annotated[Viewer, Depends(viewing)]
Narrowed = Annotated[Filters, Depends(Filters)]


@reading.get("/counts", response_model=Counts, summary="Count what was fed")
async def count(
    viewer: View,
    filters: Narrowed,
    by: Annotated[str, Query(description="Dimensions, comma-separated: month, type, outcome...")] = "type,month",
    since: Annotated[str | None, Query(alias="from", description="First month, 2026-01.")] = None,
    until: Annotated[str | None, Query(alias="to", description="Last month.")] = None,
) -> Response:
    """Counts of the ledger within your grant, the entries not sealed yet included.

    Dimensions: month, day, service, outcome, type, reason, profession, professional, structure, recipient, mode,
    place, ins, test, software, membership, tenant. Without `outcome`, positive answers only are counted. Auditors get
    no crossed count under the small-cell limit.
    """
    wanted = [name.strip() for name in by.split(",") if name.strip()][:8]
    query = feeds.CountQuery(by=wanted, where=filters.where, since=since, until=until)
    small = viewer.gateway.settings.feeds.small_cell
    found = await answer(
        viewer,
        lambda c: feeds.counts_for(c, viewer.audience, query, small=small),
        query.as_json(),
        lambda counted: len(counted.cells),
    )
    out = Counts(
        rows=[CountRow(service=cell.service, by=dict(cell.group), count=cell.count) for cell in found.cells],
        total=found.total,
        unsealed=found.unsealed,
        withheld=found.withheld,
    )
    return JSONResponse(out.model_dump(mode="json", by_alias=True))


def _tenants_of(lines: list[dict[str, Any]]) -> list[str]:
    return sorted({str(line["tenant"]) for line in lines})


@reading.get("/entries", summary="Lines of the ledger, pseudonymised")
async def entries(
    viewer: View,
    filters: Narrowed,
    since: Annotated[str | None, Query(alias="from", description="First day, 2026-01-01.")] = None,
    until: Annotated[str | None, Query(alias="to", description="Last day.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
    sample: Annotated[int | None, Query(ge=1, le=500, description="Draw so many sealed lines at random.")] = None,
    seed: Annotated[
        str | None, Query(min_length=1, max_length=200, description="Of the draw: the auditor's own; made if absent.")
    ] = None,
) -> Response:
    """A page of lines, newest first; patients show by a pseudonym of your purpose, and not at all once erased.

    With `sample`, so many lines drawn at random instead: the same seed over the same sealed lines draws the same,
    and the draw stands in the answer and, for an auditor, in the ledger.
    """
    keys = feeds.key_of(viewer.gateway.vault)
    query = feeds.LineQuery(where=filters.where, since=since, until=until, limit=limit)
    if sample is not None:
        drawn_by = seed or secrets.token_hex(16)
        draw, lines = await answer(
            viewer,
            lambda c: feeds.sample_for(c, viewer.audience, query, size=sample, seed=drawn_by, keys=keys),
            {**query.as_json(), "sample": sample, "seed": drawn_by},
            lambda found: len(found[1]),
            lambda found: _tenants_of(found[1]) or None,
        )
        return JSONResponse({"items": [camel(line) for line in lines], "cursor": None, "draw": draw.as_json()})
    asked = query.as_json()
    before = open_cursor(viewer, asked, cursor)
    page = await answer(
        viewer,
        lambda c: feeds.page_for(c, viewer.audience, query, before=before, keys=keys),
        asked,
        lambda found: len(found.lines),
        lambda found: _tenants_of(list(found.lines)) or None,
    )
    following = cursor_of(viewer, asked, page.following)
    return JSONResponse({"items": [camel(line) for line in page.lines], "cursor": following})


@reading.get("/entries/{entry}", summary="One line and its history")
async def entry_history(viewer: View, entry: str) -> Response:
    """A line, and every line of the same document over its versions, attempts and states, oldest first."""
    keys = feeds.key_of(viewer.gateway.vault)
    found = await answer(
        viewer,
        lambda c: feeds.history_for(c, viewer.audience, entry, keys=keys),
        {"entry": entry[:64]},
        len,
        _tenants_of,
    )
    own = next(line for line in found if line["entry_id"] == entry)
    return JSONResponse({**camel(own), "history": [camel(line) for line in found]})


@reading.get("/proofs/{entry}", summary="Proof that a line is in the ledger")
async def proof(
    viewer: View,
    entry: str,
    since: Annotated[
        list[int] | None, Query(description="Size of a head you kept: its history is shown to be this one's beginning.")
    ] = None,
) -> Response:
    """The line as it was sealed, its path to the root of a signed head, and that earlier heads are of one history.

    All that is needed to check it stands in the answer, with the way to do it; nothing has to be believed.
    """
    gateway, audience = viewer.gateway, viewer.audience
    keys = feeds.key_of(gateway.vault)
    key = signing_key(gateway.settings)
    for _ in range(3):
        found = await gateway.store.read(
            lambda c: proof_for(c, audience, entry, keys=keys, public=key.public_key(), since=since or ())
        )
        if not isinstance(found, str):
            await enter(viewer, {"proof": entry[:64]}, rows=1, of=[found["chain"]])
            return JSONResponse(found)
        tenant = found
        now = gateway.now()

        def sign(connection: Any, tenant: str = tenant, now: Any = now) -> None:
            keep_public_key(connection, key.public_key(), now)
            sign_head(connection, tenant, key, now=now)

        await gateway.store.write(sign)
    raise Busy([AGAIN.finding("entry")], retry_after=1)


@reading.get("/anomalies", summary="Unusual patterns, as facts")
async def unusual(
    viewer: View,
    language: Language,
    since: Annotated[str, Query(alias="from", description="First day, 2026-01-01.")],
    until: Annotated[str, Query(alias="to", description="Last day.")],
    professional: Annotated[str | None, Query(description="RPPS; all if absent.")] = None,
) -> Response:
    """What is out of the ordinary, with its numbers: facts, which may have good reasons, never accusations."""
    found = await answer(
        viewer,
        lambda c: feeds.anomalies_for(c, viewer.audience, since=since, until=until, professional=professional),
        {"anomalies": professional, "from": since, "to": until},
        len,
    )
    return JSONResponse(
        {
            "items": [
                {
                    "code": fact.code,
                    "professional": fact.professional,
                    "on": fact.on,
                    "number": fact.number,
                    "limit": fact.limit,
                    "text": fact.said(language),
                }
                for fact in found
            ]
        }
    )


for _part in (reading, feeds_figures.router, feeds_exports.router, feeds_heads.router, feeds_fhir.router):
    router.include_router(_part)
