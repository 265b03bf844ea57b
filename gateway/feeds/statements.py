"""Statements: what one professional or structure was counted, why, under which rule, as JSON and as PDF/A.

A statement is provisional until its period is closed. It is a second, independent measure beside the payer's own: it
explains a gap or supports a claim, and is never the paid amount itself (incentives note, 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from gateway.feeds.entry import PARIS
from gateway.feeds.export import NOTES
from gateway.feeds.heads import SignedHead
from gateway.feeds.measures import Figures
from gateway.feeds.periods import Closing, State, reevaluate, state_of
from gateway.feeds.progress import french_day, french_number, progress

__all__ = ["REASONS", "reason_words", "statement", "statement_pdf"]

#: What each line of a funnel is called on paper.
REASONS: Final = {
    "new_version": "nouvelle version d'un document déjà compté",
    "metadata_only": "masquage ou changement de visibilité seulement",
    "duplicate": "envoi d'un contenu identique",
    "earlier_period": "version d'un document compté dans une période antérieure",
    "partial": "exécution partielle d'une ordonnance déjà comptée",
    "excluded.test": "identité ou plateforme de test",
    "excluded.not_test": "hors plateforme de test",
    "excluded.ins": "INS non qualifiée",
    "excluded.ald": "patient hors de la liste des ALD",
    "excluded.no_patient": "sans patient identifiable",
    "excluded.no_encounter": "sans venue ni dispensation identifiable",
    "deleted_by_author": "supprimé par son auteur avant la clôture",
    "cancelled": "ordonnance annulée",
    "rejected": "refusé par le service",
    "abandoned": "abandonné après plusieurs tentatives",
    "expired": "jamais parti, délai dépassé",
    "withdrawn": "retiré par l'émetteur",
    "failed": "échec de remise",
    "dmp_closed": "DMP fermé",
    "opposition": "opposition du patient",
    "identity_not_qualified": "identité non qualifiée",
}
_STATES: Final = {
    State.OPEN: "Période en cours : chiffres provisoires.",
    State.GRACE: "Période échue, délai de grâce en cours : chiffres provisoires.",
    State.DUE: "Période échue, non clôturée : chiffres provisoires.",
    State.CLOSED: "Période close.",
    State.AMENDED: "Période close, puis rectifiée.",
}
_MARKS: Final = {
    "A": "texte officiel lu",
    "B": "source secondaire",
    "C": "non vérifié",
    "?": "non trouvé",
}


def reason_words(code: str) -> str:
    """A reason in French words; the code itself when nobody has named it yet."""
    return REASONS.get(code, code)


def statement(
    made: Figures,
    *,
    closings: Sequence[Closing] = (),
    heads: Sequence[SignedHead] = (),
    number: str,
) -> dict[str, Any]:
    """The statement of a figure, as JSON: the rule and its trust, the policy, the make-up of each number, the result.

    Once closed, the closed counts are stated, worked out under the rule given. ``number`` identifies the statement.
    """
    rules, today = made.rules, made.as_of.astimezone(PARIS).date()
    state = state_of(rules.period, today, list(closings))
    closed = closings[-1] if closings else None
    evaluation = made.evaluation if closed is None else reevaluate(closed, rules)
    measures: dict[str, Any] = {}
    for name, one in made.measures.items():
        kept = None if closed is None else closed.details["measures"].get(name)
        value = one.value if closed is None else (kept or {}).get("value")
        shown: dict[str, Any] = {
            "label": rules.measures[name].label or name,
            "value": value,
            "source": one.source,
            "unit": one.unit,
            "origin": one.origin,
        }
        if kept is not None and "funnel" in kept:
            shown["funnel"] = kept["funnel"]
        elif closed is None and one.funnel is not None:
            shown["funnel"] = one.funnel.as_json()
        measures[name] = shown
    return {
        "schema": "feed-statement/1",
        "number": number,
        "asOf": made.as_of.isoformat(),
        "subject": {"by": made.subject.by, "id": made.subject.id, "structure": made.subject.structure},
        "state": str(state),
        "provisional": closed is None,
        "rule": {
            "id": rules.id,
            "version": rules.version,
            "title": rules.title or rules.id,
            "published": rules.published.isoformat(),
            "period": {
                "from": rules.period.start.isoformat(),
                "to": rules.period.end.isoformat(),
                "basis": rules.period.basis,
                "graceDays": rules.period.grace_days,
            },
            "notes": list(rules.notes),
        },
        "policy": {"name": made.policy.name, "cases": list(made.policy.cases)},
        "measures": measures,
        "parts": dict(made.parts),
        "result": evaluation.as_json(),
        "progress": [one.as_json() for one in progress(evaluation, today)],
        "closings": [
            {
                "entry": one.entry,
                "state": str(one.state),
                "at": one.at,
                "version": one.version,
                "entriesRoot": one.entries_root,
            }
            for one in closings
        ],
        "heads": [head.as_json() for head in heads],
        "notes": list(NOTES),
    }


def statement_pdf(stated: dict[str, Any], *, created: datetime) -> bytes:
    """A statement on paper, PDF/A-1b, from its JSON: the same numbers, in French sentences and tables."""
    from mappings.rendering.pdfa import PdfMeta
    from mappings.rendering.view import Fact, Group, Section, View, bullets, grid, paragraph
    from mappings.rendering.view_pdf import view_pdf

    rule, period = stated["rule"], stated["rule"]["period"]
    subject = stated["subject"]
    who = {"rpps": "RPPS", "finess": "FINESS", "legal_finess": "FINESS juridique"}[subject["by"]]
    days = [french_day(datetime.fromisoformat(period[end]).date()) for end in ("from", "to")]
    trust = stated["result"]["trust"]
    notices = [_STATES[State(stated["state"])]]
    if trust["unverified"]:
        notices.append("Règle non vérifiée en partie : voir ses sources avant tout usage.")
    groups = (
        Group("Relevé", (Fact("Numéro", stated["number"]), Fact("État au", _moment(stated["asOf"])))),
        Group(
            "Bénéficiaire",
            (Fact(who, subject["id"]), *((Fact("Site", subject["structure"]),) if subject["structure"] else ())),
        ),
        Group(
            "Règle",
            (
                Fact("", rule["title"]),
                Fact("Identifiant", f"{rule['id']}, version {rule['version']}"),
                Fact("Période", f"du {days[0]} au {days[1]}"),
            ),
        ),
        Group("Comptage", (Fact("Politique", stated["policy"]["name"]),)),
    )
    total = stated["result"]["total"]
    results: list[tuple[str, ...]] = [
        (
            one["label"],
            one["percent"] or "",
            {True: "atteint", False: "non atteint", None: "non calculable"}[one["met"]],
            "" if one["missing"] in (None, 0) else french_number(one["missing"]),
            _money(line["amount"]),
        )
        for one, line in zip(stated["progress"], stated["result"]["indicators"], strict=True)
    ]
    sections = [
        Section(
            "Résultat",
            (
                grid(("Indicateur", "Taux", "Résultat", "Manque", "Euros"), results),
                paragraph(
                    f"Total : {_money(total['amount'])}" + (f", {total['points']} points" if total["points"] else ""),
                    bold=True,
                ),
                bullets(*(one["sentence"] for one in stated["progress"])),
            ),
        ),
        Section("Mesures", (grid(("Mesure", "Nombre", "Provenance"), _measures(stated)),)),
    ]
    for one in stated["measures"].values():
        if "funnel" in one:
            rows = _funnel(one["funnel"])
            sections.append(Section(f"Du dépôt au compte : {one['label']}", (grid(("Étape", "Nombre"), rows),)))
    if len(stated["parts"]) > 1:
        rows = [(place or "sans site", french_number(number)) for place, number in sorted(stated["parts"].items())]
        sections.append(Section("Documents acceptés par site", (grid(("FINESS", "Nombre"), rows),)))
    forecasts = [
        f"{one['label']} : {french_number(one['forecast']['value'])} {one['forecast']['assumption']}."
        for one in stated["progress"]
        if one["forecast"]
    ]
    if forecasts:
        sections.append(Section("Prévision", (bullets(*forecasts),)))
    sections.append(Section("Comment ce compte est fait", (bullets(*stated["policy"]["cases"]),)))
    if rule["notes"]:
        sections.append(Section("Hypothèses de la règle", (bullets(*rule["notes"]),)))
    sources = [f"{one['text']} ({_MARKS[one['mark']]})" for one in trust["sources"]]
    sections.append(Section("Sources de la règle", (bullets(*sources),)))
    sections.append(Section("À savoir", (bullets(*stated["notes"]),)))
    if stated["heads"]:
        rows = [(one["chain"], str(one["size"]), one["root"], one["signed_at"]) for one in stated["heads"]]
        sections.append(Section("Têtes signées du journal", (grid(("Chaîne", "Taille", "Racine", "Signée"), rows),)))
    title = "Relevé d'alimentation"
    view = View(
        title=title,
        kind=rule["title"],
        date=stated["asOf"],
        author="Passerelle",
        groups=groups,
        sections=tuple(sections),
        notices=tuple(notices),
    )
    return view_pdf(view, PdfMeta(title=title, created=created, author="Passerelle"))


def _moment(text: str) -> str:
    local = datetime.fromisoformat(text).astimezone(PARIS)
    return f"{french_day(local.date())}, {local.hour} h {local.minute:02d}"


def _money(amount: str | None) -> str:
    if amount is None:
        return "non calculable"
    whole, _, cents = amount.partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{french_number(int(digits))},{cents}\u00a0€"


def _measures(stated: dict[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for one in stated["measures"].values():
        value = one["value"]
        shown = "absente" if value is None else ("oui" if value else "non") if isinstance(value, bool) else None
        origin = {"ledger": "journal de la passerelle", "imported": "importée", "declared": "déclarée"}[one["source"]]
        if one["origin"]:
            origin += f" ({one['origin']})"
        rows.append((one["label"], shown if shown is not None else french_number(value), origin))
    return rows


def _funnel(funnel: dict[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("Réponses reçues", french_number(funnel["submitted"]))]
    rows += [(f"- {reason_words(code)}", french_number(number)) for code, number in funnel["refused"].items()]
    rows.append(("Acceptés", french_number(funnel["accepted"])))
    rows += [(f"- {reason_words(code)}", french_number(number)) for code, number in funnel["repeats"].items()]
    rows.append(("Lignées", french_number(funnel["lineages"])))
    rows += [(f"- {reason_words(code)}", french_number(number)) for code, number in funnel["excluded"].items()]
    rows.append(("Comptés", french_number(funnel["countable"])))
    if funnel["lateDeletions"]:
        rows.append(("Supprimés après la clôture (signalés, non retirés)", french_number(funnel["lateDeletions"])))
    return rows
