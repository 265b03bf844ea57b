"""What a target form can hold of a document: one reviewed table a target, and the document as it comes back from there.

``projected(document, target)`` is the document that reading the written form gives back. The rows that lose something
are what the writer's loss report says; the others only change the form (a default made explicit, a spelling).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic.alias_generators import to_camel

from conformance.verdict import Text
from mappings.document.base import Part
from mappings.loss import Fate, LossItem

__all__ = ["Form", "Row", "Table", "Where", "losses", "projected"]

P = TypeVar("P", bound=Part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where a value stands."""

    document: Any  #: the document as it was given
    parent: Any  #: the part that holds the value
    pointer: str  #: its JSON pointer


Change = Callable[[Any, Where], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A member that a target does not hold as it is.

    ``path`` names attributes from the document down, ``*`` being each item. ``becomes`` gives what comes back; the
    value itself when nothing changes.
    """

    path: str
    becomes: Change
    fate: Fate = Fate.CARRIED  #: CARRIED when only the form changes
    reason: Text | None = None
    clinical: bool = False
    kinds: frozenset[str] | None = None  #: kinds of document concerned, None for all


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A change of form of every part of a class, wherever it stands; the parts inside it come first."""

    cls: type[Part]
    becomes: Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Everything that a target does not hold as it is."""

    rows: tuple[Row, ...]
    forms: tuple[Form, ...] = ()
    texts: Callable[[str], str] | None = None  #: spelling of every text


@functools.cache
def _table(target: str) -> Table:
    if target == "cda":
        from mappings.cda.projection import TABLE

        return TABLE
    if target == "fhir":
        from mappings.fhir import projection

        found: Table = projection.TABLE
        return found
    raise KeyError(target)


def losses(document: Part, target: str) -> Iterator[LossItem]:
    """The members of a document that a target keeps as text only or loses, each with its JSON pointer."""
    for row, path in _losing(target, getattr(document, "kind", "")):
        for value, where in _values(document, document, path, 0, ""):
            if row.becomes(value, where) != value:
                name = path[-1] if path[-1] != "*" else path[-2]
                yield LossItem(place=where.pointer, fate=row.fate, name=name, reason=row.reason, clinical=row.clinical)


@functools.cache
def _losing(target: str, kind: str) -> tuple[tuple[Row, tuple[str, ...]], ...]:
    rows = (row for row in _table(target).rows if row.kinds is None or kind in row.kinds)
    return tuple((row, tuple(row.path.split("."))) for row in rows if row.fate is not Fate.CARRIED)


def projected(document: P, target: str) -> P:
    """The document as it comes back from a target."""
    table = _table(target)
    out: Any = document
    for row in table.rows:
        if row.kinds is None or getattr(document, "kind", "") in row.kinds:
            out = _apply(out, document, tuple(row.path.split(".")), 0, "", None, row.becomes)
    out = _everywhere(out, table)
    made: P = type(document).model_validate(dict(out))
    return made


# --- Walking --------------------------------------------------------------------------------------

_MISSING = object()
_camel = functools.cache(to_camel)  # names of members: few, and asked for hundreds of times a document


def _values(
    node: Any, document: Any, path: tuple[str, ...], index: int, pointer: str, parent: Any = None
) -> Iterator[tuple[Any, Where]]:
    if index == len(path):
        yield node, Where(document=document, parent=parent, pointer=pointer)
        return
    step = path[index]
    if step == "*":
        for i, item in enumerate(node or ()):
            yield from _values(item, document, path, index + 1, f"{pointer}/{i}", parent)
        return
    child = getattr(node, step, _MISSING)
    if child is _MISSING or (child is None and index + 1 < len(path)):
        return
    yield from _values(child, document, path, index + 1, f"{pointer}/{_camel(step)}", node)


def _apply(
    node: Any, document: Any, path: tuple[str, ...], index: int, pointer: str, parent: Any, becomes: Change
) -> Any:
    if index == len(path):
        return becomes(node, Where(document=document, parent=parent, pointer=pointer))
    step = path[index]
    if step == "*":
        return tuple(
            _apply(item, document, path, index + 1, f"{pointer}/{i}", parent, becomes)
            for i, item in enumerate(node or ())
        )
    child = getattr(node, step, _MISSING)
    if child is _MISSING or (child is None and index + 1 < len(path)):
        return node
    new = _apply(child, document, path, index + 1, f"{pointer}/{_camel(step)}", node, becomes)
    return node if new is child else node.model_copy(update={step: new})


def _everywhere(node: Any, table: Table) -> Any:
    """Apply the changes of form, from the leaves up."""
    if isinstance(node, tuple):
        return tuple(_everywhere(item, table) for item in node)
    if type(node) is str:
        return table.texts(node) if table.texts else node
    if not isinstance(node, Part):
        return node
    changes = {}
    for name in type(node).model_fields:
        value = getattr(node, name)
        new = _everywhere(value, table)
        if new is not value:
            changes[name] = new
    out: Any = node.model_copy(update=changes) if changes else node
    for form in table.forms:
        if isinstance(out, form.cls):
            out = form.becomes(out)
    return out
