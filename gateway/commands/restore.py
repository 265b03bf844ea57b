"""``passerelle restore``: a copy put in the place of the database, which then asks before it sends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def restore(
    source: Annotated[Path | None, typer.Argument(help="File that `passerelle backup` made.")] = None,
    mark_only: Annotated[
        bool,
        typer.Option("--mark-only", help="The database was put back by other means (archiving, snapshot): note it."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Put a copy in the place of the database, every node stopped; what it held before is gone.

    What was sent since the copy is not in it: documents received before now are asked of the registry before they are
    sent, and mails not yet written wait for a person (dead letters of cause "restored").
    """
    from gateway.commands.common import open_store, starting
    from gateway.journey.clock import utc_now
    from gateway.store.backup import BackupFailed, mark_restored
    from gateway.store.backup import restore as put_back
    from gateway.store.ownership import hold_file

    if (source is None) is not mark_only:
        typer.echo("Donnez une copie à restaurer, ou --mark-only.", err=True)
        raise typer.Exit(2)
    with starting() as settings:
        if not (yes or typer.confirm("La base actuelle sera remplacée. Continuer ?" if source else "Continuer ?")):
            raise typer.Exit(1)
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        held = hold_file(settings.store_url)
        try:
            if source is None:
                with open_store() as store:
                    mark_restored(store, utc_now())
            else:
                put_back(settings.store_url, source, clock=utc_now)
        except BackupFailed as exc:
            typer.echo(str(exc), err=True)
            raise typer.Exit(1) from None
        finally:
            held.release()
    typer.echo(
        "Base restaurée. Au démarrage, ce qui attend est demandé au registre avant d'être envoyé. Voyez aussi les "
        "lettres mortes de cause `restored`, et remettez en boîte de réception les courriers traités depuis la copie."
    )
