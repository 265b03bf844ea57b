"""Signing key and heads of the ledger, and the proof that one line is in it: all a stranger needs, in one answer."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from sqlalchemy import Connection, select

from gateway.feeds.entry import COLUMNS, as_json
from gateway.feeds.heads import SignedHead, kept_heads, key_id
from gateway.feeds.lines import KeyOf
from gateway.feeds.tables import entries, links
from gateway.feeds.tree import StoredTree, inclusion
from gateway.problems import Conflict, Invalid, rule
from gateway.services.feeds import line_for
from gateway.services.feeds_roles import Audience
from gateway.settings import Settings
from gateway.store.blobs import insert_ignore
from gateway.store.tables import installation

__all__ = ["covering_head", "head_now", "keep_public_key", "proof_for", "public_keys", "public_pem", "signing_key"]

NOT_SEALED = rule(
    "FEED-PROOF-001",
    "Cette ligne n'est pas encore scellée : elle n'a pas de place dans l'arbre.",
    "This line is not sealed yet: it has no place in the tree.",
    "Recommencez dans une seconde.",
    "Try again in a second.",
    "RFC 6962, 2.1",
)
BAD_SIZE = rule(
    "FEED-PROOF-002",
    "Cette taille n'est pas celle d'une tête passée du journal.",
    "This size is not that of a past head of the ledger.",
    "Donnez la taille (size) d'une tête signée gardée, de 1 à la taille présente.",
    "Give the size of a signed head you kept, from 1 to the present size.",
    "RFC 6962, 2.1.2",
)
_PUBLIC: Final = "feeds_key_"
#: How to redo the proof by hand; the names are those of RFC 6962.
HOW: Final = (
    "payloadHash = SHA-256(JCS(payload))",
    'entryHash = SHA-256(JCS({"chain","payload_hash","prev_hash","seq"}))',
    "leaf = SHA-256(0x00 || entryHash)",
    "root = path folded over the leaf, node = SHA-256(0x01 || left || right)",
    "head.signature: Ed25519 over JCS(head without signature and timestamp_token)",
)


def signing_key(settings: Settings) -> Ed25519PrivateKey:
    """The key that signs heads and exports; made in the data folder at first need when no setting names one.

    Nodes that share a database share the key: name it in the settings of each. Raises ``ValueError`` when the file
    holds another kind of key.
    """
    path = settings.feeds.signing_key or settings.data_dir / "feeds.key"
    if settings.feeds.signing_key is None and not path.exists():
        made = Ed25519PrivateKey.generate()
        data = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
    return _loaded(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _loaded(path: Path, _changed: int) -> Ed25519PrivateKey:
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("feeds.signing_key must be an Ed25519 key")
    return key


def public_pem(key: Ed25519PublicKey) -> str:
    """A verification key as auditors keep it."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def keep_public_key(connection: Connection, key: Ed25519PublicKey, now: datetime) -> None:
    """Remember a verification key, so that heads stay verifiable after the signing key has changed."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    insert_ignore(connection, installation, {"name": _PUBLIC + key_id(key), "value": raw, "set_at": now})


def public_keys(connection: Connection) -> list[Ed25519PublicKey]:
    """Every verification key that ever signed here, oldest first."""
    query = (
        select(installation.c.value)
        .where(installation.c.name.startswith(_PUBLIC, autoescape=True))
        .order_by(installation.c.set_at)
    )
    return [Ed25519PublicKey.from_public_bytes(bytes.fromhex(raw)) for raw in connection.execute(query).scalars()]


def head_now(connection: Connection, tenant: str) -> SignedHead | None:
    """The last signed head of a tenant, or None before the first."""
    kept = kept_heads(connection, tenant, limit=1)
    return kept[0] if kept else None


def covering_head(connection: Connection, tenant: str, seq: int | None) -> SignedHead | None:
    """The last signed head when it covers a line's number, else None: a new one is then to be signed first."""
    last = head_now(connection, tenant)
    return last if last is not None and seq is not None and last.size >= seq else None


def proof_for(
    connection: Connection,
    audience: Audience,
    entry: str,
    *,
    keys: KeyOf,
    public: Ed25519PublicKey,
    since: Sequence[int] = (),
) -> dict[str, Any] | str:
    """The proof that a line is in the ledger, under the last signed head; ``since`` are sizes of heads kept elsewhere.

    Gives the tenant's name when a head has to be signed first. Raises :class:`NotFound`, :class:`Conflict` while the
    line is not sealed, :class:`Invalid` for a size that is none.
    """
    shown = line_for(connection, audience, entry, keys=keys)
    tenant, seq = str(shown["tenant"]), shown["seq"]
    if seq is None:
        raise Conflict([NOT_SEALED.finding("entry")], slug="not-sealed", headers={"Retry-After": "1"})
    head = covering_head(connection, tenant, seq)
    if head is None:
        return tenant
    proof = inclusion(connection, tenant, entry, head.size)
    fields = connection.execute(
        select(*(entries.c[name] for name in COLUMNS))
        .select_from(links.join(entries, entries.c.id == links.c.entry))
        .where(links.c.tenant == tenant, links.c.seq == seq)
    ).one()
    tree = StoredTree(connection, tenant)
    earlier = dict.fromkeys(since) or {
        old.size: old.signed_at for old in kept_heads(connection, tenant, limit=10) if old.size < head.size
    }
    if any(not 0 < size <= head.size for size in earlier):
        raise Invalid([BAD_SIZE.finding("since", expected=f"1 à {head.size}")], slug="invalid-size")
    return {
        "schema": "feed-proof/1",
        "entry": entry,
        "payload": as_json(fields),
        "payloadHash": proof.payload_hash.hex(),
        "chain": tenant,
        "seq": proof.seq,
        "prevHash": proof.prev_hash.hex(),
        "entryHash": proof.entry_hash.hex(),
        "size": proof.size,
        "root": proof.root.hex(),
        "path": [node.hex() for node in proof.path],
        "head": head.as_json(),
        "consistency": [
            {
                "size": size,
                "signedAt": signed_at,
                "root": tree.root(size).hex(),
                "proof": [node.hex() for node in tree.consistency_proof(size, head.size)],
            }
            for size, signed_at in sorted(earlier.items())
        ],
        "publicKey": public_pem(public),
        "how": list(HOW),
    }
