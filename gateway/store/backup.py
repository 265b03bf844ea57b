"""Copies of the database made while it serves, and put back: whoever comes back from an older one knows it.

What was sent between the copy and its return is not in it. The instant of the return is kept in the database, and what
was received before it is asked of the registry before it is sent.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, delete, select
from sqlalchemy.engine import make_url

from gateway.store import sql
from gateway.store.engine import Store
from gateway.store.migrate import sqlite_file, upgrade
from gateway.store.tables import installation

__all__ = ["BackupFailed", "back_up", "mark_restored", "restore", "restored_at"]

#: Pages copied at a time: writers wait for no more than that.
_PAGES: Final = 2048
_MARK: Final = "restored"


class BackupFailed(Exception):
    """The copy could not be made or put back; its words say why, and name no value of the database."""


def back_up(url: str, output: Path) -> None:
    """Copy the database of a URL to a new file that only its owner may read, while it serves; raises `BackupFailed`.

    SQLite: a database of its own, consistent, by SQLite's online backup. PostgreSQL: what ``pg_dump`` makes in its
    custom format; a large installation has its server's own continuous archiving instead.
    """
    try:
        os.close(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as exc:
        raise BackupFailed(f"{output.name}: {exc.strerror}") from None
    try:
        file = sqlite_file(url)
        if file is None:
            _program("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", "--file", str(output))
        else:
            _copy(file, output)
    except BaseException:
        output.unlink(missing_ok=True)
        raise
    _durable(output)


def restore(url: str, source: Path, *, clock: Callable[[], datetime]) -> None:
    """Put a copy in the place of the database of a URL, bring it to the present schema and note that it is one.

    Nobody may serve the database meanwhile. What it held before is gone. Raises :class:`BackupFailed`.
    """
    file = sqlite_file(url)
    if file is None:
        _program(
            "pg_restore",
            url,
            *("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"),
            *("--dbname", make_url(url).database or "", str(source)),
        )
    else:
        _put_back(source, file)
    upgrade(url)
    store = Store(url)
    try:
        mark_restored(store, clock())
    finally:
        store.close()


def mark_restored(store: Store, now: datetime) -> None:
    """Note that the database was put back from an older state at this instant."""

    def work(connection: Connection) -> None:
        connection.execute(delete(installation).where(installation.c.name == _MARK))
        sql.add(connection, installation, name=_MARK, value="asks before it sends", set_at=now)

    store.write_now(work)


def restored_at(connection: Connection) -> datetime | None:
    """When the database was last put back from a copy; None when it never was."""
    return connection.execute(select(installation.c.set_at).where(installation.c.name == _MARK)).scalar()


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        raise BackupFailed(f"{source.name}: no database yet")
    try:
        with closing(sqlite3.connect(source)) as held, closing(sqlite3.connect(target)) as made:
            held.backup(made, pages=_PAGES, sleep=0.01)
            # One file, without a log beside it.
            made.execute("PRAGMA journal_mode=DELETE")
            said = made.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.Error as exc:
        raise BackupFailed(f"{source.name}: {exc.sqlite_errorname}") from None
    if said != "ok":
        raise BackupFailed(f"{source.name}: the copy is not whole")


def _put_back(source: Path, target: Path) -> None:
    _is_ours(source)
    coming = target.with_name(f"{target.name}.restoring")
    coming.unlink(missing_ok=True)
    try:
        _copy(source, coming)
        coming.chmod(0o600)
        _durable(coming)
        # The log of the former database must never be read with the new one.
        for end in ("-wal", "-shm"):
            target.with_name(target.name + end).unlink(missing_ok=True)
        coming.replace(target)
        _durable(target.parent)
    finally:
        coming.unlink(missing_ok=True)


def _is_ours(source: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as held:
            tables = {name for (name,) in held.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as exc:
        raise BackupFailed(f"{source.name}: {exc.sqlite_errorname}") from None
    if not {"alembic_version", "installation", "deliveries", "feed_entries"} <= tables:
        raise BackupFailed(f"{source.name}: not a database of the gateway")


def _durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _program(name: str, url: str, *words: str) -> None:
    """Run one of PostgreSQL's own programs; where the server is goes by environment, since a list of processes shows
    the words of a command."""
    found = shutil.which(name)
    if found is None:
        raise BackupFailed(f"{name} is not installed here: install PostgreSQL's client programs")
    done = subprocess.run([found, "--no-password", *words], env=_server(url), capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BackupFailed(f"{name}: {said[0] if said else done.returncode}")


def _server(url: str) -> Mapping[str, str]:
    parsed = make_url(url)
    given = {
        "PGHOST": parsed.host,
        "PGPORT": str(parsed.port) if parsed.port else None,
        "PGUSER": parsed.username,
        "PGPASSWORD": str(parsed.password) if parsed.password is not None else None,
        "PGDATABASE": parsed.database,
    }
    # The rest of the address as libpq names it: sslmode is PGSSLMODE, and so on.
    for option, value in parsed.query.items():
        if isinstance(value, str):
            given[f"PG{option.upper().replace('_', '')}"] = value
    with suppress(KeyError):
        given["PATH"] = os.environ["PATH"]
    return {name: value for name, value in given.items() if value is not None}
