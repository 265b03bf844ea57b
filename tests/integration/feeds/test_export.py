"""An export proves itself with nothing but itself, and shows a change of a single byte."""

from __future__ import annotations

import csv
import json
import random
import shutil
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Connection, Engine, create_engine

from gateway.feeds import export, heads, ledger, offline, subjects
from gateway.feeds import tables as _tables  # noqa: F401
from gateway.feeds.bulk import build
from gateway.feeds.entry import LedgerEntry
from gateway.store.metadata import metadata
from tests.support.feeds import DOCTOR, PRACTICE, START, fed, many

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
OTHER = "10100000009"


def _fill(connection: Connection, number: int = 300) -> None:
    for tenant in ("t1", "t2"):
        commit = subjects.commitment(connection, tenant, "patient", "reference", key=b"k" * 32)
        entries = [
            fed(n, actor_rpps=DOCTOR if n % 3 else OTHER, patient_commit=commit if n % 2 else None, reason=None)
            for n in range(number)
        ]
        ledger.record_many(connection, tenant, [*entries, _refused(number)])
        while ledger.seal(connection, tenant, batch=64).more:
            pass


def _refused(number: int) -> LedgerEntry:
    """One refusal, the day after all the rest."""
    return fed(number, state="rejected", reason="dmp_closed", submitted_at=START + timedelta(days=1))


def _write(connection: Connection, folder: Path, selection: export.Selection, **more: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"purpose": "audit", "pseudonym_key": lambda tenant: b"k" * 32, "now": NOW} | more
    return export.write_export(connection, folder, key=KEY, selection=selection, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of two whole chains, written once."""
    folder = tmp_path_factory.mktemp("exports") / "whole"
    made = create_engine("sqlite://")
    metadata.create_all(made, tables=[t for name, t in metadata.tables.items() if name.startswith("feed_")])
    with made.begin() as connection:
        _fill(connection)
        _write(connection, folder, export.Selection(tenants=["t1", "t2"]), forms=export.FORMS)
    made.dispose()
    return folder


def codes(path: Path, **more: Any) -> set[str]:
    return {fault.code for fault in offline.verify_export(path, keys=[PUBLIC], **more).faults}


def test_an_export_verifies_and_counts(engine: Engine, tmp_path: Path) -> None:
    """Two chains, every line, the counts recomputed from the lines; as a folder and as a ZIP."""
    with engine.begin() as connection:
        _fill(connection)
        manifest = _write(connection, tmp_path / "out", export.Selection(tenants=["t2", "t1"]))
    report = offline.verify_export(tmp_path / "out", keys=[PUBLIC])
    assert report.ok
    assert (report.entries, report.chains, report.faults) == (602, 2, [])
    assert [chain["proof"] for chain in manifest["chains"]] == [[], []]
    assert {(c["outcome"], c["reason"]): c["count"] for c in manifest["counts"]} == {
        ("accepted", ""): 600,
        ("rejected", "dmp_closed"): 2,
    }
    export.pack(tmp_path / "out", tmp_path / "out.zip")
    assert codes(tmp_path / "out.zip") == set()


@pytest.mark.parametrize(
    "selection",
    [
        export.Selection(tenants=["t1"], professional=OTHER),
        export.Selection(tenants=["t1"], structure=PRACTICE, since="2026-03-02", until="2026-03-02"),
        export.Selection(tenants=["t1"], services=["mss.message"]),
        export.Selection(tenants=["t1", "t2"], entries={"t1": [1, 17, 256, 257, 301]}),
    ],
    ids=["one professional", "one day", "nothing", "a sample"],
)
def test_part_of_a_chain_proves_itself(engine: Engine, tmp_path: Path, selection: export.Selection) -> None:
    """A selection carries one proof for all its lines, and each still leads to the signed head."""
    with engine.begin() as connection:
        _fill(connection)
        manifest = _write(connection, tmp_path / "out", selection)
    report = offline.verify_export(tmp_path / "out", keys=[PUBLIC])
    assert report.faults == []
    assert report.entries == sum(chain["entries"] for chain in manifest["chains"]) < 301
    assert all(chain["proof"] for chain in manifest["chains"])


def test_patients_show_by_pseudonym_of_the_purpose_only(engine: Engine, tmp_path: Path) -> None:
    """One patient, one pseudonym; another purpose, another one; an erased patient has none."""
    with engine.begin() as connection:
        _fill(connection, 10)
        selection = export.Selection(tenants=["t1"])
        commit = subjects.commitment(connection, "t1", "patient", "reference", key=b"k" * 32)

        def seen(purpose: str) -> set[str | None]:
            folder = tmp_path / purpose
            _write(connection, folder, selection, purpose=purpose)
            lines = (folder / "entries-1.ndjson").read_bytes().splitlines()
            return {json.loads(line)["patient"] for line in lines if commit.encode() in line}

        audit, study = seen("audit"), seen("study")
        assert subjects.erase(connection, "t1", "patient", "reference", key=b"k" * 32, now=NOW)
        assert len(audit) == len(study) == 1
        assert audit != study
        after = seen("later")
    assert after == {None}
    assert offline.verify_export(tmp_path / "later", keys=[PUBLIC]).ok


@pytest.mark.parametrize("seed", range(40))
def test_a_single_byte_changed_anywhere_is_found(whole: Path, tmp_path: Path, seed: int) -> None:
    """Whatever file and whatever byte, changed, cut or added."""
    draw = random.Random(seed)
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    target = draw.choice(sorted(copy.iterdir()))
    data = bytearray(target.read_bytes())
    at = draw.randrange(len(data))
    match draw.choice(["change", "cut", "remove", "add"]):
        case "change":
            data[at] ^= 1 << draw.randrange(8)
        case "cut":
            del data[at:]
        case "remove":
            del data[at]
        case "add":
            data.insert(at, 0x20)
    target.write_bytes(bytes(data))
    report = offline.verify_export(copy, keys=[PUBLIC])
    assert not report.ok, target.name


def _forge(folder: Path, key: Ed25519PrivateKey) -> None:
    """Sign a changed export again, with every size and hash of the manifest made to fit."""
    import base64
    import hashlib

    manifest = json.loads((folder / "manifest.json").read_bytes())
    for file in manifest["files"]:
        data = (folder / file["name"]).read_bytes()
        file |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    data = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(data)
    signed = json.loads((folder / "manifest.sig").read_bytes())
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    signed |= {"signature": base64.b64encode(key.sign(data)).decode(), "public_key": public.hex()}
    signed["key_id"] = offline.key_id(public)
    (folder / "manifest.sig").write_bytes(offline._canonical(signed))


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("a field", "FEED-EXPORT-007"),
        ("a line removed", "FEED-EXPORT-009"),
        ("two lines exchanged", "FEED-EXPORT-008"),
        ("the last line removed", "FEED-EXPORT-009"),
        ("a line twice", "FEED-EXPORT-008"),
        ("a line rebuilt", "FEED-EXPORT-009"),
        ("not a line", "FEED-EXPORT-006"),
        ("not an entry", "FEED-EXPORT-006"),
    ],
)
def test_lines_changed_and_signed_again_are_found(whole: Path, tmp_path: Path, what: str, code: str) -> None:
    """Even the holder of the key, with every file's hash made to fit, cannot change a line under the same head."""
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    path = copy / "entries-1.ndjson"
    lines = path.read_bytes().splitlines(keepends=True)
    match what:
        case "a field":
            lines[4] = lines[4].replace(DOCTOR.encode(), b"10100000008")
        case "a line removed":
            del lines[4]
        case "two lines exchanged":
            lines[4], lines[5] = lines[5], lines[4]
        case "the last line removed":
            del lines[-1]
        case "a line twice":
            lines.insert(4, lines[4])
        case "a line rebuilt":
            from hashlib import sha256

            values = json.loads(lines[4])
            values["entry"]["actor_rpps"] = "10100000008"
            entry = offline._canonical(values["entry"])
            link = {"chain": "t1", "payload_hash": sha256(entry).hexdigest()}
            link |= {"prev_hash": values["prev_hash"], "seq": values["seq"]}
            values["entry_hash"] = sha256(offline._canonical(link)).hexdigest()
            lines[4] = offline._canonical(values) + b"\n"
        case "not a line":
            lines[4] = b'{"seq":5}\n'
        case "not an entry":
            lines[4] = b'{"entry":{},' + lines[4].partition(b"},")[2]
    path.write_bytes(b"".join(lines))
    _forge(copy, KEY)
    assert code in codes(copy)


def test_counts_that_are_not_those_of_the_lines_are_found(whole: Path, tmp_path: Path) -> None:
    """A manifest that says more than its lines is false, whoever signed it."""
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    manifest = json.loads((copy / "manifest.json").read_bytes())
    manifest["counts"][0]["count"] += 1
    (copy / "manifest.json").write_text(json.dumps(manifest))
    _forge(copy, KEY)
    assert codes(copy) == {"FEED-EXPORT-010"}


def test_another_key_is_not_the_gateways(whole: Path, tmp_path: Path) -> None:
    """An export signed again with a stranger's key is whole in itself, and refused by who holds the real key."""
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    _forge(copy, Ed25519PrivateKey.from_private_bytes(bytes(32)))
    assert codes(copy) >= {"FEED-EXPORT-003"}
    unpinned = offline.verify_export(whole)
    assert unpinned.ok
    assert [fault.code for fault in unpinned.faults] == ["FEED-EXPORT-014"]


def test_a_head_kept_outside_is_compared(engine: Engine, tmp_path: Path) -> None:
    """Yesterday's head belongs to the history of today's export; that of another history does not."""
    with engine.begin() as connection:
        ledger.record_many(connection, "t1", [fed(n) for n in range(70)])
        ledger.seal(connection, "t1")
        yesterday = heads.sign_head(connection, "t1", KEY, now=NOW).as_json()
        _fill(connection, 200)
        _write(connection, tmp_path / "out", export.Selection(tenants=["t1"], professional=OTHER))
    foreign_engine = create_engine("sqlite://")
    metadata.create_all(foreign_engine, tables=[t for n, t in metadata.tables.items() if n.startswith("feed_")])
    with foreign_engine.begin() as connection:
        ledger.record_many(connection, "t1", [fed(n, doc_type="x") for n in range(70)])
        ledger.seal(connection, "t1")
        foreign = heads.sign_head(connection, "t1", KEY, now=NOW).as_json()
    foreign_engine.dispose()
    assert codes(tmp_path / "out", heads=[yesterday]) == set()
    assert codes(tmp_path / "out", heads=[foreign]) == {"FEED-EXPORT-012"}
    assert codes(tmp_path / "out", heads=[yesterday | {"size": 71}]) == {"FEED-EXPORT-011"}
    assert codes(tmp_path / "out", heads=[yesterday | {"chain": "t9"}]) == {"FEED-EXPORT-011"}


def test_the_checker_runs_with_the_standard_library_alone(whole: Path, tmp_path: Path) -> None:
    """The program inside the export, run isolated from every installed package, says the same."""
    run = [sys.executable, "-I", "-S", str(whole / "verify.py")]
    key = tmp_path / "key.pem"
    key.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    good = subprocess.run([*run, str(whole), "--key", str(key), "--json"], capture_output=True, check=False)
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout) == offline.verify_export(whole, keys=[PUBLIC]).as_json()
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    (copy / "entries.csv").write_bytes(b"")
    bad = subprocess.run([*run, str(copy)], capture_output=True, check=False)
    assert bad.returncode == 1
    assert "FEED-EXPORT-005 entries.csv" in bad.stdout.decode()
    assert subprocess.run(run, capture_output=True, check=False).returncode == 2


@pytest.mark.parametrize("make", ["nothing", "empty", "text", "cut"])
def test_what_is_not_an_export_is_said_so(whole: Path, tmp_path: Path, make: str) -> None:
    """A missing, foreign or cut file is a finding, never a traceback."""
    path = tmp_path / "export.zip"
    if make == "empty":
        path.mkdir()
    elif make == "text":
        path.write_text("not a ZIP")
    elif make == "cut":
        export.pack(whole, path)
        path.write_bytes(path.read_bytes()[:-3000])
    assert codes(path) == {"FEED-EXPORT-001"}


def test_csv_and_parquet_hold_the_same_lines(whole: Path) -> None:
    """The three forms say the same; nothing in a cell can run as a formula."""
    ndjson = [json.loads(line) for line in (whole / "entries-1.ndjson").read_bytes().splitlines()]
    with (whole / "entries.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = pyarrow.parquet.read_table(whole / "entries.parquet").to_pylist()
    assert len(rows) == len(table) == 602
    for line, row, record in zip(ndjson, rows, table, strict=False):
        assert line["entry_hash"] == row["entry_hash"] == record["entry_hash"]
        assert (line["patient"] or "") == row["patient"] == (record["patient"] or "")
        assert line["entry"]["day"] == row["day"] == record["day"]
    assert export._cell("=cmd()") == "'=cmd()"


def test_memory_does_not_grow_with_the_lines(tmp_path: Path) -> None:
    """Ten times the lines take no more memory at their peak, but for some bytes a line: they are read page by page."""
    peaks = []
    for number in (4_000, 40_000):
        made = create_engine("sqlite://")
        metadata.create_all(made, tables=[t for name, t in metadata.tables.items() if name.startswith("feed_")])
        with made.begin() as connection:
            build(connection, "t1", many(number))
            heads.sign_head(connection, "t1", KEY, now=NOW)
            tracemalloc.start()
            _write(connection, tmp_path / str(number), export.Selection(tenants=["t1"]))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        made.dispose()
    assert peaks[1] - peaks[0] < 100 * 36_000, peaks
    assert offline.verify_export(tmp_path / "40000", keys=[PUBLIC]).ok


def test_an_unknown_form_is_refused(engine: Engine, tmp_path: Path) -> None:
    """A form that cannot be written is named before anything is."""
    with engine.begin() as connection, pytest.raises(ValueError, match="FEED-EXPORT-020"):
        _write(connection, tmp_path / "out", export.Selection(tenants=["t1"]), forms=["xls"])


@pytest.mark.parametrize("length", [0, 1, 100])
def test_signatures_are_checked_as_the_library_checks_them(length: int) -> None:
    """The small Ed25519 checker accepts the library's signatures and refuses any change."""
    message = bytes(length)
    signature = KEY.sign(message)
    assert offline.ed25519_verify(PUBLIC, message, signature)
    assert not offline.ed25519_verify(PUBLIC, message + b"x", signature)
    for at in (0, 31, 32, 63):
        changed = bytearray(signature)
        changed[at] ^= 1
        assert not offline.ed25519_verify(PUBLIC, message, bytes(changed))
    assert not offline.ed25519_verify(b"\xff" * 32, message, signature)
    assert not offline.ed25519_verify(PUBLIC[:31], message, signature)


def test_the_published_signature_of_rfc_8032_is_accepted() -> None:
    """Test 1 of RFC 8032, 7.1: an empty message."""
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert offline.ed25519_verify(public, b"", signature)


def test_only_an_ed25519_key_in_pem_is_read() -> None:
    """The key file is the one `openssl pkey -pubout` writes."""
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert offline.read_public_key(pem) == PUBLIC
    for wrong in (b"", pem.replace(b"M", b"N", 1), b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"):
        with pytest.raises(ValueError, match=r"Ed25519|padding|base64"):
            offline.read_public_key(wrong)
