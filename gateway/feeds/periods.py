"""The life of a period: open, in grace, closed by a sealed entry, and amended when a closed count must change.

A closing holds the counts, the exclusions, the rule's version and a Merkle root over the entries it used. A later
change of threshold reopens no count: the closed counts are worked out again under the new version (incentives note,
6.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

import orjson
from sqlalchemy import Connection, select

from gateway.feeds import merkle
from gateway.feeds.entry import PARIS, LedgerEntry, entry_id
from gateway.feeds.evaluate import Evaluation, evaluate
from gateway.feeds.ledger import record
from gateway.feeds.measures import Figures, Subject, figures
from gateway.feeds.policy import Policy
from gateway.feeds.scheme import Period, RuleSet
from gateway.feeds.tables import entries

__all__ = ["Closing", "PeriodError", "State", "amend", "close", "closings", "entries_root", "reevaluate", "state_of"]


class State(StrEnum):
    """Where a period is."""

    OPEN = "open"  #: live figures, provisional
    GRACE = "grace"  #: the period is over, late answers still count
    DUE = "due"  #: the grace is over, nobody has closed it yet
    CLOSED = "closed"
    AMENDED = "amended"


class PeriodError(ValueError):
    """A period cannot be closed or amended now; ``code`` tells why."""

    def __init__(self, code: str, expected: str) -> None:
        self.code = code
        self.expected = expected
        super().__init__(f"{code}: expected {expected}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The counts of one subject for one rule, as they were closed."""

    entry: str
    state: State  #: closed or amended
    at: str  #: UTC
    rule: str
    version: int
    policy: str
    measures: Mapping[str, int | bool]
    entries_root: str
    details: Mapping[str, Any]


_COLUMN: Final = {
    "rpps": entries.c.actor_rpps,
    "finess": entries.c.structure_finess,
    "legal_finess": entries.c.legal_finess,
}


def _used(made: Figures) -> list[str]:
    """The identifiers of every entry a figure counts or rests on, each once, in order."""
    used = {one.entry for one in made.measures.values() if one.entry is not None}
    for measured in made.measures.values():
        if measured.funnel is not None:
            used.update(countable.line.entry_id for countable in measured.funnel.countable)
    return sorted(used)


def entries_root(identifiers: list[str]) -> str:
    """The Merkle root (RFC 6962) over the entries a closing used: leaves are their 32-byte identifiers, sorted."""
    leaves = [merkle.leaf_hash(bytes.fromhex(one)) for one in sorted(identifiers)]
    return merkle.root(len(leaves), merkle.from_leaves(leaves)).hex()


def closings(connection: Connection, rule: str, subject: Subject) -> list[Closing]:
    """The closings of a rule for a subject, oldest first, over every version of the rule."""
    query = (
        select(entries.c.entry_id, entries.c.state, entries.c.recorded_at, entries.c.details)
        .where(_COLUMN[subject.by] == subject.id, entries.c.kind == "period.closed")
        .order_by(entries.c.id)
    )
    if subject.tenants is not None:
        query = query.where(entries.c.tenant.in_(list(subject.tenants)))
    out: list[Closing] = []
    for row in connection.execute(query):
        details = orjson.loads(row.details)
        if details["rule"] == rule and details["structure"] == subject.structure:
            out.append(
                Closing(
                    entry=bytes(row.entry_id).hex(),
                    state=State(row.state),
                    at=row.recorded_at,
                    rule=rule,
                    version=details["version"],
                    policy=details["policy"],
                    measures={name: one["value"] for name, one in details["measures"].items() if "value" in one},
                    entries_root=details["entries_root"],
                    details=details,
                )
            )
    return out


def state_of(period: Period, today: date, made: list[Closing]) -> State:
    """Where a period is on a day (Europe/Paris), given its closings."""
    if made:
        return made[-1].state
    if today <= period.end:
        return State.OPEN
    return State.GRACE if today <= period.closes else State.DUE


def _details(made: Figures, extra: Mapping[str, Any]) -> dict[str, Any]:
    measures: dict[str, Any] = {}
    for name, one in made.measures.items():
        kept: dict[str, Any] = {"source": one.source}
        if one.value is not None:
            kept["value"] = one.value
        if one.funnel is not None:
            kept["funnel"] = one.funnel.as_json()
        if one.origin is not None:
            kept["origin"] = one.origin
        measures[name] = kept
    used = _used(made)
    return {
        "rule": made.rules.id,
        "version": made.rules.version,
        "policy": made.policy.name,
        "from": made.rules.period.start.isoformat(),
        "to": made.rules.period.end.isoformat(),
        "basis": made.rules.period.basis,
        "structure": made.subject.structure,
        "measures": measures,
        "entries_used": len(used),
        "entries_root": entries_root(used),
        "result": made.evaluation.as_json()["total"],
    } | dict(extra)


def _record(
    connection: Connection, tenant: str, made: Figures, state: State, number: int, now: datetime, **more: Any
) -> str:
    subject = made.subject
    extra = more.pop("extra", {})
    operation = "/".join([made.rules.id, subject.by, subject.id, subject.structure or "", str(number)])
    return record(
        connection,
        tenant,
        LedgerEntry(
            entry_id=entry_id("period", operation, 1, str(state)),
            kind="period.closed",
            state=str(state),
            recorded_at=now,
            actor_rpps=subject.id if subject.by == "rpps" else None,
            structure_finess=subject.id if subject.by == "finess" else None,
            legal_finess=subject.id if subject.by == "legal_finess" else None,
            details=_details(made, extra),
            **more,
        ),
    )


def close(
    connection: Connection,
    tenant: str,
    rules: RuleSet,
    subject: Subject,
    *,
    now: datetime,
    chosen: Policy | None = None,
) -> Closing:
    """Close a period for one subject: one entry with its counts, and nothing changes them afterwards.

    Closing again gives the closing that is there. Raises :class:`PeriodError` before the grace period is over.
    """
    made = closings(connection, rules.id, subject)
    if made:
        return made[0]
    if now.astimezone(PARIS).date() <= rules.period.closes:
        raise PeriodError("FEED-PERIOD-001", f"a day after {rules.period.closes.isoformat()}")
    made_now = figures(connection, rules, subject, as_of=now, chosen=chosen)
    _record(connection, tenant, made_now, State.CLOSED, 0, now)
    return closings(connection, rules.id, subject)[0]


def amend(
    connection: Connection,
    tenant: str,
    rules: RuleSet,
    subject: Subject,
    *,
    reason: str,
    now: datetime,
    chosen: Policy | None = None,
) -> Closing:
    """Make a new closing that replaces the last one, with the difference listed entry by entry; the former stays.

    ``reason`` is a code. Raises :class:`PeriodError` when nothing was closed, or when nothing differs.
    """
    made = closings(connection, rules.id, subject)
    if not made:
        raise PeriodError("FEED-PERIOD-002", "a closed period")
    last = made[-1]
    before = figures(connection, rules, subject, as_of=datetime.fromisoformat(last.at), chosen=chosen)
    after = figures(connection, rules, subject, as_of=now, chosen=chosen)
    old, new = set(_used(before)), set(_used(after))
    values = {name: one.value for name, one in after.measures.items() if one.value is not None}
    if old == new and values == dict(last.measures):
        raise PeriodError("FEED-PERIOD-003", "a figure that differs from the closed one")
    difference = {
        "added": sorted(new - old),
        "removed": sorted(old - new),
        "before": dict(last.measures),
        "after": values,
    }
    _record(
        connection,
        tenant,
        after,
        State.AMENDED,
        len(made),
        now,
        reason=reason,
        supersedes=last.entry,
        extra={"difference": difference},
    )
    return closings(connection, rules.id, subject)[-1]


def reevaluate(closing: Closing, rules: RuleSet) -> Evaluation:
    """Work closed counts out under another version of the rule: the counts stay, the result may change.

    Measures the newer version does not know are left out; those it adds are missing, and say so.
    """
    known = {name: value for name, value in closing.measures.items() if name in rules.measures}
    return evaluate(rules, known)
