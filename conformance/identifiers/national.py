"""Plain national numbers: RPPS and ADELI of professionals, FINESS, SIREN and SIRET of structures."""

from __future__ import annotations

import re
from typing import Final

from conformance.identifiers.base import CheckResult, Environment, Written, luhn_ok

__all__ = ["Adeli", "Finess", "Rpps", "RppsRank", "Siren", "Siret"]

_RPPS: Final = re.compile(r"[0-9]{11}")
_RPPS_RANK: Final = re.compile(r"[0-9]{14}")
_ADELI: Final = re.compile(r"(?:[0-9]{2}|[0-9][AB])[0-9]{7}")
# Department 0A/0B is fictitious and stands in published test numbers.
_FINESS: Final = re.compile(r"(?:[0-9]{2}|[02][AB])[0-9]{7}")
_SIREN: Final = re.compile(r"[0-9]{9}")
_SIRET: Final = re.compile(r"[0-9]{14}")
_LA_POSTE: Final = "356000000"


class Rpps(Written):
    """The eleven digits of a health professional; the last one is a Luhn key (ANS, FAQ des industriels).

    Published test numbers often have a wrong key: use :meth:`check` with the test environment for those.
    """

    __slots__ = ()

    @classmethod
    def fault(cls, value: str) -> str | None:
        if not _RPPS.fullmatch(value):
            return "BAD_FORMAT"
        return None if luhn_ok(value) else "BAD_KEY"

    @classmethod
    def check(cls, text: str, environment: str = Environment.PRODUCTION) -> CheckResult:
        """Judge a text; a wrong key only warns in the test environment."""
        code = cls.fault(cls.clean(text))
        lenient = code == "BAD_KEY" and environment == Environment.TEST
        return CheckResult.of(code, warn=lenient)

    @property
    def ps_idnat(self) -> str:
        """The same number as cards and the DMP write it."""
        return f"8{self.value}"


class RppsRank(Written):
    """The fourteen digits of the practice of a self-employed professional: the RPPS and a rank."""

    __slots__ = ()

    @classmethod
    def kind(cls) -> str:
        return "rpps_rank"

    @classmethod
    def fault(cls, value: str) -> str | None:
        if not _RPPS_RANK.fullmatch(value):
            return "BAD_FORMAT"
        return Rpps.fault(value[:11])


class Adeli(Written):
    """The nine characters of the closed ADELI register; its key is not published, so a wrong one only warns."""

    __slots__ = ()

    @classmethod
    def fault(cls, value: str) -> str | None:
        if not _ADELI.fullmatch(value):
            return "BAD_FORMAT"
        return None if luhn_ok(value) else "BAD_KEY"

    @classmethod
    def check(cls, text: str) -> CheckResult:
        """Judge a text; the Luhn key, inferred from samples, only warns."""
        code = cls.fault(cls.clean(text))
        return CheckResult.of(code, warn=code == "BAD_KEY")

    @property
    def ps_idnat(self) -> str:
        """The same number as cards and the DMP write it."""
        return f"0{self.value}"


class Finess(Written):
    """The nine characters of a health establishment, legal entity or site."""

    __slots__ = ()

    @classmethod
    def fault(cls, value: str) -> str | None:
        if not _FINESS.fullmatch(value):
            return "BAD_FORMAT"
        return None if luhn_ok(value) else "BAD_KEY"

    @property
    def struct_idnat(self) -> str:
        """The same number as the directory and the DMP write it."""
        return f"1{self.value}"


class Siren(Written):
    """The nine digits of a legal person."""

    __slots__ = ()

    @classmethod
    def fault(cls, value: str) -> str | None:
        if not _SIREN.fullmatch(value):
            return "BAD_FORMAT"
        return None if luhn_ok(value) else "BAD_KEY"

    @property
    def struct_idnat(self) -> str:
        """The same number as the directory and the DMP write it."""
        return f"2{self.value}"


class Siret(Written):
    """The fourteen digits of one place of a legal person."""

    __slots__ = ()

    @classmethod
    def fault(cls, value: str) -> str | None:
        if not _SIRET.fullmatch(value):
            return "BAD_FORMAT"
        if not luhn_ok(value[:9]):
            return "BAD_SIREN"
        if luhn_ok(value):
            return None
        # The branches of La Poste outnumber the keys: their digits sum to a multiple of 5 instead.
        if value.startswith(_LA_POSTE) and sum(map(int, value)) % 5 == 0:
            return None
        return "BAD_KEY"

    @property
    def siren(self) -> Siren:
        """The legal person the place belongs to."""
        return Siren(self.value[:9])

    @property
    def struct_idnat(self) -> str:
        """The same number as the directory and the DMP write it."""
        return f"3{self.value}"
