"""Rules of the HL7 data types (CDA-DT) and of the structure (CDA-STR): what they say, and how to mend it."""

from __future__ import annotations

from typing import Final

from conformance.verdict import Rule, Severity, Text

__all__ = ["RULES"]

_TYPES: Final = "HL7 v3 Data Types R1 ; CI-SIS, Structuration minimale 1.16"
_CDA: Final = "HL7 CDA R2, POCD_MT000040"
_HEADER: Final = "CI-SIS, Structuration minimale 1.16"
RULES: Final[dict[str, Rule]] = {}


def _rule(
    code: str, fr: str, en: str, fix_fr: str, fix_en: str, source: str = _TYPES, severity: Severity = Severity.ERROR
) -> Rule:
    rule = Rule(code=code, message=Text(fr, en), fix=Text(fix_fr, fix_en), source=source, severity=severity)
    RULES[code] = rule
    return rule


# --- Structure ------------------------------------------------------------------------------------------------------
NOT_CDA: Final = _rule(
    "CDA-STR-001",
    "La racine n'est pas un ClinicalDocument de l'espace urn:hl7-org:v3.",
    "The root is not a ClinicalDocument of the namespace urn:hl7-org:v3.",
    "Envoyez un document CDA R2.",
    "Send a CDA R2 document.",
    _CDA,
)
UNKNOWN_ELEMENT: Final = _rule(
    "CDA-STR-002",
    "Cet élément n'existe pas à cet endroit.",
    "There is no such element in this place.",
    "Retirez-le, ou vérifiez son nom et son espace de noms.",
    "Remove it, or check its name and namespace.",
    _CDA,
)
ORDER: Final = _rule(
    "CDA-STR-003",
    "Cet élément n'est pas à sa place dans l'ordre du schéma.",
    "This element does not stand in the order of the schema.",
    "Déplacez-le : l'ordre des éléments est imposé.",
    "Move it: the order of elements is imposed.",
    _CDA,
)
TOO_MANY: Final = _rule(
    "CDA-STR-004",
    "Cet élément figure trop de fois.",
    "This element appears too many times.",
    "N'en gardez que le nombre permis.",
    "Keep only the number allowed.",
    _CDA,
)
INCOMPLETE: Final = _rule(
    "CDA-STR-005",
    "Il manque un élément obligatoire.",
    "A required element is missing.",
    "Ajoutez l'élément attendu.",
    "Add the element expected.",
    _CDA,
)
UNKNOWN_ATTRIBUTE: Final = _rule(
    "CDA-STR-006",
    "Cet attribut n'existe pas sur cet élément.",
    "This element has no such attribute.",
    "Retirez-le, ou vérifiez son nom.",
    "Remove it, or check its name.",
    _CDA,
)
MISSING_ATTRIBUTE: Final = _rule(
    "CDA-STR-007",
    "Il manque un attribut obligatoire.",
    "A required attribute is missing.",
    "Ajoutez l'attribut attendu.",
    "Add the attribute expected.",
    _CDA,
)
BAD_VALUE: Final = _rule(
    "CDA-STR-008",
    "La valeur de cet attribut n'a pas la forme attendue.",
    "The value of this attribute has not the form expected.",
    "Corrigez la valeur.",
    "Correct the value.",
    _CDA,
)
BAD_TYPE: Final = _rule(
    "CDA-STR-009",
    "Le type xsi:type n'existe pas, ou n'est pas permis ici.",
    "The xsi:type does not exist, or is not allowed here.",
    "Donnez un type HL7 qui spécialise le type attendu.",
    "Give an HL7 type that specialises the type expected.",
    _CDA,
)
NO_TYPE: Final = _rule(
    "CDA-STR-010",
    "La valeur n'a pas de type (xsi:type).",
    "The value has no type (xsi:type).",
    "Ajoutez xsi:type, par exemple CD ou PQ.",
    "Add xsi:type, for instance CD or PQ.",
    _CDA,
)
TEXT_HERE: Final = _rule(
    "CDA-STR-011",
    "Cet élément ne peut pas contenir de texte.",
    "This element cannot hold text.",
    "Retirez le texte, ou mettez-le dans l'élément prévu.",
    "Remove the text, or put it in the element meant for it.",
    _CDA,
)
SAME_ID: Final = _rule(
    "CDA-STR-012",
    "Cet ID est déjà pris dans le document.",
    "This ID is already taken in the document.",
    "Donnez à chaque ID une valeur unique dans tout le document.",
    "Give each ID a value unique in the whole document.",
    _CDA,
)
NO_TARGET: Final = _rule(
    "CDA-STR-013",
    "Aucun élément ne porte l'ID visé.",
    "No element has the ID pointed to.",
    "Corrigez l'ID visé, ou ajoutez l'élément.",
    "Correct the ID pointed to, or add the element.",
    _CDA,
)
TOO_MUCH: Final = _rule(
    "CDA-STR-099",
    "Le document a trop de défauts : les suivants ne sont pas montrés.",
    "The document has too many faults: the rest are not shown.",
    "Corrigez les premiers, puis vérifiez à nouveau.",
    "Mend the first ones, then check again.",
    _CDA,
    Severity.INFORMATION,
)
# --- Any type -------------------------------------------------------------------------------------------------------
NULL_ALONE: Final = _rule(
    "CDA-DT-001",
    "Un élément avec nullFlavor porte encore autre chose.",
    "An element with nullFlavor still holds something else.",
    "Retirez nullFlavor, ou tout le reste de l'élément.",
    "Remove nullFlavor, or all the rest of the element.",
)
NULL_KIND: Final = _rule(
    "CDA-DT-002",
    "Ce nullFlavor n'est pas de ceux de l'en-tête.",
    "This nullFlavor is not one of the header's.",
    "Employez UNK, NASK, ASKU, NAV ou MSK, ou omettez l'élément.",
    "Use UNK, NASK, ASKU, NAV or MSK, or leave the element out.",
    severity=Severity.WARNING,
)
TYPE_CHANGED: Final = _rule(
    "CDA-DT-003",
    "Le type xsi:type n'est pas celui que l'en-tête français donne à cet élément.",
    "The xsi:type is not the one the French header gives to this element.",
    "Retirez xsi:type : le type est connu.",
    "Remove xsi:type: the type is known.",
)
NULL_BESIDE: Final = _rule(
    "CDA-DT-004",
    "Un nullFlavor figure à côté d'une valeur connue du même élément.",
    "A nullFlavor stands beside a known value of the same element.",
    "Retirez l'élément qui porte nullFlavor.",
    "Remove the element that has the nullFlavor.",
)
# --- Identifiers ----------------------------------------------------------------------------------------------------
II_ROOT: Final = _rule(
    "CDA-DT-010",
    "L'identifiant n'a pas de root.",
    "The identifier has no root.",
    "Donnez l'OID ou l'UUID dans root.",
    "Give the OID or UUID in root.",
)
II_NULL: Final = _rule(
    "CDA-DT-011",
    "L'identifiant a un root et un nullFlavor.",
    "The identifier has both a root and a nullFlavor.",
    "Gardez l'un des deux.",
    "Keep one of them.",
)
II_FORM: Final = _rule(
    "CDA-DT-012",
    "Le root n'est ni un OID ni un UUID.",
    "The root is neither an OID nor a UUID.",
    "Écrivez un OID (chiffres et points) ou un UUID en majuscules.",
    "Write an OID (digits and dots) or a UUID in upper case.",
)
II_TWICE: Final = _rule(
    "CDA-DT-013",
    "Le même identifiant figure deux fois dans le même élément.",
    "The same identifier stands twice in the same element.",
    "N'en gardez qu'un.",
    "Keep one of them.",
)
II_EMPTY: Final = _rule(
    "CDA-DT-014",
    "L'extension de l'identifiant est vide.",
    "The identifier's extension is empty.",
    "Donnez une extension, ou retirez l'attribut.",
    "Give an extension, or remove the attribute.",
)
II_LONG: Final = _rule(
    "CDA-DT-015",
    "L'identifiant est trop long.",
    "The identifier is too long.",
    "Au plus 128 caractères pour root et 64 pour extension.",
    "At most 128 characters for root and 64 for extension.",
    severity=Severity.WARNING,
)
II_CASE: Final = _rule(
    "CDA-DT-016",
    "L'UUID est en minuscules.",
    "The UUID is in lower case.",
    "Écrivez les UUID en majuscules.",
    "Write UUIDs in upper case.",
    severity=Severity.WARNING,
)
# --- Codes ----------------------------------------------------------------------------------------------------------
CD_EMPTY: Final = _rule(
    "CDA-DT-020",
    "L'élément codé n'a ni code, ni texte d'origine, ni nullFlavor.",
    "The coded element has no code, original text or nullFlavor.",
    "Donnez code et codeSystem.",
    "Give code and codeSystem.",
)
CD_SYSTEM: Final = _rule(
    "CDA-DT-021",
    "Le code est sans codeSystem, ou l'inverse.",
    "The code has no codeSystem, or the reverse.",
    "Donnez toujours code et codeSystem ensemble.",
    "Always give code and codeSystem together.",
)
CD_SYSTEM_NAME: Final = _rule(
    "CDA-DT-022",
    "Le nom ou la version de la nomenclature figure sans codeSystem.",
    "The name or version of the terminology stands without codeSystem.",
    "Ajoutez codeSystem.",
    "Add codeSystem.",
)
CD_DISPLAY: Final = _rule(
    "CDA-DT-023",
    "Le libellé displayName figure sans code.",
    "The displayName stands without a code.",
    "Ajoutez le code, ou mettez le libellé dans originalText.",
    "Add the code, or put the label in originalText.",
)
CD_NULL: Final = _rule(
    "CDA-DT-024",
    "L'élément codé a un code ou un libellé et un nullFlavor.",
    "The coded element has a code or label and a nullFlavor.",
    "Gardez l'un des deux.",
    "Keep one of them.",
)
CD_TRANSLATION: Final = _rule(
    "CDA-DT-025",
    "Une traduction du code est incomplète ou nulle.",
    "A translation of the code is incomplete or null.",
    "Donnez code et codeSystem à chaque traduction.",
    "Give code and codeSystem to each translation.",
)
CD_TWICE: Final = _rule(
    "CDA-DT-027",
    "Le même code figure deux fois.",
    "The same code stands twice.",
    "N'en gardez qu'un.",
    "Keep one of them.",
)
CE_QUALIFIER: Final = _rule(
    "CDA-DT-029",
    "Un code simple (CE) ne porte pas de qualifier.",
    "A simple code (CE) holds no qualifier.",
    "Retirez qualifier.",
    "Remove qualifier.",
)
CS_CODE: Final = _rule(
    "CDA-DT-030",
    "Le code est absent, ou accompagné d'un nullFlavor.",
    "The code is absent, or stands with a nullFlavor.",
    "Donnez code seul.",
    "Give code alone.",
)
CS_MORE: Final = _rule(
    "CDA-DT-031",
    "Un code de HL7 (CS) ne porte que l'attribut code.",
    "An HL7 code (CS) has the attribute code only.",
    "Retirez les autres attributs et éléments.",
    "Remove the other attributes and elements.",
)
# --- Texts and names ------------------------------------------------------------------------------------------------
ST_EMPTY: Final = _rule(
    "CDA-DT-040",
    "Le texte est vide.",
    "The text is empty.",
    "Donnez le texte, ou omettez l'élément.",
    "Give the text, or leave the element out.",
)
LANGUAGE: Final = _rule(
    "CDA-DT-042",
    "La langue du texte n'est pas un code de langue.",
    "The language of the text is not a language code.",
    "Écrivez fr-FR, ou retirez language.",
    "Write fr-FR, or remove language.",
)
ST_MORE: Final = _rule(
    "CDA-DT-041",
    "Un texte simple ne porte ni référence, ni type de média, ni compression.",
    "A plain text has no reference, media type or compression.",
    "Ne gardez que le texte.",
    "Keep the text only.",
)
EN_MIXED: Final = _rule(
    "CDA-DT-050",
    "Le nom est vide, ou mêle du texte et des parties.",
    "The name is empty, or mixes text and parts.",
    "Donnez soit un texte, soit des parties (family, given…).",
    "Give either a text, or parts (family, given…).",
)
EN_TWICE: Final = _rule(
    "CDA-DT-051",
    "Le même nom figure deux fois.",
    "The same name stands twice.",
    "N'en gardez qu'un.",
    "Keep one of them.",
)
PN_LEGAL: Final = _rule(
    "CDA-DT-052",
    "Le qualifieur LS est réservé aux organisations.",
    "The qualifier LS is for organisations.",
    "Retirez LS.",
    "Remove LS.",
)
ON_PARTS: Final = _rule(
    "CDA-DT-053",
    "Le nom d'une structure est un texte sans éléments.",
    "The name of a structure is a text without elements.",
    "Écrivez le nom comme un simple texte.",
    "Write the name as a plain text.",
)
QUALIFIERS: Final = _rule(
    "CDA-DT-054",
    "Un qualifieur du nom est vide, multiple ou répété.",
    "A qualifier of the name is empty, multiple or repeated.",
    "Un seul qualifieur par partie : BR ou CL.",
    "One qualifier a part: BR or CL.",
)
# --- Times ----------------------------------------------------------------------------------------------------------
TS_VALUE: Final = _rule(
    "CDA-DT-060",
    "La date n'a ni valeur ni nullFlavor, ou les deux.",
    "The time has no value and no nullFlavor, or both.",
    "Donnez value, ou nullFlavor seul.",
    "Give value, or nullFlavor alone.",
)
TS_FORM: Final = _rule(
    "CDA-DT-061",
    "La date n'existe pas ou n'a pas la forme AAAAMMJJhhmmss+hhmm.",
    "The time does not exist or has not the form YYYYMMDDhhmmss+hhmm.",
    "Écrivez une date réelle, par exemple 20240110093000+0100.",
    "Write a real time, for instance 20240110093000+0100.",
)
TS_CHILDREN: Final = _rule(
    "CDA-DT-062",
    "Une date simple ne contient pas d'éléments.",
    "A point in time holds no elements.",
    "Donnez la date dans value.",
    "Give the time in value.",
)
TS_FRACTION: Final = _rule(
    "CDA-DT-063",
    "La date porte une fraction de seconde.",
    "The time has a fraction of a second.",
    "Arrêtez-vous à la seconde.",
    "Stop at the second.",
    severity=Severity.WARNING,
)
TS_OFFSET: Final = _rule(
    "CDA-DT-064",
    "L'heure est sans décalage horaire.",
    "The time of day has no offset.",
    "Ajoutez le décalage, par exemple +0100 ou +0200.",
    "Add the offset, for instance +0100 or +0200.",
    severity=Severity.WARNING,
)
QTY_TWICE: Final = _rule(
    "CDA-DT-066",
    "La même valeur figure deux fois.",
    "The same value stands twice.",
    "N'en gardez qu'une.",
    "Keep one of them.",
)
IVL_VALUE: Final = _rule(
    "CDA-DT-070",
    "L'intervalle a une valeur et des bornes.",
    "The interval has a value and bounds.",
    "Donnez soit value, soit low et high.",
    "Give either value, or low and high.",
)
IVL_PARTS: Final = _rule(
    "CDA-DT-071",
    "L'intervalle mêle des bornes qui s'excluent (low, high, width, center).",
    "The interval mixes bounds that exclude one another (low, high, width, center).",
    "Donnez low et high, ou low et width.",
    "Give low and high, or low and width.",
)
IVL_REVERSED: Final = _rule(
    "CDA-DT-074",
    "La fin de l'intervalle précède son début.",
    "The end of the interval precedes its start.",
    "Échangez ou corrigez les bornes.",
    "Swap or correct the bounds.",
)
IVL_EQUAL: Final = _rule(
    "CDA-DT-073",
    "Le début et la fin de l'intervalle sont identiques.",
    "The start and the end of the interval are identical.",
    "Donnez une seule borne, ou des bornes différentes.",
    "Give one bound, or different bounds.",
)
IVL_INFINITE: Final = _rule(
    "CDA-DT-075",
    "Une borne infinie est du mauvais côté.",
    "An infinite bound is on the wrong side.",
    "Retirez cette borne.",
    "Remove this bound.",
)
IVL_WIDTH: Final = _rule(
    "CDA-DT-076",
    "La durée de l'intervalle n'a pas une unité de temps.",
    "The width of the interval has no unit of time.",
    "Employez us, ms, s, min, h, d, wk, mo ou a, avec une valeur et sans traduction.",
    "Use us, ms, s, min, h, d, wk, mo or a, with a value and no translation.",
)
# --- Telecoms and addresses -----------------------------------------------------------------------------------------
TEL_VALUE: Final = _rule(
    "CDA-DT-080",
    "Le télécom n'a ni valeur ni nullFlavor, ou les deux.",
    "The telecom has no value and no nullFlavor, or both.",
    "Donnez value, ou nullFlavor seul parmi UNK, NASK, ASKU, NAV, MSK.",
    "Give value, or nullFlavor alone, among UNK, NASK, ASKU, NAV, MSK.",
)
TEL_PREFIX: Final = _rule(
    "CDA-DT-081",
    "Le télécom ne commence pas par un préfixe connu suivi d'une valeur.",
    "The telecom does not begin with a known prefix followed by a value.",
    "Préfixes : tel, fax, mailto, http, ftp, mllp.",
    "Prefixes: tel, fax, mailto, http, ftp, mllp.",
)
TEL_FORM: Final = _rule(
    "CDA-DT-082",
    "Le télécom contient des caractères interdits dans une adresse.",
    "The telecom holds characters an address may not hold.",
    "Écrivez-le sans espaces ni accents, par exemple tel:0298000000.",
    "Write it without spaces or accents, for instance tel:0298000000.",
)
TEL_USE: Final = _rule(
    "CDA-DT-083",
    "L'usage du télécom n'est pas permis.",
    "The use of the telecom is not allowed.",
    "Un seul parmi H, HP, HV, WP, DIR, PUB, EC, MC, PG.",
    "One among H, HP, HV, WP, DIR, PUB, EC, MC, PG.",
)
TEL_TWICE: Final = _rule(
    "CDA-DT-084",
    "Le même télécom figure deux fois avec le même usage.",
    "The same telecom stands twice with the same use.",
    "N'en gardez qu'un.",
    "Keep one of them.",
)
AD_MIXED: Final = _rule(
    "CDA-DT-090",
    "L'adresse est vide, ou mêle du texte et des parties.",
    "The address is empty, or mixes text and parts.",
    "Donnez des lignes, ou des parties, ou nullFlavor.",
    "Give lines, or parts, or nullFlavor.",
)
AD_TWICE: Final = _rule(
    "CDA-DT-091",
    "La même adresse figure deux fois.",
    "The same address stands twice.",
    "N'en gardez qu'une.",
    "Keep one of them.",
)
AD_USE: Final = _rule(
    "CDA-DT-092",
    "L'usage de l'adresse n'est pas permis.",
    "The use of the address is not allowed.",
    "Un seul parmi H, HP, HV, WP, TMP.",
    "One among H, HP, HV, WP, TMP.",
)
AD_FORMS: Final = _rule(
    "CDA-DT-094",
    "L'adresse mêle des lignes et des parties.",
    "The address mixes lines and parts.",
    "Choisissez l'une des deux formes.",
    "Choose one of the two forms.",
    severity=Severity.WARNING,
)
# --- Numbers --------------------------------------------------------------------------------------------------------
INT_VALUE: Final = _rule(
    "CDA-DT-100",
    "Le nombre n'a ni valeur ni nullFlavor, ou les deux.",
    "The number has no value and no nullFlavor, or both.",
    "Donnez value, ou nullFlavor seul.",
    "Give value, or nullFlavor alone.",
)
CR_EMPTY: Final = _rule(
    "CDA-DT-110",
    "Le qualificatif est vide, ou accompagné d'un nullFlavor.",
    "The qualifier is empty, or stands with a nullFlavor.",
    "Donnez name et value.",
    "Give name and value.",
)
# --- The header as a whole ------------------------------------------------------------------------------------------
NULL_FORBIDDEN: Final = _rule(
    "CDA-HDR-010",
    "Cet élément de l'en-tête ne peut pas être nul.",
    "This element of the header cannot be null.",
    "Donnez la valeur.",
    "Give the value.",
    _HEADER,
)
NEEDED: Final = _rule(
    "CDA-HDR-011",
    "Il manque un attribut que l'en-tête français exige.",
    "An attribute the French header asks for is missing.",
    "Ajoutez l'attribut attendu.",
    "Add the attribute expected.",
    _HEADER,
)
NOT_IN_SET: Final = _rule(
    "CDA-HDR-012",
    "Le code n'est pas du jeu de valeurs de cet élément.",
    "The code is not of the value set of this element.",
    "Choisissez un code du jeu de valeurs, avec sa nomenclature.",
    "Choose a code of the value set, with its code system.",
    _HEADER,
)
NOT_FIXED: Final = _rule(
    "CDA-HDR-014",
    "La valeur de cet attribut est imposée par le modèle français.",
    "The value of this attribute is imposed by the French model.",
    "Écrivez la valeur attendue.",
    "Write the value expected.",
    _HEADER,
)
NOT_IN_SET_ADVICE: Final = _rule(
    "CDA-HDR-013",
    "Le code n'est pas du jeu de valeurs conseillé pour cet élément.",
    "The code is not of the value set advised for this element.",
    "Choisissez de préférence un code du jeu de valeurs.",
    "Prefer a code of the value set.",
    _HEADER,
    Severity.WARNING,
)
OTHER_LABEL: Final = _rule(
    "CDA-HDR-016",
    "Le libellé est celui d'un autre code du jeu de valeurs.",
    "The label is the one of another code of the value set.",
    "Accordez code et displayName.",
    "Make code and displayName agree.",
    _HEADER,
    Severity.WARNING,
)
