"""``passerelle identity``: questions about identity from the command line, with or without the network.

Questions come as JSON lines, never as arguments: traits in a command line would stand in the list of processes and in
the shell's history.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import orjson
import typer

from gateway.services.identity_lines import MAX_LINE, answers
from security import json
from security.errors import UnsafeInput

if TYPE_CHECKING:
    from adapters.insi.client import InsiClient, SearchResult
    from adapters.insi.outcomes import Outcome
    from adapters.insi.verification import Claim

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Identité : INS, traits, statut (identity: INS, traits, status).",
)

_Source = Annotated[Path | None, typer.Argument(help="Fichier de questions, une par ligne ; sinon l'entrée.")]


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    # A line without end never fills the memory: what stands past the limit is skipped up to the next line.
    while line := stream.readline(MAX_LINE + 1):
        whole = line
        while len(line) > MAX_LINE and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE + 1)
            if not line:
                break
        if whole.strip():
            yield whole


@contextmanager
def _opened(source: Path | None) -> Iterator[Iterator[bytes]]:
    if source is None:
        yield _lines(sys.stdin.buffer)
        return
    try:
        stream = source.open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{source} : {error.strerror}") from None
    with stream:
        yield _lines(stream)


def _say(answer: bytes) -> None:
    sys.stdout.buffer.write(answer)
    # At once: a program that asks one question and waits for its answer must not wait for a full buffer.
    sys.stdout.buffer.flush()


@app.command("evaluate")
def evaluate_command(source: _Source = None) -> None:
    """Répond à des questions d'identité, en lignes JSON, sans réseau (answers identity questions offline)."""
    with _opened(source) as lines:
        for answer in answers(lines):
            _say(answer)


def _client() -> InsiClient:
    from gateway.journey.clock import utc_now
    from gateway.neighbours import Neighbours
    from gateway.settings import Settings
    from gateway.tenants import Tenant

    settings = Settings()
    # The installation's own certificate calls: no tenant is needed to try a search.
    caller = Tenant(id="command-line", structure_id=settings.insi.sender, name="", activity_sector="", references={})
    return Neighbours(settings, utc_now).insi(caller)


def _read(line: bytes) -> dict[str, Any]:
    value = json.loads(line, max_bytes=MAX_LINE)
    if not isinstance(value, dict):
        raise TypeError("expected an object")
    return value


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "outcome": str(outcome.kind),
        "code": outcome.code,
        "originalCode": outcome.original_code,
        "cause": outcome.cause.fr,
        "fix": outcome.fix.fr,
    }


def _found(result: SearchResult) -> dict[str, Any]:
    out = {**_outcome(result.outcome), "calls": len(result.calls)}
    if result.faults:
        out["faults"] = dict(result.faults)
    person, comparison = result.individual, result.comparison
    if person is not None and comparison is not None:
        # NO_MATCH is somebody else: nothing of that person is shown.
        if comparison.verdict != "NO_MATCH":
            out["ins"] = {"value": person.active.value, "authority": person.active.oid}
            out["history"] = [{"value": h.value, "authority": h.oid} for h in person.history]
            out["traits"] = person.traits.as_dict()
        out["comparison"] = {
            "verdict": comparison.verdict,
            "reasons": list(comparison.reasons),
            "attended": comparison.attended,
            "unattended": comparison.unattended,
        }
    return out


@app.command("search")
def search_command(source: _Source = None) -> None:
    """Cherche l'INS par les traits, une personne par ligne JSON (looks the INS up by traits).

    A line: birth_name, first_given_name, given_names, sex, birth_date, birth_place, and attributes if any.
    """
    from conformance.identity.traits import Traits

    async def work(lines: Iterable[bytes]) -> None:
        async with _client() as client:
            for line in lines:
                try:
                    value = _read(line)
                    traits, attributes = Traits.of(value), [str(a) for a in value.get("attributes") or ()]
                except (UnsafeInput, TypeError) as error:
                    _say(orjson.dumps({"error": getattr(error, "code", str(error))}) + b"\n")
                    continue
                result = await client.search(traits, attributes=attributes)
                _say(orjson.dumps(_found(result)) + b"\n")

    with _opened(source) as lines:
        _run(work(lines))


def _claims(lines: Iterable[bytes], refused: Callable[[str, str], None]) -> Iterator[Claim]:
    from adapters.insi.verification import Claim
    from conformance.identifiers import IdentifierError, Matricule
    from conformance.identity.history import InsNumber
    from conformance.identity.traits import Traits

    for number, line in enumerate(lines, 1):
        reference = str(number)
        try:
            value = _read(line)
            reference = str(value.get("reference") or number)
            matricule = Matricule.parse(str(value.get("matricule", "")), wrong_key=True)
            yield Claim(
                number=InsNumber(value=matricule.value, oid=str(value.get("oid", ""))),
                traits=Traits.of(value),
                reference=reference,
            )
        except (UnsafeInput, IdentifierError, TypeError) as error:
            refused(reference, getattr(error, "code", str(error)))


@app.command("verify")
def verify_command(
    source: _Source = None,
    progress: Annotated[bool, typer.Option(help="Barre d'avancement sur un terminal (progress bar).")] = True,
) -> None:
    """Vérifie des identités déjà détenues, par lots (verifies identities already held, in lots).

    A line: reference, matricule, oid and the traits; an answer carries the reference and no trait.
    """

    def refused(reference: str, code: str) -> None:
        _say(orjson.dumps({"reference": reference, "error": code}) + b"\n")

    async def work(lines: Iterable[bytes], told: Callable[[int], None]) -> None:
        async with _client() as client:
            results: AsyncIterator[Any] = client.verify_all(_claims(lines, refused), progress=told)
            async for result in results:
                _say(orjson.dumps({"reference": result.reference, **_outcome(result.outcome)}) + b"\n")

    with _opened(source) as lines, _bar(progress, _count(source) if progress else None) as told:
        _run(work(lines, told))


def _run(work: Any) -> None:
    from gateway.neighbours import NotConfigured

    try:
        asyncio.run(work)
    except NotConfigured as error:
        raise typer.BadParameter(f"réglage absent : {error.missing} (setting is empty)") from None


def _count(source: Path | None) -> int | None:
    """How many lines a file has, so that the bar knows its end; unknown of a stream."""
    if source is None:
        return None
    try:
        with source.open("rb") as stream:
            return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    except OSError:
        return None


@contextmanager
def _bar(wanted: bool, total: int | None) -> Iterator[Callable[[int], None]]:
    if not (wanted and sys.stderr.isatty()):
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        TextColumn("{task.completed} identités vérifiées"),
        TimeElapsedColumn(),
        *([TimeRemainingColumn()] if total else []),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("verify", total=total)
        yield lambda done: shown.update(task, completed=done)
