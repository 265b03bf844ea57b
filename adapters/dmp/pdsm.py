"""The DMP by PDSm (French MHD over FHIR): the same verbs as the XDS client, for environments that offer them.

No live FHIR face of the DMP is known publicly; the flows are those of PDSm 3.1.1 and of the draft PDSM4DMP (dmp.md 11).
The caller is said by the same VIHF, as a bearer token (IHE IUA, SAML Token option). Patients are searched by POST.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self
from urllib.parse import urlencode

import httpx
import orjson

from adapters.dmp.actor import Actor
from adapters.dmp.answers import PatientStatus
from adapters.dmp.fhir_errors import read_operation_outcome
from adapters.dmp.outcomes import Layer, Outcome, accepted, http_outcome, outcome
from adapters.dmp.settings import DmpEndpoint
from adapters.dmp.transport import ExchangeRecord, broken_outcome
from mappings.xds import DocumentEntry, Organization, PatientId, Submission
from mappings.xds.pdsm_in import read_document_reference
from mappings.xds.pdsm_out import provide_bundle
from mappings.xds.vocabulary import STRUCTURE_AUTHORITY
from security import json as safe_json
from security.errors import UnsafeInput
from security.vihf import Mode, Purpose, VihfSigner

__all__ = ["PdsmClient", "PreparedBundle"]

_FHIR: Final = "application/fhir+json"
_PATCH: Final = "application/json-patch+json"
_CLOSED: Final = "https://interop.esante.gouv.fr/ig/fhir/dmp/StructureDefinition/dmp-fermeture"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedBundle:
    """An ITI-65 transaction whose bytes will not change any more."""

    submission_set_unique_id: str
    document_unique_ids: tuple[str, ...]
    patient: PatientId
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnswer:
    """The answer of ITI-67: entries, and where each document is fetched."""

    outcome: Outcome
    entries: tuple[DocumentEntry, ...] = ()
    urls: Mapping[str, str] = field(default_factory=dict)  #: entryUUID -> attachment.url


class PdsmClient:
    """Feeds, finds, reads and updates documents by FHIR, for one structure in one environment."""

    def __init__(
        self,
        base_url: str,
        endpoint: DmpEndpoint,
        *,
        ssl_context: ssl.SSLContext | None,
        vihf: VihfSigner,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_uuid: Callable[[], uuid.UUID] = uuid.uuid4,
        recorder: Callable[[ExchangeRecord], None] | None = None,
    ) -> None:
        """``base_url`` is the FHIR base; limits, software and timeouts are those of ``endpoint``."""
        self._recorder = recorder
        self._base = base_url.rstrip("/")
        self._endpoint = endpoint
        self._vihf = vihf
        self._clock = clock
        self._new_uuid = new_uuid
        self._http = httpx.AsyncClient(
            verify=ssl_context if ssl_context is not None else True,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(endpoint.total_timeout, connect=endpoint.connect_timeout),
            headers={"Accept": _FHIR, "Accept-Encoding": "identity"},
        )

    async def aclose(self) -> None:
        """Close the pooled connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # --- feeding -----------------------------------------------------------------------------------------------------

    def prepare(
        self,
        submission: Submission,
        contents: Mapping[str, bytes],
        actor: Actor,
        replaced: Mapping[str, str] | None = None,
    ) -> PreparedBundle:
        """Prepare an ITI-65 transaction; ``submission`` holds the documents without the set's signature.

        ``replaced`` gives, by entryUUID, the reference of the DocumentReference an entry replaces.
        """
        patient = submission.submission_set.patient_id
        if patient is None:
            raise ValueError("a submission without a patient")
        custodian = Organization(name=actor.structure_name, id=actor.structure_id, authority=STRUCTURE_AUTHORITY)
        bundle = provide_bundle(submission, contents, custodian=custodian, new_uuid=self._new_uuid, replaced=replaced)
        return PreparedBundle(
            submission_set_unique_id=submission.submission_set.unique_id,
            document_unique_ids=tuple(entry.unique_id for entry in submission.entries),
            patient=patient,
            body=orjson.dumps(bundle),
        )

    async def submit(self, prepared: PreparedBundle, actor: Actor) -> Outcome:
        """Send a prepared transaction (ITI-65, TD2.1); the same one may be sent again."""
        said, answer = await self._call(
            "ITI-65", "POST", "", actor, prepared.patient, Mode.INDIRECT, content=prepared.body, kind=_FHIR
        )
        if answer is None:
            return said
        entries = answer.get("entry")
        if answer.get("type") != "transaction-response" or not isinstance(entries, list):
            return outcome(Layer.MESSAGE, "type", http_status=said.http_status)
        statuses = [str((e.get("response") or {}).get("status", "")) for e in entries if isinstance(e, dict)]
        if not statuses or not all(status.startswith("2") for status in statuses):
            return outcome(Layer.MESSAGE, "contradiction", http_status=said.http_status)
        return said

    # --- finding and reading -----------------------------------------------------------------------------------------

    async def search(
        self,
        patient: PatientId,
        actor: Actor,
        *,
        parameters: Mapping[str, str] | None = None,
        mode: Mode = Mode.REINFORCED,
        purpose: Purpose = Purpose.NORMAL,
    ) -> SearchAnswer:
        """Search documents (ITI-67, TD3.1); ``parameters`` are those of PDSm, the patient is added."""
        asked = {
            "patient.identifier": f"urn:oid:{patient.authority}|{patient.value}",
            "status": "current",
            **(parameters or {}),
        }
        said, answer = await self._call(
            "ITI-67",
            "POST",
            "/DocumentReference/_search",
            actor,
            patient,
            mode,
            content=urlencode(asked).encode(),
            kind="application/x-www-form-urlencoded",
            purpose=purpose,
        )
        if answer is None:
            return SearchAnswer(outcome=said)
        if answer.get("type") != "searchset":
            return SearchAnswer(outcome=outcome(Layer.MESSAGE, "type", http_status=said.http_status))
        resources = [
            e["resource"]
            for e in answer.get("entry") or []
            if isinstance(e, dict)
            and isinstance(e.get("resource"), dict)
            and e["resource"].get("resourceType") == "DocumentReference"
        ]
        entries = tuple(read_document_reference(resource) for resource in resources)
        urls = {
            entry.entry_uuid: str(resource["content"][0]["attachment"].get("url", ""))
            for entry, resource in zip(entries, resources, strict=True)
            if entry.mime_type
        }
        return SearchAnswer(outcome=said, entries=entries, urls=urls)

    async def retrieve(
        self, url: str, patient: PatientId, actor: Actor, *, purpose: Purpose = Purpose.NORMAL
    ) -> tuple[Outcome, bytes]:
        """Fetch a document (ITI-68, TD3.2) at the address its DocumentReference gave, on this service only."""
        if not url.startswith(self._base + "/"):
            # An address is never followed elsewhere: only what the configured service serves.
            return outcome(Layer.LOCAL, "foreign_url"), b""
        said, raw = await self._raw("ITI-68", "GET", url, actor, patient, Mode.REINFORCED, purpose=purpose)
        return said, raw

    async def patient_status(self, patient: PatientId, actor: Actor) -> tuple[Outcome, PatientStatus | None]:
        """Ask whether the patient has a DMP (TD0.2 of PDSM4DMP)."""
        asked = urlencode({"identifier": f"urn:oid:{patient.authority}|{patient.value}"}).encode()
        said, answer = await self._call(
            "TD0.2",
            "POST",
            "/Patient/_search",
            actor,
            patient,
            Mode.INDIRECT,
            content=asked,
            kind="application/x-www-form-urlencoded",
        )
        if answer is None:
            return said, None
        resources = [e.get("resource") for e in answer.get("entry") or [] if isinstance(e, dict)]
        found = [r for r in resources if isinstance(r, dict) and r.get("resourceType") == "Patient"]
        if not found:
            return said, PatientStatus(dmp="none")
        closed = any(isinstance(e, dict) and e.get("url") == _CLOSED for e in found[0].get("extension") or [])
        return said, PatientStatus(dmp="closed" if closed or found[0].get("active") is False else "active")

    # --- changing ----------------------------------------------------------------------------------------------------

    async def patch(
        self,
        resource_id: str,
        operations: list[dict[str, Any]],
        patient: PatientId,
        actor: Actor,
        *,
        version: str = "",
        mode: Mode = Mode.REINFORCED,
    ) -> Outcome:
        """Change a DocumentReference by JSON Patch (TD3.3a-d); ``version`` makes it conditional."""
        headers = {"If-Match": f'W/"{version}"'} if version else {}
        said, _ = await self._call(
            "TD3.3",
            "PATCH",
            f"/DocumentReference/{resource_id}",
            actor,
            patient,
            mode,
            content=orjson.dumps(operations),
            kind=_PATCH,
            headers=headers,
        )
        return said

    # --- one way out -------------------------------------------------------------------------------------------------

    def _token(self, actor: Actor, patient: PatientId, mode: Mode, purpose: Purpose) -> str:
        assertion = self._vihf.assertion(
            actor.claims(mode, self._endpoint.software, patient=patient, purpose=purpose),
            assertion_id=f"_{self._new_uuid()}",
            issue_instant=self._clock(),
        )
        return base64.urlsafe_b64encode(assertion).decode("ascii")

    async def _call(
        self, transaction: str, method: str, path: str, actor: Actor, patient: PatientId, mode: Mode, **options: Any
    ) -> tuple[Outcome, dict[str, Any] | None]:
        said, raw = await self._raw(transaction, method, self._base + path, actor, patient, mode, **options)
        if not said.ok:
            return said, None
        try:
            answer = safe_json.loads(raw, max_bytes=self._endpoint.max_answer_bytes)
        except UnsafeInput as exc:
            return outcome(Layer.MESSAGE, "unreadable", original_code=exc.code, http_status=said.http_status), None
        if not isinstance(answer, dict):
            return outcome(Layer.MESSAGE, "type", http_status=said.http_status), None
        return said, answer

    async def _raw(
        self,
        transaction: str,
        method: str,
        url: str,
        actor: Actor,
        patient: PatientId,
        mode: Mode,
        *,
        content: bytes = b"",
        kind: str = "",
        headers: Mapping[str, str] | None = None,
        purpose: Purpose = Purpose.NORMAL,
    ) -> tuple[Outcome, bytes]:
        message_id, started = f"urn:uuid:{self._new_uuid()}", self._clock()
        sent = {
            "Authorization": f"Bearer {self._token(actor, patient, mode, purpose)}",
            "X-Request-Id": message_id.removeprefix("urn:uuid:"),
            **(headers or {}),
        }
        if kind:
            sent["Content-Type"] = kind
        said, raw, response = await self._exchange(method, url, content, sent)
        if self._recorder is not None:
            self._recorder(
                ExchangeRecord(
                    transaction=transaction,
                    message_id=message_id,
                    url=url,
                    started_at=started,
                    request=[content],
                    request_type=kind,
                    status=response.status_code if response is not None else None,
                    response=raw,
                    response_type=response.headers.get("content-type", "") if response is not None else "",
                    outcome=None if said.ok else said,
                )
            )
        return said, raw

    async def _exchange(
        self, method: str, url: str, content: bytes, sent: Mapping[str, str]
    ) -> tuple[Outcome, bytes, httpx.Response | None]:
        raw = bytearray()
        try:
            async with asyncio.timeout(self._endpoint.total_timeout):
                request = self._http.build_request(method, url, content=content or None, headers=sent)
                response = await self._http.send(request, stream=True)
                try:
                    async for chunk in response.aiter_raw():
                        raw += chunk
                        if len(raw) > self._endpoint.max_answer_bytes:
                            return outcome(Layer.MESSAGE, "too_large", http_status=response.status_code), b"", response
                finally:
                    await response.aclose()
        except TimeoutError:
            return outcome(Layer.NETWORK, "timeout", original_code="Timeout"), b"", None
        except httpx.HTTPError as exc:
            return broken_outcome(exc, started=True), b"", None
        return self._judge(response, bytes(raw)), bytes(raw), response

    def _judge(self, response: httpx.Response, raw: bytes) -> Outcome:
        status = response.status_code
        if status < 300:
            return accepted(original_code=str(status), http_status=status)
        after = response.headers.get("retry-after", "")
        retry_after = int(after) if after.isdigit() and len(after) < 6 else None
        if status < 400:
            return http_outcome(status)
        try:
            body = safe_json.loads(raw) if raw else None
        except UnsafeInput:
            body = None
        return read_operation_outcome(body, status, retry_after=retry_after)
