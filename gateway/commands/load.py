"""``passerelle load``: fictitious documents at a steady rate to a gateway of this machine, and what came of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

#: Longest run: a load that is forgotten stops by itself.
LONGEST = 3600.0


@app.command()
def load(
    access_file: Annotated[Path, typer.Option(help="Where the gateway is: the access file of `passerelle demo`.")],
    rate: Annotated[float, typer.Option(min=0.1, max=2000, help="Documents a second.")] = 10.0,
    seconds: Annotated[float, typer.Option(min=1, max=LONGEST, help="How long to send.")] = 30.0,
    mix: Annotated[
        str, typer.Option(help="Share of each kind: report, prescription, vsm, dispensation.")
    ] = "report=50,prescription=30,vsm=15,dispensation=5",
    mailed: Annotated[float, typer.Option(min=0, max=1, help="Share sent to a mailbox too.")] = 0.5,
    pdf_kb: Annotated[int, typer.Option(min=1, max=3000, help="Size of a report's PDF, in kB.")] = 60,
    drain: Annotated[float, typer.Option(min=0, max=LONGEST, help="Longest wait for the deliveries, in s.")] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="Only the summary, as JSON, on the standard output.")] = False,
) -> None:
    """Send documents at a steady rate, then say how many were accepted, delivered and counted, and at what cost.

    It stops by itself, calls this machine only, and ends with an error when a promise was not kept.
    """
    import asyncio

    import orjson

    from gateway.load.run import Load, Target, parse_mix, run
    from gateway.load.show import screen

    try:
        target = Target.read(access_file)
        asked = Load(
            rate=rate, seconds=seconds, mix=parse_mix(mix), mailed=mailed, pdf_bytes=pdf_kb * 1000, drain=drain
        )
    except (OSError, ValueError, KeyError) as exc:
        typer.echo(f"{type(exc).__name__}: {exc}", err=True)
        raise typer.Exit(2) from None
    with screen(quiet=json) as show:
        _, summary = asyncio.run(run(asked, target, show))
    if json:
        typer.echo(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode())
    else:
        for name, value in summary.items():
            typer.echo(f"{name:30} {value}")
    drained = summary["backlog"] == 0
    kept = summary["delivered"] == summary["counted"] == summary["accepted"] and not summary["duplicates"]
    raise typer.Exit(0 if summary["accepted"] and (kept or not drained) else 1)
