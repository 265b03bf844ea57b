"""The two searches of INSi, by traits (WS_INS2) and by Vitale card (WS_INS1), written and read on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from adapters.insi.soap import (
    NS,
    Envelope,
    LpsContext,
    Malformed,
    SoapFault,
    Stamp,
    child,
    children,
    element,
    open_envelope,
    parse_fault,
    text_of,
    write_envelope,
)
from conformance.identity.history import InsNumber
from conformance.identity.traits import Traits, first_of_list
from security import xml

__all__ = [
    "BY_CARD",
    "BY_TRAITS",
    "Answer",
    "CardData",
    "Individual",
    "TraitQuery",
    "parse_answer",
    "read_trait_query",
    "write_answer",
    "write_card_search",
    "write_trait_search",
]

BY_TRAITS: Final = "rechercherInsAvecTraitsIdentite"
BY_CARD: Final = "rechercherInsAvecCarteVitale"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraitQuery:
    """What one search by traits asks, already in the lexical profile."""

    birth_name: str
    given_name: str  #: one given name, or all of them separated by spaces
    sex: str
    birth_date: str  #: ``YYYY-MM-DD``
    birth_place: str = ""  #: COG, only sent when asked for

    def __repr__(self) -> str:
        return "TraitQuery(***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardData:
    """What was read on a Vitale card for one beneficiary; everything is optional, as in the schema."""

    number: str = ""  #: thirteen characters of the beneficiary's own number, when certified
    key: str = ""
    certified_on: str = ""  #: date the number was certified
    insured_number: str = ""  #: number of the person who opens the rights
    insured_key: str = ""
    regime: str = ""
    fund: str = ""  #: CodeOrganisme
    centre: str = ""
    birth_name: str = ""
    birth_date: str = ""
    birth_rank: str = ""
    is_holder: bool | None = None

    def __repr__(self) -> str:
        return "CardData(***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Individual:
    """The person INSi found: active number, earlier ones as returned, and traits."""

    active: InsNumber
    history: tuple[InsNumber, ...] = ()
    traits: Traits = field(default_factory=Traits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the teleservice answered: a fault, or a result code with perhaps a person."""

    code: str = ""  #: ``00``, ``01``, ``02``; empty with a fault
    label: str = ""
    individual: Individual | None = None
    fault: SoapFault | None = None


def write_trait_search(
    query: TraitQuery, context: LpsContext, stamp: Stamp, *, assertions: Sequence[etree._Element] = ()
) -> bytes:
    """Write a search by traits; one ``Prenom`` element a call, as clients in service do."""
    envelope, body = write_envelope(BY_TRAITS, context, stamp, assertions=assertions)
    request = etree.SubElement(body, f"{{{NS['rs']}}}RECSANSVITALE", nsmap={"rs": NS["rs"]})
    element(request, "rs", "NomNaissance", query.birth_name)
    element(request, "rs", "Prenom", query.given_name)
    element(request, "rs", "Sexe", query.sex)
    element(request, "rs", "DateNaissance", query.birth_date)
    if query.birth_place:
        element(request, "rs", "LieuNaissance", query.birth_place)
    return xml.serialize(envelope)


def read_trait_query(payload: etree._Element) -> tuple[str, list[str], str, str, str]:
    """What a search by traits asks, as sent: birth name, given names, sex, date, COG."""
    return (
        text_of(payload, "NomNaissance"),
        [(n.text or "").strip() for n in children(payload, "Prenom")],
        text_of(payload, "Sexe"),
        text_of(payload, "DateNaissance"),
        text_of(payload, "LieuNaissance"),
    )


def _some(parent: etree._Element, prefix: str, members: Iterable[tuple[str, str]]) -> None:
    for name, value in members:
        if value:
            element(parent, prefix, name, value)


def _coverage(card: CardData) -> etree._Element:
    coverage = etree.Element(f"{{{NS['ctxbam']}}}COUVERTURE", nsmap={"ctxbam": NS["ctxbam"]})
    _some(coverage, "ctxbam", (("GrandRegime", card.regime), ("Organisme", card.fund), ("CodeCentre", card.centre)))
    if card.insured_number:
        insured = element(element(coverage, "ctxbam", "ASSURE"), "ctxbam", "Id")
        _some(insured, "ctxbam", (("Num", card.insured_number), ("Cle", card.insured_key)))
    beneficiary = element(coverage, "ctxbam", "BENEFICIAIRE")
    if card.number:
        number = element(beneficiary, "ctxbam", "Nir")
        _some(number, "ctxbam", (("Num", card.number), ("Cle", card.key), ("DateCertification", card.certified_on)))
    holder = "" if card.is_holder is None else str(int(card.is_holder))
    _some(beneficiary, "ctxbam", (("DateNai", card.birth_date), ("Rang", card.birth_rank), ("Porteur", holder)))
    return coverage


def write_card_search(
    card: CardData, context: LpsContext, stamp: Stamp, *, assertions: Sequence[etree._Element] = ()
) -> bytes:
    """Write a search by card data; the assertions are those of the card read and of the professional."""
    envelope, body = write_envelope(BY_CARD, context, stamp, assertions=assertions, coverage=_coverage(card))
    request = etree.SubElement(body, f"{{{NS['rv']}}}RECVITALE", nsmap={"rv": NS["rv"]})
    for name, number, key in (
        ("MatriculeIndividu", card.number, card.key),
        ("MatriculeOD", card.insured_number, card.insured_key),
    ):
        if number:
            _some(element(request, "rv", name), "rv", (("NumIdentifiant", number), ("Cle", key)))
    _some(
        request,
        "rv",
        (("NomNaissance", card.birth_name), ("DateNaissance", card.birth_date), ("RangNaissance", card.birth_rank)),
    )
    return xml.serialize(envelope)


def _write_number(parent: etree._Element, name: str, number: InsNumber) -> None:
    node = element(parent, "res", name)
    identifier = element(node, "res", "IdIndividu")
    element(identifier, "res", "NumIdentifiant", number.value[:13])
    if number.value[13:]:
        element(identifier, "res", "Cle", number.value[13:])
    element(node, "res", "OID", number.oid)
    _some(node, "res", (("DateDeb", number.start or ""), ("DateFin", number.end or "")))


def write_answer(operation: str, answer: Answer, *, relates_to: str = "", prefix: str = "S") -> bytes:
    """Write the answer of a search, with the SOAP prefix of one's choice as captured answers vary."""
    envelope = etree.Element(f"{{{NS['soap']}}}Envelope", nsmap={prefix: NS["soap"], "wsa": NS["wsa"]})
    header = element(envelope, "soap", "Header")
    element(header, "wsa", "Action", f"urn:ServiceIdentiteCertifiee:1.0.0:{operation}Response")
    if relates_to:
        element(header, "wsa", "RelatesTo", relates_to)
    body = element(envelope, "soap", "Body")
    result = etree.SubElement(body, f"{{{NS['res']}}}RESULTAT", nsmap={None: NS["res"]})
    report = element(result, "res", "CR")
    element(report, "res", "CodeCR", answer.code)
    element(report, "res", "LibelleCR", answer.label)
    if answer.individual is not None:
        person = answer.individual
        individual = element(result, "res", "INDIVIDU")
        _write_number(individual, "INSACTIF", person.active)
        for number in person.history:
            _write_number(individual, "INSHISTO", number)
        traits = person.traits
        # The live service leaves Prenom out: the first given name is read from the list.
        _some(
            element(individual, "res", "TIQ"),
            "res",
            (
                ("NomNaissance", traits.birth_name),
                ("ListePrenom", traits.given_names),
                ("Sexe", traits.sex),
                ("DateNaissance", traits.birth_date),
                ("LieuNaissance", traits.birth_place),
            ),
        )
    return xml.serialize(envelope)


def _read_number(node: etree._Element | None) -> InsNumber:
    number = text_of(node, "IdIndividu", "NumIdentifiant") + text_of(node, "IdIndividu", "Cle")
    oid = text_of(node, "OID")
    if not number or not oid:
        raise Malformed("NUMBER_WITHOUT_OID")
    return InsNumber(
        value=number.upper(), oid=oid, start=text_of(node, "DateDeb") or None, end=text_of(node, "DateFin") or None
    )


def _read_traits(node: etree._Element | None) -> Traits:
    names = text_of(node, "ListePrenom")
    first = text_of(node, "Prenom")
    return Traits(
        birth_name=text_of(node, "NomNaissance"),
        first_given_name=first or first_of_list(names),
        given_names=names or first,
        sex=text_of(node, "Sexe"),
        birth_date=text_of(node, "DateNaissance"),
        birth_place=text_of(node, "LieuNaissance"),
    )


def read_result(envelope: Envelope) -> Answer:
    """Read the result of a search. Raises :class:`Malformed`."""
    result = envelope.payload
    code = text_of(result, "CR", "CodeCR")
    if etree.QName(result).localname != "RESULTAT" or not code:
        raise Malformed("NOT_A_RESULT")
    node = child(result, "INDIVIDU")
    if node is None:
        if code == "00":
            raise Malformed("NOBODY_IN_RESULT")
        return Answer(code=code, label=text_of(result, "CR", "LibelleCR"))
    individual = Individual(
        active=_read_number(child(node, "INSACTIF")),
        history=tuple(_read_number(n) for n in children(node, "INSHISTO")),
        traits=_read_traits(child(node, "TIQ")),
    )
    return Answer(code=code, label=text_of(result, "CR", "LibelleCR"), individual=individual)


def parse_answer(data: bytes) -> Answer:
    """Read the answer of a search, result or fault. Raises :class:`Malformed`."""
    envelope = open_envelope(data)
    fault = parse_fault(envelope)
    return Answer(fault=fault) if fault is not None else read_result(envelope)
