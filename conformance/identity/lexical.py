"""The lexical profile of names towards INSi and the datamatrix: how a name is written there, and what may not be.

Source: SEL-MP-043, 2 and 3.4.1 (EF_INS01_03, EF_INS10_01, EF_INS10_02). The order of the steps and the limit of 100
characters (that of the datamatrix) are this project's rule where the text is silent.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import Final, NamedTuple

__all__ = ["NameKind", "Normalised", "normalise", "spaced"]

MAX_LENGTH: Final = 100


class NameKind(StrEnum):
    """Which profile applies: a birth name may hold a double hyphen, a given name may not."""

    BIRTH_NAME = "birth_name"
    GIVEN_NAME = "given_name"


class Normalised(NamedTuple):
    """A name in the profile, and the code of the first rule it still breaks (None when it may be sent)."""

    output: str
    code: str | None


# Steps 1 to 3: typography, letters that decomposition leaves alone, ligatures.
_MAP: Final = str.maketrans(
    {
        **dict.fromkeys("\u2019\u2018\u02bc\u00b4\u0060\u2032", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        **dict.fromkeys("\u00a0\u202f\u2007\t", " "),
        "ß": "SS",
        "ẞ": "SS",
        "Ł": "L",
        "ł": "L",
        "Ø": "O",
        "ø": "O",
        "Đ": "D",
        "đ": "D",
        "Ð": "D",
        "ð": "D",
        "Þ": "TH",
        "þ": "TH",
        "ı": "I",
        "Œ": "OE",
        "œ": "OE",
        "Æ": "AE",
        "æ": "AE",
    }
)
# Right as it stands for both profiles, which is what INSi sends and most software holds.
_CLEAN: Final = re.compile(r"[A-Z]+(?:[ '-][A-Z]+)*")
_FORBIDDEN: Final = re.compile(r"[^A-Z '\-]")
_SPACE_APOSTROPHE: Final = re.compile(r"[ '][ ']")
_SEPARATORS: Final = re.compile(r"[ '\-]+")


def _fold(text: str) -> str:
    text = unicodedata.normalize("NFD", text.translate(_MAP))
    if not text.isascii():
        text = "".join(c for c in text if unicodedata.category(c) != "Mn")
    return text.upper().strip(" \r\n")


def normalise(value: str, kind: str = NameKind.BIRTH_NAME) -> Normalised:
    """Write a name as INSi does: upper case, no accent, ``'`` and ``-``; nothing is deleted or squeezed in silence.

    ``kind`` is ``birth_name`` or ``given_name``. The code is ``EMPTY``, ``TOO_LONG``, ``FORBIDDEN_CHARACTER``,
    ``BAD_FIRST_CHARACTER``, ``BAD_LAST_CHARACTER``, ``DOUBLE_HYPHEN_IN_GIVEN_NAME``, ``TRIPLE_HYPHEN`` or
    ``SPACE_APOSTROPHE_COMBINATION``.
    """
    if len(value) <= MAX_LENGTH and _CLEAN.fullmatch(value):
        return Normalised(value, None)
    output = value
    # Upper case can bring back what the first steps fold (U+0149 gives an apostrophe): until nothing moves.
    while (folded := _fold(output)) != output:
        output = folded
    return Normalised(output, _fault(output, kind))


def _fault(text: str, kind: str) -> str | None:
    if not text:
        return "EMPTY"
    if len(text) > MAX_LENGTH:
        return "TOO_LONG"
    if _FORBIDDEN.search(text):
        return "FORBIDDEN_CHARACTER"
    if text[0] == "-":
        return "BAD_FIRST_CHARACTER"
    if kind == NameKind.GIVEN_NAME:
        if text[-1] in "-'":
            return "BAD_LAST_CHARACTER"
        if "--" in text:
            return "DOUBLE_HYPHEN_IN_GIVEN_NAME"
    elif "---" in text:
        return "TRIPLE_HYPHEN"
    if _SPACE_APOSTROPHE.search(text):
        return "SPACE_APOSTROPHE_COMBINATION"
    return None


def spaced(normalised: str) -> str:
    """A normalised name with every run of hyphens, apostrophes and spaces as one space (RNIV EXI ID 10).

    A separator that is missing stays a difference: ``LEGOFF`` is not ``LE GOFF``.
    """
    if normalised.isalpha():
        return normalised
    return _SEPARATORS.sub(" ", normalised)
