"""Sections that several kinds of document share: printed copy, 2D code, vital signs, pregnancy, comment."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pybase64

from mappings.cda import words
from mappings.cda.build import Builder, code, pq, reference_text, section, status, sub, templates, ts, uid
from mappings.cda.narrative import Narrative
from mappings.cda.tree import Element
from mappings.document.values import Code, Moment, Quantity

__all__ = ["LOINC", "PREGNANT", "code_image", "comment", "observation", "pdf_copy", "pregnancy", "vital_signs"]


LOINC = "2.16.840.1.113883.6.1"
SNOMED = "2.16.840.1.113883.6.96"

#: Simple Observation (IHE PCC) and FR-Simple-observation (CI-SIS).
SIMPLE = ("1.3.6.1.4.1.19376.1.5.3.1.4.13", "1.2.250.1.213.1.1.3.48")

#: Value of LOINC 11449-6, pregnancy status.
PREGNANT = {
    True: Code(code="77386006", system=SNOMED, display="grossesse en cours", system_name="SNOMED CT"),
    False: Code(code="60001007", system=SNOMED, display="non enceinte", system_name="SNOMED CT"),
}


def _loinc(value: str, display: str) -> Code:
    return Code(code=value, system=LOINC, display=display, system_name="LOINC")


PDF_SECTION = _loinc("55108-5", "Copie du document")
IMAGE_SECTION = _loinc("57723-9", "Numéro de code à barres unique")
COMMENT_SECTION = _loinc("55112-7", "Commentaire")
VITAL_SECTION = _loinc("8716-3", "Signes vitaux")
VITAL_GROUP = _loinc("85353-1", "Signes vitaux")
PREGNANCY_SECTION = _loinc("10162-6", "Historique des grossesses")
PREGNANCY_STATUS = _loinc("11449-6", "Statut de grossesse")
ATTACHED = _loinc("55107-7", "Document attaché")
ATTACHED_TYPE = _loinc("69764-9", "Type de document")


def observation(
    parent: Element,
    builder: Builder,
    oids: Sequence[str],
    value: Code,
    reference: str,
    *,
    place: str,
    given: UUID | None = None,
    when: Moment | None = None,
    unknown: str = "UNK",
) -> Element:
    """Add an observation up to its effectiveTime: templates, id, code, text, status, time. The value comes next."""
    element = sub(parent, "observation", classCode="OBS", moodCode="EVN")
    templates(element, oids)
    uid(element, builder, given, place)
    code(element, value)
    reference_text(element, reference)
    status(element)
    ts(element, "effectiveTime", when, unknown=unknown)
    return element


def _media(parent: Element, anchor: str, content: bytes, media_type: str, oids: Sequence[str] = ()) -> None:
    element = sub(parent, "observationMedia", classCode="OBS", moodCode="EVN", ID=anchor)
    templates(element, oids)
    value = sub(element, "value", mediaType=media_type, representation="B64")
    value.text = pybase64.b64encode_as_string(content)


def pdf_copy(body: Element, builder: Builder, pdf: bytes) -> None:
    """Add the printed copy of the document (section 1.2.250.1.213.1.1.2.243; its title is imposed)."""
    element = section(body, builder, ("1.2.250.1.213.1.1.2.243",), PDF_SECTION, "Copie du document", "/pdf#section")
    narrative = Narrative(builder, element)
    words_reference = narrative.paragraph("Copie du document", "copie")
    anchor = builder.anchor("pdf")
    narrative.media(anchor)
    organizer = sub(sub(element, "entry"), "organizer", classCode="CLUSTER", moodCode="EVN")
    templates(organizer, ("1.2.250.1.213.1.1.3.18",))
    uid(organizer, builder, None, "/pdf")
    code(organizer, ATTACHED)
    status(organizer)
    kind = observation(
        sub(organizer, "component"),
        builder,
        (*SIMPLE, "1.2.250.1.213.1.1.3.48.18"),
        ATTACHED_TYPE,
        words_reference,
        place="/pdf#type",
        unknown="NA",
    )
    code(kind, PDF_SECTION, "value", xsi_type="CD")
    _media(sub(organizer, "component"), anchor, pdf, "application/pdf")
    builder.log.carried("/pdf", "FR-Document-PDF-copie")


#: First bytes of the image formats that may stand in the section.
IMAGES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


def code_image(body: Element, builder: Builder, image: bytes) -> None:
    """Add the 2D code of a prescription (FR-Code-a-barres)."""
    element = section(
        body,
        builder,
        ("1.2.250.1.213.1.1.2.223",),
        IMAGE_SECTION,
        "Code 2D de la prescription",
        "/codeImage#section",
    )
    anchor = builder.anchor("code2d")
    Narrative(builder, element).media(anchor)
    media_type = next((kind for start, kind in IMAGES.items() if image.startswith(start)), "image/png")
    _media(
        sub(element, "entry"),
        anchor,
        image,
        media_type,
        ("2.16.840.1.113883.10.12.304", "1.2.250.1.213.1.1.3.103"),
    )
    builder.log.carried("/codeImage", "FR-Code-a-barres")


def comment(body: Element, builder: Builder, text: str) -> None:
    """Add the free comment (FR-Commentaire-non-code)."""
    element = section(
        body,
        builder,
        ("2.16.840.1.113883.10.12.201", "1.3.6.1.4.1.19376.1.4.1.2.16", "1.2.250.1.213.1.1.2.73"),
        COMMENT_SECTION,
        "Commentaire",
        "/comment#section",
    )
    Narrative(builder, element).paragraph(text, "commentaire")
    builder.log.carried("/comment", "FR-Commentaire-non-code")


def vital_signs(body: Element, builder: Builder, measures: Sequence[tuple[str, Code, Quantity]], when: Moment) -> None:
    """Add measures taken together: each with its place in the document, its code and its value."""
    element = section(
        body,
        builder,
        (
            "2.16.840.1.113883.10.20.1.16",
            "1.3.6.1.4.1.19376.1.5.3.1.3.25",
            "1.3.6.1.4.1.19376.1.5.3.1.1.5.3.2",
            "1.2.250.1.213.1.1.2.75",
        ),
        VITAL_SECTION,
        "Signes vitaux",
        "/vitalSigns#section",
    )
    table = Narrative(builder, element).table("Date", "Signe vital", "Valeur")
    organizer = sub(sub(element, "entry"), "organizer", classCode="CLUSTER", moodCode="EVN")
    templates(
        organizer,
        (
            "2.16.840.1.113883.10.20.1.32",
            "2.16.840.1.113883.10.20.1.35",
            "1.3.6.1.4.1.19376.1.5.3.1.4.13.1",
            "1.2.250.1.213.1.1.3.49",
        ),
    )
    uid(organizer, builder, None, "/vitalSigns")
    code(organizer, VITAL_GROUP)
    status(organizer)
    ts(organizer, "effectiveTime", when)
    for place, value, quantity in measures:
        row = table.row()
        row.cell(words.moment_text(when))
        row.cell(value.display or value.code)
        reference = row.cell(words.amount(quantity), "mesure")
        measure = observation(
            sub(organizer, "component", typeCode="COMP"),
            builder,
            (
                "2.16.840.1.113883.10.20.1.31",
                "1.3.6.1.4.1.19376.1.5.3.1.4.13",
                "1.3.6.1.4.1.19376.1.5.3.1.4.13.2",
                "1.2.250.1.213.1.1.3.50",
            ),
            value,
            reference,
            place=place,
            when=when,
        )
        pq(measure, "value", quantity, xsi_type="PQ", reference=reference)
        builder.log.carried(place, "FR-Signe-vital-observe")


def pregnancy(body: Element, builder: Builder, pregnant: bool, when: Moment) -> None:
    """Add whether the patient is pregnant (FR-Historique-des-grossesses)."""
    element = section(
        body,
        builder,
        ("1.3.6.1.4.1.19376.1.5.3.1.1.5.3.4", "1.2.250.1.213.1.1.2.77"),
        PREGNANCY_SECTION,
        "Historique des grossesses",
        "/pregnant#section",
    )
    row = Narrative(builder, element).table("Statut").row()
    reference = row.cell("Enceinte" if pregnant else "Non enceinte", "grossesse")
    fact = observation(
        sub(element, "entry"),
        builder,
        ("1.3.6.1.4.1.19376.1.5.3.1.4.13", "1.3.6.1.4.1.19376.1.5.3.1.4.13.5", "1.2.250.1.213.1.1.3.53"),
        PREGNANCY_STATUS,
        reference,
        place="/pregnant",
        when=when,
    )
    code(fact, PREGNANT[pregnant], "value", xsi_type="CE")
    builder.log.carried("/pregnant", "FR-Observation-sur-la-grossesse")
