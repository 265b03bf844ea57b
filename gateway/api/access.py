"""Who calls, in which language, for which tenant: the dependencies of every protected resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from sqlalchemy import Connection

from gateway import tenants
from gateway.context import Gateway
from gateway.problems import Forbidden, TooLarge, Unauthenticated, rule
from gateway.tenants import Client, Tenant

__all__ = ["Caller", "Language", "gateway_of", "language_of", "needs", "read_body"]

NO_TOKEN = rule(
    "API-AUTH-001",
    "Aucun jeton d'accès n'a été présenté.",
    "No access token was presented.",
    "Demandez un jeton à /oauth/token et envoyez-le dans Authorization: Bearer.",
    "Ask /oauth/token for a token and send it in Authorization: Bearer.",
)
BAD_TOKEN = rule(
    "API-AUTH-002",
    "Le jeton d'accès n'est pas valable ou a expiré.",
    "The access token is not valid or has expired.",
    "Demandez un nouveau jeton à /oauth/token.",
    "Ask /oauth/token for a new token.",
)
NO_SCOPE = rule(
    "API-AUTH-003",
    "Le jeton ne couvre pas cette action.",
    "The token does not cover this action.",
    "Demandez un jeton avec la portée attendue ; elle doit être accordée à votre logiciel.",
    "Ask for a token with the expected scope; it must be granted to your software.",
)
NO_TENANT = rule(
    "API-TENANT-001",
    "La structure pour laquelle vous agissez n'est pas précisée ou ne vous est pas confiée.",
    "The structure you act for is not stated or not entrusted to you.",
    "Précisez dans l'en-tête Passerelle-Tenant une structure de votre habilitation.",
    "State in the header Passerelle-Tenant a structure of your grant.",
)
BODY_TOO_LARGE = rule(
    "API-SIZE-001",
    "Le corps de la requête dépasse la limite.",
    "The request body is over the limit.",
    "Réduisez le document, par exemple la définition des images du PDF.",
    "Make the document smaller, for instance the resolution of the PDF's images.",
)


def gateway_of(request: Request) -> Gateway:
    """The running gateway behind a request."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def language_of(accept: str | None) -> str:
    """``fr`` or ``en`` from an Accept-Language header: the first of the two that it names, French by default."""
    best, quality = "fr", -1.0
    for part in (accept or "").split(",")[:20]:
        name, _, weight = part.strip().partition(";q=")
        tag = name.split("-")[0].lower()
        if tag in ("fr", "en"):
            try:
                value = float(weight) if weight else 1.0
            except ValueError:
                continue
            if value > quality:
                best, quality = tag, value
    return best


async def _language(accept_language: Annotated[str | None, Header(include_in_schema=False)] = None) -> str:
    return language_of(accept_language)


Language = Annotated[str, Depends(_language)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated client, what its token allows, and whom it may act for."""

    client: Client
    scopes: frozenset[str]
    tenants: tuple[Tenant, ...]

    @property
    def tenant_ids(self) -> list[str]:
        return [tenant.id for tenant in self.tenants]

    def acting_for(self, wanted: str | None) -> Tenant:
        """The tenant named (by its id or its structure number), or the only one; raises :class:`Forbidden`."""
        if wanted is None and len(self.tenants) == 1:
            return self.tenants[0]
        for tenant in self.tenants:
            if wanted is not None and wanted in (tenant.id, tenant.structure_id):
                return tenant
        raise Forbidden([NO_TENANT.finding("Passerelle-Tenant")])


async def authenticate(request: Request) -> Caller:
    """The caller behind the bearer token of a request; raises :class:`Unauthenticated`."""
    gateway = gateway_of(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated([NO_TOKEN.finding("Authorization")])
    from security.tokens import TokenRefused

    try:
        claims = gateway.tokens.verify(token.strip(), now=gateway.now())
    except TokenRefused as exc:
        raise Unauthenticated([BAD_TOKEN.finding("Authorization", found=exc.code)]) from None

    def load(connection: Connection) -> tuple[Client | None, list[Tenant]]:
        return tenants.client(connection, claims.client_id), tenants.tenants_of(connection, claims.client_id)

    client, allowed = await gateway.store.look(load)
    if client is None:
        raise Unauthenticated([BAD_TOKEN.finding("Authorization", found="client disabled")])
    # A scope withdrawn from the client is withdrawn from the tokens still alive.
    return Caller(client=client, scopes=frozenset(claims.scopes) & set(client.scopes), tenants=tuple(allowed))


def needs(*scopes: str) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency: the caller, when its token holds one of the scopes."""

    async def check(request: Request) -> Caller:
        caller = await authenticate(request)
        if not caller.scopes & set(scopes):
            raise Forbidden([NO_SCOPE.finding("Authorization", expected=" ".join(scopes))], slug="insufficient-scope")
        return caller

    return check


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request, refused (413) as soon as it is known to be over the limit."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge([BODY_TOO_LARGE.finding("", found=f"{declared} octets", expected=f"{limit} octets au plus")])
    parts: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge([BODY_TOO_LARGE.finding("", found=f"plus de {limit} octets", expected=f"{limit} au plus")])
        parts.append(chunk)
    return b"".join(parts)
