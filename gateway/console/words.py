"""The words of the pages: French numbers and dates, and what codes are called."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from fractions import Fraction
from typing import Any, Final

from gateway.feeds.entry import KINDS, PARIS
from gateway.feeds.evaluate import decimal
from gateway.feeds.progress import french_day, french_number, french_percent
from gateway.feeds.suppression import SMALL
from gateway.journey.states import CAUSES, CauseCode

__all__ = [
    "DIMENSIONS",
    "OUTCOMES",
    "SERVICES",
    "cell",
    "day",
    "euros",
    "hours",
    "month",
    "named",
    "number",
    "percent",
    "plural",
    "short",
]

SERVICES: Final[Mapping[str, str]] = {
    "dmp.document": "DMP",
    "mss.message": "MSSanté",
    "eprescription": "Ordonnance numérique",
    "ins.check": "INS",
    "apcv.use": "Appli carte Vitale",
    "ecps.session": "e-CPS",
    "attestation": "Attestation",
    "measure.imported": "Mesure importée",
    "membership": "Appartenance",
    "correction": "Correction",
    "conflict": "Conflit",
    "period.closed": "Période close",
    "audit.query": "Consultation",
    "subject.erased": "Effacement",
}

OUTCOMES: Final[Mapping[str, str]] = {
    "submitted": "soumis",
    "accepted": "accepté",
    "rejected": "refusé",
    "abandoned": "abandonné",
    "expired": "expiré",
    "withdrawn": "retiré",
    "replaced": "remplacé",
    "metadata_changed": "fiche modifiée",
    "deleted": "supprimé",
    "delivered": "remis",
    "read": "lu",
    "failed": "en échec",
    "unknown": "sans nouvelle",
    "duplicate": "en double",
    "created": "créée",
    "cancelled": "annulée",
    "dispensed": "exécutée",
    "verified": "vérifiée",
    "retrieved": "récupérée",
    "not_found": "non trouvée",
    "mismatch": "traits différents",
    "used": "utilisée",
    "refused": "refusé",
    "authenticated": "authentifié",
    "declared": "déclaré",
    "ended": "terminé",
    "imported": "importée",
    "corrected": "corrigé",
    "closed": "close",
    "amended": "modifiée",
    "answered": "répondue",
    "erased": "effacé",
}

#: What groups and filters are called.
DIMENSIONS: Final[Mapping[str, str]] = {
    "month": "mois",
    "service": "service",
    "outcome": "issue",
    "type": "type de document",
    "reason": "motif",
    "profession": "profession",
    "structure": "structure",
    "professional": "professionnel",
    "recipient": "destinataire",
    "mode": "mode de prise en charge",
    "place": "lieu de prise en charge",
    "ins": "statut de l'INS",
    "test": "identité de test",
    "membership": "organisation",
    "software": "logiciel",
    "tenant": "journal",
    "day": "jour",
}

#: Document types most often fed (LOINC and TRE_A05, JDV_J07), as a practitioner calls them.
_TYPES: Final[Mapping[str, str]] = {
    "11488-4": "Compte rendu ou fiche de consultation",
    "11490-0": "Lettre de liaison à la sortie",
    "11502-2": "Compte rendu de biologie",
    "11506-3": "Note de suivi",
    "18725-2": "Compte rendu de microbiologie",
    "18748-4": "Compte rendu d'imagerie",
    "34105-7": "Compte rendu hospitalier",
    "34112-3": "Synthèse",
    "47420-5": "Évaluation fonctionnelle",
    "57133-1": "Lettre à un confrère",
    "57833-6": "Prescription de médicaments",
    "60591-5": "Volet de synthèse médicale",
    "60593-1": "Dispensation",
    "11369-6": "Historique des vaccinations",
    "87273-9": "Note de vaccination",
    "29551-9": "Prescription",
    "DISPENSATION": "Dispensation",
    "BILAN_MEDICATION": "Bilan de médication",
}
#: Professions (TRE_G15).
_PROFESSIONS: Final[Mapping[str, str]] = {
    "10": "Médecin",
    "21": "Pharmacien",
    "26": "Audioprothésiste",
    "28": "Opticien-lunetier",
    "40": "Chirurgien-dentiste",
    "50": "Sage-femme",
    "60": "Infirmier",
    "69": "Infirmier psychiatrique",
    "70": "Masseur-kinésithérapeute",
    "80": "Pédicure-podologue",
    "91": "Orthophoniste",
    "92": "Orthoptiste",
    "98": "Manipulateur ERM",
}
_REASONS: Final[Mapping[str, str]] = {
    **{str(code): text[0].fr.rstrip(".") for code, text in CAUSES.items() if isinstance(code, CauseCode)},
    "new_version": "Nouvelle version d'un document déjà compté",
    "metadata_only": "Masquage ou changement de fiche seulement",
    "duplicate": "Même contenu déjà compté",
    "earlier_period": "Lignée comptée dans une période antérieure",
    "partial": "Exécution partielle d'une ordonnance déjà comptée",
    "cancelled": "Ordonnance annulée",
    "deleted_by_author": "Supprimé par son auteur avant la clôture",
    "excluded.test": "Identité, certificat ou plateforme de test",
    "excluded.not_test": "N'est pas un essai",
    "excluded.ins": "INS non qualifiée",
    "excluded.ald": "Patient absent de la liste ALD",
    "excluded.no_patient": "Patient inconnu du journal ou effacé",
    "excluded.no_encounter": "Venue ou séjour non indiqué",
    "dmp_closed": "DMP fermé ou inexistant",
    "opposition": "Opposition du patient",
    "wrong_patient": "Erreur de patient",
}
_OTHERS: Final[Mapping[str, Mapping[str, str]]] = {
    "ins": {
        "provisoire": "provisoire",
        "recuperee": "récupérée",
        "validee": "validée",
        "qualifiee": "qualifiée",
    },
    "mode": {
        "presentiel": "présentiel",
        "teleconsultation": "téléconsultation",
        "telesoin": "télésoin",
        "tele_expertise": "téléexpertise",
    },
    "recipient": {
        "ps": "professionnel",
        "bal_org": "boîte organisationnelle",
        "bal_app": "boîte applicative",
        "citizen": "patient",
    },
    "test": {"0": "non", "1": "oui"},
}
_BY_DIMENSION: Final[Mapping[str, Mapping[str, str]]] = {
    "service": SERVICES,
    "outcome": OUTCOMES,
    "type": _TYPES,
    "profession": _PROFESSIONS,
    "reason": _REASONS,
    **_OTHERS,
}
_MONTHS: Final = "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.".split()

number = french_number


def named(dimension: str, value: str) -> str:
    """What a value of a dimension is called on the page; the code itself when it has no name here."""
    if dimension == "month":
        return month(value)
    if not value:
        return "non précisé"
    known = _BY_DIMENSION.get(dimension, {}).get(value)
    if known is None:
        return value
    return f"{known} ({value})" if dimension == "type" else known


def cell(count: int | None) -> str:
    """A count as it is shown; ``< 11`` when it is withheld."""
    return f"<\u202f{SMALL}" if count is None else french_number(count)


def percent(rate: Fraction) -> str:
    """A rate, never rounded up to a threshold it does not reach."""
    return french_percent(rate)


def euros(amount: Fraction | None, rounding: str = "cent") -> str:
    """An amount in euros, ``2 340,00 €``; a dash when it cannot be computed."""
    if amount is None:
        return "non calculable"
    text = decimal(amount, rounding)
    whole, _, cents = text.lstrip("-").partition(".")
    return f"{'-' if text.startswith('-') else ''}{french_number(int(whole))},{cents}\u00a0€"


def day(value: str | date) -> str:
    """A day as French readers write it: ``22 nov. 2026``."""
    return french_day(date.fromisoformat(value) if isinstance(value, str) else value)


def month(value: str) -> str:
    """A month, ``nov. 2026``, from ``2026-11``; anything else is given back as it is."""
    try:
        first = date.fromisoformat(f"{value}-01")
    except ValueError:
        return value or "non daté"
    return f"{_MONTHS[first.month - 1]} {first.year}"


def hours(value: str | datetime | None) -> str:
    """An instant in Paris, ``22 nov. 2026 à 09:30``; ``jamais`` for none."""
    if value is None:
        return "jamais"
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    here = instant.astimezone(PARIS)
    return f"{french_day(here.date())} à {here:%H:%M}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: ``1 document``, ``4 812 documents``; French counts 0 and 1 as one."""
    return f"{french_number(count)}\u00a0{one if count < 2 else (many or one + 's')}"


def short(value: Any, length: int = 12) -> str:
    """The beginning of a hash."""
    text = str(value or "")
    return text if len(text) <= length else f"{text[:length]}…"


if missing := {state for states in KINDS.values() for state in states} - OUTCOMES.keys():
    raise AssertionError(f"states without a name: {sorted(missing)}")
