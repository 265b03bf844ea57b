"""The signature of a submission set: XAdES 1.1.1 over a detached manifest (IHE DSG 2008), as the DMP wants it.

No library makes this form. The signature covers a Manifest and the SignedProperties; the Manifest gives the digest of
each document by its uniqueId, and of the set the conventional ``AA==``. SHA-1 is what the DMP's public samples show: it
is used where the environment's setting says so, and is worth nothing by itself.

Order of work (dmp.md 15.4): digest of each document, of the certificate, of the Manifest and the SignedProperties in
their place, then RSA over SignedInfo in its place; the tree is serialised once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lxml import etree

from security import xml
from security.errors import UnsafeInput
from security.keyring import chains_to
from security.vihf import RsaSigner, instant
from security.vihf_verify import TrustPolicy, parse_instant

__all__ = ["SetSignatureRefused", "SetSigner", "SignedDocument", "VerifiedSet", "verify_set_signature"]

Digest = Literal["sha1", "sha256"]

DS: Final = "http://www.w3.org/2000/09/xmldsig#"
XADES: Final = "http://uri.etsi.org/01903/v1.1.1#"
C14N_COMMENTS: Final = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments"
C14N: Final = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
_D: Final = f"{{{DS}}}"
_X: Final = f"{{{XADES}}}"
_SET_DIGEST: Final = "AA=="  # base64 of one zero byte: a set has no bytes of its own
_PURPOSE: Final = "1.2.840.10065.1.12.1.14"  # ASTM E1762: source
_MANIFEST: Final = "IHEManifest"
_PROPERTIES: Final = "S0-SignedProperties"
_DIGESTS: Final = {"sha1": DS + "sha1", "sha256": "http://www.w3.org/2001/04/xmlenc#sha256"}
_SIGNATURES: Final = {"sha1": DS + "rsa-sha1", "sha256": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"}

_sub = etree.SubElement


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedDocument:
    """A document of the set: its uniqueId and its bytes, canonical already when it is XML."""

    unique_id: str
    content: bytes = field(repr=False)
    canonical: bool = True  #: False for what is not XML (KOS): no transform is declared


def _hash(digest: Digest, data: bytes) -> str:
    made = hashlib.new(digest, data, usedforsecurity=False)
    return base64.b64encode(made.digest()).decode("ascii")


class SetSigner:
    """Signs submission sets with one key, loaded once."""

    __slots__ = ("_certificate", "_certificate_digest", "_der", "_digest", "_hash", "_issuer", "_key")

    def __init__(self, *, key: RsaSigner, certificate: x509.Certificate, digest: Digest = "sha256") -> None:
        """``digest`` is ``sha1`` only where the environment's setting names it."""
        self._key = key
        self._certificate = certificate
        der = certificate.public_bytes(serialization.Encoding.DER)
        self._der = base64.b64encode(der).decode("ascii")
        self._digest: Digest = digest
        self._certificate_digest = _hash(digest, der)
        self._issuer = certificate.issuer.rfc4514_string()
        # What the DMP's samples show is SHA-1; the choice is the environment's.
        self._hash = hashes.SHA1() if digest == "sha1" else hashes.SHA256()  # noqa: S303

    def sign(
        self,
        *,
        set_unique_id: str,
        documents: Sequence[SignedDocument],
        signature_id: str,
        signing_time: datetime,
    ) -> bytes:
        """Give the signature of a set as bytes, to be sent as a document of it.

        ``signature_id`` must be an XML name (``_`` and a UUID).
        """
        root = etree.Element(_D + "Signature", nsmap={"ds": DS}, Id=signature_id)
        info = _sub(root, _D + "SignedInfo")
        _sub(info, _D + "CanonicalizationMethod", Algorithm=C14N_COMMENTS)
        _sub(info, _D + "SignatureMethod", Algorithm=_SIGNATURES[self._digest])
        manifest_digest = self._reference(info, DS + "Manifest", _MANIFEST)
        properties_digest = self._reference(info, XADES + "SignedProperties", _PROPERTIES)
        value = _sub(root, _D + "SignatureValue")
        data = _sub(_sub(root, _D + "KeyInfo"), _D + "X509Data")
        _sub(data, _D + "X509Certificate").text = self._der
        purposes = _sub(_sub(root, _D + "Object"), _D + "SignatureProperties")
        purpose = _sub(purposes, _D + "SignatureProperty", Id="purposeOfSignature", Target="#" + signature_id)
        purpose.text = _PURPOSE
        manifest = self._manifest(_sub(root, _D + "Object"), set_unique_id, documents)
        properties = self._properties(_sub(root, _D + "Object"), signature_id, signing_time)
        # In their place: inherited namespaces are part of the canonical form.
        manifest_digest.text = _hash(self._digest, xml.canonical(manifest, with_comments=False))
        properties_digest.text = _hash(self._digest, xml.canonical(properties, with_comments=False))
        signed = self._key.sign(xml.canonical(info), padding.PKCS1v15(), self._hash)
        value.text = base64.b64encode(signed).decode("ascii")
        return etree.tostring(root)

    def _reference(self, info: etree._Element, kind: str, target: str) -> etree._Element:
        node = _sub(info, _D + "Reference", Type=kind, URI="#" + target)
        _sub(node, _D + "DigestMethod", Algorithm=_DIGESTS[self._digest])
        return _sub(node, _D + "DigestValue")

    def _manifest(
        self, holder: etree._Element, set_unique_id: str, documents: Iterable[SignedDocument]
    ) -> etree._Element:
        manifest = _sub(holder, _D + "Manifest", Id=_MANIFEST)
        self._detached(manifest, set_unique_id, _SET_DIGEST, canonical=False)
        for document in documents:
            self._detached(
                manifest, document.unique_id, _hash(self._digest, document.content), canonical=document.canonical
            )
        return manifest

    def _detached(self, manifest: etree._Element, unique_id: str, digest: str, *, canonical: bool) -> None:
        node = _sub(manifest, _D + "Reference", URI="urn:oid:" + unique_id)
        if canonical:
            _sub(_sub(node, _D + "Transforms"), _D + "Transform", Algorithm=C14N_COMMENTS)
        _sub(node, _D + "DigestMethod", Algorithm=_DIGESTS[self._digest])
        _sub(node, _D + "DigestValue").text = digest

    def _properties(self, holder: etree._Element, signature_id: str, signing_time: datetime) -> etree._Element:
        qualifying = _sub(
            holder, _X + "QualifyingProperties", nsmap={"xades": XADES}, attrib={"Target": "#" + signature_id}
        )
        properties = _sub(qualifying, _X + "SignedProperties", Id=_PROPERTIES)
        signature = _sub(properties, _X + "SignedSignatureProperties")
        _sub(signature, _X + "SigningTime").text = instant(signing_time)
        certificate = _sub(_sub(signature, _X + "SigningCertificate"), _X + "Cert")
        # In 1.1.1 the digest stands in the XAdES namespace, issuer and serial in that of XML Signature.
        digest = _sub(certificate, _X + "CertDigest")
        _sub(digest, _X + "DigestMethod", Algorithm=_DIGESTS[self._digest])
        _sub(digest, _X + "DigestValue").text = self._certificate_digest
        serial = _sub(certificate, _X + "IssuerSerial")
        _sub(serial, _D + "X509IssuerName").text = self._issuer
        _sub(serial, _D + "X509SerialNumber").text = str(self._certificate.serial_number)
        _sub(_sub(signature, _X + "SignaturePolicyIdentifier"), _X + "SignaturePolicyImplied")
        _sub(properties, _X + "SignedDataObjectProperties")
        return properties


class SetSignatureRefused(Exception):
    """The signature of a set is refused; ``code`` is stable, ``found`` and ``expected`` hold no identity."""

    def __init__(self, code: str, found: str = "", expected: str = "") -> None:
        self.code = code
        self.found = found
        self.expected = expected
        super().__init__(f"{code}: {found}; expected {expected}" if expected else f"{code}: {found}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedSet:
    """What a verified signature says."""

    signing_time: datetime
    documents: tuple[str, ...]  #: uniqueIds, in the order of the manifest
    certificate: x509.Certificate = field(repr=False)


def verify_set_signature(
    content: bytes,
    *,
    set_unique_id: str,
    documents: Mapping[str, bytes],
    policy: TrustPolicy,
    now: datetime,
) -> VerifiedSet:
    """Verify the signature of a set against the bytes of its documents, by uniqueId.

    ``policy.allow_sha1`` must be set where the environment signs sets with SHA-1. Raises
    :class:`SetSignatureRefused`.
    """
    try:
        root = xml.parse(content)
    except UnsafeInput as exc:
        raise SetSignatureRefused("SET-XML-001", exc.code, "an XML signature") from None
    if root.tag != _D + "Signature" or sum(1 for _ in root.iter(_D + "Signature")) != 1:
        raise SetSignatureRefused("SET-ROOT-001", etree.QName(root).localname, "one ds:Signature")
    digest = _declared(root, allow_sha1=policy.allow_sha1)
    certificate = _signer(root, policy, now)
    _signed_info(root, certificate, digest)
    manifest = _one(root, _D + "Manifest")
    properties = _one(root, _X + "SignedProperties")
    _references(root, digest, manifest, properties)
    names = _digests(manifest, set_unique_id, documents, allow_sha1=policy.allow_sha1)
    return VerifiedSet(
        signing_time=_signing(properties, certificate, allow_sha1=policy.allow_sha1),
        documents=names,
        certificate=certificate,
    )


def _one(root: etree._Element, tag: str) -> etree._Element:
    found = list(root.iter(tag))
    if len(found) != 1:
        raise SetSignatureRefused("SET-SHAPE-001", f"{len(found)} {etree.QName(tag).localname}", "exactly one")
    return found[0]


def _named(node: etree._Element | None, table: Mapping[str, str], *, allow_sha1: bool) -> Digest:
    used = "" if node is None else node.get("Algorithm", "")
    if used == table["sha256"]:
        return "sha256"
    if used == table["sha1"] and allow_sha1:
        return "sha1"
    raise SetSignatureRefused("SET-ALGORITHM-001", used[-60:], "SHA-256, or SHA-1 where the setting allows it")


def _declared(root: etree._Element, *, allow_sha1: bool) -> Digest:
    info = root.find(_D + "SignedInfo")
    if info is None:
        raise SetSignatureRefused("SET-SHAPE-001", "no SignedInfo", "exactly one")
    method = info.find(_D + "CanonicalizationMethod")
    if method is None or method.get("Algorithm") != C14N_COMMENTS:
        raise SetSignatureRefused("SET-ALGORITHM-002", "another canonical form", "C14N 1.0 with comments")
    return _named(info.find(_D + "SignatureMethod"), _SIGNATURES, allow_sha1=allow_sha1)


def _signer(root: etree._Element, policy: TrustPolicy, now: datetime) -> x509.Certificate:
    texts = [node.text or "" for node in root.iterfind(f"{_D}KeyInfo/{_D}X509Data/{_D}X509Certificate")]
    try:
        chain = [x509.load_der_x509_certificate(base64.b64decode("".join(t.split()), validate=True)) for t in texts[:6]]
    except (ValueError, binascii.Error):
        chain = []
    if not chain:
        raise SetSignatureRefused("SET-CERTIFICATE-001", "no readable certificate", "the signer's certificate")
    certificate, *others = chain
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        raise SetSignatureRefused("SET-CERTIFICATE-002", "a certificate out of date", "a certificate in force")
    if not chains_to(certificate, others, policy.roots, now):
        raise SetSignatureRefused("SET-CERTIFICATE-003", "a certificate of another authority", "a trusted authority")
    return certificate


def _signed_info(root: etree._Element, certificate: x509.Certificate, digest: Digest) -> None:
    info = _one(root, _D + "SignedInfo")
    value = root.findtext(_D + "SignatureValue") or ""
    public = certificate.public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        raise SetSignatureRefused("SET-CERTIFICATE-004", "another kind of key", "an RSA key")
    algorithm = hashes.SHA1() if digest == "sha1" else hashes.SHA256()  # noqa: S303 allowed by the caller's policy
    try:
        signed = base64.b64decode("".join(value.split()), validate=True)
        public.verify(signed, xml.canonical(info), padding.PKCS1v15(), algorithm)
    except (InvalidSignature, ValueError, binascii.Error):
        raise SetSignatureRefused("SET-SIGNATURE-001", "the signature does not verify", "the bytes signed") from None


def _references(root: etree._Element, digest: Digest, manifest: etree._Element, properties: etree._Element) -> None:
    found = root.findall(f"{_D}SignedInfo/{_D}Reference")
    if len(found) != 2:
        raise SetSignatureRefused("SET-REFERENCE-001", f"{len(found)} references", "Manifest and SignedProperties")
    for node, target, kind in (
        (found[0], manifest, DS + "Manifest"),
        (found[1], properties, XADES + "SignedProperties"),
    ):
        if node.get("Type") != kind or node.get("URI") != "#" + target.get("Id", "") or not target.get("Id"):
            raise SetSignatureRefused(
                "SET-REFERENCE-002", node.get("URI", "")[:40], "#IHEManifest, #S0-SignedProperties"
            )
        if node.find(_D + "Transforms") is not None:
            raise SetSignatureRefused("SET-REFERENCE-003", "transforms", "none")
        method = _named(node.find(_D + "DigestMethod"), _DIGESTS, allow_sha1=digest == "sha1")
        if (node.findtext(_D + "DigestValue") or "").strip() != _hash(
            method, xml.canonical(target, with_comments=False)
        ):
            raise SetSignatureRefused(
                "SET-DIGEST-001", f"another digest of {node.get('URI')}", "the digest in its place"
            )


def _digests(
    manifest: etree._Element, set_unique_id: str, documents: Mapping[str, bytes], *, allow_sha1: bool
) -> tuple[str, ...]:
    references = manifest.findall(_D + "Reference")
    named: list[str] = []
    if not references or references[0].get("URI") != "urn:oid:" + set_unique_id:
        raise SetSignatureRefused("SET-MANIFEST-001", "another first reference", "the uniqueId of the set")
    if (references[0].findtext(_D + "DigestValue") or "").strip() != _SET_DIGEST:
        raise SetSignatureRefused("SET-MANIFEST-002", "a digest of the set", _SET_DIGEST)
    for node in references[1:]:
        unique_id = node.get("URI", "").removeprefix("urn:oid:")
        if unique_id not in documents or unique_id in named:
            raise SetSignatureRefused("SET-MANIFEST-003", "an unknown document", "each document of the set once")
        method = _named(node.find(_D + "DigestMethod"), _DIGESTS, allow_sha1=allow_sha1)
        if (node.findtext(_D + "DigestValue") or "").strip() != _hash(method, _transformed(node, documents[unique_id])):
            raise SetSignatureRefused("SET-MANIFEST-004", "another digest of a document", "the digest of its bytes")
        named.append(unique_id)
    if set(named) != set(documents):
        raise SetSignatureRefused("SET-MANIFEST-005", f"{len(named)} documents signed", f"{len(documents)}")
    return tuple(named)


def _transformed(reference: etree._Element, content: bytes) -> bytes:
    transforms = [t.get("Algorithm") for t in reference.iterfind(f"{_D}Transforms/{_D}Transform")]
    if not transforms:
        return content
    if transforms not in ([C14N_COMMENTS], [C14N]):
        raise SetSignatureRefused("SET-MANIFEST-006", "other transforms", "C14N 1.0 with comments")
    try:
        root = xml.parse(content, xml.CDA_LIMITS)
    except UnsafeInput as exc:
        raise SetSignatureRefused("SET-MANIFEST-007", exc.code, "a readable document") from None
    # The whole document, comments and instructions around the root included.
    return etree.tostring(root.getroottree(), method="c14n", with_comments=transforms == [C14N_COMMENTS])


def _signing(properties: etree._Element, certificate: x509.Certificate, *, allow_sha1: bool) -> datetime:
    moment = parse_instant(properties.findtext(f"{_X}SignedSignatureProperties/{_X}SigningTime"))
    if moment is None:
        raise SetSignatureRefused("SET-TIME-001", "no SigningTime", "an instant in UTC")
    der = certificate.public_bytes(serialization.Encoding.DER)
    for cert in properties.iterfind(f"{_X}SignedSignatureProperties/{_X}SigningCertificate/{_X}Cert"):
        method = _named(cert.find(f"{_X}CertDigest/{_X}DigestMethod"), _DIGESTS, allow_sha1=allow_sha1)
        digest = (cert.findtext(f"{_X}CertDigest/{_X}DigestValue") or "").strip()
        serial = (cert.findtext(f"{_X}IssuerSerial/{_D}X509SerialNumber") or "").strip()
        if digest == _hash(method, der) and serial == str(certificate.serial_number):
            return moment
    raise SetSignatureRefused("SET-CERTIFICATE-005", "another SigningCertificate", "the digest of the signer's")
