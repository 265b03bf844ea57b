"""``passerelle demo``: the main job end to end, on this machine, with what it shows."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gateway.demonstration import Client, Demonstration

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "docs" / "examples"
ENDED = {"acknowledged", "refused", "dead_letter", "withdrawn", "expired"}


@dataclass(slots=True)
class Row:
    """One line of the demonstration's table."""

    name: str
    expect: str = "delivered"  #: delivered, refused, released
    state: str = "..."
    unique_id: str = ""
    recipients: str = ""
    loss: str = ""
    milliseconds: str = ""
    id: str = ""
    note: str = ""
    held: str = ""  #: that it was held first, and why
    client: Any = field(default=None, repr=False)

    def cells(self) -> list[str]:
        """What the table shows."""
        return [
            self.name,
            self.state,
            self.unique_id[:34],
            self.recipients,
            self.loss,
            self.milliseconds,
            self.note or self.held,
        ]


HEADERS = ["document", "état", "uniqueId au DMP", "courriels", "repris/texte/perdus", "ms", "remarque"]


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running until interrupted.")] = False,
    access_file: Annotated[Path | None, typer.Option(help="Write addresses and ready clients here (JSON).")] = None,
    examples: Annotated[
        # As the project names it: where it is installed is the machine's business, and the help is a published page.
        Path, typer.Option(help="Folder of documents to feed.", show_default="docs/examples")
    ] = EXAMPLES,
    port: Annotated[int | None, typer.Option(help="Port of the gateway; a free one by default.")] = None,
    folder: Annotated[Path | None, typer.Option("--dir", help="Where to work; a temporary folder by default.")] = None,
) -> None:
    """Feed example documents through a gateway and simulators, then count them and verify the ledger."""
    from gateway.demonstration import Demonstration
    from gateway.heap import own_process
    from security.redaction import configure_logging

    own_process()
    configure_logging(level="warning")
    if not examples.is_dir():
        typer.echo(f"{examples} n'existe pas : donnez --examples avec le dossier docs/examples du projet.", err=True)
        raise typer.Exit(2)
    with tempfile.TemporaryDirectory(prefix="passerelle-demo-") as temporary:
        place = folder or Path(temporary)
        typer.echo("Démarrage de la passerelle et des simulateurs (DMP, INSi, MSSanté)...")
        with Demonstration(place, port=port, apart=True).running() as running:
            typer.echo(f"Passerelle : {running.base_url}  (documentation : {running.base_url}/docs)")
            good = _run(running, examples)
            if access_file is not None and running.access is not None:
                _write_access(access_file, running.access.as_json())
            if keep:
                typer.echo("En marche ; Ctrl-C pour arrêter.")
                _wait()
    raise typer.Exit(0 if good else 1)


def _write_access(path: Path, value: dict[str, Any]) -> None:
    import orjson

    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2))
    typer.echo(f"Accès : {path}")


def _wait() -> None:
    import signal
    import threading

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()


def _run(running: Demonstration, examples: Path) -> bool:
    vendor, pharmacy = running.client("vendor"), running.client("pharmacy")
    rows: list[Row] = []
    show = _screen(rows)
    for path in sorted(examples.glob("*.json")):
        dispensation = "dispensation" in path.stem
        row = Row(path.stem.partition("-")[2] or path.stem, client=pharmacy if dispensation else vendor)
        row.expect = "refused" if "refused" in path.stem else "released" if "provisional" in path.stem else "delivered"
        rows.append(row)
        _send_example(row, path, examples)
        show()
    packs = os.environ.get("PASSERELLE_PACKS")
    if packs:
        from gateway.demonstration_official import official_documents

        known: set[str] = set()
        for sample in official_documents(Path(packs) / "ans-cda" / "ExemplesCDA"):
            if sample.expect != "refused":
                _introduce(running, sample.data, known)
            caller = pharmacy if sample.dispensation else vendor
            row = Row(sample.name, expect=sample.expect, client=caller)
            rows.append(row)
            _finish_sending(
                row,
                lambda s=sample, c=caller: c.request(  # type: ignore[misc]
                    "POST",
                    "/v1/documents",
                    files={
                        "metadata": ("metadata.json", s.metadata, "application/json"),
                        "file": ("document.xml", s.data, "application/xml"),
                    },
                    headers={"Idempotency-Key": f"demo-{len(rows)}"},
                ),
            )
            show()
    else:
        typer.echo("(PASSERELLE_PACKS absent : les exemples officiels ne sont pas envoyés.)")
    _release(rows, vendor, show)
    _follow(rows, show)
    show(final=True)
    return _conclude(rows, running)


def _introduce(running: Demonstration, data: bytes, known: set[str]) -> None:
    """Make the fictitious patient of an official example known to the INSi simulator, under the test authority."""
    import httpx

    from mappings import cda

    patient = cda.read(data).document.patient
    if patient.ins is None or patient.ins.value in known or running.access is None:
        return
    known.add(patient.ins.value)
    api = running.access.simulators["insi"]["api"]
    person = {
        "birthName": patient.birth_name,
        "givenNames": patient.given_names or patient.first_given_name,
        "sex": str(patient.sex),
        "birthDate": patient.birth_date,
        "birthPlace": patient.birth_place,
        "matricule": patient.ins.value,
        "oid": patient.ins.authority,
    }
    answer = httpx.post(f"{api}/people", json=person, trust_env=False, timeout=5)
    if answer.status_code != 204:
        typer.echo(f"INSi : {answer.text}", err=True)


def _send_example(row: Row, path: Path, examples: Path) -> None:
    import orjson

    body = path.read_bytes()
    headers = {"Idempotency-Key": f"demo-{path.stem}"}
    document = orjson.loads(body).get("document", {})
    if document.get("kind") == "report" and "content" not in document:
        files = {
            "metadata": (path.name, body, "application/json"),
            "file": ("report.pdf", (examples / "report.pdf").read_bytes(), "application/pdf"),
        }
        _finish_sending(row, lambda: row.client.request("POST", "/v1/documents", files=files, headers=headers))
    else:
        headers["Content-Type"] = "application/json"
        _finish_sending(row, lambda: row.client.request("POST", "/v1/documents", content=body, headers=headers))


def _finish_sending(row: Row, send: Callable[[], Any]) -> None:
    began = time.perf_counter()
    answer = send()
    row.milliseconds = f"{(time.perf_counter() - began) * 1000:.0f}"
    body = answer.json()
    if answer.status_code != 202:
        row.state = "refused"
        faults = body.get("faults", [])
        row.note = " ; ".join(f"{f['code']} {f.get('location', '')}".strip() for f in faults[:3]) or body.get(
            "title", ""
        )
        return
    row.id = body["id"]
    _read(row, body)


def _read(row: Row, body: dict[str, Any]) -> None:
    loss = body["loss"]
    row.loss = f"{loss['carried']}/{loss['textOnly']}/{loss['lost']}"
    dmp = [d for d in body["deliveries"] if d["to"] == "dmp"]
    mss = [d for d in body["deliveries"] if d["to"] == "mss"]
    row.recipients = str(sum(d.get("recipients", 0) for d in mss if d["state"] == "acknowledged")) if mss else "-"
    row.state = body["state"]
    for delivery in body["deliveries"]:
        if delivery["state"] in ("held", "refused", "dead_letter", "retrying", "uncertain"):
            row.state = delivery["state"] if body["state"] == "accepted" else body["state"]
            row.note = delivery.get("cause") or delivery.get("reason") or ""
            if delivery.get("outcome", {}).get("originalText"):
                row.note += f" [{delivery['outcome'].get('originalCode') or ''} {delivery['outcome']['originalText']}]"
    if dmp and dmp[0]["state"] == "acknowledged":
        row.unique_id = body["uniqueId"]
        if body["state"] == "completed":
            row.note = ""


def _poll(row: Row) -> dict[str, Any]:
    body: dict[str, Any] = row.client.request("GET", f"/v1/documents/{row.id}").json()
    _read(row, body)
    return body


def _release(rows: list[Row], vendor: Client, show: Callable[..., None]) -> None:
    """Show the held document held, then report the proof that qualifies its patient."""
    for row in [r for r in rows if r.expect == "released" and r.id]:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            _poll(row)
            pending = vendor.request("GET", "/v1/identities/pending").json()
            if row.state == "held" and pending and pending[0]["missing"] == ["proof"]:
                break
            time.sleep(0.1)
        held = row.state == "held"
        show()
        pending = vendor.request("GET", "/v1/identities/pending").json()
        for identity in pending:
            vendor.request(
                "POST",
                f"/v1/identities/{identity['id']}/events",
                json={"event": "PROOF_HIGH_CHECKED", "proof": "CN"},
            ).raise_for_status()
        if held:
            row.held = "retenu tant que l'identité n'était pas qualifiée, puis libéré"
        else:
            row.expect = "held first"


def _follow(rows: list[Row], show: Callable[..., None]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        waiting = False
        for row in rows:
            if row.id:
                body = _poll(row)
                waiting = waiting or any(d["state"] not in ENDED for d in body["deliveries"])
        show()
        if not waiting:
            return
        time.sleep(0.15)


def _conclude(rows: list[Row], running: Demonstration) -> bool:
    from gateway.feeds.verification import all_tenants, verify

    good = True
    for row in rows:
        wanted = "refused" if row.expect == "refused" else "completed"
        if row.state != wanted or row.expect == "held first":
            good = False
            typer.echo(f"!! {row.name} : {row.state} au lieu de {wanted} {row.note}", err=True)
    refused = [row for row in rows if row.expect == "refused"]
    for row in refused:
        typer.echo(f"Refusé comme attendu : {row.name} ({row.note})")
    time.sleep(0.6)
    auditor = running.client("auditor")
    counts = auditor.request("GET", "/v1/feeds/counts", params={"by": "type,month,outcome"}).json()
    typer.echo("\nAlimentations comptées :")
    from gateway.commands.common import table

    table(
        ["service", "type", "mois", "issue", "nombre"],
        [[r["service"], r["by"]["type"], r["by"]["month"], r["by"]["outcome"], r["count"]] for r in counts["rows"]],
    )

    def check(connection: Any) -> bool:
        return all(verify(connection, tenant).ok for tenant in all_tenants(connection))

    intact = running.gateway.store.read_now(check)
    typer.echo("Journal vérifié (ledger verified)." if intact else "!! Le journal n'est pas intact.")
    return good and intact


def _screen(rows: list[Row]) -> Callable[..., None]:
    """A live table on a terminal; elsewhere, one line a document at the end."""
    if not sys.stdout.isatty():

        def lines(final: bool = False) -> None:
            if final:
                typer.echo("\t".join(HEADERS))
                for row in rows:
                    typer.echo("\t".join(row.cells()))

        return lines
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    console = Console()
    live = Live(console=console, refresh_per_second=8, transient=False)
    live.start()

    def draw(final: bool = False) -> None:
        table = Table(*HEADERS, header_style="bold", expand=True)
        for row in rows:
            colour = {"completed": "green", "refused": "red", "held": "yellow"}.get(row.state, "")
            cells = row.cells()
            cells[1] = f"[{colour}]{cells[1]}[/]" if colour else cells[1]
            table.add_row(*cells)
        live.update(table, refresh=True)
        if final:
            live.stop()

    return draw
