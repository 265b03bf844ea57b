"""Rules of the document that need a calendar, a key or a file to be read: what they say, and how to mend it."""

from __future__ import annotations

from typing import Final

from conformance.verdict import Rule, Severity, Text

__all__ = ["RULES"]

_HEADER: Final = "CI-SIS, Structuration minimale 1.16"
RULES: Final[dict[str, Rule]] = {}


def _rule(
    code: str, fr: str, en: str, fix_fr: str, fix_en: str, source: str = _HEADER, severity: Severity = Severity.ERROR
) -> Rule:
    rule = Rule(code=code, message=Text(fr, en), fix=Text(fix_fr, fix_en), source=source, severity=severity)
    RULES[code] = rule
    return rule


UNREADABLE: Final = _rule(
    "CDA-STR-000",
    "Le document ne peut pas être lu.",
    "The document cannot be read.",
    "Envoyez un XML bien formé, en UTF-8, sans DOCTYPE, dans les limites de taille.",
    "Send well-formed XML, in UTF-8, without DOCTYPE, within the size limits.",
    "W3C XML 1.0 ; limites de la passerelle",
)
NO_OFFSET: Final = _rule(
    "CDA-HDR-050",
    "La date du document est sans heure ou sans décalage horaire.",
    "The document's date has no time of day or no offset.",
    "Écrivez AAAAMMJJhhmmss+hhmm, à l'heure locale du producteur.",
    "Write YYYYMMDDhhmmss+hhmm, in the producer's local time.",
)
FRACTION: Final = _rule(
    "CDA-HDR-051",
    "La date du document porte une fraction de seconde.",
    "The document's date has a fraction of a second.",
    "Arrêtez-vous à la seconde.",
    "Stop at the second.",
)
BIRTH_AFTER: Final = _rule(
    "CDA-HDR-052",
    "La date de naissance est postérieure au document.",
    "The birth date is after the document.",
    "Vérifiez les deux dates.",
    "Check both dates.",
)
NATIONAL_ID: Final = _rule(
    "CDA-HDR-055",
    "L'identifiant national (RPPS, FINESS…) est faux.",
    "The national identifier (RPPS, FINESS…) is wrong.",
    "Vérifiez le premier chiffre (nature de l'identifiant) et la clé.",
    "Check the first digit (kind of identifier) and the key.",
    "ANS, identifiants PS_IdNat et Struct_IdNat",
    Severity.WARNING,
)
FILE_BASE64: Final = _rule(
    "CDA-PDF-001",
    "Le contenu encodé en base 64 est illisible.",
    "The base 64 content cannot be read.",
    "Encodez le fichier entier en base 64, sans caractère étranger.",
    "Encode the whole file in base 64, without foreign characters.",
    "RFC 4648",
)
FILE_PDF: Final = _rule(
    "CDA-PDF-002",
    "Le fichier annoncé comme PDF n'en est pas un.",
    "The file announced as PDF is not one.",
    "Joignez un PDF/A-1 entier.",
    "Join a whole PDF/A-1.",
    "ISO 32000-1, 7.5.2",
)
FILE_IMAGE: Final = _rule(
    "CDA-PDF-003",
    "Le fichier annoncé comme image n'en est pas une de ce format.",
    "The file announced as an image is not one of this format.",
    "Accordez mediaType et le contenu du fichier.",
    "Make mediaType and the content of the file agree.",
    "CI-SIS, Structuration minimale 1.16 ; JDV_MediaType_ObservationMedia",
    Severity.WARNING,
)
FILE_EMPTY: Final = _rule(
    "CDA-PDF-004",
    "Le fichier joint est vide.",
    "The attached file is empty.",
    "Joignez le fichier, ou retirez cette partie.",
    "Join the file, or remove this part.",
    "HL7 CDA R2, 4.3.2",
)
