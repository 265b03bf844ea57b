"""TD0.4: the records on which the caller is authorised, since a date.

Public sources give the action, the two parameters and their values (dmp.md 1.1), not the messages themselves: names and
the form of the date are a setting, :class:`PatientListForm`, and the answer is read by what it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal
from xml.sax.saxutils import escape

from lxml import etree

from adapters.dmp.outcomes import Layer, Outcome, accepted, outcome
from mappings.xds import PatientId
from mappings.xds.cx import parse_cx
from mappings.xds.times import dtm
from mappings.xds.vocabulary import INS_AUTHORITIES

__all__ = [
    "PATIENTS",
    "Listed",
    "ListedBy",
    "PatientListAnswer",
    "PatientListForm",
    "patient_list_request",
    "read_patient_list",
]

PATIENTS: Final = "urn:si-dmp-patients"


class ListedBy(StrEnum):
    """Which date counts: that of the last document, or that of the authorisation."""

    LAST_DOCUMENT = "LASTDOC"
    LAST_AUTHORIZATION = "LASTAUTORIZATION"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientListForm:
    """How an environment spells TD0.4, as far as public sources leave it open."""

    namespace: str = PATIENTS
    date: Literal["date", "dateTime", "dtm"] = "dateTime"  #: XML Schema's forms, or HL7's ``YYYYMMDDhhmmss``


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A record in the list. What else the answer says of the patient is not kept."""

    patient: PatientId = field(repr=False)
    last_document: str = field(default="", repr=False)  #: as the DMP writes it
    last_authorization: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientListAnswer:
    """The answer of TD0.4."""

    outcome: Outcome
    patients: tuple[Listed, ...] = field(default=(), repr=False)


def patient_list_request(since: datetime, by: ListedBy, form: PatientListForm) -> bytes:
    """Write the TD0.4 request. ``since`` has a zone."""
    if since.tzinfo is None:
        raise ValueError("an instant without time zone")
    date = {
        "date": since.date().isoformat(),
        "dateTime": since.isoformat(timespec="seconds"),
        "dtm": dtm(since),
    }[form.date]
    return (
        f'<p:patientList xmlns:p="{escape(form.namespace)}"><p:startDate>{date}</p:startDate>'
        f"<p:dateType>{by}</p:dateType></p:patientList>"
    ).encode()


def read_patient_list(node: etree._Element, *, http_status: int | None = None) -> PatientListAnswer:
    """Read a TD0.4 answer: ``status`` and ``context`` as in TD0.3, and each patient's INS wherever it stands.

    An INS is an ``id`` with root and extension (HL7 v3) or a text in CX form (HL7 v2), of an INS authority; the element
    that holds it, or holds its parent, says the dates.
    """
    texts = {etree.QName(n).localname: "".join(map(str, n.itertext())).strip() for n in node.iter(etree.Element)}
    status, context = texts.get("status", ""), texts.get("context", "")
    if etree.QName(node).localname != "patientListResponse":
        return PatientListAnswer(outcome=outcome(Layer.MESSAGE, "type", http_status=http_status))
    if not status:
        return PatientListAnswer(outcome=outcome(Layer.MESSAGE, "status", http_status=http_status))
    if status != "DMPOk":
        return PatientListAnswer(outcome=outcome(Layer.DMP, status, text=context, http_status=http_status))
    found = {listed.patient.value: listed for listed in _listed(node)}
    said = accepted(original_code=status, text=context, http_status=http_status)
    return PatientListAnswer(outcome=said, patients=tuple(found.values()))


def _listed(node: etree._Element) -> Iterator[Listed]:
    for element in node.iter(etree.Element):
        patient = _ins(element)
        if patient is None:
            continue
        owner = element.getparent()
        dates = {
            etree.QName(n).localname.lower(): (n.text or n.get("value") or "").strip()
            for n in (owner.iter(etree.Element) if owner is not None else ())
            if "date" in etree.QName(n).localname.lower()
        }
        yield Listed(
            patient=patient,
            last_document=next((v for k, v in dates.items() if "doc" in k), ""),
            last_authorization=next((v for k, v in dates.items() if "aut" in k), ""),
        )


def _ins(element: etree._Element) -> PatientId | None:
    root, extension = element.get("root", ""), element.get("extension", "")
    if root in INS_AUTHORITIES and extension:
        return PatientId(value=extension, authority=root)
    text = (element.text or "").strip()
    if "^^^&" in text:
        patient = parse_cx(text)
        if patient is not None and patient.authority in INS_AUTHORITIES:
            return patient
    return None
