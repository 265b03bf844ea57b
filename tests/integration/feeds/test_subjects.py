"""Patients stand in the ledger by commitments that an erasure cuts off, and no figure moves."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, select

from gateway.feeds import ledger, subjects, tables
from gateway.feeds.counts import counts
from gateway.feeds.verification import verify
from tests.support.feeds import fed

KEY = b"k" * 32
NOW = datetime(2026, 11, 22, tzinfo=UTC)
#: A fictitious reference: test authority and a made-up number.
PATIENT = "1.2.250.1.213.1.4.10|199999999999999"


def test_one_patient_has_one_commitment_a_tenant(engine: Engine) -> None:
    """The same person is found again; another tenant, kind or person has another commitment."""
    with engine.begin() as connection:
        first = subjects.commitment(connection, "t1", "patient", PATIENT, key=KEY)
        assert subjects.commitment(connection, "t1", "patient", PATIENT, key=KEY) == first
        assert subjects.find(connection, "t1", "patient", PATIENT, key=KEY) == first
        others = {
            subjects.commitment(connection, "t2", "patient", PATIENT, key=KEY),
            subjects.commitment(connection, "t1", "encounter", PATIENT, key=KEY),
            subjects.commitment(connection, "t1", "patient", f"{PATIENT}x", key=KEY),
        }
        assert len(others | {first}) == 4
        for row in connection.execute(select(tables.subjects)):
            assert PATIENT.encode() not in b"".join(bytes(v) for v in row if not isinstance(v, str))


def test_pseudonyms_of_two_purposes_cannot_be_joined(engine: Engine) -> None:
    """One purpose always gives the same pseudonym, another purpose an unrelated one."""
    with engine.begin() as connection:
        commit = subjects.commitment(connection, "t1", "patient", PATIENT, key=KEY)
        audit = subjects.pseudonyms(connection, "t1", [commit, "0" * 64], purpose="audit", key=KEY)
        assert audit.keys() == {commit}
        assert audit == subjects.pseudonyms(connection, "t1", [commit], purpose="audit", key=KEY)
        study = subjects.pseudonyms(connection, "t1", [commit], purpose="study", key=KEY)
        assert study[commit] not in (audit[commit], commit)


def test_an_erasure_breaks_no_link_and_moves_no_figure(engine: Engine) -> None:
    """After it nobody can lead the lines back to the person; chain and counts are what they were."""
    with engine.begin() as connection:
        commit = subjects.commitment(connection, "t1", "patient", PATIENT, key=KEY)
        ledger.record_many(connection, "t1", [fed(n, patient_commit=commit) for n in range(3)])
        ledger.seal(connection, "t1")
        before = counts(connection)
        assert subjects.erase(connection, "t1", "patient", PATIENT, key=KEY, now=NOW)
        assert not subjects.erase(connection, "t1", "patient", PATIENT, key=KEY, now=NOW)
        ledger.seal(connection, "t1")
        assert counts(connection) == before
        assert verify(connection, "t1").ok
        assert subjects.find(connection, "t1", "patient", PATIENT, key=KEY) is None
        assert subjects.pseudonyms(connection, "t1", [commit], purpose="audit", key=KEY) == {}
        erased = connection.execute(select(tables.entries).where(tables.entries.c.kind == "subject.erased")).one()
        assert erased.patient_commit is None
        assert bytes(erased.entry_id).hex() != commit
        assert subjects.commitment(connection, "t1", "patient", PATIENT, key=KEY) != commit


def test_a_weak_key_is_refused(engine: Engine) -> None:
    """A short key would make the pseudonyms guessable."""
    with engine.begin() as connection, pytest.raises(ValueError, match="32 bytes"):
        subjects.commitment(connection, "t1", "patient", PATIENT, key=b"short")
