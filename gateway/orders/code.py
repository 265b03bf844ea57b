"""The 2D code of a prescription, signed: a forged, expired or replayed one is refused with its reason.

What the national code contains is not public: this is a **project format**, marked so in its own text
(``PASSERELLE-EP2``), used when the setting ``ordonnance.code`` asks for it. It holds no trait of the patient.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote, unquote

from gateway.orders.rules import RULES, order_rule

__all__ = ["BadCode", "SignedCode", "read_code", "write_code"]

_MARK = "PASSERELLE-EP2"
#: Bytes of the seal kept: 128 bits of HMAC-SHA-256.
_SEAL = 16

NOT_OURS = order_rule(
    "ORD-050",
    "Ce code n'est pas un code d'ordonnance de la passerelle, ou il est mal lu.",
    "This is not a prescription code of the gateway, or it was misread.",
    "Scannez de nouveau, ou saisissez le numéro imprimé.",
    "Scan again, or type the printed number.",
)
FORGED = order_rule(
    "ORD-051",
    "La signature du code est fausse : l'ordonnance imprimée a peut-être été falsifiée.",
    "The code's signature is wrong: the printed prescription may be a forgery.",
    "Ne dispensez pas sur cette ordonnance ; appelez le prescripteur.",
    "Do not dispense on this prescription; call the prescriber.",
)
CODE_EXPIRED = order_rule(
    "ORD-052",
    "Ce code n'est plus valable : la date limite de l'ordonnance est passée.",
    "This code is no longer valid: the prescription's last day is past.",
    "Adressez le patient à son prescripteur pour une nouvelle ordonnance.",
    "Send the patient to the prescriber for a new prescription.",
)
REPLAYED = order_rule(
    "ORD-053",
    "Ce code a déjà servi : l'ordonnance a été exécutée, annulée ou remplacée.",
    "This code has served already: the prescription was dispensed, cancelled or replaced.",
    "Demandez l'ordonnance en cours ; voyez l'historique pour la date de la dernière délivrance.",
    "Ask for the present prescription; see the history for the date of the last delivery.",
)


class BadCode(ValueError):
    """The code is refused; ``code`` is the rule's."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(RULES[code].message.en)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCode:
    """What a signed code says."""

    number: str
    issued_on: date
    last_day: date | None
    serial: str  #: of the printing: a replaced prescription has another


def _day(value: date | None) -> str:
    return value.strftime("%Y%m%d") if value else ""


def _seal(key: bytes, body: str) -> str:
    digest = hmac.new(key, body.encode(), hashlib.sha256).digest()[:_SEAL]
    return base64.b32encode(digest).decode().rstrip("=")


def write_code(code: SignedCode, key: bytes) -> str:
    """The text of the 2D code, sealed under a key of the installation."""
    body = ";".join((_MARK, quote(code.number, safe=""), _day(code.issued_on), _day(code.last_day), code.serial))
    return f"{body};{_seal(key, body)}"


def read_code(text: str, key: bytes, *, today: date) -> SignedCode:
    """What a scanned text says; raises :class:`BadCode` when it is of another format, forged or past its last day."""
    body, _, seal = text.strip().rpartition(";")
    fields = body.split(";")
    if len(fields) != 5 or fields[0] != _MARK or len(text) > 400:
        raise BadCode("ORD-050")
    if not hmac.compare_digest(seal.encode(), _seal(key, body).encode()):
        raise BadCode("ORD-051")
    try:
        issued, last = (_date(one) for one in fields[2:4])
    except ValueError:
        raise BadCode("ORD-050") from None
    if issued is None or not fields[1]:
        raise BadCode("ORD-050")
    if last is not None and today > last:
        raise BadCode("ORD-052")
    return SignedCode(number=unquote(fields[1]), issued_on=issued, last_day=last, serial=fields[4])


def _date(text: str) -> date | None:
    return date(int(text[:4]), int(text[4:6]), int(text[6:8])) if text else None
