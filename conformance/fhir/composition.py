"""Rules of the Composition (fr-composition-document, state of 10/2026)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from conformance.fhir.view import Entry, View, codes, extensions, items, mapping, reference, text
from conformance.verdict import Finding

__all__ = ["check", "principal"]

_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})\Z")
_AUTHORS: Final = frozenset({"PractitionerRole", "Patient", "Device"})
_LINKS: Final = frozenset({"replaces", "transforms", "appends"})
#: Participations: extension and the parts that the profile makes 1..1.
_PARTIES: Final = {
    "data-enterer": ("type", "time", "party"),
    "informant": ("type", "party"),
    "participant": ("type", "time", "party"),
}


def principal(events: list[Any]) -> list[dict[str, Any]]:
    """The events marked as the main one; without any mark, the only event that has a period."""
    found = [mapping(e) for e in events if any(x.get("valueBoolean") is True for x in extensions(e, "principal-event"))]
    if found:
        return found
    dated = [mapping(e) for e in events if mapping(e).get("period")]
    return dated if len(dated) == 1 else []


def check(view: View, entry: Entry) -> Iterator[Finding]:
    """The findings of a Composition."""
    resource, place = entry.resource, entry.place
    yield from _header(view, resource, place)
    yield from _authors(view, resource, place)
    yield from _attesters(view, resource, place)
    yield from _events(view, resource, place)
    yield from _participations(view, resource, place)
    for i, raw in enumerate(items(resource.get("relatesTo"))):
        link = mapping(raw)
        target = mapping(link.get("targetIdentifier"))
        whole = all(target.get(k) for k in ("type", "system", "value")) or link.get("targetReference")
        if text(link.get("code")) not in _LINKS or not whole:
            yield view.broken("CMP-020", f"{place}/relatesTo/{i}")
    yield from _sections(view, resource, place)


def _header(view: View, resource: dict[str, Any], place: str) -> Iterator[Finding]:
    versions = extensions(resource, "version")
    if len(versions) != 1 or not re.match(r"[0-9]+\Z", text(versions[0].get("valueString"))):
        yield view.broken("CMP-001", f"{place}/extension")
    if not text(resource.get("language")):
        yield view.broken("CMP-002", f"{place}/language")
    if resource.get("confidentiality") not in ("N", "R", "V", "L", "M", "U"):
        yield view.broken("CMP-003", f"{place}/confidentiality")
    if not text(mapping(resource.get("identifier")).get("value")):
        yield view.broken("CMP-004", f"{place}/identifier")
    if resource.get("status") not in ("final", "amended"):
        yield view.broken("CMP-005", f"{place}/status")
    if not codes(resource.get("type")):
        yield view.broken("CMP-006", f"{place}/type")
    if not text(resource.get("title")).strip():
        yield view.broken("CMP-007", f"{place}/title")
    if not _INSTANT.match(text(resource.get("date"))):
        yield view.broken("CMP-008", f"{place}/date")
    if view.kind_of(resource.get("subject")) != "Patient":
        yield view.broken("CMP-009", f"{place}/subject")
    if view.kind_of(resource.get("encounter")) != "Encounter":
        yield view.broken("CMP-010", f"{place}/encounter")
    if view.kind_of(resource.get("custodian")) != "Organization":
        yield view.broken("CMP-016", f"{place}/custodian")
    if not codes(resource.get("category")):
        yield view.broken("CMP-027", f"{place}/category")


def _authors(view: View, resource: dict[str, Any], place: str) -> Iterator[Finding]:
    authors = items(resource.get("author"))
    if not authors:
        yield view.broken("CMP-011", f"{place}/author")
    for i, author in enumerate(authors):
        kind = view.kind_of(author)
        if kind and kind not in _AUTHORS:
            yield view.broken("CMP-012", f"{place}/author/{i}", found=kind)
        if not any(text(x.get("valueDateTime")) for x in extensions(author, "author-time")):
            yield view.broken("CMP-013", f"{place}/author/{i}")


def _attesters(view: View, resource: dict[str, Any], place: str) -> Iterator[Finding]:
    legal = 0
    for i, raw in enumerate(items(resource.get("attester"))):
        attester = mapping(raw)
        at = f"{place}/attester/{i}"
        whole = text(attester.get("time")) and reference(attester.get("party"))
        if attester.get("mode") == "legal":
            legal += 1 if whole else 0
            if whole and view.kind_of(attester.get("party")) not in ("PractitionerRole", ""):
                yield view.broken("CMP-028", at)
        elif not whole:
            yield view.broken("CMP-015", at)
    if legal != 1:
        yield view.broken("CMP-014", f"{place}/attester", found=str(legal), expected="1")


def _events(view: View, resource: dict[str, Any], place: str) -> Iterator[Finding]:
    main = principal(items(resource.get("event")))
    if len(main) != 1:
        yield view.broken("CMP-017", f"{place}/event", found=str(len(main)), expected="1")
        return
    period = mapping(main[0].get("period"))
    if not text(period.get("start")) and not text(period.get("end")):
        yield view.broken("CMP-018", f"{place}/event")
    performers = extensions(main[0], "event-performer")
    if len(performers) != 1 or not reference(performers[0].get("valueReference")):
        yield view.broken("CMP-019", f"{place}/event")


def _participations(view: View, resource: dict[str, Any], place: str) -> Iterator[Finding]:
    for name, wanted in _PARTIES.items():
        for item in extensions(resource, name):
            parts = {text(mapping(p).get("url")): mapping(p) for p in items(item.get("extension"))}
            if any(part not in parts for part in wanted):
                yield view.broken("CMP-021", f"{place}/extension", expected=f"{name}: {', '.join(wanted)}")
            elif name == "participant":
                party = view.target(reference(parts["party"].get("valueReference")))
                if party is not None and not {"PROV", "AGNT"} & {c for _, c in codes(party.resource.get("code"))}:
                    yield view.broken("CMP-022", f"{place}/extension")


def _sections(view: View, resource: dict[str, Any], place: str) -> Iterator[Finding]:
    sections = items(resource.get("section"))
    if not sections:
        yield view.broken("CMP-023", f"{place}/section")
    stack = [(section, f"{place}/section/{i}") for i, section in enumerate(sections)]
    while stack:
        raw, at = stack.pop()
        section = mapping(raw)
        children, entries = items(section.get("section")), items(section.get("entry"))
        if not codes(section.get("code")) or not text(section.get("title")) or not mapping(section.get("text")):
            yield view.broken("CMP-024", at)
        if children and entries:
            yield view.broken("CMP-025", at)
        if section.get("emptyReason") and entries:
            yield view.broken("CMP-026", at)
        stack.extend((child, f"{at}/section/{i}") for i, child in enumerate(children))
