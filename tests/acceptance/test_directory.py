"""Recipients by RPPS or structure, and authors checked, against a directory on a socket of its own."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import fault, follow, post, simulator
from tests.support import documents

_NUMBERS = itertools.count(7000)
KERVELLA, LE_GOFF, RETIRED, STRUCK_OFF = "99700218896", "10456789014", "10098765430", "10112233449"
CABINET, HOSPITAL = "1290099886", "1590780193"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """A gateway that waits for the directory, and asks again as soon as it failed."""
    settings = {"directory": {"wait_seconds": 10.0, "pause_seconds": 0.0}}
    folder = tmp_path_factory.mktemp("directory")
    with Demonstration(folder, pool_processes=0, settings=settings).running() as one:
        yield one


def written_by(number: str, structure: str = CABINET) -> dict[str, Any]:
    """A report whose author has a number and a structure."""
    value = documents.report(next(_NUMBERS))
    author = copy.deepcopy(documents.DOCTOR)
    author["id"]["extension"] = number
    author["organization"]["id"]["extension"] = structure
    value["authors"][0]["professional"] = author
    return value


def warned(client: Client, document: dict[str, Any]) -> list[tuple[str, str]]:
    """What the directory said of a document kept and sent nowhere."""
    deliver = {"dmp": False}
    sent = post(client, document, key=f"warned-{next(_NUMBERS)}", deliverTo=deliver, actor=documents.DOCTOR)
    assert sent.status_code == 202, sent.text
    return [(w["code"], w["location"]) for w in sent.json()["warnings"] if w["code"].startswith("DIR-")]


def mailed(client: Client, *recipients: dict[str, Any]) -> httpx.Response:
    """A report sent by mail only."""
    number = next(_NUMBERS)
    deliver = {"dmp": False, "mss": {"recipients": list(recipients)}}
    return post(client, documents.report(number), key=f"dir-{number}", deliverTo=deliver)


def recipients(client: Client, document_id: str) -> list[dict[str, Any]]:
    """The recipients of the mail of a document, once it left."""
    body = follow(client, document_id)
    found: list[dict[str, Any]] = body["deliveries"][0]["recipientStates"]
    return found


@pytest.mark.parametrize(
    ("wanted", "address", "confidence", "kind"),
    [
        ({"rpps": KERVELLA}, "odile.kervella.cabinet@medecin.formation.mssante.fr", "place", "ps"),
        ({"rpps": f"8{KERVELLA}"}, "odile.kervella.cabinet@medecin.formation.mssante.fr", "place", "ps"),
        (
            {"rpps": LE_GOFF, "structure": HOSPITAL},
            "erwan.legoff@hopital.formation.mssante.fr",
            "place",
            "ps",
        ),
        ({"rpps": LE_GOFF, "structure": CABINET}, "cabinet@structure.formation.mssante.fr", "structure", "bal_org"),
        ({"rpps": RETIRED}, "soizic.tanguy@medecin.formation.mssante.fr", "person", "ps"),
        ({"structure": HOSPITAL}, "cardiologie@hopital.formation.mssante.fr", "structure", "bal_org"),
    ],
)
def test_a_recipient_by_number_gets_the_directory_s_mailbox(
    vendor: Client, wanted: dict[str, Any], address: str, confidence: str, kind: str
) -> None:
    """The mail leaves to the mailbox of the directory, and the receipt says how sure that address is."""
    sent = mailed(vendor, wanted)
    assert sent.status_code == 202, sent.text
    (one,) = recipients(vendor, sent.json()["id"])
    assert (one["address"], one["confidence"], one["class"]) == (address, confidence, kind)
    assert one["state"] in ("submitted", "delivered", "read")


def test_a_message_of_words_goes_to_a_number_too(vendor: Client) -> None:
    """``POST /v1/messages`` takes numbers beside addresses; one person named twice is written to once."""
    asked = {
        "actor": documents.DOCTOR,
        "body": "Bonjour.",
        "recipients": [
            {"rpps": KERVELLA},
            {"address": "odile.kervella.cabinet@medecin.formation.mssante.fr"},
            {"structure": HOSPITAL},
        ],
    }
    headers = {"Content-Type": "application/json", "Idempotency-Key": "dir-words"}
    sent = vendor.request("POST", "/v1/messages", content=orjson.dumps(asked), headers=headers)
    assert sent.status_code == 202, sent.text
    found = vendor.request("GET", f"/v1/messages/{sent.json()['id']}").json()["deliveries"][0]["recipientStates"]
    assert [(r["address"], r["confidence"]) for r in found] == [
        ("odile.kervella.cabinet@medecin.formation.mssante.fr", "place"),
        ("cardiologie@hopital.formation.mssante.fr", "structure"),
    ]


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"rpps": "10000000017"}, "API-DIR-003"),
        ({"rpps": STRUCK_OFF}, "API-DIR-003"),
        ({"structure": "1750712184"}, "API-DIR-003"),
        ({"rpps": "10123456781", "structure": HOSPITAL}, "API-DIR-005"),
        ({"rpps": KERVELLA, "address": "a@medecin.formation.mssante.fr"}, "API-DIR-006"),
        ({}, "API-DIR-006"),
    ],
)
def test_a_number_that_reaches_nobody_is_refused_with_its_place(
    vendor: Client, wanted: dict[str, Any], code: str
) -> None:
    """Unknown, struck off, of another place or said twice: nothing is kept, the fault names the recipient."""
    refused = mailed(vendor, {"rpps": KERVELLA}, wanted)
    assert refused.status_code == 422, refused.text
    assert [(f["code"], f["location"]) for f in refused.json()["faults"]] == [(code, "/deliverTo/mss/recipients/1")]


def test_several_places_are_told_apart_by_a_person(vendor: Client) -> None:
    """A professional of two places has no mailbox of their own: the places are said, none is guessed."""
    refused = mailed(vendor, {"rpps": LE_GOFF})
    assert refused.status_code == 422, refused.text
    (found,) = refused.json()["faults"]
    assert (found["code"], found["expected"]) == ("API-DIR-005", f"{CABINET}, {HOSPITAL}")
    offered = vendor.request("POST", "/v1/directory/mailboxes", json={"rpps": LE_GOFF, "structure": HOSPITAL})
    assert offered.status_code == 200, offered.text
    assert [(m["address"], m["confidence"]) for m in offered.json()["mailboxes"]] == [
        ("erwan.legoff@hopital.formation.mssante.fr", "place"),
        ("cardiologie@hopital.formation.mssante.fr", "structure"),
    ]
    assert "rouge@" not in offered.text


def test_the_directory_down_stops_only_what_needs_it(running: Demonstration, vendor: Client) -> None:
    """A number that nobody asked about before gets a 503; a document with an address goes, and nothing is warned."""
    fault(running, "directory", fault="unavailable", count=20)
    try:
        refused = mailed(vendor, {"rpps": "10456789139"})
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.json()["faults"][0]["code"] == "API-DIR-002"
        assert warned(vendor, written_by("810009876543")) == []
    finally:
        base = running.access.simulators["directory"]["api"] if running.access else ""
        httpx.delete(f"{base}/faults", trust_env=False, timeout=10).raise_for_status()


@pytest.mark.parametrize(
    ("number", "structure", "code"),
    [
        ("899700218896", CABINET, None),
        ("810456789014", HOSPITAL, None),
        ("810000000017", CABINET, "DIR-AUTHOR-001"),
        ("810112233449", CABINET, "DIR-AUTHOR-002"),
        ("899700218896", HOSPITAL, "DIR-AUTHOR-003"),
        ("899700218896", "1750712184", "DIR-AUTHOR-004"),
    ],
)
def test_an_author_who_is_not_there_is_a_warning(vendor: Client, number: str, structure: str, code: str | None) -> None:
    """Unknown, struck off, elsewhere, structure unknown: the document is taken, the receipt says it."""
    wanted = [] if code is None else [(code, "/authors/0")]
    assert warned(vendor, written_by(number, structure)) == wanted


def test_an_author_s_check_is_asked_once(running: Demonstration, vendor: Client) -> None:
    """The second document of the same author asks the directory nothing."""
    assert warned(vendor, written_by("899700218896")) == []
    before = len(simulator(running, "directory", "/exchanges").json())
    assert warned(vendor, written_by("899700218896")) == []
    assert len(simulator(running, "directory", "/exchanges").json()) == before


def test_a_mailbox_that_proves_closed_is_asked_about_again(running: Demonstration, vendor: Client) -> None:
    """The operator knows no such mailbox: the next message to the same number asks the directory anew."""
    words = {"code": 550, "text": "5.1.1 inconnu"}
    fault(running, "mss", fault="5xx", transaction="RCPT", parameters=words)
    sent = mailed(vendor, {"rpps": RETIRED})
    assert sent.status_code == 202, sent.text
    failed = follow(vendor, sent.json()["id"])["deliveries"][0]["recipientStates"][0]
    assert (failed["state"], failed["code"]) == ("failed", "MSS-OUT-ADDRESS")
    before = len(simulator(running, "directory", "/exchanges").json())
    assert mailed(vendor, {"rpps": RETIRED}).status_code == 202
    assert len(simulator(running, "directory", "/exchanges").json()) > before
