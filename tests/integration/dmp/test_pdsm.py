"""The same verbs by PDSm: FHIR client against the simulator's FHIR face, over mutual TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.dmp.outcomes import Kind
from adapters.dmp.pdsm import PdsmClient
from adapters.dmp.prepare import SubmissionIds
from mappings.xds import Association, Code, PatientId, Submission, SubmissionSet, document_entry
from mappings.xds import vocabulary as v
from mappings.xds.times import dtm
from security.keyring import KeyRef, open_files
from security.tls import client_ssl_context
from security.vihf import Mode, VihfSigner
from tests.support import fhir_tools
from tests.support.cda_samples import TEST_AUTHORITY, canonical_cda
from tests.support.dmp import OPEN_PATIENT, PATIENT, Bench, a_doctor, an_endpoint, run

DOCTOR = a_doctor()
A07 = "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
ARCHIVED = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-ext-is-archived"


def pdsm(bench: Bench) -> PdsmClient:
    """A FHIR client of the sandbox's structure."""
    key = open_files(KeyRef(name="sign", path=bench.pki.sign.cert_path, key_path=bench.pki.sign.key_path))
    assert isinstance(key.private_key, rsa.RSAPrivateKey)
    return PdsmClient(
        bench.sandbox.fhir_url,
        an_endpoint(bench.sandbox.base_url),
        ssl_context=client_ssl_context(bench.pki.auth, bench.pki.trust),
        vihf=VihfSigner(key=key.private_key, certificate=key.certificate),
    )


def submission(unique_id: str, *, ins: str = OPEN_PATIENT.value, **options: Any) -> tuple[Submission, dict[str, bytes]]:
    """A set of one document, without signature."""
    content, root = canonical_cda(unique_id, ins=ins, **options)
    entry = document_entry(root, content, entry_uuid="D1")
    sent = SubmissionSet(
        unique_id=SubmissionIds.fresh().submission_set,
        source_id="1.2.250.1.999.9",
        patient_id=entry.patient_id,
        submission_time=dtm(datetime.now(UTC)),
        authors=(DOCTOR.author(),),
        content_type=Code(code="07", scheme=v.CONTENT_TYPE_SCHEME, display="Consultation, soins externes"),
    )
    link = Association(
        kind=v.ASSOCIATION_HAS_MEMBER, source=sent.entry_uuid, target="D1", submission_set_status="Original"
    )
    return Submission(submission_set=sent, entries=(entry,), associations=(link,)), {"D1": content}


async def feed(client: PdsmClient, unique_id: str, replaced: Mapping[str, str] | None = None, **options: Any) -> Any:
    """Feed one document; gives the outcome."""
    made, contents = submission(unique_id, **options)
    return await client.submit(client.prepare(made, contents, DOCTOR, replaced), DOCTOR)


def test_a_document_is_fed_found_and_read(bench: Bench):
    """ITI-65, 67 and 68: the bytes that come back are those that went."""

    async def scenario() -> None:
        async with pdsm(bench) as client:
            made, contents = submission("1.2.250.1.999.9.4.1")
            prepared = client.prepare(made, contents, DOCTOR)
            assert (await client.submit(prepared, DOCTOR)).ok
            again = await client.submit(prepared, DOCTOR)
            assert again.kind is Kind.ALREADY_THERE
            answer = await client.search(OPEN_PATIENT, DOCTOR)
            assert answer.outcome.ok
            (entry,) = answer.entries
            assert entry.unique_id == "1.2.250.1.999.9.4.1"
            assert (entry.version, entry.status) == ("1", v.APPROVED)
            said, content = await client.retrieve(answer.urls[entry.entry_uuid], OPEN_PATIENT, DOCTOR)
            assert said.ok
            assert content == contents["D1"]

    run(scenario())
    assert bench.sandbox.state.document("1.2.250.1.999.9.4.1") is not None


def test_what_is_fed_by_fhir_is_found_by_xds(bench: Bench):
    """One registry behind two faces."""

    async def scenario() -> None:
        async with pdsm(bench) as client:
            assert (await feed(client, "1.2.250.1.999.9.4.2")).ok
        async with bench.client() as xds:
            found = await xds.find_by_unique_id("1.2.250.1.999.9.4.2", OPEN_PATIENT, DOCTOR)
            assert len(found.entry_uuids) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ({}, 1),
        ({"type": "http://loinc.org|11488-4"}, 1),
        ({"type": "11488-4,57833-6"}, 1),
        ({"type": "http://loinc.org|57833-6"}, 0),
        ({"category": "10"}, 1),
        ({"facility": "SA07", "setting": "AMBULATOIRE"}, 1),
        ({"security-label": "MASQUE_PS"}, 0),
        ({"creation": "ge2026-01-10"}, 1),
        ({"creation": "lt2026-01-10"}, 0),
        ({"period": "2026-01-10"}, 1),
        ({"author": "810009876543"}, 1),
        ({"author": "899"}, 0),
        ({"status": "superseded"}, 0),
        ({"isArchived": "false"}, 1),
        ({"identifier": "urn:ietf:rfc:3986|urn:oid:1.2.250.1.999.9.4.3"}, 1),
    ],
)
def test_each_search_parameter(bench: Bench, parameters: dict[str, str], count: int):
    """The parameters of PDSm narrow a search."""

    async def scenario() -> None:
        async with pdsm(bench) as client:
            assert (await feed(client, "1.2.250.1.999.9.4.3")).ok
            answer = await client.search(OPEN_PATIENT, DOCTOR, parameters=parameters)
            assert answer.outcome.ok, answer.outcome.original_text
            assert len(answer.entries) == count

    run(scenario())


def test_a_document_is_replaced_masked_archived_and_deleted(bench: Bench):
    """relatesTo with PATCH, then each change by JSON Patch; a stale version is refused."""

    async def scenario() -> None:
        async with pdsm(bench) as client:
            assert (await feed(client, "1.2.250.1.999.9.4.4")).ok
            (old,) = (await client.search(OPEN_PATIENT, DOCTOR)).entries
            reference = "DocumentReference/" + old.entry_uuid.removeprefix("urn:uuid:")
            said = await feed(
                client, "1.2.250.1.999.9.4.5", {"D1": reference}, replaces=["1.2.250.1.999.9.4.4"], version=2
            )
            assert said.ok, said.original_text
            (new,) = (await client.search(OPEN_PATIENT, DOCTOR)).entries
            assert new.unique_id == "1.2.250.1.999.9.4.5"
            (superseded,) = (await client.search(OPEN_PATIENT, DOCTOR, parameters={"status": "superseded"})).entries
            assert superseded.unique_id == "1.2.250.1.999.9.4.4"
            name = new.entry_uuid.removeprefix("urn:uuid:")
            label = {"coding": [{"system": A07, "code": "MASQUE_PS"}]}
            mask = [{"op": "add", "path": "/securityLabel/-", "value": label}]
            said = await client.patch(name, mask, OPEN_PATIENT, DOCTOR, version="1")
            assert said.ok, said.original_text
            stale = await client.patch(name, mask, OPEN_PATIENT, DOCTOR, version="1")
            assert stale.original_code == "XDSMetadataVersionError"
            (masked,) = (await client.search(OPEN_PATIENT, DOCTOR)).entries
            assert masked.version == "2"
            assert {c.code for c in masked.confidentiality} == {"N", "MASQUE_PS"}
            name = masked.entry_uuid.removeprefix("urn:uuid:")
            assert (await client.patch(name, [{"op": "remove", "path": "/securityLabel/1"}], OPEN_PATIENT, DOCTOR)).ok
            (entry,) = (await client.search(OPEN_PATIENT, DOCTOR)).entries
            name = entry.entry_uuid.removeprefix("urn:uuid:")
            archive = [{"op": "add", "path": "/extension", "value": [{"url": ARCHIVED, "valueBoolean": True}]}]
            assert (await client.patch(name, archive, OPEN_PATIENT, DOCTOR)).ok
            (entry,) = (await client.search(OPEN_PATIENT, DOCTOR, parameters={"isArchived": "true"})).entries
            assert entry.status == v.ARCHIVED
            title = [{"op": "replace", "path": "/content/0/attachment/title", "value": "x"}]
            refused = await client.patch(name, title, OPEN_PATIENT, DOCTOR)
            assert refused.original_code == "XDSMetadataUpdateOperationError"
            delete = [{"op": "replace", "path": "/status", "value": "entered-in-error"}]
            assert (await client.patch(name, delete, OPEN_PATIENT, DOCTOR, mode=Mode.INDIRECT)).ok
            assert (await client.search(OPEN_PATIENT, DOCTOR)).entries == ()

    run(scenario())


@pytest.mark.parametrize(
    ("matricule", "dmp"), [(PATIENT.value, "active"), ("297022A02077878", "closed"), ("160012B02077713", "none")]
)
def test_the_status_of_a_record(bench: Bench, matricule: str, dmp: str):
    """A Patient search tells active, closed and absent records apart."""

    async def scenario() -> None:
        async with pdsm(bench) as client:
            said, status = await client.patient_status(PatientId(value=matricule, authority=TEST_AUTHORITY), DOCTOR)
            assert said.ok
            assert status is not None
            assert status.dmp == dmp

    run(scenario())


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"ins": "160012B02077713"}, "XDSUnknownPatientId"),
        ({"ins": "297022A02077878"}, "XDSUnknownPatientId"),
        (
            {"replaced": {"D1": "DocumentReference/00000000-0000-4000-8000-000000000000"}},
            "UnresolvedReferenceException",
        ),
    ],
)
def test_refusals_keep_the_registrys_code(bench: Bench, options: dict[str, Any], code: str):
    """An OperationOutcome carries the code that the registry would have given."""

    async def scenario() -> None:
        async with pdsm(bench) as client:
            said = await feed(client, "1.2.250.1.999.9.4.6", **options)
            assert said.kind is Kind.REFUSED
            assert said.original_code == code

    run(scenario())
    assert bench.sandbox.state.entries() == []


def test_wrong_bytes_are_refused(bench: Bench):
    """Hash and size are compared with the Binary."""

    async def scenario() -> None:
        async with pdsm(bench) as client:
            made, contents = submission("1.2.250.1.999.9.4.7")
            spoiled = {"D1": contents["D1"] + b"\n"}
            said = await client.submit(client.prepare(made, spoiled, DOCTOR), DOCTOR)
            assert said.original_code == "XDSRepositoryMetadataError"
            wrong = replace(made.entries[0], title="Autre")
            said = await client.submit(client.prepare(replace(made, entries=(wrong,)), contents, DOCTOR), DOCTOR)
            assert said.original_code == "XDSRepositoryMetadataError"

    run(scenario())


def test_reading_needs_the_reinforced_mode_and_an_authorisation(bench: Bench):
    """The rights are those of the other face."""

    async def scenario() -> None:
        async with pdsm(bench) as client:
            answer = await client.search(OPEN_PATIENT, DOCTOR, mode=Mode.INDIRECT)
            assert answer.outcome.original_code == "DMPAccessDenied"
            answer = await client.search(PATIENT, DOCTOR)
            assert answer.outcome.original_code == "DMPAccessDenied"

    run(scenario())


def test_an_address_of_another_service_is_not_followed(bench: Bench):
    """Only what the configured service serves is fetched."""

    async def scenario() -> None:
        async with pdsm(bench) as client:
            said, content = await client.retrieve("https://evil.invalid/Binary/1", OPEN_PATIENT, DOCTOR)
            assert said.code == "DMP-LOCAL-foreign_url"
            assert content == b""

    run(scenario())


def test_a_lost_answer_is_known_again(bench: Bench):
    """After an answer lost on the way, the same transaction is known by the uniqueId of its set."""
    bench.sandbox.faults.set("lost_after_acceptance", transaction="ITI-65")

    async def scenario() -> None:
        async with pdsm(bench) as client:
            made, contents = submission("1.2.250.1.999.9.4.8")
            prepared = client.prepare(made, contents, DOCTOR)
            assert (await client.submit(prepared, DOCTOR)).kind is Kind.ASK_REGISTRY
            assert (await client.submit(prepared, DOCTOR)).kind is Kind.ALREADY_THERE

    run(scenario())
    assert len(bench.sandbox.state.of_unique_id("1.2.250.1.999.9.4.8")) == 1


def test_answers_are_valid_and_patients_stay_out_of_urls(bench: Bench, tmp_path: Path):
    """Capability statement, transaction answer and search sets pass the outside checkers; a GET search is refused."""

    async def scenario() -> list[dict[str, Any]]:
        async with pdsm(bench) as client:
            assert (await feed(client, "1.2.250.1.999.9.4.9")).ok
            assert (await client.search(OPEN_PATIENT, DOCTOR)).outcome.ok
            said, _ = await client._call(
                "ITI-66",
                "POST",
                "/List/_search",
                DOCTOR,
                OPEN_PATIENT,
                Mode.REINFORCED,
                content=b"code=submissionset",
                kind="application/x-www-form-urlencoded",
            )
            assert said.ok
            tls = client_ssl_context(bench.pki.auth, bench.pki.trust)
            async with httpx.AsyncClient(verify=tls, trust_env=False) as http:
                url = f"{bench.sandbox.fhir_url}/DocumentReference"
                got = await http.get(url, params={"patient.identifier": "urn:oid:1.2|3"})
                assert got.status_code == 400
                metadata = (await http.get(f"{bench.sandbox.fhir_url}/metadata")).json()
                without = await http.post(f"{url}/_search", content=b"status=current")
                assert without.status_code == 401
        answers = [orjson.loads(line.response) for line in bench.sandbox.journal.all() if line.response]
        return [metadata, *answers]

    resources = run(scenario())
    for resource in resources:
        assert fhir_tools.base_errors(resource) == [], resource
    bundles = [r for r in resources if r["resourceType"] == "Bundle"]
    _, said = fhir_tools.profile_report(bundles, tmp_path)
    assert [line for line in said.splitlines() if line.strip().startswith("error")] == []
    for line in bench.sandbox.journal.all():
        assert OPEN_PATIENT.value not in str(line.as_json())


def test_many_at_once_keep_one_entry_each(bench: Bench):
    """Twenty transactions together: one entry each."""

    async def scenario() -> None:
        async with pdsm(bench) as client:
            said = await asyncio.gather(*(feed(client, f"1.2.250.1.999.9.4.{100 + n}") for n in range(20)))
            assert all(one.ok for one in said)

    run(scenario())
    assert len(bench.sandbox.state.entries()) == 20
