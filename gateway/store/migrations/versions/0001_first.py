"""The first schema.

Revision: 0001, the first. Written out as it was: what the code's tables become later does not change it.
"""

from __future__ import annotations

from alembic import op

from gateway.store.migrations.first import console, core, ledger, mail, orders, told

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table, its indexes and the triggers of the ledger."""
    for room in (core, told, mail, orders, console, ledger):
        room.create()
        if op.get_bind().dialect.name == "postgresql":
            for table, column in room.SEALED:
                # ANALYZE would keep samples of sealed bytes that deleting their rows does not clean.
                op.execute(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" SET STATISTICS 0')
