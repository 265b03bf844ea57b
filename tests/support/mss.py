"""Fictitious documents and mails for the tests of the mail adapter."""

from __future__ import annotations

import base64
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from adapters.mss.addresses import Audience
from adapters.mss.documents import MailDocument
from adapters.mss.message import Draft, OutgoingMail, Sender, build_mail
from adapters.mss.package import Package, Producer, SetInfo, build_package
from mappings.xds.model import Author, Code, Organization, Person

#: A fictitious person of the test authority.
MATRICULE = "279035121518989"
AUTHORITY = "1.2.250.1.213.1.4.10"
SENDER = "cabinet@structure.formation.mssante.fr"
DOCTOR = "camille.leroy@medecin.formation.mssante.fr"
NURSE = "alix.moreau@hopital.formation.mssante.fr"
CITIZEN = f"{MATRICULE}@patient.mssante.fr"
WHEN = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
PDF = b"%PDF-1.4\n% a small page\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"

AUTHOR = Author(
    person=Person(id="801234534765", family="CAMPARINI", given="Marcel", authority="1.2.250.1.71.4.2.1"),
    institutions=(Organization(name="Cabinet fictif", id="1290099887", authority="1.2.250.1.71.4.2.2"),),
)
PRODUCER = Producer(
    institution="Cabinet médical fictif",
    institution_contact="tel:0298000000",
    product="Passerelle",
    product_version="0.1.0",
    vendor_contact="contact@editeur.example",
)


def cda(
    number: str = "1",
    *,
    ins: str | None = MATRICULE,
    family: str = "PAT-TROIS",
    given: str = "DOMINIQUE",
    code: str = "11502-2",
    label: str = "CR d'examens biologiques",
    pdf: bytes | None = PDF,
    replaces: str | None = None,
) -> bytes:
    """A small CDA header, with a PDF inside (level 1) or a narrative section (level 3) when ``pdf`` is None."""
    ids = f'<id root="{AUTHORITY}" extension="{ins}"/>' if ins else ""
    body = "<structuredBody><component><section><text>Texte.</text></section></component></structuredBody>"
    if pdf is not None:
        body = (
            '<nonXMLBody><text mediaType="application/pdf" representation="B64">'
            f"{base64.b64encode(pdf).decode()}</text></nonXMLBody>"
        )
    related = ""
    if replaces:
        parent = f'<parentDocument><id root="{replaces}"/></parentDocument>'
        related = f'<relatedDocument typeCode="RPLC">{parent}</relatedDocument>'
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3">
<realmCode code="FR"/><typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
<templateId root="1.3.6.1.4.1.19376.1.2.20"/>
<id root="1.2.250.1.999.7.{number}"/>
<code code="{code}" displayName="{label}" codeSystem="2.16.840.1.113883.6.1"/>
<title>Compte rendu {number}</title>
<effectiveTime value="20260401134745+0200"/>
<confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
<languageCode code="fr-FR"/>
<recordTarget><patientRole>{ids}<id root="1.2.250.1.999.8" extension="IPP-{family}"/>
<patient><name><family qualifier="BR">{family}</family>
<given>{given}</given><given qualifier="BR">{given}</given></name>
<administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/><birthTime value="19790328"/></patient>
</patientRole></recordTarget>
<author><time value="20260401134745+0200"/><assignedAuthor><id root="1.2.250.1.71.4.2.1" extension="801234534765"/>
<assignedPerson><name><given>Marcel</given><family>CAMPARINI</family></name></assignedPerson></assignedAuthor></author>
<documentationOf><serviceEvent><effectiveTime><low value="20260401003000+0200"/></effectiveTime>
</serviceEvent></documentationOf>
{related}<component>{body}</component>
</ClinicalDocument>
""".encode()


def set_info(unique_id: str = "1.2.250.1.999.9.1", **changes: Any) -> SetInfo:
    """The submission set of a test."""
    members: dict[str, Any] = {
        "unique_id": unique_id,
        "source_id": "1.2.250.1.999.9",
        "submission_time": WHEN,
        "author": AUTHOR,
        "content_type": Code(code="07", scheme="1.2.250.1.213.2.2", display="Consultation"),
    }
    return SetInfo(**(members | changes))


def package(*documents: bytes | MailDocument) -> Package:
    """An archive of the documents, or of one default document."""
    return build_package(documents or (cda(),), set_info(), PRODUCER)


def draft(made: Package | None = None, **changes: Any) -> Draft:
    """A mail to one doctor; members may be changed by name."""
    made = made or package()
    members: dict[str, Any] = {
        "sender": Sender(address=SENDER, label="Cabinet médical fictif"),
        "recipients": (DOCTOR,),
        "audience": Audience.PROFESSIONAL,
        "message_id": "<dlv.1@structure.formation.mssante.fr>",
        "envelope_id": "dlv_1",
        "date": WHEN,
        "product_reference": "NIL-0000",
        "documents": made.documents,
        "archive": made.data,
    }
    return Draft(**(members | changes))


def mail(*documents: bytes, **changes: Any) -> OutgoingMail:
    """A finished mail."""
    made = package(*documents)
    return build_mail(draft(made, **changes))


@contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """Measure the Python memory taken inside, at its highest, in bytes."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
