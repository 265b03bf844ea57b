"""The structure of a document: is each element where CDA has it, and what will the other rules want to see?

The schema made of the table says whether all is well (:mod:`conformance.cda.schema`); a document it does not accept
is walked, which says what is wrong and where. Either way what the rules after it look for is noted: the elements that
claim a template, the identifiers, the links and the files. No other part of the check goes over the whole tree.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from lxml import etree

from conformance.cda import rules_types as rules
from conformance.cda import schema
from conformance.cda.model import HL7, MAX_REMEMBERED, PHARM, XSI, Model, root_model, type_model
from conformance.cda.places import short_name
from conformance.cda.report import Report, shown

__all__ = ["Seen", "look", "walk"]

_Element = etree._Element
_XSI_TYPE: Final = XSI + "type"
_XSI_KNOWN: Final = frozenset({_XSI_TYPE, XSI + "schemaLocation", XSI + "noNamespaceSchemaLocation"})
_TEMPLATE: Final = HL7 + "templateId"
_TYPE_SPACES: Final[dict[str | None, str]] = {"urn:hl7-org:v3": "", "urn:ihe:pharm:medication": "pharm:"}
#: Elements that the rules after the walk look at, wherever they are.
_WANTED: Final = tuple(
    HL7 + name
    for name in (
        "reference observationMedia section approachSiteCode administrativeGenderCode author low manufacturedMaterial"
    ).split()
)
#: Longest sequence of children that is remembered.
_LONG: Final = 64
#: Documents walked before the schema is compiled: that takes as long as some fifty walks, and one file needs none.
_WALKED_FIRST: Final = 20
_COUNT: Final = itertools.count()
#: More children than this of one name, and libxml2 would spend its time on saying where each wrong one stands.
_CROWD: Final = etree.XPath("boolean(//*[3000])")
_NAMED: Final[Callable[[_Element], list[_Element]]] = etree.XPath("//@ID/..")


@dataclass(slots=True)
class Seen:
    """What the walk noted for the rules after it."""

    templates: dict[str, list[_Element]] = field(default_factory=dict)  #: template OID -> elements that claim it
    ids: dict[str, _Element] = field(default_factory=dict)  #: ID -> the element that has it
    links: list[tuple[_Element, str, str]] = field(default_factory=list)  #: element, attribute, IDs pointed to
    wanted: dict[str, list[_Element]] = field(default_factory=lambda: {tag: [] for tag in _WANTED})

    def all(self, name: str) -> list[_Element]:
        """The elements of a wanted name."""
        return self.wanted[HL7 + name]


def look(root: _Element, report: Report) -> Seen:
    """Check the structure of a whole document, the quick way where all is well."""
    if (schema.ready() or next(_COUNT) >= _WALKED_FIRST) and not _CROWD(root) and schema.accepts(root):
        seen = _noted(root)
        if seen is not None:
            return seen
    return walk(root, report)


def _noted(root: _Element) -> Seen | None:
    """What a walk would note in a document whose structure is right; None when an ID is not unique or not there."""
    seen = Seen()
    templates, wanted = seen.templates, seen.wanted
    for element in root.iter(_TEMPLATE, *_WANTED):
        tag: Any = element.tag
        if tag != _TEMPLATE:
            wanted[tag].append(element)
            continue
        oid, owner = element.get("root"), element.getparent()
        if oid is not None and owner is not None:
            claimed = templates.get(oid)
            if claimed is None:
                templates[oid] = [owner]
            else:
                claimed.append(owner)
    named = _NAMED(root)
    seen.ids = ids = {element.get("ID", ""): element for element in named}
    if len(ids) < len(named):
        return None
    pointers = schema.pointers()
    for element in root.iter(*pointers):
        value = element.get(pointers[str(element.tag)])
        if value is not None and not ids.keys() >= set(value.split()):
            return None
    return seen


def walk(root: _Element, report: Report) -> Seen:
    """Check the structure of a whole document, element by element."""
    seen = Seen()
    _Walk(report, seen).element(root, root_model())
    for element, attribute, value in () if report.full else seen.links:
        for name in value.split():
            if name not in seen.ids:
                report.add(rules.NO_TARGET, element, attribute, expected="un ID du document")
    return seen


@dataclass(slots=True)
class _Walk:
    report: Report
    seen: Seen

    def element(self, top: _Element, kind: Model) -> None:
        """Check an element of a type and all below it, in document order."""
        templates, wanted_tags = self.seen.templates, self.seen.wanted
        stack: list[tuple[_Element, Model]] = [(top, kind)]
        while stack and not self.report.full:  # nothing more is told once the report is full
            element, model = stack.pop()
            if element.tag in wanted_tags:
                wanted_tags[element.tag].append(element)
            items = element.items()
            if items:
                model = self.attributes(element, model, items)
            if model.required:
                self.required(element, model)
            if model.abstract and element.get(_XSI_TYPE) is None:
                self.report.add(rules.NO_TYPE, element, expected="xsi:type")
            text = element.text
            if text is not None and not model.mixed and not text.isspace():
                self.report.add(rules.TEXT_HERE, element)
            children = element[:]
            if not children:
                if not model.may_be_empty:
                    self.missing(element, model, 0)
                continue
            tags = tuple([child.tag for child in children])
            kinds = model.known.get(tags)
            if kinds is None:
                kinds = self.sequence(element, model, children, tags)
            if not model.mixed:
                for child in children:
                    tail = child.tail
                    if tail is not None and not tail.isspace():
                        self.report.add(rules.TEXT_HERE, element)
            below = []
            for child, tag, child_kind in zip(children, tags, kinds, strict=True):
                if child_kind is None:
                    continue
                if tag == _TEMPLATE:
                    root = child.get("root")
                    if root is not None:
                        templates.setdefault(root, []).append(element)
                below.append((child, child_kind))
            below.reverse()
            stack += below

    def required(self, element: _Element, model: Model) -> None:
        for name in model.required:
            if element.get(name) is None:
                self.report.add(rules.MISSING_ATTRIBUTE, element, expected=short_name(name))

    def attributes(self, element: _Element, model: Model, items: list[tuple[str, str]]) -> Model:
        """Check the attributes; gives the type to go on with, which ``xsi:type`` may have made narrower."""
        named = element.get(_XSI_TYPE)
        if named is not None:
            model = self.narrower(element, named, model)
        allowed = model.attributes
        for name, value in items:
            known = allowed.get(name)
            if known is None:
                if name not in _XSI_KNOWN:
                    self.report.add(rules.UNKNOWN_ATTRIBUTE, element, name, found=short_name(name))
            elif not known.form.fits(value):
                self.report.add(
                    rules.BAD_VALUE, element, name, found=shown(element, name), expected=known.form.expected
                )
            elif known.fixed is not None:
                if value != known.fixed:
                    self.report.add(rules.BAD_VALUE, element, name, found=shown(element, name), expected=known.fixed)
            elif known.link:
                self.linked(element, name, value, known.link)
        return model

    def linked(self, element: _Element, name: str, value: str, link: str) -> None:
        """Note an ID, or a pointer to some."""
        if link == "ID":
            if self.seen.ids.setdefault(value.strip(), element) is not element:
                self.report.add(rules.SAME_ID, element, name)
        else:
            self.seen.links.append((element, name, value))

    def narrower(self, element: _Element, named: str, model: Model) -> Model:
        """The type that ``xsi:type`` names, when it may stand here."""
        prefix, _, local = named.strip().rpartition(":")
        space = element.nsmap.get(prefix or None)
        found = type_model(_TYPE_SPACES[space] + local) if space in _TYPE_SPACES else None
        if found is None or found.abstract or not found.derives(model.name):
            self.report.add(
                rules.BAD_TYPE, element, _XSI_TYPE, found=shown(element, _XSI_TYPE), expected=model.name.split(".")[-1]
            )
            return model if found is None else found
        return found

    def sequence(
        self, element: _Element, model: Model, children: list[_Element], tags: tuple[Any, ...]
    ) -> tuple[Model | None, ...]:
        """Check the children against the content model; gives the type of each, None for one that is unknown."""
        steps, ends = model.automaton
        at, right = 0, True
        kinds: list[Model | None] = []
        for child, tag in zip(children, tags, strict=True):
            if self.report.full:
                kinds.append(None)
                continue
            if not isinstance(tag, str):  # a comment or a processing instruction
                kinds.append(None)
                continue
            move = steps[at].get(tag)
            # Foreign markup is that of any namespace but the type's own (##other).
            own = PHARM if model.name.startswith("pharm:") else HL7
            if move is None and not tag.startswith(own) and (wild := steps[at].get("*")) is not None:
                at = wild[0]
                kinds.append(None)
                continue
            if move is None:
                # One fault is told once: the rest goes on as if this child were not there.
                right = False
                kinds.append(self.misplaced(child, tag, model, at, tags))
                continue
            at = move[0]
            kinds.append(type_model(move[1]))
        if at not in ends:
            right = False
            self.missing(element, model, at)
        out = tuple(kinds)
        if right and len(tags) <= _LONG and len(model.known) < MAX_REMEMBERED:
            model.known[tags] = out
        return out

    def misplaced(self, child: _Element, tag: str, model: Model, at: int, tags: tuple[Any, ...]) -> Model | None:
        steps, _ = model.automaton
        names = model.names()
        expected = ", ".join(short_name(name) for name in list(steps[at])[:8] if name != "*") or None
        if tag not in names:
            self.report.add(rules.UNKNOWN_ELEMENT, child, found=short_name(tag)[:40], expected=expected)
            return None
        before = next(child.itersiblings(tag, preceding=True), None) is not None
        rule = rules.TOO_MANY if before else rules.ORDER
        self.report.add(rule, child, found=short_name(tag), expected=expected)
        return type_model(names[tag])

    def missing(self, element: _Element, model: Model, at: int) -> None:
        expected = ", ".join(short_name(name) for name in list(model.automaton[0][at])[:8])
        self.report.add(rules.INCOMPLETE, element, expected=expected)
