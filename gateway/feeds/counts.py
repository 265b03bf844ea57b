"""Counts of the ledger by month, type, profession and the rest: sealed rollups plus the unsealed tail, in one reading.

A service is never added to another (a document and a message are different units): every row names its service.
Which entries make a *figure that pays* is another question, answered by ``gateway.feeds.policy``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Label,
    Select,
    Text,
    and_,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    union_all,
)

from gateway.feeds.entry import COUNTED
from gateway.feeds.tables import COARSE, FINE, entries, memberships, pending, rollup, rollup_coarse

__all__ = ["DIMENSIONS", "Count", "CountError", "counts"]

#: Public name of each dimension, and the name it has in the rollups.
DIMENSIONS: Final[Mapping[str, str]] = {
    "month": "month",
    "service": "kind",
    "outcome": "state",
    "type": "doc_type",
    "reason": "reason",
    "profession": "profession",
    "structure": "structure",
    "recipient": "recipient_class",
    "mode": "care_mode",
    "place": "care_place",
    "ins": "ins_status",
    "test": "test",
    "tenant": "tenant",
    # These four are not in the rollups: counting by them reads the entries.
    "day": "day",
    "professional": "professional",
    "software": "software",
    "membership": "membership",
}
_IN_ROLLUPS: Final = frozenset((*FINE, "tenant"))

# PostgreSQL wants the very expression of the SELECT in the GROUP BY, which bound values would not be.
_EMPTY: Final[ColumnElement[str]] = literal_column("''", Text)
_FROM_ENTRIES: Final[Mapping[str, ColumnElement[Any]]] = {
    "month": func.substr(entries.c.day, literal_column("1"), literal_column("7")),
    "kind": entries.c.kind,
    "state": entries.c.state,
    "doc_type": func.coalesce(entries.c.doc_type, _EMPTY),
    "reason": func.coalesce(entries.c.reason, _EMPTY),
    "profession": func.coalesce(entries.c.actor_profession, _EMPTY),
    "structure": func.coalesce(entries.c.structure_finess, _EMPTY),
    "recipient_class": func.coalesce(entries.c.recipient_class, _EMPTY),
    "care_mode": func.coalesce(entries.c.care_mode, _EMPTY),
    "care_place": func.coalesce(entries.c.care_place, _EMPTY),
    "ins_status": func.coalesce(entries.c.ins_status, _EMPTY),
    "test": cast(cast(entries.c.test, Integer), Text),
    "tenant": entries.c.tenant,
    "day": entries.c.day,
    "professional": func.coalesce(entries.c.actor_rpps, _EMPTY),
    "software": func.coalesce(entries.c.software_id, _EMPTY),
    "membership": func.coalesce(memberships.c.organisation, _EMPTY),
}

_POSITIVE: Final = tuple((kind, tuple(sorted(states))) for kind, states in COUNTED.items())


class CountError(ValueError):
    """A count was asked for by a dimension that does not exist, or in more groups than a page can hold."""

    def __init__(self, code: str, place: str, expected: str) -> None:
        self.code = code
        self.place = place
        self.expected = expected
        super().__init__(f"{code}: {place}: expected {expected}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many entries of one service fall into one group."""

    service: str
    group: Mapping[str, str]  #: dimension asked for -> its value, empty when the entries have none
    count: int
    unsealed: int = 0  #: how many of them are not sealed yet


def _checked(names: Sequence[str], where: str) -> list[str]:
    for name in names:
        if name not in DIMENSIONS:
            # The name is the caller's: it is not repeated.
            raise CountError("FEED-COUNT-001", where, f"one of {', '.join(DIMENSIONS)}")
    return [DIMENSIONS[name] for name in names]


def counts(
    connection: Connection,
    *,
    tenants: Sequence[str] | None = None,
    by: Sequence[str] = ("type", "month"),
    where: Mapping[str, Sequence[str]] | None = None,
    since: str | None = None,
    until: str | None = None,
    max_groups: int = 5000,
) -> list[Count]:
    """Count entries by the dimensions of ``DIMENSIONS``, the unsealed tail included.

    ``tenants`` None means all; ``since`` and ``until`` are months (``2026-01``), both included. Without ``outcome``
    among the dimensions or filters, only positive answers of the services are counted (``COUNTED``). A document whose
    author belongs to two organisations counts in each when grouped by ``membership``. Raises ``CountError`` for an
    unknown dimension or more than ``max_groups`` groups.
    """
    where = where or {}
    wanted = _checked(list(dict.fromkeys(by)), "by")
    filters = dict(zip(_checked(list(where), "where"), where.values(), strict=True))
    for place, month in (("since", since), ("until", until)):
        if month is not None and (len(month) != 7 or month[4] != "-" or not (month[:4] + month[5:]).isdigit()):
            raise CountError("FEED-COUNT-003", place, "a month as 2026-01")
    columns = list(dict.fromkeys(["kind", *wanted]))
    positive = "state" not in columns and "state" not in filters
    used = {*columns, *filters, *(["state"] if positive else []), *(["month"] if since or until else [])}

    def conditions(source: Mapping[str, ColumnElement[Any]]) -> list[ColumnElement[bool]]:
        out: list[ColumnElement[bool]] = []
        if tenants is not None:
            out.append(source["tenant"].in_(list(tenants)))
        if positive:
            out.append(or_(*(and_(source["kind"] == kind, source["state"].in_(states)) for kind, states in _POSITIVE)))
        out.extend(source[name].in_(list(values)) for name, values in filters.items())
        if since is not None:
            out.append(source["month"] >= since)
        if until is not None:
            out.append(source["month"] <= until)
        return out

    def labelled(source: Mapping[str, ColumnElement[Any]]) -> list[Label[Any]]:
        return [source[name].label(name) for name in columns]

    def grouped(statement: Select[Any], source: Mapping[str, ColumnElement[Any]]) -> Select[Any]:
        return statement.where(*conditions(source)).group_by(*(source[name] for name in columns))

    tail = pending.join(entries, entries.c.id == pending.c.entry)
    # A structure or a professional belongs: either membership counts.
    belongs = and_(
        or_(memberships.c.member == entries.c.actor_rpps, memberships.c.member == entries.c.structure_finess),
        memberships.c.tenant == entries.c.tenant,
        memberships.c.valid_from <= entries.c.day,
        or_(memberships.c.valid_to.is_(None), memberships.c.valid_to >= entries.c.day),
    )
    number = func.count()
    if used <= _IN_ROLLUPS:
        table = rollup_coarse if used <= {*COARSE, "tenant"} else rollup
        totalled: dict[str, ColumnElement[Any]] = dict(table.c.items())
        sealed = grouped(
            select(*labelled(totalled), func.sum(table.c.entries).label("n"), literal(0).label("tail")), totalled
        )
        unsealed = grouped(
            select(*labelled(_FROM_ENTRIES), number.label("n"), number.label("tail")).select_from(tail), _FROM_ENTRIES
        )
        statement: Any = union_all(sealed, unsealed)
    else:
        source = entries.outerjoin(pending, and_(pending.c.tenant == entries.c.tenant, pending.c.entry == entries.c.id))
        if "membership" in used:
            source = source.outerjoin(memberships, belongs)
        statement = grouped(
            select(
                *labelled(_FROM_ENTRIES),
                func.count(entries.c.id.distinct()).label("n"),
                func.count(pending.c.entry.distinct()).label("tail"),
            ).select_from(source),
            _FROM_ENTRIES,
        )

    totals: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0])
    for row in connection.execute(statement):
        total = totals[tuple(row[: len(columns)])]
        total[0] += int(row.n)
        total[1] += int(row.tail)
        if len(totals) > max_groups:
            raise CountError("FEED-COUNT-002", "by", f"at most {max_groups} groups: add a filter or fewer dimensions")
    out: list[Count] = []
    for key, (n, unsealed_n) in sorted(totals.items()):
        values = dict(zip(columns, key, strict=True))
        group = {name: values[DIMENSIONS[name]] for name in dict.fromkeys(by)}
        out.append(Count(service=values["kind"], group=group, count=n, unsealed=unsealed_n))
    return out
