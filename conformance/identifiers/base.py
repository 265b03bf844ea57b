"""What every identifier shares: the error, the three verdict words and the Luhn sum."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

__all__ = ["VALID", "CheckResult", "Environment", "IdentifierError", "Word", "Written", "luhn_ok", "luhn_sum"]


class Environment(StrEnum):
    """Where the gateway runs: test identities are welcome in ``test`` only."""

    PRODUCTION = "production"
    TEST = "test"


class Word(StrEnum):
    """The verdict on an identifier."""

    VALID = "valid"
    WARNING = "warning"  #: usable, but something is unusual
    INVALID = "invalid"


class IdentifierError(ValueError):
    """A text is not the identifier it claims to be.

    ``code`` is the first rule broken (``BAD_FORMAT``, ``BAD_KEY``...). The text itself is never repeated: a matricule
    must not reach a log.
    """

    def __init__(self, kind: str, code: str) -> None:
        self.kind = kind
        self.code = code
        super().__init__(f"{kind}: {code}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """A verdict word and, unless valid, the code of the first rule broken."""

    verdict: Word
    code: str | None = None

    @classmethod
    def of(cls, code: str | None, *, warn: bool = False) -> CheckResult:
        """The result of a rule: valid without a code, else a warning or a refusal."""
        if code is None:
            return VALID
        return cls(verdict=Word.WARNING if warn else Word.INVALID, code=code)

    @property
    def ok(self) -> bool:
        """True when the identifier may be used, perhaps with a warning."""
        return self.verdict is not Word.INVALID


VALID: Final = CheckResult(verdict=Word.VALID)


@dataclass(frozen=True, slots=True)
class Written:
    """A value type made of one text; :meth:`parse` is the tolerant door, the constructor the strict one."""

    value: str

    def __post_init__(self) -> None:
        code = self.fault(self.value)
        if code is not None:
            raise IdentifierError(self.kind(), code)

    @classmethod
    def kind(cls) -> str:
        """The name of the identifier in errors."""
        return cls.__name__.lower()

    @classmethod
    def clean(cls, text: str) -> str:
        """The stored form of a text as people type it."""
        return text.strip().upper()

    @classmethod
    def fault(cls, value: str) -> str | None:
        """The code of the first rule the stored form breaks, or None."""
        raise NotImplementedError

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the identifier from a text. Raises :class:`IdentifierError`."""
        return cls(cls.clean(text))

    def __str__(self) -> str:
        return self.value


# Position from the right decides the weight: even ranks are doubled and 9 taken off above 9.
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
# FINESS and ADELI of Corsica: A counts as 1, B as 2.
_DIGIT: Final = {**{str(d): d for d in range(10)}, "A": 1, "B": 2}


def luhn_sum(text: str) -> int:
    """The Luhn sum of digits, ``A`` counting as 1 and ``B`` as 2."""
    total = 0
    for rank, char in enumerate(reversed(text)):
        digit = _DIGIT[char]
        total += _DOUBLED[digit] if rank % 2 else digit
    return total


def luhn_ok(text: str) -> bool:
    """True when the last character is the Luhn key of the others."""
    return luhn_sum(text) % 10 == 0
