"""The FHIR twin of the DMP client: the same verbs, the same values in and out, the same state in the registry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.dmp import updates
from adapters.dmp.client import DmpClient
from adapters.dmp.messages import DocumentRequest, query_list
from adapters.dmp.outcomes import Kind
from adapters.dmp.prepare import PreparedSubmission
from adapters.dmp.search import SearchFilters
from adapters.dmp.twin import FhirDmpClient
from mappings.xds import Code, DocumentEntry, PatientId
from mappings.xds import vocabulary as v
from security.keyring import KeyRef, open_files
from security.tls import client_ssl_context
from security.vihf import Mode, VihfSigner
from security.xades import SetSigner
from tests.support.cda_samples import TEST_AUTHORITY
from tests.support.dmp import OPEN_PATIENT, PATIENT, Bench, a_doctor, a_document, an_endpoint, run

DOCTOR = a_doctor()
FIRST, SECOND = "1.2.250.1.999.9.2.951", "1.2.250.1.999.9.2.952"


def twin(bench: Bench, **options: Any) -> FhirDmpClient:
    """A client of the sandbox's structure that speaks FHIR."""
    key = open_files(KeyRef(name="sign", path=bench.pki.sign.cert_path, key_path=bench.pki.sign.key_path))
    assert isinstance(key.private_key, rsa.RSAPrivateKey)
    return FhirDmpClient(
        bench.sandbox.fhir_url,
        an_endpoint(bench.sandbox.base_url, **options),
        ssl_context=client_ssl_context(bench.pki.auth, bench.pki.trust),
        vihf=VihfSigner(key=key.private_key, certificate=key.certificate),
        set_signer=SetSigner(key=key.private_key, certificate=key.certificate),
        recorder=bench.records.append,
    )


def clients(bench: Bench) -> list[DmpClient]:
    """One of each kind."""
    return [bench.client(), twin(bench)]


async def feed(client: DmpClient, unique_id: str, **options: Any) -> PreparedSubmission:
    """Feed one document of the patient who authorised the doctor, from its stored form."""
    prepared = client.prepare([a_document(unique_id, ins=OPEN_PATIENT.value, **options)], DOCTOR)
    stored = PreparedSubmission.load(prepared.dump())
    outcome = await client.submit(stored, DOCTOR)
    assert outcome.ok, (outcome.code, outcome.original_text)
    return stored


async def entry_of(client: DmpClient, unique_id: str) -> DocumentEntry:
    """The current entry of a document."""
    slots = [("XDSDocumentEntryUniqueId", query_list([unique_id]))]
    answer = await client.query("GetDocuments", slots, OPEN_PATIENT, DOCTOR)
    assert answer.outcome.ok, answer.outcome
    (entry,) = answer.objects.entries
    return entry


def a_change(client: DmpClient, number: int) -> dict[str, Any]:
    """What every prepared change needs."""
    return {
        "actor": DOCTOR,
        "endpoint": client.endpoint,
        "set_unique_id": f"1.2.250.1.999.9.7.{number}",
        "now": datetime.now(UTC),
    }


def test_a_document_is_fed_found_read_as_by_xds(bench: Bench) -> None:
    """The same document by each way: the registry holds the same metadata, and each client reads the other's."""

    async def scenario() -> None:
        xds, fhir = clients(bench)
        async with xds, fhir:
            await feed(xds, FIRST)
            await feed(fhir, SECOND)
            stored = {name: bench.sandbox.state.of_unique_id(name)[-1].entry for name in (FIRST, SECOND)}
            for part in ("type_code", "class_code", "format_code", "creation_time", "title", "confidentiality"):
                assert getattr(stored[FIRST], part) == getattr(stored[SECOND], part), part
            for client in (xds, fhir):
                for name in (FIRST, SECOND):
                    found = await client.find_by_unique_id(name, OPEN_PATIENT, DOCTOR)
                    assert found.entry_uuids == (stored[name].entry_uuid,), found.outcome
                    entry = await entry_of(client, name)
                    assert (entry.unique_id, entry.logical_id) == (name, stored[name].logical_id)
                    wanted = DocumentRequest(repository_unique_id=entry.repository_unique_id, document_unique_id=name)
                    answer = await client.retrieve([wanted], OPEN_PATIENT, DOCTOR)
                    assert answer.outcome.ok, answer.outcome
                    assert answer.documents[0].content == bench.sandbox.state.document(name)

    run(scenario())
    assert {"ITI-65", "ITI-67", "ITI-68", "ITI-41", "ITI-18", "ITI-43"} <= {r.transaction for r in bench.records}
    assert all(OPEN_PATIENT.value not in r.url for r in bench.records)


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (SearchFilters(), 2),
        (SearchFilters(types=(Code(code="11488-4", scheme="2.16.840.1.113883.6.1"),)), 2),
        (SearchFilters(types=(Code(code="60591-5", scheme="2.16.840.1.113883.6.1"),)), 0),
        (SearchFilters(classes=(Code(code="10", scheme="1.2.250.1.213.1.1.4.1"),)), 2),
        (SearchFilters(statuses=(v.DEPRECATED, v.DELETED)), 0),
        (SearchFilters(statuses=(v.ARCHIVED,)), 0),
        (SearchFilters(created_from=datetime(2030, 1, 1, tzinfo=UTC)), 0),
        (SearchFilters(submitted_from=datetime.now(UTC) - timedelta(days=1)), 2),
    ],
)
def test_a_search_gives_what_xds_gives(bench: Bench, filters: SearchFilters, count: int) -> None:
    """Each filter, by the FHIR parameters or compared after; dates of submission go by the stored queries."""

    async def scenario() -> None:
        xds, fhir = clients(bench)
        async with xds, fhir:
            await feed(fhir, FIRST)
            await feed(xds, SECOND)
            answers = [await client.search(filters, OPEN_PATIENT, DOCTOR) for client in (xds, fhir)]
            names = [sorted(e.unique_id for e in a.objects.entries if e.language != "art") for a in answers]
            assert names[0] == names[1]
            assert len(names[1]) == count, answers[1].outcome

    run(scenario())


def test_changes_are_patches(bench: Bench) -> None:
    """Prepared and stored as for ITI-57: mask, unmask, archive, bring back, replace, delete."""

    async def scenario() -> None:
        async with twin(bench) as client:
            await feed(client, FIRST)

            async def change(codes: Any, number: int) -> DocumentEntry:
                entry = await entry_of(client, FIRST)
                made = updates.prepare_confidentiality(entry, codes(entry), **a_change(client, number))
                stored = updates.PreparedUpdate.load(made.dump())
                said = await client.update(stored, DOCTOR, mode=Mode.REINFORCED)
                assert said.ok, (said.code, said.original_text)
                stale = await client.update(stored, DOCTOR, mode=Mode.REINFORCED)
                assert stale.original_code == "XDSMetadataVersionError"
                return await entry_of(client, FIRST)

            masked = await change(updates.mask, 1)
            assert {c.code for c in masked.confidentiality} == {"N", "MASQUE_PS"}
            shown = await change(updates.unmask, 2)
            assert (shown.version, [c.code for c in shown.confidentiality]) == ("3", ["N"])

            async def status(new: str, original: str, number: int, mode: Mode = Mode.REINFORCED) -> str:
                (identifier,) = (await client.find_by_unique_id(FIRST, OPEN_PATIENT, DOCTOR)).entry_uuids
                made = updates.prepare_status(
                    identifier, original=original, new=new, patient=OPEN_PATIENT, **a_change(client, number)
                )
                said = await client.update(made, DOCTOR, mode=mode)
                assert said.ok, (said.code, said.original_text)
                return (await entry_of(client, FIRST)).status

            assert await status(v.ARCHIVED, v.APPROVED, 3) == v.ARCHIVED
            assert await status(v.APPROVED, v.ARCHIVED, 4) == v.APPROVED
            (old,) = (await client.find_by_unique_id(FIRST, OPEN_PATIENT, DOCTOR)).entry_uuids
            await feed(client, SECOND, replaces=old, replaces_unique_id=FIRST, version=2)
            assert (await entry_of(client, FIRST)).status == v.DEPRECATED
            assert (await entry_of(client, SECOND)).status == v.APPROVED

    run(scenario())


def test_a_deletion_in_the_structures_name(bench: Bench) -> None:
    """INDIRECTE may find the reference and delete, and nothing more."""

    async def scenario() -> None:
        async with twin(bench) as client:
            await feed(client, FIRST)
            (identifier,) = (await client.find_by_unique_id(FIRST, OPEN_PATIENT, DOCTOR)).entry_uuids
            made = updates.prepare_status(identifier, new=v.DELETED, patient=OPEN_PATIENT, **a_change(client, 1))
            assert (await client.update(made, DOCTOR, mode=Mode.INDIRECT)).ok
            refused = await client.search(SearchFilters(), OPEN_PATIENT, DOCTOR, mode=Mode.INDIRECT)
            assert refused.outcome.original_code == "DMPAccessDenied"
            missing = await client.find_by_unique_id("1.2.3.4", OPEN_PATIENT, DOCTOR)
            assert (missing.outcome.ok, missing.entry_uuids) == (True, ())

    run(scenario())


def test_a_lost_answer_is_asked_about(bench: Bench) -> None:
    """After a transaction whose answer is lost, the registry is asked; sent again, it is known."""
    bench.sandbox.faults.set("lost_after_acceptance", transaction="ITI-65")

    async def scenario() -> None:
        async with twin(bench) as client:
            prepared = client.prepare([a_document(FIRST, ins=OPEN_PATIENT.value)], DOCTOR)
            assert (await client.submit(prepared, DOCTOR)).kind is Kind.ASK_REGISTRY
            outcome, entries = await client.confirm(prepared, DOCTOR)
            assert outcome.kind is Kind.ACCEPTED
            assert set(entries) == {FIRST}
            assert (await client.submit(prepared, DOCTOR)).kind is Kind.ALREADY_THERE
            assert len(bench.sandbox.state.of_unique_id(FIRST)) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("matricule", "dmp"), [(PATIENT.value, "active"), ("297022A02077878", "closed"), ("160012B02077713", "none")]
)
def test_the_status_of_a_record(bench: Bench, matricule: str, dmp: str) -> None:
    """TD0.2 by a search of the patient, in the body."""

    async def scenario() -> None:
        async with twin(bench) as client:
            answer = await client.patient_status(PatientId(value=matricule, authority=TEST_AUTHORITY), DOCTOR)
            assert answer.status is not None
            assert answer.status.dmp == dmp

    run(scenario())
