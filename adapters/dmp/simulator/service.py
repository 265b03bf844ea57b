"""The SOAP side of the simulated DMP: reads a request, finds who calls and what for, and answers.

Form is judged here (HTTP, multipart, SOAP, WS-Addressing), meaning in the modules of each transaction. Faults asked for
by switch happen here too, before, after or instead of the real work.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from lxml import etree
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from adapters.dmp import mtom
from adapters.dmp.envelope import SOAP12, WSA, WSSE, Envelope, NotSoap, read_envelope, write_fault, write_reply
from adapters.dmp.messages import ACTIONS, XDS
from adapters.dmp.mtom import MtomError, Package, content_type_parameters
from adapters.dmp.simulator.caller import Caller, Doorman
from adapters.dmp.simulator.patient_list import patient_list
from adapters.dmp.simulator.patients import patient_status, set_authorization
from adapters.dmp.simulator.queries import query
from adapters.dmp.simulator.refusals import Refused, RegistryProblem, SoapFault
from adapters.dmp.simulator.replies import (
    Reply,
    fault_reply,
    query_response,
    registry_response,
    retrieved,
    spoiled,
    wrapped,
)
from adapters.dmp.simulator.state import State
from adapters.dmp.simulator.submit import SubmitPolicy, submit
from adapters.dmp.simulator.updates import update
from adapters.sandbox_base import Fault, Faults, Journal, abort_connection, client_certificate
from mappings.xds.ebrim import QUERY, RIM
from security.errors import UnsafeInput
from security.xml import XmlLimits

__all__ = ["FAULTS", "Service"]

_LIMITS: Final = XmlLimits(max_bytes=16 * 1024 * 1024)
_MIB: Final = 1024 * 1024
_SOAP: Final = "application/soap+xml; charset=utf-8"

#: What can be made to go wrong, and how.
FAULTS: Final = {
    "latency": "waits before answering (seconds)",
    "timeout": "takes the request and never answers, for `seconds` (default 60)",
    "http_error": "answers an HTTP status without SOAP (status, default 500; retry_after)",
    "html": "answers an HTML page with status 200",
    "wrong_content_type": "answers the right message as text/plain",
    "lost_before": "drops the connection before doing anything",
    "lost_after_acceptance": "does the work, then drops the connection without an answer",
    "soap_fault": "answers a SOAP fault (code, subcode, reason)",
    "registry_error": "answers a registry failure (code, context)",
    "success_with_error": "does the work, and answers Success with an error in the list",
    "partial_success": "does the work, and answers PartialSuccess",
    "unknown_status": "does the work, and answers a status that no standard knows",
    "failure_without_error": "answers Failure without an error",
    "wrong_relates_to": "does the work, and answers as if to another message",
    "not_xml": "answers bytes that are no XML, as SOAP",
    "huge": "answers more than anyone reads (bytes, default 64 MiB)",
    "truncated_multipart": "answers a multipart package cut in its middle",
    "wrong_boundary": "answers a multipart package whose boundary is not the announced one",
    "missing_part": "answers a reference to a part that is not there (retrieval)",
    "wrong_hash": "answers other bytes than those stored (retrieval)",
    "expired_assertion": "takes the assertion for expired",
}


@dataclass(slots=True, kw_only=True)
class Service:
    """The DMP's services on one socket."""

    state: State
    doorman: Doorman
    policy: SubmitPolicy
    journal: Journal
    faults: Faults
    clock: Callable[[], datetime]
    max_request_bytes: int = 16 * 1024 * 1024
    transactions: dict[str, str] = field(
        default_factory=lambda: {
            "repository": "ITI-41 ITI-43",
            "registry": "ITI-18 ITI-57",
            "patients": "TD0.2 TD0.4",
            "habilitations": "TD0.3",
        }
    )

    async def handle(self, request: Request) -> Response:
        """Answer one request on one of the services."""
        try:
            raw = await self._receive(request)
        except ClientDisconnect:
            return Response(status_code=400)
        if raw is None:
            return self._plain(request, b"", 413, "too_large")
        kind = request.headers.get("content-type", "")
        media, _ = content_type_parameters(kind)
        if media not in ("multipart/related", "application/soap+xml"):
            return self._plain(request, raw, 415, "unsupported_media_type")
        try:
            package = mtom.read(kind, raw)
            envelope = read_envelope(package.root, _LIMITS)
        except (MtomError, NotSoap, UnsafeInput) as exc:
            code = getattr(exc, "code", "NOT-SOAP")
            fault = SoapFault("Sender", "DMPInvalidMessage", f"message illisible : {code}")
            return self._send(request, raw, "unreadable", "", fault_reply(fault, package=False), None)
        return await self._envelope(request, package, envelope)

    async def _receive(self, request: Request) -> bytes | None:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self.max_request_bytes:
                return None
        return bytes(body)

    async def _envelope(self, request: Request, package: Package, envelope: Envelope) -> Response:
        service = request.path_params["service"]
        transaction, label = self._transaction(service, envelope)
        fault = self.faults.take(label)
        if fault is not None and fault.name in ("latency", "timeout"):
            await asyncio.sleep(fault.number("seconds", 60 if fault.name == "timeout" else 1))
            if fault.name == "timeout":
                abort_connection(request.scope)
                return self._gone(package.root, label, "timeout")
            fault = None
        if fault is not None and fault.name == "lost_before":
            abort_connection(request.scope)
            return self._gone(package.root, label, "lost_before")
        multipart = service == "repository" and transaction == "ITI-43"
        if fault is not None and fault.name == "http_error":
            headers = {"retry-after": str(fault.parameters["retry_after"])} if "retry_after" in fault.parameters else {}
            status = int(fault.number("status", 500))
            self.journal.record(label, f"http_{status}", request=package.root, status=status)
            return Response(b"", status, headers=headers)
        reply = self._asked(fault, transaction, multipart) or self._answer(
            request, transaction, label, package, envelope, fault, multipart
        )
        return self._send(request, package.root, label, envelope.message_id, reply, fault, transaction)

    def _gone(self, root: bytes, label: str, outcome: str) -> Response:
        self.journal.record(label, outcome, request=root, status=None)
        return Response(status_code=500)

    def _transaction(self, service: str, envelope: Envelope) -> tuple[str, str]:
        for name, action in ACTIONS.items():
            if action.request == envelope.action and name in self.transactions.get(service, ""):
                return name, _label(name, envelope.body)
        return "", "unknown"

    def _asked(self, fault: Fault | None, transaction: str, multipart: bool) -> Reply | None:
        """The answer of a fault that takes the place of the work."""
        if fault is None:
            return None
        text = {key: str(value) for key, value in fault.parameters.items()}
        if fault.name == "soap_fault":
            made = SoapFault(
                text.get("code", "Receiver"), text.get("subcode", ""), text.get("reason", "panne demandée")
            )
            return fault_reply(made, package=multipart)
        if fault.name == "expired_assertion":
            return fault_reply(
                SoapFault("Sender", "DMPInvalidVIHF", "VIHF-TIME-003: assertion expirée"), package=multipart
            )
        if fault.name == "registry_error":
            problem = RegistryProblem(
                code=text.get("code", "XDSRegistryError"), context=text.get("context", "panne demandée")
            )
            refusal = wrapped(transaction, registry_response("Failure", [problem]), [problem])
            return Reply(body=refusal, outcome=problem.code, package=multipart)
        if fault.name == "failure_without_error":
            return Reply(body=registry_response("Failure", []), outcome="failure_without_error")
        if fault.name in ("html", "not_xml", "huge"):
            return Reply(body=b"", outcome=fault.name)
        return None

    def _answer(
        self,
        request: Request,
        transaction: str,
        label: str,
        package: Package,
        envelope: Envelope,
        fault: Fault | None,
        multipart: bool,
    ) -> Reply:
        now = self.clock()
        try:
            body = self._addressing(envelope, transaction)
            caller = self.doorman.admit(envelope.root, client_certificate(request.scope), now)
            reply = self._run(transaction, body, package, caller, now)
        except SoapFault as exc:
            return fault_reply(exc, package=multipart)
        except Refused as exc:
            refusal = wrapped(transaction, registry_response("Failure", exc.problems), exc.problems)
            return Reply(body=refusal, outcome=exc.problems[0].code, package=multipart)
        if fault is not None:
            return spoiled(reply, fault)
        return reply

    def _addressing(self, envelope: Envelope, transaction: str) -> etree._Element:
        if envelope.version != SOAP12:
            raise SoapFault("VersionMismatch", "", "SOAP 1.2 attendu")
        header = envelope.root.find(f"{{{SOAP12}}}Header")
        if not envelope.action or not envelope.message_id:
            raise SoapFault("Sender", "MessageAddressingHeaderRequired", "wsa:Action ou wsa:MessageID absent")
        if header is not None and header.find(f"{{{WSA}}}To") is None:
            raise SoapFault("Sender", "MessageAddressingHeaderRequired", "wsa:To absent")
        if not transaction:
            raise SoapFault("Sender", "ActionNotSupported", "transaction inconnue de ce service")
        if envelope.body is None:
            raise SoapFault("Sender", "DMPInvalidMessage", "corps vide")
        for node in header if header is not None else ():
            understood = isinstance(node.tag, str) and etree.QName(node).namespace in (WSA, WSSE)
            if (
                isinstance(node.tag, str)
                and not understood
                and node.get(f"{{{SOAP12}}}mustUnderstand") in ("1", "true")
            ):
                raise SoapFault("MustUnderstand", "", "en-tête obligatoire inconnu")
        return envelope.body

    def _run(self, transaction: str, body: etree._Element, package: Package, caller: Caller, now: datetime) -> Reply:
        if transaction == "ITI-41":
            if body.tag != f"{{{XDS}}}ProvideAndRegisterDocumentSetRequest":
                raise SoapFault("Sender", "DMPInvalidMessage", "ProvideAndRegisterDocumentSetRequest attendu")
            submit(body, package, caller, self.state, self.policy, now)
            return Reply(body=registry_response("Success", []), outcome="accepted")
        if transaction == "ITI-57":
            update(body, caller, self.state, both_restrictions=self.policy.both_restrictions)
            return Reply(body=registry_response("Success", []), outcome="accepted")
        if transaction == "ITI-18":
            found = query(body, caller, self.state)
            return Reply(body=query_response(found), outcome="accepted")
        if transaction == "ITI-43":
            return retrieved(body, caller, self.state)
        if transaction == "TD0.2":
            return Reply(body=patient_status(body, caller, self.state, now), outcome="accepted")
        if transaction == "TD0.4":
            return Reply(body=patient_list(body, caller, self.state, now), outcome="accepted")
        said = set_authorization(body, caller, self.state, now)
        return Reply(body=said, outcome="accepted" if b">DMPOk<" in said else "refused")

    # --- answering ---------------------------------------------------------------------------------------------------

    def _send(
        self,
        request: Request,
        root: bytes,
        label: str,
        message_id: str,
        reply: Reply,
        fault: Fault | None,
        transaction: str = "",
    ) -> Response:
        name = fault.name if fault is not None else ""
        action = ACTIONS[transaction].response if transaction else ""
        relates = f"urn:uuid:{uuid.uuid4()}" if name == "wrong_relates_to" else message_id
        made: bytes
        if reply.fault is not None:
            made = write_fault(
                code=reply.fault.code,
                subcode=reply.fault.subcode,
                reason=reply.fault.reason,
                message_id=f"urn:uuid:{uuid.uuid4()}",
                relates_to=relates,
            )
        else:
            made = write_reply(
                action=action, message_id=f"urn:uuid:{uuid.uuid4()}", relates_to=relates, body=reply.body
            )
        body, kind = made, _SOAP
        if reply.package or reply.parts or name in ("truncated_multipart", "wrong_boundary"):
            token = uuid.uuid4().hex
            kind, chunks = mtom.write(
                [made], reply.parts, boundary=f"dmp-{token}", root_id=f"root.{token}@dmp.invalid", action=action
            )
            body = b"".join(chunks)
        if name == "truncated_multipart":
            body = body[: len(body) * 2 // 3]
        elif name == "wrong_boundary":
            kind = kind.replace('boundary="dmp-', 'boundary="other-')
        elif name == "html":
            body, kind = b"<!doctype html><title>Maintenance</title><p>Service en maintenance", "text/html"
        elif name == "not_xml":
            body = b"<<<<"
        elif name == "wrong_content_type":
            kind = "text/plain"
        outcome = reply.outcome if not name else f"{reply.outcome} ({name})"
        if name == "lost_after_acceptance":
            self.journal.record(label, outcome, request=root, response=made, status=None)
            abort_connection(request.scope)
            return Response(status_code=500)
        self.journal.record(label, outcome, request=root, response=made, status=reply.status)
        if name == "huge" and fault is not None:
            return StreamingResponse(_blanks(int(fault.number("bytes", 64 * _MIB))), headers={"content-type": kind})
        return Response(body, reply.status, headers={"content-type": kind})

    def _plain(self, request: Request, raw: bytes, status: int, outcome: str) -> Response:
        self.journal.record("unknown", outcome, request=raw[:65536], status=status)
        return Response(b"", status)


async def _blanks(size: int) -> AsyncIterator[bytes]:
    """So many blanks, without holding them all."""
    for start in range(0, size, _MIB):
        yield b" " * min(_MIB, size - start)


def _label(transaction: str, body: etree._Element | None) -> str:
    """The transaction in the DMP's own numbering, where one message serves several."""
    if transaction == "ITI-41":
        replaces = body is not None and any(
            node.get("associationType", "").endswith(":RPLC") for node in body.iter(f"{{{RIM}}}Association")
        )
        return "TD2.1b" if replaces else "TD2.1a"
    if transaction == "ITI-18":
        option = None if body is None else body.find(f"{{{QUERY}}}ResponseOption")
        return "TD3.1b" if option is not None and option.get("returnType") == "ObjectRef" else "TD3.1a"
    if transaction == "ITI-43":
        return "TD3.2"
    if transaction == "ITI-57":
        statuses = [] if body is None else [n.text or "" for n in body.iter(f"{{{RIM}}}Value")]
        if any(s.endswith(":Deleted") for s in statuses):
            return "TD3.3c"
        status = body is not None and any(
            n.get("associationType", "").endswith(":UpdateAvailabilityStatus")
            for n in body.iter(f"{{{RIM}}}Association")
        )
        return "TD3.3d" if status else "TD3.3ab"
    return transaction
