"""``passerelle feeds``: count, verify and evaluate, with a database or without."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.feeds_reports import recount, rules, statement
from gateway.commands.feeds_shared import (
    FOUND,
    UNUSABLE,
    Database,
    Form,
    Tenants,
    complain,
    print_table,
    progress,
    reading,
    write_json,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from gateway.feeds.heads import SignedHead

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Compte des alimentations : compter, vérifier, évaluer (feeds).",
)


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
            raise typer.Exit(UNUSABLE)
        result = work_out(read(rules.read_bytes()), given)
    except OSError as exc:
        typer.echo(f"{Path(str(exc.filename)).name}: {exc.strerror}", err=True)
        raise typer.Exit(UNUSABLE) from exc
    except UnsafeInput as exc:
        typer.echo(f"{measures.name}: {exc}", err=True)
        raise typer.Exit(UNUSABLE) from exc
    except RuleFileError as exc:
        complain(exc.verdict, rules.name)
        raise typer.Exit(UNUSABLE) from exc
    except MeasureError as exc:
        complain(exc.verdict, measures.name)
        raise typer.Exit(UNUSABLE) from exc
    write_json(result.as_json())


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
            raise typer.Exit(UNUSABLE)
        filters.setdefault(name, []).append(value)
    with reading(database) as connection:
        try:
            rows = counts(connection, tenants=tenant, by=names, where=filters, since=since, until=until)
        except CountError as exc:
            typer.echo(f"{exc.code} --{exc.place} : attendu {exc.expected}.", err=True)
            raise typer.Exit(UNUSABLE) from exc
    heads = ["service", *dict.fromkeys(names)]
    table = [[row.service, *(row.group[name] for name in heads[1:]), row.count, row.unsealed] for row in rows]
    if form is Form.JSON:
        write_json(
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
        print_table([*heads, "nombre", "dont non scellées"], table)
        if not table:
            typer.echo("Rien n'a encore été compté : les écritures viennent avec les réponses des services.")


@app.command()
def verify(
    export: Annotated[
        Path | None,
        typer.Argument(help="Export à vérifier sans base ni réseau ; sinon le journal de la base.", metavar="EXPORT"),
    ] = None,
    head: Annotated[
        list[Path] | None,
        typer.Option("--head", help="Tête gardée ailleurs : tête, têtes du jour ou reçu (JSON). Répétable."),
    ] = None,
    key: Annotated[
        list[Path] | None, typer.Option("--key", help="Clé publique Ed25519 (PEM) des têtes. Répétable.")
    ] = None,
    timestamp_roots: Annotated[
        Path | None, typer.Option("--timestamp-roots", help="Autorités (PEM) de l'horodatage des têtes du jour.")
    ] = None,
    tenant: Tenants = None,
    form: Annotated[Form, typer.Option("--format", help="text ou json.")] = Form.TEXT,
    database: Database = "",
) -> None:
    """Vérifier que rien de ce qui est scellé n'a changé ; code 1 si quelque chose a changé."""
    from gateway.feeds.verification import all_tenants
    from gateway.feeds.verification import verify as check

    heads, keys = _kept(head or [], key or [], timestamp_roots)
    if export is not None:
        _verify_export(export, heads, keys, form)
        return
    with reading(database) as connection, progress() as advance:
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
        write_json({"ok": ok, "ledgers": [report.as_json() for report in reports]})
    else:
        for report in reports:
            typer.echo(
                f"{report.tenant}: {report.sealed} écritures scellées, {report.unsealed} en attente de sceau, "
                f"racine {report.root.hex()}, {report.heads_checked} tête(s) comparée(s)"
            )
            for name in report.unsealed_entries[:20]:
                typer.echo(f"  non scellée : {name}")
            complain(report.verdict, report.tenant)
        typer.echo("Journal vérifié (ledger verified)." if ok else "Le journal a été altéré (ledger altered).")
    if not ok:
        raise typer.Exit(FOUND)


def _stamped(name: str, bundle: dict[str, Any], roots: Path) -> None:
    """Check the time-stamp of a day's heads and tell its instant; ends the command when it does not hold."""
    import base64

    from cryptography.x509 import load_pem_x509_certificates

    from adapters.timestamping import TimestampRefused, checked

    try:
        authorities = load_pem_x509_certificates(roots.read_bytes())
        response = base64.b64decode(str(bundle.get("timestamp") or ""), validate=True)
        at = checked(response, bytes.fromhex(str(bundle["root"])), roots=authorities)
    except OSError as exc:
        typer.echo(f"{roots.name}: {exc.strerror}", err=True)
        raise typer.Exit(UNUSABLE) from exc
    except (TimestampRefused, ValueError) as exc:
        code = exc.code if isinstance(exc, TimestampRefused) else "TSA-UNREADABLE"
        typer.echo(f"{name}: {code} l'horodatage manque ou n'est pas bon.", err=True)
        raise typer.Exit(FOUND) from exc
    typer.echo(f"{name}: horodaté {at.isoformat()}", err=True)


def _kept(heads: list[Path], keys: list[Path], roots: Path | None) -> tuple[list[SignedHead], list[Ed25519PublicKey]]:
    """The heads and public keys of files; ends the command when one cannot be read."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from gateway.feeds.departures import head_documents
    from gateway.feeds.heads import read_head
    from security import json
    from security.errors import UnsafeInput

    read: list[SignedHead] = []
    public: list[Ed25519PublicKey] = []
    for path in heads:
        try:
            found = json.loads(path.read_bytes())
            read.extend(read_head(one) for one in head_documents(found))
        except (OSError, UnsafeInput, ValueError, TypeError) as exc:
            if "FEED-HEAD-002" in str(exc):
                typer.echo(f"{path.name}: FEED-HEAD-002 la racine n'est pas celle de ces têtes.", err=True)
                raise typer.Exit(FOUND) from exc
            typer.echo(f"{path.name}: FEED-HEAD-001 ce n'est pas une tête signée.", err=True)
            raise typer.Exit(UNUSABLE) from exc
        if roots is not None and isinstance(found, dict) and "root" in found:
            _stamped(path.name, found, roots)
    for path in keys:
        try:
            loaded = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError, UnsupportedAlgorithm) as exc:
            typer.echo(f"{path.name}: clé publique PEM illisible.", err=True)
            raise typer.Exit(UNUSABLE) from exc
        if not isinstance(loaded, Ed25519PublicKey):
            typer.echo(f"{path.name}: une clé Ed25519 est attendue.", err=True)
            raise typer.Exit(UNUSABLE)
        public.append(loaded)
    return read, public


def _verify_export(path: Path, heads: list[SignedHead], keys: list[Ed25519PublicKey], form: Form) -> None:
    """Check an export with the module that comes with it, so that both always say the same."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from gateway.feeds.offline import verify_export

    if not path.exists():
        typer.echo(f"{path.name} n'existe pas.", err=True)
        raise typer.Exit(UNUSABLE)
    with progress() as advance:
        report = verify_export(
            path,
            keys=[key.public_bytes(Encoding.Raw, PublicFormat.Raw) for key in keys],
            heads=[head.as_json() for head in heads],
            progress=advance,
        )
    if form is Form.JSON:
        write_json(report.as_json())
    else:
        for fault in report.faults:
            typer.echo(f"{fault.code} {fault.place}: {fault.message}", err=True)
        verdict = "export vérifié (export verified)" if report.ok else "export altéré (export altered)"
        typer.echo(f"{report.entries} écritures, {report.chains} chaîne(s) : {verdict}.")
    if not report.ok:
        raise typer.Exit(FOUND)


for _command in (recount, rules, statement):
    app.command()(_command)
