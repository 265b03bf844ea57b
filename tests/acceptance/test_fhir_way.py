"""The whole gateway with the DMP's FHIR twin: the same calls, deliveries and counts as by XDS."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import orjson
import pytest

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import body_of, fault, follow, post, simulator
from tests.support import documents

numbers = itertools.count(89_000)
DOCTOR = "899700218896"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """A gateway whose documents travel by PDSm."""
    settings = {"dmp": {"protocol": "pdsm"}, "retry_first_seconds": 0.1}
    folder = tmp_path_factory.mktemp("fhir-way")
    with Demonstration(folder, pool_processes=0, settings=settings).running() as one:
        matricule = documents.PATIENT["ins"]["value"]
        patient = one.sandbox.dmp.state.patient
        from mappings.xds import PatientId

        known = patient(PatientId(value=matricule, authority="1.2.250.1.213.1.4.10"))
        known.authorizations[DOCTOR] = "VALIDE"
        yield one


def transactions(running: Demonstration) -> set[str]:
    """What the simulator was asked so far."""
    return {line["transaction"] for line in simulator(running, "dmp", "/exchanges").json()}


def test_the_life_of_a_document_by_fhir(running: Demonstration, vendor: Client) -> None:
    """Fed after a lost answer, found, masked, replaced, read and deleted; no document travels by SOAP."""
    fault(running, "dmp", fault="lost_after_acceptance", transaction="ITI-65")
    first = post(vendor, documents.report(next(numbers))).json()
    done = follow(vendor, first["id"])
    assert done["state"] == "completed", done
    assert "uncertain" in [row["to"] for row in done["history"]]
    entries = simulator(running, "dmp", f"/entries?uniqueId={first['uniqueId']}").json()
    assert len(entries) == 1

    session = {
        "Passerelle-Actor-Session": vendor.request(
            "POST", "/v1/records/sessions", json={"actor": documents.DOCTOR}
        ).json()["session"]
    }
    path = f"/v1/records/documents/{first['id']}"
    masked = vendor.request("PATCH", path, json={"action": "mask"}, headers=session)
    assert masked.status_code == 202, masked.text
    settled = follow(vendor, first["id"])
    assert settled["deliveries"][-1]["state"] == "acknowledged", settled
    latest = simulator(running, "dmp", f"/entries?uniqueId={first['uniqueId']}").json()[-1]
    assert "MASQUE_PS" in latest["confidentiality"]

    newer = documents.report(next(numbers))
    newer.pop("setId", None)
    body = orjson.dumps(orjson.loads(body_of(newer))["document"])
    replaced = vendor.request("PUT", path, content=body, headers={"Content-Type": "application/json"})
    assert replaced.status_code == 202, replaced.text
    assert follow(vendor, replaced.json()["id"])["state"] == "completed"
    patient = {"ins": documents.PATIENT["ins"]}
    found = vendor.request("POST", "/v1/records/search", json={"patient": patient, "limit": 500}, headers=session)
    assert found.status_code == 200, found.text
    (item,) = [i for i in found.json()["items"] if i["uniqueId"] == replaced.json()["uniqueId"]]
    read = vendor.request("GET", item["links"]["self"], headers={**session, "Accept": "application/xml"})
    assert read.status_code == 200, read.text
    assert b"<ClinicalDocument" in read.content

    assert vendor.request("DELETE", f"/v1/records/documents/{replaced.json()['id']}").status_code == 202
    gone = follow(vendor, replaced.json()["id"])
    assert gone["deliveries"][-1]["state"] == "acknowledged", gone
    last = simulator(running, "dmp", f"/entries?uniqueId={replaced.json()['uniqueId']}").json()[-1]
    assert last["status"].endswith("Deleted")
    asked = transactions(running)
    assert {"ITI-65", "ITI-67", "ITI-68", "TD3.3", "TD0.2"} <= asked
    assert not {t for t in asked if t.startswith(("TD2.1", "TD3.1", "TD3.2", "TD3.3a", "TD3.3c"))}


def test_exchanges_are_kept_as_proof(running: Demonstration, vendor: Client) -> None:
    """Evidence is kept of the FHIR calls too."""
    from sqlalchemy import select

    from gateway.store.tables import exchanges

    done = follow(vendor, post(vendor, documents.report(next(numbers))).json()["id"])
    assert done["state"] == "completed", done
    kept = running.gateway.store.read_now(lambda c: set(c.execute(select(exchanges.c.transaction)).scalars().all()))
    assert "ITI-65" in kept
