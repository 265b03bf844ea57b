"""Logging a professional in by Pro Santé Connect: in their browser, or on their phone or card; then their session.

The session consults records and asks INSi in their name; where asked, it opens the structure's mailbox too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import Field

from conformance.verdict import Text
from gateway.api.access import Caller, Language, gateway_of, needs
from gateway.api.documents import PROBLEMS, READ_PROBLEMS
from gateway.api.receipts import local
from gateway.api.record_access import TenantHeader
from gateway.api.shapes import Shape
from gateway.context import Gateway
from gateway.services.consulting import seal_session
from gateway.services.psc_logins import PscLogins, Wanted, absent, check_mailbox
from gateway.tenants import Tenant

__all__ = ["router"]

router = APIRouter(prefix="/v1/psc", tags=["professionals"])

_SCOPES = ("records:read", "messages:write", "identities:read", "identities:write")

#: Why a log-in failed or ended, in words.
_CAUSES: Final[dict[str, Text]] = {
    "access_denied": Text("Le professionnel a refusé.", "The professional refused."),
    "expired_token": Text("Le délai est passé sans réponse.", "Time ran out without an answer."),
    "expired": Text("La session a atteint sa durée.", "The session reached its length."),
    "other_person": Text(
        "Un autre professionnel que celui attendu s'est connecté.",
        "Another professional than the one expected logged in.",
    ),
    "actor_not_granted": Text(
        "Votre logiciel n'est pas habilité à agir pour ce professionnel.",
        "Your software is not granted to act for this professional.",
    ),
    "API-CONSULT-006": Text(
        "Le professionnel n'a pas une et une seule situation d'exercice dans la structure.",
        "The professional has not one and only one exercise in the structure.",
    ),
    "provider_unavailable": Text(
        "Pro Santé Connect n'a pas répondu.",
        "Pro Santé Connect did not answer.",
    ),
    "bad_id_token": Text(
        "La réponse de Pro Santé Connect n'est pas celle de cette demande.",
        "The answer of Pro Santé Connect is not that of this request.",
    ),
    "invalid_grant": Text(
        "Pro Santé Connect ne reconnaît plus cette session.", "Pro Santé Connect no longer knows this session."
    ),
}
_OTHER: Final = Text("Pro Santé Connect n'a pas authentifié le professionnel.", "The log-in did not succeed.")


class LoginIn(Shape):
    """A log-in asked for."""

    model_config = Shape.model_config | {"extra": "forbid"}

    flow: str = Field(
        "code", pattern="^(code|ciba)$", description="code: in a browser; ciba: on the phone or with the card."
    )
    actor: str | None = Field(
        None, pattern="^[0-9A-Z/.-]{8,64}$", description="PS_IdNat of who must log in; needed with ciba."
    )
    channel: str = Field("MOBILE", pattern="^(MOBILE|CARD)$", description="Of ciba.")
    profession: str | None = Field(None, max_length=20, description="Exercise to act under (10, 10/SM54), if several.")
    open_mailbox: bool = Field(False, description="The session opens the structure's mailbox too (XOAUTH2).")


class LoginOut(Shape):
    """A log-in and what came of it."""

    id: str
    flow: str
    state: str = Field(description="waiting, open, failed or ended.")
    expires_at: datetime = Field(description="Of the log-in while it waits, of the session once open.")
    url: str | None = Field(None, description="With code: where to send the professional's browser.")
    binding_message: str | None = Field(None, description="With ciba: two digits to show; the phone shows them too.")
    interval: float | None = Field(None, description="With ciba: seconds to leave between two looks.")
    actor: str | None = Field(None, description="PS_IdNat of who logged in.")
    session: str | None = Field(None, description="For Passerelle-Actor-Session.")
    mailbox: bool = Field(False, description="The session opens the structure's mailbox.")
    code: str | None = Field(None, description="Why it failed or ended.")
    cause: str | None = None


def _logins(gateway: Gateway) -> PscLogins:
    if gateway.psc_logins is None:
        raise absent()
    return gateway.psc_logins


def _out(value: LoginOut, status: int = 200) -> JSONResponse:
    return JSONResponse(value.model_dump(mode="json", by_alias=True, exclude_none=True), status)


@router.post("/logins", status_code=201, response_model=LoginOut, summary="Ask for a log-in", responses=PROBLEMS)
async def ask(
    request: Request,
    asked: LoginIn,
    caller: Annotated[Caller, Depends(needs(*_SCOPES))],
    passerelle_tenant: TenantHeader = None,
) -> Response:
    """Begin a log-in by Pro Santé Connect for your structure.

    With `code`, open `url` in the professional's browser: it comes back to the gateway by itself. With `ciba`, show
    `bindingMessage` while the professional answers on their device. Then look at the log-in until it is open.
    """
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    mailbox = None
    if asked.open_mailbox:
        mailbox = check_mailbox(_mailbox_of(gateway, tenant), gateway.settings)
    wanted = Wanted(
        flow="ciba" if asked.flow == "ciba" else "code",
        client=caller.client.id,
        actor=asked.actor,
        channel="CARD" if asked.channel == "CARD" else "MOBILE",
        profession=asked.profession,
        mailbox=mailbox,
    )
    begun = await _logins(gateway).ask(tenant, wanted)
    out = LoginOut(
        id=begun.id,
        flow=wanted.flow,
        state="waiting",
        expires_at=local(begun.expires_at) or begun.expires_at,
        url=begun.url,
        binding_message=begun.binding_message,
        interval=begun.interval,
        mailbox=mailbox is not None,
    )
    return _out(out, 201)


def _mailbox_of(gateway: Gateway, tenant: Tenant) -> str:
    return str(tenant.references.get("mailbox") or gateway.settings.mss.mailbox)


@router.get("/logins/{login_id}", response_model=LoginOut, summary="Look at a log-in", responses=READ_PROBLEMS)
async def look(
    request: Request, login_id: str, language: Language, caller: Annotated[Caller, Depends(needs(*_SCOPES))]
) -> Response:
    """Where a log-in stands; once open, who it is and the session to consult with."""
    gateway = gateway_of(request)
    found = await _logins(gateway).look(login_id, caller.client.id, caller.tenant_ids)
    out = LoginOut(
        id=found.id,
        flow=found.flow,
        state=found.state,
        expires_at=local(found.expires_at) or found.expires_at,
        interval=found.interval,
        mailbox=found.mailbox,
        code=found.code,
        cause=_CAUSES.get(found.code, _OTHER).in_language(language) if found.code else None,
    )
    if found.session is not None:
        tenant = next(t for t in caller.tenants if t.structure_id == found.session.actor.structure_id)
        out.actor = found.session.actor.id
        out.session = seal_session(gateway.vault, tenant, caller.client.id, found.session)
    return _out(out)


@router.delete("/logins/{login_id}", status_code=204, summary="End a session", responses=READ_PROBLEMS)
async def end(request: Request, login_id: str, caller: Annotated[Caller, Depends(needs(*_SCOPES))]) -> Response:
    """End a log-in, its session at Pro Santé Connect, and the opening of the mailbox."""
    await _logins(gateway_of(request)).end(login_id, caller.client.id, caller.tenant_ids)
    return Response(status_code=204)


_PAGE: Final = """<!doctype html><html lang="fr"><head><meta charset="utf-8"><title>Pro Santé Connect</title>
<style>body{{font:18px system-ui,sans-serif;margin:4rem auto;max-width:34rem;padding:0 1rem}}</style></head>
<body><h1>{title}</h1><p>{text}</p></body></html>"""
_PAGES: Final[dict[str, tuple[int, str, str]]] = {
    "open": (200, "Vous êtes connecté", "Vous pouvez fermer cette page et revenir à votre logiciel."),
    "failed": (
        403,
        "La connexion n'a pas abouti",
        "Revenez à votre logiciel : il en dit la raison. Recommencez de là si besoin.",
    ),
    "unknown": (
        400,
        "Cette connexion n'est plus en attente",
        "Elle a déjà servi, ou son délai est passé. Recommencez depuis votre logiciel.",
    ),
}
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    # The address holds a code: it is told to nobody.
    "Referrer-Policy": "no-referrer",
}


@router.get("/callback", summary="Where browsers come back", response_class=HTMLResponse)
async def callback(
    request: Request,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=2000)] = "",
    error: Annotated[str, Query(max_length=60)] = "",
) -> Response:
    """The professional's browser comes back from Pro Santé Connect; the page only says whether it worked."""
    gateway = gateway_of(request)
    said = await _logins(gateway).come_back(state, code, _word(error)) if state else "unknown"
    status, title, text = _PAGES[said]
    return HTMLResponse(_PAGE.format(title=title, text=text), status, headers=dict(_PAGE_HEADERS))


def _word(error: str) -> str:
    """The provider's error as a word of its alphabet: it came through a browser."""
    return "".join(c for c in error if c.isascii() and (c.isalnum() or c in "_-."))
