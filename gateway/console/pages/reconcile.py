"""Where do we differ from the payer? Both figures, the difference, and the readings that would explain it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from gateway.console.asking import ask, subject_of
from gateway.console.pages.indicators import SUBJECTS, chosen_rules, fits, scheme_of
from gateway.console.web import Page, Refusal, Route, form_of, page_of
from gateway.feeds.imports import ImportFault, OutsideMeasure, read_payer_file
from gateway.feeds.reconcile import ALWAYS
from gateway.feeds.scheme import RuleSet
from gateway.services.feeds_figures import reconcile_for
from gateway.services.feeds_rules import catalogue, chosen_policy, scheme, schemes

__all__ = ["router"]

router = APIRouter(prefix="/console/reconcile", include_in_schema=False, route_class=Route)

#: Figures of a payer's file compared while the browser waits.
_MOST: Final = 50


def _counted(rules: RuleSet) -> list[tuple[str, str]]:
    """The measures that the ledger counts, and what they are called."""
    return [(name, one.label or name) for name, one in rules.measures.items() if one.events is not None]


def _choices(page: Page) -> list[tuple[str, str]]:
    """The rules that count something from the ledger, by the name they have in an address."""
    out = []
    for one in schemes(catalogue(page.gateway.settings)):
        if fits(page.viewer, one.latest) and _counted(one.latest):
            out.append(("/".join(scheme_of(one.latest)), one.latest.title or one.latest.id))
    return out


def _rules(page: Page, asked: str) -> RuleSet | None:
    if not asked:
        return None
    name, _, year = asked.rpartition("/")
    return chosen_rules(page.gateway.settings, name, year)[0]


async def _compared(page: Page, rules: RuleSet, given: Sequence[OutsideMeasure]) -> list[dict[str, Any]]:
    name, year = scheme_of(rules)
    settings = page.gateway.settings
    found, chosen, now = scheme(settings, name, int(year)), chosen_policy(settings), page.gateway.now()
    return await ask(
        page,
        lambda c: reconcile_for(c, page.audience, found, given, as_of=now, chosen=chosen),
        scope={"reconciliation": name, "year": int(year), "numbers": len(given)},
        rows=len,
    )


def _shown(page: Page, rules: RuleSet | None, items: Sequence[dict[str, Any]] | None, **fields: str) -> Response:
    return page.render(
        "reconcile.html",
        choices=_choices(page),
        rules=rules,
        measures=_counted(rules) if rules else [],
        subjects=SUBJECTS,
        items=items,
        always=ALWAYS,
        own=page.viewer.own_only,
        csv_head="measure;by;subject;value;from;to",
        labels=dict(_counted(rules)) if rules else {},
        rule=fields.get("rule", ""),
        subject=fields.get("subject", ""),
        measure=fields.get("measure", ""),
        payer=fields.get("payer", ""),
        file=fields.get("file", ""),
    )


@router.get("")
async def one(request: Request) -> Response:
    """One figure of the payer's beside ours."""
    page = await page_of(request, lambda who: who.sees_lines)
    fields = {name: page.one(name) for name in ("rule", "subject", "measure", "payer")}
    rules = _rules(page, fields["rule"])
    items = None
    if rules is not None and fields["payer"]:
        payer = fields["payer"].replace(" ", "").replace("\u00a0", "").replace("\u202f", "")
        if not (payer.isascii() and payer.isdigit() and len(payer) <= 15):
            raise Refusal(422, "Le nombre du payeur n'est pas un entier.", "Donnez-le en chiffres : 540.")
        if fields["measure"] not in dict(_counted(rules)):
            raise Refusal(422, "Cette mesure n'est pas comptée par le journal.", "Choisissez-la dans la liste.")
        who = subject_of(page, rules.subject.by, fields["subject"])
        if not who.id:
            raise Refusal(422, "Il manque le professionnel ou la structure.", "Donnez son RPPS ou son FINESS.")
        given = OutsideMeasure(
            measure=fields["measure"],
            by=who.by,
            subject=who.id,
            value=int(payer),
            start=rules.period.start,
            end=rules.period.end,
        )
        items = await _compared(page, rules, [given])
    return _shown(page, rules, items, **fields)


@router.post("")
async def several(request: Request) -> Response:
    """A payer's file, pasted: each of its figures beside ours; nothing of it is kept."""
    page = await page_of(request, lambda who: who.sees_lines)
    form = await form_of(request, page.session.csrf)
    rules = _rules(page, form.get("rule", "")[:200])
    if rules is None:
        raise Refusal(422, "Aucune règle n'est choisie.", "Choisissez d'abord la règle.")
    file = form.get("file", "").strip()
    try:
        given = read_payer_file(file.encode())
    except ImportFault as exc:
        told = [f"Ligne {one.location.lstrip('/') or '1'} : {one.rule.message.fr}" for one in exc.verdict.findings[:5]]
        raise Refusal(422, "Ce fichier n'est pas lisible.", " ".join(told)) from None
    if len(given) > _MOST:
        raise Refusal(
            422, "Ce fichier est trop long pour une page.", f"{_MOST} nombres au plus ; l'interface en prend plus."
        )
    items = await _compared(page, rules, given)
    return _shown(page, rules, items, rule=form.get("rule", "")[:200], file=file)
