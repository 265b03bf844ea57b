"""What the INSi simulator refuses, in the order it looks: certificate, software, contexts, action, body, traits.

Codes ``siram_*`` and ``desir_*`` are those of the real service; ``sim_2xx`` are the simulator's own, so that nobody
takes them for real ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from lxml import etree

from adapters.insi import verification
from adapters.insi.messages import BY_CARD, BY_TRAITS, read_trait_query
from adapters.insi.soap import ACTION, NS, Envelope, SoapFault, child, text_of
from conformance.identity.lexical import NameKind, normalise
from security import xml
from security.keyring import attribute_values
from security.vihf import SAML
from security.vihf_verify import TrustPolicy, VihfRefused, verify_vihf

__all__ = ["Refused", "check_assertions", "check_certificate", "check_request", "check_traits", "sender"]

COMMON_NAMES: Final = ("INSI-AUTO", "INSI-MANU")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COG: Final = re.compile(r"[A-Za-z0-9]{5}")
#: Operation -> namespace and name of its body; the verification's are this project's draft.
BODIES: Final = {
    BY_TRAITS: f"{{{NS['rs']}}}RECSANSVITALE",
    BY_CARD: f"{{{NS['rv']}}}RECVITALE",
    verification.UNIT: "{http://www.cnamts.fr/INSiLot2/REQUnitaire}REQUNITAIRE",
    verification.DEPOSIT: "{http://www.cnamts.fr/INSiLot2/Lot}DEPOT",
    verification.RETRIEVAL: "{http://www.cnamts.fr/INSiLot2/Lot}RETRAIT",
}
_ORDER: Final = {
    BY_TRAITS: ("NomNaissance", "Prenom", "Sexe", "DateNaissance", "LieuNaissance"),
    BY_CARD: ("MatriculeIndividu", "MatriculeOD", "NomNaissance", "DateNaissance", "RangNaissance"),
}


class Refused(Exception):
    """The simulator answers with a fault."""

    def __init__(self, fault: SoapFault) -> None:
        self.fault = fault
        super().__init__(fault.code)


def sender(code: str, text: str, *, subcode: str = "", message_id: str = "") -> Refused:
    """A fault for which the caller is answerable."""
    return Refused(
        SoapFault(
            side="Sender", subcode=subcode or code, code=code, severity="erreur", text=text, message_id=message_id
        )
    )


def check_certificate(der: bytes | None) -> None:
    """The TLS client is an organisation whose CN is exactly INSI-AUTO or INSI-MANU."""
    if der is None:
        raise sender("desir_560", "Niveau d'accès insuffisant.", subcode="siram_100")
    subject = x509.load_der_x509_certificate(der).subject
    if attribute_values(subject, x509.NameOID.COMMON_NAME) not in ([COMMON_NAMES[0]], [COMMON_NAMES[1]]):
        raise sender("desir_560", "Niveau d'accès insuffisant.", subcode="siram_100")


def check_request(envelope: Envelope, idams: frozenset[str]) -> str:
    """Software, contexts, action and body agree; gives the operation."""
    lps = envelope.block("ctxlps", "ContexteLPS")
    if text_of(lps, "LPS", "IDAM") not in idams:
        raise sender(
            "desir_550",
            "Le numéro d'autorisation du logiciel est inconnu.",
            subcode="siram_100",
            message_id=envelope.message_id,
        )
    _context("sim_201", lps, "01_00", ("LPS",))
    _context("sim_202", envelope.block("ctxbam", "ContexteBAM"), "01_02", ("COUVERTURE",))
    software = child(lps, "LPS")
    for name in ("Version", "Instance", "Nom"):
        if not text_of(software, name):
            raise sender("sim_201", f"ContexteLPS : {name} manque.")
    if not envelope.message_id:
        raise sender("sim_203", "wsa:MessageID manque.")
    operation = envelope.action.removeprefix(ACTION)
    if not envelope.action.startswith(ACTION) or BODIES.get(operation) != envelope.payload.tag:
        raise sender("sim_203", "wsa:Action ne correspond pas au corps.")
    _order(operation, envelope.payload)
    return operation


def _context(code: str, block: etree._Element | None, version: str, required: tuple[str, ...]) -> None:
    if block is None or block.get("Version") != version:
        raise sender(code, f"Contexte absent ou d'une autre version que {version}.")
    if not _UUID.fullmatch(text_of(block, "Id").removeprefix("urn:uuid:")):
        raise sender(code, "Id du contexte : un UUID est attendu.")
    if not _INSTANT.fullmatch(text_of(block, "Temps")):
        raise sender(code, "Temps du contexte : un instant est attendu.")
    for name in required:
        if child(block, name) is None:
            raise sender(code, f"Contexte : {name} manque.")


def _order(operation: str, payload: etree._Element) -> None:
    # The schema is a sequence: an unknown element or another order is not valid.
    order = _ORDER.get(operation)
    if order is None:
        return
    namespace = etree.QName(payload).namespace
    last = 0
    for node in payload:
        if not isinstance(node.tag, str):
            continue
        name = etree.QName(node)
        if name.namespace != namespace or name.localname not in order or order.index(name.localname) < last:
            raise sender("sim_204", "Corps de la demande : élément inattendu ou mal placé.")
        last = order.index(name.localname)


def check_traits(payload: etree._Element) -> tuple[str, str, str, str, str]:
    """The traits of a search follow the profile; gives name, given names, sex, date and place."""
    name, given, sex, born, place = read_trait_query(payload)
    if not name or not any(given) or not sex or not born:
        raise sender("sim_210", "Nom, prénom, sexe et date de naissance sont obligatoires.")
    if normalise(name, NameKind.BIRTH_NAME) != (name, None):
        raise sender("sim_211", "Le nom de naissance ne suit pas le profil lexical.")
    for one in given:
        if normalise(one, NameKind.GIVEN_NAME) != (one, None):
            raise sender("sim_212", "Le prénom ne suit pas le profil lexical.")
    if sex not in ("M", "F"):
        raise sender("sim_213", "Le sexe doit être M ou F.")
    if not _DATE.fullmatch(born):
        raise sender("sim_214", "La date de naissance doit être AAAA-MM-JJ.")
    if place and not _COG.fullmatch(place):
        raise sender("sim_215", "Le lieu de naissance doit être un code COG.")
    return name, " ".join(given), sex, born, place


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionPolicy:
    """What the second listener wants of assertions."""

    roots: Sequence[x509.Certificate]
    max_age: timedelta = timedelta(minutes=5)
    vitale_max_age: timedelta = timedelta(minutes=20)  # CNDA cases 1.02 and 1.03


def check_assertions(
    envelope: Envelope, policy: AssertionPolicy, *, with_card: bool, now: datetime, holder: str | None = None
) -> None:
    """One fresh assertion of a professional, and one of the card for a search by card.

    Signed, unless by Pro Santé Connect: then ``holder``, whose token came beside, is the professional it names.
    """
    security = envelope.block("wsse", "Security")
    assertions = [] if security is None else security.findall(f"{{{SAML}}}Assertion")
    kinds = []
    for assertion in assertions:
        name_id = assertion.find(f"{{{SAML}}}Subject/{{{SAML}}}NameID")
        qualifier = "" if name_id is None else name_id.get("NameQualifier", "")
        kinds.append(qualifier)
        if qualifier == "PSC":
            _check_psc(assertion, "" if name_id is None else name_id.text or "", holder, policy.max_age, now)
            continue
        age = policy.vitale_max_age if qualifier == "VITALE" else policy.max_age
        # Each is verified alone, as the bytes that were signed.
        alone = xml.parse(xml.canonical(assertion, exclusive=True))
        try:
            verify_vihf(alone, TrustPolicy(roots=policy.roots, max_age=age), now=now)
        except VihfRefused as error:
            raise sender("sim_221", f"Assertion refusée ({error.code}).") from None
    if sum(kind != "VITALE" for kind in kinds) != 1:
        raise sender("sim_220", "Une assertion du professionnel est attendue.")
    if with_card and kinds.count("VITALE") != 1:
        raise sender("sim_222", "Une assertion de la carte Vitale est attendue.")


def _check_psc(assertion: etree._Element, name: str, holder: str | None, age: timedelta, now: datetime) -> None:
    """An unsigned assertion is worth what proves it: the token of that very person, for a statement of the moment."""
    if holder is None or name != holder:
        raise sender("sim_224", "Le jeton Pro Santé Connect manque, ou n'est pas celui du professionnel.")
    try:
        issued = datetime.fromisoformat(assertion.get("IssueInstant", ""))
    except ValueError:
        raise sender("sim_221", "Assertion sans instant.") from None
    if issued.tzinfo is None or not -age <= now - issued <= age:
        raise sender("sim_221", "Assertion périmée.")
