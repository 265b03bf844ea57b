"""The signature of a submission set."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
import xmlsec
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from security import xml
from security.pki import Authority, Credential
from security.vihf_verify import TrustPolicy
from security.xades import (
    C14N_COMMENTS,
    DS,
    XADES,
    SetSignatureRefused,
    SetSigner,
    SignedDocument,
    verify_set_signature,
)

NOW = datetime(2026, 1, 10, 8, 31, tzinfo=UTC)
D = f"{{{DS}}}"
X = f"{{{XADES}}}"
SUBJECT = [("C", "FR"), ("O", "CABINET FICTIF"), ("OU", "1290099887"), ("CN", "SIGN")]
SET = "1.2.250.1.999.9.1.1"
CDA = xml.canonical(xml.parse('<a xmlns="urn:x"><!-- é --><b>éà</b></a>'.encode()))
OTHER = b"\x00DICOM"
DOCUMENTS = {"1.2.250.1.999.9.2.1": CDA, "1.2.250.1.999.9.2.2": OTHER}


@pytest.fixture(scope="module")
def authority() -> Authority:
    """An authority in force at the instant of the tests."""
    return Authority.create("TEST AC", not_before=NOW - timedelta(days=9), not_after=NOW + timedelta(days=900))


@pytest.fixture(scope="module")
def credential(authority: Authority) -> Credential:
    """The structure's signature certificate."""
    return authority.issue(SUBJECT, "sign", not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=90))


@pytest.fixture
def policy(authority: Authority) -> TrustPolicy:
    """Trust in that authority, SHA-1 allowed."""
    return TrustPolicy(roots=(authority.certificate,), allow_sha1=True)


def sign(credential: Credential, digest: str = "sha256", **changes: object) -> bytes:
    """Sign a set of a CDA and a document that is not XML."""
    signer = SetSigner(key=credential.private_key, certificate=credential.certificate, digest=digest)  # type: ignore[arg-type]
    values: dict[str, object] = {
        "set_unique_id": SET,
        "documents": [
            SignedDocument(unique_id="1.2.250.1.999.9.2.1", content=CDA),
            SignedDocument(unique_id="1.2.250.1.999.9.2.2", content=OTHER, canonical=False),
        ],
        "signature_id": "_b1",
        "signing_time": NOW,
        **changes,
    }
    return signer.sign(**values)  # type: ignore[arg-type]


def verify(content: bytes, policy: TrustPolicy, documents: Mapping[str, bytes] = DOCUMENTS, now: datetime = NOW):  # type: ignore[no-untyped-def]
    return verify_set_signature(content, set_unique_id=SET, documents=documents, policy=policy, now=now)


def refused(content: bytes, policy: TrustPolicy, **options: object) -> str:
    """The code of the refusal."""
    with pytest.raises(SetSignatureRefused) as caught:
        verify(content, policy, **options)  # type: ignore[arg-type]
    return caught.value.code


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_what_is_signed_verifies(credential: Credential, policy: TrustPolicy, digest: str):
    """Both digests verify; the documents are named in order."""
    verified = verify(sign(credential, digest), policy)
    assert verified.documents == tuple(DOCUMENTS)
    assert verified.signing_time == NOW
    assert verified.certificate == credential.certificate


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_another_implementation_verifies_signed_info(credential: Credential, digest: str):
    """xmlsec verifies SignedInfo and its two references."""
    root = xml.parse(sign(credential, digest))
    # xmlsec opens the urn:oid references of a Manifest that is a child of Object; one level down it leaves them alone.
    manifest = root.find(f"{D}Object/{D}Manifest")
    assert manifest is not None
    holder = manifest.getparent()
    assert holder is not None
    between = etree.SubElement(holder, "between")
    between.append(manifest)
    xmlsec.tree.add_ids(root, ["Id"])

    def context() -> xmlsec.SignatureContext:
        made = xmlsec.SignatureContext()
        made.key = xmlsec.Key.from_memory(
            credential.certificate.public_bytes(Encoding.PEM), xmlsec.constants.KeyDataFormatCertPem
        )
        return made

    context().verify(root)
    properties = root.find(f".//{X}SigningTime")
    assert properties is not None
    properties.text = "2027-01-01T00:00:00Z"
    again = context()
    with pytest.raises(xmlsec.Error):
        again.verify(root)


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_manifest_digests_by_hand(credential: Credential, digest: str):
    """The set has the conventional digest, each document that of its bytes; only XML declares a transform."""
    root = xml.parse(sign(credential, digest))
    rows = [
        (
            node.get("URI"),
            [t.get("Algorithm") for t in node.iter(D + "Transform")],
            node.findtext(D + "DigestValue"),
        )
        for node in root.iterfind(f"{D}Object/{D}Manifest/{D}Reference")
    ]

    def made(data: bytes) -> str:
        return base64.b64encode(hashlib.new(digest, data).digest()).decode()

    assert rows == [
        ("urn:oid:" + SET, [], "AA=="),
        ("urn:oid:1.2.250.1.999.9.2.1", [C14N_COMMENTS], made(CDA)),
        ("urn:oid:1.2.250.1.999.9.2.2", [], made(OTHER)),
    ]
    certificate = credential.certificate.public_bytes(Encoding.DER)
    assert root.findtext(f".//{X}CertDigest/{X}DigestValue") == made(certificate)
    assert root.findtext(f".//{D}X509SerialNumber") == str(credential.certificate.serial_number)


def test_elements_stand_in_the_published_order(credential: Credential):
    """SignedInfo, SignatureValue, KeyInfo, then purpose, manifest, qualifying properties."""
    root = xml.parse(sign(credential))
    names = [etree.QName(node).localname for node in root]
    assert names == ["SignedInfo", "SignatureValue", "KeyInfo", "Object", "Object", "Object"]
    inside = [etree.QName(node[0]).localname for node in root.findall(D + "Object")]
    assert inside == ["SignatureProperties", "Manifest", "QualifyingProperties"]
    properties = root.find(f".//{X}SignedProperties")
    assert properties is not None
    assert [etree.QName(n).localname for n in properties.iter()] == [
        "SignedProperties",
        "SignedSignatureProperties",
        "SigningTime",
        "SigningCertificate",
        "Cert",
        "CertDigest",
        "DigestMethod",
        "DigestValue",
        "IssuerSerial",
        "X509IssuerName",
        "X509SerialNumber",
        "SignaturePolicyIdentifier",
        "SignaturePolicyImplied",
        "SignedDataObjectProperties",
    ]
    assert root.get("Id") == "_b1"
    assert [n.get("Target") for n in root.iter() if n.get("Target")] == ["#_b1", "#_b1"]


def test_sha1_needs_a_setting(credential: Credential, authority: Authority):
    """A SHA-1 signature is refused unless the policy allows it."""
    assert refused(sign(credential, "sha1"), TrustPolicy(roots=(authority.certificate,))) == "SET-ALGORITHM-001"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"urn:oid:1.2.250.1.999.9.2.1", b"urn:oid:1.2.250.1.999.9.2.9", "SET-DIGEST-001"),
        (b"AA==", b"AB==", "SET-DIGEST-001"),
        (b"2026-01-10T08:31:00Z", b"2026-01-10T08:32:00Z", "SET-DIGEST-001"),
        (b'URI="#IHEManifest"', b'URI="#Other"', "SET-SIGNATURE-001"),
        (b'Id="IHEManifest"', b'Id="Other"', "SET-REFERENCE-002"),
        (b"REC-xml-c14n-20010315#WithComments", b"REC-xml-c14n-20010315", "SET-ALGORITHM-002"),
        (b"<ds:SignatureValue>", b"<ds:SignatureValue>!", "SET-SIGNATURE-001"),
        (b"<ds:X509Certificate>", b"<ds:X509Certificate>!", "SET-CERTIFICATE-001"),
        (b"<ds:Object>", b"<ds:Object><ds:Manifest/></ds:Object><ds:Object>", "SET-SHAPE-001"),
        (b"ds:Signature ", b"ds:Other ", "SET-XML-001"),
    ],
)
def test_tampering_is_refused(credential: Credential, policy: TrustPolicy, old: bytes, new: bytes, code: str):
    """Each change has its refusal."""
    data = sign(credential)
    assert old in data
    assert refused(data.replace(old, new, 1), policy) == code


def test_another_root_is_refused(policy: TrustPolicy):
    """What is not a signature is refused."""
    assert refused(b"<a/>", policy) == "SET-ROOT-001"


@pytest.mark.parametrize(
    ("documents", "code"),
    [
        ({"1.2.250.1.999.9.2.1": CDA}, "SET-MANIFEST-003"),
        ({**DOCUMENTS, "1.2.3": CDA}, "SET-MANIFEST-005"),
        ({**DOCUMENTS, "1.2.250.1.999.9.2.2": b"other"}, "SET-MANIFEST-004"),
        ({**DOCUMENTS, "1.2.250.1.999.9.2.1": b"<a/>"}, "SET-MANIFEST-004"),
        ({**DOCUMENTS, "1.2.250.1.999.9.2.1": b"not xml"}, "SET-MANIFEST-007"),
    ],
)
def test_the_manifest_is_compared_with_the_documents(
    credential: Credential, policy: TrustPolicy, documents: dict[str, bytes], code: str
):
    """Each document of the set is signed, with the digest of its bytes."""
    assert refused(sign(credential), policy, documents=documents) == code


def test_the_signature_of_another_set_is_refused(credential: Credential, policy: TrustPolicy):
    """The manifest starts with the uniqueId of the set."""
    assert refused(sign(credential, set_unique_id="1.2.3"), policy) == "SET-MANIFEST-001"


def test_a_document_with_another_serialisation_has_the_same_digest(credential: Credential, policy: TrustPolicy):
    """The transform is applied on verifying: a declaration or other quotes change nothing."""
    loose = b"<?xml version='1.0' encoding='UTF-8'?>\n" + CDA.replace(b'"', b"'")
    assert verify(sign(credential), policy, {**DOCUMENTS, "1.2.250.1.999.9.2.1": loose})


def test_foreign_and_expired_signers_are_refused(credential: Credential, policy: TrustPolicy):
    """The signer chains to the pinned authority and is in force."""
    foreign = Authority.create("TEST AC", not_before=NOW - timedelta(days=9), not_after=NOW + timedelta(days=900))
    assert refused(sign(credential), TrustPolicy(roots=(foreign.certificate,))) == "SET-CERTIFICATE-003"
    assert refused(sign(credential), policy, now=NOW + timedelta(days=400)) == "SET-CERTIFICATE-002"


def test_signing_is_fast(credential: Credential):
    """At least 300 sets a second of processor time."""
    start = time.process_time()
    for _ in range(60):
        sign(credential)
    assert time.process_time() - start < 60 / 300
