"""The structure of CDA R2 as a table: what each type may hold, compiled to small automata on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from conformance.cda.forms import Form, form_check
from security import json

__all__ = [
    "HL7",
    "NAMESPACES",
    "PHARM",
    "SDTC",
    "XSI",
    "Attribute",
    "Model",
    "full_name",
    "root_model",
    "table",
    "type_model",
]

HL7: Final = "{urn:hl7-org:v3}"
SDTC: Final = "{urn:hl7-org:sdtc}"
PHARM: Final = "{urn:ihe:pharm:medication}"
XSI: Final = "{http://www.w3.org/2001/XMLSchema-instance}"
#: Prefixes of the table and of the rule files.
NAMESPACES: Final = {
    "sdtc": "urn:hl7-org:sdtc",
    "lab": "urn:oid:1.3.6.1.4.1.19376.1.3.2",
    "pharm": "urn:ihe:pharm:medication",
    "dicom": "urn:dicom-org:ps3-20",
}

_TABLE: Final = Path(__file__).parents[1] / "rules" / "cda-structure.json"
#: What may follow each position: the automaton of a content model.
Follow = dict[str, tuple[int, str]]
_WILDCARD: Final = "*"
#: Sequences of children remembered a type, so that a hostile document cannot fill the memory.
MAX_REMEMBERED: Final = 512


@dataclass(frozen=True, slots=True)
class Attribute:
    """What the table says of an attribute."""

    form: Form
    required: bool = False
    fixed: str | None = None
    link: str = ""  #: ID, IDREF or IDREFS


@dataclass(slots=True)
class Model:
    """A type: its attributes, and the children it may hold in order."""

    name: str
    base: str | None
    abstract: bool
    mixed: bool
    attributes: dict[str, Attribute]
    required: tuple[str, ...]
    content: Any  #: the particle of the table, None for no children
    known: dict[tuple[Any, ...], tuple[Model | None, ...]] = field(default_factory=dict)  #: sequences found right
    may_be_empty: bool = True  #: no child is required
    _automaton: tuple[list[Follow], set[int]] | None = None
    _names: dict[str, str] | None = None

    @property
    def automaton(self) -> tuple[list[Follow], set[int]]:
        """What may come after each position, and the positions at which the content may end."""
        if self._automaton is None:
            self._automaton = _compile(self.content)
        return self._automaton

    def names(self) -> dict[str, str]:
        """The type of every child that may stand somewhere in this one, by full name."""
        if self._names is None:
            self._names = {tag: kind for step in self.automaton[0] for tag, (_, kind) in step.items()}
        return self._names

    def derives(self, ancestor: str) -> bool:
        """True when this type is ``ancestor`` or a specialisation of it."""
        model: Model | None = self
        while model is not None:
            if model.name == ancestor:
                return True
            model = type_model(model.base) if model.base else None
        return False


def full_name(name: str) -> str:
    """The name of an element with its namespace, from its short form (``pharm:code``, ``code``)."""
    prefix, colon, local = name.rpartition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}" if colon else HL7 + name


@cache
def table() -> Any:
    """The table as it is shipped: types, and the forms of attributes."""
    return json.loads(_TABLE.read_bytes(), max_bytes=1024 * 1024)


@cache
def root_model() -> Model:
    """The type of ``ClinicalDocument``."""
    found = type_model(table()["root"])
    if found is None:
        raise RuntimeError(f"{_TABLE.name}: no root type")
    return found


@cache
def type_model(name: str) -> Model | None:
    """A type by its name, None when CDA has no such type."""
    row = table()["types"].get(name)
    if row is None:
        return None
    attributes = {
        (f"{SDTC}{key[5:]}" if key.startswith("sdtc:") else key): Attribute(
            form=form_check(each["form"], table()["forms"]),
            required=each.get("required", False),
            fixed=each.get("fixed"),
            link=each["form"][3:] if each["form"] in ("xs:ID", "xs:IDREF", "xs:IDREFS") else "",
        )
        for key, each in row.get("attributes", {}).items()
    }
    return Model(
        name=name,
        base=row.get("base"),
        abstract=row.get("abstract", False),
        mixed=row.get("mixed", False),
        attributes=attributes,
        required=tuple(key for key, each in attributes.items() if each.required),
        content=row.get("content"),
        may_be_empty=_nullable(row.get("content")),
    )


def _nullable(item: Any) -> bool:
    """True when a particle may stand for nothing."""
    if item is None or item[1] == 0:
        return True
    if item[0] in ("el", "any"):
        return False
    empty = [_nullable(each) for each in item[3]]
    return all(empty) if item[0] == "seq" else any(empty)


# --- From a content model to an automaton (Glushkov) ----------------------------------------------------------------
# W3C schemas are deterministic (XML Schema 1, 3.8.6): after each position a name leads to one position only.


@dataclass(slots=True)
class _Part:
    nullable: bool
    first: list[int]
    last: list[int]


def _compile(content: Any) -> tuple[list[Follow], set[int]]:
    symbols: list[tuple[str, str]] = [("", "")]  # position 0 is the start
    follow: list[set[int]] = [set()]

    def position(tag: str, kind: str) -> _Part:
        symbols.append((tag, kind))
        follow.append(set())
        at = len(symbols) - 1
        return _Part(False, [at], [at])

    def chain(parts: list[_Part]) -> _Part:
        whole = _Part(True, [], [])
        for part in parts:
            for at in whole.last:
                follow[at].update(part.first)
            if whole.nullable:
                whole.first = whole.first + part.first
            whole.last = part.last + (whole.last if part.nullable else [])
            whole.nullable = whole.nullable and part.nullable
        return whole

    def once(item: Any) -> _Part:
        kind = item[0]
        if kind == "el":
            return position(full_name(item[3]), item[4])
        if kind == "any":
            return position(_WILDCARD, "")
        parts = [part(each) for each in item[3]]
        if kind == "seq":
            return chain(parts)
        return _Part(
            any(p.nullable for p in parts), [a for p in parts for a in p.first], [a for p in parts for a in p.last]
        )

    def part(item: Any) -> _Part:
        low, high = item[1], item[2]
        copies = [once(item) for _ in range(max(low, 1 if high else 0, high if high > 0 else 0))]
        for at, copy in enumerate(copies):
            copy.nullable = copy.nullable or at >= low
        whole = chain(copies)
        if high == -1:
            loop = copies[-1]
            for at in loop.last:
                follow[at].update(loop.first)
        return whole

    whole = part(content) if content else _Part(True, [], [])
    follow[0].update(whole.first)
    ends = set(whole.last) | ({0} if whole.nullable else set())
    return [dict(_moves(each, symbols)) for each in follow], ends


def _moves(positions: set[int], symbols: list[tuple[str, str]]) -> Iterator[tuple[str, tuple[int, str]]]:
    for at in sorted(positions, reverse=True):  # of two copies the first wins
        yield symbols[at][0], (at, symbols[at][1])


Check = Callable[[str], bool]
