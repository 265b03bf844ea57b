"""Each case of the counting policy, and sums that always fall right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feeds.policy import POLICIES, Funnel, Line, Where, documents, events, policy

START, END, CLOSES = date(2026, 1, 1), date(2026, 12, 31), date(2027, 1, 31)
DEFAULT = policy("fr-default-1")
QUALIFIED = Where(states=frozenset(["accepted"]), ins_status=frozenset(["qualifiee"]), test=False)


def line(number: int, state: str = "accepted", **changes: Any) -> Line:
    values: dict[str, Any] = {
        "entry_id": f"e{number}",
        "kind": "dmp.document",
        "state": state,
        "day": date(2026, 3, 1),
        "occurred": None,
        "submitted": None,
        "accepted": None,
        "patient": f"p{number}",
        "lineage": f"l{number}",
        "content": f"c{number}",
        "doc_type": "11488-4",
        "ins_status": "qualifiee",
    }
    return Line(**(values | changes))


def project(lines: Sequence[Line], where: Where = QUALIFIED, **more: Any) -> Funnel:
    options: dict[str, Any] = {"chosen": DEFAULT, "basis": "accepted"} | more
    return documents(lines, where=where, start=START, end=END, closes=CLOSES, **options)


def test_a_new_version_adds_nothing() -> None:
    """The lineage counts once, dated at its first acceptance."""
    funnel = project([line(1), line(2, lineage="l1", content="other", day=date(2026, 5, 1))])
    assert [one.day for one in funnel.countable] == [date(2026, 3, 1)]
    assert funnel.repeats == {"new_version": 1}


@pytest.mark.parametrize("change", [{"state": "metadata_changed"}, {"content": "c1"}])
def test_a_masking_adds_nothing(change: dict[str, Any]) -> None:
    """Told as a change of metadata, or carried by a replacement whose content is the same."""
    funnel = project([line(1), line(2, **({"lineage": "l1"} | change))])
    assert funnel.repeats == {"metadata_only": 1}
    assert len(funnel.countable) == 1


def test_the_same_content_again_is_a_duplicate() -> None:
    """Another lineage, same patient, same content: one; another patient: two."""
    assert project([line(1), line(2, patient="p1", content="c1")]).repeats == {"duplicate": 1}
    assert len(project([line(1), line(2, content="c1")]).countable) == 2


def test_a_version_of_a_document_of_last_year_counts_last_year() -> None:
    """A lineage first accepted before the period adds nothing to it."""
    funnel = project([line(1), line(2)], earlier={"l1"})
    assert funnel.repeats == {"earlier_period": 1}
    assert [one.key for one in funnel.countable] == ["l2"]


@pytest.mark.parametrize(
    ("day", "reason", "counted", "late"),
    [
        (date(2026, 4, 1), "wrong_patient", 0, 0),
        (date(2027, 1, 31), "wrong_patient", 0, 0),
        (date(2027, 2, 1), "wrong_patient", 1, 1),
        (date(2026, 4, 1), "by_patient", 1, 0),
    ],
)
def test_a_deletion_counts_by_who_and_when(day: date, reason: str, counted: int, late: int) -> None:
    """By the author before the close: out; after: kept and flagged; by the patient: kept."""
    funnel = project([line(1), line(1, "deleted", day=day, reason=reason)])
    assert (len(funnel.countable), funnel.late_deletions) == (counted, late)
    assert funnel.excluded == ({} if counted else {"deleted_by_author": 1})


def test_a_document_fed_again_after_its_deletion_is_no_duplicate() -> None:
    """Deleted by mistake and fed anew: the new lineage counts."""
    lines = [line(1), line(1, "deleted", reason="error"), line(2, patient="p1", content="c1")]
    assert [one.key for one in project(lines).countable] == ["l2"]


def test_refusals_are_shown_with_their_cause() -> None:
    """Rejected, opposed, expired: not counted, and each with its reason."""
    lines = [line(1, "rejected", reason="dmp_closed"), line(2, "rejected", reason="opposition"), line(3, "expired")]
    funnel = project([*lines, line(3)])
    assert funnel.refused == {"dmp_closed": 1, "opposition": 1, "expired": 1}
    assert (funnel.submitted, funnel.accepted, len(funnel.countable)) == (4, 1, 1)


def test_conditions_exclude_with_their_reason() -> None:
    """Test first, then the identity; the ALD list when the rule asks."""
    lines = [line(1, test=True, ins_status="provisoire"), line(2, ins_status="validee"), line(3)]
    assert project(lines).excluded == {"excluded.test": 1, "excluded.ins": 1}
    ald = replace(QUALIFIED, ald_listed=True)
    assert project([line(1, ald_listed=True), line(2)], ald).excluded == {"excluded.ald": 1}
    on_test = replace(QUALIFIED, test=True)
    assert project([line(1)], on_test).excluded == {"excluded.not_test": 1}


def test_a_rehearsal_counts_its_test_identities() -> None:
    """Only under the policy that says so by its name."""
    assert len(project([line(1, test=True)], chosen=policy("fr-rehearsal-1")).countable) == 1


def test_a_lineage_meets_a_condition_by_any_of_its_versions() -> None:
    """The INS was qualified for the second version: the lineage counts, at its first date."""
    funnel = project([line(1, ins_status="validee"), line(2, lineage="l1", content="x", day=date(2026, 6, 1))])
    assert [one.day for one in funnel.countable] == [date(2026, 3, 1)]


def test_another_type_is_not_in_the_funnel() -> None:
    """A rule about summaries says nothing of prescriptions, with or without the code system at hand."""
    where = replace(QUALIFIED, doc_pairs=frozenset([("SYNTH", "1.2.250.1.213.1.1.4.12")]))
    lines = [
        line(1),
        line(2, doc_type="SYNTH", doc_type_system="1.2.250.1.213.1.1.4.12"),
        line(3, doc_type="SYNTH"),
        line(4, doc_type="SYNTH", doc_type_system="other"),
    ]
    funnel = project(lines, where)
    assert [one.key for one in funnel.countable] == ["l2", "l3"]
    assert (funnel.submitted, funnel.not_concerned) == (2, 2)


def test_the_basis_decides_the_date() -> None:
    """An act of December accepted in January: of the year by act, not by acceptance, unless after the grace."""
    late = line(1, day=date(2027, 1, 15), accepted=date(2027, 1, 15), occurred=date(2026, 12, 30))
    assert len(project([late], basis="occurred").countable) == 1
    assert project([late]).lineages == 0
    too_late = late._replace(day=date(2027, 2, 1), accepted=date(2027, 2, 1))
    assert project([too_late], basis="occurred").lineages == 0
    sent = line(2, day=date(2027, 1, 2), accepted=date(2027, 1, 2), submitted=date(2026, 12, 31))
    assert len(project([sent], basis="submitted").countable) == 1


_STATES = st.sampled_from(["accepted", "accepted", "metadata_changed", "rejected", "deleted", "submitted", "expired"])
_LINES = st.lists(
    st.builds(
        lambda n, state, lineage, content, status, test, month: line(
            n,
            state,
            lineage=f"l{lineage}",
            patient=f"p{lineage % 2}",
            content=f"c{content}",
            ins_status=status,
            test=test,
            day=date(2026, month, 1),
        ),
        st.integers(0, 10**6),
        _STATES,
        st.integers(0, 5),
        st.integers(0, 4),
        st.sampled_from(["qualifiee", "validee"]),
        st.booleans(),
        st.integers(1, 12),
    ),
    max_size=40,
)


@given(_LINES)
def test_the_funnel_adds_up(lines: list[Line]) -> None:
    """Whatever came, submitted = refused + accepted, accepted = repeats + lineages, lineages = excluded + countable."""
    funnel = project(lines)
    assert funnel.submitted == sum(funnel.refused.values()) + funnel.accepted
    assert funnel.accepted == sum(funnel.repeats.values()) + funnel.lineages
    assert funnel.lineages == sum(funnel.excluded.values()) + len(funnel.countable)
    assert len({one.key for one in funnel.countable}) == len(funnel.countable)
    assert funnel.as_json()["countable"] == len(funnel.countable)


def test_partial_executions_of_a_prescription_count_once() -> None:
    """Three boxes in three visits: one execution; a cancelled prescription was not made."""
    where = Where(states=frozenset(["dispensed"]))
    lines = [line(n, "dispensed", kind="eprescription", lineage="rx") for n in range(3)]
    options: dict[str, Any] = {"chosen": DEFAULT, "start": START, "end": END, "closes": CLOSES, "basis": "accepted"}
    funnel = events(lines, where=where, **options)
    assert (len(funnel.countable), funnel.repeats) == (1, {"partial": 2})
    made = [line(1, "created", kind="eprescription"), line(1, "cancelled", kind="eprescription")]
    funnel = events(made, where=Where(states=frozenset(["created"])), **options)
    assert (funnel.countable, funnel.excluded) == ([], {"cancelled": 1})
    taken_back = [*lines, line(3, "cancelled", kind="eprescription", lineage="rx")]
    funnel = events(taken_back, where=where, **options)
    assert (funnel.countable, funnel.excluded) == ([], {"cancelled": 1})


def test_mails_count_by_message_and_only_those_concerned() -> None:
    """A failed mail is a refusal, a mail to another class of recipient is not concerned."""
    where = Where(states=frozenset(["delivered"]), others={"recipient_class": frozenset(["citizen"])})
    lines = [
        line(1, "delivered", kind="mss.message", recipient_class="citizen", lineage=None, message="m"),
        line(2, "delivered", kind="mss.message", recipient_class="citizen", lineage=None, message="m"),
        line(3, "failed", kind="mss.message", recipient_class="citizen"),
        line(4, "delivered", kind="mss.message", recipient_class="ps"),
        line(5, "submitted", kind="mss.message", recipient_class="citizen"),
        line(6, "delivered", kind="mss.message", recipient_class="citizen", day=date(2027, 1, 1)),
    ]
    funnel = events(lines, chosen=DEFAULT, where=where, start=START, end=END, closes=CLOSES, basis="accepted")
    assert (len(funnel.countable), funnel.repeats, funnel.refused) == (1, {"duplicate": 1}, {"failed": 1})
    assert funnel.not_concerned == 1


def test_recipients_of_one_message_add_up() -> None:
    """Learnt one by one, the deliveries of a message are one message of as many recipients."""
    where = Where(states=frozenset(["delivered"]))
    lines = [
        line(n, "delivered", kind="mss.message", recipient_class="ps", lineage=None, message="m", recipients=1)
        for n in range(5)
    ]
    funnel = events(lines, chosen=DEFAULT, where=where, start=START, end=END, closes=CLOSES, basis="accepted")
    assert [one.line.recipients for one in funnel.countable] == [5]


def test_policies_say_what_they_do() -> None:
    """Each has a name, and its cases in sentences; an unknown one is an error."""
    for name, one in POLICIES.items():
        assert one.name == name
        assert len(one.cases) > 10
    with pytest.raises(LookupError, match="FEED-POLICY-001"):
        policy("my-own")
