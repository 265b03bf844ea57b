"""What came of a call to INSi, in one table: result codes, faults, HTTP, TLS and network -> what to do next.

The full table of SIRAM, DESIR and INSI codes is not public: a code that is not here is sorted by its side (``Sender``:
our configuration or data; ``Receiver``: theirs, worth trying again) and passed through as it came.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import httpx

from adapters.insi.soap import SoapFault
from conformance.verdict import Text

__all__ = ["OUTCOMES", "Kind", "Meaning", "Outcome", "of_code", "of_exception", "of_fault", "of_http", "outcome"]


class Kind(StrEnum):
    """What to do with an outcome."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    SEVERAL = "several"
    RETRY = "retry"  #: the same call may work later
    REFUSED = "refused"  #: this identity will not pass as it is
    OPERATOR = "operator"  #: somebody must repair certificates, settings or software


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """One row: what it means and how to mend it."""

    kind: Kind
    cause: Text
    fix: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a call; the teleservice's own code and text are kept."""

    code: str  #: ours, stable
    meaning: Meaning
    original_code: str | None = None
    original_text: str | None = field(default=None, repr=False)

    @property
    def kind(self) -> Kind:
        """What to do."""
        return self.meaning.kind

    @property
    def cause(self) -> Text:
        """What happened, for people."""
        return self.meaning.cause

    @property
    def fix(self) -> Text:
        """What to do about it, for people."""
        return self.meaning.fix


def _row(kind: Kind, fr: str, en: str, fix_fr: str, fix_en: str) -> Meaning:
    return Meaning(kind=kind, cause=Text(fr, en), fix=Text(fix_fr, fix_en))


_LATER: Final = ("Rien à faire : l'appel sera repris.", "Nothing to do: the call will be made again.")
_ALERT: Final = (
    "Ne rattachez pas cet INS ; alertez la cellule d'identitovigilance.",
    "Do not attach this INS; alert the identity-vigilance contact.",
)
_SUPPORT: Final = ("Transmettez le code d'origine au support.", "Give the original code to the support.")

#: Our code -> what it means. Result codes: WSDL DESIR_ICIR_EXP; faults: captured answers.
OUTCOMES: Final[dict[str, Meaning]] = {
    "INSI-CR-00": _row(
        Kind.FOUND,
        "L'INSi a trouvé l'identité.",
        "INSi found the identity.",
        "Comparez les traits, puis acceptez ou rejetez.",
        "Compare the traits, then accept or reject.",
    ),
    "INSI-CR-01": _row(
        Kind.NOT_FOUND,
        "L'INSi n'a trouvé aucune identité.",
        "INSi found no identity.",
        "Vérifiez les traits sur une pièce d'identité.",
        "Check the traits against an identity document.",
    ),
    "INSI-CR-02": _row(
        Kind.SEVERAL,
        "L'INSi a trouvé plusieurs identités.",
        "INSi found several identities.",
        "Ajoutez le lieu de naissance ou les autres prénoms.",
        "Add the place of birth or the other given names.",
    ),
    "INSI-CR-99": _row(Kind.OPERATOR, "L'INSi a rendu un code inconnu.", "INSi returned an unknown code.", *_SUPPORT),
    "INSI-FLT-001": _row(
        Kind.RETRY,
        "La recherche INSi est en panne technique.",
        "The INSi search failed technically.",
        *_LATER,
    ),
    "INSI-FLT-002": _row(
        Kind.OPERATOR,
        "Le numéro d'autorisation CNDA est inconnu.",
        "The CNDA authorisation number is unknown.",
        "Vérifiez le réglage insi.idam.",
        "Check the setting insi.idam.",
    ),
    "INSI-FLT-003": _row(
        Kind.OPERATOR,
        "Le certificat n'a pas le niveau d'accès voulu.",
        "The certificate has not the access level needed.",
        "Utilisez un certificat dont le CN est INSI-AUTO ou INSI-MANU.",
        "Use a certificate whose CN is INSI-AUTO or INSI-MANU.",
    ),
    "INSI-FLT-004": _row(
        Kind.OPERATOR,
        "L'INSi refuse la demande telle qu'elle est faite.",
        "INSi refuses the request as it is made.",
        *_SUPPORT,
    ),
    "INSI-FLT-005": _row(Kind.RETRY, "L'INSi est en panne.", "INSi is failing.", *_LATER),
    "INSI-HTTP-001": _row(
        Kind.RETRY, "L'INSi est momentanément indisponible.", "INSi is unavailable for the moment.", *_LATER
    ),
    "INSI-HTTP-002": _row(
        Kind.OPERATOR,
        "L'INSi refuse l'accès.",
        "INSi denies access.",
        "Vérifiez le certificat et l'adresse du service.",
        "Check the certificate and the address of the service.",
    ),
    "INSI-NET-001": _row(Kind.RETRY, "L'INSi n'a pas répondu à temps.", "INSi did not answer in time.", *_LATER),
    "INSI-NET-002": _row(Kind.RETRY, "L'INSi est injoignable.", "INSi cannot be reached.", *_LATER),
    "INSI-TLS-001": _row(
        Kind.OPERATOR,
        "Le certificat du serveur INSi n'est pas reconnu.",
        "The certificate of the INSi server is not trusted.",
        "Vérifiez le magasin d'autorités et l'adresse du service.",
        "Check the trust store and the address of the service.",
    ),
    "INSI-TLS-002": _row(
        Kind.OPERATOR,
        "La connexion TLS est refusée.",
        "The TLS connection is refused.",
        "Vérifiez le certificat client : présence, validité, révocation.",
        "Check the client certificate: presence, validity, revocation.",
    ),
    "INSI-ANS-001": _row(
        Kind.RETRY, "La réponse de l'INSi est illisible.", "The answer of INSi cannot be read.", *_LATER
    ),
    "INSI-ANS-002": _row(
        Kind.REFUSED,
        "L'INSi a rendu un matricule dont la forme ou la clé est fausse.",
        "INSi returned a matricule whose form or key is wrong.",
        *_ALERT,
    ),
    "INSI-ANS-003": _row(
        Kind.REFUSED,
        "L'INSi a rendu un matricule d'une autorité qui n'est pas admise ici.",
        "INSi returned a matricule of an authority that is not allowed here.",
        *_ALERT,
    ),
    "INSI-ANS-004": _row(
        Kind.REFUSED,
        "L'INSi a rendu des traits qui ne suivent pas son propre profil.",
        "INSi returned traits that do not follow its own profile.",
        *_ALERT,
    ),
    "INSI-REQ-001": _row(
        Kind.REFUSED,
        "Les traits ne peuvent pas être envoyés à l'INSi.",
        "The traits cannot be sent to INSi.",
        "Corrigez la saisie : nom, prénom, sexe M ou F et date de naissance sont nécessaires.",
        "Correct the entry: name, given name, sex M or F and birth date are needed.",
    ),
    "INSI-REQ-002": _row(
        Kind.REFUSED,
        "L'identité est douteuse ou fictive : l'appel à l'INSi est interdit.",
        "The identity is doubtful or fictitious: calling INSi is forbidden.",
        "Levez le doute d'abord.",
        "Clear the doubt first.",
    ),
    "INSI-REQ-003": _row(
        Kind.RETRY,
        "Les appels à l'INSi sont suspendus après plusieurs pannes.",
        "Calls to INSi are suspended after several failures.",
        *_LATER,
    ),
    "INSI-VER-OK": _row(
        Kind.FOUND,
        "L'INSi confirme l'identité.",
        "INSi confirms the identity.",
        "Rien à faire.",
        "Nothing to do.",
    ),
    "INSI-VER-KO": _row(
        Kind.NOT_FOUND,
        "L'INSi ne confirme pas l'identité.",
        "INSi does not confirm the identity.",
        "Retirez l'INS et refaites une recherche par traits.",
        "Drop the INS and search by traits again.",
    ),
}

# Code of the detail, else the subcode.
_FAULTS: Final = {
    "insi_102": "INSI-FLT-001",
    "siram_40": "INSI-FLT-001",
    "desir_550": "INSI-FLT-002",
    "siram_100": "INSI-FLT-002",
    "desir_560": "INSI-FLT-003",
}


# What the ssl module raises without anything being refused.
_PASSING: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def outcome(code: str, original_code: str | None = None, original_text: str | None = None) -> Outcome:
    """The outcome of one of our codes."""
    return Outcome(
        code=code,
        meaning=OUTCOMES[code],
        original_code=original_code or None,
        original_text=(original_text or "")[:500] or None,
    )


def of_code(code: str, label: str = "") -> Outcome:
    """The outcome of a result code (``CodeCR``)."""
    ours = f"INSI-CR-{code}"
    return outcome(ours if code in ("00", "01", "02") else "INSI-CR-99", code, label)


def of_fault(fault: SoapFault) -> Outcome:
    """The outcome of a SOAP fault; an unknown code goes by its side."""
    by_side = "INSI-FLT-004" if fault.side == "Sender" else "INSI-FLT-005"
    ours = _FAULTS.get(fault.code) or _FAULTS.get(fault.subcode) or by_side
    return outcome(ours, fault.code or fault.subcode or fault.side, fault.text)


def of_http(status: int) -> Outcome:
    """The outcome of an HTTP status that came without a SOAP message."""
    later = status in (408, 425, 429) or status >= 500
    return outcome("INSI-HTTP-001" if later else "INSI-HTTP-002", f"HTTP {status}")


def of_exception(error: BaseException) -> Outcome:
    """The outcome of a call that gave no HTTP answer."""
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        return outcome("INSI-NET-001", type(error).__name__)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return outcome("INSI-TLS-001", cause.verify_message)
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, _PASSING):
            return outcome("INSI-TLS-002", getattr(cause, "reason", None) or "CLOSED_AFTER_HANDSHAKE")
        cause = cause.__cause__ or cause.__context__
    return outcome("INSI-NET-002", type(error).__name__)
