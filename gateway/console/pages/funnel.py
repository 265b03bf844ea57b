"""Why this count and not another? From what was submitted to what counts, each loss with its reason and its lines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from gateway.console import words
from gateway.console.asking import ask, subject_of
from gateway.console.pages.indicators import SUBJECTS, fits, scheme_of, scheme_scope
from gateway.console.web import Page, Refusal, Route, page_of
from gateway.feeds.lines import line
from gateway.feeds.measures import Figures, Measured, Subject, figures
from gateway.feeds.policy import Funnel
from gateway.feeds.scheme import RuleSet
from gateway.services.feeds import key_of
from gateway.services.feeds_rules import catalogue, chosen_policy

__all__ = ["router", "steps"]

router = APIRouter(prefix="/console/funnel", include_in_schema=False, route_class=Route)

_MOST_LINES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the funnel."""

    count: int
    text: str
    part: str = ""  #: name by which its lines are asked for
    less: bool = False  #: taken away
    total: bool = False


def steps(funnel: Funnel, measured: Measured) -> list[Step]:
    """The funnel in the order it is read: totals, and between them what is taken away, largest first."""
    out = [Step(count=funnel.submitted, text="réponses reçues ou envois abandonnés", total=True)]

    def less(kind: str, losses: dict[str, int]) -> None:
        for reason, count in sorted(losses.items(), key=lambda item: (-item[1], item[0])):
            out.append(Step(count=count, text=words.named("reason", reason), part=f"{kind}/{reason}", less=True))

    less("refused", dict(funnel.refused))
    out.append(Step(count=funnel.accepted, text="acceptés par le service", total=True))
    less("repeats", dict(funnel.repeats))
    out.append(Step(count=funnel.lineages, text="documents ou actes distincts", total=True))
    less("excluded", {reason: count for reason, count in funnel.excluded.items() if not reason.startswith(_UNITLESS)})
    out.append(Step(count=len(funnel.countable), text="retenus par la règle", part="countable", total=True))
    if isinstance(measured.value, int) and measured.value != len(funnel.countable):
        out.append(Step(count=measured.value, text=_UNITS.get(measured.unit or "", "unités de compte"), total=True))
    return out


#: Left out after the count of lineages, when lines are grouped into patients or stays.
_UNITLESS: Final = ("excluded.no_patient", "excluded.no_encounter")
_UNITS: Final = {
    "patient_day": "jours-patients (un patient, un jour)",
    "patient": "patients différents",
    "encounter": "venues ou dispensations différentes",
    "message": "messages différents",
    "event": "remises, un message à plusieurs destinataires comptant pour chacun",
}


def _choice(page: Page) -> tuple[RuleSet | None, str, list[RuleSet]]:
    """The rule and the measure asked for, and the rules one may choose from (those that count something)."""
    counted = [
        rules
        for rules in catalogue(page.gateway.settings)
        if fits(page.viewer, rules) and any(one.events is not None for one in rules.measures.values())
    ]
    wanted, version = page.one("rule"), page.one("version")
    named = [one for one in counted if one.id == wanted and (not version or str(one.version) == version)]
    rules = max(named, key=lambda one: one.version) if named else None
    if wanted and rules is None:
        raise Refusal(404, "Cette règle n'existe pas.", "Choisissez-la dans la liste.")
    measure = page.one("measure")
    if rules is not None:
        known = [name for name, one in rules.measures.items() if one.events is not None]
        measure = measure if measure in known else known[0]
    return rules, measure, counted


async def _figures(page: Page, rules: RuleSet, subject: Subject, now: datetime, part: str = "") -> Figures:
    policy = chosen_policy(page.gateway.settings)
    scope = scheme_scope(rules, subject.id, now) | ({"part": part} if part else {})
    return await ask(
        page,
        lambda c: figures(c, rules, subject, as_of=now, chosen=policy),
        scope=scope,
        rows=lambda made: sum(one.funnel.submitted for one in made.measures.values() if one.funnel is not None),
    )


@router.get("")
async def funnel(request: Request) -> Response:
    """The funnel of one measure for one subject."""
    page = await page_of(request, lambda who: who.sees_lines)
    rules, measure, counted = _choice(page)
    values: dict[str, Any] = {
        "counted": sorted(counted, key=lambda one: (-one.period.end.year, one.title or one.id, -one.version)),
        "rules": rules,
        "measure": measure,
        "subjects": SUBJECTS,
        "own": page.viewer.own_only,
        "subject": None,
        "steps": None,
    }
    if rules is None:
        return page.render("funnel.html", **values)
    subject = subject_of(page, rules.subject.by, page.one("subject"))
    if not subject.id:
        return page.render("funnel.html", **(values | {"subject": subject}))
    made = await _figures(page, rules, subject, page.gateway.now())
    one = made.measures[measure]
    assert one.funnel is not None  # noqa: S101 - a measure of events has one, by its type
    here = urlencode({"rule": rules.id, "version": rules.version, "measure": measure, "subject": subject.id})
    scheme, year = scheme_of(rules)
    shown = steps(one.funnel, one)
    return page.render(
        "funnel.html",
        **(
            values
            | {
                "subject": subject,
                "steps": shown,
                "highest": max((step.count for step in shown), default=0),
                "here": here,
                "late": one.funnel.late_deletions,
                "policy": made.policy,
                "measures": [name for name, m in rules.measures.items() if m.events is not None],
                "indicator": f"/console/indicators/{scheme}/{year}?{urlencode({'subject': subject.id})}",
            }
        ),
    )


@router.get("/lines")
async def lines_of_part(request: Request) -> Response:
    """The lines behind one number of a funnel."""
    page = await page_of(request, lambda who: who.sees_lines)
    rules, measure, _ = _choice(page)
    if rules is None:
        raise Refusal(404, "Cette règle n'existe pas.", "Choisissez-la dans la liste.")
    subject = subject_of(page, rules.subject.by, page.one("subject"))
    part = page.one("part")
    made = await _figures(page, rules, subject, page.gateway.now(), part)
    found = made.measures[measure].funnel
    assert found is not None  # noqa: S101
    names = [one.line.entry_id for one in found.countable] if part == "countable" else found.behind.get(part)
    if names is None:
        raise Refusal(404, "Cette partie du comptage n'existe pas.", "Revenez au comptage et choisissez un nombre.")

    def read(connection: Connection) -> list[dict[str, Any]]:
        options: dict[str, Any] = {
            "tenants": page.viewer.tenants,
            "purpose": page.audience.pseudonym_purpose,
            "key_of": key_of(page.gateway.vault),
        }
        # These lines are those the figure credits to the subject, whom the viewer may see.
        shown = (line(connection, name, **options) for name in reversed(names[-_MOST_LINES:]))
        return [one for one in shown if one is not None]

    shown = await page.gateway.store.read(read)
    return page.render(
        "lines.html",
        lines=shown,
        sentence=_said(part, len(names), subject, rules, len(shown)),
        following="",
        first="",
    )


def _said(part: str, count: int, subject: Subject, rules: RuleSet, shown: int) -> str:
    reason = "retenus par la règle" if part == "countable" else words.named("reason", part.partition("/")[2])
    said = f"{words.plural(count, 'ligne')} de {subject.id} : {reason}. {rules.title or rules.id}."
    return said if shown == count else f"{said} Les {words.number(shown)} dernières."
