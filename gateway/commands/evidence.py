"""``passerelle evidence``: exchanges kept as proof, taken out of the vault for a homologation or a dispute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gateway.services.evidence import Body, Kept

__all__ = ["app"]

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Exchanges kept as proof, and their export."
)


_ENDINGS = {"message/rfc822": "eml", "text/plain": "txt"}


@app.callback()
def root() -> None:
    """Exchanges kept as proof, and their export."""


@app.command("export")
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder to write into; read by you alone.")],
    delivery: Annotated[str | None, typer.Option(help="Of this delivery (dlv_...).")] = None,
    test_case: Annotated[str | None, typer.Option(help="Of this test case (header Passerelle-Test-Case).")] = None,
) -> None:
    """Write each exchange as a request and a response, with an index; they hold health data in clear."""
    import orjson

    from gateway.commands.common import open_store
    from gateway.services.evidence import exported
    from gateway.settings import Settings
    from gateway.vault import Vault

    if delivery is None and test_case is None:
        typer.echo("Donnez --delivery ou --test-case.", err=True)
        raise typer.Exit(2)
    settings = Settings()
    try:
        vault = Vault.open_file(settings.master_key or settings.data_dir / "master.key")
        output.mkdir(mode=0o700, parents=True)
    except (OSError, ValueError) as exc:
        typer.echo(f"{getattr(exc, 'filename', None) or output}: {getattr(exc, 'strerror', None) or exc}", err=True)
        raise typer.Exit(2) from None
    lines: list[dict[str, Any]] = []
    with open_store() as store:

        def write(connection: Any) -> None:
            kept = exported(connection, vault, delivery=delivery, test_case=test_case)
            for number, one in enumerate(kept, start=1):
                lines.append(_write(output, number, one))

        store.read_now(write)
    _private(output / "index.json", orjson.dumps(lines, option=orjson.OPT_INDENT_2))
    if not lines:
        typer.echo("Aucun échange trouvé.", err=True)
        raise typer.Exit(1)
    typer.echo(f"{len(lines)} échange(s) dans {output}")


def _write(folder: Path, number: int, one: Kept) -> dict[str, Any]:
    row = one.row
    name = f"{number:03d}-{row.transaction}"
    return {
        "id": row.id,
        "at": row.at.isoformat(),
        "destination": row.destination,
        "transaction": row.transaction,
        "outcome": row.outcome,
        "delivery": row.delivery_id,
        "testCase": row.test_case,
        "request": _side(folder, f"{name}-request", one.request),
        "response": _side(folder, f"{name}-response", one.response),
    }


def _side(folder: Path, name: str, body: Body) -> dict[str, Any]:
    """Write one side as it went over the wire; of a package, the SOAP message apart too."""
    import hashlib

    from adapters.dmp.mtom import MtomError, read

    kind = str(body.head.get("type") or "")
    out: dict[str, Any] = {**body.head, "size": len(body.content), "complete": body.whole}
    if not body.content:
        return out
    packaged = kind.startswith("multipart/")
    file = folder / f"{name}.{_ENDINGS.get(kind.partition(';')[0], 'mime' if packaged else 'xml')}"
    _private(file, body.content)
    out |= {"file": file.name, "sha256": hashlib.sha256(body.content).hexdigest()}
    if packaged:
        try:
            soap = read(kind, body.content).root
        except MtomError:
            return out
        _private(folder / f"{name}.soap.xml", soap)
        out["soap"] = f"{name}.soap.xml"
    return out


def _private(path: Path, data: bytes) -> None:
    import os

    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
