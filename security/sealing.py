"""Sealing at rest: what is stored can be read only with a key that is not stored beside it.

Envelope of AES-256-GCM: each document has its own data key, wrapped by the tenant's key, itself derived from a master
key named by its id. Changing the master key re-wraps 60 bytes a document and touches no content. A sealed text is bound
to its tenant and to a context (the row it belongs to): moved elsewhere, it does not open.

Layout: ``02``, length of the key id, key id, nonce (12), wrapped data key (48), nonce (12), content and tag.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["SealBroken", "Sealer", "content_address"]

_VERSION = b"\x02"
_KEY = 32
_NONCE = 12
_TAG = 16
_WRAPPED = _KEY + _TAG


class SealBroken(Exception):
    """The sealed bytes were altered, moved, or sealed under a key that is not here."""

    def __init__(self, code: str, expected: str) -> None:
        self.code = code
        self.expected = expected
        super().__init__(f"{code}: expected {expected}")


class Sealer:
    """Seals and opens; holds the master keys by id and shows none."""

    __slots__ = ("_current", "_kek", "_keys")

    def __init__(self, keys: Mapping[str, bytes], current: str) -> None:
        """Take the master keys (id to 32 bytes); ``current`` is the one that seals, the others only open."""
        for key_id, key in keys.items():
            if len(key) != _KEY or not key_id.isascii() or not 1 <= len(key_id) <= 32:
                raise ValueError("a master key has 32 bytes and an id of 1 to 32 ASCII characters")
        if current not in keys:
            raise ValueError("the current master key is not among the keys")
        self._keys = dict(keys)
        self._current = current
        # A derivation costs some 20 us: kept for the tenants in use.
        self._kek: Callable[[str, str], AESGCM] = lru_cache(maxsize=4096)(self._derive)

    def __repr__(self) -> str:
        return f"Sealer(current={self._current!r}, keys={sorted(self._keys)})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a sealer does not travel between processes")

    def seal(self, data: bytes, *, tenant: str, context: str) -> bytes:
        """Encrypt bytes of a tenant, bound to the context where they belong."""
        data_key = os.urandom(_KEY)
        nonce = os.urandom(_NONCE)
        content = AESGCM(data_key).encrypt(nonce, data, _bound(b"content", tenant, context))
        return self._envelope(data_key, tenant, context) + nonce + content

    def open(self, sealed: bytes, *, tenant: str, context: str) -> bytes:
        """Decrypt what :meth:`seal` made; raises :class:`SealBroken`."""
        data_key, rest = self._unwrap(sealed, tenant, context)
        try:
            return AESGCM(data_key).decrypt(rest[:_NONCE], rest[_NONCE:], _bound(b"content", tenant, context))
        except (InvalidTag, ValueError):
            raise SealBroken("SEAL-OPEN-001", "the bytes sealed for this tenant and context") from None

    def rewrap(self, sealed: bytes, *, tenant: str, context: str) -> bytes:
        """Put the data key under the current master key; the content is not touched, nor decrypted.

        Gives the same bytes back when the current key sealed them already.
        """
        if self.key_id(sealed) == self._current:
            return sealed
        data_key, rest = self._unwrap(sealed, tenant, context)
        return self._envelope(data_key, tenant, context) + rest

    @staticmethod
    def key_id(sealed: bytes) -> str:
        """Say which master key sealed these bytes."""
        if len(sealed) < 2 or sealed[:1] != _VERSION or len(sealed) < 2 + sealed[1] + _NONCE + _WRAPPED + _NONCE + _TAG:
            raise SealBroken("SEAL-FORM-001", "sealed bytes of version 2")
        return sealed[2 : 2 + sealed[1]].decode("ascii", "replace")

    def _envelope(self, data_key: bytes, tenant: str, context: str) -> bytes:
        nonce = os.urandom(_NONCE)
        key_id = self._current.encode("ascii")
        wrapped = self._kek(self._current, tenant).encrypt(nonce, data_key, _bound(key_id, tenant, context))
        return _VERSION + bytes([len(key_id)]) + key_id + nonce + wrapped

    def _unwrap(self, sealed: bytes, tenant: str, context: str) -> tuple[bytes, bytes]:
        key_id = self.key_id(sealed)
        if key_id not in self._keys:
            raise SealBroken("SEAL-KEY-001", "a master key of the keyring")
        start = 2 + len(key_id)
        nonce = sealed[start : start + _NONCE]
        end = start + _NONCE + _WRAPPED
        bound = _bound(key_id.encode("ascii"), tenant, context)
        try:
            data_key = self._kek(key_id, tenant).decrypt(nonce, sealed[start + _NONCE : end], bound)
        except InvalidTag:
            raise SealBroken("SEAL-OPEN-001", "the bytes sealed for this tenant and context") from None
        return data_key, sealed[end:]

    def _derive(self, key_id: str, tenant: str) -> AESGCM:
        info = b"passerelle/kek/1/" + tenant.encode()
        return AESGCM(HKDF(algorithm=SHA256(), length=_KEY, salt=None, info=info).derive(self._keys[key_id]))


def _bound(label: bytes, tenant: str, context: str) -> bytes:
    # Lengths first, so that no two pairs of tenant and context give the same bytes.
    parts = (label, tenant.encode(), context.encode())
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def content_address(tenant_key: bytes, data: bytes) -> str:
    """Say where bytes are kept: an HMAC-SHA-256 under the tenant's key, in hex.

    A plain hash would let anyone who holds a document, or can guess a short one, find out who else has it.
    """
    if len(tenant_key) < _KEY:
        raise ValueError("a tenant's key has at least 32 bytes")
    return hmac.digest(tenant_key, data, hashlib.sha256).hex()
