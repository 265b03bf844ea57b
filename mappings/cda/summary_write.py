"""The body of a medical summary: VSM 2023.01, or its successor IPS-FR 2024.01."""

from __future__ import annotations

from typing import Any

from pydantic.alias_generators import to_camel

from mappings.cda import sections_write
from mappings.cda.build import Builder, section
from mappings.cda.narrative import Narrative
from mappings.cda.section_allergies_write import allergies, no_allergy
from mappings.cda.section_attachments import attachments
from mappings.cda.section_measures_write import assessments, care_plan, pregnancies, results, vital_signs
from mappings.cda.section_observations_write import family_history, lifestyle
from mappings.cda.section_parts import open_section
from mappings.cda.section_plans import IPS_VIGILANCE, NOTHING_SAID, PLANS, WRAPPERS, SectionPlan, absence_words
from mappings.cda.section_problems_write import no_problem, problems
from mappings.cda.section_procedures_write import no_procedure, procedures
from mappings.cda.section_products_write import devices, immunizations, no_device, no_immunization
from mappings.cda.section_treatments_write import no_treatment, treatments
from mappings.cda.tree import Element
from mappings.document.summary import Absence, MedicalSummary, Section

__all__ = ["IPS_REQUIRED", "write_body"]


#: How the entries of each part are written, and the entry that says there are none.
_WRITE: dict[str, Any] = {
    "problems": (problems, no_problem),
    "history": (problems, no_problem),
    "procedures": (procedures, no_procedure),
    "allergies": (allergies, no_allergy),
    "lifestyle": (lifestyle, None),
    "family_history": (family_history, None),
    "treatments": (treatments, no_treatment),
    "immunizations": (immunizations, no_immunization),
    "devices": (devices, no_device),
    "vital_signs": (vital_signs, None),
    "results": (results, None),
    "functional_status": (assessments, None),
    "care_plan": (care_plan, None),
    "pregnancies": (pregnancies, None),
}
_WITH_PLAN = {"problems", "history", "procedures", "allergies"}
_WORDS = frozenset({"occupational_risks", "vigilance", "advance_directives"})

#: Parts that a VSM may add at its top level (VSM section 2).
_ADDED = (
    "immunizations",
    "devices",
    "vital_signs",
    "functional_status",
    "care_plan",
    "pregnancies",
    "advance_directives",
    "results",
)
#: Parts of an IPS-FR in order; the first ones of the set are required (IPS-FR section 7).
_IPS = (
    "problems",
    "history",
    "procedures",
    "allergies",
    "treatments",
    "devices",
    "vigilance",
    "functional_status",
    "vital_signs",
    "lifestyle",
    "occupational_risks",
    "family_history",
    "immunizations",
    "pregnancies",
    "care_plan",
    "advance_directives",
    "results",
)
IPS_REQUIRED = frozenset({"problems", "procedures", "allergies", "treatments", "devices"})


def write_body(document: MedicalSummary, builder: Builder) -> None:
    """Add the body of a summary to the document being written."""
    body = builder.body()
    if document.profile == "VSM-2023.01":
        _vsm(document, builder, body)
    else:
        _ips(document, builder, body)
    if document.attachments:
        attachments(body, builder, document.attachments, "/attachments")
    if builder.pdf is not None:
        sections_write.pdf_copy(body, builder, builder.pdf)


# --- The two plans --------------------------------------------------------------------------------


def _vsm(document: MedicalSummary, builder: Builder, body: Element) -> None:
    plan = WRAPPERS["summary"]
    top = section(body, builder, plan.templates, plan.code, plan.title, "/#summary")
    _wrapper(document, builder, top, "conditions", ("problems", "history", "procedures", "allergies"))
    _wrapper(document, builder, top, "risks", ("lifestyle", "occupational_risks", "family_history"))
    _words(builder, body, PLANS["vigilance"], "vigilance", document.vigilance, NOTHING_SAID)
    _wrapper(document, builder, body, "plan", ("treatments",))
    for name in _ADDED:
        _part(document, builder, body, name)


def _ips(document: MedicalSummary, builder: Builder, body: Element) -> None:
    for name in _IPS:
        if name in IPS_REQUIRED and getattr(document, name) is None:
            # A required section always says something: here, that nothing was said.
            _section(builder, body, name, Section(absence=Absence.NO_INFORMATION), said=False)
        else:
            _part(document, builder, body, name)


def _part(document: MedicalSummary, builder: Builder, body: Element, name: str) -> None:
    found = getattr(document, name)
    if found is None:
        return
    if name in _WORDS:
        ips = name == "vigilance" and document.profile != "VSM-2023.01"
        _words(builder, body, IPS_VIGILANCE if ips else PLANS[name], name, found, None)
    else:
        _section(builder, body, name, found)


def _wrapper(document: MedicalSummary, builder: Builder, parent: Element, name: str, members: tuple[str, ...]) -> None:
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
        _part(document, builder, element, each)


def _pointer(name: str) -> str:
    return "/" + to_camel(name)


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


def _section(builder: Builder, parent: Element, name: str, found: Section[Any], *, said: bool = True) -> None:
    """Add a part as a section: its entries, or the entry that says there are none, or words alone.

    Words alone in a section that must hold an entry come with the one that says "no information": programs then know
    that there is something to read.
    """
    plan = PLANS[name]
    place = _pointer(name)
    write, write_absence = _WRITE[name]
    absence = found.absence
    if not found.entries and absence is None and plan.none_code is not None:
        absence = Absence.NO_INFORMATION
    bare = not found.entries and plan.none_code is None
    element, narrative = open_section(parent, builder, plan, place, None if bare else found.text, bare=bare)
    if found.entries:
        if name in _WITH_PLAN:
            write(element, narrative, builder, plan, found.entries, place)
        else:
            write(element, narrative, builder, found.entries, place)
        return
    if bare:
        if absence is not None:
            narrative.paragraph(absence_words(plan, absence))
        if found.text is not None:
            narrative.paragraph(found.text)
    elif absence is not None:
        write_absence(element, narrative, builder, plan, absence, place)
    if said:
        builder.log.carried(place, "absence" if found.absence is not None else "text")


def _words(
    builder: Builder, parent: Element, plan: SectionPlan, name: str, found: str | None, default: str | None
) -> None:
    """Add a section that holds words alone."""
    open_section(parent, builder, plan, _pointer(name), found if found is not None else default)
    if found is not None:
        builder.log.carried(_pointer(name), "text")
