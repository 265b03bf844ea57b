"""The table of outcomes: a row a layer and code, with cause and fix in two languages.

Sources: IHE ITI TF-3 Table 4.2.4.1-2; SOAP 1.2; WS-Security 1.1; DMP codes as public (dmp.md 9).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from conformance.verdict import Text

__all__ = ["TABLE", "UNKNOWN", "Kind", "Layer", "Row"]


class Kind(StrEnum):
    """What the caller does next."""

    ACCEPTED = "accepted"  #: done
    REFUSED = "refused"  #: final: the same bytes will be refused again
    RETRY = "retry"  #: nothing was done: the same call later
    ALREADY_THERE = "already_there"  #: the registry says it has it: find it by uniqueId, then it is a success
    ASK_REGISTRY = "ask_registry"  #: may have been done: find it by uniqueId before anything else
    OPERATOR = "operator"  #: someone must mend a certificate, a right or a setting; the queue is kept


class Layer(StrEnum):
    """Where the answer, or its absence, comes from."""

    NETWORK = "network"
    TLS = "tls"
    HTTP = "http"
    MESSAGE = "message"  #: the answer could not be read
    SOAP = "soap"
    REGISTRY = "registry"
    HL7 = "hl7"
    DMP = "dmp"
    LOCAL = "local"  #: refused before anything was sent


class Row(NamedTuple):
    """One line of the table."""

    kind: Kind
    cause: Text
    fix: Text


_LATER: Final = Text("La passerelle réessaie d'elle-même.", "The gateway tries again by itself.")
_ASKS: Final = Text(
    "La passerelle demande au registre si le document y est.", "The gateway asks the registry for the document."
)
_SUPPORT: Final = Text(
    "Transmettez le code et le message du DMP à l'éditeur.", "Give the DMP's code and message to the vendor."
)
_HEADER: Final = Text("Corrigez le document puis envoyez-le de nouveau.", "Mend the document, then send it again.")
_READ_AGAIN: Final = Text(
    "Relisez le document dans le DMP, puis recommencez.", "Read the document in the DMP again, then start over."
)
_NARROW: Final = Text("Précisez la recherche.", "Narrow the search.")
_CERTIFICATE: Final = Text(
    "Vérifiez les certificats de la structure (`passerelle keys check`).",
    "Check the structure's certificates (`passerelle keys check`).",
)
_CALLER: Final = Text(
    "Vérifiez le professionnel, sa spécialité et sa structure.",
    "Check the professional, the specialty and the structure.",
)
_SETTINGS: Final = Text("Vérifiez l'adresse du service dans les réglages.", "Check the service's address in settings.")

_R, _A, _O, _X = Kind.RETRY, Kind.ASK_REGISTRY, Kind.OPERATOR, Kind.REFUSED

TABLE: Final[Mapping[tuple[Layer, str], Row]] = {
    # --- before any byte of the request was sent ---
    (Layer.NETWORK, "connect"): Row(_R, Text("Le DMP ne répond pas.", "The DMP does not answer."), _LATER),
    (Layer.NETWORK, "connect_timeout"): Row(
        _R, Text("Le DMP ne répond pas à temps.", "The DMP does not answer in time."), _LATER
    ),
    (Layer.NETWORK, "pool"): Row(
        _R, Text("Trop d'appels au DMP sont en cours.", "Too many calls to the DMP are under way."), _LATER
    ),
    # --- after the request was sent, wholly or in part: nobody knows ---
    (Layer.NETWORK, "lost"): Row(
        _A, Text("La connexion au DMP s'est rompue.", "The connection to the DMP was lost."), _ASKS
    ),
    (Layer.NETWORK, "timeout"): Row(
        _A, Text("La réponse du DMP n'est pas venue à temps.", "The DMP's answer did not come in time."), _ASKS
    ),
    # --- TLS ---
    (Layer.TLS, "server"): Row(
        _O,
        Text("Le certificat du DMP n'est pas de confiance.", "The DMP's certificate is not trusted."),
        Text("Vérifiez le magasin d'autorités et l'adresse.", "Check the trust store and the address."),
    ),
    (Layer.TLS, "client"): Row(
        _O,
        Text(
            "Le DMP refuse le certificat d'authentification de la structure.",
            "The DMP refuses the structure's authentication certificate.",
        ),
        _CERTIFICATE,
    ),
    # --- HTTP ---
    (Layer.HTTP, "401"): Row(_O, Text("Le DMP refuse l'appelant.", "The DMP refuses the caller."), _CERTIFICATE),
    (Layer.HTTP, "403"): Row(
        _O, Text("Le DMP refuse le certificat de la structure.", "The DMP refuses the certificate."), _CERTIFICATE
    ),
    (Layer.HTTP, "404"): Row(_O, Text("Le service n'est pas à cette adresse.", "No service there."), _SETTINGS),
    (Layer.HTTP, "405"): Row(_O, Text("Le service n'est pas à cette adresse.", "No service there."), _SETTINGS),
    (Layer.HTTP, "413"): Row(
        _X,
        Text("Le lot est trop grand pour le DMP.", "The set is too large for the DMP."),
        Text("Allégez le document ou séparez-le.", "Make the document smaller, or split it."),
    ),
    (Layer.HTTP, "415"): Row(_O, Text("Le DMP refuse le format du message.", "The DMP refuses the form."), _SUPPORT),
    (Layer.HTTP, "429"): Row(_R, Text("Le DMP limite les appels.", "The DMP limits calls."), _LATER),
    (Layer.HTTP, "500"): Row(_A, Text("Le DMP a échoué.", "The DMP failed."), _ASKS),
    # A proxy may answer these after the request went through.
    (Layer.HTTP, "502"): Row(_A, Text("Le DMP est injoignable derrière son frontal.", "Bad gateway."), _ASKS),
    (Layer.HTTP, "503"): Row(_R, Text("Le DMP est indisponible.", "The DMP is unavailable."), _LATER),
    (Layer.HTTP, "504"): Row(_A, Text("Le frontal du DMP n'a pas eu de réponse.", "Gateway time-out."), _ASKS),
    (Layer.HTTP, "3xx"): Row(_O, Text("Le service renvoie ailleurs.", "The service redirects."), _SETTINGS),
    (Layer.HTTP, "4xx"): Row(_X, Text("Le DMP refuse la requête.", "The DMP refuses the request."), _SUPPORT),
    (Layer.HTTP, "5xx"): Row(_A, Text("Le DMP a échoué.", "The DMP failed."), _ASKS),
    # --- the answer came, and could not be read: the request may have been done ---
    (Layer.MESSAGE, "type"): Row(
        _A, Text("La réponse n'est pas un message du DMP.", "The answer is no message of the DMP."), _ASKS
    ),
    (Layer.MESSAGE, "too_large"): Row(
        _A, Text("La réponse dépasse la taille permise.", "The answer is too large."), _ASKS
    ),
    (Layer.MESSAGE, "unreadable"): Row(
        _A, Text("La réponse du DMP est illisible.", "The DMP's answer is unreadable."), _ASKS
    ),
    (Layer.MESSAGE, "relates_to"): Row(
        _A, Text("La réponse est celle d'un autre appel.", "The answer is to another call."), _ASKS
    ),
    (Layer.MESSAGE, "status"): Row(
        _A, Text("Le DMP donne un état inconnu.", "The DMP gives an unknown status."), _ASKS
    ),
    (Layer.MESSAGE, "contradiction"): Row(
        _A,
        Text("Le DMP annonce un succès et des erreurs à la fois.", "The DMP says success and errors at once."),
        _ASKS,
    ),
    (Layer.MESSAGE, "partial"): Row(_A, Text("Le DMP n'a fait qu'une partie.", "The DMP did a part only."), _ASKS),
    (Layer.MESSAGE, "no_error"): Row(
        _X, Text("Le DMP refuse sans dire pourquoi.", "The DMP refuses without saying why."), _SUPPORT
    ),
    # --- SOAP faults: DMP subcodes first, then the codes of the standard ---
    (Layer.SOAP, "DMPInvalidCertificate"): Row(
        _O,
        Text(
            "Le VIHF n'est pas signé par un certificat de signature.",
            "The VIHF is not signed by a signature certificate.",
        ),
        _CERTIFICATE,
    ),
    (Layer.SOAP, "DMPInvalidVIHF"): Row(_X, Text("Le VIHF est refusé.", "The VIHF is refused."), _CALLER),
    (Layer.SOAP, "DMPAccessDenied"): Row(
        _X,
        Text("Le DMP refuse l'accès à ce professionnel.", "The DMP denies access to this professional."),
        _CALLER,
    ),
    (Layer.SOAP, "Sender"): Row(_X, Text("Le DMP refuse la demande.", "The DMP refuses the request."), _CALLER),
    (Layer.SOAP, "Receiver"): Row(_A, Text("Le DMP a échoué.", "The DMP failed."), _ASKS),
    (Layer.SOAP, "MustUnderstand"): Row(
        _O, Text("Le DMP ne comprend pas un en-tête.", "The DMP does not understand a header."), _SUPPORT
    ),
    (Layer.SOAP, "VersionMismatch"): Row(
        _O, Text("Le DMP attend une autre version de SOAP.", "The DMP wants another SOAP version."), _SUPPORT
    ),
    (Layer.SOAP, "DataEncodingUnknown"): Row(
        _O, Text("Le DMP refuse le codage.", "The DMP refuses the encoding."), _SUPPORT
    ),
    (Layer.SOAP, "InvalidSecurity"): Row(_X, Text("Le VIHF est refusé.", "The VIHF is refused."), _CALLER),
    (Layer.SOAP, "InvalidSecurityToken"): Row(_X, Text("Le VIHF est refusé.", "The VIHF is refused."), _CALLER),
    (Layer.SOAP, "FailedAuthentication"): Row(_X, Text("Le VIHF est refusé.", "The VIHF is refused."), _CALLER),
    (Layer.SOAP, "FailedCheck"): Row(
        _O, Text("La signature du VIHF est refusée.", "The VIHF's signature is refused."), _CERTIFICATE
    ),
    (Layer.SOAP, "MessageExpired"): Row(
        _R,
        Text("Le VIHF a expiré avant d'arriver.", "The VIHF expired on its way."),
        Text("Mettez l'horloge à l'heure (NTP).", "Set the clock right (NTP)."),
    ),
    (Layer.SOAP, "ActionNotSupported"): Row(
        _O, Text("Le service ne connaît pas cette transaction.", "Unknown transaction."), _SETTINGS
    ),
    # --- registry errors: IHE ITI TF-3 Table 4.2.4.1-2 ----------------------------------------------------------------
    (Layer.REGISTRY, "XDSUnknownPatientId"): Row(
        _X,
        Text("Ce patient n'a pas de DMP.", "This patient has no DMP."),
        Text(
            "Vérifiez l'existence du DMP ; le patient a pu s'y opposer.",
            "Check that the DMP exists; the patient may have opposed it.",
        ),
    ),
    (Layer.REGISTRY, "XDSPatientIdDoesNotMatch"): Row(
        _X,
        Text("Le patient n'est pas le même partout dans l'envoi.", "The patient is not the same throughout."),
        Text("Vérifiez l'INS du document et de l'appel.", "Check the INS of the document and of the call."),
    ),
    (Layer.REGISTRY, "XDSDuplicateUniqueIdInRegistry"): Row(
        Kind.ALREADY_THERE,
        Text("Le DMP a déjà ce document ou ce lot.", "The DMP has this document or this set already."),
        _ASKS,
    ),
    (Layer.REGISTRY, "XDSNonIdenticalHash"): Row(
        _X,
        Text("Le DMP a un autre contenu sous cet identifiant.", "The DMP has other content under this identifier."),
        Text(
            "Donnez un nouvel identifiant, ou remplacez le document.", "Give a new identifier, or replace the document."
        ),
    ),
    (Layer.REGISTRY, "XDSNonIdenticalSize"): Row(
        _X,
        Text("Le DMP a un autre contenu sous cet identifiant.", "The DMP has other content under this identifier."),
        Text(
            "Donnez un nouvel identifiant, ou remplacez le document.", "Give a new identifier, or replace the document."
        ),
    ),
    (Layer.REGISTRY, "XDSRegistryDuplicateUniqueIdInMessage"): Row(
        _X, Text("Un identifiant figure deux fois dans le lot.", "An identifier stands twice in the set."), _HEADER
    ),
    (Layer.REGISTRY, "XDSRepositoryDuplicateUniqueIdInMessage"): Row(
        _X, Text("Un identifiant figure deux fois dans le lot.", "An identifier stands twice in the set."), _HEADER
    ),
    (Layer.REGISTRY, "XDSRegistryMetadataError"): Row(
        _X, Text("Une métadonnée est refusée.", "A metadata attribute is refused."), _HEADER
    ),
    (Layer.REGISTRY, "XDSRepositoryMetadataError"): Row(
        _X, Text("Une métadonnée est refusée.", "A metadata attribute is refused."), _HEADER
    ),
    (Layer.REGISTRY, "XDSExtraMetadataNotSaved"): Row(
        _X, Text("Une métadonnée n'a pas été gardée.", "A metadata attribute was not kept."), _SUPPORT
    ),
    (Layer.REGISTRY, "XDSMissingDocument"): Row(
        _X, Text("Un document annoncé n'est pas dans l'envoi.", "A described document was not sent."), _SUPPORT
    ),
    (Layer.REGISTRY, "XDSMissingDocumentMetadata"): Row(
        _X, Text("Un document envoyé n'est pas décrit.", "A document sent is not described."), _SUPPORT
    ),
    (Layer.REGISTRY, "InvalidDocumentContent"): Row(
        _X, Text("Le contenu du document est refusé.", "The document's content is refused."), _HEADER
    ),
    (Layer.REGISTRY, "XDSReplaceFailed"): Row(
        _X, Text("Le document à remplacer n'est plus remplaçable.", "The document cannot be replaced."), _READ_AGAIN
    ),
    (Layer.REGISTRY, "XDSRegistryDeprecatedDocumentError"): Row(
        _X, Text("Le document visé est obsolète.", "The document aimed at is deprecated."), _READ_AGAIN
    ),
    (Layer.REGISTRY, "UnresolvedReferenceException"): Row(
        _X, Text("Le document visé n'existe pas.", "The document aimed at does not exist."), _READ_AGAIN
    ),
    (Layer.REGISTRY, "XDSDocumentUniqueIdError"): Row(
        _X, Text("Le DMP ne connaît pas cet identifiant de document.", "Unknown document identifier."), _READ_AGAIN
    ),
    (Layer.REGISTRY, "XDSMetadataUpdateError"): Row(
        _X, Text("La modification est refusée.", "The update is refused."), _READ_AGAIN
    ),
    (Layer.REGISTRY, "XDSMetadataVersionError"): Row(
        _X, Text("Le document a été modifié entre-temps.", "The document was changed meanwhile."), _READ_AGAIN
    ),
    (Layer.REGISTRY, "XDSMetadataUpdateOperationError"): Row(
        _X, Text("Cette modification n'est pas permise.", "This update is not allowed."), _SUPPORT
    ),
    (Layer.REGISTRY, "XDSMetadataIdentifierError"): Row(
        _X, Text("Le document à modifier est inconnu.", "The document to update is unknown."), _READ_AGAIN
    ),
    (Layer.REGISTRY, "XDSPatientIDReconciliationError"): Row(
        _X, Text("Le patient du document a changé.", "The document's patient has changed."), _READ_AGAIN
    ),
    (Layer.REGISTRY, "XDSRegistryBusy"): Row(_R, Text("Le registre est occupé.", "The registry is busy."), _LATER),
    (Layer.REGISTRY, "XDSRepositoryBusy"): Row(_R, Text("L'entrepôt est occupé.", "The repository is busy."), _LATER),
    (Layer.REGISTRY, "XDSRegistryOutOfResources"): Row(
        _R, Text("Le registre manque de ressources.", "The registry is out of resources."), _LATER
    ),
    (Layer.REGISTRY, "XDSRepositoryOutOfResources"): Row(
        _R, Text("L'entrepôt manque de ressources.", "The repository is out of resources."), _LATER
    ),
    (Layer.REGISTRY, "XDSRegistryNotAvailable"): Row(
        _R, Text("Le registre est indisponible.", "The registry is not available."), _LATER
    ),
    (Layer.REGISTRY, "XDSRegistryError"): Row(_A, Text("Le registre a échoué.", "The registry failed."), _ASKS),
    (Layer.REGISTRY, "XDSRepositoryError"): Row(_A, Text("L'entrepôt a échoué.", "The repository failed."), _ASKS),
    (Layer.REGISTRY, "XDSTooManyResults"): Row(_X, Text("Trop de réponses.", "Too many results."), _NARROW),
    (Layer.REGISTRY, "XDSStoredQueryMissingParam"): Row(
        _X, Text("Un critère de recherche manque.", "A search parameter is missing."), _NARROW
    ),
    (Layer.REGISTRY, "XDSStoredQueryParamNumber"): Row(
        _X, Text("Un critère a trop de valeurs.", "A search parameter has too many values."), _NARROW
    ),
    (Layer.REGISTRY, "XDSUnknownStoredQuery"): Row(
        _X, Text("Le DMP ne connaît pas cette recherche.", "Unknown stored query."), _SUPPORT
    ),
    (Layer.REGISTRY, "XDSUnknownRepositoryId"): Row(
        _X, Text("L'entrepôt du document est inconnu.", "Unknown repository."), _READ_AGAIN
    ),
    (Layer.REGISTRY, "DMPAccessDenied"): Row(
        _X, Text("Le DMP refuse cette action à ce professionnel.", "The DMP denies this action."), _CALLER
    ),
    # --- DMP and HL7 v3 statuses ---
    (Layer.HL7, "DMPFound"): Row(_X, Text("Le DMP existe déjà.", "The DMP exists already."), _SUPPORT),
    (Layer.HL7, "DMPClosed"): Row(
        _X,
        Text("Le DMP du patient est fermé.", "The patient's DMP is closed."),
        Text("Le document reste au dossier local ; vérifiez plus tard.", "Keep the document locally; check later."),
    ),
    (Layer.HL7, "AE"): Row(_X, Text("Le DMP refuse la demande.", "The DMP refuses the request."), _SUPPORT),
    (Layer.HL7, "AR"): Row(_X, Text("Le DMP rejette la demande.", "The DMP rejects the request."), _SUPPORT),
    (Layer.DMP, "DMPPatientAccessAlreadyExists"): Row(
        _X, Text("L'accès internet du patient existe déjà.", "The patient's access exists already."), _SUPPORT
    ),
    (Layer.DMP, "DMPPatientAccessOTPAlreadyExists"): Row(
        _X, Text("Le canal du code d'accès existe déjà.", "The access code channel exists already."), _SUPPORT
    ),
    # --- refused here, nothing was sent ---
    (Layer.LOCAL, "document_too_large"): Row(
        _X,
        Text("Le document dépasse la taille que le DMP accepte.", "The document is larger than the DMP takes."),
        Text("Allégez le document.", "Make the document smaller."),
    ),
    (Layer.LOCAL, "too_many_documents"): Row(
        _X,
        Text("Le lot contient trop de documents.", "The set holds too many documents."),
        Text("Répartissez les documents en plusieurs lots.", "Spread the documents over several sets."),
    ),
    (Layer.LOCAL, "not_found"): Row(
        _R, Text("Le registre n'a pas le document.", "The registry has not the document."), _LATER
    ),
    (Layer.LOCAL, "ambiguous"): Row(
        _O,
        Text("Le registre a plusieurs fiches de ce document.", "The registry has several entries of this document."),
        Text("Voyez dans le DMP laquelle garder.", "See in the DMP which one to keep."),
    ),
    (Layer.LOCAL, "partly_found"): Row(
        _O,
        Text("Le registre n'a qu'une partie du lot.", "The registry has a part of the set only."),
        Text("Voyez dans le DMP ce qui manque.", "See in the DMP what is missing."),
    ),
    (Layer.LOCAL, "foreign_url"): Row(
        _X,
        Text("L'adresse du document est celle d'un autre service.", "The document's address is another service's."),
        _SUPPORT,
    ),
    (Layer.LOCAL, "clock_skew"): Row(
        _O,
        Text(
            "L'horloge de la passerelle n'est pas à l'heure du DMP : l'assertion est refusée.",
            "The gateway's clock does not agree with the DMP's: the assertion is refused.",
        ),
        Text("Synchronisez l'horloge (NTP).", "Synchronise the clock (NTP)."),
    ),
    (Layer.LOCAL, "key"): Row(
        _O, Text("La clé de signature est inutilisable.", "The signature key cannot be used."), _CERTIFICATE
    ),
}

#: What an unknown code of each layer means: never retried blindly, shown as it came.
UNKNOWN: Final[Mapping[Layer, Row]] = {
    layer: Row(
        _A if layer in (Layer.NETWORK, Layer.MESSAGE) else _X,
        Text("Le DMP répond par un code inconnu.", "The DMP answers with an unknown code."),
        _SUPPORT,
    )
    for layer in Layer
}
