"""FHIR packages: their profiles, code systems and value sets, as HL7, IHE and ANS publish them.

A package is an archive of the FHIR registry (``.tgz`` with ``package/*.json``), its folder, or a folder of resources.
A value set is put in force when it says its OID (ANS publishes the CDA value sets in FHIR too) and all its codes are
known: listed in it, expanded, or those of a whole code system of the same package. Source: FHIR R4 4.9, HL7 NPM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from conformance.fhir.names import oid_of
from conformance.terminology import ValueSet
from gateway.pack_kinds import Content, PackError
from security import json
from security.errors import UnsafeInput

__all__ = ["KIND", "read"]

KIND: Final = "fhir"
_TAKEN: Final = frozenset(("StructureDefinition", "ValueSet", "CodeSystem", "ConceptMap", "NamingSystem"))
_OID: Final = "urn:oid:"


@dataclass(slots=True)
class _Package:
    """The files of one package."""

    folder: str
    files: dict[str, bytes] = field(default_factory=dict)
    resources: list[dict[str, Any]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)  #: its ``package.json``


def read(found: Mapping[str, bytes], source: str) -> list[Content]:
    """Take FHIR packages out of files by name. Raises :class:`PackError` that names a file that is not JSON."""
    packages: dict[str, _Package] = {}
    for name in sorted(found):
        folder, _, file = name.rpartition("/")
        if not file.endswith(".json") or file.startswith("."):
            continue
        value = _json(name, found[name])
        package = packages.setdefault(folder, _Package(folder))
        if file == "package.json" and isinstance(value.get("name"), str):
            package.about = value
        elif value.get("resourceType") in _TAKEN and isinstance(value.get("url"), str):
            package.files[file] = found[name]
            package.resources.append(value)
    return [_content(each, source) for each in packages.values() if each.resources]


def _json(name: str, data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data, max_bytes=64 * 1024 * 1024, max_items=10**7)
    except UnsafeInput as exc:
        raise PackError(f"{name}: {exc.code} ({exc.found})") from exc
    return value if isinstance(value, dict) else {}


def _content(package: _Package, source: str) -> Content:
    resources = package.resources
    listed = [each for each in resources if each["resourceType"] == "ValueSet"]
    sets = tuple(_usable(listed, {each["url"]: each for each in resources if each["resourceType"] == "CodeSystem"}))
    folder = package.folder.rpartition("/")[2]
    return Content(
        kind=KIND,
        files=package.files,
        published=package.files,
        value_sets=sets,
        value_sets_read=len(listed),
        rules=tuple(
            sorted(
                each["url"].rpartition("/")[2] for each in resources if each["resourceType"] == "StructureDefinition"
            )
        ),
        date=max((_date(each) for each in resources), default=""),
        name=package.about.get("name") or (folder if folder not in ("", "package") else source),
        version=_version(package),
    )


def _version(package: _Package) -> str:
    if isinstance(package.about.get("version"), str):
        return str(package.about["version"])
    numbers = sorted({str(each["version"]) for each in package.resources if each.get("version")})
    return numbers[0] if len(numbers) == 1 else ""


def _date(resource: Mapping[str, Any]) -> str:
    return str(resource.get("date") or "")[:10]


# --- Value sets -----------------------------------------------------------------------------------------------------


def _usable(listed: list[dict[str, Any]], systems: Mapping[str, dict[str, Any]]) -> Iterator[ValueSet]:
    for resource in listed:
        oid = _oid(resource)
        codes = _codes(resource, systems)
        if oid is not None and codes:
            yield ValueSet(
                oid=oid,
                name=str(resource.get("title") or resource.get("name") or oid),
                date=_date(resource),
                codes=codes,
            )


def _oid(resource: Mapping[str, Any]) -> str | None:
    for value in (resource["url"], *(each.get("value") for each in resource.get("identifier") or [])):
        if isinstance(value, str) and value.startswith(_OID):
            return value[len(_OID) :]
    return None


def _codes(resource: Mapping[str, Any], systems: Mapping[str, dict[str, Any]]) -> dict[tuple[str, str], str]:
    """The codes of a set with the OID of their systems; none when some cannot be known."""
    rows = [*_rows(resource, systems)]
    table: dict[tuple[str, str], str] = {}
    for system, concept in rows:
        code = concept.get("code")
        known = _system(system, str(code), systems)
        if known is None or not isinstance(code, str):
            return {}
        table[code, known] = str(concept.get("display") or "")
    return table


def _rows(
    resource: Mapping[str, Any], systems: Mapping[str, dict[str, Any]]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    compose = resource.get("compose") or {}
    expanded = (resource.get("expansion") or {}).get("contains")
    if expanded:
        for each in _flat(expanded, "contains"):
            if not each.get("abstract"):
                yield str(each.get("system")), each
        return
    if compose.get("exclude"):
        yield "", {}
    for include in compose.get("include") or []:
        system = str(include.get("system"))
        if include.get("filter") or include.get("valueSet"):
            yield "", {}  # what it holds only a terminology server can tell
        elif include.get("concept"):
            for each in include["concept"]:
                yield system, each
        else:
            whole = systems.get(system, {})
            if whole.get("content") != "complete":
                yield "", {}
            for each in _flat(whole.get("concept") or [], "concept"):
                yield system, each


def _flat(concepts: list[Any], below: str) -> Iterator[Mapping[str, Any]]:
    for each in concepts:
        if isinstance(each, dict):
            yield each
            yield from _flat(each.get(below) or [], below)


def _system(uri: str, code: str, systems: Mapping[str, dict[str, Any]]) -> str | None:
    """The OID of a code system: what its definition says, or what is known of its address."""
    return (_oid(systems[uri]) if uri in systems else None) or oid_of(uri, code)
