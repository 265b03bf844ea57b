"""The tables of the console: people with an account of the gateway's own, and the sessions that are open."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table

from gateway.store.metadata import metadata
from gateway.store.tables import ID
from gateway.store.types import Blob, Instant, Json

__all__ = ["accounts", "console_sessions"]

accounts = Table(
    "accounts",
    metadata,
    Column("id", ID, primary_key=True),
    Column("login", String(80), nullable=False, unique=True),
    Column("name", String(120), nullable=False),
    Column("role", String(16), nullable=False),
    Column("password", String(200), nullable=False),  # argon2id, with its salt and parameters
    Column("rpps", String(14)),  # a professional: whose lines
    Column("finess", String(9)),  # a structure: whose lines
    Column("tenants", Json),  # ids of the structures' ledgers it may read; null means all
    Column("accreditation", String(80)),  # reference of the approval and oath of an agent of a fund
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("locked_until", Instant),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
)

console_sessions = Table(
    "console_sessions",
    metadata,
    Column("id", String(64), primary_key=True),  # SHA-256 of the cookie: whoever reads the table cannot sign in
    Column("account_id", ID),  # null for one signed in by an identity provider
    Column("sealed", Blob, nullable=False),  # who, what they may see, their purpose
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Index("ix_console_sessions_expires", "expires_at"),
)
