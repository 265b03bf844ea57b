"""Check an export of the ledger of feeds, with Python's standard library alone, without database or network.

    python verify.py EXPORT [--key PUBLIC.pem] [--head HEAD.json] [--json]

EXPORT is a folder or a ZIP. What is checked: the signature of the manifest; the size and SHA-256 of every file; for
every entry the SHA-256 of its canonical JSON, its link to the entry before, and its place in the Merkle tree of the
signed head (RFC 6962); that the counts of the manifest are those of the entries; and that a head kept elsewhere
(``--head``) belongs to the same history. Without ``--key`` the signature is checked with the key found in the export,
which proves that the export is whole, not who made it.

This file comes with every export and imports nothing else, so that it can be read in full by whoever relies on it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

loads: Callable[[bytes], Any] = json.loads
try:  # A faster reader when it happens to be there; the standard library gives the same answers.
    import orjson
except ImportError:  # pragma: no cover - run in a test of its own, without any installed package
    pass
else:
    loads = orjson.loads

__all__ = ["ExportReport", "Fault", "ed25519_verify", "main", "read_public_key", "verify_export"]

SCHEMA = "feed-export/1"
MAX_MANIFEST = 64 * 1024 * 1024
MAX_LINE = 64 * 1024
MOST_FAULTS = 100

MESSAGES = {
    "FEED-EXPORT-001": "L'export n'est pas lisible (manifeste absent ou malformé).",
    "FEED-EXPORT-002": "La signature du manifeste n'est pas bonne : le manifeste a été changé.",
    "FEED-EXPORT-003": "L'export est signé par une autre clé que celle donnée.",
    "FEED-EXPORT-004": "Un fichier manque, ou n'a pas la taille annoncée.",
    "FEED-EXPORT-005": "Le contenu d'un fichier a changé (empreinte différente).",
    "FEED-EXPORT-006": "Une ligne n'a pas la forme d'une écriture exportée.",
    "FEED-EXPORT-007": "Une écriture a été modifiée (empreinte différente).",
    "FEED-EXPORT-008": "Deux écritures qui se suivent ne sont pas chaînées, ou ne sont pas dans l'ordre.",
    "FEED-EXPORT-009": "Les écritures ne mènent pas à la racine de la tête signée.",
    "FEED-EXPORT-010": "Les comptes annoncés ne sont pas ceux des écritures.",
    "FEED-EXPORT-011": "La signature de la tête n'est pas bonne.",
    "FEED-EXPORT-012": "La tête gardée ailleurs n'appartient pas à cette histoire : le journal a été réécrit.",
    "FEED-EXPORT-013": "La tête gardée ailleurs ne peut pas être comparée : l'export n'en porte pas la preuve.",
    "FEED-EXPORT-014": "Aucune clé n'a été donnée : la signature est vérifiée avec la clé que porte l'export.",
}
WARNINGS = {"FEED-EXPORT-013", "FEED-EXPORT-014"}


@dataclass(frozen=True)
class Fault:
    """Something wrong at a place of the export; a warning does not make it false."""

    code: str
    place: str = ""

    @property
    def warning(self) -> bool:
        return self.code in WARNINGS

    @property
    def message(self) -> str:
        return MESSAGES[self.code]


@dataclass
class ExportReport:
    """What the check of an export found."""

    entries: int = 0
    chains: int = 0
    key_id: str = ""
    counts: list[dict[str, Any]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    more_faults: int = 0

    @property
    def ok(self) -> bool:
        return not any(not fault.warning for fault in self.faults)

    def add(self, code: str, place: str = "") -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(code, place))
        else:
            self.more_faults += 1

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "entries": self.entries,
            "chains": self.chains,
            "keyId": self.key_id,
            "findings": [
                {
                    "code": fault.code,
                    "severity": "warning" if fault.warning else "error",
                    "location": fault.place,
                    "message": fault.message,
                }
                for fault in self.faults
            ],
            "moreFindings": self.more_faults,
        }


# --- Ed25519, RFC 8032 section 5.1: checking a signature, a few milliseconds ---------------------------------------

_P = 2**255 - 19
_Q = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_SQRT_M1 = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def _recover_x(y: int, sign: int) -> int | None:
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    if square == 0:
        return None if sign else 0
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _SQRT_M1 % _P
    if (x * x - square) % _P:
        return None
    return _P - x if x & 1 != sign else x


def _decompress(data: bytes) -> _Point | None:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    x = _recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % _P)


def _add(p: _Point, q: _Point) -> _Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _multiply(scalar: int, point: _Point) -> _Point:
    out: _Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            out = _add(out, point)
        point = _add(point, point)
        scalar >>= 1
    return out


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether an Ed25519 signature (64 bytes) of a message was made with the key of this public key (32 bytes)."""
    if len(public) != 32 or len(signature) != 64:
        return False
    base_y = 4 * pow(5, _P - 2, _P) % _P
    base_x = _recover_x(base_y, 0)
    key, r = _decompress(public), _decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or base_x is None or s >= _Q:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _Q
    left = _multiply(s, (base_x, base_y, 1, base_x * base_y % _P))
    right = _add(r, _multiply(h, key))
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (left[1] * right[2] - right[1] * left[2]) % _P == 0


_ED25519_DER = bytes.fromhex("302a300506032b6570032100")


def read_public_key(pem: bytes) -> bytes:
    """The 32 bytes of an Ed25519 public key in PEM; raises ``ValueError`` for anything else."""
    match = re.search(rb"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----", pem)
    der = base64.b64decode(b"".join(match.group(1).split()), validate=True) if match else b""
    if len(der) != 44 or not der.startswith(_ED25519_DER):
        raise ValueError("not an Ed25519 public key in PEM")
    return der[12:]


def key_id(public: bytes) -> str:
    """The name of a key: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


# --- Merkle tree, RFC 6962 ------------------------------------------------------------------------------------------


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def root_from(leaves: Iterator[tuple[int, bytes]], size: int, proof: Iterator[bytes]) -> bytes:
    """The root of a tree of ``size`` leaves, from some of its leaves (number, hash; in order) and the proof.

    The proof holds, from left to right, the hashes of the largest subtrees that contain none of the leaves given.
    Raises ``StopIteration`` or ``ValueError`` when the proof is too short or too long, or a leaf is out of place.
    """
    sha256 = hashlib.sha256
    following = next(leaves, None)

    def walk(start: int, width: int) -> bytes:
        nonlocal following
        if following is None or following[0] >= start + width:
            return next(proof)
        if width == 1:
            node = following[1]
            following = next(leaves, None)
            return node
        k = _split(width)
        left = walk(start, k)
        return sha256(b"\x01" + left + walk(start + k, width - k)).digest()

    if size == 0:
        return hashlib.sha256(b"").digest()
    root = walk(0, size)
    if following is not None or next(proof, None) is not None:
        raise ValueError("the proof does not fit")
    return root


def consistent(old: int, new: int, old_root: bytes, new_root: bytes, proof: list[bytes]) -> bool:
    """Tell whether a tree of ``new`` leaves begins with that of ``old`` leaves (RFC 9162, 2.1.4.2)."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return old_root == hashlib.sha256(b"").digest()
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path or not 0 < old < new:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for node in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first = hashlib.sha256(b"\x01" + node + first).digest()
            second = hashlib.sha256(b"\x01" + node + second).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = hashlib.sha256(b"\x01" + second + node).digest()
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == new_root


# --- The export ------------------------------------------------------------------------------------------------------


#: What reading a cut or altered file or ZIP may raise.
_BROKEN = (OSError, KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


class _Files:
    """The files of an export, in a folder or a ZIP; a name never leads out of it."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path) if path.is_file() else None
        self._path = path

    def open(self, name: str) -> IO[bytes]:
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}", name) is None:
            raise FileNotFoundError(name)
        if self._zip is None:
            return (self._path / name).open("rb", buffering=1 << 18)
        # A ZIP's own stream finds its lines slowly.
        packed: Any = self._zip.open(name)
        return io.BufferedReader(packed, 1 << 18)

    def read(self, name: str, most: int) -> bytes:
        with self.open(name) as stream:
            data = stream.read(most + 1)
        if len(data) > most:
            raise ValueError(name)
        return data

    def close(self) -> None:
        if self._zip is not None:
            self._zip.close()


#: The members after the entry, exactly as they are written; an entry can hold none of this unescaped.
_TAIL = re.compile(
    rb',"entry_hash":"([0-9a-f]{64})","patient":(?:null|"[0-9a-f]{64}"),"prev_hash":"([0-9a-f]{64})",'
    rb'"seq":([1-9][0-9]{0,18})\}\n'
)
_HEAD = b'{"entry":'
_CUT = b',"entry_hash":"'


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _head_bytes(head: dict[str, Any]) -> bytes:
    names = ("schema", "chain", "size", "root", "head_hash", "signed_at", "key_id")
    return _canonical({name: head[name] for name in names})


def _entries(
    stream: IO[bytes],
    chain: str,
    name: str,
    report: ExportReport,
    tally: Counter[tuple[str, ...]],
    whole: Any,
    progress: Callable[[int], object] | None,
) -> Iterator[tuple[int, bytes]]:
    """Check each line of a file by itself and against the line before; give leaf numbers and leaf hashes."""
    sha256 = hashlib.sha256
    chain_json = _canonical(chain)
    form = b'{"chain":%b,"payload_hash":"%b","prev_hash":"%b","seq":%d}'
    last_seq, last_hash = 0, b"0" * 64
    number = 0
    while line := stream.readline(MAX_LINE):
        number += 1
        whole.update(line)
        cut = line.rfind(_CUT)
        tail = _TAIL.fullmatch(line, cut) if cut > 0 else None
        if tail is None or not line.startswith(_HEAD):
            report.add("FEED-EXPORT-006", f"{name}:{number}")
            continue
        entry_hash, prev_hash, seq_text = tail.groups()
        entry, seq = line[9:cut], int(seq_text)
        try:
            values = loads(entry)
            group = (values["kind"], values["state"], values["day"][:7], values.get("reason", ""))
        except (ValueError, KeyError, TypeError):
            report.add("FEED-EXPORT-006", f"{name}:{number}")
            continue
        tally[group] += 1
        link = sha256(form % (chain_json, sha256(entry).hexdigest().encode(), prev_hash, seq))
        if link.hexdigest().encode() != entry_hash:
            report.add("FEED-EXPORT-007", f"{name}:{number} seq/{seq}")
        if seq <= last_seq or (seq == last_seq + 1 and prev_hash != last_hash):
            report.add("FEED-EXPORT-008", f"{name}:{number} seq/{seq}")
        last_seq, last_hash = seq, entry_hash
        report.entries += 1
        if progress is not None and report.entries % 50_000 == 0:
            progress(report.entries)
        yield seq - 1, sha256(b"\x00" + link.digest()).digest()


def _check_chain(
    files: _Files,
    part: dict[str, Any],
    announced: dict[str, Any],
    report: ExportReport,
    tally: Counter[tuple[str, ...]],
    progress: Callable[[int], object] | None,
) -> None:
    head, name = part["head"], str(part["file"])
    whole = hashlib.sha256()
    report.chains += 1
    try:
        proof = iter([bytes.fromhex(node) for node in part["proof"]])
        with files.open(name) as stream:
            leaves = _entries(stream, str(head["chain"]), name, report, tally, whole, progress)
            try:
                root: bytes | None = root_from(leaves, int(head["size"]), proof)
            except (StopIteration, ValueError, RecursionError):
                root = None
            for _ in leaves:  # What a broken proof left unread is still checked and hashed.
                pass
            size = stream.tell()
    except _BROKEN:
        report.add("FEED-EXPORT-004", name)
        return
    if root is None or root.hex() != head["root"]:
        report.add("FEED-EXPORT-009", str(head["chain"]))
    if size != announced["bytes"]:
        report.add("FEED-EXPORT-004", name)
    if whole.hexdigest() != announced["sha256"]:
        report.add("FEED-EXPORT-005", name)


def _check_file(files: _Files, announced: dict[str, Any], report: ExportReport) -> None:
    name, whole, size = str(announced["name"]), hashlib.sha256(), 0
    try:
        with files.open(name) as stream:
            while block := stream.read(1 << 20):
                whole.update(block)
                size += len(block)
    except _BROKEN:
        report.add("FEED-EXPORT-004", name)
        return
    if size != announced["bytes"]:
        report.add("FEED-EXPORT-004", name)
    if whole.hexdigest() != announced["sha256"]:
        report.add("FEED-EXPORT-005", name)


def _check_head(kept: dict[str, Any], parts: list[dict[str, Any]], keys: list[bytes], report: ExportReport) -> None:
    """Compare a head kept elsewhere with the history of the export."""
    place = f"head/{kept.get('chain')}/{kept.get('size')}"
    signature = base64.b64decode(kept["signature"])
    if not any(ed25519_verify(key, _head_bytes(kept), signature) for key in keys):
        report.add("FEED-EXPORT-011", place)
        return
    compared = False
    for part in parts:
        head = part["head"]
        if head["chain"] != kept["chain"]:
            continue
        new_root, old_root = bytes.fromhex(head["root"]), bytes.fromhex(kept["root"])
        if kept["size"] > head["size"]:
            continue
        proofs = {old["size"]: old["proof"] for old in part.get("consistency", [])}
        proofs.setdefault(head["size"], [])
        proofs.setdefault(0, [])
        if kept["size"] not in proofs:
            continue
        compared = True
        path = [bytes.fromhex(node) for node in proofs[kept["size"]]]
        if not consistent(kept["size"], head["size"], old_root, new_root, path):
            report.add("FEED-EXPORT-012", place)
    if not compared:
        report.add("FEED-EXPORT-013", place)


def verify_export(
    path: Path,
    *,
    keys: Iterable[bytes] = (),
    heads: Iterable[dict[str, Any]] = (),
    progress: Callable[[int], object] | None = None,
) -> ExportReport:
    """Check an export (folder or ZIP) against itself, the keys trusted and the heads kept elsewhere.

    ``keys`` are raw Ed25519 public keys of 32 bytes. Never raises for what the export holds: the report says it.
    """
    report = ExportReport()
    try:
        files = _Files(path)
    except (OSError, zipfile.BadZipFile):
        report.add("FEED-EXPORT-001", path.name)
        return report
    try:
        _verify(files, list(keys), list(heads), report, progress)
    except (*_BROKEN, ValueError, TypeError, AttributeError):
        report.add("FEED-EXPORT-001", "manifest.json")
    finally:
        files.close()
    return report


def _verify(
    files: _Files,
    trusted: list[bytes],
    heads: list[dict[str, Any]],
    report: ExportReport,
    progress: Callable[[int], object] | None,
) -> None:
    data = files.read("manifest.json", MAX_MANIFEST)
    seal = files.read("manifest.sig", 4096)
    signed = json.loads(seal)
    public, signature = bytes.fromhex(signed["public_key"]), base64.b64decode(signed["signature"])
    report.key_id = key_id(public)
    form = {
        "algorithm": "Ed25519",
        "key_id": report.key_id,
        "public_key": public.hex(),
        "signature": base64.b64encode(signature).decode(),
    }
    if seal != _canonical(form) or not ed25519_verify(public, data, signature):
        report.add("FEED-EXPORT-002", "manifest.json")
    if trusted and public not in trusted:
        report.add("FEED-EXPORT-003", report.key_id)
    if not trusted:
        report.add("FEED-EXPORT-014", report.key_id)
    manifest = json.loads(data)
    if manifest["schema"] != SCHEMA:
        raise ValueError(manifest["schema"])
    announced = {one["name"]: one for one in manifest["files"]}
    parts: list[dict[str, Any]] = manifest["chains"]
    tally: Counter[tuple[str, ...]] = Counter()
    keys = trusted or [public]
    for part in parts:
        head = part["head"]
        if not any(ed25519_verify(key, _head_bytes(head), base64.b64decode(head["signature"])) for key in keys):
            report.add("FEED-EXPORT-011", f"head/{head['chain']}/{head['size']}")
        _check_chain(files, part, announced.pop(part["file"]), report, tally, progress)
    for one in announced.values():
        _check_file(files, one, report)
    said = {(one["service"], one["outcome"], one["month"], one["reason"]): one["count"] for one in manifest["counts"]}
    if said != dict(tally):
        report.add("FEED-EXPORT-010", "manifest.json#/counts")
    report.counts = manifest["counts"]
    for kept in heads:
        _check_head(kept, parts, keys, report)


def main(arguments: list[str]) -> int:
    """Run as a program: 0 when the export is whole, 1 when something is wrong, 2 when called wrongly."""
    paths: list[str] = []
    keys: list[bytes] = []
    heads: list[dict[str, Any]] = []
    as_json = False
    rest = iter(arguments)
    try:
        for argument in rest:
            if argument == "--key":
                keys.append(read_public_key(Path(next(rest)).read_bytes()))
            elif argument == "--head":
                found = json.loads(Path(next(rest)).read_bytes())
                heads.extend(found if isinstance(found, list) else [found])
            elif argument == "--json":
                as_json = True
            else:
                paths.append(argument)
        (path,) = paths
    except (OSError, ValueError, StopIteration) as exc:
        sys.stderr.write(f"{__doc__}\n{exc}\n")
        return 2
    report = verify_export(Path(path), keys=keys, heads=heads)
    if as_json:
        sys.stdout.write(json.dumps(report.as_json(), ensure_ascii=False, indent=2) + "\n")
    else:
        for fault in report.faults:
            sys.stdout.write(f"{fault.code} {fault.place}: {fault.message}\n")
        sys.stdout.write(
            f"{report.entries} écritures, {report.chains} chaîne(s) : "
            + ("export vérifié (export verified)\n" if report.ok else "export altéré (export altered)\n")
        )
    return 0 if report.ok else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
