"""Throw-away certificate authorities: what the sandbox and the tests use in place of IGC-Santé.

Nothing here belongs in production, where certificates come from the national authority (``ins-identity.md`` 11.2). The
certificates imitate its organisation products: ``ORG AUTH_CLI`` (TLS client), ``ORG SIGN`` (signature) and
``ORG AUTH_SRV`` (TLS server), with the structure's identifier in the ``OU`` of the subject.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = [
    "Authority",
    "Credential",
    "CredentialFiles",
    "PrivateKey",
    "SandboxPki",
    "Subject",
    "Usage",
    "key_pem",
    "make_sandbox_pki",
    "name_of",
    "write_private",
]

Usage = Literal["server", "client", "sign"]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
#: One pair an RDN; a list of pairs is one multi-valued RDN, as on the cards of professionals.
Subject = Sequence[tuple[str, str] | Sequence[tuple[str, str]]]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# RFC 4519 short names, and those of IGC-Santé subjects (ins-identity.md 11.2).
_ATTRIBUTES = {
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
    "SN": NameOID.SURNAME,
    "GN": NameOID.GIVEN_NAME,
    "title": NameOID.TITLE,
}


def name_of(subject: Subject) -> x509.Name:
    """Build an X.509 name from short attribute names, in the order given."""
    rdns = []
    for part in subject:
        pairs = [(part[0], part[1])] if isinstance(part[0], str) and isinstance(part[1], str) else part
        attributes = [x509.NameAttribute(_ATTRIBUTES[pair[0]], pair[1]) for pair in pairs]
        rdns.append(x509.RelativeDistinguishedName(attributes))
    return x509.Name(rdns)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read (mode 0600), whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    partial.replace(path)


def _new_key(kind: Literal["ec", "rsa"]) -> PrivateKey:
    # An RSA key costs some 60 ms to make, an EC key 0.1 ms: RSA only where XMLDSIG asks for it.
    return rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())


def key_pem(key: PrivateKey) -> bytes:
    """Write a private key as unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialFiles:
    """Where a certificate and its key stand on disk."""

    cert_path: Path  #: PEM: the certificate, then the intermediate authorities
    key_path: Path  #: PEM PKCS#8, mode 0600


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A certificate, its private key and the authorities above it."""

    certificate: x509.Certificate
    private_key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...]  #: issuer first, root last

    def write(self, folder: Path, name: str) -> CredentialFiles:
        """Write ``name.pem`` and ``name.key`` in the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        files = CredentialFiles(cert_path=folder / f"{name}.pem", key_path=folder / f"{name}.key")
        sent = [self.certificate, *(c for c in self.chain if c.issuer != c.subject)]
        write_private(files.key_path, key_pem(self.private_key))
        files.cert_path.write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in sent))
        return files


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A certificate authority of one's own, root or intermediate."""

    certificate: x509.Certificate
    private_key: PrivateKey = field(repr=False)
    above: tuple[x509.Certificate, ...] = ()  #: its own issuers, nearest first; empty for a root

    @classmethod
    def create(
        cls,
        common_name: str,
        *,
        issuer: Authority | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> Authority:
        """Make an authority: a root, or an intermediate when an issuer is given."""
        key = _new_key("ec")
        subject = name_of([("C", "FR"), ("O", "PASSERELLE BAC A SABLE"), ("CN", common_name)])
        signer, signer_name = (key, subject) if issuer is None else (issuer.private_key, issuer.certificate.subject)
        start, end = _validity(not_before, not_after, timedelta(days=3650))
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(signer_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        above = () if issuer is None else issuer.chain
        return cls(certificate=builder.sign(signer, hashes.SHA256()), private_key=key, above=above)

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """This authority's certificate and those above it, root last."""
        return (self.certificate, *self.above)

    @property
    def pem(self) -> bytes:
        """The certificate as PEM, for trust stores."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        subject: Subject,
        usage: Usage,
        *,
        san: Sequence[str] | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        private_key: PrivateKey | None = None,
    ) -> Credential:
        """Issue a certificate with a new key, or with the one given.

        A ``sign`` certificate has an RSA key, the others EC. ``san`` defaults to the loopback names for a server.
        """
        key = private_key or _new_key("rsa" if usage == "sign" else "ec")
        start, end = _validity(not_before, not_after, timedelta(days=365))
        builder = (
            x509.CertificateBuilder()
            .subject_name(name_of(subject))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign=usage == "sign", rsa_key=isinstance(key, rsa.RSAPrivateKey)), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.private_key.public_key()), critical=False
            )
        )
        if usage != "sign":
            oid = ExtendedKeyUsageOID.SERVER_AUTH if usage == "server" else ExtendedKeyUsageOID.CLIENT_AUTH
            builder = builder.add_extension(x509.ExtendedKeyUsage([oid]), critical=False)
        names = san if san is not None else (_LOOPBACK if usage == "server" else ())
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False
            )
        return Credential(
            certificate=builder.sign(self.private_key, hashes.SHA256()), private_key=key, chain=self.chain
        )

    def crl(
        self,
        revoked: Iterable[x509.Certificate | int] = (),
        *,
        last_update: datetime | None = None,
        next_update: datetime | None = None,
    ) -> bytes:
        """Write the list of revoked certificates, or serial numbers, as PEM."""
        start, end = _validity(last_update, next_update, timedelta(days=365))
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(start).next_update(end)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.private_key.public_key()), critical=False
        ).add_extension(x509.CRLNumber(int(start.timestamp())), critical=False)
        for certificate in revoked:
            serial = certificate if isinstance(certificate, int) else certificate.serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(start)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.private_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _validity(start: datetime | None, end: datetime | None, length: timedelta) -> tuple[datetime, datetime]:
    # A day back: machines whose clocks differ still agree, and a long run does not outlive its own "now".
    start = start or datetime.now(UTC) - timedelta(days=1)
    return start, end or start + length


def _key_usage(*, authority: bool = False, sign: bool = False, rsa_key: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=sign,
        key_encipherment=rsa_key and not sign and not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


_AUTHORITY = "TEST AC PASSERELLE BAC A SABLE"
# File name -> usage and CN; the structure's identifier is the OU of each (ins-identity.md 11.2; INSI-AUTO: 5.2).
_SANDBOX: dict[str, tuple[Usage, str]] = {
    "server": ("server", "localhost"),
    "auth": ("client", "AUTH"),
    "sign": ("sign", "SIGN"),
    "insi": ("client", "INSI-AUTO"),
    "mss": ("client", "MSS"),
}
_MARGIN = timedelta(days=2)  # made anew while still valid, so that a sandbox left running keeps working


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxPki:
    """Every certificate that a sandbox, and a gateway which talks to it, need."""

    folder: Path
    trust: Path  #: PEM of the authority: the trust store of both sides
    crl: Path  #: PEM of its list of revoked certificates, empty at first
    server: CredentialFiles  #: TLS server of all simulators, for loopback names
    auth: CredentialFiles  #: TLS client of the structure (DMP)
    sign: CredentialFiles  #: RSA signature of the structure (VIHF, submission sets)
    insi: CredentialFiles  #: TLS client of the structure for INSi, CN=INSI-AUTO
    mss: CredentialFiles  #: TLS client of the structure for MSSanté
    structure_id: str  #: Struct_IdNat with its prefix, as in the OU

    def authority(self) -> Authority:
        """Load the authority with its key, to issue more certificates."""
        return _load_authority(self.folder)

    def revoke(self, *certificates: x509.Certificate) -> None:
        """Add certificates to the revocation list on disk."""
        listed = [entry.serial_number for entry in x509.load_pem_x509_crl(self.crl.read_bytes())]
        self.crl.write_bytes(self.authority().crl([*listed, *certificates]))

    @staticmethod
    def foreign() -> Authority:
        """Make an authority of the same name that nobody trusts, for negative tests."""
        return Authority.create(_AUTHORITY)


def make_sandbox_pki(
    folder: Path,
    *,
    structure_id: str = "1290099887",
    structure_name: str = "CABINET FICTIF",
    now: datetime | None = None,
) -> SandboxPki:
    """Give the sandbox's certificates, made at the first call and found again at the next ones.

    They are made anew when one is missing, damaged, about to expire or of another structure. Two processes may call
    at the same time: one makes them, the other waits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pki = SandboxPki(
        folder=folder,
        trust=folder / "authority.pem",
        crl=folder / "authority.crl",
        structure_id=structure_id,
        **{n: CredentialFiles(cert_path=folder / f"{n}.pem", key_path=folder / f"{n}.key") for n in _SANDBOX},
    )
    subjects = {name: _structure_subject(structure_id, structure_name, cn) for name, (_, cn) in _SANDBOX.items()}
    with _alone(folder):
        if not _still_good(pki, subjects, now or datetime.now(UTC)):
            _make(pki, subjects)
    return pki


def _structure_subject(structure_id: str, structure_name: str, common_name: str) -> Subject:
    return [("C", "FR"), ("ST", "Finistère (29)"), ("O", structure_name), ("OU", structure_id), ("CN", common_name)]


def _make(pki: SandboxPki, subjects: dict[str, Subject]) -> None:
    authority = Authority.create(_AUTHORITY)
    write_private(pki.folder / "authority.key", key_pem(authority.private_key))
    pki.crl.write_bytes(authority.crl())
    for name, (usage, _) in _SANDBOX.items():
        authority.issue(subjects[name], usage).write(pki.folder, name)
    pki.trust.write_bytes(authority.pem)  # last: its presence says that the rest is there


def _load_authority(folder: Path) -> Authority:
    key = serialization.load_pem_private_key((folder / "authority.key").read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is not an EC key")
    return Authority(
        certificate=x509.load_pem_x509_certificate((folder / "authority.pem").read_bytes()), private_key=key
    )


def _still_good(pki: SandboxPki, subjects: dict[str, Subject], now: datetime) -> bool:
    try:
        authority = _load_authority(pki.folder)
        crl = x509.load_pem_x509_crl(pki.crl.read_bytes())
        if not crl.is_signature_valid(authority.private_key.public_key()) or _ends(crl, now):
            return False
        for name, subject in subjects.items():
            files: CredentialFiles = getattr(pki, name)
            certificate = x509.load_pem_x509_certificate(files.cert_path.read_bytes())
            key = serialization.load_pem_private_key(files.key_path.read_bytes(), None)
            certificate.verify_directly_issued_by(authority.certificate)
            if certificate.subject != name_of(subject) or key.public_key() != certificate.public_key():
                return False
            if _ends(certificate, now):
                return False
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    return True


def _ends(dated: x509.Certificate | x509.CertificateRevocationList, now: datetime) -> bool:
    end = dated.not_valid_after_utc if isinstance(dated, x509.Certificate) else dated.next_update_utc
    return end is None or end - _MARGIN <= now


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
