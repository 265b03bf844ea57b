"""Value types of the French health identifiers: each validates once and knows its printed forms.

``Type.parse(text)`` gives a value or raises :class:`IdentifierError` with a code; ``check_identifier(kind, text)``
never raises and gives a :class:`CheckResult`.
"""

from __future__ import annotations

from typing import Final

from conformance.identifiers.base import CheckResult, Environment, IdentifierError, Word, Written
from conformance.identifiers.codes import Cip13, Cis, Cog, Lpp, Oid, Ucd13, Uuid
from conformance.identifiers.idnat import PsIdNat, StructIdNat
from conformance.identifiers.matricule import (
    AUTHORITIES,
    INS_NIA,
    INS_NIR,
    INS_NIR_DEMO,
    INS_NIR_TEST,
    Authority,
    Matricule,
    authority_gate,
    check_matricule,
    matricule_key,
)
from conformance.identifiers.national import Adeli, Finess, Rpps, RppsRank, Siren, Siret

__all__ = [
    "AUTHORITIES",
    "IDENTIFIER_KINDS",
    "INS_NIA",
    "INS_NIR",
    "INS_NIR_DEMO",
    "INS_NIR_TEST",
    "Adeli",
    "Authority",
    "CheckResult",
    "Cip13",
    "Cis",
    "Cog",
    "Environment",
    "Finess",
    "IdentifierError",
    "Lpp",
    "Matricule",
    "Oid",
    "PsIdNat",
    "Rpps",
    "RppsRank",
    "Siren",
    "Siret",
    "StructIdNat",
    "Ucd13",
    "Uuid",
    "Word",
    "Written",
    "authority_gate",
    "check_identifier",
    "check_matricule",
    "matricule_key",
]

#: Every kind ``check_identifier`` knows, by the word callers use.
IDENTIFIER_KINDS: Final[dict[str, type[Written]]] = {
    t.kind(): t
    for t in (Rpps, RppsRank, Adeli, Finess, Siren, Siret, PsIdNat, StructIdNat, Cog, Oid, Uuid, Cip13, Ucd13, Cis, Lpp)
}


def check_identifier(kind: str, text: str, environment: str = Environment.PRODUCTION) -> CheckResult:
    """Judge a text as an identifier of a kind; the test environment forgives the key of a RPPS.

    Raises ``KeyError`` on an unknown kind.
    """
    identifier = IDENTIFIER_KINDS[kind]
    if identifier is Rpps:
        return Rpps.check(text, environment)
    if issubclass(identifier, (Adeli, PsIdNat, StructIdNat)):
        return identifier.check(text)
    return CheckResult.of(identifier.fault(identifier.clean(text)))
