"""What may be dispensed: every refusal with its code, and what passes with a stated reason."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from gateway.orders.life import EventKind, Given, Refused, order_of
from gateway.orders.products import Presentations
from gateway.orders.rules import RULES as ALL
from gateway.orders.rules import Asked, OrderRules, RefusedDispensation, judge
from gateway.orders.states import LineState, OrderState
from mappings.document.medication import Medication
from tests.support import documents
from tests.unit.gateway.orders.making import RULES, START, Story, ask, give, line, order

CIS, CIP, ATC = "1.2.250.1.213.2.3.1", "1.2.250.1.213.2.3.2", "2.16.840.1.113883.6.73"


def product(name: str, cis: str | None = None, cip: str | None = None, atc: str | None = None) -> Medication:
    """A product by its codes."""
    codes = [{"code": c, "system": s} for c, s in ((cis, CIS), (cip, CIP)) if c]
    value: dict[str, Any] = {"name": name, "codes": codes}
    if atc:
        value["atc"] = {"code": atc, "system": ATC}
    return Medication.model_validate(value)


def refused(story: Story, asked: Asked, rules: OrderRules = RULES) -> list[str]:
    """The codes of the errors of a dispensation."""
    with pytest.raises(RefusedDispensation) as caught:
        judge(story.view(), asked, now=story.now, rules=rules)
    return [f.code for f in caught.value.findings if f.severity == "error"]


def warned(story: Story, asked: Asked, rules: OrderRules = RULES) -> list[str]:
    """The codes of the warnings of a dispensation that passes."""
    return [f.code for f in judge(story.view(), asked, now=story.now, rules=rules).warnings]


def test_codes_follow_the_quantities() -> None:
    """First partial, then later complete; a renewal is a later go, complete or partial."""
    story = Story(order())
    codes = [story.dispense(f"d{n}", ask(give(quantity))).codes[0] for n, quantity in enumerate(("1", "1", "1", "1"))]
    assert codes == ["FFP", "RFC", "RFP", "RFC"]
    assert story.view().state is OrderState.DISPENSED
    assert refused(story, ask(give())) == ["ORD-007"]
    assert Story(order()).dispense("d", ask(give("2"))).codes == ("FFC",)


def test_a_line_without_quantity_is_the_pharmacist_s_word() -> None:
    """Complete unless said otherwise."""
    story = Story(order(line(quantity=None, unit=None)))
    assert story.dispense("d1", ask(give("1", complete=False))).codes == ("FFP",)
    assert story.dispense("d2", ask(give("5"))).codes == ("RFC",)
    assert story.view().lines["a"].renewals_left == 0


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (ask(), "ORD-026"),
        (ask(give(identifier="z")), "ORD-010"),
        (ask(give(), give()), "ORD-011"),
        (ask(give("0")), "ORD-012"),
        (ask(give("-1")), "ORD-012"),
        (ask(give("0.5")), "ORD-012"),
        (ask(give(identifier=None, medication=None)), "ORD-013"),
        (ask(give(), at=START - timedelta(days=1)), "ORD-014"),
        (ask(give(), at=START + timedelta(hours=1)), "ORD-015"),
        (ask(give(), at=START + timedelta(days=200)), "ORD-015"),
        (ask(give("3")), "ORD-016"),
        (ask(give(unit="30067000")), "ORD-019"),
        (ask(give(medication=product("BETA", cis="60000002"))), "ORD-018"),
        (ask(give(), refused=(Refused(line="a", reason="rupture"),)), "ORD-027"),
        (ask(refused=(Refused(line="z", reason="rupture"),)), "ORD-010"),
    ],
)
def test_each_fault_has_its_code(asked: Asked, code: str) -> None:
    """One fault, one code, in French first, with a way out."""
    assert code in refused(Story(order()), asked)
    assert ALL[code].message.fr
    assert ALL[code].fix.fr


def test_a_small_clock_skew_is_tolerated() -> None:
    """Ten minutes ahead pass."""
    assert warned(Story(order()), ask(give(), at=START + timedelta(minutes=9))) == []


def test_more_than_prescribed_with_a_reason() -> None:
    """Over with a reason is kept as an excess; never on a secured prescription."""
    story = Story(order())
    plan = story.dispense("d", ask(give("3", excess_reason="Conditionnement indivisible")))
    assert [f.code for f in plan.warnings] == ["ORD-116"]
    assert plan.given[0].excess == Decimal(1)
    assert story.view().lines["a"].excess == Decimal(1)
    secured = Story(order(marks=frozenset({"MED-1098"})))
    assert refused(secured, ask(give("3", excess_reason="Conditionnement"))) == ["ORD-023"]


def test_substitution_marks() -> None:
    """Excluded by the prescriber, not marked, marked for nothing, agreed to."""
    beta = product("BETA", cis="60000002")
    story = Story(order(line(substitutable=False)))
    assert refused(story, ask(give(medication=beta, substituted=True))) == ["ORD-017"]
    assert warned(story, ask(give(medication=beta, substituted=True, agreed=True))) == []
    open_one = Story(order())
    assert warned(open_one, ask(give(medication=beta, substituted=True))) == []
    assert warned(open_one, ask(give(substituted=True))) == ["ORD-117"]
    assert warned(open_one, ask(give(medication=product("INCONNU")))) == ["ORD-118"]


def test_another_class_is_no_substitution() -> None:
    """A different ATC class needs the prescriber's agreement."""
    ordered = product("ALPHA", cis="60000001", atc="N02BE01")
    story = Story(order(line(medication=ordered)))
    other = product("GAMMA", cis="60000009", atc="C09AA05")
    assert refused(story, ask(give(medication=other, substituted=True))) == ["ORD-020"]
    assert warned(story, ask(give(medication=other, agreed=True))) == []


def test_a_table_of_presentations_tells_more() -> None:
    """A CIP of the speciality prescribed is the product; a CIP of another is not."""
    table = Presentations(cis_of={"3400930000001": "60000001", "3400930000002": "60000002"})
    rules = OrderRules(presentations=table)
    story = Story(order())
    assert warned(story, ask(give(medication=product("ALPHA", cip="3400930000001"))), rules) == []
    unmarked = ask(give(medication=product("BETA", cip="3400930000002")))
    assert warned(story, unmarked, rules) == ["ORD-118"]
    groups = {"60000001": frozenset({"7"}), "60000002": frozenset({"7"}), "60000003": frozenset({"8"})}
    table = Presentations(cis_of={**table.cis_of, "3400930000003": "60000003"}, groups_of=groups)
    rules = OrderRules(presentations=table)
    assert refused(story, unmarked, rules) == ["ORD-018"]
    assert refused(story, ask(give(medication=product("DELTA", cip="3400930000003"))), rules) == ["ORD-020"]


def test_first_delays() -> None:
    """Three months for the first dispensation, three days when secured; a reason lets it pass."""
    story = Story(order())
    story.now = START + timedelta(days=100)
    late = ask(give(), at=story.now)
    assert refused(story, late) == ["ORD-021"]
    assert warned(story, ask(give(late_reason="Patient hospitalisé"), at=story.now)) == []
    secured = Story(order(marks=frozenset({"MED-1098"})))
    secured.now = START + timedelta(days=4)
    assert refused(secured, ask(give(), at=secured.now)) == ["ORD-022"]


def test_overlapping_renewals() -> None:
    """A renewal before the former delivery is used up is refused, with the day from which it may be given."""
    story = Story(order(line(renewal_days=30)))
    story.dispense("d1", ask(give("2")))
    story.now = START + timedelta(days=10)
    with pytest.raises(RefusedDispensation) as caught:
        judge(story.view(), ask(give("2"), at=story.now), now=story.now, rules=RULES)
    assert [f.code for f in caught.value.findings] == ["ORD-024"]
    assert "2026-12-17" in str(caught.value.findings[0].expected)
    assert warned(story, ask(give("2", early_reason="Départ en voyage"), at=story.now)) == []
    story.now = START + timedelta(days=24)
    assert warned(story, ask(give("2"), at=story.now)) == []


@pytest.mark.parametrize(("kind", "code"), [(EventKind.CANCELLED, "ORD-005"), (EventKind.REPLACED, "ORD-006")])
def test_what_is_closed(kind: EventKind, code: str) -> None:
    """A cancelled or replaced order is told as such."""
    story = Story(order())
    story.add(kind)
    assert refused(story, ask(give())) == [code]


def test_an_expired_order() -> None:
    """Past its last day it is expired, whatever is left; given in time and told later, it passes."""
    story = Story(order())
    story.now = START + timedelta(days=181)
    assert story.view().state is OrderState.EXPIRED
    assert refused(story, ask(give(), at=story.now)) == ["ORD-004"]


def test_a_refusal_leaves_the_line_to_others() -> None:
    """Not dispensed, with its reason, then given by another."""
    story = Story(order())
    story.dispense("d1", ask(refused=(Refused(line="a", reason="Rupture de stock"),)))
    assert story.view().lines["a"].state is LineState.NOT_DISPENSED
    assert story.view().lines["a"].refused == "Rupture de stock"
    assert story.view().state is OrderState.NOT_DISPENSED
    story.dispense("d2", ask(give("2")))
    assert story.view().lines["a"].state is LineState.PARTIALLY_DISPENSED
    assert story.view().lines["a"].refused is None


def test_exception_medicines_are_pointed_out() -> None:
    """A warning about the four-part form."""
    assert warned(Story(order(marks=frozenset({"MED-1097"}))), ask(give())) == ["ORD-123"]


def test_the_last_box_given_twice_is_told() -> None:
    """Given here offline and elsewhere meanwhile: the line stays dispensed, and what went over is an excess."""
    story = Story(order(line(renewals=0)))
    story.dispense("here", ask(give("2")))
    story.add(EventKind.DISPENSED, dispensation="elsewhere", given=(Given(line="a", quantity=Decimal(1), code="FFC"),))
    view = story.view()
    assert view.lines["a"].state is LineState.DISPENSED
    assert (view.lines["a"].total, view.lines["a"].excess, view.lines["a"].left) == (Decimal(3), Decimal(1), Decimal(0))
    story.add(EventKind.DISPENSATION_CANCELLED, dispensation="here")
    assert story.view().lines["a"].left == Decimal(1)


@pytest.mark.parametrize(
    ("end", "last"),
    [("2026-12-24", "2026-12-24"), ("2026-12", "2026-12-31"), ("2026", "2026-12-31")],
)
def test_the_last_day_is_whole(end: str, last: str) -> None:
    """A validity said as a day, a month or a year runs to its last second."""
    document = documents.prescription()
    document["acts"][0]["period"] = {"start": "2026-11-20", "end": end}
    found = order_of(documents.load(document))
    assert found.valid_until is not None
    assert found.valid_until.isoformat() == f"{last}T23:59:59+00:00"
    assert [one.renewals for one in found.lines] == [0, 2, 0]
    assert found.lines[2].device
    assert found.lines[0].renewal_days == 5
