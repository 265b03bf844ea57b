"""What the simulated DMP answers, as bodies: registry responses, query answers, retrieved documents."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from adapters.dmp import mtom
from adapters.dmp.messages import XDS
from adapters.dmp.mtom import Part
from adapters.dmp.simulator.caller import Caller
from adapters.dmp.simulator.queries import QueryResult, retrieve
from adapters.dmp.simulator.refusals import RegistryProblem, SoapFault
from adapters.dmp.simulator.state import REPOSITORY, State
from adapters.sandbox_base import Fault
from mappings.xds.ebrim import QUERY, RIM, RS, write_association, write_entry, write_submission_set

__all__ = ["Reply", "fault_reply", "query_response", "registry_response", "retrieved", "spoiled", "wrapped"]

_STATUS: Final = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:"
_SEVERITY: Final = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:"
_PARTIAL: Final = "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is answered: the payload or a fault, and documents beside it."""

    body: bytes = field(default=b"", repr=False)
    outcome: str  #: for the journal
    fault: SoapFault | None = None
    parts: tuple[Part, ...] = ()
    package: bool = False
    status: int = 200


def fault_reply(fault: SoapFault, *, package: bool = False) -> Reply:
    """A SOAP fault; the journal names its code only."""
    return Reply(outcome=f"fault:{fault.subcode or fault.code}", fault=fault, status=fault.status, package=package)


def _errors(problems: Sequence[RegistryProblem]) -> str:
    if not problems:
        return ""
    lines = "".join(
        f"<rs:RegistryError errorCode={quoteattr(p.code)} codeContext={quoteattr(p.context)} "
        f'location={quoteattr(p.location)} severity="{_SEVERITY}{"Warning" if p.warning else "Error"}"/>'
        for p in problems
    )
    return f"<rs:RegistryErrorList>{lines}</rs:RegistryErrorList>"


def registry_response(status: str, problems: Sequence[RegistryProblem]) -> bytes:
    urn = _PARTIAL if status == "PartialSuccess" else _STATUS + status
    return f'<rs:RegistryResponse xmlns:rs="{RS}" status="{urn}">{_errors(problems)}</rs:RegistryResponse>'.encode()


def wrapped(transaction: str, body: bytes, problems: Sequence[RegistryProblem]) -> bytes:
    """A registry failure in the answer element of its transaction."""
    if transaction == "ITI-18":
        return (
            f'<query:AdhocQueryResponse xmlns:query="{QUERY}" xmlns:rs="{RS}" status="{_STATUS}Failure">'
            f'{_errors(problems)}<rim:RegistryObjectList xmlns:rim="{RIM}"/></query:AdhocQueryResponse>'
        ).encode()
    if transaction == "ITI-43":
        return (
            f'<xds:RetrieveDocumentSetResponse xmlns:xds="{XDS}">'.encode()
            + body
            + b"</xds:RetrieveDocumentSetResponse>"
        )
    return body


def query_response(found: QueryResult) -> bytes:
    root = etree.Element(f"{{{QUERY}}}AdhocQueryResponse", nsmap={"query": QUERY, "rs": RS, None: RIM})
    root.set("status", _STATUS + "Success")
    count = len(found.entries) + len(found.sets) + len(found.associations)
    root.set("startIndex", "0")
    root.set("totalResultCount", str(count))
    listed = etree.SubElement(root, f"{{{RIM}}}RegistryObjectList")
    if not found.leaf_class:
        ids = (
            *(e.entry_uuid for e in found.entries),
            *(s.entry_uuid for s in found.sets),
            *(a.entry_uuid for a in found.associations),
        )
        for identifier in ids:
            etree.SubElement(listed, f"{{{RIM}}}ObjectRef", id=identifier)
    else:
        for sent in found.sets:
            write_submission_set(listed, sent)
        for entry in found.entries:
            write_entry(listed, entry)
        for link in found.associations:
            write_association(listed, link)
    return etree.tostring(root)


def retrieved(body: etree._Element, caller: Caller, state: State) -> Reply:
    documents, problems = retrieve(body, caller, state)
    status = "Success" if not problems else ("PartialSuccess" if documents else "Failure")
    parts: list[Part] = []
    lines = [f'<xds:RetrieveDocumentSetResponse xmlns:xds="{XDS}">', registry_response(status, problems).decode()]
    for number, (entry, content) in enumerate(documents, start=1):
        content_id = f"document.{number}.{uuid.uuid4().hex}@dmp.invalid"
        parts.append(Part(content_id=content_id, content=content, content_type=entry.mime_type))
        lines.append(
            f"<xds:DocumentResponse><xds:RepositoryUniqueId>{REPOSITORY}</xds:RepositoryUniqueId>"
            f"<xds:DocumentUniqueId>{escape(entry.unique_id)}</xds:DocumentUniqueId>"
            f"<xds:mimeType>{escape(entry.mime_type)}</xds:mimeType><xds:Document>"
            f'<xop:Include xmlns:xop="{mtom.XOP}" href="{mtom.href_of(content_id)}"/>'
            "</xds:Document></xds:DocumentResponse>"
        )
    lines.append("</xds:RetrieveDocumentSetResponse>")
    outcome = "accepted" if not problems else problems[0].code
    return Reply(body="".join(lines).encode(), outcome=outcome, parts=tuple(parts), package=True)


def spoiled(reply: Reply, fault: Fault) -> Reply:
    """The answer of work that was done, made wrong as asked."""
    if fault.name == "missing_part":
        return replace(reply, parts=())
    if fault.name == "wrong_hash":
        return replace(reply, parts=tuple(replace(p, content=p.content + b" ") for p in reply.parts))
    problem = RegistryProblem(code="XDSRegistryError", context="panne demandée")
    if fault.name == "success_with_error":
        return replace(reply, body=registry_response("Success", [problem]))
    if fault.name == "partial_success":
        return replace(reply, body=registry_response("PartialSuccess", [problem]))
    if fault.name == "unknown_status":
        return replace(reply, body=registry_response("Perhaps", []))
    return reply
