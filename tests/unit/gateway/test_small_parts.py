"""Ids, retries, languages, cursors, settings: the small parts that everything leans on."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from pydantic import ValidationError

from gateway import cli
from gateway.api.access import language_of
from gateway.api.cursors import open_cursor
from gateway.ids import new_id, new_oid
from gateway.journey.retry import RetryPolicy
from gateway.problems import Invalid
from gateway.services.faults import findings_of
from gateway.services.intake import UNREADABLE, IntakeRefused
from gateway.settings import Settings
from gateway.vault import Vault
from mappings import document as hub
from tests.support import documents

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_ids_sort_by_time_and_never_repeat() -> None:
    """Later ids come later; two of the same instant differ."""
    early = new_id("doc", NOW)
    late = new_id("doc", NOW + timedelta(milliseconds=1))
    assert early < late
    assert len({new_id("doc", NOW) for _ in range(1000)}) == 1000
    assert re.fullmatch(r"doc_[0-9A-HJKMNP-TV-Z]{26}", early)
    assert re.fullmatch(r"2\.25\.[1-9]\d{1,38}", new_oid())


def test_retries_wait_longer_each_time_and_end() -> None:
    """Full jitter under a doubling ceiling, a cap, an end, and the destination's own word first."""
    policy = RetryPolicy(first=1, cap=60, attempts=8)
    random = Random(7)
    for attempts in range(1, 12):
        waits = [policy.delay(attempts, random).total_seconds() for _ in range(200)]
        ceiling = min(60, 2 ** (attempts - 1))
        assert all(0 <= wait <= ceiling for wait in waits)
        assert max(waits) > ceiling * 0.8
    assert policy.delay(1, random, retry_after=120) >= timedelta(seconds=120)
    assert [policy.exhausted(n) for n in (7, 8, 9)] == [False, True, True]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "fr"),
        ("", "fr"),
        ("en", "en"),
        ("en-GB,fr;q=0.5", "en"),
        ("de,en;q=0.2,fr;q=0.9", "fr"),
        ("de", "fr"),
        ("en;q=x", "fr"),
        ("," * 500, "fr"),
    ],
)
def test_the_language_of_a_caller(header: str | None, language: str) -> None:
    """French unless English is preferred; nonsense is French."""
    assert language_of(header) == language


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "eA", "w6k", "MjAyNnxkb2M"])
def test_a_bad_cursor_is_said(cursor: str) -> None:
    """Never a failure of ours."""
    with pytest.raises(Invalid):
        open_cursor(cursor)


def test_settings_refuse_what_production_must_not_have() -> None:
    """Plain http to a national service, private webhooks: named at start."""
    with pytest.raises(ValidationError, match="https in production"):
        Settings(environment="production", dmp={"base_url": "http://x"})
    with pytest.raises(ValidationError, match="sandbox only"):
        Settings(environment="production", allow_private_webhooks=True)


def test_every_fault_of_a_json_document_has_its_place_and_no_value() -> None:
    """Missing, unknown, malformed and contradictory members, each with a pointer into what was sent."""
    value = documents.prescription()
    value["patient"].pop("birthName")
    value["patient"]["sex"] = "SECRET-SEX"
    value["lines"][0]["posology"]["colour"] = "SECRET-COLOUR"
    value["lines"][1]["substitution"] = {"permitted": False}
    value["encounter"]["period"] = {"start": "2026-11-20T10:00:00+01:00", "end": "2026-11-20T09:00:00+01:00"}
    with pytest.raises(ValidationError) as refused:
        hub.load(value)
    found = {(f.code, f.location) for f in findings_of(refused.value)}
    assert found == {
        ("DOC-JSON-001", "/patient/birthName"),
        ("DOC-JSON-003", "/patient/sex"),
        ("DOC-JSON-002", "/lines/0/posology/colour"),
        ("DOC-JSON-005", "/lines/1/substitution"),
        ("DOC-JSON-005", "/encounter/period"),
    }
    assert "SECRET" not in repr([f.as_json("fr") for f in findings_of(refused.value)])


def test_an_unknown_kind_is_one_fault() -> None:
    """The reader says which kinds there are."""
    with pytest.raises(ValidationError) as refused:
        hub.load({**documents.report(), "kind": "poem"})
    assert [(f.code, f.location) for f in findings_of(refused.value)] == [("DOC-JSON-004", "/kind")]


def test_a_refusal_travels_between_processes() -> None:
    """The pool hands refusals back whole."""
    sent = IntakeRefused([UNREADABLE.finding("/x", found="y")], unreadable=True)
    got = pickle.loads(pickle.dumps(sent))  # noqa: S301 - our own bytes
    assert got.unreadable
    assert got.findings == sent.findings


def test_the_vault_keeps_tenants_apart_and_shows_nothing() -> None:
    """Another tenant, another name or a flipped bit opens nothing; the keys never print."""
    vault = Vault(bytes(range(32)))
    sealed = vault.seal("t1", b"trait", "row")
    assert vault.open("t1", sealed, "row") == b"trait"
    for tenant, data, name in (
        ("t2", sealed, "row"),
        ("t1", sealed, "other"),
        ("t1", sealed[:-1] + bytes([sealed[-1] ^ 1]), "row"),
    ):
        with pytest.raises(ValueError, match="SEAL-"):
            vault.open(tenant, data, name)
    assert b"trait" not in sealed
    assert repr(vault) == "Vault(...)"
    assert vault.lookup("t1", "x") != vault.lookup("t2", "x")


def test_every_command_listed_exists_and_says_what_it_does() -> None:
    """The list of commands and the modules agree."""
    import importlib

    for name, (module, line) in cli.COMMANDS.items():
        assert importlib.import_module(module).app is not None, name
        assert line.endswith(".")


def test_help_loads_nothing_heavy() -> None:
    """``--help`` reads neither lxml, SQLAlchemy nor FastAPI."""
    code = (
        "import sys; sys.argv=['passerelle','--help']\n"
        "from gateway.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('lxml','sqlalchemy','fastapi','cryptography','httpx') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert out.stdout.strip().splitlines()[-1] == "[]"
