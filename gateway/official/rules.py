"""Reading an ISO Schematron of a pack: its includes pasted in, its abstract patterns made concrete, its phase chosen.

ISO/IEC 19757-3, with the ``xslt2`` query binding. Files are those of the installed pack, already repaired.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Final

from lxml import etree

from gateway.packs import PackError
from security.errors import UnsafeInput
from security.xml import parse_own

__all__ = ["SCH", "abstract_rules", "active_patterns", "load_schema"]

SCH: Final = "{http://purl.oclc.org/dsdl/schematron}"
_MAX_INCLUDES: Final = 20  #: nesting; the published ones nest three deep

_Element = etree._Element


def load_schema(path: Path) -> _Element:
    """A Schematron as one concrete schema. Raises :class:`PackError` with the name of the file that is wrong."""
    schema = _whole(path, 0)
    known: dict[str, list[_Element]] = {}
    for pattern in schema.iter(f"{SCH}pattern"):
        known.setdefault(pattern.get("id", ""), []).append(pattern)
    for caller in [each for each in schema.iter(f"{SCH}pattern") if each.get("is-a")]:
        parent = caller.getparent()
        if parent is None:
            continue
        values = [(f"${p.get('name')}", p.get("value", "")) for p in caller.iter(f"{SCH}param")]
        made = [_made(each, caller.get("id", ""), values) for each in known.get(caller.get("is-a", ""), ())]
        at = parent.index(caller)
        parent[at : at + 1] = made
    for pattern in [each for each in schema.iter(f"{SCH}pattern") if each.get("abstract") == "true"]:
        parent = pattern.getparent()
        if parent is not None:
            parent.remove(pattern)
    return schema


def _whole(path: Path, depth: int) -> _Element:
    try:
        root = parse_own(path).getroot()
    except (OSError, UnsafeInput) as exc:
        raise PackError(f"{path.name}: {exc}") from exc
    if depth > _MAX_INCLUDES:
        raise PackError(f"{path.name}: includes go round")
    etree.strip_tags(root, etree.Comment, etree.PI)
    for include in list(root.iter(f"{SCH}include")):
        found = _whole(path.parent / include.get("href", ""), depth + 1)
        found.tail = include.tail
        parent = include.getparent()
        if parent is not None:
            parent.replace(include, found)
    return root


def _made(abstract: _Element, name: str, values: list[tuple[str, str]]) -> _Element:
    """An abstract pattern with its parameters put in, in their order, as the reference implementation does."""

    def put(text: str) -> str:
        for parameter, value in values:
            text = text.replace(parameter, value)
        return text

    made = copy.deepcopy(abstract)
    made.attrib.clear()
    made.set("id", name)
    for element in made.iterdescendants():
        for key in ("test", "context", "select"):
            if key in element.attrib:
                element.set(key, put(element.get(key, "")))
        element.text = put(element.text) if element.text else element.text
        if element.getparent() is not made and element.tail:
            element.tail = put(element.tail)
    return made


def active_patterns(schema: _Element) -> list[_Element]:
    """The patterns of the default phase, all of them when the schema names none."""
    patterns = schema.findall(f"{SCH}pattern")
    phase = schema.get("defaultPhase", "#ALL").strip()
    if phase == "#ALL":
        return patterns
    chosen = {
        active.get("pattern")
        for each in schema.iterfind(f"{SCH}phase[@id='{phase}']")
        for active in each.iterfind(f"{SCH}active")
    }
    return [each for each in patterns if each.get("id") in chosen]


def abstract_rules(schema: _Element) -> dict[str, _Element]:
    """The abstract rules by id, the first of each."""
    found: dict[str, _Element] = {}
    for rule in schema.iter(f"{SCH}rule"):
        if rule.get("abstract") == "true":
            found.setdefault(rule.get("id", ""), rule)
    return found
