"""Whose database this is: one serving process a SQLite file, one master key an installation."""

from __future__ import annotations

from datetime import datetime

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout
from sqlalchemy import Connection, select

from gateway.store import blobs
from gateway.store.engine import Store
from gateway.store.migrate import sqlite_file
from gateway.store.tables import installation
from gateway.vault import Vault

__all__ = ["AlreadyServed", "WrongMasterKey", "check_master_key", "hold_file"]


class AlreadyServed(Exception):
    """Another process serves this SQLite file already; PostgreSQL takes several."""


class WrongMasterKey(Exception):
    """The master key is not the one this database was sealed with: nothing of it could be read."""


class _Nothing:
    """What is held of a server that several processes share: nothing."""

    def release(self) -> None:
        """Let go of nothing."""


def hold_file(url: str) -> BaseFileLock | _Nothing:
    """Hold a SQLite file for this process alone, until ``release`` or its end; raises :class:`AlreadyServed`."""
    path = sqlite_file(url)
    if path is None:
        return _Nothing()
    lock = FileLock(f"{path}.serving", timeout=0, thread_local=False)
    if isinstance(lock, SoftFileLock):
        raise RuntimeError("this system has no file locks: use PostgreSQL")
    try:
        lock.acquire()
    except Timeout:
        raise AlreadyServed(f"{path.name} is served by another process; use PostgreSQL for several") from None
    return lock


def check_master_key(store: Store, vault: Vault, now: datetime) -> None:
    """Compare the vault with what the database was first opened with; raises :class:`WrongMasterKey`."""
    mark = vault.lookup("installation", "master-key")

    def work(connection: Connection) -> str:
        blobs.insert_ignore(connection, installation, {"name": "master_key", "value": mark, "set_at": now})
        return str(
            connection.execute(select(installation.c.value).where(installation.c.name == "master_key")).scalar_one()
        )

    def read(connection: Connection) -> str | None:
        return connection.execute(select(installation.c.value).where(installation.c.name == "master_key")).scalar()

    # Read first: a node of many that starts writes nothing.
    if (store.read_now(read) or store.write_now(work)) != mark:
        raise WrongMasterKey("PASSERELLE_MASTER_KEY must be the same file on every node, and after a restore")
