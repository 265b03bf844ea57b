"""A new master key: everything sealed before opens, is put under it, and the former key can go."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, LargeBinary, inspect, select

from gateway import identities as persons
from gateway.journey.recipients import shown
from gateway.services import rotation
from gateway.services.rotation import left_behind, rewrap
from gateway.store import blobs
from gateway.store.engine import Store
from gateway.store.mail_tables import mail_recipients
from gateway.store.migrate import upgrade
from gateway.store.ownership import check_master_key
from gateway.store.tables import documents
from gateway.vault import Vault
from tests.support import documents as samples
from tests.unit.gateway.conftest import HandClock, Intakes

PRO = {"address": "dr.exemple@medecin.formation.mssante.fr", "kind": "professional"}


def all_opens(store: Store, vault: Vault) -> None:
    """Contents, traits and addresses can be read with a vault."""

    def read(connection: Connection) -> None:
        for row in connection.execute(select(documents)).all():
            for address in (row.model, row.cda, row.fhir):
                assert blobs.get(connection, vault, row.tenant_id, address)
            held = persons.load(connection, vault, row.identity_id)
            assert held.patient.birth_name == samples.PATIENT["birthName"]
        for row in connection.execute(select(mail_recipients)).all():
            assert "@" in shown(vault, row)

    store.read_now(read)


def test_everything_is_put_under_the_new_key(
    store: Store, vault: Vault, intakes: Intakes, clock: HandClock, tmp_path: Path
) -> None:
    """Read before, during and after; the former key alone opens nothing any more, hashes find what they found."""
    check_master_key(store, vault, clock())
    document = samples.report(1)
    taken = intakes.take(intakes.request(document, recipients=(PRO,)))
    new = vault.rotated()
    assert (new.key_ids, new.current, vault.current) == (["1", "2"], "2", "1")
    all_opens(store, new)
    behind = store.read_now(lambda c: left_behind(c, new))
    assert {"blobs", "identities", "mail_recipients"} <= set(behind)
    assert rewrap(store, new) == behind
    assert store.read_now(lambda c: left_behind(c, new)) == {}
    assert rewrap(store, new) == {}
    all_opens(store, new)
    with pytest.raises(ValueError, match="SEAL-KEY-001"):
        all_opens(store, vault)

    file = tmp_path / "master.key"
    new.retired().save(file)
    assert file.stat().st_mode & 0o077 == 0
    last = Vault.open_file(file)
    assert (last.key_ids, last.current) == (["2"], "2")
    all_opens(store, last)
    check_master_key(store, last, clock())
    intakes.vault = last
    again = intakes.take(intakes.request(document, recipients=(PRO,)))
    assert (again.document_id, again.replayed) == (taken.document_id, True)


def test_a_key_can_be_given_to_every_node_before_it_is_used(vault: Vault, tmp_path: Path) -> None:
    """A node that holds it ready opens what a node that uses it seals, and the other way round."""
    file = tmp_path / "master.key"
    vault.rotated(use=False).save(file)
    ready = Vault.open_file(file)
    assert (ready.key_ids, ready.current) == (["1", "2"], "1")
    using = ready.using("2")
    assert ready.open("t", using.seal("t", b"x", "a"), "a") == b"x"
    assert using.open("t", ready.seal("t", b"x", "a"), "a") == b"x"
    assert "2" not in repr(ready)


@pytest.mark.parametrize("held", [b"", b"short", b"{}", b'{"first": "", "current": "1", "keys": {"1": "AA=="}}'])
def test_a_file_that_is_no_master_key_is_refused(tmp_path: Path, held: bytes) -> None:
    """Its content is not repeated."""
    file = tmp_path / "master.key"
    file.write_bytes(held)
    file.chmod(0o600)
    with pytest.raises(ValueError, match=r"master\.key is no master key"):
        Vault.open_file(file)


def test_no_sealed_column_is_forgotten(store: Store) -> None:
    """Each column of sealed bytes of the database is one that is put under the new key, or ends by itself."""

    def sealed(connection: Connection) -> set[tuple[str, str]]:
        look = inspect(connection)
        return {
            (table, column["name"])
            for table in look.get_table_names()
            for column in look.get_columns(table)
            if column["name"].startswith("sealed") and isinstance(column["type"], LargeBinary)
        }

    known = {(p.column.table.name, p.column.name) for p in rotation._PLACES}
    known |= {(c.table.name, c.name) for c in rotation._SHORT_LIVED}
    assert store.read_now(sealed) == known


def test_from_the_command_line(tmp_path: Path, clock: HandClock) -> None:
    """Rotate, rewrap, retire; the file stays readable by its owner alone at each step."""
    url = f"sqlite:///{tmp_path / 'passerelle.db'}"
    upgrade(url)
    file = tmp_path / "master.key"
    vault = Vault.open_file(file, create=True)
    store = Store(url)
    check_master_key(store, vault, clock())
    address = store.write_now(lambda c: blobs.put(c, vault, "t", b"content", clock()))

    def run(*words: str) -> str:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")}
        environment["PASSERELLE_DATA_DIR"] = str(tmp_path)
        command = [sys.executable, "-c", "from gateway.cli import main; main()", "keys", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        assert file.stat().st_mode & 0o077 == 0
        return done.stdout

    assert "celle qui scelle : 1" in run("rotate", "--prepare")
    assert "celle qui scelle : 2" in run("rotate")
    assert "blobs 1" in run("rewrap")
    assert "la clé 2" in run("rewrap", "--retire")
    last = Vault.open_file(file)
    assert last.key_ids == ["2"]
    assert store.read_now(lambda c: blobs.get(c, last, "t", address)) == b"content"
    store.close()
