"""A document of the hub model as a view: header data, then each section in words and tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mappings.document.dispensation import Dispensation
from mappings.document.header import DocumentBase, Participant
from mappings.document.other import OtherDocument
from mappings.document.people import Organization, Patient, Professional
from mappings.document.prescription import MedicationLine, Prescription
from mappings.document.report import Report
from mappings.document.summary import MedicalSummary
from mappings.rendering.narrative import Block
from mappings.rendering.parts import ins_text
from mappings.rendering.posology import sentence
from mappings.rendering.prescription import CONTEXT_MARKS, line_marks, line_rows
from mappings.rendering.view import Fact, Group, Section, View, bullets, grid, paragraph
from mappings.rendering.words import (
    address_lines,
    amount,
    date_text,
    identity_name,
    moment_text,
    period_text,
    person_name,
    professional_id,
    professional_name,
    sex_text,
    structure_id,
    telecom_text,
)

__all__ = ["view_of_document"]

#: JDV_CompletudeDispensation (1.2.250.1.213.1.1.5.765), in words.
COMPLETENESS = {
    "FFC": "Première délivrance, complète",
    "FFP": "Première délivrance, partielle",
    "RFC": "Délivrance suivante, complète",
    "RFP": "Délivrance suivante, partielle",
}
_ROLES = {"REF": "Prescripteur", "RESP": "Responsable", "PRF": "Exécutant souhaité", "CON": "Consultant"}


def view_of_document(document: DocumentBase) -> View:
    """What is shown of a document of any kind."""
    first = document.first_professional
    return View(
        title=document.title,
        kind=document.type.display or "",
        date=document.created_at,
        language=document.language,
        author=professional_name(first) if first else "",
        groups=tuple(group for group in _groups(document) if group.facts),
        sections=tuple(_sections(document)),
    )


def _facts(*pairs: tuple[str, str | None]) -> tuple[Fact, ...]:
    return tuple(Fact(label, value) for label, value in pairs if value)


# -- header ---------------------------------------------------------------------------------------------------------


def _groups(document: DocumentBase) -> Iterator[Group]:
    yield _patient(document.patient)
    for author in document.authors:
        when = moment_text(author.time) if author.time else None
        function = author.function.display if author.function else None
        if author.professional:
            facts = (*_professional(author.professional), *_facts(("Fonction", function), ("le", when)))
            yield Group("Auteur", facts)
        elif author.device:
            device = author.device
            yield Group("Auteur", _facts(("", device.software), ("", device.manufacturer_model), ("le", when)))
    if document.legal_authenticator:
        yield Group("Responsable", _professional(document.legal_authenticator.professional))
    for signer in document.authenticators:
        yield Group("Validé par", _professional(signer.professional))
    if document.custodian:
        yield Group("Conservé par", _organization(document.custodian))
    for recipient in document.recipients:
        name = person_name(recipient.family, recipient.given, recipient.prefix, recipient.suffix)
        place = recipient.organization.name if recipient.organization else None
        yield Group("Destinataire", _facts(("", name), ("", place)))
    for participant in document.participants:
        yield _participant(participant)
    marks = [act.code.display or act.code.code for act in document.acts if act.informative and act.code]
    yield Group("Contexte", _facts(*(("", mark) for mark in marks)))
    for act in document.acts:
        if act.informative:
            continue
        label = act.code.display or act.code.code if act.code else None
        yield Group(
            "Acte",
            _facts(
                ("", label),
                ("Date", period_text(act.period) if act.period else None),
                ("Réalisé par", professional_name(act.performer) if act.performer else None),
            ),
        )
    place_words = document.encounter.facility.display or document.encounter.facility.code
    code = document.encounter.code
    yield Group(
        "Prise en charge",
        _facts(
            ("", (code.display or code.code) if code else None),
            ("Date", period_text(document.encounter.period)),
            ("Lieu", place_words),
            ("", document.encounter.location_name),
        ),
    )
    if document.version_number > 1 or document.replaces:
        replaced = "remplace une version précédente" if document.replaces else None
        yield Group("Version", _facts(("", str(document.version_number)), ("", replaced)))


def _patient(patient: Patient) -> Group:
    place = " ".join(part for part in (patient.birth_place_name, patient.birth_place) if part)
    return Group(
        "Patient",
        (
            *_facts(*identity_name(patient)),
            *_facts(
                ("Sexe", sex_text(patient.sex)),
                ("Date de naissance", date_text(patient.birth_date)),
                ("Lieu de naissance", place),
                ("INS", ins_text(patient)),
                ("Identité", None if patient.qualified else patient.status.value),
                ("Adresse", ", ".join(address_lines(patient.addresses))),
            ),
            *_telecoms(patient.telecoms),
        ),
    )


def _telecoms(telecoms: Any) -> tuple[Fact, ...]:
    facts = []
    for telecom in telecoms:
        label, _, value = telecom_text(telecom).partition("\u00a0")
        facts.append(Fact(label, value) if value else Fact("", label))
    return tuple(facts)


def _professional(person: Professional) -> tuple[Fact, ...]:
    label, _, number = professional_id(person).rpartition(" ")
    place = person.organization or Organization()
    return (
        *_facts(
            ("", professional_name(person)),
            ("", (person.specialty.display or person.specialty.code) if person.specialty else None),
            (label, number),
        ),
        *_organization(place, person.addresses),
        *_telecoms(dict.fromkeys((*person.telecoms, *place.telecoms))),
    )


def _organization(place: Organization, addresses: Any = ()) -> tuple[Fact, ...]:
    label, _, number = structure_id(place).rpartition(" ")
    return _facts(
        ("", place.name), (label, number), ("Adresse", ", ".join(address_lines(addresses or place.addresses)))
    )


def _participant(participant: Participant) -> Group:
    function = participant.function
    label = (function.display if function else None) or _ROLES.get(participant.type, "Participant")
    place = participant.organization
    return Group(
        label,
        _facts(
            ("", person_name(participant.family, participant.given, participant.prefix, participant.suffix)),
            ("", (participant.code.display or participant.code.code) if participant.code else None),
            ("", place.name if place else None),
            ("le", period_text(participant.time) if participant.time else None),
        ),
    )


# -- content --------------------------------------------------------------------------------------------------------


def _sections(document: DocumentBase) -> Iterator[Section]:
    if isinstance(document, MedicalSummary):
        from mappings.rendering.view_summary import summary_sections

        yield from summary_sections(document)
    elif isinstance(document, Dispensation):
        yield from _dispensation(document)
    elif isinstance(document, Prescription):
        yield from _prescription(document)
    elif isinstance(document, Report):
        yield from _report(document)
    elif isinstance(document, OtherDocument):
        from mappings.rendering.view_other import other_sections

        yield from other_sections(document)


def _prescription(document: Prescription) -> Iterator[Section]:
    marks = [CONTEXT_MARKS.get(mark, mark) for mark in document.context_marks]
    facts = [
        f"Numéro de l'ordonnance : {document.number}" if document.number else "",
        f"Contexte : {', '.join(marks)}" if marks else "",
        f"Poids : {amount(document.weight)}" if document.weight else "",
        f"Taille : {amount(document.height)}" if document.height else "",
        "" if document.pregnant is None else "Grossesse en cours" if document.pregnant else "Pas de grossesse en cours",
    ]
    if any(facts):
        yield Section("", tuple(paragraph(fact) for fact in facts if fact))
    rows: list[tuple[str, ...]] = []
    for line in document.lines:
        name = line.medication.label if isinstance(line, MedicationLine) else line.name
        said = line_rows(line)
        words = ["".join(run.text for run in text) if isinstance(text, list) else text for _, text in said]
        ald = ["Liée à une ALD"] if line.marks.ald else []
        rows.append((name, "\n".join(words), "\n".join([*ald, *line_marks(line)])))
    yield Section("Prescriptions", (grid(("Produit", "Posologie et quantité", "Mentions"), rows),))
    if document.comment:
        yield Section("Commentaire", (paragraph(document.comment),))


def _dispensation(document: Dispensation) -> Iterator[Section]:
    if document.prescription_number:
        yield Section("", (paragraph(f"Ordonnance n° {document.prescription_number}"),))
    rows: list[tuple[str, ...]] = []
    for line in document.lines:
        medicine = line.medication
        product = [medicine.label, *(f"{code.system_name or 'Code'} {code.code}" for code in medicine.codes)]
        if medicine.lot_number:
            product.append(f"Lot {medicine.lot_number}")
        if medicine.expires_on:
            product.append(f"Péremption {date_text(medicine.expires_on)}")
        given = [amount(line.quantity), COMPLETENESS[line.completeness]]
        if line.dispensed_at:
            given.append(f"le {moment_text(line.dispensed_at)}")
        remarks = []
        if line.substitution:
            reason = f" : {line.substitution.reason}" if line.substitution.reason else ""
            remarks.append(f"Substitution{reason}")
        if line.changed_posology:
            remarks.append(f"Posologie modifiée : {sentence(line.changed_posology, medicine)}")
        if line.patient_instruction:
            remarks.append(f"Pour le patient : {line.patient_instruction}")
        if line.note:
            remarks.append(f"Note du pharmacien : {line.note}")
        rows.append(("\n".join(product), "\n".join(given), "\n".join(remarks)))
    yield Section("Produits délivrés", (grid(("Produit", "Quantité délivrée", "Remarques"), rows),))
    if document.refused:
        yield Section("Lignes non délivrées", (bullets(*(line.reason for line in document.refused)),))


def _report(document: Report) -> Iterator[Section]:
    yield Section("", report_blocks(document))


def report_blocks(document: Report) -> tuple[Block, ...]:
    """The text of a report, a paragraph for each blank line; a file of another kind is named."""
    if document.media_type == "text/plain":
        words = document.content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
        return tuple(paragraph(part.strip("\n")) for part in words.split("\n\n") if part.strip())
    if document.media_type == "text/rtf":
        from mappings.rendering.convert import rtf_text

        return tuple(paragraph(part) for part in rtf_text(document.content).split("\n") if part.strip())
    return (paragraph(f"[fichier joint : {document.media_type}, {len(document.content)} octets]"),)
