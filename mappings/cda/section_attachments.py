"""Documents joined to a summary: FR-Document-attache (VSM 3.12, IPS-FR section 7), written and read."""

from __future__ import annotations

from collections.abc import Sequence

import pybase64
from lxml import etree

from mappings.cda.build import XSI_TYPE, Builder, code, null, status, sub, templates, uid
from mappings.cda.file_read import decode
from mappings.cda.narrative import Narrative
from mappings.cda.node import Reader, every, first
from mappings.cda.section_parts import open_section
from mappings.cda.section_plans import ATTACHED
from mappings.cda.sections_write import ATTACHED as ATTACHED_CODE
from mappings.cda.sections_write import ATTACHED_TYPE, SIMPLE, observation
from mappings.cda.tree import Element
from mappings.document.summary import AttachedDocument
from mappings.document.values import Code

__all__ = ["attached", "attachments", "media_of", "read_attached"]


ORGANIZER = ("1.2.250.1.213.1.1.3.18",)
TYPE = (*SIMPLE, "1.2.250.1.213.1.1.3.48.18")


def attachments(body: Element, builder: Builder, documents: Sequence[AttachedDocument], place: str) -> None:
    """Add the section of the joined documents, each shown by the narrative."""
    section, narrative = open_section(body, builder, ATTACHED, place)
    for index, document in enumerate(documents):
        _attachment(section, narrative, builder, document, f"{place}/{index}")


def _attachment(
    section: Element, narrative: Narrative, builder: Builder, document: AttachedDocument, place: str
) -> None:
    reference = narrative.paragraph(document.label, "joint")
    anchor = builder.anchor("fichier")
    narrative.media(anchor)
    organizer = sub(sub(section, "entry"), "organizer", classCode="CLUSTER", moodCode="EVN")
    templates(organizer, ORGANIZER)
    uid(organizer, builder, None, place)
    code(organizer, ATTACHED_CODE)
    status(organizer)
    kind = observation(
        sub(organizer, "component"),
        builder,
        TYPE,
        ATTACHED_TYPE,
        reference,
        place=f"{place}#type",
        unknown="NA",
    )
    if document.type is not None:
        code(kind, document.type, "value", xsi_type="CD")
    else:
        null(kind, "value", "UNK").set(XSI_TYPE, "CD")
    media = sub(sub(organizer, "component"), "observationMedia", classCode="OBS", moodCode="EVN", ID=anchor)
    value = sub(media, "value", mediaType=document.media_type, representation="B64")
    value.text = pybase64.b64encode_as_string(document.content)
    builder.log.carried(place, "FR-Document-attache")


# --- Reading --------------------------------------------------------------------------------------


def read_attached(reader: Reader, entry: etree._Element) -> list[AttachedDocument]:
    """The files of one entry of the section, with what they are."""
    kind = entry.find("{*}organizer/{*}component/{*}observation")
    what = reader.code(first(kind, "value")) if kind is not None else None
    words = reader.words(first(kind, "text")) if kind is not None else None
    return media_of(reader, entry, what, words)


def media_of(reader: Reader, entry: etree._Element, what: Code | None, title: str | None) -> list[AttachedDocument]:
    """Every file that an entry holds; one that cannot be read is a clinical loss."""
    out = []
    for media in entry.iterfind(".//{*}observationMedia"):
        made = attached(reader, media, what, title)
        if made is None:
            reader.lost(media, "observationMedia", clinical=True)
        else:
            out.append(made)
    return out


def attached(reader: Reader, media: etree._Element, what: Code | None, title: str | None) -> AttachedDocument | None:
    """A file shown by a narrative."""
    value = next(every(media, "value"), None)
    content = decode(value) if value is not None else None
    if value is None or not content:
        return None
    kind = (value.get("mediaType") or "application/octet-stream").partition(";")[0].strip().lower()
    short = title[:255] if title else None
    return reader.make(AttachedDocument, media, type=what, title=short, media_type=kind, content=content)
