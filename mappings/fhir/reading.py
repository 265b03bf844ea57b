"""Read a FHIR R4 document Bundle into a clinical document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from conformance.verdict import Finding, Text
from mappings.document import AnyDocument, Dispensation, MedicalSummary, OtherDocument, Prescription, Report
from mappings.document.header import Order
from mappings.document.people import Identifier
from mappings.document.values import Code
from mappings.fhir.dispensation_in import dispensed_line
from mappings.fhir.dispensation_out import PRESCRIPTION
from mappings.fhir.header_in import Header, read_header
from mappings.fhir.names import IDENTIFIERS, oid_of, system_name
from mappings.fhir.narrative_in import section_text
from mappings.fhir.node import Node
from mappings.fhir.observations_in import value_of
from mappings.fhir.other_in import read_other
from mappings.fhir.prescription_in import context_mark, device_line, group_number, medication_line
from mappings.fhir.prescription_out import PREGNANT
from mappings.fhir.report_in import attachment, is_report
from mappings.fhir.report_out import ATTACHED, COPY
from mappings.fhir.source import Source, contradictory, refuse
from mappings.fhir.summary_in import profile_of, read_summary
from mappings.fhir.summary_out import IPS_TYPE
from mappings.fhir.values_in import codings, first_code
from mappings.loss import LossReport

__all__ = ["FhirReading", "read"]

#: Composition types of each kind (LOINC, and the CI-SIS code of a VSM).
SUMMARY_TYPES: Final = frozenset({IPS_TYPE, "74207-2", "SYNTH"})
DISPENSATION: Final = "60593-1"
MAX_SECTION_DEPTH: Final = 12
_EPU: Final = IDENTIFIERS["prescription"]["system"]
_NO_SECTION = Text("Cette section n'a pas de place dans ce document.", "This section has no place in this document.")
_NO_ENTRY = Text(
    "Cette ressource n'est pas de celles que la section peut contenir.",
    "This resource is not one that the section may hold.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirReading:
    """A document read from a Bundle, what of it the hub does not hold, and what is amiss in it."""

    document: AnyDocument
    loss: LossReport
    findings: tuple[Finding, ...]


def read(bundle: Any) -> FhirReading:
    """Read a document Bundle given as plain values (from :func:`security.json.loads`).

    Accepts both forms of identifiers and of terminology addresses, ``urn:oid:``, ``urn:uuid:`` and relative references.
    Places in the loss report and the findings are JSON pointers. Raises :class:`UnreadableBundle` (``findings`` names
    every fault): not a document, no Composition, two patients, cyclic references, content that contradicts itself, or
    a part missing that could only be invented (Encounter, place of care, documented event).
    """
    source = Source(bundle)
    header = read_header(source)
    members = header.members
    made: dict[str, Any] = {}
    kind = ""
    with source.gather(lambda: header.composition.place):
        sections = _sections(source, header.composition)
        kind = _kind(header, sections)
        if kind == "other":
            # Sections are read anew as a tree: the flat view must not count as unread.
            composition = header.composition
            composition.children = [c for c in composition.children if not c.key.startswith("section/")]
            made = read_other(source, header)
        else:
            made = _READERS[kind](source, header, sections)
    members |= made
    members["kind"] = kind
    source.close()
    return FhirReading(
        document=_build(kind, members, header.composition.place),
        loss=source.log.report(),
        findings=tuple(source.findings),
    )


def _build(kind: str, members: dict[str, Any], place: str) -> Any:
    models: dict[str, Any] = {
        "report": Report,
        "prescription": Prescription,
        "dispensation": Dispensation,
        "medical_summary": MedicalSummary,
        "other": OtherDocument,
    }
    try:
        return models[kind](**{k: v for k, v in members.items() if v is not None})
    except ValidationError as exc:
        raise contradictory(exc, place) from None


def _sections(source: Source, composition: Node) -> list[tuple[str, Node]]:
    """Every section that holds something, with its code, sub-sections flattened in order."""
    out: list[tuple[str, Node]] = []
    stack = [(section, 1) for section in reversed(composition.nodes("section"))]
    while stack:
        section, depth = stack.pop()
        if depth > MAX_SECTION_DEPTH:
            raise refuse(
                "FHIR-READ-009",
                section.place,
                "Les sections sont imbriquées trop profondément.",
                "The sections are nested too deeply.",
                "Aplatissez les sections.",
                "Flatten the sections.",
                expected=f"<= {MAX_SECTION_DEPTH}",
            )
        section.use("title", "code", "text", "mode", "orderedBy")
        value = section.value.get("code")
        found = codings(value, f"{section.place}/code") if type(value) is dict else []
        symbol = next((c.get("code") for c in found if type(c) is dict and isinstance(c.get("code"), str)), "")
        children = section.nodes("section")
        if not children or section.value.get("entry"):
            out.append((str(symbol), section))
        stack.extend((child, depth + 1) for child in reversed(children))
    return out


def _kind(header: Header, sections: list[tuple[str, Node]]) -> str:
    kind: Code | None = header.members.get("type")
    symbol = kind.code if kind is not None else ""
    if is_report(sections):
        return "report"
    if symbol == "57833-6":
        return "prescription"
    if symbol == DISPENSATION:
        return "dispensation"
    if symbol in SUMMARY_TYPES:
        return "medical_summary"
    if any(code in (ATTACHED, COPY) for code, _ in sections) and len(sections) == 1:
        return "report"
    return "other"


def _lost_section(source: Source, symbol: str, section: Node) -> None:
    source.log.lost(section.place, f"section {symbol}", _NO_SECTION, clinical=True)
    for _, _, node in source.resolve_all(section, "entry"):
        if node is not None:
            node.use(*node.value)
    section.use(*section.value)


def _entries(source: Source, section: Node, *kinds: str) -> list[Node]:
    """The entries of a section of the kinds it may hold; others are lost aloud."""
    section.use("emptyReason")
    out = []
    for _, _, node in source.resolve_all(section, "entry"):
        if node is None:
            continue
        if node.kind in kinds:
            out.append(node)
        else:
            node.use(*node.value)
            source.log.lost(node.place, node.kind, _NO_ENTRY, clinical=True)
    return out


def _report(source: Source, header: Header, sections: list[tuple[str, Node]]) -> dict[str, Any]:
    section = sections[0][1]
    nodes = _entries(source, section, "DocumentReference", "Media")
    if not nodes:
        raise refuse(
            "FHIR-READ-041",
            section.place,
            "Le document joint manque.",
            "The attached file is missing.",
            "Ajoutez un DocumentReference avec le fichier.",
            "Add a DocumentReference with the file.",
        )
    media, content = attachment(source, nodes[0])
    source.log.carried(nodes[0].place, nodes[0].kind)
    return {"media_type": media, "content": content}


def _copy(source: Source, section: Node) -> bytes | None:
    content = None
    for node in _entries(source, section, "DocumentReference"):
        media, data = attachment(source, node)
        source.log.carried(node.place, "DocumentReference")
        if media == "application/pdf" and content is None:
            content = data
    return content


def _prescription(source: Source, header: Header, sections: list[tuple[str, Node]]) -> dict[str, Any]:
    acts = header.members.get("acts", ())
    marks, kept = [], list(acts[:1])
    for act in acts[1:]:
        if (mark := context_mark(act)) is not None:
            marks.append(mark)
        else:
            kept.append(act)
    validity = acts[0].period if acts else None
    out: dict[str, Any] = {"acts": tuple(kept), "context_marks": tuple(marks)}
    lines: list[Any] = []
    number = header.number
    for symbol, section in sections:
        if symbol in ("57828-6", "46264-8"):
            for node in _entries(source, section, "MedicationRequest", "DeviceRequest"):
                with source.gather(lambda node=node: node.place):  # type: ignore[misc]
                    number = number or group_number(node)
                    read = device_line if node.kind == "DeviceRequest" else None
                    line = read(source, node) if read else medication_line(source, node, validity)
                    if line is not None:
                        lines.append(line)
        elif symbol == "57723-9":
            for node in _entries(source, section, "Media", "DocumentReference"):
                out["code_image"] = attachment(source, node)[1]
                source.log.carried(node.place, node.kind)
        elif symbol == COPY:
            out["pdf"] = _copy(source, section)
        elif symbol == "55112-7":
            text = section_text(section, source.log)
            if text is not None:
                out["comment"] = "\n".join(said for _, said in text.marked) or text.plain
        elif symbol == "8716-3":
            _measures(source, section, out)
        elif symbol == "10162-6":
            _pregnant(source, section, out)
        else:
            _lost_section(source, symbol, section)
    out["number"] = number
    out["lines"] = tuple(lines)
    return out


def _measures(source: Source, section: Node, out: dict[str, Any]) -> None:
    stack = _entries(source, section, "Observation")
    while stack:
        node = stack.pop()
        node.use("status", "category", "subject", "effectiveDateTime", "identifier", "encounter")
        members = [n for _, _, n in source.resolve_all(node, "hasMember") if n is not None]
        stack.extend(members)
        symbol = first_code(node, "code")
        name = {"29463-7": "weight", "8302-2": "height"}.get(symbol.code if symbol else "")
        value = value_of(source, node)
        if name and value is not None and value.quantity is not None and name not in out:
            out[name] = value.quantity
            source.log.carried(node.place, "Observation")
        elif not members:
            source.log.lost(node.place, "Observation", _NO_ENTRY, clinical=True)


def _pregnant(source: Source, section: Node, out: dict[str, Any]) -> None:
    states = {code: pregnant for pregnant, (code, _) in PREGNANT.items()}
    for node in _entries(source, section, "Observation"):
        node.use("status", "category", "subject", "effectiveDateTime", "identifier", "encounter", "code")
        value = value_of(source, node)
        state = None
        if value is not None and value.boolean is not None:
            state = value.boolean
        elif value is not None and value.concept is not None and value.concept.code is not None:
            state = states.get(value.concept.code.code)
        if state is None:
            source.log.lost(node.place, "Observation", _NO_ENTRY, clinical=True)
        else:
            out["pregnant"] = state
            source.log.carried(node.place, "Observation")


def _dispensation(source: Source, header: Header, sections: list[tuple[str, Node]]) -> dict[str, Any]:
    acts = header.members.get("acts", ())
    start = acts[0].period.start if acts and acts[0].period else None
    out: dict[str, Any] = {}
    lines = []
    for symbol, section in sections:
        if symbol != "60590-7":
            _lost_section(source, symbol, section)
            continue
        for node in _entries(source, section, "MedicationDispense"):
            with source.gather(lambda node=node: node.place):  # type: ignore[misc]
                line = dispensed_line(source, node, start)
                if line is not None:
                    lines.append(line)
    out["lines"] = tuple(lines)
    out |= _answered(header)
    if header.number and "prescription_number" not in out:
        # The EPU number as the id of the documented event is that of the dispensation itself: keep it there.
        main = acts[0]
        if main.id is None:
            given = Identifier(root=_EPU[8:], extension=header.number)
            out["acts"] = (main.model_copy(update={"id": given}), *acts[1:])
    return out


def _answered(header: Header) -> dict[str, Any]:
    """The prescription answered: the request marked as one, else the first."""
    out: dict[str, Any] = {}
    marked = None
    for order, node in header.orders:
        kind = first_code(node, "code")
        if kind is not None and kind.code == PRESCRIPTION and marked is None:
            marked = (order, node)
    chosen = marked or next(((o, n) for o, n in header.orders if o is not None and o.accession_number is None), None)
    others: list[Order] = []
    for order, node in header.orders:
        if chosen is not None and node is chosen[1]:
            if order is not None:
                out["prescription_id"] = order.id
        elif order is not None:
            others.append(order)
    if chosen is not None:
        requisition = chosen[1].node("requisition")
        if requisition is not None:
            requisition.use("use", "type", "system")
            out["prescription_number"] = requisition.text("value")
    out["orders"] = tuple(others)
    return out


def _summary(source: Source, header: Header, sections: list[tuple[str, Node]]) -> dict[str, Any]:
    out = read_summary(source, sections, header.members.get("created_at"))
    out["profile"] = profile_of(header.tags)
    for system, symbol, display in header.tags:
        oid = oid_of(system, symbol)
        if oid is None or oid.startswith("1.2.250.1.213.1.1.1."):
            continue
        out["type"] = Code(code=symbol, system=oid, display=display, system_name=system_name(oid))
    return out


_READERS: Final = {
    "report": _report,
    "prescription": _prescription,
    "dispensation": _dispensation,
    "medical_summary": _summary,
}
