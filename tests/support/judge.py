"""The official rules as a judge of many documents: every broken assertion by its number, answers kept between runs.

Loads the outside checker once. The rules of the header ("structure minimale", nine tenths of the time) look at nothing
below the structured body (no context or test of theirs goes there), so documents that differ in the body only share
their answer. Its messages are replaced by numbers before it compiles the rules, so that an answer
says exactly which assertions fired. Answers are kept in ``PASSERELLE_CACHE`` (else the user's cache folder), under the
hash of the rules.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import orjson

from security import xml
from security.errors import UnsafeInput
from tests.support import outside

__all__ = ["Assertion", "Judge", "judge"]


@dataclass(frozen=True, slots=True)
class Assertion:
    """One official assertion of an active pattern."""

    number: str  #: ``StrucMin:12``
    rule: str  #: number of its rule, ``StrucMin:r3``
    role: str  #: error or warning
    context: str
    test: str
    message: str


def cache_folder() -> Path:
    """Where answers are kept between runs, outside the tree."""
    given = os.environ.get("PASSERELLE_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(given) if given else Path(home) / "passerelle"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Judge:
    """The official rules, every assertion numbered."""

    def __init__(self) -> None:
        self._tool: ModuleType = outside.load_tool("ans_check")
        self._pack = outside.packs() / "ans-cda"
        self._checker = _numbered(self._tool, self._pack, contexts=False)
        digest = self._checker._digest
        self._file = cache_folder() / f"ans-judge-{digest}.jsonl"
        self._known: dict[str, list[str]] = {}
        if self._file.exists():
            for line in self._file.read_bytes().splitlines():
                row = orjson.loads(line)
                self._known[row["k"]] = row["e"]
        self._new: list[bytes] = []
        self._whole: Any = None

    def errors(self, data: bytes) -> list[str]:
        """The numbers of the assertions that refuse a document; ``XSD``, and ``<schema>:!`` when one cannot run."""
        key = hashlib.sha256(data).hexdigest()
        if key not in self._known:
            self._checker.header = _header(data)
            found = self._checker.check(data)
            self._known[key] = sorted({_number(each) for each in self._tool.errors(found)})
            self._new.append(orjson.dumps({"k": key, "e": self._known[key]}))
            if len(self._new) >= 50:
                self.save()
        return self._known[key]

    def whole(self, data: bytes) -> list[str]:
        """The same answer by all the rules on the whole document, as the outside checker gives it."""
        found = _numbered(self._tool, self._pack, contexts=False, whole=True) if self._whole is None else self._whole
        self._whole = found
        return sorted({_number(each) for each in self._tool.errors(found.check(data))})

    def save(self) -> None:
        """Keep the answers that are new."""
        if self._new:
            with self._file.open("ab") as out:
                out.write(b"\n".join(self._new) + b"\n")
            self._new = []

    def knows(self, data: bytes) -> bool:
        """True when the answer is kept."""
        return hashlib.sha256(data).hexdigest() in self._known

    @functools.cached_property
    def assertions(self) -> dict[str, Assertion]:
        """Every assertion of every schema, by number."""
        return {each.number: each for schema, path in self._schemas() for each in _listed(self._tool, schema, path)}

    def _schemas(self) -> Iterator[tuple[str, Path]]:
        folder = self._pack / "schematrons"
        for name, relative in self._tool.GENERIC.items():
            yield name, folder / relative
        for name in self._checker.volets():
            yield name, folder / f"{name}.sch"

    def contexts(self, data: bytes) -> set[str]:
        """The numbers of the rules whose context is met by some element of a document."""
        if not hasattr(self, "_reporting"):
            self._reporting = _numbered(self._tool, self._pack, contexts=True)
        return {each.message for each in self._reporting.check(data) if ":r" in each.message}


def _header(data: bytes) -> str:
    """A document without what its structured body holds; empty when it cannot be read."""
    try:
        root = xml.parse(data, xml.CDA_LIMITS)
    except UnsafeInput:
        return ""
    for body in root.iterfind("{urn:hl7-org:v3}component/{urn:hl7-org:v3}structuredBody"):
        for child in list(body):
            body.remove(child)
    return xml.serialize(root, declaration=False).decode()


def _number(finding: Any) -> str:
    if finding.profile in ("XSD", "XML"):
        return str(finding.profile)
    if finding.message.startswith("could not run"):
        return f"{finding.profile}:!"
    return str(finding.message).rpartition(" ")[2]


def _name_of(tool: ModuleType, path: Path) -> str:
    for name, relative in tool.GENERIC.items():
        if path.as_posix().endswith(relative):
            return str(name)
    return path.stem


def _rules(tool: ModuleType, path: Path) -> Iterator[tuple[str, Any]]:
    schema = tool.load_schema(path)
    name = _name_of(tool, path)
    for number, rule in enumerate(schema.iter(f"{tool.SCH}rule")):
        yield f"{name}:r{number}", rule


def _listed(tool: ModuleType, name: str, path: Path) -> Iterator[Assertion]:
    schema = tool.load_schema(path)
    keep = list(schema.iter())  # the ids below hold only while the elements live
    numbers = {id(each): n for n, each in enumerate(schema.iter(f"{tool.SCH}assert", f"{tool.SCH}report"))}
    rules = {id(each): n for n, each in enumerate(schema.iter(f"{tool.SCH}rule"))}
    by_id: dict[str, list[Any]] = {}
    for rule in schema.iter(f"{tool.SCH}rule"):
        if rule.get("abstract") == "true":
            by_id.setdefault(rule.get("id", ""), []).append(rule)

    def inside(rule: Any) -> Iterator[Any]:
        for child in rule:
            if child.tag in (f"{tool.SCH}assert", f"{tool.SCH}report"):
                yield child
            elif child.tag == f"{tool.SCH}extends":
                for abstract in by_id.get(child.get("rule"), [])[:1]:
                    yield from inside(abstract)

    for pattern in tool.active_patterns(schema):
        for rule in pattern.iterchildren(f"{tool.SCH}rule"):
            if rule.get("abstract") == "true":
                continue
            for each in inside(rule):
                role = (each.get("role") or each.get("flag") or "error").lower()
                yield Assertion(
                    number=f"{name}:{numbers[id(each)]}",
                    rule=f"{name}:r{rules[id(rule)]}",
                    role="warning" if role.startswith(("warn", "info", "hint")) else "error",
                    context=rule.get("context", ""),
                    test=each.get("test", ""),
                    message=" ".join("".join(each.itertext()).split()),
                )
    del keep


def _numbered(tool: ModuleType, pack: Path, *, contexts: bool, whole: bool = False) -> Any:
    """The outside checker with numbers for messages (and, on demand, a report for each context met)."""

    class Numbered(tool.Checker):  # type: ignore[misc, name-defined]
        header: str = ""  #: the document being checked without what its body holds
        headers: ClassVar[dict[str, list[Any]]] = {}

        def _check_profile(self, profile: str, node: Any) -> Iterator[Any]:
            if profile != "StrucMin" or not self.header or contexts:
                yield from super()._check_profile(profile, node)
                return
            if self.header not in self.headers:
                head = self._saxon.parse_xml(xml_text=self.header)
                self.headers[self.header] = list(super()._check_profile(profile, head))
            yield from self.headers[self.header]

        def _stylesheet(self, source: Path) -> str:
            schema = tool.load_schema(source)
            name = _name_of(tool, source)
            for number, each in enumerate(list(schema.iter(f"{tool.SCH}assert", f"{tool.SCH}report"))):
                # The outside checker knows the rule on typeId by the beginning of its text.
                kept = "descendant-or-self::hl7:ClinicalDocument"
                text = f"{kept} {name}:{number}" if (each.text or "").startswith(kept) else f"{name}:{number}"
                for child in list(each):
                    each.remove(child)
                each.text = text
            if not contexts and not whole:
                for pattern in list(schema.iter(f"{tool.SCH}pattern")):
                    # 148 rules of unknown children, which only warn, take two thirds of the time.
                    if all(each.get("role") == "warning" for each in pattern.iter(f"{tool.SCH}assert")) and (
                        pattern.get("id", "").endswith("-closed")
                    ):
                        pattern.getparent().remove(pattern)
            if contexts:
                for number, rule in enumerate(list(schema.iter(f"{tool.SCH}rule"))):
                    if rule.get("abstract") != "true":
                        told = rule.makeelement(f"{tool.SCH}report", {"test": "true()", "role": "info"})
                        told.text = f"{name}:r{number}"
                        rule.insert(0, told)
            return str(tool.Compiler(schema, source.as_uri()).stylesheet())

    return Numbered(pack)


@functools.cache
def judge() -> Judge:
    """One judge a process."""
    return Judge()
