"""The SAML assertions of the card modes: the professional who calls, and the Vitale card that was read.

The structure mode (mutual TLS with an organisation certificate) needs none. Shape: GIE SESAM-Vitale sample code as
re-published, captured messages. How a Pro Santé Connect token is carried is not public: only the unsigned assertion is
written here, behind its own function.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

from cryptography import x509
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureConstructionMethod, SignatureMethod
from signxml.signer import XMLSigner

from security.vihf import DS, SAML, RsaSigner, distinguished_name

__all__ = ["AssertionSigner", "Caller", "psc_assertion"]

_ISSUER_FORMAT: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:X509SubjectName"
#: Card types of the certificate extension 1.2.250.1.71.1.2.2.
CARD_TYPES: Final = ("CPS", "CPF", "CDE-CPE", "CPA", "CPX")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The professional for whom the call is made."""

    name_id: str = field(repr=False)  #: CN of the card's certificate, or PS_IdNat with Pro Santé Connect
    billing_id: str = field(repr=False)  #: geographic FINESS, else SIRET; AM billing number of a self-employed one
    sector: str  #: ``SA07``
    specialty: str = ""  #: mandatory for doctors and doctors in training
    profession: str = ""  #: ``gipProfessionCode``: only with Pro Santé Connect and several professions
    card_type: str = "CPS"

    def attributes(self) -> list[tuple[str, str]]:
        """The attributes in lower camel case, empty ones left out."""
        return [
            (name, value)
            for name, value in (
                ("identifiantFacturation", self.billing_id),
                ("secteurActivite", self.sector),
                ("codeSpecialite", self.specialty),
                ("gipProfessionCode", self.profession),
            )
            if value
        ]


def _skeleton(
    assertion_id: str, at: datetime, issuer: str, qualifier: str, name_id: str, attributes: list[tuple[str, str]]
) -> etree._Element:
    if not assertion_id.startswith("_"):
        raise ValueError("the id of an assertion starts with an underscore")
    instant = at.astimezone(UTC)
    root = etree.Element(
        f"{{{SAML}}}Assertion",
        nsmap={None: SAML},
        ID=assertion_id,
        IssueInstant=instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z",
        Version="2.0",
    )
    etree.SubElement(root, f"{{{SAML}}}Issuer", Format=_ISSUER_FORMAT).text = issuer
    subject = etree.SubElement(root, f"{{{SAML}}}Subject")
    etree.SubElement(subject, f"{{{SAML}}}NameID", NameQualifier=qualifier).text = name_id
    if attributes:
        statement = etree.SubElement(root, f"{{{SAML}}}AttributeStatement")
        for name, value in attributes:
            node = etree.SubElement(statement, f"{{{SAML}}}Attribute", Name=name)
            etree.SubElement(node, f"{{{SAML}}}AttributeValue").text = value
    return root


class AssertionSigner:
    """Signs assertions with the signature key of a card (never its authentication key)."""

    __slots__ = ("_certificate", "_issuer", "_key")

    def __init__(self, *, key: RsaSigner, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate
        self._issuer = distinguished_name(certificate.subject)

    def practitioner(self, caller: Caller, *, assertion_id: str, at: datetime) -> etree._Element:
        """The assertion of the professional, valid for a few minutes."""
        root = _skeleton(assertion_id, at, self._issuer, caller.card_type, caller.name_id, caller.attributes())
        return self._sign(root, assertion_id)

    def vitale(self, serial_number: str, *, assertion_id: str, at: datetime) -> etree._Element:
        """The assertion that a Vitale card was read; it goes stale, the card must then be read again."""
        return self._sign(_skeleton(assertion_id, at, self._issuer, "VITALE", serial_number, []), assertion_id)

    def _sign(self, root: etree._Element, assertion_id: str) -> etree._Element:
        # The schema of SAML wants the signature right after Issuer.
        root.insert(1, etree.Element(f"{{{DS}}}Signature", Id="placeholder", nsmap={"ds": DS}))
        signer = XMLSigner(
            method=SignatureConstructionMethod.enveloped,
            signature_algorithm=SignatureMethod.RSA_SHA256,
            digest_algorithm=DigestAlgorithm.SHA256,
            c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
        )
        return signer.sign(root, key=cast("Any", self._key), cert=[self._certificate], reference_uri="#" + assertion_id)


def psc_assertion(caller: Caller, issuer: str, *, assertion_id: str, at: datetime) -> etree._Element:
    """The unsigned assertion of Pro Santé Connect mode (SEL-MP-043 v05); the specialty has its own name there."""
    attributes = [("codeSpecialiteAMO" if n == "codeSpecialite" else n, v) for n, v in caller.attributes()]
    return _skeleton(assertion_id, at, issuer, "PSC", caller.name_id, attributes)
