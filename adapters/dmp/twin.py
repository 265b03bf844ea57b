"""The DMP client whose messages go by FHIR: the same verbs, prepared and stored in the same form, for PDSm.

Only the edge differs: a set is prepared with the same ids, checks and bytes as for XDS, and becomes an ITI-65
transaction when it leaves; a change becomes a JSON Patch. So a setting may change from one way to the other with
deliveries under way. What the flows of PDSM4DMP leave out (authorisations, submission sets, TD0.4) stays with SOAP.
"""

from __future__ import annotations

import re
import ssl
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Unpack

from adapters.dmp.actor import Actor
from adapters.dmp.answers import Retrieved
from adapters.dmp.client import DmpClient, Found, QueryAnswer, QueryOptions, RetrieveAnswer, StatusAnswer
from adapters.dmp.messages import DocumentRequest
from adapters.dmp.outcomes import Kind, Layer, Outcome, accepted, outcome
from adapters.dmp.pdsm import PdsmClient, SearchAnswer
from adapters.dmp.prepare import PreparedSubmission
from adapters.dmp.search import SearchFilters, matches
from adapters.dmp.settings import DmpEndpoint
from adapters.dmp.transport import ExchangeRecord
from adapters.dmp.updates import PreparedUpdate
from mappings.xds import DocumentEntry, PatientId, RegistryObjects, Submission
from mappings.xds import vocabulary as v
from mappings.xds.pdsm_words import EXTENSIONS, STATUSES, coding, concept
from mappings.xds.read import read_objects
from security import xml
from security.vihf import Mode, Purpose, VihfSigner
from security.xades import SetSigner

__all__ = ["FhirDmpClient"]

_STRING: Final = re.compile(r"'((?:[^']|'')*)'")
_ALL: Final = "current,superseded,entered-in-error"


class FhirDmpClient(DmpClient):
    """Feeds, finds, reads and updates documents by ITI-65, 67, 68 and PATCH."""

    def __init__(
        self,
        fhir_url: str,
        endpoint: DmpEndpoint,
        *,
        ssl_context: ssl.SSLContext | None,
        vihf: VihfSigner,
        set_signer: SetSigner,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_uuid: Callable[[], uuid.UUID] = uuid.uuid4,
        recorder: Callable[[ExchangeRecord], None] | None = None,
    ) -> None:
        """``fhir_url`` is the FHIR base; all else is what :class:`DmpClient` takes."""
        super().__init__(
            endpoint,
            ssl_context=ssl_context,
            vihf=vihf,
            set_signer=set_signer,
            clock=clock,
            new_uuid=new_uuid,
            recorder=recorder,
        )
        self._fhir = PdsmClient(
            fhir_url,
            endpoint,
            ssl_context=ssl_context,
            vihf=vihf,
            clock=clock,
            new_uuid=new_uuid,
            recorder=recorder,
        )

    async def aclose(self) -> None:
        """Close the pooled connections."""
        await self._fhir.aclose()
        await super().aclose()

    async def submit(
        self, prepared: PreparedSubmission, actor: Actor, *, secret_connection: bool = False, mode: Mode = Mode.INDIRECT
    ) -> Outcome:
        """Send a prepared set as an ITI-65 transaction; its signature is XDS's and stays here."""
        objects = read_objects(xml.parse(prepared.body))
        entries = tuple(e for e in objects.entries if e.unique_id != prepared.signature_unique_id)
        contents = {entry.entry_uuid: part.content for entry, part in zip(objects.entries, prepared.parts, strict=True)}
        replaced = {
            link.source: "DocumentReference/" + link.target.removeprefix("urn:uuid:")
            for link in objects.associations
            if link.kind == v.ASSOCIATION_REPLACES
        }
        members = tuple(a for a in objects.associations if a.target in {e.entry_uuid for e in entries})
        made = Submission(submission_set=objects.submission_sets[0], entries=entries, associations=members)
        return await self._fhir.submit(self._fhir.prepare(made, contents, actor, replaced), actor)

    async def patient_status(self, patient: PatientId, actor: Actor, *, mode: Mode = Mode.INDIRECT) -> StatusAnswer:
        """Ask whether the patient has a DMP; by FHIR nothing is said of the caller's authorisation."""
        said, status = await self._fhir.patient_status(patient, actor)
        return StatusAnswer(outcome=_repeatable(said), status=status)

    async def find_by_unique_id(
        self, unique_id: str, patient: PatientId, actor: Actor, *, mode: Mode = Mode.INDIRECT
    ) -> Found:
        """Find the technical ids of a document (TD3.1b): only ids are asked for, as feeding-only software may."""
        answer = await self._by_identifier(unique_id, patient, actor, mode=mode, ids_only=True)
        return Found(outcome=answer.outcome, entry_uuids=tuple(e.entry_uuid for e in answer.entries))

    async def _by_identifier(
        self, identifier: str, patient: PatientId, actor: Actor, *, mode: Mode, ids_only: bool = False
    ) -> SearchAnswer:
        name = identifier if identifier.startswith("urn:") else f"urn:oid:{identifier}"
        asked = {"identifier": f"urn:ietf:rfc:3986|{name}", "status": _ALL}
        if ids_only:
            asked["_elements"] = "id"
        answer = await self._fhir.search(patient, actor, parameters=asked, mode=mode)
        # The first version of an entry is its own logical id, and does not repeat it.
        entries = [replace(e, logical_id=e.logical_id or e.entry_uuid) for e in answer.entries]
        newest = {e.logical_id: e for e in sorted(entries, key=lambda e: int(e.version or 0))}
        return replace(answer, outcome=_repeatable(answer.outcome), entries=tuple(newest.values()))

    async def search(
        self,
        filters: SearchFilters,
        patient: PatientId,
        actor: Actor,
        *,
        mode: Mode = Mode.REINFORCED,
        purpose: Purpose = Purpose.NORMAL,
    ) -> QueryAnswer:
        """Search a record (ITI-67); by date of submission, which needs the sets, by XDS."""
        if filters.by_submission:
            return await super().search(filters, patient, actor, mode=mode, purpose=purpose)
        asked = {"status": ",".join(dict.fromkeys(STATUSES[s] for s in filters.statuses))}
        for name, codes in (
            ("category", filters.classes),
            ("type", filters.types),
            ("format", filters.formats),
            ("setting", filters.practice_settings),
            ("facility", filters.facility_types),
            ("security-label", filters.confidentiality),
        ):
            if codes:
                asked[name] = ",".join(f"{coding(c).get('system', '')}|{c.code}" for c in codes)
        answer = await self._fhir.search(patient, actor, parameters=asked, mode=mode, purpose=purpose)
        # Archived is a status for XDS, an extension for FHIR; events, dates and authors are compared here.
        found = tuple(e for e in answer.entries if matches(filters, e))
        return QueryAnswer(outcome=_repeatable(answer.outcome), objects=RegistryObjects(entries=found))

    async def query(
        self,
        name: str,
        slots: Sequence[tuple[str, str]],
        patient: PatientId,
        actor: Actor,
        **asked: Unpack[QueryOptions],
    ) -> QueryAnswer:
        """GetDocuments by ITI-67; the other stored queries have no twin and go by XDS."""
        if name != "GetDocuments" or asked.get("secret_connection", False):
            return await super().query(name, slots, patient, actor, **asked)
        leaf_class, mode = asked.get("leaf_class", True), asked.get("mode", Mode.REINFORCED)
        entries: list[DocumentEntry] = []
        said = accepted(original_code="0")
        for identifier in (one.replace("''", "'") for _, value in slots for one in _STRING.findall(value)):
            answer = await self._by_identifier(identifier, patient, actor, mode=mode, ids_only=not leaf_class)
            said = answer.outcome
            if not said.ok:
                return QueryAnswer(outcome=said)
            entries += answer.entries
        return QueryAnswer(
            outcome=said,
            objects=RegistryObjects(
                entries=tuple(entries) if leaf_class else (),
                references=() if leaf_class else tuple(e.entry_uuid for e in entries),
            ),
        )

    async def retrieve(
        self,
        documents: Sequence[DocumentRequest],
        patient: PatientId,
        actor: Actor,
        *,
        mode: Mode = Mode.REINFORCED,
        purpose: Purpose = Purpose.NORMAL,
    ) -> RetrieveAnswer:
        """Fetch documents (ITI-68), each at the address its DocumentReference gives now."""
        found: list[Retrieved] = []
        said = outcome(Layer.REGISTRY, "XDSDocumentUniqueIdError")
        for wanted in documents:
            known = await self._by_identifier(wanted.document_unique_id, patient, actor, mode=mode)
            if not known.outcome.ok:
                return RetrieveAnswer(outcome=known.outcome, documents=tuple(found))
            entry = next((e for e in reversed(known.entries) if known.urls.get(e.entry_uuid)), None)
            if entry is None:
                return RetrieveAnswer(outcome=said, documents=tuple(found))
            said, content = await self._fhir.retrieve(known.urls[entry.entry_uuid], patient, actor, purpose=purpose)
            if not said.ok:
                return RetrieveAnswer(outcome=_repeatable(said), documents=tuple(found))
            found.append(
                Retrieved(
                    repository_unique_id=wanted.repository_unique_id,
                    document_unique_id=wanted.document_unique_id,
                    mime_type=entry.mime_type,
                    content=content,
                )
            )
        return RetrieveAnswer(outcome=said, documents=tuple(found))

    async def update(
        self, prepared: PreparedUpdate, actor: Actor, *, mode: Mode, secret_connection: bool = False
    ) -> Outcome:
        """Send a prepared change (TD3.3a-d) as a JSON Patch of the DocumentReference as it is now."""
        objects = read_objects(xml.parse(prepared.body))
        link = objects.associations[0]
        if link.kind == v.ASSOCIATION_UPDATE_STATUS:
            name = link.target.removeprefix("urn:uuid:")
            return await self._fhir.patch(name, _status(link.new_status), prepared.patient, actor, mode=mode)
        entry = objects.entries[0]
        known = await self._by_identifier(entry.unique_id, prepared.patient, actor, mode=mode)
        if not known.outcome.ok:
            return known.outcome
        current = next((e for e in known.entries if e.logical_id == entry.logical_id), None)
        if current is None or current.version != link.previous_version:
            return outcome(Layer.REGISTRY, "XDSMetadataVersionError")
        labels = [concept(code) for code in entry.confidentiality]
        return await self._fhir.patch(
            current.entry_uuid.removeprefix("urn:uuid:"),
            [{"op": "replace", "path": "/securityLabel", "value": labels}],
            prepared.patient,
            actor,
            version=current.version,
            mode=mode,
        )


def _status(new: str) -> list[dict[str, Any]]:
    if new == v.DELETED:
        return [{"op": "replace", "path": "/status", "value": STATUSES[v.DELETED]}]
    archived = {"url": EXTENSIONS["archived"], "valueBoolean": new == v.ARCHIVED}
    return [{"op": "add", "path": "/extension", "value": [archived]}]


def _repeatable(said: Outcome) -> Outcome:
    """A call that changes nothing may simply be repeated."""
    if said.kind is not Kind.ASK_REGISTRY:
        return said
    return replace(said, kind=Kind.RETRY, fix=outcome(Layer.NETWORK, "connect").fix)
