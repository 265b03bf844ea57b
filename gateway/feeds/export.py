"""Exports an auditor can check without the gateway: pseudonymised lines, proofs, counts, one signed manifest.

A folder (or its ZIP) holds ``manifest.json`` and its detached signature ``manifest.sig``, one NDJSON file a chain, the
same lines as CSV and, where pyarrow is installed, Parquet, and ``verify.py``, the checker that needs nothing else.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import ColumnElement, Connection, and_, func, select

from gateway import __version__
from gateway.feeds import merkle, offline
from gateway.feeds.entry import COLUMNS, FIELDS, GENESIS, canonical, payload, stamp
from gateway.feeds.heads import SignedHead, kept_heads, key_id, sign_head
from gateway.feeds.subjects import pseudonyms
from gateway.feeds.tables import entries, links, pending
from gateway.feeds.tree import StoredTree

__all__ = ["FORMS", "NOTES", "Selection", "pack", "write_export"]

#: Forms of the lines; NDJSON is always there, being the one that is checked.
FORMS: Final = ("ndjson", "csv", "parquet")
#: Said in every export (incentives note, 5.1 and 6.4).
NOTES: Final = (
    "La passerelle ne voit que ses propres envois : un taux rapporté à un dénominateur national est un minimum.",
    "Les suppressions et masquages faits ailleurs (DMP web, patient, autre logiciel) ne passent pas par elle : "
    "son compte peut dépasser celui du DMP.",
)
_PAGE: Final = 2000
_PATIENTS: Final = 20_000  #: whose pseudonyms are remembered from one page to the next
_HEADS: Final = 40  #: earlier heads shown consistent with the present one


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which sealed entries an export holds; None means any."""

    tenants: Sequence[str]
    services: Sequence[str] | None = None
    professional: str | None = None
    structure: str | None = None
    since: str | None = None  #: first day, 2026-01-01
    until: str | None = None  #: last day
    entries: Mapping[str, Sequence[int]] | None = None  #: numbers of entries, by tenant (a sample)

    def conditions(self, tenant: str, size: int) -> list[ColumnElement[bool]]:
        """The conditions on the lines of one tenant."""
        out: list[ColumnElement[bool]] = [links.c.tenant == tenant, links.c.seq <= size]
        if self.services is not None:
            out.append(entries.c.kind.in_(list(self.services)))
        if self.professional is not None:
            out.append(entries.c.actor_rpps == self.professional)
        if self.structure is not None:
            out.append(entries.c.structure_finess == self.structure)
        if self.since is not None:
            out.append(entries.c.day >= self.since)
        if self.until is not None:
            out.append(entries.c.day <= self.until)
        if self.entries is not None:
            out.append(links.c.seq.in_(list(self.entries.get(tenant, ()))))
        return out

    def as_json(self) -> dict[str, Any]:
        """The selection as the manifest states it."""
        return {
            "tenants": list(self.tenants),
            "services": None if self.services is None else list(self.services),
            "professional": self.professional,
            "structure": self.structure,
            "since": self.since,
            "until": self.until,
            "sample": self.entries is not None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    seq: int
    prev_hash: bytes
    entry_hash: bytes
    row: Sequence[Any]


_AT = {name: at for at, name in enumerate(COLUMNS)}


def _lines(connection: Connection, selection: Selection, tenant: str, size: int) -> Iterator[list[_Line]]:
    before = links.alias("before")
    query = (
        select(
            links.c.seq,
            before.c.entry_hash,
            links.c.entry_hash,
            *(entries.c[name] for name in COLUMNS),
        )
        .select_from(
            links.join(entries, entries.c.id == links.c.entry).outerjoin(
                before, and_(before.c.tenant == links.c.tenant, before.c.seq == links.c.seq - 1)
            )
        )
        .where(*selection.conditions(tenant, size))
        .order_by(links.c.seq)
    )
    for page in connection.execute(query, execution_options={"yield_per": _PAGE}).partitions():
        yield [
            _Line(
                seq=line[0],
                prev_hash=GENESIS if line[1] is None else bytes(line[1]),
                entry_hash=bytes(line[2]),
                row=line[3:],
            )
            for line in page
        ]


class _Out:
    """A file being written, hashed and measured as it goes."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._file = (folder / name).open("wb")
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)

    def close(self) -> dict[str, Any]:
        self._file.close()
        return {"name": self.name, "bytes": self._size, "sha256": self._hash.hexdigest()}


class _Csv:
    """The lines as a spreadsheet reads them."""

    _HEADS = ("chain", "seq", *COLUMNS, "patient", "entry_hash")

    def __init__(self, out: _Out) -> None:
        self._out = out
        self._buffer = io.StringIO()
        self._writer = csv.writer(self._buffer, lineterminator="\n")
        self._writer.writerow(self._HEADS)

    def write(self, chain: str, line: _Line, patient: str | None) -> None:
        cells = [_cell(value) for value in line.row]
        self._writer.writerow([chain, line.seq, *cells, patient or "", line.entry_hash.hex()])
        if self._buffer.tell() > 1 << 16:
            self.flush()

    def flush(self) -> None:
        self._out.write(self._buffer.getvalue().encode())
        self._buffer.seek(0)
        self._buffer.truncate()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    text = str(value)
    # A spreadsheet runs what begins like a formula.
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def write_export(
    connection: Connection,
    folder: Path,
    *,
    key: Ed25519PrivateKey,
    selection: Selection,
    purpose: str,
    pseudonym_key: Callable[[str], bytes],
    now: datetime,
    forms: Sequence[str] = ("ndjson", "csv"),
    statement: Mapping[str, Any] | None = None,
    heads: Mapping[str, SignedHead] | None = None,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Any]:
    """Write an export into an empty folder and give its manifest; the heads it rests on are signed and kept.

    With ``heads``, by tenant, it rests on those and only reads.

    ``purpose`` names what the export is for: patients' pseudonyms are those of that purpose, by ``pseudonym_key`` of
    each tenant. ``statement`` (rules, figures, the query's legal basis...) goes into the manifest as it is. Raises
    ``ValueError`` for an unknown form, ``ModuleNotFoundError`` for Parquet without pyarrow.
    """
    if unknown := set(forms) - set(FORMS):
        raise ValueError(f"FEED-EXPORT-020: unknown form {sorted(unknown)[0]!r}, expected {', '.join(FORMS)}")
    parquet = _parquet(folder / "entries.parquet") if "parquet" in forms else None
    folder.mkdir(parents=True, exist_ok=True)
    table = _Csv(_Out(folder, "entries.csv")) if "csv" in forms else None
    files: list[dict[str, Any]] = []
    chains: list[dict[str, Any]] = []
    tally: Counter[tuple[str, str, str, str]] = Counter()
    done = 0
    for number, tenant in enumerate(sorted(set(selection.tenants)), 1):
        head = heads[tenant] if heads is not None else sign_head(connection, tenant, key, now=now)
        out = _Out(folder, f"entries-{number}.ndjson")
        leaves = array("q")  # eight bytes a line, the one thing kept of each until the end
        known: dict[str, str | None] = {}
        for page in _lines(connection, selection, tenant, head.size):
            if len(known) > _PATIENTS:
                known.clear()
            _open(connection, tenant, page, known, purpose, pseudonym_key(tenant))
            for line in page:
                row = line.row
                commit = row[_AT["patient_commit"]]
                patient = None if commit is None else known[bytes(commit).hex()]
                out.write(_ndjson(line, patient))
                leaves.append(line.seq - 1)
                tally[(row[1], row[2], row[_AT["day"]][:7], row[_AT["reason"]] or "")] += 1
                if table is not None:
                    table.write(tenant, line, patient)
                if parquet is not None:
                    parquet.write(tenant, line, patient)
            done += len(page)
            if progress is not None:
                progress(done)
        files.append(out.close() | {"rows": len(leaves)})
        tree = StoredTree(connection, tenant)
        chains.append(
            {
                "head": head.as_json(),
                "file": out.name,
                "entries": len(leaves),
                "proof": [node.hex() for node in merkle.multiproof(leaves, head.size, tree.complete)],
                "consistency": _consistency(connection, tenant, head, tree),
                "unsealed": _unsealed(connection, tenant),
            }
        )
    if table is not None:
        table.flush()
        files.append(table._out.close())
    if parquet is not None:
        files.append(parquet.close())
    program = _Out(folder, "verify.py")
    program.write(Path(offline.__file__).read_bytes())
    files.append(program.close())
    manifest = {
        "schema": offline.SCHEMA,
        "created_at": stamp(now),
        "generator": f"passerelle-dmp {__version__}",
        "purpose": purpose,
        "selection": selection.as_json(),
        "counts": [
            {"service": kind, "outcome": state, "month": month, "reason": reason, "count": number}
            for (kind, state, month, reason), number in sorted(tally.items())
        ],
        "chains": chains,
        "files": files,
        "notes": list(NOTES),
        "statement": dict(statement or {}),
    }
    data = orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    (folder / "manifest.json").write_bytes(data)
    public = key.public_key()
    signature = {
        "algorithm": "Ed25519",
        "key_id": key_id(public),
        "public_key": public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex(),
        "signature": base64.b64encode(key.sign(data)).decode(),
    }
    (folder / "manifest.sig").write_bytes(canonical(signature))
    return manifest


def _open(
    connection: Connection,
    tenant: str,
    page: Sequence[_Line],
    known: dict[str, str | None],
    purpose: str,
    key: bytes,
) -> None:
    """Look up the pseudonyms of the patients of a page that were not met before."""
    at = _AT["patient_commit"]
    new = {bytes(line.row[at]).hex() for line in page if line.row[at] is not None} - known.keys()
    if new:
        found = pseudonyms(connection, tenant, new, purpose=purpose, key=key)
        known.update({commit: found.get(commit) for commit in new})


def _ndjson(line: _Line, patient: str | None) -> bytes:
    # The order and spelling are those of the canonical form, and those the checker expects.
    return b'{"entry":%b,"entry_hash":"%b","patient":%b,"prev_hash":"%b","seq":%d}\n' % (
        payload(line.row),
        line.entry_hash.hex().encode(),
        b"null" if patient is None else f'"{patient}"'.encode(),
        line.prev_hash.hex().encode(),
        line.seq,
    )


def _consistency(connection: Connection, tenant: str, head: SignedHead, tree: StoredTree) -> list[dict[str, Any]]:
    """Proofs that the latest earlier heads are of the same history, so that whoever kept one can compare."""
    out: dict[int, dict[str, Any]] = {}
    for old in kept_heads(connection, tenant, limit=_HEADS):
        if 0 < old.size < head.size and old.size not in out:
            proof = tree.consistency_proof(old.size, head.size)
            out[old.size] = {
                "size": old.size,
                "signed_at": old.signed_at,
                "proof": [node.hex() for node in proof],
            }
    return [out[size] for size in sorted(out)]


def _unsealed(connection: Connection, tenant: str) -> int:
    query = select(func.count()).select_from(pending).where(pending.c.tenant == tenant)
    return int(connection.execute(query).scalar_one())


class _Parquet:
    """The lines in columns, for those who count with a data frame."""

    def __init__(self, path: Path, arrow: Any, parquet: Any) -> None:
        kinds = {"int": arrow.int64(), "bool": arrow.bool_()}
        self._schema = arrow.schema(
            [
                ("chain", arrow.string()),
                ("seq", arrow.int64()),
                *((name, kinds.get(kind, arrow.string())) for name, kind in FIELDS),
                ("patient", arrow.string()),
                ("entry_hash", arrow.string()),
            ]
        )
        self._path = path
        self._arrow = arrow
        self._writer = parquet.ParquetWriter(path, self._schema)
        self._rows: list[tuple[Any, ...]] = []

    def write(self, chain: str, line: _Line, patient: str | None) -> None:
        cells = (bytes(value).hex() if isinstance(value, (bytes, memoryview)) else value for value in line.row)
        self._rows.append((chain, line.seq, *cells, patient, line.entry_hash.hex()))
        if len(self._rows) >= 50_000:
            self._flush()

    def _flush(self) -> None:
        columns = list(zip(*self._rows, strict=True))
        arrays = [self._arrow.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()

    def close(self) -> dict[str, Any]:
        if self._rows:
            self._flush()
        self._writer.close()
        data = self._path.read_bytes()
        return {"name": self._path.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _parquet(path: Path) -> _Parquet:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    return _Parquet(path, pyarrow, pyarrow.parquet)


def pack(folder: Path, target: Path) -> None:
    """Put an export's folder into one ZIP, its manifest first."""
    names = sorted(path.name for path in folder.iterdir())
    names.sort(key=lambda name: not name.startswith("manifest"))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in names:
            archive.write(folder / name, name)
