"""The matricule INS: fifteen characters and their key, and the authorities that may assign one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from conformance.identifiers.base import VALID, CheckResult, Environment, IdentifierError

__all__ = [
    "AUTHORITIES",
    "INS_NIA",
    "INS_NIR",
    "INS_NIR_DEMO",
    "INS_NIR_TEST",
    "Authority",
    "Matricule",
    "authority_gate",
    "check_matricule",
    "matricule_key",
]

INS_NIR: Final = "1.2.250.1.213.1.4.8"
INS_NIA: Final = "1.2.250.1.213.1.4.9"
INS_NIR_TEST: Final = "1.2.250.1.213.1.4.10"
INS_NIR_DEMO: Final = "1.2.250.1.213.1.4.11"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An assigning authority of INS numbers."""

    oid: str
    code: str  #: type code in FHIR (``fr-core-cs-v2-0203``) and in CX-5 of DMP test messages
    label: str
    key_blocks: bool  #: a wrong key refuses; under the test authorities it only warns, as published patients have one
    provisional: bool = False  #: a waiting number (NIA), to be replaced by a NIR


# ANS "INS - liste des OID des autorités d'affectation".
AUTHORITIES: Final = {
    a.oid: a
    for a in (
        Authority(oid=INS_NIR, code="INS-NIR", label="NIR", key_blocks=True),
        Authority(oid=INS_NIA, code="INS-NIA", label="NIA", key_blocks=True, provisional=True),
        Authority(oid=INS_NIR_TEST, code="INS-NIR-TEST", label="NIR de test", key_blocks=False),
        Authority(oid=INS_NIR_DEMO, code="INS-NIR-DEMO", label="NIR de démonstration", key_blocks=False),
    )
}

_STRIP: Final = str.maketrans("", "", " .-\u00a0\u202f")
_FORMAT: Final = re.compile(r"[0-9]{5}(?:[0-9]{2}|2[AB])[0-9]{6}[0-9]{2}")
_FIRST_DIGITS: Final = frozenset("123478")
# 20-42 and 50-99 stand for incomplete records and full ranges; 13, which some software accepts, is refused.
_MONTHS: Final = frozenset(f"{m:02d}" for m in (*range(1, 13), *range(20, 43), *range(50, 100)))


def matricule_key(body: str) -> str:
    """The two-digit control key of the thirteen characters of a matricule: ``97 - (N mod 97)``.

    In Corsica ``2A`` counts as 19 and ``2B`` as 18. Raises :class:`IdentifierError` on another form.
    """
    department = body[5:7]
    if department == "2A":
        body = body[:5] + "19" + body[7:]
    elif department == "2B":
        body = body[:5] + "18" + body[7:]
    if len(body) != 13 or not (body.isascii() and body.isdigit()):
        raise IdentifierError("matricule", "BAD_FORMAT")
    return f"{97 - int(body) % 97:02d}"


def _structure_fault(value: str) -> str | None:
    # The first rule broken is the code: the order is part of the interface.
    if not _FORMAT.fullmatch(value):
        return "BAD_FORMAT"
    if value[0] not in _FIRST_DIGITS:
        return "BAD_FIRST_DIGIT"
    if value[3:5] not in _MONTHS:
        return "BAD_MONTH"
    if value[10:13] == "000":
        return "BAD_SERIAL"
    return None


@dataclass(frozen=True, slots=True)
class Matricule:
    """The fifteen characters that name a person, key included; never to be shown without its authority.

    Two equal matricules may still belong to two persons when their authorities differ. ``repr`` hides the number.
    """

    value: str
    key_ok: bool = True

    def __post_init__(self) -> None:
        if code := _structure_fault(self.value):
            raise IdentifierError("matricule", code)
        if (matricule_key(self.value[:13]) == self.value[13:]) is not self.key_ok:
            raise IdentifierError("matricule", "BAD_KEY")

    @staticmethod
    def clean(text: str) -> str:
        """The stored form: no space, dot or hyphen, upper case."""
        return text.translate(_STRIP).upper()

    @classmethod
    def parse(cls, text: str, *, wrong_key: bool = False) -> Self:
        """Read a matricule as people write it. Raises :class:`IdentifierError` with the first rule broken.

        ``wrong_key`` lets through a number whose key is wrong, as several published test patients have.
        """
        value = cls.clean(text)
        if code := _structure_fault(value):
            raise IdentifierError("matricule", code)
        key_ok = matricule_key(value[:13]) == value[13:]
        if not key_ok and not wrong_key:
            raise IdentifierError("matricule", "BAD_KEY")
        return cls(value, key_ok)

    @property
    def body(self) -> str:
        """The thirteen characters without the key."""
        return self.value[:13]

    @property
    def key(self) -> str:
        """The two characters of the key, as written."""
        return self.value[13:]

    @property
    def spaced(self) -> str:
        """The printed form, in the groups of a Vitale card."""
        v = self.value
        return f"{v[0]} {v[1:3]} {v[3:5]} {v[5:7]} {v[7:10]} {v[10:13]} {v[13:]}"

    def __str__(self) -> str:
        return self.value

    def __repr__(self) -> str:
        return "Matricule(***)"


def authority_gate(oid: str | None, environment: str = Environment.PRODUCTION) -> str:
    """Whether a matricule of this authority may enter: ``accepted`` or one of four refusals.

    Production takes the NIR and the NIA; test takes the test and demonstration authorities as well.
    """
    if not oid or not oid.strip():
        return "rejected_missing_oid"
    oid = oid.strip()
    if oid in (INS_NIR, INS_NIA):
        return "accepted"
    if oid == INS_NIR_TEST:
        return "accepted" if environment == Environment.TEST else "rejected_test_oid"
    if oid == INS_NIR_DEMO:
        return "accepted" if environment == Environment.TEST else "rejected_demo_oid"
    return "rejected_not_ins"


def check_matricule(value: str, oid: str | None, environment: str = Environment.PRODUCTION) -> CheckResult:
    """Judge a matricule with its authority; a wrong key only warns under the test authorities."""
    gate = authority_gate(oid, environment)
    if gate != "accepted" or oid is None:
        return CheckResult.of(gate)
    cleaned = Matricule.clean(value)
    if code := _structure_fault(cleaned):
        return CheckResult.of(code)
    if matricule_key(cleaned[:13]) == cleaned[13:]:
        return VALID
    return CheckResult.of("BAD_KEY", warn=not AUTHORITIES[oid.strip()].key_blocks)
