"""Recomputing one entry's place in the ledger, step by step, from what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, select

from gateway.feeds.entry import COLUMNS, canonical, leaf, link_hash, payload
from gateway.feeds.heads import SignedHead, kept_heads, verify_head
from gateway.feeds.ledger import chain_state
from gateway.feeds.merkle import verify_inclusion
from gateway.feeds.tables import entries
from gateway.feeds.tree import Inclusion, NotSealed, inclusion

__all__ = ["Checked", "Proof", "prove", "recompute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """An entry's proof of inclusion, under the first signed head that covers it when there is one."""

    inclusion: Inclusion
    head: SignedHead | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One step of the verification."""

    text: str
    ok: bool
    detail: str


def prove(connection: Connection, tenant: str, entry_id: str) -> Proof | None:
    """The proof of an entry; None while it waits for its seal."""
    heads = kept_heads(connection, tenant, limit=1)
    size = chain_state(connection, tenant)[0].size
    try:
        if heads:
            try:
                return Proof(inclusion=inclusion(connection, tenant, entry_id, heads[0].size), head=heads[0])
            except NotSealed:
                pass  # sealed since the last head, perhaps
        return Proof(inclusion=inclusion(connection, tenant, entry_id, size), head=None)
    except NotSealed:
        return None


def recompute(connection: Connection, entry_id: str, proof: Proof, keys: Sequence[Ed25519PublicKey]) -> list[Checked]:
    """Compute every hash between the entry's own columns and the signed root again, and compare."""
    shown = proof.inclusion
    row = connection.execute(
        select(*(entries.c[name] for name in COLUMNS)).where(
            entries.c.tenant == shown.chain, entries.c.entry_id == bytes.fromhex(entry_id)
        )
    ).one()
    own = sha256(payload(row)).digest()
    link = link_hash(canonical(shown.chain), shown.seq, shown.prev_hash, own)
    inside = verify_inclusion(leaf(link), shown.seq - 1, shown.size, shown.path, shown.root)
    out = [
        Checked(text="Le contenu de l'écriture a l'empreinte inscrite", ok=own == shown.payload_hash, detail=own.hex()),
        Checked(text="Son maillon suit celui de l'écriture précédente", ok=link == shown.entry_hash, detail=link.hex()),
        Checked(
            text=f"Le chemin de preuve mène à la racine des {shown.size} écritures", ok=inside, detail=shown.root.hex()
        ),
    ]
    if proof.head is not None:
        head = proof.head
        out.append(
            Checked(text="La racine est celle de la tête signée", ok=head.root == shown.root, detail=head.root.hex())
        )
        signed = any(verify_head(head, key) for key in keys)
        out.append(Checked(text="La signature de la tête est juste", ok=signed, detail=f"clé {head.key_id}"))
    return out
