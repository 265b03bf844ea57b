"""What a template asks of an element's own children, answered without XPath: three times quicker, and as exactly.

A part of a template that can be told so is an :class:`Ask`; :class:`Asks` puts those of a template together. They say
yes only where the XPath of the same parts would; a no makes the XPath be asked, so that one place says what is wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from lxml import etree

from conformance.cda.model import HL7, XSI

__all__ = [
    "XSI_TYPE",
    "Ask",
    "Asks",
    "Children",
    "attribute",
    "children",
    "claims",
    "is_a",
    "linked",
    "number",
    "together",
]

_Element = etree._Element
Children = Mapping[Any, list[_Element]]

XSI_TYPE: Final = XSI + "type"
_TEXT: Final = HL7 + "text"
_REFERENCE: Final = HL7 + "reference"


class _Valued(NamedTuple):
    """Some child of a name has one of some values in an attribute, of one code system when that is told."""

    tag: str
    key: str
    values: frozenset[str]
    system: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One thing asked; the members that are told say what."""

    is_a: tuple[str, str | None, frozenset[str] | None] | None = None  #: name, classCode, moodCodes
    claims: str | None = None  #: template
    number: tuple[str, int, int | None] | None = None  #: children of a name, at least, at most
    valued: _Valued | None = None
    linked: bool = False


def children(element: _Element) -> Children:
    """The children of an element by name."""
    found: dict[Any, list[_Element]] = {}
    for child in element:
        same = found.get(child.tag)
        if same is None:
            found[child.tag] = [child]
        else:
            same.append(child)
    return found


def is_a(name: str, kind: str | None = None, moods: str | None = None) -> Ask:
    """The element has this name, this ``classCode``, and one of these ``moodCode`` parted by ``|``."""
    return Ask(is_a=(HL7 + name, kind, frozenset(moods.split("|")) if moods else None))


def claims(oid: str) -> Ask:
    """The element claims this template too."""
    return Ask(claims=oid)


def number(path: str, low: int, high: int | None) -> Ask | None:
    """So many children of a name; None for a path that is more than a name."""
    return Ask(number=(HL7 + path, low, high)) if path.isalnum() else None


def attribute(name: str, key: str, values: Collection[str], system: str | None = None) -> Ask:
    """Some child of a name has one of these values, of this code system."""
    return Ask(valued=_Valued(HL7 + name, key, frozenset(map(str, values)), system))


def linked() -> Ask:
    """The text of the element is a link to the narrative."""
    return Ask(linked=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """What a template asks in these ways, all together."""

    names: tuple[tuple[str, str | None, frozenset[str] | None], ...]
    claims: frozenset[str]
    some: frozenset[str]
    none: frozenset[str]
    numbers: tuple[tuple[str, int, int | None], ...]
    valued: tuple[_Valued, ...]
    linked: bool

    def __call__(self, element: _Element, held: Children, claimed: set[str]) -> bool:
        """True when the element, its children by name and the templates it claims give all that is asked."""
        if not (self.claims <= claimed and self.some <= held.keys() and self.none.isdisjoint(held)):
            return False
        for name, kind, moods in self.names:
            if (
                element.tag != name
                or (kind is not None and element.get("classCode") != kind)
                or (moods is not None and element.get("moodCode") not in moods)
            ):
                return False
        for tag, low, high in self.numbers:
            found = len(held.get(tag, ()))
            if found < low or (high is not None and found > high):
                return False
        for tag, key, values, system in self.valued:
            for child in held.get(tag, ()):
                if child.get(key) in values and (system is None or child.get("codeSystem") == system):
                    break
            else:
                return False
        return not self.linked or _linked(held)


def together(asks: Iterable[Ask]) -> Asks:
    """Put what one template asks together."""
    every = list(asks)
    numbers = [each.number for each in every if each.number is not None]
    return Asks(
        names=tuple(each.is_a for each in every if each.is_a is not None),
        claims=frozenset(each.claims for each in every if each.claims is not None),
        some=frozenset(tag for tag, low, _ in numbers if low),
        none=frozenset(tag for tag, _, high in numbers if high == 0),
        numbers=tuple((tag, low, high) for tag, low, high in numbers if high or low > 1),
        valued=tuple(each.valued for each in every if each.valued is not None),
        linked=any(each.linked for each in every),
    )


def _linked(held: Children) -> bool:
    for text in held.get(_TEXT, ()):
        for reference in text.iterchildren(_REFERENCE):
            if reference.get("value") is not None:
                return True
    return False
