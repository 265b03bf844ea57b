"""The incentive rules at hand: those that come with the program and those of a folder of the operator's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gateway.feeds.policy import Policy, policy
from gateway.feeds.rulebook import OVERLAP, TWICE, RuleFileError, check_catalogue, load, shipped
from gateway.feeds.scheme import RuleSet
from gateway.problems import NotFound, rule
from gateway.settings import Settings

__all__ = ["Scheme", "catalogue", "chosen_policy", "scheme", "schemes"]

UNKNOWN = rule(
    "FEED-SCHEME-001",
    "Aucune règle de ce dispositif pour cette année.",
    "No rule of this scheme for that year.",
    "Choisissez un dispositif et une année de /v1/feeds/rules.",
    "Choose a scheme and a year of /v1/feeds/rules.",
    "incentives 8.1",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """One rule of a scheme and year, over its versions."""

    name: str  #: fr.medecin.forfait-structure
    year: int
    part: str  #: dmp, volet-1, or empty
    versions: tuple[RuleSet, ...]  #: oldest first

    @property
    def latest(self) -> RuleSet:
        """The version in force."""
        return self.versions[-1]

    def as_json(self) -> dict[str, Any]:
        """The rule as a list shows it."""
        last = self.latest
        return {
            "scheme": self.name,
            "year": self.year,
            "part": self.part or None,
            "id": last.id,
            "title": last.title or last.id,
            "subject": last.subject.by,
            "from": last.period.start.isoformat(),
            "to": last.period.end.isoformat(),
            "unverified": last.unverified,
            "sources": [{"text": one.text, "mark": one.mark} for one in last.sources],
            "versions": [{"version": one.version, "published": one.published.isoformat()} for one in self.versions],
        }


@lru_cache(maxsize=4)
def _read(paths: tuple[tuple[Path, int], ...]) -> tuple[RuleSet, ...]:
    found = (*shipped(), *(load(str(path)) for path, _ in paths))
    faults = [one for one in check_catalogue(found).findings if one.rule in (TWICE, OVERLAP)]
    if faults:
        raise RuleFileError(faults)
    return tuple(sorted(found, key=lambda one: (one.id, one.version)))


def catalogue(settings: Settings) -> tuple[RuleSet, ...]:
    """Every rule at hand, by id and version; a file changed on the disk is read again.

    Raises :class:`RuleFileError` when a file of the folder cannot be used: a wrong rule is a wrong figure.
    """
    folder = settings.feeds.rules_folder
    files = sorted(folder.glob("*.yaml")) if folder is not None else []
    return _read(tuple((file, file.stat().st_mtime_ns) for file in files))


def _parted(identifier: str) -> tuple[str, int, str] | None:
    parts = identifier.split(".")
    for at, part in enumerate(parts):
        if len(part) == 4 and part.isascii() and part.isdigit():
            return ".".join(parts[:at]), int(part), ".".join(parts[at + 1 :])
    return None


def schemes(rules: Iterable[RuleSet]) -> list[Scheme]:
    """Rules by scheme, year and part, each with its versions."""
    grouped: dict[tuple[str, int, str], list[RuleSet]] = {}
    for one in rules:
        key = _parted(one.id) or (one.id, one.period.start.year, "")
        grouped.setdefault(key, []).append(one)
    return [
        Scheme(name=name, year=year, part=part, versions=tuple(versions))
        for (name, year, part), versions in sorted(grouped.items())
    ]


def scheme(settings: Settings, name: str, year: int) -> list[Scheme]:
    """The rules of a scheme and year, one or several parts (``fr.medecin.forfait-structure``, or with its part
    ``fr.medecin.forfait-structure.dmp``); raises :class:`NotFound`."""
    found = [
        one for one in schemes(catalogue(settings)) if one.year == year and name in (one.name, f"{one.name}.{one.part}")
    ]
    if not found:
        raise NotFound([UNKNOWN.finding("scheme")], slug="unknown-scheme")
    return found


def chosen_policy(settings: Settings) -> Policy | None:
    """The counting policy that the settings put in place of each rule's own; None when they put none."""
    return policy(settings.feeds.policy) if settings.feeds.policy else None
