"""TLS contexts for both sides: own trust store, certificates both ways, TLS 1.2 at least.

The system's trust store is never used: MSSanté trusts IGC-Santé only (``mss.md`` 2.1).
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from security.pki import CredentialFiles, key_pem, write_private

if TYPE_CHECKING:
    from security.keyring import SigningKey

__all__ = ["client_ssl_context", "server_ssl_context"]

# TLS 1.3 suites are always on; of TLS 1.2 only forward secrecy with authenticated encryption (mss.md 2.1, dmp.md 1.2).
_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"


def client_ssl_context(
    auth: SigningKey | CredentialFiles | None,
    trust: Path,
    *,
    crl: Path | None = None,
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
) -> ssl.SSLContext:
    """Make the context of a caller: it checks the server's chain, name and, given a CRL, its revocation.

    ``auth`` is the client's own certificate, None where the server asks for none; ``trust`` is a PEM file of
    authorities. With a CRL file, a missing or outdated list refuses the server. Raises OSError or ``ssl.SSLError``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _configure(context, auth, trust, crl, minimum)
    return context


def server_ssl_context(
    auth: SigningKey | CredentialFiles,
    trust: Path | None,
    *,
    crl: Path | None = None,
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
) -> ssl.SSLContext:
    """Make the context of a server; given a trust file it refuses callers without a certificate of that trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _configure(context, auth, trust, crl, minimum)
    if trust is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _configure(
    context: ssl.SSLContext,
    auth: SigningKey | CredentialFiles | None,
    trust: Path | None,
    crl: Path | None,
    minimum: ssl.TLSVersion,
) -> None:
    context.minimum_version = minimum
    context.set_ciphers(_SUITES)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if trust is not None:
        context.load_verify_locations(trust)
    if crl is not None:
        context.load_verify_locations(crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    if isinstance(auth, CredentialFiles):
        context.load_cert_chain(auth.cert_path, auth.key_path)
    elif auth is not None:
        with _as_file(auth) as path:
            context.load_cert_chain(path)


@contextmanager
def _as_file(key: SigningKey) -> Iterator[str]:
    # The ssl module reads files only. On Linux an anonymous memory file keeps the key off the disk.
    certificates = [key.certificate, *(c for c in key.chain if c.issuer != c.subject)]
    pem = key_pem(key.private_key) + b"".join(c.public_bytes(Encoding.PEM) for c in certificates)
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("tls")
        try:
            os.write(descriptor, pem)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory() as folder:  # mode 0700
            path = Path(folder) / "tls.pem"
            write_private(path, pem)
            yield str(path)
