"""Who belongs to which CPTS, MSP, care team or centre, and when: declared, dated, and a dimension of every count."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, Row, insert, select, update

from gateway.feeds.entry import LedgerEntry, entry_id
from gateway.feeds.ledger import record
from gateway.feeds.tables import memberships

__all__ = ["KINDS", "declare_membership", "end_membership", "memberships_of"]

#: Organisations that coordinated practice is declared with.
KINDS: Final = frozenset("cpts msp esp centre".split())
_NAME: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
_MEMBER: Final = re.compile(r"[0-9A-Z]{8,14}")


def _checked(member: str, organisation: str, start: date, end: date | None) -> None:
    if _MEMBER.fullmatch(member) is None:
        raise ValueError("FEED-MEMBER-001: a member is an RPPS or a FINESS")
    if _NAME.fullmatch(organisation) is None:
        raise ValueError("FEED-MEMBER-002: an organisation is an identifier")
    if end is not None and end < start:
        raise ValueError("FEED-MEMBER-003: a membership ends after it began")


def declare_membership(
    connection: Connection,
    tenant: str,
    *,
    member: str,
    kind: str,
    organisation: str,
    start: date,
    end: date | None = None,
    origin: str = "declared",
    now: datetime,
) -> str:
    """Declare that a professional (RPPS) or structure (FINESS) belongs to an organisation from a day on, both included.

    An entry of the ledger keeps the declaration; declaring the same again changes nothing. Raises ``ValueError`` for a
    malformed member, kind or organisation, or days in the wrong order.
    """
    _checked(member, organisation, start, end)
    if kind not in KINDS:
        raise ValueError(f"FEED-MEMBER-004: expected one of {', '.join(sorted(KINDS))}")
    known = connection.execute(
        select(memberships.c.id).where(
            memberships.c.tenant == tenant,
            memberships.c.member == member,
            memberships.c.organisation == organisation,
            memberships.c.valid_from == start.isoformat(),
        )
    ).first()
    if known is None:
        connection.execute(
            insert(memberships).values(
                tenant=tenant,
                member=member,
                organisation_kind=kind,
                organisation=organisation,
                valid_from=start.isoformat(),
                valid_to=None if end is None else end.isoformat(),
                origin=origin,
            )
        )
    return _entered(connection, tenant, "declared", member, kind, organisation, start, end, now)


def end_membership(
    connection: Connection, tenant: str, *, member: str, organisation: str, end: date, now: datetime
) -> bool:
    """Say the last day of a membership that had none; False when there is no such membership."""
    row = connection.execute(
        select(memberships).where(
            memberships.c.tenant == tenant,
            memberships.c.member == member,
            memberships.c.organisation == organisation,
            memberships.c.valid_to.is_(None),
        )
    ).first()
    if row is None:
        return False
    start = date.fromisoformat(row.valid_from)
    _checked(member, organisation, start, end)
    connection.execute(update(memberships).where(memberships.c.id == row.id).values(valid_to=end.isoformat()))
    _entered(connection, tenant, "ended", member, row.organisation_kind, organisation, start, end, now)
    return True


def _entered(
    connection: Connection,
    tenant: str,
    state: str,
    member: str,
    kind: str,
    organisation: str,
    start: date,
    end: date | None,
    now: datetime,
) -> str:
    operation = "/".join([member, organisation, start.isoformat(), "" if end is None else end.isoformat()])
    details = {
        "member": member,
        "kind": kind,
        "organisation": organisation,
        "from": start.isoformat(),
        "to": None if end is None else end.isoformat(),
    }
    name = entry_id("membership", operation, 1, state)
    return record(
        connection,
        tenant,
        LedgerEntry(entry_id=name, kind="membership", state=state, recorded_at=now, details=details),
    )


def memberships_of(connection: Connection, tenant: str, member: str) -> list[Row[tuple[str, str, str, str | None]]]:
    """The organisations of a member: kind, organisation, first day, last day or None; oldest first."""
    query = (
        select(
            memberships.c.organisation_kind,
            memberships.c.organisation,
            memberships.c.valid_from,
            memberships.c.valid_to,
        )
        .where(memberships.c.tenant == tenant, memberships.c.member == member)
        .order_by(memberships.c.valid_from)
    )
    return list(connection.execute(query))
