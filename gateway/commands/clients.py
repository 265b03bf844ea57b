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
    scope: Annotated[list[str], typer.Option(help="Scope granted; repeat for several.")],
    tenant: Annotated[list[str] | None, typer.Option(help="Structure it may act for (id); repeat for several.")] = None,
    jwks: Annotated[Path | None, typer.Option(help="JWKS file with its public keys.")] = None,
    make_key: Annotated[Path | None, typer.Option(help="Make a key pair here (PEM) instead; keep it safe.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the program.")] = None,
    actor: Annotated[list[str] | None, typer.Option(help="Only these professionals (PS_IdNat).")] = None,
    role: Annotated[
        str | None,
        typer.Option(help="What it may see of the feeds: professional, structure, vendor, fund, ars, national, dpo."),
    ] = None,
    all_tenants: Annotated[
        bool, typer.Option("--all-tenants", help="Feeds of every structure (fund, national).")
    ] = False,
    structure: Annotated[list[str] | None, typer.Option(help="Feeds of these sites only (FINESS).")] = None,
    accreditation: Annotated[str | None, typer.Option(help="Approval and oath of an agent of control.")] = None,
    purpose: Annotated[
        str | None, typer.Option(help="Standing purpose of its queries, when a request says none.")
    ] = None,
    legal_basis: Annotated[str | None, typer.Option(help="Standing legal basis of its queries.")] = None,
    segur_ref: Annotated[str | None, typer.Option(help="Ségur referencing number of the software.")] = None,
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
    if not tenant and not all_tenants:
        typer.echo("Donnez --tenant, ou --all-tenants pour les alimentations de toutes les structures.", err=True)
        raise typer.Exit(2)
    given = {
        "allTenants": all_tenants or None,
        "structures": structure,
        "accreditation": accreditation,
        "purpose": purpose,
        "legalBasis": legal_basis,
        "segurRef": segur_ref,
    }
    terms = {key: value for key, value in given.items() if value}
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
                    acts_for=tuple(tenant or ()),
                    actors=tuple(actor) if actor else None,
                    role=role,
                    terms=terms,
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
    table(["id", "nom", "rôle", "portées"], [[r.id, r.name, r.role or "", " ".join(r.scopes)] for r in rows])
