"""Entries of the families of a summary, wherever they stand: by the template of the entry, not by its section."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lxml import etree

from mappings.cda.node import Reader, template_roots
from mappings.cda.section_content import SectionContent
from mappings.cda.section_measures_read import read_pregnancies, read_vital_signs
from mappings.cda.section_observations_read import read_family, read_lifestyle
from mappings.cda.section_plans import PLANS
from mappings.cda.section_problems_read import read_allergies, read_problems
from mappings.cda.section_procedures_read import read_procedures, read_treatments
from mappings.cda.section_products_read import read_devices, read_immunizations
from mappings.document.other import OtherEntry

__all__ = ["family_entries"]

_Element = etree._Element

#: Template of the entry (IHE PCC, CI-SIS), member of the hub, section of a summary whose statements apply, reader. The
#: more precise template comes first.
FAMILIES: tuple[tuple[str, str, str, Callable[[SectionContent, _Element, _Element], list[Any]]], ...] = (
    ("1.3.6.1.4.1.19376.1.5.3.1.4.5.3", "allergy", "allergies", read_allergies),
    ("1.3.6.1.4.1.19376.1.5.3.1.4.5.2", "problem", "problems", read_problems),
    ("1.3.6.1.4.1.19376.1.5.3.1.4.12", "immunization", "immunizations", read_immunizations),
    ("1.3.6.1.4.1.19376.1.5.3.1.4.7", "treatment", "treatments", read_treatments),
    ("1.3.6.1.4.1.19376.1.5.3.1.4.19", "procedure", "procedures", read_procedures),
    ("1.2.250.1.213.1.1.3.20", "device", "devices", read_devices),
    ("1.3.6.1.4.1.19376.1.5.3.1.4.15", "family", "family_history", read_family),
    ("1.3.6.1.4.1.19376.1.5.3.1.4.13.1", "vital_signs", "vital_signs", read_vital_signs),
    ("1.3.6.1.4.1.19376.1.5.3.1.4.13.4", "lifestyle", "lifestyle", read_lifestyle),
    ("1.3.6.1.4.1.19376.1.5.3.1.4.13.5", "pregnancy", "pregnancies", read_pregnancies),
)


def family_entries(reader: Reader, section: _Element, entry: _Element) -> list[OtherEntry] | None:
    """What an entry of a summary's family gives: nothing when it says that there is nothing, or that something was not
    done; None when its family is another one."""
    inner = next(entry.iterchildren("{*}*"), None)
    if inner is None:
        return None
    roots = template_roots(inner)
    for template, member, plan, read in FAMILIES:
        if template in roots:
            found = read(SectionContent(reader, section, PLANS[plan]), entry, inner)
            return [OtherEntry(**{member: each}) for each in found]
    return None
