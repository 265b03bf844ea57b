"""Single changes to valid documents: the same few operations everywhere, each place once, and some made by hand.

A mutant has a stable name (``summary|drop|/ClinicalDocument/title``), so that a failure can be made again. Two places
that follow the same templates are one: what is done to the first entry of a kind is not done to the second.
"""

from __future__ import annotations

import copy
import functools
import random
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lxml import etree

from conformance.cda import place
from conformance.cda.model import Model, root_model, type_model
from mappings import cda
from mappings import document as hub
from security import xml
from tests.support import documents
from tests.support.cda import official, one, tree, written
from tests.support.datatype_changes import CHANGES, NEAR_TYPES, Change
from tests.support.rich_header import PARTS, rich_header
from tests.unit.mappings.fhir import full

__all__ = ["BASES", "Mutant", "base", "made", "mutants", "sampled"]

H = "{urn:hl7-org:v3}"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
TINY_PDF = "JVBERi0xLjQKJSVFT0YK"
TINY_IMAGE = "/9j/4AAQSkZJRg=="
_Element = etree._Element


@dataclass(frozen=True, slots=True)
class Mutant:
    """A document that differs from a valid one by one change."""

    base: str
    operation: str
    where: str
    data: bytes

    @property
    def name(self) -> str:
        return f"{self.base}|{self.operation}|{self.where}"


def _small(root: _Element) -> None:
    """Without comments, and with files of some bytes: what is judged is not in them."""
    etree.strip_tags(root, etree.Comment)
    for element in root.iter(f"{H}value", f"{H}text"):
        if element.get("representation") == "B64" and len(element) == 0:
            element.text = TINY_IMAGE if (element.get("mediaType") or "").startswith("image") else TINY_PDF


def _mended(root: _Element) -> None:
    """The official dispensation without its known defect."""
    one(root, "recordTarget/patientRole/patient/name/family[2]").set("qualifier", "CL")


def _full(kind: str) -> bytes:
    """A CDA of our writers with every member of the hub model."""
    return cda.write(hub.load(getattr(full, kind)()), pdf=documents.PDF).data


@functools.cache
def _ips_section(number: int) -> bytes:
    """One section of the official patient summary, under a header of no particular model."""
    root = tree(rich_header("custodian"))
    root[-1].clear()
    etree.SubElement(root[-1], f"{H}structuredBody").append(_ips_sections()[number])
    one(root, "templateId[3]").set("root", "1.3.6.1.4.1.19376.1.5.3.1.1.1")
    return xml.serialize(root, declaration=False)


def _ips_sections() -> list[_Element]:
    return list(one(tree(official("IPS-FR_2024.01")), "component/structuredBody").iterchildren(f"{H}component"))


def _whole_line(root: _Element) -> None:
    """A dispensation that copies a whole line of its prescription, and names who prescribed and who dispensed."""
    supply = one(root, "component/structuredBody/component/section/entry/supply")
    line = copy.deepcopy(
        one(tree(written("prescription")), "component/structuredBody/component/section/entry/substanceAdministration")
    )
    structured = line.find(f"{H}templateId[@root='1.3.6.1.4.1.19376.1.9.1.3.6']")
    if structured is not None:
        line.remove(structured)
    for each in line.iter():
        each.attrib.pop("ID", None)
    for reference in line.iter(f"{H}reference"):
        if reference.get("value"):
            reference.set("value", next(root.iter(f"{H}reference")).get("value", ""))
    product = next(supply.iterchildren(f"{H}product"))
    people = xml.parse(_PEOPLE.encode(), xml.CDA_LIMITS)
    for each in reversed(people[:]):
        product.addnext(each)
    entry = supply.getparent()
    assert entry is not None
    entry.addnext(other := etree.Element(f"{H}entry"))
    other.append(line)


_PEOPLE = """<x xmlns="urn:hl7-org:v3"><performer typeCode="PRF"><time value="20261120110000+0100"/><assignedEntity>
<id root="1.2.250.1.71.4.2.1" extension="810123456781"/><assignedPerson><name><family>MORVAN</family></name>
</assignedPerson></assignedEntity></performer><author><time value="20261120110000+0100"/><assignedAuthor>
<id root="1.2.250.1.71.4.2.1" extension="899700218896"/>
<code code="G15_10/SM54" displayName="Médecin - Médecine Générale (SM)" codeSystem="1.2.250.1.213.1.1.4.5"/>
<addr nullFlavor="NAV"/><telecom nullFlavor="NAV"/><assignedPerson><name><family>KERVELLA</family></name>
</assignedPerson><representedOrganization><name>CABINET FICTIF</name></representedOrganization></assignedAuthor>
</author></x>"""


def _site(root: _Element) -> None:
    """The example of every member names a site of the body outside the value set of approachSiteCode."""
    for site in root.iter(f"{H}approachSiteCode"):
        site.set("code", "16217661000119109")


#: Parts of the header with a place for one address only.
_ONE_ADDRESS = ("patient", "custodian", "encounter")
_SOURCES: dict[str, tuple[Callable[[], bytes], tuple[Callable[[_Element], object], ...]]] = {
    **{f"header-{part}": (functools.partial(rich_header, part), ()) for part in PARTS},
    **{f"header-{part}-parts": (functools.partial(rich_header, part, "parts"), ()) for part in _ONE_ADDRESS},
    "report": (lambda: written("report"), ()),
    "summary": (lambda: written("summary"), ()),
    "prescription": (lambda: written("prescription"), ()),
    "dispensation": (lambda: written("dispensation"), ()),
    "full-summary": (lambda: _full("summary"), (_site,)),
    "full-prescription": (lambda: _full("prescription"), ()),
    "full-dispensation": (lambda: _full("dispensation"), ()),
    "dispensation-line": (lambda: written("dispensation"), (_whole_line,)),
    "official-vsm": (lambda: official("VSM_1.4_2022.01"), ()),
    "official-edisp": (lambda: official("eDISP-MED_2024.01"), (_mended,)),
    "official-ep": (lambda: official("eP-MED-DM_2024.01_PosoStruct"), ()),
    "official-ips": (lambda: official("IPS-FR_2024.01"), ()),
    **{f"ips-{number}": (functools.partial(_ips_section, number), ()) for number in range(19)},
    "official-n1": (lambda: official("DOC_NON_STRUCTURE_CDA-R2-N1"), ()),
}
BASES = tuple(_SOURCES)
#: Large documents of which only the header and the outline are changed: their sections are documents of their own.
_OUTLINES = frozenset(("official-ips",))


def base(name: str) -> bytes:
    """A valid document to start from."""
    make, changes = _SOURCES[name]
    root = tree(make())
    _small(root)
    for change in changes:
        change(root)
    return xml.serialize(root, declaration=False)


def _signature(element: _Element) -> str:
    """What kind of place this is: names, and the templates followed on the way."""
    steps = []
    node: _Element | None = element
    while node is not None:
        ids = [each.get("root", "") for each in node.iterchildren(f"{H}templateId")]
        tag = etree.QName(node).localname
        own = ids[-1] if ids and tag != "ClinicalDocument" else ""
        if tag == "addr" and (first := next(node.iterchildren("{*}*"), None)) is not None:
            own = "lines" if first.tag == f"{H}streetAddressLine" else "parts"
        steps.append(f"{tag}({own})" if own else tag)
        if tag == "templateId" and node is element:
            steps[-1] += f"={node.get('root')}"
        node = node.getparent()
    return "/".join(reversed(steps))


# --- Operations on an element ---------------------------------------------------------------------------------------


def _drop(element: _Element) -> bool:
    parent = element.getparent()
    if parent is None:
        return False
    parent.remove(element)
    return True


def _twice(element: _Element) -> bool:
    if element.getparent() is None:
        return False
    again = copy.deepcopy(element)
    for each in again.iter():
        each.attrib.pop("ID", None)
    element.addnext(again)
    return True


def _null(element: _Element) -> bool:
    if element.getparent() is None or element.get("nullFlavor"):
        return False
    for name in list(element.attrib):
        if name not in ("classCode", "moodCode", "typeCode", "determinerCode", XSI + "type", "inversionInd"):
            del element.attrib[name]
    for child in list(element):
        element.remove(child)
    element.text = None
    element.set("nullFlavor", "UNK")
    return True


def _null_beside(element: _Element) -> bool:
    if element.getparent() is None or element.get("nullFlavor") or not (element.attrib or len(element)):
        return False
    element.set("nullFlavor", "UNK")
    return True


def _swap(element: _Element) -> bool:
    following = element.getnext()
    if following is None or following.tag == element.tag:
        return False
    following.addnext(element)
    return True


def _empty(element: _Element) -> bool:
    if len(element) or not (element.text or "").strip():
        return False
    element.text = None
    return True


def _hollow(element: _Element) -> bool:
    if not len(element) or element.getparent() is None:
        return False
    for child in list(element):
        element.remove(child)
    return True


def _many(element: _Element) -> bool:
    if element.tag not in (f"{H}family", f"{H}streetAddressLine"):
        return False
    for _ in range(8):
        element.addnext(copy.deepcopy(element))
    return True


def _alone(element: _Element) -> bool:
    """The only template its element claims."""
    parent = element.getparent()
    if element.tag != f"{H}templateId" or parent is None or len(parent.findall(f"{H}templateId")) < 2:
        return False
    for other in parent.findall(f"{H}templateId"):
        if other is not element:
            parent.remove(other)
    return True


def _outside(element: _Element) -> bool:
    """The template of a section claimed by the component around it."""
    section = element.getparent()
    if element.tag != f"{H}templateId" or section is None or section.tag != f"{H}section":
        return False
    around = section.getparent()
    if around is None:
        return False
    around.insert(0, element)
    return True


ELEMENT_OPERATIONS: dict[str, Callable[[_Element], bool]] = {
    "drop": _drop,
    "twice": _twice,
    "null": _null,
    "null-beside": _null_beside,
    "swap": _swap,
    "empty": _empty,
    "hollow": _hollow,
    "many": _many,
    "alone": _alone,
    "outside": _outside,
}

# --- Operations on an attribute -------------------------------------------------------------------------------------

_OTHER = {
    "code": "XXX-99",
    "codeSystem": "1.2.250.1.999.1",
    "root": "1.2.250.1.999.77",
    "extension": "X",
    "typeCode": "ELNK",
    "classCode": "ACCM",
    "moodCode": "DEF",
    "use": "XX",
    "qualifier": "SP",
    "unit": "foo",
    "mediaType": "image/bmp",
    "displayName": "Autre libellé",
    "inversionInd": "maybe",
    "operator": "Z",
}


def _other(name: str, value: str) -> str | None:
    local = name.rpartition("}")[2]
    if name == XSI + "type":
        return "ST" if value != "ST" else "INT"
    if local == "value":
        if re.fullmatch(r"[0-9]{8,}([+-][0-9]{4})?", value):
            return "20241399"
        if value.startswith("#"):
            return "#nowhere"
        return "not a value"
    found = _OTHER.get(local)
    return found if found != value else None


def _attribute_changes(element: _Element) -> Iterator[tuple[str, str, str | None]]:
    """Name of the operation, attribute, and its new value: None removes it."""
    for name, value in element.items():
        local = name.rpartition("}")[2]
        yield f"without-{local}", name, None
        if (other := _other(name, value)) is not None:
            yield f"other-{local}", name, other
        if local in ("code", "root", "extension", "displayName", "value", "codeSystem", "use", "qualifier"):
            yield f"blank-{local}", name, ""


# --- Changes of a data type -----------------------------------------------------------------------------------------


def _types(root: _Element) -> dict[_Element, str]:
    """The type of CDA of each element that has one."""
    found: dict[_Element, str] = {}

    def walk(element: _Element, model: Model) -> None:
        found[element] = model.name
        names = model.names()
        for child in element.iterchildren("{*}*"):
            kind = type_model(child.get(XSI + "type") or names.get(str(child.tag), ""))
            if kind is not None:
                walk(child, kind)

    walk(root, root_model())
    return found


def _changed(element: _Element, change: Change) -> bool:
    parent = element.getparent()
    if parent is None:
        return False
    if change.beside:
        other = copy.deepcopy(element)
        other.tail = None
        for name, value in change.set:
            element.set(name, value)
            other.set(name, value)
        word, _, value = change.beside.partition("=")
        if word:
            for child in list(other):
                other.remove(child)
            other.text = None
            other.attrib.clear()
            other.set(word, value.strip('"'))
        elif value:
            other.attrib.pop("extension", None)
        element.addnext(other)
        return True
    if change.clear:
        for child in list(element):
            element.remove(child)
        element.text = None
        element.attrib.clear()
    for name, value in change.set:
        element.set(name, value)
    if change.text is not None:
        element.text = change.text
    if change.inside:
        element.extend(xml.parse(f'<x xmlns="urn:hl7-org:v3">{change.inside}</x>'.encode(), xml.CDA_LIMITS))
    return True


def _typed(element: _Element, kind: str) -> bool:
    if element.get(XSI + "type") is not None or ":" in kind or kind == "PQ":
        return False
    element.set(XSI + "type", kind)
    return True


#: Changes of the data type made at each place of the header, beyond all of them at the first place of a type.
PER_PLACE = 4


def _type_changes(
    signature: str, kind: str, first: bool, header: bool
) -> Iterator[tuple[str, Callable[[_Element], bool]]]:
    if kind in CHANGES:
        every = CHANGES[kind]
        draw = zlib.crc32(signature.encode())
        chosen = every if first else [every[(draw + n * 7) % len(every)] for n in range(min(PER_PLACE, len(every)))]
        for change in chosen if first or header else ():
            yield f"type-{change.name}", lambda element, change=change: _changed(element, change)  # type: ignore[misc]
    if header:
        yield "typed-far", lambda element: _typed(element, "PIVL_PPD_TS")
        if kind in NEAR_TYPES:
            yield "typed-near", lambda element: _typed(element, NEAR_TYPES[kind])


#: Attributes added where they are not: wrong, or empty.
_ADDED = {
    "classCode": "ACCM",
    "moodCode": "DEF",
    "typeCode": "ELNK",
    "extension": "",
    "codeSystemName": "",
    "displayName": "",
    "operator": "Z",
}


def _additions(element: _Element, kind: str) -> Iterator[tuple[str, str, str]]:
    model = type_model(kind) if kind else None
    for name, value in _ADDED.items():
        if model is not None and name in model.attributes and element.get(name) is None:
            yield f"with-{name}", name, value
    if element.tag == f"{H}addr":
        yield "with-foreign-use", f"{H}use", ""


# --- All of them ----------------------------------------------------------------------------------------------------


def _narrative(element: _Element) -> bool:
    """Inside a narrative, where only links and structure count."""
    return any(parent.tag == f"{H}text" and parent.getparent() is not None for parent in element.iterancestors())


#: What is done again in each model of document: the models ask for parts of the header and sections of their own.
DOCUMENT_OPERATIONS = frozenset(("drop", "null", "without-root", "other-root", "other-code", "without-code"))


def _outline(element: _Element) -> bool:
    """A section, or one of its identifiers."""
    section = element if element.tag == f"{H}section" else element.getparent()
    return section is not None and section.tag == f"{H}section" and element.tag in (f"{H}section", f"{H}templateId")


def _operations(
    root: _Element, known: set[str], outline: bool = False
) -> Iterator[tuple[str, str, Callable[[_Element], bool]]]:
    """Name, place and work of each change to a document, those of known places left out."""
    types = _types(root)
    ids = [each.get("root", "") for each in root.iterchildren(f"{H}templateId")]
    model = "" if f"{H}nonXMLBody" in {child.tag for child in root[-1]} else f"{ids[-1]}|"
    for element in list(root.iter("{*}*")):
        if _narrative(element):
            continue
        path, signature, kind = place(element), _signature(element), types.get(element, "")
        header = "/component" not in path
        document = model if header or _outline(element) else ""
        if outline and not document:
            continue
        first = f"type|{kind}" not in known
        known.add(f"type|{kind}")
        for name, work in (
            *ELEMENT_OPERATIONS.items(),
            *_attribute_operations(element, kind if header else ""),
            *_type_changes(signature, kind, first, header),
        ):
            key = f"{name}|{document}{signature}" if document and name in DOCUMENT_OPERATIONS else f"{name}|{signature}"
            if key not in known:
                known.add(key)
                yield name, path, work


def _attribute_operations(element: _Element, kind: str) -> Iterator[tuple[str, Callable[[_Element], bool]]]:
    for operation, attribute, value in (*_attribute_changes(element), *_additions(element, kind)):

        def work(target: _Element, attribute: str = attribute, value: str | None = value) -> bool:
            if value is None:
                del target.attrib[attribute]
            else:
                target.set(attribute, value)
            return True

        yield operation, work


def mutants(name: str, seen: set[str] | None = None) -> Iterator[Mutant]:
    """Every single change of one document, in document order; places already in ``seen`` are left out."""
    data = base(name)
    for operation, path, work in _operations(tree(data), seen if seen is not None else set(), name in _OUTLINES):
        root = tree(data)
        if work(one(root, path)):
            yield Mutant(name, operation, path, xml.serialize(root, declaration=False))


def sampled(name: str, count: int) -> Iterator[Mutant]:
    """Some of the changes of one document, always the same."""
    data = base(name)
    every = list(_operations(tree(data), set(), name in _OUTLINES))
    for operation, path, work in random.Random(name).sample(every, min(count, len(every))):
        root = tree(data)
        if work(one(root, path)):
            yield Mutant(name, operation, path, xml.serialize(root, declaration=False))


def made(name: str) -> bytes:
    """The document of a mutant by its name, ``base|operation|place``."""
    start, operation, path = name.split("|")
    data = base(start)
    root = tree(data)
    element = one(root, path)
    kind = _types(root).get(element, "")
    works = {
        **ELEMENT_OPERATIONS,
        **dict(_attribute_operations(element, kind)),
        **dict(_type_changes("", kind, True, True)),
    }
    assert works[operation](element), name
    return xml.serialize(root, declaration=False)
