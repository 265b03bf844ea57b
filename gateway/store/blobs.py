"""Documents and exchanges at rest: stored once a tenant, sealed, found by a keyed address.

A form of a document that holds another content whole (a PDF in base64, the CDA of a set) is kept without it: what was
left out is put back when it is read, and the address says that the bytes are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Final, Literal

import orjson
import pybase64
from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from gateway.pieces import where
from gateway.store import sql
from gateway.store.plan import run
from gateway.store.tables import blobs
from gateway.vault import Vault

__all__ = ["Piece", "Purged", "get", "insert_ignore", "put"]

#: A piece smaller than this is not worth a row of its own.
_WORTH: Final = 4 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A content kept under its own address for as long as what holds it, and how it stands there."""

    address: str
    form: Literal["plain", "base64"]
    text: bytes = field(repr=False)  #: as it stands

    @classmethod
    def plain(cls, address: str, content: bytes) -> Piece:
        """A content that stands as it is."""
        return cls(address=address, form="plain", text=content)

    @classmethod
    def encoded(cls, address: str, content: bytes) -> Piece:
        """A content that stands in base64, without line breaks."""
        return cls(address=address, form="base64", text=pybase64.b64encode(content))


class Purged(KeyError):
    """The bytes at an address were removed, or never were."""


def insert_ignore(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert a row unless its key is there; true when it was inserted. Works alike on both engines."""
    return run(connection, _ignoring(table, connection.dialect.name), values).count == 1


@cache
def _ignoring(table: Table, dialect: str) -> Any:
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return insert(table).on_conflict_do_nothing()


def put(
    connection: Connection, vault: Vault, tenant: str, data: bytes, now: datetime, *, pieces: Sequence[Piece] = ()
) -> str:
    """Keep bytes for a tenant and give their address; the same bytes are kept once.

    Of ``pieces``, those that stand in the bytes are left out of what is kept.
    """
    address = vault.address(tenant, data)
    # Held to the end of the transaction against a purge on another node (PostgreSQL), as are the pieces.
    if sql.value(connection, blobs, "size", hold=True, tenant_id=tenant, address=address) is None:
        rest = _without(data, pieces)
        insert_ignore(
            connection,
            blobs,
            {
                "tenant_id": tenant,
                "address": address,
                "sealed": vault.seal(tenant, data, address)
                if rest is None
                else vault.seal(tenant, rest, _in_parts(address)),
                "size": len(data),
                "created_at": now,
            },
        )
    return address


def get(connection: Connection, vault: Vault, tenant: str, address: str) -> bytes:
    """The bytes at an address of a tenant; raises :class:`Purged`, also when a piece of them is gone."""
    sealed = sql.value(connection, blobs, "sealed", tenant_id=tenant, address=address)
    if sealed is None:
        raise Purged(address)
    try:
        return vault.open(tenant, sealed, address)
    except ValueError:
        rest = vault.open(tenant, sealed, _in_parts(address))
    whole = _whole(connection, vault, tenant, rest)
    if vault.address(tenant, whole) != address:
        raise ValueError("contents put together again are not those that were kept")
    return whole


def _in_parts(address: str) -> str:
    """What seals a content kept without its pieces: it never opens as a whole one, nor the other way round."""
    return f"{address}#parts"


def _without(data: bytes, pieces: Sequence[Piece]) -> bytes | None:
    """What is kept of bytes besides these pieces, with how they are put together; None when none stands in them."""
    found = []
    for piece in pieces:
        at = where(data, piece.text) if len(piece.text) >= _WORTH else -1
        if at >= 0:
            found.append((at, piece))
    parts: list[list[Any]] = []
    inline: list[bytes] = []
    reached = 0
    for at, piece in sorted(found, key=lambda pair: pair[0]):
        if at < reached:
            continue
        parts += [["in", at - reached], [piece.form, piece.address]]
        inline.append(data[reached:at])
        reached = at + len(piece.text)
    if not parts:
        return None
    parts.append(["in", len(data) - reached])
    inline.append(data[reached:])
    return b"".join([orjson.dumps(parts), b"\n", *inline])


def _whole(connection: Connection, vault: Vault, tenant: str, kept: bytes) -> bytes:
    line, _, inline = kept.partition(b"\n")
    out: list[bytes] = []
    position = 0
    for form, value in orjson.loads(line):
        if form == "in":
            out.append(inline[position : position + value])
            position += value
            continue
        content = get(connection, vault, tenant, value)
        out.append(pybase64.b64encode(content) if form == "base64" else content)
    return b"".join(out)
