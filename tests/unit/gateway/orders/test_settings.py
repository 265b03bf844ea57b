"""What an installation sets for dispensations: delays, tables of the public medicine database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gateway.services.orders import rules_of
from gateway.settings import OrdonnanceSettings


def gateway(**said: Any) -> Any:
    """What of a gateway the rules are read from."""
    return SimpleNamespace(health={}, settings=SimpleNamespace(ordonnance=OrdonnanceSettings(**said)))


def test_tables_are_read_once_from_the_files_set(tmp_path: Path) -> None:
    """A CIP leads to its speciality and to its generic groups; the files are not read a second time."""
    presentations, generics = tmp_path / "CIS_CIP_bdpm.txt", tmp_path / "CIS_GENER_bdpm.txt"
    presentations.write_bytes(b"60002283\t4949729\tplaquette\tactive\td\xe9clar\xe9e\t16/03/2011\t3400949497294\toui\n")
    generics.write_bytes(b"42\tALPHA 1 g\t60002283\t0\t1\n42\tBETA 1 g\t60000001\t1\t2\n")
    mine = gateway(presentations_file=presentations, generics_file=generics)
    table = rules_of(mine).presentations
    assert table.cis_of == {"3400949497294": "60002283"}
    assert table.groups_of["60002283"] == table.groups_of["60000001"] == frozenset({"42"})
    presentations.unlink()
    assert rules_of(mine).presentations is table


def test_delays_are_settings() -> None:
    """Each delay of the rules is what was set; without files the table is empty."""
    rules = rules_of(gateway(first_days=30, secured_days=2, early_days=0, skew_seconds=60))
    assert (rules.first_days, rules.secured_days, rules.early_days) == (30, 2, 0)
    assert rules.skew == timedelta(minutes=1)
    assert rules.presentations.cis_of == {}
