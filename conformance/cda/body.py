"""The body of a CDA: elements against the templates they claim, the document against its model, links, narrative."""

from __future__ import annotations

from collections import Counter
from typing import Final

from lxml import etree

from conformance.cda import rules_body as rules
from conformance.cda.asks import Children, children
from conformance.cda.document import run
from conformance.cda.header import in_set
from conformance.cda.model import HL7, XSI
from conformance.cda.report import Report, showable, shown
from conformance.cda.rulebook import Tests, load, read_tests
from conformance.cda.structure import Seen
from conformance.cda.templates import TEMPLATES, Binding, Template
from conformance.terminology import value_set
from conformance.verdict import Rule

__all__ = ["RULES", "check_body"]

_Element = etree._Element
_FILE: Final = "cda-volets.yaml"
#: nullFlavors the coded elements of a body may have (CI-SIS).
_NULLS: Final = frozenset("UNK NA NASK ASKU NI NAV MSK OTH NINF PINF TRC".split())
_CIS: Final = "1.2.250.1.213.2.3.1"
_TEMPLATE: Final = HL7 + "templateId"
_XSI_TYPE: Final = XSI + "type"


def _volets() -> list[tuple[str, Tests]]:
    table = load(_FILE, "volets")
    return [(each["id"], read_tests(_FILE, each["rules"], each["source"])) for each in table["volets"]]


_VOLETS: Final = _volets()
RULES: Final[dict[str, Rule]] = {
    **rules.RULES,
    **{part.rule.code: part.rule for template in TEMPLATES.values() for part in template.parts},
    **{each.rule.code: each.rule for _, tests in _VOLETS for each in tests.rules},
}


def check_body(root: _Element, seen: Seen, report: Report) -> None:
    """Check every template claimed, the model of the document, its links and its narrative."""
    for oid, tests in _VOLETS:
        if any(each is root for each in seen.templates.get(oid, ())):
            run(tests, root, report)
    _templates(seen, report)
    _anywhere(seen, report)
    _links(seen, report)
    _narratives(seen, report)


def _claimed_twice(oid: str, elements: list[_Element], report: Report) -> None:
    for element, number in Counter(elements).items():
        # In the header two versions of one model are told apart by the extension.
        if number > 1 and element.getparent() is not None:
            report.add(rules.SAME_TEMPLATE, element, found=oid)


def _templates(seen: Seen, report: Report) -> None:
    claimed: dict[_Element, set[str]] = {}
    for oid, elements in seen.templates.items():
        for element in elements:
            if element in claimed:
                claimed[element].add(oid)
            else:
                claimed[element] = {oid}
    below: dict[_Element, Children] = {}
    for oid, elements in seen.templates.items():
        once = list(dict.fromkeys(elements)) if len(elements) > 1 else elements
        if len(once) < len(elements):
            _claimed_twice(oid, elements, report)
        template = TEMPLATES.get(oid)
        if template is None:
            continue
        for element in once:
            held = below.get(element)
            if held is None:
                held = below[element] = children(element)
            if template.unless is not None and any(each.get("root") == template.unless for each in held[_TEMPLATE]):
                continue
            if not (
                template.asks(element, held, claimed[element])
                and (not template.needs or _holds(element, template, seen))
                and (template.every is None or template.every(element))
            ):
                _told(element, template, report)
            for binding in template.bindings:
                _bound(element, binding, held, report)


def _holds(element: _Element, template: Template, seen: Seen) -> bool:
    """True when the walk saw each of the templates that must stand below; False asks for a longer look."""
    for need in template.needs:
        found = (each for oid in need.oids for each in seen.templates.get(oid, ()))
        if not any(need.anywhere or element in each.iterancestors() for each in found):
            return False
    return True


def _told(element: _Element, template: Template, report: Report) -> None:
    for part in template.parts:
        if not part.test(element):
            blamed = part.at(element) if part.at is not None else []
            target = blamed[0] if isinstance(blamed, list) and blamed else element
            if not isinstance(target, etree._Element):
                target = element
            found = showable(str(part.found(target))) if part.found is not None else None
            expected = part.expected
            if expected is not None and part.rule.code[-3:] < "100":
                expected = f"{expected} ({template.name[0]})"
            report.add(part.rule, target, found=found, expected=expected)


def _bound(element: _Element, binding: Binding, held: Children, report: Report) -> None:
    if binding.tag is not None:
        for coded in held.get(binding.tag, ()):
            _coded(coded, binding, report)
        return
    found = binding.path(element)
    for coded in found if isinstance(found, list) else ():
        if isinstance(coded, etree._Element):
            _coded(coded, binding, report)


def _coded(coded: _Element, binding: Binding, report: Report) -> None:
    flavor = coded.get("nullFlavor")
    if coded.get(_XSI_TYPE, "CD").rpartition(":")[2] not in ("CD", "CE"):
        return
    code, system = coded.get("code"), coded.get("codeSystem")
    if flavor is not None and not binding.nullable:
        if binding.null_rule is not None:
            report.add(binding.null_rule, coded, "nullFlavor", found=shown(coded, "nullFlavor"))
        return
    if code is None or system is None:
        if flavor not in _NULLS and binding.null_rule is not None:
            report.add(binding.null_rule, coded, expected="code, codeSystem")
        return
    if flavor is None and not any((code, system) in value_set(oid) for oid in binding.sets):
        titles = " ; ".join(value_set(oid).title for oid in binding.sets)
        report.add(binding.rule, coded, "code", found=shown(coded, "code"), expected=titles)


# --- Anywhere -------------------------------------------------------------------------------------------------------

_ADMINISTRATION: Final = HL7 + "substanceAdministration"
_IMMUNIZATIONS: Final = ("1.3.6.1.4.1.19376.1.5.3.1.4.12", "1.3.6.1.4.1.19376.1.5.3.1.4.12.2")


def _anywhere(seen: Seen, report: Report) -> None:
    for site in seen.all("approachSiteCode"):
        parent = site.getparent()
        if parent is not None and parent.tag == _ADMINISTRATION:
            _free(site, "1.2.250.1.213.1.1.5.621", rules.SITE, report)
    for gender in seen.all("administrativeGenderCode"):
        _free(gender, "1.2.250.1.213.1.1.5.590", rules.GENDER, report, personal=True)
    for author in seen.all("author"):
        parent = author.getparent()
        code = author.find(f"{HL7}assignedAuthor/{HL7}code")
        if code is not None and parent is not None and parent.getparent() is not None:
            _free(code, "1.2.250.1.213.1.1.5.461", rules.AUTHOR, report)
    for material in seen.all("manufacturedMaterial"):
        _material(material, report)


def _free(coded: _Element, oid: str, rule: Rule, report: Report, *, personal: bool = False) -> None:
    """A coded element that may be null, else must be of the set."""
    if coded.get("code") is None or coded.get("codeSystem") is None:
        if coded.get("nullFlavor") not in _NULLS:
            report.add(rule, coded, expected=value_set(oid).title)
    elif coded.get("nullFlavor") is None:
        in_set(coded, oid, report, rule=rule, personal=personal)


def _material(material: _Element, report: Report) -> None:
    grand = material.getparent()
    parent = grand.getparent() if grand is not None else None
    holder = parent.getparent() if parent is not None else None
    consumed = parent is not None and parent.tag == HL7 + "consumable"
    if not consumed or holder is None or holder.tag != _ADMINISTRATION:
        return
    code = material.find(HL7 + "code")
    if code is not None and code.get("codeSystem") not in (None, _CIS):
        report.add(rules.MATERIAL, code, "codeSystem", found=shown(code, "codeSystem"), expected=_CIS)
    names = list(material.iterchildren(HL7 + "name"))
    if len(names) != 1 and not any(name.get("nullFlavor") == "NA" for name in names):
        report.add(rules.MATERIAL_NAME, names[1] if names else material, expected="name 1..1")


# --- Links and narrative --------------------------------------------------------------------------------------------

_TEXT, _TITLE, _ENTRY = HL7 + "text", HL7 + "title", HL7 + "entry"
_HOLDERS: Final = frozenset((_TEXT, HL7 + "originalText"))


def _links(seen: Seen, report: Report) -> None:
    """Every link of an entry leads to a piece of narrative (official examples have some that do not: a warning)."""
    for reference in seen.all("reference"):
        parent = reference.getparent()
        value = reference.get("value")
        if value is None or parent is None or parent.tag not in _HOLDERS:
            continue
        if value.startswith("#"):
            if value[1:] not in seen.ids:
                report.add(rules.DANGLING, reference, "value")
        elif value in seen.ids:
            report.add(rules.NO_HASH, reference, "value", expected="#")
        elif ":" not in value:
            report.add(rules.DANGLING, reference, "value", expected="#")


def _narratives(seen: Seen, report: Report) -> None:
    for section in seen.all("section"):
        children = {child.tag: child for child in reversed(section)}
        text = children.get(_TEXT)
        if _TITLE not in children:
            report.add(rules.NO_TITLE, section, expected="title")
        if text is None:
            if _ENTRY in children:
                report.add(rules.NO_NARRATIVE, section, expected="text")
        elif len(text) == 0 and not (text.text or "").strip():
            report.add(rules.EMPTY_NARRATIVE, text)
