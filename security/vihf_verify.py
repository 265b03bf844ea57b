"""Verify a VIHF as a strict receiver does: only what is signed is read, whatever stands around it.

Against signature wrapping: exactly one assertion and one signature in the whole message, at their places, no id used
twice, one reference to the assertion's own id, enveloped and exclusive C14N only, and the claims are read from the
canonical bytes that were signed. The certificate in the message proves nothing: it must chain to a pinned authority.
SAML 2.0 core 5.4; W3C XML Signature Best Practices; SAML XSW permutations of Somorovsky et al.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from security import vihf, xml
from security.errors import UnsafeInput
from security.keyring import chains_to

__all__ = ["TrustPolicy", "VerifiedVihf", "VihfRefused", "verify_vihf"]

_S: Final = f"{{{vihf.SAML}}}"
_DS: Final = f"{{{vihf.DS}}}"
_WSSE: Final = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd}"
_IDS: Final = (
    "ID",
    "Id",
    "id",
    "{http://www.w3.org/XML/1998/namespace}id",
    "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}Id",
)
_TRANSFORMS: Final = ("http://www.w3.org/2000/09/xmldsig#enveloped-signature", vihf.EXCLUSIVE_C14N)


class VihfRefused(Exception):
    """The assertion is refused; ``code`` is stable, ``found`` and ``expected`` are short and hold no identity."""

    def __init__(self, code: str, found: str = "", expected: str = "") -> None:
        self.code = code
        self.found = found
        self.expected = expected
        super().__init__(f"{code}: {found}; expected {expected}" if expected else f"{code}: {found}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy:
    """Whom to trust, and how fresh an assertion must be."""

    roots: Sequence[x509.Certificate]  #: pinned authorities
    max_age: timedelta = timedelta(minutes=5)  #: after IssueInstant
    skew: timedelta = timedelta(seconds=60)  #: tolerated difference of clocks
    allow_sha1: bool = False  #: environments whose setting says so


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedVihf:
    """What a verified assertion says. Nothing of it comes from outside the signed bytes."""

    assertion_id: str
    issuer: str
    issue_instant: datetime
    name_id: str = field(repr=False)
    authn_instant: datetime | None
    authn_context: str
    authn_declaration: str | None
    attributes: dict[str, str] = field(repr=False)  #: plain ones, by name
    roles: tuple[vihf.Coded, ...]
    purpose: vihf.Coded | None
    certificate: x509.Certificate = field(repr=False)

    @property
    def mode(self) -> str:
        """``Authentification_mode``, under either spelling; empty when absent."""
        return next((self.attributes[name] for name in vihf.MODE_NAMES if name in self.attributes), "")


def verify_vihf(message: etree._Element, policy: TrustPolicy, *, now: datetime) -> VerifiedVihf:
    """Verify the one assertion of a SOAP envelope, or an assertion alone, and give what it says.

    Raises :class:`VihfRefused` with the reason.
    """
    assertion = _the_assertion(message)
    reference = _the_signature(assertion)
    algorithm = _algorithms(reference, allow_sha1=policy.allow_sha1)
    certificate = _certificate(assertion, policy, now)
    signed = _signed_bytes(assertion, certificate, algorithm, now)
    try:
        root = xml.parse(signed)
    except UnsafeInput as exc:
        raise VihfRefused("VIHF-SIGNED-001", exc.code, "a readable assertion") from None
    if root.tag != _S + "Assertion" or root.get("ID") != assertion.get("ID"):
        raise VihfRefused("VIHF-SIGNED-001", "another element was signed", "the assertion itself")
    verified = _read(root, certificate)
    _fresh(root, verified, policy, now)
    return verified


def _the_assertion(message: etree._Element) -> etree._Element:
    found = [message] if message.tag == _S + "Assertion" else []
    found += [node for node in message.iter(_S + "Assertion") if node is not message]
    if len(found) != 1:
        raise VihfRefused("VIHF-COUNT-001", f"{len(found)} assertions", "exactly one")
    (assertion,) = found
    parent = assertion.getparent()
    if parent is not None and parent.tag != _WSSE + "Security":
        raise VihfRefused("VIHF-PLACE-001", etree.QName(parent).localname, "wsse:Security")
    seen: set[str] = set()
    for node in message.iter(etree.Element):
        # The values of one element count once: ID and wsu:Id of the same element may agree.
        for value in {node.attrib[name] for name in _IDS if name in node.attrib}:
            text = str(value)
            if text in seen and text == assertion.get("ID"):
                raise VihfRefused("VIHF-ID-001", "the id of the assertion stands twice", "unique ids")
            seen.add(text)
    return assertion


def _the_signature(assertion: etree._Element) -> etree._Element:
    """Check the place and shape of the signature and give its SignedInfo."""
    if not assertion.get("ID"):
        raise VihfRefused("VIHF-ID-002", "no ID", "an ID")
    inside = list(assertion.iter(_DS + "Signature"))
    if len(inside) != 1:
        raise VihfRefused("VIHF-SIGNATURE-001", f"{len(inside)} signatures", "exactly one")
    (signature,) = inside
    if signature.getparent() is not assertion:
        raise VihfRefused("VIHF-SIGNATURE-002", "the signature is not a child of the assertion", "after Issuer")
    if any(True for _ in signature.iter(_DS + "Object", _DS + "Manifest")):
        raise VihfRefused("VIHF-SIGNATURE-003", "an Object in the signature", "none")
    info = signature.find(_DS + "SignedInfo")
    references = [] if info is None else info.findall(_DS + "Reference")
    if info is None or len(references) != 1 or len(list(signature.iter(_DS + "Reference"))) != 1:
        raise VihfRefused("VIHF-REFERENCE-001", f"{len(references)} references", "exactly one")
    if references[0].get("URI") != "#" + str(assertion.get("ID")):
        raise VihfRefused("VIHF-REFERENCE-002", "a reference to something else", "the assertion's own ID")
    transforms = tuple(t.get("Algorithm") for t in references[0].iterfind(f"{_DS}Transforms/{_DS}Transform"))
    if transforms != _TRANSFORMS:
        raise VihfRefused("VIHF-TRANSFORM-001", "other transforms", "enveloped signature, exclusive C14N")
    return info


_METHODS: Final = {SignatureMethod.RSA_SHA256, SignatureMethod.RSA_SHA384, SignatureMethod.RSA_SHA512}
_DIGESTS: Final = {DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512}


def _algorithms(info: etree._Element, *, allow_sha1: bool) -> SignatureConfiguration:
    methods = frozenset(_METHODS | ({SignatureMethod.RSA_SHA1} if allow_sha1 else set()))
    digests = frozenset(_DIGESTS | ({DigestAlgorithm.SHA1} if allow_sha1 else set()))
    checks = (
        (f"{_DS}CanonicalizationMethod", {vihf.EXCLUSIVE_C14N}),
        (f"{_DS}SignatureMethod", {m.value for m in methods}),
        (f"{_DS}Reference/{_DS}DigestMethod", {d.value for d in digests}),
    )
    for path, allowed in checks:
        node = info.find(path)
        used = "" if node is None else node.get("Algorithm", "")
        if used not in allowed:
            raise VihfRefused("VIHF-ALGORITHM-001", used[-60:], "RSA with SHA-256 or stronger, exclusive C14N")
    return SignatureConfiguration(
        location="./", expect_references=1, signature_methods=methods, digest_algorithms=digests
    )


def _certificate(assertion: etree._Element, policy: TrustPolicy, now: datetime) -> x509.Certificate:
    texts = [node.text or "" for node in assertion.iterfind(f"{_DS}Signature/{_DS}KeyInfo//{_DS}X509Certificate")]
    try:
        chain = [x509.load_der_x509_certificate(base64.b64decode("".join(t.split()), validate=True)) for t in texts[:6]]
    except (ValueError, binascii.Error):
        raise VihfRefused("VIHF-CERTIFICATE-001", "an unreadable certificate", "an X509Certificate") from None
    if not chain:
        raise VihfRefused("VIHF-CERTIFICATE-001", "no certificate", "an X509Certificate")
    certificate, *others = chain
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        raise VihfRefused("VIHF-CERTIFICATE-002", "a certificate out of date", "a certificate in force")
    if not chains_to(certificate, others, policy.roots, now):
        raise VihfRefused("VIHF-CERTIFICATE-003", "a certificate of another authority", "a trusted authority")
    if not _for_signature(certificate):
        raise VihfRefused("VIHF-CERTIFICATE-004", "a certificate for authentication", "a signature certificate")
    return certificate


def _for_signature(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        if not (usage.digital_signature or usage.content_commitment):
            return False
    except x509.ExtensionNotFound:
        pass
    try:
        extended = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return True
    return bool(extended - {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH})


def _signed_bytes(
    assertion: etree._Element, certificate: x509.Certificate, config: SignatureConfiguration, now: datetime
) -> bytes:
    # A copy of its own, namespaces in scope kept: the verifier takes the signature out of what it is given.
    alone = xml.parse(etree.tostring(assertion, with_tail=False))
    try:
        result = XMLVerifier().verify(
            alone,
            x509_cert=certificate,
            id_attribute="ID",
            expect_config=_at(config, now),
        )
    except (SignXMLException, ValueError, etree.XMLSyntaxError):
        raise VihfRefused("VIHF-SIGNATURE-004", "the signature does not verify", "the bytes that were signed") from None
    if not isinstance(result, VerifyResult):
        raise VihfRefused("VIHF-REFERENCE-001", "several references", "exactly one")
    return result.signed_data


def _at(config: SignatureConfiguration, now: datetime) -> SignatureConfiguration:
    return SignatureConfiguration(
        location=config.location,
        expect_references=1,
        signature_methods=config.signature_methods,
        digest_algorithms=config.digest_algorithms,
        verification_time=now,
    )


_INSTANT: Final = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:\d\d)?$")


def parse_instant(text: str | None) -> datetime | None:
    """Read an xs:dateTime; one without zone is UTC (SAML 2.0 core 1.3.3). None when it is not one."""
    match = _INSTANT.match(text or "")
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(match.group(1) + (match.group(2) or "Z").replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment.astimezone(UTC)


def _text(node: etree._Element | None) -> str:
    return "" if node is None else "".join(str(part) for part in node.itertext()).strip()


def _read(root: etree._Element, certificate: x509.Certificate) -> VerifiedVihf:
    issued = parse_instant(root.get("IssueInstant"))
    if issued is None:
        raise VihfRefused("VIHF-TIME-001", "no IssueInstant", "an instant in UTC")
    statement = root.find(_S + "AuthnStatement")
    context = None if statement is None else statement.find(_S + "AuthnContext")
    declaration = None if context is None else context.find(_S + "AuthnContextDecl")
    attributes: dict[str, str] = {}
    roles: list[vihf.Coded] = []
    purpose: vihf.Coded | None = None
    for node in root.iterfind(f"{_S}AttributeStatement/{_S}Attribute"):
        name = node.get("Name", "")
        if name in attributes:
            raise VihfRefused("VIHF-ATTRIBUTE-001", f"{name[-40:]} twice", "each attribute once")
        values = node.findall(_S + "AttributeValue")
        attributes[name] = " ".join(filter(None, map(_text, values)))
        if name == vihf.ROLE:
            roles.extend(_codes(values, "Role"))
        elif name == vihf.PURPOSE:
            purpose = next(iter(_codes(values, "PurposeOfUse")), None)
    return VerifiedVihf(
        assertion_id=root.get("ID", ""),
        issuer=_text(root.find(_S + "Issuer")),
        issue_instant=issued,
        name_id=_text(root.find(f"{_S}Subject/{_S}NameID")),
        authn_instant=None if statement is None else parse_instant(statement.get("AuthnInstant")),
        authn_context="" if context is None else _text(context.find(_S + "AuthnContextClassRef")),
        authn_declaration=None if declaration is None else _text(declaration),
        attributes=attributes,
        roles=tuple(roles),
        purpose=purpose,
        certificate=certificate,
    )


def _codes(values: Iterable[etree._Element], name: str) -> Iterable[vihf.Coded]:
    for value in values:
        node = value.find(f"{{{vihf.HL7}}}{name}")
        if node is not None:
            yield vihf.Coded(
                code=node.get("code", ""),
                system=node.get("codeSystem", ""),
                system_name=node.get("codeSystemName", ""),
                display=node.get("displayName", ""),
            )


def _fresh(root: etree._Element, verified: VerifiedVihf, policy: TrustPolicy, now: datetime) -> None:
    if verified.issue_instant > now + policy.skew:
        raise VihfRefused("VIHF-TIME-002", "issued in the future", "a clock in time")
    if verified.issue_instant < now - policy.max_age - policy.skew:
        raise VihfRefused("VIHF-TIME-003", "issued too long ago", f"at most {policy.max_age.seconds} seconds")
    conditions = root.find(_S + "Conditions")
    if conditions is None:
        return
    for name, late in (("NotBefore", False), ("NotOnOrAfter", True)):
        if (text := conditions.get(name)) is None:
            continue
        bound = parse_instant(text)
        if bound is None or (now >= bound + policy.skew if late else now < bound - policy.skew):
            raise VihfRefused("VIHF-TIME-004", f"outside {name}", "an assertion in force")
