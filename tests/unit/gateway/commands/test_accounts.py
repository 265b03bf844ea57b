"""``passerelle accounts``: made, listed, disabled; the password comes from standard input and is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.commands.accounts import app

PASSWORD = "une phrase assez longue"


def test_accounts_are_made_listed_and_disabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fault by its code; an unknown login is told."""
    monkeypatch.setenv("PASSERELLE_DATA_DIR", str(tmp_path / "data"))
    run = CliRunner()
    assert "Aucun compte" in run.invoke(app, ["list"]).output
    command = ["add", "docteur", "--role", "professional", "--rpps", "10100000001", "--name", "Dr A"]
    made = run.invoke(app, command, input=f"{PASSWORD}\n")
    assert made.exit_code == 0, made.output
    assert PASSWORD not in made.output
    again = run.invoke(app, command, input=f"{PASSWORD}\n")
    assert again.exit_code == 1
    assert "CONSOLE-ACCOUNT-005" in again.output
    short = run.invoke(app, ["add", "court", "--role", "national"], input="court\n")
    assert "CONSOLE-ACCOUNT-003" in short.output
    listed = run.invoke(app, ["list"]).output
    assert "docteur" in listed
    assert "actif" in listed
    assert run.invoke(app, ["disable", "docteur"]).exit_code == 0
    assert "désactivé" in run.invoke(app, ["list"]).output
    assert run.invoke(app, ["disable", "personne"]).exit_code == 1
