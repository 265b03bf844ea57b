"""TLS both ways, by real handshakes in memory."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from security.keyring import SigningKey
from security.pki import Authority, CredentialFiles, SandboxPki, Subject, make_sandbox_pki
from security.tls import client_ssl_context, server_ssl_context

SUBJECT: Subject = [("C", "FR"), ("O", "CABINET FICTIF"), ("OU", "1290099887"), ("CN", "AUTH")]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> SandboxPki:
    """The sandbox's certificates."""
    return make_sandbox_pki(tmp_path_factory.mktemp("pki"))


@dataclass
class _Session:
    client: ssl.SSLObject
    server: ssl.SSLObject


def _shake(client: ssl.SSLContext, server: ssl.SSLContext, name: str = "localhost") -> _Session:
    """Make both sides talk until both are done, and let the server's last word reach the client (TLS 1.3)."""
    c_in, c_out, s_in, s_out = (ssl.MemoryBIO() for _ in range(4))
    session = _Session(
        client.wrap_bio(c_in, c_out, server_hostname=name), server.wrap_bio(s_in, s_out, server_side=True)
    )
    done = {"client": False, "server": False}
    for _ in range(10):
        for side, own, incoming, outgoing in (
            ("client", session.client, c_out, s_in),
            ("server", session.server, s_out, c_in),
        ):
            try:
                own.do_handshake()
                done[side] = True
            except ssl.SSLWantReadError:
                pass
            finally:
                outgoing.write(incoming.read())
        if all(done.values()):
            break
    assert all(done.values()), "the handshake hangs"  # an SSLWantReadError would pass for a refusal
    session.server.write(b"ok")
    c_in.write(s_out.read())
    assert session.client.read(2) == b"ok"
    return session


@pytest.fixture
def server(pki: SandboxPki) -> ssl.SSLContext:
    """A server that asks for a certificate of the sandbox's authority."""
    return server_ssl_context(pki.server, pki.trust)


def test_both_sides_know_each_other(pki: SandboxPki, server: ssl.SSLContext) -> None:
    """With certificates of the same authority the session opens, in TLS 1.3, and the server sees who calls."""
    session = _shake(client_ssl_context(pki.auth, pki.trust), server)
    assert session.client.version() == "TLSv1.3"
    peer = session.server.getpeercert()
    assert peer is not None
    assert (("organizationalUnitName", "1290099887"),) in peer["subject"]


@pytest.mark.parametrize("name", ["127.0.0.1", "::1"])
def test_the_server_is_good_for_the_loopback_addresses(pki: SandboxPki, server: ssl.SSLContext, name: str) -> None:
    """Simulators are called by address too."""
    assert _shake(client_ssl_context(pki.auth, pki.trust), server, name)


def test_tls_12_is_the_floor(pki: SandboxPki, server: ssl.SSLContext) -> None:
    """A 1.2 caller is served with forward secrecy and authenticated encryption; 1.1 and CBC suites are not."""
    caller = client_ssl_context(pki.auth, pki.trust)
    caller.maximum_version = ssl.TLSVersion.TLSv1_2
    session = _shake(caller, server)
    cipher = session.client.cipher()
    assert cipher is not None
    assert session.client.version() == "TLSv1.2"
    assert cipher[0].startswith("ECDHE")
    weak = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    weak.check_hostname = False
    weak.verify_mode = ssl.CERT_NONE
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES256-SHA:ECDHE-ECDSA-AES256-SHA")
    with pytest.raises(ssl.SSLError):
        _shake(weak, server)
    assert server_ssl_context(pki.server, None).minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_caller_without_certificate_is_refused(pki: SandboxPki, server: ssl.SSLContext) -> None:
    """No certificate, no session; without a trust file the server asks for none."""
    with pytest.raises(ssl.SSLError):
        _shake(client_ssl_context(None, pki.trust), server)
    assert _shake(client_ssl_context(None, pki.trust), server_ssl_context(pki.server, None))


def _bad_callers(pki: SandboxPki, folder: Path) -> Iterator[tuple[str, CredentialFiles]]:
    own, now = pki.authority(), datetime.now(UTC)
    yield "foreign authority", pki.foreign().issue(SUBJECT, "client").write(folder, "foreign")
    yield (
        "expired",
        own.issue(SUBJECT, "client", not_before=now - timedelta(2), not_after=now - timedelta(1)).write(
            folder, "expired"
        ),
    )
    yield "not begun", own.issue(SUBJECT, "client", not_before=now + timedelta(1)).write(folder, "future")
    yield "server usage", own.issue(SUBJECT, "server").write(folder, "usage")


def test_bad_client_certificates_are_refused(pki: SandboxPki, server: ssl.SSLContext, tmp_path: Path) -> None:
    """Foreign authority of the same name, expired, not begun, wrong extended usage."""
    for _, files in _bad_callers(pki, tmp_path):
        with pytest.raises(ssl.SSLError):
            _shake(client_ssl_context(files, pki.trust), server)


def _bad_servers(pki: SandboxPki, folder: Path) -> Iterator[CredentialFiles]:
    own, now = pki.authority(), datetime.now(UTC)
    yield pki.foreign().issue(SUBJECT, "server").write(folder, "foreign")
    yield own.issue(SUBJECT, "server", not_before=now - timedelta(2), not_after=now - timedelta(1)).write(
        folder, "expired"
    )
    yield own.issue(SUBJECT, "client", san=["localhost"]).write(folder, "usage")
    yield own.issue(SUBJECT, "server", san=["dmp.exemple.fr"]).write(folder, "name")


def test_bad_server_certificates_are_refused(pki: SandboxPki, tmp_path: Path) -> None:
    """Foreign authority of the same name, expired, wrong usage, another name."""
    for files in _bad_servers(pki, tmp_path):
        with pytest.raises(ssl.SSLCertVerificationError):
            _shake(client_ssl_context(pki.auth, pki.trust), server_ssl_context(files, pki.trust))


def test_a_revoked_certificate_is_refused_on_both_sides(tmp_path: Path) -> None:
    """Given the list of revoked certificates, either side refuses the other's."""
    pki = make_sandbox_pki(tmp_path)
    good_client = client_ssl_context(pki.auth, pki.trust, crl=pki.crl)
    good_server = server_ssl_context(pki.server, pki.trust, crl=pki.crl)
    assert _shake(good_client, good_server)
    for files in (pki.auth, pki.server):
        pki.revoke(x509.load_pem_x509_certificate(files.cert_path.read_bytes()))
    with pytest.raises(ssl.SSLError, match="revoked"):
        _shake(good_client, server_ssl_context(pki.server, pki.trust, crl=pki.crl))
    with pytest.raises(ssl.SSLError, match="revoked"):
        _shake(client_ssl_context(pki.auth, pki.trust, crl=pki.crl), good_server)


def test_an_outdated_revocation_list_refuses(pki: SandboxPki, tmp_path: Path) -> None:
    """Fail closed: without a list in force nobody is trusted."""
    old = tmp_path / "old.crl"
    now = datetime.now(UTC)
    old.write_bytes(pki.authority().crl(last_update=now - timedelta(2), next_update=now - timedelta(1)))
    with pytest.raises(ssl.SSLError, match="CRL has expired"):
        _shake(client_ssl_context(pki.auth, pki.trust, crl=old), server_ssl_context(pki.server, pki.trust))
    other = tmp_path / "other.crl"
    other.write_bytes(Authority.create("AUTRE").crl())
    with pytest.raises(ssl.SSLError, match="unable to get certificate CRL"):
        _shake(client_ssl_context(pki.auth, pki.trust, crl=other), server_ssl_context(pki.server, pki.trust))


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_key_already_opened_serves_tls(
    pki: SandboxPki, server: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    """A key from PKCS#12 needs no PEM file left behind, with or without anonymous memory files."""
    if not in_memory:
        monkeypatch.delattr("os.memfd_create", raising=False)
    credential = pki.authority().issue(SUBJECT, "client")
    key = SigningKey(
        name="auth", private_key=credential.private_key, certificate=credential.certificate, chain=credential.chain
    )
    assert _shake(client_ssl_context(key, pki.trust), server)
