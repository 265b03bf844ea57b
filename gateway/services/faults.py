"""Faults of a JSON document, in words: each error of the hub model becomes a finding with its JSON pointer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from conformance.verdict import Finding, Severity, Text
from gateway.problems import rule

__all__ = ["doubts_of", "findings_of"]

MISSING = rule(
    "DOC-JSON-001",
    "Un membre obligatoire manque.",
    "A required member is missing.",
    "Ajoutez ce membre ; le format est décrit dans la référence du document.",
    "Add this member; the format is described in the document reference.",
    "hub model",
)
UNKNOWN = rule(
    "DOC-JSON-002",
    "Ce membre n'existe pas dans le format.",
    "This member does not exist in the format.",
    "Retirez-le ou corrigez son nom.",
    "Remove it or correct its name.",
    "hub model",
)
BAD_VALUE = rule(
    "DOC-JSON-003",
    "La valeur n'a pas la forme attendue.",
    "The value does not have the expected form.",
    "Corrigez la valeur d'après la forme attendue.",
    "Correct the value after the expected form.",
    "hub model",
)
UNKNOWN_KIND = rule(
    "DOC-JSON-004",
    "Ce type de document n'est pas connu.",
    "This kind of document is not known.",
    "Donnez dans kind : medical_summary, prescription, dispensation ou report.",
    "Give in kind: medical_summary, prescription, dispensation or report.",
    "hub model",
)
INCOHERENT = rule(
    "DOC-JSON-005",
    "Des membres se contredisent.",
    "Members contradict each other.",
    "Corrigez l'un des membres d'après ce qui est attendu.",
    "Correct one of the members after what is expected.",
    "hub model",
)

#: What the rules of coherence of the hub model expect, in words.
_EXPECTED = {
    "the end is before the start": Text("une fin après le début", "an end after the start"),
    "a substitution ban needs its motive": Text(
        "le motif de l'interdiction de substituer", "the motive of the substitution ban"
    ),
    "createdAt needs a time and an offset": Text("une date et une heure avec décalage", "a date and time with offset"),
    "the main act needs a period with its start": Text("le début de l'acte principal", "the start of the main act"),
    "the main act needs a performer": Text("l'exécutant de l'acte principal", "the performer of the main act"),
    "the content is not a PDF": Text("un fichier PDF", "a PDF file"),
    "the content is empty": Text("un contenu", "some content"),
    "not base64": Text("un texte en base64", "base64 text"),
    "a posology needs words or a structure": Text("un texte ou une structure", "words or a structure"),
    "no such date": Text("une date qui existe", "a date that exists"),
}

_DOSE = rule(
    "DOC-JSON-006",
    "La dose est un nombre sans unité, et rien ne dit de quoi : ni l'unité, ni la forme du médicament.",
    "The dose is a number without unit, and nothing says of what: neither the unit nor the form of the medicine.",
    "Donnez unit dans la dose (par exemple {tablet}, mg), ou form dans le médicament.",
    "Give unit in the dose (as {tablet}, mg), or form in the medicine.",
    "hub model",
)
DOSE_WITHOUT_UNIT = replace(_DOSE, severity=Severity.WARNING)

_KIND_ERRORS = {"union_tag_invalid", "union_tag_not_found"}
#: Names of the branches of a tagged union stand in pydantic's place but not in the JSON.
_TAGS = {"medical_summary", "prescription", "dispensation", "report", "other", "medication", "device", "every", "event"}


def _pointer(place: tuple[int | str, ...]) -> str:
    parts: list[str] = []
    for position, step in enumerate(place):
        if isinstance(step, str) and step in _TAGS and (position == 0 or isinstance(place[position - 1], int)):
            continue
        parts.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{part}" for part in parts)


def _expected(error: Any) -> str | None:
    context = error.get("ctx") or {}
    if "expected" in context:
        return str(context["expected"])
    if "pattern" in context:
        return f"forme {context['pattern']}"
    for key, word in (
        ("min_length", "au moins {} caractères"),
        ("max_length", "au plus {}"),
        ("ge", ">= {}"),
        ("le", "<= {}"),
        ("max_digits", "au plus {} chiffres"),
    ):
        if key in context:
            return word.format(context[key])
    return None


def findings_of(error: ValidationError, prefix: str = "") -> Iterator[Finding]:
    """The findings of a refused JSON document; no value of the document stands in them."""
    for fault in error.errors(include_url=False, include_input=False):
        place = prefix + _pointer(fault["loc"])
        kind = fault["type"]
        if kind == "missing":
            yield MISSING.finding(place)
        elif kind == "extra_forbidden":
            yield UNKNOWN.finding(place)
        elif kind in _KIND_ERRORS:
            at = place + "/kind"
            yield UNKNOWN_KIND.finding(at, expected=str((fault.get("ctx") or {}).get("expected_tags") or "") or None)
        elif kind == "value_error":
            said = str((fault.get("ctx") or {}).get("error", ""))
            known = _EXPECTED.get(said)
            yield INCOHERENT.finding(place, expected=known.fr if known else said or None)
        else:
            yield BAD_VALUE.finding(place, found=kind.replace("_", " "), expected=_expected(fault))


def doubts_of(document: Any) -> Iterator[Finding]:
    """What a document that is accepted leaves in doubt: a dose of nobody knows what."""
    if document.kind == "prescription":
        lines = [(f"/lines/{i}", line) for i, line in enumerate(document.lines) if line.kind == "medication"]
    elif document.kind == "medical_summary" and document.treatments is not None:
        lines = [(f"/treatments/entries/{i}", entry) for i, entry in enumerate(document.treatments.entries)]
    else:
        lines = []
    for place, line in lines:
        if line.posology.unsaid_unit(line.medication):
            yield DOSE_WITHOUT_UNIT.finding(f"{place}/posology")
