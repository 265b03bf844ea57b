"""What may be read of the feeds, and by whom: counts, lines, histories, samples and proofs.

Every function takes a connection and an :class:`~gateway.services.feeds_roles.Audience`, and gives plain values: the
HTTP interface and the console show the same. Refusals are :class:`gateway.problems.Problem`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, func, select

from gateway.feeds import lines
from gateway.feeds.anomalies import Fact, anomalies
from gateway.feeds.counts import CountError, counts
from gateway.feeds.entry import COUNTED
from gateway.feeds.export import Selection
from gateway.feeds.lines import KeyOf
from gateway.feeds.sampling import AuditQuery, Draw, draw, record_query
from gateway.feeds.suppression import SMALL, Cell, suppress
from gateway.feeds.tables import chains, pending
from gateway.ids import new_id
from gateway.problems import Forbidden, Invalid, NotFound, rule
from gateway.services.feeds_roles import NO_LINES, Audience, narrowed
from gateway.vault import Vault

__all__ = [
    "AUDITS",
    "CountQuery",
    "Counted",
    "LineQuery",
    "Page",
    "anomalies_for",
    "counts_for",
    "day_of",
    "history_for",
    "key_of",
    "line_for",
    "page_for",
    "record_reading",
    "sample_for",
    "tenants_read",
]

BAD_COUNT = rule(
    "API-FEEDS-001",
    "Cette demande de comptage n'est pas possible.",
    "This count cannot be asked for.",
    "Choisissez parmi les dimensions attendues, avec des mois de la forme 2026-01.",
    "Choose among the expected dimensions, with months like 2026-01.",
)
BAD_FILTER = rule(
    "API-FEEDS-002",
    "Cette demande de lignes n'est pas possible.",
    "These lines cannot be asked for.",
    "Filtrez par service, outcome, type, reason, profession, professional, structure, avec des jours 2026-01-31.",
    "Filter by service, outcome, type, reason, profession, professional, structure, with days like 2026-01-31.",
)
UNKNOWN_LINE = rule(
    "API-FEEDS-003",
    "Cette ligne n'existe pas pour vous.",
    "This line does not exist for you.",
    "Vérifiez son identifiant, de 64 caractères hexadécimaux.",
    "Check its identifier, 64 hexadecimal characters.",
)

#: The chain that holds queries about more structures than are worth an entry each.
AUDITS: Final = "audits"
_MANY: Final = 20
_FED: Final = tuple(COUNTED)


def key_of(vault: Vault) -> KeyOf:
    """The key of patients' pseudonyms, by tenant."""
    return lambda tenant: vault.key(tenant, "pseudonyms")


def tenants_read(connection: Connection, audience: Audience) -> list[str]:
    """Whose ledgers an audience reads, by name."""
    if audience.tenants is not None:
        return list(audience.tenants)
    query = select(chains.c.tenant).where(chains.c.tenant != AUDITS).order_by(chains.c.tenant)
    return list(connection.execute(query).scalars())


@dataclass(frozen=True, slots=True, kw_only=True)
class CountQuery:
    """A count asked for: by what, of what, when (months, both included)."""

    by: Sequence[str] = ("type", "month")
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    since: str | None = None
    until: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The query as the ledger keeps it."""
        where = {name: list(values) for name, values in self.where.items()}
        return {"counts": list(self.by), "where": where, "from": self.since, "to": self.until}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Counts as they may be shown: a cell is None where it is withheld."""

    cells: tuple[Cell, ...]
    total: int  #: of what is shown
    unsealed: int
    withheld: int  #: cells not shown


def counts_for(connection: Connection, audience: Audience, query: CountQuery, *, small: int = SMALL) -> Counted:
    """Count what was fed, within the grant; small cells of crossed counts are withheld from auditors.

    Without a ``service`` among dimensions or filters, the six services fed are counted, not the ledger's own entries.
    Raises :class:`Invalid` and :class:`Forbidden`.
    """
    if "professional" in query.by and not audience.role.named:
        raise Forbidden([NO_LINES.finding("by")], slug="lines-not-granted")
    where = narrowed(audience, query.where)
    if "service" not in where:
        where["service"] = _FED
    try:
        rows = counts(
            connection,
            tenants=audience.tenants,
            by=query.by,
            where=where,
            since=query.since,
            until=query.until,
        )
    except CountError as exc:
        raise Invalid([BAD_COUNT.finding(exc.place, expected=exc.expected)], slug="invalid-count") from None
    across = [*query.where, *(["month"] if query.since or query.until else [])]
    if audience.role.suppressed:
        cells = suppress(rows, by=query.by, small=small, across=across)
    else:
        cells = [Cell(service=one.service, group=dict(one.group), count=one.count) for one in rows]
    tail = select(func.count()).select_from(pending)
    if audience.tenants is not None:
        tail = tail.where(pending.c.tenant.in_(audience.tenants))
    return Counted(
        cells=tuple(cells),
        total=sum(cell.count or 0 for cell in cells),
        unsealed=int(connection.execute(tail).scalar_one()),
        withheld=sum(cell.count is None for cell in cells),
    )


def day_of(place: str, value: str | None) -> str | None:
    """A day as ``2026-01-31``; raises :class:`Invalid` naming the parameter."""
    from datetime import date

    if value is None:
        return None
    try:
        if len(value) != 10:
            raise ValueError
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise Invalid([BAD_FILTER.finding(place, expected="2026-01-31")], slug="invalid-filter") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineQuery:
    """Lines asked for (days in Europe/Paris, both included)."""

    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    since: str | None = None
    until: str | None = None
    limit: int = 50

    def as_json(self) -> dict[str, Any]:
        """The query as the ledger keeps it."""
        where = {name: list(values) for name, values in self.where.items()}
        return {"lines": where, "from": self.since, "to": self.until}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Lines, newest first, and where the next page begins."""

    lines: tuple[dict[str, Any], ...]
    following: int | None


def page_for(
    connection: Connection, audience: Audience, query: LineQuery, *, before: int | None = None, keys: KeyOf
) -> Page:
    """A page of lines, pseudonymised for the audience's purpose; raises :class:`Invalid`, :class:`Forbidden`."""
    audience.may_see_lines()
    where = narrowed(audience, query.where)
    persons = where.pop("professional", None)
    tenants = where.pop("tenant", audience.tenants)
    try:
        found, following = lines.page(
            connection,
            tenants=tenants,
            where=where,
            since=day_of("from", query.since),
            until=day_of("to", query.until),
            persons=persons,
            before=before,
            limit=query.limit,
            purpose=audience.pseudonym_purpose,
            key_of=keys,
        )
    except ValueError as exc:
        code, _, expected = str(exc).partition(": ")
        place = "limit" if code == "FEED-LINES-001" else "filter"
        raise Invalid([BAD_FILTER.finding(place, expected=expected)], slug="invalid-filter") from None
    return Page(lines=tuple(found), following=following)


def line_for(connection: Connection, audience: Audience, entry: str, *, keys: KeyOf) -> dict[str, Any]:
    """One line; raises :class:`NotFound` when it is not among those the audience may see."""
    return history_for(connection, audience, entry, keys=keys, whole=False)[0]


def history_for(
    connection: Connection, audience: Audience, entry: str, *, keys: KeyOf, whole: bool = True
) -> list[dict[str, Any]]:
    """Every line of the document a line is about, oldest first (or the line alone); raises :class:`NotFound`."""
    audience.may_see_lines()
    options: dict[str, Any] = {
        "tenants": audience.tenants,
        "persons": audience.professionals,
        "purpose": audience.pseudonym_purpose,
        "key_of": keys,
    }
    if whole:
        found = lines.history(connection, entry, **options)
    else:
        one = lines.line(connection, entry, **options)
        found = [one] if one is not None else []
    mine = audience.structures
    if not found or (mine is not None and not any(one.get("structure_finess") in mine for one in found)):
        raise NotFound([UNKNOWN_LINE.finding("entry")])
    return found


def sample_for(
    connection: Connection, audience: Audience, query: LineQuery, *, size: int, seed: str, keys: KeyOf
) -> tuple[Draw, list[dict[str, Any]]]:
    """Draw lines at random: the same seed over the same sealed lines gives the same sample, which anybody can redo."""
    audience.may_see_lines()
    selection = selection_for(connection, audience, query)
    try:
        drawn = draw(connection, selection, size=size, seed=seed)
    except ValueError as exc:
        expected = str(exc).partition(": ")[2]
        raise Invalid([BAD_FILTER.finding("sample", expected=expected)], slug="invalid-sample") from None
    wanted = {tenant: numbers for tenant, numbers in drawn.entries.items() if numbers}
    return drawn, lines.numbered(connection, wanted, purpose=audience.pseudonym_purpose, key_of=keys)


def selection_for(connection: Connection, audience: Audience, query: LineQuery) -> Selection:
    """What a query selects for a sample or an export; raises :class:`Invalid` for a filter they do not take."""
    where = narrowed(audience, query.where)
    tenants = list(where.pop("tenant", ())) or tenants_read(connection, audience)
    one: dict[str, str | None] = {}
    for name in ("professional", "structure"):
        values = list(where.pop(name, ()))
        if len(values) > 1:
            raise Invalid([BAD_FILTER.finding(name, expected="un seul")], slug="invalid-filter")
        one[name] = values[0] if values else None
    services = where.pop("service", None)
    if where:
        expected = "service, professional, structure"
        raise Invalid([BAD_FILTER.finding(sorted(where)[0], expected=expected)], slug="invalid-filter")
    return Selection(
        tenants=tenants,
        services=None if services is None else list(services),
        professional=one["professional"],
        structure=one["structure"],
        since=day_of("from", query.since),
        until=day_of("to", query.until),
    )


def anomalies_for(
    connection: Connection, audience: Audience, *, since: str, until: str, professional: str | None = None
) -> list[Fact]:
    """Unusual patterns of some days, as facts; of one professional or all those the audience may see."""
    audience.may_see_lines()
    own = audience.professionals
    if professional is not None:
        audience.check_subject("rpps", professional)
    names = [professional] if professional is not None else list(own) if own is not None else [None]
    tenants = None if audience.tenants is None else list(audience.tenants)
    first, last = day_of("from", since) or "", day_of("to", until) or ""
    found: list[Fact] = []
    for name in names:
        found += anomalies(connection, tenants=tenants, since=first, until=last, professional=name)
    return found


def record_reading(
    connection: Connection,
    audience: Audience,
    scope: Mapping[str, Any],
    *,
    rows: int,
    now: datetime,
    of: Sequence[str] | None = None,
) -> list[str]:
    """Enter an auditor's query in the ledger: who, why, what, how many rows; nothing for those who do not audit.

    ``of`` are the tenants whose lines were read; by default all those the audience reads. Beyond a score of tenants
    one entry in the chain of audits stands for all.
    """
    if not audience.role.audits:
        return []
    named = list(of) if of is not None else tenants_read(connection, audience)
    if not named or len(named) > _MANY:
        named = [AUDITS]
    query = AuditQuery(
        who=audience.who,
        accreditation=audience.accreditation,
        purpose=audience.purpose,
        legal_basis=audience.legal_basis,
        scope={"role": audience.role.name, **scope},
        rows=rows,
    )
    return record_query(connection, named, query, request=new_id("qry", now), now=now)
