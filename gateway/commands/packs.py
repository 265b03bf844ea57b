"""``passerelle packs``: official material taken in, and what is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Official material you have downloaded: rules and value sets.",
)


@app.callback()
def root() -> None:
    """Official material you have downloaded: rules and value sets."""


@app.command("add")
def add(
    source: Annotated[
        Path,
        typer.Argument(
            help="ANS tree of CDA content checks, or FHIR packages: folder, ZIP or .tgz.", show_default=False
        ),
    ],
) -> None:
    """Take in packs: copied into the data folder, repaired, their newer value sets put to use at the next start."""
    from gateway import packs
    from gateway.journey.clock import utc_now
    from gateway.settings import Settings

    folder = Settings().data_dir / "packs"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        added = packs.add(source, folder, utc_now())
    except packs.PackError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(2) from None
    for pack in added:
        words = [pack.name, pack.version, pack.date, f"{pack.files} fichiers", f"{pack.value_sets} jeux de valeurs"]
        typer.echo(f"{pack.id}: {', '.join(filter(None, words))}")
        for repair in pack.repairs:
            typer.echo(f"  réparé : {repair}")


@app.command("list")
def listed() -> None:
    """What is installed, the newest first; how many of its value sets replace shipped ones, by their date."""
    from collections import Counter

    from gateway import packs
    from gateway.commands.common import table
    from gateway.settings import Settings

    folder = Settings().data_dir / "packs"
    try:
        found = packs.installed(folder)
        in_force = Counter(each.source for each in packs.use_value_sets(folder))
    except packs.PackError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(2) from None
    rows = [
        [
            each.id,
            each.name,
            each.version,
            each.date,
            each.added_at,
            each.value_sets,
            in_force[each.id],
            len(each.rules),
            len(each.repairs),
        ]
        for each in found
    ]
    heads = ["pack", "nom", "version", "date", "ajouté", "jeux de valeurs", "en vigueur", "règles", "réparations"]
    table(heads, rows)
