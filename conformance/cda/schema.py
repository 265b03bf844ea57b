"""The table of structure as an XML Schema that libxml2 runs: ten times quicker than a walk, and says yes or no only.

It is made narrower than the table, never wider: what it accepts has no fault of structure, what it refuses is walked
(:mod:`conformance.cda.structure`) and may still be right. Source: HL7 CDA R2, by ``rules/cda-structure.json``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from lxml import etree

from conformance.cda.model import NAMESPACES, full_name, table
from security.xml import own_schema

__all__ = ["accepts", "documents", "elements", "pointers", "prepare", "ready"]

_SPACES: Final = {"": "urn:hl7-org:v3", **NAMESPACES}
#: Namespaces whose types ``xsi:type`` may not name: their types stand where they are used, without a name.
_UNNAMED: Final = frozenset(("sdtc", "lab", "dicom"))
_NUMBER: Final = r"[+\-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)"
#: Patterns that accept less than the forms of the same name (``conformance.cda.forms``): no white space around, and no
#: letter that libxml2 and Python class differently.
_PATTERNS: Final = {
    "xs:boolean": "true|false|1|0",
    "xs:integer": r"[+\-]?[0-9]+",
    "xs:decimal": _NUMBER,
    "xs:double": rf"{_NUMBER}([eE][+\-]?[0-9]+)?|\-?INF|NaN",
    "xs:NMTOKEN": r"[A-Za-z0-9_.:\-]+",
    "xs:NMTOKENS": r"[A-Za-z0-9_.:\-]+( [A-Za-z0-9_.:\-]+)*",
    "xs:ID": r"[A-Za-z_][A-Za-z0-9_.\-]*",
    "xs:IDREF": r"[A-Za-z_][A-Za-z0-9_.\-]*",
    "xs:IDREFS": r"[A-Za-z_][A-Za-z0-9_.\-]*( [A-Za-z_][A-Za-z0-9_.\-]*)*",
    "xs:base64Binary": "[A-Za-z0-9+/=]*",
    "xs:anyURI": r"([^%\t\n\r]|%[0-9A-Fa-f][0-9A-Fa-f])*",
    "probability": r"0(\.[0-9]+)?|1(\.0+)?",
    "sdtc:int_pos": "[1-9][0-9]*",
    # libxml2 miscounts where alternatives begin alike (2026112020261120 fits [0-9]{9,14}): nothing is counted here.
    "ts": "|".join(
        [*("[0-9]" * n for n in (4, 6, 8)), rf"({'|'.join('[0-9]' * n for n in (10, 12, 14))})([+\-]{'[0-9]' * 4})?"]
    ),
    "uuid": "-".join("[0-9a-zA-Z]" * n for n in (8, 4, 4, 4, 12)),
}
_FREE: Final = ("xs:string", "xs:token", "xs:anySimpleType")


def accepts(root: etree._Element) -> bool:
    """True when the structure of a whole document is right; False when it has to be looked at."""
    return prepare().validate(root)


def ready() -> bool:
    """True when the schema is compiled."""
    return bool(prepare.cache_info().currsize)


@cache
def prepare() -> etree.XMLSchema:
    """Compile the schema, once a process: a tenth of a second."""
    return own_schema("hl7", documents())


@cache
def pointers() -> dict[str, str]:
    """The elements that may point to others by ID, with the attribute that does."""
    types: Any = table()["types"]
    return {
        full_name(name): key
        for row in types.values()
        for name, kind in elements(row.get("content"))
        for key, each in types.get(kind, {}).get("attributes", {}).items()
        if each["form"] in ("xs:IDREF", "xs:IDREFS")
    }


def documents() -> dict[str, bytes]:
    """The schema, a document a namespace."""
    return {prefix or "hl7": _Document(prefix).text().encode() for prefix in _SPACES}


def _prefix(name: str) -> str:
    return name.lstrip("@#").rpartition(":")[0]


def _local(name: str) -> str:
    return name.lstrip("@#").rpartition(":")[2]


class _Document:
    """The schema document of one namespace."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.types: dict[str, Any] = table()["types"]

    def text(self) -> str:
        spaces = " ".join(f"xmlns:{prefix or 'hl7'}={quoteattr(uri)}" for prefix, uri in _SPACES.items())
        imports = "".join(
            f"<xs:import namespace={quoteattr(uri)}" + (f' schemaLocation="{prefix}"/>' if self.prefix == "" else "/>")
            for prefix, uri in _SPACES.items()
            if prefix != self.prefix
        )
        return (
            f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" {spaces} elementFormDefault="qualified" '
            f"targetNamespace={quoteattr(_SPACES[self.prefix])}>{imports}{''.join(self.parts())}</xs:schema>"
        )

    def parts(self) -> Iterator[str]:
        """Simple types, types, and the elements that other namespaces use."""
        if self.prefix == "":
            for name in dict.fromkeys(("xs:string", *_PATTERNS, *table()["forms"])):
                yield self.form(name)
            yield f'<xs:element name="ClinicalDocument" type="hl7:{table()["root"]}"/>'
        if self.prefix not in _UNNAMED:
            for name in self.types:
                if _prefix(name) == self.prefix:
                    yield self.type(name, f' name="{_local(name)}"')
        for name, kind in sorted(_shared()):
            if _prefix(name) == self.prefix:
                yield self.element(name, kind, "")
        if self.prefix == "sdtc":
            for name in sorted({key for row in self.types.values() for key in row.get("attributes", ()) if ":" in key}):
                yield f'<xs:attribute name="{_local(name)}" type="xs:string"/>'

    # --- Simple types: all in the namespace of CDA ---

    def form(self, name: str) -> str:
        row = table()["forms"].get(name)
        if name in _PATTERNS or row is None:
            inside = _restriction("xs:string", [_PATTERNS[name]] if name in _PATTERNS else [])
        else:
            inside = self.inline(row)
        return f'<xs:simpleType name="{_form_name(name)}">{inside}</xs:simpleType>'

    def inline(self, row: Any) -> str:
        """The inside of a simple type."""
        if "list" in row:
            return f'<xs:list itemType="{_form_ref(row["list"])}"/>'
        if "union" in row:
            return f'<xs:union memberTypes="{" ".join(map(_form_ref, row["union"]))}"/>'
        least = f'<xs:minLength value="{row["minLength"]}"/>' if "minLength" in row else ""
        return _restriction(_form_ref(row["base"]), row.get("pattern", ()), row.get("enum", ()), least)

    # --- Types ---

    def type(self, name: str, named: str) -> str:
        """A type: its own, an extension of its base, or a restriction of it."""
        row = self.types[name]
        mixed = ' mixed="true"' if row.get("mixed") else ""
        abstract = ' abstract="true"' if row.get("abstract") else ""
        head = f"<xs:complexType{named}{mixed}{abstract}>"
        base = row.get("base")
        if base is None or _prefix(name) in _UNNAMED:
            inside = self.content(row.get("content")) + self.attributes(row.get("attributes", {}), {})
            return f"{head}{inside}</xs:complexType>"
        extended = self.extension(row, self.types[base])
        if extended is None:
            inside = self.content(row.get("content")) + self.narrowed(row, self.types[base])
        else:
            inside = extended
        word = "restriction" if extended is None else "extension"
        base_name = f"{_prefix(base) or 'hl7'}:{_local(base)}"
        return (
            f'{head}<xs:complexContent{mixed}><xs:{word} base="{base_name}">{inside}</xs:{word}>'
            "</xs:complexContent></xs:complexType>"
        )

    def extension(self, row: Any, base: Any) -> str | None:
        """What a type adds to its base, None when it does not only add."""
        own, inherited = row.get("attributes", {}), base.get("attributes", {})
        if any(own.get(key) != each for key, each in inherited.items()):
            return None
        content, first = row.get("content"), base.get("content")
        if content == first:
            added = None
        elif first is None:
            added = content
        elif content is not None and content[:3] == ["seq", 1, 1] and content[3][0] == first and len(content[3]) == 2:
            added = content[3][1]
        else:
            return None
        return self.content(added) + self.attributes(own, inherited)

    def narrowed(self, row: Any, base: Any) -> str:
        """The attributes that a restriction changes or takes away."""
        own, inherited = row.get("attributes", {}), base.get("attributes", {})
        gone = "".join(f'<xs:attribute name="{key}" use="prohibited"/>' for key in inherited if key not in own)
        changed = {key: each for key, each in own.items() if inherited.get(key) != each}
        return self.attributes(changed, {}, inherited) + gone

    def attributes(self, own: Any, without: Any, inherited: Any = None) -> str:
        return "".join(self.attribute(key, each, inherited or {}) for key, each in own.items() if key not in without)

    def attribute(self, name: str, row: Any, inherited: Any) -> str:
        use = ' use="required"' if row.get("required") else ""
        if ":" in name:
            return f'<xs:attribute ref="{name}"{use}/>'
        form, fixed, old = row["form"], row.get("fixed"), inherited.get(name)
        if fixed is None and old is None and isinstance(form, str):
            return f'<xs:attribute name="{name}" type="{_form_ref(form)}"{use}/>'
        # A fixed value is the only one, written just so; a changed form narrows the one it changes.
        base = _form_ref(old["form"] if old is not None else form if isinstance(form, str) else form["base"])
        if fixed is not None:
            inside = _restriction(base, values=[fixed])
        elif isinstance(form, str):
            inside = _restriction(base, values=_values(form))
        else:
            inside = _restriction(base, form.get("pattern", ()), form.get("enum", ()))
        return f'<xs:attribute name="{name}"{use}><xs:simpleType>{inside}</xs:simpleType></xs:attribute>'

    # --- Content ---

    def content(self, item: Any) -> str:
        if item is None:
            return ""
        return self.particle(item) if item[0] != "el" else f"<xs:sequence>{self.particle(item)}</xs:sequence>"

    def particle(self, item: Any) -> str:
        kind, low, high = item[:3]
        if high == 0 or kind == "any":  # foreign markup is left to the walk
            return ""
        times = f' minOccurs="{low}" maxOccurs="{"unbounded" if high == -1 else high}"'
        if kind == "el":
            return self.element(item[3], item[4], times)
        word = "sequence" if kind == "seq" else "choice"
        return f"<xs:{word}{times}>{''.join(map(self.particle, item[3]))}</xs:{word}>"

    def element(self, name: str, kind: str, times: str) -> str:
        if _prefix(name) != self.prefix or (times and _prefix(name) in _UNNAMED):
            return f'<xs:element ref="{_prefix(name) or "hl7"}:{_local(name)}"{times}/>'
        head = f'<xs:element name="{_local(name)}"{times}'
        if kind.startswith("#"):
            return f'{head} type="{_form_ref(kind[1:])}"/>'
        if _prefix(kind) in _UNNAMED:
            return f"{head}>{self.type(kind, '')}</xs:element>"
        return f'{head} type="{_prefix(kind) or "hl7"}:{_local(kind)}"/>'


def _restriction(base: str, pattern: Any = (), values: Any = (), more: str = "") -> str:
    facets = [f"<xs:pattern value={quoteattr(each)}/>" for each in pattern]
    facets += [f"<xs:enumeration value={quoteattr(each)}/>" for each in values]
    return f'<xs:restriction base="{base}">{more}{"".join(facets)}</xs:restriction>'


def _form_name(name: str) -> str:
    return "form." + name.replace(":", ".")


def _form_ref(name: str) -> str:
    return f"hl7:{_form_name('xs:string' if name in _FREE else name)}"


def _values(name: str) -> list[str]:
    return list(table()["forms"][name].get("enum", ()))


@cache
def _shared() -> frozenset[tuple[str, str]]:
    """Elements, with their types, that stand in a type of another namespace, or in one without a name."""
    return frozenset(
        (name, kind)
        for owner, row in table()["types"].items()
        for name, kind in elements(row.get("content"))
        if _prefix(name) != _prefix(owner) or _prefix(owner) in _UNNAMED
    )


def elements(item: Any) -> Iterator[tuple[str, str]]:
    """Every element of a content of the table, with its type."""
    if item is None:
        return
    if item[0] == "el":
        yield item[3], item[4]
    elif item[0] != "any":
        for each in item[3]:
            yield from elements(each)
