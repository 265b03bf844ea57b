"""Messages over HTTP: several documents of one patient, words alone, teams, and who may ask for what."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import httpx
import orjson
import pytest

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import body_of, post, simulator
from tests.acceptance.mail import CITIZEN, PRO, follow_message, say
from tests.support import documents
from tests.unit.gateway.conftest import unqualified

numbers = itertools.count(9600)

#: A type that no other test here mails, so that notices still on their way are not counted with it.
TELEMEDICINE = {"code": "75496-0", "display": "Demande d'acte de télémédecine", "system": documents.LOINC}


def content(document: dict[str, Any]) -> dict[str, Any]:
    """A document as it stands in a message."""
    value: dict[str, Any] = orjson.loads(body_of(document))["document"]
    return value


def kept(vendor: Client, document: dict[str, Any] | None = None) -> dict[str, Any]:
    """A document already in charge, delivered nowhere."""
    answer = post(vendor, document or documents.report(next(numbers)), deliverTo={"dmp": False})
    assert answer.status_code == 202, answer.text
    receipt: dict[str, Any] = answer.json()
    return receipt


def mail_of(running: Demonstration, message: dict[str, Any], index: int = 0) -> dict[str, Any]:
    """What the operator has of a message."""
    reference = message["deliveries"][index]["reference"]
    (found,) = simulator(running, "mss", f"/messages?messageId={reference}").json()
    raw = simulator(running, "mss", f"/messages/{found['id']}/raw").content
    return found | {"raw": raw}


def test_several_documents_of_one_patient_in_one_mail(running: Demonstration, vendor: Client) -> None:
    """One already kept and one new: one archive with both, one subject that says so."""
    first = kept(vendor)
    new = documents.prescription(next(numbers))
    said = say(vendor, documents=[{"id": first["id"]}, {"document": content(new)}], recipients=[PRO])
    done = follow_message(vendor, said["id"])
    assert done["state"] == "completed"
    assert done["documents"][0] == first["id"]
    mail = mail_of(running, done)
    assert [d["uniqueId"] for d in mail["documents"]] == [first["uniqueId"], new["id"]["root"]]
    assert "2 documents" in mail["subject"]
    assert mail["raw"].count(b"Content-Type: application/pdf") == 2
    # The new document was taken in charge like any other, without going to the DMP.
    receipt = vendor.request("GET", f"/v1/documents/{done['documents'][1]}").json()
    assert (receipt["state"], receipt["deliveries"]) == ("completed", [])


def test_words_alone(running: Demonstration, vendor: Client) -> None:
    """A plain message to colleagues: subject and words, no archive, and the states of its recipients."""
    said = say(vendor, recipients=[PRO], subject="Avis", body="Bonjour,\nUn avis ?", actor=documents.DOCTOR)
    done = follow_message(vendor, said["id"], "read")
    mail = mail_of(running, done)
    assert mail["subject"] == "Avis"
    assert mail["documents"] == []
    assert b"X-MSS-CODECDA" not in mail["raw"]
    assert [r["to"] for r in done["history"] if r["subject"] == "message"] == ["accepted", "completed"]


def test_professionals_and_patient_get_mails_of_their_own(running: Demonstration, vendor: Client) -> None:
    """Two mails, two conversations; both carry the document."""
    first = kept(vendor)
    said = say(vendor, documents=[{"id": first["id"]}], recipients=[PRO, CITIZEN])
    done = follow_message(vendor, said["id"], "read")
    assert len({d["thread"] for d in done["deliveries"]}) == 2
    sent = [mail_of(running, done, index) for index in (0, 1)]
    assert [len(mail["recipients"]) for mail in sent] == [1, 1]
    assert sent[0]["recipients"] != sent[1]["recipients"]
    assert [r["address"] for d in done["deliveries"] for r in d["recipientStates"]] == [
        PRO["address"],
        "***@patient.mssante.fr",
    ]


def test_a_team_is_written_to_by_name(running: Demonstration, vendor: Client, auditor: Client) -> None:
    """Its members get one message between them; the ledger counts one message and a delivery each."""
    members = [
        {"address": f"membre{n}@medecin.formation.mssante.fr", "kind": "professional", "label": f"Membre {n}"}
        for n in range(4)
    ]
    again = {name: members[0][name] for name in ("address", "kind")}
    members.append({"address": "accueil@hopital.formation.mssante.fr", "kind": "structure"})
    made = vendor.request("POST", "/v1/teams", json={"name": "CPTS du Léon", "kind": "cpts", "members": members})
    assert made.status_code == 201, made.text
    assert [t["name"] for t in vendor.request("GET", "/v1/teams").json()] == ["CPTS du Léon"]

    def count() -> Counter[str]:
        rows = auditor.request("GET", "/v1/feeds/counts", params={"by": "outcome,type"}).json()["rows"]
        mine = [r for r in rows if r["service"] == "mss.message" and r["by"]["type"] == TELEMEDICINE["code"]]
        return Counter({r["by"]["outcome"]: r["count"] for r in mine})

    before = count()
    document = documents.report(next(numbers))
    document["type"] = document["acts"][0]["code"] = TELEMEDICINE
    first = kept(vendor, document)
    said = say(vendor, documents=[{"id": first["id"]}], teams=["CPTS du Léon"], recipients=[again])
    done = follow_message(vendor, said["id"], "read")
    assert len(mail_of(running, done)["recipients"]) == 5
    more = count()
    more.subtract(before)
    assert +more == {"submitted": 1, "delivered": 5, "read": 5}
    # The same team, by its id, where a document is delivered.
    receipt = post(
        vendor,
        documents.report(next(numbers)),
        deliverTo={"dmp": False, "mss": {"teams": [made.json()["id"]]}},
    ).json()
    assert receipt["deliveries"][0]["recipients"] == 5
    gone = vendor.request("DELETE", f"/v1/teams/{made.json()['id']}")
    assert gone.status_code == 204
    assert vendor.request("DELETE", f"/v1/teams/{made.json()['id']}").status_code == 404
    assert vendor.request("GET", "/v1/teams").json() == []


def test_the_same_key_gives_the_first_receipt(vendor: Client) -> None:
    """Asked twice, sent once; another content under the same key is refused."""
    key = f"message-{next(numbers)}"
    options: dict[str, Any] = {"recipients": [PRO], "body": "Bonjour", "actor": documents.DOCTOR}
    first = say(vendor, key=key, **options)
    again = vendor.request("POST", "/v1/messages", json=options, headers={"Idempotency-Key": key})
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
    assert again.json()["id"] == first["id"]
    other = vendor.request("POST", "/v1/messages", json=options | {"body": "Autre"}, headers={"Idempotency-Key": key})
    assert other.status_code == 422


def codes(answer: httpx.Response) -> list[str]:
    """The codes of a refusal."""
    return [fault["code"] for fault in answer.json()["faults"]]


@pytest.mark.parametrize(
    ("asked", "expected", "place"),
    [
        ({"body": "Bonjour"}, "API-MSG-001", "/recipients"),
        ({"recipients": [PRO]}, "API-MSG-008", "/body"),
        ({"recipients": [PRO], "body": "x", "teams": ["inconnue"]}, "API-TEAM-001", "/teams/0"),
        ({"recipients": [PRO], "body": "x", "inReplyTo": "rcv_nowhere"}, "API-MSG-004", "/inReplyTo"),
        ({"recipients": [PRO], "documents": [{}]}, "API-MSG-009", "/documents/0"),
        ({"recipients": [PRO], "documents": [{"id": "doc_nowhere"}]}, "API-MSG-005", "/documents/0/id"),
        ({"recipients": [CITIZEN], "body": "x"}, "API-MSG-007", "/patient"),
        ({"recipients": [CITIZEN | {"kind": "professional"}], "body": "x"}, "API-MSG-003", "/recipients/0/kind"),
        ({"recipients": [PRO | {"address": "é@medecin.formation.mssante.fr"}], "body": "x"}, "MSS-ADR-001", None),
        (
            {"recipients": [PRO | {"address": "a\u000db@medecin.formation.mssante.fr"}], "body": "x"},
            "DOC-JSON-003",
            "/recipients/0/address",
        ),
        ({"recipients": [PRO], "body": "x", "extra": 1}, "DOC-JSON-002", "/extra"),
    ],
)
def test_what_is_refused_at_once(vendor: Client, asked: dict[str, Any], expected: str, place: str | None) -> None:
    """Each fault has its code and its place, and nothing is kept."""
    answer = vendor.request(
        "POST",
        "/v1/messages",
        json={"actor": content(documents.report())["authors"][0]["professional"], **asked},
        headers={"Idempotency-Key": f"refused-{next(numbers)}"},
    )
    assert answer.status_code in (404, 422), answer.text
    assert expected in codes(answer)
    if place is not None:
        assert place in [fault["location"] for fault in answer.json()["faults"]]


def test_documents_of_two_patients_are_refused(vendor: Client) -> None:
    """One mail is about one patient."""
    one, other = kept(vendor), documents.report(next(numbers))
    other["patient"]["identifiers"] = [{"root": "1.2.250.1.999.9.5", "extension": f"P{next(numbers)}"}]
    other["patient"]["birthName"] = "PAT-QUATRE"
    second = kept(vendor, other)
    answer = vendor.request(
        "POST",
        "/v1/messages",
        json={"documents": [{"id": one["id"]}, {"id": second["id"]}], "recipients": [PRO]},
        headers={"Idempotency-Key": f"two-{next(numbers)}"},
    )
    assert (answer.status_code, codes(answer)) == (422, ["MSS-PAT-007"])


def test_a_new_document_with_faults_names_their_place(vendor: Client) -> None:
    """The place of a fault begins where the document stands in the message."""
    bad = content(documents.report(next(numbers)))
    del bad["title"]
    answer = vendor.request(
        "POST",
        "/v1/messages",
        json={"documents": [{"document": bad}], "recipients": [PRO]},
        headers={"Idempotency-Key": f"bad-{next(numbers)}"},
    )
    assert answer.status_code == 422
    assert answer.json()["faults"][0]["location"].startswith("/documents/0/document")


def test_what_needs_which_scope(auditor: Client, vendor: Client) -> None:
    """An auditor reads no mail and sends none; what belongs to another structure does not exist."""
    for method, path in (("POST", "/v1/messages"), ("GET", "/v1/inbox"), ("GET", "/v1/teams"), ("GET", "/v1/messages")):
        assert auditor.request(method, path, json={}).status_code == 403
    for path in ("/v1/messages/msg_x", "/v1/threads/thr_x", "/v1/inbox/rcv_x"):
        assert vendor.request("GET", path).status_code == 404


def test_pages_of_messages(vendor: Client) -> None:
    """Newest first, page by page, each once."""
    sent = [say(vendor, recipients=[PRO], body=str(n), actor=documents.DOCTOR)["id"] for n in range(3)]
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page = vendor.request(
            "GET", "/v1/messages", params={"limit": 1} | ({"cursor": cursor} if cursor else {})
        ).json()
        seen += [m["id"] for m in page["items"]]
        cursor = page.get("cursor")
    assert seen == sent[::-1]
    assert vendor.request("GET", "/v1/messages", params={"cursor": "?"}).status_code == 422


def held_document(vendor: Client) -> dict[str, Any]:
    """A document of a patient whose identity is not qualified, and whom INSi cannot settle."""
    document = unqualified(next(numbers))
    document["patient"]["identifiers"] = [{"root": "1.2.250.1.999.9.5", "extension": f"H{next(numbers)}"}]
    document["patient"]["attributes"] = ["douteux"]
    return kept(vendor, document)


def test_a_message_waits_for_its_patients_identity(vendor: Client) -> None:
    """Held, named in the work list, and let go as soon as the identity is what it must be; or withdrawn."""
    first = held_document(vendor)
    said = say(vendor, documents=[{"id": first["id"]}], recipients=[PRO])
    assert said["deliveries"][0]["state"] == "held"
    pending = vendor.request("GET", "/v1/identities/pending").json()
    mine = [one for one in pending if "doubt" in one["missing"]][-1]
    assert mine["documents"] == 1
    for event in ("CLEAR_DOUTEUX", "PROOF_HIGH_CHECKED"):
        asked = {"event": event} | ({"proof": "CN"} if event.startswith("PROOF") else {})
        answer = vendor.request("POST", f"/v1/identities/{mine['id']}/events", json=asked)
        assert answer.status_code == 200, answer.text
    withdrawn = vendor.request("POST", f"/v1/messages/{said['id']}/withdraw")
    assert withdrawn.status_code == 200, withdrawn.text
    assert (withdrawn.json()["state"], withdrawn.json()["deliveries"][0]["state"]) == ("withdrawn", "withdrawn")
    assert vendor.request("POST", f"/v1/messages/{said['id']}/withdraw").status_code == 409
    assert vendor.request("POST", "/v1/messages/msg_x/withdraw").status_code == 404
