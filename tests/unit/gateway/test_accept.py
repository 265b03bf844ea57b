"""Taking a document in charge: all of it or nothing, once, with a promise that can be read back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from gateway.feeds.tables import entries
from gateway.journey.accept import accept
from gateway.problems import Busy, Conflict
from gateway.store.engine import Store
from gateway.store.tables import deliveries, documents, history, identities
from gateway.vault import Vault
from tests.support import documents as samples
from tests.unit.gateway.conftest import HandClock, Intakes, unqualified


def count(store: Store, table: object) -> int:
    """How many rows a table has."""
    return int(store.read_now(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()))  # type: ignore[arg-type]


def test_document_deliveries_history_and_ledger_come_together(store: Store, intakes: Intakes) -> None:
    """One transaction writes all that the receipt promises."""
    recipients = (
        {"address": "a@medecin.formation.mssante.fr", "kind": "professional"},
        {"address": "279035121518989@patient.mssante.fr", "kind": "citizen"},
    )
    done = intakes.take(intakes.request(recipients=recipients))
    assert not done.replayed
    rows = store.read_now(lambda c: c.execute(select(deliveries).order_by(deliveries.c.rank)).all())
    assert [(r.destination, r.state, r.recipients) for r in rows] == [
        ("dmp", "queued", 0),
        ("mss", "queued", 1),
        ("mss", "queued", 1),
    ]
    assert rows[1].lineage != rows[2].lineage
    assert count(store, history) == 4
    assert store.read_now(lambda c: c.execute(select(entries.c.state)).scalars().all()) == ["submitted"]


def test_a_failure_leaves_nothing(store: Store, intakes: Intakes, clock: HandClock, vault: Vault) -> None:
    """What fails half-way changed nothing."""
    request = intakes.request()

    def half(connection: object) -> None:
        accept(connection, vault, request, now=clock(), hold_days=90, max_pending=10)  # type: ignore[arg-type]
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        store.write_now(half)  # type: ignore[arg-type]
    assert [count(store, t) for t in (documents, deliveries, history, identities, entries)] == [0] * 5


def test_the_same_unique_id_is_the_same_document(store: Store, intakes: Intakes) -> None:
    """The same content again gives the first document; another content under the same id is refused."""
    document = samples.report(7)
    first = intakes.take(intakes.request(document))
    again = intakes.take(intakes.request(document))
    assert again.replayed
    assert again.document_id == first.document_id
    other = intakes.request({**document, "title": "Autre"})
    with pytest.raises(Conflict) as refused:
        intakes.take(other)
    assert refused.value.faults[0].code == "API-IDEM-003"
    assert count(store, documents) == 1


def test_the_same_key_is_the_same_request(intakes: Intakes) -> None:
    """A key serves one content."""
    first = intakes.request(key="k")
    done = intakes.take(first)
    assert intakes.take(first).document_id == done.document_id
    with pytest.raises(Conflict) as refused:
        intakes.take(replace(intakes.request(key="k"), body_mac="1" * 64))
    assert refused.value.status == 422


def test_an_unqualified_identity_holds_each_delivery(store: Store, intakes: Intakes, clock: HandClock) -> None:
    """Held until qualified, at most the days of the setting; mail to professionals too unless a setting lets it go."""
    mail = ({"address": "a@medecin.formation.mssante.fr", "kind": "professional"},)
    intakes.take(intakes.request(unqualified(), recipients=mail))
    rows = store.read_now(lambda c: c.execute(select(deliveries)).all())
    assert {(r.state, r.reason) for r in rows} == {("held", "identity_not_qualified")}
    assert {r.expires_at for r in rows} == {clock() + timedelta(days=90)}


def test_too_many_waiting_are_refused(store: Store, intakes: Intakes, vault: Vault, clock: HandClock) -> None:
    """Back-pressure says when to come again."""
    intakes.take(intakes.request())
    request = intakes.request()
    with pytest.raises(Busy) as refused:
        store.write_now(lambda c: accept(c, vault, request, now=clock(), hold_days=90, max_pending=1))
    assert refused.value.headers["Retry-After"]
