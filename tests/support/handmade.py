"""Changes made by hand, for rules that no operation of the mutants breaks: a document, and what is done to it."""

from __future__ import annotations

import copy
from collections.abc import Callable

from lxml import etree

from security import xml
from tests.support.cda import one, tree
from tests.support.mutant_bases import base

__all__ = ["HANDMADE", "handmade"]

H = "{urn:hl7-org:v3}"
_Element = etree._Element


def _set(path: str, **attributes: str) -> Callable[[_Element], None]:
    """Give attributes to the element at a place."""

    def work(root: _Element) -> None:
        one(root, path).attrib.update(attributes)

    return work


def _text(path: str, text: str) -> Callable[[_Element], None]:
    """Give a text to the element at a place."""

    def work(root: _Element) -> None:
        one(root, path).text = text

    return work


def _text_of(test: str, text: str) -> Callable[[_Element], None]:
    """Give a text to the first element an XPath finds."""

    def work(root: _Element) -> None:
        _first(root, test).text = text

    return work


def _drop_attribute(test: str, name: str) -> Callable[[_Element], None]:
    """Take an attribute from the first element an XPath finds."""

    def work(root: _Element) -> None:
        del _first(root, test).attrib[name]

    return work


def _first(root: _Element, test: str) -> _Element:
    """The first element an XPath finds."""
    found = root.xpath(test, namespaces={"h": "urn:hl7-org:v3", "xsi": "http://www.w3.org/2001/XMLSchema-instance"})
    assert isinstance(found, list)
    element = found[0]
    assert isinstance(element, etree._Element)
    return element


def _at(test: str, **attributes: str) -> Callable[[_Element], None]:
    """Give attributes to the first element an XPath finds."""

    def work(root: _Element) -> None:
        _first(root, test).attrib.update(attributes)

    return work


def _without(test: str) -> Callable[[_Element], None]:
    """Remove all that an XPath finds."""

    def work(root: _Element) -> None:
        for each in root.xpath(test, namespaces={"h": "urn:hl7-org:v3"}):
            if isinstance(each, etree._Element) and (parent := each.getparent()) is not None:
                parent.remove(each)

    return work


def _again(test: str) -> Callable[[_Element], None]:
    """The first element an XPath finds stands twice."""

    def work(root: _Element) -> None:
        element = _first(root, test)
        other = copy.deepcopy(element)
        for each in other.iter():
            each.attrib.pop("ID", None)
        element.addnext(other)

    return work


def _same_ids(root: _Element) -> None:
    marked = [each for each in root.iter() if each.get("ID")]
    marked[1].set("ID", marked[0].get("ID", ""))


def _copy_time(root: _Element) -> None:
    one(root, "versionNumber").addnext(etree.Element(f"{H}copyTime", value="20260110"))


def _many_faults(root: _Element) -> None:
    for n in range(600):
        root.set(f"x{n}", "")


def _no_hash(root: _Element) -> None:
    reference = _first(root, "//h:entry//h:reference[starts-with(@value, '#')]")
    reference.set("value", reference.get("value", "")[1:])


def _planned(root: _Element) -> None:
    procedure = _first(root, "//h:procedure[h:templateId/@root='1.3.6.1.4.1.19376.1.5.3.1.4.19']")
    procedure.set("moodCode", "INT")
    for each in procedure.findall(f"{H}effectiveTime"):
        procedure.remove(each)


def _inside(test: str, inside: str) -> Callable[[_Element], None]:
    """Put elements at the end of the first element an XPath finds."""

    def work(root: _Element) -> None:
        parent = _first(root, test)
        parent.extend(xml.parse(f'<x xmlns="urn:hl7-org:v3">{inside}</x>'.encode(), xml.CDA_LIMITS)[:])

    return work


def _before(test: str, inside: str) -> Callable[[_Element], None]:
    """Put an element before the first element an XPath finds."""

    def work(root: _Element) -> None:
        _first(root, test).addprevious(xml.parse(f'<x xmlns="urn:hl7-org:v3">{inside}</x>'.encode(), xml.CDA_LIMITS)[0])

    return work


def _relations(root: _Element) -> None:
    vaccine = _first(root, "//h:substanceAdministration[h:templateId/@root='1.3.6.1.4.1.19376.1.5.3.1.4.12']")
    for each in vaccine.findall(f"{H}entryRelationship"):
        each.set("typeCode", "XCRPT")


def _deferred(root: _Element) -> None:
    line = _first(root, "//h:substanceAdministration[h:templateId/@root='1.3.6.1.4.1.19376.1.9.1.3.2']")
    line.insert(0, etree.Element(f"{H}templateId", root="1.3.6.1.4.1.19376.1.5.3.1.4.21"))
    for time in line.findall(f"{H}effectiveTime"):
        line.remove(time)
    line.find(f"{H}statusCode").addnext(  # type: ignore[union-attr]
        xml.parse(
            b'<x xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
            b'<effectiveTime xsi:type="IVL_TS"><low value="20260110"/></effectiveTime></x>',
            xml.CDA_LIMITS,
        )[0]
    )


_LINE = "//h:substanceAdministration[h:templateId/@root='1.3.6.1.4.1.19376.1.9.1.3.2']"
_STEP = "//h:substanceAdministration[h:templateId/@root='1.2.250.1.213.1.1.3.83.1']"
_SUPPLY = "//h:supply[h:templateId/@root='1.2.250.1.213.1.1.3.204']"
_RATE = '<rateQuantity><low value="1" unit="mL"/></rateQuantity>'
#: Code -> the document, and the change that breaks the rule.
HANDMADE: dict[str, tuple[str, Callable[[_Element], object]]] = {
    "CDA-STR-012": ("summary", _same_ids),
    "CDA-STR-099": ("report", _many_faults),
    "CDA-HDR-016": ("report", _set("confidentialityCode", displayName="Restreint")),
    "CDA-HDR-019": ("report", _copy_time),
    "CDA-HDR-034": ("header-links", _set("relatedDocument/parentDocument/id", root="1.2.250.1.999.9.2.1")),
    "CDA-HDR-052": ("report", _set("recordTarget/patientRole/patient/birthTime", value="20990101")),
    "CDA-PDF-001": ("report", _text("component/nonXMLBody/text", "not base 64 !")),
    "CDA-PDF-002": ("report", _text("component/nonXMLBody/text", "AAAAAAAA")),
    "CDA-PDF-003": ("official-ep", _text_of("//h:observationMedia/h:value[@mediaType='image/jpeg']", "AAAAAAAA")),
    "CDA-NAR-002": ("summary", _no_hash),
    "CDA-ENT-114": ("ips-2", _planned),
    "CDA-ENT-116": (
        "ips-2",
        _inside(
            "//h:procedure[h:templateId/@root='1.3.6.1.4.1.19376.1.5.3.1.4.19']",
            '<entryRelationship typeCode="COMP" inversionInd="false"><observation classCode="OBS" moodCode="EVN">'
            '<templateId root="1.2.250.1.213.1.1.3.48"/></observation></entryRelationship>',
        ),
    ),
    "CDA-ENT-119": (
        "ips-12",
        _before(
            "//h:organizer[h:templateId/@root='1.3.6.1.4.1.19376.1.5.3.1.4.15']/h:component",
            '<participant typeCode="LOC"><participantRole classCode="ROL"/></participant>',
        ),
    ),
    "CDA-ENT-125": (
        "ips-15",
        _at("//h:encounter[h:templateId/@root='1.3.6.1.4.1.19376.1.5.3.1.4.14']/h:code", code="02276797"),
    ),
    "CDA-ENT-132": (
        "full-prescription",
        _at(f"{_LINE}[.//h:substanceAdministration]/h:templateId[last()]", root="1.3.6.1.4.1.19376.1.5.3.1.4.7.1"),
    ),
    "CDA-ENT-136": (
        "summary",
        _before("//h:substanceAdministration[h:templateId/@root='1.3.6.1.4.1.19376.1.5.3.1.4.7']/h:consumable", _RATE),
    ),
    "CDA-ENT-142": ("ips-13", _drop_attribute("//h:substanceAdministration[@negationInd]", "negationInd")),
    "CDA-ENT-147": ("ips-13", _relations),
    "CDA-ENT-153": (
        "ips-0",
        _at(
            "//h:observation[h:templateId/@root='1.3.6.1.4.1.19376.1.5.3.1.4.5']//h:entryRelationship"
            "[h:act/h:templateId/@root='1.3.6.1.4.1.19376.1.5.3.1.4.2']",
            inversionInd="false",
        ),
    ),
    "CDA-SEC-101": (
        "summary",
        _without(
            "//h:section[h:templateId/@root='1.2.250.1.213.1.1.2.30']/h:component/h:section/h:templateId[@root="
            "'1.3.6.1.4.1.19376.1.5.3.1.3.6' or @root='1.3.6.1.4.1.19376.1.5.3.1.3.8' or @root="
            "'1.3.6.1.4.1.19376.1.5.3.1.3.12' or @root='1.3.6.1.4.1.19376.1.5.3.1.3.13']"
        ),
    ),
    "CDA-SEC-103": (
        "full-summary",
        _without(
            "//h:section[h:templateId/@root='1.2.250.1.213.1.1.2.31']/h:component/h:section/h:templateId[@root="
            "'1.3.6.1.4.1.19376.1.5.3.1.3.16.1' or @root='1.3.6.1.4.1.19376.1.5.3.1.1.5.3.1' or @root="
            "'1.3.6.1.4.1.19376.1.5.3.1.3.15']"
        ),
    ),
    "CDA-SEC-108": (
        "summary",
        _inside(
            "//h:section[h:templateId/@root='1.3.6.1.4.1.19376.1.5.3.1.3.27']",
            '<entry><act classCode="ACT" moodCode="EVN"><code nullFlavor="UNK"/></act></entry>',
        ),
    ),
    "CDA-SEC-111": ("ips-6", _without("//h:supply/h:templateId[@root='1.2.250.1.213.1.1.3.20']")),
    "CDA-SEC-115": ("ips-17", _without("//h:organizer/h:templateId[@root='1.2.250.1.213.1.1.3.208']")),
    "CDA-PRE-006": (
        "prescription",
        _without("//h:templateId[@root='1.2.250.1.213.1.1.2.171' or @root='1.2.250.1.213.1.1.2.222']"),
    ),
    "CDA-PRE-102": ("prescription", _deferred),
    "CDA-PRE-105": (
        "prescription",
        _before(
            f"{_LINE}/*[self::h:doseQuantity or self::h:consumable]",
            '<approachSiteCode code="368208006" codeSystem="2.16.840.1.113883.6.96"/>',
        ),
    ),
    "CDA-PRE-107": ("prescription", _before(f"{_LINE}/*[self::h:maxDoseQuantity or self::h:consumable]", _RATE)),
    "CDA-PRE-108": (
        "prescription",
        _before(f"{_LINE}/h:consumable", '<maxDoseQuantity><numerator value="1"/></maxDoseQuantity>'),
    ),
    "CDA-PRE-111": (
        "full-prescription",
        _again("//h:entryRelationship[h:supply/h:templateId/@root='1.3.6.1.4.1.19376.1.9.1.3.15']"),
    ),
    "CDA-PRE-122": ("full-prescription", _without(f"{_STEP}/h:doseQuantity/h:high")),
    "CDA-PRE-123": ("full-prescription", _before(f"{_STEP}/*[self::h:maxDoseQuantity or self::h:consumable]", _RATE)),
    "CDA-PRE-124": ("full-prescription", _without(f"{_STEP}/h:consumable/h:manufacturedProduct/h:templateId")),
    "CDA-PRE-127": ("full-prescription", _again("//h:act/h:templateId[@root='1.2.250.1.213.1.1.3.33']")),
    "CDA-DIS-001": ("dispensation", _without("/*/h:templateId[@root='1.3.6.1.4.1.19376.1.9.1.1.3']")),
    "CDA-DIS-002": ("dispensation", _set("code", code="57833-6")),
    "CDA-DIS-003": ("dispensation", _set("documentationOf/serviceEvent/code", code="57833-6")),
    "CDA-DIS-004": ("dispensation", _without("//h:section/h:templateId[@root='1.2.250.1.213.1.1.2.236']")),
    "CDA-DIS-005": (
        "dispensation-line",
        _before(f"{_LINE}/h:id", '<templateId root="1.3.6.1.4.1.19376.1.9.1.3.6"/>'),
    ),
    "CDA-DIS-006": (
        "dispensation-line",
        _without(f"{_LINE}/h:entryRelationship[h:act/h:templateId/@root='1.3.6.1.4.1.19376.1.9.1.3.9.1']"),
    ),
    "CDA-DIS-101": ("dispensation", _drop_attribute(f"{_SUPPLY}/h:quantity", "value")),
    "CDA-DIS-102": (
        "full-dispensation",
        _without("//h:act/h:templateId[@root='1.3.6.1.4.1.19376.1.5.3.1.4.3.1']"),
    ),
    "CDA-DIS-103": (
        "prescription",
        _inside(
            _LINE,
            '<entryRelationship typeCode="COMP"><supply classCode="SPLY" moodCode="RQO">'
            '<templateId root="1.3.6.1.4.1.19376.1.5.3.1.4.7.3"/></supply></entryRelationship>',
        ),
    ),
    "CDA-DIS-104": ("dispensation", _again("//h:templateId[@root='1.2.250.1.213.1.1.3.204']")),
    "CDA-DIS-105": (
        "full-dispensation",
        _again("//h:entryRelationship[h:substanceAdministration/h:templateId/@root='1.2.250.1.213.1.1.3.90']"),
    ),
    "CDA-DIS-106": (
        "full-dispensation",
        _drop_attribute(
            "//h:substanceAdministration[h:templateId/@root='1.2.250.1.213.1.1.3.90']//h:manufacturedMaterial",
            "nullFlavor",
        ),
    ),
    "CDA-DIS-110": (
        "dispensation",
        _before(
            "//h:section[h:templateId/@root='1.2.250.1.213.1.1.2.236']/h:entry",
            '<author><time value="2026"/><assignedAuthor><id nullFlavor="UNK"/></assignedAuthor></author>',
        ),
    ),
    "CDA-IPS-001": ("official-ips", _set("code", code="57833-6")),
    "CDA-IPS-002": ("official-ips", _at("/*/h:participant[@typeCode='INF']/h:functionCode", code="CORRE")),
    **{
        code: ("official-ips", _without(f"//h:section/h:templateId[@root='1.3.6.1.4.1.19376.1.5.3.1.{oid}']"))
        for code, oid in (
            ("CDA-IPS-003", "3.6"),
            ("CDA-IPS-004", "3.11"),
            ("CDA-IPS-005", "3.13"),
            ("CDA-IPS-006", "3.19"),
            ("CDA-IPS-007", "1.5.3.5"),
        )
    },
}


def handmade(code: str) -> bytes:
    """The document that breaks a rule."""
    if code == "CDA-STR-000":
        return b"<ClinicalDocument"
    if code == "CDA-STR-001":
        return b'<Other xmlns="urn:hl7-org:v3"/>'
    name, change = HANDMADE[code]
    root = tree(base(name))
    change(root)
    return xml.serialize(root, declaration=False)
