"""Two structures of one gateway over Postfix and Dovecot: sent, bounced late, sent elsewhere, read, answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from gateway import tenants
from gateway.context import Gateway
from gateway.demonstration import Client, Role, _serving, free_port
from gateway.journey.clock import utc_now
from gateway.runtime import open_gateway
from gateway.settings import Settings
from security.pki import SandboxPki
from security.tokens import make_client_key
from tests.integration.mss.servers import DOMAINS, GONE, MailServers
from tests.support import documents
from tests.support.mss import DOCTOR, NURSE, SENDER

HOSPITAL = "cabinet@hopital.formation.mssante.fr"
SCOPES = ("documents:write", "documents:read", "messages:write", "messages:read", "feeds:read")


class Structures:
    """A running gateway, and the software of each structure."""

    def __init__(self, gateway: Gateway, clients: dict[str, Client]) -> None:
        self.gateway = gateway
        self.clients = clients


@contextmanager
def structures(
    folder: Path, pki: SandboxPki, settings: dict[str, Any], boxes: dict[str, tuple[str, str]]
) -> Iterator[Structures]:
    """A gateway for structures given by mailbox: number and name; each with a certificate that names its mailbox."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    gateway = open_gateway(
        Settings.model_validate(
            {
                "environment": "test",
                "base_url": base,
                "data_dir": folder / "gateway",
                "poll_seconds": 0.1,
                "retry_first_seconds": 0.2,
                "pool_processes": 0,
                **settings,
            }
        )
    )
    clients: dict[str, Client] = {}

    def add(connection: Any) -> None:
        for mailbox, (number, name) in boxes.items():
            files = pki.authority().issue([("C", "FR"), ("CN", mailbox)], "client").write(folder, mailbox)
            made = tenants.add_tenant(
                connection,
                structure_id=number,
                name=name,
                activity_sector="SA07",
                references={
                    "mailbox": mailbox,
                    "mssCertificate": str(files.cert_path),
                    "mssKey": str(files.key_path),
                },
                now=utc_now(),
            )
            pem, jwks = make_client_key("P-256")
            path = folder / f"{number}.pem"
            path.write_bytes(pem)
            tenants.add_client(
                connection,
                client_id=f"client-{number}",
                name=name,
                jwks=jwks,
                scopes=SCOPES,
                acts_for=(made.id,),
                actors=None,
                now=utc_now(),
            )
            clients[mailbox] = Client.open(base, Role(client_id=f"client-{number}", private_key=path, scopes=SCOPES))

    gateway.store.write_now(add)
    with _serving(gateway, port):
        yield Structures(gateway, clients)
    for client in clients.values():
        client.http.close()


def mail_settings(servers: MailServers, pki: SandboxPki, *, token: bool = False) -> dict[str, Any]:
    """The settings of a gateway towards the servers."""
    auth = "xoauth2" if token else "none"
    return {
        "mss": {
            "smtp_host": "localhost",
            "smtp_port": servers.submission_token if token else servers.submission_certificate,
            "trust": pki.trust,
            "auth": auth,
            "white_list": DOMAINS,
            "max_wait_seconds": 0.5,
        },
        "imap": {
            "host": "localhost",
            "port": servers.imap_token if token else servers.imap_certificate,
            "auth": "xoauth2" if token else "external",
        },
    }


def until(read: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float = 60) -> Any:
    """Read until something holds."""
    deadline = time.monotonic() + seconds
    while not wanted(found := read()):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def states(body: dict[str, Any]) -> dict[str, str]:
    """The state of each recipient of a document or a message."""
    return {r["address"]: r["state"] for d in body["deliveries"] for r in d["recipientStates"]}


def send(client: Client, path: str, asked: dict[str, Any], key: str) -> dict[str, Any]:
    """Ask for something to be sent."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    answer = client.request("POST", path, content=orjson.dumps(asked), headers=headers)
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    return body


def report(number: int) -> dict[str, Any]:
    """A report as JSON."""
    value: dict[str, Any] = documents.load(documents.report(number)).model_dump(
        mode="json", exclude_none=True, by_alias=True
    )
    return value


def test_bounced_sent_again_read_and_replied(real_servers: MailServers, server_pki: SandboxPki, tmp_path: Path) -> None:
    """A mailbox that is gone bounces late; the document goes elsewhere, arrives byte for byte, is acknowledged there;
    every state comes from a real notice, and the reply joins the conversation on both sides."""
    boxes = {SENDER: ("1290099886", "CABINET FICTIF"), HOSPITAL: ("1750803447", "HOPITAL FICTIF")}
    with structures(tmp_path, server_pki, mail_settings(real_servers, server_pki), boxes) as both:
        cabinet, hospital = both.clients[SENDER], both.clients[HOSPITAL]
        asked = {
            "document": report(1),
            "deliverTo": {"dmp": False, "mss": {"recipients": [{"address": GONE}, {"address": DOCTOR}]}},
        }
        sent = send(cabinet, "/v1/documents", asked, "first")
        body = until(
            lambda: cabinet.request("GET", f"/v1/documents/{sent['id']}").json(),
            lambda b: states(b) == {GONE: "failed", DOCTOR: "delivered"},
        )
        assert body["state"] == "completed"
        gone = next(r for d in body["deliveries"] for r in d["recipientStates"] if r["address"] == GONE)
        assert gone["code"] == "MSS-OUT-ADDRESS"
        assert {h["by"] for h in body["history"] if h["subject"] == "recipient"} == {"gateway:mss", "notice:dsn"}

        again = send(
            cabinet,
            "/v1/messages",
            {"documents": [{"id": sent["id"]}], "recipients": [{"address": HOSPITAL, "kind": "structure"}]},
            "again",
        )
        page = until(lambda: hospital.request("GET", "/v1/inbox").json()["items"], bool)
        mail = hospital.request("GET", f"/v1/inbox/{page[0]['id']}").json()
        ours = cabinet.request("GET", f"/v1/documents/{sent['id']}/cda").content
        assert hospital.request("GET", mail["documents"][0]["links"]["cda"]).content == ours
        assert hospital.request("GET", mail["documents"][0]["links"]["fhir"]).status_code == 200
        assert mail["match"] == "unknown"
        hospital.request("POST", f"/v1/inbox/{mail['id']}/acknowledge").raise_for_status()
        until(
            lambda: cabinet.request("GET", f"/v1/messages/{again['id']}").json(),
            lambda b: states(b) == {HOSPITAL: "read"},
        )

        doctor = report(1)["authors"][0]["professional"]
        doctor["organization"]["id"]["extension"] = "1750803447"
        reply = {
            "recipients": [{"address": SENDER, "kind": "structure"}],
            "subject": "Merci",
            "body": "Bien reçu.",
            "inReplyTo": mail["id"],
            "actor": doctor,
        }
        send(hospital, "/v1/messages", reply, "reply")
        thread = until(
            lambda: cabinet.request("GET", f"/v1/threads/{again['thread']}").json(), lambda t: len(t["items"]) == 2
        )
        assert [item["direction"] for item in thread["items"]] == ["sent", "received"]
        assert thread["items"][1]["subject"] == "Merci"
        counts = cabinet.request("GET", "/v1/feeds/counts", params={"by": "outcome"}).json()["rows"]
        told = {row["by"]["outcome"]: row["count"] for row in counts if row["service"] == "mss.message"}
        assert told == {"submitted": 2, "delivered": 2, "failed": 1, "read": 1}


def test_a_session_opens_the_mailbox(real_servers: MailServers, server_pki: SandboxPki, tmp_path: Path) -> None:
    """Without a Pro Santé Connect session mail waits and says so; with one it leaves, and its notices are read."""
    settings = mail_settings(real_servers, server_pki, token=True)
    with structures(tmp_path, server_pki, settings, {NURSE: ("1290099886", "CABINET FICTIF")}) as one:
        client = one.clients[NURSE]
        asked = {
            "document": report(2),
            "deliverTo": {"dmp": False, "mss": {"recipients": [{"address": DOCTOR}]}},
        }
        sent = send(client, "/v1/documents", asked, "token")

        def delivery() -> dict[str, Any]:
            body: dict[str, Any] = client.request("GET", f"/v1/documents/{sent['id']}").json()["deliveries"][0]
            return body

        waiting = until(delivery, lambda d: d["state"] == "retrying")
        assert waiting["reason"] == "MSS-OUT-TOKEN"

        async def token() -> str:
            return real_servers.token(NURSE)

        one.gateway.mail_sessions.open(NURSE, token)
        until(delivery, lambda d: d["recipientStates"][0]["state"] == "delivered")
