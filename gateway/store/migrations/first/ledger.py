"""The ledger of feeds, with the triggers that keep it append-only.

The first schema as it was: never edited; what comes after is another revision.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.store.migrations.first.triggers import POSTGRESQL, SQLITE

__all__ = ["SEALED", "create"]

#: Columns of which PostgreSQL keeps no sample.
SEALED = (
    ("feed_chains", "head_hash"),
    ("feed_chains", "frontier"),
    ("feed_entries", "entry_id"),
    ("feed_entries", "patient_commit"),
    ("feed_entries", "encounter_commit"),
    ("feed_entries", "lineage_ref"),
    ("feed_entries", "unique_id_hash"),
    ("feed_entries", "content_digest"),
    ("feed_entries", "supersedes"),
    ("feed_entries", "corrects"),
    ("feed_entries", "payload_hash"),
    ("feed_heads", "root"),
    ("feed_heads", "head_hash"),
    ("feed_heads", "signature"),
    ("feed_heads", "timestamp_token"),
    ("feed_links", "entry_hash"),
    ("feed_nodes", "hash"),
    ("feed_subjects", "reference"),
    ("feed_subjects", "salt"),
    ("feed_subjects", "commitment"),
)


def create() -> None:
    """Make these tables."""
    op.create_table(
        "feed_chains",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("head_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "frontier", sa.LargeBinary(), nullable=False, comment="perfect subtrees at the right edge, 32 bytes each"
        ),
        sa.PrimaryKeyConstraint("tenant", name="pk_feed_chains"),
    )
    op.create_table(
        "feed_departures",
        sa.Column("day", sa.Text(), nullable=False, comment="civil day in Europe/Paris"),
        sa.Column("channel", sa.Text(), nullable=False, comment="bundle, timestamp, folder, mail"),
        sa.Column("state", sa.Text(), nullable=False, comment="due, done, failed"),
        sa.Column("content", sa.Text(), nullable=True, comment="of the bundle: the day's heads as they leave"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Text(), nullable=True, comment="when it is due again"),
        sa.Column("done_at", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True, comment="where it went, or why not; a code"),
        sa.PrimaryKeyConstraint("day", "channel", name="pk_feed_departures"),
    )
    op.create_table(
        "feed_entries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.Text(), nullable=True),
        sa.Column("submitted_at", sa.Text(), nullable=True),
        sa.Column("accepted_at", sa.Text(), nullable=True),
        sa.Column("recorded_at", sa.Text(), nullable=False),
        sa.Column("actor_rpps", sa.Text(), nullable=True),
        sa.Column("actor_profession", sa.Text(), nullable=True),
        sa.Column("actor_role", sa.Text(), nullable=True),
        sa.Column("on_behalf_of_rpps", sa.Text(), nullable=True),
        sa.Column("co_authors_rpps", sa.Text(), nullable=True),
        sa.Column("structure_finess", sa.Text(), nullable=True),
        sa.Column("legal_finess", sa.Text(), nullable=True),
        sa.Column("siret", sa.Text(), nullable=True),
        sa.Column("software_id", sa.Text(), nullable=True),
        sa.Column("software_version", sa.Text(), nullable=True),
        sa.Column("segur_ref", sa.Text(), nullable=True),
        sa.Column("patient_commit", sa.LargeBinary(), nullable=True),
        sa.Column("ald_listed", sa.Boolean(), nullable=True),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("ins_status", sa.Text(), nullable=True),
        sa.Column("encounter_commit", sa.LargeBinary(), nullable=True),
        sa.Column("care_mode", sa.Text(), nullable=True),
        sa.Column("care_place", sa.Text(), nullable=True),
        sa.Column("lineage_ref", sa.LargeBinary(), nullable=True),
        sa.Column("version_no", sa.Integer(), nullable=True),
        sa.Column("unique_id_hash", sa.LargeBinary(), nullable=True),
        sa.Column("content_digest", sa.LargeBinary(), nullable=True),
        sa.Column("doc_type", sa.Text(), nullable=True),
        sa.Column("doc_type_system", sa.Text(), nullable=True),
        sa.Column("doc_format", sa.Text(), nullable=True),
        sa.Column("recipient_class", sa.Text(), nullable=True),
        sa.Column("recipients", sa.Integer(), nullable=True),
        sa.Column("target_receipt", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("supersedes", sa.LargeBinary(), nullable=True),
        sa.Column("corrects", sa.LargeBinary(), nullable=True),
        sa.Column("details", sa.Text(), nullable=True),
        sa.Column(
            "payload_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the canonical JSON of the fields"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_feed_entries"),
    )
    op.create_index("ix_feed_entries_actor", "feed_entries", ["actor_rpps", "kind", "day"], unique=False)
    op.create_index(
        "ix_feed_entries_behalf",
        "feed_entries",
        ["on_behalf_of_rpps", "kind", "day"],
        unique=False,
        postgresql_where=sa.text("on_behalf_of_rpps IS NOT NULL"),
        sqlite_where=sa.text("on_behalf_of_rpps IS NOT NULL"),
    )
    op.create_index(
        "ix_feed_entries_legal",
        "feed_entries",
        ["legal_finess", "kind", "day"],
        unique=False,
        postgresql_where=sa.text("legal_finess IS NOT NULL"),
        sqlite_where=sa.text("legal_finess IS NOT NULL"),
    )
    op.create_index(
        "ix_feed_entries_lineage",
        "feed_entries",
        ["lineage_ref"],
        unique=False,
        postgresql_where=sa.text("lineage_ref IS NOT NULL"),
    )
    op.create_index("ix_feed_entries_structure", "feed_entries", ["structure_finess", "kind", "day"], unique=False)
    op.create_index("uq_feed_entries_entry_id", "feed_entries", ["tenant", "entry_id"], unique=True)
    op.create_table(
        "feed_exports",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False, comment="client or account that asked"),
        sa.Column("state", sa.Text(), nullable=False, comment="running, ready, failed"),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feed_exports"),
    )
    op.create_index("ix_feed_exports_who", "feed_exports", ["who", "created_at"], unique=False)
    op.create_table(
        "feed_heads",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("head_hash", sa.LargeBinary(), nullable=False),
        sa.Column("signed_at", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("timestamp_token", sa.LargeBinary(), nullable=True, comment="RFC 3161 token over the signed bytes"),
        sa.PrimaryKeyConstraint("id", name="pk_feed_heads"),
    )
    op.create_index("ix_feed_heads_tenant", "feed_heads", ["tenant", "id"], unique=False)
    op.create_table(
        "feed_links",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="gapless from 1; leaf seq - 1 of the tree",
        ),
        sa.Column("entry", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("entry_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "seq", name="pk_feed_links"),
        sqlite_with_rowid=False,
    )
    op.create_index("uq_feed_links_entry", "feed_links", ["entry"], unique=True)
    op.create_table(
        "feed_memberships",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False, comment="RPPS or FINESS"),
        sa.Column("organisation_kind", sa.Text(), nullable=False, comment="cpts, msp, esp, centre"),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Text(), nullable=False),
        sa.Column("valid_to", sa.Text(), nullable=True),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feed_memberships"),
    )
    op.create_index("ix_feed_memberships_member", "feed_memberships", ["member", "valid_from"], unique=False)
    op.create_table(
        "feed_nodes",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False, comment="multiples of 8: one row for 256 leaves, 65,536, ..."),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "level", "position", name="pk_feed_nodes"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "feed_pending",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("entry", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "entry", name="pk_feed_pending"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "feed_rollup",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("doc_type", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("profession", sa.Text(), nullable=False),
        sa.Column("structure", sa.Text(), nullable=False),
        sa.Column("recipient_class", sa.Text(), nullable=False),
        sa.Column("care_mode", sa.Text(), nullable=False),
        sa.Column("care_place", sa.Text(), nullable=False),
        sa.Column("ins_status", sa.Text(), nullable=False),
        sa.Column("test", sa.Text(), nullable=False),
        sa.Column("entries", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant",
            "month",
            "kind",
            "state",
            "doc_type",
            "reason",
            "profession",
            "structure",
            "recipient_class",
            "care_mode",
            "care_place",
            "ins_status",
            "test",
            name="pk_feed_rollup",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_feed_rollup_structure", "feed_rollup", ["structure", "month"], unique=False)
    op.create_table(
        "feed_rollup_coarse",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("doc_type", sa.Text(), nullable=False),
        sa.Column("entries", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "month", "kind", "state", "doc_type", name="pk_feed_rollup_coarse"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "feed_subjects",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="patient or encounter"),
        sa.Column(
            "reference",
            sa.LargeBinary(),
            nullable=False,
            comment="keyed pseudonym of the reference, never the reference",
        ),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "kind", "reference", name="pk_feed_subjects"),
        sa.UniqueConstraint("tenant", "commitment", name="uq_feed_subjects_tenant_commitment"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "feed_verifications",
        sa.Column("day", sa.Text(), nullable=False, comment="civil day in Europe/Paris"),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="running, whole, altered, failed"),
        sa.Column("begun_at", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.Column(
            "sealed", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True, comment="entries read again"
        ),
        sa.Column("heads", sa.Integer(), nullable=True, comment="signed heads compared"),
        sa.Column("findings", sa.Text(), nullable=True, comment="codes and places of what was found"),
        sa.PrimaryKeyConstraint("day", "tenant", name="pk_feed_verifications"),
    )
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        # A "%" in a function body is not a parameter.
        op.get_bind().exec_driver_sql(statement, execution_options={"no_parameters": True})
