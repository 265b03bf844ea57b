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
    source: Annotated[Path, typer.Argument(help="Folder or ZIP of the ANS CDA content checks.", show_default=False)],
) -> None:
    """Take in a pack: copied into the data folder, repaired, its newer value sets put to use at the next start."""
    from gateway import packs
    from gateway.journey.clock import utc_now
    from gateway.settings import Settings

    folder = Settings().data_dir / "packs"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        pack = packs.add(source, folder, utc_now())
    except packs.PackError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{pack.id}: {pack.files} fichiers, {pack.value_sets} jeux de valeurs, {pack.date}")
    for repair in pack.repairs:
        typer.echo(f"  réparé : {repair}")


@app.command("list")
def listed() -> None:
    """What is installed, the newest (the one in use) first."""
    from gateway import packs
    from gateway.commands.common import table
    from gateway.settings import Settings

    rows = [
        [each.id, each.date, each.added_at, each.value_sets, len(each.schematrons), len(each.repairs)]
        for each in packs.installed(Settings().data_dir / "packs")
    ]
    table(["pack", "date", "ajouté", "jeux de valeurs", "schematrons", "réparations"], rows)
