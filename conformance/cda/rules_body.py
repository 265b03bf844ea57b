"""Rules that every template of a body shares (CDA-ENT, CDA-SEC): what they say, and how to mend it."""

from __future__ import annotations

from typing import Final

from conformance.verdict import Rule, Severity, Text

__all__ = ["ENTRY", "RULES", "SECTION"]

_SOURCE: Final = "IHE PCC et PHARM, CI-SIS modèles de contenus CDA"
RULES: Final[dict[str, Rule]] = {}
#: The rule of each word of the tables of templates, for entries and for sections.
ENTRY: Final[dict[str, Rule]] = {}
SECTION: Final[dict[str, Rule]] = {}


def _rule(
    code: str, fr: str, en: str, fix_fr: str, fix_en: str, source: str = _SOURCE, severity: Severity = Severity.ERROR
) -> Rule:
    rule = Rule(code=code, message=Text(fr, en), fix=Text(fix_fr, fix_en), source=source, severity=severity)
    RULES[code] = rule
    return rule


def _both(
    number: int, word: str, fr: str, en: str, fix_fr: str, fix_en: str, severity: Severity = Severity.ERROR
) -> None:
    ENTRY[word] = _rule(f"CDA-ENT-{number:03}", f"Entrée : {fr}", f"Entry: {en}", fix_fr, fix_en, severity=severity)
    SECTION[word] = _rule(
        f"CDA-SEC-{number:03}", f"Section : {fr}", f"Section: {en}", fix_fr, fix_en, severity=severity
    )


_both(
    1,
    "is",
    "l'élément, sa classe ou son mode n'est pas celui du modèle.",
    "the element, its class or its mood is not the one of the template.",
    "Donnez l'élément, classCode et moodCode attendus, ou retirez le templateId.",
    "Give the element, classCode and moodCode expected, or remove the templateId.",
)
_both(
    2,
    "with",
    "un templateId que le modèle exige manque.",
    "a templateId the template asks for is missing.",
    "Ajoutez les templateId attendus.",
    "Add the templateIds expected.",
)
_both(
    3,
    "one",
    "une partie du modèle doit figurer une fois et une seule.",
    "a part of the template must appear exactly once.",
    "Donnez-la, une fois.",
    "Give it, once.",
)
_both(
    4,
    "some",
    "une partie obligatoire du modèle manque.",
    "a required part of the template is missing.",
    "Ajoutez la partie attendue.",
    "Add the part expected.",
)
_both(
    5,
    "most",
    "une partie du modèle figure trop de fois.",
    "a part of the template appears too many times.",
    "N'en gardez que le nombre permis.",
    "Keep only the number allowed.",
)
ENTRY["none"] = _rule(
    "CDA-ENT-006",
    "Entrée : une partie n'est pas permise dans ce modèle.",
    "Entry: a part is not allowed in this template.",
    "Retirez-la.",
    "Remove it.",
)
_both(
    7,
    "code",
    "le code n'est pas celui du modèle.",
    "the code is not the one of the template.",
    "Donnez le code et la nomenclature attendus.",
    "Give the code and the system expected.",
)
ENTRY["coded"] = _rule(
    "CDA-ENT-008",
    "Entrée : le code ou sa nomenclature manque.",
    "Entry: the code or its system is missing.",
    "Donnez code et codeSystem.",
    "Give code and codeSystem.",
)
ENTRY["status"] = _rule(
    "CDA-ENT-009",
    "Entrée : le statut n'est pas de ceux du modèle.",
    "Entry: the status is not one of the template.",
    "Donnez statusCode avec une valeur permise.",
    "Give statusCode with a value allowed.",
)
ENTRY["text"] = _rule(
    "CDA-ENT-010",
    "Entrée : le lien vers le texte narratif manque.",
    "Entry: the link to the narrative is missing.",
    "Ajoutez text/reference avec value.",
    "Add text/reference with value.",
)
ENTRY["value"] = _rule(
    "CDA-ENT-011",
    "Entrée : la valeur n'est pas du type voulu.",
    "Entry: the value is not of the type asked for.",
    "Corrigez xsi:type.",
    "Correct xsi:type.",
)
ENTRY["bind"] = _rule(
    "CDA-ENT-012",
    "Entrée : le code n'est pas du jeu de valeurs.",
    "Entry: the code is not of the value set.",
    "Choisissez un code du jeu de valeurs, avec sa nomenclature.",
    "Choose a code of the value set, with its system.",
)
ENTRY["bind_null"] = _rule(
    "CDA-ENT-013",
    "Entrée : le code manque, ou son nullFlavor n'est pas permis.",
    "Entry: the code is missing, or its nullFlavor is not allowed.",
    "Donnez code et codeSystem.",
    "Give code and codeSystem.",
)
ENTRY["relation"] = _rule(
    "CDA-ENT-014",
    "Entrée : elle n'est pas reliée comme le modèle le veut.",
    "Entry: it is not linked as the template asks for.",
    "Corrigez typeCode ou inversionInd de l'entryRelationship.",
    "Correct typeCode or inversionInd of the entryRelationship.",
)
_both(
    15,
    "has",
    "le nombre d'entrées d'un modèle n'est pas celui qui est voulu.",
    "the number of entries of a template is not the one asked for.",
    "Ajoutez l'entrée attendue, ou retirez celle qui est en trop.",
    "Add the entry expected, or remove the one too many.",
)
_both(
    16,
    "advise",
    "le templateId français manque.",
    "the French templateId is missing.",
    "Ajoutez-le : les lecteurs français le cherchent.",
    "Add it: French readers look for it.",
    Severity.WARNING,
)
ENTRY["authors"] = _rule(
    "CDA-ENT-017",
    "Entrée : l'auteur est incomplet.",
    "Entry: the author is incomplete.",
    "Donnez id, addr, telecom, assignedPerson/name et representedOrganization/name.",
    "Give id, addr, telecom, assignedPerson/name and representedOrganization/name.",
)
ENTRY["advice_set"] = _rule(
    "CDA-ENT-018",
    "Entrée : le code n'est pas du jeu de valeurs conseillé.",
    "Entry: the code is not of the value set advised.",
    "Choisissez de préférence un code du jeu de valeurs.",
    "Prefer a code of the value set.",
    severity=Severity.WARNING,
)
SECTION["code_advice"] = _rule(
    "CDA-SEC-008",
    "Section : le code n'est pas celui du modèle.",
    "Section: the code is not the one of the template.",
    "Donnez le code attendu.",
    "Give the code expected.",
    severity=Severity.WARNING,
)
# --- Anywhere in the document ---------------------------------------------------------------------------------------
SITE: Final = _rule(
    "CDA-ENT-030",
    "Le site d'administration n'est pas du jeu de valeurs admis.",
    "The site of administration is not of the value set accepted.",
    'Écrivez nullFlavor="OTH" avec originalText, et le code dans translation.',
    'Write nullFlavor="OTH" with originalText, and the code in translation.',
)
GENDER: Final = _rule(
    "CDA-ENT-031",
    "Le sexe n'est pas du jeu de valeurs français.",
    "The gender is not of the French value set.",
    "Écrivez M, F ou UN (2.16.840.1.113883.5.1).",
    "Write M, F or UN (2.16.840.1.113883.5.1).",
)
AUTHOR: Final = _rule(
    "CDA-ENT-032",
    "La profession de l'auteur d'une partie n'est pas du jeu de valeurs.",
    "The profession of the author of a part is not of the value set.",
    "Choisissez un code du jeu de valeurs JDV_J01.",
    "Choose a code of the value set JDV_J01.",
)
MATERIAL: Final = _rule(
    "CDA-ENT-033",
    "Le code du produit a une nomenclature autre que CIS.",
    "The code of the product has a system other than CIS.",
    "Donnez le CIS (1.2.250.1.213.2.3.1) dans code, et CIP, UCD ou ATC dans translation.",
    "Give the CIS (1.2.250.1.213.2.3.1) in code, and CIP, UCD or ATC in translation.",
)
MATERIAL_NAME: Final = _rule(
    "CDA-ENT-034",
    "Le produit est sans nom, ou en a deux.",
    "The product has no name, or two.",
    'Donnez name une fois, ou name nullFlavor="NA".',
    'Give name once, or name nullFlavor="NA".',
)
SAME_TEMPLATE: Final = _rule(
    "CDA-ENT-035",
    "Le même templateId figure deux fois dans le même élément.",
    "The same templateId stands twice in the same element.",
    "N'en gardez qu'un.",
    "Keep one of them.",
)
# --- Narrative ------------------------------------------------------------------------------------------------------
DANGLING: Final = _rule(
    "CDA-NAR-001",
    "Le lien vers le texte narratif ne mène à aucun ID.",
    "The link to the narrative leads to no ID.",
    "Corrigez l'ID, ou ajoutez-le dans le texte de la section.",
    "Correct the ID, or add it in the text of the section.",
    "HL7 CDA R2, 4.3.5",
    Severity.WARNING,
)
NO_HASH: Final = _rule(
    "CDA-NAR-002",
    "Le lien vers le texte narratif est sans dièse.",
    "The link to the narrative has no hash sign.",
    'Écrivez value="#…".',
    'Write value="#…".',
    "HL7 CDA R2, 4.3.5",
    Severity.WARNING,
)
NO_TITLE: Final = _rule(
    "CDA-NAR-003",
    "La section est sans titre.",
    "The section has no title.",
    "Ajoutez title.",
    "Add title.",
    "HL7 CDA R2, 4.3.1",
    Severity.WARNING,
)
NO_NARRATIVE: Final = _rule(
    "CDA-NAR-004",
    "La section a des entrées mais aucun texte narratif.",
    "The section has entries but no narrative.",
    "Ajoutez text : c'est lui que les lecteurs affichent.",
    "Add text: it is what readers show.",
    "HL7 CDA R2, 4.3.5",
    Severity.WARNING,
)
EMPTY_NARRATIVE: Final = _rule(
    "CDA-NAR-005",
    "Le texte narratif de la section est vide.",
    "The narrative of the section is empty.",
    "Dites en mots ce que la section contient, ou « aucun ».",
    "Tell in words what the section holds, or “none”.",
    "HL7 CDA R2, 4.3.5",
    Severity.WARNING,
)
