"""Access tokens: OAuth2 client credentials with a signed assertion (RFC 7523, as SMART Backend Services asks)."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, delete

from gateway import tenants
from gateway.api.access import gateway_of, language_of
from gateway.api.shapes import TokenError, TokenOut
from gateway.ids import new_id
from gateway.store import blobs
from gateway.store.engine import ACCEPT
from gateway.store.tables import used_assertions

__all__ = ["router"]

router = APIRouter(tags=["access"])

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

_WORDS = {
    "invalid_client": ("Le client n'a pas pu être authentifié.", "The client could not be authenticated."),
    "invalid_scope": ("Une portée demandée n'est pas accordée.", "A scope asked for is not granted."),
    "unsupported_grant_type": ("Seul client_credentials est accepté.", "Only client_credentials is accepted."),
    "invalid_request": ("La demande est incomplète.", "The request is incomplete."),
}


def _refuse(request: Request, error: str, detail: str = "") -> Response:
    language = language_of(request.headers.get("accept-language"))
    text = _WORDS[error][1 if language == "en" else 0]
    # RFC 6749 5.2: 401 for a client that failed to authenticate, 400 otherwise.
    return JSONResponse(
        {"error": error, "error_description": f"{text} {detail}".strip()},
        401 if error == "invalid_client" else 400,
        {"Cache-Control": "no-store"},
    )


@router.post(
    "/oauth/token",
    response_model=TokenOut,
    summary="Get an access token",
    responses={
        400: {"model": TokenError, "description": "Incomplete request, unknown grant type or scope not granted"},
        401: {"model": TokenError, "description": "The client could not be authenticated"},
    },
)
async def token(
    request: Request,
    grant_type: Annotated[str, Form()] = "",
    client_assertion_type: Annotated[str, Form()] = "",
    client_assertion: Annotated[str, Form(max_length=8000)] = "",
    scope: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Give an access token to a client that proves itself with a JWT signed by one of its registered keys."""
    from security.tokens import ClientKeys, TokenRefused, claimed_client_id, verify_client_assertion

    gateway = gateway_of(request)
    if grant_type != "client_credentials":
        return _refuse(request, "unsupported_grant_type")
    if client_assertion_type != ASSERTION or not client_assertion:
        return _refuse(request, "invalid_request", "client_assertion")
    now = gateway.now()
    try:
        client_id = claimed_client_id(client_assertion)
    except TokenRefused as exc:
        return _refuse(request, "invalid_client", exc.code)
    known = await gateway.store.read(lambda c: tenants.client(c, client_id))
    if known is None:
        return _refuse(request, "invalid_client", "AUTH-CLIENT-001")
    base = gateway.settings.base_url.rstrip("/")

    def use_once(jti: str, until: datetime) -> bool:
        return gateway.store.write_now(lambda c: _use(c, client_id, jti, until, now), ACCEPT)

    def verify() -> None:
        verify_client_assertion(
            client_assertion,
            client_id=client_id,
            keys=ClientKeys.read(known.jwks),
            audience=(f"{base}/oauth/token", base),
            now=now,
            use_once=use_once,
        )

    try:
        await asyncio.to_thread(verify)
    except TokenRefused as exc:
        return _refuse(request, "invalid_client", exc.code)
    wanted = scope.split() or list(known.scopes)
    if not set(wanted) <= set(known.scopes):
        return _refuse(request, "invalid_scope")
    allowed = await gateway.store.read(lambda c: tenants.tenants_of(c, client_id))
    access, seconds = gateway.tokens.issue(
        client_id=client_id,
        scopes=wanted,
        tenants=[t.id for t in allowed],
        now=now,
        jti=new_id("tok", now),
    )
    out = TokenOut(access_token=access, expires_in=seconds, scope=" ".join(wanted))
    return JSONResponse(out.model_dump(), headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


def _use(connection: Connection, client_id: str, jti: str, until: datetime, now: datetime) -> bool:
    connection.execute(delete(used_assertions).where(used_assertions.c.expires_at < now - timedelta(minutes=5)))
    return blobs.insert_ignore(connection, used_assertions, {"client_id": client_id, "jti": jti, "expires_at": until})


@router.get("/.well-known/smart-configuration", summary="How to get access")
async def smart_configuration(request: Request) -> dict[str, Any]:
    """What SMART Backend Services clients read first."""
    base = gateway_of(request).settings.base_url.rstrip("/")
    return {
        "issuer": base,
        "token_endpoint": f"{base}/oauth/token",
        "jwks_uri": f"{base}/oauth/jwks",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256", "ES384", "RS256", "PS256", "EdDSA"],
        "scopes_supported": list(tenants.SCOPES),
        "capabilities": ["client-confidential-asymmetric"],
    }


@router.get("/oauth/jwks", summary="The keys that sign access tokens")
async def jwks(request: Request) -> dict[str, Any]:
    """Public keys, for those who verify our tokens themselves."""
    return gateway_of(request).tokens.jwks()
