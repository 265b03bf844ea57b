"""The key that signs heads and exports: from the file the settings name, or one made at first need."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gateway.settings import Settings

__all__ = ["public_pem", "signing_key"]


def signing_key(settings: Settings) -> Ed25519PrivateKey:
    """The Ed25519 key of ``feeds.signing_key``, or of ``feeds.key`` in the data folder, made when absent.

    Raises ``ValueError`` for a file that holds another kind of key.
    """
    given = settings.feeds.signing_key
    path: Path = given or settings.data_dir / "feeds.key"
    if given is None and not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass  # another thread came first: its key is the one
        else:
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("feeds.signing_key: an Ed25519 key is expected")
    return key


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """The public half, as auditors keep it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
