"""Throw-away authorities: the certificates of the sandbox and of the tests."""

from __future__ import annotations

import multiprocessing
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from security.pki import Authority, SandboxPki, make_sandbox_pki, name_of

SUBJECT = [("C", "FR"), ("ST", "Finistère (29)"), ("O", "CABINET, FICTIF"), ("OU", "1290099887"), ("CN", "AUTH")]


@pytest.fixture(scope="module")
def authority() -> Authority:
    """One authority for the module."""
    return Authority.create("TEST AC")


def _issued(pki: SandboxPki, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(getattr(pki, name).cert_path.read_bytes())


def test_a_certificate_carries_its_subject_in_order_and_its_usage(authority: Authority) -> None:
    """The subject is C, ST, O, OU, CN as IGC-Santé writes it, and the usage allows TLS client only."""
    certificate = authority.issue(SUBJECT, "client").certificate
    assert [a.oid for a in certificate.subject][3] == NameOID.ORGANIZATIONAL_UNIT_NAME
    assert certificate.subject.rfc4514_string() == ("CN=AUTH,OU=1290099887,O=CABINET\\, FICTIF,ST=Finistère (29),C=FR")
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate.verify_directly_issued_by(authority.certificate)


def test_a_signature_certificate_has_an_rsa_key_and_signature_usage(authority: Authority) -> None:
    """XMLDSIG of the DMP signs with RSA: a ``sign`` certificate has an RSA key and non-repudiation."""
    credential = authority.issue(SUBJECT, "sign")
    assert isinstance(credential.private_key, rsa.RSAPrivateKey)
    usage = credential.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.content_commitment, usage.key_cert_sign) == (True, True, False)


def test_a_server_certificate_names_the_loopback(authority: Authority) -> None:
    """A server certificate is good for 127.0.0.1, ::1 and localhost unless other names are given."""
    names = authority.issue(SUBJECT, "server").certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost"]
    assert {str(a) for a in names.value.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1"}


def test_a_multi_valued_rdn_is_kept_whole() -> None:
    """The cards of professionals put GN, CN and SN in one RDN."""
    name = name_of([("C", "FR"), [("GN", "Jeanne"), ("CN", "899700000000"), ("SN", "FICTIVE")]])
    assert [len(rdn) for rdn in name.rdns] == [1, 3]


def test_a_key_may_be_reused_and_dates_chosen(authority: Authority) -> None:
    """Tests of expiry give their own dates, and reuse a key to save time."""
    past = datetime(2020, 1, 1, tzinfo=UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    credential = authority.issue(
        SUBJECT, "client", not_before=past, not_after=past + timedelta(days=1), private_key=key
    )
    assert credential.private_key is key
    assert credential.certificate.not_valid_after_utc == past + timedelta(days=1)


def test_an_intermediate_is_written_beside_the_certificate(authority: Authority, tmp_path: Path) -> None:
    """The PEM file holds the certificate and the intermediate, not the root; the key is private to its owner."""
    middle = Authority.create("TEST AC ELEMENTAIRE", issuer=authority)
    credential = middle.issue(SUBJECT, "client")
    assert credential.chain == (middle.certificate, authority.certificate)
    files = credential.write(tmp_path, "auth")
    sent = x509.load_pem_x509_certificates(files.cert_path.read_bytes())
    assert sent == [credential.certificate, middle.certificate]
    assert stat.S_IMODE(files.key_path.stat().st_mode) == 0o600


def test_keys_never_show_in_repr(authority: Authority) -> None:
    """Neither an authority nor a credential shows its key."""
    assert "PrivateKey" not in repr(authority) + repr(authority.issue(SUBJECT, "client"))


def test_a_revocation_list_names_the_revoked(authority: Authority) -> None:
    """A certificate and a bare serial number may both be revoked."""
    certificate = authority.issue(SUBJECT, "client").certificate
    crl = x509.load_pem_x509_crl(authority.crl([certificate, 77]))
    assert crl.is_signature_valid(authority.certificate.public_key())  # type: ignore[arg-type]
    assert {entry.serial_number for entry in crl} == {certificate.serial_number, 77}


def test_the_sandbox_certificates_are_found_again(tmp_path: Path) -> None:
    """A second start reuses what the first one made, byte for byte."""
    first = make_sandbox_pki(tmp_path)
    kept = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    second = make_sandbox_pki(tmp_path)
    assert first == second
    assert kept == {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    insi = _issued(first, "insi").subject
    assert insi.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "INSI-AUTO"
    assert insi.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)[0].value == "1290099887"


@pytest.mark.parametrize("harm", ["missing", "damaged", "expired", "other structure", "swapped key", "old crl"])
def test_bad_sandbox_certificates_are_made_anew(tmp_path: Path, harm: str) -> None:
    """What is missing, damaged, expired or of another structure is replaced, and the whole agrees again."""
    pki = make_sandbox_pki(tmp_path)
    before = pki.trust.read_bytes()
    now = datetime.now(UTC)
    structure = "1290099887"
    match harm:
        case "missing":
            pki.mss.cert_path.unlink()
        case "damaged":
            pki.sign.key_path.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        case "expired":
            now += timedelta(days=364)
        case "other structure":
            structure = "1750712184"
        case "swapped key":
            pki.auth.key_path.write_bytes(pki.mss.key_path.read_bytes())
        case _:
            pki.crl.write_bytes(pki.authority().crl(next_update=now))
    again = make_sandbox_pki(tmp_path, structure_id=structure, now=now)
    assert again.trust.read_bytes() != before
    root = again.authority().certificate
    for name in ("server", "auth", "sign", "insi", "mss"):
        _issued(again, name).verify_directly_issued_by(root)


def test_revoking_keeps_those_revoked_before(tmp_path: Path) -> None:
    """The list on disk grows, and the sandbox keeps its certificates."""
    pki = make_sandbox_pki(tmp_path)
    first, second = _issued(pki, "auth"), _issued(pki, "mss")
    pki.revoke(first)
    pki.revoke(second)
    listed = {entry.serial_number for entry in x509.load_pem_x509_crl(pki.crl.read_bytes())}
    assert listed == {first.serial_number, second.serial_number}
    assert make_sandbox_pki(tmp_path).crl.read_bytes() == pki.crl.read_bytes()


def test_a_foreign_authority_has_the_same_name_and_another_key(tmp_path: Path) -> None:
    """Trust must rest on the signature: the foreign authority differs only by its key."""
    pki = make_sandbox_pki(tmp_path)
    foreign = pki.foreign()
    assert foreign.certificate.subject == pki.authority().certificate.subject
    with pytest.raises(InvalidSignature):
        foreign.issue(SUBJECT, "client").certificate.verify_directly_issued_by(pki.authority().certificate)


def _trust_bytes(folder: Path) -> bytes:
    return make_sandbox_pki(folder).trust.read_bytes()


def test_two_processes_that_start_together_agree(tmp_path: Path) -> None:
    """One makes the certificates, the other waits and finds them."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(_trust_bytes, [tmp_path, tmp_path])
    assert first == second
