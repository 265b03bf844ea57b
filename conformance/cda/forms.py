"""The lexical forms of CDA attributes: codes, identifiers, times, numbers, as the data types define them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

__all__ = ["Form", "form_check"]

_NAME: Final = r"[A-Za-z_\u00c0-\uffff][\w.\u00b7-]*"
#: W3C XML Schema 2, the built-in types in use.
_BUILT_IN: Final = {
    "xs:boolean": re.compile(r"true|false|1|0"),
    "xs:integer": re.compile(r"[+-]?[0-9]+"),
    "xs:decimal": re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"),
    "xs:double": re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|-?INF|NaN"),
    "xs:NMTOKEN": re.compile(r"[\w.:\u00b7-]+"),
    "xs:NMTOKENS": re.compile(r"[\w.:\u00b7-]+(?: [\w.:\u00b7-]+)*"),
    "xs:ID": re.compile(_NAME),
    "xs:IDREF": re.compile(_NAME),
    "xs:IDREFS": re.compile(rf"{_NAME}(?: {_NAME})*"),
    "xs:base64Binary": re.compile(r"[A-Za-z0-9+/= ]*"),
    # What libxml2 takes for an address is wide; only broken escapes and control characters are not.
    "xs:anyURI": re.compile(r"(?:[^%\x00-\x1f]|%[0-9A-Fa-f]{2})*"),
    "xs:string": None,
    "xs:token": None,
    "xs:anySimpleType": None,
}
#: White space is what XML calls so (XML 1.0, 2.3): not the no-break space, nor control characters.
_words: Final = re.compile(r"[^ \t\r\n]+").findall
_KEPT_AS_WRITTEN: Final = ("xs:string", "xs:anySimpleType")


@dataclass(frozen=True, slots=True)
class Form:
    """How an attribute must be written."""

    name: str
    values: frozenset[str] | None = None  #: the only values allowed
    patterns: tuple[re.Pattern[str], ...] = ()  #: each must fit
    members: tuple[Form, ...] = ()  #: a union: one of these
    item: Form | None = None  #: a list of these
    collapse: bool = True  #: white space around does not count
    least: float | None = None
    most: float | None = None
    #: The same question as calling the form, answered as quickly as it can be: a document asks thousands of times.
    fits: Callable[[str], bool] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fits", _quick(self))

    def __call__(self, value: str) -> bool:
        """True when the value has this form."""
        if self.collapse:
            value = " ".join(_words(value))
        if self.values is not None and value not in self.values:
            return False
        for pattern in self.patterns:
            if pattern.fullmatch(value) is None:
                return False
        if self.members:
            return any(member(value) for member in self.members)
        if self.item is not None:
            return all(map(self.item, _words(value)))
        if self.least is not None and float(value) < self.least:
            return False
        return self.most is None or float(value) <= self.most

    @property
    def expected(self) -> str:
        """What to write, in a few words of the standard."""
        if self.values is not None:
            return " | ".join(sorted(self.values)[:12]) + (" | …" if len(self.values) > 12 else "")
        return self.name.removeprefix("xs:")


def _quick(form: Form) -> Callable[[str], bool]:
    """The shortest test that never says yes wrongly; what it does not settle goes the long way."""
    if form.values is not None:
        known = form.values
        return lambda value: value in known or form(value)
    if form.item is not None or form.least is not None or form.most is not None:
        return form
    if form.members:
        tests = [member.fits for member in form.members]
        if all(len(m.patterns) == 1 and m.values is None and not m.collapse for m in form.members):
            whole = re.compile("|".join(f"(?:{m.patterns[0].pattern})" for m in form.members), re.ASCII).fullmatch
            return lambda value: whole(value) is not None
        return lambda value: any(test(value) for test in tests)
    if len(form.patterns) == 1:
        match = form.patterns[0].fullmatch
        if form.collapse:
            return lambda value: match(value) is not None or form(value)
        return lambda value: match(value) is not None
    if not form.patterns:
        return _anything
    return form


def _anything(_: str) -> bool:
    return True


def form_check(row: Any, forms: Any) -> Form:
    """The form of a row of the table: a name, or a definition written in place."""
    if isinstance(row, str):
        return _named(row, forms if row not in _BUILT_IN else None)
    return _defined("", row, forms)


_CACHE: dict[str, Form] = {}


def _named(name: str, forms: Any) -> Form:
    if name in _BUILT_IN:
        return _built_in(name)
    if name not in _CACHE:
        _CACHE[name] = _defined(name, forms[name], forms)
    return _CACHE[name]


@cache
def _built_in(name: str) -> Form:
    pattern = _BUILT_IN[name]
    return Form(name, patterns=(pattern,) if pattern else (), collapse=name not in _KEPT_AS_WRITTEN)


def _defined(name: str, row: Any, forms: Any) -> Form:
    if "union" in row:
        members = tuple(form_check(each, forms) for each in row["union"])
        return Form(name, members=members, collapse=all(m.collapse for m in members))
    if "list" in row:
        return Form(name, item=form_check(row["list"], forms))
    base = form_check(row["base"], forms)
    patterns = base.patterns
    if "pattern" in row:
        # Several patterns of one restriction are alternatives (XML Schema 2, 4.3.4.3).
        patterns = (*patterns, re.compile("|".join(f"(?:{each})" for each in row["pattern"]), re.ASCII))
    if "minLength" in row:
        patterns = (*patterns, re.compile(rf"(?s:.{{{row['minLength']},}})"))
    return Form(
        name or base.name,
        values=frozenset(row["enum"]) if "enum" in row else base.values,
        patterns=() if "enum" in row else patterns,
        members=base.members,
        item=base.item,
        collapse=base.collapse,
        least=float(row["minInclusive"]) if "minInclusive" in row else base.least,
        most=float(row["maxInclusive"]) if "maxInclusive" in row else base.most,
    )
