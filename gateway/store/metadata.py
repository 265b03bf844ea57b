"""The one catalogue of tables; each room declares its own tables against it."""

from __future__ import annotations

from sqlalchemy import MetaData

__all__ = ["metadata"]

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
