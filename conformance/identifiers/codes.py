"""Other coded identifiers: COG of birth places, OID, UUID, and product codes CIS, CIP13, UCD13 and LPP."""

from __future__ import annotations

import re
import uuid
from typing import Final

from conformance.identifiers.base import Written

__all__ = ["Cip13", "Cis", "Cog", "Lpp", "Oid", "Ucd13", "Uuid"]

_COG: Final = re.compile(r"(?:[0-9]{2}|2[AB])[0-9]{3}")
# ISO/IEC 9834-1: first arc 0 to 2, second below 40 under 0 and 1, no leading zero.
_OID: Final = re.compile(r"(?:[01]\.(?:[0-9]|[1-3][0-9])|2\.(?:0|[1-9][0-9]*))(?:\.(?:0|[1-9][0-9]*))*")
_OID_MAX: Final = 64
_CIS: Final = re.compile(r"6[0-9]{7}")
_LPP: Final = re.compile(r"[0-9]{7}")
_CLUB_13: Final = re.compile(r"3400[0-9]{9}")


class Cog(Written):
    """The five characters of a birth place in the Code officiel géographique, ``99`` and a country code abroad.

    Codes of the past (old Corsica ``20xxx``, Algeria ``91``-``94``, Morocco ``95``, Tunisia ``96``) are right ones:
    the code is the one in force on the day of birth.
    """

    __slots__ = ()

    @classmethod
    def fault(cls, value: str) -> str | None:
        return None if _COG.fullmatch(value) else "BAD_FORMAT"

    @property
    def unknown(self) -> bool:
        """True for ``99999``, the unknown place."""
        return self.value == "99999"

    @property
    def abroad(self) -> bool:
        """True for a foreign country, or an unknown place."""
        return self.value.startswith("99")


class Oid(Written):
    """An object identifier in dotted form, at most 64 characters (CI-SIS limit on XDS identifiers)."""

    __slots__ = ()

    @classmethod
    def clean(cls, text: str) -> str:
        return text.strip().removeprefix("urn:oid:")

    @classmethod
    def fault(cls, value: str) -> str | None:
        return None if len(value) <= _OID_MAX and _OID.fullmatch(value) else "BAD_FORMAT"

    @property
    def urn(self) -> str:
        """The form FHIR uses as a system."""
        return f"urn:oid:{self.value}"


class Uuid(Written):
    """A UUID in lower case with hyphens."""

    __slots__ = ()

    @classmethod
    def clean(cls, text: str) -> str:
        return text.strip().lower().removeprefix("urn:uuid:")

    @classmethod
    def fault(cls, value: str) -> str | None:
        try:
            return None if str(uuid.UUID(value)) == value else "BAD_FORMAT"
        except ValueError:
            return "BAD_FORMAT"

    @property
    def urn(self) -> str:
        """The form of ``urn:uuid``."""
        return f"urn:uuid:{self.value}"

    @property
    def oid(self) -> Oid:
        """The same number under the arc 2.25."""
        return Oid(f"2.25.{uuid.UUID(self.value).int}")


def _ean13_ok(value: str) -> bool:
    digits = [int(c) for c in value]
    return (10 - (sum(digits[0:12:2]) + 3 * sum(digits[1:12:2])) % 10) % 10 == digits[12]


class _Club13(Written):
    __slots__ = ()

    @classmethod
    def clean(cls, text: str) -> str:
        return text.replace(" ", "").replace("\u00a0", "")

    @classmethod
    def fault(cls, value: str) -> str | None:
        if not _CLUB_13.fullmatch(value):
            return "BAD_FORMAT"
        return None if _ean13_ok(value) else "BAD_KEY"


class Cip13(_Club13):
    """The thirteen digits of a medicine's presentation (a box), with an EAN-13 key."""

    __slots__ = ()

    @property
    def cip7(self) -> str:
        """The seven digits of the old CIP code."""
        return self.value[5:12]


class Ucd13(_Club13):
    """The thirteen digits of a medicine's common dispensation unit, with an EAN-13 key."""

    __slots__ = ()

    @property
    def ucd7(self) -> str:
        """The seven digits of the old UCD code."""
        return self.value[5:12]


class Cis(Written):
    """The eight digits of a medicine's speciality in the public base of medicines."""

    __slots__ = ()

    @classmethod
    def fault(cls, value: str) -> str | None:
        return None if _CIS.fullmatch(value) else "BAD_FORMAT"


class Lpp(Written):
    """The seven digits of a reimbursed device (liste des produits et prestations)."""

    __slots__ = ()

    @classmethod
    def fault(cls, value: str) -> str | None:
        return None if _LPP.fullmatch(value) else "BAD_FORMAT"
