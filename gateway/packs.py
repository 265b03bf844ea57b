"""Official material the operator has downloaded: taken in once, repaired, dated, and put to use.

Two kinds are known: the ANS tree of CDA content checks (:mod:`gateway.packs_cda`), whose Schematrons run with
``passerelle check --official``, and FHIR packages (:mod:`gateway.packs_fhir`). A pack is copied under
``data_dir/packs``; its value sets replace the shipped tables where they are newer.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from conformance import terminology
from conformance.terminology import ValueSet
from gateway import packs_cda, packs_fhir
from gateway.pack_kinds import Content, PackError
from security import json
from security.errors import UnsafeInput
from security.zip import ZipLimits, read_archive, read_tarball

__all__ = ["Pack", "PackError", "add", "current", "installed", "use_value_sets"]

_MANIFEST: Final = "pack.json"
_VALUE_SETS: Final = "value-sets.json"
_SUFFIXES: Final = (".sch", ".xml", ".xsd", ".json")
_LIMITS: Final = ZipLimits(
    max_bytes=400 * 1024 * 1024,
    max_entries=30_000,
    max_entry_bytes=200 * 1024 * 1024,
    max_total_bytes=1024 * 1024 * 1024,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A pack installed."""

    id: str
    kind: str  #: ``ans-cda`` or ``fhir``
    source: str  #: name of the folder or archive it came from
    name: str  #: as its publisher names it
    version: str  #: as its publisher numbers it, empty when it does not
    added_at: str
    date: str  #: of its newest part
    files: int
    value_sets: int
    rules: tuple[str, ...]  #: schematrons, or profiles
    repairs: tuple[str, ...]
    folder: Path = field(compare=False)

    @property
    def schematrons(self) -> tuple[str, ...]:
        """The rules that ``check --official`` runs on a CDA."""
        return self.rules if self.kind == packs_cda.KIND else ()


def add(source: Path, packs: Path, now: datetime) -> list[Pack]:
    """Take in what a folder or an archive holds: one pack, or the FHIR packages that stand side by side in it.

    The same material twice is one pack. Raises :class:`PackError`, and then keeps nothing.
    """
    files = _read(source)
    tree = packs_cda.read(files)
    contents = [tree] if tree is not None else packs_fhir.read(files, source.name)
    if not contents:
        raise PackError(
            f"{source.name}: ni schematrons et jeuxDeValeurs, ni ressources FHIR / "
            "neither schematrons and jeuxDeValeurs nor FHIR resources"
        )
    return [_keep(each, source.name, packs, now) for each in contents]


def _keep(content: Content, source: str, packs: Path, now: datetime) -> Pack:
    digest = hashlib.sha256()
    for name in sorted(content.published):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content.published[name]).digest())
    identifier = f"{content.kind}-{digest.hexdigest()[:12]}"
    final = packs / identifier
    if (final / _MANIFEST).exists():
        return _opened(final)
    table = {each.oid: {"name": each.name, "date": each.date, "codes": each.as_table()} for each in content.value_sets}
    manifest = {
        "id": identifier,
        "kind": content.kind,
        "source": source,
        "name": content.name or source,
        "version": content.version,
        "addedAt": now.isoformat(timespec="seconds"),
        "date": content.date,
        "files": len(content.files),
        "valueSets": content.value_sets_read,
        "rules": list(content.rules),
        "repairs": list(content.repairs),
    }
    part = packs / f".{identifier}.part"
    shutil.rmtree(part, ignore_errors=True)
    for name, data in content.files.items():
        target = part / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    (part / _VALUE_SETS).write_bytes(orjson.dumps({"source": source, "sets": table}))
    (part / _MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    part.replace(final)
    return _opened(final)


def installed(packs: Path) -> list[Pack]:
    """Every pack taken in, the newest first. Raises :class:`PackError` for one that was spoilt since."""
    found = [_opened(each.parent) for each in packs.glob(f"*/{_MANIFEST}")] if packs.is_dir() else []
    return sorted(found, key=lambda each: (each.added_at, each.id), reverse=True)


def current(packs: Path) -> Pack:
    """The ANS tree in use: the newest. Raises :class:`PackError` when there is none."""
    for pack in installed(packs):
        if pack.kind == packs_cda.KIND:
            return pack
    raise PackError("aucun pack officiel / no official pack: passerelle packs add DIR|ZIP")


def use_value_sets(packs: Path) -> tuple[ValueSet, ...]:
    """Put the value sets of all packs in force, each where it is the newest; gives those in force.

    Raises :class:`PackError` that names the file that cannot be used.
    """
    for pack in installed(packs):
        terminology.install(_sets(pack))
    return tuple(each for each in terminology.value_sets() if each is not terminology.BUILT_IN.get(each.oid))


def _sets(pack: Pack) -> Iterator[ValueSet]:
    """The value sets of a pack that replace shipped ones."""
    try:
        table: Any = json.loads((pack.folder / _VALUE_SETS).read_bytes(), max_bytes=64 * 1024 * 1024, max_items=10**7)
        for oid, each in table["sets"].items():
            if oid in terminology.BUILT_IN:
                yield ValueSet.of_table(oid, each["codes"], name=each["name"], date=each["date"], source=pack.id)
    except (OSError, UnsafeInput, KeyError, TypeError, AttributeError) as exc:
        raise PackError(f"{pack.id}/{_VALUE_SETS}: {exc}") from exc


def _opened(folder: Path) -> Pack:
    try:
        row: Any = json.loads((folder / _MANIFEST).read_bytes())
        return Pack(
            id=row["id"],
            kind=row["kind"],
            source=row["source"],
            name=row["name"],
            version=row["version"],
            added_at=row["addedAt"],
            date=row["date"],
            files=row["files"],
            value_sets=row["valueSets"],
            rules=tuple(row["rules"]),
            repairs=tuple(row["repairs"]),
            folder=folder,
        )
    except (OSError, UnsafeInput, KeyError, TypeError) as exc:
        raise PackError(f"{folder.name}/{_MANIFEST}: {exc}") from exc


def _read(source: Path) -> dict[str, bytes]:
    """The files of a folder or an archive that may be of a pack, by their path in it."""
    if source.is_dir():
        names = ((each.relative_to(source).as_posix(), each) for each in sorted(source.rglob("*")) if each.is_file())
        return {name: path.read_bytes() for name, path in names if path.suffix in _SUFFIXES}
    try:
        data = source.read_bytes()
        found = read_tarball(data, _LIMITS) if data.startswith(b"\x1f\x8b") else read_archive(data, _LIMITS)
    except OSError as exc:
        raise PackError(f"{source.name}: {exc.strerror}") from exc
    except UnsafeInput as exc:
        raise PackError(f"{source.name}: {exc.code} ({exc.found} ; {exc.expected})") from exc
    return {name: data for name, data in found.items() if name.endswith(_SUFFIXES)}
