"""Where does this indicator stand? One rule, one professional or structure, every version of the rule side by side."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from gateway.console.asking import ask, subject_of
from gateway.console.viewer import Viewer
from gateway.console.web import Page, Refusal, Route, page_of
from gateway.feeds.entry import PARIS
from gateway.feeds.evaluate import IndicatorResult, Quantity
from gateway.feeds.measures import Figures, figures
from gateway.feeds.periods import Closing, closings, state_of
from gateway.feeds.progress import Progress, progress
from gateway.feeds.scheme import Indicator, RuleSet
from gateway.feeds.scheme import Test as Condition
from gateway.problems import NotFound
from gateway.services.feeds_rules import catalogue, chosen_policy, scheme, schemes
from gateway.settings import Settings

__all__ = ["chosen_rules", "router", "scheme_of", "threshold"]

router = APIRouter(prefix="/console/indicators", include_in_schema=False, route_class=Route)

MARKS: Final = {
    "A": "texte officiel lu",
    "B": "source secondaire",
    "C": "non vérifié",
    "?": "non trouvé",
}
SUBJECTS: Final = {"rpps": "RPPS", "finess": "FINESS", "legal_finess": "FINESS juridique"}
PERIODS: Final = {
    "open": "Période en cours : chiffres provisoires.",
    "grace": "Période échue, délai de grâce en cours : chiffres provisoires.",
    "due": "Période échue, non clôturée : chiffres provisoires.",
    "closed": "Période close.",
    "amended": "Période close, puis rectifiée.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One indicator under one version of the rule, ready for the page."""

    indicator: Indicator
    result: IndicatorResult
    progress: Progress
    rate: Fraction | None
    threshold: Fraction | None
    paid: bool  #: False for a reading that is shown and never paid


def scheme_of(rules: RuleSet) -> tuple[str, str]:
    """The scheme (with its part) and the year by which a rule is asked for, in an address."""
    (one,) = schemes([rules])
    return (f"{one.name}.{one.part}" if one.part else one.name), str(one.year)


def chosen_rules(settings: Settings, name: str, year: str) -> list[RuleSet]:
    """Every version of a scheme's rule for a year, newest first.

    Raises :class:`Refusal` when there is none, or several parts: they have a name each.
    """
    found = []
    if year.isascii() and year.isdigit() and len(year) == 4:
        with contextlib.suppress(NotFound):
            found = scheme(settings, name, int(year))
    if not found:
        raise Refusal(
            404,
            "Aucune règle de ce nom pour cette année.",
            "Choisissez-la dans la liste des indicateurs ; une règle manquante s'ajoute par un fichier de règles.",
        )
    if len(found) > 1:
        parts = ", ".join(f"{one.name}.{one.part}" for one in found)
        raise Refusal(404, "Ce dispositif a plusieurs parties.", f"Nommez l'une d'elles : {parts}.")
    return sorted(found[0].versions, key=lambda one: -one.version)


def threshold(test: Condition | None) -> Fraction | None:
    """The bound that a rate must reach, when the test is a single one."""
    if test is None:
        return None
    return test.gte if test.gte is not None else test.gt


def shown(made: Figures, today: date) -> list[Shown]:
    """The indicators of a figure as the page shows them."""
    ways = progress(made.evaluation, today)
    out: list[Shown] = []
    for indicator, result, way in zip(made.rules.indicators, made.evaluation.indicators, ways, strict=True):
        award = indicator.award
        paid = award is not None and not (
            award.points == 0 and award.amount is None and award.per_unit is None and not award.tiers
        )
        out.append(
            Shown(
                indicator=indicator,
                result=result,
                progress=way,
                rate=result.value.number if isinstance(result.value, Quantity) else None,
                threshold=threshold(indicator.test),
                paid=paid,
            )
        )
    return out


def fits(viewer: Viewer, rules: RuleSet) -> bool:
    """Whether a rule may be about this viewer: a professional sees rules by RPPS, a structure by FINESS."""
    return rules.subject.by == {"professional": "rpps", "structure": "finess"}.get(viewer.role, rules.subject.by)


@router.get("")
async def index(request: Request) -> Response:
    """The list of rules, to choose one and whom it is about."""
    page = await page_of(request, lambda who: who.sees_lines)
    newest: dict[str, RuleSet] = {}
    for rules in catalogue(page.gateway.settings):
        if fits(page.viewer, rules) and (rules.id not in newest or newest[rules.id].version < rules.version):
            newest[rules.id] = rules
    listed = sorted(newest.values(), key=lambda one: (-one.period.end.year, one.title or one.id))
    return page.render(
        "indicators.html",
        listed=[(rules, *scheme_of(rules)) for rules in listed],
        subject=page.one("subject"),
        subjects=SUBJECTS,
        own=page.viewer.own_only,
    )


@router.get("/{name}/{year}")
async def indicator(request: Request, name: str, year: str) -> Response:
    """One rule for one subject: progress, missing number, forecast, both readings, before and after a change."""
    page = await page_of(request, lambda who: who.sees_lines)
    versions = chosen_rules(page.gateway.settings, name, year)
    subject = subject_of(page, versions[0].subject.by, page.one("subject"))
    values: dict[str, Any] = {
        "rules": versions[0],
        "scheme": scheme_of(versions[0])[0],
        "year": year,
        "subject": subject,
        "subjects": SUBJECTS,
        "marks": MARKS,
        "own": page.viewer.own_only,
    }
    if not subject.id:
        return page.render("indicator.html", figure=None, **values)
    now, policy = page.gateway.now(), chosen_policy(page.gateway.settings)

    def read(connection: Connection) -> tuple[list[Figures], list[Closing]]:
        made = [figures(connection, rules, subject, as_of=now, chosen=policy) for rules in versions]
        return made, closings(connection, versions[0].id, subject)

    made, closed = await ask(
        page,
        read,
        scope=scheme_scope(versions[0], subject.id, now),
        rows=lambda value: sum(len(one.parts) for one in value[0]),
    )
    return _answer(page, made, closed, values, now)


def scheme_scope(rules: RuleSet, subject: str, now: datetime) -> dict[str, Any]:
    """What an auditor's query was about, for its entry."""
    return {"rule": rules.id, "version": rules.version, "subject": subject, "as_of": now.isoformat()}


def _answer(page: Page, made: list[Figures], closed: list[Closing], values: dict[str, Any], now: datetime) -> Response:
    today = now.astimezone(PARIS).date()
    newest = made[0]
    funnels = [(name, one) for name, one in newest.measures.items() if one.funnel is not None]
    state = str(state_of(newest.rules.period, today, closed))
    return page.render(
        "indicator.html",
        figure=newest,
        indicators=shown(newest, today),
        versions=[(one, shown(one, today)) for one in made],
        funnels=funnels,
        state=PERIODS.get(state, state),
        today=today,
        as_of=now,
        closings=closed,
        nothing=all(one.value in (None, 0) for one in newest.measures.values()),
        **values,
    )
