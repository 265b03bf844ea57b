"""Any other document Bundle: its sections, their words, and the entries whose family is known."""

from __future__ import annotations

from typing import Any, Final

from conformance.verdict import Text
from mappings.document.other import Attachment, OtherEntry, OtherSection
from mappings.document.people import Identifier
from mappings.document.summary import LifestyleObservation, PregnancyObservation, Result
from mappings.fhir import clinical_in, observations_in, treatments_in
from mappings.fhir.header_in import Header
from mappings.fhir.names import PROFILES, URI_SYSTEM
from mappings.fhir.narrative_in import section_text
from mappings.fhir.node import Node
from mappings.fhir.other_out import ENTRIES
from mappings.fhir.report_in import attachment
from mappings.fhir.source import Source, refuse
from mappings.fhir.values_in import code, codings, uuid_of

__all__ = ["read_other"]

MAX_DEPTH: Final = 12
_KEPT_IN_WORDS = Text(
    "Le modèle n'a pas de forme pour cette ressource : le texte de la section la dit.",
    "The model has no form for this resource: the text of the section says it.",
)
_NO_FORM = Text("Le modèle n'a pas de forme pour cette ressource.", "The model has no form for this resource.")
_PREGNANCY: Final = frozenset({"11449-6", "82810-3", "11778-8", "11996-6", "11640-0", "11612-9", "11636-8"})


def read_other(source: Source, header: Header) -> dict[str, Any]:
    """The members of another document that are not of the header."""
    date = header.members.get("created_at")
    sections = []
    for node in header.composition.nodes("section"):
        with source.gather(lambda node=node: node.place):  # type: ignore[misc]
            sections.append(_section(source, node, date, 1))
    templates = []
    for system, symbol, _ in header.tags:
        if system == URI_SYSTEM and symbol.startswith("urn:oid:"):
            templates.append(Identifier(root=symbol[8:]))
        elif system.startswith("urn:oid:"):
            templates.append(Identifier(root=system[8:], extension=symbol))
    return {"sections": tuple(sections), "templates": tuple(templates)}


def _section(source: Source, node: Node, date: str | None, depth: int) -> OtherSection:
    if depth > MAX_DEPTH:
        raise refuse(
            "FHIR-READ-009",
            node.place,
            "Les sections sont imbriquées trop profondément.",
            "The sections are nested too deeply.",
            "Aplatissez les sections.",
            "Flatten the sections.",
            expected=f"<= {MAX_DEPTH}",
        )
    node.use("text", "mode", "orderedBy", "emptyReason")
    members: dict[str, Any] = {"title": node.text("title"), "text": _words(source, node)}
    key = node.value.get("id")
    members["id"] = uuid_of(key) if isinstance(key, str) else None
    members |= _code(node)
    entries, files = _entries(source, node, date, said=members["text"] is not None)
    children = []
    for child in node.nodes("section"):
        if child.value.get("id") == ENTRIES:
            more, attached = _entries(source, child, date, said=members["text"] is not None)
            entries, files = entries + more, files + attached
            child.use("title", "code", "text")
            continue
        children.append(_section(source, child, date, depth + 1))
    return source.attempt(
        lambda: OtherSection(entries=tuple(entries), attachments=tuple(files), sections=tuple(children), **members),
        node,
    )


def _words(source: Source, node: Node) -> str | None:
    narrative = node.value.get("text")
    if type(narrative) is dict and narrative.get("status") == "empty":
        return None
    text = section_text(node, source.log, generated=True)
    if text is None:
        return None
    if text.marked:
        return "\n".join(said for _, said in text.marked) or None
    return text.plain or None


def _code(node: Node) -> dict[str, Any]:
    value = node.raw("code")
    found: dict[str, Any] = {}
    templates = []
    for i, item in enumerate(codings(value, f"{node.place}/code") if value is not None else []):
        symbol = item.get("code") if type(item) is dict else None
        if isinstance(symbol, str) and item.get("system") == URI_SYSTEM and symbol.startswith("urn:oid:"):
            templates.append(symbol[8:])
        elif "code" not in found and (read := code(item, f"{node.place}/code/coding/{i}")) is not None:
            found["code"] = read
    return found | {"templates": tuple(templates)}


def _entries(source: Source, node: Node, date: str | None, *, said: bool) -> tuple[list[OtherEntry], list[Attachment]]:
    entries: list[OtherEntry] = []
    files: list[Attachment] = []
    for _, _, target in source.resolve_all(node, "entry"):
        if target is None:
            continue
        with source.gather(lambda target=target: target.place):  # type: ignore[misc]
            if clinical_in.entered_in_error(source, target):
                continue
            if target.kind in ("DocumentReference", "Media"):
                files.append(_file(source, target, len(files)))
                continue
            name, read = _read(source, target, date)
            if read is not None:
                entries.append(OtherEntry(**{name: read}))
            elif not name:
                target.use(*target.value)
                if said:
                    source.log.text_only(target.place, target.kind, _KEPT_IN_WORDS)
                else:
                    source.log.lost(target.place, target.kind, _NO_FORM, clinical=True)
    return entries, files


def _file(source: Source, node: Node, rank: int) -> Attachment:
    media, content = attachment(source, node)
    held = node.value.get("content")
    first = held[0] if type(held) is list and held else held
    inner = first.get("attachment", first) if type(first) is dict else {}
    anchor = inner.get("id") if type(inner) is dict else None
    source.log.carried(node.place, node.kind)
    return source.attempt(
        lambda: Attachment(
            anchor=anchor if isinstance(anchor, str) else f"fichier-{rank + 1}", media_type=media, content=content
        ),
        node,
    )


def _observation_family(node: Node) -> str:
    meta = node.value.get("meta")
    claimed = meta.get("profile") if type(meta) is dict else None
    profiles = claimed if type(claimed) is list else []
    for name, family in (
        ("observation-social-history", "lifestyle"),
        ("observation-vital-signs-panel", "vital_signs"),
        ("observation-vital-signs", "vital_signs"),
        ("observation-pregnancy", "pregnancy"),
    ):
        if PROFILES[name] in profiles:
            return family
    categories = node.value.get("category")
    symbols = {
        str(c.get("code"))
        for item in (categories if type(categories) is list else [])
        for c in codings(item, node.place)
        if type(c) is dict
    }
    if "social-history" in symbols:
        return "lifestyle"
    if "vital-signs" in symbols:
        return "vital_signs"
    coded = node.value.get("code")
    kinds = {str(c.get("code")) for c in codings(coded, node.place) if type(c) is dict} if coded is not None else set()
    return "pregnancy" if kinds & _PREGNANCY else "result"


def _read(source: Source, node: Node, date: str | None) -> tuple[str, Any]:
    """The family of an entry and what was read; an empty family when none is known."""
    kind = node.kind
    if kind == "Condition":
        return "problem", clinical_in.condition(source, node)
    if kind == "AllergyIntolerance":
        return "allergy", clinical_in.allergy(source, node)
    if kind in ("Procedure", "ServiceRequest"):
        return "procedure", clinical_in.procedure(source, node, {})
    if kind in ("MedicationStatement", "MedicationRequest"):
        return "treatment", treatments_in.treatment(source, node, {}, date)
    if kind == "Immunization":
        return "immunization", treatments_in.immunization(source, node)
    if kind == "DeviceUseStatement":
        return "device", clinical_in.used_device(source, node)
    if kind == "FamilyMemberHistory":
        return "family", clinical_in.family(source, node)
    if kind == "DiagnosticReport":
        return "results", observations_in.result_group(source, node)
    if kind == "Observation":
        family = _observation_family(node)
        if family == "lifestyle":
            return family, observations_in.observation(source, node, LifestyleObservation)
        if family == "vital_signs":
            return family, observations_in.vital_signs(source, node, date)
        if family == "pregnancy":
            return family, observations_in.observation(source, node, PregnancyObservation)
        return family, observations_in.observation(source, node, Result)
    return "", None
