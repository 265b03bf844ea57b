"""``passerelle feeds recount | rules | statement``: the same figures told again, listed, and put on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.commands.feeds_shared import (
    FOUND,
    UNUSABLE,
    Database,
    Form,
    Tenants,
    complain,
    print_table,
    reading,
    write_json,
)

__all__ = ["recount", "rules", "statement"]


def recount(
    tenant: Tenants = None, form: Annotated[Form, typer.Option("--format")] = Form.TEXT, database: Database = ""
) -> None:
    """Recompter ligne à ligne, sans les cumuls, et comparer ; code 1 si un chiffre diffère."""
    from collections import Counter

    from gateway.feeds.counts import counts
    from gateway.feeds.verification import all_tenants
    from gateway.feeds.verification import recount as by_lines

    by = ("tenant", "month", "outcome", "type")
    with reading(database) as connection:
        names = tenant or all_tenants(connection)
        lines: Counter[tuple[str, ...]] = Counter()
        for name in names:
            for key, number in by_lines(connection, name).items():
                lines[(name, key[0], key[1], key[2], key[3] or "")] += number
        totals: dict[tuple[str, ...], int] = {
            (row.group["tenant"], row.group["month"], row.service, row.group["outcome"], row.group["type"]): row.count
            - row.unsealed
            for row in counts(connection, tenants=names, by=by, max_groups=1_000_000)
        }
    rows = [
        {"tenant": key[0], "month": key[1], "service": key[2], "outcome": key[3], "type": key[4]}
        | {"lines": lines.get(key, 0), "totals": totals.get(key, 0)}
        for key in sorted({*lines, *(key for key, number in totals.items() if number)})
    ]
    equal = all(row["lines"] == row["totals"] for row in rows)
    if form is Form.JSON:
        write_json({"equal": equal, "rows": rows})
    else:
        heads = ["tenant", "month", "service", "outcome", "type", "lines", "totals"]
        print_table(heads, [[row[name] for name in heads] for row in rows])
        typer.echo("Recompte égal aux cumuls." if equal else "Le recompte diffère des cumuls.")
    if not equal:
        raise typer.Exit(FOUND)


def rules() -> None:
    """Lister les règles fournies, avec leur période et ce sur quoi elles reposent."""
    from gateway.feeds.rulebook import shipped

    rows: list[list[Any]] = [
        [
            one.id,
            str(one.version),
            f"{one.period.start} - {one.period.end}",
            "non vérifiée" if one.unverified else "sources lues",
        ]
        for one in shipped()
    ]
    print_table(["règle", "version", "période", "confiance"], rows)


def statement(
    rules_file: Annotated[Path, typer.Argument(help="Fichier de règles.", metavar="RULES.yaml")],
    rpps: Annotated[str, typer.Option("--rpps", help="Professionnel.")] = "",
    finess: Annotated[str, typer.Option("--finess", help="Structure (FINESS, selon la règle).")] = "",
    pdf: Annotated[Path | None, typer.Option("--pdf", help="Écrire aussi le relevé en PDF/A.")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Instant avec décalage ; maintenant si absent.")] = None,
    tenant: Tenants = None,
    database: Database = "",
) -> None:
    """Établir le relevé d'un professionnel ou d'une structure pour une règle ; écrit du JSON."""
    from datetime import UTC, datetime

    from gateway.feeds.heads import kept_heads
    from gateway.feeds.measures import Subject, figures
    from gateway.feeds.periods import closings
    from gateway.feeds.rulebook import RuleFileError, read
    from gateway.feeds.statements import statement as state
    from gateway.feeds.statements import statement_pdf
    from gateway.feeds.verification import all_tenants

    try:
        chosen = read(rules_file.read_bytes())
        instant = datetime.now(UTC) if as_of is None else datetime.fromisoformat(as_of)
        if instant.tzinfo is None:
            raise ValueError("--as-of : un instant avec son décalage, 2026-11-22T09:30:00+01:00.")
    except OSError as exc:
        typer.echo(f"{rules_file.name}: {exc.strerror}", err=True)
        raise typer.Exit(UNUSABLE) from exc
    except RuleFileError as exc:
        complain(exc.verdict, rules_file.name)
        raise typer.Exit(UNUSABLE) from exc
    except ValueError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(UNUSABLE) from exc
    who = rpps if chosen.subject.by == "rpps" else finess
    if not who:
        option = "--rpps" if chosen.subject.by == "rpps" else "--finess"
        typer.echo(f"Cette règle porte sur un {chosen.subject.by} : donnez {option}.", err=True)
        raise typer.Exit(UNUSABLE)
    subject = Subject(by=chosen.subject.by, id=who, tenants=tenant)
    with reading(database) as connection:
        heads = [head for name in tenant or all_tenants(connection) for head in kept_heads(connection, name, limit=1)]
        stated = state(
            figures(connection, chosen, subject, as_of=instant),
            closings=closings(connection, chosen.id, subject),
            heads=heads,
            number=f"{chosen.id}/{chosen.version}/{who}/{instant.astimezone(UTC):%Y%m%dT%H%M%SZ}",
        )
    if pdf is not None:
        pdf.write_bytes(statement_pdf(stated, created=instant))
    write_json(stated)
