"""What left by mail, what the operator answered and every notice since: kept as proof, sealed, taken out by command."""

from __future__ import annotations

import itertools
import time
from email import message_from_bytes
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog.testing
import typer
from typer.testing import CliRunner

from adapters.mss.receive import MailKind, receive
from gateway.demonstration import Client, Demonstration
from gateway.journey.incoming import apply_notice
from tests.acceptance.conftest import fault, follow, post
from tests.support import documents

numbers = itertools.count(61_000)
DOCTOR = "dr.morel@medecin.formation.mssante.fr"


@pytest.fixture
def command(running: Demonstration, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The evidence command on the running gateway's files."""
    from gateway.commands.evidence import app

    monkeypatch.setenv("PASSERELLE_DATA_DIR", str(running.gateway.settings.data_dir))
    whole = typer.Typer()
    whole.add_typer(app, name="evidence")
    return whole


def mailed(client: Client, state: str) -> dict[str, Any]:
    """A document mailed to a doctor, followed until their state; gives its delivery."""
    number = next(numbers)
    deliver = {"dmp": False, "mss": {"recipients": [{"address": DOCTOR}]}}
    sent = post(client, documents.report(number), key=f"evidence-{number}", deliverTo=deliver)
    assert sent.status_code == 202, sent.text

    def reached(body: dict[str, Any]) -> bool:
        return all(r["state"] == state for d in body["deliveries"] for r in d["recipientStates"])

    delivery: dict[str, Any] = follow(client, sent.json()["id"], reached)["deliveries"][0]
    return delivery


def exported(command: typer.Typer, folder: Path, delivery: str, wanted: set[str]) -> list[dict[str, Any]]:
    """The evidence of a delivery with the bytes of each side, once it holds these transactions."""
    deadline = time.monotonic() + 30
    while True:
        out = folder / f"out-{time.monotonic_ns()}"
        done = CliRunner().invoke(command, ["evidence", "export", "--delivery", delivery, "-o", str(out)])
        lines: list[dict[str, Any]] = orjson.loads((out / "index.json").read_bytes()) if done.exit_code == 0 else []
        if wanted <= {line["transaction"] for line in lines}:
            break
        assert time.monotonic() < deadline, done.output
    for line in lines:
        for side in ("request", "response"):
            name = line[side].get("file")
            line[side]["content"] = (out / name).read_bytes() if name else b""
    return lines


def test_a_mail_and_its_notices_are_taken_out(vendor: Client, command: typer.Typer, tmp_path: Path) -> None:
    """The mail byte for byte with the operator's reply, the delivery notice, the recipient's answer."""
    delivery = mailed(vendor, "read")
    lines = exported(command, tmp_path, delivery["id"], {"submit", "dsn", "mdn"})
    by = {line["transaction"]: line for line in lines}
    assert len(lines) == 3
    assert {line["destination"] for line in lines} == {"mss"}
    mail = message_from_bytes(by["submit"]["request"]["content"])
    assert mail["Message-ID"] == by["submit"]["request"]["messageId"] == delivery["reference"]
    assert by["submit"]["request"]["file"].endswith(".eml")
    assert b"250" in by["submit"]["response"]["content"]
    assert by["submit"]["outcome"] == "MSS-OUT-ACCEPTED"
    for kind, read in (("dsn", MailKind.DSN), ("mdn", MailKind.MDN)):
        assert receive(by[kind]["response"]["content"]).kind is read


def test_a_refusal_is_kept_with_the_operator_s_words(
    running: Demonstration, vendor: Client, command: typer.Typer, tmp_path: Path
) -> None:
    """A refused recipient: the attempt stands in the evidence, and in the trace of the log without any address."""
    words = {"code": 550, "text": "5.1.1 inconnu"}
    fault(running, "mss", fault="5xx", transaction="RCPT", parameters=words)
    with structlog.testing.capture_logs() as logged:
        delivery = mailed(vendor, "failed")
    (line,) = exported(command, tmp_path, delivery["id"], {"submit"})
    assert b"550" in line["response"]["content"]
    assert line["outcome"] == "MSS-OUT-ADDRESS"
    traces = [line for line in logged if line["event"] == "mss.trace"]
    assert traces
    assert DOCTOR not in repr(traces)


def test_the_same_notice_twice_is_one_piece(
    running: Demonstration, vendor: Client, command: typer.Typer, tmp_path: Path
) -> None:
    """An operator that repeats itself adds nothing."""
    delivery = mailed(vendor, "read")
    lines = exported(command, tmp_path, delivery["id"], {"dsn", "mdn"})
    raw = next(line for line in lines if line["transaction"] == "dsn")["response"]["content"]
    gateway = running.gateway
    first = "select tenant_id from mail_sent limit 1"
    owner = gateway.store.read_now(lambda c: c.exec_driver_sql(first).scalar_one())

    def again(connection: Any) -> int:
        return apply_notice(connection, gateway.vault, owner, receive(raw), now=gateway.now(), raw=raw)

    assert gateway.store.write_now(again) == 0
    assert len(exported(command, tmp_path, delivery["id"], {"dsn", "mdn"})) == len(lines)
