"""``passerelle worker``: workers alone, beside other nodes of one PostgreSQL database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.context import Gateway

__all__ = ["app", "run_worker"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def worker(
    mail: Annotated[bool, typer.Option("--mail", help="The mail only: sending it, reading the mailboxes.")] = False,
) -> None:
    """Run workers without the HTTP interface; refused on SQLite, where one process writes."""
    import asyncio

    from gateway.commands.common import starting
    from gateway.runtime import open_gateway
    from security.redaction import configure_logging

    configure_logging()
    with starting() as settings:
        if settings.store_url.startswith("sqlite"):
            typer.echo(
                "Un fichier SQLite n'a qu'un seul processus qui écrit : `passerelle serve` y fait aussi le travail des "
                "workers. Pour des workers séparés, donnez PASSERELLE_DATABASE_URL=postgresql+psycopg://...",
                err=True,
            )
            raise typer.Exit(2)
        gateway = open_gateway(settings)
    asyncio.run(run_worker(gateway, mail_only=mail))


async def run_worker(gateway: Gateway, *, mail_only: bool = False) -> None:
    """Run the workers of an open gateway until the process is asked to end (SIGTERM, SIGINT)."""
    import asyncio
    import signal

    from gateway.runtime import start_gateway, stop_gateway

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await start_gateway(gateway, workers=True, mail_only=mail_only)
    await stop.wait()
    await stop_gateway(gateway)
