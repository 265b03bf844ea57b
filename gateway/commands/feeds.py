"""``passerelle feeds``: count, verify and evaluate, with a database or without."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from conformance.verdict import Verdict

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Compte des alimentations : compter, vérifier, évaluer (feeds).")

_UNUSABLE = 2  #: exit code of what cannot be read or was asked for wrongly
_FOUND = 1  #: exit code of a verification that found something


def _write(value: Any) -> None:
    import orjson

    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()


def _complain(verdict: Verdict, what: str) -> None:
    for finding in verdict.findings:
        parts = [f"{what}: {finding.code} {finding.location or '/'}: {finding.rule.message.fr}"]
        if finding.found:
            parts.append(f"Trouvé : {finding.found}.")
        if finding.expected:
            parts.append(f"Attendu : {finding.expected}.")
        parts.append(finding.rule.fix.fr)
        typer.echo(" ".join(parts), err=True)


@app.command()
def evaluate(
    rules: Annotated[Path, typer.Argument(help="Fichier de règles (YAML ou JSON).", metavar="RULES.yaml")],
    measures: Annotated[
        Path, typer.Option("--measures", help="Mesures : nom -> entier ou booléen (JSON).", metavar="MEASURES.json")
    ],
) -> None:
    """Évaluer une règle sur des mesures données, sans base de données ; écrit du JSON."""
    from gateway.feeds.evaluate import MeasureError
    from gateway.feeds.evaluate import evaluate as work_out
    from gateway.feeds.rulebook import RuleFileError, read
    from security import json
    from security.errors import UnsafeInput

    try:
        given = json.loads(measures.read_bytes())
        if not isinstance(given, dict):
            typer.echo(f"{measures.name}: FEED-MEASURE-000 un objet JSON est attendu.", err=True)
            raise typer.Exit(_UNUSABLE)
        result = work_out(read(rules.read_bytes()), given)
    except OSError as exc:
        typer.echo(f"{Path(str(exc.filename)).name}: {exc.strerror}", err=True)
        raise typer.Exit(_UNUSABLE) from exc
    except UnsafeInput as exc:
        typer.echo(f"{measures.name}: {exc}", err=True)
        raise typer.Exit(_UNUSABLE) from exc
    except RuleFileError as exc:
        _complain(exc.verdict, rules.name)
        raise typer.Exit(_UNUSABLE) from exc
    except MeasureError as exc:
        _complain(exc.verdict, measures.name)
        raise typer.Exit(_UNUSABLE) from exc
    _write(result.as_json())
