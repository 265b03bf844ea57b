"""``passerelle check``: documents judged, every finding with its place and how to mend it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.services.checks import Environment, Judgement

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

CLEAN, REFUSED, UNREADABLE = 0, 1, 2
_FORMATS = ("text", "json", "operationoutcome", "svrl")
_ENVIRONMENTS = ("test", "production")


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="CDA, FHIR Bundle or hub JSON; - for input.", show_default=False)],
    form: Annotated[str, typer.Option("--format", help="text, json, operationoutcome or svrl.")] = "text",
    official: Annotated[
        bool, typer.Option("--official", help="Run the official rules of the installed pack too (slow).")
    ] = False,
    environment: Annotated[
        str, typer.Option("--environment", envvar="PASSERELLE_ENVIRONMENT", help="test or production.")
    ] = "test",
    english: Annotated[bool, typer.Option("--english", help="Messages in English.")] = False,
) -> None:
    """Judge FILES. Exit code: 0 clean or warnings only, 1 errors, 2 unreadable or wrong usage."""
    if form not in _FORMATS or environment not in _ENVIRONMENTS:
        typer.echo(f"--format: {', '.join(_FORMATS)} ; --environment: {', '.join(_ENVIRONMENTS)}", err=True)
        raise typer.Exit(UNREADABLE)
    if form == "svrl" and len(files) > 1:
        typer.echo("--format svrl: un seul fichier / one file", err=True)
        raise typer.Exit(UNREADABLE)
    language = "en" if english else "fr"
    known: Any = environment
    worst = CLEAN
    out: list[Any] = []
    for name, judgement in _judged(files, known, official=official):
        worst = max(worst, {"valid": CLEAN, "invalid": REFUSED, "unreadable": UNREADABLE}[judgement.word])
        if form == "text":
            _tell(name, judgement, language)
        else:
            out.append(_rendered(name, judgement, form, language))
    if form != "text":
        _write(out, form, many=len(files) > 1)
    raise typer.Exit(worst)


def _judged(files: list[Path], environment: Environment, *, official: bool) -> Iterator[tuple[str, Judgement]]:
    """Each file with what is thought of it, told on a bar when that is long and seen on a terminal."""
    from contextlib import nullcontext

    from gateway.packs import PackError, use_value_sets
    from gateway.services.checks import judge
    from gateway.settings import Settings

    try:
        use_value_sets(Settings().data_dir / "packs")
        with _official() if official else nullcontext(judge) as judges:
            for file in _progress(files, shown=official or len(files) > 100):
                name = str(file)
                try:
                    data = sys.stdin.buffer.read() if name == "-" else file.read_bytes()
                except OSError as exc:
                    yield name, _absent(exc)
                    continue
                yield name, judges(data, environment=environment)
    except PackError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(UNREADABLE) from None


def _official() -> Any:
    from gateway.services.official import OfficialJudge

    return OfficialJudge.start()


def _absent(exc: OSError) -> Judgement:
    from conformance.verdict import Verdict
    from gateway.services.checks import Judgement
    from gateway.services.intake import UNREADABLE as RULE

    return Judgement(form="cda", verdict=Verdict.of([RULE.finding("", found=exc.strerror)]))


def _progress(files: list[Path], *, shown: bool) -> Iterable[Path]:
    if not shown or not sys.stderr.isatty():
        return files
    from rich.console import Console
    from rich.progress import track

    return track(files, description="check", console=Console(stderr=True), transient=True)


def _tell(name: str, judgement: Judgement, language: str) -> None:
    from gateway.commands.convert import describe

    words = {"valid": ("valide", "valid"), "invalid": ("refusé", "invalid"), "unreadable": ("illisible", "unreadable")}
    errors, warnings = len(judgement.verdict.errors), len(judgement.verdict.warnings)
    word = words[judgement.word][language == "en"]
    counts = f"{errors} errors, {warnings} warnings" if language == "en" else f"{errors} erreurs, {warnings} alertes"
    typer.echo(f"{name}: {word} ({counts})")
    for finding in judgement.verdict.findings:
        typer.echo(f"  {finding.severity.value:<11} {describe(finding.as_json(language))}")


def _rendered(name: str, judgement: Judgement, form: str, language: str) -> Any:
    if form == "json":
        return {"file": name, **judgement.as_json(language)}
    if form == "svrl":
        from conformance.svrl import svrl

        return svrl(judgement.verdict, language, title=name)
    from mappings.fhir.outcome import operation_outcome

    return operation_outcome(judgement.verdict.findings, language)


def _write(out: list[Any], form: str, *, many: bool) -> None:
    if form == "svrl":
        sys.stdout.buffer.write(out[0] + b"\n")
    else:
        import orjson

        value = out[0] if form == "operationoutcome" and not many else out
        sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()
