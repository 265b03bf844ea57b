"""The ANS tree of CDA content checks (``ansforge/TestContenuCDA``): what is taken of it, and its two defects mended.

The tree was written on a file system that ignores letter case, and lacks a file or two: both are mended in the copy
that a pack is, and said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final

from lxml import etree

from conformance.terminology import NotAValueSet, ValueSet, read_value_set
from gateway.pack_kinds import Content, PackError
from security.errors import UnsafeInput
from security.xml import XmlLimits, parse, serialize

__all__ = ["KIND", "read"]

KIND: Final = "ans-cda"
_MARKER: Final = "jeuxDeValeurs/"
#: Folders of the tree that are used, and what is taken of each.
_TAKEN: Final = {"schematrons": (".sch", ".xml"), "jeuxDeValeurs": (".xml",), "infrastructure/cda": (".xsd",)}
_ENGINE: Final = "schematrons/moteur"  #: the publisher's programs are not data
_XML: Final = XmlLimits(max_bytes=64 * 1024 * 1024, max_elements=2_000_000)
_SCH: Final = "{http://purl.oclc.org/dsdl/schematron}"
_VOC: Final = "schematrons/profils/structurationMinimale/include/voc-{}-DYNAMIC.xml"


def read(found: Mapping[str, bytes]) -> Content | None:
    """Take the tree out of files by name, None when it is not there. Raises :class:`PackError` for a wrong file."""
    roots = sorted({name[: name.index(_MARKER)] for name in found if _MARKER in name}, key=len)
    if not roots:
        return None
    inside = {name.removeprefix(roots[0]): data for name, data in found.items() if name.startswith(roots[0])}
    files = {name: data for name, data in inside.items() if _taken(name)}
    published = dict(files)
    sets = list(_sets(files))
    repairs = [*_repair_includes(files), *_repair_vocabularies(files, sets)]
    _demand(files)
    return Content(
        kind=KIND,
        files=files,
        published=published,
        value_sets=tuple(sets),
        value_sets_read=len(sets),
        rules=tuple(sorted(PurePosixPath(name).stem for name in files if _is_top(name))),
        repairs=tuple(repairs),
        date=max((each.date for each in sets), default=""),
    )


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
