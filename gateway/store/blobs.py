"""Documents and exchanges at rest: stored once a tenant, sealed, found by a keyed address."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from gateway.store import sql
from gateway.store.plan import run
from gateway.store.tables import blobs
from gateway.vault import Vault

__all__ = ["Purged", "get", "insert_ignore", "put"]


class Purged(KeyError):
    """The bytes at an address were removed, or never were."""


def insert_ignore(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert a row unless its key is there; true when it was inserted. Works alike on both engines."""
    return run(connection, _ignoring(table, connection.dialect.name), values).count == 1


@cache
def _ignoring(table: Table, dialect: str) -> Any:
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return insert(table).on_conflict_do_nothing()


def put(connection: Connection, vault: Vault, tenant: str, data: bytes, now: datetime) -> str:
    """Keep bytes for a tenant and give their address; the same bytes are kept once."""
    address = vault.address(tenant, data)
    # Held to the end of the transaction against a purge on another node (PostgreSQL).
    if sql.value(connection, blobs, "size", hold=True, tenant_id=tenant, address=address) is None:
        insert_ignore(
            connection,
            blobs,
            {
                "tenant_id": tenant,
                "address": address,
                "sealed": vault.seal(tenant, data, address),
                "size": len(data),
                "created_at": now,
            },
        )
    return address


def get(connection: Connection, vault: Vault, tenant: str, address: str) -> bytes:
    """The bytes at an address of a tenant; raises :class:`Purged`."""
    sealed = sql.value(connection, blobs, "sealed", tenant_id=tenant, address=address)
    if sealed is None:
        raise Purged(address)
    return vault.open(tenant, sealed, address)
