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
    from pydantic import ValidationError

    from gateway.app import create_app
    from gateway.settings import Settings
    from security.redaction import configure_logging

    configure_logging(form="console" if log_format == "console" else "json")
    try:
        settings = Settings()
    except ValidationError as exc:
        for fault in exc.errors(include_input=False, include_url=False):
            name = "PASSERELLE_" + "__".join(str(step).upper() for step in fault["loc"])
            typer.echo(f"{name} : {fault['msg']}", err=True)
        raise typer.Exit(2) from None
    uvicorn.run(
        create_app(settings),
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=10,
        limit_concurrency=None,
    )
