"""The rules a declared identity must follow before a document is taken, each with its code and how to mend it.

Codes: ``INS-KEY`` the number, ``INS-OID`` its authority, ``INS-TRT`` the traits, ``INS-COH`` their agreement with the
number (alerts only: civil status may change, the number may not), ``INS-STS`` the status.
"""

from __future__ import annotations

from typing import Final

from conformance.verdict import Rule, Severity, Text

__all__ = ["AUTHORITY_RULES", "LEXICAL", "MATRICULE_RULES", "RULES"]

_GUIDE: Final = "ANS, Guide d'implémentation de l'INS v3.0"
_STRUCTURE: Final = "INS, structure du matricule (Insee, NIR)"
_RNIV: Final = "RNIV 1 v2.0"
_CDA: Final = "CI-SIS, Structuration minimale 1.16, recordTarget"
_INSI_FIX: Final = Text("Relisez le matricule depuis l'INSi.", "Read the matricule again from INSi.")


def _rule(
    code: str, fr: str, en: str, fix_fr: str, fix_en: str, source: str, severity: Severity = Severity.ERROR
) -> Rule:
    return Rule(code=code, message=Text(fr, en), fix=Text(fix_fr, fix_en), source=source, severity=severity)


_ALERT: Final = Severity.WARNING
KEY: Final = Rule(
    code="INS-KEY-001",
    message=Text("La clé du matricule est fausse.", "The key of the matricule is wrong."),
    fix=_INSI_FIX,
    source=_STRUCTURE,
)
KEY_TEST: Final = Rule(
    code="INS-KEY-002",
    message=Text("La clé du matricule de test est fausse.", "The key of the test matricule is wrong."),
    fix=Text("Toléré pour une identité de test seulement.", "Tolerated for a test identity only."),
    source=_STRUCTURE,
    severity=_ALERT,
)

#: Code of an identifier error -> rule.
MATRICULE_RULES: Final = {
    "BAD_KEY": KEY,
    "BAD_FORMAT": Rule(
        code="INS-KEY-003",
        message=Text(
            "Le matricule n'a pas la forme attendue de 15 caractères.",
            "The matricule has not the expected 15 characters.",
        ),
        fix=_INSI_FIX,
        source=_STRUCTURE,
    ),
    "BAD_FIRST_DIGIT": Rule(
        code="INS-KEY-004",
        message=Text(
            "Le premier chiffre du matricule n'existe pas.", "The first digit of the matricule does not exist."
        ),
        fix=_INSI_FIX,
        source=_STRUCTURE,
    ),
    "BAD_MONTH": Rule(
        code="INS-KEY-005",
        message=Text("Le mois du matricule n'existe pas.", "The month of the matricule does not exist."),
        fix=_INSI_FIX,
        source=_STRUCTURE,
    ),
    "BAD_SERIAL": Rule(
        code="INS-KEY-006",
        message=Text("Le numéro d'ordre du matricule est nul.", "The serial number of the matricule is zero."),
        fix=_INSI_FIX,
        source=_STRUCTURE,
    ),
}
#: Answer of the authority gate -> rule.
AUTHORITY_RULES: Final = {
    "rejected_test_oid": _rule(
        "INS-OID-001",
        "Une identité de test se présente en production.",
        "A test identity came to production.",
        "Envoyez-la à une plateforme de test.",
        "Send it to a test platform.",
        _GUIDE,
    ),
    "rejected_demo_oid": _rule(
        "INS-OID-002",
        "Une identité de démonstration se présente en production.",
        "A demonstration identity came to production.",
        "Envoyez-la à une plateforme de test.",
        "Send it to a test platform.",
        _GUIDE,
    ),
    "rejected_not_ins": _rule(
        "INS-OID-003",
        "L'autorité d'affectation n'est pas une autorité INS.",
        "The assigning authority is not an INS authority.",
        "Un numéro de sécurité sociale ou un INS-C n'est pas un INS : relisez l'INS depuis l'INSi.",
        "A social security number or an INS-C is not an INS: read the INS again from INSi.",
        _GUIDE,
    ),
    "rejected_missing_oid": _rule(
        "INS-OID-004",
        "Le matricule est sans autorité d'affectation.",
        "The matricule has no assigning authority.",
        "Joignez l'OID reçu de l'INSi avec le matricule.",
        "Give the OID that INSi returned with the matricule.",
        _GUIDE + ", EXI ID 29",
    ),
}
TRAIT_MISSING: Final = _rule(
    "INS-TRT-001",
    "Un trait strict manque alors qu'un INS est donné.",
    "A strict trait is missing although an INS is given.",
    "Reprenez les cinq traits tels que l'INSi les a rendus.",
    "Take the five traits as INSi returned them.",
    _CDA,
)
LEXICAL: Final = _rule(
    "INS-TRT-002",
    "Un nom ou un prénom ne suit pas le profil lexical de l'INSi.",
    "A name does not follow the lexical profile of INSi.",
    "Corrigez la saisie : seules les lettres, l'apostrophe, le tiret et l'espace passent.",
    "Correct the entry: only letters, apostrophe, hyphen and space go through.",
    "SEL-MP-043, 2 et 3.4.1",
    _ALERT,
)
NOT_AS_RETURNED: Final = _rule(
    "INS-TRT-003",
    "Un trait d'une identité qualifiée n'est pas écrit comme l'INSi l'a rendu.",
    "A trait of a qualified identity is not written as INSi returned it.",
    "Gardez les traits stricts de l'INSi à la lettre (majuscules, sans accent).",
    "Keep the strict traits of INSi to the letter (upper case, no accent).",
    _GUIDE + ", EXI REC 08",
    _ALERT,
)
FIRST_NAME: Final = _rule(
    "INS-TRT-004",
    "Le premier prénom n'est pas le début de la liste des prénoms.",
    "The first given name is not the beginning of the list of given names.",
    "Vérifiez l'ordre des prénoms de naissance.",
    "Check the order of the birth given names.",
    _GUIDE + ", EXI ID 10",
    _ALERT,
)
SEX: Final = _rule(
    "INS-TRT-005",
    "Le sexe est indéterminé alors qu'un INS est donné.",
    "The sex is undetermined although an INS is given.",
    "L'INSi rend toujours M ou F : reprenez sa réponse.",
    "INSi always returns M or F: take its answer.",
    "SEL-MP-043, EF_INS25_04",
    _ALERT,
)
BIRTH_DATE: Final = _rule(
    "INS-TRT-006",
    "La date de naissance n'est pas une date.",
    "The birth date is not a date.",
    "Donnez AAAA-MM-JJ, complétée selon les règles du RNIV si elle est incomplète.",
    "Give YYYY-MM-DD, completed by the rules of the RNIV when incomplete.",
    _RNIV + ", EXI PP 19",
)
BIRTH_DATE_INCOMPLETE: Final = _rule(
    "INS-TRT-007",
    "La date de naissance est incomplète ou impossible.",
    "The birth date is incomplete or impossible.",
    "Complétez-la selon les règles du RNIV et marquez-la comme estimée.",
    "Complete it by the rules of the RNIV and mark it as estimated.",
    _RNIV + ", EXI PP 19",
    _ALERT,
)
BIRTH_PLACE: Final = _rule(
    "INS-TRT-008",
    "Le lieu de naissance n'est pas un code COG.",
    "The birth place is not a COG code.",
    "Donnez le code Insee de la commune, 99 et le code du pays à l'étranger, ou 99999 ; jamais un code postal.",
    "Give the Insee code of the commune, 99 and the country's code abroad, or 99999; never a postal code.",
    "Insee, Code officiel géographique",
)
COHERENCE_SEX: Final = _rule(
    "INS-COH-001",
    "Le sexe ne s'accorde pas avec le matricule.",
    "The sex does not agree with the matricule.",
    "Vérifiez qu'il s'agit de la bonne personne ; un changement de sexe à l'état civil l'explique aussi.",
    "Check that this is the right person; a change of sex in civil status explains it too.",
    _RNIV,
    _ALERT,
)
COHERENCE_DATE: Final = _rule(
    "INS-COH-002",
    "La date de naissance ne s'accorde pas avec le matricule.",
    "The birth date does not agree with the matricule.",
    "Vérifiez qu'il ne s'agit pas du matricule d'un parent.",
    "Check that this is not the matricule of a parent.",
    _RNIV,
    _ALERT,
)
COHERENCE_PLACE: Final = _rule(
    "INS-COH-003",
    "Le lieu de naissance ne s'accorde pas avec le matricule.",
    "The birth place does not agree with the matricule.",
    "Vérifiez le lieu ; un ancien code l'explique aussi.",
    "Check the place; an old code explains it too.",
    _RNIV,
    Severity.INFORMATION,
)
STATUS_UNKNOWN: Final = _rule(
    "INS-STS-001",
    "Le statut ou un attribut de l'identité n'existe pas.",
    "The status or an attribute of the identity does not exist.",
    "Statuts : provisoire, recuperee, validee, qualifiee ; attributs : homonyme, douteux, fictif.",
    "Statuses: provisoire, recuperee, validee, qualifiee; attributes: homonyme, douteux, fictif.",
    _RNIV + ", EXI SI 07",
)
STATUS_LOCKED: Final = _rule(
    "INS-STS-002",
    "Une identité douteuse ou fictive ne peut être que provisoire.",
    "A doubtful or fictitious identity can only be provisional.",
    "Levez le doute, ou rendez le statut provisoire.",
    "Clear the doubt, or make the status provisional.",
    _RNIV + ", EXI SI 09",
)
ATTRIBUTES: Final = _rule(
    "INS-STS-003",
    "Ces attributs ne peuvent pas aller ensemble.",
    "These attributes cannot go together.",
    "Seuls douteux et homonyme peuvent coexister.",
    "Only douteux and homonyme may stand together.",
    _RNIV + ", EXI SI 09",
)
QUALIFIED_WITHOUT_INS: Final = _rule(
    "INS-STS-004",
    "Une identité qualifiée est sans INS.",
    "A qualified identity has no INS.",
    "Joignez le matricule et son OID, ou corrigez le statut.",
    "Give the matricule and its OID, or correct the status.",
    _RNIV + ", EXI SI 07",
)
INS_NOT_QUALIFIED: Final = _rule(
    "INS-STS-005",
    "L'INS d'une identité non qualifiée ne sera pas transmis.",
    "The INS of an identity that is not qualified will not be sent.",
    "Récupérez l'INS puis contrôlez une pièce d'identité.",
    "Retrieve the INS, then check an identity document.",
    _GUIDE + ", EXI ID 29",
    _ALERT,
)
NIA: Final = _rule(
    "INS-STS-006",
    "Le matricule est un numéro d'attente (NIA).",
    "The matricule is a waiting number (NIA).",
    "Relancez l'INSi plus tard pour obtenir le NIR.",
    "Call INSi again later to get the NIR.",
    _GUIDE,
    Severity.INFORMATION,
)

#: Every rule of this page by code.
RULES: Final = {
    rule.code: rule
    for rule in (
        KEY_TEST,
        *MATRICULE_RULES.values(),
        *AUTHORITY_RULES.values(),
        TRAIT_MISSING,
        LEXICAL,
        NOT_AS_RETURNED,
        FIRST_NAME,
        SEX,
        BIRTH_DATE,
        BIRTH_DATE_INCOMPLETE,
        BIRTH_PLACE,
        COHERENCE_SEX,
        COHERENCE_DATE,
        COHERENCE_PLACE,
        STATUS_UNKNOWN,
        STATUS_LOCKED,
        ATTRIBUTES,
        QUALIFIED_WITHOUT_INS,
        INS_NOT_QUALIFIED,
        NIA,
    )
}
