"""Groups of codes that rules name (``VSM``, ``PHARMACY_REVIEW``): dated data of their own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.feeds.rulebook import plain

__all__ = ["Code", "Group", "groups", "matcher"]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Code(_Data):
    """A document type in its code system."""

    code: str
    system: str


class Group(_Data):
    """Document types that count alike, over a time."""

    id: str
    label: str
    source: str
    mark: Literal["A", "B", "C", "?"]
    start: date = Field(alias="from")
    end: date | None = Field(default=None, alias="to")
    codes: tuple[Code, ...]


class _File(_Data):
    format: Literal["code-groups/1"] = Field(alias="schema")
    published: date
    groups: tuple[Group, ...]


@cache
def groups() -> tuple[Group, ...]:
    """Every group that comes with the program."""
    data = (resources.files("gateway.feeds") / "rules" / "groups.yaml").read_bytes()
    return _File.model_validate(plain(data)).groups


def matcher(names: Iterable[str], start: date, end: date) -> tuple[frozenset[tuple[str, str]], frozenset[str]]:
    """What a rule's ``doc_type`` accepts over a period: (code, system) pairs of the groups named, and bare codes.

    A name that is no group valid in the period is taken as a code in whatever system.
    """
    pairs: set[tuple[str, str]] = set()
    bare: set[str] = set()
    for name in names:
        found = [
            group
            for group in groups()
            if group.id == name and group.start <= end and (group.end is None or group.end >= start)
        ]
        if found:
            pairs.update((code.code, code.system) for group in found for code in group.codes)
        else:
            bare.add(name)
    return frozenset(pairs), frozenset(bare)
