"""What is no longer needed is removed: contents, traits, addresses and exchanges of what ended, past its retention.

Rows stay, as codes, instants and opaque identifiers: a unique identifier still serves once, what became of a document
can still be followed, and the ledger is not touched. A dead letter waits for a person, with all it needs to be sent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import Connection, Row, Table, and_, bindparam, delete, exists, or_, select, update

from gateway import identities as persons
from gateway.context import Gateway
from gateway.journey.states import Delivery
from gateway.services.evidence import addresses_in
from gateway.settings import Settings
from gateway.store.engine import BACKGROUND, Store
from gateway.store.mail_tables import mail_received, mail_received_documents, mail_recipients, messages
from gateway.store.tables import blobs, deliveries, documents, exchanges, idempotency, identities, webhook_calls
from gateway.vault import Vault

__all__ = ["Purger", "Retention", "drop_contents", "empty_deliveries", "purge"]

log = structlog.get_logger("passerelle.purge")

#: Rows of one transaction: short enough that the accepting of documents never waits for long.
BATCH: Final = 50
#: Identities looked at in one reading.
PAGE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Until when things are kept: what ended before these instants goes."""

    contents: datetime
    evidence: datetime
    keys: datetime

    @classmethod
    def of(cls, settings: Settings, now: datetime) -> Retention:
        """The instants that the settings give."""
        return cls(
            contents=now - timedelta(days=settings.retention_days),
            evidence=now - timedelta(days=settings.evidence_days),
            keys=now - timedelta(days=settings.keys_days),
        )


Step = Callable[[Vault, Retention, datetime, Connection], Counter[str]]


def purge(
    store: Store, vault: Vault, retention: Retention, now: datetime, *, go_on: Callable[[], bool] = lambda: True
) -> Counter[str]:
    """Remove everything past its retention, a batch at a time; says how many of each kind.

    ``go_on`` is asked between two batches, so that a stopping process need not wait for the last.
    """
    done: Counter[str] = Counter()
    for step in STEPS:
        while go_on() and (found := store.write_now(partial(step, vault, retention, now), BACKGROUND)):
            done += found
    after: str | None = ""
    while after is not None and go_on():
        # Looked for outside of a write: patients who come back regularly are many.
        idle, after = store.read_now(partial(_idle, retention.contents, after))
        for start in range(0, len(idle), BATCH):
            part = idle[start : start + BATCH]
            done += store.write_now(partial(_forget, part, vault, retention.contents, now), BACKGROUND)
    return done


class Purger:
    """Purges now and then beside the workers."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._closed = False

    def chores(self) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
        """What the worker calls, and how often."""
        return [(self._gateway.settings.purge_minutes * 60, self.run)]

    async def close(self) -> None:
        """Begin no other batch."""
        self._closed = True

    async def run(self) -> None:
        """One round; what was removed is then overwritten where it still stands in the log of a SQLite file."""
        gateway = self._gateway
        now = gateway.now()
        retention = Retention.of(gateway.settings, now)
        work = partial(purge, gateway.store, gateway.vault, retention, now, go_on=lambda: not self._closed)
        done = await asyncio.to_thread(work)
        if done:
            log.info("purge.done", **done)
            await asyncio.to_thread(gateway.store.scrub, within=5.0, thorough=False)


def _waiting(column: Any, number: Any, before: datetime) -> Any:
    """A delivery of a document or message that is open, waits for a person, or ended lately."""
    return exists().where(
        column == number,
        or_(
            deliveries.c.ended_at.is_(None),
            deliveries.c.ended_at >= before,
            deliveries.c.state == str(Delivery.DEAD_LETTER),
        ),
    )


def _ended(connection: Connection, table: Table, delivered: Any, before: datetime) -> Sequence[Row[Any]]:
    """The oldest documents or messages that no delivery needs any more, held until the transaction ends.

    ``delivered`` is the column of deliveries that names the row of ``table``.
    """
    query = (
        select(table)
        .where(table.c.purged_at.is_(None), table.c.updated_at < before, ~_waiting(delivered, table.c.id, before))
        .order_by(table.c.updated_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(query).all()


def _documents(vault: Vault, retention: Retention, now: datetime, connection: Connection) -> Counter[str]:
    found = _ended(connection, documents, deliveries.c.document_id, retention.contents)
    attached = _attached(connection, {row.tenant_id for row in found}) if found else set()
    rows = [row for row in found if row.id not in attached]
    if not rows:
        return Counter()
    ids = [row.id for row in rows]
    wanted = [(row.tenant_id, at) for row in rows for at in (row.model, row.cda, row.fhir, row.pdf)]
    wanted += [(row.tenant_id, at) for row in rows for at in row.superseded or ()]
    wanted += empty_deliveries(connection, vault, deliveries.c.document_id.in_(ids))
    connection.execute(update(documents).where(documents.c.id.in_(ids)).values(purged_at=now, superseded=None))
    return Counter(documents=len(rows), contents=drop_contents(connection, wanted))


def _attached(connection: Connection, tenants: Iterable[str]) -> set[str]:
    """The documents of messages that have not left: sent again with each."""
    lists = connection.execute(
        select(messages.c.documents)
        .join(deliveries, deliveries.c.message_id == messages.c.id)
        .where(
            messages.c.tenant_id.in_(sorted(tenants)),
            or_(deliveries.c.ended_at.is_(None), deliveries.c.state == str(Delivery.DEAD_LETTER)),
        )
    ).scalars()
    return {number for numbers in lists for number in numbers}


def _messages(vault: Vault, retention: Retention, now: datetime, connection: Connection) -> Counter[str]:
    rows = _ended(connection, messages, deliveries.c.message_id, retention.contents)
    if not rows:
        return Counter()
    ids = [row.id for row in rows]
    wanted = [(row.tenant_id, row.content) for row in rows]
    wanted += empty_deliveries(connection, vault, deliveries.c.message_id.in_(ids))
    connection.execute(update(messages).where(messages.c.id.in_(ids)).values(purged_at=now))
    return Counter(messages=len(rows), contents=drop_contents(connection, wanted))


def _received(vault: Vault, retention: Retention, now: datetime, connection: Connection) -> Counter[str]:
    rows = connection.execute(
        select(mail_received)
        .where(
            mail_received.c.purged_at.is_(None),
            mail_received.c.updated_at < retention.contents,
            mail_received.c.state != "new",  # nobody has looked at it yet
            mail_received.c.answer_state != "due",
        )
        .order_by(mail_received.c.updated_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    if not rows:
        return Counter()
    owners = {row.id: row.tenant_id for row in rows}
    parts = connection.execute(
        select(mail_received_documents).where(mail_received_documents.c.received_id.in_(owners))
    ).all()
    wanted = [(row.tenant_id, row.raw) for row in rows]
    wanted += [(owners[row.received_id], at) for row in parts for at in (row.cda, row.fhir)]
    for row in rows:
        words = dict.fromkeys(orjson.loads(vault.open(row.tenant_id, row.sealed, row.id)), "")
        sealed = vault.seal(row.tenant_id, orjson.dumps(words), row.id)
        connection.execute(
            update(mail_received).where(mail_received.c.id == row.id).values(sealed=sealed, raw=None, purged_at=now)
        )
    for row in parts:
        sealed = vault.seal(owners[row.received_id], b"", f"{row.received_id}/{row.rank}")
        connection.execute(
            update(mail_received_documents)
            .where(mail_received_documents.c.received_id == row.received_id, mail_received_documents.c.rank == row.rank)
            .values(sealed=sealed, fhir=None)
        )
    return Counter(received=len(rows), contents=drop_contents(connection, wanted))


def _exchanges(vault: Vault, retention: Retention, now: datetime, connection: Connection) -> Counter[str]:
    open_one = exists().where(deliveries.c.id == exchanges.c.delivery_id, deliveries.c.ended_at.is_(None))
    rows = connection.execute(
        select(exchanges)
        .where(exchanges.c.at < retention.evidence, ~open_one)
        .order_by(exchanges.c.at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    if not rows:
        return Counter()
    wanted = [
        (row.tenant_id, at)
        for row in rows
        for side in (row.request, row.response)
        for at in addresses_in(connection, vault, row.tenant_id, side)
    ]
    connection.execute(delete(exchanges).where(exchanges.c.id.in_([row.id for row in rows])))
    return Counter(exchanges=len(rows), contents=drop_contents(connection, wanted))


def _keys(vault: Vault, retention: Retention, now: datetime, connection: Connection) -> Counter[str]:
    """Idempotency keys: the unique identifier of a document still protects it once its key is gone."""
    old = (
        select(idempotency.c.client_id, idempotency.c.key)
        .where(idempotency.c.created_at < retention.keys)
        .order_by(idempotency.c.created_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    found = connection.execute(old).all()
    if not found:
        return Counter()
    one = and_(idempotency.c.client_id == bindparam("of_client"), idempotency.c.key == bindparam("of_key"))
    connection.execute(delete(idempotency).where(one), [{"of_client": c, "of_key": k} for c, k in found])
    return Counter(keys=len(found))


def _calls(vault: Vault, retention: Retention, now: datetime, connection: Connection) -> Counter[str]:
    ended = (
        select(webhook_calls.c.id)
        .where(webhook_calls.c.state != "queued", webhook_calls.c.created_at < retention.contents)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(ended).scalars())
    if not ids:
        return Counter()
    connection.execute(delete(webhook_calls).where(webhook_calls.c.id.in_(ids)))
    return Counter(calls=len(ids))


STEPS: Final[Sequence[Step]] = (_documents, _messages, _received, _exchanges, _keys, _calls)


def empty_deliveries(connection: Connection, vault: Vault, which: Any) -> list[tuple[str, str | None]]:
    """Take from ended deliveries what they carried and to whom; gives the contents they pointed to."""
    rows = connection.execute(
        select(deliveries.c.id, deliveries.c.tenant_id, deliveries.c.request, deliveries.c.prepared).where(which)
    ).all()
    if not rows:
        return []
    ids = [row.id for row in rows]
    connection.execute(update(deliveries).where(deliveries.c.id.in_(ids)).values(request=None, prepared=None))
    told = connection.execute(
        select(mail_recipients.c.id, mail_recipients.c.tenant_id).where(mail_recipients.c.delivery_id.in_(ids))
    ).all()
    if told:
        connection.execute(
            update(mail_recipients)
            .where(mail_recipients.c.id == bindparam("of_id"))
            .values(sealed=bindparam("nothing"), lookup=""),
            [{"of_id": row.id, "nothing": vault.seal(row.tenant_id, b"", row.id)} for row in told],
        )
    return [(row.tenant_id, at) for row in rows for at in (row.request, row.prepared)]


#: Who else may need a content: the same bytes are kept once a structure.
_NEEDED: Final[tuple[tuple[Table, str, Any], ...]] = (
    (documents, "cda", documents.c.purged_at.is_(None)),
    (documents, "pdf", documents.c.purged_at.is_(None)),
    (deliveries, "request", deliveries.c.request.is_not(None)),
    (messages, "content", messages.c.purged_at.is_(None)),
    (mail_received_documents, "cda", None),
)


def drop_contents(connection: Connection, wanted: Iterable[tuple[str, str | None]]) -> int:
    """Delete contents that nobody needs any more; says how many."""
    by_tenant: dict[str, set[str]] = {}
    for tenant, address in wanted:
        if address is not None:
            by_tenant.setdefault(tenant, set()).add(address)
    done = 0
    for tenant, addresses in sorted(by_tenant.items()):
        mine = and_(blobs.c.tenant_id == tenant, blobs.c.address.in_(sorted(addresses)))
        # Locked first: whoever keeps the same bytes again just now is waited for, and then seen below. Always in one
        # order, so that two who purge never wait for each other.
        held = select(blobs.c.address).where(mine).order_by(blobs.c.address).with_for_update()
        gone = set(connection.execute(held).scalars())
        if gone:
            gone -= _needed(connection, tenant, gone)
            ours = and_(blobs.c.tenant_id == tenant, blobs.c.address.in_(sorted(gone)))
            done += connection.execute(delete(blobs).where(ours)).rowcount
    return done


def _needed(connection: Connection, tenant: str, addresses: set[str]) -> set[str]:
    out: set[str] = set()
    for table, name, kept in _NEEDED:
        column = table.c[name]
        query = select(column).where(column.in_(sorted(addresses)))
        if table is mail_received_documents:
            query = query.join(mail_received, mail_received.c.id == table.c.received_id).where(
                mail_received.c.purged_at.is_(None), mail_received.c.tenant_id == tenant
            )
        else:
            query = query.where(kept, table.c.tenant_id == tenant)
        out.update(connection.execute(query).scalars())
    return out


def _needless(identity: Any) -> Any:
    """Nothing else is kept about a patient."""
    return ~or_(
        exists().where(documents.c.identity_id == identity, documents.c.purged_at.is_(None)),
        exists().where(messages.c.identity_id == identity, messages.c.purged_at.is_(None)),
        exists().where(mail_received.c.identity_id == identity, mail_received.c.purged_at.is_(None)),
    )


def _idle(before: datetime, after: str, connection: Connection) -> tuple[list[str], str | None]:
    """Among the next identities, those to forget; and where to go on from, None at the end."""
    page = list(
        connection.execute(
            select(identities.c.id, identities.c.updated_at, identities.c.forgotten_at)
            .where(identities.c.id > after)
            .order_by(identities.c.id)
            .limit(PAGE)
        )
    )
    old = [row.id for row in page if row.forgotten_at is None and row.updated_at < before]
    if old:
        query = select(identities.c.id).where(identities.c.id.in_(old), _needless(identities.c.id))
        old = list(connection.execute(query).scalars())
    return old, page[-1].id if len(page) == PAGE else None


def _forget(
    numbers: Sequence[str], vault: Vault, before: datetime, now: datetime, connection: Connection
) -> Counter[str]:
    """Forget the traits of patients about whom nothing else is kept; who they are of, and oppositions, stay."""
    query = select(identities.c.id).where(identities.c.id.in_(numbers), _needless(identities.c.id))
    still = sorted(connection.execute(query.with_for_update()).scalars())
    return +Counter(identities=sum(persons.forget(connection, vault, one, before=before, now=now) for one in still))
