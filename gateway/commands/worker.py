"""``passerelle worker``: workers alone, beside other nodes of one PostgreSQL database."""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def worker() -> None:
    """Run workers without the HTTP interface; refused on SQLite, where one process writes."""
    import asyncio
    import signal

    from gateway.runtime import open_gateway, start_workers, stop_gateway
    from gateway.settings import Settings
    from security.redaction import configure_logging

    configure_logging()
    settings = Settings()
    if settings.store_url.startswith("sqlite"):
        typer.echo(
            "Un fichier SQLite n'a qu'un seul processus qui écrit : `passerelle serve` y fait aussi le travail des "
            "workers. Pour des workers séparés, donnez PASSERELLE_DATABASE_URL=postgresql+psycopg://...",
            err=True,
        )
        raise typer.Exit(2)

    async def run() -> None:
        gateway = open_gateway(settings)
        await start_workers(gateway)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await stop.wait()
        await stop_gateway(gateway)

    asyncio.run(run())
