"""The value sets in force: the shipped tables, replaced one by one by newer sets of a pack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from conformance.terminology.svs import ValueSet
from security import json

__all__ = ["BUILT_IN", "install", "restore", "value_set", "value_sets"]

_DATA = Path(__file__).with_name("data") / "value-sets.json"


def _load() -> dict[str, ValueSet]:
    table: Any = json.loads(_DATA.read_bytes(), max_bytes=4 * 1024 * 1024)
    return {
        oid: ValueSet.of_table(oid, each["codes"], name=each["name"], date=each["date"], source=table["source"])
        for oid, each in table["sets"].items()
    }


#: What is shipped, by OID.
BUILT_IN: Final[Mapping[str, ValueSet]] = MappingProxyType(_load())
_IN_FORCE: dict[str, ValueSet] = dict(BUILT_IN)


def value_set(oid: str) -> ValueSet:
    """The set in force under an OID. Raises ``KeyError``."""
    return _IN_FORCE[oid]


def value_sets() -> tuple[ValueSet, ...]:
    """Every set in force, by name."""
    return tuple(sorted(_IN_FORCE.values(), key=lambda each: each.name))


def install(sets: Iterable[ValueSet]) -> tuple[ValueSet, ...]:
    """Put the sets of a pack in force where they are newer than ours; gives those that were taken.

    Called once, when a process starts: a verdict never changes between two requests.
    """
    taken = []
    for new in sets:
        old = _IN_FORCE.get(new.oid)
        if new.codes and (old is None or new.date > old.date):
            _IN_FORCE[new.oid] = new
            taken.append(new)
    return tuple(taken)


def restore() -> None:
    """Put the shipped sets back in force."""
    _IN_FORCE.clear()
    _IN_FORCE.update(BUILT_IN)
