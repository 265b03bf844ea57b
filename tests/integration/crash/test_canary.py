"""Nothing a patient or a practitioner entrusts is readable at rest: searched byte by byte, the whole way through."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
from sqlalchemy import create_engine

from tests.acceptance.conftest import ENDED, body_of, follow
from tests.integration.crash.test_crash_points import send
from tests.support import documents
from tests.support.process import GatewayProcess, History, gateway_process
from tests.support.scanning import found_in, postgres_folder, postgres_log
from tests.unit.gateway.conftest import unqualified

numbers = itertools.count(120_000)

#: What must be found nowhere, and what it is.
CANARIES = {
    "trait": "CANARIVOLANT",
    "given name": "ZEPHIRINETTE",
    "local identifier": "IPP-CANARI-7781",
    "matricule": documents.PATIENT["ins"]["value"],
    "street": "17 impasse du Canari",
    "professional's address": "dr.canari.secret@medecin.formation.mssante.fr",
    "subject": "Objet canari confidentiel",
    "words of a mail": "Bonjour, le canari tousse encore",
    "words of a document": "CANARICYCLINE",
    "title": "Compte rendu du canari",
    "refused document": "CANARI-REFUSE",
}


def needles() -> dict[str, bytes]:
    """The canaries as they could be written: text, UTF-16, and base64 from each of its three alignments."""
    out: dict[str, bytes] = {}
    for name, value in CANARIES.items():
        raw = value.encode()
        out[name] = raw
        out[f"{name}, UTF-16"] = value.encode("utf-16-le")
        for shift in range(3):
            text = base64.b64encode(b"x" * shift + raw)
            out[f"{name}, base64 {shift}"] = text[4 if shift else 0 : len(text) - 4]
    return out


def patient() -> dict[str, Any]:
    """The patient whose every trait is a canary."""
    return {
        **documents.PATIENT,
        "birthName": CANARIES["trait"],
        "firstGivenName": CANARIES["given name"],
        "givenNames": CANARIES["given name"],
        "identifiers": [{"root": "1.2.250.1.999.9.5", "extension": CANARIES["local identifier"]}],
        "addresses": [{"use": "H", "lines": [CANARIES["street"]], "postalCode": "29000", "city": "QUIMPER"}],
    }


def everything(one: GatewayProcess, history: History) -> None:
    """Documents fed and mailed, words alone, one held, several refused, records asked for."""
    report = documents.report(next(numbers)) | {"patient": patient(), "title": CANARIES["title"]}
    order = documents.prescription(next(numbers))
    order["patient"] = patient()
    order["lines"][1]["medication"]["name"] = CANARIES["words of a document"]
    held = unqualified(next(numbers))
    held["patient"] |= {"birthName": CANARIES["trait"]}
    recipients = [
        {"address": CANARIES["professional's address"], "kind": "professional"},
        {"address": f"{CANARIES['matricule']}@patient.mssante.fr", "kind": "citizen"},
    ]
    client = one.client()
    try:
        for document, expected in ((report, 202), (order, 202), (held, 202)):
            answer = client.request(
                "POST",
                "/v1/documents",
                content=body_of(document, deliverTo={"mss": {"recipients": recipients}, "dmp": True}),
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code == expected, answer.text
        said = client.request(
            "POST",
            "/v1/messages",
            json={
                "recipients": recipients[:1],
                "subject": CANARIES["subject"],
                "body": CANARIES["words of a mail"],
                "actor": documents.DOCTOR,
            },
            headers={"Idempotency-Key": f"canari-{next(numbers)}"},
        )
        assert said.status_code == 202, said.text
        team = client.request(
            "POST",
            "/v1/teams",
            json={
                "name": f"Equipe {next(numbers)}",
                "kind": "cpts",
                "members": [{"address": CANARIES["professional's address"], "kind": "professional"}],
            },
        )
        assert team.status_code == 201, team.text
        refused = CANARIES["refused document"]
        for kind, content in (
            ("application/json", b'{"document": {"kind": "%s"}}' % refused.encode()),
            ("application/json", b'{"document": %s' % refused.encode()),
            ("application/xml", f"<a>{refused}</a>".encode()),
            ("application/fhir+json", orjson.dumps({"resourceType": "Bundle", "id": refused})),
        ):
            answer = client.request("POST", "/v1/documents", content=content, headers={"Content-Type": kind})
            assert 400 <= answer.status_code < 500, answer.text
        client.request("GET", "/v1/documents", params={"kind": refused})
        client.request("GET", f"/v1/documents/{refused}")
        httpx.post(f"{one.base_url}/oauth/token", data={"client_assertion": refused}, trust_env=False, timeout=10)
    finally:
        client.http.close()


def files_of(folder: Path) -> Iterator[Path]:
    """Every file the gateway may have written to, without those of the simulators and of the test itself."""
    for file in folder.rglob("*"):
        if file.is_file() and "sandbox" not in file.parts and file.name != "history.jsonl":
            yield file


def found(one: GatewayProcess, folder: Path, wanted: dict[str, bytes]) -> list[tuple[str, str]]:
    """What of it is readable in the node's files and in its database, the write-ahead log included."""
    hits = found_in(files_of(folder), wanted)
    if one.database_url.startswith("postgresql"):
        engine = create_engine(one.database_url)
        try:
            hits += found_in(postgres_folder(engine), wanted)
            # The log is that of the whole server, where others may work with the same fictitious number.
            own = {name: value for name, value in wanted.items() if not name.startswith("matricule")}
            hits += found_in(postgres_log(engine), own)
        finally:
            engine.dispose()
    return hits


def test_no_canary_is_found_at_rest(tmp_path: Path, database_url: str) -> None:
    """Database, write-ahead log, temporary files, logs and measures, while serving, after kill -9 and after a stop."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    where = {"TMPDIR": str(temporary), "SQLITE_TMPDIR": str(temporary)}
    wanted = needles()
    with gateway_process(tmp_path, database_url=database_url, settings=where) as one:
        history = History(tmp_path / "history.jsonl")
        one.start()
        everything(one, history)
        plain = documents.report(next(numbers))
        assert send(one, history, plain)
        settle_but_held(one)
        assert found(one, tmp_path, wanted) == []
        seen = httpx.get(f"{one.base_url}/metrics", trust_env=False, timeout=10).content
        assert [name for name, value in wanted.items() if value in seen] == []
        everything(one, history)
        one.kill()
        assert found(one, tmp_path, wanted) == []
        one.start()
        settle_but_held(one)
        one.stop()
        assert found(one, tmp_path, wanted) == []
        # What is searched is where things are: the identifiers of the documents, which are no secret, are found.
        known = {"identifier": plain["id"]["root"].encode()}
        assert found(one, tmp_path, known) != []
        history.close()


def settle_but_held(one: GatewayProcess) -> None:
    """Wait until every delivery has ended or is held."""
    client = one.client()
    try:
        items = client.request("GET", "/v1/documents", params={"limit": 500}).json()["items"]
        states = {*ENDED, "held"}
        for item in items:
            follow(client, item["id"], until=lambda b: all(d["state"] in states for d in b["deliveries"]), seconds=60)
    finally:
        client.http.close()
