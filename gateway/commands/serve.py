"""``passerelle serve``: the gateway itself."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8800,
    log_format: Annotated[str, typer.Option(help="json, or console.")] = "json",
) -> None:
    """Run the gateway. Settings come from PASSERELLE_* variables."""
    import uvicorn

    from gateway.app import create_app
    from gateway.commands.common import starting
    from gateway.connections import bounded, raise_file_limit
    from gateway.runtime import open_gateway
    from security.redaction import configure_logging

    configure_logging(form="console" if log_format == "console" else "json")
    with starting() as settings:
        gateway = open_gateway(settings)
    most = raise_file_limit(settings.max_connections)
    uvicorn.run(
        create_app(gateway=gateway),
        http=bounded(most, settings.connection_seconds),
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=3,
        limit_concurrency=None,
    )
