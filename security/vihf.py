"""The VIHF: the SAML 2.0 assertion by which software tells the DMP who is calling, and for which patient.

Three modes. ``INDIRECTE``: the structure signs, for feeding. ``INDIRECTE_RENFORCEE`` (AIR): the structure signs, the
user is strongly authenticated, for reading. ``DIRECTE``: the professional's card signs, through a callable. Everything
that differs from one environment to the next is in :class:`VihfProfile`. Shape and attributes: SEL-MP-037 as read in
public sources (dmp.md 6); SAML 2.0 core.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Literal, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from lxml import etree

__all__ = [
    "CardKey",
    "Coded",
    "Mode",
    "Purpose",
    "RsaSigner",
    "Software",
    "VihfClaims",
    "VihfProfile",
    "VihfSigner",
    "distinguished_name",
]

SAML: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
DS: Final = "http://www.w3.org/2000/09/xmldsig#"
HL7: Final = "urn:hl7-org:v3"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
EXCLUSIVE_C14N: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"

# Names of attributes, dmp.md 6.2.
VERSION: Final = "VIHF_Version"
STRUCTURE: Final = "Identifiant_Structure"
SECTOR: Final = "Secteur_Activite"
SUBJECT_ID: Final = "urn:oasis:names:tc:xspa:1.0:subject:subject-id"
ROLE: Final = "urn:oasis:names:tc:xacml:2.0:subject:role"
RESOURCE_ID: Final = "urn:oasis:names:tc:xacml:2.0:resource:resource-id"
RESOURCE_URN: Final = "Ressource_URN"
PURPOSE: Final = "urn:oasis:names:tc:xspa:1.0:subject:purposeofuse"
CONFIDENTIALITY: Final = "urn:oasis:names:tc:xspa:1.0:resource:patient:hl7:confidentiality-code"
LPS_ID: Final = "LPS_ID"
LPS_NAME: Final = "LPS_Nom"
LPS_VERSION: Final = "LPS_Version"
LPS_HOMOLOGATION: Final = "LPS_ID_HOMOLOGATION_DMP"
#: The mode's attribute is spelled both ways by clients in service.
MODE_NAMES: Final = ("Authentification_mode", "Authentification_Mode")
MINOR_CONNECTION: Final = "INVISIBLE_REPRESENTANTS_LEGAUX^1.2.250.1.213.1.1.4.13"

_ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")

_PURPOSES: Final = {
    "normal": "Accès normal",
    "bris_de_glace": "Accès bris de glace",
    "centre_15": "Accès centre de régulation",
}


class Mode(StrEnum):
    """Who is proven, and by what (``Authentification_mode``)."""

    DIRECT = "DIRECTE"
    INDIRECT = "INDIRECTE"
    REINFORCED = "INDIRECTE_RENFORCEE"


class Purpose(StrEnum):
    """How the record is accessed (TRE_R248-ModeAcces)."""

    NORMAL = "normal"
    BREAK_GLASS = "bris_de_glace"
    REGULATION = "centre_15"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """An HL7 CE: code, code system, its name, label."""

    code: str
    system: str
    system_name: str = ""
    display: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """The calling software, as the CNDA knows it."""

    name: str
    version: str
    homologation: str  #: authorisation number given by the CNDA
    id: str = ""  #: serial of the installation


@dataclass(frozen=True, slots=True, kw_only=True)
class VihfClaims:
    """What one assertion says: who calls, from where, about whom, why."""

    mode: Mode
    name_id: str  #: national identifier of the user, or ``3<FINESS>/<internal>``
    subject_name: str  #: given and family name of the user, or software name and model
    structure_id: str  #: Struct_IdNat
    sector: str  #: ``SA07^1.2.250.1.71.4.2.4``
    roles: tuple[Coded, ...]  #: profession, then specialty for doctors and pharmacists
    software: Software
    authn_instant: datetime  #: when the user logged in to the local software
    patient: str | None = field(default=None, repr=False)  #: CX of the INS; None on calls without a patient
    purpose: Purpose = Purpose.NORMAL
    authn_context: str = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"
    authn_declaration: str | None = None  #: AuthnContextDecl, AIR only
    secret_connection: bool = False  #: a minor's secret


@dataclass(frozen=True, slots=True, kw_only=True)
class VihfProfile:
    """What an environment wants of a VIHF; all public sources differ on these points."""

    version: str = "3.0"  #: 3.0 in clients of 2019-2026, 4.0 in a table of 2026
    mode_attribute: str = "Authentification_mode"
    algorithm: Literal["rsa-sha256", "rsa-sha1"] = "rsa-sha256"
    dn_order: Literal["rfc4514", "encoded"] = "rfc4514"  #: CN first, or C first with ", " between parts
    purpose_system_name: str = "mode acces VIHF 1.0"


class RsaSigner(Protocol):
    """What signs: an RSA private key of ``cryptography``, or whatever has its ``sign`` method (a PKCS#11 token)."""

    def sign(self, data: bytes, padding: Any, algorithm: Any) -> bytes:
        """Sign bytes with PKCS#1 v1.5."""
        ...


class CardKey:
    """A key that stays on a card: a callable takes the bytes to sign and gives the PKCS#1 v1.5 signature."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[bytes], bytes]) -> None:
        self._call = call

    def sign(self, data: bytes, padding: Any, algorithm: Any) -> bytes:
        """Have the card sign; padding and digest are those the bridge was set up for."""
        return self._call(data)


def distinguished_name(name: x509.Name, order: Literal["rfc4514", "encoded"] = "rfc4514") -> str:
    """Write the subject of the signing certificate as the Issuer of the assertion."""
    if order == "rfc4514":
        return name.rfc4514_string()
    return ", ".join(rdn.rfc4514_string() for rdn in name.rdns)


#: Signature and digest as XML Signature names them, and as they are computed. SHA-1 is the environment's choice: some
#: still ask for it, by a named setting.
_ALGORITHMS: Final[Mapping[str, tuple[str, str, str]]] = {
    "rsa-sha256": (
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        "http://www.w3.org/2001/04/xmlenc#sha256",
        "sha256",
    ),
    "rsa-sha1": (DS + "rsa-sha1", DS + "sha1", "sha1"),
}
_ISSUER_END: Final = b"</Issuer>"


class VihfSigner:
    """Writes and signs assertions with one key, loaded once; little more than the RSA signature itself.

    Everything is written in its canonical form at once: what is signed is what is sent, and nothing is read again.
    """

    __slots__ = ("_digest", "_info", "_issuer", "_key", "_key_info", "profile")

    def __init__(
        self,
        *,
        key: RsaSigner,
        certificate: x509.Certificate,
        chain: Iterable[x509.Certificate] = (),
        profile: VihfProfile | None = None,
    ) -> None:
        """``chain`` is sent after the certificate when given; the DMP needs the certificate only."""
        self.profile = profile or VihfProfile()
        self._key = key
        self._issuer = distinguished_name(certificate.subject, self.profile.dn_order)
        signature, digest, self._digest = _ALGORITHMS[self.profile.algorithm]
        ders = (one.public_bytes(serialization.Encoding.DER) for one in (certificate, *chain))
        data = "".join(f"<ds:X509Certificate>{base64.b64encode(d).decode()}</ds:X509Certificate>" for d in ders)
        self._key_info = f"<ds:KeyInfo><ds:X509Data>{data}</ds:X509Data></ds:KeyInfo>".encode()
        self._info = (
            f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE_C14N}"></ds:CanonicalizationMethod>'
            f'<ds:SignatureMethod Algorithm="{signature}"></ds:SignatureMethod>'
            '<ds:Reference URI="#{reference}"><ds:Transforms>'
            f'<ds:Transform Algorithm="{DS}enveloped-signature"></ds:Transform>'
            f'<ds:Transform Algorithm="{EXCLUSIVE_C14N}"></ds:Transform></ds:Transforms>'
            f'<ds:DigestMethod Algorithm="{digest}"></ds:DigestMethod>'
            "<ds:DigestValue>{value}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
        )

    def assertion(self, claims: VihfClaims, *, assertion_id: str, issue_instant: datetime) -> bytes:
        """Give a signed assertion, as bytes to be put in the envelope unchanged.

        ``assertion_id`` must be an XML name (``_`` and a UUID). Raises ValueError otherwise.
        """
        if not _ID.fullmatch(assertion_id):
            raise ValueError("the id of an assertion starts with a letter or an underscore")
        root = _assertion(claims, self.profile, self._issuer, assertion_id, issue_instant)
        whole: bytes = etree.tostring(root, method="c14n", exclusive=True, with_comments=False)
        digest = base64.b64encode(hashlib.new(self._digest, whole, usedforsecurity=False).digest()).decode()
        info = self._info.replace("{reference}", assertion_id).replace("{value}", digest).encode()
        # Canonical by itself: in the place it takes, the namespace comes from the signature around it.
        signed = b'<ds:SignedInfo xmlns:ds="' + DS.encode() + b'">' + info
        hashed = hashes.SHA1() if self._digest == "sha1" else hashes.SHA256()  # noqa: S303 - the environment's choice
        value = base64.b64encode(self._key.sign(signed, padding.PKCS1v15(), hashed))
        head, tail = whole.split(_ISSUER_END, 1)
        # The signature stands right after Issuer, as the schema wants.
        return b"".join(
            (
                head,
                _ISSUER_END,
                b'<ds:Signature xmlns:ds="',
                DS.encode(),
                b'"><ds:SignedInfo>',
                info,
                b"<ds:SignatureValue>",
                value,
                b"</ds:SignatureValue>",
                self._key_info,
                b"</ds:Signature>",
                tail,
            )
        )


def instant(moment: datetime) -> str:
    """Write an instant in UTC, seconds, with ``Z``. It must have a zone."""
    if moment.tzinfo is None:
        raise ValueError("an instant without time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _assertion(
    claims: VihfClaims, profile: VihfProfile, issuer: str, assertion_id: str, issue_instant: datetime
) -> etree._Element:
    s = f"{{{SAML}}}"
    sub = etree.SubElement
    root = etree.Element(
        s + "Assertion",
        nsmap={None: SAML, "xsi": XSI},
        ID=assertion_id,
        IssueInstant=instant(issue_instant),
        Version="2.0",
    )
    sub(root, s + "Issuer", Format="urn:oasis:names:tc:SAML:1.1:nameid-format:X509SubjectName").text = issuer
    sub(sub(root, s + "Subject"), s + "NameID").text = claims.name_id
    statement = sub(root, s + "AuthnStatement", AuthnInstant=instant(claims.authn_instant))
    context = sub(statement, s + "AuthnContext")
    sub(context, s + "AuthnContextClassRef").text = claims.authn_context
    if claims.mode is Mode.REINFORCED:
        sub(context, s + "AuthnContextDecl").text = claims.authn_declaration or claims.authn_context
    attributes = sub(root, s + "AttributeStatement")
    for name, value in _attributes(claims, profile):
        node = sub(attributes, s + "Attribute", Name=name)
        for one in value if isinstance(value, tuple) else (value,):
            holder = sub(node, s + "AttributeValue")
            if isinstance(one, Coded):
                _coded(holder, "PurposeOfUse" if name == PURPOSE else "Role", one)
            else:
                holder.text = one
    return root


def _attributes(claims: VihfClaims, profile: VihfProfile) -> Iterable[tuple[str, str | Coded | tuple[Coded, ...]]]:
    """The attributes in the order sent; empty ones are left out."""
    yield VERSION, profile.version
    yield profile.mode_attribute, str(claims.mode)
    yield STRUCTURE, claims.structure_id
    yield SECTOR, claims.sector
    # The direct mode proves the person by the card; the kit's direct example has no subject-id.
    if claims.mode is not Mode.DIRECT:
        yield SUBJECT_ID, claims.subject_name
    yield ROLE, claims.roles
    if claims.patient is not None:
        yield RESOURCE_ID, claims.patient
    yield RESOURCE_URN, "urn:dmp"
    yield (
        PURPOSE,
        Coded(
            code=str(claims.purpose),
            system="1.2.250.1.213.1.1.4.248",
            system_name=profile.purpose_system_name,
            display=_PURPOSES[claims.purpose],
        ),
    )
    if claims.secret_connection:
        yield CONFIDENTIALITY, MINOR_CONNECTION
    if claims.software.id:
        yield LPS_ID, claims.software.id
    yield LPS_NAME, claims.software.name
    yield LPS_VERSION, claims.software.version
    yield LPS_HOMOLOGATION, claims.software.homologation


def _coded(parent: etree._Element, name: str, coded: Coded) -> None:
    node = etree.SubElement(parent, f"{{{HL7}}}{name}", nsmap={None: HL7})
    node.set(f"{{{XSI}}}type", "CE")
    node.set("code", coded.code)
    node.set("codeSystem", coded.system)
    if coded.system_name:
        node.set("codeSystemName", coded.system_name)
    if coded.display:
        node.set("displayName", coded.display)
