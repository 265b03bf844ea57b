"""What whoever runs the gateway sees: what is stuck and why, sent again by cause, identities that wait, health."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from gateway.context import Gateway
from gateway.store.tables import deliveries
from tests.support.console import give_up, intakes_of
from tests.unit.gateway.conftest import unqualified
from tests.unit.gateway.console.conftest import People, csrf_of


@pytest.fixture(scope="module")
def stuck(gateway: Gateway) -> str:
    """One document held for its identity, one given up; gives the delivery given up."""
    intakes = intakes_of(gateway)
    intakes.take(intakes.request(unqualified(1)))
    given_up = intakes.take(intakes.request())

    return gateway.store.write_now(lambda c: give_up(c, gateway, str(given_up.document_id)))


def test_what_is_stuck_is_grouped_by_cause_and_sent_again(people: People, gateway: Gateway, stuck: str) -> None:
    """Cause and fix in French; one button sends all of a cause again, and only with the session's token."""
    browser = people("exploitant")
    page = browser.get("/console/deliveries")
    assert "abandonné : à renvoyer" in page.text
    assert "retenu" in page.text
    fields = {"cause": "too_many_attempts", "destination": "dmp"}

    def state() -> str:
        query = select(deliveries.c.state).where(deliveries.c.id == stuck)
        return str(gateway.store.read_now(lambda c: c.execute(query).scalar_one()))

    assert browser.post("/console/deliveries/replay", data={"csrf": "x", **fields}).status_code == 403
    assert state() == "dead_letter"
    token = csrf_of(page)
    assert browser.post("/console/deliveries/replay", data={"csrf": token, "cause": ""}).status_code == 422
    answer = browser.post("/console/deliveries/replay", data={"csrf": token, **fields})
    assert answer.headers["location"] == "/console/deliveries?sent=1"
    assert state() != "dead_letter"
    assert people("docteur").post("/console/deliveries/replay", data=fields).status_code == 403


def test_identities_that_wait_show_no_trait(people: People, stuck: str) -> None:
    """How many documents wait for an identity, and what to do; neither name nor matricule."""
    page = people("exploitant").get("/console/identities").text
    assert "1\u00a0identité retient 1\u00a0document" in page
    assert "DESMAUX" not in page


def test_health_names_incidents(people: People, stuck: str) -> None:
    """Without a destination it says which setting gives one; deliveries given up are an incident."""
    page = people("exploitant").get("/console/health").text
    assert "dmp.base_url" in page
    assert "too_many_attempts" in page
