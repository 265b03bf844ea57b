"""Reading every ledger again, whole, once a night: in a process of its own, its result kept for whoever looks.

A sealed entry that was changed, removed or put elsewhere is then known by morning, without anybody having asked.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.context import Gateway
from gateway.feeds.entry import PARIS, paris_day, stamp
from gateway.feeds.heads import kept_heads
from gateway.feeds.tables import verifications
from gateway.feeds.verification import all_tenants, verify
from gateway.journey.incidents import ledger_altered, ledger_whole
from gateway.services.feeds_proofs import public_keys
from gateway.store.engine import BACKGROUND, Store

__all__ = ["NightWatch", "Verified", "last_verified"]

log = structlog.get_logger("passerelle.feeds")

_EVERY: Final = 600.0
#: A night missed because nothing ran is not made up for in working hours.
_HOURS: Final = 6
_KEPT: Final = timedelta(days=400)
#: A reading begun so long ago was on a node that is gone.
_LOST: Final = timedelta(hours=12)
_FINDINGS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The last reading of one ledger that ended."""

    tenant: str
    ended_at: str
    state: str  #: whole, altered, failed
    sealed: int
    heads: int
    findings: Sequence[dict[str, str]]

    def late(self, now: datetime) -> bool:
        """True when two nights have passed since."""
        return self.ended_at < stamp(now - timedelta(hours=50))


def last_verified(connection: Connection, tenants: Sequence[str]) -> list[Verified]:
    """The last reading of each of these ledgers, for those that were ever read."""
    found: dict[str, Verified] = {}
    query = (
        select(verifications)
        .where(verifications.c.tenant.in_(list(tenants)), verifications.c.ended_at.is_not(None))
        .order_by(verifications.c.day)
    )
    for row in connection.execute(query):
        found[row.tenant] = Verified(
            tenant=row.tenant,
            ended_at=row.ended_at,
            state=row.state,
            sealed=row.sealed or 0,
            heads=row.heads or 0,
            findings=orjson.loads(row.findings or "[]"),
        )
    return [found[name] for name in tenants if name in found]


class NightWatch:
    """The chore of the worker that has the ledgers read."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._hour = gateway.settings.feeds.verify_hour
        self._process: BaseProcess | None = None
        # Not while it starts: a gateway started again and again at night would read all the time.
        self._from = gateway.now() + timedelta(seconds=_EVERY)

    def chores(self) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
        """What the worker runs, and how often in seconds."""
        return [] if self._hour is None else [(_EVERY, self.run)]

    async def close(self) -> None:
        """Stop reading; tomorrow's reading does the same."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            await asyncio.to_thread(process.join, 10)

    def _due(self, now: datetime) -> bool:
        hour = now.astimezone(PARIS).hour
        return self._hour is not None and now >= self._from and (hour - self._hour) % 24 < _HOURS

    async def run(self) -> None:
        """Have every ledger read that nobody has begun to read tonight."""
        now = self._gateway.now()
        if self._due(now):
            await self.read_all(now)

    async def read_all(self, now: datetime) -> None:
        """Have them read now, but for those begun today already, and keep what was found."""
        store = self._gateway.store
        mine = await store.write(lambda c: _claimed(c, now), BACKGROUND)
        if not mine:
            return
        url = store.url.render_as_string(hide_password=False)
        near = self._start(url, mine)
        try:
            for tenant in mine:
                told = await asyncio.to_thread(_heard, near)
                at = self._gateway.now()
                await store.write(partial(_keep, day=now, tenant=tenant, told=told, now=at), BACKGROUND)
        finally:
            near.close()
            await self.close()
        await store.write(lambda c: _tell(c, self._gateway.now()), BACKGROUND)

    def _start(self, url: str, tenants: Sequence[str]) -> Pipe:
        # A process of its own: minutes of hashing must not hold up those who send documents.
        context = multiprocessing.get_context("spawn")
        near, far = context.Pipe(duplex=False)
        args = (url, list(tenants), far)
        self._process = context.Process(target=_in_process, args=args, daemon=True, name="night-watch")
        self._process.start()
        far.close()
        return near


def _heard(near: Pipe) -> dict[str, Any]:
    """The next answer; the end of the process is one too."""
    try:
        told: dict[str, Any] = near.recv()
    except (EOFError, OSError):
        return {"state": "failed"}
    return told


def _in_process(url: str, tenants: Sequence[str], answer: Pipe) -> None:
    os.nice(10)
    store = Store(url, readers=1, connections=1)
    try:
        for tenant in tenants:
            answer.send(store.read_now(partial(read_one, tenant=tenant)))
    finally:
        store.close()
        answer.close()


def read_one(connection: Connection, tenant: str) -> dict[str, Any]:
    """Read one ledger whole and compare it with every head kept; what was found, without any content."""
    report = verify(connection, tenant, heads=kept_heads(connection, tenant), keys=public_keys(connection))
    return {
        "state": "whole" if report.ok else "altered",
        "sealed": report.sealed,
        "heads": report.heads_checked,
        "findings": [{"code": one.code, "place": one.location} for one in report.verdict.findings[:_FINDINGS]],
    }


def _claimed(connection: Connection, now: datetime) -> list[str]:
    """The ledgers that this node is to read today: noted as begun, so that no other does."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    day, lost = paris_day(now), stamp(now - _LOST)
    connection.execute(delete(verifications).where(verifications.c.ended_at.is_(None), verifications.c.begun_at < lost))
    connection.execute(delete(verifications).where(verifications.c.day < paris_day(now - _KEPT)))
    mine = []
    for tenant in all_tenants(connection):
        fresh = {"day": day, "tenant": tenant, "state": "running", "begun_at": stamp(now)}
        made = connection.execute(
            insert(verifications).values(**fresh).on_conflict_do_nothing(),
            execution_options={"preserve_rowcount": True},
        )
        if made.rowcount == 1:
            mine.append(tenant)
    return mine


def _keep(connection: Connection, *, day: datetime, tenant: str, told: dict[str, Any], now: datetime) -> None:
    connection.execute(
        update(verifications)
        .where(verifications.c.day == paris_day(day), verifications.c.tenant == tenant)
        .values(
            state=told["state"],
            ended_at=stamp(now),
            sealed=told.get("sealed"),
            heads=told.get("heads"),
            findings=orjson.dumps(told.get("findings", [])).decode(),
        )
    )
    if told["state"] == "altered":
        codes = sorted({one["code"] for one in told["findings"]})
        log.error("feeds.ledger_altered", tenant=tenant, codes=codes)


def _tell(connection: Connection, now: datetime) -> None:
    """Open or close the incident, by the last reading of every ledger."""
    last = last_verified(connection, all_tenants(connection))
    if any(one.state == "altered" for one in last):
        ledger_altered(connection, now)
    else:
        ledger_whole(connection, now)
