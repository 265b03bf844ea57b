"""The inbox over HTTP, SMTP and IMAP: what another structure or a stranger sends, how it is filed and answered."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from adapters.mss.sandbox import MssSandbox
from adapters.mss.unpack import XDM_LIMITS
from gateway.demonstration import Client, Demonstration
from gateway.journey.clock import utc_now
from security.pki import make_sandbox_pki
from security.webhooks import verify
from security.zip import read_archive, write_archive
from tests.acceptance.conftest import fault, follow, post
from tests.acceptance.mail import CABINET, PHARMACY, received, say, until, whole
from tests.acceptance.test_following import Listener
from tests.support import documents
from tests.support.mss import cda, draft, package

numbers = itertools.count(9800)

#: A number nobody here has, with its key.
STRANGER = f"2790351215190{97 - 2790351215190 % 97:02d}"


@pytest.fixture(scope="module", autouse=True)
def _readers(running: Demonstration) -> None:
    """Both structures' mailboxes have their reader, so that none is answered in its place."""
    boxes = running.sandbox.mss.boxes
    until(lambda: [boxes.opened(one["address"]) for one in (CABINET, PHARMACY)], all)


def known_to(client: Client, number: int, **patient: Any) -> dict[str, Any]:
    """A patient of the pharmacy's own files: a dispensation was made for them."""
    document = documents.dispensation(number)
    document["patient"] |= {"identifiers": [{"root": "1.2.250.1.999.9.6", "extension": f"PH{number}"}]} | patient
    answer = post(client, document, deliverTo={"dmp": False})
    assert answer.status_code == 202, answer.text
    return document


def send_report(vendor: Client, patient: dict[str, Any] | None = None, **mss: Any) -> tuple[dict[str, Any], str]:
    """A report mailed by the cabinet to the pharmacy; its receipt and unique id."""
    document = documents.report(next(numbers))
    document["patient"] |= patient or {}
    answer = post(vendor, document, deliverTo={"dmp": False, "mss": {"recipients": [PHARMACY], **mss}})
    assert answer.status_code == 202, answer.text
    return answer.json(), document["id"]["root"]


def arrived(pharmacy: Client, unique_id: str) -> dict[str, Any]:
    """The mail that carries a document, read whole."""

    def carries(one: dict[str, Any]) -> bool:
        documents = whole(pharmacy, one["id"]).get("documents", [])
        return unique_id in [d["uniqueId"] for d in documents]

    return whole(pharmacy, received(pharmacy, carries)["id"])


@pytest.fixture(scope="module")
def patient(pharmacy: Client) -> dict[str, Any]:
    """The usual patient, known to the pharmacy too."""
    found: dict[str, Any] = known_to(pharmacy, next(numbers))["patient"]
    return found


@pytest.fixture
def operator(running: Demonstration) -> Iterator[httpx.Client]:
    """The simulator's own interface."""
    assert running.access is not None
    with httpx.Client(base_url=running.access.simulators["mss"]["api"], trust_env=False, timeout=10) as client:
        yield client


def put(operator: httpx.Client, data: bytes) -> None:
    """Put a mail into the mailboxes of its To header, as another operator would."""
    operator.post("/deliveries", content=data).raise_for_status()


def recipient_of(vendor: Client, receipt: dict[str, Any], state: str) -> dict[str, Any]:
    """The only recipient of a document, once it is in a state."""
    body = follow(vendor, receipt["id"], lambda b: b["deliveries"][0]["recipientStates"][0]["state"] == state)
    found: dict[str, Any] = body["deliveries"][0]["recipientStates"][0]
    return found


def test_a_document_filed_and_answered(vendor: Client, pharmacy: Client, patient: dict[str, Any]) -> None:
    """Byte for byte the same, a FHIR Bundle beside it, matched beyond doubt; acknowledged, its sender sees it read."""
    receipt, unique_id = send_report(vendor)
    mail = arrived(pharmacy, unique_id)
    assert (mail["state"], mail["kind"], mail["match"], mail["trusted"]) == ("new", "document", "exact", True)
    assert mail["identity"].startswith("idt_")
    assert mail["sender"] == CABINET["address"]
    assert "XDM/1.0" not in mail["subject"]
    (document,) = mail["documents"]
    assert (document["typeCode"], document["kind"]) == ("11488-4", "report")
    sent = vendor.request("GET", f"/v1/documents/{receipt['id']}/cda").content
    assert pharmacy.request("GET", document["links"]["cda"]).content == sent
    bundle = orjson.loads(pharmacy.request("GET", document["links"]["fhir"]).content)
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "document")
    assert "<html" in pharmacy.request("GET", document["links"]["view"]).text
    assert recipient_of(vendor, receipt, "delivered")
    assert mail["answer"] == {"wanted": True, "state": "none"}

    done = pharmacy.request("POST", f"/v1/inbox/{mail['id']}/acknowledge").json()
    assert (done["state"], done["answer"]["code"]) == ("acknowledged", "processed")
    assert recipient_of(vendor, receipt, "read")
    told = until(lambda: whole(pharmacy, mail["id"])["answer"], lambda a: a["state"] == "sent")
    assert told["code"] == "processed"
    # The same again is the same; another word is refused.
    assert pharmacy.request("POST", f"/v1/inbox/{mail['id']}/acknowledge").status_code == 200
    refused = pharmacy.request("POST", f"/v1/inbox/{mail['id']}/reject", json={"code": "902"})
    assert refused.status_code == 409


@pytest.mark.parametrize("code", ["900", "901", "902", "903", "904", "905", "906"])
def test_every_integration_error_reaches_the_sender(vendor: Client, pharmacy: Client, code: str) -> None:
    """Rejected with a code of the table: the sender's recipient failed, with that code and its words."""
    receipt, unique_id = send_report(vendor)
    mail = arrived(pharmacy, unique_id)
    answer = pharmacy.request("POST", f"/v1/inbox/{mail['id']}/reject", json={"code": code})
    assert answer.status_code == 200, answer.text
    recipient = recipient_of(vendor, receipt, "failed")
    assert (recipient["code"], recipient["originalCode"]) == (f"MSS-MDN-{code}", code)


def test_a_code_outside_the_table_is_refused(pharmacy: Client, vendor: Client) -> None:
    """900 to 906, nothing else."""
    _, unique_id = send_report(vendor)
    mail = arrived(pharmacy, unique_id)
    assert pharmacy.request("POST", f"/v1/inbox/{mail['id']}/reject", json={"code": "907"}).status_code == 422


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"firstGivenName": "DENIS", "givenNames": "DENIS"}, "doubtful"),
        ({"birthDate": "1979-03-29"}, "doubtful"),
        ({"birthName": "PAT-DIX"}, "doubtful"),
        ({"ins": {"value": STRANGER, "authority": "1.2.250.1.213.1.4.10"}}, "unknown"),
    ],
)
def test_never_filed_on_a_doubtful_match(
    vendor: Client, pharmacy: Client, patient: dict[str, Any], changed: dict[str, Any], match: str
) -> None:
    """The number known and one trait different, or a number nobody knows: left to a person, who names the patient."""
    own = {"identifiers": [{"root": "1.2.250.1.999.9.5", "extension": f"IPP{next(numbers)}"}]}
    _, unique_id = send_report(vendor, changed | own)
    mail = arrived(pharmacy, unique_id)
    assert mail["match"] == match
    assert "identity" not in mail
    _, other = send_report(vendor)
    identity = arrived(pharmacy, other)["identity"]
    unknown = pharmacy.request("POST", f"/v1/inbox/{mail['id']}/acknowledge", json={"identity": "idt_nobody"})
    assert unknown.status_code == 422
    done = pharmacy.request("POST", f"/v1/inbox/{mail['id']}/acknowledge", json={"identity": identity}).json()
    assert (done["state"], done["identity"], done["match"]) == ("acknowledged", identity, match)


def test_two_files_of_one_number_are_a_doubt(vendor: Client, pharmacy: Client) -> None:
    """Two local files hold the same INS: which one is for a person to say."""
    twin = {"ins": {"value": "260058815400233", "authority": "1.2.250.1.213.1.4.10"}, "birthName": "PAT-DOUBLE"}
    for _ in range(2):
        known_to(pharmacy, next(numbers), **twin)
    own = {"identifiers": [{"root": "1.2.250.1.999.9.5", "extension": f"IPP{next(numbers)}"}]}
    _, unique_id = send_report(vendor, twin | own)
    assert arrived(pharmacy, unique_id)["match"] == "doubtful"


def test_a_hostile_archive_is_refused_whole(pharmacy: Client, operator: httpx.Client) -> None:
    """Named, nothing of it kept but its header, and its sender told 906 without being asked."""
    made = package(cda("77"))
    good = made.data
    bad = good.replace(b"IHE_XDM/SUBSET01/DOC00001.XML", b"IHE_XDM/SUBSET01/../../../EVIL")
    data = mail_to_pharmacy(archive=bad)
    put(operator, data)
    found = received(pharmacy, lambda one: one["state"] == "refused" and one["reasons"][0]["code"] == "MSS-XDM-001")
    detail = whole(pharmacy, found["id"])
    assert (detail["documents"], detail.get("text"), detail["match"]) == ([], None, "none")
    assert detail["answer"]["code"] == "906"
    until(lambda: whole(pharmacy, found["id"])["answer"]["state"], lambda state: state == "sent")
    refused = pharmacy.request("POST", f"/v1/inbox/{found['id']}/acknowledge")
    assert refused.status_code == 409


def nested() -> bytes:
    """A mail of a thousand parts, each inside the other."""
    data = mail_to_pharmacy()
    head = data.partition(b"Content-Type: multipart/mixed")[0]
    parts = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(1000))
    return head + parts + b"\r\nend\r\n"


def wrong_hash() -> bytes:
    """A document that is not the one METADATA.XML announces."""
    made = package(cda("78"))
    entries = read_archive(made.data, XDM_LIMITS)
    name = "IHE_XDM/SUBSET01/METADATA.XML"
    sha1 = hashlib.sha1(entries["IHE_XDM/SUBSET01/DOC00001.XML"], usedforsecurity=False).hexdigest().encode()
    entries = dict(entries) | {name: entries[name].replace(sha1, b"0" * 40)}
    return mail_to_pharmacy(archive=write_archive(entries.items(), utc_now()))


def other_patient() -> bytes:
    """METADATA.XML about one person, the document about another."""
    made = package(cda("79"))
    entries = read_archive(made.data, XDM_LIMITS)
    name = "IHE_XDM/SUBSET01/METADATA.XML"
    changed = entries[name].replace(b"279035121518989", b"260058815400233")
    return mail_to_pharmacy(archive=write_archive((dict(entries) | {name: changed}).items(), utc_now()))


def injected() -> bytes:
    """A subject whose decoded value would begin another header."""
    before, _, rest = mail_to_pharmacy().partition(b"\r\nSubject: ")
    after = rest[rest.index(b"\r\nX-MSS-CODECDA") :]
    return before + b"\r\nSubject: =?utf-8?q?XDM/1.0/DDM+x=0D=0ABcc:_a=40b.fr?=" + after


@pytest.mark.parametrize(
    ("make", "reason", "code"),
    [
        (nested, "MSS-MIME-002", "906"),
        (wrong_hash, "MSS-XDM-005", "906"),
        (other_patient, "MSS-XDM-009", "904"),
        (injected, "MSS-MIME-004", "906"),
    ],
)
def test_what_is_wrong_is_refused_whole(
    pharmacy: Client, operator: httpx.Client, make: Any, reason: str, code: str
) -> None:
    """Each fault has its name, nothing of the mail is kept, and its sender is told the code that fits."""
    put(operator, make())
    found = received(pharmacy, lambda one: reason in [fault["code"] for fault in one["reasons"]])
    assert (found["state"], found["answer"]["code"], found["documentCount"]) == ("refused", code, 0)
    told = until(lambda: whole(pharmacy, found["id"])["answer"]["state"], lambda state: state != "due")
    assert told == "sent"


def test_a_notice_is_sent_again_when_the_operator_cannot_take_it(
    running: Demonstration, vendor: Client, pharmacy: Client
) -> None:
    """Put off, then taken: the sender is told all the same, and once."""
    receipt, unique_id = send_report(vendor)
    mail = arrived(pharmacy, unique_id)
    recipient_of(vendor, receipt, "delivered")
    fault(running, "mss", fault="4xx", transaction="MAIL", parameters={"code": 451, "text": "4.3.0 later"})
    pharmacy.request("POST", f"/v1/inbox/{mail['id']}/acknowledge").raise_for_status()
    recipient_of(vendor, receipt, "read")
    assert until(lambda: whole(pharmacy, mail["id"])["answer"]["state"], lambda state: state == "sent")


_hostile = itertools.count(1)


def mail_to_pharmacy(**changes: Any) -> bytes:
    """A mail of a stranger of the trust space to the pharmacy."""
    number = next(_hostile)
    made = package(cda(str(500 + number)))
    return mail_data(
        made,
        recipients=(PHARMACY["address"],),
        message_id=f"<stranger.{number}@hopital.formation.mssante.fr>",
        **changes,
    )


def mail_data(made: Any, **changes: Any) -> bytes:
    """The bytes of a mail, with an archive of the test's own where it gives one."""
    from adapters.mss.message import build_mail

    return build_mail(draft(made, **changes)).data


def test_the_same_mail_comes_once(pharmacy: Client, operator: httpx.Client) -> None:
    """The operator delivers it twice (a lost answer): one mail in the inbox."""
    data = mail_to_pharmacy()
    put(operator, data)
    put(operator, data)
    put(operator, mail_to_pharmacy())  # what comes after shows that both were read
    text = data.decode("ascii", "replace")
    reference = text.partition("Message-ID: ")[2].partition("\r\n")[0]
    number = int(reference.removeprefix("<stranger.").partition("@")[0])
    received(pharmacy, lambda one: f"1.2.250.1.999.7.{501 + number}" in ids(pharmacy, one))
    page = pharmacy.request("GET", "/v1/inbox", params={"limit": 100}).json()["items"]
    assert len([one for one in page if f"1.2.250.1.999.7.{500 + number}" in ids(pharmacy, one)]) == 1


def ids(client: Client, one: dict[str, Any]) -> list[str]:
    """The unique ids of the documents of a mail of the list."""
    return [d["uniqueId"] for d in whole(client, one["id"]).get("documents", [])]


def test_a_sender_outside_the_white_list_is_marked(pharmacy: Client, operator: httpx.Client) -> None:
    """Kept, and said not to be trusted."""
    data = mail_to_pharmacy().replace(b"cabinet@structure.formation.mssante.fr", b"cabinet@ailleurs.example.mssante.fr")
    put(operator, data)
    found = received(pharmacy, lambda one: not one["trusted"])
    assert found["sender"] == "cabinet@ailleurs.example.mssante.fr"
    assert [reason["code"] for reason in found["reasons"]] == ["MSS-MIME-005"]


def test_plain_words_and_a_citizens_answer(pharmacy: Client, vendor: Client, operator: httpx.Client) -> None:
    """Words between professionals are kept; a patient's address shows its domain only."""
    say(vendor, recipients=[PHARMACY], subject="Rupture", body="Plus de METFORMINE ?", actor=documents.DOCTOR)
    found = received(pharmacy, lambda one: whole(pharmacy, one["id"])["subject"] == "Rupture")
    assert (found["kind"], whole(pharmacy, found["id"])["text"]) == ("message", "Plus de METFORMINE ?")
    put(
        operator,
        b"From: PAT-TROIS Dominique <279035121518989@patient.mssante.fr>\r\n"
        b"To: officine@pharmacien.formation.mssante.fr\r\nSubject: Merci\r\n"
        b"Message-ID: <c1@patient.mssante.fr>\r\n\r\nMerci\r\n",
    )
    citizen = received(pharmacy, lambda one: one["kind"] == "citizen")
    assert citizen["sender"] == "***@patient.mssante.fr"
    assert "279035121518989" not in orjson.dumps(whole(pharmacy, citizen["id"])).decode()


def test_an_automatic_reply_is_put_away(pharmacy: Client, operator: httpx.Client) -> None:
    """Out of office: no mail in the inbox."""
    head = b"From: a@medecin.formation.mssante.fr\r\nTo: officine@pharmacien.formation.mssante.fr\r\n"
    put(operator, head + b"Subject: Absence\r\nAuto-Submitted: auto-replied\r\nMessage-ID: <o1@x.fr>\r\n\r\nAbsent\r\n")
    put(operator, head + b"Subject: Apres\r\nMessage-ID: <o2@x.fr>\r\n\r\nApres\r\n")
    received(pharmacy, lambda one: whole(pharmacy, one["id"])["subject"] == "Apres")
    subjects = [whole(pharmacy, one["id"])["subject"] for one in pharmacy.request("GET", "/v1/inbox").json()["items"]]
    assert "Absence" not in subjects


def test_pages_and_filters(pharmacy: Client, vendor: Client) -> None:
    """Newest first, each once, whatever the size of the page; by state, kind and match."""
    for _ in range(3):
        send_report(vendor)
    until(lambda: len(pharmacy.request("GET", "/v1/inbox", params={"state": "new"}).json()["items"]), lambda n: n >= 3)
    every = [one["id"] for one in pharmacy.request("GET", "/v1/inbox", params={"limit": 500}).json()["items"]]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = pharmacy.request("GET", "/v1/inbox", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [one["id"] for one in page["items"]]
        cursor = page.get("cursor")
        if cursor is None:
            break
    assert sorted(seen) == sorted(set(seen))
    assert seen[-len(every) :] == every[-len(seen) :]
    for name, value in (("state", "refused"), ("kind", "citizen"), ("match", "exact")):
        rows = pharmacy.request("GET", "/v1/inbox", params={name: value}).json()["items"]
        assert {one[name] for one in rows} <= {value}


def test_one_structure_does_not_see_anothers_mail(vendor: Client, pharmacy: Client) -> None:
    """The cabinet finds nothing of the pharmacy's inbox, not even by id."""
    _, unique_id = send_report(vendor)
    mail = arrived(pharmacy, unique_id)
    assert vendor.request("GET", f"/v1/inbox/{mail['id']}").status_code == 404
    assert vendor.request("GET", mail["documents"][0]["links"]["cda"]).status_code == 404
    assert vendor.request("POST", f"/v1/inbox/{mail['id']}/acknowledge").status_code == 404


def test_the_mailbox_is_tidy(running: Demonstration, vendor: Client, pharmacy: Client) -> None:
    """What was read is out of the inbox of the server, marked, in a folder of its own."""
    _, unique_id = send_report(vendor)
    arrived(pharmacy, unique_id)
    boxes = running.sandbox.mss.boxes
    until(lambda: boxes.content(PHARMACY["address"]), lambda left: not left)
    read = boxes.content(PHARMACY["address"], "Traites")
    assert read
    assert all("\\SEEN" in {flag.upper() for flag in one.flags} for one in read)


def test_a_webhook_tells_what_arrives(vendor: Client, pharmacy: Client, patient: dict[str, Any]) -> None:
    """Signed, once a mail, with ids only: never an address, a name or a word of the document."""
    listener = Listener()
    try:
        made = pharmacy.request("POST", "/v1/webhooks", json={"url": listener.url})
        assert made.status_code == 201, made.text
        _, unique_id = send_report(vendor)
        mail = arrived(pharmacy, unique_id)
        headers, body = listener.wait(1, mail["id"])[0]
        verify(headers["Passerelle-Signature"], made.json()["secret"], body, utc_now())
        said = orjson.loads(body)
        assert (said["type"], said["message"], said["match"]) == ("message.received", mail["id"], "exact")
        assert (said["thread"], said["refused"], said["kind"]) == (mail["thread"], False, "document")
        for hidden in (CABINET["address"], "PAT-TROIS", "279035121518989"):
            assert hidden.encode() not in body
        pharmacy.request("DELETE", f"/v1/webhooks/{made.json()['id']}")
    finally:
        listener.server.shutdown()
        listener.server.server_close()


def test_answered_at_once_on_an_exact_match_and_a_list_that_is_fetched(tmp_path: Path) -> None:
    """By setting, a match beyond doubt is answered by itself; the white list comes from where it is published."""
    with MssSandbox(make_sandbox_pki(tmp_path / "pki")) as published:
        settings = {
            "mss": {
                "white_list": (),
                "white_list_url": f"{published.api}/listeblanchemssante.xml",
                "white_list_minimum": 3,
                "max_wait_seconds": 0.1,
            },
            "imap": {"answer": "matched"},
        }
        with Demonstration(tmp_path / "demo", pool_processes=0, settings=settings).running() as running:
            vendor, pharmacy = running.client("vendor"), running.client("pharmacy")
            boxes = running.sandbox.mss.boxes
            until(lambda: boxes.opened(PHARMACY["address"]), bool)
            until(lambda: (tmp_path / "demo" / "gateway" / "white-list.xml").exists(), bool)
            known_to(pharmacy, next(numbers))
            receipt, unique_id = send_report(vendor)
            mail = arrived(pharmacy, unique_id)
            assert (mail["state"], mail["match"], mail["trusted"]) == ("acknowledged", "exact", True)
            assert recipient_of(vendor, receipt, "read")
            own = {"identifiers": [{"root": "1.2.250.1.999.9.5", "extension": "D1"}], "birthDate": "1979-03-29"}
            _, other = send_report(vendor, own)
            assert arrived(pharmacy, other)["state"] == "new"
            vendor.http.close()
            pharmacy.http.close()
