"""Writing and signing the VIHF."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
import xmlsec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from security import vihf
from security.pki import Authority, Credential
from security.vihf import CardKey, Coded, Mode, Purpose, Software, VihfClaims, VihfProfile, VihfSigner
from security.xml import parse

NOW = datetime(2026, 1, 10, 8, 31, tzinfo=UTC)
S = f"{{{vihf.SAML}}}"
DOCTOR = (
    Coded(code="10", system="1.2.250.1.71.1.2.7", system_name="G15", display="Médecin"),
    Coded(code="SM54", system="1.2.250.1.71.4.2.5", system_name="R01", display="Médecine Générale (SM)"),
)
SOFTWARE = Software(id="0001", name="GATEWAY TEST", version="1.0", homologation="TEST-0000")


def claims(**changes: object) -> VihfClaims:
    """The claims of a doctor feeding a document, with changes."""
    values: dict[str, object] = {
        "mode": Mode.INDIRECT,
        "name_id": "810009876543",
        "subject_name": "Odile KERVELLA",
        "structure_id": "1290099887",
        "sector": "SA07^1.2.250.1.71.4.2.4",
        "roles": DOCTOR,
        "software": SOFTWARE,
        "authn_instant": NOW - timedelta(minutes=30),
        "patient": "279035121518989^^^&1.2.250.1.213.1.4.10&ISO^NH",
        **changes,
    }
    return VihfClaims(**values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def credential() -> Credential:
    """A signature certificate of the structure, for the whole module."""
    subject = [("C", "FR"), ("O", "CABINET, FICTIF"), ("OU", "1290099887"), ("CN", "GATEWAY SIGN TEST")]
    return Authority.create("TEST AC").issue(subject, "sign")


@pytest.fixture
def signer(credential: Credential) -> VihfSigner:
    """A signer with the default profile."""
    return VihfSigner(key=credential.private_key, certificate=credential.certificate)  # type: ignore[arg-type]


def with_profile(credential: Credential, profile: VihfProfile) -> VihfSigner:
    """A signer with another profile."""
    return VihfSigner(key=credential.private_key, certificate=credential.certificate, profile=profile)  # type: ignore[arg-type]


def write(signer: VihfSigner, **changes: object) -> etree._Element:
    """Sign and read back."""
    return parse(signer.assertion(claims(**changes), assertion_id="_a1", issue_instant=NOW))


def values(root: etree._Element) -> dict[str, str]:
    """The plain attributes of an assertion."""
    return {node.get("Name", ""): node.findtext(S + "AttributeValue") or "" for node in root.iter(S + "Attribute")}


def verified_by_xmlsec(data: bytes, credential: Credential, wrap: bool = False) -> bool:
    """Verify with xmlsec, another implementation, inside an envelope when asked."""
    text = b"<e xmlns='urn:other'><h>" + data + b"</h></e>" if wrap else data
    root = parse(text)
    xmlsec.tree.add_ids(root, ["ID"])
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(
        credential.certificate.public_bytes(Encoding.PEM), xmlsec.constants.KeyDataFormatCertPem
    )
    try:
        context.verify(next(root.iter(f"{{{vihf.DS}}}Signature")))
    except xmlsec.Error:
        return False
    return True


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("algorithm", ["rsa-sha256", "rsa-sha1"])
def test_another_implementation_verifies_it(
    credential: Credential, mode: Mode, algorithm: str, xds_check: Callable[[bytes], list[str]]
):
    """Each mode, signed with each algorithm, verifies in xmlsec alone and inside an envelope, and is schema-valid."""
    signer = with_profile(credential, VihfProfile(algorithm=algorithm))  # type: ignore[arg-type]
    data = signer.assertion(claims(mode=mode), assertion_id="_a1", issue_instant=NOW)
    assert verified_by_xmlsec(data, credential)
    assert verified_by_xmlsec(data, credential, wrap=True)
    assert not verified_by_xmlsec(data.replace(b"SM54", b"SM26"), credential)
    assert xds_check(data) == []


def test_elements_stand_in_schema_order(signer: VihfSigner):
    """Issuer, Signature, Subject, AuthnStatement, AttributeStatement."""
    names = [etree.QName(node).localname for node in write(signer)]
    assert names == ["Issuer", "Signature", "Subject", "AuthnStatement", "AttributeStatement"]


def test_indirect_attributes_are_complete(signer: VihfSigner):
    """Every attribute of the reference is there, in its form."""
    root = write(signer)
    assert values(root) == {
        "VIHF_Version": "3.0",
        "Authentification_mode": "INDIRECTE",
        "Identifiant_Structure": "1290099887",
        "Secteur_Activite": "SA07^1.2.250.1.71.4.2.4",
        vihf.SUBJECT_ID: "Odile KERVELLA",
        vihf.ROLE: "",
        vihf.RESOURCE_ID: "279035121518989^^^&1.2.250.1.213.1.4.10&ISO^NH",
        "Ressource_URN": "urn:dmp",
        vihf.PURPOSE: "",
        "LPS_ID": "0001",
        "LPS_Nom": "GATEWAY TEST",
        "LPS_Version": "1.0",
        "LPS_ID_HOMOLOGATION_DMP": "TEST-0000",
    }
    roles = [dict(node.attrib) for node in root.iter(f"{{{vihf.HL7}}}Role")]
    assert [role["code"] for role in roles] == ["10", "SM54"]
    assert {role[f"{{{vihf.XSI}}}type"] for role in roles} == {"CE"}
    (purpose,) = root.iter(f"{{{vihf.HL7}}}PurposeOfUse")
    assert purpose.get("code") == "normal"
    assert purpose.get("codeSystem") == "1.2.250.1.213.1.1.4.248"


def test_the_user_and_the_times(signer: VihfSigner):
    """NameID without format, times in UTC, the context class of the local login."""
    root = write(signer, authn_instant=datetime(2026, 1, 10, 9, 0, tzinfo=timezone(timedelta(hours=1))))
    name = root.find(f"{S}Subject/{S}NameID")
    assert name is not None
    assert dict(name.attrib) == {}
    assert name.text == "810009876543"
    statement = root.find(S + "AuthnStatement")
    assert statement is not None
    assert statement.get("AuthnInstant") == "2026-01-10T08:00:00Z"
    assert root.get("IssueInstant") == "2026-01-10T08:31:00Z"
    assert root.find(f".//{S}AuthnContextDecl") is None
    assert root.find(f".//{S}Conditions") is None


def test_air_declares_its_context(signer: VihfSigner):
    """INDIRECTE_RENFORCEE adds AuthnContextDecl, the class again unless told otherwise."""
    context = "urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorUnregistered"
    root = write(signer, mode=Mode.REINFORCED, authn_context=context)
    assert root.findtext(f".//{S}AuthnContextDecl") == context
    root = write(signer, mode=Mode.REINFORCED, authn_declaration="PSC")
    assert root.findtext(f".//{S}AuthnContextDecl") == "PSC"


def test_direct_mode_has_no_subject_name(signer: VihfSigner):
    """In direct mode the card names the user."""
    assert vihf.SUBJECT_ID not in values(write(signer, mode=Mode.DIRECT))


def test_options_of_the_call(signer: VihfSigner):
    """No patient, break-glass, a minor's secret, no installation serial."""
    root = write(
        signer,
        patient=None,
        purpose=Purpose.BREAK_GLASS,
        secret_connection=True,
        software=Software(name="x", version="1", homologation="T"),
    )
    found = values(root)
    assert vihf.RESOURCE_ID not in found
    assert "LPS_ID" not in found
    assert found[vihf.CONFIDENTIALITY] == "INVISIBLE_REPRESENTANTS_LEGAUX^1.2.250.1.213.1.1.4.13"
    (purpose,) = root.iter(f"{{{vihf.HL7}}}PurposeOfUse")
    assert (purpose.get("code"), purpose.get("displayName")) == ("bris_de_glace", "Accès bris de glace")


@pytest.mark.parametrize(
    ("order", "issuer"),
    [
        ("rfc4514", r"CN=GATEWAY SIGN TEST,OU=1290099887,O=CABINET\, FICTIF,C=FR"),
        ("encoded", r"C=FR, O=CABINET\, FICTIF, OU=1290099887, CN=GATEWAY SIGN TEST"),
    ],
)
def test_the_profile_decides_what_sources_differ_on(credential: Credential, order: str, issuer: str):
    """Version, spelling of the mode and order of the DN follow the environment."""
    profile = VihfProfile(version="4.0", mode_attribute="Authentification_Mode", dn_order=order)  # type: ignore[arg-type]
    root = write(with_profile(credential, profile))
    assert values(root)["VIHF_Version"] == "4.0"
    assert values(root)["Authentification_Mode"] == "INDIRECTE"
    assert root.findtext(S + "Issuer") == issuer


def test_a_card_signs_through_a_callable(credential: Credential):
    """The direct mode needs a callable only, never the key itself."""
    asked: list[bytes] = []

    def bridge(data: bytes) -> bytes:
        asked.append(data)
        return credential.private_key.sign(data, PKCS1v15(), SHA256())  # type: ignore[call-arg,arg-type]

    signer = VihfSigner(key=CardKey(bridge), certificate=credential.certificate)
    data = signer.assertion(claims(mode=Mode.DIRECT), assertion_id="_a1", issue_instant=NOW)
    assert len(asked) == 1
    assert verified_by_xmlsec(data, credential)


@pytest.mark.parametrize("bad", ["", "1a", "é1", "-x"])
def test_an_id_that_is_no_xml_name_is_refused(signer: VihfSigner, bad: str):
    """An assertion id starts with a letter or an underscore."""
    with pytest.raises(ValueError, match="id of an assertion"):
        signer.assertion(claims(), assertion_id=bad, issue_instant=NOW)


def test_an_instant_without_zone_is_refused(signer: VihfSigner):
    """A naive clock would shift the assertion by hours."""
    with pytest.raises(ValueError, match="time zone"):
        signer.assertion(claims(), assertion_id="_a", issue_instant=datetime(2026, 1, 1))


def test_the_patient_does_not_show_in_a_repr():
    """Printing claims shows no matricule."""
    assert "279035121518989" not in repr(claims())


def test_signing_is_fast(signer: VihfSigner):
    """At least 300 assertions a second of processor time: keys are not loaded again."""
    start = time.process_time()
    for _ in range(60):
        signer.assertion(claims(), assertion_id="_a1", issue_instant=NOW)
    assert time.process_time() - start < 60 / 300
