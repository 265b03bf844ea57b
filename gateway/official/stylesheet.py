"""Turning a concrete Schematron into one XSLT 3.0 stylesheet that writes a line for each assertion that fails.

Follows the reference implementation of ISO Schematron: in a pattern, the first rule whose context matches an element is
the only one to run on it; variables of schema and pattern are global, those of a rule local; rules on attributes never
run. No library for ``saxonche`` does this; pyschematron has its own XPath engine, hundreds of times slower.
"""

from __future__ import annotations

import re
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from gateway.official.rules import SCH, abstract_rules, active_patterns
from gateway.packs import PackError

__all__ = ["stylesheet"]

_Element = etree._Element
_XSLT: Final = "{http://www.w3.org/1999/XSL/Transform}"
_NAMES: Final = re.compile(r"\$([\w.-]+)")
_BOUND: Final = re.compile(r"\b(?:for|some|every|let)\s+\$([\w.-]+)")
_HEAD: Final = """\
<xsl:stylesheet version="3.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
 xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsd="http://www.w3.org/2001/XMLSchema"
 xmlns:own="urn:passerelle:official" exclude-result-prefixes="#all"{spaces} xml:base={base}>
<xsl:output method="xml" indent="no"/>
<xsl:variable name="own:elements" select="//*"/>
<xsl:function name="own:name" as="xs:string"><xsl:param name="e" as="element()"/>
<xsl:sequence select="let $s := string(namespace-uri($e)) return concat(
 if ($s = 'urn:hl7-org:sdtc') then 'sdtc:' else if ($s = 'urn:ihe:pharm:medication') then 'pharm:'
 else if ($s = 'urn:oid:1.3.6.1.4.1.19376.1.3.2') then 'lab:'
 else if ($s = 'urn:dicom-org:ps3-20') then 'dicom:' else '',
 local-name($e))"/></xsl:function>
<xsl:function name="own:place" as="xs:string"><xsl:param name="n" as="node()"/>
<xsl:sequence select="string-join(for $e in ($n, $n[self::document-node()]/*)/ancestor-or-self::*,
 $same in count($e/preceding-sibling::*[node-name() = node-name($e)])
 return ('/', own:name($e), if ($same or $e/following-sibling::*[node-name() = node-name($e)])
 then concat('[', $same + 1, ']') else ''))"/></xsl:function>
"""


def stylesheet(schema: _Element, base: str) -> str:
    """The text of the stylesheet; ``base`` is the address of the Schematron, which its ``document()`` calls start from.

    Raises :class:`PackError` when a rule extends one that is not there.
    """
    return _Compiler(schema, base).whole()


class _Compiler:
    """What one schema needs while its stylesheet is written."""

    def __init__(self, schema: _Element, base: str) -> None:
        self.schema = schema
        self.abstract = abstract_rules(schema)
        self.globals: set[str] = set()
        self.named: set[str] = set()
        spaces = {each.get("prefix", ""): each.get("uri", "") for each in schema.iter(f"{SCH}ns")}
        declared = "".join(
            f"\n xmlns:{prefix}={quoteattr(uri)}"
            for prefix, uri in spaces.items()
            if prefix not in ("xml", "xs", "xsd")
        )
        self.out = [_HEAD.format(spaces=declared, base=quoteattr(base))]

    def whole(self) -> str:
        """Write everything."""
        patterns = active_patterns(self.schema)
        for owner in (self.schema, *patterns):
            for let in owner.iterfind(f"{SCH}let"):
                self.globals.add(let.get("name", ""))
                self.out.append(_variable(let))
        for foreign in self.schema:
            if str(foreign.tag).startswith(_XSLT):
                self.out.append(etree.tostring(foreign, encoding="unicode", with_tail=False))
        calls = []
        for number, pattern in enumerate(patterns):
            rules = [each for each in pattern.iterfind(f"{SCH}rule") if each.get("abstract") != "true"]
            if rules:
                self.pattern(f"p{number}", pattern, rules)
                # A context of "/" matches the document itself, any other an element.
                documents = any(each.get("context", "").strip() == "/" for each in rules)
                nodes = "/ | $own:elements" if documents else "$own:elements"
                calls.append(f'<xsl:apply-templates select="{nodes}" mode="p{number}"/>')
        self.out.append(f'<xsl:template match="/"><out>{"".join(calls)}</out></xsl:template></xsl:stylesheet>')
        return "\n".join(self.out)

    def pattern(self, mode: str, pattern: _Element, rules: list[_Element]) -> None:
        """One mode a pattern, one template a rule, the first rule strongest."""
        self.out.append(f'<xsl:mode name="{mode}" on-no-match="deep-skip"/>')
        for rank, rule in enumerate(rules):
            name = quoteattr(_literal(rule.get("id") or pattern.get("id") or ""))
            match = quoteattr(rule.get("context", ""))
            self.out.append(
                f'<xsl:template mode="{mode}" priority="{len(rules) - rank}" match={match}>'
                f'<xsl:variable name="own:rule" select={name}/>{self.body(rule)}</xsl:template>'
            )

    def body(self, rule: _Element) -> str:
        """The instructions of a rule, those it extends included."""
        parts = []
        for child in rule:
            if child.tag == f"{SCH}let":
                parts.append(_variable(child))
            elif child.tag == f"{SCH}assert":
                parts.append(_told(child, f"not({child.get('test')})"))
            elif child.tag == f"{SCH}report":
                parts.append(_told(child, child.get("test", "false()")))
            elif child.tag == f"{SCH}extends":
                parts.append(self.extended(child.get("rule", ""), rule))
        return "".join(parts)

    def extended(self, name: str, user: _Element) -> str:
        """A call of the abstract rule; its text in place where variables cross between the two."""
        rule = self.abstract.get(name)
        if rule is None:
            raise PackError(f"no abstract rule {name}")
        own, used = self.variables(rule)
        if own & _used(user) or used - own - self.globals:
            return self.body(rule)
        called = f"a{list(self.abstract).index(name)}"
        if called not in self.named:
            self.named.add(called)
            told = '<xsl:param name="own:rule" as="xs:string"/>'
            self.out.append(f'<xsl:template name="{called}">{told}{self.body(rule)}</xsl:template>')
        passed = '<xsl:with-param name="own:rule" select="$own:rule"/>'
        return f'<xsl:call-template name="{called}">{passed}</xsl:call-template>'

    def variables(self, rule: _Element) -> tuple[set[str], set[str]]:
        """The variables a rule, with those it extends, declares, and those it uses."""
        own = {let.get("name", "") for let in rule.iterfind(f"{SCH}let")}
        used = _used(rule)
        for each in rule.iterfind(f"{SCH}extends"):
            if (parent := self.abstract.get(each.get("rule", ""))) is not None:
                more_own, more_used = self.variables(parent)
                own |= more_own
                used |= more_used
        return own, used


def _used(rule: _Element) -> set[str]:
    text = " ".join(str(value) for element in rule.iter() for value in element.attrib.values())
    return set(_NAMES.findall(text)) - set(_BOUND.findall(text))


def _variable(let: _Element) -> str:
    return f"<xsl:variable name={quoteattr(let.get('name', ''))} select={quoteattr(let.get('value', ''))}/>"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _told(rule: _Element, broken: str) -> str:
    role = (rule.get("role") or rule.get("flag") or "error").lower()
    severity = "warning" if role.startswith(("warn", "info", "hint")) else "error"
    return (
        f'<xsl:if test={quoteattr(broken)}><f s="{severity}" r="{{$own:rule}}" l="{{own:place(.)}}">'
        f"{_words(rule)}</f></xsl:if>"
    )


def _words(rule: _Element) -> str:
    parts = [_text(rule.text)]
    for child in rule:
        if child.tag == f"{SCH}value-of":
            # A name may be shown; a value of the document may be a patient's, and never is.
            select = child.get("select", ".")
            named = select.strip() in ("name()", "local-name()", "name(.)", "local-name(.)", "$name")
            parts.append(f"<xsl:value-of select={quoteattr(select)}/>" if named else "<xsl:text>…</xsl:text>")
        elif child.tag == f"{SCH}name":
            parts.append(f"<xsl:value-of select={quoteattr('name(' + child.get('path', '.') + ')')}/>")
        else:
            parts.append(_text(" " + "".join(child.itertext()) + " "))
        parts.append(_text(child.tail))
    return "".join(parts)


def _text(text: str | None) -> str:
    return f"<xsl:text>{escape(text)}</xsl:text>" if text and text.strip() else ""
