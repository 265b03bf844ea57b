"""The tables of the mail: messages asked for, what left and to whom, what came in, conversations, teams, mailboxes.

As in :mod:`gateway.store.tables`, words, subjects and addresses stand only in ``sealed`` columns and in blobs.
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
from gateway.store.tables import ID
from gateway.store.types import Blob, Instant, Json

__all__ = [
    "mail_received",
    "mail_received_documents",
    "mail_recipient_history",
    "mail_recipients",
    "mail_sent",
    "mail_threads",
    "mailboxes",
    "messages",
    "teams",
]

#: RFC 5322 sets no limit to a Message-ID but that of a line.
MESSAGE_ID = String(998)

mail_threads = Table(
    "mail_threads",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant_id", ID, nullable=False),
    Column("audience", String(12), nullable=False),  # professional, citizen: a conversation never mixes them
    Column("identity_id", ForeignKey("identities.id")),  # the patient it is about, once known
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_mail_threads_listing", "tenant_id", "updated_at", "id"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant_id", ID, nullable=False),
    Column("client_id", String(80), nullable=False),
    Column("thread_id", ForeignKey("mail_threads.id"), nullable=False),
    Column("identity_id", ForeignKey("identities.id")),
    Column("actor_id", String(64), nullable=False),  # PS_IdNat
    Column("actor", Json, nullable=False),
    Column("documents", Json, nullable=False),  # ids, in the order of the mail
    Column("content", String(64), nullable=False),  # blob: subject, body, options
    Column("state", String(24), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("purged_at", Instant),  # when its words went; null while they are held
    Index("ix_messages_listing", "tenant_id", "created_at", "id"),
    Index("ix_messages_identity", "identity_id"),
    Index(
        "ix_messages_kept",
        "updated_at",
        sqlite_where=text("purged_at IS NULL"),
        postgresql_where=text("purged_at IS NULL"),
    ),
    Index("ix_messages_content", "content"),
)

mail_sent = Table(
    "mail_sent",
    metadata,
    Column("delivery_id", ForeignKey("deliveries.id"), primary_key=True),
    Column("tenant_id", ID, nullable=False),
    Column("mailbox", String(254), nullable=False),
    Column("message_id", MESSAGE_ID, nullable=False),
    Column("envelope_id", String(100), nullable=False),
    Column("thread_id", ForeignKey("mail_threads.id"), nullable=False),
    Column("references", Json, nullable=False),
    Column("prepared_at", Instant, nullable=False),
    Index("ix_mail_sent_message", "tenant_id", "message_id"),
    Index("ix_mail_sent_envelope", "tenant_id", "envelope_id"),
    Index("ix_mail_sent_thread", "thread_id"),
)

mail_recipients = Table(
    "mail_recipients",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant_id", ID, nullable=False),
    Column("delivery_id", ForeignKey("deliveries.id"), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("class", String(8), nullable=False),  # ps, bal_org, bal_app, citizen (as the ledger)
    Column("lookup", String(64), nullable=False),  # keyed hash of the address in lower case
    Column("sealed", Blob, nullable=False),  # the address
    Column("confidence", String(12)),  # place, person, structure: of an address the directory gave
    Column("state", String(10), nullable=False),  # pending, submitted, delivered, read, failed, unknown
    Column("code", String(60)),
    Column("original_code", String(40)),
    Column("original_text", Text),  # the remote words, without any matricule
    Column("cause_fr", Text),
    Column("cause_en", Text),
    Column("submitted_at", Instant),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("delivery_id", "rank"),
    Index(
        "ix_mail_recipients_silent",
        "submitted_at",
        sqlite_where=text("state = 'submitted'"),
        postgresql_where=text("state = 'submitted'"),
    ),
)

mail_recipient_history = Table(
    "mail_recipient_history",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("delivery_id", ID, nullable=False),
    Column("recipient_id", ForeignKey("mail_recipients.id"), nullable=False),
    Column("from_state", String(10), nullable=False),
    Column("to_state", String(10), nullable=False),
    Column("code", String(60)),
    Column("cause_fr", Text),
    Column("cause_en", Text),
    Column("by", String(120), nullable=False),
    Index("ix_mail_recipient_history_delivery", "delivery_id", "id"),
)

mail_received = Table(
    "mail_received",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant_id", ID, nullable=False),
    Column("mailbox", String(254), nullable=False),  # the structure's own, which received it
    Column("key", String(64), nullable=False),  # keyed hash of Message-ID and content: the same mail comes once
    Column("kind", String(12), nullable=False),  # document, message, citizen
    Column("state", String(14), nullable=False),  # new, acknowledged, rejected, refused
    Column("message_id", MESSAGE_ID, nullable=False),
    Column("references", Json, nullable=False),
    Column("thread_id", ForeignKey("mail_threads.id")),
    Column("identity_id", ForeignKey("identities.id")),  # never on a doubtful match
    Column("match", String(10), nullable=False),  # exact, doubtful, unknown, none
    Column("trusted", Boolean, nullable=False),  # the sender's domain is on the white list
    Column("sealed", Blob, nullable=False),  # sender, subject, words
    Column("raw", String(64)),  # blob: the mail; of a refused one, its header only
    Column("size", Integer, nullable=False),
    Column("reasons", Json, nullable=False),
    Column("answer_wanted", Boolean, nullable=False),
    Column("answer", String(10)),  # processed, or the code of an integration error
    Column("answer_label", Text),
    Column("answer_state", String(8), nullable=False),  # none, due, sent, failed
    Column("answer_attempts", Integer, nullable=False, server_default="0"),
    Column("answer_due_at", Instant),
    Column("answered_at", Instant),
    Column("settled_by", String(120)),
    Column("received_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("purged_at", Instant),  # when its words went; null while they are held
    UniqueConstraint("tenant_id", "mailbox", "key"),
    Index("ix_mail_received_listing", "tenant_id", "received_at", "id"),
    Index("ix_mail_received_message", "tenant_id", "message_id"),
    Index("ix_mail_received_thread", "thread_id"),
    Index("ix_mail_received_identity", "identity_id"),
    Index(
        "ix_mail_received_kept",
        "updated_at",
        sqlite_where=text("purged_at IS NULL"),
        postgresql_where=text("purged_at IS NULL"),
    ),
    Index(
        "ix_mail_received_due",
        "answer_due_at",
        sqlite_where=text("answer_state = 'due'"),
        postgresql_where=text("answer_state = 'due'"),
    ),
)

mail_received_documents = Table(
    "mail_received_documents",
    metadata,
    Column("received_id", ForeignKey("mail_received.id"), primary_key=True),
    Column("rank", Integer, primary_key=True),
    Column("unique_id", String(200), nullable=False),
    Column("type_code", String(40), nullable=False),
    Column("kind", String(20)),  # as the gateway reads it; null when it could not be read whole
    Column("action", String(1), nullable=False),  # C replaces, D deletes, empty for a first sending
    Column("replaces", String(200)),
    Column("size", Integer, nullable=False),
    Column("sha1", String(40), nullable=False),
    Column("sealed", Blob, nullable=False),  # title
    Column("cda", String(64), nullable=False),  # addresses of blobs
    Column("fhir", String(64)),
    Column("loss", Json, nullable=False),
    Column("findings", Json, nullable=False),
    Index("ix_mail_received_documents_cda", "cda"),
)

mailboxes = Table(
    "mailboxes",
    metadata,
    Column("tenant_id", ID, primary_key=True),
    Column("address", String(254), primary_key=True),
    Column("uid_validity", BigInteger, nullable=False),
    Column("last_uid", BigInteger, nullable=False),
    Column("lease_owner", String(80)),
    Column("lease_until", Instant),
    Column("read_at", Instant),
)

teams = Table(
    "teams",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant_id", ID, nullable=False),
    Column("name", String(120), nullable=False),
    Column("kind", String(16), nullable=False),  # cpts, msp, centre_de_sante, equipe_de_soins, autre
    Column("sealed", Blob, nullable=False),  # members: address, kind, label, id
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("tenant_id", "name"),
)
