"""Counting policies: which entries make one unit of a figure, and why the others do not. Pure.

No public text settles the counting unit; each case below is a choice, named and versioned, printed with every figure
(incentives note, 5.2). A figure always comes with what was left out, by reason, so that it can be redone by hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final, NamedTuple

__all__ = ["POLICIES", "Countable", "Funnel", "Line", "Policy", "Where", "documents", "events", "policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One way of counting, under a name that never changes its meaning."""

    name: str
    count_test: bool = False  #: count test identities (rehearsal platforms only)
    credit_substituted: bool = False  #: a substitute's documents count for the doctor substituted
    credit_co_authors: bool = False  #: one document counts for each of its authors, not for the first alone
    cases: tuple[str, ...] = ()  #: the policy in sentences, in French, as printed


_CASES = (
    "Un même document envoyé deux fois, à contenu égal, compte une fois ; le second est un doublon.",
    "Une nouvelle version ne compte pas : la lignée compte une fois, à la date de sa première acceptation.",
    "Un masquage, un démasquage ou un changement de visibilité ne compte pas.",
    "Un document supprimé par son auteur avant la clôture ne compte pas ; après la clôture, le compte clos demeure "
    "et la suppression est signalée dans la période ouverte.",
    "Un document supprimé ou archivé par le patient compte : le professionnel l'a alimenté.",
    "Un refus du DMP, une opposition ou un DMP fermé ne compte pas, et se montre à part.",
    "Une INS non qualifiée ne compte pas quand la règle l'exige ; une lignée remplit une condition dès qu'une de ses "
    "versions acceptées la remplit.",
    "Un document de plusieurs auteurs compte pour l'auteur légal seul.",
    "Un remplaçant compte pour lui-même ; un délégué compte pour le professionnel.",
    "Le même document au DMP et par MSSanté compte une fois dans chaque famille.",
    "Un message à plusieurs destinataires est un message ; la règle choisit l'unité.",
    "Une ordonnance exécutée en plusieurs fois compte une fois.",
)

POLICIES: Final[Mapping[str, Policy]] = {
    one.name: one
    for one in (
        Policy(
            name="fr-default-1",
            cases=(*_CASES, "Une identité, un certificat ou une plateforme de test ne compte pas."),
        ),
        Policy(
            name="fr-substituted-1",
            credit_substituted=True,
            cases=(
                *(case.replace("compte pour lui-même", "compte pour le médecin remplacé") for case in _CASES),
                "Une identité, un certificat ou une plateforme de test ne compte pas.",
            ),
        ),
        Policy(
            name="fr-rehearsal-1",
            count_test=True,
            cases=(*_CASES, "Plateforme d'essai : les identités de test comptent."),
        ),
    )
}


def policy(name: str) -> Policy:
    """The policy of that name; raises ``LookupError`` for an unknown one, for a guess would be a wrong figure."""
    try:
        return POLICIES[name]
    except KeyError:
        raise LookupError(f"FEED-POLICY-001: unknown counting policy, expected one of {', '.join(POLICIES)}") from None


class Line(NamedTuple):
    """What counting needs of an entry; ``occurred``, ``submitted``, ``accepted`` are days in Europe/Paris."""

    entry_id: str
    kind: str
    state: str
    day: date
    occurred: date | None
    submitted: date | None
    accepted: date | None
    patient: str | None = None
    encounter: str | None = None
    lineage: str | None = None
    content: str | None = None
    message: str | None = None
    doc_type: str | None = None
    doc_type_system: str | None = None
    doc_format: str | None = None
    ins_status: str | None = None
    test: bool = False
    ald_listed: bool | None = None
    recipient_class: str | None = None
    recipients: int | None = None
    care_mode: str | None = None
    care_place: str | None = None
    actor_role: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The conditions of a measure, made ready: what is not concerned at all, and what is excluded and shown."""

    states: frozenset[str]
    ins_status: frozenset[str] | None = None
    test: bool | None = None
    ald_listed: bool | None = None
    doc_pairs: frozenset[tuple[str, str]] = frozenset()
    doc_codes: frozenset[str] = frozenset()
    others: Mapping[str, frozenset[object]] = field(default_factory=dict)

    def concerns(self, line: Line) -> bool:
        """Whether the measure is about this entry at all: its document type, recipient, mode of care..."""
        if (self.doc_pairs or self.doc_codes) and not (
            (line.doc_type, line.doc_type_system) in self.doc_pairs
            or line.doc_type in self.doc_codes
            # An entry without its code system is matched by the code alone.
            or (line.doc_type_system is None and any(code == line.doc_type for code, _ in self.doc_pairs))
        ):
            return False
        return all(getattr(line, name) in accepted for name, accepted in self.others.items())

    def exclusion(self, line: Line, chosen: Policy) -> str | None:
        """Why an entry the measure is about does not count, or None when it does."""
        if line.test and not chosen.count_test:
            return "excluded.test"
        if self.test is False and line.test and not chosen.count_test:
            return "excluded.test"
        if self.test is True and not line.test:
            return "excluded.not_test"
        if self.ins_status is not None and line.ins_status not in self.ins_status:
            return "excluded.ins"
        if self.ald_listed is not None and bool(line.ald_listed) is not self.ald_listed:
            return "excluded.ald"
        return None


class Countable(NamedTuple):
    """One lineage (or event) that counts, dated."""

    key: str
    day: date
    line: Line


@dataclass(slots=True, kw_only=True)
class Funnel:
    """From what was submitted to what counts: every loss has its reason, and the sums fall right."""

    submitted: int = 0  #: answers received, good or bad, and attempts given up
    refused: Counter[str] = field(default_factory=Counter)  #: by reason (or state when none was given)
    accepted: int = 0  #: positive answers
    repeats: Counter[str] = field(default_factory=Counter)  #: new_version, metadata_only, duplicate, earlier_period
    lineages: int = 0
    excluded: Counter[str] = field(default_factory=Counter)  #: excluded.test, excluded.ins, deleted_by_author...
    countable: list[Countable] = field(default_factory=list)
    not_concerned: int = 0  #: entries of another type of document, not in the funnel
    late_deletions: int = 0  #: by the author after the close: flagged, not subtracted
    #: Entries behind each number, by ``refused/reason``, ``repeats/reason`` or ``excluded/reason``.
    behind: dict[str, list[str]] = field(default_factory=dict)

    def copy(self) -> Funnel:
        """Another of the same, for a measure that leaves out more by its unit."""
        return replace(
            self,
            refused=self.refused.copy(),
            repeats=self.repeats.copy(),
            excluded=self.excluded.copy(),
            countable=self.countable.copy(),
            behind={reason: list(behind) for reason, behind in self.behind.items()},
        )

    def refuse(self, reason: str, line: Line) -> None:
        """Count an entry that was not accepted."""
        self.refused[reason] += 1
        self.behind.setdefault(f"refused/{reason}", []).append(line.entry_id)

    def repeat(self, reason: str, line: Line) -> None:
        """Count an accepted entry that adds nothing."""
        self.repeats[reason] += 1
        self.behind.setdefault(f"repeats/{reason}", []).append(line.entry_id)

    def exclude(self, reason: str, line: Line) -> None:
        """Count a lineage (or event) that a condition leaves out."""
        self.excluded[reason] += 1
        self.behind.setdefault(f"excluded/{reason}", []).append(line.entry_id)

    def as_json(self) -> dict[str, object]:
        """The funnel as it is shown."""
        return {
            "submitted": self.submitted,
            "refused": dict(sorted(self.refused.items())),
            "accepted": self.accepted,
            "repeats": dict(sorted(self.repeats.items())),
            "lineages": self.lineages,
            "excluded": dict(sorted(self.excluded.items())),
            "countable": len(self.countable),
            "lateDeletions": self.late_deletions,
        }


_REFUSED: Final = frozenset("rejected abandoned expired failed withdrawn".split())
_POSITIVE: Final = frozenset("accepted metadata_changed".split())
#: Reasons of a deletion that is the patient's own doing.
_BY_PATIENT: Final = frozenset("by_patient patient archived_by_patient".split())


def _dated(line: Line, basis: str) -> date:
    if basis == "occurred":
        return line.occurred or line.submitted or line.day
    if basis == "submitted":
        return line.submitted or line.day
    return line.accepted or line.day


def documents(
    lines: Sequence[Line],
    *,
    chosen: Policy,
    where: Where,
    start: date,
    end: date,
    closes: date,
    basis: str,
    earlier: Collection[str] = (),
) -> Funnel:
    """Project the entries of documents, in order of recording, to the lineages that count in a period.

    ``earlier`` are the lineages first accepted before the lines begin: they count in an older period. Deletions are
    heeded up to ``closes``, the end of the grace period; later ones are flagged.
    """
    out = Funnel()
    first: dict[str, Line] = {}
    versions: dict[str, list[Line]] = {}
    contents: dict[str, str | None] = {}
    seen: dict[tuple[str | None, str], str] = {}
    duplicates: set[str] = set()
    deleted: set[str] = set()
    known = set(earlier)
    for line in lines:
        if not where.concerns(line) and line.state != "deleted":
            out.not_concerned += 1
            continue
        lineage = line.lineage or line.entry_id
        inside = start <= _dated(line, basis) <= end and line.day <= closes
        if line.state == "deleted":
            if line.reason in _BY_PATIENT:
                continue
            if line.day <= closes:
                deleted.add(lineage)
            elif lineage in first:
                out.late_deletions += 1
            continue
        if line.state in _REFUSED:
            if inside:
                out.submitted += 1
                out.refuse(line.reason or line.state, line)
            continue
        if line.state not in _POSITIVE or line.day > closes:
            continue
        if inside:
            out.submitted += 1
            out.accepted += 1
        if lineage in known and lineage not in first:
            if inside:
                out.repeat("metadata_only" if line.state == "metadata_changed" else "earlier_period", line)
            continue
        if lineage in first:
            versions[lineage].append(line)
            if inside:
                same = line.state == "metadata_changed" or (
                    line.content is not None and line.content == contents[lineage]
                )
                out.repeat("metadata_only" if same else "new_version", line)
            contents[lineage] = line.content or contents[lineage]
            continue
        if line.state == "metadata_changed":
            # The document itself was fed elsewhere, or before this ledger began.
            if inside:
                out.repeat("metadata_only", line)
            continue
        key = None if line.content is None else (line.patient, line.content)
        if key is not None and key in seen and seen[key] not in deleted:
            duplicates.add(lineage)
            if inside:
                out.repeat("duplicate", line)
            known.add(lineage)
            continue
        if key is not None:
            seen[key] = lineage
        first[lineage] = line
        versions[lineage] = [line]
        contents[lineage] = line.content
    for lineage, line in first.items():
        day = _dated(line, basis)
        if not start <= day <= end:
            continue
        out.lineages += 1
        reason = "deleted_by_author" if lineage in deleted else _best(versions[lineage], where, chosen)
        if reason is None:
            best = next(one for one in versions[lineage] if where.exclusion(one, chosen) is None)
            out.countable.append(Countable(lineage, day, best))
        else:
            out.exclude(reason, line)
    return out


def _best(versions: Iterable[Line], where: Where, chosen: Policy) -> str | None:
    """None when one version meets the conditions, else why the first does not."""
    reasons = [where.exclusion(line, chosen) for line in versions]
    return None if None in reasons else reasons[0]


def events(
    lines: Sequence[Line],
    *,
    chosen: Policy,
    where: Where,
    start: date,
    end: date,
    closes: date,
    basis: str,
) -> Funnel:
    """Project entries of any other kind: each entry in one of the states asked for, once a prescription or message.

    A prescription cancelled before the close does not count; partial executions of one count once. What is learnt of
    each recipient of a message is one line of one message, whose recipients add up.
    """
    out = Funnel()
    messages: dict[tuple[str, str], int] = {}
    cancelled = {line.lineage for line in lines if line.state == "cancelled" and line.day <= closes and line.lineage}
    seen: set[tuple[str, str]] = set()
    for line in lines:
        if not start <= _dated(line, basis) <= end or line.day > closes:
            continue
        if not where.concerns(line):
            out.not_concerned += 1
            continue
        if line.state in _REFUSED and line.state not in where.states:
            out.submitted += 1
            out.refuse(line.reason or line.state, line)
            continue
        if line.state not in where.states:
            continue
        out.submitted += 1
        out.accepted += 1
        key = (line.state, line.lineage or line.message or line.entry_id)
        if key in seen:
            out.repeat("partial" if line.kind == "eprescription" else "duplicate", line)
            if line.kind == "mss.message" and (place := messages.get(key)) is not None:
                first = out.countable[place]
                several = (first.line.recipients or 1) + (line.recipients or 1)
                out.countable[place] = first._replace(line=first.line._replace(recipients=several))
            continue
        seen.add(key)
        out.lineages += 1
        reason = where.exclusion(line, chosen)
        if reason is None and line.state in ("created", "dispensed") and line.lineage in cancelled:
            reason = "cancelled"
        if reason is None:
            messages[key] = len(out.countable)
            out.countable.append(Countable(key[1], _dated(line, basis), line))
        else:
            out.exclude(reason, line)
    return out
