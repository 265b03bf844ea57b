"""What the commands about feeds share: options, a connection that only reads, ways to write an answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from conformance.verdict import Verdict

__all__ = [
    "FOUND",
    "UNUSABLE",
    "Database",
    "Form",
    "Tenants",
    "complain",
    "print_table",
    "progress",
    "reading",
    "write_json",
]

UNUSABLE = 2  #: exit code of what cannot be read or was asked for wrongly
FOUND = 1  #: exit code of a verification that found something


class Form(StrEnum):
    """How a command writes its answer."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


def write_json(value: Any) -> None:
    """Write JSON for people and programs."""
    import orjson

    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()


def complain(verdict: Verdict, what: str) -> None:
    """Tell each finding of a verdict on the error stream, in French."""
    for finding in verdict.findings:
        parts = [f"{what}: {finding.code} {finding.location or '/'}: {finding.rule.message.fr}"]
        if finding.found:
            parts.append(f"Trouvé : {finding.found}.")
        if finding.expected:
            parts.append(f"Attendu : {finding.expected}.")
        parts.append(finding.rule.fix.fr)
        typer.echo(" ".join(parts), err=True)


Database = Annotated[
    str,
    typer.Option("--database", help="URL de la base ; sinon celle des réglages (PASSERELLE_DATABASE_URL)."),
]
Tenants = Annotated[list[str] | None, typer.Option("--tenant", help="Structure ; toutes si absent. Répétable.")]


@contextmanager
def reading(database: str) -> Iterator[Connection]:
    """A connection to the ledger that only reads; ends the command when there is no such database."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, DBAPIError

    if not database:
        from gateway.settings import Settings

        database = Settings().store_url
    try:
        url = make_url(database)
    except ArgumentError as exc:
        typer.echo("--database : une URL comme sqlite:///fichier ou postgresql+psycopg://...", err=True)
        raise typer.Exit(UNUSABLE) from exc
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        # SQLite would make an empty file, and an empty ledger is always whole.
        typer.echo(f"La base {Path(url.database).name} n'existe pas.", err=True)
        raise typer.Exit(UNUSABLE)
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as exc:
        reason = type(exc.orig).__name__ if exc.orig is not None else "?"
        typer.echo(f"La base ne répond pas, ou ne porte pas le journal ({reason}).", err=True)
        raise typer.Exit(UNUSABLE) from exc
    finally:
        engine.dispose()


def print_table(heads: list[str], rows: list[list[Any]]) -> None:
    """Write columns that line up, numbers to the right."""
    cells = [heads, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(heads))]
    numbers = {at for at in range(len(heads)) if rows and all(isinstance(row[at], int) for row in rows)}
    for line in cells:
        parts = [cell.rjust(widths[at]) if at in numbers else cell.ljust(widths[at]) for at, cell in enumerate(line)]
        typer.echo("  ".join(parts).rstrip())


@contextmanager
def progress() -> Iterator[Any]:
    """Something to call with the entries read so far: a line on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("Vérification…") as status:
        yield lambda read: status.update(f"Vérification : {read} écritures")
