"""The simulated DMP by PDSm: ITI-65, 66, 67, 68 and the updates by PATCH, on the same state and under the same rights.

No FHIR face of the DMP is public: flows and answers are those of PDSm 3.1.1 and the draft PDSM4DMP (dmp.md 11). The
caller is the VIHF as a bearer token, over the same mutual TLS. A search with a patient in the URL is refused.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.dmp.fhir_errors import issue_of, operation_outcome
from adapters.dmp.simulator.caller import Caller, Doorman, allowed
from adapters.dmp.simulator.fhir_search import select
from adapters.dmp.simulator.queries import authorised, visible
from adapters.dmp.simulator.refusals import Refused, SoapFault
from adapters.dmp.simulator.state import Patient, Registered, State
from adapters.dmp.simulator.submit import SubmitPolicy, accept
from adapters.dmp.simulator.updates import TRANSITIONS, rights_needed
from adapters.sandbox_base import Faults, Journal, abort_connection, client_certificate
from mappings.xds import Association, Organization
from mappings.xds import vocabulary as v
from mappings.xds.pdsm_in import NotPdsm, read_document_reference, read_provide_bundle
from mappings.xds.pdsm_out import document_reference, submission_list
from mappings.xds.pdsm_words import PROFILES, patient_identifier
from security import json as safe_json
from security import xml
from security.errors import UnsafeInput

__all__ = ["FhirFace"]

_FHIR: Final = "application/fhir+json"
_STATUSES: Final = {"superseded": v.DEPRECATED, "entered-in-error": v.DELETED}


@dataclass(slots=True, kw_only=True)
class FhirFace:
    """The FHIR services of the simulated DMP."""

    state: State
    doorman: Doorman
    policy: SubmitPolicy
    journal: Journal
    faults: Faults
    clock: Callable[[], datetime]
    base: str  #: path of the FHIR base

    def routes(self) -> list[Route]:
        """The routes of the face."""
        b = self.base
        return [
            Route(f"{b}/metadata", self._metadata),
            Route(b, self._run("ITI-65", self._transaction), methods=["POST"]),
            Route(f"{b}/DocumentReference", self._no_get),
            Route(f"{b}/DocumentReference/_search", self._run("ITI-67", self._find_documents), methods=["POST"]),
            Route(f"{b}/List/_search", self._run("ITI-66", self._find_lists), methods=["POST"]),
            Route(f"{b}/Patient/_search", self._run("TD0.2", self._find_patient), methods=["POST"]),
            Route(f"{b}/DocumentReference/{{id}}", self._run("read", self._read)),
            Route(f"{b}/DocumentReference/{{id}}", self._run("TD3.3", self._patch), methods=["PATCH"]),
            Route(f"{b}/Binary/{{id}}", self._run("ITI-68", self._binary)),
        ]

    # --- form --------------------------------------------------------------------------------------------------------

    def _run(self, label: str, work: Callable[[Request, Caller, bytes], Response]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            fault = self.faults.take(label, "lost_after_acceptance", "http_error", "lost_before")
            if fault is not None and fault.name == "lost_before":
                abort_connection(request.scope)
                return Response(status_code=500)
            if fault is not None and fault.name == "http_error":
                return Response(status_code=int(fault.number("status", 500)))
            try:
                answer = work(request, self._caller(request), body)
            except SoapFault as exc:
                answer = _refusal(exc.subcode or exc.code, exc.reason)
            except Refused as exc:
                answer = _refusal(exc.problems[0].code, exc.problems[0].context)
            except NotPdsm as exc:
                answer = _refusal("XDSRegistryMetadataError", str(exc), location=exc.location)
            except UnsafeInput as exc:
                answer = _refusal("InvalidDocumentContent", exc.code)
            outcome = "accepted" if answer.status_code < 300 else str(answer.status_code)
            self.journal.record(
                label,
                outcome,
                request=body,
                response=bytes(answer.body),
                status=answer.status_code,
                request_type=_FHIR,
                response_type=_FHIR,
            )
            if fault is not None:
                abort_connection(request.scope)
            return answer

        return endpoint

    def _caller(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            assertion = base64.urlsafe_b64decode(token) if scheme.lower() == "bearer" else b""
            message = xml.parse(assertion)
        except (binascii.Error, ValueError, UnsafeInput):
            raise SoapFault("Sender", "DMPInvalidVIHF", "jeton absent ou illisible") from None
        return self.doorman.admit(message, client_certificate(request.scope), self.clock())

    async def _no_get(self, request: Request) -> Response:
        return _refusal("XDSStoredQueryParamNumber", "un patient ne figure pas dans une URL : POST _search", status=400)

    async def _metadata(self, request: Request) -> Response:
        def resource(kind: str, *codes: str) -> dict[str, Any]:
            return {"type": kind, "interaction": [{"code": code} for code in codes]}

        return _json(
            {
                "resourceType": "CapabilityStatement",
                "status": "active",
                "date": "2026-06-01",
                "kind": "instance",
                "fhirVersion": "4.0.1",
                "format": [_FHIR],
                "patchFormat": ["application/json-patch+json"],
                "implementation": {"description": "DMP simulé"},
                "rest": [
                    {
                        "mode": "server",
                        "interaction": [{"code": "transaction"}],
                        "resource": [
                            resource("DocumentReference", "read", "search-type", "patch"),
                            resource("List", "search-type"),
                            resource("Patient", "search-type"),
                            resource("Binary", "read"),
                        ],
                    }
                ],
            }
        )

    # --- transactions ------------------------------------------------------------------------------------------------

    def _transaction(self, request: Request, caller: Caller, body: bytes) -> Response:
        limit = self.policy.max_set_bytes * 2
        provided = read_provide_bundle(safe_json.loads(body, max_bytes=limit))
        patient = None if caller.patient is None else self.state.patient(caller.patient)
        if not allowed(caller, "TD2.1", patient):
            raise SoapFault("Sender", "DMPAccessDenied", f"Alimentation refusée en mode {caller.mode}")
        links = list(provided.submission.associations)
        for source, reference in provided.replaced.items():
            target = self._target(reference)
            links.append(Association(kind=v.ASSOCIATION_REPLACES, source=source, target=target))
        submission = replace(provided.submission, associations=tuple(links))
        for content in provided.contents.values():
            if len(content) > self.policy.max_document_bytes:
                raise Refused.because("InvalidDocumentContent", "document trop grand")
        names = accept(submission, provided.contents, caller, self.state, self.policy, self.clock(), signed=False)
        return _json(self._response(provided.order, submission.submission_set.entry_uuid, names, provided.replaced))

    def _target(self, reference: str) -> str:
        kind, _, query = reference.partition("?")
        if kind == "DocumentReference" and query.startswith("identifier="):
            unique_id = query.rpartition("urn:oid:")[2]
            known = self.state.of_unique_id(unique_id)
            return known[-1].entry.entry_uuid if known else reference
        return "urn:uuid:" + reference.removeprefix("DocumentReference/")

    def _response(
        self, order: tuple[str, ...], owner: str, names: Mapping[str, str], replaced: Mapping[str, str]
    ) -> dict[str, Any]:
        """One entry for each of the request, in its order."""
        documents = iter([new for old, new in names.items() if old != owner])
        targets = iter(replaced.values())
        entries: list[dict[str, Any]] = []
        for kind in order:
            status, place = "201 Created", f"{kind}/{uuid.uuid4()}"
            if kind == "List":
                place = f"List/{names[owner].removeprefix('urn:uuid:')}"
            elif kind == "DocumentReference":
                place = f"DocumentReference/{next(documents).removeprefix('urn:uuid:')}"
            elif kind == "Parameters":
                status, place = "200 OK", next(targets)
            entries.append({"response": {"status": status, "location": f"{place}/_history/1"}})
        return {
            "resourceType": "Bundle",
            "meta": {"profile": [PROFILES["response"]]},
            "type": "transaction-response",
            "entry": entries,
        }

    # --- searches ----------------------------------------------------------------------------------------------------

    def _reader(self, caller: Caller, right: str) -> Patient:
        patient = None if caller.patient is None else self.state.patient(caller.patient)
        if patient is None:
            raise Refused.because("XDSUnknownPatientId", "aucun DMP pour ce patient")
        if not allowed(caller, right, patient):
            raise SoapFault("Sender", "DMPAccessDenied", f"{right} refusé en mode {caller.mode}")
        authorised(caller, patient)
        return patient

    def _find_documents(self, request: Request, caller: Caller, body: bytes) -> Response:
        query = body.decode("utf-8", "replace")
        asked = dict(parse_qsl(query))
        base = str(request.base_url).rstrip("/") + self.base
        if "identifier" in asked and asked.get("_elements") == "id":
            return self._find_reference(caller, query, base)
        patient = self._reader(caller, "TD3.1")
        found = [r for r in self.state.of_patient(patient.matricule) if visible(r, caller, patient)]
        kept = select(found, query, patient.matricule)
        return _json(_searchset("find-documents", base, [self._resource(r, base) for r in kept]))

    def _find_reference(self, caller: Caller, query: str, base: str) -> Response:
        """TD3.1b: the id of a document's entry and nothing else, open to software that only feeds."""
        patient = None if caller.patient is None else self.state.patient(caller.patient)
        if patient is None:
            raise Refused.because("XDSUnknownPatientId", "aucun DMP pour ce patient")
        if not allowed(caller, "TD3.1-reference", patient):
            raise SoapFault("Sender", "DMPAccessDenied", f"TD3.1 refusé en mode {caller.mode}")
        newest = [
            r
            for r in select(self.state.of_patient(patient.matricule), query, patient.matricule)
            if (current := self.state.current(r.entry.logical_id)) is not None
            and current.entry.entry_uuid == r.entry.entry_uuid
        ]
        names = [
            {"resourceType": "DocumentReference", "id": r.entry.entry_uuid.removeprefix("urn:uuid:")} for r in newest
        ]
        return _json(_searchset("", base, names))

    def _resource(self, registered: Registered, base: str) -> dict[str, Any]:
        entry = registered.entry
        name = entry.entry_uuid.removeprefix("urn:uuid:")
        custodian = Organization(id=registered.owner_structure, authority=v.STRUCTURE_AUTHORITY)
        return document_reference(entry, custodian=custodian, attachment_url=f"{base}/Binary/{name}")

    def _find_lists(self, request: Request, caller: Caller, body: bytes) -> Response:
        patient = self._reader(caller, "TD3.1")
        with self.state.lock:
            sets = list(self.state.sets.values())
        base = str(request.base_url).rstrip("/") + self.base
        resources = []
        for sent, identifier in sets:
            if sent.patient_id is not None and sent.patient_id.value == patient.matricule and identifier:
                members = [
                    "DocumentReference/" + a.target.removeprefix("urn:uuid:")
                    for a in self.state.associations
                    if a.source == identifier and a.kind == v.ASSOCIATION_HAS_MEMBER
                ]
                resources.append(submission_list(replace(sent, entry_uuid=identifier), members))
        return _json(_searchset("find-lists", base, resources))

    def _find_patient(self, request: Request, caller: Caller, body: bytes) -> Response:
        asked = caller.patient
        patient = None if asked is None else self.state.patient(asked)
        if not allowed(caller, "TD0.2", patient):
            raise SoapFault("Sender", "DMPAccessDenied", f"TD0.2 refusé en mode {caller.mode}")
        resources: list[dict[str, Any]] = []
        if patient is not None and asked is not None:
            active = patient.state == "active"
            identifier = patient_identifier(asked)
            name = str(uuid.uuid4())
            resources.append({"resourceType": "Patient", "id": name, "identifier": [identifier], "active": active})
        return _json(_searchset("", str(request.base_url).rstrip("/") + self.base, resources))

    def _known(self, request: Request, caller: Caller) -> tuple[Registered, Patient]:
        patient = None if caller.patient is None else self.state.patient(caller.patient)
        known = self.state.entry("urn:uuid:" + request.path_params["id"])
        if (
            patient is None
            or known is None
            or known.entry.patient_id is None
            or known.entry.patient_id.value != patient.matricule
        ):
            raise Refused.because("XDSMetadataIdentifierError", "document inconnu")
        return known, patient

    def _read(self, request: Request, caller: Caller, body: bytes) -> Response:
        patient = self._reader(caller, "TD3.1")
        known, _ = self._known(request, caller)
        if not visible(known, caller, patient):
            raise Refused.because("XDSMetadataIdentifierError", "document inconnu")
        base = str(request.base_url).rstrip("/") + self.base
        return _json(self._resource(known, base))

    def _binary(self, request: Request, caller: Caller, body: bytes) -> Response:
        patient = self._reader(caller, "TD3.2")
        known, _ = self._known(request, caller)
        content = self.state.document(known.entry.unique_id)
        if content is None or not visible(known, caller, patient):
            raise Refused.because("XDSDocumentUniqueIdError", "document inconnu")
        return Response(content, media_type=known.entry.mime_type)

    # --- changes -----------------------------------------------------------------------------------------------------

    def _patch(self, request: Request, caller: Caller, body: bytes) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json-patch+json":
            raise Refused.because("XDSMetadataUpdateOperationError", "application/json-patch+json attendu")
        known, patient = self._known(request, caller)
        current = self.state.current(known.entry.logical_id)
        expected = request.headers.get("if-match", "")
        stale = current is None or current.entry.entry_uuid != known.entry.entry_uuid
        if stale or (expected and expected != f'W/"{known.entry.version}"'):
            raise Refused.because("XDSMetadataVersionError", "version dépassée")
        base = str(request.base_url).rstrip("/") + self.base
        before = self._resource(known, base)
        after = _patched(before, safe_json.loads(body))
        changed = {key for key in before if before[key] != after.get(key)} | (after.keys() - before.keys())
        if not changed or changed - {"status", "securityLabel", "extension"}:
            raise Refused.because(
                "XDSMetadataUpdateOperationError", "seuls status, securityLabel et isArchived changent"
            )
        entry = read_document_reference(after)
        status = _STATUSES.get(str(after.get("status")), entry.status)
        if status != known.entry.status:
            right = TRANSITIONS.get((known.entry.status, v.DELETED if status in _STATUSES.values() else status))
            if right is None:
                raise Refused.because("XDSMetadataUpdateOperationError", "changement d'état impossible")
            if not allowed(caller, right, patient, known):
                raise SoapFault("Sender", "DMPAccessDenied", f"{right} refusé")
            self.state.set_status(known.entry.entry_uuid, v.DELETED if right == "TD3.3c" else status)
        if "securityLabel" in changed:
            codes = [{c.code for c in e.confidentiality} for e in (known.entry, entry)]
            for right in rights_needed(*codes):
                if not allowed(caller, right, patient, known):
                    raise SoapFault("Sender", "DMPAccessDenied", f"{right} refusé")
            renewed = replace(known.entry, confidentiality=entry.confidentiality)
            self.state.update(known, renewed, known.set_unique_id)
        newest = self.state.current(known.entry.logical_id) or known
        return _json(self._resource(newest, base))


def _patched(resource: dict[str, Any], operations: Any) -> dict[str, Any]:
    """Apply a JSON Patch (RFC 6902) of the few operations PDSm uses."""
    out: dict[str, Any] = safe_json.loads(orjson.dumps(resource))
    if not isinstance(operations, list) or not operations:
        raise Refused.because("XDSMetadataUpdateError", "JSON Patch attendu")
    for operation in operations:
        if not isinstance(operation, dict):
            raise Refused.because("XDSMetadataUpdateError", "JSON Patch attendu")
        steps = str(operation.get("path", "")).split("/")[1:]
        try:
            _apply(out, steps, str(operation.get("op")), operation.get("value"))
        except (KeyError, IndexError, ValueError, TypeError):
            raise Refused.because("XDSMetadataUpdateError", "opération inapplicable") from None
    return out


def _apply(node: Any, steps: list[str], op: str, value: Any) -> None:
    *path, last = steps
    for step in path:
        node = node[int(step)] if isinstance(node, list) else node[step]
    if isinstance(node, list):
        index = len(node) if last == "-" else int(last)
        if op == "add":
            node.insert(index, value)
        elif op == "replace":
            node[index] = value
        elif op == "remove":
            del node[index]
        elif op != "test" or node[index] != value:
            raise ValueError(op)
        return
    if op == "remove":
        del node[last]
    elif op in ("add", "replace"):
        node[last] = value
    elif op != "test" or node[last] != value:
        raise ValueError(op)


def _searchset(profile: str, base: str, resources: list[dict[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {"resourceType": "Bundle"}
    if profile:
        out["meta"] = {"profile": [PROFILES[profile]]}
    out |= {"type": "searchset", "total": len(resources)}
    entries = [
        {"fullUrl": f"{base}/{r['resourceType']}/{r['id']}", "resource": r, "search": {"mode": "match"}}
        for r in resources
    ]
    if entries:
        out["entry"] = entries
    return out


def _json(resource: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(resource), status, media_type=_FHIR)


def _refusal(code: str, text: str, *, location: str = "", status: int | None = None) -> Response:
    return _json(operation_outcome(code, text, location=location), status or issue_of(code)[0])
