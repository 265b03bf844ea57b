"""``passerelle keys``: what is wrong with certificates and keys, told before the first call."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.settings import Settings

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Certificates and keys that settings and structures name, and the master key.",
)


@app.callback()
def root() -> None:
    """Certificates and keys that settings and structures name, and the master key."""


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


def _key_file(settings: Settings) -> Path:
    return settings.master_key or settings.data_dir / "master.key"


@app.command("rotate")
def rotate(
    prepare: Annotated[
        bool,
        typer.Option("--prepare", help="Only add the new key: give the file to every node before it is used."),
    ] = False,
) -> None:
    """Add a master key to the key file and seal with it from the next start; former keys still open.

    Several nodes: rotate --prepare, give the file to each and restart it; then rotate, the same again; then rewrap.
    """
    from gateway.commands.common import open_store, open_vault, starting

    with starting() as settings, open_store() as store:
        vault = open_vault(settings, store)
        newest = vault.key_ids[-1]
        prepared = newest != vault.current and not prepare
        vault = vault.using(newest) if prepared else vault.rotated(use=not prepare)
        vault.save(_key_file(settings))
    typer.echo(
        f"Clés maîtresses : {', '.join(vault.key_ids)} ; celle qui scelle : {vault.current}. Gardez une copie du "
        "fichier, redémarrez chaque nœud, puis : passerelle keys rewrap."
    )


@app.command("rewrap")
def rewrap(
    retire: Annotated[
        bool, typer.Option("--retire", help="Then take former keys out of the file, once nothing is under them.")
    ] = False,
) -> None:
    """Put everything sealed under the current master key, while the gateway serves; contents are not touched."""
    from gateway.commands.common import open_store, open_vault, starting
    from gateway.services import rotation

    with starting() as settings, open_store() as store:
        vault = open_vault(settings, store)
        done = rotation.rewrap(store, vault)
        typer.echo(", ".join(f"{table} {count}" for table, count in sorted(done.items())) or "Rien à faire.")
        if not retire:
            return
        left = store.read_now(lambda c: rotation.left_behind(c, vault))
        if left:
            typer.echo(
                "Encore sous une ancienne clé : "
                + ", ".join(f"{table} {count}" for table, count in sorted(left.items()))
                + ". Recommencez plus tard ; ce qui ouvre un document d'un dossier finit de lui-même en un jour.",
                err=True,
            )
            raise typer.Exit(1)
        vault.retired().save(_key_file(settings))
    typer.echo(f"Il ne reste que la clé {vault.current}. Redémarrez chaque nœud avec ce fichier.")
