"""Questions about identity: answered by rule (``evaluate``), or by INSi (``search``, ``verify``). Nothing is kept.

Patient data stand in bodies only, never in an address.
"""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Request, Response

from conformance.identity.evaluate import evaluate
from gateway.api.access import Caller, Language, gateway_of, needs, read_body
from gateway.api.documents import PROBLEMS
from gateway.api.record_access import PscToken, check_grant, session_of
from gateway.neighbours import NotConfigured
from gateway.problems import Busy, Invalid, Unreadable, rule
from gateway.services.identity_lines import answers
from gateway.services.identity_lookup import Lookup, claim_of, traits_of
from security import json
from security.errors import UnsafeInput

__all__ = ["NO_INSI", "lookup_of", "router"]

router = APIRouter(prefix="/v1/identities", tags=["identities"])

_MAX_BODY = 5 * 1024 * 1024
_MAX_CLAIMS = 2000
_LINES = "application/x-ndjson"

UNREADABLE = rule(
    "API-IDT-010",
    "La question n'est pas lisible.",
    "The question cannot be read.",
    "Envoyez un objet JSON, une liste d'objets, ou des lignes JSON (application/x-ndjson).",
    "Send a JSON object, a list of objects, or JSON lines (application/x-ndjson).",
)
BAD_IDENTITY = rule(
    "API-IDT-011",
    "L'identité envoyée n'a pas la forme attendue.",
    "The identity sent has not the expected form.",
    "Donnez birthName, firstGivenName, givenNames, sex, birthDate, birthPlace, et ins (value, authority) à vérifier.",
    "Give birthName, firstGivenName, givenNames, sex, birthDate, birthPlace, and ins (value, authority) to verify.",
)
NO_INSI = rule(
    "API-IDT-012",
    "L'INSi n'est pas réglé sur cette passerelle.",
    "INSi is not configured on this gateway.",
    "Renseignez le réglage nommé.",
    "Fill in the setting named.",
)

_TRAITS_SCHEMA: dict[str, Any] = {
    name: {"type": "string"} for name in ("birthName", "firstGivenName", "givenNames", "sex", "birthDate", "birthPlace")
}
_EXAMPLE = {
    "birthName": "ADRUN",
    "firstGivenName": "ZOE",
    "sex": "F",
    "birthDate": "1975-12-31",
    "birthPlace": "63220",
}


def _body(schema: dict[str, Any], example: Any, *types: str) -> dict[str, Any]:
    content = {kind: {"schema": schema, "example": example} for kind in ("application/json", *types)}
    return {"requestBody": {"required": True, "content": content}}


async def _json(request: Request) -> Any:
    try:
        return json.loads(await read_body(request, _MAX_BODY))
    except UnsafeInput as error:
        raise Unreadable([UNREADABLE.finding("", found=error.code)]) from None


@router.post(
    "/evaluate",
    summary="Answer questions by rule",
    responses={200: {"content": {"application/json": {}, _LINES: {}}}, **PROBLEMS},
    openapi_extra=_body(
        {"type": "object", "required": ["op"], "properties": {"op": {"type": "string"}}},
        {"op": "identifier", "kind": "rpps", "value": "10100534436"},
        _LINES,
    ),
)
async def evaluate_questions(
    request: Request,
    caller: Annotated[Caller, Depends(needs("identities:read", "identities:write"))],
) -> Response:
    """Answer questions on matricules, names, dates, comparisons, statuses, identifiers and datamatrix, without INSi.

    One object gives one object, a list gives a list, JSON lines give JSON lines; a wrong question gives its error.
    """
    gateway = gateway_of(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == _LINES:
        data = await read_body(request, _MAX_BODY)
        return Response(await gateway.compute(_answer_lines, data), media_type=_LINES)
    asked = await _json(request)
    if not isinstance(asked, (dict, list)):
        raise Unreadable([UNREADABLE.finding("")])
    return Response(await gateway.compute(_answer_all, asked), media_type="application/json")


def _answer_all(asked: Any) -> bytes:
    answers = [evaluate(question) for question in asked] if isinstance(asked, list) else evaluate(asked)
    return json.dumps(answers)


def _answer_lines(data: bytes) -> bytes:
    return b"".join(answers(data.splitlines(keepends=True)))


def lookup_of(request: Request) -> Lookup:
    """The gateway's way to INSi for questions of callers; opened at the first."""
    gateway = gateway_of(request)
    lookup: Lookup | None = getattr(request.app.state, "identity_lookup", None)
    if lookup is None:
        lookup = request.app.state.identity_lookup = Lookup(gateway.settings, gateway.clock)
        gateway.health.setdefault("closers", []).append(lookup.close)
    return lookup


@router.post(
    "/search",
    summary="Look an INS up by traits",
    responses={200: {"content": {"application/json": {}}}, **PROBLEMS},
    openapi_extra=_body({"type": "object", "properties": _TRAITS_SCHEMA}, _EXAMPLE),
)
async def search_identity(
    request: Request,
    language: Language,
    caller: Annotated[Caller, Depends(needs("identities:read", "identities:write"))],
    passerelle_tenant: Annotated[str | None, Header(description="Structure acted for, when several.")] = None,
    psc_token: PscToken = None,
) -> Response:
    """Ask INSi for a person, given names one after the other, and compare its answer with the traits sent.

    The answer says what may be done: when nobody looks, only an exact match is accepted. With the Pro Santé Connect
    token of a professional, INSi is asked in their name in place of the structure's certificate.
    """
    tenant = caller.acting_for(passerelle_tenant)
    asker = None
    if psc_token:
        session = await session_of(request, caller, tenant, None, psc_token)
        await check_grant(gateway_of(request), caller, tenant, session)
        asker = session.actor
    asked = await _json(request)
    attributes = asked.get("attributes") or [] if isinstance(asked, dict) else None
    if not isinstance(attributes, list) or not all(isinstance(a, str) for a in attributes):
        raise Invalid([BAD_IDENTITY.finding("")], slug="invalid-request")
    try:
        traits = traits_of(asked)
    except TypeError:
        raise Invalid([BAD_IDENTITY.finding("")], slug="invalid-request") from None
    try:
        found = await lookup_of(request).search(
            tenant, traits, attributes, language, asker=asker, token=psc_token or ""
        )
    except NotConfigured as error:
        raise Busy([NO_INSI.finding("", found=error.missing)], slug="not-configured") from None
    return Response(orjson.dumps(found), media_type="application/json")


@router.post(
    "/verify",
    summary="Verify identities held",
    responses={200: {"content": {"application/json": {}}}, **PROBLEMS},
    openapi_extra=_body(
        {"type": "array", "items": {"type": "object"}},
        [{"reference": "p1", "ins": {"value": "275126322074974", "authority": "1.2.250.1.213.1.4.10"}, **_EXAMPLE}],
    ),
)
async def verify_identities(
    request: Request,
    language: Language,
    caller: Annotated[Caller, Depends(needs("identities:read", "identities:write"))],
    passerelle_tenant: Annotated[str | None, Header(description="Structure acted for, when several.")] = None,
) -> Response:
    """Ask INSi whether identities already held are still right; answers carry the reference given, and no trait."""
    tenant = caller.acting_for(passerelle_tenant)
    asked = await _json(request)
    asked = asked if isinstance(asked, list) else [asked]
    if not 1 <= len(asked) <= _MAX_CLAIMS:
        found, expected = f"{len(asked)} identités", f"1 à {_MAX_CLAIMS} identités"
        raise Invalid([BAD_IDENTITY.finding("", found=found, expected=expected)], slug="invalid-request")
    claims, faults = [], []
    for number, value in enumerate(asked):
        try:
            if not isinstance(value, dict):
                raise TypeError
            claims.append(claim_of(value, str(value.get("reference") or number)))
        except (TypeError, ValueError) as error:
            faults.append(BAD_IDENTITY.finding(f"/{number}", found=getattr(error, "code", None)))
    if faults:
        raise Invalid(faults, slug="invalid-request")
    try:
        verified = await lookup_of(request).verify(tenant, claims, language)
    except NotConfigured as error:
        raise Busy([NO_INSI.finding("", found=error.missing)], slug="not-configured") from None
    return Response(orjson.dumps(verified), media_type="application/json")
