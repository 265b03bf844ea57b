"""Signing in and out: a local account, or Pro Santé Connect; then, for an auditor, why they look."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from hashlib import sha256
from typing import Any, Final

import orjson
import structlog
from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from gateway.api.access import gateway_of
from gateway.console import accounts, sessions
from gateway.console.oidc import ConsoleProvider, NotKnown, ProviderDown, RefusedByProvider
from gateway.console.viewer import Viewer
from gateway.console.web import COOKIE, Refusal, Route, form_of, page_of, render, safe_next, see_other, session_of
from gateway.context import Gateway
from security import json
from security.errors import UnsafeInput

__all__ = ["router"]

log = structlog.get_logger("passerelle.console")
router = APIRouter(prefix="/console", include_in_schema=False, route_class=Route)

#: Kept by the browser while somebody signs in: a random word that the form must answer, and the state of the provider.
_BEFORE: Final = "__Host-passerelle-signin"
_OWNER: Final = "console"
_MINUTES: Final = 15
#: Passwords hashed at once: each takes 64 MiB, and a node has documents to convert.
_HASHING: Final = asyncio.Semaphore(2)

LEGAL_BASES: Final = (
    ("ccss", "Contrôle de l'assurance maladie (CSS, art. L. 114-9 et L. 114-10)"),
    ("convention", "Vérification conventionnelle d'une rémunération"),
    ("ifaq", "Contrôle d'un financement à la qualité (établissements)"),
    ("europe", "Audit d'un financement européen"),
    ("rgpd", "Contrôle de la protection des données (RGPD, art. 39)"),
    ("autre", "Autre fondement, précisé dans le motif"),
)


def _set(response: Response, name: str, value: str, *, seconds: int | None = None) -> None:
    response.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax")


def _unset(response: Response, name: str) -> None:
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")


def _token_of(gateway: Gateway, word: str) -> str:
    """What the sign-in form carries for a browser that holds this word."""
    return hmac.new(gateway.vault.key(_OWNER, "signin-form"), word.encode(), sha256).hexdigest()


def _form_page(request: Request, wanted: str, *, status: int = 200, fault: str = "", login: str = "") -> Response:
    gateway = gateway_of(request)
    word = secrets.token_urlsafe(24)
    page = render(
        "signin.html",
        status=status,
        form_token=_token_of(gateway, word),
        next=wanted,
        fault=fault,
        login=login,
        provider=bool(gateway.settings.psc.issuer),
        test=gateway.settings.environment == "test",
    )
    _set(page, _BEFORE, word, seconds=_MINUTES * 60)
    return page


@router.get("/signin")
async def signin(request: Request) -> Response:
    """The sign-in page."""
    wanted = safe_next(request.query_params.get("next", "/console"))
    if await session_of(request) is not None:
        return see_other(wanted)
    return _form_page(request, wanted)


@router.post("/signin")
async def check(request: Request) -> Response:
    """Sign in with a local account."""
    gateway = gateway_of(request)
    word = request.cookies.get(_BEFORE, "")[:100]
    try:
        form = await form_of(request, _token_of(gateway, word) if word else "")
    except Refusal as exc:
        if exc.status != 403 or word:
            raise
        # The browser kept the form longer than its cookie, or keeps none.
        return _form_page(
            request,
            "/console",
            status=403,
            fault="La page est restée ouverte trop longtemps, ou votre navigateur refuse les cookies. Recommencez.",
        )
    wanted = safe_next(form.get("next", "/console"))
    login, password = form.get("login", "").strip().lower()[:80], form.get("password", "")
    now = gateway.now()
    row = await gateway.store.read(lambda c: accounts.find(c, login))
    async with _HASHING:
        good = await asyncio.to_thread(accounts.right, row, password, now=now)
    account = None if row is None else str(row.id)
    if account is not None:
        await gateway.store.write(lambda c: accounts.note_attempt(c, account, good=good, now=now))
    log.info("console.signin", account=account, good=good)
    if row is None or not good:
        return _form_page(
            request,
            wanted,
            status=401,
            login=login,
            fault="Identifiant ou mot de passe incorrect. Après cinq échecs de suite, le compte attend cinq minutes.",
        )
    return await _enter(gateway, request, accounts.viewer_of(row), account, wanted)


async def _enter(gateway: Gateway, request: Request, viewer: Viewer, account: str | None, wanted: str) -> Response:
    now = gateway.now()
    before = await session_of(request)

    def opened(connection: Connection) -> str:
        # A new word at every sign-in: one set by somebody else beforehand is worth nothing.
        if before is not None:
            sessions.close(connection, before.id)
        sessions.close_expired(connection, now=now)
        return sessions.open_session(connection, gateway.vault, viewer, account=account, now=now)[0]

    token = await gateway.store.write(opened)
    answer = see_other(wanted)
    _set(answer, COOKIE, token)
    _unset(answer, _BEFORE)
    return answer


@router.post("/signout")
async def signout(request: Request) -> Response:
    """Sign out: the session is over on the server, not only in the browser."""
    page = await page_of(request, stated=False)
    await form_of(request, page.session.csrf)
    await page.gateway.store.write(lambda c: sessions.close(c, page.session.id))
    answer = see_other("/console/signin")
    _unset(answer, COOKIE)
    return answer


@router.get("/purpose")
async def purpose(request: Request) -> Response:
    """Ask an auditor why they look."""
    page = await page_of(request, lambda who: who.audits, stated=False)
    return page.render("purpose.html", next=safe_next(page.one("next", "/console")), bases=LEGAL_BASES, fault="")


@router.post("/purpose")
async def state_purpose(request: Request) -> Response:
    """Keep why an auditor looks; it goes into the ledger with each of their queries."""
    page = await page_of(request, lambda who: who.audits, stated=False)
    form = await form_of(request, page.session.csrf)
    wanted = safe_next(form.get("next", "/console"))
    said = " ".join(form.get("purpose", "").split())[:300]
    basis = dict(LEGAL_BASES).get(form.get("legal_basis", ""))
    if len(said) < 5 or basis is None:
        return page.render(
            "purpose.html",
            status=422,
            next=wanted,
            bases=LEGAL_BASES,
            fault="Dites le motif en quelques mots et choisissez le fondement.",
        )
    await page.gateway.store.write(
        lambda c: sessions.state_purpose(
            c, page.gateway.vault, page.session, purpose=said, legal_basis=basis, now=page.gateway.now()
        )
    )
    return see_other(wanted)


def _provider(gateway: Gateway) -> ConsoleProvider:
    if not gateway.settings.psc.issuer:
        raise Refusal(404, "Pro Santé Connect n'est pas configuré ici.", "Connectez-vous avec un compte local.")
    return ConsoleProvider(gateway.settings, gateway.clock)


@router.get("/signin/psc")
async def start(request: Request) -> Response:
    """Send a professional to Pro Santé Connect."""
    gateway = gateway_of(request)
    provider = _provider(gateway)
    asked = {
        "state": secrets.token_urlsafe(24),
        "nonce": secrets.token_urlsafe(24),
        "verifier": secrets.token_urlsafe(48),
        "next": safe_next(request.query_params.get("next", "/console")),
        "until": gateway.now().timestamp() + _MINUTES * 60,
    }
    address = provider.address(state=str(asked["state"]), nonce=str(asked["nonce"]), verifier=str(asked["verifier"]))
    answer = see_other(address)
    _set(answer, _BEFORE, gateway.vault.seal(_OWNER, orjson.dumps(asked), "psc").hex(), seconds=_MINUTES * 60)
    return answer


def _asked(gateway: Gateway, cookie: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(gateway.vault.open(_OWNER, bytes.fromhex(cookie), "psc"))
    except (ValueError, UnsafeInput):
        return None
    return found if found["until"] > gateway.now().timestamp() else None


@router.get("/signin/psc/return")
async def back(request: Request) -> Response:
    """A professional comes back from Pro Santé Connect."""
    gateway = gateway_of(request)
    provider = _provider(gateway)
    asked = _asked(gateway, request.cookies.get(_BEFORE, "")[:4000])
    given = request.query_params
    if asked is None or not hmac.compare_digest(given.get("state", "").encode(), asked["state"].encode()):
        return _form_page(
            request, "/console", status=403, fault="Cette connexion n'a pas commencé ici, ou trop de temps a passé."
        )
    if "code" not in given:
        return _form_page(
            request, asked["next"], status=401, fault="Pro Santé Connect n'a pas authentifié la personne."
        )
    try:
        viewer = await provider.viewer(given["code"][:2000], verifier=asked["verifier"], nonce=asked["nonce"])
    except NotKnown:
        return _form_page(
            request, asked["next"], status=403, fault="Cette personne n'a pas de RPPS : aucune ligne à elle."
        )
    except RefusedByProvider:
        return _form_page(request, asked["next"], status=401, fault="Pro Santé Connect a refusé cette connexion.")
    except ProviderDown:
        return _form_page(
            request, asked["next"], status=503, fault="Pro Santé Connect ne répond pas. Recommencez dans un instant."
        )
    return await _enter(gateway, request, viewer, None, asked["next"])
