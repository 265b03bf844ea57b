"""The client of the DMP: the verbs of a practice's software over XDS.b, one instance a structure and environment.

Each call has a fresh assertion and message id. Feeding uses the INDIRECTE mode, reading the INDIRECTE_RENFORCEE one
(dmp.md 1.4): the DMP judges rights, its refusal comes back with its reason.
"""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypedDict, Unpack

from adapters.dmp import messages, mtom
from adapters.dmp.actor import Actor
from adapters.dmp.answers import (
    PatientStatus,
    Retrieved,
    read_authorization,
    read_patient_status,
    read_query,
    read_registry_response,
    read_retrieved,
)
from adapters.dmp.envelope import write_envelope
from adapters.dmp.messages import ACTIONS, DocumentRequest
from adapters.dmp.mtom import MtomError
from adapters.dmp.outcomes import Kind, Layer, Outcome, accepted, outcome
from adapters.dmp.patient_list import ListedBy, PatientListAnswer, patient_list_request, read_patient_list
from adapters.dmp.prepare import OutgoingDocument, PreparedSubmission, SubmissionIds, prepare_submission
from adapters.dmp.search import SearchFilters, batches, matches, set_slots
from adapters.dmp.search import slots as search_slots
from adapters.dmp.settings import DmpEndpoint
from adapters.dmp.transport import Answer, ExchangeRecord, Transport
from adapters.dmp.updates import PreparedUpdate
from mappings.xds import DocumentEntry, PatientId, RegistryObjects
from mappings.xds.vocabulary import ASSOCIATION_HAS_MEMBER
from security.vihf import Mode, Purpose, VihfClaims, VihfSigner
from security.xades import SetSigner

__all__ = ["DmpClient", "Found", "QueryAnswer", "QueryOptions", "RetrieveAnswer", "StatusAnswer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The answer of TD3.1b: entryUUIDs of a uniqueId; none when the registry has it not."""

    outcome: Outcome
    entry_uuids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAnswer:
    """The answer of TD0.2."""

    outcome: Outcome
    status: PatientStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAnswer:
    """The answer of a stored query."""

    outcome: Outcome
    objects: RegistryObjects = field(default_factory=RegistryObjects)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieveAnswer:
    """The answer of TD3.2."""

    outcome: Outcome
    documents: tuple[Retrieved, ...] = ()


class QueryOptions(TypedDict, total=False):
    """How a stored query is asked."""

    leaf_class: bool  #: whole entries rather than their ids; True when left out
    mode: Mode  #: REINFORCED when left out
    purpose: Purpose  #: NORMAL when left out
    secret_connection: bool  #: False when left out


class DmpClient:
    """Feeds, finds, reads and updates documents of one structure in one environment of the DMP."""

    def __init__(
        self,
        endpoint: DmpEndpoint,
        *,
        ssl_context: ssl.SSLContext | None,
        vihf: VihfSigner,
        set_signer: SetSigner,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_uuid: Callable[[], uuid.UUID] = uuid.uuid4,
        recorder: Callable[[ExchangeRecord], None] | None = None,
    ) -> None:
        """``ssl_context`` carries the authentication certificate, ``vihf`` and ``set_signer`` the signature key."""
        self.endpoint = endpoint
        self._vihf = vihf
        self._set_signer = set_signer
        self._clock = clock
        self._new_uuid = new_uuid
        self._transport = Transport(endpoint, ssl_context, clock=clock, recorder=recorder)

    async def aclose(self) -> None:
        """Close the pooled connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- feeding -----------------------------------------------------------------------------------------------------

    def prepare(
        self,
        documents: Sequence[OutgoingDocument],
        actor: Actor,
        *,
        ids: SubmissionIds | None = None,
        **options: object,
    ) -> PreparedSubmission:
        """Prepare a set, to be stored before :meth:`submit`; see :func:`adapters.dmp.prepare.prepare_submission`."""
        return prepare_submission(
            documents,
            actor=actor,
            endpoint=self.endpoint,
            signer=self._set_signer,
            ids=ids or SubmissionIds.fresh(),
            now=self._clock(),
            **options,  # type: ignore[arg-type]
        )

    async def submit(
        self, prepared: PreparedSubmission, actor: Actor, *, secret_connection: bool = False, mode: Mode = Mode.INDIRECT
    ) -> Outcome:
        """Send a prepared set (TD2.1a, TD2.1b); the same one may be sent again, it stays the same set."""
        claims = actor.claims(
            mode, self.endpoint.software, patient=prepared.patient, secret_connection=secret_connection
        )
        answer = await self._post(
            "ITI-41",
            self.endpoint.repository,
            assertion=self._assert(claims),
            body=[prepared.body],
            parts=prepared.parts,
        )
        if isinstance(answer, Outcome):
            return answer
        return _registry(answer)

    async def confirm(self, prepared: PreparedSubmission, actor: Actor) -> tuple[Outcome, Mapping[str, str]]:
        """After a lost answer, ask the registry what it has of a set, document by document (TD3.1b).

        All there, once each: accepted, with the entryUUID of each uniqueId. None there: to be sent again, the same set.
        Otherwise a person must look.
        """
        entries: dict[str, str] = {}
        missing = 0
        for unique_id in prepared.document_unique_ids:
            found = await self.find_by_unique_id(unique_id, prepared.patient, actor)
            if not found.outcome.ok:
                return found.outcome, {}
            if len(found.entry_uuids) > 1:
                return outcome(Layer.LOCAL, "ambiguous"), {}
            if not found.entry_uuids:
                missing += 1
            else:
                entries[unique_id] = found.entry_uuids[0]
        if not missing:
            return accepted(original_code="found"), entries
        return outcome(Layer.LOCAL, "partly_found" if entries else "not_found"), entries

    # --- status and authorisation ------------------------------------------------------------------------------------

    async def patient_status(self, patient: PatientId, actor: Actor, *, mode: Mode = Mode.INDIRECT) -> StatusAnswer:
        """Ask whether the patient has a DMP, and what the caller may do (TD0.2)."""
        body = messages.patient_status_request(
            patient_value=patient.value,
            patient_authority=patient.authority,
            sender_id=self.endpoint.source_id,
            sender_name=self.endpoint.software.name,
            receiver_id=self.endpoint.receiver_id,
            processing_code=self.endpoint.processing_code,
            message_id=str(self._new_uuid()),
            query_id=str(self._new_uuid()),
            now=self._clock(),
        )
        claims = actor.claims(mode, self.endpoint.software, patient=patient)
        answer = await self._post("TD0.2", self.endpoint.patients, assertion=self._assert(claims), body=[body])
        if isinstance(answer, Outcome):
            return StatusAnswer(outcome=_read_only(answer))
        if answer.envelope.body is None:
            return StatusAnswer(outcome=_read_only(_unexpected(answer)))
        said, status = read_patient_status(answer.envelope.body, http_status=answer.status)
        return StatusAnswer(outcome=_read_only(said), status=status)

    async def set_authorization(
        self,
        patient: PatientId,
        actor: Actor,
        *,
        add: bool,
        treating_doctor: bool = False,
        mode: Mode = Mode.REINFORCED,
    ) -> Outcome:
        """Declare or remove the caller's authorisation on a record (TD0.3), on the user's explicit request only."""
        claims = actor.claims(mode, self.endpoint.software, patient=patient)
        body = messages.authorization_request(add=add, treating_doctor=treating_doctor)
        answer = await self._post("TD0.3", self.endpoint.habilitations, assertion=self._assert(claims), body=[body])
        if isinstance(answer, Outcome):
            # Declaring twice is idempotent (dmp.md 7): a lost answer may simply be repeated.
            return _read_only(answer)
        return (
            _unexpected(answer)
            if answer.envelope.body is None
            else read_authorization(answer.envelope.body, http_status=answer.status)
        )

    async def authorized_records(
        self, actor: Actor, *, since: datetime, by: ListedBy = ListedBy.LAST_AUTHORIZATION, mode: Mode = Mode.REINFORCED
    ) -> PatientListAnswer:
        """List the records on which the caller is authorised (TD0.4), new or fed since an instant (with its zone).

        ``INDIRECTE`` is told of new authorisations of its structure only. No patient stands in the assertion.
        """
        claims = actor.claims(mode, self.endpoint.software, patient=None)
        body = patient_list_request(since, by, self.endpoint.patient_list)
        url = self.endpoint.patients_specific or self.endpoint.patients
        answer = await self._post("TD0.4", url, assertion=self._assert(claims), body=[body])
        if isinstance(answer, Outcome):
            return PatientListAnswer(outcome=_read_only(answer))
        if answer.envelope.body is None:
            return PatientListAnswer(outcome=_read_only(_unexpected(answer)))
        read = read_patient_list(answer.envelope.body, http_status=answer.status)
        return replace(read, outcome=_read_only(read.outcome))

    # --- search and retrieval ----------------------------------------------------------------------------------------

    async def find_by_unique_id(
        self, unique_id: str, patient: PatientId, actor: Actor, *, mode: Mode = Mode.INDIRECT
    ) -> Found:
        """Find the technical ids of a document from its uniqueId (TD3.1b); open to feeding-only software."""
        answer = await self.query(
            "GetDocuments",
            [("XDSDocumentEntryUniqueId", messages.query_list([unique_id]))],
            patient,
            actor,
            leaf_class=False,
            mode=mode,
        )
        return Found(outcome=answer.outcome, entry_uuids=answer.objects.references)

    async def search(
        self,
        filters: SearchFilters,
        patient: PatientId,
        actor: Actor,
        *,
        mode: Mode = Mode.REINFORCED,
        purpose: Purpose = Purpose.NORMAL,
    ) -> QueryAnswer:
        """Search a record (TD3.1a), at the user's explicit request; entries come as the registry gives them."""

        async def ask(name: str, slots: Sequence[tuple[str, str]]) -> QueryAnswer:
            return await self.query(name, slots, patient, actor, mode=mode, purpose=purpose)

        if not filters.by_submission:
            return await ask("FindDocuments", search_slots(filters, patient))
        sets = await ask("FindSubmissionSets", set_slots(filters, patient))
        found: list[DocumentEntry] = []
        members: list[str] = []
        for some in batches([s.entry_uuid for s in sets.objects.submission_sets]):
            links = await ask("GetAssociations", [("uuid", messages.query_list(some))])
            if not links.outcome.ok:
                return links
            members += [a.target for a in links.objects.associations if a.kind == ASSOCIATION_HAS_MEMBER]
        for some in batches(list(dict.fromkeys(members))):
            documents = await ask("GetDocuments", [("XDSDocumentEntryEntryUUID", messages.query_list(some))])
            if not documents.outcome.ok:
                return documents
            found += [e for e in documents.objects.entries if matches(filters, e)]
        return QueryAnswer(outcome=sets.outcome, objects=RegistryObjects(entries=tuple(found)))

    async def read_entry(
        self, entry_uuid: str, patient: PatientId, actor: Actor, *, mode: Mode = Mode.REINFORCED
    ) -> QueryAnswer:
        """Read one entry whole, as a change of its metadata needs it."""
        slots = [("XDSDocumentEntryEntryUUID", messages.query_list([entry_uuid]))]
        return await self.query("GetDocuments", slots, patient, actor, mode=mode)

    async def query(
        self,
        name: str,
        slots: Sequence[tuple[str, str]],
        patient: PatientId,
        actor: Actor,
        **asked: Unpack[QueryOptions],
    ) -> QueryAnswer:
        """Run a stored query (ITI-18); values are already quoted, see :func:`adapters.dmp.messages.query_list`."""
        claims = actor.claims(
            asked.get("mode", Mode.REINFORCED),
            self.endpoint.software,
            patient=patient,
            purpose=asked.get("purpose", Purpose.NORMAL),
            secret_connection=asked.get("secret_connection", False),
        )
        body = messages.stored_query(name, slots, leaf_class=asked.get("leaf_class", True))
        answer = await self._post("ITI-18", self.endpoint.registry, assertion=self._assert(claims), body=[body])
        if isinstance(answer, Outcome):
            return QueryAnswer(outcome=_read_only(answer))
        if answer.envelope.body is None:
            return QueryAnswer(outcome=_read_only(_unexpected(answer)))
        said, objects = read_query(answer.envelope.body, http_status=answer.status)
        return QueryAnswer(outcome=_read_only(said), objects=objects)

    async def retrieve(
        self,
        documents: Sequence[DocumentRequest],
        patient: PatientId,
        actor: Actor,
        *,
        mode: Mode = Mode.REINFORCED,
        purpose: Purpose = Purpose.NORMAL,
    ) -> RetrieveAnswer:
        """Retrieve documents (TD3.2), by repository and uniqueId as their entries name them."""
        claims = actor.claims(mode, self.endpoint.software, patient=patient, purpose=purpose)
        body = messages.retrieve_request(documents)
        answer = await self._post(
            "ITI-43", self.endpoint.repository, assertion=self._assert(claims), body=[body], package=True
        )
        if isinstance(answer, Outcome):
            return RetrieveAnswer(outcome=_read_only(answer))
        if answer.envelope.body is None:
            return RetrieveAnswer(outcome=_read_only(_unexpected(answer)))
        try:
            said, found = read_retrieved(answer.envelope.body, answer.package, http_status=answer.status)
        except MtomError as exc:
            broken = outcome(Layer.MESSAGE, "unreadable", original_code=exc.code, http_status=answer.status)
            return RetrieveAnswer(outcome=_read_only(broken))
        if said.original_code == "PartialSuccess" or (found and said.kind is Kind.ASK_REGISTRY):
            return RetrieveAnswer(outcome=said, documents=found)
        return RetrieveAnswer(outcome=_read_only(said), documents=found)

    async def update(
        self, prepared: PreparedUpdate, actor: Actor, *, mode: Mode, secret_connection: bool = False
    ) -> Outcome:
        """Send a prepared change (TD3.3a-d); sent again it is the same, which the registry knows.

        Deletion is open to ``INDIRECTE``; masking and showing need ``INDIRECTE_RENFORCEE`` or a card.
        """
        claims = actor.claims(
            mode, self.endpoint.software, patient=prepared.patient, secret_connection=secret_connection
        )
        answer = await self._post(
            "ITI-57", self.endpoint.registry, assertion=self._assert(claims), body=[prepared.body]
        )
        return answer if isinstance(answer, Outcome) else _registry(answer)

    # --- one way out -------------------------------------------------------------------------------------------------

    def _assert(self, claims: VihfClaims) -> bytes:
        return self._vihf.assertion(
            claims,
            assertion_id=f"_{self._new_uuid()}",
            issue_instant=self._clock(),
        )

    async def _post(
        self,
        transaction: str,
        url: str,
        *,
        assertion: bytes,
        body: Sequence[bytes],
        parts: Sequence[mtom.Part] = (),
        package: bool = False,
    ) -> Answer | Outcome:
        action = ACTIONS[transaction].request
        message_id = f"urn:uuid:{self._new_uuid()}"
        envelope = write_envelope(action=action, to=url, message_id=message_id, assertion=assertion, body=body)
        if parts or package:
            token = self._new_uuid().hex
            content_type, chunks = mtom.write(
                envelope,
                parts,
                boundary=f"uuid-{token}",
                root_id=f"root.{token}@{self.endpoint.content_id_host}",
                action=action,
            )
        else:
            content_type, chunks = f'application/soap+xml; charset=utf-8; action="{action}"', envelope
        return await self._transport.call(
            transaction, url=url, content_type=content_type, chunks=chunks, message_id=message_id
        )


def _registry(answer: Answer) -> Outcome:
    node = answer.envelope.body
    if node is None or not str(node.tag).endswith("}RegistryResponse"):
        return _unexpected(answer)
    return read_registry_response(node, http_status=answer.status)


def _unexpected(answer: Answer) -> Outcome:
    node = answer.envelope.body
    name = "empty" if node is None else str(node.tag).rpartition("}")[2]
    return outcome(Layer.MESSAGE, "type", original_code=name[:60], http_status=answer.status)


def _read_only(said: Outcome) -> Outcome:
    """A call that changes nothing may simply be repeated: there is nothing to ask the registry about."""
    if said.kind is not Kind.ASK_REGISTRY:
        return said
    return replace(said, kind=Kind.RETRY, fix=outcome(Layer.NETWORK, "connect").fix)
