"""The main job, over HTTP, SOAP and SMTP on loopback: each kind of document to registry, mailbox and count."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
from typing import Any

import httpx
import orjson
import pytest
from PIL import Image

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import body_of, fault, follow, post, simulator
from tests.support import documents

numbers = itertools.count(1000)
PRO = {"address": "dr.morel@medecin.formation.mssante.fr", "kind": "professional"}


def fresh(make: Any) -> dict[str, Any]:
    """A document nobody sent yet."""
    return dict(make(next(numbers)))


@pytest.mark.parametrize("make", [documents.report, documents.prescription, documents.summary])
def test_a_document_reaches_registry_and_mailbox(running: Demonstration, vendor: Client, make: Any) -> None:
    """Each kind a practice sends is acknowledged by both, and the registry stored the very bytes the gateway kept."""
    answer = post(vendor, fresh(make), deliverTo={"mss": {"recipients": [PRO]}})
    assert answer.status_code == 202, answer.text
    receipt = answer.json()
    assert {d["to"] for d in receipt["deliveries"]} == {"dmp", "mss"}
    done = follow(vendor, receipt["id"])
    assert done["state"] == "completed", done
    cda = vendor.request("GET", f"/v1/documents/{receipt['id']}/cda").content
    stored = simulator(running, "dmp", f"/documents/{receipt['uniqueId']}").content
    assert stored == cda
    mails = simulator(running, "mss", "/messages").json()
    sent = [d for mail in mails for d in mail["documents"] if d["uniqueId"] == receipt["uniqueId"]]
    assert [d["sha1"] for d in sent] == [hashlib.sha1(cda).hexdigest()]  # noqa: S324 - XDM's own digest
    bundle = vendor.request("GET", f"/v1/documents/{receipt['id']}/fhir").json()
    assert bundle["type"] == "document"
    assert done["history"][0]["to"] == "accepted"


def test_a_dispensation_is_relayed_by_a_pharmacy(running: Demonstration, pharmacy: Client, vendor: Client) -> None:
    """A pharmacy's scope sends dispensations, and nothing else."""
    answer = post(pharmacy, fresh(documents.dispensation))
    assert answer.status_code == 202, answer.text
    assert follow(pharmacy, answer.json()["id"])["state"] == "completed"
    refused = post(pharmacy, fresh(documents.report))
    assert refused.status_code == 403
    # A structure's documents are nobody else's.
    assert vendor.request("GET", f"/v1/documents/{answer.json()['id']}").status_code == 404


def test_a_pdf_with_metadata_is_a_report(vendor: Client) -> None:
    """The fourth body: a multipart of metadata and file."""
    document = fresh(documents.report)
    content = document.pop("content")
    document.pop("mediaType")
    files = {
        "metadata": ("m.json", orjson.dumps({"document": document}), "application/json"),
        "file": ("r.pdf", content, "application/pdf"),
    }
    answer = vendor.request("POST", "/v1/documents", files=files)
    assert answer.status_code == 202, answer.text
    assert follow(vendor, answer.json()["id"])["state"] == "completed"


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_a_scan_with_metadata_becomes_a_pdf(vendor: Client, form: str) -> None:
    """A picture is made into a PDF/A on the way in; the CDA kept carries that PDF."""
    document = fresh(documents.report)
    for name in ("content", "mediaType"):
        document.pop(name)
    picture = io.BytesIO()
    Image.new("RGB", (200, 280), "white").save(picture, form)
    files = {
        "metadata": ("m.json", orjson.dumps({"document": document}), "application/json"),
        "file": (f"scan.{form.lower()}", picture.getvalue(), f"image/{form.lower()}"),
    }
    answer = vendor.request("POST", "/v1/documents", files=files)
    assert answer.status_code == 202, answer.text
    receipt = answer.json()
    assert follow(vendor, receipt["id"])["state"] == "completed"
    cda = vendor.request("GET", f"/v1/documents/{receipt['id']}/cda").content
    assert b'mediaType="application/pdf"' in cda
    assert base64.b64encode(b"%PDF-1.4")[:8] in cda


def test_a_ready_made_cda_is_relayed_whole(running: Demonstration, vendor: Client) -> None:
    """A caller's own CDA travels byte for byte, canonical."""
    first = post(vendor, fresh(documents.report), deliverTo={"dmp": False})
    cda = vendor.request("GET", f"/v1/documents/{first.json()['id']}/cda").content
    old, new = first.json()["uniqueId"].encode(), f"1.2.250.1.999.9.2.{next(numbers)}".encode()
    moved = cda.replace(b'"' + old + b'"', b'"' + new + b'"')
    assert moved != cda
    answer = vendor.request("POST", "/v1/documents", content=moved, headers={"Content-Type": "application/xml"})
    assert answer.status_code == 202, answer.text
    assert follow(vendor, answer.json()["id"])["state"] == "completed"
    assert simulator(running, "dmp", f"/documents/{new.decode()}").content == moved


def test_a_held_document_leaves_once_qualified(running: Demonstration, vendor: Client) -> None:
    """A provisional identity holds the DMP delivery; INSi, then the proof reported, let it go with the INS in it."""
    document = fresh(documents.report)
    document["patient"] = {
        "identifiers": [{"root": "1.2.250.1.999.9.5", "extension": f"IPP{next(numbers)}"}],
        "status": "provisoire",
        "birthName": "ADRUN",
        "firstGivenName": "ZOE",
        "givenNames": "ZOE",
        "sex": "F",
        "birthDate": "1975-12-31",
        "birthPlace": "63220",
        "addresses": documents.PATIENT["addresses"],
        "telecoms": documents.PATIENT["telecoms"],
    }
    answer = post(vendor, document)
    assert answer.status_code == 202, answer.text
    receipt = answer.json()
    assert receipt["deliveries"][0]["state"] == "held"
    assert receipt["deliveries"][0]["reason"] == "identity_not_qualified"
    assert receipt["deliveries"][0]["expiresAt"]
    before = vendor.request("GET", f"/v1/documents/{receipt['id']}/cda").content
    assert b"275126322074974" not in before

    def asked() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = vendor.request("GET", "/v1/identities/pending").json()
        return rows

    follow(vendor, receipt["id"], until=lambda _: any(row["missing"] == ["proof"] for row in asked()))
    identity = next(row for row in asked() if row["missing"] == ["proof"])
    said = vendor.request(
        "POST", f"/v1/identities/{identity['id']}/events", json={"event": "PROOF_HIGH_CHECKED", "proof": "CN"}
    )
    assert said.status_code == 200, said.text
    assert said.json()["status"] == "qualifiee"
    done = follow(vendor, receipt["id"])
    assert done["state"] == "completed", done
    after = vendor.request("GET", f"/v1/documents/{receipt['id']}/cda").content
    assert b'root="1.2.250.1.213.1.4.10"' in after
    assert b"275126322074974" in after
    assert simulator(running, "dmp", f"/documents/{receipt['uniqueId']}").content == after


def test_a_lost_answer_is_asked_for_not_guessed(running: Demonstration, vendor: Client) -> None:
    """The registry accepted and the answer was lost on the wire: one entry in the registry, one in the count."""
    fault(running, "dmp", fault="lost_after_acceptance", transaction="TD2.1a")
    answer = post(vendor, fresh(documents.report))
    done = follow(vendor, answer.json()["id"])
    assert done["state"] == "completed", done
    states = [row["to"] for row in done["history"]]
    assert "uncertain" in states
    entries = simulator(running, "dmp", "/entries").json()
    assert sum(e["uniqueId"] == answer.json()["uniqueId"] for e in entries) == 1


def test_the_same_request_gives_the_same_receipt(running: Demonstration, vendor: Client) -> None:
    """A replayed key, a replayed unique id; another content under either is refused."""
    document = fresh(documents.report)
    key = f"key-{next(numbers)}"
    first = post(vendor, document, key=key)
    again = post(vendor, document, key=key)
    assert again.status_code == 202
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    assert post(vendor, document).json()["id"] == first.json()["id"]
    other = {**document, "title": "Autre titre"}
    assert post(vendor, other, key=key).status_code == 422
    assert post(vendor, other, key=f"{key}-other").status_code == 409
    nameless = {k: v for k, v in document.items() if k not in ("id", "setId")}
    keyless = post(vendor, nameless)
    assert keyless.status_code == 422
    assert keyless.json()["faults"][0]["code"] == "API-IDEM-001"
    follow(vendor, first.json()["id"])
    entries = simulator(running, "dmp", "/entries").json()
    assert sum(e["uniqueId"] == first.json()["uniqueId"] for e in entries) == 1


def test_refused_by_the_service_with_its_reason(running: Demonstration, vendor: Client) -> None:
    """A refusal of the DMP ends the delivery, its code and words kept, the fix in French."""
    fault(running, "dmp", fault="registry_error", transaction="TD2.1a", parameters={"code": "XDSRegistryMetadataError"})
    answer = post(vendor, fresh(documents.report))
    done = follow(vendor, answer.json()["id"])
    assert done["state"] == "failed"
    outcome = done["deliveries"][0]["outcome"]
    assert outcome["originalCode"] == "XDSRegistryMetadataError"
    assert outcome["fix"]


def test_counts_come_from_the_ledger(running: Demonstration, vendor: Client, auditor: Client) -> None:
    """What was accepted is counted once by type and month, and the ledger verifies."""
    first = post(vendor, fresh(documents.report)).json()
    follow(vendor, first["id"])
    counts = auditor.request("GET", "/v1/feeds/counts", params={"by": "type,month,outcome"})
    assert counts.status_code == 200, counts.text
    rows = counts.json()["rows"]
    accepted = sum(r["count"] for r in rows if r["service"] == "dmp.document" and r["by"]["outcome"] == "accepted")
    entries = simulator(running, "dmp", "/entries").json()
    assert accepted == len([e for e in entries if e["type"] != "E1762"])


def test_withdrawing_what_waits(vendor: Client) -> None:
    """A held delivery is withdrawn at the caller's request, and stays so."""
    document = fresh(documents.report)
    document["patient"] = {
        **documents.PATIENT,
        "status": "provisoire",
        "attributes": ["douteux"],
        "identifiers": [{"root": "1.2.250.1.999.9.5", "extension": f"IPP{next(numbers)}"}],
    }
    document["patient"].pop("ins")
    document["patient"].pop("insCheckedOn")
    receipt = post(vendor, document).json()
    done = vendor.request("POST", f"/v1/documents/{receipt['id']}/withdraw")
    assert done.status_code == 200, done.text
    assert done.json()["state"] == "withdrawn"
    assert vendor.request("POST", f"/v1/documents/{receipt['id']}/withdraw").status_code == 409


def test_two_languages_and_fhir_outcomes(vendor: Client) -> None:
    """Codes never change with the language; a FHIR caller gets an OperationOutcome."""
    bad = orjson.loads(body_of(fresh(documents.report)))
    bad["document"]["patient"].pop("birthName")
    french = vendor.request("POST", "/v1/documents", json=bad)
    english = vendor.request("POST", "/v1/documents", json=bad, headers={"Accept-Language": "en"})
    assert french.status_code == english.status_code == 422
    assert french.headers["content-type"].startswith("application/problem+json")
    assert french.json()["faults"][0]["code"] == english.json()["faults"][0]["code"] == "DOC-JSON-001"
    assert french.json()["faults"][0]["location"] == "/patient/birthName"
    assert french.json()["title"] != english.json()["title"]
    outcome = vendor.request("POST", "/v1/documents", content=b"{}", headers={"Content-Type": "application/fhir+json"})
    assert outcome.json()["resourceType"] == "OperationOutcome"


def test_health_and_openapi(running: Demonstration) -> None:
    """Probes answer; the interface describes itself with examples."""
    base = running.base_url
    assert httpx.get(f"{base}/health/live", trust_env=False).json() == {"status": "ok"}
    assert httpx.get(f"{base}/health/ready", trust_env=False).status_code == 200
    described = httpx.get(f"{base}/openapi.json", trust_env=False).json()
    assert "/v1/documents" in described["paths"]
    assert described["paths"]["/v1/documents"]["post"]["responses"]["202"]["content"]["application/json"]["example"]
