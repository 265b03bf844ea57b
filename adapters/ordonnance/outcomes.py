"""What the e-prescription service may answer, and what to do about it.

The codes are those of our own simulator: the national contract is not public (cda-eprescription.md 8). A contracted
adapter maps the real ones onto this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from conformance.verdict import Text

__all__ = ["REFUSALS", "Kind", "OrderServiceError", "Outcome", "refusal", "unavailable"]


class Kind(StrEnum):
    """What a failure asks for."""

    REFUSED = "refused"  #: the service said no: a person decides
    UNAVAILABLE = "unavailable"  #: try again later; whether it was done is asked by sending the same operation again


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A failure in words."""

    code: str
    kind: Kind
    cause: Text
    fix: Text
    original_code: str = ""
    retry_after: float | None = None


class OrderServiceError(Exception):
    """The service refused or could not answer; ``outcome`` says which."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(outcome.code)


#: Refusals by the code of the service: our code, what it means, what to do.
REFUSALS: dict[str, tuple[str, Text, Text]] = {
    "UNKNOWN_NUMBER": (
        "ORD-NAT-001",
        Text("La base nationale ne connaît pas ce numéro.", "The national base does not know this number."),
        Text("Relisez le numéro imprimé ou scannez le code.", "Read the printed number again or scan the code."),
    ),
    "WRONG_PATIENT": (
        "ORD-NAT-002",
        Text("Le numéro est celui d'un autre patient.", "The number is another patient's."),
        Text("Vérifiez l'identité et l'INS.", "Check the identity and the INS."),
    ),
    "FOREIGN_NUMBER": (
        "ORD-NAT-003",
        Text("Ce numéro n'a pas été donné par la base nationale.", "This number was not given by the national base."),
        Text("Dispensez sur l'ordonnance papier, sans numéro.", "Dispense on the paper order, without a number."),
    ),
    "EXPIRED": (
        "ORD-NAT-004",
        Text("L'ordonnance est expirée.", "The prescription has expired."),
        Text("Adressez le patient à son prescripteur.", "Send the patient to the prescriber."),
    ),
    "CANCELLED": (
        "ORD-NAT-005",
        Text("L'ordonnance est annulée.", "The prescription is cancelled."),
        Text("Ne la dispensez pas ; appelez le prescripteur.", "Do not dispense it; call the prescriber."),
    ),
    "NUMBER_USED": (
        "ORD-NAT-006",
        Text("Une autre ordonnance porte déjà ce numéro.", "Another prescription has this number already."),
        Text("Demandez un nouveau numéro.", "Ask for a new number."),
    ),
    "NOTHING_LEFT": (
        "ORD-NAT-007",
        Text(
            "La base nationale ne compte plus rien à délivrer : une autre pharmacie a délivré entre-temps.",
            "The national base counts nothing left: another pharmacy dispensed meanwhile.",
        ),
        Text(
            "Relisez l'ordonnance ; corrigez ou annulez la dispensation.",
            "Read the prescription again; correct or cancel the dispensation.",
        ),
    ),
    "UNKNOWN_LINE": (
        "ORD-NAT-008",
        Text("La base nationale ne connaît pas cette ligne.", "The national base does not know this line."),
        Text("Relisez l'ordonnance.", "Read the prescription again."),
    ),
    "UNKNOWN_EXECUTION": (
        "ORD-NAT-009",
        Text("La base nationale ne connaît pas cette exécution.", "The national base does not know this execution."),
        Text("Il n'y a rien à annuler.", "There is nothing to cancel."),
    ),
    "INVALID": (
        "ORD-NAT-010",
        Text("La base nationale refuse la forme de la demande.", "The national base refuses the form of the request."),
        Text("Transmettez ce code au support du logiciel.", "Give this code to the software's support."),
    ),
    "NOT_AUTHORISED": (
        "ORD-NAT-011",
        Text("L'accès à la base nationale est refusé.", "Access to the national base is refused."),
        Text("Vérifiez la clé et le contrat de l'éditeur.", "Check the key and the vendor's contract."),
    ),
}


def refusal(code: str) -> OrderServiceError:
    """The refusal of a code of the service; an unknown code is kept as it is."""
    ours, cause, fix = REFUSALS.get(
        code,
        (
            "ORD-NAT-099",
            Text("La base nationale refuse la demande.", "The national base refuses the request."),
            Text("Voyez le code d'origine.", "See the original code."),
        ),
    )
    return OrderServiceError(Outcome(code=ours, kind=Kind.REFUSED, cause=cause, fix=fix, original_code=code[:60]))


def unavailable(code: str, retry_after: float | None = None) -> OrderServiceError:
    """The service cannot answer now."""
    return OrderServiceError(
        Outcome(
            code="ORD-NAT-100",
            kind=Kind.UNAVAILABLE,
            cause=Text(
                "La base nationale des ordonnances ne répond pas.", "The national prescription base does not answer."
            ),
            fix=Text("La passerelle réessaie d'elle-même.", "The gateway tries again by itself."),
            original_code=code[:60],
            retry_after=retry_after,
        )
    )
