"""Keys by reference: opened once, checked, shown nowhere."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from security.keyring import (
    KeyRef,
    Keyring,
    KeyUnavailable,
    SigningKey,
    chains_to,
    expiry_alarm,
    load_certificates,
)
from security.pki import Authority, Credential, Subject

NOW = datetime.now(UTC)
SUBJECT: Subject = [("C", "FR"), ("O", "CABINET FICTIF"), ("OU", "1290099887"), ("CN", "INSI-AUTO")]


@pytest.fixture(scope="module")
def authority() -> Authority:
    """One root for the module."""
    return Authority.create("TEST AC RACINE")


@pytest.fixture(scope="module")
def signer(authority: Authority) -> Credential:
    """One signature certificate (its RSA key is slow to make)."""
    return authority.issue(SUBJECT, "sign")


@pytest.fixture
def ref(signer: Credential, tmp_path: Path) -> KeyRef:
    """A good reference to the signature certificate."""
    files = signer.write(tmp_path, "sign")
    return KeyRef(name="sign", path=files.cert_path, key_path=files.key_path, structure_id="1290099887")


def _codes(ref: KeyRef, **options: object) -> list[str]:
    return [p.code for p in Keyring.load([ref], now=NOW, **options).problems]  # type: ignore[arg-type]


def test_a_good_key_is_opened_and_given(ref: KeyRef, signer: Credential, authority: Authority) -> None:
    """The key is given by name, with its certificate."""
    keyring = Keyring.load([ref], now=NOW, trust=[authority.certificate])
    assert keyring.problems == ()
    assert "sign" in keyring
    assert keyring["sign"].certificate == signer.certificate
    assert keyring["sign"] is keyring["sign"]


def test_key_and_certificate_may_share_a_file(signer: Credential, tmp_path: Path) -> None:
    """One PEM may hold both."""
    files = signer.write(tmp_path, "sign")
    both = tmp_path / "both.pem"
    both.write_bytes(files.cert_path.read_bytes() + files.key_path.read_bytes())
    both.chmod(0o600)
    assert _codes(KeyRef(name="sign", path=both)) == []


@pytest.mark.parametrize("passphrase", [b"ouvre-toi", None])
def test_a_pkcs12_file_opens_with_its_passphrase_file(
    authority: Authority, signer: Credential, tmp_path: Path, passphrase: bytes | None
) -> None:
    """IGC-Santé delivers PKCS#12: key, certificate and issuers come from one file."""
    path = tmp_path / "sign.p12"
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"sign", signer.private_key, signer.certificate, [authority.certificate], encryption
        )
    )
    path.chmod(0o600)
    secret = None
    if passphrase:
        secret = tmp_path / "passphrase"
        secret.write_bytes(passphrase + b"\n")
        secret.chmod(0o600)
    keyring = Keyring.load(
        [KeyRef(name="sign", path=path, passphrase_path=secret)], now=NOW, trust=[authority.certificate]
    )
    assert keyring.problems == ()
    assert keyring["sign"].chain == (authority.certificate,)


def test_a_wrong_passphrase_is_a_problem_without_details(
    signer: Credential, authority: Authority, tmp_path: Path
) -> None:
    """The problem names the key and says neither the passphrase nor the file's content."""
    path = tmp_path / "sign.p12"
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"sign", signer.private_key, signer.certificate, None, BestAvailableEncryption(b"juste")
        )
    )
    secret = tmp_path / "passphrase"
    secret.write_bytes(b"fausse")
    path.chmod(0o600)
    secret.chmod(0o600)
    keyring = Keyring.load([KeyRef(name="sign", path=path, passphrase_path=secret)], now=NOW)
    assert [p.code for p in keyring.problems] == ["KEY-READ-001"]
    assert "fausse" not in repr(keyring.problems)


def test_nothing_shows_a_key(ref: KeyRef) -> None:
    """Neither repr nor pickle lets a key out."""
    keyring = Keyring.load([ref], now=NOW)
    assert "PrivateKey" not in repr(keyring["sign"]) + repr(keyring)
    with pytest.raises(TypeError, match="does not travel"):
        pickle.dumps(keyring["sign"])


def test_a_key_others_may_read_is_refused(ref: KeyRef) -> None:
    """A key file open to group or others is refused before it is read."""
    assert ref.key_path is not None
    ref.key_path.chmod(0o640)
    keyring = Keyring.load([ref], now=NOW)
    assert [(p.code, p.found, p.expected) for p in keyring.problems] == [("KEY-MODE-001", "0640", "0600")]
    assert "sign" not in keyring
    with pytest.raises(KeyUnavailable, match="KEY-MODE-001"):
        keyring["sign"]


def test_an_unknown_key_is_unavailable(ref: KeyRef) -> None:
    """Asking for a key that was never referred to says its name."""
    with pytest.raises(KeyUnavailable, match=r"KEY-UNAVAILABLE-001: mss: unknown"):
        Keyring.load([ref], now=NOW)["mss"]


def test_a_missing_or_damaged_file_is_a_problem(ref: KeyRef, tmp_path: Path) -> None:
    """An absent file, bytes that are no PEM, a key of a kind that signs nothing here: problems, not exceptions."""
    assert _codes(replace(ref, key_path=tmp_path / "absent")) == ["KEY-READ-001"]
    assert _codes(replace(ref, path=tmp_path / "absent")) == ["KEY-READ-001"]
    assert ref.key_path is not None
    ref.key_path.write_bytes(b"not a key")
    assert _codes(ref) == ["KEY-READ-001"]
    other = ed25519.Ed25519PrivateKey.generate()
    ref.key_path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert _codes(ref) == ["KEY-READ-001"]


def test_a_key_of_another_certificate_is_refused(ref: KeyRef, authority: Authority, tmp_path: Path) -> None:
    """Key and certificate must be a pair."""
    other = authority.issue(SUBJECT, "client").write(tmp_path, "other")
    assert _codes(replace(ref, key_path=other.key_path)) == ["KEY-MATCH-001"]


def test_structure_and_common_name_must_be_those_expected(ref: KeyRef) -> None:
    """The OU carries the structure's identifier; INSi asks for one of two CNs."""
    assert _codes(replace(ref, structure_id="1750712184")) == ["KEY-STRUCTURE-001"]
    assert _codes(replace(ref, common_names=("INSI-MANU",))) == ["KEY-NAME-001"]
    assert _codes(replace(ref, common_names=("INSI-MANU", "INSI-AUTO"))) == []


@pytest.mark.parametrize(
    ("issued_for", "asked_for", "code"),
    [
        ("sign", "sign", None),
        ("client", "client", None),
        ("server", "server", None),
        ("client", "sign", "KEY-USAGE-001"),
        ("server", "client", "KEY-USAGE-001"),
        ("client", "server", "KEY-USAGE-001"),
    ],
)
def test_the_usage_must_fit(
    authority: Authority, tmp_path: Path, signer: Credential, issued_for: str, asked_for: str, code: str | None
) -> None:
    """Signing with the authentication certificate is refused by the DMP: refused here first."""
    credential = signer if issued_for == "sign" else authority.issue(SUBJECT, issued_for)  # type: ignore[arg-type]
    files = credential.write(tmp_path, "key")
    ref = KeyRef(name="key", path=files.cert_path, key_path=files.key_path, usage=asked_for)  # type: ignore[arg-type]
    assert _codes(ref) == ([code] if code else [])


@pytest.mark.parametrize(("start", "end", "code"), [(-30, -1, "KEY-DATE-002"), (1, 30, "KEY-DATE-001")])
def test_a_certificate_out_of_its_dates_is_refused(
    authority: Authority, tmp_path: Path, start: int, end: int, code: str
) -> None:
    """Over, or not begun yet."""
    credential = authority.issue(
        SUBJECT, "client", not_before=NOW + timedelta(days=start), not_after=NOW + timedelta(days=end)
    )
    files = credential.write(tmp_path, "key")
    assert _codes(KeyRef(name="key", path=files.cert_path, key_path=files.key_path, usage="client")) == [code]


def test_the_chain_is_followed_to_a_trusted_root(authority: Authority, tmp_path: Path) -> None:
    """Through intermediates, and never by name alone."""
    middle = Authority.create("TEST AC ELEMENTAIRE", issuer=authority)
    files = middle.issue(SUBJECT, "client").write(tmp_path, "key")
    ref = KeyRef(name="key", path=files.cert_path, key_path=files.key_path, usage="client")
    assert _codes(ref, trust=[authority.certificate]) == []
    assert _codes(ref, trust=[middle.certificate]) == []
    assert _codes(ref, trust=[Authority.create("TEST AC RACINE").certificate]) == ["KEY-CHAIN-001"]


def test_a_certificate_that_is_no_authority_issues_nothing(authority: Authority, signer: Credential) -> None:
    """A leaf used as an issuer is refused, and so is an authority out of date."""
    leaf = authority.issue([("CN", "feuille")], "client")
    rogue = Authority(certificate=leaf.certificate, private_key=leaf.private_key, above=authority.chain)
    victim = rogue.issue(SUBJECT, "client").certificate
    assert not chains_to(victim, [leaf.certificate], [authority.certificate], NOW)
    assert not chains_to(signer.certificate, [], [authority.certificate], NOW + timedelta(days=4000))
    assert chains_to(signer.certificate, [], [authority.certificate], NOW)


def test_a_token_opens_through_its_own_source(ref: KeyRef, signer: Credential) -> None:
    """PKCS#11 or anything else comes through a source, and passes the same checks."""

    def token(wanted: KeyRef) -> SigningKey:
        return SigningKey(name=wanted.name, private_key=signer.private_key, certificate=signer.certificate)

    on_token = replace(ref, source="pkcs11", path=Path("pkcs11:object=sign"), key_path=None)
    assert _codes(on_token, sources={"pkcs11": token}) == []
    assert _codes(on_token) == ["KEY-SOURCE-001"]


@pytest.mark.parametrize(("days", "alarm"), [(61, None), (60, 60), (31, 60), (30, 30), (8, 30), (7, 7), (1, 7), (0, 0)])
def test_the_end_of_a_certificate_is_announced(authority: Authority, days: int, alarm: int | None) -> None:
    """At 60, 30 and 7 days, and when it is over."""
    end = datetime(2027, 1, 1, tzinfo=UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = authority.issue(SUBJECT, "client", not_after=end, private_key=key).certificate
    assert expiry_alarm(certificate, end - timedelta(days=days)) == alarm


def test_the_keyring_lists_the_alarms(ref: KeyRef) -> None:
    """One alarm a key."""
    keyring = Keyring.load([ref], now=NOW)
    assert keyring.expiries(NOW + timedelta(days=360)) == {"sign": 7}


def test_a_trust_store_may_hold_several_authorities(authority: Authority, tmp_path: Path) -> None:
    """All the certificates of a PEM file are read."""
    store = tmp_path / "trust.pem"
    store.write_bytes(authority.pem + Authority.create("AUTRE").pem)
    assert len(load_certificates(store)) == 2
