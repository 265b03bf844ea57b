"""``passerelle accounts``: people who sign in to the console with a password."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="People who sign in to the console.",
)


def _password() -> str:
    """Ask twice on a terminal, read the first line elsewhere: a password on a command line is everybody's."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Mot de passe", hide_input=True, confirmation_prompt="Le même, encore"))


@app.command("add")
def add(
    login: Annotated[str, typer.Argument(help="Lower case, digits, dots and dashes.")],
    role: Annotated[str, typer.Option(help="professional, structure, vendor, fund, ars, national, dpo or operator.")],
    name: Annotated[str, typer.Option(help="Name shown on the pages.")] = "",
    rpps: Annotated[str | None, typer.Option(help="The professional's RPPS.")] = None,
    finess: Annotated[str | None, typer.Option(help="The structure's FINESS.")] = None,
    tenant: Annotated[list[str] | None, typer.Option(help="Ledger it may read (id); repeat for several.")] = None,
    everywhere: Annotated[bool, typer.Option("--everywhere", help="Every ledger, for a vendor, fund or ARS.")] = False,
    accreditation: Annotated[str | None, typer.Option(help="Approval and oath of an agent of a fund.")] = None,
) -> None:
    """Add an account; its password is asked for, or read from standard input."""
    from gateway.commands.common import open_store
    from gateway.console.accounts import AccountError, add_account
    from gateway.journey.clock import utc_now

    password = _password()
    try:
        with open_store() as store:
            made = store.write_now(
                lambda c: add_account(
                    c,
                    login=login,
                    name=name,
                    role=role,
                    password=password,
                    rpps=rpps,
                    finess=finess,
                    tenants=tenant,
                    everywhere=everywhere,
                    accreditation=accreditation,
                    now=utc_now(),
                )
            )
    except AccountError as exc:
        typer.echo(f"{exc.code} : attendu {exc.expected}", err=True)
        raise typer.Exit(1) from None
    typer.echo(made)


@app.command("list")
def listing() -> None:
    """List the accounts."""
    from gateway.commands.common import open_store, table
    from gateway.console.accounts import all_accounts

    with open_store() as store:
        rows = store.read_now(all_accounts)
    if not rows:
        typer.echo("Aucun compte. Ajoutez-en un : passerelle accounts add LOGIN --role ...")
        return
    table(
        ["identifiant", "nom", "rôle", "RPPS", "FINESS", "journaux", "état"],
        [
            [
                row.login,
                row.name,
                row.role,
                row.rpps,
                row.finess,
                "tous" if row.tenants is None else " ".join(row.tenants),
                "actif" if row.disabled_at is None else "désactivé",
            ]
            for row in rows
        ],
    )


@app.command("disable")
def disable(login: Annotated[str, typer.Argument(help="Account to disable.")]) -> None:
    """Disable an account and end its sessions."""
    from gateway.commands.common import open_store
    from gateway.console.accounts import disable_account
    from gateway.journey.clock import utc_now

    with open_store() as store:
        known = store.write_now(lambda c: disable_account(c, login, now=utc_now()))
    if not known:
        typer.echo(f"Aucun compte {login}.", err=True)
        raise typer.Exit(1)
    typer.echo(f"{login} est désactivé.")
