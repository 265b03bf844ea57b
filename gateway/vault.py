"""What a tenant entrusts is sealed under the tenant's own key, and found by keyed hashes only.

Sealing is :mod:`security.sealing`: a key a document, wrapped by the tenant's, itself derived from a master key. The
keyed hashes use keys derived for one tenant and one use each, from the first master key: they stay when it is rotated,
since what is found by them must be found again.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path

import orjson
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from security.sealing import SealBroken, Sealer, content_address

__all__ = ["Vault"]

_KEY_ID = "1"


class Vault:
    """Seals and opens what belongs to tenants."""

    def __init__(self, master: bytes, *, keys: Mapping[str, bytes] | None = None, current: str = _KEY_ID) -> None:
        """Take the first master key, and those that seal by their id when it was rotated."""
        if len(master) != 32:
            raise ValueError("the master key is 32 bytes")
        self.__master = master
        self.__keys = dict(keys) if keys is not None else {_KEY_ID: master}
        self.current = current
        self._sealer = Sealer(self.__keys, current)
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
        held = path.read_bytes()
        if len(held) == 32:
            return cls(held)
        try:
            ring = orjson.loads(held)
            keys = {str(name): base64.b64decode(value, validate=True) for name, value in ring["keys"].items()}
            return cls(base64.b64decode(ring["first"], validate=True), keys=keys, current=str(ring["current"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path.name} is no master key: 32 bytes, or what keys rotate made of them") from None

    @property
    def key_ids(self) -> list[str]:
        """The master keys held, by id, the oldest first."""
        return sorted(self.__keys, key=int)

    def rotated(self, *, use: bool = True) -> Vault:
        """The vault with one more master key, which seals from now on, or is only held ready."""
        name = str(max(int(one) for one in self.__keys) + 1)
        keys = {**self.__keys, name: os.urandom(32)}
        return Vault(self.__master, keys=keys, current=name if use else self.current)

    def using(self, key_id: str) -> Vault:
        """The vault that seals with another of its keys."""
        return Vault(self.__master, keys=self.__keys, current=key_id)

    def retired(self) -> Vault:
        """The vault without the master keys that seal no more."""
        return Vault(self.__master, keys={self.current: self.__keys[self.current]}, current=self.current)

    def save(self, path: Path) -> None:
        """Write the keys in the place of a key file, whole or not at all."""
        text = orjson.dumps(
            {
                "first": base64.b64encode(self.__master).decode(),
                "current": self.current,
                "keys": {name: base64.b64encode(key).decode() for name, key in self.__keys.items()},
            }
        )
        coming = path.with_name(f"{path.name}.new")
        descriptor = os.open(coming, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        coming.replace(path)

    def rewrap(self, tenant: str, sealed: bytes, name: str) -> bytes:
        """Put the key of what was sealed under the current master key; the same bytes when it is already."""
        try:
            return self._sealer.rewrap(sealed, tenant=tenant, context=name)
        except SealBroken as exc:
            raise ValueError(exc.code) from None

    def is_current(self, sealed: bytes) -> bool:
        """True when the current master key sealed these bytes."""
        return self._sealer.key_id(sealed) == self.current

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
