"""E-prescriptions, what happened to them, dispensations and relays.

The first schema as it was: never edited; what comes after is another revision.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["SEALED", "create"]

#: Columns of which PostgreSQL keeps no sample.
SEALED = (("orders", "sealed"), ("dispensations", "sealed"), ("order_events", "sealed"), ("order_relays", "sealed"))


def create() -> None:
    """Make these tables."""
    op.create_table(
        "orders",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=True),
        sa.Column("client_id", sa.String(length=80), nullable=True),
        sa.Column("document_id", sa.String(length=40), nullable=True),
        sa.Column("number_lookup", sa.String(length=64), nullable=False),
        sa.Column("ins_lookup", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("replaces", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name="fk_orders_document_id_documents"),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.UniqueConstraint("number_lookup", name="uq_orders_number_lookup"),
    )
    op.create_index("ix_orders_document", "orders", ["document_id"], unique=False)
    op.create_index("ix_orders_listing", "orders", ["tenant_id", "created_at", "id"], unique=False)
    op.create_table(
        "dispensations",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=80), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=True),
        sa.Column("body_mac", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=40), nullable=True),
        sa.Column("document_id", sa.String(length=40), nullable=True),
        sa.Column("corrects", sa.String(length=40), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("relay", sa.String(length=16), nullable=False),
        sa.Column("actor_id", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("lineage", sa.String(length=64), nullable=True),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("acted_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name="fk_dispensations_document_id_documents"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_dispensations_order_id_orders"),
        sa.PrimaryKeyConstraint("id", name="pk_dispensations"),
        sa.UniqueConstraint("client_id", "key", name="uq_dispensations_client_id_key"),
    )
    op.create_index("ix_dispensations_listing", "dispensations", ["tenant_id", "created_at", "id"], unique=False)
    op.create_index("ix_dispensations_order", "dispensations", ["order_id", "created_at"], unique=False)
    op.create_table(
        "order_events",
        sa.Column("order_id", sa.String(length=40), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("acted_at", sa.BigInteger(), nullable=True),
        sa.Column("by", sa.String(length=120), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=True),
        sa.Column("dispensation_id", sa.String(length=80), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_order_events_order_id_orders"),
        sa.PrimaryKeyConstraint("order_id", "seq", name="pk_order_events"),
    )
    op.create_table(
        "order_relays",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("order_id", sa.String(length=40), nullable=False),
        sa.Column("dispensation_id", sa.String(length=40), nullable=True),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_failed_at", sa.BigInteger(), nullable=True),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("code", sa.String(length=60), nullable=True),
        sa.Column("original_code", sa.String(length=60), nullable=True),
        sa.Column("cause_fr", sa.Text(), nullable=True),
        sa.Column("cause_en", sa.Text(), nullable=True),
        sa.Column("fix_fr", sa.Text(), nullable=True),
        sa.Column("fix_en", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_order_relays_order_id_orders"),
        sa.PrimaryKeyConstraint("id", name="pk_order_relays"),
    )
    op.create_index(
        "ix_order_relays_open",
        "order_relays",
        ["next_attempt_at"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_order_relays_order", "order_relays", ["order_id", "created_at"], unique=False)
