"""Feeding the DMP: client against simulator over mutual TLS."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import httpx
import pytest

from adapters.dmp.outcomes import Kind
from mappings.xds import PatientId
from tests.support.cda_samples import TEST_AUTHORITY
from tests.support.dmp import PATIENT, Bench, a_doctor, a_document, run


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_a_document_is_fed(bench: Bench, xds_check: Callable[[bytes], list[str]], digest: str):
    """TD2.1a: accepted, stored byte for byte, found again by its uniqueId; every message is schema-valid."""
    doctor = a_doctor()

    async def scenario() -> None:
        async with bench.client(set_digest=digest) as client:
            status = await client.patient_status(PATIENT, doctor)
            assert status.outcome.ok
            assert status.status is not None
            assert status.status.may_feed
            prepared = client.prepare([a_document("1.2.250.1.999.9.2.1")], doctor)
            outcome = await client.submit(prepared, doctor)
            assert outcome.kind is Kind.ACCEPTED, outcome.original_text
            found = await client.find_by_unique_id("1.2.250.1.999.9.2.1", PATIENT, doctor)
            assert found.outcome.ok
            assert len(found.entry_uuids) == 1
            stored = bench.sandbox.state.document("1.2.250.1.999.9.2.1")
            assert stored == prepared.parts[0].content
            (entry, signature) = bench.sandbox.state.entries()
            assert entry.entry.hash == hashlib.sha1(stored, usedforsecurity=False).hexdigest()
            assert entry.entry.size == len(stored)
            assert entry.entry.entry_uuid == found.entry_uuids[0]
            assert signature.entry.unique_id == prepared.signature_unique_id

    run(scenario())
    lines = bench.sandbox.journal.all()
    assert [(line.transaction, line.outcome) for line in lines] == [
        ("TD0.2", "accepted"),
        ("TD2.1a", "accepted"),
        ("TD3.1b", "accepted"),
    ]
    for data in bench.roots()[2:]:
        assert xds_check(data) == []


def test_the_api_shows_what_was_received(bench: Bench):
    """The list of exchanges, their bytes, the document and its entry are there to be looked at."""
    doctor = a_doctor()

    async def scenario() -> bytes:
        async with bench.client() as client:
            prepared = client.prepare([a_document("1.2.250.1.999.9.2.5")], doctor)
            assert (await client.submit(prepared, doctor)).ok
            return prepared.parts[0].content

    content = run(scenario())
    api = bench.sandbox.api_url
    with httpx.Client(trust_env=False) as http:
        (line,) = http.get(f"{api}/exchanges").json()
        assert line["transaction"] == "TD2.1a"
        assert line["outcome"] == "accepted"
        root = http.get(f"{api}/exchanges/{line['id']}/request").content
        assert root.startswith(b"<s:Envelope")
        assert b"ProvideAndRegisterDocumentSetRequest" in root
        assert b"RegistryResponse" in http.get(f"{api}/exchanges/{line['id']}/response").content
        assert http.get(f"{api}/documents/1.2.250.1.999.9.2.5").content == content
        assert http.get(f"{api}/documents/1.2.3").status_code == 404
        (entry,) = http.get(f"{api}/entries", params={"uniqueId": "1.2.250.1.999.9.2.5"}).json()
        assert entry["status"] == "Approved"
        assert PATIENT.value not in http.get(f"{api}/entries").text
        assert "cumul-invisible" in http.get(f"{api}/web/dmp/documents/param-lps").text
        assert http.get(f"{api}/").status_code == 200


def test_several_documents_in_one_set(bench: Bench):
    """Three documents, one signature, one set."""
    doctor = a_doctor()
    ids = [f"1.2.250.1.999.9.2.{n}" for n in (11, 12, 13)]

    async def scenario() -> None:
        async with bench.client() as client:
            prepared = client.prepare([a_document(i) for i in ids], doctor, title="Lot", comments="Trois")
            assert prepared.document_unique_ids == tuple(ids)
            assert (await client.submit(prepared, doctor)).ok

    run(scenario())
    assert [r.entry.unique_id for r in bench.sandbox.state.entries()][:3] == ids
    assert len(bench.sandbox.state.entries()) == 4
    assert len(bench.sandbox.state.sets) == 1


@pytest.mark.parametrize(
    ("matricule", "dmp", "feed"),
    [
        ("279035121518989", "active", True),
        ("297022A02077878", "closed", False),
        ("160012B02077713", "none", False),
        ("181016322075140", "active", True),
    ],
)
def test_the_status_of_a_record(bench: Bench, matricule: str, dmp: str, feed: bool):
    """TD0.2 tells active, closed and absent records apart."""
    patient = PatientId(value=matricule, authority=TEST_AUTHORITY)

    async def scenario() -> None:
        async with bench.client() as client:
            answer = await client.patient_status(patient, a_doctor())
            assert answer.outcome.ok
            assert answer.status is not None
            assert answer.status.dmp == dmp
            assert answer.status.may_feed is feed

    run(scenario())


def test_a_set_sent_twice_is_registered_once(bench: Bench):
    """The same prepared set again is known by its uniqueId; a new set of the same document makes a second entry."""
    doctor = a_doctor()

    async def scenario() -> None:
        async with bench.client() as client:
            document = a_document("1.2.250.1.999.9.2.21")
            prepared = client.prepare([document], doctor)
            assert (await client.submit(prepared, doctor)).ok
            again = await client.submit(type(prepared).load(prepared.dump()), doctor)
            assert again.kind is Kind.ALREADY_THERE
            assert again.original_code == "XDSDuplicateUniqueIdInRegistry"
            outcome, entries = await client.confirm(prepared, doctor)
            assert outcome.ok
            assert list(entries) == ["1.2.250.1.999.9.2.21"]
            other = client.prepare([document], doctor)
            assert (await client.submit(other, doctor)).ok
            outcome, _ = await client.confirm(prepared, doctor)
            assert outcome.code == "DMP-LOCAL-ambiguous"

    run(scenario())
    assert len(bench.sandbox.state.of_unique_id("1.2.250.1.999.9.2.21")) == 2
