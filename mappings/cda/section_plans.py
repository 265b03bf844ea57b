"""The sections of a medical summary: templates, codes and titles, and the words said when there is nothing to say.

Source: CI-SIS VSM 2023.01 and IPS-FR 2024.01, volet "modèles de contenus CDA"; codes of "none" and "no information":
absent-or-unknown value sets of the CI-SIS (2.16.840.1.113883.5.1150.1).
"""

from __future__ import annotations

from dataclasses import dataclass

from mappings.cda.sections_write import LOINC
from mappings.document.summary import Absence
from mappings.document.values import Code

__all__ = ["ABSENT", "ATTACHED", "IPS_VIGILANCE", "NOTHING_SAID", "PLANS", "WRAPPERS", "SectionPlan", "absence_words"]

#: Code system of the values that say "none" or "no information".
ABSENT = "2.16.840.1.113883.5.1150.1"
#: Written where a text is imposed and the document says nothing.
NOTHING_SAID = "Non renseigné."


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionPlan:
    """What is fixed in a section."""

    templates: tuple[str, ...]  #: every templateId
    code: Code
    title: str
    none: str = "Néant"  #: words of "none known"
    unknown: str = "Aucune information"  #: words of "no information"
    none_code: str | None = None  #: code of "none known", for the sections that have an entry to say so
    unknown_code: str | None = None
    coded: frozenset[str] = frozenset()  #: templates that impose an entry: left out when there are only words

    def absence_code(self, absence: Absence) -> Code | None:
        """The code that says why there is no entry; None when this section has none."""
        value = self.none_code if absence is Absence.NONE_KNOWN else self.unknown_code
        if value is None:
            return None
        return Code(code=value, system=ABSENT, display=absence_words(self, absence))


def absence_words(plan: SectionPlan, absence: Absence) -> str:
    """What people read when there is no entry."""
    return plan.none if absence is Absence.NONE_KNOWN else plan.unknown


def _loinc(value: str, display: str) -> Code:
    return Code(code=value, system=LOINC, display=display, system_name="LOINC")


#: The parts of a summary, by member of the hub model. VSM section 2, sections 3.13 and 7.
PLANS = {
    "problems": SectionPlan(
        templates=("2.16.840.1.113883.10.20.1.11", "1.3.6.1.4.1.19376.1.5.3.1.3.6", "1.2.250.1.213.1.1.2.132"),
        code=_loinc("11450-4", "Liste des problèmes actifs"),
        title="Problèmes actifs",
        none="Aucun problème actif connu",
        unknown="Aucune information sur les problèmes actifs",
        none_code="no-known-problems",
        unknown_code="no-problem-info",
    ),
    "history": SectionPlan(
        templates=("1.3.6.1.4.1.19376.1.5.3.1.3.8", "1.2.250.1.213.1.1.2.134"),
        code=_loinc("11348-0", "Antécédents médicaux"),
        title="Antécédents médicaux",
        none="Aucun antécédent médical connu",
        unknown="Aucune information sur les antécédents médicaux",
        none_code="no-known-problems",
        unknown_code="no-problem-info",
    ),
    "procedures": SectionPlan(
        templates=(
            "2.16.840.1.113883.10.20.1.12",
            "1.3.6.1.4.1.19376.1.5.3.1.3.11",
            "1.3.6.1.4.1.19376.1.5.3.1.3.12",
            "1.2.250.1.213.1.1.2.136",
        ),
        code=_loinc("47519-4", "Historique des actes"),
        title="Antécédents chirurgicaux et actes",
        none="Aucun acte connu",
        unknown="Aucune information sur les actes",
        none_code="no-known-procedures",
        unknown_code="no-procedure-info",
    ),
    "allergies": SectionPlan(
        templates=("2.16.840.1.113883.10.20.1.2", "1.3.6.1.4.1.19376.1.5.3.1.3.13", "1.2.250.1.213.1.1.2.137"),
        code=_loinc("48765-2", "Allergies"),
        title="Allergies et hypersensibilités",
        none="Aucune allergie connue",
        unknown="Aucune information sur les allergies",
        none_code="no-known-allergies",
        unknown_code="no-allergy-info",
    ),
    "lifestyle": SectionPlan(
        templates=(
            "2.16.840.1.113883.10.20.1.15",
            "1.3.6.1.4.1.19376.1.5.3.1.3.16",
            "1.3.6.1.4.1.19376.1.5.3.1.3.16.1",
            "1.2.250.1.213.1.1.2.141",
        ),
        code=_loinc("29762-2", "Habitus, mode de vie"),
        title="Habitus, mode de vie",
        coded=frozenset({"1.3.6.1.4.1.19376.1.5.3.1.3.16.1"}),
        none="Aucun élément notable du mode de vie",
        unknown="Aucune information sur le mode de vie",
    ),
    "occupational_risks": SectionPlan(
        templates=("1.3.6.1.4.1.19376.1.5.3.1.1.5.3.1", "1.2.250.1.213.1.1.2.74"),
        code=_loinc("10161-8", "Facteurs de risque professionnels"),
        title="Facteurs de risque professionnels",
    ),
    "family_history": SectionPlan(
        templates=(
            "2.16.840.1.113883.10.20.1.4",
            "1.3.6.1.4.1.19376.1.5.3.1.3.14",
            "1.3.6.1.4.1.19376.1.5.3.1.3.15",
            "1.2.250.1.213.1.1.2.139",
        ),
        code=_loinc("10157-6", "Historique des pathologies familiales"),
        title="Antécédents familiaux",
        coded=frozenset({"1.3.6.1.4.1.19376.1.5.3.1.3.15"}),
        none="Aucun antécédent familial connu",
        unknown="Aucune information sur les antécédents familiaux",
    ),
    "vigilance": SectionPlan(
        templates=("1.3.6.1.4.1.19376.1.5.3.1.3.27", "1.2.250.1.213.1.1.2.150"),
        code=_loinc("30954-2", "Résultats d'examens"),
        title="Points de vigilance",
    ),
    "treatments": SectionPlan(
        templates=("2.16.840.1.113883.10.20.1.8", "1.3.6.1.4.1.19376.1.5.3.1.3.19", "1.2.250.1.213.1.1.2.143"),
        code=_loinc("10160-0", "Traitements"),
        title="Traitements",
        none="Aucun traitement au long cours",
        unknown="Aucune information sur les traitements",
        none_code="no-known-medications",
        unknown_code="no-medication-info",
    ),
    "immunizations": SectionPlan(
        templates=("2.16.840.1.113883.10.20.1.6", "1.3.6.1.4.1.19376.1.5.3.1.3.23", "1.2.250.1.213.1.1.2.147"),
        code=_loinc("11369-6", "Historique des vaccinations"),
        title="Vaccinations",
        none="Aucune vaccination connue",
        unknown="Aucune information sur les vaccinations",
        none_code="no-known-immunizations",
        unknown_code="no-immunization-info",
    ),
    "devices": SectionPlan(
        templates=("2.16.840.1.113883.10.20.1.7", "1.3.6.1.4.1.19376.1.5.3.1.1.5.3.5", "1.2.250.1.213.1.1.2.1"),
        code=_loinc("46264-8", "Dispositifs médicaux"),
        title="Dispositifs médicaux",
        none="Aucun dispositif médical connu",
        unknown="Aucune information sur les dispositifs médicaux",
        none_code="no-known-devices",
        unknown_code="no-device-info",
    ),
    "vital_signs": SectionPlan(
        templates=(
            "2.16.840.1.113883.10.20.1.16",
            "1.3.6.1.4.1.19376.1.5.3.1.3.25",
            "1.3.6.1.4.1.19376.1.5.3.1.1.5.3.2",
            "1.2.250.1.213.1.1.2.75",
        ),
        code=_loinc("8716-3", "Signes vitaux"),
        title="Signes vitaux",
        coded=frozenset({"1.3.6.1.4.1.19376.1.5.3.1.1.5.3.2"}),
        none="Aucune mesure",
        unknown="Aucune information sur les signes vitaux",
    ),
    "results": SectionPlan(
        templates=("1.2.250.1.213.1.1.2.244",),
        code=_loinc("30954-2", "Résultats d'examens"),
        title="Résultats",
        none="Aucun résultat d'examen",
        unknown="Aucune information sur les résultats d'examens",
    ),
    "functional_status": SectionPlan(
        # HL7 International Patient Summary, FR-Statut-fonctionnel.
        templates=("2.16.840.1.113883.10.22.3.8", "1.2.250.1.213.1.1.2.246"),
        code=_loinc("47420-5", "Statut fonctionnel"),
        title="Statut fonctionnel",
        none="Aucune limitation fonctionnelle connue",
        unknown="Aucune information sur le statut fonctionnel",
    ),
    "care_plan": SectionPlan(
        templates=("2.16.840.1.113883.10.20.1.10", "1.3.6.1.4.1.19376.1.5.3.1.3.36", "1.2.250.1.213.1.1.2.158"),
        code=_loinc("18776-5", "Plan de soins"),
        title="Plan de soins",
        none="Aucun soin prévu",
        unknown="Aucune information sur les soins prévus",
    ),
    "pregnancies": SectionPlan(
        templates=("1.3.6.1.4.1.19376.1.5.3.1.1.5.3.4", "1.2.250.1.213.1.1.2.77"),
        code=_loinc("10162-6", "Historique des grossesses"),
        title="Historique des grossesses",
        coded=frozenset({"1.3.6.1.4.1.19376.1.5.3.1.1.5.3.4"}),
        none="Aucune grossesse connue",
        unknown="Aucune information sur les grossesses",
    ),
    "advance_directives": SectionPlan(
        templates=("2.16.840.1.113883.10.20.1.1", "1.3.6.1.4.1.19376.1.5.3.1.3.34", "1.2.250.1.213.1.1.2.157"),
        code=_loinc("42348-3", "Directives anticipées"),
        title="Directives anticipées",
    ),
}

#: Documents joined to a summary (IPS-FR section 7).
ATTACHED = SectionPlan(
    templates=("1.2.250.1.213.1.1.2.37",),
    code=_loinc("55107-7", "Documents ajoutés"),
    title="Documents joints",
)

#: Points of vigilance where they have a code of their own (IPS-FR section 7).
IPS_VIGILANCE = SectionPlan(
    templates=("1.2.250.1.213.1.1.2.245",),
    code=_loinc("44944-7", "Points de vigilance"),
    title="Points de vigilance",
)

#: Sections that only hold others (VSM section 2).
WRAPPERS = {
    "summary": SectionPlan(
        templates=("1.2.250.1.213.1.1.2.29",),
        code=_loinc("46612-8", "Conclusions de synthèse"),
        title="Pathologies, antécédents, allergies et facteurs de risque",
    ),
    "conditions": SectionPlan(
        templates=("1.2.250.1.213.1.1.2.30",),
        code=_loinc("34117-2", "Historique et clinique"),
        title="Pathologies en cours, antécédents et allergies",
    ),
    "risks": SectionPlan(
        templates=("1.2.250.1.213.1.1.2.31",),
        code=_loinc("57207-3", "Facteurs de risque"),
        title="Facteurs de risque",
    ),
    "plan": SectionPlan(
        templates=("1.2.250.1.213.1.1.2.32",),
        code=_loinc("18776-5", "Plan de traitement"),
        title="Traitement au long cours",
    ),
}
