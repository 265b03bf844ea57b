"""A console over the first worked example, on a loopback socket, with a clock one moves by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.context import Gateway
from gateway.demonstration import free_port
from tests.support.console import PASSWORD, Clock, gateway_with_ledger, served


def csrf_of(answer: httpx.Response) -> str:
    """The token of the first form of a page."""
    found = re.search(r'name="csrf" value="([^"]+)"', answer.text)
    assert found is not None, answer.text[:400]
    return found[1]


class People:
    """Signs people in, each in a browser of their own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: list[httpx.Client] = []

    def browser(self) -> httpx.Client:
        """A browser that nobody used yet."""
        made = httpx.Client(base_url=self._url, trust_env=False, timeout=30)

        def keep(request: httpx.Request) -> None:
            # As browsers do, this machine is trusted with cookies that are for https only.
            if held := "; ".join(f"{one.name}={one.value}" for one in made.cookies.jar):
                request.headers["cookie"] = held

        made.event_hooks = {"request": [keep], "response": []}
        self._open.append(made)
        return made

    def __call__(self, login: str, password: str = PASSWORD, *, stated: bool = True) -> httpx.Client:
        """Somebody signed in; an auditor has also said why."""
        browser = self.browser()
        page = browser.get("/console/signin")
        answer = browser.post("/console/signin", data={"login": login, "password": password, "csrf": csrf_of(page)})
        assert answer.status_code == 303, answer.text
        if stated and (asked := browser.get("/console/purpose")).status_code == 200:
            said = {"csrf": csrf_of(asked), "purpose": "Campagne 2023", "legal_basis": "convention"}
            assert browser.post("/console/purpose", data=said).status_code == 303
        return browser

    def close(self) -> None:
        """Close every browser."""
        for one in self._open:
            one.close()


@pytest.fixture(scope="module")
def clock() -> Clock:
    """The console's clock."""
    return Clock()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Gateway]:
    """A gateway whose ledger holds the first worked example."""
    with gateway_with_ledger(tmp_path_factory.mktemp("console"), clock) as made:
        yield made


@pytest.fixture(scope="module")
def people(gateway: Gateway) -> Iterator[People]:
    """Whoever signs in."""
    with served(gateway, free_port()) as url:
        made = People(url)
        yield made
        made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the test's own."""
    return tmp_path
