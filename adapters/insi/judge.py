"""What an INSi answer must be before anyone looks at it: a right number, of a right authority, with traits in form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from adapters.insi.messages import Individual
from conformance.identifiers import AUTHORITIES, IdentifierError, Matricule, authority_gate, matricule_key
from conformance.identity.history import InsNumber
from conformance.identity.lexical import NameKind, normalise
from conformance.identity.traits import Traits

__all__ = ["judge"]

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def judge(individual: Individual, environment: str, oid_map: Mapping[str, str]) -> tuple[Individual, str | None]:
    """Check a person INSi returned; gives the person, and our code when the answer must be refused.

    A missing key is computed. ``oid_map`` renames authorities for test platforms, whose INSi answers with the real
    ones; the history is kept as returned but for that.
    """
    mapped = _map(individual, oid_map)
    active = mapped.active
    if authority_gate(active.oid, environment) != "accepted":
        return mapped, "INSI-ANS-003"
    try:
        value = active.value if len(active.value) != 13 else active.value + matricule_key(active.value)
        # The key is judged under the authority that answered: what a test platform's is kept under forgives wrong ones.
        answered = AUTHORITIES.get(individual.active.oid, AUTHORITIES[active.oid])
        number = Matricule.parse(value, wrong_key=not answered.key_blocks)
    except IdentifierError:
        return mapped, "INSI-ANS-002"
    if not _in_profile(mapped.traits):
        return mapped, "INSI-ANS-004"
    return replace(mapped, active=replace(active, value=number.value)), None


def _map(individual: Individual, oid_map: Mapping[str, str]) -> Individual:
    if not oid_map:
        return individual

    def renamed(number: InsNumber) -> InsNumber:
        return replace(number, oid=oid_map.get(number.oid, number.oid))

    return replace(individual, active=renamed(individual.active), history=tuple(renamed(n) for n in individual.history))


def _in_profile(traits: Traits) -> bool:
    # EF_INS25_04: M or F only. Lower case or accents would mean that this is not the national base talking.
    return (
        normalise(traits.birth_name, NameKind.BIRTH_NAME) == (traits.birth_name, None)
        and normalise(traits.given_names, NameKind.GIVEN_NAME) == (traits.given_names, None)
        and traits.sex in ("M", "F")
        and _DATE.fullmatch(traits.birth_date) is not None
    )
