"""One process a SQLite file, one master key a database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.store.engine import Store
from gateway.store.ownership import AlreadyServed, WrongMasterKey, check_master_key, hold_file
from gateway.vault import Vault

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_a_file_is_held_by_one_and_given_back(tmp_path: Path) -> None:
    """The second holder is refused until the first lets go."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    held = hold_file(url)
    with pytest.raises(AlreadyServed):
        hold_file(url)
    held.release()
    hold_file(url).release()


def test_a_server_is_shared() -> None:
    """PostgreSQL is held by nobody."""
    url = "postgresql+psycopg://localhost/x"
    first, second = hold_file(url), hold_file(url)
    first.release()
    second.release()


def test_another_master_key_is_refused(store: Store) -> None:
    """The key a database was first opened with is the only one that opens it."""
    check_master_key(store, Vault(bytes(32)), NOW)
    check_master_key(store, Vault(bytes(32)), NOW)
    with pytest.raises(WrongMasterKey):
        check_master_key(store, Vault(bytes([1] * 32)), NOW)
