"""The lines of one document by day: an indicator asks of each whether it was fed before the period.

Revision: 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the new index, then take away the one it stands for; on a server, without stopping what writes."""
    context = op.get_context()
    if op.get_bind().dialect.name == "sqlite":
        op.create_index("ix_feed_entries_lineage_day", "feed_entries", ["lineage_ref", "day"])
        op.drop_index("ix_feed_entries_lineage", "feed_entries")
        return
    with context.autocommit_block():
        # What a node that died meanwhile left is not an index yet.
        op.drop_index("ix_feed_entries_lineage_day", "feed_entries", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            "ix_feed_entries_lineage_day",
            "feed_entries",
            ["lineage_ref", "day"],
            postgresql_where=sa.text("lineage_ref IS NOT NULL"),
            postgresql_concurrently=True,
        )
        op.drop_index("ix_feed_entries_lineage", "feed_entries", if_exists=True, postgresql_concurrently=True)
