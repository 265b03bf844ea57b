"""What may be dispensed: each refusal has its code, its words for a pharmacist, and the way out.

The delays are those of the code de la santé publique and of the code de la sécurité sociale as commonly printed on
prescriptions; they stand in :class:`OrderRules`, since texts change and some products have their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from conformance.verdict import Finding, Rule, Severity, Text
from gateway.orders.life import Given, LineView, Order, OrderView, Refused, completeness
from gateway.orders.products import Match, Presentations, compare
from gateway.orders.states import OrderState
from mappings.document.medication import Medication

__all__ = ["RULES", "Asked", "AskedLine", "OrderRules", "Plan", "RefusedDispensation", "judge", "order_rule"]

_SOURCE = "cda-eprescription.md 8"
RULES: dict[str, Rule] = {}


def order_rule(
    code: str, fr: str, en: str, fix_fr: str, fix_en: str, source: str = _SOURCE, severity: Severity = Severity.ERROR
) -> Rule:
    made = Rule(code=code, message=Text(fr, en), fix=Text(fix_fr, fix_en), source=source, severity=severity)
    RULES[code] = made
    return made


UNKNOWN = order_rule(
    "ORD-001",
    "Aucune e-prescription ne porte ce numéro.",
    "No e-prescription has this number.",
    "Relisez le numéro imprimé ou scannez le code ; sinon dispensez sur l'ordonnance papier, sans numéro.",
    "Read the printed number again or scan the code; else dispense on the paper order, without a number.",
)
WRONG_PATIENT = order_rule(
    "ORD-002",
    "Cette e-prescription n'est pas celle de ce patient.",
    "This e-prescription is not this patient's.",
    "Vérifiez l'identité de la personne et l'INS, puis le numéro.",
    "Check the person's identity and INS, then the number.",
)
FOREIGN = order_rule(
    "ORD-003",
    "Ce numéro n'a pas été donné par la base nationale des ordonnances.",
    "This number was not given by the national prescription base.",
    "Relisez le numéro ; sinon dispensez sur l'ordonnance papier, sans numéro.",
    "Read the number again; else dispense on the paper order, without a number.",
)
EXPIRED = order_rule(
    "ORD-004",
    "La durée de validité de l'ordonnance est dépassée.",
    "The prescription is past its validity.",
    "Adressez le patient à son prescripteur pour une nouvelle ordonnance.",
    "Send the patient to the prescriber for a new prescription.",
)
CANCELLED = order_rule(
    "ORD-005",
    "Le prescripteur a annulé cette ordonnance.",
    "The prescriber cancelled this prescription.",
    "Ne la dispensez pas ; au besoin, appelez le prescripteur.",
    "Do not dispense it; if needed, call the prescriber.",
)
REPLACED = order_rule(
    "ORD-006",
    "Cette ordonnance a été remplacée par une nouvelle.",
    "This prescription was replaced by a new one.",
    "Demandez au patient la nouvelle ordonnance.",
    "Ask the patient for the new prescription.",
)
DONE = order_rule(
    "ORD-007",
    "Cette ordonnance est entièrement exécutée : il ne reste rien à délivrer.",
    "This prescription is wholly dispensed: nothing is left.",
    "Voyez l'historique des délivrances de l'ordonnance.",
    "See the history of dispensations of the prescription.",
)
NO_LINE = order_rule(
    "ORD-010",
    "Cette ligne n'existe pas dans l'ordonnance.",
    "This line is not in the prescription.",
    "Reprenez l'identifiant de ligne donné par la recherche ; pour un produit ajouté, ne donnez pas de ligne.",
    "Take the line id that the search gave; for an added product, give no line.",
)
TWICE = order_rule(
    "ORD-011",
    "La même ligne figure deux fois dans la dispensation.",
    "The same line stands twice in the dispensation.",
    "Regroupez les quantités, ou envoyez deux dispensations.",
    "Put the quantities together, or send two dispensations.",
)
BAD_QUANTITY = order_rule(
    "ORD-012",
    "La quantité délivrée doit être un nombre entier d'unités, au moins 1.",
    "The quantity given must be a whole number of units, at least 1.",
    "Comptez en boîtes ou en unités entières ; pour ne rien délivrer, refusez la ligne avec un motif.",
    "Count in whole packs or units; to give nothing, refuse the line with a reason.",
)
NO_PRODUCT = order_rule(
    "ORD-013",
    "Le produit délivré n'a ni code ni nom.",
    "The product given has neither code nor name.",
    "Donnez son code CIP13, ou son nom.",
    "Give its CIP13 code, or its name.",
)
BEFORE_ORDER = order_rule(
    "ORD-014",
    "La dispensation est datée d'avant l'ordonnance.",
    "The dispensation is dated before the prescription.",
    "Corrigez la date de dispensation.",
    "Correct the date of the dispensation.",
)
IN_FUTURE = order_rule(
    "ORD-015",
    "La dispensation est datée dans le futur.",
    "The dispensation is dated in the future.",
    "Réglez l'horloge du poste, puis recommencez.",
    "Set the clock of the computer, then try again.",
)
TOO_MUCH = order_rule(
    "ORD-016",
    "La quantité dépasse ce qui reste à délivrer.",
    "The quantity is more than what is left.",
    "Délivrez au plus ce qui reste, ou dites pourquoi dans excessReason.",
    "Give at most what is left, or say why in excessReason.",
)
NO_SUBSTITUTION = order_rule(
    "ORD-017",
    "Le prescripteur a exclu la substitution pour cette ligne.",
    "The prescriber excluded substitution for this line.",
    "Délivrez le produit prescrit, ou donnez la date de l'accord du prescripteur (agreedAt).",
    "Give the product prescribed, or the date of the prescriber's agreement (agreedAt).",
    "code de la santé publique L5125-23",
)
NOT_PRESCRIBED = order_rule(
    "ORD-018",
    "Le produit délivré n'est pas celui prescrit, et aucune substitution n'est indiquée.",
    "The product given is not the one prescribed, and no substitution is stated.",
    "Indiquez la substitution et son motif, ou corrigez le code du produit.",
    "State the substitution and its reason, or correct the product's code.",
)
OTHER_UNIT = order_rule(
    "ORD-019",
    "L'unité de la quantité n'est pas celle de la prescription.",
    "The quantity's unit is not that of the prescription.",
    "Comptez dans l'unité prescrite.",
    "Count in the unit prescribed.",
)
OTHER_CLASS = order_rule(
    "ORD-020",
    "Le produit délivré n'est pas un équivalent du produit prescrit : ce n'est pas une substitution.",
    "The product given is no equivalent of the one prescribed: this is not a substitution.",
    "Appelez le prescripteur et donnez la date de son accord (agreedAt).",
    "Call the prescriber and give the date of the agreement (agreedAt).",
    "code de la santé publique L5125-23",
)
FIRST_TOO_LATE = order_rule(
    "ORD-021",
    "Le délai de première délivrance est dépassé.",
    "The delay for the first dispensation is over.",
    "Adressez le patient à son prescripteur, ou dites pourquoi vous délivrez quand même dans lateReason.",
    "Send the patient to the prescriber, or say why you dispense all the same in lateReason.",
    "code de la santé publique R5132-22",
)
NARCOTIC_LATE = order_rule(
    "ORD-022",
    "Ordonnance sécurisée présentée après le délai : seule la durée restant à courir peut être délivrée.",
    "Secured prescription presented after the delay: only the time left may be dispensed.",
    "Réduisez la quantité à la durée restante et dites-le dans lateReason.",
    "Reduce the quantity to the time left and say so in lateReason.",
    "code de la santé publique R5132-33",
)
NARCOTIC_EXCESS = order_rule(
    "ORD-023",
    "Sur une ordonnance sécurisée, rien ne peut être délivré au-delà de la quantité prescrite.",
    "On a secured prescription nothing may be given beyond the quantity prescribed.",
    "Délivrez au plus ce qui reste.",
    "Give at most what is left.",
    "code de la santé publique R5132-29 and following",
)
TOO_EARLY = order_rule(
    "ORD-024",
    "La délivrance précédente de cette ligne couvre encore le traitement.",
    "The former delivery of this line still covers the treatment.",
    "Attendez la date donnée, ou dites pourquoi dans earlyReason.",
    "Wait for the date given, or say why in earlyReason.",
)
LINE_CLOSED = order_rule(
    "ORD-025",
    "Il ne reste rien à délivrer sur cette ligne, renouvellements compris.",
    "Nothing is left to give on this line, renewals included.",
    "Voyez ce qui reste sur les autres lignes.",
    "See what is left on the other lines.",
)
NOTHING = order_rule(
    "ORD-026",
    "La dispensation ne dit rien : ni produit délivré, ni ligne refusée.",
    "The dispensation says nothing: no product given, no line refused.",
    "Donnez au moins une ligne délivrée ou refusée.",
    "Give at least one line dispensed or refused.",
)
TWO_WAYS = order_rule(
    "ORD-027",
    "Une ligne ne peut être délivrée et refusée à la fois.",
    "A line cannot be both given and refused.",
    "Pour une délivrance partielle, ne la mettez que dans lines.",
    "For a partial delivery, put it in lines only.",
)
CHANGED = order_rule(
    "ORD-030",
    "L'ordonnance a changé depuis que vous l'avez lue.",
    "The prescription has changed since you read it.",
    "Relisez ce qui reste à délivrer, puis recommencez.",
    "Read what is left again, then try again.",
)
CANNOT_TELL = order_rule(
    "ORD-118",
    "Les codes ne permettent pas de comparer le produit délivré au produit prescrit.",
    "The codes do not allow comparing the product given with the one prescribed.",
    "Vérifiez le produit ; donnez le code CIP13 et, si possible, le CIS.",
    "Check the product; give the CIP13 code and, if possible, the CIS.",
    severity=Severity.WARNING,
)
NO_MARK_NEEDED = order_rule(
    "ORD-117",
    "Une substitution est indiquée, mais le produit est celui prescrit.",
    "A substitution is stated, but the product is the one prescribed.",
    "Retirez la substitution.",
    "Remove the substitution.",
    severity=Severity.WARNING,
)
OVER = order_rule(
    "ORD-116",
    "Délivré au-delà de la quantité prescrite, avec le motif donné.",
    "Given beyond the quantity prescribed, with the reason stated.",
    "Le prescripteur peut en être informé par MSSanté.",
    "The prescriber may be told by MSSanté.",
    severity=Severity.WARNING,
)
EXCEPTION = order_rule(
    "ORD-123",
    "Médicament d'exception : la prise en charge demande l'ordonnance à quatre volets.",
    "Exception medicine: reimbursement needs the four-part form.",
    "Vérifiez le formulaire avant de facturer.",
    "Check the form before invoicing.",
    "code de la sécurité sociale R163-2",
    severity=Severity.WARNING,
)

SECURED, EXCEPTIONAL = "MED-1098", "MED-1097"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRules:
    """Delays that texts set, and what is tolerated."""

    first_days: int = 92  #: three months after the prescription
    secured_days: int = 3  #: secured prescriptions (narcotics)
    early_days: int = 7  #: how long before the end of a delivery the next may be given
    skew: timedelta = timedelta(minutes=10)  #: how far ahead a pharmacy's clock may be
    presentations: Presentations = field(default_factory=Presentations)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedLine:
    """What a pharmacist gave, for a line or beside the prescription."""

    line: str | None
    medication: Medication | None
    quantity: Decimal
    unit: str = "1"
    complete: bool | None = None
    substituted: bool = False
    agreed: bool = False  #: the prescriber agreed to another product
    excess_reason: str | None = None
    late_reason: str | None = None
    early_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A dispensation as a pharmacy relays it."""

    at: datetime
    lines: tuple[AskedLine, ...]
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A dispensation that may be kept: what each line becomes, and what is to be told."""

    given: tuple[Given, ...]
    refused: tuple[Refused, ...]
    warnings: tuple[Finding, ...]
    codes: tuple[str, ...]  #: completeness of each line asked, in their order
    round: int  #: the delivery this go belongs to: 0 the first, 1 the first renewal


class RefusedDispensation(Exception):
    """The dispensation breaks rules; each finding names one. ``conflict`` when another came first."""

    def __init__(self, findings: Sequence[Finding], *, conflict: bool = False) -> None:
        self.findings = tuple(findings)
        self.conflict = conflict
        super().__init__(", ".join(sorted({f.code for f in findings})))


def judge(view: OrderView, asked: Asked, *, now: datetime, rules: OrderRules) -> Plan:
    """Judge a dispensation against an order as it stands; raises :class:`RefusedDispensation` with every fault."""
    _whole(view, asked, now=now, rules=rules)
    found: list[Finding] = []
    seen: set[str] = set()
    given: list[Given] = []
    codes: list[str] = []
    rounds: list[int] = []
    for number, one in enumerate(asked.lines):
        place = f"/lines/{number}"
        found += _shape(one, place)
        if one.line is None:
            codes.append("FFC" if one.complete is not False else "FFP")
            continue
        if one.line in seen:
            found.append(TWICE.finding(f"{place}/line"))
            continue
        seen.add(one.line)
        line = view.lines.get(one.line)
        if line is None:
            found.append(NO_LINE.finding(f"{place}/line"))
            continue
        found += _line(view.order, line, one, asked.at, place, rules)
        excess = max(Decimal(0), one.quantity - line.left) if line.left is not None else Decimal(0)
        codes.append(completeness(line, one.quantity, one.complete))
        rounds.append(line.made)
        given.append(
            Given(
                line=one.line,
                quantity=one.quantity,
                closes=one.complete,
                excess=excess,
                excess_reason=one.excess_reason if excess else None,
                code=codes[-1],
            )
        )
    for number, other in enumerate(asked.refused):
        if other.line in seen:
            found.append(TWO_WAYS.finding(f"/refused/{number}/line"))
        elif other.line not in view.lines:
            found.append(NO_LINE.finding(f"/refused/{number}/line"))
        elif not view.lines[other.line].open:
            found.append(LINE_CLOSED.finding(f"/refused/{number}/line"))
    if any(f.severity is Severity.ERROR for f in found):
        raise RefusedDispensation(found)
    return Plan(
        given=tuple(given),
        refused=asked.refused,
        warnings=tuple(found),
        codes=tuple(codes),
        round=max(rounds, default=0),
    )


_CLOSED = {
    OrderState.CANCELLED: CANCELLED,
    OrderState.REPLACED: REPLACED,
    OrderState.EXPIRED: EXPIRED,
    OrderState.DISPENSED: DONE,
}


def _whole(view: OrderView, asked: Asked, *, now: datetime, rules: OrderRules) -> None:
    closed = _CLOSED.get(view.state)
    if closed is not None:
        raise RefusedDispensation([closed.finding("/number")])
    found: list[Finding] = []
    if not asked.lines and not asked.refused:
        found.append(NOTHING.finding(""))
    if asked.at.date() < view.order.issued_at.date():
        found.append(BEFORE_ORDER.finding("/dispensedAt"))
    if asked.at > now + rules.skew:
        found.append(IN_FUTURE.finding("/dispensedAt"))
    if view.order.valid_until is not None and asked.at > view.order.valid_until:
        found.append(EXPIRED.finding("/dispensedAt"))
    if found:
        raise RefusedDispensation(found)


def _shape(one: AskedLine, place: str) -> list[Finding]:
    found = []
    # Packs and units are counted; a volume may be measured.
    counted = one.unit == "1" or one.unit.isdigit() or one.unit.startswith("{")
    if one.quantity <= 0 or (counted and one.quantity != one.quantity.to_integral_value()):
        found.append(BAD_QUANTITY.finding(f"{place}/quantity"))
    if one.medication is None and one.line is None:
        found.append(NO_PRODUCT.finding(f"{place}/medication"))
    return found


def _line(order: Order, view: LineView, one: AskedLine, at: datetime, place: str, rules: OrderRules) -> list[Finding]:
    line = view.line
    if not view.open:
        return [LINE_CLOSED.finding(f"{place}/line")]
    found: list[Finding] = []
    secured = SECURED in order.marks
    if line.unit is not None and one.unit != line.unit:
        found.append(OTHER_UNIT.finding(f"{place}/quantity/unit", expected=line.unit))
    left = view.left
    if left is not None and one.quantity > left:
        said = f"{one.quantity}", f"{left} au plus"
        if secured:
            found.append(NARCOTIC_EXCESS.finding(f"{place}/quantity", found=said[0], expected=said[1]))
        elif not one.excess_reason:
            found.append(TOO_MUCH.finding(f"{place}/quantity", found=said[0], expected=said[1]))
        else:
            found.append(OVER.finding(f"{place}/quantity", found=said[0], expected=said[1]))
    found += _product(line.substitutable, view, one, place, rules)
    if view.goes == 0 and not one.late_reason:
        waited = (at.date() - order.issued_at.date()).days
        if secured and waited > rules.secured_days:
            found.append(NARCOTIC_LATE.finding(f"{place}/lateReason", expected=f"{rules.secured_days} jours"))
        elif not secured and waited > rules.first_days:
            found.append(FIRST_TOO_LATE.finding(f"{place}/lateReason", expected=f"{rules.first_days} jours"))
    if view.given == 0 and view.made and view.closed_at is not None and line.renewal_days and not one.early_reason:
        due = view.closed_at + timedelta(days=max(0, line.renewal_days - rules.early_days))
        if at.date() < due.date():
            found.append(TOO_EARLY.finding(f"{place}/earlyReason", expected=f"à partir du {due.date().isoformat()}"))
    if EXCEPTIONAL in order.marks and not line.device:
        found.append(EXCEPTION.finding(place))
    return found


def _product(substitutable: bool, view: LineView, one: AskedLine, place: str, rules: OrderRules) -> list[Finding]:
    if one.medication is None or view.line.device:
        return []
    match = compare(view.line, one.medication, rules.presentations)
    where = f"{place}/medication"
    if one.agreed:
        return []
    if match is Match.OTHER:
        return [OTHER_CLASS.finding(where)]
    if one.substituted and match is not Match.SAME and not substitutable:
        return [NO_SUBSTITUTION.finding(f"{place}/substitution")]
    if match is Match.GENERIC and not one.substituted:
        return [NOT_PRESCRIBED.finding(where)]
    if match is Match.SAME and one.substituted:
        return [NO_MARK_NEEDED.finding(f"{place}/substitution")]
    if match is Match.UNKNOWN and not one.substituted:
        return [CANNOT_TELL.finding(where)]
    return []
