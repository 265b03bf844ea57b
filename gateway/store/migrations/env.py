"""Alembic's entry point: connects to the database named by the caller and runs the migrations asked for."""

from __future__ import annotations

import time

from alembic import context
from sqlalchemy import create_engine, text

import gateway.feeds.tables
import gateway.store.console_tables
import gateway.store.mail_tables
import gateway.store.order_tables
import gateway.store.tables  # noqa: F401
from gateway.store.metadata import metadata

#: Key of the lock that one migrating node holds ("passerel" in ASCII); the number means nothing else.
LOCK = 0x7061737365726C

url = context.config.attributes["url"]
engine = create_engine(url)
try:
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            # Nodes that start together migrate one after the other; the later ones then find nothing to do.
            # Asked again and again rather than waited for: an index made beside the service waits for every statement
            # begun before it, and would wait for the one that waits here.
            while not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK}).scalar_one():
                connection.commit()
                time.sleep(0.1)
            connection.commit()
        context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
finally:
    # Closing the connection lets go of the lock, even after a failure.
    engine.dispose()
