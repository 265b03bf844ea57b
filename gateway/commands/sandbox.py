"""``passerelle sandbox``: strict simulators of the national services, to develop without certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def sandbox(
    folder: Annotated[Path, typer.Option("--dir", help="Where certificates are kept.")] = Path("passerelle-sandbox"),
    structure: Annotated[str, typer.Option(help="Structure of the certificates (Struct_IdNat).")] = "1290099886",
    env_file: Annotated[Path | None, typer.Option(help="Write the gateway's settings here, as VARIABLE=value.")] = None,
    fixed_ports: Annotated[bool, typer.Option(help="Ports 8811 to 8825 rather than free ones.")] = True,
) -> None:
    """Run the simulators until interrupted."""
    import signal
    import threading

    from adapters.sandbox import Ports, Sandbox

    ports = (
        Ports(
            dmp=8812,
            dmp_api=8811,
            insi=8814,
            insi_api=8813,
            smtp=8825,
            mss_api=8815,
            psc=8818,
            psc_api=8817,
            directory=8820,
            directory_api=8819,
            ordonnance=8822,
            ordonnance_api=8821,
        )
        if fixed_ports
        else Ports()
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Sandbox(folder, structure_id=structure, ports=ports) as running:
        for name, places in running.addresses.items():
            for what, address in places.items():
                typer.echo(f"{name:5} {what:9} {address}")
        if env_file is not None:
            env_file.write_text("".join(f"{k}={v}\n" for k, v in running.environment().items()), encoding="utf-8")
            typer.echo(f"settings  {env_file}")
        typer.echo("Ctrl-C pour arrêter.")
        stop.wait()
