"""Exports made beside the interface: asked for, followed, fetched, and gone after some days.

Heads are signed first, in a transaction of their own; the lines are then read as they were under those heads, without
holding anybody up, however many there are.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import Connection, delete, func, select, update

from gateway.context import Gateway
from gateway.feeds.entry import stamp
from gateway.feeds.export import FORMS, Selection, pack, write_export
from gateway.feeds.heads import SignedHead, sign_head
from gateway.feeds.sampling import draw
from gateway.feeds.tables import entries, exports, links
from gateway.ids import new_id
from gateway.problems import Invalid, NotFound, rule
from gateway.services.feeds import LineQuery, key_of, record_reading, selection_for
from gateway.services.feeds_proofs import keep_public_key, signing_key
from gateway.services.feeds_roles import Audience, said_of
from gateway.settings import Settings
from gateway.store.engine import BACKGROUND

__all__ = ["Export", "Order", "begin", "export_file", "export_of", "exports_of", "folder_of", "forget", "run"]

log = structlog.get_logger("passerelle.feeds")

UNKNOWN = rule(
    "FEED-EXPORT-030",
    "Cet export n'existe pas pour vous, ou n'est plus gardé.",
    "This export does not exist for you, or is kept no longer.",
    "Demandez-le de nouveau.",
    "Ask for it again.",
)
NOT_READY = rule(
    "FEED-EXPORT-031",
    "Cet export n'est pas prêt.",
    "This export is not ready.",
    "Suivez son avancement et recommencez.",
    "Follow its progress and try again.",
)
BAD_FORM = rule(
    "FEED-EXPORT-020",
    "Cette forme d'export n'existe pas ici.",
    "This form of export does not exist here.",
    "Demandez ndjson, csv ou parquet (ce dernier avec l'extra parquet).",
    "Ask for ndjson, csv or parquet (the last with the parquet extra).",
)
#: A running export that says nothing for so long was on a node that is gone.
_SILENT: Final = timedelta(minutes=5)
_AT_ONCE: Final = 2
_ONE: Final = threading.BoundedSemaphore(_AT_ONCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An export asked for."""

    query: LineQuery
    forms: Sequence[str] = ("ndjson", "csv")
    sample: int | None = None  #: so many lines drawn at random
    seed: str = ""
    statement: Mapping[str, Any] = field(default_factory=dict)  #: figures that go into the manifest

    def as_json(self) -> dict[str, Any]:
        """The order as it is kept and as the ledger enters it."""
        return {**self.query.as_json(), "forms": list(self.forms), "sample": self.sample, "seed": self.seed or None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Where an export is."""

    id: str
    state: str  #: running, ready, failed
    done: int
    total: int
    detail: str | None
    created_at: str
    request: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """An export begun, and all that making it needs."""

    id: str
    selection: Selection
    heads: Mapping[str, SignedHead]
    order: Order
    statement: dict[str, Any]
    purpose: str
    now: datetime


def folder_of(settings: Settings) -> Path:
    """Where exports wait."""
    return settings.feeds.export_folder or settings.data_dir / "exports"


def begin(connection: Connection, audience: Audience, order: Order, *, settings: Settings, now: datetime) -> Work:
    """Sign the heads an export rests on, enter the query, and note the export as running.

    Raises :class:`Invalid` for a form or a filter that does not exist, :class:`Forbidden` outside the grant.
    """
    audience.may_see_lines()
    unknown = sorted(set(order.forms) - set(FORMS))
    if unknown or not order.forms or ("parquet" in order.forms and find_spec("pyarrow") is None):
        raise Invalid([BAD_FORM.finding("forms", expected=", ".join(FORMS))], slug="invalid-form")
    selection = selection_for(connection, audience, order.query)
    key = signing_key(settings)
    keep_public_key(connection, key.public_key(), now)
    heads = {tenant: sign_head(connection, tenant, key, now=now) for tenant in sorted(set(selection.tenants))}
    statement: dict[str, Any] = {"audience": said_of(audience), "query": order.as_json(), **order.statement}
    if order.sample is not None:
        drawn = draw(connection, selection, size=order.sample, seed=order.seed)
        selection = replace(selection, entries=drawn.entries)
        statement["sample"] = drawn.as_json()
    total = sum(
        connection.execute(
            select(func.count())
            .select_from(links.join(entries, entries.c.id == links.c.entry))
            .where(*selection.conditions(tenant, head.size))
        ).scalar_one()
        for tenant, head in heads.items()
    )
    record_reading(connection, audience, {"export": order.as_json()}, rows=total, now=now, of=list(heads))
    number = new_id("exp", now)
    connection.execute(
        exports.insert().values(
            id=number,
            who=audience.who,
            state="running",
            request=orjson.dumps(order.as_json()).decode(),
            total=total,
            done=0,
            created_at=stamp(now),
            updated_at=stamp(now),
        )
    )
    return Work(
        id=number,
        selection=selection,
        heads=heads,
        order=order,
        statement=statement,
        purpose=audience.pseudonym_purpose,
        now=now,
    )


async def run(gateway: Gateway, work: Work) -> None:
    """Make an export begun, to its end or its failure, without holding the event loop."""
    stop = threading.Event()
    try:
        await asyncio.to_thread(_make, gateway, work, stop)
    except asyncio.CancelledError:
        stop.set()
        raise


class _Stopped(Exception):
    pass


def _make(gateway: Gateway, work: Work, stop: threading.Event) -> None:
    store, settings = gateway.store, gateway.settings
    last = gateway.now()

    def note(**values: Any) -> None:
        values["updated_at"] = stamp(gateway.now())
        store.write_now(
            lambda c: c.execute(update(exports).where(exports.c.id == work.id).values(**values)), BACKGROUND
        )

    def progress(done: int) -> None:
        nonlocal last
        if stop.is_set():
            raise _Stopped
        if gateway.now() - last >= timedelta(seconds=1):
            last = gateway.now()
            note(done=done)

    with _ONE:
        folder = folder_of(settings)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with (
                tempfile.TemporaryDirectory(dir=folder, prefix=f".{work.id}-") as name,
                store.read_engine.connect() as c,
            ):
                place = Path(name) / "export"
                write_export(
                    c,
                    place,
                    key=signing_key(settings),
                    selection=work.selection,
                    purpose=work.purpose,
                    pseudonym_key=key_of(gateway.vault),
                    now=work.now,
                    forms=work.order.forms,
                    statement=work.statement,
                    heads=work.heads,
                    progress=progress,
                )
                pack(place, Path(name) / "export.zip")
                (Path(name) / "export.zip").replace(folder / f"{work.id}.zip")
            note(state="ready", done=_total(gateway, work))
        except _Stopped:
            note(state="failed", detail="stopped")
        except Exception as exc:  # told to whoever waits; the trace is the operator's
            log.error("feeds.export_failed", export=work.id, error=type(exc).__name__, exc_info=exc)
            note(state="failed", detail=type(exc).__name__)


def _total(gateway: Gateway, work: Work) -> int:
    query = select(exports.c.total).where(exports.c.id == work.id)
    return int(gateway.store.read_now(lambda c: c.execute(query).scalar_one()))


def _read(row: Any, now: datetime) -> Export:
    silent = row.state == "running" and datetime.fromisoformat(row.updated_at) < now - _SILENT
    return Export(
        id=row.id,
        state="failed" if silent else row.state,
        done=row.done,
        total=row.total,
        detail="interrupted" if silent else row.detail,
        created_at=row.created_at,
        request=orjson.loads(row.request),
    )


def exports_of(connection: Connection, who: str, *, now: datetime, limit: int = 50) -> list[Export]:
    """The exports somebody asked for, newest first."""
    query = select(exports).where(exports.c.who == who).order_by(exports.c.created_at.desc()).limit(limit)
    return [_read(row, now) for row in connection.execute(query)]


def export_of(connection: Connection, who: str, number: str, *, now: datetime) -> Export:
    """One export of somebody; raises :class:`NotFound`."""
    row = connection.execute(select(exports).where(exports.c.id == number, exports.c.who == who)).one_or_none()
    if row is None:
        raise NotFound([UNKNOWN.finding("export")])
    return _read(row, now)


def export_file(settings: Settings, one: Export) -> Path:
    """The ZIP of an export that is ready; raises :class:`NotFound` or :class:`Invalid` while it is being made."""
    if one.state != "ready":
        raise Invalid([NOT_READY.finding("export", found=one.state)], slug="not-ready", status=409)
    path = folder_of(settings) / f"{one.id}.zip"
    if not path.is_file():
        raise NotFound([UNKNOWN.finding("export")])
    return path


def forget(connection: Connection, settings: Settings, *, now: datetime, number: str | None = None) -> int:
    """Delete exports kept longer than the settings say (or one, by its number); how many were."""
    if number is None:
        old = stamp(now - timedelta(days=settings.feeds.export_days))
        chosen = exports.c.created_at < old
    else:
        chosen = exports.c.id == number
    numbers = list(connection.execute(select(exports.c.id).where(chosen)).scalars())
    for one in numbers:
        (folder_of(settings) / f"{one}.zip").unlink(missing_ok=True)
        for left in folder_of(settings).glob(f".{one}-*"):
            shutil.rmtree(left, ignore_errors=True)
    connection.execute(delete(exports).where(chosen))
    return len(numbers)
