"""A medical summary as an FR-IPS document Bundle (profiles, section 6.1; mapping table, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from mappings.document.summary import Absence, MedicalSummary, Section
from mappings.document.values import Moment, Period
from mappings.fhir import clinical_out, observations_out
from mappings.fhir.bundle_out import BundleOut
from mappings.fhir.names import SYSTEMS, uri_of
from mappings.fhir.narrative_out import narrative, paragraphs, table
from mappings.fhir.report_out import attached_section, copy_section, loinc_section
from mappings.fhir.values_out import Json, absent, coding, typed
from mappings.rendering.posology import sentence

__all__ = ["ABSENCES", "IPS_TYPE", "MODELS", "SECTIONS", "model_tags", "summary_sections"]

IPS_TYPE: Final = "60591-5"
#: CDA templateId and version of each model, kept as a tag.
MODELS: Final = {
    "VSM-2023.01": ("1.2.250.1.213.1.1.1.13", "2023.01"),
    "IPS-FR-2024.01": ("1.2.250.1.213.1.1.1.51", "2024.01"),
}
ABSENT_UNKNOWN: Final = "2.16.840.1.113883.5.1150.1"
#: Codes that say "none known" and "no information" (JDV_AbsentOrUnknown*).
ABSENCES: Final = {
    "problems": ("no-known-problems", "no-problem-info"),
    "procedures": ("no-known-procedures", "no-procedure-info"),
    "allergies": ("no-known-allergies", "no-allergy-info"),
    "treatments": ("no-known-medications", "no-medication-info"),
    "immunizations": ("no-known-immunizations", "no-immunization-info"),
    "devices": ("no-known-devices", "no-device-info"),
}
#: Sections by member of the hub: LOINC code, title, and whether FR-IPS wants them always.
SECTIONS: Final = {
    "problems": ("11450-4", "Problèmes", True),
    "allergies": ("48765-2", "Allergies et hypersensibilités", True),
    "treatments": ("10160-0", "Traitements", True),
    "procedures": ("47519-4", "Historique des actes", True),
    "devices": ("46264-8", "Dispositifs médicaux", True),
    "history": ("11348-0", "Antécédents médicaux", False),
    "lifestyle": ("29762-2", "Habitus, mode de vie", False),
    "occupational_risks": ("10161-8", "Facteurs de risque professionnels", False),
    "family_history": ("10157-6", "Antécédents familiaux", False),
    "vigilance": ("44944-7", "Points de vigilance", False),
    "immunizations": ("11369-6", "Vaccinations", False),
    "results": ("30954-2", "Résultats d'examens", False),
    "vital_signs": ("8716-3", "Signes vitaux", False),
    "functional_status": ("47420-5", "Statut fonctionnel", False),
    "pregnancies": ("10162-6", "Historique des grossesses", False),
    "care_plan": ("18776-5", "Plan de soins", False),
    "advance_directives": ("42348-3", "Directives anticipées", False),
}
_ABSENCE_WORDS: Final = {Absence.NONE_KNOWN: "Aucun élément connu.", Absence.NO_INFORMATION: "Pas d'information."}
_EMPTY: Final = {Absence.NONE_KNOWN: "nilknown", Absence.NO_INFORMATION: "unavailable"}
#: Reason of an empty section whose words say it all.
SEE_TEXT: Final = "Voir le texte de la section"

Row = Callable[[Any], Sequence[str]]


def model_tags(document: MedicalSummary) -> list[Json]:
    """The former names of a summary: template and version of its CDA model, and its type when it is not that of IPS."""
    root, version = MODELS[document.profile]
    tags = [{"system": f"urn:oid:{root}", "code": version}]
    if document.type.code != IPS_TYPE:
        tags.append(coding(document.type))
    return tags


def _when(value: Moment | None) -> str:
    return value[:16].replace("T", " ") if value else ""


def _span(value: Period | None) -> str:
    if value is None:
        return ""
    return " – ".join(_when(v) for v in (value.start, value.end) if v)


def _amount(value: Any) -> str:
    if value.quantity is not None:
        return f"{value.quantity.value:f} {value.quantity.display or value.quantity.unit}"
    if value.concept is not None:
        return str(value.concept.label)
    if value.boolean is not None:
        return "oui" if value.boolean else "non"
    return value.text or ""


def _observed(value: Any) -> Sequence[str]:
    return (value.code.display or value.code.code, _amount(value.value), _when(value.observed_at))


def _measures(group: Any) -> Sequence[str]:
    signs = "; ".join(
        f"{s.code.display or s.code.code} {s.quantity.value:f} {s.quantity.display or s.quantity.unit}"
        for s in group.signs
    )
    return (_when(group.observed_at), signs)


def _results(group: Any) -> Sequence[str]:
    found = "; ".join(f"{r.code.display or r.code.code} : {_amount(r.value)}" for r in group.results)
    return (group.code.display or group.code.code, _when(group.observed_at), found)


#: Columns of the text of each section, and the row of an entry.
_TABLES: Final[dict[str, tuple[tuple[str, ...], Row]]] = {
    "problems": (("Problème", "Période", "Commentaire"), lambda v: (v.concept.label, _span(v.period), v.comment or "")),
    "allergies": (
        ("Agent", "Type", "Réactions", "Criticité", "Période", "Commentaire"),
        lambda v: (
            v.agent.label,
            v.type.display or v.type.code,
            "; ".join(r.concept.label for r in v.reactions),
            v.criticality or "",
            _span(v.period),
            v.comment or "",
        ),
    ),
    "treatments": (
        ("Médicament", "Posologie", "Période", "Instructions"),
        lambda v: (
            v.medication.label,
            sentence(v.posology, v.medication),
            _span(v.period),
            v.patient_instruction or "",
        ),
    ),
    "procedures": (
        ("Acte", "Date", "État", "Commentaire"),
        lambda v: (v.concept.label, _when(v.performed), "prévu" if v.planned else "", v.comment or ""),
    ),
    "devices": (("Dispositif", "Période"), lambda v: (v.concept.label, _span(v.period))),
    "lifestyle": (("Habitude", "Valeur", "Date"), _observed),
    "family_history": (
        ("Parent", "Maladies"),
        lambda v: (
            (v.relation.display or v.relation.code) if v.relation else "",
            "; ".join(" ".join(filter(None, (c.concept.label, _when(c.onset)))) for c in v.conditions),
        ),
    ),
    "immunizations": (
        ("Vaccin", "Date", "Rang"),
        lambda v: (v.vaccine.label, _when(v.given_at), str(v.rank or "")),
    ),
    "results": (("Examen", "Date", "Résultats"), _results),
    "vital_signs": (("Date", "Mesures"), _measures),
    "functional_status": (("Évaluation", "Valeur", "Date"), _observed),
    "pregnancies": (("Observation", "Valeur", "Date"), _observed),
    "care_plan": (("Élément prévu", "Date"), lambda v: (v.concept.label, _when(v.planned_for))),
}


def _absence_entry(out: BundleOut, member: str, absence: Absence) -> Json:
    """The entry that says "none known" or "no information" (mapping 3: same code)."""
    code = ABSENCES[member][0 if absence is Absence.NONE_KNOWN else 1]
    said = typed(uri_of(ABSENT_UNKNOWN), code)
    place = f"/{member}/absence"
    subject: Json = {"subject": out.patient}
    if member == "problems":
        active = typed(uri_of(clinical_out.CONDITION_CLINICAL), "active")
        return out.add("Condition", place, {"clinicalStatus": active, "code": said, **subject})
    if member == "procedures":
        done = {"status": "unknown", "code": said, **subject, "_performedDateTime": absent("not-applicable")}
        return out.add("Procedure", place, done)
    if member == "allergies":
        active = typed(uri_of(clinical_out.ALLERGY_CLINICAL), "active")
        return out.add("AllergyIntolerance", place, {"clinicalStatus": active, "code": said, "patient": out.patient})
    if member == "treatments":
        taken = {"status": "completed", "medicationCodeableConcept": said, **subject}
        return out.add("MedicationStatement", place, taken | {"effectivePeriod": absent("not-applicable")})
    if member == "immunizations":
        given = {"status": "completed", "vaccineCode": said, "patient": out.patient}
        return out.add("Immunization", place, given | {"occurrenceString": clinical_out.NO_DATE})
    device = out.add("Device", f"{place}/device", {"type": said, "patient": out.patient})
    return out.add("DeviceUseStatement", place, {"status": "completed", **subject, "device": device})


def _writers(out: BundleOut, known: dict[object, Json]) -> dict[str, Callable[[str, Any], Json]]:
    clinical, observed = clinical_out, observations_out
    return {
        "problems": lambda place, v: clinical.condition(out, place, v, past=False),
        "allergies": lambda place, v: clinical.allergy(out, place, v),
        "treatments": lambda place, v: clinical.treatment(out, place, v, known),
        "procedures": lambda place, v: clinical.procedure(out, place, v, known),
        "devices": lambda place, v: clinical.used_device(out, place, v),
        "lifestyle": lambda place, v: observed.lifestyle(out, place, v),
        "family_history": lambda place, v: clinical.family(out, place, v),
        "immunizations": lambda place, v: clinical.immunization(out, place, v),
        "results": lambda place, v: observed.result_group(out, place, v),
        "vital_signs": lambda place, v: observed.vital_signs(out, place, v),
        "functional_status": lambda place, v: observed.assessment(out, place, v),
        "pregnancies": lambda place, v: observed.pregnancy(out, place, v),
    }


def _camel(member: str) -> str:
    head, *rest = member.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _reason(code: str) -> Json:
    return typed(SYSTEMS["list-empty-reason"], code)


def summary_sections(out: BundleOut, document: MedicalSummary) -> list[Json]:
    """Every section, the five that FR-IPS always wants first."""
    known: dict[object, Json] = {}
    writers = _writers(out, known)
    sections: list[Json] = []
    for member, (code, title, wanted) in SECTIONS.items():
        value = getattr(document, member)
        past = document.history if member == "problems" else None
        if member == "history" and value is not None and value.entries:
            continue  # written with the problems, told apart by their status (FR Patient Summary)
        if isinstance(value, str):
            out.log.carried(f"/{_camel(member)}", "section")
            sections.append(loinc_section(code, title, narrative(paragraphs(value), generated=False)))
            continue
        has_past = past is not None and bool(past.entries)
        if value is None and not has_past:
            if wanted:
                empty = narrative(paragraphs_generated("Pas d'information."))
                sections.append(loinc_section(code, title, empty) | {"emptyReason": _reason("unavailable")})
            continue
        sections.append(_section(out, member, value, past if has_past else None, writers.get(member), known))
    if document.attachments:
        sections.append(attached_section(out, document))
    if document.pdf:
        sections.append(copy_section(out, document, document.pdf))
    return sections


def _section(
    out: BundleOut,
    member: str,
    value: Section[Any] | None,
    past: Section[Any] | None,
    writer: Callable[[str, Any], Json] | None,
    known: dict[object, Json],
) -> Json:
    code, title, wanted = SECTIONS[member]
    at = f"/{_camel(member)}"
    blocks: list[str] = []
    entries: list[Json] = []
    words = [part.text for part in (value, past) if part is not None and part.text]
    if value is not None and value.entries:
        if member == "care_plan":
            entries.append(observations_out.care_plan(out, at, value.entries))
        else:
            assert writer is not None  # noqa: S101 - every other section of entries has one
            for i, entry in enumerate(value.entries):
                entries.append(writer(f"{at}/entries/{i}", entry))
                if member == "problems" and entry.id is not None:
                    known[entry.id] = entries[-1]
        titles, row = _TABLES[member]
        blocks.append(table(titles, map(row, value.entries)))
    if past is not None:
        for i, entry in enumerate(past.entries):
            entries.append(clinical_out.condition(out, f"/history/entries/{i}", entry, past=True))
            if entry.id is not None:
                known[entry.id] = entries[-1]
        titles, row = _TABLES["problems"]
        blocks.append("<p>Antécédents</p>" + table(titles, map(row, past.entries)))
    absence = value.absence if value is not None else None
    if absence is not None:
        blocks.append(paragraphs_generated(_ABSENCE_WORDS[absence]))
        out.log.carried(f"{at}/absence", "section")
        if member in ABSENCES:
            entries.insert(0, _absence_entry(out, member, absence))
    if value is not None and value.text:
        blocks.insert(0, paragraphs(value.text))
        out.log.carried(f"{at}/text", "section.text")
    if past is not None and past.text:
        blocks.append(f'<div class="{PAST}">{paragraphs(past.text)}</div>')
        out.log.carried("/history/text", "section.text")
    section = loinc_section(code, title, narrative(*blocks, generated=not words), entries)
    if not entries:
        if absence is not None:
            section["emptyReason"] = _reason(_EMPTY[absence])
        elif wanted:
            section["emptyReason"] = {"text": SEE_TEXT}
    return section


#: Class of the words about what is past, in the section that holds both.
PAST: Final = "antecedents"


def paragraphs_generated(words: str) -> str:
    """A sentence of ours in the text of a section."""
    return f"<p>{words}</p>"
