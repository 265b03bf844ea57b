"""The one catalogue of tables; each room declares its own tables against it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, LargeBinary, MetaData, Table, event

__all__ = ["metadata", "unsampled"]

#: Names of constraints are fixed so that migrations name the same thing on SQLite and PostgreSQL.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def unsampled(tables: Iterable[Table]) -> list[str]:
    """The PostgreSQL statements that keep the planner's statistics free of sealed bytes.

    ANALYZE keeps samples of a column in a catalogue that deleting its rows does not clean.
    """
    return [
        f'ALTER TABLE "{table.name}" ALTER COLUMN "{column.name}" SET STATISTICS 0'
        for table in tables
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    ]


@event.listens_for(metadata, "after_create")
def _unsampled(target: MetaData, connection: Connection, *, tables: Iterable[Table], **_: Any) -> None:
    if connection.dialect.name == "postgresql":
        for statement in unsampled(tables):
            connection.exec_driver_sql(statement)
