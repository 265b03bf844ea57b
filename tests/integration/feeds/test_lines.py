"""Lines as people look at them: pages, one document's history, one person's lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from gateway.feeds import ledger, subjects
from gateway.feeds.lines import history, line, page, person_lines
from tests.integration.feeds.test_commands import RULES, database, run
from tests.integration.feeds.test_measures import _import, example_1
from tests.support.feeds import DOCTOR, fed

__all__ = ["database"]

KEY = b"k" * 32
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def key_of(tenant: str) -> bytes:
    return KEY


def test_pages_follow_each_other_and_show_pseudonyms_only(engine: Engine) -> None:
    """Newest first, nothing twice, nothing left out; commitments stay inside; the tail shows as unsealed."""
    with engine.begin() as connection:
        commit = subjects.commitment(connection, "t1", "patient", "somebody", key=KEY)
        ledger.record_many(connection, "t1", [fed(n, patient_commit=commit) for n in range(25)])
        ledger.seal(connection, "t1")
        ledger.record(connection, "t1", fed(25))
        ledger.record(connection, "t2", fed(100))
        seen: list[str] = []
        cursor: int | None = None
        while True:
            lines, cursor = page(connection, tenants=["t1"], before=cursor, limit=10, purpose="console", key_of=key_of)
            seen += [one["entry_id"] for one in lines]
            if cursor is None:
                break
        assert seen == [fed(n).entry_id for n in range(25, -1, -1)]
        first, _ = page(connection, tenants=None, limit=3, purpose="console", key_of=key_of)
        assert [(one["tenant"], one["sealed"], one["patient"] is None) for one in first] == [
            ("t2", False, True),
            ("t1", False, True),
            ("t1", True, False),
        ]
        assert not any("commit" in name for one in first for name in one)


def test_filters_narrow_and_unknown_ones_are_errors(engine: Engine) -> None:
    """By outcome, type and day; a filter that does not exist, or a limit out of range, is named."""
    with engine.begin() as connection:
        ledger.record_many(connection, "t1", [fed(1), fed(2, state="rejected", reason="opposition"), fed(3)])

        def found(**more: object) -> int:
            lines, _ = page(connection, tenants=["t1"], purpose="p", key_of=key_of, **more)  # type: ignore[arg-type]
            return len(lines)

        assert found(where={"outcome": ["rejected"], "reason": ["opposition"]}) == 1
        assert found(since="2026-03-02", until="2026-03-02") == 3
        assert found(until="2026-03-01") == 0
        with pytest.raises(ValueError, match="FEED-LINES-002"):
            found(where={"1=1": ["x"]})
        for limit in (0, 501):
            with pytest.raises(ValueError, match="FEED-LINES-001"):
                found(limit=limit)


def test_a_document_has_one_history(engine: Engine) -> None:
    """All states of one lineage in order; another tenant's lines are not seen; an unknown line has none."""
    with engine.begin() as connection:
        sent = fed(1, state="submitted")
        ledger.record_many(connection, "t1", [sent, fed(2), fed(1), fed(1, state="deleted", reason="error")])
        options = {"purpose": "p", "key_of": key_of}
        states = [one["state"] for one in history(connection, sent.entry_id, tenants=["t1"], **options)]  # type: ignore[arg-type]
        assert states == ["submitted", "accepted", "deleted"]
        assert history(connection, sent.entry_id, tenants=["t2"], **options) == []  # type: ignore[arg-type]
        assert line(connection, "not hex", tenants=None, **options) is None  # type: ignore[arg-type]
        alone = fed(9, lineage_ref=None)
        ledger.record(connection, "t1", alone)
        assert len(history(connection, alone.entry_id, tenants=None, **options)) == 1  # type: ignore[arg-type]


def test_a_person_may_have_their_lines(engine: Engine) -> None:
    """Found by their reference, all of them, without pseudonym or commitment."""
    with engine.begin() as connection:
        commit = subjects.commitment(connection, "t1", "patient", "somebody", key=KEY)
        ledger.record_many(connection, "t1", [fed(1, patient_commit=commit), fed(2)])
        found = subjects.find(connection, "t1", "patient", "somebody", key=KEY)
        assert found is not None
        assert [one["entry_id"] for one in person_lines(connection, "t1", found)] == [fed(1).entry_id]


def test_recount_compares_lines_with_totals(database: str, engine: Engine) -> None:
    """Equal at first; a total changed by hand is shown and ends with 1."""
    good = run("recount", "--database", database, "--format", "json")
    assert good.exit_code == 0
    assert json.loads(good.stdout)["rows"][0]["lines"] == 2
    with engine.begin() as connection:
        connection.execute(text("UPDATE feed_rollup_coarse SET entries = 7 WHERE state = 'accepted'"))
    bad = run("recount", "--database", database)
    assert bad.exit_code == 1
    assert "diffère" in bad.output


def test_rules_are_listed_with_their_trust() -> None:
    """Each shipped rule, its version, its days, and whether it is verified."""
    shown = run("rules").output
    assert "fr.officine.remu-num.2024" in shown
    assert "non vérifiée" in shown


def test_a_statement_from_the_command_line(database: str, engine: Engine, tmp_path: Path) -> None:
    """JSON on the output, PDF where asked; the subject must fit the rule, the instant must have its offset."""
    with engine.begin() as connection:
        ledger.record_many(connection, "t1", [one for one in example_1() if one.entry_id])
        _import(connection, consultations=4812)
    path = RULES / "fr.medecin.forfait-structure.2023.dmp.2.yaml"
    common = ["statement", path, "--database", database]
    pdf = tmp_path / "s.pdf"
    shown = run(*common, "--rpps", DOCTOR, "--pdf", pdf, "--as-of", "2024-02-15T00:00:00+01:00")
    assert shown.exit_code == 0, shown.output
    stated = json.loads(shown.stdout)
    assert stated["result"]["total"]["amount"] == "280.00"
    assert pdf.read_bytes().startswith(b"%PDF-1.4")
    assert "--rpps" in run(*common, "--finess", "750000018").stderr
    assert run(*common, "--rpps", DOCTOR, "--as-of", "2024-02-15").exit_code == 2
    assert run("statement", tmp_path / "absent.yaml", "--rpps", DOCTOR).exit_code == 2
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("a: 1")
    assert "FEED-RULE-003" in run("statement", wrong, "--rpps", DOCTOR).stderr
