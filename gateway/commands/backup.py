"""``passerelle backup``: a copy of the database, made while it serves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def backup(
    output: Annotated[Path, typer.Option("--output", "-o", help="New file to write; read by you alone.")],
) -> None:
    """Copy the database while it serves; keys are not in it, and what it holds of patients cannot be read without."""
    from gateway.commands.common import starting
    from gateway.store.backup import BackupFailed, back_up

    with starting() as settings:
        try:
            back_up(settings.store_url, output)
        except BackupFailed as exc:
            typer.echo(str(exc), err=True)
            raise typer.Exit(1) from None
    size = output.stat().st_size
    typer.echo(f"{output.name} : {size} octets. Gardez la clé maîtresse à part : sans elle, la copie ne se lit pas.")
