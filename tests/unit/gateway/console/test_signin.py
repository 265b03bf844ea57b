"""Signing in and out: passwords, guessing, forged forms, sessions that end, and where one may be sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from gateway.console.accounts import AccountError, add_account, disable_account
from gateway.console.sessions import IDLE, LONGEST, close_expired
from gateway.console.web import COOKIE, safe_next
from gateway.context import Gateway
from gateway.store.console_tables import accounts, console_sessions
from tests.support.console import NOW, PASSWORD, Clock
from tests.unit.gateway.console.conftest import People, csrf_of


@pytest.fixture(autouse=True)
def on_time(clock: Clock) -> Iterator[None]:
    """Whatever a test does to the clock is undone."""
    yield
    clock.at = NOW


def test_nobody_sees_a_page_without_signing_in(people: People) -> None:
    """Every page sends to the sign-in page, with the way back."""
    for path in ("/console", "/console/feeds?by=month", "/console/sample", "/console/verify", "/console/entries/00"):
        answer = people.browser().get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/console/signin?next=/console")


def test_signing_in_and_out(people: People, gateway: Gateway) -> None:
    """The cookie is for this host, https and the server alone; signing out ends the session where it is kept."""
    browser = people.browser()
    page = browser.get("/console/signin")
    data = {"login": "Docteur", "password": PASSWORD, "csrf": csrf_of(page), "next": "/console/feeds"}
    answer = browser.post("/console/signin", data=data)
    assert answer.headers["location"] == "/console/feeds"
    cookie = next(one for one in answer.headers.get_list("set-cookie") if one.startswith(f"{COOKIE}="))
    assert {part.strip().lower() for part in cookie.split(";")[1:]} >= {"httponly", "secure", "samesite=lax", "path=/"}
    token = browser.cookies[COOKIE]
    kept = gateway.store.read_now(lambda c: c.execute(select(console_sessions)).all())
    assert token not in repr(kept)
    assert b"Dr A" not in b"".join(row.sealed for row in kept)
    home = browser.get("/console")
    assert home.status_code == 200
    assert "Dr A" in home.text
    assert browser.post("/console/signout", data={"csrf": csrf_of(home)}).status_code == 303
    browser.cookies.set(COOKIE, token, domain="127.0.0.1", path="/")
    assert browser.get("/console").status_code == 303


def test_a_wrong_password_tells_nothing_and_guessing_is_slowed(people: People, clock: Clock) -> None:
    """The same words for an unknown login; after five failures even the right password waits five minutes."""
    browser = people.browser()

    def attempt(login: str, password: str) -> tuple[int, str]:
        page = browser.get("/console/signin")
        answer = browser.post("/console/signin", data={"login": login, "password": password, "csrf": csrf_of(page)})
        return answer.status_code, answer.text

    unknown, wrong = attempt("personne", PASSWORD), attempt("autre", "faux")
    assert unknown[0] == wrong[0] == 401
    assert "incorrect" in unknown[1]
    assert "incorrect" in wrong[1]
    for _ in range(4):
        assert attempt("autre", "faux")[0] == 401
    assert attempt("autre", PASSWORD)[0] == 401
    clock.at += timedelta(minutes=5, seconds=1)
    assert attempt("autre", PASSWORD)[0] == 303


def test_forged_forms_are_refused(people: People) -> None:
    """A form without the session's token, with another's, or from another site does nothing."""
    browser, other = people("docteur"), people("autre")
    theirs = csrf_of(other.get("/console"))
    for fields in ({"csrf": ""}, {"csrf": "x"}, {"csrf": theirs}):
        answer = browser.post("/console/signout", data=fields)
        assert answer.status_code == 403
        assert "ne vient pas de votre session" in answer.text
    own = csrf_of(browser.get("/console"))
    crossed = browser.post("/console/signout", data={"csrf": own}, headers={"sec-fetch-site": "cross-site"})
    assert crossed.status_code == 403
    assert browser.post("/console/signout", content=b"{}", headers={"content-type": "text/json"}).status_code == 400
    assert browser.get("/console").status_code == 200
    fresh = people.browser()
    assert fresh.post("/console/signin", data={"login": "docteur", "password": PASSWORD}).status_code == 403
    fresh.get("/console/signin")
    forged = {"login": "docteur", "password": PASSWORD, "csrf": "0" * 64}
    assert fresh.post("/console/signin", data=forged).status_code == 403


def test_a_session_ends_by_itself(people: People, clock: Clock, gateway: Gateway) -> None:
    """After half an hour without a request, and after ten hours whatever happens."""
    browser = people("docteur")
    clock.at += IDLE - timedelta(seconds=1)
    assert browser.get("/console").status_code == 200
    clock.at += IDLE - timedelta(seconds=1)
    assert browser.get("/console").status_code == 200
    clock.at += IDLE
    assert browser.get("/console").status_code == 303
    clock.at = NOW
    browser = people("docteur")
    for _ in range(int(LONGEST / timedelta(minutes=20)) - 1):
        clock.at += timedelta(minutes=20)
        assert browser.get("/console/verify").status_code == 200
    clock.at += timedelta(minutes=21)
    assert browser.get("/console/verify").status_code == 303
    assert gateway.store.write_now(lambda c: close_expired(c, now=clock.at)) >= 1


def test_a_disabled_account_is_out_at_once(people: People, gateway: Gateway) -> None:
    """Its open sessions end, and its password opens nothing any more."""
    made = {"login": "parti", "name": "Parti", "role": "dpo", "password": PASSWORD, "now": NOW}
    gateway.store.write_now(lambda c: add_account(c, **made))
    browser = people("parti")
    assert browser.get("/console").status_code == 200
    assert gateway.store.write_now(lambda c: disable_account(c, "parti", now=NOW))
    assert browser.get("/console").status_code == 303
    page = browser.get("/console/signin")
    data = {"login": "parti", "password": PASSWORD, "csrf": csrf_of(page)}
    assert browser.post("/console/signin", data=data).status_code == 401
    assert not gateway.store.write_now(lambda c: disable_account(c, "inconnu", now=NOW))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"login": "Majuscules"}, "CONSOLE-ACCOUNT-001"),
        ({"role": "roi"}, "CONSOLE-ACCOUNT-002"),
        ({"password": "court"}, "CONSOLE-ACCOUNT-003"),
        ({"role": "professional"}, "CONSOLE-ACCOUNT-004"),
        ({"role": "structure", "finess": "12"}, "CONSOLE-ACCOUNT-004"),
        ({"login": "docteur"}, "CONSOLE-ACCOUNT-005"),
        ({"role": "fund"}, "CONSOLE-ACCOUNT-006"),
    ],
)
def test_accounts_that_cannot_be(gateway: Gateway, changes: dict[str, str], code: str) -> None:
    """Each fault by its name, and no account made."""
    values = {"login": "essai", "name": "", "role": "national", "password": PASSWORD} | changes
    with pytest.raises(AccountError) as refused:
        gateway.store.write_now(lambda c: add_account(c, **values, now=NOW))
    assert refused.value.code == code
    assert (
        gateway.store.read_now(lambda c: c.execute(select(accounts).where(accounts.c.login == "essai")).first()) is None
    )


@pytest.mark.parametrize(
    "path",
    [
        "https://ailleurs.test/",
        "//ailleurs.test",
        "/consolex",
        "/console\\..\\",
        "/v1/documents",
        "",
        "/console//evil\\",
    ],
)
def test_nobody_is_sent_elsewhere_after_signing_in(path: str) -> None:
    """Only pages of the console."""
    assert safe_next(path) == "/console"


def test_pages_of_the_console_are_gone_back_to() -> None:
    """With what was asked of them."""
    assert safe_next("/console/feeds?by=month") == "/console/feeds?by=month"
    assert safe_next("/console?month=2023-01") == "/console?month=2023-01"
