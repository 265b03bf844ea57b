"""Alembic's entry point: connects to the database named by the caller and runs the migrations asked for."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

import gateway.feeds.tables
import gateway.store.tables  # noqa: F401
from gateway.store.metadata import metadata

url = context.config.attributes["url"]
engine = create_engine(url)
try:
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
finally:
    engine.dispose()
