"""What commands share: the store of the settings, tables on a terminal or plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.settings import Settings
    from gateway.store.engine import Store
    from gateway.vault import Vault

__all__ = ["open_store", "open_vault", "starting", "table"]


@contextmanager
def starting() -> Iterator[Settings]:
    """The settings, read once; what keeps a node from starting is told in one line, with exit code 2."""
    import typer
    from pydantic import ValidationError

    from gateway.heap import own_process
    from gateway.pack_kinds import PackError
    from gateway.settings import Settings
    from gateway.store.engine import StoreUnavailable
    from gateway.store.ownership import AlreadyServed, WrongMasterKey

    own_process()
    try:
        yield Settings()
    except ValidationError as exc:
        for fault in exc.errors(include_input=False, include_url=False):
            name = "PASSERELLE_" + "__".join(str(step).upper() for step in fault["loc"])
            typer.echo(f"{name} : {fault['msg']}", err=True)
        raise typer.Exit(2) from None
    except (AlreadyServed, PackError, WrongMasterKey, StoreUnavailable, OSError) as exc:
        typer.echo(f"{type(exc).__name__}: {exc}", err=True)
        raise typer.Exit(2) from None


@contextmanager
def open_store() -> Iterator[Store]:
    """The store that the settings name, its schema brought up to date."""
    from gateway.settings import Settings
    from gateway.store.engine import Store
    from gateway.store.migrate import upgrade

    settings = Settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    upgrade(settings.store_url)
    store = Store(settings.store_url)
    try:
        yield store
    finally:
        store.close()


def open_vault(settings: Settings, store: Store) -> Vault:
    """The vault of the settings' master key; raises :class:`WrongMasterKey` when the store was sealed with another."""
    from gateway.journey.clock import utc_now
    from gateway.store.ownership import check_master_key
    from gateway.vault import Vault

    vault = Vault.open_file(settings.master_key or settings.data_dir / "master.key")
    check_master_key(store, vault, utc_now())
    return vault


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Show a table on a terminal, tab-separated lines elsewhere."""
    if not sys.stdout.isatty():
        for row in rows:
            sys.stdout.write("\t".join("" if cell is None else str(cell) for cell in row) + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(*headers, box=None, header_style="bold")
    for row in rows:
        shown.add_row(*("" if cell is None else str(cell) for cell in row))
    Console().print(shown)
