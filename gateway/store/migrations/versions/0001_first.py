"""The first schema.

Revision: 0001, the first.
"""

from __future__ import annotations

from alembic import op

from gateway.store.metadata import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table and the triggers of the ledger."""
    metadata.create_all(op.get_bind())
