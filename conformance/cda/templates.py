"""The tables of templates, compiled: one XPath a template says that all is well, its parts say what is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from lxml import etree

from conformance.cda import asks
from conformance.cda.asks import Ask, Asks
from conformance.cda.model import HL7
from conformance.cda.rulebook import RuleFileError, TestRule, load, read_test, xpath
from conformance.cda.rules_body import ENTRY, SECTION
from conformance.terminology import value_set
from conformance.verdict import Rule

__all__ = ["TEMPLATES", "Binding", "Part", "Template"]

_KEYS: Final = frozenset(
    "id name unless is with templates advise one some most none code coded status text value relation has authors bind "
    "advice_set tests".split()
)
_AUTHOR: Final = (
    "not(h:author) or (h:author/h:assignedAuthor/h:id and h:author/h:assignedAuthor/h:addr "
    "and h:author/h:assignedAuthor/h:telecom and h:author/h:assignedAuthor/h:assignedPerson/h:name "
    "and h:author/h:assignedAuthor/h:representedOrganization/h:name)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One thing a template asks for."""

    rule: Rule
    text: str  #: the XPath that must hold
    test: etree.XPath
    at: etree.XPath | None = None
    found: etree.XPath | None = None
    expected: str | None = None
    need: Need | None = None  #: the same question, answered from what the walk saw
    ask: Ask | None = None  #: the same question, answered from the children alone


class Need(NamedTuple):
    """At least one element below (or anywhere) claims one of some templates."""

    oids: tuple[str, ...]
    anywhere: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A value set bound to a coded element of a template."""

    path: etree.XPath
    tag: str | None  #: the name of the children, when that is all the path says
    sets: tuple[str, ...]
    nullable: bool
    rule: Rule
    null_rule: Rule | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What a template asks of the element that claims it."""

    oid: str
    name: tuple[str, str]
    unless: str | None
    asks: Asks
    needs: tuple[Need, ...]
    every: etree.XPath | None  #: the parts that neither asks nor needs answer
    parts: tuple[Part, ...]
    bindings: tuple[Binding, ...]


def _h(path: str) -> str:
    """``effectiveTime/low`` with the prefix of CDA on each name; a path that has prefixes stays as it is."""
    if "h:" in path:
        return path
    return "/".join(f"h:{step}" for step in path.split("/"))


def _any(attribute: str, values: list[str]) -> str:
    return " or ".join(f"@{attribute}='{value}'" for value in values)


class _Reader:
    """Turns the rows of one file into templates."""

    def __init__(self, file: str, rules: dict[str, Rule]) -> None:
        self.file = file
        self.rules = rules
        table = load(file, "templates")
        self.source = table["source"]
        self.rows = table["templates"]

    def read(self) -> Iterator[Template]:
        for row in self.rows:
            if unknown := row.keys() - _KEYS:
                raise RuleFileError(f"{self.file}: {row.get('id')}: unknown members {sorted(map(str, unknown))}")
            parts = tuple(self.parts(row))
            rest = [f"({part.text})" for part in parts if part.need is None and part.ask is None]
            yield Template(
                oid=row["id"],
                name=(row["name"][0], row["name"][1]),
                unless=row.get("unless"),
                asks=asks.together(part.ask for part in parts if part.ask is not None),
                every=xpath(self.file, row["id"], f"boolean({' and '.join(rest)})") if rest else None,
                needs=tuple(part.need for part in parts if part.need is not None),
                parts=parts,
                bindings=tuple(self.bindings(row)),
            )

    def part(
        self, row: dict[str, Any], word: str, text: str, at: str | None, expected: str, ask: Ask | None = None
    ) -> Part:
        if word not in self.rules:
            raise RuleFileError(f"{self.file}: {row['id']}: no rule for {word}")
        return Part(
            rule=self.rules[word],
            text=text,
            test=xpath(self.file, row["id"], f"boolean({text})"),
            at=xpath(self.file, row["id"], at) if at else None,
            expected=expected,
            ask=ask,
        )

    def parts(self, row: dict[str, Any]) -> Iterator[Part]:
        if "is" in row:
            element, *rest = row["is"].split()
            test = f"self::h:{element}"
            if rest:
                test += f"[@classCode='{rest[0]}']"
            if len(rest) > 1:
                test += f"[{_any('moodCode', rest[1].split('|'))}]"
            yield self.part(row, "is", test, None, row["is"], asks.is_a(element, *rest))
        for oid in row.get("with", ()):
            yield self.part(row, "with", f"h:templateId/@root='{oid}'", None, oid, asks.claims(oid))
        if "templates" in row:
            least = row["templates"]
            test = f"count(h:templateId) >= {least}"
            yield self.part(row, "with", test, None, f"{least} templateId", asks.number("templateId", least, None))
        for path in row.get("one", ()):
            test = f"count({_h(path)}) = 1"
            yield self.part(row, "one", test, f"{_h(path)}[2]", f"{path} 1..1", asks.number(path, 1, 1))
        for path in row.get("some", ()):
            yield self.part(row, "some", f"boolean({_h(path)})", None, path, asks.number(path, 1, None))
        for path, most in row.get("most", {}).items():
            test = f"count({_h(path)}) <= {most}"
            ask = asks.number(path, 0, most)
            yield self.part(row, "most", test, f"{_h(path)}[{most + 1}]", f"{path} 0..{most}", ask)
        for path in row.get("none", ()):
            yield self.part(row, "none", f"not({_h(path)})", _h(path), f"{path} 0..0", asks.number(path, 0, 0))
        yield from self.coded(row)
        if row.get("text"):
            test = "boolean(h:text/h:reference[@value])"
            yield self.part(row, "text", test, "h:text", "text/reference/@value", asks.linked())
        if "value" in row:
            kinds = " or ".join(f"@xsi:type='{kind}'" for kind in row["value"])
            ask = asks.attribute("value", asks.XSI_TYPE, row["value"])
            yield self.part(row, "value", f"boolean(h:value[{kinds}])", "h:value", " | ".join(row["value"]), ask)
        if "relation" in row:
            kind, *inversion = row["relation"]
            test = f"../self::h:entryRelationship[@typeCode='{kind}']"
            if inversion:
                test += f"[@inversionInd='{inversion[0]}']"
            yield self.part(row, "relation", f"boolean({test})", "..", " ".join(row["relation"]))
        for path, card, oids in row.get("has", ()):
            low, _, high = card.partition("..")
            ids = f"h:templateId[{_any('root', oids)}]"
            test = f"count({path}[{ids}]) >= {low}" if int(low) else "true()"
            if high != "*":
                test += f" and count({path}[{ids}]) <= {high}"
            held = self.part(row, "has", test, None, f"{' | '.join(oids)} {card}")
            if path in (".//*", "//*") and card == "1..*":
                held = replace(held, need=Need(tuple(oids), path == "//*"))
            yield held
        if row.get("authors"):
            yield self.part(row, "authors", _AUTHOR, "h:author", "id, addr, telecom, name")
        for oid in row.get("advise", ()):
            yield self.part(row, "advise", f"h:templateId/@root='{oid}'", None, oid)
        for each in row.get("tests", ()):
            made: TestRule = read_test(self.file, each, self.source)
            yield Part(
                rule=made.rule, text=made.text, test=made.test, at=made.at, found=made.found, expected=made.expected
            )

    def coded(self, row: dict[str, Any]) -> Iterator[Part]:
        code = row.get("code")
        if code is not None and "flavor" in code:
            yield self.part(
                row,
                "code",
                f"boolean(h:code[@nullFlavor='{code['flavor']}'])",
                "h:code",
                f"nullFlavor {code['flavor']}",
                asks.attribute("code", "nullFlavor", [code["flavor"]]),
            )
        elif code is not None:
            test = f"h:code[{_any('code', code['values'])}]"
            expected = " | ".join(code["values"])
            system = None if code.get("advice") else code.get("system")
            if system is not None:
                test += f"[@codeSystem='{code['system']}']"
                expected += f" ({code['system']})"
            word = "code_advice" if code.get("advice") else "code"
            yield self.part(
                row,
                word,
                f"boolean({test})",
                "h:code",
                expected,
                asks.attribute("code", "code", code["values"], system),
            )
        for path in row.get("coded", ()):
            yield self.part(row, "coded", f"boolean({_h(path)}[@code and @codeSystem])", _h(path), "code, codeSystem")
        if "status" in row:
            test = f"boolean(h:statusCode[{_any('code', row['status'])}])"
            ask = asks.attribute("statusCode", "code", row["status"])
            yield self.part(row, "status", test, "h:statusCode", " | ".join(row["status"]), ask)

    def bindings(self, row: dict[str, Any]) -> Iterator[Binding]:
        for word in ("bind", "advice_set"):
            for path, oids, *null in row.get(word, ()):
                sets = tuple(oids.split())
                for oid in sets:
                    value_set(oid)  # a table that is not there fails now, not at the first request
                yield Binding(
                    path=xpath(self.file, row["id"], _h(path)),
                    tag=HL7 + path if path.isalnum() else None,
                    sets=sets,
                    nullable=bool(null) or word == "advice_set",
                    rule=self.rules[word],
                    null_rule=self.rules["bind_null"] if word == "bind" else None,
                )


def _templates() -> dict[str, Template]:
    made: dict[str, Template] = {}
    for file, rules in (("cda-sections.yaml", SECTION), ("cda-entries.yaml", ENTRY)):
        for template in _Reader(file, rules).read():
            if template.oid in made:
                raise RuleFileError(f"{file}: {template.oid} stands twice")
            made[template.oid] = template
    return made


#: Template OID -> what it asks for.
TEMPLATES: Final = _templates()
