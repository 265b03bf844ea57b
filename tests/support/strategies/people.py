"""People: patients, professionals, structures."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mappings.document.people import (
    Author,
    Device,
    Identifier,
    IdentityStatus,
    Ins,
    Organization,
    Patient,
    Professional,
    RelatedPerson,
    Sex,
)
from tests.support.strategies.values import (
    addresses,
    civil_names,
    codes,
    days,
    instants,
    maybe,
    names,
    of,
    some,
    telecoms,
    texts,
)

SPECIALTIES = codes(
    "1.2.250.1.213.1.1.4.5",
    {
        "G15_10/SM54": "Médecin - Médecine Générale (SM)",
        "G15_10/SM26": "Médecin - Qualifié en Médecine Générale (SM)",
        "G15_60": "Infirmier",
    },
)
PHARMACISTS = codes("1.2.250.1.213.1.1.4.5", {"G15_21": "Pharmacien", "G15_21/A": "Pharmacien titulaire d'officine"})
SETTINGS = codes(
    "1.2.250.1.213.1.1.4.9",
    {"AMBULATOIRE": "Ambulatoire", "ETABLISSEMENT": "Etablissement de santé", "SAD": "Soins à domicile"},
    "practiceSettingCode",
)
FUNCTIONS = codes("2.16.840.1.113883.5.88", {"PCP": "Médecin Traitant", "ATTPHYS": "Référent"})
RELATIONS = codes("2.16.840.1.113883.5.111", {"MTH": "Mère", "FTH": "Père", "SIS": "Soeur"})

PREFIXES = st.sampled_from((None, "M", "MME"))
SUFFIXES = st.sampled_from((None, "DR", "PR"))


def oids(branch: str = "1.2.250.1.999.9") -> st.SearchStrategy[str]:
    """An OID of a made-up branch."""
    return st.integers(1, 99999).map(lambda n: f"{branch}.{n}")


def identifiers(*, extended: bool | None = None) -> st.SearchStrategy[Identifier]:
    """An identifier, with or without extension."""
    extension = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,12}", fullmatch=True)
    if extended is None:
        extension = maybe(extension)  # type: ignore[assignment]
    return of(Identifier, root=oids(), extension=extension if extended is not False else st.none())


NATIONAL = st.sampled_from(("899700218896", "810123456781", "810009876543")).map(
    lambda number: Identifier(root="1.2.250.1.71.4.2.1", extension=number)
)
STRUCTURES = st.sampled_from(("1290099887", "1750803447", "342505900100014")).map(
    lambda number: Identifier(root="1.2.250.1.71.4.2.2", extension=number)
)


def organizations(*, setting: bool = False) -> st.SearchStrategy[Organization]:
    """A structure; ``setting`` imposes its practice setting."""
    return of(
        Organization,
        id=STRUCTURES,
        name=texts(3),
        practice_setting=SETTINGS if setting else maybe(SETTINGS),
        addresses=some(addresses(), 2),
        telecoms=some(telecoms(), 2),
    )


def professionals(
    specialties: st.SearchStrategy[Any] = SPECIALTIES, *, setting: bool = False
) -> st.SearchStrategy[Professional]:
    """A professional of a structure."""
    return of(
        Professional,
        id=NATIONAL,
        family=names(),
        given=maybe(names()),
        prefix=PREFIXES,
        suffix=SUFFIXES,
        specialty=specialties,
        organization=organizations(setting=setting),
        addresses=some(addresses(), 2),
        telecoms=some(telecoms(), 2),
    )


def devices() -> st.SearchStrategy[Device]:
    """Software that writes documents."""
    return of(
        Device,
        id=identifiers(extended=True),
        manufacturer_model=texts(2),
        software=texts(2),
        code=codes("1.2.250.1.213.1.1.4.6", {"DISPOSITIF": "Dispositif", "AUTOMATE": "Automate"}),
        organization=st.one_of(organizations(), organizations(), st.none()),
    )


def authors(specialties: st.SearchStrategy[Any] = SPECIALTIES) -> st.SearchStrategy[tuple[Author, ...]]:
    """Authors, the first a professional."""
    first = of(Author, professional=professionals(specialties), function=maybe(FUNCTIONS), time=maybe(instants()))
    other = first | of(Author, device=devices(), time=maybe(instants()))
    return st.builds(lambda a, rest: (a, *rest), first, some(other, 2))


def related(classes: tuple[str, ...]) -> st.SearchStrategy[RelatedPerson]:
    """Someone near the patient."""
    return of(
        RelatedPerson,
        relation_class=st.sampled_from(classes),
        relation=st.one_of(RELATIONS, RELATIONS, st.none()),
        family=names(),
        given=maybe(names()),
        addresses=some(addresses(), 1),
        telecoms=some(telecoms(), 1),
    )


_INS = st.just(Ins(value="279035121518989", authority="1.2.250.1.213.1.4.10"))
_CHECKED = {"ins_checked_on": maybe(days()), "proof": st.sampled_from((None, "CN", "PA"))}


def patients() -> st.SearchStrategy[Patient]:
    """A patient of any identity status, with what each status imposes."""
    common: dict[str, Any] = {
        "birth_name": civil_names(),
        "used_name": maybe(names()),
        "used_given_name": maybe(names()),
        "sex": st.sampled_from(Sex),
        "birth_date": days(),
        "birth_place_name": maybe(texts(2)),
        "deceased": st.sampled_from((None, None, False, True)),
        "deceased_at": st.none() | st.none() | days(),
        "multiple_birth_order": st.sampled_from((None, None, 1, 2)),
        "addresses": some(addresses(), 2),
        "telecoms": some(telecoms(), 2),
        "guardian": st.none() | st.none() | related(("GUARD", "CON")),
        **_CHECKED,
    }
    known: dict[str, Any] = {
        "first_given_name": civil_names(),
        "given_names": civil_names(),
        "birth_place": st.sampled_from(("51215", "2A004", "99351", "75102")),
    }
    local = some(identifiers(extended=True), 2, least=1)
    qualified = of(
        Patient,
        ins=_INS,
        identifiers=some(identifiers(extended=True), 2),
        status=st.just(IdentityStatus.QUALIFIED),
        attributes=st.just(()) | st.just(("homonyme",)),
        **common,
        **known,
    )
    other = of(
        Patient,
        ins=maybe(_INS),
        identifiers=local,
        status=st.sampled_from(IdentityStatus),
        attributes=st.just(()) | st.just(("douteux",)),
        **common,
        first_given_name=civil_names(),
        given_names=civil_names(),
        birth_place=known["birth_place"],
    )
    bare = of(
        Patient,
        identifiers=local,
        **common,
        first_given_name=civil_names(),
        given_names=maybe(civil_names()),
        birth_place=maybe(known["birth_place"]),
    )
    return qualified | other | bare
