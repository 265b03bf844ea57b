"""A strict receiver of the VIHF: what it takes, and every forgery it refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from lxml import etree

from security import vihf
from security.pki import Authority, Credential
from security.vihf import Mode, VihfProfile, VihfSigner
from security.vihf_verify import TrustPolicy, VihfRefused, verify_vihf
from security.xml import parse
from tests.unit.security.test_vihf import NOW, claims

S = f"{{{vihf.SAML}}}"
DS = f"{{{vihf.DS}}}"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
SUBJECT = [("C", "FR"), ("O", "CABINET FICTIF"), ("OU", "1290099887"), ("CN", "SIGN")]


@pytest.fixture(scope="module")
def old_authority() -> Authority:
    """An authority in force at the instant of the tests."""
    return Authority.create("TEST AC", not_before=NOW - timedelta(days=9), not_after=NOW + timedelta(days=900))


@pytest.fixture(scope="module")
def signing(old_authority: Authority) -> Credential:
    """A signature certificate of that authority."""
    return old_authority.issue(SUBJECT, "sign", not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=90))


@pytest.fixture
def policy(old_authority: Authority) -> TrustPolicy:
    """Trust in that authority only."""
    return TrustPolicy(roots=(old_authority.certificate,))


def signed(signing: Credential, *, profile: VihfProfile | None = None, at: datetime = NOW, **changes: object) -> bytes:
    """One signed assertion."""
    signer = VihfSigner(key=signing.private_key, certificate=signing.certificate, profile=profile)  # type: ignore[arg-type]
    return signer.assertion(claims(**changes), assertion_id="_a1", issue_instant=at)


def envelope(assertion: bytes) -> etree._Element:
    """A SOAP envelope that carries it."""
    return parse(
        b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header><w:Security xmlns:w="'
        + WSSE.encode()
        + b'">'
        + assertion
        + b"</w:Security></s:Header><s:Body/></s:Envelope>"
    )


def refused(message: etree._Element, policy: TrustPolicy, now: datetime = NOW) -> str:
    """The code of the refusal."""
    with pytest.raises(VihfRefused) as caught:
        verify_vihf(message, policy, now=now)
    return caught.value.code


@pytest.mark.parametrize("mode", list(Mode))
def test_a_good_assertion_is_read(signing: Credential, policy: TrustPolicy, mode: Mode):
    """What was claimed is what is read, in each mode."""
    verified = verify_vihf(envelope(signed(signing, mode=mode)), policy, now=NOW)
    assert verified.mode == mode
    assert verified.name_id == "810009876543"
    assert [role.code for role in verified.roles] == ["10", "SM54"]
    assert verified.purpose is not None
    assert verified.purpose.code == "normal"
    assert verified.attributes["Identifiant_Structure"] == "1290099887"
    assert verified.certificate == signing.certificate
    assert "279035121518989" not in repr(verified)


def test_the_capital_m_is_understood(signing: Credential, policy: TrustPolicy):
    """Both spellings of the mode's attribute are read."""
    profile = VihfProfile(mode_attribute="Authentification_Mode")
    assert verify_vihf(envelope(signed(signing, profile=profile)), policy, now=NOW).mode == "INDIRECTE"


def test_an_assertion_alone_is_taken(signing: Credential, policy: TrustPolicy):
    """The assertion may come without envelope."""
    assert verify_vihf(parse(signed(signing)), policy, now=NOW).assertion_id == "_a1"


def test_sha1_needs_a_setting(signing: Credential, policy: TrustPolicy, old_authority: Authority):
    """SHA-1 is refused unless the environment allows it."""
    data = signed(signing, profile=VihfProfile(algorithm="rsa-sha1"))
    assert refused(envelope(data), policy) == "VIHF-ALGORITHM-001"
    lax = TrustPolicy(roots=(old_authority.certificate,), allow_sha1=True)
    assert verify_vihf(envelope(data), lax, now=NOW).name_id == "810009876543"


@pytest.mark.parametrize(
    ("after", "code"),
    [
        (timedelta(minutes=-2), "VIHF-TIME-002"),
        (timedelta(seconds=-30), None),
        (timedelta(minutes=5), None),
        (timedelta(minutes=7), "VIHF-TIME-003"),
    ],
)
def test_freshness(signing: Credential, policy: TrustPolicy, after: timedelta, code: str | None):
    """Five minutes, and a minute of clock difference."""
    message = envelope(signed(signing))
    if code is None:
        assert verify_vihf(message, policy, now=NOW + after)
    else:
        assert refused(message, policy, NOW + after) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'NotBefore="2026-01-10T08:40:00Z"', "VIHF-TIME-004"),
        (b'NotOnOrAfter="2026-01-10T08:20:00Z"', "VIHF-TIME-004"),
        (b'NotOnOrAfter="demain"', "VIHF-TIME-004"),
        (b'NotBefore="2026-01-10T08:30:00Z" NotOnOrAfter="2026-01-10T08:35:00.5Z"', None),
    ],
)
def test_conditions_are_honoured(signing: Credential, policy: TrustPolicy, text: bytes, code: str | None):
    """NotBefore and NotOnOrAfter bound the assertion when they are there."""
    from signxml import CanonicalizationMethod, XMLSigner

    root = parse(signed(signing))
    old = root.find(DS + "Signature")
    assert old is not None
    root.remove(old)
    root.insert(1, parse(b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Id="placeholder"/>'))
    subject = root.find(S + "Subject")
    assert subject is not None
    subject.addnext(parse(b'<Conditions xmlns="' + vihf.SAML.encode() + b'" ' + text + b"/>"))
    again = XMLSigner(c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0).sign(
        root, key=signing.private_key, cert=[signing.certificate], reference_uri="#_a1"
    )
    message = envelope(etree.tostring(again))
    if code is None:
        assert verify_vihf(message, policy, now=NOW)
    else:
        assert refused(message, policy) == code


def test_a_certificate_of_another_authority_is_refused(policy: TrustPolicy):
    """The same names under a foreign authority prove nothing."""
    foreign = Authority.create("TEST AC", not_before=NOW - timedelta(days=9), not_after=NOW + timedelta(days=900))
    other = foreign.issue(SUBJECT, "sign", not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=9))
    assert refused(envelope(signed(other)), policy) == "VIHF-CERTIFICATE-003"


def test_an_authentication_certificate_is_refused(old_authority: Authority, signing: Credential, policy: TrustPolicy):
    """A certificate for TLS does not sign assertions."""
    tls = old_authority.issue(
        SUBJECT,
        "client",
        not_before=NOW - timedelta(days=1),
        not_after=NOW + timedelta(days=9),
        private_key=signing.private_key,
    )
    assert refused(envelope(signed(tls)), policy) == "VIHF-CERTIFICATE-004"


def test_an_expired_certificate_is_refused(old_authority: Authority, policy: TrustPolicy):
    """A certificate out of date does not sign."""
    old = old_authority.issue(SUBJECT, "sign", not_before=NOW - timedelta(days=8), not_after=NOW - timedelta(days=1))
    assert refused(envelope(signed(old)), policy) == "VIHF-CERTIFICATE-002"


# --- signature wrapping: the eight classic permutations ---


def forged(assertion: etree._Element, identifier: str | None) -> etree._Element:
    """A copy that names someone else, without signature."""
    evil = copy.deepcopy(assertion)
    signature = evil.find(DS + "Signature")
    assert signature is not None
    evil.remove(signature)
    name = evil.find(f"{S}Subject/{S}NameID")
    assert name is not None
    name.text = "899999999999"
    if identifier is not None:
        evil.set("ID", identifier)
    return evil


def _inside(parent: etree._Element, tag: str) -> etree._Element:
    return etree.SubElement(parent, tag)


def xsw1(security: etree._Element, good: etree._Element) -> None:
    """Forged first, original in the forged one's signature as Object."""
    evil = forged(good, "_evil")
    signature = copy.deepcopy(good.find(DS + "Signature"))
    assert signature is not None
    security.replace(good, evil)
    evil.insert(1, signature)
    _inside(signature, DS + "Object").append(good)


def xsw2(security: etree._Element, good: etree._Element) -> None:
    """Forged first, the signature detached beside the original."""
    evil = forged(good, "_evil")
    good.addprevious(evil)


def xsw3(security: etree._Element, good: etree._Element) -> None:
    """Forged before the original, same parent, same ID."""
    good.addprevious(forged(good, None))


def xsw4(security: etree._Element, good: etree._Element) -> None:
    """The original as a child of the forged one."""
    evil = forged(good, "_evil")
    security.replace(good, evil)
    evil.append(good)


def xsw5(security: etree._Element, good: etree._Element) -> None:
    """The forged one keeps the signature, the original without signature follows."""
    signature = good.find(DS + "Signature")
    assert signature is not None
    evil = forged(good, "_evil")
    security.append(evil)
    evil.insert(1, signature)


def xsw6(security: etree._Element, good: etree._Element) -> None:
    """The forged one keeps the signature, the original inside that signature."""
    signature = good.find(DS + "Signature")
    assert signature is not None
    evil = forged(good, "_evil")
    security.replace(good, evil)
    evil.insert(1, signature)
    signature.append(good)


def xsw7(security: etree._Element, good: etree._Element) -> None:
    """The forged one in an extension element beside the original, same ID."""
    extensions = etree.Element("{urn:oasis:names:tc:SAML:2.0:protocol}Extensions")
    good.addprevious(extensions)
    extensions.append(forged(good, None))


def xsw8(security: etree._Element, good: etree._Element) -> None:
    """The original inside an Object of the signature that the forged one carries, same ID."""
    signature = copy.deepcopy(good.find(DS + "Signature"))
    assert signature is not None
    evil = forged(good, None)
    security.replace(good, evil)
    evil.insert(1, signature)
    original = copy.deepcopy(good)
    inner = original.find(DS + "Signature")
    assert inner is not None
    original.remove(inner)
    _inside(signature, DS + "Object").append(original)


@pytest.mark.parametrize("attack", [xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8])
def test_signature_wrapping_is_refused(
    signing: Credential, policy: TrustPolicy, attack: Callable[[etree._Element, etree._Element], None]
):
    """No permutation of forged and signed assertions passes."""
    message = envelope(signed(signing))
    security = next(message.iter(f"{{{WSSE}}}Security"))
    attack(security, security[0])
    # As it would come from the wire.
    assert refused(parse(etree.tostring(message)), policy).startswith("VIHF-")


def test_an_assertion_outside_the_security_header_is_refused(signing: Credential, policy: TrustPolicy):
    """A signed assertion in the body says nothing of the caller."""
    message = envelope(signed(signing))
    body = message[1]
    body.append(next(message.iter(S + "Assertion")))
    assert refused(message, policy) == "VIHF-PLACE-001"


def test_the_id_elsewhere_is_refused(signing: Credential, policy: TrustPolicy):
    """Another element with the assertion's id makes the reference ambiguous."""
    message = envelope(signed(signing))
    message[1].set("ID", "_a1")
    assert refused(message, policy) == "VIHF-ID-001"


def test_no_assertion_is_refused(policy: TrustPolicy):
    """A message without assertion has no caller."""
    assert refused(envelope(b""), policy) == "VIHF-COUNT-001"


def edit(signing: Credential, old: bytes, new: bytes) -> etree._Element:
    """The signed assertion with its bytes changed."""
    data = signed(signing)
    assert old in data
    return envelope(data.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"810009876543", b"899999999999", "VIHF-SIGNATURE-004"),
        (b'URI="#_a1"', b'URI=""', "VIHF-REFERENCE-002"),
        (b'URI="#_a1"', b'URI="http://127.0.0.1/x"', "VIHF-REFERENCE-002"),
        (b"rsa-sha256", b"hmac-sha256", "VIHF-ALGORITHM-001"),
        (b"xmldsig#enveloped-signature", b"xmldsig#base64", "VIHF-TRANSFORM-001"),
        (b"</ds:SignedInfo>", b'<ds:Reference URI="#x"/></ds:SignedInfo>', "VIHF-REFERENCE-001"),
        (b' ID="_a1"', b"", "VIHF-ID-002"),
        (b"<ds:X509Certificate>", b"<ds:X509Certificate>!", "VIHF-CERTIFICATE-001"),
        (b"ds:X509Certificate>", b"ds:X509CRL>", "VIHF-CERTIFICATE-001"),
    ],
)
def test_tampering_is_refused(signing: Credential, policy: TrustPolicy, old: bytes, new: bytes, code: str):
    """Each change of the signed bytes or of the signature has its refusal."""
    assert refused(edit(signing, old, new), policy) == code


def test_the_signature_taken_away_is_refused(signing: Credential, policy: TrustPolicy):
    """An unsigned assertion is nobody's."""
    message = envelope(signed(signing))
    signature = next(message.iter(DS + "Signature"))
    parent = signature.getparent()
    assert parent is not None
    parent.remove(signature)
    assert refused(message, policy) == "VIHF-SIGNATURE-001"


def test_a_comment_does_not_cut_a_value(signing: Credential, policy: TrustPolicy):
    """A comment inside a name, which exclusive C14N ignores, changes nothing of what is read."""
    message = edit(signing, b"810009876543", b"810009<!-- x -->876543")
    assert verify_vihf(message, policy, now=NOW).name_id == "810009876543"
