"""Comparing with the payer: both figures, the difference, and how much of it each known cause would explain.

Nothing here says who is right. The count is made again under each other reading the texts allow; a reading that gives
the payer's very number is the likely cause, and what none explains is said to be unexplained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from gateway.feeds.measures import Figures, Subject, figures
from gateway.feeds.policy import POLICIES, Funnel
from gateway.feeds.scheme import Measure, RuleSet

__all__ = ["ALWAYS", "Reading", "Reconciliation", "reconcile"]

#: Causes the gateway cannot measure, always named (incentives note, 6.4).
ALWAYS: Final = (
    "autre logiciel employé par le même professionnel",
    "saisie directe par le site du DMP",
    "suppression faite hors de la passerelle",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The same entries counted another way."""

    code: str
    words: str  #: in French
    value: int
    matches: bool  #: gives the payer's very number


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """One measure of one subject, seen by both."""

    measure: str
    payer: int
    gateway: int
    readings: tuple[Reading, ...]

    @property
    def difference(self) -> int:
        """Payer less gateway."""
        return self.payer - self.gateway

    @property
    def causes(self) -> tuple[Reading, ...]:
        """The readings that give the payer's number."""
        return tuple(reading for reading in self.readings if reading.matches)

    def as_json(self) -> dict[str, Any]:
        """The comparison as it is shown."""
        return {
            "measure": self.measure,
            "payer": self.payer,
            "gateway": self.gateway,
            "difference": self.difference,
            "readings": [
                {"code": one.code, "words": one.words, "value": one.value, "matches": one.matches}
                for one in self.readings
            ],
            "explained": self.difference == 0 or bool(self.causes),
            "notMeasured": list(ALWAYS),
        }


def _with(rules: RuleSet, name: str, **changes: Any) -> RuleSet:
    measure: Measure = rules.measures[name].model_copy(update=changes)
    return rules.model_copy(update={"measures": {**rules.measures, name: measure}})


def _without(measure: Measure, key: str) -> dict[str, Any]:
    return {one: value for one, value in measure.where.items() if one != key}


def reconcile(
    connection: Connection, rules: RuleSet, subject: Subject, *, measure: str, payer: int, as_of: datetime
) -> Reconciliation:
    """Compare the payer's number for a measure counted from the ledger with ours, under every other reading.

    Raises ``LookupError`` when the rule has no such measure counted from documents.
    """
    chosen = rules.measures.get(measure)
    if chosen is None or chosen.events is None:
        raise LookupError("FEED-RECONCILE-001: the rule counts no such measure from the ledger")

    def number(other: RuleSet, **more: Any) -> int:
        made: Figures = figures(connection, other, subject, as_of=as_of, **more)
        return int(made.measures[measure].value or 0)

    own = figures(connection, rules, subject, as_of=as_of)
    ours = int(own.measures[measure].value or 0)
    funnel = own.measures[measure].funnel or Funnel()
    values: list[tuple[str, str, int]] = []
    for unit, words in (
        ("lineage", "en documents distincts (lignées)"),
        ("patient_day", "en jours-patients"),
        ("patient", "en patients distincts"),
    ):
        if chosen.unit != unit and chosen.events == "dmp.document":
            values.append((f"unit.{unit}", f"unité : {words}", number(_with(rules, measure, unit=unit))))
    for basis, words in (("occurred", "à la date de l'acte"), ("submitted", "à la date d'envoi")):
        if rules.period.basis != basis:
            dated = rules.model_copy(update={"period": rules.period.model_copy(update={"basis": basis})})
            values.append((f"basis.{basis}", f"période : {words}", number(dated)))
    if "ins_status" in chosen.where:
        lax = _with(rules, measure, where=_without(chosen, "ins_status"))
        values.append(("ins", "INS non qualifiées comprises", number(lax)))
    policy = own.policy
    if not policy.count_test:
        lax = _with(rules, measure, where=_without(chosen, "test"))
        values.append(("test", "identités de test comprises", number(lax, chosen=replace(policy, count_test=True))))
    if not policy.credit_substituted:
        substituted = replace(policy, credit_substituted=POLICIES["fr-substituted-1"].credit_substituted)
        values.append(("substitute", "remplaçants comptés au remplacé", number(rules, chosen=substituted)))
    if not policy.credit_co_authors:
        shared = replace(policy, credit_co_authors=True)
        values.append(("co_authors", "tous les auteurs comptés", number(rules, chosen=shared)))
    deleted = funnel.excluded.get("deleted_by_author", 0)
    versions, masks = funnel.repeats.get("new_version", 0), funnel.repeats.get("metadata_only", 0)
    values += [
        ("deleted", "documents supprimés par leur auteur compris", ours + deleted),
        ("versions", "nouvelles versions comptées", ours + versions),
        ("masks", "masquages comptés", ours + masks),
        ("accepted", "toutes les réponses positives comptées", funnel.accepted),
        ("late", "suppressions après la clôture retirées", ours - funnel.late_deletions),
    ]
    return Reconciliation(
        measure=measure,
        payer=payer,
        gateway=ours,
        readings=_distinct(values, ours, payer),
    )


def _distinct(values: Sequence[tuple[str, str, int]], ours: int, payer: int) -> tuple[Reading, ...]:
    """Readings that differ from ours, the closest to the payer's number first."""
    made = [
        Reading(code=code, words=words, value=value, matches=value == payer)
        for code, words, value in values
        if value != ours
    ]
    return tuple(sorted(made, key=lambda one: (abs(one.value - payer), one.code)))
