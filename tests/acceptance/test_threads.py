"""Conversations over HTTP, SMTP and IMAP: a télé-expertise request and its answers stay one, on both sides."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import body_of, follow, post, simulator
from tests.acceptance.mail import CABINET, CITIZEN, PHARMACY, follow_message, received, say, until, whole
from tests.support import documents

numbers = itertools.count(9950)

#: JDV_J07: the request (TLM-DA) and the report (TLM-CR) of telemedicine.
REQUEST = {"code": "75496-0", "display": "Demande d'acte de télémédecine", "system": documents.LOINC}
REPORT = {"code": "85208-7", "display": "CR de télémédecine", "system": documents.LOINC}


@pytest.fixture(scope="module", autouse=True)
def _readers(running: Demonstration) -> None:
    """Both structures read their mailboxes."""
    boxes = running.sandbox.mss.boxes
    until(lambda: [boxes.opened(one["address"]) for one in (CABINET, PHARMACY)], all)


def telemedicine(kind: dict[str, str]) -> dict[str, Any]:
    """A document of telemedicine."""
    document = documents.report(next(numbers))
    document["type"] = kind
    document["acts"][0]["code"] = kind
    return document


def content(document: dict[str, Any]) -> dict[str, Any]:
    """A document as it stands in a message."""
    value: dict[str, Any] = orjson.loads(body_of(document))["document"]
    return value


def thread(client: Client, number: str) -> dict[str, Any]:
    """A conversation."""
    answer = client.request("GET", f"/v1/threads/{number}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def shape(client: Client, number: str) -> list[tuple[str, tuple[str, ...]]]:
    """Directions and types of a conversation, oldest first."""
    return [(item["direction"], tuple(item["types"])) for item in thread(client, number)["items"]]


def headers(running: Demonstration, reference: str) -> dict[str, str]:
    """The header of a mail at the operator."""
    (found,) = simulator(running, "mss", f"/messages?messageId={reference}").json()
    raw = simulator(running, "mss", f"/messages/{found['id']}/raw").text
    head = raw.partition("\r\n\r\n")[0].replace("\r\n ", " ")
    return dict(line.split(": ", 1) for line in head.split("\r\n") if ": " in line)


def test_a_request_and_its_answers(running: Demonstration, vendor: Client, pharmacy: Client) -> None:
    """Asked by the cabinet, put off in words, thanked, answered by a report: one conversation of four on both sides."""
    document = telemedicine(REQUEST)
    asked = post(vendor, document, deliverTo={"dmp": False, "mss": {"recipients": [PHARMACY]}}).json()
    sent = follow(vendor, asked["id"])["deliveries"][0]
    ours = sent["thread"]
    mail = received(pharmacy, lambda one: document["id"]["root"] in _ids(pharmacy, one))
    theirs = mail["thread"]
    assert shape(vendor, ours) == [("sent", ("75496-0",))]
    assert shape(pharmacy, theirs) == [("received", ("75496-0",))]

    actor = content(documents.dispensation(next(numbers)))["authors"][0]["professional"]
    words = say(pharmacy, recipients=[CABINET], subject="Demain", body="Demain.", inReplyTo=mail["id"], actor=actor)
    assert words["thread"] == theirs
    first = follow_message(pharmacy, words["id"])["deliveries"][0]["reference"]
    head = headers(running, first)
    assert head["In-Reply-To"] == sent["reference"]
    assert head["References"] == sent["reference"]
    answer = received(vendor, lambda one: one.get("thread") == ours)

    thanks = say(vendor, recipients=[PHARMACY], subject="Merci", body="Merci.", inReplyTo=answer["id"], actor=_doctor())
    second = follow_message(vendor, thanks["id"])["deliveries"][0]["reference"]
    assert headers(running, second)["References"].split() == [sent["reference"], first]
    until(lambda: len(shape(pharmacy, theirs)), lambda count: count == 3)

    report = telemedicine(REPORT)
    final = post(vendor, report, deliverTo={"dmp": False, "mss": {"recipients": [PHARMACY], "inReplyTo": ours}}).json()
    last = follow(vendor, final["id"])["deliveries"][0]
    assert last["thread"] == ours
    assert headers(running, last["reference"])["References"].split() == [sent["reference"], first, second]
    until(lambda: len(shape(pharmacy, theirs)), lambda count: count == 4)
    expected = [("sent", ("75496-0",)), ("received", ()), ("sent", ()), ("sent", ("85208-7",))]
    assert shape(vendor, ours) == expected
    other = {"sent": "received", "received": "sent"}
    assert shape(pharmacy, theirs) == [(other[direction], types) for direction, types in expected]
    items = thread(vendor, ours)["items"]
    assert [item["id"][:4] for item in items] == ["dlv_", "rcv_", "msg_", "dlv_"]
    assert items[0]["recipients"] == [PHARMACY["address"]]
    assert thread(vendor, ours)["identity"].startswith("idt_")


def _ids(client: Client, one: dict[str, Any]) -> list[str]:
    return [d["uniqueId"] for d in whole(client, one["id"]).get("documents", [])]


def _doctor() -> dict[str, Any]:
    return content(documents.report(1))["authors"][0]["professional"]  # type: ignore[no-any-return]


def test_a_patients_mail_is_no_part_of_it(vendor: Client) -> None:
    """Answering professionals and telling the patient: the patient's mail begins a conversation of its own."""
    first = say(vendor, recipients=[PHARMACY], body="Avis ?", actor=_doctor())
    kept = post(vendor, documents.report(next(numbers)), deliverTo={"dmp": False}).json()
    both = say(vendor, documents=[{"id": kept["id"]}], recipients=[PHARMACY, CITIZEN], inReplyTo=first["thread"])
    done = follow_message(vendor, both["id"])
    threads = [delivery["thread"] for delivery in done["deliveries"]]
    assert threads[0] == first["thread"]
    assert threads[1] != first["thread"]
    assert thread(vendor, threads[1])["audience"] == "citizen"
    assert thread(vendor, threads[1])["items"][0]["recipients"] == ["***@patient.mssante.fr"]


def test_words_to_a_patient_in_their_conversation(vendor: Client, running: Demonstration) -> None:
    """A conversation knows its patient: an answer to it needs no document, and its address is theirs or refused."""
    kept = post(vendor, documents.report(next(numbers)), deliverTo={"dmp": False}).json()
    first = say(vendor, documents=[{"id": kept["id"]}], recipients=[CITIZEN])
    follow_message(vendor, first["id"])
    again = say(
        vendor, recipients=[CITIZEN], subject="[FIN]", body="Fin.", inReplyTo=first["id"], noReply=True, actor=_doctor()
    )
    done = follow_message(vendor, again["id"])
    assert done["state"] == "completed", done
    assert headers(running, done["deliveries"][0]["reference"])["X-MSS-MES"] == "FIN"
    other = CITIZEN | {"address": "260058815400233@patient.mssante.fr"}
    wrong = say(vendor, recipients=[other], body="x", inReplyTo=first["id"], actor=_doctor())
    refused = follow_message(vendor, wrong["id"])
    assert (refused["state"], refused["deliveries"][0]["outcome"]["code"]) == ("failed", "MSS-ADR-006")


def test_a_conversation_of_another_structure_does_not_exist(vendor: Client, pharmacy: Client) -> None:
    """Neither read nor answered."""
    said = say(vendor, recipients=[PHARMACY], body="x", actor=_doctor())
    assert pharmacy.request("GET", f"/v1/threads/{said['thread']}").status_code == 404
    actor = content(documents.dispensation(next(numbers)))["authors"][0]["professional"]
    answer = pharmacy.request(
        "POST",
        "/v1/messages",
        content=orjson.dumps({"recipients": [CABINET], "body": "x", "inReplyTo": said["thread"], "actor": actor}),
        headers={"Idempotency-Key": "elsewhere", "Content-Type": "application/json"},
    )
    assert answer.status_code == 422
