"""The commands that count, verify and evaluate, as people run them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from gateway.commands.feeds import app
from gateway.feeds import export, heads, ledger
from tests.support.feeds import fed

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def database(engine: Engine) -> str:
    """The URL of a ledger with four lines, one of them unsealed."""
    with engine.begin() as connection:
        ledger.record_many(connection, "t1", [fed(1), fed(2), fed(3, state="rejected", reason="dmp_closed")])
        ledger.seal(connection, "t1")
        ledger.record(connection, "t1", fed(4, doc_type="11490-0"))
    url = engine.url.render_as_string(hide_password=False)
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            schema = connection.execute(text("SELECT current_schema()")).scalar_one()
        return f"{url}?options=-csearch_path%3D{schema}"
    return url


@pytest.fixture
def files(tmp_path: Path, engine: Engine) -> dict[str, Path]:
    """A head of the ledger signed and kept, and the public key."""
    with engine.begin() as connection:
        head = heads.sign_head(connection, "t1", KEY, now=NOW)
    out = {"head": tmp_path / "head.json", "key": tmp_path / "key.pem"}
    out["head"].write_text(json.dumps(head.as_json()))
    out["key"].write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return out


def test_count_by_type_and_month(database: str) -> None:
    """A table for people, JSON for programs, CSV for spreadsheets; the unsealed tail is told apart."""
    shown = run("count", "--by", "type,month", "--database", database)
    assert shown.exit_code == 0
    assert "11488-4  2026-03       2" in shown.output
    found = json.loads(run("count", "--format", "json", "--database", database).output)
    assert (found["total"], found["unsealed"]) == (3, 1)
    assert found["rows"][0] == {
        "service": "dmp.document", "by": {"type": "11488-4", "month": "2026-03"}, "count": 2, "unsealed": 0,
    }  # fmt: skip
    refused = run("count", "--by", "outcome,reason", "--where", "outcome=rejected", "--format", "csv",
                  "--database", database)  # fmt: skip
    assert refused.output == "service,outcome,reason,count,unsealed\ndmp.document,rejected,dmp_closed,1,0\n"
    assert "Rien n'a encore" in run("count", "--tenant", "t9", "--database", database).output


def test_verify_says_the_ledger_is_whole_and_names_its_tail(database: str, files: dict[str, Path]) -> None:
    """Exit 0, the tail named; the kept head compared."""
    shown = run("verify", "--database", database, "--head", files["head"], "--key", files["key"])
    assert shown.exit_code == 0, shown.output
    assert "t1: 3 écritures scellées, 1 en attente" in shown.output
    assert f"non scellée : {fed(4).entry_id}" in shown.output
    assert "ledger verified" in shown.output
    report = json.loads(run("verify", "--format", "json", "--database", database).output)
    assert report["ok"] is True
    assert report["ledgers"][0]["unsealedEntries"] == [fed(4).entry_id]


def test_verify_finds_a_change_and_says_where(database: str, engine: Engine, files: dict[str, Path]) -> None:
    """Exit 1 and the place; a ledger emptied altogether is missed thanks to its head."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text("DROP TRIGGER feed_entries_no_UPDATE"))
        else:
            connection.execute(text("ALTER TABLE feed_entries DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE feed_entries SET actor_rpps = '10100000009' WHERE id = 2"))
    shown = run("verify", "--database", database)
    assert shown.exit_code == 1
    assert "FEED-VERIFY-002 seq/2" in shown.output
    assert "ledger altered" in shown.output
    gone = json.loads(files["head"].read_text()) | {"chain": "t8"}
    files["head"].write_text(json.dumps([gone]))
    missed = run("verify", "--database", database, "--head", files["head"])
    assert "FEED-VERIFY-009 head/3" in missed.output


def test_verify_an_export_without_database(engine: Engine, database: str, files: dict[str, Path]) -> None:
    """The same command checks an export, folder or ZIP, by itself."""
    folder = files["key"].parent / "export"
    with engine.begin() as connection:
        export.write_export(
            connection,
            folder,
            key=KEY,
            selection=export.Selection(tenants=["t1"]),
            purpose="audit",
            pseudonym_key=lambda tenant: bytes(32),
            now=NOW,
        )
    good = run("verify", folder, "--key", files["key"], "--head", files["head"])
    assert good.exit_code == 0, good.output
    assert "3 écritures, 1 chaîne(s) : export vérifié" in good.output
    (folder / "entries.csv").write_bytes(b"x")
    bad = run("verify", folder, "--format", "json")
    assert bad.exit_code == 1
    assert json.loads(bad.stdout)["ok"] is False
    shutil.rmtree(folder)
    assert run("verify", folder).exit_code == 2


RULES = Path(__file__).parents[3] / "gateway" / "feeds" / "rules"


def test_evaluate_writes_exact_json(tmp_path: Path) -> None:
    """Rules and measures in, fractions and decimal texts out, no database."""
    measures = tmp_path / "m.json"
    measures.write_text('{"fed_lineages": 488, "fed_days": 471, "consultations": 4812}')
    shown = run("evaluate", RULES / "fr.medecin.forfait-structure.2023.dmp.2.yaml", "--measures", measures)
    assert shown.exit_code == 0
    result = json.loads(shown.stdout)
    assert result["indicators"][0] == {
        "id": "dmp_feed", "value": "488/4812", "met": True, "points": 40, "amount": "280.00",
    }  # fmt: skip
    assert result["total"] == {"points": 40, "amount": "280.00"}


@pytest.mark.parametrize(
    ("rules", "measures", "said"),
    [
        ("schema: [", "{}", "FEED-RULE-001"),
        ("a: &x [*x]", "{}", "FEED-RULE-002"),
        ("schema: incentive-rules/1", "{}", "FEED-RULE-003 /indicators"),
        (None, '{"typo": 1}', "FEED-MEASURE-001 /typo"),
        (None, '{"fed_days": 1.5}', "FEED-MEASURE-002 /fed_days"),
        (None, '{"fed_days": 1, "fed_days": 2}', "m.json: JSON-"),
        (None, "[]", "FEED-MEASURE-000"),
        (None, None, "m.json"),
    ],
)
def test_evaluate_names_what_is_wrong(tmp_path: Path, rules: str | None, measures: str | None, said: str) -> None:
    """A faulty rule or measure file ends with exit 2 and its code, and no figure."""
    path = RULES / "fr.medecin.forfait-structure.2023.dmp.2.yaml"
    if rules is not None:
        path = tmp_path / "r.yaml"
        path.write_text(rules)
    given = tmp_path / "m.json"
    if measures is not None:
        given.write_text(measures)
    shown = run("evaluate", path, "--measures", given)
    assert shown.exit_code == 2
    assert said in shown.stderr
    assert shown.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["count", "--database", "sqlite:////nowhere/ledger.db"],
        ["count", "--database", "not a url"],
        ["count", "--by", "colour"],
        ["count", "--where", "month"],
        ["verify", "--head", "absent.json"],
        ["verify", "--key", "absent.pem"],
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments: list[str], database: str) -> None:
    """Wrong usage ends with exit 2 and a sentence, never a traceback."""
    extra: list[Any] = [] if "--database" in arguments else ["--database", database]
    shown = run(*arguments, *extra)
    assert shown.exit_code == 2
    assert "Traceback" not in shown.output
    assert shown.stderr.strip()


def test_a_key_of_another_kind_is_refused(tmp_path: Path, database: str) -> None:
    """Heads are signed with Ed25519: any other key is named as wrong."""
    path = tmp_path / "key.pem"
    public = generate_private_key(SECP256R1()).public_key()
    path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    shown = run("verify", "--key", path, "--database", database)
    assert shown.exit_code == 2
    assert "Ed25519" in shown.stderr


def test_a_database_without_ledger_is_said_so(tmp_path: Path) -> None:
    """An empty file is not an empty ledger: exit 2, not 'verified'."""
    path = tmp_path / "empty.db"
    path.write_bytes(b"")
    shown = run("verify", "--database", f"sqlite:///{path}")
    assert shown.exit_code == 2
    assert "journal" in shown.stderr


def test_help_loads_nothing_heavy() -> None:
    """Importing the commands brings neither the database nor cryptography."""
    heavy = ["sqlalchemy", "cryptography", "yaml", "pydantic"]
    code = f"import sys, gateway.commands.feeds; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
