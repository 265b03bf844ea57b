"""Messages, what left and to whom, what came in, conversations, teams and mailboxes.

The first schema as it was: never edited; what comes after is another revision.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["SEALED", "create"]

#: Columns of which PostgreSQL keeps no sample.
SEALED = (
    ("teams", "sealed"),
    ("mail_received", "sealed"),
    ("mail_received_documents", "sealed"),
    ("mail_recipients", "sealed"),
)


def create() -> None:
    """Make these tables."""
    op.create_table(
        "mailboxes",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(length=254), nullable=False),
        sa.Column("uid_validity", sa.BigInteger(), nullable=False),
        sa.Column("last_uid", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.String(length=80), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("read_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "address", name="pk_mailboxes"),
    )
    op.create_table(
        "teams",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_teams"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_teams_tenant_id_name"),
    )
    op.create_table(
        "mail_threads",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("audience", sa.String(length=12), nullable=False),
        sa.Column("identity_id", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["identity_id"], ["identities.id"], name="fk_mail_threads_identity_id_identities"),
        sa.PrimaryKeyConstraint("id", name="pk_mail_threads"),
    )
    op.create_index("ix_mail_threads_listing", "mail_threads", ["tenant_id", "updated_at", "id"], unique=False)
    op.create_table(
        "mail_received",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("mailbox", sa.String(length=254), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("state", sa.String(length=14), nullable=False),
        sa.Column("message_id", sa.String(length=998), nullable=False),
        sa.Column("references", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.String(length=40), nullable=True),
        sa.Column("identity_id", sa.String(length=40), nullable=True),
        sa.Column("match", sa.String(length=10), nullable=False),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("raw", sa.String(length=64), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("answer_wanted", sa.Boolean(), nullable=False),
        sa.Column("answer", sa.String(length=10), nullable=True),
        sa.Column("answer_label", sa.Text(), nullable=True),
        sa.Column("answer_state", sa.String(length=8), nullable=False),
        sa.Column("answer_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("answer_due_at", sa.BigInteger(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("settled_by", sa.String(length=120), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("purged_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["identity_id"], ["identities.id"], name="fk_mail_received_identity_id_identities"),
        sa.ForeignKeyConstraint(["thread_id"], ["mail_threads.id"], name="fk_mail_received_thread_id_mail_threads"),
        sa.PrimaryKeyConstraint("id", name="pk_mail_received"),
        sa.UniqueConstraint("tenant_id", "mailbox", "key", name="uq_mail_received_tenant_id_mailbox_key"),
    )
    op.create_index(
        "ix_mail_received_due",
        "mail_received",
        ["answer_due_at"],
        unique=False,
        sqlite_where=sa.text("answer_state = 'due'"),
        postgresql_where=sa.text("answer_state = 'due'"),
    )
    op.create_index("ix_mail_received_identity", "mail_received", ["identity_id"], unique=False)
    op.create_index(
        "ix_mail_received_kept",
        "mail_received",
        ["updated_at"],
        unique=False,
        sqlite_where=sa.text("purged_at IS NULL"),
        postgresql_where=sa.text("purged_at IS NULL"),
    )
    op.create_index("ix_mail_received_listing", "mail_received", ["tenant_id", "received_at", "id"], unique=False)
    op.create_index("ix_mail_received_message", "mail_received", ["tenant_id", "message_id"], unique=False)
    op.create_index("ix_mail_received_thread", "mail_received", ["thread_id"], unique=False)
    op.create_table(
        "messages",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=80), nullable=False),
        sa.Column("thread_id", sa.String(length=40), nullable=False),
        sa.Column("identity_id", sa.String(length=40), nullable=True),
        sa.Column("actor_id", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("documents", sa.Text(), nullable=False),
        sa.Column("content", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("purged_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["identity_id"], ["identities.id"], name="fk_messages_identity_id_identities"),
        sa.ForeignKeyConstraint(["thread_id"], ["mail_threads.id"], name="fk_messages_thread_id_mail_threads"),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
    )
    op.create_index("ix_messages_content", "messages", ["content"], unique=False)
    op.create_index("ix_messages_identity", "messages", ["identity_id"], unique=False)
    op.create_index(
        "ix_messages_kept",
        "messages",
        ["updated_at"],
        unique=False,
        sqlite_where=sa.text("purged_at IS NULL"),
        postgresql_where=sa.text("purged_at IS NULL"),
    )
    op.create_index("ix_messages_listing", "messages", ["tenant_id", "created_at", "id"], unique=False)
    op.create_table(
        "mail_received_documents",
        sa.Column("received_id", sa.String(length=40), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("unique_id", sa.String(length=200), nullable=False),
        sa.Column("type_code", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=True),
        sa.Column("action", sa.String(length=1), nullable=False),
        sa.Column("replaces", sa.String(length=200), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha1", sa.String(length=40), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("cda", sa.String(length=64), nullable=False),
        sa.Column("fhir", sa.String(length=64), nullable=True),
        sa.Column("loss", sa.Text(), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["received_id"], ["mail_received.id"], name="fk_mail_received_documents_received_id_mail_received"
        ),
        sa.PrimaryKeyConstraint("received_id", "rank", name="pk_mail_received_documents"),
    )
    op.create_index("ix_mail_received_documents_cda", "mail_received_documents", ["cda"], unique=False)
    op.create_table(
        "mail_recipients",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("delivery_id", sa.String(length=40), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("class", sa.String(length=8), nullable=False),
        sa.Column("lookup", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("confidence", sa.String(length=12), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("code", sa.String(length=60), nullable=True),
        sa.Column("original_code", sa.String(length=40), nullable=True),
        sa.Column("original_text", sa.Text(), nullable=True),
        sa.Column("cause_fr", sa.Text(), nullable=True),
        sa.Column("cause_en", sa.Text(), nullable=True),
        sa.Column("submitted_at", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name="fk_mail_recipients_delivery_id_deliveries"),
        sa.PrimaryKeyConstraint("id", name="pk_mail_recipients"),
        sa.UniqueConstraint("delivery_id", "rank", name="uq_mail_recipients_delivery_id_rank"),
    )
    op.create_index(
        "ix_mail_recipients_silent",
        "mail_recipients",
        ["submitted_at"],
        unique=False,
        sqlite_where=sa.text("state = 'submitted'"),
        postgresql_where=sa.text("state = 'submitted'"),
    )
    op.create_table(
        "mail_sent",
        sa.Column("delivery_id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("mailbox", sa.String(length=254), nullable=False),
        sa.Column("message_id", sa.String(length=998), nullable=False),
        sa.Column("envelope_id", sa.String(length=100), nullable=False),
        sa.Column("thread_id", sa.String(length=40), nullable=False),
        sa.Column("references", sa.Text(), nullable=False),
        sa.Column("prepared_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name="fk_mail_sent_delivery_id_deliveries"),
        sa.ForeignKeyConstraint(["thread_id"], ["mail_threads.id"], name="fk_mail_sent_thread_id_mail_threads"),
        sa.PrimaryKeyConstraint("delivery_id", name="pk_mail_sent"),
    )
    op.create_index("ix_mail_sent_envelope", "mail_sent", ["tenant_id", "envelope_id"], unique=False)
    op.create_index("ix_mail_sent_message", "mail_sent", ["tenant_id", "message_id"], unique=False)
    op.create_index("ix_mail_sent_thread", "mail_sent", ["thread_id"], unique=False)
    op.create_table(
        "mail_recipient_history",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("delivery_id", sa.String(length=40), nullable=False),
        sa.Column("recipient_id", sa.String(length=40), nullable=False),
        sa.Column("from_state", sa.String(length=10), nullable=False),
        sa.Column("to_state", sa.String(length=10), nullable=False),
        sa.Column("code", sa.String(length=60), nullable=True),
        sa.Column("cause_fr", sa.Text(), nullable=True),
        sa.Column("cause_en", sa.Text(), nullable=True),
        sa.Column("by", sa.String(length=120), nullable=False),
        sa.ForeignKeyConstraint(
            ["recipient_id"], ["mail_recipients.id"], name="fk_mail_recipient_history_recipient_id_mail_recipients"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_mail_recipient_history"),
    )
    op.create_index("ix_mail_recipient_history_delivery", "mail_recipient_history", ["delivery_id", "id"], unique=False)
