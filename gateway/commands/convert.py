"""``passerelle convert``: a document from any form to any other, with its loss report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

CLEAN, REFUSED, UNREADABLE, WITH_LOSS = 0, 1, 2, 3


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="Document to translate: CDA, FHIR Bundle or hub JSON; - for input.")],
    to: Annotated[str, typer.Option("--to", help="Form wanted: json, cda or fhir.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where to write; standard output by default.")] = None,
    loss: Annotated[Path | None, typer.Option("--loss", help="Where to write the loss report (JSON).")] = None,
    allow_loss: Annotated[bool, typer.Option("--allow-loss", help="Accept that a clinical part be lost.")] = False,
    english: Annotated[bool, typer.Option("--english", help="Messages in English.")] = False,
) -> None:
    """Translate FILE. Exit code: 0 clean, 1 refused, 2 unreadable or wrong usage, 3 done with parts lost."""
    from gateway.services.convert import ConvertRefused, translate

    language = "en" if english else "fr"
    if to not in ("json", "cda", "fhir"):
        typer.echo("--to: json, cda, fhir", err=True)
        raise typer.Exit(UNREADABLE)
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as exc:
        typer.echo(f"{file}: {exc.strerror}", err=True)
        raise typer.Exit(UNREADABLE) from None
    try:
        done = translate(data, to, allow_loss=allow_loss)
    except ConvertRefused as exc:
        for finding in exc.findings:
            typer.echo(describe(finding.as_json(language)), err=True)
        if loss is not None and exc.loss is not None:
            _write_json(loss, exc.loss.as_json(language))
        raise typer.Exit(UNREADABLE if exc.unreadable else REFUSED) from None
    if out is None:
        sys.stdout.buffer.write(done.data)
        sys.stdout.buffer.flush()
    else:
        out.write_bytes(done.data)
    if loss is not None:
        _write_json(loss, done.loss.as_json(language))
    counts = done.loss.counts
    if counts["lost"] or counts["textOnly"]:
        typer.echo(
            f"{counts['carried']} repris, {counts['textOnly']} en texte seul, {counts['lost']} perdus"
            if language == "fr"
            else f"{counts['carried']} carried, {counts['textOnly']} as text only, {counts['lost']} lost",
            err=True,
        )
    raise typer.Exit(WITH_LOSS if counts["lost"] else CLEAN)


def describe(fault: dict[str, object]) -> str:
    """A finding on one line, for terminals and logs alike."""
    place = f" {fault['location']}" if fault.get("location") else ""
    line = f" (ligne {fault['line']})" if fault.get("line") else ""
    found = f" [{fault['found']}]" if fault.get("found") else ""
    expected = f" ; attendu : {fault['expected']}" if fault.get("expected") else ""
    return f"{fault['code']}{place}{line} : {fault['message']}{found}{expected} -> {fault['fix']}"


def _write_json(path: Path, value: object) -> None:
    import orjson

    path.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2))
