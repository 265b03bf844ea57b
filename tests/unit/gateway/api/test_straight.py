"""The short way of a document sent: it answers as the route does, and leaves everything else to it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gateway.api import documents, errors
from gateway.api.straight import Straight
from gateway.problems import Busy, rule
from gateway.store.engine import StoreUnavailable

FULL = rule("TEST-001", "Plein.", "Full.", "Attendez.", "Wait.")


def application(*, straight: bool) -> FastAPI:
    """The route of documents, with or without the short way to it."""
    app = FastAPI()
    errors.install(app)
    app.include_router(documents.router)
    app.state.gateway = None  # nobody without a token gets so far as to need one
    if straight:
        app.add_middleware(Straight)
    return app


def said(app: FastAPI, method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """What an application answers."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://passerelle.test") as http:
            return await http.request(method, path, headers=headers, content=b"{}")

    answer = asyncio.run(ask())
    return answer.status_code, dict(answer.headers), answer.content


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/v1/documents", {}),
        ("POST", "/v1/documents", {"Accept-Language": "en"}),
        ("POST", "/v1/documents", {"Content-Type": "application/fhir+json", "Authorization": "Basic xyz"}),
        ("POST", "/v1/documents", {"Passerelle-Test-Case": "x" * 81}),
        ("GET", "/v1/documents", {}),
        ("PUT", "/v1/documents", {}),
        ("POST", "/v1/documents/", {}),
        ("POST", "/v1/documents/doc_1/withdraw", {}),
    ],
)
def test_it_answers_as_the_route_does(method: str, path: str, headers: dict[str, str]) -> None:
    """Status, headers and body, whoever calls and whatever is wrong."""
    short = said(application(straight=True), method, path, headers)
    long = said(application(straight=False), method, path, headers)
    assert short == long
    assert 300 <= short[0] < 500


@pytest.mark.parametrize(
    ("raised", "status"), [(Busy([FULL.finding("")], retry_after=1), 503), (StoreUnavailable("OperationalError"), 503)]
)
def test_a_refusal_on_the_way_is_a_problem(raised: Exception, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the application's own handlers."""

    async def refuse(request: Any) -> Any:
        raise raised

    monkeypatch.setattr(documents, "receive", refuse)
    code, headers, _ = said(application(straight=True), "POST", "/v1/documents", {})
    assert (code, headers["content-type"]) == (status, "application/problem+json")
    assert headers["retry-after"]


def test_a_fault_of_ours_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame of every request answers it, and logs it."""

    async def fail(request: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(documents, "receive", fail)
    with pytest.raises(ZeroDivisionError):
        said(application(straight=True), "POST", "/v1/documents", {})
