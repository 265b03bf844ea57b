"""Figures of one professional or structure under a rule: indicators, statements, periods, payers' numbers compared.

The gateway's count is a second, independent measure: it explains a gap or supports a claim, and is never the paid
amount itself (incentives note, 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from gateway.feeds.entry import PARIS
from gateway.feeds.evaluate import Evaluation, evaluate
from gateway.feeds.heads import kept_heads
from gateway.feeds.imports import OutsideMeasure
from gateway.feeds.measures import Figures, Subject, earlier_lineages, figures, lines_of
from gateway.feeds.periods import Closing, PeriodError, amend, close, closings, state_of
from gateway.feeds.policy import Funnel, Policy, Where, documents, policy
from gateway.feeds.reconcile import reconcile
from gateway.feeds.scheme import RuleSet
from gateway.feeds.statements import statement
from gateway.problems import Conflict, Invalid, rule
from gateway.services.feeds_roles import Audience
from gateway.services.feeds_rules import Scheme

__all__ = [
    "About",
    "about",
    "close_for",
    "closing_json",
    "figure_of",
    "fitting",
    "funnel_for",
    "indicators_for",
    "periods_for",
    "reconcile_for",
    "statement_for",
]

NO_SUBJECT = rule(
    "FEED-FIGURE-001",
    "Cette règle porte sur un autre sujet.",
    "This rule is about another kind of subject.",
    "Donnez professional (RPPS) ou structure (FINESS), selon la règle.",
    "Give professional (RPPS) or structure (FINESS), after the rule.",
    "incentives 8.1",
)
ONE_PART = rule(
    "FEED-FIGURE-002",
    "Ce dispositif a plusieurs règles : un relevé en PDF porte sur une seule.",
    "This scheme has several rules: a statement in PDF is about one.",
    "Nommez la règle, avec sa partie.",
    "Name the rule, with its part.",
    "incentives 8.1",
)
NO_PERIOD = rule(
    "FEED-PERIOD-000",
    "La période ne peut pas être close ou rectifiée maintenant.",
    "The period cannot be closed or amended now.",
    "Attendez la fin du délai de grâce ; une rectification part d'une période close dont un chiffre a changé.",
    "Wait for the end of the grace period; an amendment starts from a closed period of which a figure changed.",
    "incentives 6.2",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Who a figure is asked about."""

    professional: str | None = None  #: RPPS
    structure: str | None = None  #: FINESS, geographic or legal after the rule
    site: str | None = None  #: one site of a professional, for a rule that splits

    def as_json(self) -> dict[str, Any]:
        """The subject as the ledger keeps a query about it."""
        return {"professional": self.professional, "structure": self.structure, "site": self.site}


def about(
    audience: Audience, professional: str | None = None, structure: str | None = None, site: str | None = None
) -> About:
    """Who is asked about; a professional who names nobody asks about themselves."""
    own = audience.professionals
    if professional is None and structure is None and own is not None and len(own) == 1:
        professional = own[0]
    return About(professional=professional, structure=structure, site=site)


def _subject(audience: Audience, who: About, rules: RuleSet) -> Subject:
    by = rules.subject.by
    named = who.professional if by == "rpps" else who.structure
    if named is None:
        expected = "professional" if by == "rpps" else "structure"
        raise Invalid([NO_SUBJECT.finding(expected, expected=f"{expected} ({by})")], slug="subject-required")
    audience.check_subject(by, named)
    return Subject(
        by=by, id=named, tenants=audience.tenants, structure=who.site if by == "rpps" and rules.subject.split else None
    )


def fitting(found: Sequence[Scheme], who: About) -> list[Scheme]:
    """The parts of a scheme about the kind of subject named; all of them when none is, so that the lack is told."""
    fits = [one for one in found if (one.latest.subject.by == "rpps") == (who.professional is not None)]
    return fits if fits and (who.professional or who.structure) else list(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One rule worked out for one subject, with its closings and what other versions would give."""

    scheme: Scheme
    made: Figures
    closings: tuple[Closing, ...]
    versions: tuple[Evaluation, ...]  #: the same counts under each version, oldest first


def figure_of(
    connection: Connection,
    audience: Audience,
    one: Scheme,
    who: About,
    *,
    as_of: datetime,
    chosen: Policy | None = None,
    version: int | None = None,
) -> Figure:
    """Work one rule out for one subject; ``version`` takes an older one. Raises :class:`gateway.problems.Problem`."""
    rules = next((v for v in one.versions if v.version == version), one.latest)
    subject = _subject(audience, who, rules)
    made = figures(connection, rules, subject, as_of=as_of, chosen=chosen)
    past = closings(connection, rules.id, subject)
    values: Mapping[str, int | bool] = (
        past[-1].measures if past else {name: m.value for name, m in made.measures.items() if m.value is not None}
    )
    versions = tuple(
        evaluate(other, {name: value for name, value in values.items() if name in other.measures})
        for other in one.versions
    )
    return Figure(scheme=one, made=made, closings=tuple(past), versions=versions)


def statement_for(
    connection: Connection,
    audience: Audience,
    one: Scheme,
    who: About,
    *,
    as_of: datetime,
    chosen: Policy | None = None,
    version: int | None = None,
) -> dict[str, Any]:
    """The statement of a figure, as JSON (:func:`gateway.feeds.statements.statement_pdf` puts it on paper)."""
    found = figure_of(connection, audience, one, who, as_of=as_of, chosen=chosen, version=version)
    rules, subject = found.made.rules, found.made.subject
    heads = [head for name in (audience.tenants or ())[:20] for head in kept_heads(connection, name, limit=1)]
    return statement(
        found.made,
        closings=found.closings,
        heads=heads,
        number=f"{rules.id}/{rules.version}/{subject.id}/{as_of.astimezone(UTC):%Y%m%dT%H%M%SZ}",
    )


def indicators_for(
    connection: Connection,
    audience: Audience,
    found: Sequence[Scheme],
    who: About,
    *,
    as_of: datetime,
    chosen: Policy | None = None,
    version: int | None = None,
) -> list[dict[str, Any]]:
    """Where each indicator of a scheme and year is, for one subject: number, funnel, what is missing, forecast.

    Each rule states its version, its sources and how far to trust them, and what its other versions would give for
    the same counts.
    """
    out: list[dict[str, Any]] = []
    for one in fitting(found, who):
        figure = figure_of(connection, audience, one, who, as_of=as_of, chosen=chosen, version=version)
        stated = statement(figure.made, closings=figure.closings, number="")
        rules = figure.made.rules
        paid = {indicator.id: indicator.award is not None for indicator in rules.indicators}
        neutral = {indicator.id: indicator.neutralised for indicator in rules.indicators}
        indicators = [
            {
                **told,
                "id": told["indicator"],
                "value": result["value"],
                "points": result["points"],
                "amount": result["amount"],
                "pays": paid[result["id"]],
                "neutralised": neutral[result["id"]],
            }
            for told, result in zip(stated["progress"], stated["result"]["indicators"], strict=True)
        ]
        for told in indicators:
            told.pop("indicator")
        out.append(
            {
                "rule": stated["rule"],
                "trust": stated["result"]["trust"],
                "state": stated["state"],
                "provisional": stated["provisional"],
                "policy": stated["policy"],
                "subject": stated["subject"],
                "measures": stated["measures"],
                "parts": stated["parts"],
                "indicators": indicators,
                "gates": stated["result"]["gates"],
                "total": stated["result"]["total"],
                "notComputable": stated["result"]["notComputable"],
                "missingMeasures": stated["result"]["missingMeasures"],
                "versions": [_version(evaluation) for evaluation in figure.versions],
                "closings": stated["closings"],
                "notes": stated["notes"],
            }
        )
    return out


def _version(evaluation: Evaluation) -> dict[str, Any]:
    told = evaluation.as_json()
    return {
        "version": evaluation.rules.version,
        "published": evaluation.rules.published.isoformat(),
        "indicators": told["indicators"],
        "gates": told["gates"],
        "total": told["total"],
        "unverified": evaluation.rules.unverified,
    }


def periods_for(
    connection: Connection, audience: Audience, found: Sequence[Scheme], who: About, *, as_of: datetime
) -> list[dict[str, Any]]:
    """Where the period of each rule of a scheme is for one subject, and its closings."""
    out = []
    for one in fitting(found, who):
        rules = one.latest
        subject = _subject(audience, who, rules)
        past = closings(connection, rules.id, subject)
        out.append(
            {
                "rule": rules.id,
                "from": rules.period.start.isoformat(),
                "to": rules.period.end.isoformat(),
                "closesAfter": rules.period.closes.isoformat(),
                "state": str(state_of(rules.period, as_of.astimezone(PARIS).date(), past)),
                "closings": [closing_json(closing) for closing in past],
            }
        )
    return out


def closing_json(closing: Closing) -> dict[str, Any]:
    """A closing as it is shown; ``entry`` is its line in the ledger."""
    return {
        "entry": closing.entry,
        "state": str(closing.state),
        "at": closing.at,
        "rule": closing.rule,
        "version": closing.version,
        "policy": closing.policy,
        "measures": dict(closing.measures),
        "entriesRoot": closing.entries_root,
        "result": closing.details["result"],
        "difference": closing.details.get("difference"),
    }


def close_for(
    connection: Connection,
    audience: Audience,
    tenant: str,
    one: Scheme,
    who: About,
    *,
    now: datetime,
    chosen: Policy | None = None,
    reason: str | None = None,
) -> Closing:
    """Close the period of one rule for one subject in a tenant's ledger; with ``reason``, amend the last closing.

    Raises :class:`Conflict` before the grace is over, or when an amendment would change nothing.
    """
    rules = one.latest
    subject = _subject(audience, who, rules)
    try:
        if reason is None:
            return close(connection, tenant, rules, subject, now=now, chosen=chosen)
        return amend(connection, tenant, rules, subject, reason=reason, now=now, chosen=chosen)
    except PeriodError as exc:
        raise Conflict([NO_PERIOD.finding("period", found=exc.code, expected=exc.expected)], slug="period") from None


def reconcile_for(
    connection: Connection,
    audience: Audience,
    found: Sequence[Scheme],
    payer: Sequence[OutsideMeasure],
    *,
    as_of: datetime,
    chosen: Policy | None = None,
) -> list[dict[str, Any]]:
    """Compare each number of a payer's file with the ledger's, difference and known causes told.

    A number that no rule of the scheme counts from the ledger is given back as ``notCompared``.
    """
    out: list[dict[str, Any]] = []
    for given in payer:
        one = next(
            (
                scheme.latest
                for scheme in found
                if scheme.latest.subject.by == given.by
                and given.measure in scheme.latest.measures
                and scheme.latest.measures[given.measure].events is not None
            ),
            None,
        )
        told: dict[str, Any] = {"by": given.by, "subject": given.subject}
        if one is None or (given.start, given.end) != (one.period.start, one.period.end):
            out.append(told | {"measure": given.measure, "payer": int(given.value), "notCompared": True})
            continue
        audience.check_subject(given.by, given.subject)
        if chosen is not None:
            one = one.model_copy(update={"policy": chosen.name})
        subject = Subject(by=given.by, id=given.subject, tenants=audience.tenants)
        made = reconcile(connection, one, subject, measure=given.measure, payer=int(given.value), as_of=as_of)
        out.append(told | {"rule": one.id, "version": one.version} | made.as_json())
    return out


def funnel_for(
    connection: Connection,
    audience: Audience,
    who: About,
    *,
    since: str,
    until: str,
    as_of: datetime,
    chosen: Policy | None = None,
) -> Funnel:
    """From what was submitted to the DMP to what counts, over some days, under the default conditions of a feed."""
    from datetime import date

    by, named = ("rpps", who.professional) if who.professional else ("finess", who.structure)
    if named is None:
        raise Invalid([NO_SUBJECT.finding("professional", expected="professional, structure")], slug="subject-required")
    audience.check_subject(by, named)
    counting = chosen or policy("fr-default-1")
    start, end = date.fromisoformat(since), date.fromisoformat(until)
    today = as_of.astimezone(PARIS).date()
    pairs = lines_of(
        connection,
        Subject(by=by, id=named, tenants=audience.tenants),
        chosen=counting,
        kinds=["dmp.document"],
        start=start,
        end=max(end, today),
        as_of=as_of,
    )
    return documents(
        [one.line for one in pairs],
        chosen=counting,
        earlier=earlier_lineages(pairs),
        where=Where(states=frozenset(["accepted"]), ins_status=frozenset(["qualifiee"]), test=False),
        start=start,
        end=end,
        closes=max(end, today),
        basis="accepted",
    )
