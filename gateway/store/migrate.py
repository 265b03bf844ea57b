"""Bringing a database to the present schema; the same migrations run on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

__all__ = ["pending", "sqlite_file", "upgrade"]

SCRIPTS = Path(__file__).parent / "migrations"


def _config(url: str) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["url"] = url
    return config


def upgrade(url: str, *, to: str = "head") -> None:
    """Run the migrations a database lacks, each in a transaction with the record of it; nothing when it lacks none.

    Nodes that start together run them one after the other. A schema that is already newer is left as it is: during a
    rolling upgrade the older nodes go on until they are replaced.
    """
    if not pending(url):
        return
    from alembic import command

    with _alone(url):
        command.upgrade(_config(url), to)


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """One migrating process at a time on a SQLite file; PostgreSQL is locked by the migration itself."""
    path = sqlite_file(url)
    if path is None:
        yield
        return
    from filelock import FileLock

    with FileLock(f"{path}.migrating", timeout=60):
        yield


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite address; None for a server or a database in memory."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database)


def pending(url: str) -> list[str]:
    """The migrations a database lacks, oldest first; reading them writes nothing."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(_config(url))
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_heads()
    finally:
        engine.dispose()
    known = {revision.revision for revision in script.walk_revisions()}
    if any(revision not in known for revision in current):
        return []  # made by a newer version of the gateway
    waiting = [
        revision.revision
        for revision in script.iterate_revisions("heads", current or "base")
        if revision.revision not in current
    ]
    return list(reversed(waiting))
