"""What every kind of pack gives, once read: its files, its value sets, the rules it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conformance.terminology import ValueSet

__all__ = ["Content", "PackError"]


class PackError(Exception):
    """The pack is absent, incomplete, or none that we know: what is wrong, and where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A pack read from outside, before it is kept."""

    kind: str
    files: Mapping[str, bytes]  #: what is kept, mended
    published: Mapping[str, bytes] = field(repr=False)  #: the same as it came: its hash names the pack
    value_sets: tuple[ValueSet, ...]  #: those whose OID and codes are known
    value_sets_read: int  #: all of them
    rules: tuple[str, ...]  #: schematrons, or profiles
    repairs: tuple[str, ...] = ()
    date: str = ""  #: of the newest part, ``YYYY-MM-DD``
    name: str = ""
    version: str = ""
