"""The text inside an INS datamatrix (ANS, INS - Format datamatrix v2.2), written and read.

A header of 26 characters, then blocks of a two-character identifier and a value. A variable value that is neither full
nor last ends with GS (ASCII 29). The symbol itself is drawn elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from conformance.identifiers import Cog, IdentifierError, Matricule
from conformance.identity.lexical import NameKind, normalise
from conformance.identity.traits import Traits, first_of_list

__all__ = ["HEADER", "DatamatrixError", "InsDatamatrix", "read_payload", "write_payload"]

HEADER: Final = "IS01" + "0" * 22
GS: Final = "\x1d"


class DatamatrixError(ValueError):
    """The content of an INS datamatrix cannot be written or read; ``code`` says why, without any of its values."""

    def __init__(self, code: str, block: str = "") -> None:
        self.code = code
        self.block = block
        super().__init__(f"{code} {block}".strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class InsDatamatrix:
    """The identity an INS datamatrix carries."""

    matricule: str  #: fifteen characters, key included
    oid: str
    given_names: str
    birth_name: str
    sex: str  #: ``M`` or ``F``
    birth_date: str  #: ``YYYY-MM-DD``
    birth_place: str = ""  #: COG, optional

    @property
    def traits(self) -> Traits:
        """The strict traits; the first given name is read from the list."""
        return Traits(
            birth_name=self.birth_name,
            first_given_name=first_of_list(self.given_names),
            given_names=self.given_names,
            sex=self.sex,
            birth_date=self.birth_date,
            birth_place=self.birth_place,
        )

    def __repr__(self) -> str:
        return f"InsDatamatrix(oid={self.oid!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    low: int
    high: int
    required: bool = True

    @property
    def fixed(self) -> bool:
        return self.low == self.high


# Section "données" of the format: identifier -> shortest and longest value.
_BLOCKS: Final = {
    "S1": _Block(low=15, high=15),
    "S2": _Block(low=19, high=20),
    "S3": _Block(low=1, high=100),
    "S4": _Block(low=1, high=100),
    "S5": _Block(low=1, high=1),
    "S6": _Block(low=10, high=10),
    "S7": _Block(low=5, high=5, required=False),
}
_ISO_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_FRENCH_DATE: Final = re.compile(r"([0-9]{2})-([0-9]{2})-([0-9]{4})")


def write_payload(identity: InsDatamatrix) -> str:
    """Write the text of the symbol. Raises :class:`DatamatrixError` on a value the format cannot carry.

    Whether the identity may be printed (qualified only, EXI DIF 02) is the caller's to check.
    """
    _check(identity)
    date = _ISO_DATE.fullmatch(identity.birth_date)
    if date is None:
        raise DatamatrixError("BAD_DATE", "S6")
    values = {
        "S1": identity.matricule,
        "S2": identity.oid,
        "S3": identity.given_names,
        "S4": identity.birth_name,
        "S5": identity.sex,
        "S6": f"{date[3]}-{date[2]}-{date[1]}",
        "S7": identity.birth_place,
    }
    out = [HEADER]
    present = [name for name in _BLOCKS if values[name]]
    for name in present:
        block, value = _BLOCKS[name], values[name]
        if not block.low <= len(value) <= block.high:
            raise DatamatrixError("BAD_LENGTH", name)
        out += (name, value)
        if not block.fixed and len(value) < block.high and name != present[-1]:
            out.append(GS)
    return "".join(out)


def read_payload(text: str) -> InsDatamatrix:
    """Read the text of a symbol, blocks in any order. Raises :class:`DatamatrixError`.

    A symbology prefix some readers add (``]d1``) is left out; an unknown block refuses the whole.
    """
    text = re.sub(r"^\][A-Za-z][0-9]", "", text).rstrip("\r\n")
    if not text.startswith(HEADER):
        raise DatamatrixError("BAD_HEADER")
    values = _split(text[len(HEADER) :])
    for name, block in _BLOCKS.items():
        if block.required and name not in values:
            raise DatamatrixError("MISSING_BLOCK", name)
    date = _FRENCH_DATE.fullmatch(values["S6"])
    if date is None:
        raise DatamatrixError("BAD_DATE", "S6")
    identity = InsDatamatrix(
        matricule=values["S1"],
        oid=values["S2"],
        given_names=values["S3"],
        birth_name=values["S4"],
        sex=values["S5"],
        birth_date=f"{date[3]}-{date[2]}-{date[1]}",
        birth_place=values.get("S7", ""),
    )
    _check(identity)
    return identity


def _split(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    at = 0
    while at < len(text):
        name = text[at : at + 2]
        block = _BLOCKS.get(name)
        if block is None or name in values:
            raise DatamatrixError("UNKNOWN_BLOCK" if block is None else "REPEATED_BLOCK")
        at += 2
        end = at + block.high
        if not block.fixed:
            stop = text.find(GS, at, end)
            end = stop if stop >= 0 else min(end, len(text))
        value = text[at:end]
        if not block.low <= len(value) <= block.high or GS in value:
            raise DatamatrixError("BAD_LENGTH", name)
        values[name] = value
        at = end
        if not block.fixed and text[at : at + 1] == GS:
            at += 1
    return values


def _check(identity: InsDatamatrix) -> None:
    try:
        # Published test identities have wrong keys; the authority decides elsewhere whether that refuses.
        Matricule.parse(identity.matricule, wrong_key=True)
    except IdentifierError as error:
        raise DatamatrixError(error.code, "S1") from None
    if normalise(identity.given_names, NameKind.GIVEN_NAME) != (identity.given_names, None):
        raise DatamatrixError("BAD_NAME", "S3")
    if normalise(identity.birth_name, NameKind.BIRTH_NAME) != (identity.birth_name, None):
        raise DatamatrixError("BAD_NAME", "S4")
    if identity.sex not in ("M", "F"):
        raise DatamatrixError("BAD_SEX", "S5")
    if identity.birth_place and Cog.fault(identity.birth_place):
        raise DatamatrixError("BAD_COG", "S7")
