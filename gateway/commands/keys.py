"""``passerelle keys``: what is wrong with certificates and keys, told before the first call."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Certificates and keys that settings and structures name.",
)


@app.callback()
def root() -> None:
    """Certificates and keys that settings and structures name."""


@app.command("check")
def check(
    within: Annotated[int, typer.Option(help="Fail when a certificate ends within so many days.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Open each certificate and key: usage, chain, structure, end (alarms at 60, 30, 7 days); 1 when one is wrong."""
    import orjson

    from gateway.commands.common import open_store, table
    from gateway.journey.clock import utc_now
    from gateway.services.keys import PROBLEMS, all_tenants, inventory
    from gateway.settings import Settings

    settings = Settings()
    with open_store() as store:
        structures = store.read_now(all_tenants)
    keys = inventory(settings, structures, utc_now())
    if not keys:
        typer.echo("Aucun certificat dans les réglages ni dans les structures.", err=True)
        raise typer.Exit(1)
    if as_json:
        for key in keys:
            sys.stdout.buffer.write(orjson.dumps(key.as_json()) + b"\n")
    else:
        rows = [
            [
                key.name,
                key.tenant,
                key.usage,
                key.subject,
                key.structure,
                key.issuer,
                f"{key.ends:%Y-%m-%d}" if key.ends else "",
                key.days,
                "à corriger" if key.problems else f"fin à moins de {key.alarm} jours" if key.alarm else "bon",
            ]
            for key in keys
        ]
        headers = ["clé", "structure", "usage", "sujet", "OU", "émetteur", "fin", "jours", "état"]
        table(headers, rows)
        for key in keys:
            for problem in key.problems:
                cause, fix = PROBLEMS[problem.code]
                typer.echo(
                    f"{problem.code} {key.name}: {cause.fr} Trouvé : {problem.found}. "
                    f"Attendu : {problem.expected}. {fix.fr}",
                    err=True,
                )
    if any(key.problems or (key.days is not None and key.days < within) for key in keys):
        raise typer.Exit(1)
