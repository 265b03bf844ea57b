"""The prefixed national identifiers of the health directory: PS_IdNat for persons, Struct_IdNat for structures.

One digit says what the number after it is; a number of a structure followed by ``/`` and an internal identifier names
an employee the structure answers for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from conformance.identifiers.base import CheckResult, Written
from conformance.identifiers.national import Adeli, Finess, Rpps, RppsRank, Siren, Siret

__all__ = ["PsIdNat", "StructIdNat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    name: str  #: what the number is
    pattern: re.Pattern[str]  #: the whole text after the prefix, ``number`` being the number
    fault: Callable[[str], str | None] | None  #: the rule of the number; None where no sample was ever published
    warn: bool = False  #: a wrong key only warns


def _form(
    name: str, number: str, fault: Callable[[str], str | None] | None, *, internal: bool = False, warn: bool = False
) -> _Form:
    tail = r"/[!-.0-~]{1,64}" if internal else ""
    return _Form(name=name, pattern=re.compile(f"(?P<number>{number}){tail}"), fault=fault, warn=warn)


_NINE: Final = r"(?:[0-9]{2}|[0-9][AB])[0-9]{7}"
_FINESS: Final = r"(?:[0-9]{2}|[02][AB])[0-9]{7}"


class _Prefixed(Written):
    __slots__ = ()
    forms: ClassVar[dict[str, _Form]]

    @classmethod
    def clean(cls, text: str) -> str:
        # The internal part belongs to the structure: its case is kept.
        head, slash, internal = text.strip().partition("/")
        return head.upper() + slash + internal

    @classmethod
    def check(cls, text: str) -> CheckResult:
        """Judge a text; a wrong key of a professional's number only warns, as many test numbers have one."""
        value = cls.clean(text)
        form = cls.forms.get(value[:1])
        match = form.pattern.fullmatch(value[1:]) if form else None
        if form is None or match is None:
            return CheckResult.of("UNKNOWN_FORM")
        return CheckResult.of(form.fault(match["number"]) if form.fault else None, warn=form.warn)

    @classmethod
    def fault(cls, value: str) -> str | None:
        result = cls.check(value)
        return None if result.ok else result.code

    @property
    def form(self) -> str:
        """What the number after the prefix is: ``RPPS``, ``FINESS``, ``SIRET``..."""
        return self.forms[self.value[0]].name

    @property
    def number(self) -> str:
        """The number without its prefix and internal part."""
        return self.value[1:].partition("/")[0]

    @property
    def internal(self) -> str | None:
        """The identifier given by the structure, for its employees."""
        return self.value.partition("/")[2] or None


class PsIdNat(_Prefixed):
    """The national identifier of a person (IDNPS, ``1.2.250.1.71.4.2.1``)."""

    __slots__ = ()
    forms: ClassVar[dict[str, _Form]] = {
        "8": _form("RPPS", r"[0-9]{11}", Rpps.fault, warn=True),
        "0": _form("ADELI", _NINE, Adeli.fault, warn=True),
        "1": _form("ADELI_PRACTICE", r"[0-9][0-9AB][0-9]{7,10}", None, internal=True),
        "3": _form("FINESS", _FINESS, Finess.fault, internal=True),
        "4": _form("SIREN", r"[0-9]{9}", Siren.fault, internal=True),
        "5": _form("SIRET", r"[0-9]{14}", Siret.fault, internal=True),
        "6": _form("RPPS_PRACTICE", r"[0-9]{11}(?:[0-9]{3})?", None, internal=True),
    }

    @classmethod
    def kind(cls) -> str:
        return "ps_idnat"


def _adeli_rank(value: str) -> str | None:
    return Adeli.fault(value[:9])


class StructIdNat(_Prefixed):
    """The national identifier of a structure (IDNST, ``1.2.250.1.71.4.2.2``)."""

    __slots__ = ()
    forms: ClassVar[dict[str, _Form]] = {
        "0": _form("ADELI_RANK", _NINE + r"[0-9]{2,3}", _adeli_rank, warn=True),
        "1": _form("FINESS", _FINESS, Finess.fault),
        "2": _form("SIREN", r"[0-9]{9}", Siren.fault),
        "3": _form("SIRET", r"[0-9]{14}", Siret.fault),
        "4": _form("RPPS_RANK", r"[0-9]{14}", RppsRank.fault, warn=True),
    }

    @classmethod
    def kind(cls) -> str:
        return "struct_idnat"
