"""Refusals on the wire: ``application/problem+json``, or an OperationOutcome when the caller speaks FHIR."""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from conformance.verdict import Finding, Text
from gateway.api.access import language_of
from gateway.problems import Busy, NotFound, Problem, rule
from gateway.store.blobs import Purged
from gateway.store.engine import StoreUnavailable

__all__ = ["bug", "install"]

log = structlog.get_logger("passerelle.http")

PARAMETER = rule(
    "API-PARAM-001",
    "Un paramètre de la requête n'a pas la forme attendue.",
    "A parameter of the request does not have the expected form.",
    "Corrigez ce paramètre d'après la référence de l'interface.",
    "Correct this parameter after the interface reference.",
)
STORE_DOWN = rule(
    "API-STORE-001",
    "La base de données ne peut pas être écrite pour l'instant.",
    "The database cannot be written for now.",
    "Recommencez ; rien n'a été pris en charge.",
    "Try again; nothing was taken in charge.",
)

PURGED = rule(
    "API-DOC-003",
    "Le contenu a été effacé à la fin de sa conservation.",
    "The content was erased at the end of its retention.",
    "Lisez-le dans le DMP.",
    "Read it in the DMP.",
)

_TITLES = {
    404: Text("Introuvable", "Not found"),
    405: Text("Méthode non permise", "Method not allowed"),
    400: Text("Requête illisible", "Unreadable request"),
}


def speaks_fhir(request: Request) -> bool:
    """True when the caller sends or asks for FHIR."""
    return any(
        "fhir+json" in request.headers.get(name, "") for name in ("accept", "content-type")
    ) or request.url.path.startswith("/fhir")


def _render(request: Request, problem: Problem) -> Response:
    language = language_of(request.headers.get("accept-language"))
    request_id = getattr(request.state, "request_id", "")
    headers = {"Content-Language": language, "Cache-Control": "no-store", **problem.headers}
    if speaks_fhir(request):
        from mappings.fhir.outcome import operation_outcome

        as_outcome = getattr(problem, "as_outcome", None)
        body = (
            as_outcome(language)
            if as_outcome is not None
            else operation_outcome(problem.faults, language, fallback=problem.title.in_language(language))
        )
        return JSONResponse(body, problem.status, headers, media_type="application/fhir+json")
    return JSONResponse(
        problem.as_json(language, request_id), problem.status, headers, media_type="application/problem+json"
    )


def install(app: FastAPI) -> None:
    """Make every refusal of the application a problem."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, exc: Problem) -> Response:
        return _render(request, exc)

    @app.exception_handler(StoreUnavailable)
    async def _store(request: Request, exc: StoreUnavailable) -> Response:
        log.error("store.unavailable", error=type(exc.__cause__).__name__)
        return _render(request, Busy([STORE_DOWN.finding("")], slug="store-unavailable", retry_after=10))

    @app.exception_handler(Purged)
    async def _purged(request: Request, exc: Purged) -> Response:
        return _render(request, NotFound([PURGED.finding("")], slug="purged", status=410))

    @app.exception_handler(RequestValidationError)
    async def _parameters(request: Request, exc: RequestValidationError) -> Response:
        faults: list[Finding] = [
            PARAMETER.finding("/".join(str(step) for step in error["loc"]), expected=error["type"].replace("_", " "))
            for error in exc.errors()
        ]
        return _render(request, Problem(faults, slug="invalid-parameter", status=422))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, exc: HTTPException) -> Response:
        problem = Problem(slug="http", status=exc.status_code, headers=dict(exc.headers or {}))
        problem.title = _TITLES.get(exc.status_code, Text("Requête refusée", "Request refused"))
        problem.detail = problem.title
        return _render(request, problem)


def bug(request: Request, exc: Exception) -> Response:
    """The answer to a fault of ours: the trace goes to the log, through redaction; never to the caller."""
    log.error("request.failed", error=type(exc).__name__, path=_route(request), exc_info=exc)
    problem = Problem()
    problem.detail = Text(
        "La requête a échoué ; l'incident est tracé sous ce numéro.",
        "The request failed; the incident is recorded under this number.",
    )
    return _render(request, problem)


def _route(request: Request) -> str:
    route: Any = request.scope.get("route")
    return str(getattr(route, "path", "?"))
