"""Official material the operator has downloaded: taken in once, repaired, dated, and put to use.

A pack of ANS CDA rules is the tree of ``ansforge/TestContenuCDA`` (a folder, or its ZIP): Schematrons, schema and value
sets. It is copied under ``data_dir/packs``. Its value sets replace the shipped tables where they are newer; its
Schematrons run with ``passerelle check --official``. The tree was written on a file system that ignores letter case,
and lacks a file or two: both are mended in the copy, and said.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

import orjson
from lxml import etree

from conformance import terminology
from conformance.terminology import NotAValueSet, ValueSet, read_value_set
from security import json
from security.errors import UnsafeInput
from security.xml import XmlLimits, parse, serialize
from security.zip import ZipLimits, read_archive

__all__ = ["Pack", "PackError", "add", "current", "installed", "use_value_sets"]

KIND: Final = "ans-cda"
_MANIFEST: Final = "pack.json"
_VALUE_SETS: Final = "value-sets.json"
#: Folders of the tree that are used, and what is taken of each.
_TAKEN: Final = {"schematrons": (".sch", ".xml"), "jeuxDeValeurs": (".xml",), "infrastructure/cda": (".xsd",)}
_ENGINE: Final = "schematrons/moteur"  #: the publisher's programs are not data
_LIMITS: Final = ZipLimits(
    max_bytes=400 * 1024 * 1024,
    max_entries=30_000,
    max_entry_bytes=200 * 1024 * 1024,
    max_total_bytes=1024 * 1024 * 1024,
)
_XML: Final = XmlLimits(max_bytes=64 * 1024 * 1024, max_elements=2_000_000)
_SCH: Final = "{http://purl.oclc.org/dsdl/schematron}"
_VOC: Final = "schematrons/profils/structurationMinimale/include/voc-{}-DYNAMIC.xml"


class PackError(Exception):
    """The pack is absent, incomplete, or none that we know: what is wrong, and where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A pack installed."""

    id: str
    kind: str
    source: str  #: name of the folder or archive it came from
    added_at: str
    date: str  #: of its newest value set
    files: int
    value_sets: int
    schematrons: tuple[str, ...]
    repairs: tuple[str, ...]
    folder: Path = field(compare=False)


def add(source: Path, packs: Path, now: datetime) -> Pack:
    """Take in a pack from a folder or a ZIP. The same material twice is one pack. Raises :class:`PackError`."""
    files = _read(source)
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    identifier = f"{KIND}-{digest.hexdigest()[:12]}"
    final = packs / identifier
    if (final / _MANIFEST).exists():
        return _opened(final)
    sets = list(_sets(files))
    repairs = [*_repair_includes(files), *_repair_vocabularies(files, sets)]
    _demand(files)
    table = {each.oid: {"name": each.name, "date": each.date, "codes": each.as_table()} for each in sets}
    manifest = {
        "id": identifier,
        "kind": KIND,
        "source": source.name,
        "addedAt": now.isoformat(timespec="seconds"),
        "date": max((each.date for each in sets), default=""),
        "files": len(files),
        "valueSets": len(sets),
        "schematrons": sorted(PurePosixPath(name).stem for name in files if _is_top(name)),
        "repairs": repairs,
    }
    part = packs / f".{identifier}.part"
    shutil.rmtree(part, ignore_errors=True)
    for name, data in files.items():
        target = part / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    (part / _VALUE_SETS).write_bytes(orjson.dumps({"source": source.name, "sets": table}))
    (part / _MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    part.replace(final)
    return _opened(final)


def installed(packs: Path) -> list[Pack]:
    """Every pack taken in, the newest first."""
    found = [_opened(each.parent) for each in packs.glob(f"*/{_MANIFEST}")] if packs.is_dir() else []
    return sorted(found, key=lambda each: each.added_at, reverse=True)


def current(packs: Path) -> Pack:
    """The pack in use: the newest. Raises :class:`PackError` when there is none."""
    found = installed(packs)
    if not found:
        raise PackError("aucun pack officiel / no official pack: passerelle packs add DIR|ZIP")
    return found[0]


def use_value_sets(packs: Path) -> tuple[ValueSet, ...]:
    """Put the value sets of the pack in use in force, where they are newer than the shipped ones; gives those taken."""
    found = installed(packs)
    if not found:
        return ()
    table: Any = json.loads((found[0].folder / _VALUE_SETS).read_bytes(), max_bytes=64 * 1024 * 1024)
    return terminology.install(
        ValueSet.of_table(oid, each["codes"], name=each["name"], date=each["date"], source=found[0].id)
        for oid, each in table["sets"].items()
        if oid in terminology.BUILT_IN
    )


def _opened(folder: Path) -> Pack:
    try:
        row: Any = json.loads((folder / _MANIFEST).read_bytes())
        return Pack(
            id=row["id"],
            kind=row["kind"],
            source=row["source"],
            added_at=row["addedAt"],
            date=row["date"],
            files=row["files"],
            value_sets=row["valueSets"],
            schematrons=tuple(row["schematrons"]),
            repairs=tuple(row["repairs"]),
            folder=folder,
        )
    except (OSError, UnsafeInput, KeyError, TypeError) as exc:
        raise PackError(f"{folder.name}/{_MANIFEST}: {exc}") from exc


# --- Reading --------------------------------------------------------------------------------------------------------


def _read(source: Path) -> dict[str, bytes]:
    """The files of the tree that are used, by their path from its root."""
    if source.is_dir():
        names = ((each.relative_to(source).as_posix(), each) for each in sorted(source.rglob("*")) if each.is_file())
        found = {name: path.read_bytes() for name, path in names if path.suffix in (".sch", ".xml", ".xsd")}
    else:
        try:
            found = read_archive(source.read_bytes(), _LIMITS)
        except OSError as exc:
            raise PackError(f"{source.name}: {exc.strerror}") from exc
        except UnsafeInput as exc:
            raise PackError(f"{source.name}: {exc.code} ({exc.found} ; {exc.expected})") from exc
    marker = "jeuxDeValeurs/"
    roots = sorted({name[: name.index(marker)] for name in found if marker in name}, key=len)
    if not roots:
        raise PackError(f"{source.name}: ni schematrons ni jeuxDeValeurs / neither schematrons nor jeuxDeValeurs")
    inside = {name.removeprefix(roots[0]): data for name, data in found.items() if name.startswith(roots[0])}
    return {name: data for name, data in inside.items() if _taken(name)}


def _taken(name: str) -> bool:
    return not name.startswith(_ENGINE) and any(
        name.startswith(f"{folder}/") and name.endswith(suffixes) for folder, suffixes in _TAKEN.items()
    )


def _is_top(name: str) -> bool:
    return name.startswith("schematrons/") and name.count("/") == 1 and name.endswith(".sch")


def _demand(files: dict[str, bytes]) -> None:
    for name in ("infrastructure/cda/CDA_extended.xsd", "schematrons/profils/IHE.sch"):
        if name not in files:
            raise PackError(f"{name} manque / is missing")


def _sets(files: dict[str, bytes]) -> Iterator[ValueSet]:
    for name in sorted(files):
        if name.startswith("jeuxDeValeurs/") and files[name].strip():
            try:
                yield read_value_set(parse(files[name], _XML))
            except NotAValueSet:
                continue
            except UnsafeInput as exc:
                raise PackError(f"{name}: {exc.code}") from exc


# --- Repairs --------------------------------------------------------------------------------------------------------


def _repair_includes(files: dict[str, bytes]) -> Iterator[str]:
    """Give includes the letter case of the file they mean."""
    lower = {name.lower(): name for name in files}
    for name in sorted(files):
        if not name.endswith(".sch"):
            continue
        try:
            root = parse(files[name], _XML)
        except UnsafeInput as exc:
            raise PackError(f"{name}: {exc.code} ({exc.found})") from exc
        mended = False
        for include in root.iter(f"{_SCH}include"):
            href = include.get("href", "")
            meant = _joined(name, href)
            right = lower.get(meant.lower())
            if meant not in files and right is not None:
                include.set("href", href[: len(href) - len(PurePosixPath(right).name)] + PurePosixPath(right).name)
                mended = True
                yield f"{name}: {href} -> {PurePosixPath(right).name}"
        if mended:
            files[name] = serialize(root)


def _joined(name: str, href: str) -> str:
    steps = list(PurePosixPath(name).parent.parts)
    for step in PurePosixPath(href).parts:
        if step == ".." and steps:
            steps.pop()
        elif step != ".":
            steps.append(step)
    return "/".join(steps)


def _repair_vocabularies(files: dict[str, bytes], sets: Iterable[ValueSet]) -> Iterator[str]:
    """Make the vocabularies that the header's rules open and the tree lacks, from the value set of the same OID."""
    by_oid = {each.oid: each for each in sets}
    rules = b"".join(data for name, data in files.items() if "structurationMinimale/include/1.2" in name)
    for oid in sorted(by_oid):
        name = _VOC.format(oid)
        if name not in files and f"voc-{oid}-DYNAMIC".encode() in rules:
            files[name] = _vocabulary(by_oid[oid])
            yield f"{PurePosixPath(name).name} <- {by_oid[oid].name}"


def _vocabulary(found: ValueSet) -> bytes:
    root = etree.Element("{urn:hl7-org:v3}valueSets", nsmap={None: "urn:hl7-org:v3"})
    held = etree.SubElement(root, "valueSet", {"id": found.oid, "name": found.name, "effectiveDate": found.date})
    concepts = etree.SubElement(held, "conceptList")
    for (code, system), label in found.codes.items():
        etree.SubElement(concepts, "concept", {"code": code, "codeSystem": system, "displayName": label})
    return serialize(root)
