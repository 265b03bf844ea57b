"""Documents that are not the caller's: replaced, changed or deleted by whoever may not; each has a named outcome."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import orjson

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import body_of, follow, post, simulator
from tests.support import documents

numbers = itertools.count(87_000)
JSON = {"Content-Type": "application/json"}


def fresh(**options: Any) -> dict[str, Any]:
    """A document nobody sent yet."""
    return dict(documents.report(next(numbers), **options))


def fed(vendor: Client, document: dict[str, Any]) -> dict[str, Any]:
    """A document in the DMP."""
    done = follow(vendor, post(vendor, document).json()["id"])
    assert done["state"] == "completed", done
    return done


def outcome_of(vendor: Client, answer: httpx.Response) -> dict[str, Any]:
    """How the delivery to the DMP ended."""
    assert answer.status_code == 202, answer.text
    done = follow(vendor, answer.json()["id"])
    assert done["state"] == "failed", done
    return dict(done["deliveries"][0]["outcome"])


def test_a_version_that_replaces_what_the_dmp_has_not(vendor: Client) -> None:
    """The registry knows no such document: refused with what to do, nothing is registered."""
    newer = {**fresh(), "replaces": {"id": {"root": "1.2.250.1.999.9.2.404404"}}}
    said = outcome_of(vendor, post(vendor, newer))
    assert said["code"] == "replaced_not_found"
    assert said["fix"]


def test_a_version_that_replaces_another_patients_document(running: Demonstration, vendor: Client) -> None:
    """A document of somebody else's record is not found in this one: its own record keeps it as it was."""
    theirs = fed(vendor, fresh())
    newer = fresh()
    newer["patient"] = {
        **documents.PATIENT,
        "ins": {"value": "275126322074974", "authority": "1.2.250.1.213.1.4.10"},
        "identifiers": [{"root": "1.2.250.1.999.9.5", "extension": "IPP-OTHER"}],
        "sex": "F",
        "birthDate": "1975-12-01",
        "birthPlace": "63220",
    }
    newer["replaces"] = {"id": {"root": theirs["uniqueId"]}}
    said = outcome_of(vendor, post(vendor, newer))
    assert said["code"] == "replaced_not_found"
    (entry,) = simulator(running, "dmp", f"/entries?uniqueId={theirs['uniqueId']}").json()
    assert entry["status"] == "Approved"


def test_another_structure_reaches_nothing_of_it(running: Demonstration, vendor: Client, pharmacy: Client) -> None:
    """Reading, replacing, masking, deleting by another structure's software: the document does not exist for it."""
    theirs = fed(vendor, fresh())
    path = f"/v1/records/documents/{theirs['id']}"
    body = orjson.dumps(orjson.loads(body_of(fresh()))["document"])
    asked = [
        pharmacy.request("GET", f"/v1/documents/{theirs['id']}"),
        pharmacy.request("DELETE", path),
        pharmacy.request("PUT", path, content=body, headers=JSON),
        pharmacy.request("PATCH", path, json={"action": "mask"}),
        pharmacy.request("GET", path),
    ]
    for answer in asked:
        assert answer.status_code in (401, 403, 404), answer.text
        assert answer.json()["faults"][0]["code"], answer.text
        assert theirs["uniqueId"] not in answer.text
    (entry,) = simulator(running, "dmp", f"/entries?uniqueId={theirs['uniqueId']}").json()
    assert entry["status"] == "Approved"


def test_ids_that_nobody_gave(vendor: Client) -> None:
    """An unknown document or handle: 404 with its fault, for every verb."""
    body = orjson.dumps(orjson.loads(body_of(fresh()))["document"])
    session = vendor.request("POST", "/v1/records/sessions", json={"actor": documents.DOCTOR}).json()["session"]
    headers = {"Passerelle-Actor-Session": session}
    for name in ("doc_0", "doc_01M871BHM5JHJ1NF11SJ237R6N", "0" * 40):
        path = f"/v1/records/documents/{name}"
        for answer in (
            vendor.request("GET", path, headers=headers),
            vendor.request("DELETE", path, headers=headers),
            vendor.request("PUT", path, content=body, headers={**JSON, **headers}),
            vendor.request("PATCH", path, json={"action": "mask"}, headers=headers),
        ):
            assert answer.status_code == 404, answer.text
            assert answer.json()["faults"][0]["code"].startswith("API-"), answer.text
