"""Parts common to printed pages: who the patient is, who wrote, page numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime

from mappings.document.header import DocumentBase
from mappings.document.people import IdentityStatus, Organization, Patient, Professional
from mappings.document.values import moment_key
from mappings.rendering.layout import BLUE, GREY, Run, Style
from mappings.rendering.pdfa import PdfMeta
from mappings.rendering.sheet import Sheet
from mappings.rendering.words import (
    address_lines,
    date_text,
    identity_name,
    professional_id,
    professional_name,
    sex_text,
    structure_id,
    telecom_text,
)

__all__ = [
    "BODY",
    "NOTE",
    "SECTION",
    "SMALL",
    "STRONG",
    "TITLE",
    "created_at",
    "ins_text",
    "meta_of",
    "page_footer",
    "patient_runs",
    "professional_lines",
    "structure_lines",
]

BODY = Style()
STRONG = Style(bold=True)
SMALL = Style(size=8, leading=10.5, after=1)
NOTE = Style(size=7.5, leading=9.5, colour=GREY, after=1)
TITLE = Style(size=15, leading=19, bold=True, colour=BLUE, align="centre", after=6)
SECTION = Style(size=11, leading=14, bold=True, colour=BLUE, before=7, after=3)

# Authorities of the matricule (INS referential): what the number is, in words.
_AUTHORITIES = {
    "1.2.250.1.213.1.4.8": "NIR",
    "1.2.250.1.213.1.4.9": "NIA",
    "1.2.250.1.213.1.4.10": "NIR de test",
    "1.2.250.1.213.1.4.11": "NIR de démonstration",
}
_STATUSES = {
    IdentityStatus.PROVISIONAL: "provisoire",
    IdentityStatus.RETRIEVED: "récupérée",
    IdentityStatus.VALIDATED: "validée",
    IdentityStatus.QUALIFIED: "qualifiée",
}


def created_at(document: DocumentBase, created: datetime | None) -> datetime:
    """The date of the file: the one given, else that of the document."""
    if created is not None:
        return created
    text = document.created_at
    try:
        return datetime.fromisoformat(text if len(text) > 22 else f"{text[:16]}:00{text[16:]}")
    except ValueError:
        return moment_key(text)


def meta_of(document: DocumentBase, created: datetime | None) -> PdfMeta:
    """What the file says about itself: never a trait of the patient."""
    first = document.first_professional
    return PdfMeta(
        title=document.title,
        created=created_at(document, created),
        author=professional_name(first) if first else "",
        subject=document.type.display or "",
    )


def ins_text(patient: Patient) -> str:
    """The matricule in groups, with what it is; empty unless the identity is qualified (RNIV: it is not shown else)."""
    if not patient.qualified or patient.ins is None:
        return ""
    value = patient.ins.value
    if len(value) == 15:
        cuts = (0, 1, 3, 5, 7, 10, 13, 15)
        value = "\u00a0".join(value[a:b] for a, b in itertools.pairwise(cuts))
    return f"{value} ({_AUTHORITIES.get(patient.ins.authority, patient.ins.authority)})"


def patient_runs(patient: Patient) -> list[list[Run]]:
    """The patient's identity, a line each: names and sex and birth, then the INS or the status of the identity."""
    names = identity_name(patient)
    first: list[Run] = []
    for rank, (label, value) in enumerate(names):
        first += [Run("   " if rank else ""), Run(f"{label}\u00a0:\u00a0"), Run(value, bold=True)]
    birth = date_text(patient.birth_date)
    second = [
        Run("Sexe\u00a0:\u00a0"),
        Run(sex_text(patient.sex), bold=True),
        Run("   Date de naissance\u00a0:\u00a0"),
        Run(birth, bold=True),
    ]
    place = patient.birth_place_name or patient.birth_place
    if place:
        code = f" ({patient.birth_place})" if patient.birth_place_name and patient.birth_place else ""
        second += [Run("   Lieu de naissance\u00a0:\u00a0"), Run(f"{place}{code}", bold=True)]
    rows = [first, second]
    ins = ins_text(patient)
    if ins:
        rows.append([Run("INS : "), Run(ins, bold=True)])
    else:
        rows.append([Run(f"Identité {_STATUSES[patient.status]} : le matricule INS n'est pas communiqué")])
    if patient.guardian:
        person = " ".join(part for part in (patient.guardian.given, patient.guardian.family.upper()) if part)
        rows.append([Run("Représentant : "), Run(person)])
    return rows


def professional_lines(professional: Professional) -> list[str]:
    """Who a professional is, a line each: name, specialty, national number."""
    rows = [professional_name(professional)]
    if professional.specialty:
        rows.append(professional.specialty.display or professional.specialty.code)
    number = professional_id(professional)
    return [*rows, *([number] if number else [])]


def structure_lines(professional: Professional) -> list[str]:
    """Where a professional works and how to reach them, a line each."""
    place = professional.organization or Organization()
    rows = [place.name] if place.name else []
    number = structure_id(place)
    if number:
        rows.append(number)
    rows += address_lines(professional.addresses or place.addresses)
    reach = {t.value: telecom_text(t) for t in (*professional.telecoms, *place.telecoms)}
    return [*rows, *reach.values()]


def page_footer(label: str) -> Callable[[Sheet, int, int], None]:
    """A footer that gives the page number and, on the left, what the page belongs to."""

    def draw(sheet: Sheet, number: int, total: int) -> None:
        y = sheet.height - 38
        sheet.rule(sheet.left, y - 4, sheet.right, y - 4)
        sheet.write(sheet.left, y, label, sheet.inner - 80, NOTE)
        sheet.write(
            sheet.right - 80, y, f"Page {number}/{total}", 80, Style(size=7.5, leading=9.5, colour=GREY, align="right")
        )

    return draw
