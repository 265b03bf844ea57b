"""The day's heads on their way out: one bundle a day, and where each copy of it went.

The bundle is made once and never changes, but for the time-stamp that is added to it. Each way out is claimed before
it is tried, so that several nodes do not send it twice.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.feeds.entry import paris_day, stamp
from gateway.feeds.heads import SignedHead, daily_root, sign_head
from gateway.feeds.tables import chains, departures

__all__ = [
    "CHANNELS",
    "Departure",
    "bundle_of",
    "claim",
    "due",
    "head_documents",
    "last",
    "make_bundle",
    "read_bundle",
    "settle",
    "stamped",
]

SCHEMA: Final = "feed-heads/1"
#: Ways out, in the order they are tried: copies leave with the time-stamp when it comes in time.
CHANNELS: Final = ("timestamp", "folder", "mail")
_BUNDLE: Final = "bundle"
_KEPT: Final = timedelta(days=7)  #: how long a copy that could not leave is tried
_CLAIMED: Final = timedelta(minutes=10)  #: a node that died with a copy in hand


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """One way out on one day."""

    day: str
    channel: str
    state: str  #: due, done, failed
    attempts: int
    done_at: str | None
    detail: str | None  #: where it went, or the code of why not


def _add(connection: Connection, **values: Any) -> bool:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(departures).values(**values).on_conflict_do_nothing()
    return bool(connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount)


def bundle_of(connection: Connection, day: str) -> dict[str, Any] | None:
    """The bundle of a day (Europe/Paris), or None when none was made."""
    text = connection.execute(
        select(departures.c.content).where(departures.c.day == day, departures.c.channel == _BUNDLE)
    ).scalar_one_or_none()
    return None if text is None else dict(orjson.loads(text))


def make_bundle(
    connection: Connection, key: Ed25519PrivateKey, *, now: datetime, channels: Sequence[str]
) -> dict[str, Any] | None:
    """Sign every chain's head anew and make the day's bundle, once; None while there is nothing in any chain.

    ``channels`` are the ways out it has to take.
    """
    day = paris_day(now)
    made = bundle_of(connection, day)
    if made is not None:
        return made
    tenants = (
        connection.execute(select(chains.c.tenant).where(chains.c.size > 0).order_by(chains.c.tenant)).scalars().all()
    )
    if not tenants:
        return None
    heads = [sign_head(connection, tenant, key, now=now, renew=True) for tenant in tenants]
    bundle = {
        "schema": SCHEMA,
        "day": day,
        "made_at": stamp(now),
        "root": daily_root(heads).hex(),
        "heads": [head.as_json() for head in heads],
    }
    content = orjson.dumps(bundle).decode()
    if not _add(connection, day=day, channel=_BUNDLE, state="done", content=content, attempts=0, done_at=stamp(now)):
        return bundle_of(connection, day)
    for channel in channels:
        _add(connection, day=day, channel=channel, state="due", attempts=0, next_at=stamp(now))
    return bundle


def read_bundle(data: dict[str, Any]) -> tuple[list[dict[str, Any]], bytes]:
    """The heads of a bundle and the root over them it states; raises ``ValueError`` when it is none."""
    if data.get("schema") != SCHEMA or not isinstance(data.get("heads"), list):
        raise ValueError("FEED-HEAD-001: this is not a feed-heads/1")
    try:
        return data["heads"], bytes.fromhex(data["root"])
    except (KeyError, TypeError, ValueError) as exc:
        raise ValueError("FEED-HEAD-001: this is not a feed-heads/1") from exc


def stamped(connection: Connection, day: str, response: bytes) -> None:
    """Add the time-stamp to a day's bundle; a copy that left without it is due again."""
    bundle = bundle_of(connection, day)
    if bundle is None:
        return
    bundle["timestamp"] = base64.b64encode(response).decode()
    connection.execute(
        update(departures)
        .where(departures.c.day == day, departures.c.channel == _BUNDLE)
        .values(content=orjson.dumps(bundle).decode())
    )
    connection.execute(
        update(departures)
        .where(departures.c.day == day, departures.c.channel == "folder", departures.c.state == "done")
        .values(state="due")
    )


def due(connection: Connection, *, now: datetime) -> list[Departure]:
    """What has to leave now, oldest day first, in the order of ``CHANNELS``; what waited a week has failed."""
    oldest = paris_day(now - _KEPT)
    connection.execute(
        update(departures).where(departures.c.state == "due", departures.c.day < oldest).values(state="failed")
    )
    query = select(departures).where(departures.c.state == "due", departures.c.next_at <= stamp(now))
    found = [_read(row) for row in connection.execute(query)]
    return sorted(found, key=lambda one: (one.day, CHANNELS.index(one.channel)))


def _read(row: Any) -> Departure:
    return Departure(
        day=row.day,
        channel=row.channel,
        state=row.state,
        attempts=row.attempts,
        done_at=row.done_at,
        detail=row.detail,
    )


def claim(connection: Connection, one: Departure, *, now: datetime) -> bool:
    """Take a way out for oneself; False when another node has it."""
    done = connection.execute(
        update(departures)
        .where(
            departures.c.day == one.day,
            departures.c.channel == one.channel,
            departures.c.state == "due",
            departures.c.attempts == one.attempts,
        )
        .values(attempts=one.attempts + 1, next_at=stamp(now + _CLAIMED))
    )
    return bool(done.rowcount)


def settle(connection: Connection, one: Departure, *, now: datetime, detail: str, ok: bool) -> None:
    """Say that a copy left, or why not; it is then tried again, less and less often."""
    wait = min(60 * 2**one.attempts, 3600)
    connection.execute(
        update(departures)
        .where(departures.c.day == one.day, departures.c.channel == one.channel)
        .values(
            state="done" if ok else "due",
            done_at=stamp(now) if ok else None,
            next_at=stamp(now + timedelta(seconds=wait)),
            detail=detail,
        )
    )


def last(connection: Connection, *, limit: int = 30) -> list[Departure]:
    """The latest departures, newest day first."""
    query = (
        select(departures)
        .where(departures.c.channel != _BUNDLE)
        .order_by(departures.c.day.desc(), departures.c.channel)
        .limit(limit)
    )
    return [_read(row) for row in connection.execute(query)]


def head_documents(data: Any) -> list[dict[str, Any]]:
    """The heads in what somebody kept: one head, a list, a day's bundle or a receipt; raises ``ValueError``.

    A bundle whose root is not that of its heads was put together by somebody else.
    """
    from gateway.feeds.heads import read_head

    if isinstance(data, dict) and data.get("schema") == SCHEMA:
        heads, root = read_bundle(data)
        read: list[SignedHead] = [read_head(one) for one in heads]
        if daily_root(read) != root:
            raise ValueError("FEED-HEAD-002: the root is not that of these heads")
        return heads
    if isinstance(data, dict) and isinstance(data.get("ledgerHead"), dict):
        data = data["ledgerHead"]
    return [dict(one) for one in (data if isinstance(data, list) else [data])]
