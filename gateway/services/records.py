"""Reading and changing a record at the DMP for a caller who waits: status, search, retrieval, changes.

Rights are the DMP's: its refusal is passed on with its own code and words (:class:`RecordRefused`). What the gateway
fed itself is changed through the journey (:mod:`gateway.journey.changes`); here, what others fed.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, select

from adapters.dmp import messages
from adapters.dmp.actor import Actor
from adapters.dmp.answers import PatientStatus
from adapters.dmp.client import DmpClient, QueryAnswer
from adapters.dmp.fhir_errors import SYSTEM, issue_of
from adapters.dmp.messages import DocumentRequest
from adapters.dmp.outcomes import Kind, Layer, Outcome, outcome
from adapters.dmp.search import SearchFilters, batches, set_slots
from adapters.dmp.updates import CannotChange
from conformance.verdict import Rule, Text
from gateway.neighbours import Neighbours, NotConfigured
from gateway.problems import Busy, Conflict, NotFound, Problem, rule
from gateway.services.consulting import Session
from gateway.services.evidence import Recorder
from gateway.services.handles import Target, keep, open_handle
from gateway.services.record_changes import Change, is_done, prepare
from gateway.store.tables import documents
from gateway.tenants import Tenant
from mappings.fhir.outcome import operation_outcome
from mappings.xds import DocumentEntry, PatientId, SubmissionSet
from mappings.xds.vocabulary import ASSOCIATION_HAS_MEMBER
from security.vihf import Mode, Purpose

if TYPE_CHECKING:
    from gateway.context import Gateway

# What the interface needs to know of the DMP, it takes from here.
__all__ = [
    "SYSTEM",
    "Content",
    "Found",
    "FoundSet",
    "RecordRefused",
    "Records",
    "SearchFilters",
    "Visit",
    "issue_of",
]

UNKNOWN_HANDLE = rule(
    "API-RECORD-001",
    "Ce document n'existe pas pour vous, ou son identifiant a pris fin.",
    "This document does not exist for you, or its handle has ended.",
    "Refaites la recherche : ses résultats portent de nouveaux identifiants.",
    "Search again: its results carry new handles.",
)
NO_DMP = rule(
    "API-RECORD-002",
    "Le DMP n'est pas réglé sur cette passerelle.",
    "The DMP is not configured on this gateway.",
    "Renseignez le réglage nommé.",
    "Fill in the setting named.",
)
WRONG_BYTES = rule(
    "API-RECORD-003",
    "Le document reçu n'est pas celui que le registre décrit.",
    "The document received is not the one the registry describes.",
    "Recommencez ; si cela persiste, signalez-le au DMP.",
    "Try again; if it persists, report it to the DMP.",
    "IHE ITI TF-3 4.2.3.2.10",
)
NOTHING_TO_CHANGE = rule(
    "API-RECORD-004",
    "Le document est déjà ainsi.",
    "The document is so already.",
    "Aucune action.",
    "Nothing to do.",
)


class RecordRefused(Problem):
    """The DMP, or the way to it, said no; its own code and words go with the problem."""

    slug = "dmp"
    title = Text("Le DMP n'a pas accepté la demande", "The DMP did not accept the request")

    def __init__(self, said: Outcome) -> None:
        self.outcome = said
        shown = Rule(code=said.code, message=said.cause, fix=said.fix, source="DMP")
        status, headers = _status_of(said)
        super().__init__([shown.finding("", found=said.original_code or None)], status=status, headers=headers)
        self.slug = {403: "dmp-refused", 404: "dmp-not-found", 503: "dmp-unavailable"}.get(status, "dmp-error")

    def as_json(self, language: str, request_id: str) -> dict[str, Any]:
        """The problem, with what the DMP itself said (PRE_ERR: its code and words reach the user)."""
        out = super().as_json(language, request_id)
        out["outcome"] = {
            "code": self.outcome.code,
            "originalCode": self.outcome.original_code or None,
            "originalText": self.outcome.original_text or None,
            "cause": self.outcome.cause.in_language(language),
            "fix": self.outcome.fix.in_language(language),
        }
        return out

    def as_outcome(self, language: str) -> dict[str, Any]:
        """The same for a caller who speaks FHIR: our code and the DMP's own in ``details.coding``."""
        out = operation_outcome(self.faults, language)
        said = self.outcome
        for issue in out["issue"]:
            issue["code"] = issue_of(said.original_code)[1]
            if said.original_code:
                issue["details"]["coding"].append({"system": SYSTEM, "code": said.original_code})
            words = [issue.get("diagnostics", ""), said.original_text]
            issue["diagnostics"] = " ".join(filter(None, words))
        return out


def _status_of(said: Outcome) -> tuple[int, dict[str, str]]:
    if said.kind in (Kind.RETRY, Kind.ASK_REGISTRY):
        return 503, {"Retry-After": str(said.retry_after or 5)}
    if said.kind is Kind.OPERATOR:
        return 502, {}
    status = issue_of(said.original_code)[0]
    # The caller's own token is good: it is the professional whom the DMP does not take.
    return (403 if status == 401 else status), {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who asks: a program, for a structure, in the name of a professional."""

    tenant: Tenant
    client: str
    session: Session
    purpose: Purpose = Purpose.NORMAL

    @property
    def actor(self) -> Actor:
        """The caller, as the DMP is told."""
        return self.session.actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A document of a record, under its handle."""

    handle: str
    entry: DocumentEntry
    fed_here: str | None  #: the document's id, when this gateway fed it


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSet:
    """A submission set of a record, under its handle, with the handles of its documents."""

    handle: str
    sent: SubmissionSet
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A document that was retrieved."""

    target: Target
    data: bytes
    mime_type: str


class Records:
    """The record, for callers who wait; one a gateway, with its own connections."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        recorder = Recorder(gateway.store, gateway.vault, gateway.clock)
        self._neighbours = Neighbours(gateway.settings, gateway.clock, recorder)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._neighbours.close()

    def _client(self, tenant: Tenant) -> DmpClient:
        try:
            return self._neighbours.dmp(tenant).client
        except NotConfigured as exc:
            raise Busy([NO_DMP.finding("", found=exc.missing)], slug="not-configured") from None

    # --- status and authorisation ------------------------------------------------------------------------------------

    async def status(self, visit: Visit, patient: PatientId) -> PatientStatus:
        """Whether there is a DMP, and what the professional may do (TD0.2)."""
        mode = Mode.REINFORCED if visit.session.strong else Mode.INDIRECT
        answer = await self._client(visit.tenant).patient_status(patient, visit.actor, mode=mode)
        if not answer.outcome.ok:
            raise RecordRefused(answer.outcome)
        return answer.status or PatientStatus(dmp="unknown")

    async def authorize(self, visit: Visit, patient: PatientId, *, add: bool, treating_doctor: bool) -> Outcome:
        """Declare, or remove, the professional's authorisation (TD0.3); only at their explicit request."""
        client = self._client(visit.tenant)
        said = await client.set_authorization(patient, visit.actor, add=add, treating_doctor=treating_doctor)
        if not said.ok:
            raise RecordRefused(said)
        return said

    # --- search ------------------------------------------------------------------------------------------------------

    async def search(self, visit: Visit, patient: PatientId, filters: SearchFilters) -> list[Found]:
        """Search documents (TD3.1a)."""
        answer = await self._client(visit.tenant).search(filters, patient, visit.actor, purpose=visit.purpose)
        return await self._found(visit, patient, answer)

    async def by_unique_ids(self, visit: Visit, patient: PatientId, unique_ids: Iterable[str]) -> list[Found]:
        """Find documents by their own identifiers (GetDocuments)."""
        client = self._client(visit.tenant)
        out: list[Found] = []
        for some in batches(list(unique_ids)):
            slots = [("XDSDocumentEntryUniqueId", messages.query_list(some))]
            answer = await client.query("GetDocuments", slots, patient, visit.actor, purpose=visit.purpose)
            out += await self._found(visit, patient, answer)
        return out

    async def submission_sets(self, visit: Visit, patient: PatientId, filters: SearchFilters) -> list[FoundSet]:
        """Search submission sets, with their documents (FindSubmissionSets, then GetAssociations)."""
        client = self._client(visit.tenant)
        sets = await client.query(
            "FindSubmissionSets", set_slots(filters, patient), patient, visit.actor, purpose=visit.purpose
        )
        if not sets.outcome.ok:
            raise RecordRefused(sets.outcome)
        sent = [s for s in sets.objects.submission_sets if s.entry_uuid]
        members: dict[str, list[str]] = {}
        for some in batches([s.entry_uuid for s in sent]):
            slots = [("uuid", messages.query_list(some))]
            links = await client.query("GetAssociations", slots, patient, visit.actor, purpose=visit.purpose)
            if not links.outcome.ok:
                raise RecordRefused(links.outcome)
            for link in links.objects.associations:
                if link.kind == ASSOCIATION_HAS_MEMBER:
                    members.setdefault(link.source, []).append(link.target)
        wanted = list(dict.fromkeys(one for group in members.values() for one in group))
        named: dict[str, str] = {}
        for some in batches(wanted):
            slots = [("XDSDocumentEntryEntryUUID", messages.query_list(some))]
            answer = await client.query("GetDocuments", slots, patient, visit.actor, purpose=visit.purpose)
            named |= {f.entry.entry_uuid: f.handle for f in await self._found(visit, patient, answer)}
        targets = [Target(patient=patient, unique_id=s.unique_id, entry_uuid=s.entry_uuid, kind="set") for s in sent]
        handles = await self._handles(visit, targets)
        return [
            FoundSet(
                handle=handle,
                sent=one,
                documents=tuple(named[m] for m in members.get(one.entry_uuid, []) if m in named),
            )
            for handle, one in zip(handles, sent, strict=True)
        ]

    async def _found(self, visit: Visit, patient: PatientId, answer: QueryAnswer) -> list[Found]:
        if not answer.outcome.ok:
            raise RecordRefused(answer.outcome)
        entries = _newest(answer.objects.entries)
        handles = await self._handles(visit, [_target(e, patient) for e in entries])
        names = [e.unique_id for e in entries]

        def ours(connection: Connection) -> dict[str, str]:
            rows: list[Any] = []
            for start in range(0, len(names), 400):
                rows += connection.execute(
                    select(documents.c.unique_id, documents.c.id).where(
                        documents.c.tenant_id == visit.tenant.id,
                        documents.c.unique_id.in_(names[start : start + 400]),
                    )
                ).all()
            return {row.unique_id: row.id for row in rows}

        mine = await self._gateway.store.read(ours) if names else {}
        return [
            Found(handle=handle, entry=entry, fed_here=mine.get(entry.unique_id))
            for handle, entry in zip(handles, entries, strict=True)
        ]

    async def _handles(self, visit: Visit, targets: list[Target]) -> list[str]:
        if not targets:
            return []
        gateway = self._gateway
        return await gateway.store.write(
            lambda c: keep(
                c,
                gateway.vault,
                tenant=visit.tenant.id,
                client=visit.client,
                actor=visit.actor.id,
                targets=targets,
                now=gateway.now(),
                hours=gateway.settings.records_handle_hours,
            )
        )

    async def target(self, visit: Visit, handle: str, *, kind: str = "document") -> Target:
        """What a handle names; raises :class:`NotFound`."""
        gateway = self._gateway
        found = await gateway.store.read(
            lambda c: open_handle(
                c,
                gateway.vault,
                tenant=visit.tenant.id,
                client=visit.client,
                actor=visit.actor.id,
                handle=handle,
                now=gateway.now(),
            )
        )
        if found is None or found.kind != kind:
            raise NotFound([UNKNOWN_HANDLE.finding("")])
        return found

    # --- reading -----------------------------------------------------------------------------------------------------

    async def entry(self, visit: Visit, target: Target) -> Found:
        """The entry of a document as the registry has it now; raises :class:`NotFound`, :class:`RecordRefused`."""
        found = await self.by_unique_ids(visit, target.patient, [target.unique_id])
        if not found:
            raise RecordRefused(outcome(Layer.REGISTRY, "XDSDocumentUniqueIdError"))
        if len(found) > 1:
            raise RecordRefused(outcome(Layer.LOCAL, "ambiguous"))
        return found[0]

    async def retrieve(self, visit: Visit, target: Target) -> Content:
        """Retrieve a document (TD3.2), its hash compared with what the registry says of it."""
        if not target.repository:
            target = _target((await self.entry(visit, target)).entry, target.patient)
        wanted = DocumentRequest(repository_unique_id=target.repository, document_unique_id=target.unique_id)
        client = self._client(visit.tenant)
        answer = await client.retrieve([wanted], target.patient, visit.actor, purpose=visit.purpose)
        if not answer.outcome.ok or not answer.documents:
            said = answer.outcome
            raise RecordRefused(outcome(Layer.REGISTRY, "XDSDocumentUniqueIdError") if said.ok else said)
        got = next((d for d in answer.documents if d.document_unique_id == target.unique_id), answer.documents[0])
        # SHA-1 is XDS's own digest (IHE ITI TF-3 4.2.3.2.10): it tells accidents, it proves nothing.
        if target.sha1 and hashlib.sha1(got.content, usedforsecurity=False).hexdigest() != target.sha1.lower():
            raise Problem([WRONG_BYTES.finding("")], slug="dmp-error", status=502)
        return Content(target=target, data=got.content, mime_type=got.mime_type or target.mime_type or "text/xml")

    # --- changing what others fed ------------------------------------------------------------------------------------

    async def change(self, visit: Visit, target: Target, change: Change) -> Found:
        """Make a change at once (TD3.3); after a lost answer the registry is asked, never guessed."""
        client = self._client(visit.tenant)
        for attempt in (1, 2, 3):
            found = await self.entry(visit, target)
            if is_done(change, found.entry):
                if attempt == 1:
                    raise Conflict([NOTHING_TO_CHANGE.finding("")], slug="already-so")
                return found
            try:
                prepared = prepare(
                    change,
                    found.entry,
                    actor=visit.actor,
                    endpoint=client.endpoint,
                    fresh=uuid.uuid4(),
                    now=self._gateway.now(),
                )
            except CannotChange:
                raise RecordRefused(outcome(Layer.REGISTRY, "XDSMetadataUpdateError")) from None
            said = await client.update(prepared, visit.actor, mode=Mode.REINFORCED)
            if said.ok:
                return await self._after(visit, target, found, change)
            stale = said.original_code in ("XDSMetadataVersionError", "UnresolvedReferenceException")
            if not (stale or said.kind is Kind.ASK_REGISTRY) or attempt == 3:
                raise RecordRefused(said)
        raise AssertionError("unreachable")

    async def _after(self, visit: Visit, target: Target, before: Found, change: Change) -> Found:
        """The entry after a change; of a masked document the caller may no longer see anything."""
        try:
            return await self.entry(visit, target)
        except RecordRefused:
            return before

    # --- what this gateway fed ---------------------------------------------------------------------------------------

    async def own_document(self, tenant: Tenant, unique_id: str) -> Row[Any] | None:
        """The document of the structure's own that has an identifier."""

        def load(connection: Connection) -> Row[Any] | None:
            return connection.execute(
                select(documents).where(documents.c.tenant_id == tenant.id, documents.c.unique_id == unique_id)
            ).first()

        return await self._gateway.store.read(load)


def _newest(entries: Iterable[DocumentEntry]) -> list[DocumentEntry]:
    """Each document once: earlier versions of its metadata are its own past, not other documents (dmp.md 4.3)."""
    kept: dict[tuple[str, str], DocumentEntry] = {}
    for entry in entries:
        key = (entry.unique_id, entry.logical_id)
        held = kept.get(key)
        if entry.unique_id and (held is None or _version(entry) > _version(held)):
            kept[key] = entry
    return list(kept.values())


def _version(entry: DocumentEntry) -> float:
    try:
        return float(entry.version)
    except ValueError:
        return 0.0


def _target(entry: DocumentEntry, patient: PatientId) -> Target:
    return Target(
        patient=entry.patient_id or patient,
        unique_id=entry.unique_id,
        entry_uuid=entry.entry_uuid,
        repository=entry.repository_unique_id,
        mime_type=entry.mime_type,
        sha1=entry.hash,
    )
