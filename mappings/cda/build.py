"""The bricks every CDA writer uses: elements, HL7 data types, identifiers derived from the document.

A writer receives a :class:`Builder`, which knows the document being written, and adds to an element
(:mod:`mappings.cda.tree`) with the functions below; each returns the element it made. Tags are given without namespace
and are of ``urn:hl7-org:v3``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from hashlib import sha1
from uuid import UUID, uuid5

from mappings.cda.errors import Unwritable
from mappings.cda.tree import HL7, PHARM, SDTC, XSI, Element, Leaves, sub_element
from mappings.document.people import Identifier
from mappings.document.values import Code, Concept, Moment, Period, Quantity, QuantityRange, Ratio
from mappings.loss import LossLog

__all__ = [
    "HL7",
    "PHARM",
    "SDTC",
    "V3",
    "XSI",
    "XSI_TYPE",
    "Builder",
    "code",
    "concept",
    "derived_id",
    "hl7",
    "ii",
    "ivl_quantity",
    "ivl_ts",
    "null",
    "number",
    "original_text",
    "pq",
    "printable",
    "ratio",
    "reference_text",
    "root_element",
    "section",
    "status",
    "sub",
    "templates",
    "text_element",
    "ts",
    "uid",
]

#: Prefixes of Clark names.
V3 = f"{{{HL7}}}"
XSI_TYPE = f"{{{XSI}}}type"

#: Namespace of the identifiers derived from a document: RFC 4122 name-based UUID of the URL ``urn:passerelle:cda``.
_DERIVED = UUID("3ba650ff-b5ae-54a2-914b-feeadc23c764")


def root_element(tag: str) -> Element:
    """A root element."""
    return Element(V3 + tag)


def sub(parent: Element, tag: str, **attributes: str) -> Element:
    """Add an element of the CDA namespace."""
    return sub_element(parent, V3 + tag, attributes)


def text_element(parent: Element, tag: str, text: str, **attributes: str) -> Element:
    """Add an element that holds a text."""
    element = sub_element(parent, V3 + tag, attributes)
    element.text = text
    return element


def null(parent: Element, tag: str, flavor: str = "UNK", *, xsi_type: str | None = None) -> Element:
    """Add an element that says why it has no value (nullFlavor)."""
    element = sub_element(parent, V3 + tag, {"nullFlavor": flavor})
    if xsi_type is not None:
        element.set(XSI_TYPE, xsi_type)
    return element


def templates(parent: Element, oids: Iterable[str]) -> None:
    """Add a templateId for each OID, in order."""
    parent.held.append(_templates(tuple(oids)))


@lru_cache(maxsize=1024)
def _templates(oids: tuple[str, ...]) -> Leaves:
    # Half the elements of a summary are these, in rows that are always the same.
    return Leaves([(V3 + "templateId", {"root": oid}) for oid in oids])


# --- Identifiers ----------------------------------------------------------------------------------


def derived_id(document_id: Identifier, place: str) -> UUID:
    """The identifier given to a part that has none: the same for the same document and the same place.

    ``place`` is the JSON pointer of the part in the document, with a suffix when one part makes several entries.
    """
    return uuid5(_DERIVED, f"{document_id.root}^{document_id.extension or ''}#{place}")


def ii(parent: Element, identifier: Identifier, tag: str = "id") -> Element:
    """Add an instance identifier (II)."""
    attributes = {"root": identifier.root}
    if identifier.extension is not None:
        attributes["extension"] = identifier.extension
    return sub_element(parent, V3 + tag, attributes)


@dataclass(slots=True)
class Builder:
    """What the writers of one document share."""

    document_id: Identifier
    root: Element  #: ClinicalDocument
    created_at: Moment  #: when the document was made
    pdf: bytes | None = None  #: printed copy of the document
    log: LossLog = field(default_factory=LossLog)
    faults: list[Unwritable] = field(default_factory=list)  #: what the body holds that a CDA cannot say
    _anchors: dict[str, int] = field(default_factory=dict)
    _prefix: bytes = b""  #: what the derived identifiers of the document are made from, before the place

    def anchor(self, stem: str) -> str:
        """A fresh xs:ID for a piece of narrative: ``med-1``, ``med-2``... unique in the document (CDA: xs:ID)."""
        count = self._anchors.get(stem, 0) + 1
        self._anchors[stem] = count
        return f"{stem}-{count}"

    def body(self) -> Element:
        """Add the structuredBody, where the sections go."""
        return sub(sub(self.root, "component"), "structuredBody")

    def uid(self, given: UUID | None, place: str) -> str:
        """The UUID of a part in upper case (CI-SIS II), derived from the document and the place when it has none."""
        if given is not None:
            return str(given).upper()
        # The text of derived_id, three times faster: a document has sixty of them.
        if not self._prefix:
            self._prefix = _DERIVED.bytes + f"{self.document_id.root}^{self.document_id.extension or ''}#".encode()
        digest = bytearray(sha1(self._prefix + place.encode(), usedforsecurity=False).digest()[:16])
        digest[6] = digest[6] & 0x0F | 0x50
        digest[8] = digest[8] & 0x3F | 0x80
        text = digest.hex().upper()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def uid(parent: Element, builder: Builder, given: UUID | None, place: str) -> Element:
    """Add the id of an entry or a section."""
    return sub_element(parent, V3 + "id", {"root": builder.uid(given, place)})


# --- Times ----------------------------------------------------------------------------------------


def hl7(moment: Moment) -> str:
    """Write a moment as an HL7 TS: ``2026-11-20T10:00:00+01:00`` becomes ``20261120100000+0100``."""
    if len(moment) <= 10:
        return moment.replace("-", "")
    day, time = moment[:10], moment[11:]
    if time[-1] == "Z":
        return f"{day.replace('-', '')}{time[:-1].replace(':', '')}+0000"
    return f"{day.replace('-', '')}{time[:-6].replace(':', '')}{time[-6:].replace(':', '')}"


def ts(parent: Element, tag: str, moment: Moment | None, *, unknown: str | None = "UNK") -> Element | None:
    """Add a point in time; when it is not known, a nullFlavor, or nothing if ``unknown`` is None."""
    if moment is not None:
        return sub_element(parent, V3 + tag, {"value": hl7(moment)})
    return sub_element(parent, V3 + tag, {"nullFlavor": unknown}) if unknown else None


def ivl_ts(
    parent: Element,
    tag: str,
    period: Period | None,
    *,
    xsi_type: bool = False,
    low: str | None = None,
    high: str | None = None,
    unknown: str | None = "UNK",
) -> Element | None:
    """Add an interval of time.

    ``low`` and ``high`` are the nullFlavors of an end that is not known (None leaves the end out); ``unknown`` that of
    the whole interval when neither end would be written (None leaves the interval out).
    """
    start = period.start if period else None
    end = period.end if period else None
    if start is None and end is None and low is None and high is None:
        if unknown is None:
            return None
        element = sub_element(parent, V3 + tag, {"nullFlavor": unknown})
    else:
        element = sub_element(parent, V3 + tag)
        ts(element, "low", start, unknown=low)
        ts(element, "high", end, unknown=high)
    if xsi_type:
        element.set(XSI_TYPE, "IVL_TS")
    return element


# --- Codes ----------------------------------------------------------------------------------------


def code(parent: Element, value: Code, tag: str = "code", *, xsi_type: str | None = None) -> Element:
    """Add a coded value (CD, CE)."""
    attributes = {"code": value.code, "codeSystem": value.system}
    if value.display is not None:
        attributes["displayName"] = value.display
    if value.system_name is not None:
        attributes["codeSystemName"] = value.system_name
    element = sub_element(parent, V3 + tag, attributes)
    if xsi_type is not None:
        element.set(XSI_TYPE, xsi_type)
    return element


def original_text(parent: Element, reference: str) -> None:
    """Add the originalText of a code: a reference (``#med-1``) to the narrative."""
    sub_element(sub_element(parent, V3 + "originalText"), V3 + "reference", {"value": reference})


def concept(
    parent: Element,
    value: Concept,
    reference: str | None = None,
    tag: str = "code",
    *,
    xsi_type: str | None = None,
    uncoded: str | None = None,
) -> Element:
    """Add a concept: its code, the narrative it comes from, its translations (in the order of the CDA schema).

    ``uncoded`` is the nullFlavor written when there is no main code; None leaves the attributes out.
    """
    if value.code is not None:
        element = code(parent, value.code, tag, xsi_type=xsi_type)
    else:
        element = sub_element(parent, V3 + tag, {"nullFlavor": uncoded} if uncoded else {})
        if xsi_type is not None:
            element.set(XSI_TYPE, xsi_type)
    if reference is not None:
        original_text(element, reference)
    for translation in value.translations:
        code(element, translation, "translation")
    return element


# --- Quantities -----------------------------------------------------------------------------------


def number(value: Decimal) -> str:
    """Write a decimal without exponent: XML schema's decimal, and what people read."""
    return format(value, "f")


def pq(
    parent: Element,
    tag: str,
    quantity: Quantity,
    *,
    xsi_type: str | None = None,
    reference: str | None = None,
    namespace: str = V3,
) -> Element:
    """Add a physical quantity (PQ).

    The words of the unit are written when they are known: by ``reference`` to the narrative, which then reads
    "2 boîtes", else in place.
    """
    attributes = {"value": format(quantity.value, "f")}
    if quantity.unit != "1":
        attributes["unit"] = quantity.unit
    element = sub_element(parent, namespace + tag, attributes)
    if xsi_type is not None:
        element.set(XSI_TYPE, xsi_type)
    if quantity.display is not None:
        words = sub_element(sub_element(element, namespace + "translation"), namespace + "originalText")
        if reference is not None:
            sub_element(words, V3 + "reference", {"value": reference})
        else:
            words.text = quantity.display
    return element


def ivl_quantity(
    parent: Element, tag: str, value: QuantityRange, references: tuple[str | None, str | None] = (None, None)
) -> Element:
    """Add an interval of quantities: always ``low`` and ``high``, the same twice for a fixed amount (CI-SIS 4.2)."""
    element = sub_element(parent, V3 + tag)
    pq(element, "low", value.low, reference=references[0])
    pq(element, "high", value.high, reference=references[1])
    return element


def ratio(parent: Element, tag: str, value: Ratio, *, xsi_type: str | None = None, namespace: str = V3) -> Element:
    """Add an amount for an amount (RTO); ``xsi_type`` types both terms where the schema leaves them abstract."""
    element = sub_element(parent, namespace + tag)
    pq(element, "numerator", value.numerator, xsi_type=xsi_type)
    pq(element, "denominator", value.denominator, xsi_type=xsi_type)
    return element


# --- Small parts of an entry ----------------------------------------------------------------------


def reference_text(parent: Element, reference: str) -> None:
    """Add the text of an entry: a reference (``#med-1``) to the narrative of its section."""
    sub_element(sub_element(parent, V3 + "text"), V3 + "reference", {"value": reference})


def status(parent: Element, value: str = "completed") -> None:
    """Add the statusCode."""
    sub_element(parent, V3 + "statusCode", {"code": value})


def section(parent: Element, builder: Builder, oids: Iterable[str], value: Code, title: str, place: str) -> Element:
    """Add ``component/section`` with its templates, id (derived from ``place``), code and title.

    ``parent`` is the structuredBody, or the section it belongs to. The narrative comes next (:class:`Narrative`), then
    the entries.
    """
    element = sub_element(sub_element(parent, V3 + "component"), V3 + "section")
    templates(element, oids)
    uid(element, builder, None, place)
    code(element, value)
    sub_element(element, V3 + "title").text = title
    return element


_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> bool:
    """True when XML 1.0 can hold the text (no control character)."""
    return _UNPRINTABLE.search(text) is None
