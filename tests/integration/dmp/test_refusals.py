"""What the simulated DMP refuses, and how the client says it: nothing is registered by a refused set."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from adapters.dmp.outcomes import Kind, Outcome
from adapters.dmp.prepare import DocumentTooLarge, InvalidSubmission, PreparedSubmission, TooManyDocuments
from mappings.xds import PatientId
from security.vihf import Coded, Mode, VihfProfile
from tests.support.cda_samples import TEST_AUTHORITY
from tests.support.dmp import OPEN_PATIENT, PATIENT, Bench, a_doctor, a_document, run

UNIQUE_ID = "1.2.250.1.999.9.2.91"


def body(old: str, new: str, count: int = -1) -> Callable[[PreparedSubmission], PreparedSubmission]:
    """Change the request's metadata after it was signed and prepared."""

    def change(prepared: PreparedSubmission) -> PreparedSubmission:
        text = prepared.body.decode()
        assert old in text, old
        return replace(prepared, body=text.replace(old, new, count).encode())

    return change


def pattern(old: str, new: str) -> Callable[[PreparedSubmission], PreparedSubmission]:
    """The same, by pattern, once."""

    def change(prepared: PreparedSubmission) -> PreparedSubmission:
        text, count = re.subn(old, new, prepared.body.decode(), count=1, flags=re.DOTALL)
        assert count == 1, old
        return replace(prepared, body=text.encode())

    return change


def content(number: int, change: Callable[[bytes], bytes]) -> Callable[[PreparedSubmission], PreparedSubmission]:
    """Change the bytes of a part."""

    def apply(prepared: PreparedSubmission) -> PreparedSubmission:
        parts = list(prepared.parts)
        parts[number] = replace(parts[number], content=change(parts[number].content))
        return replace(prepared, parts=tuple(parts))

    return apply


def without_part(number: int) -> Callable[[PreparedSubmission], PreparedSubmission]:
    """Leave a part out of the package."""

    def apply(prepared: PreparedSubmission) -> PreparedSubmission:
        return replace(prepared, parts=tuple(p for i, p in enumerate(prepared.parts) if i != number))

    return apply


def submit(
    bench: Bench,
    change: Callable[[PreparedSubmission], PreparedSubmission],
    *,
    mode: Mode = Mode.INDIRECT,
    document: dict[str, Any] | None = None,
    sender: Any = None,
    profile: VihfProfile | None = None,
    secret: bool = False,
) -> Outcome:
    """Prepare one document, change what was prepared, send it."""
    doctor = a_doctor()

    async def scenario() -> Outcome:
        async with bench.client(profile=profile) as client:
            prepared = client.prepare([a_document(UNIQUE_ID, **(document or {}))], doctor)
            return await client.submit(change(prepared), sender or doctor, mode=mode, secret_connection=secret)

    return run(scenario())


def same(prepared: PreparedSubmission) -> PreparedSubmission:
    """No change."""
    return prepared


META = "XDSRegistryMetadataError"
REPO = "XDSRepositoryMetadataError"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        # form
        (pattern(r'<Slot name="creationTime">(.*?)</Slot>', r'<Slot name="creationTime"><ValueList/></Slot>'), META),
        (pattern(r'(<Slot name="size">.*?</Slot>)(<Name>.*?</Name>)', r"\2\1"), META),
        (pattern(r'(<Slot name="languageCode">.*?</Slot>)', r"\1\1"), META),
        (body('id="Document01-2"', 'id="Document01-1"'), META),
        (body('classifiedObject="Document01"', 'classifiedObject="SubmissionSet01"', 1), META),
        (body('registryObject="Document01"', 'registryObject="Elsewhere"', 1), META),
        (
            body("urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1", "urn:uuid:00000000-0000-0000-0000-000000000000", 1),
            META,
        ),
        (body("urn:uuid:41a5887f", "urn:uuid:00000000", 1), META),
        (pattern(r'<Slot name="codingScheme">.*?</Slot>', ""), META),
        (body('targetObject="Document01"', 'targetObject="Nowhere"'), META),
        (body('targetObject="Document01"', 'targetObject="SubmissionSet01"'), META),
        (pattern(r"<RegistryObjectList>.*</RegistryObjectList>", "<RegistryObjectList/>"), META),
        (pattern(r"<RegistryObjectList>.*</RegistryObjectList>", ""), REPO),
        # metadata
        (pattern(r'<Slot name="serviceStartTime">.*?</Slot>', ""), META),
        (pattern(r'<Classification id="Document01-7".*?</Classification>', ""), META),
        (body("urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember", "urn:x:Member", 1), META),
        (pattern(r'(id="Document01-2"[^>]*nodeRepresentation=)"10"', r'\1"42"'), META),
        (pattern(r'(id="Document01-3"[^>]*nodeRepresentation=)"11488-4"', r'\1"99999-9"'), META),
        (pattern(r'(id="SubmissionSet01-2"[^>]*nodeRepresentation=)"07"', r'\1"05"'), META),
        (body("1.2.250.1.71.4.2.4</Value>", "1.2.3</Value>"), META),
        (body('value="XDSSubmissionSet.uniqueId"', 'value="x"'), None),
        (pattern(r'(mimeType=)"text/xml"', r'\1"text/html"'), META),
        # bytes
        (pattern(r'(<Slot name="hash"><ValueList><Value>)[0-9a-f]{40}', r"\g<1>" + "0" * 40), REPO),
        (pattern(r'(<Slot name="size"><ValueList><Value>)\d+', r"\g<1>1"), REPO),
        (pattern(r'<Slot name="hash">.*?</Slot><Slot name="size">.*?</Slot>', ""), None),
        (content(0, lambda c: c.replace(b"Compte rendu", b"Compte-rendu")), REPO),
        (content(0, lambda c: c + b"\n"), REPO),
        (without_part(0), "XDSMissingDocument"),
        (pattern(r'<xds:Document id="Document01">.*?</xds:Document>', ""), "XDSMissingDocument"),
        (body('<xds:Document id="Document01">', '<xds:Document id="document01">'), "XDSMissingDocument"),
        # coherence with the header
        (body("Compte rendu de consultation", "Autre titre"), REPO),
        (body("PID-7|19790328", "PID-7|19790329"), None),
        (pattern(r'(id="Document01-3"[^>]*nodeRepresentation=)"11488-4"', r'\1"11490-0"'), REPO),
        (body("<Value>fr-FR</Value>", "<Value>en-US</Value>"), REPO),
        (body("<Value>20260110083000</Value>", "<Value>20260110083001</Value>"), REPO),
        (pattern(r'(id="Document01-6"[^>]*nodeRepresentation=)"SA07"', r'\1"SA08"'), REPO),
        (body(UNIQUE_ID + '"', "1.2.250.1.999.9.2.92" + '"'), REPO),
        # patient and sender
        (body("279035121518989^^^", "275126322074974^^^"), "XDSPatientIdDoesNotMatch"),
        (pattern(r"279035121518989\^\^\^", "275126322074974^^^"), "XDSPatientIdDoesNotMatch"),
        (body(">810009876543^KERVELLA^Odile", ">899900000017^KERVELLA^Odile", 1), META),
        (body("IDNST^^^1290099887", "IDNST^^^1290099888", 1), META),
        # confidentiality
        (pattern(r'(id="Document01-4"[^>]*nodeRepresentation=)"N"', r'\1"X"'), META),
        # signature
        (content(1, lambda c: c.replace(b"SignatureValue>", b"SignatureValue>A", 1)), REPO),
        (pattern(r'<Association [^>]*AssociationType:signs"[^>]*/>', ""), META),
        (body("INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"), META),
    ],
)
def test_each_fault_of_a_set_is_refused(
    bench: Bench, change: Callable[[PreparedSubmission], PreparedSubmission], code: str | None
):
    """Each change is refused with its registry error; what a registry must tolerate is accepted."""
    outcome = submit(bench, change)
    if code is None:
        assert outcome.ok, (outcome.original_code, outcome.original_text)
    else:
        assert outcome.kind is Kind.REFUSED
        assert outcome.original_code == code, outcome.original_text
        assert bench.sandbox.state.entries() == []


def test_a_signed_set_whose_document_was_changed_afterwards(bench: Bench):
    """Bytes, hash and size agree, the signature does not: refused."""
    import hashlib

    def change(prepared: PreparedSubmission) -> PreparedSubmission:
        old = prepared.parts[0].content
        new = old.replace(b"<county>51215", b"<county>51216")
        made = content(0, lambda _: new)(prepared)
        digests = [hashlib.sha1(data, usedforsecurity=False).hexdigest() for data in (old, new)]
        return body(*digests)(made)

    outcome = submit(bench, change)
    assert outcome.original_code == REPO
    assert "SET-MANIFEST-004" in outcome.original_text


@pytest.mark.parametrize(
    ("sender", "subcode", "text"),
    [
        ({"specialty": None}, "DMPInvalidVIHF", "VIHF-SPECIALTY"),
        ({"structure_id": "1290099888"}, "DMPInvalidVIHF", "VIHF-STRUCTURE"),
        ({"sector": "cabinet"}, "DMPInvalidVIHF", "VIHF-SECTOR"),
        ({"given": "", "family": ""}, "DMPInvalidVIHF", "VIHF-SUBJECT"),
        ({"id": ""}, "DMPInvalidVIHF", "VIHF-NAMEID"),
        ({"authn_context": ""}, "DMPInvalidVIHF", "VIHF-AUTHN"),
        (
            {"profession": Coded(code="21", system="1.2.250.1.71.1.2.7", system_name="G15"), "specialty": None},
            "DMPInvalidVIHF",
            "VIHF-SPECIALTY",
        ),
    ],
)
def test_an_incomplete_assertion_is_refused(bench: Bench, sender: dict[str, Any], subcode: str, text: str):
    """Each attribute the DMP wants has its refusal, by SOAP fault."""
    outcome = submit(bench, same, sender=a_doctor(**sender))
    assert outcome.kind is Kind.REFUSED
    assert outcome.original_code == subcode
    assert outcome.original_text.startswith(text)


def test_an_unknown_version_is_refused(bench: Bench):
    """VIHF_Version is 3.0 or 4.0."""
    assert submit(bench, same, profile=VihfProfile(version="2.0")).original_text.startswith("VIHF-VERSION")
    assert submit(bench, same, profile=VihfProfile(version="4.0", mode_attribute="Authentification_Mode")).ok


@pytest.mark.parametrize("order", ["rfc4514", "encoded"])
def test_the_order_of_the_issuer_does_not_matter(bench: Bench, order: str):
    """The simulator compares the parts of the distinguished name."""
    assert submit(bench, same, profile=VihfProfile(dn_order=order)).ok  # type: ignore[arg-type]


def test_the_reinforced_mode_may_not_feed(bench: Bench):
    """AIR is for reading: feeding under it is refused (PDT-INF-606)."""
    outcome = submit(bench, same, mode=Mode.REINFORCED)
    assert outcome.kind is Kind.REFUSED
    assert outcome.original_code == "DMPAccessDenied"


def test_the_indirect_mode_may_not_read(bench: Bench):
    """A structure's certificate alone opens neither search nor retrieval nor authorisation (PDT-INF-526)."""
    from adapters.dmp.messages import DocumentRequest
    from adapters.dmp.search import SearchFilters

    doctor = a_doctor()

    async def scenario() -> None:
        async with bench.client() as client:
            answer = await client.search(SearchFilters(), OPEN_PATIENT, doctor, mode=Mode.INDIRECT)
            assert answer.outcome.original_code == "DMPAccessDenied"
            wanted = DocumentRequest(repository_unique_id="1", document_unique_id="2")
            retrieved = await client.retrieve([wanted], OPEN_PATIENT, doctor, mode=Mode.INDIRECT)
            assert retrieved.outcome.original_code == "DMPAccessDenied"
            outcome = await client.set_authorization(PATIENT, doctor, add=True, mode=Mode.INDIRECT)
            assert outcome.original_code == "DMPAccessDenied"

    run(scenario())


@pytest.mark.parametrize(
    ("matricule", "code"),
    [("160012B02077713", "XDSUnknownPatientId"), ("297022A02077878", "XDSUnknownPatientId")],
)
def test_a_record_that_is_not_open_takes_nothing(bench: Bench, matricule: str, code: str):
    """No DMP, or a closed one."""
    outcome = submit(bench, same, document={"ins": matricule})
    assert (outcome.kind, outcome.original_code) == (Kind.REFUSED, code)


def test_another_content_under_the_same_id_is_refused(bench: Bench):
    """A uniqueId stands for its bytes."""
    assert submit(bench, same).ok
    outcome = submit(bench, same, document={"title": "Autre titre"})
    assert outcome.original_code == "XDSNonIdenticalHash"


def test_duplicates_may_be_refused_by_setting(bench: Bench):
    """The switch of the simulator refuses the same document in a new set."""
    policy = bench.sandbox.service.policy
    assert submit(bench, same).ok
    bench.sandbox.service.policy = replace(policy, refuse_duplicates=True)
    try:
        outcome = submit(bench, same)
    finally:
        bench.sandbox.service.policy = policy
    assert outcome.kind is Kind.ALREADY_THERE


def test_a_minors_secret_document(bench: Bench):
    """Under a secret connection only documents hidden from the representatives are filed; adults have none."""
    minor = {"ins": "114026322083356"}
    hidden = {"visibility": frozenset({"INVISIBLE_REPRESENTANTS_LEGAUX"})}
    assert submit(bench, same, document={**minor, **hidden}, secret=True).ok
    bench.sandbox.state.clear()
    outcome = submit(bench, same, document=minor, secret=True)
    assert outcome.original_code == META
    outcome = submit(bench, same, document=hidden)
    assert "majeur" in outcome.original_text


@pytest.mark.parametrize(
    ("target", "document", "code"),
    [
        ("urn:uuid:00000000-0000-4000-8000-000000000000", {}, "UnresolvedReferenceException"),
        ("known", {"replaces_unique_id": "1.2.3.4"}, REPO),
        ("other patient", {"replaces_unique_id": "1.2.250.1.999.9.2.99"}, "XDSPatientIdDoesNotMatch"),
    ],
)
def test_a_replacement_must_fit_what_it_replaces(bench: Bench, target: str, document: dict[str, Any], code: str):
    """An unknown target, another patient's, or a header that names another document."""
    doctor = a_doctor()
    ins = OPEN_PATIENT.value if target == "other patient" else PATIENT.value

    async def scenario() -> Outcome:
        async with bench.client() as client:
            first = client.prepare([a_document("1.2.250.1.999.9.2.99", ins=ins)], doctor)
            assert (await client.submit(first, doctor)).ok
            known = bench.sandbox.state.entries()[0].entry.entry_uuid
            replaces = target if target.startswith("urn:") else known
            options = {"replaces_unique_id": "1.2.250.1.999.9.2.99", **document}
            new = client.prepare([a_document(UNIQUE_ID, replaces=replaces, **options)], doctor)
            return await client.submit(new, doctor)

    assert run(scenario()).original_code == code


def test_what_cannot_be_sent_is_refused_before_it_leaves(bench: Bench):
    """Too large, too many, no INS, contradictory restrictions: nothing reaches the DMP."""
    doctor = a_doctor()

    async def scenario() -> None:
        async with bench.client(max_document_bytes=5000, max_set_bytes=9000, max_documents=2) as client:
            with pytest.raises(DocumentTooLarge) as caught:
                client.prepare([a_document("1.2.3", body=b"x" * 9000)], doctor)
            assert caught.value.limit == 5000
            with pytest.raises(DocumentTooLarge) as caught:
                client.prepare([a_document("1.2.3"), a_document("1.2.4")], doctor)
            assert caught.value.limit == 9000
            with pytest.raises(TooManyDocuments, match="too_many_documents: 3 documents, at most 2"):
                client.prepare([a_document(f"1.2.{n}") for n in range(3)], doctor)
            for document in (
                a_document("1.2.3", ins=None),
                a_document("1.2.3", visibility=frozenset({"MASQUE_PS", "INVISIBLE_PATIENT"})),
            ):
                with pytest.raises(InvalidSubmission):
                    client.prepare([document], doctor)

    run(scenario())
    assert len(bench.sandbox.journal) == 0


def test_three_hundred_documents_in_one_set(bench: Bench):
    """Refused by name before they leave; a client that would send them all is refused by the DMP."""
    doctor = a_doctor()
    documents = [a_document(f"1.2.250.1.999.9.6.{n + 1}") for n in range(300)]

    async def scenario() -> Outcome:
        async with bench.client() as client:
            with pytest.raises(TooManyDocuments) as caught:
                client.prepare(documents, doctor)
            assert (caught.value.size, caught.value.limit) == (300, 18)
        async with bench.client(max_documents=300) as client:
            return await client.submit(client.prepare(documents, doctor), doctor)

    outcome = run(scenario())
    assert (outcome.kind, outcome.original_code) == (Kind.REFUSED, "DMPInvalidMessage")
    assert bench.sandbox.state.entries() == []


def test_the_simulator_has_its_own_limits(bench: Bench):
    """A client whose limits are set too high is refused by the DMP."""
    doctor = a_doctor()
    policy = bench.sandbox.service.policy
    bench.sandbox.service.policy = replace(policy, max_document_bytes=5000)
    try:

        async def scenario() -> Outcome:
            async with bench.client() as client:
                prepared = client.prepare([a_document(UNIQUE_ID, body=b"x" * 9000)], doctor)
                return await client.submit(prepared, doctor)

        assert run(scenario()).original_code == "InvalidDocumentContent"
    finally:
        bench.sandbox.service.policy = policy


def test_a_replayed_assertion_is_refused(bench: Bench):
    """An assertion serves once: the same bytes sent again are refused."""
    import httpx

    assert submit(bench, same).ok
    record = bench.records[-1]
    client = bench.client()

    async def scenario() -> httpx.Response:
        async with client, httpx.AsyncClient(transport=client._transport._http, trust_env=False) as http:
            return await http.post(
                record.url, content=b"".join(record.request), headers={"Content-Type": record.request_type}
            )

    answer = run(scenario())
    assert answer.status_code == 500
    assert "VIHF-REPLAY" in answer.text


def test_the_test_authority_is_the_only_one_known(bench: Bench):
    """A production matricule has no DMP here, and a matricule with a wrong key neither."""

    async def scenario() -> None:
        async with bench.client() as client:
            for value, authority in (("275126322074974", "1.2.250.1.213.1.4.8"), ("275126322074975", TEST_AUTHORITY)):
                answer = await client.patient_status(PatientId(value=value, authority=authority), a_doctor())
                assert answer.status is not None
                assert answer.status.dmp == "none"

    run(scenario())
