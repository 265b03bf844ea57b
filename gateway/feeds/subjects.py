"""Patients and encounters in the ledger: a commitment in the entry, the way back to it in a table that can be erased.

An entry holds ``SHA-256(salt, pseudonym)``. Salt and pseudonym lie in ``feed_subjects``, the pseudonym keyed by the
tenant's key and never the reference itself (no matricule is kept). Erasing the row makes the entries anonymous, moves
no figure and breaks no link (incentives note, 7).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.feeds.entry import LedgerEntry, entry_id
from gateway.feeds.ledger import record
from gateway.feeds.tables import subjects
from gateway.store import sql
from security.pseudonyms import commit, new_salt, pseudonym

__all__ = ["SubjectKind", "commitment", "erase", "find", "pseudonyms"]

SubjectKind = Literal["patient", "encounter"]
#: How many commitments are looked up at once: below the number of parameters any engine takes.
_AT_ONCE = 500


def _reference(tenant: str, kind: SubjectKind, reference: str, key: bytes) -> bytes:
    return bytes.fromhex(pseudonym(key, tenant=tenant, purpose=f"ledger-{kind}", value=reference))


def commitment(connection: Connection, tenant: str, kind: SubjectKind, reference: str, *, key: bytes) -> str:
    """The commitment that stands for a patient (or a stay) in a tenant's entries, made at first need: 64 hex digits.

    ``reference`` is any stable identifier in one spelling (the matricule with its authority); it is not kept.
    """
    known = _reference(tenant, kind, reference, key)
    found = _lookup(connection, tenant, kind, known)
    if found is not None:
        return found
    salt = new_salt()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(
        insert(subjects).on_conflict_do_nothing(index_elements=["tenant", "kind", "reference"]),
        {
            "tenant": tenant,
            "kind": kind,
            "reference": known,
            "salt": salt,
            "commitment": bytes.fromhex(commit(known, salt)),
        },
    )
    # Another transaction may have come first with another salt: what the table holds is what counts.
    made = _lookup(connection, tenant, kind, known)
    if made is None:
        raise LookupError("FEED-SUBJECT-001: the subject was erased while it was being counted; try again")
    return made


def _lookup(connection: Connection, tenant: str, kind: SubjectKind, known: bytes) -> str | None:
    value = sql.value(connection, subjects, "commitment", tenant=tenant, kind=kind, reference=known)
    return None if value is None else bytes(value).hex()


def find(connection: Connection, tenant: str, kind: SubjectKind, reference: str, *, key: bytes) -> str | None:
    """The commitment of a patient known to the tenant's ledger, to find their lines (rights of persons)."""
    return _lookup(connection, tenant, kind, _reference(tenant, kind, reference, key))


def erase(connection: Connection, tenant: str, kind: SubjectKind, reference: str, *, key: bytes, now: datetime) -> bool:
    """Cut the link between a patient and their entries for good; False when the ledger did not know them.

    An entry says that an erasure took place, and not whose.
    """
    known = _reference(tenant, kind, reference, key)
    found = _lookup(connection, tenant, kind, known)
    if found is None:
        return False
    connection.execute(
        delete(subjects).where(subjects.c.tenant == tenant, subjects.c.kind == kind, subjects.c.reference == known)
    )
    # A salted name: the entry cannot be matched with the commitment it erased.
    name = entry_id("erasure", new_salt().hex(), 1, "erased")
    record(connection, tenant, LedgerEntry(entry_id=name, kind="subject.erased", state="erased", recorded_at=now))
    return True


def pseudonyms(
    connection: Connection, tenant: str, commitments: Iterable[str], *, purpose: str, key: bytes
) -> dict[str, str]:
    """The pseudonym of each commitment for one purpose; an erased patient has none and is left out.

    Two exports for different purposes cannot be joined; two for the same purpose can.
    """
    wanted = sorted(set(commitments))
    out: dict[str, str] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        part = [bytes.fromhex(one) for one in wanted[start : start + _AT_ONCE]]
        query = select(subjects.c.commitment, subjects.c.reference).where(
            subjects.c.tenant == tenant, subjects.c.commitment.in_(part)
        )
        for value, reference in connection.execute(query):
            known = bytes(reference).hex()
            out[bytes(value).hex()] = pseudonym(key, tenant=tenant, purpose=purpose, value=known)
    return out
