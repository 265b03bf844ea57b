"""A person settles what INSi answers: accepted, reviewed with a proof and a reason, never another person's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import follow
from tests.acceptance.test_wrong_person import Traits, asked, fed, held, patient, sent

EQUIVALENT: Traits = ("ECETINSI", "PIERRE-ALAIN", "M", "2009-07-14", "63220")
REVIEWED: Traits = ("TCHITCHI", "BELLA", "F", "1936-06-21", "63220")
OTHER: Traits = ("TCHITCHI", "OLA CATARINA", "F", "1936-06-21", "63220")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """A gateway of this module's own."""
    with Demonstration(tmp_path_factory.mktemp("events"), pool_processes=0).running() as one:
        yield one


def waiting(client: Client, traits: Traits, file: str = "") -> tuple[dict[str, Any], str]:
    """A document held for a validated patient, and the identity's id in the work list."""
    before = {row["id"] for row in client.request("GET", "/v1/identities/pending").json()}
    receipt = sent(client, patient(traits, file=file))
    held(client, receipt, "identity_mismatch", "identity_not_qualified")
    rows = client.request("GET", "/v1/identities/pending").json()
    (one,) = [row["id"] for row in rows if row["id"] not in before]
    return receipt, one


def shown(client: Client, traits: Traits) -> str:
    """The number that the search shows to the person."""
    name, given, sex, born, place = traits
    question = {
        "birthName": name,
        "firstGivenName": given.split(" ")[0],
        "givenNames": given,
        "sex": sex,
        "birthDate": born,
        "birthPlace": place,
    }
    found = client.request("POST", "/v1/identities/search", json=question).json()
    return str(found["ins"]["value"]) if "ins" in found else ""


def accept(client: Client, identity: str, **said: Any) -> httpx.Response:
    """The person accepts."""
    return client.request("POST", f"/v1/identities/{identity}/events", json={"event": "INSI_FOUND_ACCEPTED", **said})


def codes(answer: httpx.Response) -> list[tuple[str, str]]:
    """The faults of a refusal, with their places."""
    return [(fault["code"], fault["location"]) for fault in answer.json()["faults"]]


def test_an_equivalence_is_accepted_on_confirmation(running: Demonstration, vendor: Client) -> None:
    """The number seen is confirmed: qualified, the document leaves; the next one of the same file needs nobody."""
    receipt, identity = waiting(vendor, EQUIVALENT, file="EQ1")
    done = accept(vendor, identity, matricule=shown(vendor, EQUIVALENT))
    assert done.status_code == 200, done.text
    assert (done.json()["status"], done.json()["hasIns"]) == ("qualifiee", True)
    assert follow(vendor, receipt["id"])["state"] == "completed"
    assert b"PIERRE-ALAIN MURIEL FLORIANT" in vendor.request("GET", f"/v1/documents/{receipt['id']}/cda").content
    before = asked(running)
    again = sent(vendor, patient(EQUIVALENT, file="EQ1"))
    assert follow(vendor, again["id"])["state"] == "completed"
    assert asked(running) == before


def test_an_answer_to_be_reviewed_needs_a_proof_and_a_reason(running: Demonstration, vendor: Client) -> None:
    """Neither, or one of the two: refused with what is missing; both: qualified, and the reason is kept sealed."""
    receipt, identity = waiting(vendor, REVIEWED)
    number = shown(vendor, REVIEWED)
    bare = accept(vendor, identity, matricule=number)
    assert (bare.status_code, codes(bare)) == (422, [("API-IDT-016", "/proof"), ("API-IDT-016", "/reason")])
    half = accept(vendor, identity, matricule=number, proof="CN")
    assert (half.status_code, codes(half)) == (422, [("API-IDT-016", "/reason")])
    assert not fed(running, receipt)
    reason = "Prénom d'usage, carte présentée"
    done = accept(vendor, identity, matricule=number, proof="CN", reason=reason)
    assert done.status_code == 200, done.text
    assert follow(vendor, receipt["id"])["state"] == "completed"
    gateway = running.gateway
    kept = gateway.store.read_now(lambda c: _load(c, gateway, identity))
    assert [(d["verdict"], d["reason"]) for d in kept.decisions] == [("REVIEW", reason)]


def _load(connection: Any, gateway: Any, identity: str) -> Any:
    from gateway import identities

    return identities.load(connection, gateway.vault, identity)


def test_another_person_is_never_accepted(running: Demonstration, vendor: Client) -> None:
    """NO_MATCH: refused whatever is said, and the search shows no number to accept."""
    receipt, identity = waiting(vendor, OTHER)
    assert shown(vendor, OTHER) == ""
    refused = accept(vendor, identity, matricule="236066322083656", proof="CN", reason="je suis sûr")
    assert (refused.status_code, codes(refused)) == (409, [("API-IDT-014", "/event")])
    assert not fed(running, receipt)


def test_only_the_number_that_was_shown(vendor: Client) -> None:
    """Another number, or none: the answer accepted must be the one seen."""
    _, identity = waiting(vendor, EQUIVALENT)
    other = accept(vendor, identity, matricule="275126322074974")
    none = accept(vendor, identity)
    assert (other.status_code, codes(other)) == (409, [("API-IDT-015", "/matricule")])
    assert (none.status_code, codes(none)) == (422, [("API-IDT-018", "/matricule")])
    assert accept(vendor, "idt_UNKNOWN", matricule="275126322074974").status_code == 404


def test_nobody_found_is_nothing_to_accept(vendor: Client) -> None:
    """INSi gives nobody: said so, the identity stays."""
    _, identity = waiting(vendor, ("HOUILLES", "PIERRE PAUL JACQUES", "M", "1993-01-27", "63220"))
    refused = accept(vendor, identity, matricule="275126322074974")
    assert (refused.status_code, codes(refused)) == (409, [("API-IDT-013", "/event")])


@pytest.mark.parametrize("event", ["SET_DOUTEUX", "SET_FICTIF"])
def test_a_locked_identity_is_not_asked_about(running: Demonstration, vendor: Client, event: str) -> None:
    """Doubtful or fictitious: INSi must not be called."""
    _, identity = waiting(vendor, EQUIVALENT)
    number = shown(vendor, EQUIVALENT)
    locked = vendor.request("POST", f"/v1/identities/{identity}/events", json={"event": event})
    assert (locked.status_code, locked.json()["status"]) == (200, "provisoire")
    before = asked(running)
    refused = accept(vendor, identity, matricule=number)
    assert (refused.status_code, refused.json()["faults"][0]["found"]) == (409, "INSI_CALL_FORBIDDEN")
    assert asked(running) == before


def test_an_edited_trait_drops_the_number(vendor: Client) -> None:
    """Reported by the caller: provisional again, without a number, whatever it was."""
    receipt, identity = waiting(vendor, REVIEWED)
    accept(vendor, identity, matricule=shown(vendor, REVIEWED), proof="CN", reason="contrôlée").raise_for_status()
    follow(vendor, receipt["id"])
    said = vendor.request("POST", f"/v1/identities/{identity}/events", json={"event": "STRICT_TRAIT_EDITED"})
    assert (said.json()["status"], said.json()["hasIns"]) == ("provisoire", False)
