"""Documents as PDF/A-1b, whatever their kind and form; and the name under which a PDF leaves by mail."""

from __future__ import annotations

from datetime import UTC, datetime

from lxml import etree

from mappings.document import AnyDocument
from mappings.document.prescription import Prescription
from mappings.document.report import Report
from mappings.document.summary import MedicalSummary
from mappings.document.values import moment_key
from mappings.rendering.codes import PayloadFormat, Symbology
from mappings.rendering.pdfa import PdfMeta

__all__ = ["cda_pdf", "embedded_pdf", "pdf_name", "pdf_name_of_cda", "printed_pdf", "render_pdf"]


def render_pdf(
    document: AnyDocument,
    *,
    created: datetime | None = None,
    payload_format: PayloadFormat = PayloadFormat.PROJECT_1,
    symbology: Symbology = Symbology.DATA_MATRIX,
) -> bytes:
    """Make the PDF/A-1b of a document; a report that is a PDF already is given as it is.

    ``created`` dates the file (the document's date when absent): the same arguments give the same bytes.
    ``payload_format`` and ``symbology`` choose the 2D code of a prescription.
    Raises :class:`mappings.rendering.convert.Unconvertible` for a report whose file cannot be read.
    """
    if isinstance(document, Prescription):
        from mappings.rendering.prescription import prescription_pdf

        return prescription_pdf(document, created=created, payload_format=payload_format, symbology=symbology)
    from mappings.rendering.parts import meta_of

    if isinstance(document, Report) and document.media_type == "application/pdf":
        return document.content
    if isinstance(document, Report) and document.media_type != "text/plain":
        from mappings.rendering.convert import to_pdfa

        return to_pdfa(document.content, document.media_type, meta_of(document, created))
    from mappings.rendering.view_document import view_of_document
    from mappings.rendering.view_pdf import view_pdf

    return view_pdf(view_of_document(document), meta_of(document, created))


def printed_pdf(
    document: AnyDocument,
    *,
    created: datetime | None = None,
    payload_format: PayloadFormat = PayloadFormat.PROJECT_1,
    symbology: Symbology = Symbology.DATA_MATRIX,
) -> bytes:
    """The copy that goes with a document: the one its author gave, else the one :func:`render_pdf` makes."""
    if isinstance(document, (Prescription, MedicalSummary)) and document.pdf:
        return document.pdf
    return render_pdf(document, created=created, payload_format=payload_format, symbology=symbology)


# -- from a CDA -----------------------------------------------------------------------------------------------------


def _level_1(root: etree._Element) -> tuple[str, bytes] | None:
    from mappings.rendering.cda_parts import NS
    from mappings.rendering.view_cda import embedded_file

    text = root.find("h:component/h:nonXMLBody/h:text", NS)
    return embedded_file(text) if text is not None else None


def embedded_pdf(data: bytes) -> bytes | None:
    """The PDF that a level-1 CDA carries, byte for byte (ECO.2.1.5); None for any other CDA.

    Raises :class:`mappings.rendering.view_cda.NotCda`, and what :func:`security.xml.parse` raises.
    """
    from mappings.rendering.view_cda import root_of

    found = _level_1(root_of(data))
    return found[1] if found and found[0] == "application/pdf" and found[1].startswith(b"%PDF-") else None


def cda_pdf(data: bytes, *, created: datetime | None = None) -> bytes:
    """The PDF that goes with a CDA by mail (ECO.2.1.5).

    Level 1: the PDF it carries, byte for byte (a text, RTF or image is made into one). Level 3: header data, then the
    narrative as written. ``created`` dates the file, the document's ``effectiveTime`` when absent.
    Raises :class:`mappings.rendering.view_cda.NotCda`, :class:`mappings.rendering.convert.Unconvertible`, and what
    :func:`security.xml.parse` raises.
    """
    from mappings.rendering.view_cda import root_of, view_of_cda

    root = root_of(data)
    found = _level_1(root)
    if found and found[0] == "application/pdf" and found[1].startswith(b"%PDF-"):
        return found[1]
    view = view_of_cda(root)
    meta = PdfMeta(
        title=view.title,
        created=created or _dated(view.date),
        author=view.author,
        subject=view.kind,
        language=view.language,
    )
    from mappings.rendering.convert import CONVERTED, to_pdfa

    if found and found[0] in CONVERTED and found[0] != "text/plain":
        return to_pdfa(found[1], found[0], meta)
    from mappings.rendering.view_pdf import view_pdf

    return view_pdf(view, meta)


def _dated(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return moment_key(text)
        except ValueError:
            # Undated or badly dated: a fixed date, so that the bytes stay the same.
            return datetime(1970, 1, 1, tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# -- the name -------------------------------------------------------------------------------------------------------

# No file system takes these in a name; the underscore parts the fields.
_FORBIDDEN = str.maketrans(dict.fromkeys('_/\\:*?"<>|\u2044\u2215', " "))
_LABEL = 40
_PART = 60


def _part(text: str, limit: int = _PART) -> str:
    kept = "".join(c for c in text.translate(_FORBIDDEN) if c.isprintable() or c == " ")
    return " ".join(kept.split())[:limit].strip(" .")


def pdf_name(*, date: str, type_label: str, birth_name: str, given_name: str, folder: str | None = None) -> str:
    """``<date>_<type>_<NOM>_<prenom>[_<dossier>].pdf`` (ECO.2.1.6): type cut to 40 characters, name in capitals.

    ``date`` is AAAAMMJJ or ISO 8601. The name holds traits: for mail only, never for a log or a path kept here.
    """
    day = "".join(c for c in date[:10] if c.isdigit())[:8]
    parts = [day, _part(type_label, _LABEL), _part(birth_name).upper(), _part(given_name)]
    if folder and _part(folder):
        parts.append(_part(folder))
    return "_".join(part or "inconnu" for part in parts) + ".pdf"


def pdf_name_of_cda(data: bytes, *, folder: str | None = None) -> str:
    """The name of the PDF of a CDA, from its header: first service event's low, code, birth name, first given name.

    Raises :class:`mappings.rendering.view_cda.NotCda`, and what :func:`security.xml.parse` raises.
    """
    from mappings.rendering.cda_parts import NS
    from mappings.rendering.view_cda import root_of

    root = root_of(data)

    def attribute(path: str, name: str = "value") -> str:
        node = root.find(path, NS)
        return (node.get(name) or "") if node is not None else ""

    def named(part: str) -> str:
        nodes = root.findall(f"h:recordTarget/h:patientRole/h:patient/h:name/h:{part}", NS)
        nodes.sort(key=lambda node: node.get("qualifier") != "BR")
        return "".join(t for t in nodes[0].itertext() if isinstance(t, str)).strip() if nodes else ""

    date = attribute("h:documentationOf/h:serviceEvent/h:effectiveTime/h:low") or attribute("h:effectiveTime")
    label = attribute("h:code", "displayName") or attribute("h:code", "code")
    return pdf_name(
        date=date[:8], type_label=label, birth_name=named("family"), given_name=named("given"), folder=folder
    )
