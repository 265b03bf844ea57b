"""Every rule of the mail adapter: what is wrong, how to mend it, and the clause that asks for it.

``MailRefused`` carries findings of these rules; codes never change.
"""

from __future__ import annotations

from collections.abc import Iterable

from conformance.verdict import Finding, Rule, Severity, Text, Verdict

__all__ = ["RULES", "MailRefused", "refuse", "rule"]


class MailRefused(Exception):
    """The mail breaks a rule of MSSanté and was refused before anything left, or before anything was filed."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.verdict = Verdict.of(findings)
        super().__init__(", ".join(sorted({f.code for f in self.verdict.findings})))

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.verdict.findings

    @property
    def code(self) -> str:
        """The code of the gravest finding."""
        return self.verdict.findings[0].code


# code: (French, English, fix in French, fix in English, source)
_TABLE: dict[str, tuple[str, str, str, str, str]] = {
    # Addresses and recipients
    "MSS-ADR-001": (
        "L'adresse n'est pas une adresse MSSanté écrite en ASCII.",
        "The address is not an MSSanté address written in ASCII.",
        "Corrigez l'adresse (partie locale et domaine sans accent ni espace).",
        "Correct the address (local part and domain without accents or spaces).",
        "RFC 5321 4.1.2; MSSanté: no SMTPUTF8",
    ),
    "MSS-ADR-002": (
        "Le domaine du destinataire n'est pas dans la liste blanche MSSanté.",
        "The recipient's domain is not on the MSSanté white list.",
        "Cherchez l'adresse MSSanté du destinataire dans l'Annuaire Santé.",
        "Look the recipient's MSSanté address up in the national directory.",
        "Liste blanche MSSanté",
    ),
    "MSS-ADR-003": (
        "Il n'y a aucun destinataire.",
        "There is no recipient.",
        "Donnez au moins un destinataire.",
        "Give at least one recipient.",
        "RFC 5321 3.3",
    ),
    "MSS-ADR-004": (
        "Le message a trop de destinataires.",
        "The message has too many recipients.",
        "Partagez l'envoi en plusieurs messages.",
        "Split the sending into several messages.",
        "RFC 5321 4.5.3.1.8; setting of the operator",
    ),
    "MSS-ADR-005": (
        "Un même message ne va pas à la fois à des professionnels et à un patient.",
        "One message does not go to professionals and to a patient at once.",
        "Faites deux messages : un pour les professionnels, un pour le patient.",
        "Make two messages: one for professionals, one for the patient.",
        "Volet Transmission HL7v2, corps distincts",
    ),
    "MSS-ADR-006": (
        "L'adresse citoyenne n'est pas celle du patient du document.",
        "The citizen address is not that of the document's patient.",
        "Laissez la passerelle former l'adresse à partir de l'INS qualifiée.",
        "Let the gateway form the address from the qualified INS.",
        "Référentiel socle MSSanté #2, ECO.2.2.6",
    ),
    "MSS-ADR-007": (
        "Un même destinataire est donné deux fois.",
        "The same recipient is given twice.",
        "Retirez le doublon.",
        "Remove the duplicate.",
        "RFC 5321 3.3",
    ),
    "MSS-PAT-001": (
        "L'identité du patient n'est pas qualifiée : aucune adresse citoyenne ne peut être formée.",
        "The patient's identity is not qualified: no citizen address can be formed.",
        "Récupérez l'INS puis contrôlez une pièce d'identité.",
        "Fetch the INS, then check an identity document.",
        "Référentiel socle MSSanté #2, ECO.2.2.6",
    ),
    "MSS-PAT-002": (
        "Le matricule INS n'a pas la forme ou la clé attendue.",
        "The INS matricule has not the expected form or key.",
        "Relisez le matricule depuis l'INSi.",
        "Read the matricule again from INSi.",
        "Référentiel INS",
    ),
    "MSS-PAT-003": (
        "Le patient s'est opposé à l'envoi des documents dans sa messagerie.",
        "The patient objected to documents being sent to their own mailbox.",
        "N'envoyez pas ; remettez le document en main propre.",
        "Do not send; hand the document over in person.",
        "Exigence MSS/va1.20",
    ),
    "MSS-PAT-004": (
        "Le patient s'est opposé à l'envoi des documents aux professionnels.",
        "The patient objected to documents being sent to professionals.",
        "N'envoyez pas ; voyez le patient si l'envoi est nécessaire.",
        "Do not send; see the patient if the sending is necessary.",
        "Exigence MSS/va1.22",
    ),
    "MSS-PAT-005": (
        "La visibilité du document ne permet pas cet envoi.",
        "The visibility of the document does not allow this sending.",
        "Levez le masquage, ou retirez ce destinataire.",
        "Lift the masking, or remove this recipient.",
        "Volet Transmission HL7v2, matrice DESTMSSANTEPS / DESTMSSANTEPAT",
    ),
    "MSS-PAT-006": (
        "L'identité n'est pas qualifiée : l'envoi aux professionnels n'est pas permis par le réglage.",
        "The identity is not qualified: sending to professionals is not allowed by the setting.",
        "Qualifiez l'identité, ou permettez l'envoi avec X-MSS-INS: N.",
        "Qualify the identity, or allow sending with X-MSS-INS: N.",
        "Référentiel socle MSSanté #2 (dérogation)",
    ),
    "MSS-PAT-007": (
        "Le message parle de plusieurs patients.",
        "The message is about several patients.",
        "Faites un message par patient.",
        "Make one message a patient.",
        "Référentiel socle MSSanté #2, ECO.2.1.1",
    ),
    # The message itself
    "MSS-HDR-001": (
        "Une valeur d'en-tête contient un retour à la ligne ou un caractère de commande.",
        "A header value holds a line break or a control character.",
        "Retirez ce caractère.",
        "Remove this character.",
        "RFC 5322 2.2",
    ),
    "MSS-HDR-002": (
        "L'identifiant du message n'est pas de la forme <gauche@droite>.",
        "The Message-ID has not the form <left@right>.",
        "Donnez un Message-ID conforme.",
        "Give a conforming Message-ID.",
        "RFC 5322 3.6.4; ECO.2.2.1",
    ),
    "MSS-HDR-003": (
        "L'identifiant d'enveloppe (ENVID) n'est pas une suite de 1 à 100 caractères ASCII imprimables.",
        "The envelope identifier (ENVID) is not 1 to 100 printable ASCII characters.",
        "Donnez un ENVID conforme.",
        "Give a conforming ENVID.",
        "RFC 3461 4.4",
    ),
    "MSS-HDR-004": (
        "La référence produit (X-MSS-NIL) manque.",
        "The product reference (X-MSS-NIL) is missing.",
        "Renseignez la référence NIL du produit dans les réglages.",
        "Set the product's NIL reference in the settings.",
        "Référentiel socle MSSanté #2, ECO.2.4.3",
    ),
    "MSS-HDR-005": (
        "L'objet n'est pas celui d'un message qui porte des documents.",
        "The subject is not that of a message carrying documents.",
        "Écrivez XDM/1.0/DDM+<libellé> <NOM> <prénom>.",
        "Write XDM/1.0/DDM+<label> <NAME> <first name>.",
        "IHE ITI-32; ECO.2.1.3",
    ),
    "MSS-HDR-006": (
        "X-MSS-CODECDA ne dit pas les codes des documents joints.",
        "X-MSS-CODECDA does not state the codes of the attached documents.",
        "Écrivez ClinicalDocument/code/@code de chaque document, séparés par des virgules.",
        "Write ClinicalDocument/code/@code of each document, comma-separated.",
        "Référentiel socle MSSanté #2, ECO.2.4.1",
    ),
    "MSS-HDR-007": (
        "X-MSS-INS ne s'accorde pas avec l'identité portée par les documents.",
        "X-MSS-INS does not agree with the identity the documents carry.",
        "Écrivez O si un document porte une INS qualifiée complète, N sinon.",
        "Write O when a document carries a complete qualified INS, N otherwise.",
        "Référentiel socle MSSanté #2, ECO.2.4.2",
    ),
    "MSS-HDR-008": (
        "X-MSS-MES ne peut valoir que FIN, et seulement vers un citoyen.",
        "X-MSS-MES may only be FIN, and only to a citizen.",
        "Retirez l'en-tête ou écrivez FIN.",
        "Remove the header or write FIN.",
        "Référentiel socle MSSanté #2, ECO.2.2.8",
    ),
    "MSS-HDR-009": (
        "L'expéditeur de l'enveloppe et l'en-tête From ne sont pas la même boîte.",
        "The envelope sender and the From header are not the same mailbox.",
        "Envoyez au nom de la boîte du certificat.",
        "Send on behalf of the certificate's mailbox.",
        "Référentiel socle MSSanté #2; Volet Transmission HL7v2",
    ),
    "MSS-SIZE-001": (
        "Le message dépasse la taille permise.",
        "The message is over the allowed size.",
        "Envoyez les documents en plusieurs messages ; ne retirez ni l'archive ni le PDF.",
        "Send the documents in several messages; drop neither the archive nor the PDF.",
        "ECO.2.1.1; Mon espace santé: 25 Mo",
    ),
    "MSS-PDF-001": (
        "Chaque document doit être accompagné de son PDF.",
        "Each document must come with its PDF.",
        "Donnez le PDF du document.",
        "Give the document's PDF.",
        "Référentiel socle MSSanté #2, ECO.2.1.1",
    ),
    "MSS-PDF-002": (
        "Le PDF joint n'est pas celui que le document porte.",
        "The attached PDF is not the one the document embeds.",
        "Joignez le PDF embarqué, octet pour octet.",
        "Attach the embedded PDF, byte for byte.",
        "Référentiel socle MSSanté #2, ECO.2.1.5",
    ),
    "MSS-PDF-003": (
        "Le nom du PDF n'a pas la forme date_type_NOM_prenom.pdf.",
        "The PDF's name has not the form date_type_NAME_firstname.pdf.",
        "Nommez le fichier AAAAMMJJ_<type>_<NOM>_<prenom>.pdf.",
        "Name the file YYYYMMDD_<type>_<NAME>_<firstname>.pdf.",
        "Référentiel socle MSSanté #2, ECO.2.1.6",
    ),
    # The archive
    "MSS-XDM-001": (
        "L'archive n'est pas une archive ZIP sûre.",
        "The archive is not a safe ZIP archive.",
        "Refaites l'archive : noms simples, sans chiffrement, sans archive imbriquée.",
        "Make the archive again: plain names, no encryption, no nested archive.",
        "IHE ITI-32; DICOM PS3.12",
    ),
    "MSS-XDM-002": (
        "L'archive n'a pas la disposition IHE_XDM.",
        "The archive has not the IHE_XDM layout.",
        "Placez METADATA.XML dans IHE_XDM/<lot>/.",
        "Put METADATA.XML in IHE_XDM/<set>/.",
        "IHE ITI-32 3.32.4.1.2",
    ),
    "MSS-XDM-003": (
        "METADATA.XML est illisible ou incomplet.",
        "METADATA.XML is unreadable or incomplete.",
        "Refaites les métadonnées : un lot, un objet par document, leurs associations.",
        "Make the metadata again: one submission set, one object a document, their associations.",
        "IHE ITI TF-3 4.3.1-3",
    ),
    "MSS-XDM-004": (
        "Un document annoncé n'est pas dans l'archive.",
        "An announced document is not in the archive.",
        "Donnez dans URI le nom du fichier, relatif à METADATA.XML.",
        "Give in URI the file name, relative to METADATA.XML.",
        "IHE ITI-32; URI",
    ),
    "MSS-XDM-005": (
        "L'empreinte SHA-1 du document n'est pas celle annoncée.",
        "The document's SHA-1 hash is not the announced one.",
        "Calculez l'empreinte sur les octets mis dans l'archive.",
        "Compute the hash on the bytes put in the archive.",
        "IHE ITI TF-3 4.2.3.2.10",
    ),
    "MSS-XDM-006": (
        "La taille du document n'est pas celle annoncée.",
        "The document's size is not the announced one.",
        "Calculez la taille sur les octets mis dans l'archive.",
        "Compute the size on the bytes put in the archive.",
        "IHE ITI TF-3 4.2.3.2.21",
    ),
    "MSS-XDM-007": (
        "Le document joint n'est pas un CDA lisible.",
        "The attached document is not a readable CDA.",
        "Joignez un CDA R2 bien formé.",
        "Attach a well-formed CDA R2.",
        "Référentiel socle MSSanté #2, ECO.2.1.1",
    ),
    "MSS-XDM-008": (
        "L'identifiant du document n'est pas celui des métadonnées.",
        "The document's identifier is not that of the metadata.",
        "Dérivez les métadonnées de l'en-tête du CDA.",
        "Derive the metadata from the CDA header.",
        "IHE ITI TF-3 4.2.3.2.26",
    ),
    "MSS-XDM-009": (
        "Le patient du document n'est pas celui des métadonnées.",
        "The document's patient is not that of the metadata.",
        "Ne classez pas ce document ; prévenez l'expéditeur.",
        "Do not file this document; warn the sender.",
        "Référentiel socle MSSanté #2, ECO.2.1.2",
    ),
    "MSS-XDM-010": (
        "Le type du document n'est pas celui des métadonnées.",
        "The document's type is not that of the metadata.",
        "Dérivez typeCode de ClinicalDocument/code.",
        "Derive typeCode from ClinicalDocument/code.",
        "IHE ITI TF-3 4.2.3.2.25",
    ),
    "MSS-XDM-011": (
        "Le message porte plusieurs archives IHE_XDM.",
        "The message carries several IHE_XDM archives.",
        "Joignez une seule archive IHE_XDM.zip.",
        "Attach one archive IHE_XDM.zip only.",
        "Référentiel socle MSSanté #2, ECO.2.1.1",
    ),
    "MSS-XDM-012": (
        "Le message ne porte aucun document.",
        "The message carries no document.",
        "Joignez au moins un CDA R2.",
        "Attach at least one CDA R2.",
        "Référentiel socle MSSanté #2, ECO.2.1.1",
    ),
    "MSS-XDM-013": (
        "L'archive entière est enveloppée dans un dossier.",
        "The whole archive is wrapped in a folder.",
        "Placez IHE_XDM/ à la racine de l'archive.",
        "Put IHE_XDM/ at the root of the archive.",
        "IHE ITI-32 3.32.4.1.2",
    ),
    # Bytes of the mail
    "MSS-MIME-001": (
        "Le message est illisible.",
        "The message is unreadable.",
        "Demandez à l'expéditeur de renvoyer le message.",
        "Ask the sender to send the message again.",
        "RFC 5322, RFC 2045",
    ),
    "MSS-MIME-002": (
        "Le message dépasse une limite de sûreté (taille, parties ou profondeur).",
        "The message is over a safety limit (size, parts or depth).",
        "Envoyez un message ordinaire : un texte, une archive, ses PDF.",
        "Send an ordinary message: a text, an archive, its PDFs.",
        "Limites de lecture",
    ),
    "MSS-MIME-003": (
        "Le message est chiffré (S/MIME) : il n'est pas pris en charge.",
        "The message is encrypted (S/MIME): not supported.",
        "Envoyez en clair dans l'espace de confiance.",
        "Send in clear within the trust space.",
        "MSSanté: TLS entre opérateurs",
    ),
    "MSS-MIME-004": (
        "Un en-tête est écrit deux fois, ou contient un caractère de commande.",
        "A header is written twice, or holds a control character.",
        "Demandez à l'expéditeur de corriger son logiciel.",
        "Ask the sender to mend their software.",
        "RFC 5322 3.6",
    ),
    "MSS-MIME-005": (
        "Le domaine de l'expéditeur n'est pas dans la liste blanche MSSanté.",
        "The sender's domain is not on the MSSanté white list.",
        "Vérifiez l'expéditeur avant tout classement.",
        "Check the sender before filing anything.",
        "Liste blanche MSSanté",
    ),
    # The white list
    "MSS-WL-001": (
        "La liste blanche est illisible.",
        "The white list is unreadable.",
        "Gardez la dernière bonne liste et recommencez plus tard.",
        "Keep the last good list and try again later.",
        "https://listeblanche.mssante.fr/schema",
    ),
    "MSS-WL-002": (
        "La nouvelle liste blanche n'est pas vraisemblable.",
        "The new white list is not plausible.",
        "Gardez la dernière bonne liste ; vérifiez la source.",
        "Keep the last good list; check the source.",
        "Règle de remplacement",
    ),
}

_WARNINGS = {"MSS-XDM-010", "MSS-XDM-013", "MSS-MIME-005"}

#: Every rule, by code.
RULES: dict[str, Rule] = {
    code: Rule(
        code=code,
        message=Text(fr, en),
        fix=Text(fix_fr, fix_en),
        source=source,
        severity=Severity.WARNING if code in _WARNINGS else Severity.ERROR,
    )
    for code, (fr, en, fix_fr, fix_en, source) in _TABLE.items()
}


def rule(code: str, location: str = "", *, found: str | None = None, expected: str | None = None) -> Finding:
    """Make the finding of a rule at a place; ``found`` never repeats a trait, a matricule or an address."""
    return RULES[code].finding(location, found=found, expected=expected)


def refuse(code: str, location: str = "", *, found: str | None = None, expected: str | None = None) -> MailRefused:
    """Make the refusal of one rule, ready to be raised."""
    return MailRefused([rule(code, location, found=found, expected=expected)])
