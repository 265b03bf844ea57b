"""``passerelle tenants``: structures that use the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Structures that use the gateway."
)


@app.command("add")
def add(
    name: Annotated[str, typer.Option(help="Name of the structure.")],
    finess: Annotated[str | None, typer.Option(help="Legal FINESS, 9 characters.")] = None,
    siret: Annotated[str | None, typer.Option(help="SIRET, 14 digits, when there is no FINESS.")] = None,
    legal_finess: Annotated[
        str | None, typer.Option(help="FINESS of the legal entity, when --finess is that of a site.")
    ] = None,
    sector: Annotated[str, typer.Option(help="Activity sector, TRE_R02: SA07, SA33...")] = "SA07",
    mailbox: Annotated[str | None, typer.Option(help="MSSanté mailbox that sends for the structure.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate (PEM or PKCS#12), by reference.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key, when in another file.")] = None,
    sign_certificate: Annotated[Path | None, typer.Option(help="Signature certificate, by reference.")] = None,
    sign_key: Annotated[Path | None, typer.Option(help="Its key, when in another file.")] = None,
) -> None:
    """Add a structure; prints its id."""
    from gateway import tenants
    from gateway.commands.common import open_store
    from gateway.journey.clock import utc_now

    paths = {
        "dmpCertificate": certificate,
        "dmpKey": key,
        "dmpSignCertificate": sign_certificate,
        "dmpSignKey": sign_key,
    }
    references: dict[str, str] = {name: str(path.resolve()) for name, path in paths.items() if path is not None}
    for reference, path in paths.items():
        if path is not None and not path.is_file():
            typer.echo(f"{reference}: {path} n'existe pas", err=True)
            raise typer.Exit(2)
    if mailbox:
        references["mailbox"] = mailbox
    try:
        structure = tenants.structure_number(finess, siret)
        if legal_finess:
            # Some schemes count by legal entity (SUN-ES, IFAQ), whatever the site.
            references["legalFiness"] = tenants.structure_number(legal_finess, None)[1:]
        with open_store() as store:
            made = store.write_now(
                lambda c: tenants.add_tenant(
                    c,
                    structure_id=structure,
                    name=name,
                    activity_sector=sector,
                    references=references,
                    now=utc_now(),
                )
            )
    except tenants.GrantError as exc:
        typer.echo(f"{exc.code} : attendu {exc.expected}", err=True)
        raise typer.Exit(1) from None
    typer.echo(made.id)


@app.command("list")
def listing() -> None:
    """List the structures."""
    from sqlalchemy import select

    from gateway.commands.common import open_store, table
    from gateway.store.tables import tenants

    with open_store() as store:
        rows = store.read_now(lambda c: c.execute(select(tenants).order_by(tenants.c.name)).all())
    if not rows:
        typer.echo("Aucune structure. Ajoutez-en une : passerelle tenants add --finess ... --name ...")
        return
    table(["id", "structure", "nom", "secteur"], [[r.id, r.structure_id, r.name, r.activity_sector] for r in rows])
