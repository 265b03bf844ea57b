"""The sections of a medical summary read from an FR-IPS document Bundle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from conformance.verdict import Text
from mappings.document.summary import (
    Absence,
    FunctionalAssessment,
    LifestyleObservation,
    PregnancyObservation,
)
from mappings.document.values import Code
from mappings.fhir import clinical_in, observations_in, treatments_in
from mappings.fhir.narrative_in import SectionText, section_text
from mappings.fhir.node import Node
from mappings.fhir.reasons_in import business_uuid
from mappings.fhir.report_in import attachment
from mappings.fhir.report_out import ATTACHED, COPY
from mappings.fhir.source import Source
from mappings.fhir.summary_out import ABSENCES, MODELS, PAST, SECTIONS, SEE_TEXT
from mappings.fhir.values_in import codings, first_code

__all__ = ["profile_of", "read_summary"]

_MEMBER: Final = {code: member for member, (code, _, _) in SECTIONS.items()}
_WORDS_ONLY: Final = frozenset({"occupational_risks", "vigilance", "advance_directives"})
_NONE: Final = frozenset(none for none, _ in ABSENCES.values()) | {"nil-known"}
_UNKNOWN: Final = frozenset(unknown for _, unknown in ABSENCES.values())
_NO_SECTION = Text("Cette section n'a pas de place dans une synthèse.", "This section has no place in a summary.")
_NO_ENTRY = Text(
    "Cette ressource n'est pas de celles que la section peut contenir.",
    "This resource is not one that the section may hold.",
)
_PARTIAL_ABSENCE = Text(
    "Une absence partielle (« pas d'allergie alimentaire connue ») est reprise en texte.",
    "A partial absence (no known food allergy) is kept as text.",
)
_KINDS: Final = {
    "problems": ("Condition",),
    "history": ("Condition",),
    "allergies": ("AllergyIntolerance",),
    "treatments": ("MedicationStatement", "MedicationRequest"),
    "procedures": ("Procedure", "ServiceRequest"),
    "devices": ("DeviceUseStatement",),
    "lifestyle": ("Observation",),
    "family_history": ("FamilyMemberHistory",),
    "immunizations": ("Immunization",),
    "results": ("DiagnosticReport", "Observation"),
    "vital_signs": ("Observation",),
    "functional_status": ("Observation",),
    "pregnancies": ("Observation",),
    "care_plan": ("CarePlan", "ServiceRequest", "Goal"),
}
#: Where the code of an entry stands, for "none known" and "no information".
_CODE_OF: Final = {
    "Condition": "code",
    "Procedure": "code",
    "AllergyIntolerance": "code",
    "MedicationStatement": "medicationCodeableConcept",
    "Immunization": "vaccineCode",
}


def profile_of(tags: list[tuple[str, str, str | None]]) -> str:
    """Which model a summary came from: its tag, else the one that FR-IPS succeeds to."""
    systems = {system for system, _, _ in tags}
    for profile, (root, _) in MODELS.items():
        if f"urn:oid:{root}" in systems:
            return profile
    return "IPS-FR-2024.01"


class _Draft:
    """A section of the hub being filled."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self.absence: Absence | None = None
        self.words: list[str] = []

    def section(self) -> dict[str, Any] | None:
        if not self.entries and self.absence is None and not self.words:
            return None
        absence = self.absence if not self.entries else None
        return {"entries": tuple(self.entries), "absence": absence, "text": "\n".join(self.words) or None}


def read_summary(source: Source, sections: list[tuple[str, Node]], date: str | None) -> dict[str, Any]:
    """The members of a summary that are not of the header."""
    drafts: dict[str, _Draft] = {}
    members: dict[str, Any] = {}
    known: dict[int, UUID] = {}
    # Problems first: treatments and acts point at them.
    ordered = sorted(sections, key=lambda item: item[0] not in ("11450-4", "11348-0"))
    for symbol, section in ordered:
        with source.gather(lambda section=section: section.place):  # type: ignore[misc]
            member = _MEMBER.get(symbol)
            text = section_text(section, source.log)
            if member in _WORDS_ONLY:
                words = _words(text)
                for _, _, node in source.resolve_all(section, "entry"):
                    if node is not None:
                        node.use(*node.value)
                        source.log.lost(node.place, node.kind, _NO_ENTRY, clinical=True)
                section.use("emptyReason")
                if words and not section.value.get("emptyReason"):
                    members[member] = words
            elif member is not None:
                _read_section(source, member, section, text, drafts, known, date)
            elif symbol in (COPY, ATTACHED):
                for _, _, node in source.resolve_all(section, "entry"):
                    if node is None or node.kind != "DocumentReference":
                        continue
                    kind, title = _described(node)
                    media, content = attachment(source, node)
                    if symbol == COPY and media == "application/pdf" and "pdf" not in members:
                        members["pdf"] = content
                    else:
                        members.setdefault("attachments", []).append(
                            {"type": kind, "title": title, "media_type": media, "content": content}
                        )
                    source.log.carried(node.place, node.kind)
            else:
                section.use(*section.value)
                source.log.lost(section.place, f"section {symbol}", _NO_SECTION, clinical=True)
                for _, _, node in source.resolve_all(section, "entry"):
                    if node is not None:
                        node.use(*node.value)
    for member, draft in drafts.items():
        made = draft.section()
        if made is not None:
            members[member] = made
    return members


def _described(node: Node) -> tuple[Code | None, str | None]:
    """What a joined document is, and its title."""
    kind = first_code(node, "type")
    held = node.value.get("content")
    file = held[0].get("attachment") if type(held) is list and held and type(held[0]) is dict else None
    title = file.get("title") if type(file) is dict else None
    return kind, title if type(title) is str and title else None


def _words(text: SectionText | None) -> str | None:
    if text is None:
        return None
    if text.marked:
        return "\n".join(said for _, said in text.marked) or None
    return text.plain or None


def _read_section(
    source: Source,
    member: str,
    section: Node,
    text: SectionText | None,
    drafts: dict[str, _Draft],
    known: dict[int, UUID],
    date: str | None,
) -> None:
    draft = drafts.setdefault(member, _Draft())
    entries = [node for _, _, node in source.resolve_all(section, "entry") if node is not None]
    for node in entries:
        with source.gather(lambda node=node: node.place):  # type: ignore[misc]
            _read_entry(source, member, node, drafts, known, date)
    _read_words(member, text, drafts, has_entries=bool(entries))
    reason = section.raw("emptyReason")
    if reason is None or entries:
        return
    symbols = {str(c.get("code")) for c in codings(reason, section.place) if type(c) is dict}
    if "nilknown" in symbols:
        draft.absence = Absence.NONE_KNOWN
    elif not symbols and type(reason) is dict and reason.get("text") == SEE_TEXT:
        pass
    elif SECTIONS[member][2] and (symbols == {"unavailable"} or not symbols):
        # A section that FR-IPS wants always, empty because the sender has none: as if it were absent.
        if text is not None and not text.marked:
            draft.words.clear()
    else:
        draft.absence = Absence.NO_INFORMATION
    if draft.absence is not None and text is not None and not text.marked:
        draft.words.clear()  # "none known" in words is what the reason says in code


def _read_words(member: str, text: SectionText | None, drafts: dict[str, _Draft], *, has_entries: bool) -> None:
    if text is None:
        return
    draft = drafts[member]
    if text.marked:
        for holder, said in text.marked:
            target = drafts.setdefault("history", _Draft()) if holder == PAST else draft
            if said:
                target.words.append(said)
    elif text.plain and (not has_entries or not text.generated):
        draft.words.append(text.plain)


def _absence(node: Node, draft: _Draft, source: Source) -> bool:
    """True when the entry says "none known" or "no information"."""
    value = node.value.get(_CODE_OF.get(node.kind, ""))
    symbol = clinical_in.absence_code(value)
    if node.kind == "DeviceUseStatement":
        target = source.resolve(node, "device")
        symbol = clinical_in.absence_code(target.value.get("type")) if target is not None else None
        if symbol is not None and target is not None:
            target.use(*target.value)
    if symbol is None:
        return False
    node.use(*node.value)
    if symbol in _NONE:
        draft.absence = Absence.NONE_KNOWN
    elif symbol in _UNKNOWN:
        draft.absence = draft.absence or Absence.NO_INFORMATION
    else:
        shown = next((c.get("display") for c in codings(value, node.place) if type(c) is dict), None)
        words = shown or (value.get("text") if type(value) is dict else None) or symbol
        draft.words.append(str(words))
        source.log.text_only(node.place, node.kind, _PARTIAL_ABSENCE)
        return True
    source.log.carried(node.place, node.kind)
    return True


def _read_entry(
    source: Source, member: str, node: Node, drafts: dict[str, _Draft], known: dict[int, UUID], date: str | None
) -> None:
    draft = drafts[member]
    if node.kind not in _KINDS[member]:
        node.use(*node.value)
        source.log.lost(node.place, node.kind, _NO_ENTRY, clinical=True)
        return
    if clinical_in.entered_in_error(source, node) or _absence(node, draft, source):
        return
    if node.kind == "Condition":
        if member == "problems" and clinical_in.past(node):
            draft = drafts.setdefault("history", _Draft())
        key = business_uuid(node)
        if key is not None:
            known[id(node)] = key
    read = _READERS[member](source, node, known, date)
    if isinstance(read, list):
        draft.entries.extend(read)
    elif read is not None:
        draft.entries.append(read)


Reader = Callable[[Source, Node, dict[int, UUID], str | None], Any]
_READERS: Final[dict[str, Reader]] = {
    "problems": lambda s, n, known, date: clinical_in.condition(s, n),
    "history": lambda s, n, known, date: clinical_in.condition(s, n),
    "allergies": lambda s, n, known, date: clinical_in.allergy(s, n),
    "treatments": lambda s, n, known, date: treatments_in.treatment(s, n, known, date),
    "procedures": lambda s, n, known, date: clinical_in.procedure(s, n, known),
    "devices": lambda s, n, known, date: clinical_in.used_device(s, n),
    "lifestyle": lambda s, n, known, date: observations_in.observation(s, n, LifestyleObservation),
    "family_history": lambda s, n, known, date: clinical_in.family(s, n),
    "immunizations": lambda s, n, known, date: treatments_in.immunization(s, n),
    "results": lambda s, n, known, date: observations_in.result_group(s, n),
    "vital_signs": lambda s, n, known, date: observations_in.vital_signs(s, n, date),
    "functional_status": lambda s, n, known, date: observations_in.observation(s, n, FunctionalAssessment),
    "pregnancies": lambda s, n, known, date: observations_in.observation(s, n, PregnancyObservation),
    "care_plan": lambda s, n, known, date: observations_in.care_plan(s, n),
}
