"""Bringing a database to the present schema; the same migrations run on SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

__all__ = ["pending", "upgrade"]

SCRIPTS = Path(__file__).parent / "migrations"


def _config(url: str) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["url"] = url
    return config


def upgrade(url: str, *, to: str = "head") -> None:
    """Run the migrations a database lacks, each in a transaction with the record of it; nothing when it lacks none."""
    if not pending(url):
        return
    from alembic import command

    command.upgrade(_config(url), to)


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
    waiting = [
        revision.revision
        for revision in script.iterate_revisions("heads", current or "base")
        if revision.revision not in current
    ]
    return list(reversed(waiting))
