"""The body of a medical summary: VSM 2023.01, or its successor IPS-FR 2024.01."""

from __future__ import annotations

from typing import Any

from lxml import etree

from mappings.cda import sections_write
from mappings.cda.build import Builder, section
from mappings.cda.narrative import Narrative
from mappings.cda.section_allergies_write import allergies, no_allergy
from mappings.cda.section_observations_write import family_history, lifestyle
from mappings.cda.section_parts import open_section
from mappings.cda.section_plans import NOTHING_SAID, PLANS, WRAPPERS, absence_words
from mappings.cda.section_problems_write import no_problem, problems
from mappings.cda.section_procedures_write import no_procedure, procedures
from mappings.cda.section_treatments_write import no_treatment, treatments
from mappings.document.summary import MedicalSummary

__all__ = ["write_body"]

_Element = etree._Element

_WRITE: dict[str, Any] = {
    "problems": (problems, no_problem),
    "history": (problems, no_problem),
    "procedures": (procedures, no_procedure),
    "allergies": (allergies, no_allergy),
    "lifestyle": (lifestyle, None),
    "family_history": (family_history, None),
    "treatments": (treatments, no_treatment),
}
_WITH_PLAN = {"problems", "history", "procedures", "allergies"}


def write_body(document: MedicalSummary, builder: Builder) -> None:
    """Add the body of a summary to the document being written."""
    body = builder.body()
    _vsm(document, builder, body)
    if builder.pdf is not None:
        sections_write.pdf_copy(body, builder, builder.pdf)


# --- VSM ------------------------------------------------------------------------------------------


def _vsm(document: MedicalSummary, builder: Builder, body: _Element) -> None:
    plan = WRAPPERS["summary"]
    top = section(body, builder, plan.templates, plan.code, plan.title, "/#summary")
    _wrapper(document, builder, top, "conditions", ("problems", "history", "procedures", "allergies"))
    _wrapper(document, builder, top, "risks", ("lifestyle", "occupational_risks", "family_history"))
    _words(document, builder, body, "vigilance", NOTHING_SAID)
    _wrapper(document, builder, body, "plan", ("treatments",))


def _wrapper(document: MedicalSummary, builder: Builder, parent: _Element, name: str, members: tuple[str, ...]) -> None:
    """Add a section that holds others. What has no entry is told in its text, by a table of two columns: the title of
    the part, its words (VSM section 2: text imposed without a sub-section, forbidden when all are there)."""
    plan = WRAPPERS[name]
    element = section(parent, builder, plan.templates, plan.code, plan.title, f"/#{name}")
    inside = [each for each in members if _has_section(document, each)]
    said = [(each, words) for each in members if each not in inside and (words := _said(document, each)) is not None]
    if said or not inside:
        narrative = Narrative(builder, element)
        if said:
            table = narrative.table("Rubrique", "Contenu")
            for each, words in said:
                row = table.row()
                row.cell(PLANS[each].title)
                row.cell(words)
                builder.log.carried(_pointer(each), "text")
        else:
            narrative.paragraph(NOTHING_SAID)
    for each in inside:
        if each == "occupational_risks":
            _words(document, builder, element, each, None)
        else:
            _section(document, builder, element, each)


def _pointer(name: str) -> str:
    return "/" + _camel(name)


def _camel(name: str) -> str:
    head, *others = name.split("_")
    return head + "".join(each.capitalize() for each in others)


def _has_section(document: MedicalSummary, name: str) -> bool:
    """True when a part has a section of its own: a coded one must hold an entry (VSM section 2)."""
    found = getattr(document, name)
    if found is None:
        return False
    if name == "occupational_risks":
        return True
    return bool(found.entries) or (found.absence is not None and PLANS[name].none_code is not None)


def _said(document: MedicalSummary, name: str) -> str | None:
    """The words of a part that has no entry."""
    found = getattr(document, name)
    if found is None:
        return None
    if found.absence is None:
        return str(found.text)
    statement = absence_words(PLANS[name], found.absence)
    return f"{statement}\n{found.text}" if found.text else statement


def _section(document: MedicalSummary, builder: Builder, parent: _Element, name: str) -> None:
    """Add a part as a section: its entries, or the entry that says there are none."""
    found = getattr(document, name)
    plan = PLANS[name]
    place = _pointer(name)
    write, write_absence = _WRITE[name]
    element, narrative = open_section(parent, builder, plan, place, found.text)
    if found.entries:
        if name in _WITH_PLAN:
            write(element, narrative, builder, plan, found.entries, place)
        else:
            write(element, narrative, builder, found.entries, place)
    else:
        write_absence(element, narrative, builder, plan, found.absence, place)
        builder.log.carried(place, "absence")


def _words(document: MedicalSummary, builder: Builder, parent: _Element, name: str, default: str | None) -> None:
    """Add a section that holds words alone."""
    found = getattr(document, name)
    if found is None and default is None:
        return
    open_section(parent, builder, PLANS[name], _pointer(name), found if found is not None else default)
    if found is not None:
        builder.log.carried(_pointer(name), "text")
