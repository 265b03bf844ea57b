"""Documents and exchanges at rest: stored once a tenant, sealed, found by a keyed address."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.store.tables import blobs
from gateway.vault import Vault

__all__ = ["get", "insert_ignore", "put"]


def insert_ignore(connection: Connection, table: object, values: dict[str, object]) -> bool:
    """Insert a row unless its key is there; true when it was inserted. Works alike on both engines."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).values(values).on_conflict_do_nothing()
    return bool(connection.execute(statement).rowcount)


def put(connection: Connection, vault: Vault, tenant: str, data: bytes, now: datetime) -> str:
    """Keep bytes for a tenant and give their address; the same bytes are kept once."""
    address = vault.address(tenant, data)
    known = connection.execute(
        select(blobs.c.size).where(blobs.c.tenant_id == tenant, blobs.c.address == address)
    ).first()
    if known is None:
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
    """The bytes at an address of a tenant; :class:`KeyError` when purged or unknown."""
    row = connection.execute(
        select(blobs.c.sealed).where(blobs.c.tenant_id == tenant, blobs.c.address == address)
    ).first()
    if row is None:
        raise KeyError(address)
    return vault.open(tenant, row.sealed, address)
