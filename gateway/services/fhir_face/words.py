"""The rules of a PDSm submission that no validator checks, each with its words (fhir-profiles.md 9.2)."""

from __future__ import annotations

from typing import Final

from conformance.verdict import Rule, Text

__all__ = ["RULES", "found"]


def _rule(code: str, fr: str, en: str, fix_fr: str, fix_en: str, source: str) -> Rule:
    return Rule(code=code, message=Text(fr, en), fix=Text(fix_fr, fix_en), source=source)


_PDSM: Final = "PDSm 3.1.1"
_MHD: Final = "IHE MHD 4.2"

RULES: Final[dict[str, Rule]] = {
    rule.code: rule
    for rule in (
        _rule(
            "PDSM-BDL-001",
            "Une transaction ITI-65 est attendue.",
            "An ITI-65 transaction is expected.",
            "Envoyez un Bundle de type transaction.",
            "Send a Bundle of type transaction.",
            _MHD,
        ),
        _rule(
            "PDSM-BDL-002",
            "La transaction doit contenir une et une seule List de lot (submissionset).",
            "The transaction must hold one and only one submission List (submissionset).",
            "Envoyez un lot par transaction.",
            "Send one submission set a transaction.",
            "fhir-profiles.md 9.2-1",
        ),
        _rule(
            "PDSM-BDL-003",
            "La transaction ne contient aucune fiche (DocumentReference).",
            "The transaction holds no DocumentReference.",
            "Ajoutez au moins un document avec sa fiche.",
            "Add at least one document with its DocumentReference.",
            "fhir-profiles.md 9.2-1",
        ),
        _rule(
            "PDSM-BDL-004",
            "Ce type de ressource n'a pas sa place dans la transaction.",
            "This kind of resource has no place in the transaction.",
            "Mettez praticiens, structures et dispositifs dans contained ; classeurs et documents FHIR ne sont pas "
            "pris ici.",
            "Put practitioners, organizations and devices into contained; no folders nor FHIR documents here.",
            "fhir-profiles.md 9.2-1",
        ),
        _rule(
            "PDSM-BDL-005",
            "Chaque entrée doit avoir un fullUrl urn:uuid: qui lui est propre.",
            "Each entry must have a fullUrl of its own, urn:uuid:.",
            "Donnez un fullUrl urn:uuid: à chaque entrée.",
            "Give each entry a urn:uuid: fullUrl.",
            "fhir-profiles.md 9.2-12",
        ),
        _rule(
            "PDSM-BDL-006",
            "La requête de l'entrée n'est pas celle attendue.",
            "The entry's request is not the one expected.",
            "POST du type de la ressource, ou PATCH de Parameters.",
            "POST of the resource's type, or PATCH of Parameters.",
            _MHD,
        ),
        _rule(
            "PDSM-BDL-007",
            "Le lot contient trop de documents.",
            "The set holds too many documents.",
            "Répartissez les documents en plusieurs lots.",
            "Spread the documents over several sets.",
            _MHD,
        ),
        _rule(
            "PDSM-LST-001",
            "Un élément du lot manque ou n'a pas la valeur attendue.",
            "An element of the submission set is missing or has not the expected value.",
            "Complétez la List d'après le profil pdsm-submissionset-comprehensive.",
            "Complete the List after profile pdsm-submissionset-comprehensive.",
            _PDSM,
        ),
        _rule(
            "PDSM-LST-002",
            "La List vise autre chose qu'une fiche de la transaction.",
            "The List points to something else than a DocumentReference of the transaction.",
            "Visez le fullUrl d'une fiche de la transaction ; lier un document existant n'est pas pris ici.",
            "Point to the fullUrl of a DocumentReference of the transaction; no link to an existing document.",
            "fhir-profiles.md 9.2-2",
        ),
        _rule(
            "PDSM-LST-003",
            "Une fiche n'est pas dans la List.",
            "A DocumentReference is not in the List.",
            "Ajoutez une entry.item pour chaque fiche.",
            "Add an entry.item for each DocumentReference.",
            "fhir-profiles.md 9.2-2",
        ),
        _rule(
            "PDSM-LST-004",
            "L'identifiant du lot doit être un OID (urn:oid:).",
            "The identifier of the submission set must be an OID (urn:oid:).",
            "Donnez un uniqueId en urn:oid:, ou aucun.",
            "Give a uniqueId as urn:oid:, or none.",
            "fhir-profiles.md 9.2-7",
        ),
        _rule(
            "PDSM-DOC-001",
            "Un élément obligatoire de la fiche manque.",
            "A required element of the DocumentReference is missing.",
            "Complétez la fiche d'après le profil pdsm-comprehensive-document-reference.",
            "Complete the resource after profile pdsm-comprehensive-document-reference.",
            _PDSM,
        ),
        _rule(
            "PDSM-DOC-002",
            "Cet élément n'est pas permis ici.",
            "This element is not allowed here.",
            "Retirez-le.",
            "Take it away.",
            _PDSM,
        ),
        _rule(
            "PDSM-DOC-003",
            "Une fiche nouvelle est courante.",
            "A new DocumentReference is current.",
            "Mettez status à current.",
            "Set status to current.",
            "fhir-profiles.md 9.2-10",
        ),
        _rule(
            "PDSM-DOC-004",
            "La fiche porte une seule catégorie et un seul contenu.",
            "A DocumentReference has one category and one content.",
            "Envoyez une fiche par document.",
            "Send one DocumentReference a document.",
            "fhir-profiles.md 9.2-10",
        ),
        _rule(
            "PDSM-DOC-005",
            "Un identifiant porte son usage et son type.",
            "An identifier carries its use and its type.",
            "masterIdentifier : use usual, type uniqueId ; aucun entryUUID, ou un neuf.",
            "masterIdentifier: use usual, type uniqueId; no entryUUID, or a fresh one.",
            "fhir-profiles.md 9.2-8",
        ),
        _rule(
            "PDSM-DOC-006",
            "Ce code n'est pas du jeu de valeurs attendu.",
            "This code is not of the expected value set.",
            "Choisissez un code du jeu de valeurs cité.",
            "Choose a code of the value set named.",
            "fhir-profiles.md 9.2-10; NOS",
        ),
        _rule(
            "PDSM-DOC-007",
            "Les étiquettes de confidentialité ne vont pas ensemble.",
            "The confidentiality labels do not go together.",
            "Un code N, R ou V, et les restrictions voulues de TRE_A07.",
            "One code N, R or V, and the restrictions wanted of TRE_A07.",
            "dmp.md 4.5",
        ),
        _rule(
            "PDSM-ATT-001",
            "La pièce jointe de la fiche n'est pas dans la transaction.",
            "The attachment of the DocumentReference is not in the transaction.",
            "Mettez dans attachment.url le fullUrl d'un Binary de la transaction.",
            "Put into attachment.url the fullUrl of a Binary of the transaction.",
            "fhir-profiles.md 9.2-3",
        ),
        _rule(
            "PDSM-ATT-002",
            "Chaque Binary sert à une fiche et une seule.",
            "Each Binary serves one DocumentReference and only one.",
            "Envoyez un Binary par fiche, et aucun autre.",
            "Send one Binary a DocumentReference, and no other.",
            "fhir-profiles.md 9.2-3",
        ),
        _rule(
            "PDSM-ATT-003",
            "Le type du contenu n'est pas le même dans la fiche et dans le Binary.",
            "The content type differs between the DocumentReference and the Binary.",
            "Donnez le même contentType.",
            "Give the same contentType.",
            "fhir-profiles.md 9.2-3",
        ),
        _rule(
            "PDSM-ATT-004",
            "Le contenu n'est pas lisible : base64 attendu.",
            "The content cannot be read: base64 is expected.",
            "Mettez les octets du document dans data, en base64.",
            "Put the document's bytes into data, in base64.",
            "fhir-profiles.md 9.2-3",
        ),
        _rule(
            "PDSM-ATT-005",
            "L'empreinte n'est pas celle du contenu.",
            "The hash is not that of the content.",
            "hash : les 20 octets du SHA-1 du contenu décodé, en base64.",
            "hash: the 20 bytes of the decoded content's SHA-1, in base64.",
            "fhir-profiles.md 9.2-4",
        ),
        _rule(
            "PDSM-ATT-006",
            "La taille n'est pas celle du contenu.",
            "The size is not that of the content.",
            "size : le nombre d'octets du contenu décodé.",
            "size: the number of bytes of the decoded content.",
            "fhir-profiles.md 9.2-4",
        ),
        _rule(
            "PDSM-ATT-007",
            "Ce contenu n'est pas pris par cette voie.",
            "This content is not taken by this way.",
            "Envoyez un CDA (text/xml) ou un Bundle document FHIR (application/fhir+json) ; un PDF seul par "
            "POST /v1/documents.",
            "Send a CDA (text/xml) or a document Bundle (application/fhir+json); a bare PDF by POST /v1/documents.",
            "dmp.md 10",
        ),
        _rule(
            "PDSM-REF-001",
            "Cette référence ne mène à aucune ressource contenue.",
            "This reference leads to no contained resource.",
            "Ajoutez la ressource dans contained, ou corrigez la référence.",
            "Add the resource into contained, or mend the reference.",
            "fhir-profiles.md 9.2-5",
        ),
        _rule(
            "PDSM-REF-002",
            "Cette référence doit viser une ressource contenue (#...).",
            "This reference must point to a contained resource (#...).",
            "Mettez la ressource dans contained.",
            "Put the resource into contained.",
            "fhir-profiles.md 9.2-5",
        ),
        _rule(
            "PDSM-REF-003",
            "Une ressource contenue n'est visée par aucune référence.",
            "A contained resource is the target of no reference.",
            "Retirez-la, ou visez-la.",
            "Take it away, or point to it.",
            "FHIR R4 dom-3",
        ),
        _rule(
            "PDSM-REF-004",
            "Une ressource contenue n'en contient pas d'autre.",
            "A contained resource contains no other.",
            "Mettez toutes les ressources contenues au même niveau.",
            "Put all contained resources at the same level.",
            "FHIR R4 dom-2",
        ),
        _rule(
            "PDSM-PAT-001",
            "Le patient n'est pas le même partout.",
            "The patient is not the same everywhere.",
            "Donnez le même identifiant dans le lot, la fiche, sourcePatientInfo et le document.",
            "Give the same identifier in the set, the DocumentReference, sourcePatientInfo and the document.",
            "fhir-profiles.md 9.2-6",
        ),
        _rule(
            "PDSM-ORG-001",
            "Le dépositaire n'est pas la structure pour laquelle vous agissez.",
            "The custodian is not the structure you act for.",
            "Donnez dans custodian la structure du jeton.",
            "Give in custodian the structure of the token.",
            "fhir-profiles.md 9.2-6",
        ),
        _rule(
            "PDSM-SRC-001",
            "L'émetteur du lot n'est pas complet.",
            "The sender of the submission set is not complete.",
            "Donnez dans source un PractitionerRole contenu : praticien identifié, structure, profession.",
            "Give in source a contained PractitionerRole: an identified practitioner, a structure, a profession.",
            "dmp.md 6.5",
        ),
        _rule(
            "PDSM-CDA-001",
            "La fiche ne dit pas la même chose que le document.",
            "The DocumentReference does not say what the document says.",
            "Recopiez dans la fiche l'en-tête du document (CI-SIS, lien entre l'en-tête CDA et les métadonnées).",
            "Copy the document's header into the DocumentReference (CI-SIS, CDA header and metadata).",
            "fhir-profiles.md 9.2-7",
        ),
        _rule(
            "PDSM-RPL-001",
            "Un remplacement vise une fiche et une seule.",
            "A replacement points to one DocumentReference and only one.",
            "Donnez un seul relatesTo, de code replaces.",
            "Give one relatesTo, of code replaces.",
            "fhir-profiles.md 9.2-9",
        ),
        _rule(
            "PDSM-RPL-002",
            "La fiche remplacée n'est pas le document que le CDA remplace.",
            "The DocumentReference replaced is not the document the CDA replaces.",
            "relatesTo et relatedDocument RPLC du CDA désignent le même document.",
            "relatesTo and the CDA's relatedDocument RPLC name the same document.",
            "fhir-profiles.md 9.2-9",
        ),
        _rule(
            "PDSM-RPL-003",
            "La fiche remplacée n'est pas connue, n'est plus courante, ou est d'un autre patient.",
            "The DocumentReference replaced is not known, no longer current, or another patient's.",
            "Remplacez la version courante du document.",
            "Replace the current version of the document.",
            "fhir-profiles.md 9.2-9",
        ),
        _rule(
            "PDSM-RPL-004",
            "Un PATCH ne porte que sur la fiche remplacée, pour la rendre superseded.",
            "A PATCH is only about the DocumentReference replaced, to make it superseded.",
            "Visez la même fiche que relatesTo, et remplacez DocumentReference.status par superseded.",
            "Point to the same resource as relatesTo, and replace DocumentReference.status by superseded.",
            "fhir-profiles.md 9.2-9",
        ),
        _rule(
            "PDSM-DUP-001",
            "Le même identifiant figure deux fois dans la transaction.",
            "The same identifier stands twice in the transaction.",
            "Donnez à chaque document son propre masterIdentifier.",
            "Give each document its own masterIdentifier.",
            "IHE ITI TF-3 4.2.4",
        ),
    )
}


def found(code: str) -> Rule:
    """The rule of a code, to make a finding of."""
    return RULES[code]
