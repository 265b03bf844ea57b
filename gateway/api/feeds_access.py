"""Who looks at the feeds and why: what each resource of the count asks for, and enters of an auditor's query."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

import orjson
from fastapi import Depends, Header, Query, Request
from pydantic.alias_generators import to_camel
from sqlalchemy import Connection

from gateway import tenants
from gateway.api.access import Caller, gateway_of, needs
from gateway.api.cursors import BAD_CURSOR, packed, unpacked
from gateway.api.shapes import ProblemOut
from gateway.context import Gateway
from gateway.problems import Invalid
from gateway.services.feeds import record_reading
from gateway.services.feeds_roles import Audience, audience_of

__all__ = [
    "PROBLEMS",
    "Filters",
    "Viewer",
    "answer",
    "camel",
    "cursor_of",
    "enter",
    "open_cursor",
    "viewing",
    "writing",
]

T = TypeVar("T")


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    code: {"model": ProblemOut, "description": text, "content": {"application/problem+json": {}}}
    for code, text in {
        401: "Not authenticated",
        403: "Not allowed, or no purpose stated",
        404: "Not found",
        422: "Cannot be asked for",
    }.items()
}

Purpose = Annotated[
    str | None, Header(alias="Passerelle-Purpose", description="Why an auditor looks; entered in the ledger.")
]
Basis = Annotated[str | None, Header(alias="Passerelle-Legal-Basis", description="The text that allows it.")]
Sworn = Annotated[
    str | None, Header(alias="Passerelle-Accreditation", description="Reference of the agent's approval and oath.")
]


class Viewer:
    """A caller who looks at the feeds."""

    def __init__(self, caller: Caller, audience: Audience, gateway: Gateway) -> None:
        self.caller = caller
        self.audience = audience
        self.gateway = gateway


def _words(value: str | None) -> str | None:
    """A header's words: most clients write UTF-8 where the protocol says Latin-1."""
    if value is None:
        return None
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


async def _viewer(
    request: Request, caller: Caller, purpose: str | None, basis: str | None, accreditation: str | None
) -> Viewer:
    gateway = gateway_of(request)
    actors = await gateway.store.read(lambda c: tenants.actors_of(c, caller.client.id))
    audience = audience_of(
        caller.client,
        caller.scopes,
        caller.tenant_ids,
        actors,
        purpose=_words(purpose),
        legal_basis=_words(basis),
        accreditation=_words(accreditation),
    )
    return Viewer(caller, audience, gateway)


async def viewing(
    request: Request,
    caller: Annotated[Caller, Depends(needs("feeds:read", "feeds:audit"))],
    purpose: Purpose = None,
    basis: Basis = None,
    accreditation: Sworn = None,
) -> Viewer:
    """A dependency: whoever may read the feeds, with purpose and legal basis when they audit."""
    return await _viewer(request, caller, purpose, basis, accreditation)


async def writing(
    request: Request,
    caller: Annotated[Caller, Depends(needs("feeds:write"))],
    purpose: Purpose = None,
    basis: Basis = None,
    accreditation: Sworn = None,
) -> Viewer:
    """A dependency: whoever may enter numbers, declarations and closings."""
    return await _viewer(request, caller, purpose, basis, accreditation)


async def answer(
    viewer: Viewer,
    read: Callable[[Connection], T],
    scope: Mapping[str, Any],
    rows: Callable[[T], int],
    of: Callable[[T], list[str] | None] = lambda _: None,
) -> T:
    """Read, then enter the query when an auditor asked, before anything is given: no answer goes unrecorded."""
    found = await viewer.gateway.store.read(read)
    await enter(viewer, scope, rows=rows(found), of=of(found))
    return found


async def enter(viewer: Viewer, scope: Mapping[str, Any], *, rows: int, of: list[str] | None = None) -> None:
    """Enter an auditor's query in the chains it read; nothing for those who do not audit."""
    if viewer.audience.role.audits:
        now = viewer.gateway.now()
        await viewer.gateway.store.write(lambda c: record_reading(c, viewer.audience, scope, rows=rows, now=now, of=of))


class Filters:
    """What a count or a list is narrowed by: several values of one name are alternatives."""

    def __init__(
        self,
        service: Annotated[list[str] | None, Query(description="dmp.document, mss.message, eprescription...")] = None,
        outcome: Annotated[list[str] | None, Query(description="accepted, rejected, delivered...")] = None,
        type: Annotated[list[str] | None, Query(description="Type code of the document.")] = None,
        reason: Annotated[list[str] | None, Query(description="Why it was refused or excluded.")] = None,
        profession: Annotated[list[str] | None, Query(description="Profession code (TRE_G15).")] = None,
        professional: Annotated[list[str] | None, Query(description="RPPS.")] = None,
        structure: Annotated[list[str] | None, Query(description="FINESS of the site.")] = None,
        recipient: Annotated[list[str] | None, Query(description="ps, bal_org, bal_app, citizen.")] = None,
        mode: Annotated[list[str] | None, Query(description="presentiel, teleconsultation, telesoin...")] = None,
        place: Annotated[list[str] | None, Query(description="Sector of the place of care (SA07...).")] = None,
        ins: Annotated[list[str] | None, Query(description="Identity status: qualifiee...")] = None,
        membership: Annotated[list[str] | None, Query(description="CPTS, MSP or centre (counts only).")] = None,
        tenant: Annotated[list[str] | None, Query(description="Structure entrusted, by its id.")] = None,
    ) -> None:
        given = {
            "service": service,
            "outcome": outcome,
            "type": type,
            "reason": reason,
            "profession": profession,
            "professional": professional,
            "structure": structure,
            "recipient": recipient,
            "mode": mode,
            "place": place,
            "ins": ins,
            "membership": membership,
            "tenant": tenant,
        }
        self.where = {name: values for name, values in given.items() if values}


def camel(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the ledger as the interface writes it; what ``details`` hold is as the ledger keeps it."""
    return {to_camel(name): value for name, value in line.items() if name != "schema"}


def _mac(viewer: Viewer, body: bytes) -> bytes:
    key = viewer.gateway.vault.key("feeds", f"cursor/{viewer.caller.client.id}")
    return hmac.new(key, body, hashlib.sha256).digest()[:16]


def cursor_of(viewer: Viewer, query: Mapping[str, Any], before: int | None) -> str | None:
    """Where the next page begins, in a form that serves this client and this query only."""
    if before is None:
        return None
    body = orjson.dumps([before, hashlib.sha256(orjson.dumps(query)).hexdigest()[:16]])
    return packed(_mac(viewer, body) + body)


def open_cursor(viewer: Viewer, query: Mapping[str, Any], cursor: str | None) -> int | None:
    """What a cursor says; raises :class:`Invalid` for one of another client or query."""
    if cursor is None:
        return None
    try:
        raw = unpacked(cursor)
    except ValueError:
        raw = b""
    body = raw[16:]
    if len(raw) > 200 or not hmac.compare_digest(raw[:16], _mac(viewer, body)):
        raise Invalid([BAD_CURSOR.finding("cursor")], slug="invalid-cursor")
    before, of = orjson.loads(body)
    if of != hashlib.sha256(orjson.dumps(query)).hexdigest()[:16]:
        raise Invalid([BAD_CURSOR.finding("cursor")], slug="invalid-cursor")
    return int(before)
