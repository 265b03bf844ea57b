"""``passerelle posology``: the French sentence of each posology of FHIR prescriptions, and its structure."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

UNREADABLE = 2


@app.command()
def posology(
    files: Annotated[
        list[Path], typer.Argument(help="FHIR Bundles (any type) or MedicationRequests, JSON; - for input.")
    ],
    english: Annotated[bool, typer.Option("--english", help="Messages in English.")] = False,
) -> None:
    """Print a JSON list, a line for each MedicationRequest of FILES, in order.

    Members: file, medication, sentence (French, whole), structured (the posology as CI-SIS can say it, in the gateway's
    JSON; empty when only words are known), text_only (French words of what has no structured form). Exit code 2 when a
    file could not be read; the others are printed all the same.
    """
    import orjson

    lines: list[bytes] = []
    failed = False
    for file in files:
        rows, faults = _read(file, "en" if english else "fr")
        failed = failed or bool(faults)
        for fault in faults:
            typer.echo(f"{file}: {fault}", err=True)
        lines.extend(orjson.dumps(row) for row in rows)
    body = b",\n".join(lines)
    sys.stdout.buffer.write(b"[" + (b"\n" + body + b"\n" if body else b"") + b"]\n")
    sys.stdout.buffer.flush()
    if failed:
        raise typer.Exit(UNREADABLE)


def _read(file: Path, language: str) -> tuple[list[dict[str, Any]], list[str]]:
    from mappings import fhir
    from mappings.rendering.posology import sentence
    from security import json as hard_json
    from security.errors import UnsafeInput

    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as exc:
        return [], [exc.strerror or "unreadable"]
    try:
        reading = fhir.read_prescriptions(hard_json.loads(data, decimals=True))
    except UnsafeInput as exc:
        return [], [f"{exc.code} {exc.found}"]
    except fhir.FhirError as exc:
        return [], [f"{f.code} {f.location} : {f.rule.message.in_language(language)}" for f in exc.findings]
    rows = [
        {
            "file": file.name,
            "medication": line.medication.label,
            "sentence": sentence(line.posology, line.medication),
            "structured": line.structured,
            "text_only": list(line.text_only),
        }
        for line in reading.lines
    ]
    return rows, []
