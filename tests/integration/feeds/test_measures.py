"""From entries to a figure: the funnel of the first worked example, and everything a figure rests on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event

from gateway.feeds import ledger
from gateway.feeds.entry import opaque_hash
from gateway.feeds.imports import ImportFault, OutsideMeasure, read_payer_file, record_measures
from gateway.feeds.measures import Subject, figures, lines_of
from gateway.feeds.policy import Policy, policy
from gateway.feeds.rulebook import read, shipped
from gateway.feeds.scheme import RuleSet
from gateway.feeds.tables import entries
from gateway.services.feeds_figures import About, funnel_for
from gateway.services.feeds_roles import ROLES, Audience
from gateway.store.metadata import metadata
from tests.support.feed_examples import FIRST, SECOND_SITE, example_1
from tests.support.feeds import DOCTOR, PRACTICE, fed

AS_OF = datetime(2024, 2, 15, tzinfo=UTC)


def rule(name: str, version: int = 1) -> RuleSet:
    return next(rules for rules in shipped() if (rules.id, rules.version) == (name, version))


def _import(connection: Connection, **values: int) -> None:
    record_measures(
        connection,
        "t1",
        [
            OutsideMeasure(
                measure=name,
                by="rpps",
                subject=DOCTOR,
                value=value,
                start=date(2023, 1, 1),
                end=date(2023, 12, 31),
            )
            for name, value in values.items()
        ],
        origin="cnam",
        now=datetime(2024, 2, 1, tzinfo=UTC),
    )


def test_example_1_from_the_entries_to_the_cent(engine: Engine) -> None:
    """540 accepted, 505 lineages, 488 countable on 471 patient-days; 280.00 EUR under version 2, 0 under version 1."""
    with engine.begin() as connection:
        ledger.record_many(connection, "t1", example_1())
        _import(connection, consultations=4812)
        subject = Subject(by="rpps", id=DOCTOR)
        new = figures(connection, rule("fr.medecin.forfait-structure.2023.dmp", 2), subject, as_of=AS_OF)
        old = figures(connection, rule("fr.medecin.forfait-structure.2023.dmp", 1), subject, as_of=AS_OF)
    funnel = new.measures["fed_lineages"].funnel
    assert funnel is not None
    assert funnel.as_json() == {
        "submitted": 556,
        "refused": {"dmp_closed": 16},
        "accepted": 540,
        "repeats": {"metadata_only": 14, "new_version": 21},
        "lineages": 505,
        "excluded": {"deleted_by_author": 6, "excluded.ins": 8, "excluded.test": 3},
        "countable": 488,
        "lateDeletions": 0,
    }
    assert {name: one.value for name, one in new.measures.items()} == {
        "fed_lineages": 488,
        "fed_days": 471,
        "consultations": 4812,
    }
    result = new.evaluation.as_json()
    assert [one["value"] for one in result["indicators"]] == ["488/4812", "471/4812"]
    assert result["total"] == {"points": 40, "amount": "280.00"}
    assert old.evaluation.as_json()["total"]["amount"] == "0.00"
    assert new.measures["consultations"].origin == "cnam"
    assert new.measures["consultations"].entry is not None
    assert set(new.parts) == {PRACTICE, SECOND_SITE}


def test_a_person_is_one_over_sites_and_tenants_unless_asked_otherwise(engine: Engine) -> None:
    """Two practices, two vendors, one RPPS: one figure; one site or one tenant alone when asked."""
    rules = rule("fr.medecin.forfait-structure.2023.dmp", 2)
    entries = example_1()
    with engine.begin() as connection:
        ledger.record_many(connection, "t1", [one for one in entries if one.structure_finess == PRACTICE])
        ledger.record_many(connection, "t2", [one for one in entries if one.structure_finess == SECOND_SITE])

        def lineages(**more: Any) -> int | bool | None:
            subject = Subject(by="rpps", id=DOCTOR, **more)
            return figures(connection, rules, subject, as_of=AS_OF).measures["fed_lineages"].value

        whole, first, second = lineages(), lineages(tenants=["t1"]), lineages(structure=SECOND_SITE)
        assert whole == 488
        assert isinstance(first, int)
        assert isinstance(second, int)
        assert first + second == 488
        assert lineages(tenants=[]) == 0


def test_a_figure_can_be_had_as_of_an_earlier_day(engine: Engine) -> None:
    """What was recorded later does not change a figure asked for as of before."""
    rules = rule("fr.medecin.forfait-structure.2023.dmp", 2)
    with engine.begin() as connection:
        ledger.record_many(connection, "t1", example_1())
        early = figures(connection, rules, Subject(by="rpps", id=DOCTOR), as_of=FIRST + timedelta(days=290))
        assert early.measures["fed_lineages"].value == 494
        assert early.measures["consultations"].value is None
        assert early.evaluation.as_json()["indicators"][0]["value"] is None


def test_substitutes_delegates_and_co_authors(engine: Engine) -> None:
    """A delegate counts for the professional; a substitute and a co-author only by the policy that says so."""
    rules = rule("fr.medecin.forfait-structure.2023.dmp", 2)
    other = "10100000009"
    when = {"submitted_at": FIRST, "accepted_at": FIRST, "recorded_at": FIRST}
    with engine.begin() as connection:
        ledger.record_many(
            connection,
            "t1",
            [
                fed(1, actor_rpps=other, actor_role="delegate", on_behalf_of_rpps=DOCTOR, **when),
                fed(2, actor_rpps=other, actor_role="substitute", on_behalf_of_rpps=DOCTOR, **when),
                fed(3, actor_rpps=other, co_authors_rpps=("10100000005", DOCTOR), **when),
            ],
        )

        def lineages(who: str, name: str) -> set[str]:
            out = figures(connection, rules, Subject(by="rpps", id=who), as_of=AS_OF, chosen=policy(name))
            funnel = out.measures["fed_lineages"].funnel
            assert funnel is not None
            return {one.key for one in funnel.countable}

        by_number = {n: fed(n).lineage_ref for n in (1, 2, 3)}
        assert lineages(DOCTOR, "fr-default-1") == {by_number[1]}
        assert lineages(other, "fr-default-1") == {by_number[2], by_number[3]}
        assert lineages(DOCTOR, "fr-substituted-1") == {by_number[1], by_number[2]}
        assert lineages(other, "fr-substituted-1") == {by_number[3]}
        shared = replace(policy("fr-default-1"), credit_co_authors=True)
        out = figures(connection, rules, Subject(by="rpps", id=DOCTOR), as_of=AS_OF, chosen=shared)
        assert out.measures["fed_lineages"].value == 2


def test_a_lineage_of_last_year_does_not_count_again(engine: Engine) -> None:
    """A new version in the period of a document first fed before it adds nothing."""
    rules = rule("fr.medecin.forfait-structure.2023.dmp", 2)
    before = datetime(2022, 12, 20, tzinfo=UTC)
    with engine.begin() as connection:
        for number, when in ((1, before), (2, FIRST)):
            ledger.record(
                connection,
                "t1",
                fed(number, lineage_ref=opaque_hash("l", "x"), submitted_at=when, accepted_at=when, recorded_at=when),
            )
        out = figures(connection, rules, Subject(by="rpps", id=DOCTOR), as_of=AS_OF)
    funnel = out.measures["fed_lineages"].funnel
    assert funnel is not None
    assert (out.measures["fed_lineages"].value, dict(funnel.repeats)) == (0, {"earlier_period": 1})


PHARMACY = """
schema: incentive-rules/1
id: test.pharmacy
version: 1
published: 2026-01-01
sources: [{text: made up, mark: A}]
subject: {by: finess}
period: {from: 2026-01-01, to: 2026-12-31, basis: submitted}
policy: fr-default-1
measures:
  reviews: {events: dmp.document, where: {doc_type: PHARMACY_REVIEW}, unit: lineage}
  visits: {events: mss.message, where: {state: delivered}, unit: encounter}
  mails: {events: mss.message, where: {state: delivered}, unit: message}
  deliveries: {events: mss.message, where: {state: delivered, recipient_class: [ps, citizen]}, unit: event}
  people: {events: mss.message, where: {state: delivered}, unit: patient}
  segur: {declared: segur_software}
indicators:
  - {id: a, value: reviews, test: {gte: 0}}
  - {id: b, value: {flag: segur}}
"""


def test_a_funnel_over_some_days_leaves_out_what_was_fed_before_them(engine: Engine) -> None:
    """As the indicator does: a new version of last year's document, whoever fed it and to whichever ledger."""
    last, this = datetime(2022, 12, 1, 9, tzinfo=UTC), datetime(2023, 3, 1, 9, tzinfo=UTC)
    lineage = opaque_hash("lineage", "kept")

    def at(when: datetime) -> dict[str, Any]:
        return {"submitted_at": when, "accepted_at": when, "recorded_at": when, "lineage_ref": lineage}

    with engine.begin() as connection:
        ledger.record(connection, "t2", fed(1, actor_rpps="10100000009", **at(last)))
        ledger.record_many(
            connection, "t1", [fed(2, **at(this)), fed(3, submitted_at=this, accepted_at=this, recorded_at=this)]
        )
        everywhere = Audience(role=ROLES["fund"], who="test", tenants=None)
        asked = About(professional=DOCTOR)
        funnel = funnel_for(connection, everywhere, asked, since="2023-01-01", until="2023-12-31", as_of=AS_OF)
        assert (funnel.repeats, len(funnel.countable)) == ({"earlier_period": 1}, 1)
        funnel = funnel_for(connection, everywhere, asked, since="2022-01-01", until="2023-12-31", as_of=AS_OF)
        assert (funnel.repeats, len(funnel.countable)) == ({}, 2)


def test_a_line_reached_twice_is_one_line(engine: Engine) -> None:
    """The doctor who acts for themselves, and is among the other authors too."""
    when = {"submitted_at": FIRST, "accepted_at": FIRST, "recorded_at": FIRST}
    everybody = Policy(name="test", credit_co_authors=True)
    with engine.begin() as connection:
        ledger.record_many(
            connection,
            "t1",
            [
                fed(1, on_behalf_of_rpps=DOCTOR, co_authors_rpps=(DOCTOR,), **when),
                fed(2, actor_rpps=None, on_behalf_of_rpps=DOCTOR, actor_role="delegate", **when),
                fed(3, actor_rpps="10100000009", on_behalf_of_rpps=DOCTOR, co_authors_rpps=(DOCTOR,), **when),
                fed(4, actor_rpps="10100000009", co_authors_rpps=(DOCTOR,), **when),
            ],
        )
        found = lines_of(
            connection,
            Subject(by="rpps", id=DOCTOR),
            chosen=everybody,
            kinds=["dmp.document"],
            start=FIRST.date(),
            end=FIRST.date(),
            as_of=AS_OF,
        )
        assert [one.line.entry_id for one in found] == [fed(n).entry_id for n in (1, 2, 3, 4)]


def test_what_was_fed_before_is_told_by_the_index_alone(tmp_path: Path) -> None:
    """Whether a document was fed before is looked up by its lineage and day: never by reading the years before."""
    made = create_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    metadata.create_all(made, tables=[entries])
    told: list[str] = []

    @event.listens_for(made, "before_cursor_execute", retval=True)
    def explain(
        connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        told.extend(str(row[3]) for row in cursor.execute("EXPLAIN QUERY PLAN " + statement, parameters).fetchall())
        return statement, parameters

    with made.connect() as connection:
        figures(
            connection, rule("fr.medecin.forfait-structure.2023.dmp", 2), Subject(by="rpps", id=DOCTOR), as_of=AS_OF
        )
    made.dispose()
    reads = [one for one in told if one.startswith(("SCAN", "SEARCH"))]
    assert any("ix_feed_entries_lineage_day (lineage_ref=? AND day<?)" in one for one in reads), reads
    assert any("ix_feed_entries_actor (actor_rpps=? AND kind=? AND day>? AND day<?)" in one for one in reads), reads
    assert [one for one in reads if "feed_entries" in one and "USING" not in one] == []


def test_units_of_a_structure(engine: Engine) -> None:
    """Messages, deliveries, stays and patients are different numbers of the same lines; groups name types."""
    rules = read(PHARMACY.encode())
    with engine.begin() as connection:
        mail: dict[str, Any] = {"kind": "mss.message", "state": "delivered", "recipient_class": "ps", "recipients": 5}
        stay, message = opaque_hash("stay", "1"), opaque_hash("message", "1")
        ledger.record_many(
            connection,
            "t1",
            [
                fed(1, doc_type="78601-2", doc_type_system="2.16.840.1.113883.6.1"),
                fed(2),
                fed(3, **mail, unique_id_hash=message, encounter_commit=stay, lineage_ref=None),
                fed(4, **mail | {"recipient_class": "bal_org"}, encounter_commit=stay, lineage_ref=None),
                fed(5, **mail, patient_commit=None),
            ],
        )
        out = figures(connection, rules, Subject(by="finess", id=PRACTICE), as_of=datetime(2026, 6, 1, tzinfo=UTC))
        assert {name: one.value for name, one in out.measures.items()} == {
            "reviews": 1,
            "visits": 1,
            "mails": 3,
            "deliveries": 10,
            "people": 2,
            "segur": None,
        }
        people = out.measures["people"].funnel
        assert people is not None
        assert people.excluded == {"excluded.no_patient": 1}
        record_measures(
            connection,
            "t1",
            [
                OutsideMeasure(
                    measure="segur_software",
                    by="finess",
                    subject=PRACTICE,
                    value=True,
                    start=date(2025, 6, 1),
                    end=None,
                    declared=True,
                )
            ],
            origin="declared",
            now=datetime(2026, 5, 1, tzinfo=UTC),
        )
        out = figures(connection, rules, Subject(by="finess", id=PRACTICE), as_of=datetime(2026, 6, 1, tzinfo=UTC))
        assert out.evaluation.indicators[1].met is True
        with pytest.raises(ValueError, match="FEED-FIGURE-001"):
            figures(connection, rules, Subject(by="rpps", id=DOCTOR), as_of=AS_OF)


def test_a_corrected_import_replaces_the_former_for_new_figures(engine: Engine) -> None:
    """The last value for the period holds; a value for another period is not used; the same file adds nothing."""
    rules = rule("fr.medecin.forfait-structure.2023.dmp", 2)
    with engine.begin() as connection:
        ledger.record_many(connection, "t1", example_1())
        _import(connection, consultations=5000)
        _import(connection, consultations=5000)
        _import(connection, consultations=4812)
        out = figures(connection, rules, Subject(by="rpps", id=DOCTOR), as_of=AS_OF)
        assert out.measures["consultations"].value == 4812
        with pytest.raises(ImportFault, match="FEED-IMPORT-004"):
            record_measures(
                connection,
                "t1",
                read_payer_file(HEAD + b"consultations,rpps,10100000001,9,2023-06-01,2024-01-01\n"),
                origin="cnam",
                now=AS_OF,
            )
        with pytest.raises(ImportFault, match="FEED-IMPORT-003"):
            record_measures(
                connection,
                "t1",
                read_payer_file(HEAD.replace(b",", b";") + b"x;rpps;10199999999;9;2023-01-01;2023-12-31\n"),
                origin="cnam",
                now=AS_OF,
            )


HEAD = b"measure,by,subject,value,from,to\n"


@pytest.mark.parametrize(
    ("data", "code", "place"),
    [
        (b"", "FEED-IMPORT-001", ""),
        (b"\xff\xfe;", "FEED-IMPORT-001", ""),
        (b"[", "FEED-IMPORT-001", ""),
        (b'{"rows": []}', "FEED-IMPORT-001", ""),
        (b"[]", "FEED-IMPORT-001", ""),
        (b"[1]", "FEED-IMPORT-002", "/1"),
        (b"measure;by\nx;rpps\n", "FEED-IMPORT-002", "/1"),
        (HEAD + b"x,rpps,1,1,2026-01-01,2026-12-31,9\n", "FEED-IMPORT-002", "/1"),
        (HEAD + b"x,person,1,1,2026-01-01,2026-12-31\n", "FEED-IMPORT-002", "/1/by"),
        (HEAD + b"x,rpps,1,-1,2026-01-01,2026-12-31\n", "FEED-IMPORT-002", "/1/value"),
        (HEAD + b"x,rpps,1,1_0,2026-01-01,2026-12-31\n", "FEED-IMPORT-002", "/1/value"),
        (HEAD + b"x,rpps,1,1,2026-01-01T00:00:00+11:00,2026-12-31\n", "FEED-IMPORT-002", "/1/from"),
        (HEAD + b"x,rpps,1,1,2026-01-01,2025-12-31\n", "FEED-IMPORT-002", "/1/to"),
        (HEAD + b"x,rpps,1' OR 1=1,1,2026-01-01,2026-12-31\n", "FEED-IMPORT-002", "/1/subject"),
    ],
)
def test_a_faulty_payer_file_imports_nothing(data: bytes, code: str, place: str) -> None:
    """Each faulty line by its number and column; values are never repeated."""
    with pytest.raises(ImportFault) as caught:
        read_payer_file(data)
    assert [(fault.code, fault.location) for fault in caught.value.verdict.findings] == [(code, place)]
