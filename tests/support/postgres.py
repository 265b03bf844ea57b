"""A fresh PostgreSQL database for a test, on the server that PASSERELLE_TEST_POSTGRES names."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from tests.support.outside import missing


def server() -> str:
    """The address of the server; skips, or fails under the strict setting, when there is none."""
    url = os.environ.get("PASSERELLE_TEST_POSTGRES", "")
    if not url:
        missing("PASSERELLE_TEST_POSTGRES", "set it to the address of a PostgreSQL server that tests may use")
    return url


@contextmanager
def fresh_database() -> Iterator[str]:
    """A database of one's own, dropped at the end."""
    url = make_url(server())
    name = f"test_{secrets.token_hex(6)}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            with admin.connect() as connection:
                connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
    finally:
        admin.dispose()
