"""Headers: the members that every kind of document shares."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mappings.document.header import (
    Act,
    Authentication,
    Consent,
    DataEnterer,
    DocumentBase,
    Encounter,
    Informant,
    Order,
    Participant,
    Recipient,
    Replaced,
    Visibility,
)
from tests.support import documents
from tests.support.strategies.people import (
    FUNCTIONS,
    NATIONAL,
    PREFIXES,
    SPECIALTIES,
    SUFFIXES,
    authors,
    identifiers,
    oids,
    organizations,
    patients,
    professionals,
    related,
)
from tests.support.strategies.values import (
    LOINC,
    LOINC_CODES,
    addresses,
    codes,
    instants,
    maybe,
    names,
    of,
    periods,
    some,
    telecoms,
    texts,
)

FACILITIES = codes(
    "1.2.250.1.71.4.2.4", {"SA07": "Cabinet individuel", "SA05": "Centre de santé", "SA01": "Etablissement public"}
)
ENCOUNTERS = codes(
    "2.16.840.1.113883.5.4", {"AMB": "Ambulatoire (hors établissement)", "IMP": "Hospitalisation", "HH": "Domicile"}
)
CCAM = codes("1.2.250.1.215.300.1", {"HHFA011": "Appendicectomie", "DEQP003": "Électrocardiographie"}, "CCAM")


def root_identifiers() -> st.SearchStrategy[Any]:
    """A document identifier: an OID in root alone."""
    return identifiers(extended=False)


def recipients() -> st.SearchStrategy[Recipient]:
    """To whom a document was written."""
    return of(
        Recipient,
        id=NATIONAL,
        family=names(),
        given=maybe(names()),
        prefix=PREFIXES,
        suffix=SUFFIXES,
        addresses=some(addresses(), 1),
        telecoms=some(telecoms(), 2),
        organization=maybe(organizations()),
    )


def participants() -> st.SearchStrategy[Participant]:
    """Someone else who took part; the regular doctor as the IPS-FR names him."""
    people: dict[str, Any] = {
        "time": maybe(periods(start=True)),
        "id": NATIONAL,
        "code": maybe(SPECIALTIES),
        "family": names(),
        "given": maybe(names()),
        "prefix": PREFIXES,
        "suffix": SUFFIXES,
        "addresses": some(addresses(), 1),
        "telecoms": some(telecoms(), 1),
        "organization": maybe(organizations()),
    }
    doctor = codes("2.16.840.1.113883.5.88", {"PCP": "Médecin Traitant"})
    correspondent = codes("1.2.250.1.213.1.1.4.2.280", {"CORRE": "Correspondant"})
    return st.one_of(
        of(Participant, type=st.just("INF"), function=doctor, **people),
        of(Participant, type=st.just("CON"), function=correspondent, **people),
        of(
            Participant,
            type=st.sampled_from(("REF", "REFB", "RESP", "PRF", "VRF")),
            function=maybe(FUNCTIONS),
            entity_class=st.just("AGNT") | st.sampled_from(("PROV", "AGNT")),
            **people,
        ),
    )


def acts(specialties: st.SearchStrategy[Any], *, both_ends: bool) -> st.SearchStrategy[tuple[Act, ...]]:
    """The main act, then others."""
    main = of(
        Act,
        id=maybe(identifiers()),
        code=maybe(CCAM),
        period=periods(start=True, end=True if both_ends else None),
        performer=professionals(specialties, setting=True),
    )
    other = of(
        Act,
        id=maybe(identifiers()),
        code=CCAM,
        period=maybe(periods(start=True)),
        performer=maybe(professionals(setting=True)),
        informative=st.booleans(),
    )
    return st.builds(lambda a, rest: (a, *rest), main, some(other, 2))


def encounters(facilities: st.SearchStrategy[Any]) -> st.SearchStrategy[Encounter]:
    """Where and when the patient was met."""
    return of(
        Encounter,
        id=maybe(identifiers()),
        code=maybe(ENCOUNTERS),
        period=periods(),
        facility=facilities,
        location_name=maybe(texts(2)),
        location_address=maybe(addresses()),
        discharge_disposition=maybe(codes("1.2.250.1.213.2.14", {"8": "Retour au domicile"})),
        responsible=maybe(professionals()),
        participants=some(st.tuples(st.sampled_from(("ADM", "ATND", "CON", "DIS", "REF")), professionals()), 2),
    )


def headers(
    *,
    specialties: st.SearchStrategy[Any] = SPECIALTIES,
    facilities: st.SearchStrategy[Any] = FACILITIES,
    act_codes: bool = True,
    both_ends: bool = False,
) -> dict[str, st.SearchStrategy[Any]]:
    """The strategies of the header members, to be given to ``st.builds``."""
    made: dict[str, Any] = {
        "id": root_identifiers(),
        "set_id": st.builds(lambda root: {"root": root}, oids("1.2.250.1.999.8")),
        "version_number": st.integers(1, 12),
        "replaces": maybe(of(Replaced, id=root_identifiers(), version_number=maybe(st.integers(1, 11)))),
        "title": texts(),
        "created_at": instants(),
        "confidentiality": st.sampled_from(("N", "N", "R", "V")),
        "visibility": of(
            Visibility,
            masked_from_professionals=st.booleans(),
            hidden_from_patient=st.booleans(),
            hidden_from_guardians=st.booleans(),
        ),
        "patient": patients(),
        "authors": authors(specialties),
        "legal_authenticator": maybe(of(Authentication, professional=professionals(), time=maybe(instants()))),
        "authenticators": some(of(Authentication, professional=professionals(), time=maybe(instants())), 1),
        "custodian": maybe(organizations()),
        "data_enterer": maybe(of(DataEnterer, professional=professionals(), time=maybe(instants()))),
        "informants": some(
            of(Informant, professional=professionals())
            | of(Informant, related=related(("ECON", "NOK", "CON", "CAREGIVER", "PAT", "GUARD"))),
            2,
        ),
        "recipients": some(recipients(), 2),
        "participants": some(participants(), 3),
        "orders": some(of(Order, id=identifiers(), accession_number=maybe(identifiers())), 2),
        "acts": acts(specialties, both_ends=both_ends).map(
            lambda found: found if act_codes else (found[0].model_copy(update={"code": None}), *found[1:])
        ),
        "encounter": encounters(facilities),
        "consents": some(
            of(
                Consent,
                code=codes(LOINC, {"64292-6": "Décharge de responsabilité"}, "LOINC"),
                id=maybe(identifiers()),
            ),
            2,
        ),
    }
    return made


def plain_headers() -> dict[str, st.SearchStrategy[Any]]:
    """A header that is always the same: hypothesis draws a bounded number of choices, kept for the content."""
    report = documents.load(documents.report())
    made = {name: st.just(getattr(report, name)) for name in DocumentBase.model_fields}
    for name in ("schema_version", "language", "type"):
        del made[name]
    made["acts"] = st.just((report.acts[0].model_copy(update={"code": None}),))
    return {**made, "id": root_identifiers()}


TYPES = LOINC_CODES
