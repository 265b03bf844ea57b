"""The ledger on each engine it runs on."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from gateway.feeds import tables  # noqa: F401  (declares the tables)
from gateway.store.metadata import metadata
from tests.support import outside


def _ledger_tables() -> list:  # type: ignore[type-arg]
    return [table for name, table in metadata.tables.items() if name.startswith("feed_")]


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A ledger with its tables and triggers, in a file of its own or in a schema of its own."""
    if request.param == "sqlite":
        made = create_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
        metadata.create_all(made, tables=_ledger_tables())
        yield made
        made.dispose()
        return
    url = os.environ.get("PASSERELLE_TEST_POSTGRES", "")
    if not url:
        outside.missing("PASSERELLE_TEST_POSTGRES", "set it to the URL of an empty PostgreSQL database")
    schema = f"feeds_{uuid.uuid4().hex}"
    owner = create_engine(url)
    with owner.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    made = create_engine(url, connect_args={"options": f"-csearch_path={schema}"})
    try:
        metadata.create_all(made, tables=_ledger_tables())
        yield made
    finally:
        made.dispose()
        with owner.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        owner.dispose()
