"""The fictitious people of the INSi simulator: the published test identities, and a population made from a seed.

Every published one comes from public test material of the qualification platform (CNDA cases 1.10 to 3.05); nobody here
exists.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from adapters.insi.messages import Individual
from adapters.insi.soap import SoapFault
from conformance.identifiers import INS_NIA, INS_NIR, matricule_key
from conformance.identity.history import InsNumber
from conformance.identity.lexical import normalise
from conformance.identity.traits import Traits, first_of_list

__all__ = ["PUBLISHED", "Person", "Population", "generate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody the simulator knows, or a name under which it fails."""

    individual: Individual | None
    traits: Traits
    fault: SoapFault | None = None  #: what a search of this person gives instead of an answer


TECHNICAL_FAULT: Final = SoapFault(
    side="Receiver",
    subcode="siram_40",
    code="insi_102",
    severity="fatal",
    text="Le service est temporairement inaccessible. Veuillez renouveler votre demande ultérieurement.",
)


def _number(text: str, oid: str = INS_NIR) -> InsNumber:
    return InsNumber(value=text.replace(" ", ""), oid=oid)


def person(
    name: str,
    given: str,
    sex: str,
    born: str,
    place: str,
    number: str,
    *history: str | InsNumber,
    oid: str = INS_NIR,
) -> Person:
    """Build a person from plain texts; a history number without authority is a NIR."""
    traits = Traits(
        birth_name=name,
        first_given_name=first_of_list(given),
        given_names=given,
        sex=sex,
        birth_date=born,
        birth_place=place,
    )
    earlier = tuple(h if isinstance(h, InsNumber) else _number(h) for h in history)
    individual = Individual(active=_number(number, oid), history=earlier, traits=traits)
    return Person(individual=individual, traits=traits)


#: Published test identities; the comment is the CNDA case.
PUBLISHED: Final = (
    person("ADRUN", "ZOE", "F", "1975-12-31", "63220", "2751263220749 74"),
    person("ADRTROIS", "DOMINIQUE", "F", "1997-02-26", "2A020", "297022A020778 78"),
    person("ADRTROIS", "TOUSSAINT", "M", "1960-01-01", "2B020", "160012B020777 13"),  # 2.03-2
    person("ADRDEUX", "LAURENT", "M", "1981-01-01", "63220", "1810163220751 40"),
    person("D'ARTAGNAN DE L'HERAULT", "PIERRE-ALAIN GUNTHER", "M", "2001-06-17", "63220", "1010663220754 60"),  # 2.03-1
    person(
        "ECETINSI",
        "PIERRE-ALAIN MURIEL FLORIANT",
        "M",
        "2009-07-14",
        "63220",
        "1090763220834 89",
        "2090763220834 39",
    ),  # 2.04
    person("PROVISOIRE", "MATRICULE", "M", "2009-07-01", "63220", "1090763220888 35", oid=INS_NIA),  # 2.05
    person("DE VINCI", "LEONARDO PIERO", "M", "2014-02-01", "63220", "1140263220833 56"),  # 2.06
    person("TCHITCHI", "CATARINA BELLA", "F", "1936-06-21", "63220", "2360663220836 56"),  # 2.07-1
    person("CORSE", "ANTHONY", "M", "1980-03-02", "2B020", "180032B020401 23", "180032B020401 23"),  # 2.08-1
    person(
        "HERMAN", "GATIEN", "M", "1981-03-24", "63220", "1810363220456 76", "1810363220456 76", "2810363220456 10"
    ),  # 2.08-2
    person("NESSI", "MICHELANGELO ANTHONY", "M", "2010-08-07", "63220", "1100863220830 60"),
    person("NESSI", "NATHALIE", "F", "1977-07-14", "63220", "2770763220829 10"),  # 3.05-3
    # The namesake that makes case 2.06 answer 02 without the place of birth: not published, made up.
    person("DE VINCI", "LEONARDO PIERO", "M", "2014-02-01", "75056", "1140275056001 " + matricule_key("1140275056001")),
    *(
        Person(
            individual=None,
            traits=Traits(birth_name="D'AEION", given_names="COEUR", sex="M", birth_date=born),
            fault=TECHNICAL_FAULT,
        )  # 2.03-3
        for born in ("1987-01-25", "1987-01-01")
    ),
)

_FAMILY: Final = (
    "ABRILET BONNEFOI CARDEVAL DUMESNILLET ESTRANGIN FONTANARD GARRIGOUX HAUTECLAIRE ISNARDON JOUVELIN KERMADOU "
    "LABROUSTE MONTCLAREN NOUVELON ORMESSAN PELLEGRIN QUATREFOIN ROCHEBELLE SAINTAUBAN TREVIGNON URBANEL VALDORIS "
    "WAGNEROT YVERNAUX ZAMPARELLI"
).split()
_WOMEN: Final = "ANNA CELINE ELISE FANNY INES JULIE LEA MARIE-LOUISE NORA PAULINE ROSE SOFIA THERESE YASMINE".split()
_MEN: Final = "ADAM BRUNO CESAR DAMIEN ETIENNE FELIX HUGO JEAN-PAUL KARIM LUC MARTIN NOE OSCAR REMI".split()
_PLACES: Final = "63220 75056 13055 69123 2A004 2B033 97411 97209 59350 35238 99352 99350 99132 33063".split()


def _build(rng: random.Random, serial: int, **fixed: str) -> Person:
    sex = fixed.get("sex") or rng.choice("MF")
    given = fixed.get("given") or " ".join(rng.sample(_WOMEN if sex == "F" else _MEN, rng.randint(1, 3)))
    day = date(1920, 1, 1) + timedelta(days=rng.randrange(38_000))
    born = fixed.get("born") or day.isoformat()
    place = fixed.get("place", rng.choice(_PLACES))
    month = born[5:7] if born[5:7] != "00" else "20"
    body = f"{1 if sex == 'M' else 2}{born[2:4]}{month}{place or '63220'}{serial:03d}"
    return person(
        fixed.get("name") or rng.choice(_FAMILY),
        given,
        sex,
        born,
        place,
        body + matricule_key(body),
        oid=fixed.get("oid", INS_NIR),
    )


def _with_history(one: Person, *history: InsNumber) -> Person:
    if one.individual is None:
        return one
    return replace(one, individual=replace(one.individual, history=history))


def _special(rng: random.Random) -> Iterator[Person]:
    """The cases every integrator must meet, in this order."""
    for place in ("13055", "69123"):  # two namesakes that only the place tells apart
        yield _build(rng, 501, name="HOMONYMET", given="JULIE ROSE", sex="F", born="1988-05-12", place=place)
    yield _build(rng, 502, name="ATTENTE", given="NORA", sex="F", born="1994-09-03", place="99352", oid=INS_NIA)
    became = _build(rng, 503, name="DEVENU", given="KARIM ADAM", sex="M", born="1990-11-30", place="99350")
    yield _with_history(became, _number("1901199350904" + matricule_key("1901199350904"), INS_NIA))
    changed = _build(rng, 504, name="TRANSITAIN", given="ALEX", sex="F", born="1999-04-21", place="35238")
    yield _with_history(changed, _number("1990435238504" + matricule_key("1990435238504")))
    yield _build(rng, 505, name="SANSLIEU", given="PAULINE", sex="F", born="1931-02-14", place="")
    yield _build(rng, 506, name="SANSJOUR", given="BRUNO", sex="M", born="1944-00-00", place="99352")
    yield _build(rng, 507, name="NEALETRANGER", given="SOFIA INES", sex="F", born="1976-06-18", place="99132")
    yield _build(rng, 508, name="LEGRAND--LEPETIT", given="HUGO", sex="M", born="2005-10-01", place="59350")
    yield _build(rng, 509, name="'AITALI", given="YASMINE", sex="F", born="1983-12-25", place="69123")
    yield _build(rng, 510, name="COURT", given="O", sex="M", born="1962-03-08", place="33063")


def generate(count: int, seed: int = 20261122) -> list[Person]:
    """Make a population: the special cases first, then ordinary people; the same seed makes the same one."""
    rng = random.Random(seed)  # noqa: S311 - people for tests, not keys
    people = list(_special(rng))[:count]
    taken = {p.individual.active.value for p in people if p.individual}
    while len(people) < count:
        one = _build(rng, rng.randint(1, 499))
        if one.individual is not None and one.individual.active.value not in taken:
            taken.add(one.individual.active.value)
            people.append(one)
    return people


class Population:
    """The people known, found by traits as the service does, or by number."""

    def __init__(self, people: Iterable[Person] = ()) -> None:
        self._by_traits: dict[tuple[str, str, str], list[Person]] = {}
        self._by_number: dict[str, Person] = {}
        for one in people:
            self.add(one)

    def add(self, one: Person) -> None:
        """Take somebody in; a number already known is replaced."""
        number = one.individual.active.value if one.individual is not None else None
        if number is not None and (old := self._by_number.get(number)) is not None:
            self._by_traits[self._key(old.traits)].remove(old)
        if number is not None:
            self._by_number[number] = one
        self._by_traits.setdefault(self._key(one.traits), []).append(one)

    @staticmethod
    def _key(traits: Traits) -> tuple[str, str, str]:
        return normalise(traits.birth_name).output, traits.sex, traits.birth_date

    def search(
        self, birth_name: str, given_name: str, sex: str, born: str, place: str, *, first_only: bool = False
    ) -> list[Person]:
        """Everybody who answers: sex, date and name equal, place equal when asked, and the given name one of the list
        or its beginning (``first_only``: the first one or the beginning)."""
        found = []
        for one in self._by_traits.get((normalise(birth_name).output, sex, born), ()):
            names = one.traits.given_names
            words = names.split(" ")
            known = words[:1] if first_only else words
            beginning = f"{names} ".startswith(f"{given_name} ")
            if (given_name in known or beginning) and place in ("", one.traits.birth_place):
                found.append(one)
        return found

    def by_number(self, number: str) -> Person | None:
        """The person whose active number has these thirteen or fifteen characters."""
        if len(number) == 13:
            number += matricule_key(number)
        return self._by_number.get(number)

    def __iter__(self) -> Iterator[Person]:
        return iter([p for group in self._by_traits.values() for p in group])

    def __len__(self) -> int:
        return sum(map(len, self._by_traits.values()))
