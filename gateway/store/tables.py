"""The tables of the gateway (the ledger declares its own in :mod:`gateway.feeds.tables`).

Traits, addresses, documents and exchanges stand only in ``blobs.sealed`` and other ``sealed`` columns, encrypted under
the tenant's key; everything else is codes, counters, instants and opaque identifiers.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from gateway.store.metadata import metadata
from gateway.store.types import Blob, Instant, Json

__all__ = [
    "blobs",
    "client_tenants",
    "clients",
    "deliveries",
    "documents",
    "exchanges",
    "history",
    "idempotency",
    "identities",
    "incidents",
    "installation",
    "oppositions",
    "psc_logins",
    "record_handles",
    "tenants",
    "used_assertions",
    "webhook_calls",
    "webhooks",
]

ID = String(40)

tenants = Table(
    "tenants",
    metadata,
    Column("id", ID, primary_key=True),
    Column("structure_id", String(40), nullable=False, unique=True),  # Struct_IdNat: 1+FINESS, 3+SIRET
    Column("name", String(200), nullable=False),
    Column("activity_sector", String(10), nullable=False),  # TRE_R02: SA07...
    Column("references", Json, nullable=False),  # certificates and mailboxes, by reference
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
)

clients = Table(
    "clients",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("jwks", Json, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("role", String(16)),  # what it may see of the feeds: gateway.services.feed_roles
    Column("terms", Json, nullable=False, server_default="{}"),  # accreditation, purpose, legal basis, software
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
)

client_tenants = Table(
    "client_tenants",
    metadata,
    Column("client_id", ForeignKey("clients.id"), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("actors", Json),  # PS_IdNat allowed to act; null: any professional of the structure
)

used_assertions = Table(
    "used_assertions",
    metadata,
    Column("client_id", String(80), primary_key=True),
    Column("jti", String(128), primary_key=True),
    Column("expires_at", Instant, nullable=False, index=True),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("client_id", String(80), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("tenant_id", ID, nullable=False),
    Column("body_mac", String(64), nullable=False),
    Column("document_id", ID),
    Column("created_at", Instant, nullable=False, index=True),
)

blobs = Table(
    "blobs",
    metadata,
    Column("tenant_id", ID, primary_key=True),
    Column("address", String(64), primary_key=True),  # HMAC of the content under the tenant's key
    Column("sealed", Blob, nullable=False),
    Column("size", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
)

identities = Table(
    "identities",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant_id", ID, nullable=False),
    Column("lookup", String(64), nullable=False),  # HMAC of the local identifier, else of the traits
    Column("status", String(12), nullable=False),
    Column("attributes", Json, nullable=False),
    Column("sealed", Blob, nullable=False),  # the hub Patient, and former matricules
    Column("has_ins", Boolean, nullable=False),
    Column("ins_lookup", String(64)),  # HMAC of the INS: finds whom a received document is about
    Column("checked_at", Instant),
    Column("version", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("forgotten_at", Instant),  # when the traits went; null while they are held
    UniqueConstraint("tenant_id", "lookup"),
    Index("ix_identities_ins", "tenant_id", "ins_lookup"),
)

oppositions = Table(
    "oppositions",
    metadata,
    Column("identity_id", ForeignKey("identities.id"), primary_key=True),
    Column("scope", String(12), primary_key=True),  # dmp, mss (mail to professionals), mss_citizen
    Column("at", Instant, nullable=False),
    Column("by", String(80), nullable=False),
)

documents = Table(
    "documents",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant_id", ID, nullable=False),
    Column("client_id", String(80), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("type_code", String(40), nullable=False),
    Column("type_system", String(64), nullable=False),
    Column("unique_id", String(200), nullable=False),
    Column("set_id", String(200), nullable=False),
    Column("version_number", Integer, nullable=False),
    Column("replaces", String(200)),
    Column("form", String(12), nullable=False),  # json, fhir, cda, file: what the caller sent
    Column("state", String(24), nullable=False),
    Column("identity_id", ForeignKey("identities.id"), nullable=False),
    Column("actor_id", String(64), nullable=False),  # PS_IdNat
    Column("actor", Json, nullable=False),
    Column("model", String(64), nullable=False),  # addresses of blobs
    Column("cda", String(64), nullable=False),
    Column("cda_qualified", Boolean, nullable=False),  # the CDA carries the INS
    Column("fhir", String(64), nullable=False),
    Column("pdf", String(64)),
    Column("loss", Json, nullable=False),
    Column("warnings", Json, nullable=False),
    Column("visibility", Json, nullable=False),
    Column("tally", Json),  # what the ledger says of it beside its codes, keyed or committed: gateway.journey.tally
    Column("acted_at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("superseded", Json),  # addresses of what was written anew with the INS, purged with the rest
    Column("purged_at", Instant),  # when its contents went; null while they are held
    UniqueConstraint("tenant_id", "unique_id"),
    Index("ix_documents_listing", "tenant_id", "received_at", "id"),
    Index("ix_documents_identity", "identity_id"),
    Index("ix_documents_set", "tenant_id", "set_id"),
    # What the purge looks for: the oldest not purged, and who else holds the same bytes.
    Index(
        "ix_documents_kept",
        "updated_at",
        sqlite_where=text("purged_at IS NULL"),
        postgresql_where=text("purged_at IS NULL"),
    ),
    Index(
        "ix_documents_cda",
        "cda",
        sqlite_where=text("purged_at IS NULL"),
        postgresql_where=text("purged_at IS NULL"),
    ),
    Index(
        "ix_documents_pdf",
        "pdf",
        sqlite_where=text("purged_at IS NULL AND pdf IS NOT NULL"),
        postgresql_where=text("purged_at IS NULL AND pdf IS NOT NULL"),
    ),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant_id", ID, nullable=False),
    Column("document_id", ForeignKey("documents.id")),  # what it delivers: one document...
    Column("message_id", ID),  # ...or a message of gateway.store.mail_tables
    Column("destination", String(8), nullable=False),  # dmp, mss
    Column("action", String(12), nullable=False),  # feed, delete, mask...
    Column("rank", BigInteger, nullable=False),  # order among the deliveries of one lineage and destination
    Column("lineage", String(200), nullable=False),
    Column("state", String(14), nullable=False),
    Column("reason", String(60)),
    Column("cause_fr", Text),
    Column("cause_en", Text),
    Column("fix_fr", Text),
    Column("fix_en", Text),
    Column("recipients", Integer, nullable=False, server_default="0"),
    Column("request", String(64)),  # blob: recipients and options of the caller
    Column("prepared", String(64)),  # blob: set or message ids and bytes, stored before the first byte leaves
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("first_failed_at", Instant),  # first attempt that failed: tried again for so long and no longer
    Column("next_attempt_at", Instant),
    Column("expires_at", Instant),
    Column("lease_owner", String(80)),
    Column("lease_until", Instant),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("outcome", Json),
    Column("receipt", Json),  # what the destination gave back: entryUUID, message id
    Column("test_case", String(80)),  # homologation test it was made for
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("ended_at", Instant),
    # Only what is open: a claim and the count of what waits read no more than that, however many have ended.
    Index(
        "ix_deliveries_open",
        "destination",
        "next_attempt_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index("ix_deliveries_ended", "state", "destination", "ended_at"),
    Index("ix_deliveries_document", "document_id"),
    Index("ix_deliveries_message", "message_id"),
    Index("ix_deliveries_lineage", "tenant_id", "lineage", "destination", "rank"),
    Index(
        "ix_deliveries_request",
        "request",
        sqlite_where=text("request IS NOT NULL"),
        postgresql_where=text("request IS NOT NULL"),
    ),
)

history = Table(
    "history",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("tenant_id", ID, nullable=False),
    Column("document_id", ID),
    Column("message_id", ID),
    Column("delivery_id", ID),
    Column("from_state", String(24)),
    Column("to_state", String(24), nullable=False),
    Column("code", String(60)),
    Column("cause_fr", Text),
    Column("cause_en", Text),
    Column("by", String(120), nullable=False),
    Index("ix_history_document", "document_id", "id"),
    Index("ix_history_message", "message_id", "id"),
)

exchanges = Table(
    "exchanges",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant_id", ID, nullable=False),
    Column("delivery_id", ID),
    Column("destination", String(8), nullable=False),
    Column("transaction", String(20), nullable=False),
    Column("at", Instant, nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("request", String(64)),  # blob: how the body is put together, see gateway.services.evidence
    Column("response", String(64)),
    Column("test_case", String(80)),  # homologation test it was made for
    Index("ix_exchanges_at", "at"),
    Index("ix_exchanges_delivery", "delivery_id"),
    Index("ix_exchanges_test_case", "test_case"),
)

record_handles = Table(
    "record_handles",
    metadata,
    Column("id", String(64), primary_key=True),  # keyed hash: of a tenant, client, actor and document
    Column("tenant_id", ID, nullable=False),
    Column("client_id", String(80), nullable=False),
    Column("sealed", Blob, nullable=False),  # patient and document, see gateway.services.handles
    Column("expires_at", Instant, nullable=False, index=True),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", ID, primary_key=True),
    Column("kind", String(24), nullable=False),  # destination_down, dead_letters
    Column("destination", String(8), nullable=False),
    Column("code", String(60), nullable=False),
    Column("open_key", String(120), unique=True),  # one open incident of a kind, whoever sees it first; null once over
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Index("ix_incidents_opened", "opened_at"),
)

installation = Table(
    "installation",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", String(200), nullable=False),
    Column("set_at", Instant, nullable=False),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant_id", ID, nullable=False),
    Column("client_id", String(80), nullable=False),
    Column("url", String(500), nullable=False),
    Column("sealed_secret", Blob, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
    UniqueConstraint("client_id", "tenant_id", "url"),
)

webhook_calls = Table(
    "webhook_calls",
    metadata,
    Column("id", ID, primary_key=True),
    Column("webhook_id", ForeignKey("webhooks.id"), nullable=False),
    Column("body", Json, nullable=False),
    Column("state", String(14), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", Instant),
    Column("lease_until", Instant),
    Column("created_at", Instant, nullable=False),
    Index("ix_webhook_calls_due", "state", "next_attempt_at"),
)

#: Log-ins of professionals by Pro Santé Connect that a program asked for, and the sessions they opened.
psc_logins = Table(
    "psc_logins",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant_id", ID, nullable=False),
    Column("client_id", String(80), nullable=False),
    Column("flow", String(4), nullable=False),  # code, ciba
    Column("state", String(10), nullable=False),  # waiting, answering, open, failed, ended
    Column("state_lookup", String(64), unique=True),  # SHA-256 of the state sent through the browser
    Column("mailbox_lookup", String(64)),  # keyed hash of the mailbox it opens
    Column("code", String(60)),  # why it failed or ended
    Column("sealed", Blob, nullable=False),  # nonce, verifier, request; then who it is, and the refresh token
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("renewed_at", Instant),
    Column("lease_until", Instant),  # the provider is being asked, or must be left alone so long
    Index("ix_psc_logins_mailbox", "tenant_id", "mailbox_lookup", "created_at"),
    Index("ix_psc_logins_expires", "expires_at"),
)
