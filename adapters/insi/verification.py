"""Verification of identities already held, one by one or in lots: a message module, versioned.

**The schema of verification is not public.** Known: an operation is named ``verifierInsAvecTraitsIdentite``, the answer
of a unit call lives in ``http://www.cnamts.fr/INSiLot2/REPUnitaire``, a request holds ``IndividuVerifie`` with
``INSFourni`` and ``TraitsIdentiteIndividu``, and the answer is a yes or a no without traits. The rest of
:class:`Draft1` is this project's, spoken by its own simulator. The official one comes as another class with the same
methods, chosen by a setting; nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from lxml import etree

from adapters.insi.soap import (
    NS,
    LpsContext,
    Malformed,
    SoapFault,
    Stamp,
    child,
    children,
    open_envelope,
    parse_fault,
    text_of,
    write_envelope,
)
from conformance.identity.history import InsNumber
from conformance.identity.traits import Traits
from security import xml

__all__ = ["MODULES", "Claim", "Deposit", "Draft1", "Lot", "VerificationMessages", "Verified"]

UNIT: Final = "verifierInsAvecTraitsIdentite"
DEPOSIT: Final = "deposerLotVerification"
RETRIEVAL: Final = "recupererLotVerification"

_REQUEST: Final = "http://www.cnamts.fr/INSiLot2/REQUnitaire"
_ANSWER: Final = "http://www.cnamts.fr/INSiLot2/REPUnitaire"
_LOT: Final = "http://www.cnamts.fr/INSiLot2/Lot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An identity as held locally, to be confirmed; ``reference`` is the caller's own opaque word for it."""

    number: InsNumber
    traits: Traits
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The answer for one identity: yes or no, or a fault."""

    confirmed: bool = False
    reference: str = ""
    fault: SoapFault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """The receipt of a lot, to fetch its answers later."""

    lot: str = ""
    fault: SoapFault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """The answers of a lot, or the word that it is not ready."""

    ready: bool = False
    answers: tuple[Verified, ...] = ()
    fault: SoapFault | None = field(default=None)


class VerificationMessages(Protocol):
    """What a version of the verification messages can do; readers raise ``Malformed``."""

    version: str
    max_lot: int

    def unit(self, claim: Claim, context: LpsContext, stamp: Stamp) -> bytes:
        """Write a unit verification."""
        ...

    def read_unit(self, data: bytes) -> Verified:
        """Read its answer."""
        ...

    def deposit(self, claims: Sequence[Claim], context: LpsContext, stamp: Stamp) -> bytes:
        """Write the deposit of a lot."""
        ...

    def read_deposit(self, data: bytes) -> Deposit:
        """Read its receipt."""
        ...

    def retrieval(self, lot: str, context: LpsContext, stamp: Stamp) -> bytes:
        """Write the retrieval of a lot."""
        ...

    def read_lot(self, data: bytes) -> Lot:
        """Read the answers of a lot."""
        ...


def _add(parent: etree._Element, namespace: str, name: str, text: str = "") -> etree._Element:
    node = etree.SubElement(parent, f"{{{namespace}}}{name}")
    node.text = text or None
    return node


def _write_claim(parent: etree._Element, namespace: str, claim: Claim) -> None:
    individual = _add(parent, namespace, "IndividuVerifie")
    if claim.reference:
        individual.set("Reference", claim.reference)
    given = _add(individual, namespace, "INSFourni")
    identifier = _add(given, namespace, "IdIndividu")
    _add(identifier, namespace, "NumIdentifiant", claim.number.value[:13])
    _add(identifier, namespace, "Cle", claim.number.value[13:])
    _add(given, namespace, "OID", claim.number.oid)
    traits = _add(individual, namespace, "TraitsIdentiteIndividu")
    for name, value in (
        ("NomNaissance", claim.traits.birth_name),
        ("Prenom", claim.traits.first_given_name),
        ("ListePrenom", claim.traits.given_names),
        ("Sexe", claim.traits.sex),
        ("DateNaissance", claim.traits.birth_date),
        ("LieuNaissance", claim.traits.birth_place),
    ):
        if value:
            _add(traits, namespace, name, value)


def read_claims(payload: etree._Element) -> list[Claim]:
    """The identities a request asks about."""
    claims = []
    for node in children(payload, "IndividuVerifie"):
        identifier = child(node, "INSFourni", "IdIndividu")
        traits = child(node, "TraitsIdentiteIndividu")
        claims.append(
            Claim(
                number=InsNumber(
                    value=text_of(identifier, "NumIdentifiant") + text_of(identifier, "Cle"),
                    oid=text_of(node, "INSFourni", "OID"),
                ),
                traits=Traits(
                    birth_name=text_of(traits, "NomNaissance"),
                    first_given_name=text_of(traits, "Prenom"),
                    given_names=text_of(traits, "ListePrenom"),
                    sex=text_of(traits, "Sexe"),
                    birth_date=text_of(traits, "DateNaissance"),
                    birth_place=text_of(traits, "LieuNaissance"),
                ),
                reference=node.get("Reference", ""),
            )
        )
    return claims


class Draft1:
    """The project's own shape, until the official one is known."""

    version = "passerelle-draft-1"
    max_lot = 2000

    def unit(self, claim: Claim, context: LpsContext, stamp: Stamp) -> bytes:
        """Write a unit verification."""
        envelope, body = write_envelope(UNIT, context, stamp)
        request = etree.SubElement(body, f"{{{_REQUEST}}}REQUNITAIRE", nsmap={"v": _REQUEST})
        _write_claim(request, _REQUEST, claim)
        return xml.serialize(envelope)

    def read_unit(self, data: bytes) -> Verified:
        """Read a yes or a no."""
        envelope = open_envelope(data)
        if (fault := parse_fault(envelope)) is not None:
            return Verified(fault=fault)
        if etree.QName(envelope.payload).localname != "REPUNITAIRE":
            raise Malformed("NOT_A_VERIFICATION")
        return Verified(confirmed=_yes_or_no(text_of(envelope.payload, "Verifie")))

    def deposit(self, claims: Sequence[Claim], context: LpsContext, stamp: Stamp) -> bytes:
        """Write the deposit of a lot. Raises ``ValueError`` when it holds too many."""
        if not 0 < len(claims) <= self.max_lot:
            raise ValueError(f"a lot holds 1 to {self.max_lot} identities")
        envelope, body = write_envelope(DEPOSIT, context, stamp)
        request = etree.SubElement(body, f"{{{_LOT}}}DEPOT", nsmap={"l": _LOT})
        for claim in claims:
            _write_claim(request, _LOT, claim)
        return xml.serialize(envelope)

    def read_deposit(self, data: bytes) -> Deposit:
        """Read the number of the lot."""
        envelope = open_envelope(data)
        if (fault := parse_fault(envelope)) is not None:
            return Deposit(fault=fault)
        lot = text_of(envelope.payload, "NumeroLot")
        if not lot:
            raise Malformed("NOT_A_DEPOSIT")
        return Deposit(lot=lot)

    def retrieval(self, lot: str, context: LpsContext, stamp: Stamp) -> bytes:
        """Write the retrieval of a lot."""
        envelope, body = write_envelope(RETRIEVAL, context, stamp)
        request = etree.SubElement(body, f"{{{_LOT}}}RETRAIT", nsmap={"l": _LOT})
        _add(request, _LOT, "NumeroLot", lot)
        return xml.serialize(envelope)

    def read_lot(self, data: bytes) -> Lot:
        """Read the answers, or that there are none yet."""
        envelope = open_envelope(data)
        if (fault := parse_fault(envelope)) is not None:
            return Lot(fault=fault)
        if etree.QName(envelope.payload).localname != "LOT":
            raise Malformed("NOT_A_LOT")
        if text_of(envelope.payload, "Etat") != "TERMINE":
            return Lot()
        answers = tuple(
            Verified(confirmed=_yes_or_no(text_of(n, "Verifie")), reference=n.get("Reference", ""))
            for n in children(envelope.payload, "Reponse")
        )
        return Lot(ready=True, answers=answers)

    # What the simulator answers.

    def write_unit(self, confirmed: bool) -> bytes:
        """Write the answer of a unit verification."""
        envelope, body = _answer()
        node = etree.SubElement(body, f"{{{_ANSWER}}}REPUNITAIRE", nsmap={"v": _ANSWER})
        _add(node, _ANSWER, "Verifie", "OUI" if confirmed else "NON")
        return xml.serialize(envelope)

    def write_deposit(self, lot: str) -> bytes:
        """Write the receipt of a lot."""
        envelope, body = _answer()
        node = etree.SubElement(body, f"{{{_LOT}}}ACCUSE", nsmap={"l": _LOT})
        _add(node, _LOT, "NumeroLot", lot)
        return xml.serialize(envelope)

    def write_lot(self, answers: Iterable[tuple[str, bool]] | None) -> bytes:
        """Write the answers of a lot by reference, or that it is not ready with None."""
        envelope, body = _answer()
        node = etree.SubElement(body, f"{{{_LOT}}}LOT", nsmap={"l": _LOT})
        _add(node, _LOT, "Etat", "EN_COURS" if answers is None else "TERMINE")
        for reference, confirmed in answers or ():
            line = _add(node, _LOT, "Reponse")
            line.set("Reference", reference)
            _add(line, _LOT, "Verifie", "OUI" if confirmed else "NON")
        return xml.serialize(envelope)


def _answer() -> tuple[etree._Element, etree._Element]:
    envelope = etree.Element(f"{{{NS['soap']}}}Envelope", nsmap={"S": NS["soap"]})
    return envelope, etree.SubElement(envelope, f"{{{NS['soap']}}}Body")


def _yes_or_no(word: str) -> bool:
    if word not in ("OUI", "NON"):
        raise Malformed("NEITHER_YES_NOR_NO")
    return word == "OUI"


#: Versions of the verification messages by the word of the setting.
MODULES: Final[dict[str, VerificationMessages]] = {Draft1.version: Draft1()}
