"""``passerelle patient``: rights of persons: what is held about a patient of a structure, given to them or erased."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from gateway.services.persons import Held
    from gateway.store.engine import Store
    from gateway.vault import Vault

__all__ = ["app"]

#: Seconds to wait for those who hold the database.
_PATIENCE = 60.0

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Rights of persons: export, erasure."
)

Tenant = Annotated[str, typer.Option("--tenant", help="Structure (id, or structure number).")]
Identity = Annotated[str | None, typer.Option("--identity", help="Identity, by its opaque id (idt_...).")]
# A number on a command line would be seen in the list of processes and in the shell's history.
Source = Annotated[
    str | None,
    typer.Option(
        "--from",
        help='File, or - for standard input: {"ins": {"value", "authority"}} or {"identifier": {"root", "extension"}}.',
    ),
]


@app.command("export")
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="ZIP to write; read by you alone.")],
    tenant: Tenant,
    identity: Identity = None,
    source: Source = None,
) -> None:
    """Write everything held about a patient: traits, documents, sendings, lines of the ledger; in clear."""
    import zipfile

    import orjson

    from gateway.services.persons import gather

    with _about(tenant, identity, source) as (store, vault, of):
        tree, files = store.read_now(lambda c: gather(c, vault, of))
        try:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as exc:
            typer.echo(f"{output.name}: {exc.strerror}", err=True)
            raise typer.Exit(2) from None
        with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("person.json", orjson.dumps(tree, option=orjson.OPT_INDENT_2))
            for name, data in files.items():
                archive.writestr(name, data)
    typer.echo(f"{len(tree['documents'])} document(s), {len(tree['ledger'])} ligne(s) du journal : {output.name}")


@app.command("erase")
def erase(
    tenant: Tenant,
    identity: Identity = None,
    source: Source = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Withdraw first what has not left yet.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Erase what is held about a patient for good; the ledger's chain stays whole and no figure moves.

    The database is written anew (some 100 MB a second), so that its files do not keep what was deleted from it.
    """
    from gateway.journey.clock import utc_now
    from gateway.services.persons import StillOpen
    from gateway.services.persons import erase as forget

    with _about(tenant, identity, source) as (store, vault, of):
        if not yes:
            typer.confirm(f"Effacer pour de bon {len(of.documents)} document(s) et l'identité ?", abort=True)
        try:
            if withdraw:
                of = store.write_now(lambda c: _withdrawn(c, vault, of))
            done = store.write_now(lambda c: forget(c, vault, of, now=utc_now()))
        except StillOpen as exc:
            typer.echo(
                f"{len(exc.deliveries)} envoi(s) ne sont pas terminés ({', '.join(exc.deliveries[:5])}...) : attendez, "
                "ou --withdraw pour retirer ce qui n'est pas parti.",
                err=True,
            )
            raise typer.Exit(1) from None
        gone = store.scrub(within=_PATIENCE)
    typer.echo(
        f"Effacé : {done['identities']} identité(s), {done['documents']} document(s), {done['contents']} contenu(s), "
        f"{done['exchanges']} échange(s), {done['orders']} ordonnance(s), {done['commitments']} engagement(s)."
    )
    _told(gone)


@app.command("scrub")
def scrub() -> None:
    """Make what was erased gone from the database's files too, when `erase` could not: others held them."""
    from gateway.commands.common import open_store

    with open_store() as store:
        _told(store.scrub(within=_PATIENCE))


def _told(gone: bool) -> None:
    """Say so when bytes of what was erased may still be in the files, sealed."""
    if not gone:
        typer.echo(
            "La base est occupée : ses fichiers peuvent garder, scellés, des octets de ce qui est effacé. "
            "Relancez « passerelle patient scrub » à une heure calme.",
            err=True,
        )
        raise typer.Exit(3)


def _withdrawn(connection: Connection, vault: Vault, of: Held) -> Held:
    """Withdraw what has not begun to leave; the rest is left as it is, and told by the erasure."""
    from gateway.journey.clock import utc_now
    from gateway.journey.record import cause_of, move
    from gateway.journey.states import CauseCode, Delivery
    from gateway.services.persons import held

    not_left = (Delivery.QUEUED, Delivery.HELD, Delivery.RETRYING, Delivery.DEAD_LETTER)
    for row in of.deliveries:
        if row.state in map(str, not_left):
            cause = cause_of(CauseCode.WITHDRAWN_BY_CALLER)
            move(connection, vault, row, Delivery.WITHDRAWN, at=utc_now(), by="command:patient", cause=cause)
    return held(connection, of.tenant, of.identities)


@contextmanager
def _about(tenant: str, identity: str | None, source: str | None) -> Iterator[tuple[Store, Vault, Held]]:
    """The store, the vault and everything held about the patient named; ends the command when there is nobody."""
    from gateway import tenants
    from gateway.commands.common import open_store
    from gateway.services.persons import held, named
    from gateway.settings import Settings
    from gateway.vault import Vault

    asked = _asked(source)
    if identity is None and not asked:
        typer.echo("Donnez --identity ou --from.", err=True)
        raise typer.Exit(2)
    settings = Settings()
    try:
        vault = Vault.open_file(settings.master_key or settings.data_dir / "master.key")
    except (OSError, ValueError) as exc:
        typer.echo(
            f"{getattr(exc, 'filename', None) or 'master.key'}: {getattr(exc, 'strerror', None) or exc}", err=True
        )
        raise typer.Exit(2) from None

    def find(connection: Connection) -> Held | None:
        owner = tenants.tenant(connection, tenant) or tenants.tenant_of_structure(connection, tenant)
        if owner is None:
            return None
        return held(connection, owner.id, named(connection, vault, owner.id, identity=identity, **asked))

    with open_store() as store:
        found = store.read_now(find)
        if found is None:
            typer.echo("Cette structure n'existe pas.", err=True)
            raise typer.Exit(2)
        if not found.identities:
            typer.echo("Personne de ce nom dans cette structure.", err=True)
            raise typer.Exit(1)
        yield store, vault, found


def _asked(source: str | None) -> dict[str, Any]:
    """Whom a file or standard input names; ends the command when it names nobody in a known form."""
    if source is None:
        return {}
    from pydantic import ValidationError

    from mappings.document.people import Identifier, Ins
    from security import json
    from security.errors import UnsafeInput

    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        told = json.loads(data, max_bytes=10_000)
        if "ins" in told:
            return {"ins": Ins.model_validate(told["ins"])}
        own = Identifier.model_validate(told["identifier"])
        return {"local": (own.root, own.extension or "")}
    except OSError as exc:
        typer.echo(f"{source}: {exc.strerror}", err=True)
        raise typer.Exit(2) from None
    except (UnsafeInput, ValidationError, KeyError, TypeError):
        # What was given is never repeated.
        typer.echo(
            '--from : {"ins": {"value", "authority"}} ou {"identifier": {"root", "extension"}} attendu.', err=True
        )
        raise typer.Exit(2) from None
