"""The bricks every CDA reader uses: finding elements, HL7 data types, the narrative behind a reference.

Readers are tolerant: what has not the expected form gives a finding and is reported as lost, never an exception.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar
from uuid import NAMESPACE_OID, UUID, uuid5

from lxml import etree
from pydantic import BaseModel, TypeAdapter, ValidationError

from conformance.verdict import Finding, Rule, Text
from mappings.cda import findings as rules
from mappings.cda.build import V3, XSI_TYPE
from mappings.cda.errors import NotCda, together
from mappings.cda.narrative_read import flat, squeeze
from mappings.cda.place import forget_places, local, place
from mappings.document.people import Identifier
from mappings.document.values import Code, Concept, Moment, Period, Quantity, QuantityRange, Ratio
from mappings.loss import LossLog

__all__ = [
    "Reader",
    "every",
    "first",
    "flat",
    "forget_places",
    "local",
    "place",
    "squeeze",
    "template_roots",
    "value_of",
    "xsi_type",
]

_Element = etree._Element
M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


def first(element: _Element, tag: str) -> _Element | None:
    """The first child of that name in the CDA namespace."""
    return next(element.iterchildren(V3 + tag), None)


def every(element: _Element, tag: str) -> Iterator[_Element]:
    """The children of that name, in order."""
    return element.iterchildren(V3 + tag)


def value_of(element: _Element | None, attribute: str = "value") -> str | None:
    """An attribute, None when the element or the attribute is absent."""
    return element.get(attribute) if element is not None else None


def template_roots(element: _Element) -> set[str]:
    """The OIDs an entry or section claims to follow."""
    return {root for each in element.iterchildren(V3 + "templateId") if (root := each.get("root"))}


#: The amount that people read before a unit.
_LEADING_AMOUNT = re.compile(r"-?\d+(?:[.,]\d+)?\s+")

# --- Times ----------------------------------------------------------------------------------------

_TS = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.\d+)?)?)?)?)?)?([+-]\d{4}|Z)?\Z", re.ASCII
)
_IDS = etree.XPath("//*[@ID]")


@dataclass(slots=True)
class Reader:
    """What the readers of one document share."""

    root: _Element
    log: LossLog = field(default_factory=LossLog)
    findings: list[Finding] = field(default_factory=list)
    faults: list[NotCda] = field(default_factory=list)  #: what refuses the document, told at once when it is closed
    in_body: bool = False  #: True once the header is read: what is left out from there on is clinical
    offset: str = "+01:00"  #: offset assumed for a time that has none: the document's own
    _ids: dict[str, _Element] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for element in _IDS(self.root):
            self._ids.setdefault(element.get("ID"), element)

    # --- what refuses ---

    def attempt(self, make: Callable[[], T]) -> T | None:
        """Read a part; keep the fault of one that cannot be, so that the others are looked at and told too."""
        try:
            return make()
        except NotCda as fault:
            self.faults.append(fault)
            return None

    def refuse(self) -> None:
        """Raise the faults kept, if any: those of the header before those of the body."""
        if self.faults:
            raise together(sorted(self.faults, key=lambda fault: fault.code))

    # --- what is amiss ---

    def finding(self, rule: Rule, element: _Element) -> None:
        """Note something amiss at an element."""
        self.findings.append(rule.finding(place(element), line=element.sourceline))

    def lost(self, element: _Element, name: str, *, clinical: bool = False, reason: Text | None = None) -> None:
        """Note an element that the hub does not hold."""
        self.log.lost(place(element), name, reason or _NO_PLACE, clinical=clinical)

    def make(self, cls: type[M], element: _Element, **fields: Any) -> M | None:
        """Build a part; a member that has not the expected form is left out and noted, None when too little is left."""
        try:
            return cls(**fields)
        except ValidationError as exc:
            wrong = {
                str(error["loc"][0]) for error in exc.errors(include_input=False, include_url=False) if error["loc"]
            }
        self.finding(rules.UNUSABLE_VALUE, element)
        names = {info.alias or name: name for name, info in cls.model_fields.items()}
        dropped = {names.get(name, name) for name in wrong}
        for name in sorted(dropped):
            self.log.lost(place(element), name, _BAD_FORM, clinical=self.in_body)
        try:
            return cls(**{name: value for name, value in fields.items() if name not in dropped})
        except ValidationError:
            self.log.lost(place(element), local(element), _BAD_FORM, clinical=self.in_body)
            return None

    def document(self, cls: type[M], body: _Element, **fields: Any) -> M:
        """Build the whole document; raises :class:`NotCda` naming the members that do not fit (none, too many...)."""
        before = len(self.log.items)
        made = self.make(cls, body, **fields)
        if made is None:
            names = ", ".join(sorted({item.name for item in self.log.items[before:]} - {local(body)}))
            raise NotCda(
                "CDA-READ-005",
                place(body),
                Text(
                    f"Le contenu ne tient pas dans le modèle : {names} (absent, illisible ou trop long).",
                    f"The content does not fit the model: {names} (missing, unreadable or too long).",
                ),
            )
        return made

    # --- narrative ---

    def target(self, reference: str | None) -> str | None:
        """The ID a reference points to (with or without ``#``, as met in official documents); None without target."""
        if reference is None:
            return None
        anchor = reference[1:] if reference.startswith("#") else reference
        return anchor if anchor in self._ids else None

    def element(self, anchor: str) -> _Element | None:
        """The piece of narrative that has an ID."""
        return self._ids.get(anchor)

    def words(self, element: _Element | None) -> str | None:
        """The text of a ``text`` or ``originalText``: behind its reference, or written in place."""
        if element is None:
            return None
        reference = first(element, "reference")
        if reference is None:
            return flat(element)
        target = self._ids.get((reference.get("value") or "").removeprefix("#"))
        if target is None:
            if reference.get("nullFlavor") is None:
                self.finding(rules.DANGLING_REFERENCE, reference)
            return None
        return flat(target)

    def near(self, element: _Element | None) -> str | None:
        """The text of the first ID that starts as a dangling reference does: ``med-002`` finds ``med-002-delivre``,
        as an official document has it."""
        reference = first(element, "reference") if element is not None else None
        start = (reference.get("value") or "").removeprefix("#") if reference is not None else ""
        found = next((each for name, each in self._ids.items() if start and name.startswith(start + "-")), None)
        return flat(found) if found is not None else None

    def anchor(self, element: _Element | None) -> str | None:
        """The ID that a ``text`` or ``originalText`` points to."""
        return self.target(value_of(first(element, "reference"))) if element is not None else None

    # --- identifiers ---

    def identifier(self, element: _Element | None) -> Identifier | None:
        """An instance identifier; a UUID root becomes its OID under 2.25 (ITU-T X.667)."""
        if element is None or (root := element.get("root")) is None:
            return None
        if (number := _uuid(root)) is not None:
            root = f"2.25.{number.int}"
        return self.make(Identifier, element, root=root, extension=element.get("extension") or None)

    def uuid(self, element: _Element | None) -> UUID | None:
        """The id of an entry as a UUID; an OID with its extension gives the same one each time it is met."""
        if element is None or (root := element.get("root")) is None:
            return None
        found = _uuid(root)
        extension = element.get("extension")
        if found is not None and not extension:
            return found
        if root.startswith("2.25.") and not extension and root[5:].isdigit() and int(root[5:]) < 1 << 128:
            return UUID(int=int(root[5:]))
        return uuid5(NAMESPACE_OID, f"{root}^{extension or ''}")

    # --- times ---

    def moment(self, element: _Element | None, attribute: str = "value") -> Moment | None:
        """A point in time."""
        if element is None or (text := element.get(attribute)) is None:
            return None
        match = _TS.match(text.strip())
        if match is None:
            self.finding(rules.UNREADABLE_TIME, element)
            return None
        year, month, day, hour, minute, second, zone = match.groups()
        if hour is None:
            out = "-".join(part for part in (year, month, day) if part)
        else:
            if zone is None:
                self.finding(rules.NO_OFFSET, element)
                zone = self.offset
            elif zone == "Z":
                zone = "+00:00"
            else:
                zone = f"{zone[:3]}:{zone[3:]}"
            out = f"{year}-{month}-{day}T{hour}:{minute or '00'}{':' + second if second else ''}{zone}"
        try:
            return _MOMENT.validate_python(out)
        except ValidationError:
            self.finding(rules.UNREADABLE_TIME, element)
            return None

    def period(self, element: _Element | None) -> Period | None:
        """An interval of time; a bare value is its start. None when it says nothing."""
        if element is None:
            return None
        start, end = self.moment(first(element, "low")), self.moment(first(element, "high"))
        if start is None and end is None:
            start = self.moment(element)
        if start is None and end is None:
            return None
        try:
            return Period(start=start, end=end)
        except ValidationError:
            self.finding(rules.UNUSABLE_VALUE, element)
            self.log.lost(place(element) + "/high", "high", _REVERSED, clinical=True)
            return Period(start=start)

    # --- codes ---

    def code(self, element: _Element | None) -> Code | None:
        """A coded value; None for a nullFlavor or a code without its terminology."""
        if element is None or (code := element.get("code")) is None or (system := element.get("codeSystem")) is None:
            return None
        return self.make(
            Code,
            element,
            code=code,
            system=system,
            display=squeeze(element.get("displayName")),
            system_name=squeeze(element.get("codeSystemName")),
        )

    def translations(self, element: _Element) -> tuple[Code, ...]:
        """The same meaning in other terminologies."""
        return tuple(code for each in every(element, "translation") if (code := self.code(each)) is not None)

    def concept(self, element: _Element | None, *, text: str | None = None) -> Concept | None:
        """A concept: code, translations, and the words of the narrative (or ``text`` when it has none)."""
        if element is None:
            return None
        words = self.words(first(element, "originalText")) or text
        code, translations = self.code(element), self.translations(element)
        if code is None and not translations and not words:
            return None
        return self.make(Concept, element, code=code, translations=translations, text=words)

    # --- quantities ---

    def quantity(self, element: _Element | None) -> Quantity | None:
        """A physical quantity."""
        if element is None or (value := element.get("value")) is None:
            return None
        try:
            number = Decimal(value.strip())
        except InvalidOperation:
            self.finding(rules.UNUSABLE_VALUE, element)
            self.lost(element, local(element), clinical=True, reason=_BAD_FORM)
            return None
        display = None
        for translation in element.iterchildren("{*}translation"):
            original = next(translation.iterchildren("{*}originalText"), None)
            words = self.words(original)
            if words is None:
                continue
            # Behind a reference people read the amount with its unit: "2 boîtes".
            if original is not None and first(original, "reference") is not None:
                if local(element) == "period":
                    continue  # the words of a frequency, not of a unit
                words = _LEADING_AMOUNT.sub("", words, count=1)
            display = words
            break
        return self.make(Quantity, element, value=number, unit=element.get("unit") or "1", display=display)

    def range(self, element: _Element | None) -> QuantityRange | None:
        """An amount, or a low and a high one."""
        if element is None:
            return None
        low, high = self.quantity(first(element, "low")), self.quantity(first(element, "high"))
        if low is None and high is None:
            low = self.quantity(element)
        low, high = low or high, high or low
        if low is None or high is None:
            return None
        return self.make(QuantityRange, element, low=low, high=high)

    def ratio(self, element: _Element | None) -> Ratio | None:
        """An amount for an amount."""
        if element is None:
            return None
        numerator, denominator = (
            self.quantity(first(element, "numerator")),
            self.quantity(first(element, "denominator")),
        )
        if numerator is None or denominator is None:
            return None
        return Ratio(numerator=numerator, denominator=denominator)


_MOMENT: TypeAdapter[str] = TypeAdapter(Moment)
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z", re.ASCII)


def _uuid(text: str) -> UUID | None:
    return UUID(text) if _UUID.match(text) else None


def xsi_type(element: _Element) -> str:
    """The xsi:type of a value, without prefix."""
    return (element.get(XSI_TYPE) or "").rpartition(":")[2]


_NO_PLACE = Text("Le modèle n'a pas de place pour cette partie.", "The model has no place for this part.")
_BAD_FORM = Text("La valeur n'a pas la forme attendue.", "The value does not have the expected form.")
_REVERSED = Text("La fin précède le début.", "The end is before the start.")
