"""What the CDA reader finds amiss in a document without refusing it."""

from __future__ import annotations

from conformance.verdict import Rule, Severity, Text

__all__ = [
    "DANGLING_REFERENCE",
    "DOSE_WITHOUT_UNIT",
    "MISSING_MARK",
    "NO_OFFSET",
    "NO_PERMISSION",
    "NO_REASON",
    "UNKNOWN_PERSON",
    "UNREADABLE_TIME",
    "UNUSABLE_VALUE",
]

_CISIS = "CI-SIS structuration minimale"
_PRE = "CI-SIS eP-MED-DM 2024.01"

DANGLING_REFERENCE = Rule(
    code="CDA-READ-101",
    message=Text(
        "La référence ne mène à aucun texte de la partie narrative.", "The reference leads to no text of the narrative."
    ),
    fix=Text("Poser l'attribut ID visé dans la partie narrative.", "Put the ID in the narrative."),
    source="CDA R2 4.3.5.1",
    severity=Severity.WARNING,
)
UNREADABLE_TIME = Rule(
    code="CDA-READ-102",
    message=Text("La date n'est pas un horodatage HL7 ou n'existe pas.", "The date is not an HL7 timestamp."),
    fix=Text("Écrire YYYYMMDDhhmmss±hhmm, ou moins précis.", "Write YYYYMMDDhhmmss±hhmm, or less precise."),
    source=f"{_CISIS}, TS",
    severity=Severity.WARNING,
)
NO_OFFSET = Rule(
    code="CDA-READ-103",
    message=Text(
        "L'heure n'a pas de décalage : celui du document est supposé.",
        "The time has no offset: the document's is assumed.",
    ),
    fix=Text("Ajouter le décalage, par exemple +0100.", "Add the offset, as +0100."),
    source=f"{_CISIS}, TS",
    severity=Severity.WARNING,
)
UNUSABLE_VALUE = Rule(
    code="CDA-READ-104",
    message=Text(
        "La valeur n'a pas la forme attendue et n'a pas pu être reprise.",
        "The value does not have the expected form and could not be carried over.",
    ),
    fix=Text("Corriger la valeur dans le document source.", "Correct the value in the source."),
    source="CDA R2, types de données",
    severity=Severity.WARNING,
)
UNKNOWN_PERSON = Rule(
    code="CDA-READ-105",
    message=Text("La personne n'a pas de nom.", "The person has no name."),
    fix=Text("Donner au moins le nom (family).", "Give at least the family name."),
    source=_CISIS,
    severity=Severity.WARNING,
)
MISSING_MARK = Rule(
    code="CDA-READ-106",
    message=Text(
        "La ligne ne dit pas si cette mention s'applique : non est supposé.",
        "The line does not say whether this mark applies: no is assumed.",
    ),
    fix=Text("Écrire les mentions, négatives comprises.", "Write every mark, the negative ones too."),
    source=f"{_PRE} 4.4",
    severity=Severity.WARNING,
)
NO_PERMISSION = Rule(
    code="CDA-READ-107",
    message=Text(
        "La ligne ne dit pas si la substitution est permise : elle est supposée permise.",
        "The line does not say whether substitution is permitted: it is assumed to be.",
    ),
    fix=Text("Écrire l'autorisation de substitution.", "Write the substitution permission."),
    source=f"{_PRE} 4.4",
    severity=Severity.WARNING,
)
NO_REASON = Rule(
    code="CDA-READ-108",
    message=Text("L'interdiction de substitution n'a pas de motif.", "The substitution ban has no motive."),
    fix=Text("Donner le motif : MTE, EFG ou CIF.", "Give the motive: MTE, EFG or CIF."),
    source=f"{_PRE} 4.4",
    severity=Severity.WARNING,
)
DOSE_WITHOUT_UNIT = Rule(
    code="CDA-READ-109",
    message=Text(
        "La dose est un nombre sans unité, et rien ne dit de quoi : ni l'unité, ni la forme du médicament.",
        "The dose is a number without unit, and nothing says of what: neither the unit nor the form of the medicine.",
    ),
    fix=Text("Écrire l'unité de la dose, ou la forme du médicament.", "Write the unit of the dose, or the form."),
    source=f"{_PRE} 4.2",
    severity=Severity.WARNING,
)
