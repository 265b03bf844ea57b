"""Statements, reconciliations, FHIR reports and memberships: the same figures, told to different readers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.measure import Measure as FhirMeasure
from fhir.resources.R4B.measurereport import MeasureReport
from sqlalchemy import Connection, Engine

from gateway.feeds import fhir, heads, ledger
from gateway.feeds.counts import counts
from gateway.feeds.measures import Subject, figures
from gateway.feeds.memberships import declare_membership, end_membership, memberships_of
from gateway.feeds.periods import State, close, closings
from gateway.feeds.reconcile import reconcile
from gateway.feeds.rulebook import shipped
from gateway.feeds.statements import reason_words, statement, statement_pdf
from gateway.feeds.verification import verify
from tests.integration.feeds.test_measures import AS_OF, _import, example_1, rule
from tests.integration.feeds.test_verification import KEY
from tests.support.feeds import DOCTOR, PRACTICE, fed
from tests.support.pdf_checker import page_texts

OLD, NEW = (rule("fr.medecin.forfait-structure.2023.dmp", version) for version in (1, 2))
DR_A = Subject(by="rpps", id=DOCTOR)


@pytest.fixture
def filled(engine: Engine) -> Iterator[Connection]:
    """The ledger of the first worked example."""
    with engine.begin() as connection:
        ledger.record_many(connection, "t1", example_1())
        _import(connection, consultations=4812)
        ledger.seal(connection, "t1")
        yield connection


def test_a_statement_tells_the_make_up_and_the_result(filled: Connection) -> None:
    """Provisional until closed; rule, trust, policy, funnel, sentences, head of the ledger."""
    head = heads.sign_head(filled, "t1", KEY, now=AS_OF)
    made = figures(filled, NEW, DR_A, as_of=AS_OF)
    stated = statement(made, heads=[head], number="REL-1")
    assert (stated["state"], stated["provisional"]) == ("due", True)
    assert stated["measures"]["fed_lineages"]["funnel"]["countable"] == 488
    assert stated["measures"]["consultations"]["origin"] == "cnam"
    assert stated["result"]["total"]["amount"] == "280.00"
    assert "471 jours-patients" in stated["progress"][1]["sentence"]
    assert stated["heads"][0]["size"] == 563
    assert len(stated["policy"]["cases"]) > 10
    assert sum(stated["parts"].values()) == 540


def test_a_closed_period_states_its_closed_counts_under_each_version(filled: Connection) -> None:
    """What came later is not in the statement; the new threshold is applied to the closed counts."""
    close(filled, "t1", OLD, DR_A, now=AS_OF)
    later = AS_OF + timedelta(days=30)
    ledger.record(filled, "t1", fed(900, submitted_at=AS_OF, accepted_at=datetime(2023, 5, 1, tzinfo=UTC)))
    for rules, amount in ((OLD, "0.00"), (NEW, "280.00")):
        made = figures(filled, rules, DR_A, as_of=later)
        assert made.measures["fed_lineages"].value == 489 or fed(900).recorded_at > later
        stated = statement(made, closings=closings(filled, rules.id, DR_A), number="REL-2")
        assert (stated["state"], stated["provisional"]) == ("closed", False)
        assert stated["measures"]["fed_lineages"]["value"] == 488
        assert stated["measures"]["fed_lineages"]["funnel"]["countable"] == 488
        assert stated["result"]["total"]["amount"] == amount
        assert stated["closings"][0]["version"] == 1


def test_the_paper_says_what_the_json_says(filled: Connection, tmp_path: Path) -> None:
    """Figures, reasons and sentences stand in the PDF, which is PDF/A-1b."""
    head = heads.sign_head(filled, "t1", KEY, now=AS_OF)
    stated = statement(figures(filled, NEW, DR_A, as_of=AS_OF), heads=[head], number="REL-3")
    data = statement_pdf(stated, created=AS_OF)
    words = " ".join(" ".join(page_texts(data, tmp_path)).split())
    for expected in (
        "Relevé d'alimentation",
        "REL-3",
        DOCTOR,
        "280,00",
        "488",
        "INS non qualifiée",
        "chiffres provisoires",
    ):
        assert expected in words, expected
    assert b"pdfaid:part" in data


def test_a_forecast_stands_on_the_paper_of_a_running_year(filled: Connection, tmp_path: Path) -> None:
    """During the period, with its assumption."""
    stated = statement(figures(filled, NEW, DR_A, as_of=datetime(2023, 7, 1, tzinfo=UTC)), number="REL-4")
    assert stated["state"] == "open"
    assert any("Prévision" in text for text in page_texts(statement_pdf(stated, created=AS_OF), tmp_path))


@pytest.mark.parametrize(
    ("payer", "cause"),
    [
        (471, "unit.patient_day"),
        (496, "ins"),
        (491, "test"),
        (494, "deleted"),
        (509, "versions"),
        (502, "masks"),
        (540, "accepted"),
    ],
)
def test_a_payers_number_is_explained_by_the_reading_that_gives_it(filled: Connection, payer: int, cause: str) -> None:
    """Each known cause is recognised by its number; what cannot be measured is named beside it."""
    found = reconcile(filled, NEW, DR_A, measure="fed_lineages", payer=payer, as_of=AS_OF)
    assert (found.gateway, found.difference) == (488, payer - 488)
    assert cause in {reading.code for reading in found.causes}
    assert found.as_json()["explained"] is True
    assert len(found.as_json()["notMeasured"]) == 3


def test_what_no_reading_explains_is_said_to_be_unexplained(filled: Connection) -> None:
    """A number from nowhere has no cause; the same number needs none."""
    assert reconcile(filled, NEW, DR_A, measure="fed_lineages", payer=333, as_of=AS_OF).as_json()["explained"] is False
    assert reconcile(filled, NEW, DR_A, measure="fed_lineages", payer=488, as_of=AS_OF).as_json()["explained"] is True
    with pytest.raises(LookupError, match="FEED-RECONCILE-001"):
        reconcile(filled, NEW, DR_A, measure="consultations", payer=1, as_of=AS_OF)


def test_the_report_is_valid_fhir_and_carries_the_counts(filled: Connection) -> None:
    """Counts, rate and exclusions by reason; pending until closed."""
    made = figures(filled, NEW, DR_A, as_of=AS_OF)
    report = fhir.measure_report(made, base_url="https://passerelle.example", state=State.DUE)
    MeasureReport.model_validate(report)
    first = report["group"][0]
    assert [one["count"] for one in first["population"]] == [488, 4812]
    assert first["measureScore"] == {"value": 0.101413}
    strata = {
        one["value"]["coding"][0]["code"]: one["population"][0]["count"] for one in first["stratifier"][0]["stratum"]
    }
    assert strata["excluded.ins"] == 8
    assert strata["metadata_only"] == 14
    assert report["status"] == "pending"
    assert fhir.measure_report(made, base_url="https://x", state=State.CLOSED)["status"] == "complete"


def test_every_shipped_rule_is_a_valid_fhir_measure() -> None:
    """Each rule file makes a Measure whose trust is said."""
    for rules in shipped():
        made = fhir.measure(rules, base_url="https://passerelle.example")
        FhirMeasure.model_validate(made)
        assert made["experimental"] == rules.unverified


def test_memberships_are_dated_entries_and_a_dimension(engine: Engine) -> None:
    """Declared once, ended once; acts count for the organisation of their day; the ledger keeps both declarations."""
    now = datetime(2026, 6, 1, tzinfo=UTC)
    options: dict[str, Any] = {"member": PRACTICE, "organisation": "CPTS-75-1"}
    with engine.begin() as connection:
        ledger.record_many(
            connection,
            "t1",
            [fed(n, accepted_at=datetime(2026, 1 + n, 15, tzinfo=UTC)) for n in range(4)],
        )
        for _ in range(2):
            declare_membership(connection, "t1", kind="cpts", start=date(2026, 2, 1), now=now, **options)
        assert end_membership(connection, "t1", end=date(2026, 3, 31), now=now, **options)
        assert not end_membership(connection, "t1", end=date(2026, 3, 31), now=now, **options)
        assert [tuple(row) for row in memberships_of(connection, "t1", PRACTICE)] == [
            ("cpts", "CPTS-75-1", "2026-02-01", "2026-03-31")
        ]
        rows = counts(connection, by=("membership", "month"))
        assert {(one.group["membership"], one.group["month"]) for one in rows} == {
            ("", "2026-01"),
            ("CPTS-75-1", "2026-02"),
            ("CPTS-75-1", "2026-03"),
            ("", "2026-04"),
        }
        ledger.seal(connection, "t1")
        assert verify(connection, "t1").sealed == 6


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"member": "Dr Martin"}, "FEED-MEMBER-001"),
        ({"organisation": "x y"}, "FEED-MEMBER-002"),
        ({"end": date(2025, 1, 1)}, "FEED-MEMBER-003"),
        ({"kind": "club"}, "FEED-MEMBER-004"),
    ],
)
def test_a_faulty_membership_is_refused(engine: Engine, changes: dict[str, Any], code: str) -> None:
    """Members, organisations and days have their forms."""
    good: dict[str, Any] = {
        "member": DOCTOR,
        "kind": "msp",
        "organisation": "MSP-1",
        "start": date(2026, 1, 1),
        "now": AS_OF,
    }
    with engine.begin() as connection, pytest.raises(ValueError, match=code):
        declare_membership(connection, "t1", **(good | changes))


def test_reasons_have_words() -> None:
    """A known code reads as French; an unknown one is shown as it is rather than hidden."""
    assert reason_words("excluded.ins") == "INS non qualifiée"
    assert reason_words("new_code") == "new_code"
