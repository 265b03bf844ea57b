"""The body of a medical summary, read: VSM 2023.01 and 1.4, IPS-FR 2024.01."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lxml import etree
from pydantic import ValidationError

from conformance.verdict import Text
from mappings.cda.build import V3
from mappings.cda.errors import NotCda
from mappings.cda.node import Reader, every, first, flat, place, squeeze, template_roots, value_of
from mappings.cda.section_attachments import media_of, read_attached
from mappings.cda.section_content import SectionContent, statement
from mappings.cda.section_measures_read import (
    is_results,
    read_assessments,
    read_care_plan,
    read_pregnancies,
    read_results,
    read_vital_signs,
)
from mappings.cda.section_observations_read import read_family, read_lifestyle
from mappings.cda.section_plans import ATTACHED, IPS_VIGILANCE, NOTHING_SAID, PLANS, WRAPPERS
from mappings.cda.section_problems_read import read_allergies, read_problems
from mappings.cda.section_procedures_read import read_procedures, read_treatments
from mappings.cda.section_products_read import read_devices, read_immunizations
from mappings.cda.sections_read import media
from mappings.document.summary import Absence, AttachedDocument, MedicalSummary, Section

__all__ = ["read_body"]

_Element = etree._Element
_Read = Callable[[SectionContent, _Element, _Element], list[Any]]

IPS = "1.2.250.1.213.1.1.1.51"

_READERS: dict[str, _Read] = {
    "problems": read_problems,
    "history": read_problems,
    "procedures": read_procedures,
    "allergies": read_allergies,
    "lifestyle": read_lifestyle,
    "family_history": read_family,
    "treatments": read_treatments,
    "immunizations": read_immunizations,
    "devices": read_devices,
    "vital_signs": read_vital_signs,
    "results": read_results,
    "functional_status": read_assessments,
    "care_plan": read_care_plan,
    "pregnancies": read_pregnancies,
}
#: Bound of the hub model.
MOST_FILES = 20
#: Members that are words alone.
_WORDS = frozenset({"occupational_risks", "vigilance", "advance_directives"})

#: Last template of each section, then its LOINC code, to the member of the hub.
_BY_TEMPLATE = {
    **{plan.templates[-1]: name for name, plan in PLANS.items()},
    **{plan.templates[-1]: f"#{name}" for name, plan in WRAPPERS.items()},
    IPS_VIGILANCE.templates[-1]: "vigilance",
    "1.2.250.1.213.1.1.2.154": "care_plan",
    "1.2.250.1.213.1.1.2.243": "#pdf",
    ATTACHED.templates[-1]: "#attached",
}
#: Two codes have two meanings: 30954-2 (results, or points of vigilance), 18776-5 (care plan, or treatments).
_BY_CODE = {
    **{plan.code.code: name for name, plan in PLANS.items() if name != "vigilance"},
    **{plan.code.code: f"#{name}" for name, plan in WRAPPERS.items() if name != "plan"},
    IPS_VIGILANCE.code.code: "vigilance",
    "55108-5": "#pdf",
    ATTACHED.code.code: "#attached",
}
#: The part that takes the words of a section that only holds others.
_OWNER = {"summary": "problems", "conditions": "problems", "risks": "lifestyle", "plan": "treatments"}

_KEPT = Text(
    "Le modèle n'a pas cette section : ses mots sont gardés avec les points de vigilance.",
    "The model has no such section: its words are kept with the points of vigilance.",
)
_UNREAD_ENTRY = Text(
    "L'entrée n'est pas reprise : ses mots restent avec ceux de la section.",
    "The entry is not carried over: its words remain with those of the section.",
)
_TITLES = {plan.title: name for name, plan in PLANS.items()}


def read_body(reader: Reader, body: _Element, header: dict[str, Any]) -> MedicalSummary:
    """The summary. Raises :class:`NotCda` when what was read makes no summary."""
    found = _Body(reader)
    found.sections(body)
    made = reader.make(
        MedicalSummary,
        body,
        **header,
        profile="IPS-FR-2024.01" if IPS in template_roots(reader.root) else "VSM-2023.01",
        **found.members(),
    )
    if made is None:
        raise NotCda("CDA-READ-005", place(body), Text("Le corps de la synthèse est illisible.", "Unreadable body."))
    return made


class _Body:
    """What the sections of a body give, by member of the hub."""

    __slots__ = ("_files", "_parts", "_pdf", "_reader", "_words")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._parts: dict[str, tuple[list[Any], Absence | None, list[str]]] = {}
        self._words: dict[str, list[str]] = {}
        self._files: list[AttachedDocument] = []
        self._pdf: bytes | None = None

    # --- walking ---

    def sections(self, parent: _Element) -> None:
        """Read every section of a body or of a section that holds others."""
        for component in every(parent, "component"):
            section = first(component, "section")
            if section is not None:
                self._section(section)

    def _section(self, section: _Element) -> None:
        name = _member(section)
        if name is None:
            self._unknown(section)
            return
        where = place(section)
        if name == "#pdf":
            self._pdf = self._pdf or media(self._reader, section, "application/pdf")
        elif name == "#attached":
            self._attached(section)
        elif name.startswith("#"):
            self._wrapper(section, name[1:])
        elif name in _WORDS:
            self._add_words(name, section)
        else:
            self._entries(name, section)
        self._reader.log.carried(where, "section")
        # A wrapper's sub-sections, and those met where none is expected.
        self.sections(section)

    def _entries(self, name: str, section: _Element) -> None:
        content = SectionContent(self._reader, section, PLANS[name])
        read = _READERS[name]
        for entry, inner, where in content.each_entry():
            said = content.absence
            found = read(content, entry, inner)
            if not found and content.absence is not None and content.absence is not said:
                self._reader.log.carried(where, "absence")
            else:
                content.take(found, entry, where)
        text = content.text()
        absence = content.absence if not content.entries else None
        if not content.entries and absence is None and text is not None and PLANS[name].none_code is None:
            absence, text = statement(PLANS[name], text)
        self._add(name, content.entries, absence, text)

    def _add(self, name: str, entries: list[Any], absence: Absence | None, text: str | None) -> None:
        kept, before, words = self._parts.setdefault(name, ([], None, []))
        kept += entries
        if text is not None:
            words.append(text)
        self._parts[name] = (kept, before or absence, words)

    def _add_words(self, name: str, section: _Element) -> None:
        content = SectionContent(self._reader, section, PLANS[name])
        text = first(section, "text")
        words = flat(text) if text is not None else None
        if words is not None and words != NOTHING_SAID:
            self._words.setdefault(name, []).append(words)
        self._unread(content, bool(words))

    def _unread(self, content: SectionContent, told: bool) -> None:
        """Account for the entries of a section that is kept for its words alone."""
        for entry, inner, where in content.each_entry():
            name = f"entry {' '.join(sorted(template_roots(inner)))}".strip()
            if told:
                self._reader.log.text_only(where, name, _UNREAD_ENTRY, clinical=True)
            else:
                self._reader.lost(entry, name, clinical=True)
            # A file shown by the words (written advance directives) is kept as a joined document.
            what, title = first(content.section, "code"), first(content.section, "title")
            self._files += media_of(
                self._reader, entry, self._reader.code(what), squeeze(title.text) if title is not None else None
            )

    def _attached(self, section: _Element) -> None:
        for entry in every(section, "entry"):
            found = read_attached(self._reader, entry)
            self._files += found
            if found:
                self._reader.log.carried(place(entry), "FR-Document-attache")
            else:
                self._reader.lost(entry, "entry", clinical=True)

    # --- sections that hold others ---

    def _wrapper(self, section: _Element, name: str) -> None:
        text = first(section, "text")
        if text is None:
            return
        rows = text.findall(f"{V3}table/{V3}tbody/{V3}tr")
        told = [_row(row) for row in rows]
        if told and all(member is not None for member, _ in told) and len(text) == 1:
            for member, words in told:
                if member in _WORDS:
                    self._words.setdefault(member, []).append(words)
                elif member is not None:
                    self._statement(member, words)
            return
        said = flat(text)
        if said is not None and said != NOTHING_SAID:
            self._reader.log.text_only(place(text), "text", _KEPT)
            self._add(_OWNER[name], [], None, said)

    def _statement(self, member: str, words: str) -> None:
        plan = PLANS[member]
        absence, rest = statement(plan, words) if plan.none_code is None else (None, words)
        self._add(member, [], absence, rest)

    def _unknown(self, section: _Element) -> None:
        reader = self._reader
        code = value_of(first(section, "code"), "code") or ""
        title, text = first(section, "title"), first(section, "text")
        words = flat(text) if text is not None else None
        name = f"section {code}".strip()
        if words:
            heading = squeeze("".join(title.itertext())) if title is not None else None
            self._words.setdefault("vigilance", []).append(f"{heading} :\n{words}" if heading else words)
            reader.log.text_only(place(section), name, _KEPT, clinical=True)
        elif next(every(section, "entry"), None) is not None:
            reader.lost(section, name, clinical=True)
        else:
            reader.log.carried(place(section), name)
        self._unread(SectionContent(reader, section, PLANS["vigilance"]), bool(words))
        self.sections(section)

    # --- the whole ---

    def members(self) -> dict[str, Any]:
        """The members of the summary."""
        kept = self._files[:MOST_FILES]
        for _ in self._files[MOST_FILES:]:
            self._reader.log.lost("/ClinicalDocument/component", "attachments", _UNREADABLE, clinical=True)
        out: dict[str, Any] = {"pdf": self._pdf, "attachments": tuple(kept)}
        for name, (entries, absence, words) in self._parts.items():
            text = "\n".join(words) or None
            if not entries and absence is None and text is None:
                continue
            try:
                out[name] = Section(entries=tuple(entries), absence=None if entries else absence, text=text)
            except ValidationError:
                self._reader.log.lost("/ClinicalDocument/component", name, _UNREADABLE, clinical=True)
        for name, words in self._words.items():
            out[name] = "\n".join(words)
        return out


_UNREADABLE = Text("La section n'a pas pu être reprise.", "The section could not be carried over.")


def _row(row: _Element) -> tuple[str | None, str]:
    """A row of the text of a section that holds others: the part named in its first cell, the words of the second."""
    cells = row.findall(V3 + "td")
    if len(cells) != 2:
        return None, ""
    return _TITLES.get(flat(cells[0]) or ""), flat(cells[1]) or ""


def _member(section: _Element) -> str | None:
    roots = template_roots(section)
    found = next((_BY_TEMPLATE[oid] for oid in roots if oid in _BY_TEMPLATE), None)
    if found is not None:
        return found
    found = _BY_CODE.get(value_of(first(section, "code"), "code") or "")
    if found == "results" and not is_results(section):
        return "vigilance"
    if found == "care_plan" and first(section, "component") is not None:
        return "#plan"
    return found
