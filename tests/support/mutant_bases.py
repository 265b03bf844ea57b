"""Valid documents that single changes are made to: rich headers, what our writers make, the official examples."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable

from lxml import etree

from mappings import cda
from mappings import document as hub
from security import xml
from tests.support import documents
from tests.support.cda import official, one, tree, written
from tests.support.rich_header import PARTS, rich_header
from tests.unit.mappings.fhir import full

__all__ = ["BASES", "OUTLINES", "base"]

H = "{urn:hl7-org:v3}"
TINY_PDF = "JVBERi0xLjQKJSVFT0YK"
TINY_IMAGE = "/9j/4AAQSkZJRg=="
_Element = etree._Element


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


def _plain_sections() -> bytes:
    """Sections of text alone that a VSM may have and our writers do not write: functional status and plan of care."""
    root = tree(_ips_section(0))
    body = one(root, "component/structuredBody")
    body.clear()
    for ids, code in (
        (("2.16.840.1.113883.10.20.1.5", "1.3.6.1.4.1.19376.1.5.3.1.3.17"), "47420-5"),
        (("2.16.840.1.113883.10.20.1.10", "1.3.6.1.4.1.19376.1.5.3.1.3.31", "1.2.250.1.213.1.1.2.154"), "18776-5"),
    ):
        templates = "".join(f'<templateId root="{each}"/>' for each in ids)
        text = (
            f'<x xmlns="urn:hl7-org:v3"><component><section>{templates}'
            f'<id root="11111111-1111-4111-8111-1111111{code.replace("-", "")[:5]}"/>'
            f'<code code="{code}" codeSystem="2.16.840.1.113883.6.1"/><title>Texte</title><text>Rien.</text></section>'
            "</component></x>"
        )
        body.append(xml.parse(text.encode(), xml.CDA_LIMITS)[0])
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
    "plain-sections": (_plain_sections, ()),
    "official-n1": (lambda: official("DOC_NON_STRUCTURE_CDA-R2-N1"), ()),
}
BASES = tuple(_SOURCES)
#: Large documents of which only the header and the outline are changed: their sections are documents of their own.
OUTLINES = frozenset(("official-ips",))


@functools.cache
def base(name: str) -> bytes:
    """A valid document to start from."""
    make, changes = _SOURCES[name]
    root = tree(make())
    _small(root)
    for change in changes:
        change(root)
    return xml.serialize(root, declaration=False)
