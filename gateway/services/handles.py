"""Names of documents of a record for callers: opaque, bound to a program and to a professional, and short-lived.

A handle stands in URLs where a patient's number must not. It is a keyed hash, so the same document has the same handle
for the same caller; what it names is sealed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import orjson
from sqlalchemy import Connection, delete, select

from gateway.store.tables import record_handles
from gateway.vault import Vault
from mappings.xds import PatientId

__all__ = ["Target", "keep", "open_handle"]

_ID_LENGTH: Final = 40  # of a FHIR id, 64 at most; of a hash, 160 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A document, or a submission set, of a patient's record."""

    patient: PatientId
    unique_id: str
    entry_uuid: str = ""
    repository: str = ""
    mime_type: str = ""
    sha1: str = ""  #: as the registry tells it, 40 hexadecimal digits
    kind: str = "document"  #: or ``set``

    def dump(self) -> bytes:
        """As bytes to seal."""
        return orjson.dumps(
            [
                self.patient.value,
                self.patient.authority,
                self.patient.id_type,
                self.unique_id,
                self.entry_uuid,
                self.repository,
                self.mime_type,
                self.sha1,
                self.kind,
            ]
        )

    @classmethod
    def load(cls, data: bytes) -> Target:
        """Read what :meth:`dump` wrote."""
        value, authority, id_type, unique_id, entry_uuid, repository, mime_type, sha1, kind = orjson.loads(data)
        return cls(
            patient=PatientId(value=value, authority=authority, id_type=id_type),
            unique_id=unique_id,
            entry_uuid=entry_uuid,
            repository=repository,
            mime_type=mime_type,
            sha1=sha1,
            kind=kind,
        )


def _handle(key: bytes, client: str, actor: str, target: Target) -> str:
    named = "\0".join(
        (client, actor, target.kind, target.patient.authority, target.patient.value, target.unique_id)
    ).encode()
    return "r" + hmac.new(key, named, hashlib.sha256).hexdigest()[: _ID_LENGTH - 1]


def keep(
    connection: Connection,
    vault: Vault,
    *,
    tenant: str,
    client: str,
    actor: str,
    targets: Iterable[Target],
    now: datetime,
    hours: int,
) -> list[str]:
    """Give each target its handle, good for ``hours``; handles that are over are let go meanwhile."""
    key = vault.key(tenant, "record-handles")
    named = [(_handle(key, client, actor, target), target) for target in targets]
    connection.execute(delete(record_handles).where(record_handles.c.expires_at <= now))
    rows = {
        handle: {
            "id": handle,
            "tenant_id": tenant,
            "client_id": client,
            "sealed": vault.seal(tenant, target.dump(), f"{handle}|{actor}"),
            "expires_at": now + timedelta(hours=hours),
        }
        for handle, target in named
    }
    ids = list(rows)
    for start in range(0, len(ids), 400):
        connection.execute(delete(record_handles).where(record_handles.c.id.in_(ids[start : start + 400])))
    if rows:
        connection.execute(record_handles.insert(), list(rows.values()))
    return [handle for handle, _ in named]


def open_handle(
    connection: Connection, vault: Vault, *, tenant: str, client: str, actor: str, handle: str, now: datetime
) -> Target | None:
    """What a handle names for this program and this professional; None for anybody else, or once it is over."""
    row = connection.execute(
        select(record_handles).where(
            record_handles.c.id == handle, record_handles.c.tenant_id == tenant, record_handles.c.client_id == client
        )
    ).first()
    if row is None or row.expires_at <= now:
        return None
    try:
        return Target.load(vault.open(tenant, row.sealed, f"{handle}|{actor}"))
    except ValueError:
        return None
