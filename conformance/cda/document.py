"""Rules of the whole document: the XPath rules of the header, the dates, the identifiers, the patient's INS."""

from __future__ import annotations

from typing import Final

from lxml import etree

from conformance.cda import rules_document as rules
from conformance.cda import rules_types as types
from conformance.cda.datatypes import compare, instant
from conformance.cda.model import HL7
from conformance.cda.places import place
from conformance.cda.report import Report, showable
from conformance.cda.rulebook import Tests, load, read_tests, xpath
from conformance.identifiers import AUTHORITIES, IdentifierError, Matricule, PsIdNat, StructIdNat, authority_gate
from conformance.identifiers.matricule import matricule_key
from conformance.identity import rules as ins
from conformance.verdict import Rule

__all__ = ["RULES", "check_document", "run"]

_Element = etree._Element
_FILE: Final = "cda-document.yaml"
_PROFESSIONAL: Final = "1.2.250.1.71.4.2.1"
_STRUCTURE: Final = "1.2.250.1.71.4.2.2"


def _load() -> tuple[etree.XPath, list[tuple[etree.XPath, Tests]]]:
    table = load(_FILE, "rules")
    tests = [
        (xpath(_FILE, "on", each["on"]), read_tests(_FILE, each["rules"], table["source"])) for each in table["rules"]
    ]
    wrong = (f"({each['on']})[not({made.text})]" for each, (_, made) in zip(table["rules"], tests, strict=True))
    return xpath(_FILE, "all", f"not({' or '.join(wrong)})"), tests


#: One XPath that answers for all these rules when all is well, and the rules by what they are about.
_ALL_WELL, _TESTS = _load()
RULES: Final[dict[str, Rule]] = {each.rule.code: each.rule for _, tests in _TESTS for each in tests.rules}


def run(tests: Tests, element: _Element, report: Report) -> None:
    """Run the rules about one element; one XPath answers when all is well."""
    if tests.every(element):
        return
    for each in tests.rules:
        if not each.test(element):
            blamed = each.at(element) if each.at is not None else []
            target = blamed[0] if isinstance(blamed, list) and blamed else element
            if not isinstance(target, etree._Element):
                target = element
            found = str(each.found(target)) if each.found is not None else ""
            report.add(each.rule, target, found=showable(found), expected=each.expected)


def check_document(root: _Element, report: Report, *, environment: str) -> None:
    """Check what the tables do not tell: the whole header, its dates, its national identifiers, the INS."""
    if not _ALL_WELL(root):
        for context, tests in _TESTS:
            for element in context(root):
                run(tests, element, report)
    _dates(root, report)
    _identifiers(root, report)
    _ins(root, report, environment)


# --- Dates ----------------------------------------------------------------------------------------------------------

_PATIENT: Final = f"{HL7}recordTarget/{HL7}patientRole/{HL7}patient"


def _dates(root: _Element, report: Report) -> None:
    time = root.find(HL7 + "effectiveTime")
    made = instant(time.get("value", "")) if time is not None else None
    if time is not None and made is not None:
        if not made.timed or made.offset is None:
            report.add(rules.NO_OFFSET, time, "value", expected="AAAAMMJJhhmmss+hhmm")
        if made.fraction:
            report.add(rules.FRACTION, time, "value")
    birth = root.find(f"{_PATIENT}/{HL7}birthTime")
    born = instant(birth.get("value", "")) if birth is not None else None
    if birth is not None and born is not None and made is not None and compare(born, made) > 0:
        report.add(rules.BIRTH_AFTER, birth, "value")


def check_intervals(lows: list[_Element], report: Report) -> None:
    """An interval ends after it begins, anywhere in the document."""
    for low in lows:
        start = low.get("value")
        parent = low.getparent()
        if start is None or parent is None or low.get("unit") is not None:
            continue
        high = next(parent.iterchildren("{*}high"), None)
        end = high.get("value") if high is not None else None
        if high is None or end is None or high.get("unit") is not None:
            continue
        first, last = instant(start), instant(end)
        if (
            first is not None
            and last is not None
            and len(first.fields) + len(last.fields) > 2
            and compare(first, last) > 0
        ):
            report.add(types.IVL_REVERSED, parent)


# --- Identifiers ----------------------------------------------------------------------------------------------------

_BODY: Final = HL7 + "component"
_ID: Final = HL7 + "id"


def _identifiers(root: _Element, report: Report) -> None:
    known: dict[tuple[str, str], bool] = {}
    for part in root:
        if part.tag == _BODY:
            continue
        for element in part.iter(_ID):
            authority = element.get("root")
            if authority not in (_PROFESSIONAL, _STRUCTURE) or element is part:
                continue
            number = element.get("extension")
            if number is None:
                continue
            key = (authority, number)
            if key not in known:
                kind = PsIdNat if authority == _PROFESSIONAL else StructIdNat
                result = kind.check(number)
                known[key] = result.code is None
            if not known[key]:
                report.add(rules.NATIONAL_ID, element, "extension")


def _ins(root: _Element, report: Report, environment: str) -> None:
    for element in root.iterfind(f"{HL7}recordTarget/{HL7}patientRole/{HL7}id"):
        authority = AUTHORITIES.get(element.get("root", ""))
        if authority is None:
            continue
        where = place(element)
        gate = authority_gate(authority.oid, environment)
        if gate != "accepted":
            report.note(ins.AUTHORITY_RULES[gate].finding(f"{where}/@root", line=element.sourceline))
        number = element.get("extension")
        if number is None:
            continue
        where = f"{where}/@extension"
        try:
            matricule = Matricule.parse(number, wrong_key=True)
        except IdentifierError as error:
            report.note(ins.MATRICULE_RULES[error.code].finding(where, line=element.sourceline))
            continue
        if not matricule.key_ok:
            rule = ins.KEY if authority.key_blocks else ins.KEY_TEST
            expected = f"clé {matricule_key(matricule.body)}"
            report.note(rule.finding(where, found=f"clé {matricule.key}", expected=expected, line=element.sourceline))
    county = root.find(f"{_PATIENT}/{HL7}birthplace/{HL7}place/{HL7}addr/{HL7}county")
    if county is not None and (county.text or "").strip():
        from conformance.identifiers import Cog

        if Cog.fault(Cog.clean(county.text or "")):
            report.note(ins.BIRTH_PLACE.finding(place(county), expected="5 caractères", line=county.sourceline))
