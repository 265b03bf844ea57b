"""``passerelle feeds``: count, verify and evaluate, with a database or without."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from sqlalchemy import Connection

    from conformance.verdict import Verdict
    from gateway.feeds.heads import SignedHead

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Compte des alimentations : compter, vérifier, évaluer (feeds).")


class Form(StrEnum):
    """How a command writes its answer."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


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


Database = Annotated[
    str,
    typer.Option("--database", help="URL de la base ; sinon celle des réglages (PASSERELLE_DATABASE_URL)."),
]
Tenants = Annotated[list[str] | None, typer.Option("--tenant", help="Structure ; toutes si absent. Répétable.")]


@contextmanager
def _reading(database: str) -> Iterator[Connection]:
    """A connection to the ledger that only reads; ends the command when there is no such database."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, DBAPIError

    if not database:
        from gateway.settings import Settings

        database = Settings().store_url
    try:
        url = make_url(database)
    except ArgumentError as exc:
        typer.echo("--database : une URL comme sqlite:///fichier ou postgresql+psycopg://...", err=True)
        raise typer.Exit(_UNUSABLE) from exc
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        # SQLite would make an empty file, and an empty ledger is always whole.
        typer.echo(f"La base {Path(url.database).name} n'existe pas.", err=True)
        raise typer.Exit(_UNUSABLE)
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as exc:
        reason = type(exc.orig).__name__ if exc.orig is not None else "?"
        typer.echo(f"La base ne répond pas, ou ne porte pas le journal ({reason}).", err=True)
        raise typer.Exit(_UNUSABLE) from exc
    finally:
        engine.dispose()


@app.command()
def count(
    by: Annotated[str, typer.Option("--by", help="Dimensions, séparées par des virgules.")] = "type,month",
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Filtre dimension=valeur. Répétable.", metavar="DIM=VALEUR")
    ] = None,
    since: Annotated[str | None, typer.Option("--from", help="Premier mois, 2026-01.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Dernier mois.")] = None,
    tenant: Tenants = None,
    form: Annotated[Form, typer.Option("--format", help="text, json ou csv.")] = Form.TEXT,
    database: Database = "",
) -> None:
    """Compter ce qui a été alimenté, écritures non encore scellées comprises."""
    from gateway.feeds.counts import CountError, counts

    names = [name.strip() for name in by.split(",") if name.strip()]
    filters: dict[str, list[str]] = {}
    for one in where or []:
        name, equals, value = one.partition("=")
        if not equals:
            typer.echo("--where : dimension=valeur est attendu.", err=True)
            raise typer.Exit(_UNUSABLE)
        filters.setdefault(name, []).append(value)
    with _reading(database) as connection:
        try:
            rows = counts(connection, tenants=tenant, by=names, where=filters, since=since, until=until)
        except CountError as exc:
            typer.echo(f"{exc.code} --{exc.place} : attendu {exc.expected}.", err=True)
            raise typer.Exit(_UNUSABLE) from exc
    heads = ["service", *dict.fromkeys(names)]
    table = [[row.service, *(row.group[name] for name in heads[1:]), row.count, row.unsealed] for row in rows]
    if form is Form.JSON:
        _write(
            {
                "rows": [
                    {"service": row.service, "by": dict(row.group), "count": row.count, "unsealed": row.unsealed}
                    for row in rows
                ],
                "total": sum(row.count for row in rows),
                "unsealed": sum(row.unsealed for row in rows),
            }
        )
    elif form is Form.CSV:
        import csv

        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([*heads, "count", "unsealed"])
        writer.writerows(table)
    else:
        _print_table([*heads, "nombre", "dont non scellées"], table)
        if not table:
            typer.echo("Rien n'a encore été compté : les écritures viennent avec les réponses des services.")


def _print_table(heads: list[str], rows: list[list[Any]]) -> None:
    cells = [heads, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(heads))]
    numbers = {at for at in range(len(heads)) if rows and all(isinstance(row[at], int) for row in rows)}
    for line in cells:
        parts = [cell.rjust(widths[at]) if at in numbers else cell.ljust(widths[at]) for at, cell in enumerate(line)]
        typer.echo("  ".join(parts).rstrip())


@app.command()
def verify(
    export: Annotated[
        Path | None,
        typer.Argument(help="Export à vérifier sans base ni réseau ; sinon le journal de la base.", metavar="EXPORT"),
    ] = None,
    head: Annotated[
        list[Path] | None, typer.Option("--head", help="Tête signée gardée ailleurs (JSON). Répétable.")
    ] = None,
    key: Annotated[
        list[Path] | None, typer.Option("--key", help="Clé publique Ed25519 (PEM) des têtes. Répétable.")
    ] = None,
    tenant: Tenants = None,
    form: Annotated[Form, typer.Option("--format", help="text ou json.")] = Form.TEXT,
    database: Database = "",
) -> None:
    """Vérifier que rien de ce qui est scellé n'a changé ; code 1 si quelque chose a changé."""
    from gateway.feeds.verification import all_tenants
    from gateway.feeds.verification import verify as check

    heads, keys = _kept(head or [], key or [])
    if export is not None:
        _verify_export(export, heads, keys, form)
        return
    with _reading(database) as connection, _progress() as advance:
        # A head of a chain that is gone altogether must be missed too.
        names = tenant or sorted({*all_tenants(connection), *(one.chain for one in heads)})
        reports = [
            check(
                connection,
                name,
                heads=[one for one in heads if one.chain == name],
                keys=keys,
                progress=advance,
            )
            for name in names
        ]
    ok = all(report.ok for report in reports)
    if form is Form.JSON:
        _write({"ok": ok, "ledgers": [report.as_json() for report in reports]})
    else:
        for report in reports:
            typer.echo(
                f"{report.tenant}: {report.sealed} écritures scellées, {report.unsealed} en attente de sceau, "
                f"racine {report.root.hex()}, {report.heads_checked} tête(s) comparée(s)"
            )
            for name in report.unsealed_entries[:20]:
                typer.echo(f"  non scellée : {name}")
            _complain(report.verdict, report.tenant)
        typer.echo("Journal vérifié (ledger verified)." if ok else "Le journal a été altéré (ledger altered).")
    if not ok:
        raise typer.Exit(_FOUND)


def _kept(heads: list[Path], keys: list[Path]) -> tuple[list[SignedHead], list[Ed25519PublicKey]]:
    """The heads and public keys of files; ends the command when one cannot be read."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from gateway.feeds.heads import read_head
    from security import json
    from security.errors import UnsafeInput

    read: list[SignedHead] = []
    public: list[Ed25519PublicKey] = []
    for path in heads:
        try:
            found = json.loads(path.read_bytes())
            read.extend(read_head(one) for one in (found if isinstance(found, list) else [found]))
        except (OSError, UnsafeInput, ValueError, TypeError) as exc:
            typer.echo(f"{path.name}: FEED-HEAD-001 ce n'est pas une tête signée.", err=True)
            raise typer.Exit(_UNUSABLE) from exc
    for path in keys:
        try:
            loaded = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as exc:
            typer.echo(f"{path.name}: clé publique PEM illisible.", err=True)
            raise typer.Exit(_UNUSABLE) from exc
        if not isinstance(loaded, Ed25519PublicKey):
            typer.echo(f"{path.name}: une clé Ed25519 est attendue.", err=True)
            raise typer.Exit(_UNUSABLE)
        public.append(loaded)
    return read, public


@contextmanager
def _progress() -> Iterator[Any]:
    """Something to call with the entries read so far: a line on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("Vérification…") as status:
        yield lambda read: status.update(f"Vérification : {read} écritures")


def _verify_export(path: Path, heads: list[SignedHead], keys: list[Ed25519PublicKey], form: Form) -> None:
    """Check an export with the module that comes with it, so that both always say the same."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from gateway.feeds.offline import verify_export

    if not path.exists():
        typer.echo(f"{path.name} n'existe pas.", err=True)
        raise typer.Exit(_UNUSABLE)
    with _progress() as advance:
        report = verify_export(
            path,
            keys=[key.public_bytes(Encoding.Raw, PublicFormat.Raw) for key in keys],
            heads=[head.as_json() for head in heads],
            progress=advance,
        )
    if form is Form.JSON:
        _write(report.as_json())
    else:
        for fault in report.faults:
            typer.echo(f"{fault.code} {fault.place}: {fault.message}", err=True)
        verdict = "export vérifié (export verified)" if report.ok else "export altéré (export altered)"
        typer.echo(f"{report.entries} écritures, {report.chains} chaîne(s) : {verdict}.")
    if not report.ok:
        raise typer.Exit(_FOUND)


@app.command()
def recount(
    tenant: Tenants = None, form: Annotated[Form, typer.Option("--format")] = Form.TEXT, database: Database = ""
) -> None:
    """Recompter ligne à ligne, sans les cumuls, et comparer ; code 1 si un chiffre diffère."""
    from collections import Counter

    from gateway.feeds.counts import counts
    from gateway.feeds.verification import all_tenants
    from gateway.feeds.verification import recount as by_lines

    by = ("tenant", "month", "outcome", "type")
    with _reading(database) as connection:
        names = tenant or all_tenants(connection)
        lines: Counter[tuple[str, ...]] = Counter()
        for name in names:
            for key, number in by_lines(connection, name).items():
                lines[(name, key[0], key[1], key[2], key[3] or "")] += number
        totals: dict[tuple[str, ...], int] = {
            (row.group["tenant"], row.group["month"], row.service, row.group["outcome"], row.group["type"]): row.count
            - row.unsealed
            for row in counts(connection, tenants=names, by=by, max_groups=1_000_000)
        }
    rows = [
        {"tenant": key[0], "month": key[1], "service": key[2], "outcome": key[3], "type": key[4]}
        | {"lines": lines.get(key, 0), "totals": totals.get(key, 0)}
        for key in sorted({*lines, *(key for key, number in totals.items() if number)})
    ]
    equal = all(row["lines"] == row["totals"] for row in rows)
    if form is Form.JSON:
        _write({"equal": equal, "rows": rows})
    else:
        heads = ["tenant", "month", "service", "outcome", "type", "lines", "totals"]
        _print_table(heads, [[row[name] for name in heads] for row in rows])
        typer.echo("Recompte égal aux cumuls." if equal else "Le recompte diffère des cumuls.")
    if not equal:
        raise typer.Exit(_FOUND)


@app.command()
def rules() -> None:
    """Lister les règles fournies, avec leur période et ce sur quoi elles reposent."""
    from gateway.feeds.rulebook import shipped

    rows: list[list[Any]] = [
        [
            one.id,
            str(one.version),
            f"{one.period.start} - {one.period.end}",
            "non vérifiée" if one.unverified else "sources lues",
        ]
        for one in shipped()
    ]
    _print_table(["règle", "version", "période", "confiance"], rows)


@app.command()
def statement(
    rules_file: Annotated[Path, typer.Argument(help="Fichier de règles.", metavar="RULES.yaml")],
    rpps: Annotated[str, typer.Option("--rpps", help="Professionnel.")] = "",
    finess: Annotated[str, typer.Option("--finess", help="Structure (FINESS, selon la règle).")] = "",
    pdf: Annotated[Path | None, typer.Option("--pdf", help="Écrire aussi le relevé en PDF/A.")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Instant avec décalage ; maintenant si absent.")] = None,
    tenant: Tenants = None,
    database: Database = "",
) -> None:
    """Établir le relevé d'un professionnel ou d'une structure pour une règle ; écrit du JSON."""
    from datetime import UTC, datetime

    from gateway.feeds.heads import kept_heads
    from gateway.feeds.measures import Subject, figures
    from gateway.feeds.periods import closings
    from gateway.feeds.rulebook import RuleFileError, read
    from gateway.feeds.statements import statement as state
    from gateway.feeds.statements import statement_pdf
    from gateway.feeds.verification import all_tenants

    try:
        chosen = read(rules_file.read_bytes())
        instant = datetime.now(UTC) if as_of is None else datetime.fromisoformat(as_of)
        if instant.tzinfo is None:
            raise ValueError("--as-of : un instant avec son décalage, 2026-11-22T09:30:00+01:00.")
    except OSError as exc:
        typer.echo(f"{rules_file.name}: {exc.strerror}", err=True)
        raise typer.Exit(_UNUSABLE) from exc
    except RuleFileError as exc:
        _complain(exc.verdict, rules_file.name)
        raise typer.Exit(_UNUSABLE) from exc
    except ValueError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(_UNUSABLE) from exc
    who = rpps if chosen.subject.by == "rpps" else finess
    if not who:
        option = "--rpps" if chosen.subject.by == "rpps" else "--finess"
        typer.echo(f"Cette règle porte sur un {chosen.subject.by} : donnez {option}.", err=True)
        raise typer.Exit(_UNUSABLE)
    subject = Subject(by=chosen.subject.by, id=who, tenants=tenant)
    with _reading(database) as connection:
        heads = [head for name in tenant or all_tenants(connection) for head in kept_heads(connection, name, limit=1)]
        stated = state(
            figures(connection, chosen, subject, as_of=instant),
            closings=closings(connection, chosen.id, subject),
            heads=heads,
            number=f"{chosen.id}/{chosen.version}/{who}/{instant.astimezone(UTC):%Y%m%dT%H%M%SZ}",
        )
    if pdf is not None:
        pdf.write_bytes(statement_pdf(stated, created=instant))
    _write(stated)
