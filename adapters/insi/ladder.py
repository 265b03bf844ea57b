"""The order in which given names are tried in a search by traits (CNDA cases 2.06 and 2.07).

First given name, then each following one alone, then all together; the place of birth only when several people answer.
"""

from __future__ import annotations

from typing import Final

from adapters.insi.messages import TraitQuery
from conformance.identity.lexical import NameKind, normalise, spaced
from conformance.identity.traits import Traits

__all__ = ["MAX_CALLS", "NotSendable", "given_name_rungs", "query_of"]

#: No public quota exists: a ladder stops here.
MAX_CALLS: Final = 6


class NotSendable(Exception):
    """The traits break the profile of INSi; ``faults`` gives the trait's name and the code of its fault."""

    def __init__(self, faults: dict[str, str]) -> None:
        self.faults = faults
        super().__init__(", ".join(f"{name}: {code}" for name, code in faults.items()))


def given_name_rungs(traits: Traits, *, limit: int = MAX_CALLS) -> list[str]:
    """The given names to try, in order, each once, the whole list always among the last.

    Raises :class:`NotSendable` when a given name breaks the profile.
    """
    whole = normalise(traits.given_names, NameKind.GIVEN_NAME) if traits.given_names.strip() else None
    first = normalise(traits.first_given_name, NameKind.GIVEN_NAME) if traits.first_given_name.strip() else None
    for name, value in (("given_names", whole), ("first_given_name", first)):
        if value is not None and value.code:
            raise NotSendable({name: value.code})
    names = whole.output if whole else first.output if first else ""
    if not names:
        raise NotSendable({"first_given_name": "EMPTY"})
    words = names.split(" ")
    start = first.output if first else words[0]
    # A first name that takes several words of the list (JEAN PAUL of JEAN PAUL LUC) covers them.
    covered = set(spaced(start).split(" "))
    following = [w for w in words if w != start and not set(spaced(w).split(" ")) <= covered]
    rungs = list(dict.fromkeys([start, *following]))
    if names in rungs:
        return rungs[:limit]
    return [*rungs[: limit - 1], names]


def query_of(traits: Traits, given_name: str = "", *, with_place: bool = False) -> TraitQuery:
    """The query of one rung, in the profile. Raises :class:`NotSendable` naming each trait at fault."""
    faults: dict[str, str] = {}
    name = normalise(traits.birth_name, NameKind.BIRTH_NAME)
    if name.code:
        faults["birth_name"] = name.code
    if traits.sex not in ("M", "F"):
        # INSi knows only M and F: a person must decide before the call.
        faults["sex"] = "SEX_UNDETERMINED" if traits.sex == "I" else "BAD_SEX"
    if not _is_date(traits.birth_date):
        faults["birth_date"] = "BAD_FORMAT"
    if faults:
        raise NotSendable(faults)
    return TraitQuery(
        birth_name=name.output,
        given_name=given_name,
        sex=traits.sex,
        birth_date=traits.birth_date,
        birth_place=traits.birth_place.strip().upper() if with_place else "",
    )


def _is_date(text: str) -> bool:
    parts = text.split("-")
    return [len(p) for p in parts] == [4, 2, 2] and all(p.isascii() and p.isdigit() for p in parts)
