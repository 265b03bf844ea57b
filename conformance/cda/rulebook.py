"""Reading the rule files: strictly, once, when the rules are first imported; a wrong file fails by its name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from lxml import etree

from conformance.cda.model import NAMESPACES
from conformance.verdict import Rule, Severity, Text

__all__ = ["FOLDER", "RuleFileError", "TestRule", "Tests", "load", "read_test", "read_tests", "xpath"]

FOLDER: Final = Path(__file__).parents[1] / "rules"
#: Prefixes a rule may use in its XPath.
PREFIXES: Final = {"h": "urn:hl7-org:v3", "xsi": "http://www.w3.org/2001/XMLSchema-instance", **NAMESPACES}
_KEYS: Final = frozenset("code test at found expected fr en fix_fr fix_en source severity".split())
_LITERAL: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_PREFIX: Final = re.compile(r"(?<![\w.:-])([A-Za-z_][\w.-]*):(?=[A-Za-z_*])")
_CALL: Final = re.compile(r"([A-Za-z_][\w:.-]*)\s*\(")
#: What may stand before a parenthesis: functions of XPath 1.0, node tests, operators.
_CALLED: Final = frozenset(
    "last position count id local-name namespace-uri name string concat starts-with contains substring-before "
    "substring-after substring string-length normalize-space translate boolean not true false lang number sum floor "
    "ceiling round node text comment processing-instruction and or div mod".split()
)


_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[misc]
    """YAML 1.2 words: ``on``, ``off``, ``yes`` and ``no`` are texts (YAML 1.1 makes Booleans of them)."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool" or first in "tfTF"]
    for first, found in _Safe.yaml_implicit_resolvers.items()
}


class RuleFileError(ValueError):
    """A rule file is wrong: its name, and where."""


def load(name: str, *members: str) -> dict[str, Any]:
    """Read a rule file of ours, which has these members. Raises :class:`RuleFileError`."""
    try:
        found: Any = yaml.load((FOLDER / name).read_bytes(), Loader=_Loader)  # noqa: S506 - safe loader, own file
    except yaml.YAMLError as exc:
        raise RuleFileError(f"{name}: {exc}") from exc
    if not isinstance(found, dict) or "source" not in found:
        raise RuleFileError(f"{name}: a mapping with a source is expected")
    if lacking := [member for member in members if not found.get(member)]:
        raise RuleFileError(f"{name}: without {lacking}")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRule:
    """A rule told by an XPath that must hold of each element it is about."""

    __test__ = False  # not a pytest class

    rule: Rule
    test: etree.XPath
    text: str  #: the XPath as written
    at: etree.XPath | None = None  #: what is blamed, the element itself when it finds nothing
    found: etree.XPath | None = None
    expected: str | None = None


@dataclass(slots=True)
class Tests:
    """The rules about one kind of element: one XPath answers for all of them when all is well."""

    __test__ = False

    every: etree.XPath
    text: str  #: the XPath as written
    rules: list[TestRule] = field(default_factory=list)


def xpath(file: str, code: str, text: str) -> etree.XPath:
    """Compile an XPath of a rule file. Raises :class:`RuleFileError`."""
    bare = _LITERAL.sub("''", text)
    # Names are known to libxml2 only when a step or a call is reached: a wrong one would fail at some request.
    unknown = set(_PREFIX.findall(bare)) - PREFIXES.keys() | set(_CALL.findall(bare)) - _CALLED
    if unknown:
        raise RuleFileError(f"{file}: {code}: unknown names {sorted(unknown)}: {text}")
    try:
        return etree.XPath(text, namespaces=PREFIXES)
    except etree.XPathSyntaxError as exc:
        raise RuleFileError(f"{file}: {code}: {exc}: {text}") from exc


def read_tests(file: str, rows: list[dict[str, Any]], source: str) -> Tests:
    """Compile the rules about one kind of element."""
    made = [read_test(file, row, source) for row in rows]
    text = " and ".join(f"({each.text})" for each in made)
    return Tests(xpath(file, made[0].rule.code, text), text, made)


def read_test(file: str, row: dict[str, Any], source: str) -> TestRule:
    """Compile one rule told by an XPath. Raises :class:`RuleFileError`."""
    code = str(row.get("code"))
    if unknown := row.keys() - _KEYS:
        raise RuleFileError(f"{file}: {code}: unknown members {sorted(unknown)}")
    missing = [key for key in ("code", "test", "fr", "en", "fix_fr", "fix_en") if not row.get(key)]
    if missing:
        raise RuleFileError(f"{file}: {code}: without {missing}")
    text = " ".join(str(row["test"]).split())
    return TestRule(
        rule=Rule(
            code=row["code"],
            message=Text(row["fr"], row["en"]),
            fix=Text(row["fix_fr"], row["fix_en"]),
            source=row.get("source", source),
            severity=Severity(row.get("severity", "error")),
        ),
        test=xpath(file, code, f"boolean({text})"),
        text=text,
        at=xpath(file, code, row["at"]) if row.get("at") else None,
        found=xpath(file, code, f"string({row['found']})") if row.get("found") else None,
        expected=row.get("expected"),
    )
