"""Lines as they may be looked at: pseudonymised, paged, with their history and their place in the chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, or_, select

from gateway.feeds.entry import COLUMNS, as_json
from gateway.feeds.subjects import pseudonyms
from gateway.feeds.tables import chains, entries, links, pending

__all__ = ["FILTERS", "history", "line", "numbered", "page", "person_lines"]

#: What a list of lines may be narrowed by: public name, column.
FILTERS: Final[dict[str, ColumnElement[Any]]] = {
    "service": entries.c.kind,
    "outcome": entries.c.state,
    "type": entries.c.doc_type,
    "reason": entries.c.reason,
    "profession": entries.c.actor_profession,
    "professional": entries.c.actor_rpps,
    "structure": entries.c.structure_finess,
    "recipient": entries.c.recipient_class,
    "mode": entries.c.care_mode,
    "place": entries.c.care_place,
    "ins": entries.c.ins_status,
}
_FIELDS: Final = [entries.c[name] for name in COLUMNS]
#: Commitments never leave: they join what pseudonyms of different purposes keep apart.
_KEPT: Final = frozenset(["patient_commit", "encounter_commit"])
_AT_ONCE: Final = 500

KeyOf = Callable[[str], bytes]


def _query() -> Select[Any]:
    joined = entries.outerjoin(links, links.c.entry == entries.c.id)
    return select(entries.c.id, entries.c.tenant, links.c.seq, *_FIELDS).select_from(joined)


def _shown(connection: Connection, rows: Sequence[Row[Any]], purpose: str, key_of: KeyOf) -> list[dict[str, Any]]:
    at = COLUMNS.index("patient_commit")
    known: dict[str, dict[str, str]] = {}
    for tenant in {row.tenant for row in rows}:
        commits = {bytes(row[3 + at]).hex() for row in rows if row.tenant == tenant and row[3 + at] is not None}
        known[tenant] = pseudonyms(connection, tenant, commits, purpose=purpose, key=key_of(tenant))
    out: list[dict[str, Any]] = []
    for row in rows:
        values = as_json(row[3:])
        patient = known[row.tenant].get(values.get("patient_commit", ""))
        shown = {name: value for name, value in values.items() if name not in _KEPT}
        out.append(shown | {"tenant": row.tenant, "seq": row.seq, "sealed": row.seq is not None, "patient": patient})
    return out


def page(
    connection: Connection,
    *,
    tenants: Sequence[str] | None,
    where: dict[str, Sequence[str]] | None = None,
    since: str | None = None,
    until: str | None = None,
    persons: Sequence[str] | None = None,
    before: int | None = None,
    limit: int = 50,
    purpose: str,
    key_of: KeyOf,
) -> tuple[list[dict[str, Any]], int | None]:
    """A page of lines, newest first, and the cursor of the next (to be made opaque by the caller) or None.

    ``tenants`` None means all; ``since`` and ``until`` are days; ``persons`` are professionals (RPPS) whose lines these
    are, whether they acted or somebody acted for them. Patients show by their pseudonym for ``purpose``, and
    not at all once erased. Raises ``ValueError`` for a filter that does not exist or a limit outside 1 to 500.
    """
    if not 1 <= limit <= 500:
        raise ValueError("FEED-LINES-001: a limit of 1 to 500")
    query = _query().order_by(entries.c.id.desc()).limit(limit + 1)
    if tenants is not None:
        query = query.where(entries.c.tenant.in_(list(tenants)))
    for name, values in (where or {}).items():
        if name not in FILTERS:
            raise ValueError(f"FEED-LINES-002: a filter among {', '.join(FILTERS)}")
        query = query.where(FILTERS[name].in_(list(values)))
    if persons is not None:
        query = query.where(_of_persons(persons))
    if since is not None:
        query = query.where(entries.c.day >= since)
    if until is not None:
        query = query.where(entries.c.day <= until)
    if before is not None:
        query = query.where(entries.c.id < before)
    rows = connection.execute(query).all()
    following = rows[limit - 1].id if len(rows) > limit else None
    return _shown(connection, rows[:limit], purpose, key_of), following


def _of_persons(persons: Sequence[str]) -> ColumnElement[bool]:
    return or_(entries.c.actor_rpps.in_(list(persons)), entries.c.on_behalf_of_rpps.in_(list(persons)))


def numbered(
    connection: Connection, numbers: Mapping[str, Sequence[int]], *, purpose: str, key_of: KeyOf
) -> list[dict[str, Any]]:
    """The lines of these numbers in the chains of these tenants (a sample), in order of chain and number."""
    rows: list[Row[Any]] = []
    for tenant, wanted in sorted(numbers.items()):
        for at in range(0, len(wanted), _AT_ONCE):
            query = _query().where(links.c.tenant == tenant, links.c.seq.in_(list(wanted[at : at + _AT_ONCE])))
            rows.extend(connection.execute(query.order_by(links.c.seq)).all())
    return _shown(connection, rows, purpose, key_of)


def line(
    connection: Connection,
    entry_id: str,
    *,
    tenants: Sequence[str] | None,
    persons: Sequence[str] | None = None,
    purpose: str,
    key_of: KeyOf,
) -> dict[str, Any] | None:
    """One line by its identifier, or None when it is not among those tenants' (or persons') lines."""
    try:
        wanted = bytes.fromhex(entry_id)
    except ValueError:
        return None
    # Identifiers are indexed by tenant: every chain is looked at by name rather than every line.
    everyone = select(chains.c.tenant).union(select(pending.c.tenant))
    among = everyone if tenants is None else list(tenants)
    query = _query().where(entries.c.entry_id == wanted, entries.c.tenant.in_(among))
    if persons is not None:
        query = query.where(_of_persons(persons))
    found = _shown(connection, connection.execute(query).all(), purpose, key_of)
    return found[0] if found else None


def history(
    connection: Connection,
    entry_id: str,
    *,
    tenants: Sequence[str] | None,
    persons: Sequence[str] | None = None,
    purpose: str,
    key_of: KeyOf,
) -> list[dict[str, Any]]:
    """Every line of the same document, over its versions, attempts and states, oldest first; empty when unknown."""
    own = line(connection, entry_id, tenants=tenants, persons=persons, purpose=purpose, key_of=key_of)
    if own is None:
        return []
    if own.get("lineage_ref") is None:
        return [own]
    query = (
        _query()
        .where(entries.c.lineage_ref == bytes.fromhex(own["lineage_ref"]), entries.c.tenant == own["tenant"])
        .order_by(entries.c.id)
    )
    return _shown(connection, connection.execute(query).all(), purpose, key_of)


def person_lines(connection: Connection, tenant: str, commitment: str) -> list[dict[str, Any]]:
    """Every line of one patient of a tenant, for the person's own right of access, oldest first.

    ``commitment`` comes from :func:`gateway.feeds.subjects.find`.
    """
    query = (
        _query()
        .where(entries.c.tenant == tenant, entries.c.patient_commit == bytes.fromhex(commitment))
        .order_by(entries.c.id)
    )
    return [
        {name: value for name, value in as_json(row[3:]).items() if name not in _KEPT} | {"seq": row.seq}
        for row in connection.execute(query)
    ]
