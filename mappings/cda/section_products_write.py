"""Vaccinations and medical devices: FR-Vaccination and FR-Dispositif-medical (VSM 3.13)."""

from __future__ import annotations

from collections.abc import Sequence

from mappings.cda import words
from mappings.cda.build import (
    XSI_TYPE,
    Builder,
    code,
    concept,
    ivl_ts,
    null,
    original_text,
    pq,
    reference_text,
    status,
    sub,
    templates,
    ts,
    uid,
)
from mappings.cda.medication_write import no_product, product
from mappings.cda.narrative import Narrative
from mappings.cda.section_parts import Columns, code_words, moment_cell
from mappings.cda.section_plans import SectionPlan, absence_words
from mappings.cda.sections_write import LOINC
from mappings.cda.tree import Element
from mappings.document.summary import Absence, Immunization, UsedDevice
from mappings.document.values import Code, Concept

__all__ = ["DEVICE", "RANK", "VACCINE", "devices", "immunizations", "no_device", "no_immunization"]


#: Medication activity (CCD), Immunizations (PCC), FR-Vaccination.
VACCINE = ("2.16.840.1.113883.10.20.1.24", "1.3.6.1.4.1.19376.1.5.3.1.4.12", "1.2.250.1.213.1.1.3.45")
#: Medication series number (CCD), FR-Rang-de-la-vaccination.
RANK = ("2.16.840.1.113883.10.20.1.46", "1.2.250.1.213.1.1.3.82")
#: Supply activity (CCD), FR-Dispositif-medical.
DEVICE = ("2.16.840.1.113883.10.20.1.34", "1.2.250.1.213.1.1.3.20")

_RANK_CODE = Code(code="30973-2", system=LOINC, display="Rang de la vaccination", system_name="LOINC")
#: JDV_HL7_ActSubstanceAdministrationImmunizationCode.
ACTS = {
    value: Code(code=value, system="2.16.840.1.113883.5.4", display=label, system_name="HL7:ActCode")
    for value, label in (
        ("IMMUNIZ", "Vaccination sans autre précision"),
        ("INITIMMUNIZ", "1ère série vaccinante"),
        ("BOOSTER", "Rappel vaccinal"),
    )
}


def immunizations(
    section: Element, narrative: Narrative, builder: Builder, entries: Sequence[Immunization], place: str
) -> None:
    """Add vaccinations to a section, with their table."""
    columns = Columns(
        entries,
        ("Vaccin", "Type", "Date"),
        (("rank", "Rang"), ("dose", "Dose"), ("route", "Voie"), ("site", "Région")),
    )
    table = narrative.table(*columns.headings)
    for index, vaccine in enumerate(entries):
        where = f"{place}/entries/{index}"
        row = table.row()
        label = row.cell(vaccine.vaccine.preparation or vaccine.vaccine.label, "vac")
        row.cell(code_words(ACTS[vaccine.act]))
        moment_cell(row, vaccine.given_at)
        filled: dict[str, tuple[str, str]] = {}
        if vaccine.rank is not None:
            filled["rank"] = (str(vaccine.rank), "rang")
        if vaccine.dose is not None:
            filled["dose"] = (words.amount(vaccine.dose), "dose")
        if vaccine.route is not None:
            filled["route"] = (code_words(vaccine.route), "voie")
        if vaccine.site is not None:
            filled["site"] = (code_words(vaccine.site), "region")
        references = columns.cells(row, filled)

        element = _administration(section)
        uid(element, builder, vaccine.id, where)
        code(element, ACTS[vaccine.act])
        reference_text(element, label)
        status(element)
        ts(element, "effectiveTime", vaccine.given_at)
        if vaccine.route is not None:
            original_text(code(element, vaccine.route, "routeCode"), references["route"])
        if vaccine.site is not None:
            original_text(code(element, vaccine.site, "approachSiteCode"), references["site"])
        if vaccine.dose is not None:
            pq(element, "doseQuantity", vaccine.dose, reference=references["dose"])
        product(element, vaccine.vaccine, label, pharmacy=False, typed=True)
        if vaccine.rank is not None:
            _rank(element, vaccine.rank)
        builder.log.carried(where, "FR-Vaccination")


def _administration(section: Element) -> Element:
    element = sub(
        sub(section, "entry"), "substanceAdministration", classCode="SBADM", moodCode="EVN", negationInd="false"
    )
    templates(element, VACCINE)
    return element


def _rank(element: Element, rank: int) -> None:
    relationship = sub(element, "entryRelationship", typeCode="SUBJ")
    observation = sub(relationship, "observation", classCode="OBS", moodCode="EVN")
    templates(observation, RANK)
    code(observation, _RANK_CODE)
    status(observation)
    sub(observation, "value", value=str(rank)).set(XSI_TYPE, "INT")


def no_immunization(
    section: Element, narrative: Narrative, builder: Builder, plan: SectionPlan, absence: Absence, place: str
) -> None:
    """Add the entry that says there is no known vaccination, or no information (VSM section 4)."""
    reference = narrative.paragraph(absence_words(plan, absence), "absence")
    element = _administration(section)
    uid(element, builder, None, f"{place}#absence")
    concept(element, Concept(code=plan.absence_code(absence)), reference)
    reference_text(element, reference)
    status(element)
    null(element, "effectiveTime", "NA")
    no_product(element, pharmacy=False)


# --- Devices --------------------------------------------------------------------------------------


def devices(
    section: Element, narrative: Narrative, builder: Builder, entries: Sequence[UsedDevice], place: str
) -> None:
    """Add devices to a section, with their table."""
    table = narrative.table("Dispositif médical", "Période")
    for index, device in enumerate(entries):
        where = f"{place}/entries/{index}"
        row = table.row()
        label = row.cell(device.concept.label, "dm")
        row.cell(words.period_text(device.period) if device.period is not None else None)
        element = sub(sub(section, "entry"), "supply", classCode="SPLY", moodCode="EVN")
        templates(element, DEVICE)
        uid(element, builder, device.id, where)
        reference_text(element, label)
        ivl_ts(element, "effectiveTime", device.period, xsi_type=True)
        concept(_playing(element), device.concept, label, uncoded="UNK")
        builder.log.carried(where, "FR-Dispositif-medical")


def _playing(element: Element) -> Element:
    role = sub(sub(element, "participant", typeCode="DEV"), "participantRole", classCode="MANU")
    return sub(role, "playingDevice", classCode="DEV", determinerCode="INSTANCE")


def no_device(
    section: Element, narrative: Narrative, builder: Builder, plan: SectionPlan, absence: Absence, place: str
) -> None:
    """Add the entry that says there is no known device, or no information (VSM section 4)."""
    reference = narrative.paragraph(absence_words(plan, absence), "absence")
    element = sub(sub(section, "entry"), "supply", classCode="SPLY", moodCode="EVN")
    templates(element, DEVICE)
    null(element, "id", "NA")
    reference_text(element, reference)
    null(element, "effectiveTime", "NA")
    concept(_playing(element), Concept(code=plan.absence_code(absence)), reference)
