"""Samples anybody can draw again, queries that leave a trace, and patterns told as facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, select

from gateway.feeds import export, ledger, offline, tables
from gateway.feeds.anomalies import FACTS, AnomalySettings, Fact, anomalies
from gateway.feeds.entry import opaque_hash
from gateway.feeds.sampling import AuditQuery, draw, record_query
from tests.support.feeds import DOCTOR, fed

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
WHOLE = export.Selection(tenants=["t1", "t2"])


def _fill(engine: Engine) -> None:
    with engine.begin() as connection:
        for tenant, number in (("t1", 60), ("t2", 40)):
            ledger.record_many(connection, tenant, [fed(n + (1000 if tenant == "t2" else 0)) for n in range(number)])
            ledger.seal(connection, tenant)


def test_the_same_seed_draws_the_same_lines(engine: Engine, tmp_path: Path) -> None:
    """By a rule anybody can redo by hand; another seed draws others; the sample exports and proves itself."""
    _fill(engine)
    with engine.begin() as connection:
        first = draw(connection, WHOLE, size=10, seed="tirage du 22 novembre")
        assert draw(connection, WHOLE, size=10, seed="tirage du 22 novembre") == first
        assert draw(connection, WHOLE, size=10, seed="autre").entries != first.entries
        assert (first.population, sum(map(len, first.entries.values()))) == (100, 10)
        assert first.sizes == {"t1": 60, "t2": 40}
        by_hand = sorted(
            (sha256(f"tirage du 22 novembre/{fed(n + base).entry_id}".encode()).digest(), tenant, n + 1)
            for tenant, number, base in (("t1", 60, 0), ("t2", 40, 1000))
            for n in range(number)
        )[:10]
        assert {(tenant, seq) for _, tenant, seq in by_hand} == {
            (tenant, seq) for tenant, numbers in first.entries.items() for seq in numbers
        }
        manifest = export.write_export(
            connection,
            tmp_path / "sample",
            key=Ed25519PrivateKey.generate(),
            selection=export.Selection(tenants=["t1", "t2"], entries=first.entries),
            purpose="audit",
            pseudonym_key=lambda tenant: bytes(32),
            now=NOW,
            statement={"sample": first.as_json()},
        )
    assert manifest["statement"]["sample"]["seed"] == "tirage du 22 novembre"
    report = offline.verify_export(tmp_path / "sample")
    assert report.ok
    assert report.entries == 10


def test_a_sample_larger_than_the_lines_is_all_of_them(engine: Engine) -> None:
    """Filters narrow the population; nothing is drawn twice."""
    _fill(engine)
    with engine.begin() as connection:
        one = export.Selection(tenants=["t1"], professional=DOCTOR, since="2026-03-02", until="2026-03-02")
        assert draw(connection, one, size=1000, seed="s").entries == {"t1": list(range(1, 61))}
        nothing = export.Selection(tenants=["t1"], professional="10100000009")
        assert draw(connection, nothing, size=5, seed="s").entries == {"t1": []}
        for size, seed in ((0, "s"), (5, ""), (5, "s" * 201)):
            with pytest.raises(ValueError, match="FEED-SAMPLE-001"):
                draw(connection, WHOLE, size=size, seed=seed)


def test_a_query_of_an_auditor_is_an_entry_in_each_chain_it_read(engine: Engine) -> None:
    """Who, why, on what basis, how many rows; once a request; without purpose it is refused."""
    query = AuditQuery(
        who="auditor-1",
        purpose="contrôle",
        legal_basis="CSS L.114-19",
        accreditation="ASS-2026-12",
        scope={"by": ["month"], "where": {}},
        rows=12,
    )
    with engine.begin() as connection:
        for _ in range(2):
            record_query(connection, ["t1", "t2"], query, request="req-1", now=NOW)
        rows = connection.execute(select(tables.entries).where(tables.entries.c.kind == "audit.query")).all()
        assert sorted(row.tenant for row in rows) == ["t1", "t2"]
        assert '"legal_basis":"CSS L.114-19"' in rows[0].details
        for wrong in ({"purpose": " "}, {"legal_basis": ""}):
            with pytest.raises(ValueError, match="FEED-AUDIT-001"):
                record_query(connection, ["t1"], replace(query, **wrong), request="req-2", now=NOW)


def test_patterns_are_told_with_their_numbers(engine: Engine) -> None:
    """One patient many times a day, one content many times, a night's loop, a minute's burst, mail to oneself."""
    night = datetime(2026, 3, 10, 1, 30, tzinfo=UTC)  # 02:30 in Paris
    noon = datetime(2026, 3, 12, 11, 0, tzinfo=UTC)
    patient, content = opaque_hash("patient", "one"), opaque_hash("content", "one")
    mail: dict[str, Any] = {"kind": "mss.message", "state": "delivered", "details": {"self_addressed": True}}
    with engine.begin() as connection:
        ledger.record_many(
            connection,
            "t1",
            [
                *(fed(n, patient_commit=patient, accepted_at=noon + timedelta(minutes=n)) for n in range(6)),
                *(
                    fed(n, content_digest=content, accepted_at=noon + timedelta(days=n), patient_commit=None)
                    for n in range(10, 14)
                ),
                *(fed(n, accepted_at=night + timedelta(seconds=n - 100), patient_commit=None) for n in range(100, 125)),
                fed(200, **mail),
                fed(201, kind="mss.message", state="delivered"),
            ],
        )
        found = anomalies(
            connection,
            tenants=["t1"],
            since="2026-03-01",
            until="2026-03-31",
            professional=DOCTOR,
            settings=AnomalySettings(burst_documents=25),
        )
        facts = {(fact.code, fact.on, fact.number) for fact in found}
        assert facts == {
            ("night", "2026-03-09", 25),
            ("burst", "2026-03-10T01:30", 25),
            ("patient_day", "2026-03-12", 6),
            ("identical_content", "2026-03-22", 4),
            ("self_addressed", "2026-03-02", 1),
        }
        assert found[0].number == 25
        assert anomalies(connection, tenants=[], since="2026-03-01", until="2026-03-31") == []
        quiet = AnomalySettings(
            documents_per_patient_day=7,
            identical_contents=5,
            night_documents=26,
            burst_documents=26,
            self_addressed=2,
        )
        assert anomalies(connection, tenants=None, since="2026-03-01", until="2026-03-31", settings=quiet) == []


def test_facts_do_not_accuse() -> None:
    """No word of fraud, abuse or suspicion in either language."""
    for code in FACTS:
        fact = Fact(code=code, professional=DOCTOR, on="2026-03-01", number=9, limit=5)
        for language in ("fr", "en"):
            said = fact.said(language).lower()
            assert "9" in said
            assert not any(word in said for word in ("fraud", "abus", "suspect", "anormal", "abnormal"))
