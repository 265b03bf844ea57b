"""Is the product given the one prescribed? As far as the codes tell: same code, same speciality, same class.

A table of presentations (which CIP belongs to which CIS) and of generic groups may be loaded from the files of the
public medicine database (base de données publique des médicaments: ``CIS_CIP_bdpm.txt``, ``CIS_GENER_bdpm.txt``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gateway.orders.life import PrescribedLine
from mappings.document.medication import CIP, CIS, Medication

__all__ = ["Match", "Presentations", "compare", "read_presentations"]


class Match(StrEnum):
    """What the codes tell."""

    SAME = "same"  #: the very product, or another presentation of the same speciality
    GENERIC = "generic"  #: another speciality of the same generic group or ATC class
    OTHER = "other"  #: another class or group: not a substitution
    UNKNOWN = "unknown"  #: nothing comparable


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentations:
    """Which presentation belongs to which speciality, and which specialities are generics of one another."""

    cis_of: dict[str, str] = field(default_factory=dict)  #: CIP13 -> CIS
    groups_of: dict[str, frozenset[str]] = field(default_factory=dict)  #: CIS -> generic groups


def read_presentations(cip_file: bytes, generic_file: bytes = b"") -> Presentations:
    """Read the tab-separated files of the public medicine database (ISO 8859-1 or UTF-8); lines without codes skipped.

    ``CIS_CIP_bdpm.txt``: CIS first, CIP13 seventh. ``CIS_GENER_bdpm.txt``: group first, CIS third.
    """
    cis_of: dict[str, str] = {}
    for row in _rows(cip_file):
        if len(row) > 6 and row[0].isdigit() and len(row[6]) == 13 and row[6].isdigit():
            cis_of[row[6]] = row[0]
    groups: dict[str, set[str]] = {}
    for row in _rows(generic_file):
        if len(row) > 2 and row[0].isdigit() and row[2].isdigit():
            groups.setdefault(row[2], set()).add(row[0])
    return Presentations(cis_of=cis_of, groups_of={cis: frozenset(found) for cis, found in groups.items()})


def _rows(data: bytes) -> list[list[str]]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("iso-8859-1")
    return [[cell.strip() for cell in line.split("\t")] for line in text.splitlines()]


def _specialities(codes: set[tuple[str, str]], table: Presentations) -> set[str]:
    own = {code for system, code in codes if system == CIS}
    return own | {table.cis_of[code] for system, code in codes if system == CIP and code in table.cis_of}


def _words(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def compare(line: PrescribedLine, given: Medication, table: Presentations) -> Match:
    """What the codes, the presentations and at last the names tell of a product given for a line."""
    prescribed = set(line.codes)
    codes = {(c.system, c.code) for c in given.codes}
    if given.package is not None and given.package.code is not None:
        codes.add((given.package.code.system, given.package.code.code))
    if prescribed & codes:
        return Match.SAME
    wanted, found = _specialities(prescribed, table), _specialities(codes, table)
    if wanted & found:
        return Match.SAME
    atc = line.medication.atc if line.medication else None
    if wanted and found:
        groups = [table.groups_of.get(cis, frozenset()) for cis in wanted]
        others = [table.groups_of.get(cis, frozenset()) for cis in found]
        if any(a & b for a in groups for b in others):
            return Match.GENERIC
        if any(groups) and any(others):
            return Match.OTHER
    if atc is not None and given.atc is not None:
        return Match.GENERIC if atc.code == given.atc.code else Match.OTHER
    if line.medication is not None and given.name and _words(given.name) == _words(line.label):
        return Match.SAME
    # Two codes of one terminology that differ are two products, which may still be generics of one another.
    if {system for system, _ in prescribed} & {system for system, _ in codes}:
        return Match.GENERIC
    return Match.UNKNOWN
