"""Purging: contents, traits, addresses and exchanges of what ended go; what is open, shared or recent stays whole."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, Row, delete, func, select, update

from gateway import identities as persons
from gateway.feeds.tables import entries
from gateway.journey.accept import Accepted
from gateway.journey.cause import cause_of
from gateway.journey.purge import Retention, purge
from gateway.journey.record import move
from gateway.journey.states import CauseCode, Delivery
from gateway.problems import Conflict
from gateway.store import blobs
from gateway.store.engine import Store
from gateway.store.mail_tables import mail_recipients
from gateway.store.tables import (
    blobs as contents,
)
from gateway.store.tables import (
    deliveries,
    documents,
    exchanges,
    idempotency,
    identities,
    webhook_calls,
    webhooks,
)
from gateway.vault import Vault
from tests.support import documents as samples
from tests.unit.gateway.conftest import HandClock, Intakes

PRO = {"address": "dr.canari@medecin.formation.mssante.fr", "kind": "professional"}


@pytest.fixture
def after(clock: HandClock) -> Retention:
    """Everything of before the clock's present, once it has moved on by a hundred days."""
    clock.forward(days=100)
    then = clock() - timedelta(days=90)
    clock.forward(days=-100)
    return Retention(contents=then, evidence=then, keys=then)


def all_of(store: Store, table: Any) -> list[Row[Any]]:
    """Every row."""
    return store.read_now(lambda c: list(c.execute(select(table))))


def end(
    store: Store, vault: Vault, clock: HandClock, taken: Accepted, to: Delivery, *, only: str | None = None
) -> None:
    """Bring the deliveries of a document to an end, as couriers do."""

    def work(connection: Connection) -> None:
        rows = connection.execute(select(deliveries).where(deliveries.c.document_id == taken.document_id)).all()
        for row in rows:
            if only is not None and row.destination != only:
                continue
            move(connection, vault, row, Delivery.SENDING, at=clock(), by="test")
            sending = connection.execute(select(deliveries).where(deliveries.c.id == row.id)).one()
            cause = cause_of(CauseCode.TOO_MANY_ATTEMPTS) if to is Delivery.DEAD_LETTER else None
            move(connection, vault, sending, to, at=clock(), by="test", cause=cause)

    store.write_now(work)


def purged(store: Store, vault: Vault, clock: HandClock, retention: Retention) -> dict[str, int]:
    """Purge a hundred days later."""
    clock.forward(days=100)
    return dict(purge(store, vault, retention, clock()))


def test_what_ended_goes_and_the_count_stays(
    store: Store, vault: Vault, intakes: Intakes, clock: HandClock, after: Retention
) -> None:
    """No content, address or trait is left; the document can still be followed, its identifier serves no other."""
    document = samples.report(1)
    taken = intakes.take(intakes.request(document, recipients=(PRO,), key="k1"))
    end(store, vault, clock, taken, Delivery.ACKNOWLEDGED)
    counted = store.read_now(lambda c: c.execute(select(func.count()).select_from(entries)).scalar_one())
    done = purged(store, vault, clock, after)
    assert (done["documents"], done["identities"], done["keys"]) == (1, 1, 1)
    assert all_of(store, contents) == []
    assert all_of(store, idempotency) == []
    row = all_of(store, documents)[0]
    assert (row.state, row.purged_at) == ("completed", clock())
    assert {(one.request, one.prepared, one.state) for one in all_of(store, deliveries)} == {
        (None, None, "acknowledged")
    }
    recipient = all_of(store, mail_recipients)[0]
    assert (vault.open(recipient.tenant_id, recipient.sealed, recipient.id), recipient.lookup) == (b"", "")
    who = store.read_now(lambda c: persons.load(c, vault, row.identity_id))
    assert who.patient == persons.NOBODY
    assert store.read_now(lambda c: c.execute(select(func.count()).select_from(entries)).scalar_one()) == counted
    # The same document again is known; another under its identifier is refused, as before.
    assert intakes.take(intakes.request(document)) == Accepted(document_id=row.id, replayed=True)
    document["title"] = "Un autre"
    with pytest.raises(Conflict):
        intakes.take(intakes.request(document))
    assert purged(store, vault, clock, after) == {}


def test_a_patient_who_comes_back_is_the_same_person(
    store: Store, vault: Vault, intakes: Intakes, clock: HandClock, after: Retention
) -> None:
    """Their identity has the same id, so that the count knows them; an opposition made before still holds."""
    taken = intakes.take(intakes.request())
    end(store, vault, clock, taken, Delivery.ACKNOWLEDGED)
    first = all_of(store, identities)[0]
    store.write_now(lambda c: persons.object_to(c, first.id, "mss", "test", clock()))
    assert purged(store, vault, clock, after)["identities"] == 1
    intakes.take(intakes.request())
    again = all_of(store, identities)
    assert [row.id for row in again] == [first.id]
    assert again[0].forgotten_at is None
    held = store.read_now(lambda c: persons.load(c, vault, first.id))
    assert held.patient.birth_name == samples.PATIENT["birthName"]
    assert store.read_now(lambda c: persons.opposed(c, first.id, "mss"))


@pytest.mark.parametrize("state", ["open", "dead_letter", "recent", "half"])
def test_what_is_not_over_stays_whole(
    store: Store, vault: Vault, intakes: Intakes, clock: HandClock, after: Retention, state: str
) -> None:
    """A delivery under way, one that waits for a person, one that ended lately: nothing of the document goes."""
    taken = intakes.take(intakes.request(recipients=(PRO,)))
    if state == "dead_letter":
        end(store, vault, clock, taken, Delivery.DEAD_LETTER)
    elif state == "half":
        end(store, vault, clock, taken, Delivery.ACKNOWLEDGED, only="dmp")
    elif state == "recent":
        clock.forward(days=50)
        end(store, vault, clock, taken, Delivery.ACKNOWLEDGED)
        clock.forward(days=-50)
    before = len(all_of(store, contents))
    assert purged(store, vault, clock, after) == {}
    assert len(all_of(store, contents)) == before
    assert all_of(store, documents)[0].purged_at is None
    assert all_of(store, identities)[0].forgotten_at is None


def test_bytes_that_another_document_needs_stay(
    store: Store, vault: Vault, intakes: Intakes, clock: HandClock, after: Retention
) -> None:
    """Two documents mailed to the same address share that content, kept until the second has ended too."""
    first = intakes.take(intakes.request(recipients=(PRO,)))
    second = intakes.take(intakes.request(recipients=(PRO,)))
    shared = {row.request for row in all_of(store, deliveries) if row.request}
    assert len(shared) == 1
    end(store, vault, clock, first, Delivery.ACKNOWLEDGED)
    assert purged(store, vault, clock, after)["documents"] == 1
    assert {row.address for row in all_of(store, contents)} >= shared
    other = next(row for row in all_of(store, documents) if row.id == second.document_id)
    for address in (other.model, other.cda, other.fhir):
        assert store.read_now(lambda c, at=address: blobs.get(c, vault, other.tenant_id, at))  # type: ignore[misc]
    end(store, vault, clock, second, Delivery.ACKNOWLEDGED)
    clock.forward(days=100)
    later = Retention(contents=clock(), evidence=clock(), keys=clock())
    purge(store, vault, later, clock())
    assert all_of(store, contents) == []


def test_what_was_written_anew_goes_too(
    store: Store, vault: Vault, intakes: Intakes, clock: HandClock, after: Retention
) -> None:
    """The form without the INS, replaced when the identity was qualified, is purged with the document."""
    taken = intakes.take(intakes.request())
    row = all_of(store, documents)[0]
    old = store.write_now(lambda c: blobs.put(c, vault, row.tenant_id, b"former", clock()))
    store.write_now(
        lambda c: c.execute(update(documents).where(documents.c.id == taken.document_id).values(superseded=[old]))
    )
    end(store, vault, clock, taken, Delivery.ACKNOWLEDGED)
    purged(store, vault, clock, after)
    assert all_of(store, contents) == []


def test_exchanges_go_with_all_their_pieces(
    store: Store, vault: Vault, intakes: Intakes, clock: HandClock, after: Retention
) -> None:
    """Of an exchange past its retention neither the row nor a piece is left; a kept document's own bytes stay."""
    taken = intakes.take(intakes.request())
    row = all_of(store, documents)[0]

    def exchange(connection: Connection) -> None:
        piece = blobs.put(connection, vault, row.tenant_id, b"piece", clock())
        parts = [["at", piece], ["at", row.cda], ["in", 3]]
        line = orjson.dumps({"v": 1, "parts": parts}) + b"\nend"
        request = blobs.put(connection, vault, row.tenant_id, line, clock())
        connection.execute(
            exchanges.insert().values(
                id="exc_1",
                tenant_id=row.tenant_id,
                delivery_id=None,
                destination="dmp",
                transaction="TD2.1a",
                at=clock(),
                outcome="accepted",
                request=request,
            )
        )

    kept = len(all_of(store, contents))
    store.write_now(exchange)
    assert purged(store, vault, clock, after) == {"exchanges": 1, "contents": 2}
    assert len(all_of(store, contents)) == kept
    assert store.read_now(lambda c: blobs.get(c, vault, row.tenant_id, row.cda))
    assert taken.document_id == row.id


def test_ended_calls_of_webhooks_go(
    store: Store, vault: Vault, intakes: Intakes, clock: HandClock, after: Retention
) -> None:
    """Those still to be made stay."""

    def calls(connection: Connection) -> None:
        connection.execute(
            webhooks.insert().values(
                id="whk_1",
                tenant_id=intakes.tenant.id,
                client_id="client",
                url="https://example.org/",
                sealed_secret=b"",
                created_at=clock(),
            )
        )
        for number, state in enumerate(("done", "queued")):
            connection.execute(
                webhook_calls.insert().values(
                    id=f"call_{number}", webhook_id="whk_1", body={}, state=state, created_at=clock()
                )
            )

    store.write_now(calls)
    assert purged(store, vault, clock, after) == {"calls": 1}
    assert [row.state for row in all_of(store, webhook_calls)] == ["queued"]


def test_many_are_purged_in_batches_and_a_stop_is_heard_between_them(
    store: Store, vault: Vault, intakes: Intakes, clock: HandClock, after: Retention
) -> None:
    """More than one batch goes in one round, unless the process is asked to stop."""
    taken = intakes.take(intakes.request())
    end(store, vault, clock, taken, Delivery.ACKNOWLEDGED)
    one = dict(all_of(store, documents)[0]._mapping)

    def more(connection: Connection) -> None:
        connection.execute(documents.insert(), [{**one, "id": f"doc_{n}", "unique_id": f"1.2.{n}"} for n in range(120)])

    store.write_now(more)
    asked: list[bool] = []

    def once() -> bool:
        asked.append(True)
        return len(asked) == 1

    clock.forward(days=100)
    assert purge(store, vault, after, clock(), go_on=once)["documents"] == 50
    assert purge(store, vault, after, clock())["documents"] == 71
    store.write_now(lambda c: c.execute(delete(deliveries).where(deliveries.c.id == "none")))
