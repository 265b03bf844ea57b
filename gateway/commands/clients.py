"""``passerelle clients``: programs allowed to call, their public keys, their scopes, whom they act for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Programs allowed to call, and their grants.",
)


@app.command("add")
def add(
    client_id: Annotated[str, typer.Argument(help="Identifier the program gives as iss and sub.")],
    tenant: Annotated[list[str], typer.Option(help="Structure it may act for (id); repeat for several.")],
    scope: Annotated[list[str], typer.Option(help="Scope granted; repeat for several.")],
    jwks: Annotated[Path | None, typer.Option(help="JWKS file with its public keys.")] = None,
    make_key: Annotated[Path | None, typer.Option(help="Make a key pair here (PEM) instead; keep it safe.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the program.")] = None,
    actor: Annotated[list[str] | None, typer.Option(help="Only these professionals (PS_IdNat).")] = None,
) -> None:
    """Add a program."""
    import os

    from gateway import tenants
    from gateway.commands.common import open_store
    from gateway.journey.clock import utc_now
    from security import json as hard_json
    from security.errors import UnsafeInput
    from security.tokens import ClientKeys, TokenRefused, make_client_key

    if (jwks is None) == (make_key is None):
        typer.echo("Donnez --jwks ou --make-key, l'un des deux.", err=True)
        raise typer.Exit(2)
    try:
        if make_key is not None:
            pem, keys = make_client_key()
            descriptor = os.open(make_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
        else:
            keys = hard_json.loads(jwks.read_bytes() if jwks else b"", max_bytes=100_000)
        ClientKeys.read(keys)
        with open_store() as store:
            made = store.write_now(
                lambda c: tenants.add_client(
                    c,
                    client_id=client_id,
                    name=name or client_id,
                    jwks=keys,
                    scopes=tuple(scope),
                    acts_for=tuple(tenant),
                    actors=tuple(actor) if actor else None,
                    now=utc_now(),
                )
            )
    except tenants.GrantError as exc:
        typer.echo(f"{exc.code} : attendu {exc.expected}", err=True)
        raise typer.Exit(1) from None
    except (TokenRefused, UnsafeInput) as exc:
        typer.echo(f"{exc.code} : {exc.expected}", err=True)
        raise typer.Exit(1) from None
    except OSError as exc:
        typer.echo(f"{exc.filename}: {exc.strerror}", err=True)
        raise typer.Exit(2) from None
    typer.echo(made.id)


@app.command("list")
def listing() -> None:
    """List the programs."""
    from sqlalchemy import select

    from gateway.commands.common import open_store, table
    from gateway.store.tables import clients

    with open_store() as store:
        rows = store.read_now(lambda c: c.execute(select(clients).order_by(clients.c.id)).all())
    if not rows:
        typer.echo("Aucun programme. Ajoutez-en un : passerelle clients add ...")
        return
    table(["id", "nom", "portées"], [[r.id, r.name, " ".join(r.scopes)] for r in rows])
