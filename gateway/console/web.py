"""What every page shares: who looks, the headers that keep the browser in bounds, templates, forms, refusals."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final
from urllib.parse import quote, urlsplit

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from gateway import __version__
from gateway.api.access import gateway_of, read_body
from gateway.console import sessions, words
from gateway.console.sessions import Session
from gateway.console.viewer import ROLES, Viewer
from gateway.context import Gateway
from gateway.problems import Problem
from gateway.services.feeds_roles import Audience
from gateway.store.engine import StoreUnavailable

__all__ = ["COOKIE", "Form", "Page", "Refusal", "Route", "form_of", "page_of", "see_other", "stylesheet"]

#: The prefix makes the browser hold it to https (or this machine), to this host and to the whole of it (RFC 6265bis).
COOKIE: Final = "__Host-passerelle"
HEADERS: Final = {
    # Nothing is loaded from elsewhere, nothing runs, nobody frames the page.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
_MOST_FORM: Final = 64 * 1024

#: Address, name in the menu, and who has it there.
MENU: Final[tuple[tuple[str, str, Callable[[Viewer], bool]], ...]] = (
    ("/console", "Vue d'ensemble", lambda who: who.sees_counts),
    ("/console/feeds", "Alimentations", lambda who: who.sees_counts),
    ("/console/funnel", "Comptage", lambda who: who.sees_lines),
    ("/console/indicators", "Indicateurs", lambda who: who.sees_lines),
    ("/console/reconcile", "Écart avec le payeur", lambda who: who.sees_lines),
    ("/console/sample", "Tirage au sort", lambda who: who.sees_lines),
    ("/console/verify", "Vérification", lambda who: True),
    ("/console/deliveries", "Envois", lambda who: who.role == "operator"),
    ("/console/documents", "Documents", lambda who: who.role in ("operator", "professional")),
    ("/console/identities", "Identités", lambda who: who.role == "operator"),
    ("/console/health", "Santé", lambda who: who.role == "operator"),
)


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("gateway.console", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=words.number,
        cell=words.cell,
        percent=words.percent,
        euros=words.euros,
        day=words.day,
        month=words.month,
        hours=words.hours,
        short=words.short,
    )
    made.globals.update(
        named=words.named,
        plural=words.plural,
        dimensions=words.DIMENSIONS,
        services=words.SERVICES,
        outcomes=words.OUTCOMES,
        roles=ROLES,
        version=__version__,
    )
    return made


TEMPLATES: Final = _environment()


def stylesheet() -> bytes:
    """The one stylesheet."""
    return (resources.files("gateway.console") / "static" / "console.css").read_bytes()


class Refusal(Exception):
    """A page is refused; it is told on a page of its own."""

    def __init__(self, status: int, title: str, text: str) -> None:
        self.status = status
        self.title = title
        self.text = text
        super().__init__(title)


class _SignIn(Exception):
    """Nobody is signed in: the visitor is sent to the sign-in page."""


class _StatePurpose(Exception):
    """An auditor has not said why they look yet."""


def render(name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page from its template, with the headers of every page."""
    values.setdefault("session", None)
    values.setdefault("menu", ())
    values.setdefault("path", "")
    return HTMLResponse(TEMPLATES.get_template(name).render(**values), status, HEADERS)


def see_other(path: str) -> RedirectResponse:
    """Send the browser to another page of the console after a form."""
    return RedirectResponse(path, 303, HEADERS)


def safe_next(path: str) -> str:
    """Where to go after signing in: a page of the console and nothing else."""
    parts = urlsplit(path)
    inside = path == "/console" or path.startswith(("/console/", "/console?"))
    return path if inside and not parts.scheme and not parts.netloc and "\\" not in path else "/console"


class Route(APIRoute):
    """A route of the console: its refusals are pages, not problems."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with the refusals of the console caught."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await inner(request)
            except _SignIn:
                wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                target = f"/console/signin?next={quote(safe_next(wanted))}" if request.method == "GET" else ""
                return see_other(target or "/console/signin")
            except _StatePurpose:
                wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                return see_other(f"/console/purpose?next={quote(safe_next(wanted))}")
            except Refusal as exc:
                return _told(request, exc)
            except Problem as exc:
                # What the services refuse, in the words they refuse it with.
                texts = [f"{one.rule.message.fr} {one.rule.fix.fr}" for one in exc.faults]
                return _told(request, Refusal(exc.status, exc.title.fr, " ".join(dict.fromkeys(texts))))
            except StoreUnavailable:
                return render(
                    "refusal.html",
                    status=503,
                    title="La base de données ne répond pas.",
                    text="Rechargez la page dans un instant ; rien n'a été changé.",
                )

        return handle


def _told(request: Request, refusal: Refusal) -> HTMLResponse:
    session = getattr(request.state, "console_session", None)
    return render(
        "refusal.html",
        status=refusal.status,
        title=refusal.title,
        text=refusal.text,
        session=session,
        menu=_menu(session),
        path=request.url.path,
    )


def _menu(session: Session | None) -> tuple[tuple[str, str], ...]:
    if session is None:
        return ()
    return tuple((path, name) for path, name, shown in MENU if shown(session.viewer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A request of somebody signed in."""

    request: Request
    gateway: Gateway
    session: Session

    @property
    def viewer(self) -> Viewer:
        return self.session.viewer

    @property
    def audience(self) -> Audience:
        """What the viewer may see of the feeds, and why they look."""
        return self.viewer.audience(purpose=self.session.purpose, legal_basis=self.session.legal_basis)

    def render(self, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page of the console, with its menu and the form token of the session."""
        path = self.request.url.path
        return render(name, status=status, session=self.session, menu=_menu(self.session), path=path, **values)

    def one(self, name: str, default: str = "") -> str:
        """One parameter of the address, cut to a sensible length."""
        return self.request.query_params.get(name, default).strip()[:200]


async def session_of(request: Request) -> Session | None:
    """The session of a request's cookie, or None."""
    gateway = gateway_of(request)
    token = request.cookies.get(COOKIE, "")
    if not token or len(token) > 100:
        return None
    now = gateway.now()
    found = await gateway.store.read(lambda c: sessions.load(c, gateway.vault, token, now=now))
    if found is None:
        return None
    session, due = found
    if due:
        await gateway.store.write(lambda c: sessions.seen(c, session, now=now))
    request.state.console_session = session
    return session


async def page_of(
    request: Request, allowed: Callable[[Viewer], bool] = lambda who: True, *, stated: bool = True
) -> Page:
    """The page asked for by somebody signed in and allowed; with ``stated``, an auditor must have said why first."""
    session = await session_of(request)
    if session is None:
        raise _SignIn
    if not allowed(session.viewer):
        raise Refusal(
            403,
            "Cette page n'est pas ouverte à votre rôle.",
            f"Vous êtes connecté avec le rôle « {ROLES[session.viewer.role]} ». "
            "Demandez à l'exploitant de la passerelle un compte dont le rôle ouvre cette page.",
        )
    if stated and session.must_state:
        raise _StatePurpose
    return Page(request=request, gateway=gateway_of(request), session=session)


Form = dict[str, str]


async def form_of(request: Request, token: str) -> Form:
    """The fields of a form sent by a page of ours; refused (403) when its token is not the one expected.

    A browser also says where a form comes from: one from another site is refused whatever its token.
    """
    from urllib.parse import parse_qsl

    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise _forged()
    body = await read_body(request, _MOST_FORM)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise Refusal(400, "Ce formulaire n'est pas lisible.", "Rechargez la page et recommencez.")
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise Refusal(400, "Ce formulaire n'est pas lisible.", "Rechargez la page et recommencez.") from None
    if not token or not hmac.compare_digest(fields.get("csrf", "").encode(), token.encode()):
        raise _forged()
    return fields


def _forged() -> Refusal:
    return Refusal(
        403,
        "Ce formulaire ne vient pas de votre session.",
        "Rechargez la page et recommencez ; rien n'a été fait.",
    )
