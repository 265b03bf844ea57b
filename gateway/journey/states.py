"""The one table of states: what a document and a delivery may become, and in what words that is told.

Every change of state in the gateway goes through :func:`check`; each is a row of history with its cause.
"""

from __future__ import annotations

from enum import StrEnum

from conformance.verdict import Text

__all__ = [
    "DELIVERY_MOVES",
    "ENDED",
    "CauseCode",
    "Delivery",
    "Document",
    "IllegalMove",
    "check",
    "document_state",
]


class Delivery(StrEnum):
    """Where a delivery stands (api.md)."""

    QUEUED = "queued"
    HELD = "held"
    SENDING = "sending"
    UNCERTAIN = "uncertain"
    RETRYING = "retrying"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    DEAD_LETTER = "dead_letter"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Document(StrEnum):
    """Where a document stands, from its deliveries."""

    ACCEPTED = "accepted"
    COMPLETED = "completed"
    PARTIALLY_COMPLETED = "partially_completed"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


_D = Delivery

#: From each state, the states that may follow.
DELIVERY_MOVES: dict[Delivery, frozenset[Delivery]] = {
    _D.QUEUED: frozenset({_D.SENDING, _D.HELD, _D.REFUSED, _D.RETRYING, _D.WITHDRAWN, _D.DEAD_LETTER}),
    _D.HELD: frozenset({_D.QUEUED, _D.EXPIRED, _D.WITHDRAWN, _D.REFUSED}),
    _D.SENDING: frozenset({_D.ACKNOWLEDGED, _D.REFUSED, _D.RETRYING, _D.UNCERTAIN, _D.DEAD_LETTER, _D.HELD, _D.QUEUED}),
    # The answer was lost: only the destination's word, or giving up, ends this state.
    _D.UNCERTAIN: frozenset({_D.ACKNOWLEDGED, _D.REFUSED, _D.RETRYING, _D.SENDING, _D.DEAD_LETTER}),
    _D.RETRYING: frozenset({_D.SENDING, _D.HELD, _D.REFUSED, _D.DEAD_LETTER, _D.WITHDRAWN, _D.QUEUED}),
    _D.ACKNOWLEDGED: frozenset(),
    _D.REFUSED: frozenset(),
    # A person may send a dead letter again.
    _D.DEAD_LETTER: frozenset({_D.QUEUED, _D.WITHDRAWN}),
    _D.WITHDRAWN: frozenset(),
    _D.EXPIRED: frozenset(),
}

#: States in which nothing more happens by itself.
ENDED = frozenset({_D.ACKNOWLEDGED, _D.REFUSED, _D.DEAD_LETTER, _D.WITHDRAWN, _D.EXPIRED})


class IllegalMove(Exception):
    """A delivery was asked to go where its state does not lead."""

    def __init__(self, current: Delivery, wanted: Delivery) -> None:
        self.current = current
        self.wanted = wanted
        super().__init__(f"{current} does not lead to {wanted}")


def check(current: str, wanted: str) -> None:
    """Raise :class:`IllegalMove` unless the table lets ``current`` become ``wanted``."""
    if Delivery(wanted) not in DELIVERY_MOVES[Delivery(current)]:
        raise IllegalMove(Delivery(current), Delivery(wanted))


def document_state(deliveries: list[str]) -> Document:
    """The state of a document whose deliveries stand so; without any delivery it is complete at once."""
    states = [Delivery(state) for state in deliveries]
    if any(state not in ENDED for state in states):
        return Document.ACCEPTED
    good = sum(state is _D.ACKNOWLEDGED for state in states)
    if good == len(states):
        return Document.COMPLETED
    if good:
        return Document.PARTIALLY_COMPLETED
    if states and all(state is _D.WITHDRAWN for state in states):
        return Document.WITHDRAWN
    return Document.FAILED


class CauseCode(StrEnum):
    """Why a delivery is where it is, when the gateway itself is the cause."""

    IDENTITY_NOT_QUALIFIED = "identity_not_qualified"
    IDENTITY_BEING_CHECKED = "identity_being_checked"
    IDENTITY_MISMATCH = "identity_mismatch"
    PATIENT_OPPOSED = "patient_opposed"
    NO_DMP = "no_dmp"
    HELD_TOO_LONG = "held_too_long"
    WITHDRAWN_BY_CALLER = "withdrawn_by_caller"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    PREVIOUS_NOT_FED = "previous_not_fed"
    QUALIFIED = "identity_qualified"
    ACCEPTED = "accepted"
    SENT_AGAIN = "sent_again"
    NODE_LOST = "node_lost"
    INTERNAL_FAULT = "internal_fault"
    RESTORED = "restored"


#: Cause and fix of each code, in words.
CAUSES: dict[CauseCode, tuple[Text, Text]] = {
    CauseCode.IDENTITY_NOT_QUALIFIED: (
        Text("L'identité du patient n'est pas qualifiée.", "The patient's identity is not qualified."),
        Text(
            "Récupérez l'INS puis contrôlez une pièce d'identité.",
            "Retrieve the INS, then check an identity document.",
        ),
    ),
    CauseCode.IDENTITY_BEING_CHECKED: (
        Text("L'identité est en cours de vérification auprès de l'INSi.", "The identity is being verified with INSi."),
        Text("Aucune action : l'envoi reprendra seul.", "Nothing to do: sending resumes by itself."),
    ),
    CauseCode.IDENTITY_MISMATCH: (
        Text(
            "Les traits transmis diffèrent de ceux de l'INSi.",
            "The traits sent differ from those of INSi.",
        ),
        Text(
            "Contrôlez l'identité du patient et corrigez le dossier, puis signalez le contrôle.",
            "Check the patient's identity, correct the record, then report the check.",
        ),
    ),
    CauseCode.PATIENT_OPPOSED: (
        Text("Le patient s'est opposé à cet envoi.", "The patient objected to this sending."),
        Text("Aucune action : l'opposition est respectée.", "Nothing to do: the objection is respected."),
    ),
    CauseCode.NO_DMP: (
        Text("Le patient n'a pas de DMP ouvert.", "The patient has no open DMP."),
        Text(
            "Remettez le document au patient autrement ; il pourra être renvoyé si le DMP est ouvert.",
            "Give the document to the patient otherwise; it can be sent again once the DMP is open.",
        ),
    ),
    CauseCode.HELD_TOO_LONG: (
        Text("Le document a attendu trop longtemps.", "The document waited too long."),
        Text("Envoyez-le de nouveau une fois l'identité qualifiée.", "Send it again once the identity is qualified."),
    ),
    CauseCode.WITHDRAWN_BY_CALLER: (
        Text("L'envoi a été retiré à votre demande.", "The sending was withdrawn at your request."),
        Text("Aucune action.", "Nothing to do."),
    ),
    CauseCode.TOO_MANY_ATTEMPTS: (
        Text(
            "Le service n'a pas répondu après plusieurs essais.", "The service did not answer after several attempts."
        ),
        Text("Relancez l'envoi quand le service répond.", "Send again when the service answers."),
    ),
    CauseCode.PREVIOUS_NOT_FED: (
        Text(
            "La version remplacée n'est pas encore dans le DMP.",
            "The version being replaced is not in the DMP yet.",
        ),
        Text("Aucune action : l'ordre des versions est respecté.", "Nothing to do: versions keep their order."),
    ),
    CauseCode.QUALIFIED: (
        Text("L'identité est qualifiée : l'envoi reprend.", "The identity is qualified: sending resumes."),
        Text("Aucune action.", "Nothing to do."),
    ),
    CauseCode.ACCEPTED: (
        Text("Le document est pris en charge.", "The document is taken in charge."),
        Text("Aucune action.", "Nothing to do."),
    ),
    CauseCode.SENT_AGAIN: (
        Text("L'envoi est relancé par un opérateur.", "An operator sends it again."),
        Text("Aucune action.", "Nothing to do."),
    ),
    CauseCode.NODE_LOST: (
        Text(
            "L'envoi a été interrompu : sa prise en compte est vérifiée auprès du service.",
            "The sending was interrupted: the service is asked whether it took it.",
        ),
        Text("Aucune action.", "Nothing to do."),
    ),
    CauseCode.INTERNAL_FAULT: (
        Text("La passerelle a rencontré une erreur interne.", "The gateway met an internal fault."),
        Text(
            "Signalez l'incident avec l'identifiant de l'envoi ; la passerelle réessaie d'elle-même.",
            "Report the incident with the delivery's identifier; the gateway tries again by itself.",
        ),
    ),
    CauseCode.RESTORED: (
        Text(
            "La base a été restaurée d'une sauvegarde : ce courrier est peut-être déjà parti.",
            "The database was restored from a backup: this mail may have left already.",
        ),
        Text(
            "Vérifiez dans la boîte aux lettres (envois, accusés), puis relancez l'envoi ou retirez-le.",
            "Look in the mailbox (mails sent, notices), then send it again or withdraw it.",
        ),
    ),
}
