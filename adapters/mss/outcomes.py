"""What became of a sending, in one vocabulary: every answer of an operator, and every way a connection dies.

One table per question: what an SMTP reply means (``mss.md`` 10), and what a lost connection means by the moment it was
lost. The remote code and text are kept as they came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from conformance.verdict import Text

__all__ = ["Kind", "Outcome", "Phase", "local", "lost", "remote_text", "reply", "sent"]


class Kind(StrEnum):
    """What the caller does next."""

    ACCEPTED = "accepted"  #: the operator took charge of it
    REFUSED = "refused"  #: final, for this recipient
    RETRY = "retry"  #: the same mail again, later
    UNCERTAIN = "uncertain"  #: may have been taken: the same mail, same Message-ID, after a delay
    OPERATOR = "operator"  #: someone must mend certificate, token or settings; the queue is kept


class Phase(StrEnum):
    """Where in the dialogue something happened."""

    CONNECT = "connect"  #: name, TCP, greeting
    STARTTLS = "starttls"  #: STARTTLS and the handshake
    AFTER_STARTTLS = "after_starttls"  #: first EHLO under TLS, where a refused client certificate shows
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"  #: the DATA command, before any byte of the message
    FINAL_DOT = "final_dot"  #: the message was handed over, its answer is awaited


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one recipient, or of the attempt when nobody was reached."""

    kind: Kind
    code: str  #: ours, stable
    cause: Text
    fix: Text
    original_code: str = ""  #: SMTP reply code, or the name of the network error
    original_text: str = ""  #: the operator's words
    retry_after: int | None = None  #: seconds before the next attempt makes sense
    split: bool = False  #: retry with fewer recipients
    phase: Phase | None = None


class _Entry(NamedTuple):
    kind: Kind
    code: str
    cause: Text
    fix: Text
    retry_after: int | None = None
    split: bool = False


_LATER = Text("La passerelle réessaie d'elle-même.", "The gateway tries again by itself.")
_ADDRESS_FIX = Text(
    "Cherchez de nouveau l'adresse dans l'Annuaire Santé.", "Look the address up again in the national directory."
)
_OPERATOR_FIX = Text("Prévenez votre opérateur MSSanté.", "Tell your MSSanté operator.")

_CERTIFICATE = _Entry(
    Kind.OPERATOR,
    "MSS-OUT-CERTIFICATE",
    Text(
        "L'opérateur n'accepte pas le certificat client de la boîte.",
        "The operator does not accept the mailbox's client certificate.",
    ),
    Text(
        "Vérifiez le certificat ORG AUTH_CLI : présent, non expiré, émis par l'IGC-Santé, lié à cette boîte.",
        "Check the ORG AUTH_CLI certificate: present, not expired, issued by IGC-Santé, tied to this mailbox.",
    ),
)
_TOKEN = _Entry(
    Kind.OPERATOR,
    "MSS-OUT-TOKEN",
    Text("L'opérateur refuse l'authentification de la boîte.", "The operator refuses the mailbox's authentication."),
    Text(
        "Renouvelez la session Pro Santé Connect, ou vérifiez le mode d'authentification de la boîte.",
        "Renew the Pro Santé Connect session, or check the mailbox's authentication mode.",
    ),
)
_NO_STARTTLS = _Entry(
    Kind.OPERATOR,
    "MSS-OUT-STARTTLS",
    Text(
        "Le serveur n'annonce pas STARTTLS : rien n'a été envoyé.",
        "The server does not announce STARTTLS: nothing was sent.",
    ),
    Text(
        "Vérifiez l'hôte et le port ; une connexion en clair est interdite.",
        "Check host and port; a connection in clear is forbidden.",
    ),
)
_SERVER_CERTIFICATE = _Entry(
    Kind.OPERATOR,
    "MSS-OUT-SERVER-CERTIFICATE",
    Text(
        "Le certificat du serveur de l'opérateur n'est pas accepté.",
        "The certificate of the operator's server is not accepted.",
    ),
    Text(
        "Vérifiez le nom d'hôte, le magasin de confiance IGC-Santé et sa liste de révocation.",
        "Check the host name, the IGC-Santé trust store and its revocation list.",
    ),
)
_NETWORK = _Entry(
    Kind.RETRY,
    "MSS-OUT-NETWORK",
    Text("L'opérateur n'a pas pu être joint.", "The operator could not be reached."),
    _LATER,
    60,
)
_UNCERTAIN = _Entry(
    Kind.UNCERTAIN,
    "MSS-OUT-UNCERTAIN",
    Text(
        "La connexion a été perdue après l'envoi du message : l'opérateur l'a peut-être pris.",
        "The connection was lost after the message was sent: the operator may have taken it.",
    ),
    Text(
        "La passerelle renvoie le même message, avec le même Message-ID, après un délai.",
        "The gateway sends the same message again, with the same Message-ID, after a delay.",
    ),
    300,
)
_GREYLISTED = _Entry(
    Kind.RETRY,
    "MSS-OUT-GREYLISTED",
    Text("L'opérateur demande de réessayer plus tard.", "The operator asks to try again later."),
    _LATER,
    300,
)
_FULL_LATER = _Entry(
    Kind.RETRY,
    "MSS-OUT-MAILBOX-FULL-LATER",
    Text("La boîte du destinataire est pleine pour le moment.", "The recipient's mailbox is full for now."),
    _LATER,
    900,
)
_TOO_MANY = _Entry(
    Kind.RETRY,
    "MSS-OUT-TOO-MANY-RECIPIENTS",
    Text(
        "L'opérateur n'accepte pas autant de destinataires à la fois.",
        "The operator does not take so many recipients at once.",
    ),
    Text("La passerelle partage l'envoi.", "The gateway splits the sending."),
    0,
    True,
)
_TEMPORARY = _Entry(
    Kind.RETRY,
    "MSS-OUT-TEMPORARY",
    Text("L'opérateur signale un incident passager.", "The operator reports a temporary failure."),
    _LATER,
    60,
)
_BAD_ADDRESS = _Entry(
    Kind.REFUSED,
    "MSS-OUT-ADDRESS",
    Text(
        "L'adresse du destinataire n'existe pas ou n'est plus valide.",
        "The recipient's address does not exist or is no longer valid.",
    ),
    _ADDRESS_FIX,
)
_POLICY = _Entry(
    Kind.REFUSED,
    "MSS-OUT-POLICY",
    Text("L'opérateur refuse le message par sa politique.", "The operator refuses the message by policy."),
    Text(
        "Vérifiez la boîte d'expédition et la liste blanche ; lisez le texte de l'opérateur.",
        "Check the sending mailbox and the white list; read the operator's text.",
    ),
)
_SIZE = _Entry(
    Kind.REFUSED,
    "MSS-OUT-SIZE",
    Text("Le message est trop gros pour l'opérateur.", "The message is too large for the operator."),
    Text(
        "Envoyez les documents en plusieurs messages ; ne retirez ni l'archive ni le PDF.",
        "Send the documents in several messages; drop neither the archive nor the PDF.",
    ),
)
_FULL = _Entry(
    Kind.REFUSED,
    "MSS-OUT-MAILBOX-FULL",
    Text("La boîte du destinataire est pleine.", "The recipient's mailbox is full."),
    Text("Prévenez le destinataire, puis renvoyez.", "Tell the recipient, then send again."),
)
_SENDER = _Entry(
    Kind.OPERATOR,
    "MSS-OUT-SENDER",
    Text("L'opérateur n'accepte pas cette boîte d'expédition.", "The operator does not accept this sending mailbox."),
    Text("Vérifiez la boîte liée au certificat.", "Check the mailbox tied to the certificate."),
)
_SYNTAX = _Entry(
    Kind.OPERATOR,
    "MSS-OUT-PROTOCOL",
    Text("L'opérateur ne comprend pas une commande.", "The operator does not understand a command."),
    _OPERATOR_FIX,
)
_REFUSED = _Entry(
    Kind.REFUSED,
    "MSS-OUT-REFUSED",
    Text("L'opérateur refuse le message.", "The operator refuses the message."),
    Text("Lisez le texte de l'opérateur.", "Read the operator's text."),
)
_ACCEPTED = _Entry(
    Kind.ACCEPTED,
    "MSS-OUT-ACCEPTED",
    Text("L'opérateur a pris le message en charge.", "The operator took charge of the message."),
    Text("Rien à faire.", "Nothing to do."),
)

_AFTER_HANDSHAKE = frozenset({Phase.STARTTLS, Phase.AFTER_STARTTLS})
_CLIENT_CERTIFICATE = re.compile(r"certificate", re.IGNORECASE)

# mss.md 10 and RFC 3463: (phases or None for all, codes, enhanced status or None, entry). First match wins.
_REPLIES: tuple[tuple[frozenset[Phase] | None, frozenset[int], str | None, _Entry], ...] = (
    # 2.2: a refused client certificate shows after the handshake, and 535 from Dovecot names the certificate.
    (_AFTER_HANDSHAKE, frozenset({421}), None, _CERTIFICATE),
    (frozenset({Phase.STARTTLS}), frozenset({454}), None, _TEMPORARY),
    (frozenset({Phase.STARTTLS}), frozenset({500, 501, 502, 503}), None, _NO_STARTTLS),
    (frozenset({Phase.AUTH}), frozenset({454}), None, _TEMPORARY),
    (None, frozenset({530, 534, 535, 538}), None, _TOKEN),
    (frozenset({Phase.AUTH}), frozenset({500, 501, 502, 503, 504}), None, _TOKEN),
    (frozenset({Phase.MAIL}), frozenset({550, 553, 554}), None, _SENDER),
    (None, frozenset({552, 554}), r"5\.3\.4", _SIZE),
    (None, frozenset({552}), r"5\.2\.2", _FULL),
    (frozenset({Phase.RCPT}), frozenset({552}), None, _FULL),
    (None, frozenset({552}), None, _SIZE),
    (None, frozenset({550, 551, 553, 554, 556}), r"5\.1\.\d+", _BAD_ADDRESS),
    (None, frozenset({550, 554}), r"5\.7\.\d+", _POLICY),
    (frozenset({Phase.RCPT}), frozenset({550, 551, 553}), None, _BAD_ADDRESS),
    (None, frozenset({554}), None, _POLICY),
    (None, frozenset({452}), r"4\.5\.3", _TOO_MANY),
    (None, frozenset({452}), r"4\.2\.2", _FULL_LATER),
    (None, frozenset({450}), None, _GREYLISTED),
    (None, frozenset({451}), r"4\.7\.\d+", _GREYLISTED),
    (None, frozenset({500, 501, 502, 503, 504, 555}), None, _SYNTAX),
)

_LOST: dict[Phase, _Entry] = {
    Phase.CONNECT: _NETWORK,
    # Under TLS 1.3 the server judges the client certificate after our handshake, then only closes (2.2).
    Phase.STARTTLS: _NETWORK,
    Phase.AFTER_STARTTLS: _CERTIFICATE,
    Phase.AUTH: _NETWORK,
    Phase.MAIL: _NETWORK,
    Phase.RCPT: _NETWORK,
    Phase.DATA: _NETWORK,
    Phase.FINAL_DOT: _UNCERTAIN,
}

_LOCAL: dict[str, _Entry] = {
    "no_starttls": _NO_STARTTLS,
    "server_certificate": _SERVER_CERTIFICATE,
    "client_certificate": _CERTIFICATE,
    "token": _TOKEN,
    "network": _NETWORK,
    "size": _SIZE,
}


def _make(entry: _Entry, *, phase: Phase | None, code: str, text: str) -> Outcome:
    return Outcome(
        kind=entry.kind,
        code=entry.code,
        cause=entry.cause,
        fix=entry.fix,
        original_code=code,
        original_text=remote_text(text),
        retry_after=entry.retry_after,
        split=entry.split,
        phase=phase,
    )


# Servers quote the recipient they refuse, and a citizen's address is a matricule.
_CITIZEN = re.compile(r"[^\s<>@]+(?=@patient\.)", re.IGNORECASE)
_MATRICULE = re.compile(r"(?<!\d)[1-8]\d{4}(?:\d{2}|2[AB])\d{8}(?!\d)", re.IGNORECASE)


def remote_text(text: str) -> str:
    """A remote server's words as they may be shown: one line, bounded, no matricule."""
    line = "".join(c if c.isprintable() else " " for c in text[:2000])
    return _MATRICULE.sub("***", _CITIZEN.sub("***", line))[:500].strip()


def reply(code: int, text: str, phase: Phase) -> Outcome:
    """Say what an SMTP reply means at a moment of the dialogue; an unknown 4xx is tried again, 5xx is final."""
    if 200 <= code < 300:
        return _make(_ACCEPTED, phase=phase, code=str(code), text=text)
    if code == 535 and _CLIENT_CERTIFICATE.search(text):
        return _make(_CERTIFICATE, phase=phase, code=str(code), text=text)
    for phases, codes, status, entry in _REPLIES:
        if code in codes and (phases is None or phase in phases):
            if status is not None and not re.match(status + r"(?!\d)", text):
                continue
            return _make(entry, phase=phase, code=str(code), text=text)
    return _make(_TEMPORARY if 400 <= code < 500 else _REFUSED, phase=phase, code=str(code), text=text)


def lost(phase: Phase, error: BaseException) -> Outcome:
    """Say what a connection that died, or a timeout, means by the moment it happened."""
    entry = _LOST[phase]
    if phase is Phase.AFTER_STARTTLS and isinstance(error, TimeoutError):
        entry = _NETWORK  # a server that judges a certificate closes; one that is silent is ill
    return _make(entry, phase=phase, code=type(error).__name__, text="")


def local(reason: str, *, phase: Phase, error: BaseException | None = None, text: str = "") -> Outcome:
    """Say what a fault found on our side means: ``no_starttls``, ``server_certificate``, ``client_certificate``..."""
    return _make(_LOCAL[reason], phase=phase, code=type(error).__name__ if error else "", text=text)


def sent(code: int, text: str) -> Outcome:
    """The outcome of a recipient whose message the operator took charge of."""
    return _make(_ACCEPTED, phase=Phase.FINAL_DOT, code=str(code), text=text)
