"""Write the table of CDA structure shipped with ``conformance.rules`` from the CDA R2 schema of an ANS CDA pack.

    python scripts/make_cda_structure.py PACK > conformance/rules/cda-structure.json

What the table holds of each type: the order and number of its children, its attributes with their form, whether text
may stand in it, and the type it specialises. Facts of HL7 CDA R2 and its four extensions (sdtc, laboratory, pharmacy,
DICOM); no text of the schema is kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from lxml import etree

from security.xml import parse_own

XS = "{http://www.w3.org/2001/XMLSchema}"
FILES = """
CDA_extended.xsd POCD_MT000040_extended_pharmacy.xsd dicom/DICOM.xsd general/NarrativeBlock.xsd
general/datatypes-base.xsd general/datatypes.xsd general/infrastructureRoot.xsd general/voc.xsd ihelab/ihelab.xsd
pharmacy/COCT_MT230100UV_ext_pharmacy.xsd sdtc/SDTC.xsd
""".split()
PREFIXES = {
    "urn:hl7-org:v3": "",
    "urn:hl7-org:sdtc": "sdtc:",
    "urn:oid:1.3.6.1.4.1.19376.1.3.2": "lab:",
    "urn:ihe:pharm:medication": "pharm:",
    "urn:dicom-org:ps3-20": "dicom:",
    "http://www.w3.org/2001/XMLSchema": "xs:",
}
ROOT = "POCD_MT000040.ClinicalDocument"

_Element = etree._Element


class Schema:
    """The schema files as one set of named parts."""

    def __init__(self, folder: Path) -> None:
        self.complex: dict[str, tuple[_Element, str]] = {}
        self.simple: dict[str, tuple[_Element, str]] = {}
        self.elements: dict[str, tuple[_Element, str]] = {}
        self.groups: dict[str, tuple[_Element, str]] = {}
        for name in FILES:
            root = parse_own(folder / "infrastructure" / "cda" / name).getroot()
            # The data types have no namespace of their own: they take the one of CDA.
            prefix = PREFIXES[root.get("targetNamespace") or "urn:hl7-org:v3"]
            for child in root:
                place = {
                    f"{XS}complexType": self.complex,
                    f"{XS}simpleType": self.simple,
                    f"{XS}element": self.elements,
                    f"{XS}group": self.groups,
                }.get(str(child.tag))
                if place is not None:
                    place[prefix + child.get("name")] = (child, prefix)
                    # The pharmacy schema takes the basic data types into its own namespace (a chameleon include).
                    if name == "general/datatypes-base.xsd":
                        place["pharm:" + child.get("name")] = (child, "pharm:")
        self.types: dict[str, Any] = {}
        self.forms: dict[str, Any] = {}
        self.waiting: list[str] = []

    # --- names ---

    def name(self, context: _Element, qname: str, known: dict[str, Any], own: str = "") -> str:
        """The prefixed name of a reference; a name unknown in its own namespace is one of the data types.

        ``own`` is the prefix under which a file without namespace is being read.
        """
        prefix, _, local = qname.rpartition(":")
        space = context.nsmap.get(prefix or None)
        found = (PREFIXES[space] if space else own) + local
        return found if found in known or found.startswith("xs:") or local not in known else local

    # --- simple types ---

    def form(self, element: _Element, qname: str) -> str:
        """Note a simple type and give its name."""
        name = self.name(element, qname, self.simple)
        if not name.startswith("xs:") and name not in self.forms:
            self.forms[name] = None
            self.forms[name] = self.inline_form(self.simple[name][0])
        return name

    def inline_form(self, element: _Element) -> Any:
        restriction = element.find(f"{XS}restriction")
        if restriction is not None:
            out: dict[str, Any] = {"base": self.form(element, restriction.get("base"))}
            if values := [e.get("value") for e in restriction.iterchildren(f"{XS}enumeration")]:
                out["enum"] = values
            if patterns := [e.get("value") for e in restriction.iterchildren(f"{XS}pattern")]:
                out["pattern"] = patterns
            for limit in ("minLength", "minInclusive", "maxInclusive"):
                if (found := restriction.find(f"{XS}{limit}")) is not None:
                    out[limit] = found.get("value")
            return out
        union = element.find(f"{XS}union")
        if union is not None:
            members = [self.form(union, each) for each in (union.get("memberTypes") or "").split()]
            return {"union": members + [self.inline_form(each) for each in union.iterchildren(f"{XS}simpleType")]}
        listed = element.find(f"{XS}list")
        if listed is None:
            raise ValueError(f"line {element.sourceline}: no form")
        return {"list": self.form(listed, listed.get("itemType"))}

    # --- complex types ---

    def type(self, name: str) -> None:
        """Note a complex type, its base first; the types of its children wait for :meth:`settle`."""
        if name not in self.types:
            self.types[name] = self.body(*self.complex[name])

    def settle(self) -> None:
        """Note the types that wait, and those they use."""
        while self.waiting:
            self.type(self.waiting.pop())

    def body(self, element: _Element, prefix: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        base: dict[str, Any] = {}
        holder = element
        content = element.find(f"{XS}complexContent")
        mixed = element.get("mixed") == "true"
        items: list[Any] = []
        if content is not None:
            derived = content.find(f"{XS}extension")
            extends = derived is not None
            holder = derived if derived is not None else content.find(f"{XS}restriction")
            named = self.name(holder, holder.get("base"), self.complex, prefix)
            self.type(named)
            base = self.types[named]
            out["base"] = named
            mixed = mixed or base.get("mixed", False)
            if extends and "content" in base:
                items.append(base["content"])
        if element.get("abstract") == "true":
            out["abstract"] = True
        items += [
            self.particle(child, prefix)
            for child in holder
            if child.tag in (f"{XS}sequence", f"{XS}choice", f"{XS}group")
        ]
        if items:
            out["content"] = items[0] if len(items) == 1 else ["seq", 1, 1, items]
        if mixed:
            out["mixed"] = True
        attributes = dict(base.get("attributes", {}))
        for child in holder.iterchildren(f"{XS}attribute"):
            if child.get("use") == "prohibited":
                attributes.pop(child.get("name"), None)
                continue
            key = child.get("name") or child.get("ref")
            if child.get("ref"):
                form: Any = "xs:string"
            elif child.get("type"):
                form = self.form(child, child.get("type"))
            else:
                form = self.inline_form(child.find(f"{XS}simpleType"))
            entry: dict[str, Any] = {"form": form}
            if child.get("use") == "required":
                entry["required"] = True
            if child.get("fixed") is not None:
                entry["fixed"] = child.get("fixed")
            attributes[key] = entry
        if attributes:
            out["attributes"] = attributes
        return out

    def particle(self, element: _Element, prefix: str) -> Any:
        low = int(element.get("minOccurs", "1"))
        high = -1 if element.get("maxOccurs") == "unbounded" else int(element.get("maxOccurs", "1"))
        kind = element.tag.removeprefix(XS)
        if kind == "any":
            return ["any", low, high]
        if kind == "group":
            group, own = self.groups[self.name(element, element.get("ref"), self.groups)]
            inner = next(c for c in group if c.tag in (f"{XS}sequence", f"{XS}choice"))
            return ["seq", low, high, [self.particle(inner, own)]]
        if kind in ("sequence", "choice"):
            inner_items = [
                self.particle(c, prefix) for c in element.iterchildren(f"{XS}*") if c.tag != f"{XS}annotation"
            ]
            return ["seq" if kind == "sequence" else "choice", low, high, inner_items]
        if element.get("ref"):
            name = self.name(element, element.get("ref"), self.elements)
            element, own = self.elements[name]
        else:
            name = prefix + element.get("name")
        inline = element.find(f"{XS}complexType")
        if inline is not None:
            typed = "@" + name
            if typed not in self.types:
                self.types[typed] = self.body(inline, PREFIXES[_target(element)])
        else:
            # The schema leaves the function of a participant without a type: it is a coded value.
            typed = self.name(element, element.get("type") or "CE", self.complex, prefix)
            if typed not in self.complex:
                typed = "#" + self.form(element, element.get("type"))
            else:
                self.waiting.append(typed)
        return ["el", low, high, name, typed]


def _target(element: _Element) -> str:
    return element.getroottree().getroot().get("targetNamespace") or "urn:hl7-org:v3"


def main(pack: Path) -> None:
    """Print the table."""
    schema = Schema(pack)
    schema.type(ROOT)
    schema.settle()
    # What xsi:type may name: every specialisation of a data type in use.
    grown = True
    while grown:
        grown = False
        for name, (element, _) in schema.complex.items():
            derived = next(element.iter(f"{XS}extension", f"{XS}restriction"), None)
            if name in schema.types or derived is None or element.find(f"{XS}complexContent") is None:
                continue
            if schema.name(derived, derived.get("base"), schema.complex) in schema.types:
                schema.type(name)
                schema.settle()
                grown = True
    table = {
        "source": "HL7 CDA R2 (POCD_MT000040), with the extensions sdtc, IHE laboratory and pharmacy, DICOM, of CI-SIS",
        "date": "2025-02-19",
        "root": ROOT,
        "types": dict(sorted(schema.types.items())),
        "forms": dict(sorted(schema.forms.items())),
    }
    json.dump(table, sys.stdout, ensure_ascii=False, separators=(",", ":"))
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
