"""Read what the DMP answers: registry responses, query answers, retrieved documents, the status of a patient's DMP.

Strict about meaning, tolerant about form (dmp.md 9): a success that carries errors is not one, an unknown status is not
one, missing ``highestSeverity`` or ``location`` is nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from lxml import etree

from adapters.dmp.messages import HL7, XDS
from adapters.dmp.mtom import XOP, MtomError, Package
from adapters.dmp.outcomes import Kind, Layer, Outcome, accepted, outcome
from mappings.xds import RegistryObjects
from mappings.xds.ebrim import QUERY, RS
from mappings.xds.read import read_objects

__all__ = [
    "PatientStatus",
    "Retrieved",
    "read_authorization",
    "read_patient_status",
    "read_query",
    "read_registry_response",
    "read_retrieved",
]

_STATUS: Final = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:"
_IHE_STATUS: Final = "urn:ihe:iti:2007:ResponseStatusType:"
_RS: Final = f"{{{RS}}}"
_H: Final = f"{{{HL7}}}"
_X: Final = f"{{{XDS}}}"

#: Which error decides when there are several: the one that most limits what may be done next.
_GRAVITY: Final = (
    Kind.REFUSED,
    Kind.OPERATOR,
    Kind.ALREADY_THERE,
    Kind.ASK_REGISTRY,
    Kind.RETRY,
)


def read_registry_response(node: etree._Element, *, http_status: int | None = None) -> Outcome:
    """Read a ``rs:RegistryResponse``, or what contains its status and errors."""
    status = node.get("status", "")
    name = status.rpartition(":")[2]
    errors: list[Outcome] = []
    warnings: list[str] = []
    for error in node.iter(_RS + "RegistryError"):
        code = error.get("errorCode", "").rpartition(":")[2] or "unknown"
        text = error.get("codeContext", "") or (error.text or "").strip()
        if error.get("severity", "").endswith("Warning"):
            warnings.append(f"{code}: {text}")
        else:
            errors.append(
                outcome(Layer.REGISTRY, code, text=text, location=error.get("location", ""), http_status=http_status)
            )
    if not status.startswith((_STATUS, _IHE_STATUS)) or name not in ("Success", "Failure", "PartialSuccess"):
        return outcome(Layer.MESSAGE, "status", original_code=name[:60], http_status=http_status)
    if name == "Success":
        if errors:
            return _with(outcome(Layer.MESSAGE, "contradiction", http_status=http_status), errors[0])
        return accepted(original_code=name, http_status=http_status, warnings=tuple(warnings))
    if name == "PartialSuccess":
        base = outcome(Layer.MESSAGE, "partial", original_code=name, http_status=http_status)
        return _with(base, errors[0]) if errors else base
    if not errors:
        return outcome(Layer.MESSAGE, "no_error", original_code=name, http_status=http_status)
    return min(errors, key=lambda e: _GRAVITY.index(e.kind))


def _with(base: Outcome, error: Outcome) -> Outcome:
    return Outcome(
        kind=base.kind,
        code=base.code,
        cause=base.cause,
        fix=base.fix,
        original_code=error.original_code,
        original_text=error.original_text,
        location=error.location,
        http_status=base.http_status,
    )


def read_query(node: etree._Element, *, http_status: int | None = None) -> tuple[Outcome, RegistryObjects]:
    """Read an ITI-18 answer: what became of it, and the objects or references found."""
    if node.tag != f"{{{QUERY}}}AdhocQueryResponse":
        return outcome(Layer.MESSAGE, "type", http_status=http_status), RegistryObjects()
    return read_registry_response(node, http_status=http_status), read_objects(node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """A document that was retrieved."""

    repository_unique_id: str
    document_unique_id: str
    mime_type: str
    content: bytes = field(repr=False)


def read_retrieved(
    node: etree._Element, package: Package, *, http_status: int | None = None
) -> tuple[Outcome, tuple[Retrieved, ...]]:
    """Read an ITI-43 answer: what became of it, and the documents. Raises MtomError for a missing part."""
    response = node.find(_RS + "RegistryResponse")
    if node.tag != _X + "RetrieveDocumentSetResponse" or response is None:
        return outcome(Layer.MESSAGE, "type", http_status=http_status), ()
    documents = tuple(
        Retrieved(
            repository_unique_id=(d.findtext(_X + "RepositoryUniqueId") or "").strip(),
            document_unique_id=(d.findtext(_X + "DocumentUniqueId") or "").strip(),
            mime_type=(d.findtext(_X + "mimeType") or "").strip(),
            content=document_content(d.find(_X + "Document"), package),
        )
        for d in node.iterfind(_X + "DocumentResponse")
    )
    return read_registry_response(response, http_status=http_status), documents


def document_content(node: etree._Element | None, package: Package) -> bytes:
    """Give the bytes of an ``xds:Document``: the part it includes, or its base64 text. Raises MtomError."""
    if node is None:
        raise MtomError("MTOM-DOCUMENT-001", "no Document")
    include = node.find(f"{{{XOP}}}Include")
    if include is not None:
        return package.content(include.get("href", ""))
    try:
        return base64.b64decode("".join((node.text or "").split()), validate=True)
    except binascii.Error:
        raise MtomError("MTOM-DOCUMENT-002", "bad base64") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientStatus:
    """What TD0.2 says of a patient's DMP; nothing of the identity it repeats is kept (RG_0320)."""

    dmp: Literal["none", "active", "closed", "unknown"]
    #: of the calling professional: VALIDE, EXPIRE, INTERDIT, NON_EXISTE, or empty
    authorization: str = ""
    treating_doctor: bool = False  #: the caller is known as such
    web_account: bool | None = None
    mon_espace_sante: bool | None = None  #: attached to Mon espace santé
    closing_reason: str = ""  #: code of the reason

    @property
    def may_feed(self) -> bool:
        """Feeding needs an active DMP; opposition is known locally."""
        return self.dmp == "active"

    @property
    def may_consult(self) -> bool:
        """Consulting needs an authorisation too."""
        return self.dmp == "active" and self.authorization == "VALIDE"


def _boolean(value: str) -> bool | None:
    return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())


def _value(node: etree._Element | None) -> str:
    if node is None:
        return ""
    return node.get("code") or node.get("value") or (node.text or "").strip()


def read_patient_status(
    node: etree._Element, *, http_status: int | None = None
) -> tuple[Outcome, PatientStatus | None]:
    """Read a TD0.2 answer (HL7 v3 PRPA_IN201308UV02)."""
    if node.tag != _H + "PRPA_IN201308UV02":
        return outcome(Layer.MESSAGE, "type", http_status=http_status), None
    acknowledgement = node.find(_H + "acknowledgement")
    code = "" if acknowledgement is None else _ack_code(acknowledgement)
    detail = None if acknowledgement is None else acknowledgement.find(_H + "acknowledgementDetail")
    detail_code = "" if detail is None else _value(detail.find(_H + "code"))
    text = "" if detail is None else " ".join((detail.findtext(_H + "text") or "").split())
    query = node.find(f".//{_H}queryAck/{_H}queryResponseCode")
    found = "" if query is None else query.get("code", "")
    if detail_code == "DMPClosed":
        return accepted(original_code=detail_code, text=text, http_status=http_status), _status(node, "closed")
    if found == "NF":
        return accepted(original_code=found, text=text, http_status=http_status), PatientStatus(dmp="none")
    if code not in ("AA", "CA"):
        if not code:
            return outcome(Layer.MESSAGE, "status", http_status=http_status), None
        layer_code = detail_code or code
        return outcome(Layer.HL7, layer_code, text=text, http_status=http_status), None
    patient = node.find(f".//{_H}subject1/{_H}patient")
    status = "" if patient is None else _value(patient.find(_H + "statusCode"))
    dmp: Literal["none", "active", "closed", "unknown"] = "unknown"
    if patient is None:
        dmp = "none" if found != "OK" else "unknown"
    elif status == "active":
        dmp = "active"
    elif status in ("terminated", "nullified", "suspended", "cancelled"):
        dmp = "closed"
    return accepted(original_code=code, text=text, http_status=http_status), _status(node, dmp)


def _ack_code(acknowledgement: etree._Element) -> str:
    direct = acknowledgement.get("typeCode")
    return direct if direct else _value(acknowledgement.find(_H + "typeCode"))


def _status(node: etree._Element, dmp: Literal["none", "active", "closed", "unknown"]) -> PatientStatus:
    lines: dict[str, str] = {}
    for line in node.iter(_H + "attentionLine"):
        key = line.find(_H + "keyWordText")
        lines[_value(key)] = _value(line.find(_H + "value"))
    observations: dict[str, str] = {}
    for observation in node.iter(_H + "administrativeObservation"):
        observations[_value(observation.find(_H + "code"))] = _value(observation.find(_H + "value"))
    return PatientStatus(
        dmp=dmp,
        authorization=lines.get("AUTORISATION", ""),
        treating_doctor=_boolean(lines.get("STATUT_MT", "")) is True,
        web_account=_boolean(observations.get("COMPTE_INTERNET_OUVERT", "")),
        mon_espace_sante=_boolean(observations.get("RATTACHEMENT_ENS", "")),
        closing_reason=observations.get("MOTIF_FERMETURE", ""),
    )


def read_authorization(node: etree._Element, *, http_status: int | None = None) -> Outcome:
    """Read a TD0.3 answer: ``output/status`` is ``DMPOk`` or an error."""
    status = next(_texts(node, "status"), "")
    context = next(_texts(node, "context"), "")
    if status == "DMPOk":
        return accepted(original_code=status, text=context, http_status=http_status)
    if not status:
        return outcome(Layer.MESSAGE, "status", http_status=http_status)
    return outcome(Layer.DMP, status, text=context, http_status=http_status)


def _texts(node: etree._Element, name: str) -> Iterator[str]:
    for child in node.iter(etree.Element):
        if etree.QName(child).localname == name:
            yield "".join(str(t) for t in child.itertext()).strip()
