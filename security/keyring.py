"""Keys by reference: settings name files, this module opens each once and says what is wrong with it.

A setting never holds a key, only where it is. Keys that never leave a token (PKCS#11) come through
:class:`KeySource`: whatever offers the ``sign`` method of a ``cryptography`` private key fits.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from security.pki import PrivateKey, Usage
from security.tls import client_ssl_context, server_ssl_context

__all__ = [
    "KeyProblem",
    "KeyRef",
    "KeySource",
    "KeyUnavailable",
    "Keyring",
    "SigningKey",
    "attribute_values",
    "chains_to",
    "client_ssl_context",
    "expiry_alarm",
    "load_certificates",
    "open_files",
    "server_ssl_context",
]

_PKCS12 = (".p12", ".pfx")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRef:
    """Where a certificate and its key are, and what they must be good for."""

    name: str  #: how settings and messages call it
    path: Path  #: PEM certificate followed by its intermediates, or a PKCS#12 file (``.p12``, ``.pfx``)
    key_path: Path | None = None  #: PEM key; by default in the same file as the certificate
    passphrase_path: Path | None = None  #: file whose first line opens the key
    usage: Usage = "sign"
    structure_id: str | None = None  #: expected in the OU of the subject: Struct_IdNat with its prefix
    common_names: tuple[str, ...] = ()  #: CNs allowed, any when empty (INSi asks for INSI-AUTO or INSI-MANU)
    source: str = "file"  #: which :class:`KeySource` opens it


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyProblem:
    """One thing wrong with a key: a stable code, which key, what was found and what was expected."""

    code: str
    name: str
    found: str
    expected: str


class KeyUnavailable(Exception):
    """The key is not in the keyring, or was refused when it was loaded."""

    code = "KEY-UNAVAILABLE-001"

    def __init__(self, name: str, problems: tuple[KeyProblem, ...] = ()) -> None:
        self.name = name
        self.problems = problems
        super().__init__(f"{self.code}: {name}: {', '.join(p.code for p in problems) or 'unknown'}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key with its certificate, loaded once (a load costs up to 50 ms) and shown nowhere."""

    name: str
    private_key: PrivateKey = field(repr=False)
    certificate: x509.Certificate = field(repr=False)
    chain: tuple[x509.Certificate, ...] = field(default=(), repr=False)  #: issuer first

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a signing key does not travel between processes; give the reference and load it there")


class KeySource(Protocol):
    """Something that opens references: files here, a PKCS#11 token elsewhere."""

    def __call__(self, ref: KeyRef) -> SigningKey:
        """Open the key; raises OSError or ValueError when it cannot."""
        ...


class Keyring:
    """The keys of an installation, opened and checked once."""

    __slots__ = ("_keys", "problems")

    def __init__(self, keys: Mapping[str, SigningKey], problems: tuple[KeyProblem, ...]) -> None:
        self._keys = dict(keys)
        self.problems = problems

    @classmethod
    def load(
        cls,
        refs: Iterable[KeyRef],
        *,
        now: datetime,
        trust: Iterable[x509.Certificate] = (),
        sources: Mapping[str, KeySource] | None = None,
    ) -> Keyring:
        """Open every key and check it; what is wrong is in ``problems``, and such a key is not given out.

        ``trust`` holds the root authorities; when empty, the chain is not checked.
        """
        openers: dict[str, KeySource] = {"file": open_files, **(sources or {})}
        roots = tuple(trust)
        keys: dict[str, SigningKey] = {}
        problems: list[KeyProblem] = []
        for ref in refs:
            found = list(_file_modes(ref)) if ref.source == "file" else []
            if not found:
                try:
                    key = openers[ref.source](ref)
                except KeyError:
                    expected = ", ".join(sorted(openers))
                    found.append(KeyProblem(code="KEY-SOURCE-001", name=ref.name, found=ref.source, expected=expected))
                except (OSError, ValueError, TypeError) as exc:
                    # Only the kind of error: its text may quote the file.
                    kind = type(exc).__name__
                    found.append(
                        KeyProblem(code="KEY-READ-001", name=ref.name, found=kind, expected="PEM or PKCS#12 with a key")
                    )
                else:
                    found.extend(_check(ref, key, now, roots))
                    keys[ref.name] = key
            problems.extend(found)
        return cls(keys, tuple(problems))

    def __getitem__(self, name: str) -> SigningKey:
        mine = tuple(p for p in self.problems if p.name == name)
        if mine or name not in self._keys:
            raise KeyUnavailable(name, mine)
        return self._keys[name]

    def __contains__(self, name: object) -> bool:
        return name in self._keys and all(p.name != name for p in self.problems)

    def __repr__(self) -> str:
        return f"Keyring({sorted(self._keys)}, problems={len(self.problems)})"

    def certificates(self) -> dict[str, x509.Certificate]:
        """Give the certificate of each key that could be opened, wrong ones too, to be shown."""
        return {name: key.certificate for name, key in self._keys.items()}

    def expiries(self, now: datetime) -> dict[str, int | None]:
        """Give the alarm of each key's certificate, as :func:`expiry_alarm`."""
        return {name: expiry_alarm(key.certificate, now) for name, key in self._keys.items()}


def expiry_alarm(certificate: x509.Certificate, now: datetime) -> Literal[60, 30, 7, 0] | None:
    """Say how near the end of a certificate is: within 60, 30 or 7 days, 0 when over, None when far."""
    left = certificate.not_valid_after_utc - now
    for days in (0, 7, 30, 60):
        if left <= timedelta(days=days):
            return days
    return None


def attribute_values(name: x509.Name, oid: ObjectIdentifier) -> list[str]:
    """Give the values of an attribute of a name, multi-valued RDNs walked, in order."""
    return [str(attribute.value) for attribute in name if attribute.oid == oid]


def load_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Read the certificates of a PEM file (a trust store); raises OSError or ValueError."""
    return tuple(x509.load_pem_x509_certificates(path.read_bytes()))


def open_files(ref: KeyRef) -> SigningKey:
    """Open a key kept in files: PEM, or PKCS#12 by its extension; raises OSError, ValueError or TypeError."""
    passphrase = None
    if ref.passphrase_path is not None:
        passphrase = ref.passphrase_path.read_bytes().splitlines()[0] if ref.passphrase_path.stat().st_size else b""
    data = ref.path.read_bytes()
    chain: tuple[x509.Certificate, ...]
    if ref.path.suffix.lower() in _PKCS12:
        bundle = pkcs12.load_pkcs12(data, passphrase)
        if bundle.cert is None:
            raise ValueError("no certificate in the PKCS#12 file")
        key, certificate = bundle.key, bundle.cert.certificate
        chain = tuple(c.certificate for c in bundle.additional_certs)
    else:
        key_data = ref.key_path.read_bytes() if ref.key_path else data
        key = serialization.load_pem_private_key(key_data, passphrase)
        certificate, *others = x509.load_pem_x509_certificates(data)
        chain = tuple(others)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError("neither an RSA nor an EC key")
    return SigningKey(name=ref.name, private_key=key, certificate=certificate, chain=chain)


def _file_modes(ref: KeyRef) -> Iterable[KeyProblem]:
    for path in (ref.key_path or ref.path, ref.passphrase_path):
        if path is None:
            continue
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError as exc:
            yield KeyProblem(code="KEY-READ-001", name=ref.name, found=type(exc).__name__, expected="a readable file")
            continue
        if mode & 0o077:
            yield KeyProblem(code="KEY-MODE-001", name=ref.name, found=f"{mode:04o}", expected="0600")


def _check(ref: KeyRef, key: SigningKey, now: datetime, roots: tuple[x509.Certificate, ...]) -> Iterable[KeyProblem]:
    def problem(code: str, found: str, expected: str) -> KeyProblem:
        return KeyProblem(code=code, name=ref.name, found=found, expected=expected)

    certificate = key.certificate
    if key.private_key.public_key() != certificate.public_key():
        yield problem("KEY-MATCH-001", "the key of another certificate", "the key of this certificate")
    if now < certificate.not_valid_before_utc:
        yield problem(
            "KEY-DATE-001", f"valid from {certificate.not_valid_before_utc:%Y-%m-%d}", "a certificate in force"
        )
    if now >= certificate.not_valid_after_utc:
        yield problem("KEY-DATE-002", f"ended {certificate.not_valid_after_utc:%Y-%m-%d}", "a certificate in force")
    if (usage := _usage_fault(certificate, ref.usage)) is not None:
        yield problem("KEY-USAGE-001", usage, f"a certificate for {ref.usage}")
    if ref.structure_id is not None:
        found = attribute_values(certificate.subject, NameOID.ORGANIZATIONAL_UNIT_NAME)
        if ref.structure_id not in found:
            yield problem("KEY-STRUCTURE-001", f"OU {', '.join(found) or 'absent'}", f"OU {ref.structure_id}")
    if ref.common_names:
        found = attribute_values(certificate.subject, NameOID.COMMON_NAME)
        if not set(found) & set(ref.common_names):
            yield problem("KEY-NAME-001", "another CN", f"CN {' or '.join(ref.common_names)}")
    if roots and not chains_to(certificate, key.chain, roots, now):
        yield problem("KEY-CHAIN-001", "an issuer that is not trusted", "a certificate issued under the trusted roots")


def _usage_fault(certificate: x509.Certificate, usage: Usage) -> str | None:
    """Say what in the usages of a certificate forbids this use; absent extensions forbid nothing (RFC 5280 4.2.1.3)."""
    try:
        allowed = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        pass
    else:
        if not (allowed.digital_signature or (usage == "sign" and allowed.content_commitment)):
            return "keyUsage without digitalSignature"
    try:
        extended = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return None
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in extended:
        return None
    wanted = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}.get(usage)
    if wanted is not None and wanted not in extended:
        return "extendedKeyUsage without it"
    # A signature certificate that says it is for TLS is the authentication one: the DMP refuses it (dmp.md 1.3).
    tls = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    return "extendedKeyUsage of TLS" if usage == "sign" and extended <= tls else None


def chains_to(
    certificate: x509.Certificate,
    intermediates: Iterable[x509.Certificate],
    roots: Iterable[x509.Certificate],
    now: datetime,
) -> bool:
    """Say whether a certificate was issued under one of the roots, each authority being one and in force.

    An own walk: ``cryptography.x509.verification`` applies the rules of the public web (a subjectAltName, 2048 bits
    by policy, no name without DNS), which certificates of IGC-Santé are not made for. Roots may be intermediates.
    """
    trusted = tuple(roots)
    known = (*intermediates, *trusted)
    current = certificate
    for _ in range(8):
        if current in trusted:
            return True
        for authority in known:
            if _issued(current, authority) and authority.not_valid_before_utc <= now < authority.not_valid_after_utc:
                current = authority
                break
        else:
            return False
    return False


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    if certificate.issuer != authority.subject or certificate == authority:
        return False
    try:
        if not authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        certificate.verify_directly_issued_by(authority)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
        return False
    return True
