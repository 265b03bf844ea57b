"""Rights of persons from the command line, on a running gateway: given, then erased; the count stands."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, Table, select, update

from gateway.demonstration import CABINET, Client, Demonstration
from gateway.journey.clock import utc_now
from gateway.services import persons
from gateway.store.scrub import sealed_tables
from gateway.store.tables import blobs, deliveries, identities
from gateway.store.tables import documents as stored
from tests.acceptance.conftest import follow, post
from tests.support import documents

numbers = itertools.count(81_000)
CITIZEN = {"address": f"{documents.PATIENT['ins']['value']}@patient.mssante.fr", "kind": "citizen"}
PRO = {"address": "dr.morel@medecin.formation.mssante.fr", "kind": "professional"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """A gateway of this module's own: patients disappear from it."""
    with Demonstration(tmp_path_factory.mktemp("rights"), pool_processes=0).running() as one:
        yield one


def passerelle(running: Demonstration, *words: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The command, with the running gateway's settings."""
    settings = running.gateway.settings
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")}
    environment |= {"PASSERELLE_DATA_DIR": str(settings.data_dir), "PASSERELLE_DATABASE_URL": settings.store_url}
    command = [sys.executable, "-c", "from gateway.cli import main; main()", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False, input=given, env=environment)


def fed(vendor: Client, **envelope: Any) -> dict[str, Any]:
    """A report about the patient, delivered."""
    answer = post(vendor, documents.report(next(numbers)), **envelope)
    assert answer.status_code == 202, answer.text
    return follow(vendor, answer.json()["id"])


def counts(client: Client) -> Any:
    """What was fed, by outcome."""
    return client.request("GET", "/v1/feeds/counts", params={"by": "type,outcome,month"}).json()


def sealed(client: Client) -> None:
    """Wait until nothing waits for its seal."""
    deadline = time.monotonic() + 10
    while counts(client)["unsealed"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def held_bytes(connection: Connection, document: str) -> list[bytes]:
    """What is kept, sealed, of a document and of its patient."""
    row = connection.execute(
        select(stored.c["model", "cda", "fhir", "pdf", "identity_id"]).where(stored.c.id == document)
    )
    *addresses, identity = row.one()
    found = connection.execute(select(blobs.c.sealed).where(blobs.c.address.in_(filter(None, addresses))))
    person = connection.execute(select(identities.c.sealed).where(identities.c.id == identity))
    return [bytes(one) for one in (*found.scalars(), *person.scalars())]


def bytes_of(file: Path) -> bytes:
    """A file of the running database, read by another process: closing it in this one would drop SQLite's locks."""
    program = "import sys, pathlib; sys.stdout.buffer.write(pathlib.Path(sys.argv[1]).read_bytes())"
    return subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, check=True).stdout


def test_what_is_held_is_given_then_erased_and_the_count_stands(
    running: Demonstration, vendor: Client, a_folder: Path
) -> None:
    """Traits, documents and lines in one ZIP; then no content, no way back from the ledger, the same figures."""
    first = fed(vendor, deliverTo={"mss": {"recipients": [PRO]}})
    fed(vendor)
    sealed(vendor)
    ins = orjson.dumps({"ins": documents.PATIENT["ins"]})
    given = a_folder / "person.zip"
    done = passerelle(running, "patient", "export", "--tenant", CABINET[0], "--from", "-", "--output", given, given=ins)
    assert done.returncode == 0, done.stderr.decode()
    assert documents.PATIENT["ins"]["value"].encode() not in done.stdout + done.stderr
    assert given.stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(given) as archive:
        person = orjson.loads(archive.read("person.json"))
        cda = archive.read(f"documents/{first['id']}.cda.xml")
    assert person["identities"][0]["patient"]["birthName"] == documents.PATIENT["birthName"]
    assert {one["id"] for one in person["documents"]} >= {first["id"]}
    assert documents.PATIENT["ins"]["value"].encode() in cda
    states = [line["state"] for line in person["ledger"] if line["kind"] == "dmp.document"]
    mine = len(person["documents"])
    assert mine >= 2
    assert (states.count("submitted"), states.count("accepted")) == (mine, mine)

    before = counts(vendor)
    head = a_folder / "heads.json"
    head.write_bytes(vendor.request("GET", "/v1/feeds/heads").content)
    store = running.gateway.store
    kept = store.read_now(lambda c: held_bytes(c, first["id"]))
    assert len(kept) >= 4
    line = vendor.request("GET", "/v1/feeds/entries", params={"outcome": "accepted", "limit": 1}).json()["items"][0]
    assert line["patient"]

    done = passerelle(running, "patient", "erase", "--tenant", CABINET[0], "--from", "-", "--yes", given=ins)
    assert done.returncode == 0, done.stderr.decode()
    for form in ("cda", "fhir"):
        gone = vendor.request("GET", f"/v1/documents/{first['id']}/{form}")
        assert gone.status_code == 410
    after = vendor.request("GET", f"/v1/documents/{first['id']}")
    assert after.json()["state"] == "completed"
    sealed(vendor)
    assert counts(vendor)["rows"] == before["rows"]
    same = vendor.request("GET", f"/v1/feeds/entries/{line['entryId']}").json()
    assert same["patient"] is None
    assert {name: value for name, value in same.items() if name in line and name != "patient"} == {
        name: value for name, value in line.items() if name != "patient"
    }
    heads = orjson.loads(head.read_bytes())["items"]
    head.write_bytes(orjson.dumps(heads))
    verified = passerelle(running, "feeds", "verify", "--head", head)
    assert verified.returncode == 0, verified.stderr.decode()
    # Not even sealed: neither the database nor its write-ahead log holds what was erased.
    path = Path(store.url.database)
    for file in (path, path.with_name(f"{path.name}-wal")):
        there = bytes_of(file)
        assert not [len(one) for one in kept if one[-64:] in there], done.stderr

    unknown = passerelle(running, "patient", "erase", "--tenant", CABINET[0], "--from", "-", "--yes", given=ins)
    assert unknown.returncode == 1
    # The same person who comes back is not joined to the former lines.
    assert fed(vendor)["state"] == "completed"
    back = vendor.request("GET", "/v1/feeds/entries", params={"outcome": "accepted", "limit": 2}).json()["items"]
    assert back[0]["patient"]
    assert back[1]["patient"] is None


@pytest.mark.parametrize("state", ["held", "dead_letter"])
def test_a_patient_is_not_erased_while_a_document_waits(running: Demonstration, vendor: Client, state: str) -> None:
    """One held, or given up and perhaps sent again, would leave without its content: withdrawn first, or refused."""
    document = documents.report(next(numbers))
    document["patient"] = {
        **documents.PATIENT,
        "birthName": "PASSANT",
        "identifiers": [{"root": "1.2.250.1.999.9.5", "extension": f"IPP-{state}"}],
        "status": "provisoire",
    }
    for name in ("ins", "insCheckedOn", "proof"):
        document["patient"].pop(name, None)
    answer = post(vendor, document)
    assert answer.status_code == 202, answer.text
    follow(vendor, answer.json()["id"], until=lambda body: body["deliveries"][0]["state"] == "held")
    if state == "dead_letter":
        mine = deliveries.c.document_id == answer.json()["id"]
        given_up = update(deliveries).where(mine).values(state=state, ended_at=utc_now())
        running.gateway.store.write_now(lambda c: c.execute(given_up))
    who = orjson.dumps({"identifier": {"root": "1.2.250.1.999.9.5", "extension": f"IPP-{state}"}})
    words = ("patient", "erase", "--tenant", CABINET[0], "--from", "-", "--yes")
    refused = passerelle(running, *words, given=who)
    assert refused.returncode == 1
    assert b"dlv_" in refused.stderr
    done = passerelle(running, *words, "--withdraw", given=who)
    assert done.returncode == 0, done.stderr.decode()
    ended = vendor.request("GET", f"/v1/documents/{answer.json()['id']}").json()
    assert ended["deliveries"][0]["state"] == "withdrawn"


@pytest.mark.parametrize(
    ("words", "given", "code"),
    [
        ((), b"", 2),
        (("--from", "-"), b"not json", 2),
        (("--from", "-"), b'{"name": "DUPONT"}', 2),
        (("--from", "/nowhere"), b"", 2),
        (("--identity", "idt_nobody"), b"", 1),
    ],
)
def test_who_is_meant_has_to_be_said_in_a_known_form(
    running: Demonstration, words: tuple[str, ...], given: bytes, code: int
) -> None:
    """Nothing of what was given is repeated."""
    done = passerelle(running, "patient", "erase", "--tenant", CABINET[0], "--yes", *words, given=given)
    assert done.returncode == code
    assert b"DUPONT" not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr


def test_files_are_written_anew_on_their_own(running: Demonstration, vendor: Client) -> None:
    """What could not be done at the erasure is done later, while the gateway runs."""
    done = passerelle(running, "patient", "scrub")
    assert done.returncode == 0, done.stderr.decode()
    assert fed(vendor)["state"] == "completed"


def test_every_table_that_holds_sealed_bytes_is_thought_of() -> None:
    """A new table with sealed bytes is either erased with the patient, or known to hold nothing about one."""
    not_about_patients = {
        "webhooks",  # secrets of callers
        "console_sessions",  # people who look at the console
        "psc_logins",  # professionals
        "mail_recipients",  # emptied with the deliveries, by gateway.journey.purge
        "feed_subjects",  # erased through gateway.feeds.subjects
        "blobs",  # erased by address
        "teams",  # professionals
    }
    handled = {value.name for value in vars(persons).values() if isinstance(value, Table)}
    assert set(sealed_tables()) - handled <= not_about_patients
