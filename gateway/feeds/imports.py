"""Numbers that come from elsewhere: a payer's denominators, a program's counts, a professional's declarations.

Each becomes an entry of the ledger with its origin, so that a figure names what it rests on. A later import for the
same period replaces the former for new figures; both stay in the ledger.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, select

from conformance.verdict import Finding, Rule, Text, Verdict
from gateway.feeds.entry import LedgerEntry, entry_id
from gateway.feeds.ledger import record
from gateway.feeds.tables import entries
from security import json
from security.errors import UnsafeInput

__all__ = ["RULES", "ImportFault", "OutsideMeasure", "read_payer_file", "record_measures"]

_FIX = Text("Corrigez le fichier et importez-le de nouveau.", "Mend the file and import it again.")
_SOURCE = "incentives 6.4"

UNREADABLE: Final = Rule(
    code="FEED-IMPORT-001",
    message=Text("Le fichier n'est pas lisible.", "The file cannot be read."),
    fix=_FIX,
    source=_SOURCE,
)
MALFORMED: Final = Rule(
    code="FEED-IMPORT-002",
    message=Text("Une ligne n'a pas la forme voulue.", "A line does not have its form."),
    fix=_FIX,
    source=_SOURCE,
)
UNKNOWN_SUBJECT: Final = Rule(
    code="FEED-IMPORT-003",
    message=Text(
        "Ce professionnel ou cette structure est inconnu du journal.",
        "This professional or structure is unknown to the ledger.",
    ),
    fix=Text(
        "Vérifiez l'identifiant ; une personne sans aucune écriture n'a pas de taux à calculer.",
        "Check the identifier; a person without any entry has no rate to compute.",
    ),
    source=_SOURCE,
)
OVERLAP: Final = Rule(
    code="FEED-IMPORT-004",
    message=Text(
        "Une mesure déjà importée couvre une partie de ces jours.",
        "A measure already imported covers some of these days.",
    ),
    fix=Text(
        "Importez la mesure pour la même période que la précédente, ou pour une période disjointe.",
        "Import the measure for the same period as before, or for a separate one.",
    ),
    source=_SOURCE,
)
#: All of them, for the reference page.
RULES: Final = (UNREADABLE, MALFORMED, UNKNOWN_SUBJECT, OVERLAP)

_HEADS: Final = ("measure", "by", "subject", "value", "from", "to")
_MOST_LINES: Final = 500_000


class ImportFault(ValueError):
    """Nothing was imported; ``verdict`` lists every faulty line."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.verdict = Verdict.of(findings)
        super().__init__(f"{self.verdict.findings[0].code} {self.verdict.findings[0].location}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideMeasure:
    """One number from elsewhere, for one subject and one period (days in Europe/Paris, both included)."""

    measure: str
    by: str  #: rpps, finess, legal_finess
    subject: str
    value: int | bool
    start: date
    end: date | None
    declared: bool = False  #: declared by the professional, in force from start to end, rather than imported


def _one(values: dict[str, Any], place: str) -> OutsideMeasure | Finding:
    if set(values) != set(_HEADS):
        return MALFORMED.finding(place, expected=", ".join(_HEADS))
    if values["by"] not in ("rpps", "finess", "legal_finess"):
        return MALFORMED.finding(f"{place}/by", expected="rpps, finess, legal_finess")
    text = str(values["value"]).strip()
    # An int() would take "1_000", " 12 " or other digits.
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        return MALFORMED.finding(f"{place}/value", expected="un nombre entier positif ou nul")
    days: list[date] = []
    for name in ("from", "to"):
        try:
            # Only plain days: a time with its zone would be another day somewhere.
            days.append(date.fromisoformat(str(values[name])) if len(str(values[name])) == 10 else _not_a_day())
        except ValueError:
            return MALFORMED.finding(f"{place}/{name}", expected="un jour, 2026-01-31")
    if days[0] > days[1]:
        return MALFORMED.finding(f"{place}/to", expected="un jour qui ne précède pas from")
    for name in ("measure", "subject"):
        if not isinstance(values[name], str) or not values[name].replace("_", "").isalnum():
            return MALFORMED.finding(f"{place}/{name}", expected="un nom ou un identifiant")
    return OutsideMeasure(
        measure=values["measure"],
        by=values["by"],
        subject=values["subject"],
        value=int(text),
        start=days[0],
        end=days[1],
    )


def _not_a_day() -> date:
    raise ValueError("not a day")


def read_payer_file(data: bytes) -> list[OutsideMeasure]:
    """Read a payer's file: CSV (``;`` or ``,``) with the columns measure, by, subject, value, from, to, or JSON.

    Raises :class:`ImportFault` with every faulty line; nothing is half read.
    """
    rows: Iterable[dict[str, Any]]
    try:
        if data.lstrip()[:1] in (b"[", b"{"):
            tree = json.loads(data)
            rows = tree if isinstance(tree, list) else tree["measures"]
        else:
            text = data.decode("utf-8-sig")
            delimiter = ";" if ";" in text.partition("\n")[0] else ","
            rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True))
    except (UnsafeInput, UnicodeDecodeError, csv.Error, KeyError, TypeError) as exc:
        raise ImportFault([UNREADABLE.finding(expected="CSV ou JSON")]) from exc
    if not isinstance(rows, list) or not rows or len(rows) > _MOST_LINES:
        raise ImportFault([UNREADABLE.finding(expected=f"de 1 à {_MOST_LINES} lignes")])
    read = [
        _one(values, f"/{number}")
        if isinstance(values, dict) and all(isinstance(name, str) for name in values)
        else MALFORMED.finding(f"/{number}", expected=", ".join(_HEADS))
        for number, values in enumerate(rows, 1)
    ]
    faults = [one for one in read if isinstance(one, Finding)]
    if faults:
        raise ImportFault(faults)
    return [one for one in read if isinstance(one, OutsideMeasure)]


def _column(by: str) -> Any:
    return {
        "rpps": entries.c.actor_rpps,
        "finess": entries.c.structure_finess,
        "legal_finess": entries.c.legal_finess,
    }[by]


def _known(connection: Connection, tenant: str, one: OutsideMeasure) -> bool:
    query = (
        select(entries.c.id)
        .where(_column(one.by) == one.subject, entries.c.tenant == tenant, entries.c.kind.not_in(["measure.imported"]))
        .limit(1)
    )
    return connection.execute(query).first() is not None


def _overlaps(connection: Connection, tenant: str, one: OutsideMeasure, origin: str) -> bool:
    query = select(entries.c.details).where(
        _column(one.by) == one.subject,
        entries.c.kind == "measure.imported",
        entries.c.state == "imported",
        entries.c.tenant == tenant,
    )
    start, end = one.start.isoformat(), str(one.end)
    for text in connection.execute(query).scalars():
        old = orjson.loads(text)
        if (old["measure"], old["origin"]) != (one.measure, origin) or (old["from"], old["to"]) == (start, end):
            continue
        if old["from"] <= end and start <= old["to"]:
            return True
    return False


def record_measures(
    connection: Connection,
    tenant: str,
    measures: Sequence[OutsideMeasure],
    *,
    origin: str,
    now: datetime,
    allow_unknown: bool = False,
) -> list[str]:
    """Enter numbers from elsewhere, all or none; gives the identifiers of their entries.

    ``origin`` says who gave them (``cnam``, ``lgo``, ``declared``). The same file again enters nothing new. Raises
    :class:`ImportFault` for subjects without any entry (unless allowed) and for periods that overlap an earlier one.
    """
    faults: list[Finding] = []
    for number, one in enumerate(measures, 1):
        if not allow_unknown and not one.declared and not _known(connection, tenant, one):
            faults.append(UNKNOWN_SUBJECT.finding(f"/{number}/subject"))
        elif not one.declared and _overlaps(connection, tenant, one, origin):
            faults.append(OVERLAP.finding(f"/{number}"))
    if faults:
        raise ImportFault(faults)
    out: list[str] = []
    for one in measures:
        details: dict[str, Any] = {
            "measure": one.measure,
            "origin": origin,
            "value": one.value,
            "from": one.start.isoformat(),
            "to": None if one.end is None else one.end.isoformat(),
        }
        state = "declared" if one.declared else "imported"
        operation = f"{one.by}/{one.subject}/{orjson.dumps(details, option=orjson.OPT_SORT_KEYS).decode()}"
        out.append(
            record(
                connection,
                tenant,
                LedgerEntry(
                    entry_id=entry_id(f"import/{origin}", operation, 1, state),
                    kind="measure.imported",
                    state=state,
                    recorded_at=now,
                    actor_rpps=one.subject if one.by == "rpps" else None,
                    structure_finess=one.subject if one.by == "finess" else None,
                    legal_finess=one.subject if one.by == "legal_finess" else None,
                    details=details,
                ),
            )
        )
    return out
