"""Signed heads: what the ledger was at a moment, short enough to send away every day and hard to take back.

Whoever keeps one head can later show that a history was rewritten, even when every hash was computed again and signed
with the true key (incentives note, 6.3).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import ColumnElement, Connection, Integer, ScalarSelect, Select, bindparam, insert, select

from gateway.feeds import merkle
from gateway.feeds.entry import canonical, stamp
from gateway.feeds.ledger import chain_state
from gateway.feeds.tables import chains, heads
from gateway.store.plan import run

__all__ = [
    "SignedHead",
    "daily_root",
    "kept_heads",
    "key_id",
    "read_head",
    "sign_all",
    "sign_due",
    "sign_head",
    "verify_head",
]

SCHEMA: Final = "feed-head/1"
DAY: Final = timedelta(days=1)
#: RFC 3161 seam: takes the SHA-256 of the signed bytes, gives a time-stamp token.
Stamper = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """The state of one chain, signed: its size, Merkle root and last link."""

    chain: str
    size: int
    root: bytes
    head_hash: bytes
    signed_at: str  #: UTC, milliseconds
    key_id: str
    signature: bytes
    timestamp_token: bytes | None = None

    def signed_bytes(self) -> bytes:
        """What the signature covers: the canonical JSON of the head."""
        return canonical(
            {
                "schema": SCHEMA,
                "chain": self.chain,
                "size": self.size,
                "root": self.root.hex(),
                "head_hash": self.head_hash.hex(),
                "signed_at": self.signed_at,
                "key_id": self.key_id,
            }
        )

    def as_json(self) -> dict[str, Any]:
        """The head as it leaves the gateway: in receipts, mails and exports."""
        out: dict[str, Any] = {
            "schema": SCHEMA,
            "chain": self.chain,
            "size": self.size,
            "root": self.root.hex(),
            "head_hash": self.head_hash.hex(),
            "signed_at": self.signed_at,
            "key_id": self.key_id,
            "signature": base64.b64encode(self.signature).decode(),
        }
        if self.timestamp_token is not None:
            out["timestamp_token"] = base64.b64encode(self.timestamp_token).decode()
        return out


def key_id(key: Ed25519PublicKey) -> str:
    """A short name for a verification key: the first 16 hex digits of the SHA-256 of its raw bytes."""
    return sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def read_head(data: Mapping[str, Any]) -> SignedHead:
    """Read a head back from its JSON; raises ``ValueError`` when a member is missing or malformed."""
    try:
        if data["schema"] != SCHEMA or not isinstance(data["size"], int) or data["size"] < 0:
            raise ValueError("FEED-HEAD-001: this is not a feed-head/1")
        token = data.get("timestamp_token")
        return SignedHead(
            chain=str(data["chain"]),
            size=data["size"],
            root=bytes.fromhex(data["root"]),
            head_hash=bytes.fromhex(data["head_hash"]),
            signed_at=str(data["signed_at"]),
            key_id=str(data["key_id"]),
            signature=base64.b64decode(data["signature"], validate=True),
            timestamp_token=None if token is None else base64.b64decode(token, validate=True),
        )
    except (KeyError, TypeError, binascii.Error) as exc:
        raise ValueError("FEED-HEAD-001: this is not a feed-head/1") from exc


def verify_head(head: SignedHead, key: Ed25519PublicKey) -> bool:
    """Tell whether this key signed this head."""
    if head.key_id != key_id(key):
        return False
    try:
        key.verify(head.signature, head.signed_bytes())
    except InvalidSignature:
        return False
    return True


def sign_head(
    connection: Connection,
    tenant: str,
    key: Ed25519PrivateKey,
    *,
    now: datetime,
    stamper: Stamper | None = None,
    renew: bool = False,
) -> SignedHead:
    """Sign the present state of a tenant's chain and keep the head, in the caller's transaction.

    Gives the last kept head again when nothing was sealed since and neither a time-stamp nor a new date (``renew``) is
    asked for.
    """
    frontier, head_hash = chain_state(connection, tenant)
    last = kept_heads(connection, tenant, limit=1)
    same = bool(last) and last[0].size == frontier.size and not renew
    if same and stamper is None and last[0].key_id == key_id(key.public_key()):
        return last[0]
    unsigned = SignedHead(
        chain=tenant,
        size=frontier.size,
        root=frontier.root(),
        head_hash=head_hash,
        signed_at=stamp(now),
        key_id=key_id(key.public_key()),
        signature=b"",
    )
    signed = unsigned.signed_bytes()
    head = SignedHead(
        chain=tenant,
        size=unsigned.size,
        root=unsigned.root,
        head_hash=head_hash,
        signed_at=unsigned.signed_at,
        key_id=unsigned.key_id,
        signature=key.sign(signed),
        timestamp_token=None if stamper is None else stamper(sha256(signed).digest()),
    )
    connection.execute(
        insert(heads).values(
            tenant=tenant,
            size=head.size,
            root=head.root,
            head_hash=head.head_hash,
            signed_at=head.signed_at,
            key_id=head.key_id,
            signature=head.signature,
            timestamp_token=head.timestamp_token,
        )
    )
    return head


def kept_heads(connection: Connection, tenant: str, *, limit: int = 100) -> list[SignedHead]:
    """The heads signed for a tenant, newest first."""
    return [
        SignedHead(
            chain=row.tenant,
            size=row.size,
            root=bytes(row.root),
            head_hash=bytes(row.head_hash),
            signed_at=row.signed_at,
            key_id=row.key_id,
            signature=bytes(row.signature),
            timestamp_token=None if row.timestamp_token is None else bytes(row.timestamp_token),
        )
        for row in run(connection, _newest(), {"of": tenant, "most": limit}).rows
    ]


@cache
def _newest() -> Select[Any]:
    most = bindparam("most", type_=Integer)
    return select(heads).where(heads.c.tenant == bindparam("of")).order_by(heads.c.id.desc()).limit(most)


def sign_due(
    connection: Connection, key: Ed25519PrivateKey, *, now: datetime, after: timedelta, daily: timedelta = DAY
) -> list[SignedHead]:
    """Sign the heads that are due: of chains that grew since a head of ``after`` ago or more, and of all each day."""

    def last(column: ColumnElement[Any]) -> ScalarSelect[Any]:
        # One seek an index, however many heads are kept.
        newest = select(column).where(heads.c.tenant == chains.c.tenant).order_by(heads.c.id.desc()).limit(1)
        return newest.correlate(chains).scalar_subquery()

    size, signed = last(heads.c.size).label("size_then"), last(heads.c.signed_at).label("signed_then")
    query = select(chains.c.tenant, chains.c.size, size, signed).where(chains.c.size > 0).order_by(chains.c.tenant)
    soon, old = stamp(now - after), stamp(now - daily)
    out: list[SignedHead] = []
    for row in connection.execute(query).all():
        grown = row.signed_then is None or (row.size_then != row.size and row.signed_then <= soon)
        stale = row.signed_then is not None and row.signed_then <= old
        if grown or stale:
            out.append(sign_head(connection, row.tenant, key, now=now, renew=stale))
    return out


def sign_all(
    connection: Connection, key: Ed25519PrivateKey, *, now: datetime, stamper: Stamper | None = None
) -> list[SignedHead]:
    """Sign the head of every chain: what leaves the gateway each day."""
    tenants = connection.execute(select(chains.c.tenant).order_by(chains.c.tenant)).scalars().all()
    return [sign_head(connection, tenant, key, now=now, stamper=stamper) for tenant in tenants]


def daily_root(of: Sequence[SignedHead]) -> bytes:
    """One Merkle root over the heads of all chains, in order of chain, for a single time-stamp a day."""
    leaves = [merkle.leaf_hash(head.signed_bytes()) for head in sorted(of, key=lambda head: head.chain)]
    return merkle.root(len(leaves), merkle.from_leaves(leaves))
