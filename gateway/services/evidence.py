"""Exchanges with national services, kept as proof: what left, what came back, sealed under the tenant's key.

Homologation is judged on traces (PRE_TRACE: SOAP messages of each test case), disputes too. A body is kept in pieces:
a document that is stored already is kept once, the envelope around it beside. Once a document's content is purged, the
exchanges that carried it can no longer be shown whole, which is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from sqlalchemy import Connection, Row, or_, select

from gateway.ids import new_id
from gateway.store import blobs, sql
from gateway.store.engine import BACKGROUND, Store
from gateway.store.tables import exchanges
from gateway.vault import Vault

if TYPE_CHECKING:
    from adapters.dmp.transport import ExchangeRecord

__all__ = ["Body", "Kept", "Recorder", "about", "addresses_in", "exported", "keep_mail"]

log = structlog.get_logger("passerelle.evidence")

#: A piece smaller than this is kept with its neighbours.
_APART: Final = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the calls under way are made for."""

    delivery: str | None = None
    test_case: str | None = None


_subject: ContextVar[Subject] = ContextVar("passerelle_exchange_subject", default=Subject())  # noqa: B039 - frozen


@contextmanager
def about(*, delivery: str | None = None, test_case: str | None = None) -> Iterator[None]:
    """Say what the calls made inside are for."""
    token = _subject.set(Subject(delivery=delivery, test_case=test_case))
    try:
        yield
    finally:
        _subject.reset(token)


class Recorder:
    """Keeps each exchange, without holding whoever made it."""

    def __init__(self, store: Store, vault: Vault, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock

    def of(self, tenant_id: str, destination: str) -> Callable[[ExchangeRecord], None]:
        """The recorder of one client."""
        return partial(self.keep, tenant_id, destination)

    def keep(self, tenant_id: str, destination: str, made: ExchangeRecord) -> None:
        """Queue one exchange to be kept; a failure is logged, never raised to the caller."""
        subject = _subject.get()
        work = partial(_keep, self._vault, tenant_id, destination, made, subject, self._clock())
        self._store.submit(work, BACKGROUND).add_done_callback(_told)


def _told(done: Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("evidence.lost", error=type(error).__name__)


def _keep(
    vault: Vault,
    tenant_id: str,
    destination: str,
    made: ExchangeRecord,
    subject: Subject,
    now: datetime,
    connection: Connection,
) -> None:
    head = {"url": made.url, "messageId": made.message_id, "type": made.request_type}
    request = _pieces(connection, vault, tenant_id, made.request, head, now)
    answer = {"status": made.status, "type": made.response_type}
    response = _pieces(connection, vault, tenant_id, [made.response] if made.response else [], answer, now)
    outcome = made.outcome.code if made.outcome is not None else "answered"
    sql.add(
        connection,
        exchanges,
        id=new_id("exc", now),
        tenant_id=tenant_id,
        delivery_id=subject.delivery,
        destination=destination,
        transaction=made.transaction,
        at=made.started_at,
        outcome=outcome[:40],
        request=request,
        response=response,
        test_case=subject.test_case,
    )


def keep_mail(
    connection: Connection,
    vault: Vault,
    tenant_id: str,
    *,
    delivery: str,
    transaction: str,
    at: datetime,
    outcome: str,
    message_id: str = "",
    sent: bytes = b"",
    answer: bytes = b"",
    answer_type: str = "text/plain",
) -> bool:
    """Keep a mail that left with our operator's answer, or a notice that came about it; False when it is kept already.

    ``transaction`` is ``submit``, or the kind of the notice: ``dsn``, ``mdn``, ``failure``.
    """
    head = {"messageId": message_id, "type": "message/rfc822"}
    request = _pieces(connection, vault, tenant_id, [sent], head, at) if sent else None
    response = _pieces(connection, vault, tenant_id, [answer], {"type": answer_type}, at)
    if not sent:
        # An operator repeats itself: the same notice about the same mail is one piece of evidence.
        same: dict[str, Any] = {"delivery_id": delivery, "transaction": transaction, "response": response}
        if sql.value(connection, exchanges, "id", **same) is not None:
            return False
    sql.add(
        connection,
        exchanges,
        id=new_id("exc", at),
        tenant_id=tenant_id,
        delivery_id=delivery,
        destination="mss",
        transaction=transaction,
        at=at,
        outcome=outcome[:40],
        request=request,
        response=response,
        test_case=None,
    )
    return True


def _pieces(
    connection: Connection,
    vault: Vault,
    tenant_id: str,
    chunks: Sequence[bytes],
    head: dict[str, Any],
    now: datetime,
) -> str:
    """Keep a body: a line that says how it is put together, then its small pieces."""
    parts: list[list[Any]] = []
    inline: list[bytes] = []
    for chunk in chunks:
        if len(chunk) >= _APART:
            parts.append(["at", blobs.put(connection, vault, tenant_id, bytes(chunk), now)])
        elif parts and parts[-1][0] == "in":
            parts[-1][1] += len(chunk)
            inline.append(chunk)
        else:
            parts.append(["in", len(chunk)])
            inline.append(chunk)
    line = orjson.dumps({"v": 1, **head, "parts": parts})
    return blobs.put(connection, vault, tenant_id, b"".join([line, b"\n", *inline]), now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One side of an exchange."""

    head: dict[str, Any]
    content: bytes
    whole: bool  #: False when a piece was purged


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One exchange, opened."""

    row: Row[Any]
    request: Body
    response: Body


def exported(
    connection: Connection, vault: Vault, *, delivery: str | None = None, test_case: str | None = None
) -> Iterator[Kept]:
    """The exchanges of a delivery, of a test case, or of both, in the order they were made."""
    wanted = []
    if delivery is not None:
        wanted.append(exchanges.c.delivery_id == delivery)
    if test_case is not None:
        wanted.append(exchanges.c.test_case == test_case)
    rows = connection.execute(select(exchanges).where(or_(*wanted)).order_by(exchanges.c.at, exchanges.c.id)).all()
    for row in rows:
        yield Kept(
            row=row,
            request=_body(connection, vault, row.tenant_id, row.request),
            response=_body(connection, vault, row.tenant_id, row.response),
        )


def _body(connection: Connection, vault: Vault, tenant_id: str, address: str | None) -> Body:
    if address is None:
        return Body(head={}, content=b"", whole=True)
    try:
        kept = blobs.get(connection, vault, tenant_id, address)
    except KeyError:
        return Body(head={}, content=b"", whole=False)
    line, _, inline = kept.partition(b"\n")
    head: dict[str, Any] = orjson.loads(line)
    out: list[bytes] = []
    position, whole = 0, True
    for kind, value in head.pop("parts"):
        if kind == "in":
            out.append(inline[position : position + value])
            position += value
            continue
        try:
            out.append(blobs.get(connection, vault, tenant_id, value))
        except KeyError:
            whole = False
    head.pop("v")
    return Body(head=head, content=b"".join(out), whole=whole)


def addresses_in(connection: Connection, vault: Vault, tenant_id: str, address: str | None) -> list[str]:
    """The contents one side of an exchange is kept in, the line that lists them included."""
    if address is None:
        return []
    try:
        line = blobs.get(connection, vault, tenant_id, address).partition(b"\n")[0]
    except KeyError:
        return []
    return [address, *(str(value) for kind, value in orjson.loads(line)["parts"] if kind == "at")]
