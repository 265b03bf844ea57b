"""The HL7 data types as the French header wants them: one function a type, each told an element and where it is.

Source: HL7 v3 Data Types R1, as CI-SIS "Structuration minimale" applies them. A function reports; it never raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Final

from lxml import etree

from conformance.cda import rules_types as rules
from conformance.cda.model import HL7, XSI
from conformance.cda.report import Report, shown

__all__ = ["ALONE", "TYPES", "Instant", "compare", "instant", "siblings"]

_Element = etree._Element
Check = Callable[[_Element, Report], None]

_XSI_TYPE: Final = XSI + "type"
_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))*", re.ASCII)
_UUID: Final = re.compile(r"[A-Fa-f0-9]{8}-(?:[A-Fa-f0-9]{4}-){3}[A-Fa-f0-9]{12}", re.ASCII)
#: nullFlavors of the header (CI-SIS, "Structuration minimale").
_NULLS: Final = frozenset(("UNK", "NASK", "ASKU", "NAV", "MSK"))
#: Attributes that may stand beside nullFlavor: they say what the element is, not what its value is.
ALONE: Final = frozenset(("nullFlavor", _XSI_TYPE, XSI + "nil", "classCode", "typeCode", "determinerCode", "moodCode"))
_SCHEMA_DEFAULTS: Final = {
    "codeSystem": "2.16.840.1.113883.5.139",
    "codeSystemName": "TimingEvent",
    "integrityCheckAlgorithm": "SHA-1",
    "inverted": "false",
    "mediaType": "text/plain",
    "operator": "I",
    "representation": "TXT",
    "inclusive": "true",
    "unit": "1",
}
_EXCEPTIONS: Final = ("OTH", "NA", "UNC")
_MAX_ROOT, _MAX_EXTENSION = 128, 64


def _elements(element: _Element) -> list[_Element]:
    return [child for child in element if isinstance(child.tag, str)]


def _text(element: _Element) -> bool:
    """True when an element has text of its own, without that of its children."""
    text = element.text
    if text and not text.isspace():
        return True
    for child in element:
        tail = child.tail
        if tail and not tail.isspace():
            return True
    return False


_NULL_BELOW: Final = etree.XPath("descendant::*[@nullFlavor]")


def any_(element: _Element, report: Report) -> None:
    """A null value has nothing else in it (Data Types R1, ANY.nullFlavor)."""
    if report.nulled is not None and element not in report.nulled:
        return
    if element.get("nullFlavor") is not None:
        _null(element, report)
    if len(element):
        found = _NULL_BELOW(element)
        for each in found if isinstance(found, list) else ():
            if isinstance(each, _Element):
                _null(each, report)


def _null(element: _Element, report: Report) -> None:
    flavor = element.get("nullFlavor")
    if flavor not in _NULLS and flavor not in _EXCEPTIONS:
        report.add(rules.NULL_KIND, element, "nullFlavor", found=shown(element, "nullFlavor"))
    names = {child.tag for child in _elements(element)}
    attributes = {
        key
        for key, value in element.items()
        if key not in ALONE and key != "partType" and _SCHEMA_DEFAULTS.get(key) != value
    }
    if not attributes and not names and not _text(element):
        return
    if flavor in _EXCEPTIONS:
        allowed = {"codeSystem", "codeSystemName", "codeSystemVersion", "extension"}
        carried = {"codeSystem", "extension"} & attributes or {HL7 + "originalText", HL7 + "translation"} & names
        if attributes <= allowed and carried:
            return
    report.add(rules.NULL_ALONE, element, "nullFlavor")


#: RFC 3066: a language, and what makes it more precise.
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8})*|[ix](-[a-z0-9]{2,8})+", re.ASCII | re.IGNORECASE)


def _language(element: _Element, report: Report) -> None:
    language = element.get("language")
    if language is not None and not _LANGUAGE.fullmatch(language):
        report.add(rules.LANGUAGE, element, "language", expected="fr-FR")


# --- Identifiers ----------------------------------------------------------------------------------------------------


def ii(element: _Element, report: Report) -> None:
    """An instance identifier."""
    any_(element, report)
    root, extension = element.get("root"), element.get("extension")
    null = element.get("nullFlavor") is not None
    if root is None:
        if not null:
            report.add(rules.II_ROOT, element, expected="root")
    elif null:
        report.add(rules.II_NULL, element, "root")
    elif not _OID.fullmatch(root) and not _UUID.fullmatch(root):
        report.add(rules.II_FORM, element, "root")
    elif _UUID.fullmatch(root) and root != root.upper():
        report.add(rules.II_CASE, element, "root")
    if extension is not None and not extension:
        report.add(rules.II_EMPTY, element, "extension")
    if len(root or "") > _MAX_ROOT or len(extension or "") > _MAX_EXTENSION:
        report.add(rules.II_LONG, element, expected=f"{_MAX_ROOT} / {_MAX_EXTENSION}")


# --- Codes ----------------------------------------------------------------------------------------------------------


def cd(element: _Element, report: Report) -> None:
    """A concept descriptor."""
    any_(element, report)
    get = element.get
    code, system, null = get("code"), get("codeSystem"), get("nullFlavor")
    if code is None and null is None:
        original = element.find(HL7 + "originalText")
        if original is None or original.get("nullFlavor") is not None:
            report.add(rules.CD_EMPTY, element, expected="code, codeSystem")
    if code is not None and system is None:
        report.add(rules.CD_SYSTEM, element, "code", expected="codeSystem")
    if system is None and (get("codeSystemName") is not None or get("codeSystemVersion") is not None):
        report.add(rules.CD_SYSTEM_NAME, element, expected="codeSystem")
    if code is None and get("displayName") is not None:
        report.add(rules.CD_DISPLAY, element, "displayName", expected="code")
    if null is not None and (code is not None or get("displayName") is not None):
        report.add(rules.CD_NULL, element, "nullFlavor")
    if len(element):
        for text in element.iter(HL7 + "originalText"):
            _language(text, report)
        _translations(element, report)


def _translations(element: _Element, report: Report) -> None:
    known = set()
    for each in element.iter(HL7 + "translation"):
        get = each.get
        code, system = get("code"), get("codeSystem")
        named = get("codeSystemName") is not None or get("codeSystemVersion") is not None
        wrong = (
            get("nullFlavor") is not None
            or (code is None) != (system is None)
            or (system is None and named)
            or (code is None and get("displayName") is not None)
        )
        if wrong:
            report.add(rules.CD_TRANSLATION, each)
        if (code, system) in known:
            report.add(rules.CD_TWICE, each)
        known.add((code, system))


def ce(element: _Element, report: Report) -> None:
    """A coded value with equivalents."""
    cd(element, report)
    if element.find(HL7 + "qualifier") is not None:
        report.add(rules.CE_QUALIFIER, element)


def cs(element: _Element, report: Report) -> None:
    """A code of HL7, whose system is known from the context."""
    any_(element, report)
    coded = element.get("code") is not None
    if coded == (element.get("nullFlavor") is not None):
        report.add(rules.CS_CODE, element, expected="code")
    get = element.get
    more = [
        name for name in ("codeSystem", "codeSystemName", "codeSystemVersion", "displayName") if get(name) is not None
    ]
    if more or len(element):
        report.add(rules.CS_MORE, element, more[0] if more else None)


def cr(element: _Element, report: Report) -> None:
    """A concept role: a name and a value."""
    any_(element, report)
    if (element.get("nullFlavor") is not None) == bool(_elements(element)):
        report.add(rules.CR_EMPTY, element)


# --- Texts and names ------------------------------------------------------------------------------------------------


def ed(element: _Element, report: Report) -> None:
    """Encapsulated data: a text, or a reference to one."""
    any_(element, report)
    if element.get("nullFlavor") is None and not _elements(element) and not _text(element):
        report.add(rules.ST_EMPTY, element)


def st(element: _Element, report: Report) -> None:
    """A character string."""
    if not len(element) and not element.keys():
        text = element.text
        if text and not text.isspace():
            return
    ed(element, report)
    _language(element, report)
    wrong = (
        element.get("representation", "TXT") != "TXT"
        or element.get("mediaType", "text/plain") != "text/plain"
        or "compression" in element.attrib
        or "integrityCheck" in element.attrib
        or element.get("integrityCheckAlgorithm", "SHA-1") != "SHA-1"
        or element.find(HL7 + "reference") is not None
        or element.find(HL7 + "thumbnail") is not None
    )
    if wrong:
        report.add(rules.ST_MORE, element)


_QUALIFIED: Final = (HL7 + "family", HL7 + "given")


def sc(element: _Element, report: Report) -> None:
    """A character string with a code."""
    st(element, report)
    get = element.get
    code, system = get("code"), get("codeSystem")
    if code is not None and system is None:
        report.add(rules.CD_SYSTEM, element, "code", expected="codeSystem")
    if system is None and (get("codeSystemName") is not None or get("codeSystemVersion") is not None):
        report.add(rules.CD_SYSTEM_NAME, element, expected="codeSystem")
    if code is None and get("displayName") is not None:
        report.add(rules.CD_DISPLAY, element, "displayName", expected="code")


def en(element: _Element, report: Report) -> None:
    """The name of an entity: a text, or parts."""
    any_(element, report)
    parts, text = _elements(element), _text(element)
    if (element.get("nullFlavor") is not None) == bool(parts or text) or (parts and text):
        report.add(rules.EN_MIXED, element)
    for part in parts:
        if part.tag not in _QUALIFIED:
            continue
        words = (part.get("qualifier") or "BR").split(" ") if "qualifier" in part.attrib else ["BR"]
        if len(words) != len(set(words)) or words == [""]:
            report.add(rules.QUALIFIERS, part, "qualifier")


def pn(element: _Element, report: Report) -> None:
    """The name of a person."""
    en(element, report)
    for part in _elements(element):
        if "LS" in (part.get("qualifier") or "").split():
            report.add(rules.PN_LEGAL, part, "qualifier")


def on(element: _Element, report: Report) -> None:
    """The name of an organisation."""
    en(element, report)
    if _elements(element):
        report.add(rules.ON_PARTS, element)


# --- Times ----------------------------------------------------------------------------------------------------------

_TS: Final = re.compile(
    r"(?P<year>[0-9]{4})(?:(?P<month>[0-9]{2})(?:(?P<day>[0-9]{2})(?:(?P<hour>[0-9]{2})(?:(?P<minute>[0-9]{2})"
    r"(?:(?P<second>[0-9]{2})(?P<fraction>\.[0-9]+)?)?)?)?)?)?(?P<offset>[+-][0-9]{1,4})?",
    re.ASCII,
)


class Instant:
    """A point in time as written, with the precision it was written with."""

    __slots__ = ("fields", "fraction", "offset")

    def __init__(self, fields: tuple[int, ...], offset: int | None, fraction: bool) -> None:
        self.fields = fields  #: year, month, day, hour, minute, second: as many as were written
        self.offset = offset  #: minutes east of Greenwich
        self.fraction = fraction

    @property
    def timed(self) -> bool:
        """True when the hour is given."""
        return len(self.fields) > 3

    def seconds(self) -> int:
        """Seconds since the year 1, in universal time when the offset is known."""
        year, month, day, hour, minute, second = (
            (*self.fields, 1, 1, 0, 0, 0)[:6] if len(self.fields) == 1 else _whole(self.fields)
        )
        days = date(year, month, day).toordinal()
        return ((days * 24 + hour) * 60 + minute - (self.offset or 0)) * 60 + second


def _whole(fields: tuple[int, ...]) -> tuple[int, ...]:
    return (*fields, *(1, 1, 1, 0, 0, 0)[len(fields) :])


def instant(value: str) -> Instant | None:
    """Read a TS; None when it is no time of the calendar. Data Types R1, 3.8."""
    match = _TS.fullmatch(value)
    if match is None:
        return None
    fields = tuple(int(each) for each in match.group("year", "month", "day", "hour", "minute", "second") if each)
    try:
        date(*_whole(fields)[:3])
    except ValueError:
        return None
    if any(value > most for value, most in zip(fields[3:], (23, 59, 59), strict=False)):
        return None
    offset = match["offset"]
    if offset is None:
        return Instant(fields, None, bool(match["fraction"]))
    digits = offset[1:].ljust(4, "0") if len(offset) > 3 else offset[1:].rjust(2, "0") + "00"
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    if len(fields) < 4 or minutes > 14 * 60 or int(digits[2:]) > 59:
        return None
    return Instant(fields, -minutes if offset[0] == "-" else minutes, bool(match["fraction"]))


def compare(low: Instant, high: Instant) -> int:
    """Negative, zero or positive as ``low`` is before, at or after ``high``, at the precision both have."""
    if low.timed and high.timed and (low.offset is None) == (high.offset is None):
        return low.seconds() - high.seconds()
    common = min(len(low.fields), len(high.fields))
    first, second = low.fields[:common], high.fields[:common]
    return (first > second) - (first < second)


def ts(element: _Element, report: Report) -> None:
    """A point in time."""
    any_(element, report)
    _point(element, report)
    if _elements(element):
        report.add(rules.TS_CHILDREN, element)


#: Most times there are, all of the calendar and with their offset: nothing need be computed of them.
_USUAL: Final = re.compile(
    r"[12][0-9]{3}(?:0[1-9]|1[0-2])(?:0[1-9]|1[0-9]|2[0-8])"
    r"(?:(?:[01][0-9]|2[0-3])[0-5][0-9](?:[0-5][0-9])?[+-](?:0[0-9]|1[0-3])[0-5][0-9])?",
    re.ASCII,
)


def _point(element: _Element, report: Report) -> None:
    value = element.get("value")
    if (value is None) == (element.get("nullFlavor") is None):
        report.add(rules.TS_VALUE, element, expected="value")
    if value is None or _USUAL.fullmatch(value):
        return
    found = instant(value)
    if found is None:
        report.add(rules.TS_FORM, element, "value", expected="AAAAMMJJhhmmss+hhmm")
    elif found.fraction:
        report.add(rules.TS_FRACTION, element, "value")
    elif found.timed and found.offset is None:
        report.add(rules.TS_OFFSET, element, "value", expected="+hhmm")


_UNITS: Final = frozenset(("us", "ms", "s", "min", "h", "d", "wk", "mo", "a", ""))


def ivl_ts(element: _Element, report: Report) -> None:
    """An interval of time."""
    any_(element, report)
    parts = {str(child.tag).removeprefix(HL7): child for child in _elements(element)}
    if not parts and "value" not in element.attrib and "nullFlavor" not in element.attrib:
        report.add(rules.TS_VALUE, element, expected="low")
    if "value" in element.attrib:
        if parts:
            report.add(rules.IVL_VALUE, element, "value")
        else:
            _point(element, report)
    if ("center" in parts and len(parts) > 1) or {"width", "low", "high"} <= parts.keys():
        report.add(rules.IVL_PARTS, element)
    if "center" in parts:
        _point(parts["center"], report)
    low, high, width = parts.get("low"), parts.get("high"), parts.get("width")
    if (low is not None and low.get("nullFlavor") == "PINF") or (high is not None and high.get("nullFlavor") == "NINF"):
        report.add(rules.IVL_INFINITE, element)
    if width is not None and (
        width.get("unit", "") not in _UNITS
        or ("unit" in width.attrib and "value" not in width.attrib)
        or len(_elements(width))
    ):
        report.add(rules.IVL_WIDTH, width)
    if low is not None and high is not None and low.get("value") and low.get("value") == high.get("value"):
        report.add(rules.IVL_EQUAL, element)


def bl(element: _Element, report: Report) -> None:
    """A Boolean."""
    any_(element, report)


def int_(element: _Element, report: Report) -> None:
    """An integer."""
    any_(element, report)
    if ("value" in element.attrib) == ("nullFlavor" in element.attrib):
        report.add(rules.INT_VALUE, element, expected="value")


# --- Telecoms and addresses -----------------------------------------------------------------------------------------

_PREFIXES: Final = frozenset(("tel", "fax", "mailto", "http", "ftp", "mllp"))
_TEL_USES: Final = frozenset(("H", "HP", "HV", "WP", "DIR", "PUB", "EC", "MC", "PG"))
_LINE: Final = HL7 + "streetAddressLine"
_WITH_LINE: Final = frozenset((_LINE, HL7 + "useablePeriod"))
_AD_USES: Final = frozenset(("H", "HP", "HV", "WP", "TMP"))
# RFC 3986 characters, and those that iri-to-uri leaves alone.
_URI: Final = re.compile(r"[!#$%&'()*+,./0-9:;=?@A-Z\[\]_a-z~-]+", re.ASCII)


def tel(element: _Element, report: Report) -> None:
    """A telecommunication address."""
    value, null = element.get("value"), element.get("nullFlavor")
    if (value is None) == (null is None) or (null is not None and (null not in _NULLS or len(element.attrib) > 1)):
        report.add(rules.TEL_VALUE, element)
    if len(element) and null is not None:
        report.add(rules.NULL_ALONE, element, "nullFlavor")
    if value is not None:
        prefix, _, rest = value.partition(":")
        if prefix not in _PREFIXES or not rest:
            report.add(rules.TEL_PREFIX, element, "value", expected=", ".join(sorted(_PREFIXES)))
        elif not _URI.fullmatch(value):
            report.add(rules.TEL_FORM, element, "value")
    if element.get("use", "WP") not in _TEL_USES:
        report.add(rules.TEL_USE, element, "use", found=shown(element, "use"), expected=", ".join(sorted(_TEL_USES)))


def ad(element: _Element, report: Report) -> None:
    """A postal address."""
    any_(element, report)
    parts, text = _elements(element), _text(element)
    if element.get("nullFlavor") is None and bool(parts) == bool(text):
        report.add(rules.AD_MIXED, element)
    names = {part.tag for part in parts}
    if _LINE in names and len(names - _WITH_LINE):
        report.add(rules.AD_FORMS, element)
    if element.get("use", "WP") not in _AD_USES:
        report.add(rules.AD_USE, element, "use", found=shown(element, "use"), expected=", ".join(sorted(_AD_USES)))


#: Type of the header's table -> its rules.
TYPES: Final[dict[str, Check]] = {
    "ANY": any_,
    "II": ii,
    "CD": cd,
    "CE": ce,
    "CV": ce,
    "CS": cs,
    "CR": cr,
    "ED": ed,
    "ST": st,
    "SC": sc,
    "EN": en,
    "PN": pn,
    "ON": on,
    "TS": ts,
    "IVXB_TS": ts,
    "IVL_TS": ivl_ts,
    "BL": bl,
    "INT": int_,
    "TEL": tel,
    "AD": ad,
}


def siblings(kind: str, elements: list[_Element], report: Report) -> None:
    """Elements of one name in one parent differ, and none is null beside a known one ([RIM-001], [RIM-002])."""
    key = _KEYS.get(kind)
    if key is None:
        return
    if kind not in ("II", "CD", "CE", "CV"):
        null = [each for each in elements if "nullFlavor" in each.attrib]
        if null and len(null) < len(elements):
            report.add(rules.NULL_BESIDE, null[0], "nullFlavor")
    if kind == "II":
        _same_identifiers(elements, report)
        return
    known = set()
    for each in elements:
        value = key(each)
        if value is None:
            continue
        if value in known:
            report.add(_TWICE[kind], each)
        known.add(value)


def _same_identifiers(elements: list[_Element], report: Report) -> None:
    by_root: dict[str, list[_Element]] = {}
    for each in elements:
        root = each.get("root")
        if root is not None:
            by_root.setdefault(root, []).append(each)
    for same in by_root.values():
        extensions = [each.get("extension") for each in same]
        if len(same) > 1 and (None in extensions or len(set(extensions)) < len(same)):
            report.add(rules.II_TWICE, same[-1], "root")


def _coded(element: _Element) -> object:
    pair = (element.get("code"), element.get("codeSystem"))
    return pair if None not in pair else None


def _worded(element: _Element) -> object:
    uses = [each.get("use", "") for each in element.iter() if isinstance(each.tag, str)]
    return ("".join(uses), "".join(element.itertext()))


def _valued(element: _Element) -> object:
    pair = (element.get("value"), element.get("unit"))
    return pair if None not in pair else None


def _used(element: _Element) -> object:
    pair = (element.get("use"), element.get("value"))
    return pair if None not in pair else None


_KEYS: Final[dict[str, Callable[[_Element], object]]] = {
    "II": _coded,
    "CD": _coded,
    "CE": _coded,
    "CV": _coded,
    "EN": _worded,
    "PN": _worded,
    "ON": _worded,
    "AD": _worded,
    "TEL": _used,
    "TS": _valued,
    "INT": _valued,
}
_TWICE: Final = {
    "CD": rules.CD_TWICE,
    "CE": rules.CD_TWICE,
    "CV": rules.CD_TWICE,
    "EN": rules.EN_TWICE,
    "PN": rules.EN_TWICE,
    "ON": rules.EN_TWICE,
    "AD": rules.AD_TWICE,
    "TEL": rules.TEL_TWICE,
    "TS": rules.QTY_TWICE,
    "INT": rules.QTY_TWICE,
}
