"""What a tenant entrusts is sealed under the tenant's own key, and found by keyed hashes only.

Sealing is :mod:`security.sealing`: a key a document, wrapped by the tenant's, itself derived from the master key. The
keyed hashes use keys derived for one tenant and one use each.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from security.sealing import SealBroken, Sealer, content_address

__all__ = ["Vault"]

_KEY_ID = "1"


class Vault:
    """Seals and opens what belongs to tenants."""

    def __init__(self, master: bytes) -> None:
        if len(master) != 32:
            raise ValueError("the master key is 32 bytes")
        self.__master = master
        self._sealer = Sealer({_KEY_ID: master}, _KEY_ID)
        self._derive = functools.lru_cache(maxsize=4096)(self._derived)

    def __repr__(self) -> str:
        return "Vault(...)"

    @classmethod
    def open_file(cls, path: Path, *, create: bool = False) -> Vault:
        """The vault of a key file of 32 random bytes, readable by its owner alone; made when asked and absent."""
        if create and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(32))
        if path.stat().st_mode & 0o077:
            raise PermissionError(f"{path} must be readable by its owner alone (mode 0600)")
        return cls(path.read_bytes())

    def _derived(self, tenant: str, use: str) -> bytes:
        info = f"passerelle/1/{use}/{tenant}".encode()
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self.__master)

    def seal(self, tenant: str, data: bytes, name: str) -> bytes:
        """Encrypt bytes of a tenant, bound to the name of the row that holds them."""
        return self._sealer.seal(data, tenant=tenant, context=name)

    def open(self, tenant: str, sealed: bytes, name: str) -> bytes:
        """Decrypt what :meth:`seal` made; raises :class:`ValueError` when altered, moved or of another tenant."""
        try:
            return self._sealer.open(sealed, tenant=tenant, context=name)
        except SealBroken as exc:
            raise ValueError(exc.code) from None

    def address(self, tenant: str, data: bytes) -> str:
        """Where bytes are kept: an HMAC under the tenant's key, since a plain hash of a short text can be guessed."""
        return content_address(self._derive(tenant, "address"), data)

    def lookup(self, tenant: str, text: str) -> str:
        """The keyed hash by which a person or an address is found again."""
        return hmac.new(self._derive(tenant, "lookup"), text.encode(), hashlib.sha256).hexdigest()

    def key(self, tenant: str, use: str) -> bytes:
        """A key of a tenant for one named use (pseudonyms, webhook secrets...)."""
        return self._derive(tenant, use)
