"""``passerelle identity``: questions about identity from the command line, with or without the network."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import orjson
import typer

from conformance.identity.evaluate import evaluate
from security import json
from security.errors import UnsafeInput

__all__ = ["answers", "app"]

app = typer.Typer(no_args_is_help=True, help="Identité : INS, traits, statut (identity: INS, traits, status).")

#: One question is a few hundred bytes; a longer line is not one.
_MAX_LINE = 64 * 1024


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    # A line without end never fills the memory: what stands past the limit is skipped up to the next line.
    while line := stream.readline(_MAX_LINE + 1):
        whole = line
        while len(line) > _MAX_LINE and not line.endswith(b"\n"):
            line = stream.readline(_MAX_LINE + 1)
            if not line:
                break
        yield whole


def answers(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Answer questions in JSON lines, one line out for each line in; a blank line is skipped."""
    for line in lines:
        if not line.strip():
            continue
        try:
            question = json.loads(line, max_bytes=_MAX_LINE)
        except UnsafeInput as error:
            yield orjson.dumps({"error": error.code}) + b"\n"
            continue
        try:
            yield orjson.dumps(evaluate(question)) + b"\n"
        except (TypeError, ValueError):
            # A lone surrogate survives in the answer and has no UTF-8 form.
            yield b'{"error":"unexpected value"}\n'


def _answer(source: BinaryIO, out: BinaryIO) -> None:
    for line in answers(_lines(source)):
        out.write(line)
        # At once: a program that asks one question and waits for its answer must not wait for a full buffer.
        out.flush()


@app.command("evaluate")
def evaluate_command(
    source: Annotated[Path | None, typer.Argument(help="Fichier de questions, une par ligne ; sinon l'entrée.")] = None,
) -> None:
    """Répond à des questions d'identité, en lignes JSON, sans réseau (answers identity questions offline)."""
    if source is None:
        _answer(sys.stdin.buffer, sys.stdout.buffer)
    else:
        with source.open("rb") as stream:
            _answer(stream, sys.stdout.buffer)
