"""Finding, reading and changing documents of a record: client against simulator over mutual TLS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from adapters.dmp import updates
from adapters.dmp.client import DmpClient
from adapters.dmp.messages import DocumentRequest
from adapters.dmp.outcomes import Kind
from adapters.dmp.patient_list import ListedBy, PatientListForm
from adapters.dmp.search import SearchFilters
from mappings.xds import Code, DocumentEntry, PatientId
from mappings.xds import vocabulary as v
from security.vihf import Coded, Mode, Purpose
from tests.support.cda_samples import TEST_AUTHORITY
from tests.support.dmp import OPEN_PATIENT, PATIENT, Bench, a_doctor, a_document, run

DOCTOR = a_doctor()
STAFF = Coded(code="SECRETARIAT_MEDICAL", system="1.2.250.1.213.1.1.4.6", display="Secrétariat médical")


def a_patient_document(unique_id: str, **options: object):  # type: ignore[no-untyped-def]
    """A document of the patient who authorised the doctor."""
    return a_document(unique_id, ins=OPEN_PATIENT.value, **options)


async def feed(client: DmpClient, *documents: object, actor: object = DOCTOR) -> None:
    """Feed documents in one set."""
    prepared = client.prepare(list(documents), actor)  # type: ignore[arg-type]
    outcome = await client.submit(prepared, actor)  # type: ignore[arg-type]
    assert outcome.ok, (outcome.code, outcome.original_text)


async def entry_of(client: DmpClient, unique_id: str) -> DocumentEntry:
    """The current entry of a document."""
    found = await client.find_by_unique_id(unique_id, OPEN_PATIENT, DOCTOR)
    (entry_uuid,) = found.entry_uuids
    answer = await client.read_entry(entry_uuid, OPEN_PATIENT, DOCTOR)
    assert answer.outcome.ok, answer.outcome
    return answer.objects.entries[0]


def options(client: DmpClient, number: int) -> dict[str, object]:
    """What every prepared change needs."""
    return {
        "actor": DOCTOR,
        "endpoint": client.endpoint,
        "set_unique_id": f"1.2.250.1.999.9.7.{number}",
        "now": datetime.now(UTC),
    }


def test_a_search_finds_by_each_filter(bench: Bench, xds_check: Callable[[bytes], list[str]]):
    """Type, class, dates, author and events narrow a search; the signature of sets is not a document of care."""
    report = ("11488-4", "2.16.840.1.113883.6.1", "CR ou fiche de consultation ou de visite")
    letter = ("96349-6", "2.16.840.1.113883.6.1", "Lettre d'adressage")

    async def scenario() -> None:
        async with bench.client() as client:
            await feed(client, a_patient_document("1.2.250.1.999.9.2.31", type_code=report))
            await feed(client, a_patient_document("1.2.250.1.999.9.2.32", type_code=letter))

            async def found(**filters: object) -> set[str]:
                answer = await client.search(SearchFilters(**filters), OPEN_PATIENT, DOCTOR)  # type: ignore[arg-type]
                assert answer.outcome.ok, answer.outcome.original_text
                return {
                    e.unique_id
                    for e in answer.objects.entries
                    if e.type_code is not None and e.type_code.code != "E1762"
                }

            one, two = {"1.2.250.1.999.9.2.31"}, {"1.2.250.1.999.9.2.32"}
            assert await found() == one | two
            assert await found(types=(Code(code="96349-6", scheme=v.LOINC),)) == two
            assert await found(types=tuple(Code(code=c, scheme=v.LOINC) for c in ("96349-6", "11488-4"))) == one | two
            assert await found(classes=(Code(code="42", scheme=v.CLASS_SCHEME),)) == set()
            event = Code(code="34117-2", scheme=v.LOINC)
            assert await found(events=((event,),)) == one | two
            assert await found(events=((event,), (Code(code="x", scheme="y"),))) == set()
            acts = datetime(2026, 1, 10, 8, 0, tzinfo=UTC)
            assert await found(service_from=acts, service_to=acts + timedelta(seconds=1)) == one | two
            assert await found(service_from=acts + timedelta(seconds=1)) == set()
            assert await found(created_from=datetime(2026, 1, 10, tzinfo=UTC)) == one | two
            assert await found(created_to=datetime(2026, 1, 10, tzinfo=UTC)) == set()
            assert await found(author="810009876543%") == one | two
            assert await found(author="899%") == set()
            assert await found(statuses=(v.ARCHIVED,)) == set()
            hour = timedelta(hours=1)
            now = datetime.now(UTC)
            assert await found(submitted_from=now - hour, submitted_to=now + hour) == one | two
            assert await found(submitted_from=now + hour) == set()

    run(scenario())
    for data in bench.roots():
        assert xds_check(data) == []


def test_a_document_is_retrieved_as_it_was_fed(bench: Bench, xds_check: Callable[[bytes], list[str]]):
    """TD3.2 gives the bytes; an unknown one beside it makes the answer partial."""

    async def scenario() -> None:
        async with bench.client() as client:
            await feed(client, a_patient_document("1.2.250.1.999.9.2.41"))
            entry = await entry_of(client, "1.2.250.1.999.9.2.41")
            assert (entry.version, entry.status) == ("1", v.APPROVED)
            wanted = DocumentRequest(
                repository_unique_id=entry.repository_unique_id, document_unique_id=entry.unique_id
            )
            answer = await client.retrieve([wanted], OPEN_PATIENT, DOCTOR)
            assert answer.outcome.ok
            (document,) = answer.documents
            assert document.content == bench.sandbox.state.document(entry.unique_id)
            assert len(document.content) == entry.size
            lost = replace(wanted, document_unique_id=entry.entry_uuid)
            answer = await client.retrieve([wanted, lost], OPEN_PATIENT, DOCTOR)
            assert answer.outcome.original_code == "XDSDocumentUniqueIdError"
            assert len(answer.documents) == 1
            answer = await client.retrieve([lost], OPEN_PATIENT, DOCTOR)
            assert answer.outcome.kind is Kind.REFUSED
            assert answer.documents == ()
            other = replace(wanted, repository_unique_id="1.2.3")
            answer = await client.retrieve([other], OPEN_PATIENT, DOCTOR)
            assert answer.outcome.original_code == "XDSUnknownRepositoryId"

    run(scenario())
    for data in bench.roots():
        assert xds_check(data) == []


def test_a_document_is_replaced(bench: Bench, xds_check: Callable[[bytes], list[str]]):
    """TD2.1b: the old entry is deprecated, the new one active; replacing it again fails."""

    async def scenario() -> None:
        async with bench.client() as client:
            await feed(client, a_patient_document("1.2.250.1.999.9.2.51"))
            old = await entry_of(client, "1.2.250.1.999.9.2.51")
            new = a_patient_document(
                "1.2.250.1.999.9.2.52",
                replaces=old.entry_uuid,
                replaces_unique_id="1.2.250.1.999.9.2.51",
                version=2,
            )
            await feed(client, new)
            assert (await entry_of(client, "1.2.250.1.999.9.2.51")).status == v.DEPRECATED
            assert (await entry_of(client, "1.2.250.1.999.9.2.52")).status == v.APPROVED
            again = a_patient_document(
                "1.2.250.1.999.9.2.53", replaces=old.entry_uuid, replaces_unique_id="1.2.250.1.999.9.2.51"
            )
            outcome = await client.submit(client.prepare([again], DOCTOR), DOCTOR)
            assert outcome.original_code == "XDSReplaceFailed"

    run(scenario())
    assert [line.transaction for line in bench.sandbox.journal.all() if line.transaction.startswith("TD2")] == [
        "TD2.1a",
        "TD2.1b",
        "TD2.1b",
    ]
    for data in bench.roots():
        assert xds_check(data) == []


def test_masking_and_unmasking_make_versions(bench: Bench, xds_check: Callable[[bytes], list[str]]):
    """TD3.3a: new version, same logical id; the author still sees it; a stale version is refused."""

    async def scenario() -> None:
        async with bench.client() as client:
            await feed(client, a_patient_document("1.2.250.1.999.9.2.61"))
            first = await entry_of(client, "1.2.250.1.999.9.2.61")
            hide = updates.prepare_confidentiality(first, updates.mask(first), **options(client, 1))  # type: ignore[arg-type]
            outcome = await client.update(hide, DOCTOR, mode=Mode.REINFORCED)
            assert outcome.ok, outcome.original_text
            # The same change again: the registry knows the set.
            again = await client.update(updates.PreparedUpdate.load(hide.dump()), DOCTOR, mode=Mode.REINFORCED)
            assert again.kind is Kind.ALREADY_THERE
            second = await entry_of(client, "1.2.250.1.999.9.2.61")
            assert second.version == "2"
            assert second.logical_id == first.logical_id
            assert second.entry_uuid != first.entry_uuid
            assert "MASQUE_PS" in {c.code for c in second.confidentiality}
            stale = updates.prepare_confidentiality(first, updates.mask(first), **options(client, 2))  # type: ignore[arg-type]
            outcome = await client.update(stale, DOCTOR, mode=Mode.REINFORCED)
            assert outcome.original_code == "XDSMetadataVersionError"
            with pytest.raises(updates.CannotChange):
                updates.prepare_confidentiality(second, updates.mask(second), **options(client, 3))  # type: ignore[arg-type]
            show = updates.prepare_confidentiality(second, updates.unmask(second), **options(client, 4))  # type: ignore[arg-type]
            assert (await client.update(show, DOCTOR, mode=Mode.REINFORCED)).ok
            assert (await entry_of(client, "1.2.250.1.999.9.2.61")).version == "3"

    run(scenario())
    for data in bench.roots():
        assert xds_check(data) == []


def test_a_document_becomes_visible_to_the_patient(bench: Bench):
    """TD3.3b is one-way."""

    async def scenario() -> None:
        async with bench.client() as client:
            await feed(client, a_patient_document("1.2.250.1.999.9.2.62", visibility=frozenset({"INVISIBLE_PATIENT"})))
            entry = await entry_of(client, "1.2.250.1.999.9.2.62")
            codes = updates.show_to_patient(entry)
            show = updates.prepare_confidentiality(entry, codes, **options(client, 1))  # type: ignore[arg-type]
            assert (await client.update(show, DOCTOR, mode=Mode.REINFORCED)).ok
            shown = await entry_of(client, "1.2.250.1.999.9.2.62")
            assert [c.code for c in shown.confidentiality] == ["N"]
            back = updates.prepare_confidentiality(shown, entry.confidentiality, **options(client, 2))  # type: ignore[arg-type]
            outcome = await client.update(back, DOCTOR, mode=Mode.REINFORCED)
            assert outcome.original_code == "XDSMetadataUpdateOperationError"

    run(scenario())


@pytest.mark.parametrize("mode", [Mode.INDIRECT, Mode.REINFORCED])
def test_a_document_is_deleted_by_its_structure_or_author(bench: Bench, mode: Mode):
    """TD3.3c is logical: the entry stays, its status says so, and nothing more can be done with it."""

    async def scenario() -> None:
        async with bench.client() as client:
            await feed(client, a_patient_document("1.2.250.1.999.9.2.71"))
            entry = await entry_of(client, "1.2.250.1.999.9.2.71")

            def change(number: int, new: str, original: str = v.APPROVED) -> updates.PreparedUpdate:
                return updates.prepare_status(
                    entry.entry_uuid,
                    original=original,
                    new=new,
                    patient=OPEN_PATIENT,
                    **options(client, number),  # type: ignore[arg-type]
                )

            assert (await client.update(change(1, v.DELETED), DOCTOR, mode=mode)).ok
            assert (await entry_of(client, "1.2.250.1.999.9.2.71")).status == v.DELETED
            outcome = await client.update(change(2, v.DELETED), DOCTOR, mode=mode)
            assert outcome.original_code == "XDSMetadataUpdateError"
            outcome = await client.update(change(3, v.APPROVED, v.DELETED), DOCTOR, mode=mode)
            assert outcome.original_code == "XDSMetadataUpdateOperationError"

    run(scenario())


def test_a_document_is_archived_and_brought_back(bench: Bench):
    """TD3.3d both ways, in the reinforced mode."""

    async def scenario() -> None:
        async with bench.client() as client:
            await feed(client, a_patient_document("1.2.250.1.999.9.2.72"))
            entry = await entry_of(client, "1.2.250.1.999.9.2.72")
            for number, (old, new) in enumerate([(v.APPROVED, v.ARCHIVED), (v.ARCHIVED, v.APPROVED)]):
                change = updates.prepare_status(
                    entry.entry_uuid,
                    original=old,
                    new=new,
                    patient=OPEN_PATIENT,
                    **options(client, number),  # type: ignore[arg-type]
                )
                assert (await client.update(change, DOCTOR, mode=Mode.REINFORCED)).ok
                assert (await entry_of(client, "1.2.250.1.999.9.2.72")).status == new

    run(scenario())


def test_an_authorisation_is_declared_and_removed(bench: Bench):
    """TD0.3: declaring twice is idempotent; reading needs it."""

    async def scenario() -> None:
        async with bench.client() as client:
            before = await client.patient_status(PATIENT, DOCTOR, mode=Mode.REINFORCED)
            assert before.status is not None
            assert before.status.authorization == "NON_EXISTE"
            refused = await client.search(SearchFilters(), PATIENT, DOCTOR)
            assert refused.outcome.original_code == "DMPAccessDenied"
            for text in ("Autorisation ajoutée", "Autorisation déjà présente"):
                outcome = await client.set_authorization(PATIENT, DOCTOR, add=True)
                assert outcome.ok
                assert outcome.original_text == text
            assert (await client.search(SearchFilters(), PATIENT, DOCTOR)).outcome.ok
            after = await client.patient_status(PATIENT, DOCTOR, mode=Mode.REINFORCED)
            assert after.status is not None
            assert after.status.may_consult
            assert (await client.set_authorization(PATIENT, DOCTOR, add=False)).ok
            assert not (await client.search(SearchFilters(), PATIENT, DOCTOR)).outcome.ok

    run(scenario())


@pytest.mark.parametrize("form", ["date", "dateTime", "dtm"])
def test_the_records_one_is_authorised_on_are_listed(bench: Bench, form: Literal["date", "dateTime", "dtm"]):
    """TD0.4: since a date, by authorisation or by last document; a structure is told of new authorisations only."""
    now = datetime.now(UTC)
    day = timedelta(days=1)

    async def scenario() -> None:
        async with bench.client(patient_list=PatientListForm(date=form)) as client:

            async def listed(by: ListedBy, since: datetime, **how: object) -> list[str]:
                answer = await client.authorized_records(DOCTOR, since=since, by=by, **how)  # type: ignore[arg-type]
                assert answer.outcome.ok, answer.outcome
                return sorted(one.patient.value for one in answer.patients)

            seeds = ["275126322074974", "277076322082910"]
            assert await listed(ListedBy.LAST_AUTHORIZATION, now - 5000 * day) == seeds
            assert await listed(ListedBy.LAST_AUTHORIZATION, now - day) == []
            assert (await client.set_authorization(PATIENT, DOCTOR, add=True)).ok
            assert await listed(ListedBy.LAST_AUTHORIZATION, now - day) == [PATIENT.value]
            assert await listed(ListedBy.LAST_DOCUMENT, now - day) == []
            await feed(client, a_patient_document("1.2.250.1.999.9.2.131"))
            assert await listed(ListedBy.LAST_DOCUMENT, now - day) == [OPEN_PATIENT.value]
            answer = await client.authorized_records(DOCTOR, since=now - day, by=ListedBy.LAST_DOCUMENT)
            (one,) = answer.patients
            assert one.last_document >= (now - day).strftime("%Y%m%d")
            assert one.last_authorization
            assert OPEN_PATIENT.value not in repr(answer)

            secretary = replace(DOCTOR, profession=STAFF, specialty=None)
            assert (await client.set_authorization(PATIENT, secretary, add=True)).ok
            assert await listed(ListedBy.LAST_AUTHORIZATION, now - day, mode=Mode.INDIRECT) == [PATIENT.value]
            refused = await client.authorized_records(
                DOCTOR, since=now - day, by=ListedBy.LAST_DOCUMENT, mode=Mode.INDIRECT
            )
            assert refused.outcome.original_code == "DMPAccessDenied"
            future = await client.authorized_records(DOCTOR, since=now + 2 * day)
            assert future.outcome.original_code == "DMPInvalidRequest"

    run(scenario())


def test_a_blocked_professional_reads_nothing(bench: Bench):
    """INTERDIT holds against searches, and against a new authorisation."""
    patient = PatientId(value="181016322075140", authority=TEST_AUTHORITY)

    async def scenario() -> None:
        async with bench.client() as client:
            status = await client.patient_status(patient, DOCTOR)
            assert status.status is not None
            assert status.status.authorization == "INTERDIT"
            answer = await client.search(SearchFilters(), patient, DOCTOR)
            assert answer.outcome.kind is Kind.REFUSED
            assert not (await client.set_authorization(patient, DOCTOR, add=True)).ok

    run(scenario())


def test_break_glass_reads_without_authorisation(bench: Bench):
    """An emergency access needs no authorisation unless the patient refused it."""

    async def scenario() -> None:
        async with bench.client() as client:
            answer = await client.search(SearchFilters(), PATIENT, DOCTOR, purpose=Purpose.BREAK_GLASS)
            assert answer.outcome.ok
            patient = bench.sandbox.state.patient(PATIENT)
            assert patient is not None
            patient.allows_break_glass = False
            answer = await client.search(SearchFilters(), PATIENT, DOCTOR, purpose=Purpose.BREAK_GLASS)
            assert answer.outcome.kind is Kind.REFUSED

    run(scenario())


def test_a_masked_document_is_hidden_from_another_professional(bench: Bench):
    """Masked documents are seen by their author and by the treating doctor only."""
    other = a_doctor(id="899900000017", family="MARTIN", given="Paul")
    treated = PatientId(value="277076322082910", authority=TEST_AUTHORITY)

    async def scenario() -> None:
        async with bench.client() as client:
            document = a_patient_document("1.2.250.1.999.9.2.81", visibility=frozenset({"MASQUE_PS"}))
            await feed(client, document)
            await client.set_authorization(OPEN_PATIENT, other, add=True)

            async def seen(actor: object) -> set[str]:
                answer = await client.search(SearchFilters(), OPEN_PATIENT, actor)  # type: ignore[arg-type]
                return {e.unique_id for e in answer.objects.entries}

            assert "1.2.250.1.999.9.2.81" in await seen(DOCTOR)
            assert "1.2.250.1.999.9.2.81" not in await seen(other)
            # The treating doctor sees what others masked.
            theirs = a_document(
                "1.2.250.1.999.9.2.82", ins=treated.value, visibility=frozenset({"MASQUE_PS"}), rpps=other.id
            )
            await feed(client, theirs, actor=other)
            answer = await client.search(SearchFilters(), treated, DOCTOR)
            assert "1.2.250.1.999.9.2.82" in {e.unique_id for e in answer.objects.entries}

    run(scenario())


def test_staff_are_authorised_for_their_structure(bench: Bench):
    """A secretary's TD0.3 gives the authorisation to the structure; reading stays closed to staff."""
    secretary = a_doctor(
        id="3290099887/12",
        family="LE GALL",
        given="Anne",
        profession=STAFF,
        specialty=None,
    )

    async def scenario() -> None:
        async with bench.client() as client:
            assert (await client.set_authorization(PATIENT, secretary, add=True)).ok
            patient = bench.sandbox.state.patient(PATIENT)
            assert patient is not None
            assert patient.authorizations == {"1290099887": "VALIDE"}
            assert not (await client.search(SearchFilters(), PATIENT, secretary)).outcome.ok
            assert (await client.search(SearchFilters(), PATIENT, DOCTOR)).outcome.ok

    run(scenario())


def test_the_direct_mode_feeds_and_reads(bench: Bench):
    """With a professional's card both are open under one mode."""

    async def scenario() -> None:
        async with bench.client() as client:
            prepared = client.prepare([a_patient_document("1.2.250.1.999.9.2.121")], DOCTOR)
            assert (await client.submit(prepared, DOCTOR, mode=Mode.DIRECT)).ok
            answer = await client.search(SearchFilters(), OPEN_PATIENT, DOCTOR, mode=Mode.DIRECT)
            assert answer.outcome.ok
            assert len(answer.objects.entries) == 2

    run(scenario())
