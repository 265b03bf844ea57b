"""The tables of e-prescriptions: orders, what happened to them, dispensations, and what is to be relayed.

An order is one for the whole installation, whichever structure wrote it or dispenses it: it is found by keyed hashes
of its number and of the patient's INS. Lines, reasons and numbers stand only in ``sealed`` columns.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint, text

from gateway.store.metadata import metadata
from gateway.store.tables import ID
from gateway.store.types import Blob, Instant, Json

__all__ = ["dispensations", "order_events", "order_relays", "orders"]

orders = Table(
    "orders",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant_id", ID),  # the prescriber's structure; null when read from the national service
    Column("client_id", String(80)),
    Column("document_id", ForeignKey("documents.id")),
    Column("number_lookup", String(64), nullable=False, unique=True),
    Column("ins_lookup", String(64), nullable=False),
    Column("sealed", Blob, nullable=False),  # number, INS, prescription, serial of the printed code
    Column("state", String(24), nullable=False),  # as last folded; validity is looked at when read
    Column("version", Integer, nullable=False),  # seq of the last event
    Column("valid_until", Instant),
    Column("replaces", ID),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_orders_listing", "tenant_id", "created_at", "id"),
    Index("ix_orders_document", "document_id"),
)

order_events = Table(
    "order_events",
    metadata,
    Column("order_id", ForeignKey("orders.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("at", Instant, nullable=False),
    Column("acted_at", Instant),
    Column("by", String(120), nullable=False),
    Column("tenant_id", ID),  # the structure that acted
    Column("dispensation_id", String(80)),
    Column("sealed", Blob, nullable=False),  # lines, quantities, reasons
)

dispensations = Table(
    "dispensations",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant_id", ID, nullable=False),
    Column("client_id", String(80), nullable=False),
    Column("key", String(200)),  # idempotency key
    Column("body_mac", String(64), nullable=False),
    Column("order_id", ForeignKey("orders.id")),  # null: a paper prescription without number
    Column("document_id", ForeignKey("documents.id")),  # null: nothing was given
    Column("corrects", ID),
    Column("state", String(16), nullable=False),  # kept, corrected, cancelled
    Column("relay", String(16), nullable=False),  # none, queued, accepted, refused, abandoned
    Column("actor_id", String(64), nullable=False),
    Column("actor", Json, nullable=False),
    Column("round", Integer, nullable=False),  # the delivery it belongs to: 0 the first, 1 the first renewal
    Column("lineage", String(64)),  # what the ledger counts once: the goes of one delivery at one pharmacy
    Column("warnings", Json, nullable=False),
    Column("sealed", Blob, nullable=False),  # what was asked, number and INS
    Column("acted_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("client_id", "key"),
    Index("ix_dispensations_listing", "tenant_id", "created_at", "id"),
    Index("ix_dispensations_order", "order_id", "created_at"),
)

order_relays = Table(
    "order_relays",
    metadata,
    Column("id", ID, primary_key=True),  # also the operation's identifier at the service
    Column("tenant_id", ID, nullable=False),
    Column("order_id", ForeignKey("orders.id"), nullable=False),
    Column("dispensation_id", ID),
    Column("action", String(20), nullable=False),  # register, cancel, execute, cancel_execution
    Column("state", String(12), nullable=False),  # queued, accepted, refused, abandoned
    Column("sealed", Blob, nullable=False),  # the body to send
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("first_failed_at", Instant),
    Column("next_attempt_at", Instant),
    Column("lease_until", Instant),
    Column("code", String(60)),
    Column("original_code", String(60)),
    Column("cause_fr", Text),
    Column("cause_en", Text),
    Column("fix_fr", Text),
    Column("fix_en", Text),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Index(
        "ix_order_relays_open",
        "next_attempt_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index("ix_order_relays_order", "order_id", "created_at"),
)
