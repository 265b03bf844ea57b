"""Unusual patterns, told as facts with their numbers and never as accusations.

Each fact says what was counted, over which lines, against which figure; there may be good reasons for all of them
(a visit round, a catch-up after an outage, a template). Thresholds are settings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, select

from conformance.verdict import Text
from gateway.feeds.entry import PARIS
from gateway.feeds.tables import entries

__all__ = ["FACTS", "AnomalySettings", "Fact", "anomalies"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalySettings:
    """From which number on a pattern is worth telling (project values, no public figure found)."""

    documents_per_patient_day: int = 5
    identical_contents: int = 3
    night_documents: int = 20  #: accepted between 22:00 and 06:00 of one night
    burst_documents: int = 60  #: accepted within one minute
    self_addressed: int = 1


#: What each fact says; ``{n}`` is the number counted, ``{limit}`` the setting.
FACTS: Final = {
    "patient_day": Text(
        "{n} documents d'un même patient alimentés le même jour (repère : {limit}).",
        "{n} documents of one patient fed the same day (mark: {limit}).",
    ),
    "identical_content": Text(
        "{n} documents de contenu identique dans des lignées différentes (repère : {limit}).",
        "{n} documents with the same content in different lineages (mark: {limit}).",
    ),
    "night": Text(
        "{n} documents acceptés dans une même nuit, entre 22 h et 6 h (repère : {limit}).",
        "{n} documents accepted in one night, between 22:00 and 06:00 (mark: {limit}).",
    ),
    "burst": Text(
        "{n} documents acceptés dans la même minute (repère : {limit}).",
        "{n} documents accepted within one minute (mark: {limit}).",
    ),
    "self_addressed": Text(
        "{n} messages dont l'expéditeur est aussi un destinataire (repère : {limit}).",
        "{n} messages whose sender is also a recipient (mark: {limit}).",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One pattern of one professional, with the number counted and the setting it is compared with."""

    code: str  #: a key of ``FACTS``
    professional: str
    on: str  #: the day, or the night's or minute's beginning
    number: int
    limit: int

    def said(self, language: str = "fr") -> str:
        """The fact in words."""
        return FACTS[self.code].in_language(language).format(n=self.number, limit=self.limit)


def anomalies(
    connection: Connection,
    *,
    tenants: list[str] | None,
    since: str,
    until: str,
    professional: str | None = None,
    settings: AnomalySettings | None = None,
    most: int = 1000,
) -> list[Fact]:
    """The facts of some days (``2026-01-01``, both included), for one professional or all, the largest first.

    At most ``most`` facts of each kind.
    """
    settings = settings or AnomalySettings()
    scope: list[ColumnElement[bool]] = [
        entries.c.day >= since,
        entries.c.day <= until,
        entries.c.actor_rpps.is_not(None),
    ]
    if tenants is not None:
        scope.append(entries.c.tenant.in_(tenants))
    if professional is not None:
        scope.append(entries.c.actor_rpps == professional)
    fed = [*scope, entries.c.kind == "dmp.document", entries.c.state == "accepted"]
    facts = [
        *_patient_days(connection, fed, settings.documents_per_patient_day, most),
        *_identical(connection, fed, settings.identical_contents, most),
        *_nights_and_bursts(connection, fed, settings, most),
        *_self_addressed(connection, scope, settings.self_addressed, most),
    ]
    return sorted(facts, key=lambda fact: (-fact.number, fact.code, fact.professional, fact.on))


def _patient_days(connection: Connection, fed: list[Any], limit: int, most: int) -> Iterator[Fact]:
    # Versions of one document are one document.
    number = func.count(entries.c.lineage_ref.distinct())
    query = (
        select(entries.c.actor_rpps, entries.c.day, number)
        .where(*fed, entries.c.patient_commit.is_not(None))
        .group_by(entries.c.actor_rpps, entries.c.patient_commit, entries.c.day)
        .having(number >= limit)
        .order_by(number.desc())
        .limit(most)
    )
    for who, day, found in connection.execute(query):
        yield Fact(code="patient_day", professional=who, on=day, number=found, limit=limit)


def _identical(connection: Connection, fed: list[Any], limit: int, most: int) -> Iterator[Fact]:
    number = func.count(entries.c.lineage_ref.distinct())
    query = (
        select(entries.c.actor_rpps, func.min(entries.c.day), number)
        .where(*fed, entries.c.content_digest.is_not(None))
        .group_by(entries.c.actor_rpps, entries.c.content_digest)
        .having(number >= limit)
        .order_by(number.desc())
        .limit(most)
    )
    for who, day, found in connection.execute(query):
        yield Fact(code="identical_content", professional=who, on=day, number=found, limit=limit)


def _nights_and_bursts(connection: Connection, fed: list[Any], settings: AnomalySettings, most: int) -> Iterator[Fact]:
    # The database does not know the zone: minutes are counted here, and turned into local time once each.
    grouped = (
        select(entries.c.actor_rpps, entries.c.accepted_at)
        .where(*fed, entries.c.accepted_at.is_not(None))
        .execution_options(yield_per=5000)
    )
    minutes: Counter[tuple[str, str]] = Counter()
    for page in connection.execute(grouped).partitions():
        minutes.update((row.actor_rpps, row.accepted_at[:16]) for row in page)
    nights: Counter[tuple[str, str]] = Counter()
    for (who, at), found in minutes.items():
        local = datetime.fromisoformat(f"{at}:00+00:00").astimezone(PARIS)
        if local.hour >= 22 or local.hour < 6:
            # The night from the 3rd to the 4th is named by its evening.
            evening = local.date().toordinal() - (1 if local.hour < 6 else 0)
            nights[(who, local.date().fromordinal(evening).isoformat())] += found
    for code, counted, limit in (
        ("burst", minutes, settings.burst_documents),
        ("night", nights, settings.night_documents),
    ):
        large = [(key, found) for key, found in counted.items() if found >= limit]
        for (who, on), found in sorted(large, key=lambda one: -one[1])[:most]:
            yield Fact(code=code, professional=who, on=on, number=found, limit=limit)


def _self_addressed(connection: Connection, scope: list[Any], limit: int, most: int) -> Iterator[Fact]:
    number = func.count()
    query = (
        select(entries.c.actor_rpps, entries.c.day, number)
        .where(
            *scope,
            entries.c.kind == "mss.message",
            # The ledger holds no address: the sending of the mail noted that it came back to its sender.
            entries.c.details.contains('"self_addressed":true', autoescape=True),
        )
        .group_by(entries.c.actor_rpps, entries.c.day)
        .having(number >= limit)
        .order_by(number.desc())
        .limit(most)
    )
    for who, day, found in connection.execute(query):
        yield Fact(code="self_addressed", professional=who, on=day, number=found, limit=limit)
