"""Measures of one professional or structure, read from the ledger: each number with its make-up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Connection, Select, literal, literal_column, select, union_all

from gateway.feeds.entry import PARIS, stamp
from gateway.feeds.evaluate import Evaluation, evaluate
from gateway.feeds.groups import matcher
from gateway.feeds.policy import Funnel, Line, Policy, Where, documents, events, policy
from gateway.feeds.scheme import Measure, RuleSet
from gateway.feeds.tables import entries

__all__ = ["Credited", "Figures", "Measured", "Subject", "earlier_lineages", "figures", "lines_of", "where_of"]

#: The ways a rule says an identity status, and the status as the ledger holds it.
_INS: Final = {
    "qualified": "qualifiee",
    "validated": "validee",
    "retrieved": "recuperee",
    "provisional": "provisoire",
}
_FLAGS: Final = ("test", "ald_listed")
_OWN: Final = frozenset(["state", "ins_status", "doc_type", *_FLAGS])


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who a figure is about: a professional over all sites, or a structure."""

    by: str  #: rpps, finess, legal_finess
    id: str
    tenants: Sequence[str] | None = None  #: whose ledgers may be read; None means all
    structure: str | None = None  #: one site only, when the rule splits


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One measure: its number (None when not to be had), where it comes from, and what was left out."""

    name: str
    value: int | bool | None
    source: str  #: ledger, imported, declared
    unit: str | None = None
    funnel: Funnel | None = None
    entry: str | None = None  #: the entry an imported or declared value rests on
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A rule worked out for one subject, with everything it rests on."""

    rules: RuleSet
    subject: Subject
    policy: Policy
    measures: Mapping[str, Measured]
    evaluation: Evaluation
    as_of: datetime
    parts: Mapping[str, int] = field(default_factory=dict)  #: lines by structure, since a person is one over all sites


_PLAIN: Final = (
    "kind state day occurred_at submitted_at accepted_at patient_commit encounter_commit lineage_ref content_digest "
    "unique_id_hash doc_type doc_type_system doc_format ins_status test ald_listed recipient_class recipients "
    "care_mode care_place actor_role reason"
).split()
_COLUMNS: Final = (entries.c.id, entries.c.entry_id, *(entries.c[name] for name in _PLAIN))
_WHOSE: Final = (entries.c.actor_rpps, entries.c.on_behalf_of_rpps, entries.c.structure_finess)


class Credited(NamedTuple):
    """A line credited to a subject."""

    line: Line
    structure: str  #: where it comes from, empty when it does not say
    earlier: bool  #: its lineage was accepted before the first day asked for


def _hex(value: Any) -> str | None:
    return None if value is None else bytes(value).hex()


def _civil(text: str | None) -> date | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(PARIS).date()


_day = lru_cache(maxsize=4096)(date.fromisoformat)


def _line(values: Sequence[Any], dated: bool) -> Line:
    """The line of ``_COLUMNS``' values, which are in its own order."""
    _, entry, kind, state, day, occurred, submitted, accepted, *hashes = values[:13]
    *coded, test, ald_listed = values[13:19]
    civil = _day(day)
    made = (
        bytes(entry).hex(),
        kind,
        state,
        civil,
        # Only rules dated by the act or the sending need these two, and a zone costs more than all the rest.
        _civil(occurred) if dated else None,
        _civil(submitted) if dated else None,
        None if accepted is None else civil,
        *map(_hex, hashes),
        *coded,
        bool(test),
        None if ald_listed is None else bool(ald_listed),
        *values[19:],
    )
    return Line._make(made)


def _credits(
    subject: Subject, chosen: Policy, *, role: str | None, actor: str | None, behalf: str | None, others: str | None
) -> bool:
    """Whether a line counts for this professional: a delegate never counts for themselves, a substitute may not."""
    acts_for = role == "delegate" or (role == "substitute" and chosen.credit_substituted)
    if (behalf if acts_for and behalf else actor) == subject.id:
        return True
    return chosen.credit_co_authors and subject.id in (others or "").split()


def _query(
    subject: Subject, chosen: Policy, kinds: Sequence[str], start: date, end: date, as_of: datetime
) -> Select[Any] | Any:
    # Asked beside each line: PostgreSQL keeps no statistics of these bytes, and left to choose how it joins them it
    # reads a whole year.
    before = entries.alias("before")
    earlier = (
        select(literal_column("1"))
        .where(
            before.c.lineage_ref == entries.c.lineage_ref,
            before.c.day < start.isoformat(),
            before.c.state == "accepted",
        )
        .limit(1)
        .correlate(entries)
        .scalar_subquery()
        .label("earlier")
    )
    columns = (*_COLUMNS, *_WHOSE, entries.c.co_authors_rpps, earlier)
    shared: list[ColumnElement[bool]] = [
        entries.c.kind.in_(list(kinds)),
        entries.c.day >= start.isoformat(),
        entries.c.day <= end.isoformat(),
        entries.c.recorded_at <= stamp(as_of),
    ]
    if subject.tenants is not None:
        shared.append(entries.c.tenant.in_(list(subject.tenants)))
    if subject.structure is not None:
        shared.append(entries.c.structure_finess == subject.structure)
    if subject.by == "finess":
        return select(*columns).where(entries.c.structure_finess == subject.id, *shared).order_by(entries.c.id)
    if subject.by == "legal_finess":
        return select(*columns).where(entries.c.legal_finess == subject.id, *shared).order_by(entries.c.id)
    # One select an index: an OR would read the whole table. Each leaves out what those before it gave.
    other = entries.c.actor_rpps.is_distinct_from(subject.id)
    parts = [
        select(*columns).where(entries.c.actor_rpps == subject.id, *shared),
        select(*columns).where(entries.c.on_behalf_of_rpps == subject.id, other, *shared),
    ]
    if chosen.credit_co_authors:
        listed = (literal(" ") + entries.c.co_authors_rpps + literal(" ")).contains(f" {subject.id} ", autoescape=True)
        parts.append(
            select(*columns).where(listed, other, entries.c.on_behalf_of_rpps.is_distinct_from(subject.id), *shared)
        )
    return union_all(*parts).order_by("id")


def lines_of(
    connection: Connection,
    subject: Subject,
    *,
    chosen: Policy,
    kinds: Sequence[str],
    start: date,
    end: date,
    as_of: datetime,
    dated: bool = False,
) -> list[Credited]:
    """The lines credited to a subject over some days, in order of recording."""
    out: list[Credited] = []
    for row in connection.execute(_query(subject, chosen, kinds, start, end, as_of)):
        values = tuple(row)
        actor, behalf, structure, others, earlier = values[len(_COLUMNS) :]
        line = _line(values[: len(_COLUMNS)], dated)
        if subject.by != "rpps" or _credits(
            subject, chosen, role=line.actor_role, actor=actor, behalf=behalf, others=others
        ):
            out.append(Credited(line, structure or "", earlier is not None))
    return out


def earlier_lineages(lines: Iterable[Credited]) -> set[str]:
    """The lineages among these that were first accepted before the first day: they count in an older period."""
    return {one.line.lineage for one in lines if one.earlier and one.line.lineage is not None}


def _values(value: object) -> list[object]:
    return list(value) if isinstance(value, tuple) else [value]


def where_of(measure: Measure, rules: RuleSet) -> Where:
    """The conditions of a measure, its code groups looked up for the rule's period."""
    texts = {name: _values(value) for name, value in measure.where.items()}
    pairs, codes = matcher(map(str, texts.get("doc_type", [])), rules.period.start, rules.period.end)
    flags = {name: bool(texts[name][0]) for name in _FLAGS if name in texts}
    statuses = texts.get("ins_status")
    return Where(
        states=frozenset(map(str, texts.get("state", ["accepted"]))),
        ins_status=None if statuses is None else frozenset(_INS.get(str(one), str(one)) for one in statuses),
        test=flags.get("test"),
        ald_listed=flags.get("ald_listed"),
        doc_pairs=pairs,
        doc_codes=codes,
        others={name: frozenset(values) for name, values in texts.items() if name not in _OWN},
    )


def _number(funnel: Funnel, unit: str | None) -> int:
    """How many units the countable lines make; those without a patient or a stay are excluded, and shown."""
    lines = [(one.line, one.day, one.key) for one in funnel.countable]
    if unit in ("patient", "patient_day"):
        missing = sum(1 for line, _, _ in lines if line.patient is None)
        if missing:
            funnel.excluded["excluded.no_patient"] += missing
        if unit == "patient":
            return len({line.patient for line, _, _ in lines if line.patient is not None})
        return len({(line.patient, day) for line, day, _ in lines if line.patient is not None})
    if unit == "encounter":
        missing = sum(1 for line, _, _ in lines if line.encounter is None)
        if missing:
            funnel.excluded["excluded.no_encounter"] += missing
        return len({line.encounter for line, _, _ in lines if line.encounter is not None})
    if unit == "event":
        # One mail to five recipients is five deliveries.
        return sum(line.recipients or 1 if line.kind == "mss.message" else 1 for line, _, _ in lines)
    return len({line.message or key for line, _, key in lines} if unit == "message" else lines)


def _given(connection: Connection, subject: Subject, as_of: datetime) -> list[tuple[str, str, dict[str, Any]]]:
    """Imported and declared values of a subject, oldest first: entry, state, details."""
    mine = entries.c.actor_rpps if subject.by == "rpps" else entries.c.structure_finess
    if subject.by == "legal_finess":
        mine = entries.c.legal_finess
    query = (
        select(entries.c.entry_id, entries.c.state, entries.c.details)
        .where(
            mine == subject.id,
            entries.c.kind == "measure.imported",
            entries.c.recorded_at <= stamp(as_of),
        )
        .order_by(entries.c.id)
    )
    if subject.tenants is not None:
        query = query.where(entries.c.tenant.in_(list(subject.tenants)))
    return [
        (bytes(row.entry_id).hex(), row.state, orjson.loads(row.details))
        for row in connection.execute(query)
        if row.details is not None
    ]


def _from_outside(
    name: str, measure: Measure, rules: RuleSet, given: Sequence[tuple[str, str, dict[str, Any]]]
) -> Measured:
    """The last value given for exactly this period (imports), or in force on its last day (declarations)."""
    source = "imported" if measure.imported is not None else "declared"
    wanted = measure.imported or measure.declared
    start, end = rules.period.start.isoformat(), rules.period.end.isoformat()
    for entry, state, details in reversed(given):
        if state != source or details.get("measure") != wanted:
            continue
        if source == "imported":
            fits = (details.get("from"), details.get("to"), details.get("origin")) == (start, end, measure.origin)
        else:
            fits = details.get("from", start) <= end and (details.get("to") or end) >= end
        if fits:
            return Measured(name=name, value=details["value"], source=source, entry=entry, origin=details["origin"])
    return Measured(name=name, value=None, source=source, origin=measure.origin)


def figures(
    connection: Connection,
    rules: RuleSet,
    subject: Subject,
    *,
    as_of: datetime,
    chosen: Policy | None = None,
) -> Figures:
    """Work a rule out for one subject from what the ledger held at ``as_of``.

    Raises ``LookupError`` for a policy nobody knows, ``ValueError`` when the rule is about another kind of subject.
    """
    if subject.by != rules.subject.by:
        raise ValueError(f"FEED-FIGURE-001: this rule is by {rules.subject.by}")
    chosen = chosen or policy(rules.policy)
    period = rules.period
    counted = {name: measure for name, measure in rules.measures.items() if measure.events is not None}
    kinds = sorted({kind for measure in counted.values() for kind in _kinds(measure)})
    pairs = lines_of(
        connection,
        subject,
        chosen=chosen,
        kinds=kinds,
        start=period.start,
        end=max(period.closes, as_of.astimezone(PARIS).date()),
        as_of=as_of,
        dated=period.basis != "accepted",
    )
    lines = [one.line for one in pairs]
    parts: dict[str, int] = {}
    for line, structure, _ in pairs:
        if line.state == "accepted" and period.start <= line.day <= period.end:
            parts[structure] = parts.get(structure, 0) + 1
    earlier = earlier_lineages(pairs)
    given = _given(connection, subject, as_of)
    measured: dict[str, Measured] = {}
    funnels: list[tuple[tuple[str, ...], Where, Funnel]] = []
    for name, measure in rules.measures.items():
        if measure.events is None:
            measured[name] = _from_outside(name, measure, rules, given)
            continue
        wanted = _kinds(measure)
        where = where_of(measure, rules)
        # Measures that differ by their unit alone are told from the same lines, sorted out once.
        funnel = next((made for kinds, conditions, made in funnels if (kinds, conditions) == (wanted, where)), None)
        if funnel is None:
            mine = [line for line in lines if line.kind in wanted]
            options: dict[str, Any] = {
                "chosen": chosen,
                "where": where,
                "start": period.start,
                "end": period.end,
                "closes": period.closes,
                "basis": period.basis,
            }
            of_documents = wanted == ("dmp.document",)
            funnel = documents(mine, earlier=earlier, **options) if of_documents else events(mine, **options)
            funnels.append((wanted, where, funnel))
        funnel = funnel.copy()
        measured[name] = Measured(
            name=name, value=_number(funnel, measure.unit), source="ledger", unit=measure.unit, funnel=funnel
        )
    values = {name: one.value for name, one in measured.items() if one.value is not None}
    return Figures(
        rules=rules,
        subject=subject,
        policy=chosen,
        measures=measured,
        evaluation=evaluate(rules, values),
        as_of=as_of,
        parts=parts,
    )


def _kinds(measure: Measure) -> tuple[str, ...]:
    if measure.events is None:
        return ()
    return (measure.events,) if isinstance(measure.events, str) else measure.events
