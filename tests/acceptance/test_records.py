"""Records over HTTP against the simulated DMP: status, search, reading, changes, evidence."""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import typer
from typer.testing import CliRunner

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import body_of, fault, follow, post, simulator
from tests.support import documents

numbers = itertools.count(30_000)
PATIENT = {"ins": documents.PATIENT["ins"]}
DOCTOR = documents.DOCTOR["id"]["extension"]
OTHER = "899700000017"


def fresh(make: Any = documents.report, **options: Any) -> dict[str, Any]:
    """A document nobody sent yet."""
    return dict(make(next(numbers), **options))


def a_patient(running: Demonstration, **said: Any) -> None:
    """What the simulated DMP knows of the patient."""
    assert running.access is not None
    base = running.access.simulators["dmp"]["api"]
    known = {"matricule": documents.PATIENT["ins"]["value"], "authorizations": {DOCTOR: "VALIDE"}, **said}
    httpx.post(f"{base}/patients", json=known, trust_env=False, timeout=10).raise_for_status()


@pytest.fixture(autouse=True)
def authorised(running: Demonstration) -> None:
    """The patient authorised the doctor."""
    a_patient(running)


def open_session(vendor: Client, actor: dict[str, Any] | None = None, **said: Any) -> httpx.Response:
    """Ask for a session of a professional."""
    return vendor.request("POST", "/v1/records/sessions", json={"actor": actor or documents.DOCTOR, **said})


@pytest.fixture
def session(vendor: Client) -> dict[str, str]:
    """The header of a doctor who consults."""
    answer = open_session(vendor)
    assert answer.status_code == 201, answer.text
    return {"Passerelle-Actor-Session": answer.json()["session"]}


def fed(vendor: Client, document: dict[str, Any] | None = None, **envelope: Any) -> dict[str, Any]:
    """A document in the DMP."""
    answer = post(vendor, document or fresh(), **envelope)
    assert answer.status_code == 202, answer.text
    done = follow(vendor, answer.json()["id"])
    assert done["state"] == "completed", done
    return done


def search(vendor: Client, session: dict[str, str], **filters: Any) -> dict[str, Any]:
    """Search the patient's record."""
    answer = vendor.request("POST", "/v1/records/search", json={"patient": PATIENT, **filters}, headers=session)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def found(vendor: Client, session: dict[str, str], unique_id: str, **filters: Any) -> dict[str, Any]:
    """The one document of a record with an identifier."""
    items = [i for i in search(vendor, session, limit=500, **filters)["items"] if i["uniqueId"] == unique_id]
    assert len(items) == 1, items
    return dict(items[0])


def entry(running: Demonstration, unique_id: str) -> list[dict[str, Any]]:
    """What the registry has of a document, oldest version first."""
    lines: list[dict[str, Any]] = simulator(running, "dmp", f"/entries?uniqueId={unique_id}").json()
    return lines


def last(running: Demonstration, transaction: str) -> str:
    """The last message of a transaction that the simulator received."""
    lines = [e for e in simulator(running, "dmp", "/exchanges").json() if e["transaction"] == transaction]
    return simulator(running, "dmp", f"/exchanges/{lines[-1]['id']}/request").text


# --- status and sessions ---------------------------------------------------------------------------------------------


def test_the_status_of_a_record(running: Demonstration, vendor: Client, session: dict[str, str]) -> None:
    """Open, authorised; without a session the structure asks; nothing of the identity comes back."""
    said = vendor.request("POST", "/v1/records/status", json={"patient": PATIENT}, headers=session)
    assert said.status_code == 200, said.text
    assert said.json()["dmp"] == "active"
    assert said.json()["mayFeed"] is said.json()["mayConsult"] is True
    assert ">INDIRECTE_RENFORCEE<" in last(running, "TD0.2")
    asked = {"patient": PATIENT, "actor": documents.DOCTOR}
    plain = vendor.request("POST", "/v1/records/status", json=asked)
    assert plain.status_code == 200, plain.text
    assert plain.json()["mayFeed"] is True
    assert plain.json()["mayConsult"] is False
    assert ">INDIRECTE<" in last(running, "TD0.2")


@pytest.mark.parametrize(
    ("matricule", "dmp"), [("297022A02077878", "closed"), ("160012B02077713", "none"), ("236066322083656", "active")]
)
def test_records_that_are_closed_or_absent(vendor: Client, session: dict[str, str], matricule: str, dmp: str) -> None:
    """Each state of the seeds of the simulator."""
    asked = {"patient": {"ins": {"value": matricule, "authority": "1.2.250.1.213.1.4.10"}}}
    said = vendor.request("POST", "/v1/records/status", json=asked, headers=session).json()
    assert said["dmp"] == dmp
    assert said["mayFeed"] is (dmp == "active")


def test_who_consults_must_be_authenticated(vendor: Client, auditor: Client, session: dict[str, str]) -> None:
    """No professional, an altered session, another program's scope, a professional of another structure."""
    nobody = vendor.request("POST", "/v1/records/search", json={"patient": PATIENT})
    assert nobody.status_code == 403
    assert nobody.json()["faults"][0]["code"] == "API-CONSULT-001"
    text = session["Passerelle-Actor-Session"]
    altered = text[:-6] + ("A" if text[-6] != "A" else "B") + text[-5:]
    refused = vendor.request(
        "POST", "/v1/records/search", json={"patient": PATIENT}, headers={"Passerelle-Actor-Session": altered}
    )
    assert refused.status_code == 401
    assert refused.json()["faults"][0]["code"] == "API-CONSULT-002"
    assert auditor.request("POST", "/v1/records/search", json={"patient": PATIENT}).status_code == 403
    stranger = {**documents.DOCTOR, "organization": documents.PHARMACY}
    assert open_session(vendor, stranger).status_code == 422
    token = vendor.request("POST", "/v1/records/sessions", json={}, headers={"Passerelle-Psc-Token": "x"})
    assert token.status_code in (401, 503)
    assert token.json()["faults"][0]["code"] in ("API-CONSULT-004", "API-CONSULT-005")


def test_a_wrong_question_is_told_whole(vendor: Client, session: dict[str, str]) -> None:
    """Members nobody knows, a matricule whose key is wrong: each fault with its place, no value repeated."""
    strange = {"patient": PATIENT, "kind": "x", "limit": 0}
    faults = vendor.request("POST", "/v1/records/search", json=strange, headers=session).json()["faults"]
    assert {f["location"] for f in faults} == {"/kind", "/limit"}
    wrong = {"ins": {"value": "279035121518912", "authority": "1.2.250.1.213.1.4.8"}}
    answer = vendor.request("POST", "/v1/records/search", json={"patient": wrong}, headers=session)
    assert answer.status_code == 422
    assert "279035121518912" not in answer.text
    assert vendor.request("POST", "/v1/records/search", content=b"{", headers=session).status_code == 400
    cursor = {"patient": PATIENT, "cursor": "zzz"}
    assert vendor.request("POST", "/v1/records/search", json=cursor, headers=session).status_code == 422


def test_an_authorisation_is_declared_on_request(running: Demonstration, vendor: Client) -> None:
    """Refused without it, with the DMP's own words; declared by the professional, then consulted."""
    a_patient(running, authorizations={})
    other = {**documents.DOCTOR, "id": {"root": "1.2.250.1.71.4.2.1", "extension": OTHER}}
    header = {"Passerelle-Actor-Session": open_session(vendor, other).json()["session"]}
    refused = vendor.request("POST", "/v1/records/search", json={"patient": PATIENT}, headers=header)
    assert refused.status_code == 403
    assert refused.json()["type"].endswith("/dmp-refused")
    assert refused.json()["outcome"]["originalCode"] == "DMPAccessDenied"
    assert "autorisation" in refused.json()["outcome"]["originalText"]
    asked = {"patient": PATIENT, "action": "add"}
    assert vendor.request("POST", "/v1/records/authorization", json=asked, headers=header).status_code == 204
    search(vendor, header)
    asked["action"] = "remove"
    assert vendor.request("POST", "/v1/records/authorization", json=asked, headers=header).status_code == 204


# --- search and reading ----------------------------------------------------------------------------------------------


def test_what_was_fed_is_found_by_each_filter(vendor: Client, session: dict[str, str]) -> None:
    """Type, class, dates of the act, of the document and of the submission, author, identifier; and pages."""
    report = fed(vendor)
    prescription = fed(vendor, fresh(documents.prescription))
    item = found(vendor, session, report["uniqueId"])
    assert item["type"]["code"] == "11488-4"
    assert item["class"]["code"] == "10"
    assert item["status"] == "current"
    assert item["fedHere"] == report["id"]
    assert item["actFrom"] == "2026-11-20T09:30:00+01:00"
    assert item["authors"][0]["structure"] == "CABINET FICTIF"
    assert item["visibility"] == []
    for filters, there in (
        ({"types": ["11488-4"]}, True),
        ({"types": ["57833-6"]}, False),
        ({"types": [{"code": "11488-4", "system": documents.LOINC}], "classes": ["10"]}, True),
        ({"author": DOCTOR}, True),
        ({"author": OTHER}, False),
        ({"actFrom": "2026-11-20T00:00:00+01:00", "actTo": "2026-11-21T00:00:00+01:00"}, True),
        ({"actFrom": "2026-11-21T00:00:00+01:00"}, False),
        ({"createdTo": "2026-11-20T00:00:00+01:00"}, False),
        ({"submittedFrom": "2020-01-01T00:00:00+01:00"}, True),
        ({"submittedFrom": "2020-01-01T00:00:00+01:00", "types": ["57833-6"]}, False),
        ({"submittedTo": "2020-01-01T00:00:00+01:00"}, False),
        ({"status": ["superseded", "archived"]}, False),
        ({"uniqueIds": [report["uniqueId"]]}, True),
        ({"uniqueIds": [prescription["uniqueId"]]}, False),
    ):
        ids = {i["uniqueId"] for i in search(vendor, session, limit=500, **filters)["items"]}
        assert (report["uniqueId"] in ids) is there, filters
    first = search(vendor, session, limit=1)
    second = search(vendor, session, limit=1, cursor=first["cursor"])
    assert first["total"] >= 2
    assert first["items"][0]["id"] != second["items"][0]["id"]
    nameless = vendor.request("POST", "/v1/records/search", json={"patient": PATIENT, "events": ["X"]}, headers=session)
    assert nameless.json()["faults"][0]["code"] == "API-RECORD-014"


def test_a_handle_serves_its_program_and_its_professional(
    running: Demonstration, vendor: Client, pharmacy: Client, session: dict[str, str]
) -> None:
    """The same document has the same handle for the same caller; another professional has none of it."""
    done = fed(vendor)
    item = found(vendor, session, done["uniqueId"])
    assert found(vendor, session, done["uniqueId"])["id"] == item["id"]
    assert len(item["id"]) <= 64
    a_patient(running, authorizations={DOCTOR: "VALIDE", OTHER: "VALIDE"})
    other = {**documents.DOCTOR, "id": {"root": "1.2.250.1.71.4.2.1", "extension": OTHER}}
    elsewhere = {"Passerelle-Actor-Session": open_session(vendor, other).json()["session"]}
    path = item["links"]["self"]
    assert vendor.request("GET", path, headers=session).status_code == 200
    assert vendor.request("GET", path, headers=elsewhere).status_code == 404
    assert found(vendor, elsewhere, done["uniqueId"])["id"] != item["id"]
    assert documents.PATIENT["ins"]["value"] not in path


def test_a_document_is_read_in_the_form_asked_for(vendor: Client, session: dict[str, str]) -> None:
    """The CDA byte for byte, a page, the PDF it carries, a FHIR document; nothing else."""
    done = fed(vendor)
    cda = vendor.request("GET", f"/v1/documents/{done['id']}/cda").content
    path = found(vendor, session, done["uniqueId"])["links"]["self"]

    def read(accept: str | None) -> httpx.Response:
        headers = {**session, **({"Accept": accept} if accept else {})}
        return vendor.request("GET", path, headers=headers)

    assert read(None).content == cda
    assert read("text/xml, text/html;q=0.1").content == cda
    page = read("text/html")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert read("application/pdf").content == documents.PDF
    bundle = read("application/fhir+json")
    assert bundle.json()["resourceType"] == "Bundle"
    assert orjson.loads(bundle.headers["passerelle-loss"])["lost"] == 0
    assert read("image/png").status_code == 406
    assert vendor.request("GET", f"/v1/records/documents/{done['id']}", headers=session).content == cda
    assert vendor.request("GET", "/v1/records/documents/r0000", headers=session).status_code == 404
    assert vendor.request("GET", path).status_code == 403


@pytest.mark.parametrize(
    ("switch", "status"),
    [
        ({"fault": "wrong_hash", "transaction": "TD3.2"}, 502),
        ({"fault": "truncated_multipart", "transaction": "TD3.2"}, 503),
        ({"fault": "missing_part", "transaction": "TD3.2"}, 503),
        ({"fault": "http_error", "transaction": "TD3.2", "parameters": {"status": 503, "retry_after": 7}}, 503),
        (
            {"fault": "registry_error", "transaction": "TD3.2", "parameters": {"code": "XDSDocumentUniqueIdError"}},
            404,
        ),
    ],
)
def test_an_answer_that_does_not_hold(
    running: Demonstration, vendor: Client, session: dict[str, str], switch: dict[str, Any], status: int
) -> None:
    """Each way an answer may be wrong has its own status, code and words."""
    done = fed(vendor)
    path = found(vendor, session, done["uniqueId"])["links"]["self"]
    fault(running, "dmp", **switch)
    answer = vendor.request("GET", path, headers=session)
    assert answer.status_code == status, answer.text
    assert answer.json()["faults"][0]["fix"]
    if status == 503:
        assert int(answer.headers["Retry-After"]) >= 1
    assert vendor.request("GET", path, headers=session).status_code == 200


# --- changes ---------------------------------------------------------------------------------------------------------


def change(vendor: Client, session: dict[str, str], handle: str, action: str) -> httpx.Response:
    """Ask for a change."""
    return vendor.request("PATCH", f"/v1/records/documents/{handle}", json={"action": action}, headers=session)


def settled(vendor: Client, session: dict[str, str], document_id: str, action: str) -> dict[str, Any]:
    """Change a document of ours, and wait for the end of it."""
    answer = change(vendor, session, document_id, action)
    assert answer.status_code == 202, answer.text
    delivery = answer.json()["deliveries"][-1]
    assert delivery["action"] == {"visible_to_representatives": "visible_reps"}.get(action, action)
    done = follow(vendor, document_id)
    ended = next(d for d in done["deliveries"] if d["id"] == delivery["id"])
    assert ended["state"] == "acknowledged", ended
    assert done["state"] == "completed"
    return done


def test_masking_unmasking_archiving_what_was_fed(
    running: Demonstration, vendor: Client, auditor: Client, session: dict[str, str]
) -> None:
    """Each change is a delivery with its history; the registry has one document and several versions; one count."""
    before = countable(auditor)
    done = fed(vendor)
    unique_id = done["uniqueId"]
    settled(vendor, session, done["id"], "mask")
    assert found(vendor, session, unique_id)["visibility"] == ["MASQUE_PS"]
    settled(vendor, session, done["id"], "unmask")
    settled(vendor, session, done["id"], "archive")
    assert found(vendor, session, unique_id, status=["archived"])["status"] == "archived"
    settled(vendor, session, done["id"], "unarchive")
    versions = entry(running, unique_id)
    assert len({v["logicalId"] for v in versions}) == 1
    assert countable(auditor) == before + 1
    counts = auditor.request("GET", "/v1/feeds/counts", params={"by": "outcome"}).json()["rows"]
    assert any(r["by"]["outcome"] == "metadata_changed" for r in counts)
    # The same again changes nothing, and says so.
    again = settled(vendor, session, done["id"], "unarchive")
    assert again["deliveries"][-1]["action"] == "unarchive"


def countable(auditor: Client) -> int:
    """Documents the ledger counts: first acceptances, less those their author deleted."""
    rows = auditor.request("GET", "/v1/feeds/counts", params={"by": "outcome"}).json()["rows"]
    of = {r["by"]["outcome"]: r["count"] for r in rows if r["service"] == "dmp.document"}
    return int(of.get("accepted", 0)) - int(of.get("deleted", 0))


def test_an_invisible_document_becomes_visible_once(
    running: Demonstration, vendor: Client, session: dict[str, str]
) -> None:
    """Fed invisible to the patient, then shown; there is no way back."""
    document = fresh()
    document["visibility"] = {"hiddenFromPatient": True}
    done = fed(vendor, document)
    assert found(vendor, session, done["uniqueId"])["visibility"] == ["INVISIBLE_PATIENT"]
    settled(vendor, session, done["id"], "visible")
    assert found(vendor, session, done["uniqueId"])["visibility"] == []


def test_deleting_what_was_fed(running: Demonstration, vendor: Client, auditor: Client) -> None:
    """In the structure's name, without a session; the document leaves the count, and what follows is refused."""
    before = countable(auditor)
    done = fed(vendor)
    assert countable(auditor) == before + 1
    answer = vendor.request("DELETE", f"/v1/records/documents/{done['id']}")
    assert answer.status_code == 202, answer.text
    gone = follow(vendor, done["id"])
    assert [d["state"] for d in gone["deliveries"]] == ["acknowledged", "acknowledged"]
    assert entry(running, done["uniqueId"])[-1]["status"].endswith("Deleted")
    assert ">INDIRECTE<" in last(running, "TD3.3c")
    assert countable(auditor) == before
    again = vendor.request("DELETE", f"/v1/records/documents/{done['id']}")
    assert again.status_code == 409
    assert again.json()["faults"][0]["code"] == "API-RECORD-013"
    assert countable(auditor) == before


def test_deleting_what_waits_stops_it(vendor: Client) -> None:
    """A sending that has not begun is withdrawn: nothing leaves, nothing is to be deleted."""
    document = fresh()
    document["patient"] = {**documents.PATIENT, "status": "provisoire", "attributes": ["douteux"]}
    document["patient"]["identifiers"] = [{"root": "1.2.250.1.999.9.5", "extension": f"IPP{next(numbers)}"}]
    document["patient"].pop("ins")
    document["patient"].pop("insCheckedOn")
    receipt = post(vendor, document).json()
    answer = vendor.request("DELETE", f"/v1/records/documents/{receipt['id']}")
    assert answer.status_code == 202, answer.text
    assert [d["state"] for d in answer.json()["deliveries"]] == ["withdrawn"]
    refused = vendor.request("DELETE", f"/v1/records/documents/{receipt['id']}")
    assert refused.status_code == 409
    assert refused.json()["type"].endswith("/not-in-dmp")
    assert vendor.request("DELETE", "/v1/records/documents/doc_0").status_code == 404


def test_replacing_what_was_fed(running: Demonstration, vendor: Client, session: dict[str, str]) -> None:
    """A new version by PUT: the old one is superseded, even after a masking gave its entry another id."""
    done = fed(vendor)
    settled(vendor, session, done["id"], "mask")
    newer = fresh()
    newer.pop("setId")
    body = orjson.dumps(orjson.loads(body_of(newer))["document"])
    path = f"/v1/records/documents/{done['id']}"
    wrong = vendor.request("PUT", path, content=body_of({**newer, "replaces": {"id": {"root": "1.2.3"}}}), headers=JSON)
    assert wrong.status_code == 422
    assert wrong.json()["faults"][0]["code"] == "API-RECORD-012"
    answer = vendor.request("PUT", path, content=body, headers=JSON)
    assert answer.status_code == 202, answer.text
    assert follow(vendor, answer.json()["id"])["state"] == "completed"
    assert found(vendor, session, answer.json()["uniqueId"])["status"] == "current"
    assert found(vendor, session, done["uniqueId"], status=["superseded"])["status"] == "superseded"
    # A version among others may be deleted: the document still counts.
    assert vendor.request("DELETE", path).status_code == 202
    assert follow(vendor, done["id"])["deliveries"][-1]["state"] == "acknowledged"


JSON = {"Content-Type": "application/json"}


def test_a_lost_answer_to_a_change_is_made_sure_of(
    running: Demonstration, vendor: Client, session: dict[str, str]
) -> None:
    """The registry did it and its answer was lost: the document is read again, or the same set is known by its id."""
    masked = fed(vendor)
    fault(running, "dmp", fault="lost_after_acceptance", transaction="TD3.3ab")
    settled(vendor, session, masked["id"], "mask")
    assert found(vendor, session, masked["uniqueId"])["visibility"] == ["MASQUE_PS"]
    deleted = fed(vendor)
    fault(running, "dmp", fault="lost_after_acceptance", transaction="TD3.3c")
    assert vendor.request("DELETE", f"/v1/records/documents/{deleted['id']}").status_code == 202
    gone = follow(vendor, deleted["id"])
    assert gone["deliveries"][-1]["state"] == "acknowledged", gone
    assert "uncertain" in [row["to"] for row in gone["history"]]


def test_what_others_fed_is_changed_at_once(
    running: Demonstration, vendor: Client, pharmacy: Client, session: dict[str, str]
) -> None:
    """Masked by a doctor: 200 and the document as it is now; its deletion is its author's, and refused in words."""
    document = fresh(documents.dispensation)
    sent = post(pharmacy, document)
    done = follow(pharmacy, sent.json()["id"])
    assert done["state"] == "completed", done
    item = found(vendor, session, done["uniqueId"])
    assert "fedHere" not in item
    archived = change(vendor, session, item["id"], "archive")
    assert archived.status_code == 200, archived.text
    assert archived.json()["status"] == "archived"
    again = change(vendor, session, item["id"], "archive")
    assert again.status_code == 409
    assert change(vendor, session, item["id"], "unarchive").json()["status"] == "current"
    fault(running, "dmp", fault="lost_after_acceptance", transaction="TD3.3d")
    assert change(vendor, session, item["id"], "archive").json()["status"] == "archived"
    assert change(vendor, session, item["id"], "unarchive").status_code == 200
    refused = vendor.request("DELETE", f"/v1/records/documents/{item['id']}", headers=session)
    assert refused.status_code == 403
    assert refused.json()["outcome"]["originalCode"] == "DMPAccessDenied"
    # Masked for good: this doctor is not its author, and sees it no longer.
    masked = change(vendor, session, item["id"], "mask")
    assert masked.status_code == 200, masked.text
    assert done["uniqueId"] not in {i["uniqueId"] for i in search(vendor, session, limit=500)["items"]}


def test_changes_keep_the_order_of_their_document(
    running: Demonstration, vendor: Client, session: dict[str, str]
) -> None:
    """Twelve documents, each replaced, masked and deleted while its feed is slow: asked at once, done in order."""
    fault(running, "dmp", fault="latency", transaction="TD2.1a", times=6, parameters={"seconds": 0.3})

    def one(_: int) -> tuple[str, str, str]:
        client = running.client("vendor")
        try:
            first = post(client, fresh()).json()
            asked = change(client, session, first["id"], "mask")
            assert asked.status_code == 202, asked.text
            body = orjson.dumps(orjson.loads(body_of({k: v for k, v in fresh().items() if k != "setId"}))["document"])
            second = client.request("PUT", f"/v1/records/documents/{first['id']}", content=body, headers=JSON)
            assert second.status_code == 202, second.text
            assert client.request("DELETE", f"/v1/records/documents/{first['id']}").status_code == 202
            return first["id"], first["uniqueId"], second.json()["id"]
        finally:
            client.http.close()

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(one, range(12)))
    for first, unique_id, second in made:
        done = follow(vendor, first, seconds=60)
        newer = follow(vendor, second, seconds=60)
        assert [d["state"] for d in done["deliveries"]] == ["acknowledged"] * 3, done
        assert newer["state"] == "completed", newer
        ends = [(row["at"], row["id"]) for row in done["history"] if row["to"] == "acknowledged"]
        assert [d["action"] for d in done["deliveries"]] == ["feed", "mask", "delete"]
        assert [i for _, i in ends] == [d["id"] for d in done["deliveries"]]
        versions = entry(running, unique_id)
        assert versions[-1]["status"].endswith("Deleted")
        assert len({v["logicalId"] for v in versions}) == 1


# --- evidence --------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(running: Demonstration, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The evidence command on the running gateway's files."""
    from gateway.commands.evidence import app

    monkeypatch.setenv("PASSERELLE_DATA_DIR", str(running.gateway.settings.data_dir))
    whole = typer.Typer()
    whole.add_typer(app, name="evidence")
    return whole


def test_exchanges_are_kept_as_proof(
    running: Demonstration, vendor: Client, session: dict[str, str], command: typer.Typer, tmp_path: Path
) -> None:
    """Exported by delivery and by test case, as they went over the wire; sealed at rest."""
    answer = vendor.request(
        "POST",
        "/v1/documents",
        content=body_of(fresh()),
        headers={**JSON, "Passerelle-Test-Case": "2.1-100"},
    )
    done = follow(vendor, answer.json()["id"])
    delivery = done["deliveries"][0]["id"]
    cda = vendor.request("GET", f"/v1/documents/{done['id']}/cda").content
    headers = {**session, "Passerelle-Test-Case": "3.1-200"}
    vendor.request("POST", "/v1/records/search", json={"patient": PATIENT}, headers=headers)

    def export(name: str, *options: str) -> list[dict[str, Any]]:
        deadline = time.monotonic() + 10
        while True:
            folder = tmp_path / f"{name}-{time.monotonic_ns()}"
            result = CliRunner().invoke(command, ["evidence", "export", *options, "-o", str(folder)])
            if result.exit_code == 0:
                lines: list[dict[str, Any]] = orjson.loads((folder / "index.json").read_bytes())
                for line in lines:
                    for side in ("request", "response"):
                        line[side]["content"] = (folder / line[side]["file"]).read_bytes()
                        assert hashlib.sha256(line[side]["content"]).hexdigest() == line[side]["sha256"]
                assert folder.stat().st_mode & 0o077 == 0
                return lines
            assert time.monotonic() < deadline, result.output
            time.sleep(0.1)

    lines = export("delivery", "--delivery", delivery)
    assert [line["transaction"] for line in lines] == ["TD0.2", "ITI-41"]
    feed = lines[1]
    assert feed["testCase"] == "2.1-100"
    assert feed["request"]["complete"] is feed["response"]["complete"] is True
    assert cda in feed["request"]["content"]
    assert b"VIHF_Version" in feed["request"]["content"]
    assert b"Success" in feed["response"]["content"]
    assert feed["response"]["status"] == 200
    assert [line["delivery"] for line in export("case", "--test-case", "3.1-200")] == [None]
    assert CliRunner().invoke(command, ["evidence", "export", "-o", str(tmp_path / "x")]).exit_code == 2
    nothing = CliRunner().invoke(command, ["evidence", "export", "--delivery", "dlv_0", "-o", str(tmp_path / "y")])
    assert nothing.exit_code == 1
    # Nothing of it stands in clear in the store: neither the patient's number nor the document.
    raw = b"".join(p.read_bytes() for p in Path(running.gateway.settings.data_dir).glob("passerelle.db*"))
    assert documents.PATIENT["ins"]["value"].encode() not in raw
    assert b"VIHF_Version" not in raw
    with sqlite3.connect(running.gateway.settings.data_dir / "passerelle.db") as database:
        kinds = {row[0] for row in database.execute("select distinct [transaction] from exchanges")}
    assert {"TD0.2", "ITI-41", "ITI-18"} <= kinds


def test_days_left_are_a_metric(running: Demonstration) -> None:
    """Each certificate and the structure it serves, with the days before its end."""
    text = httpx.get(f"{running.base_url}/metrics", trust_env=False, timeout=10).text
    assert 'passerelle_certificate_days_left{key="dmp.auth_certificate",structure="1290099886"} 36' in text
