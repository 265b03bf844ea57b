"""Check a document Bundle against the French rules: in a millisecond or two, whatever the values are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from conformance.fhir import composition, content, people
from conformance.fhir.view import Entry, View, items, mapping, text
from conformance.verdict import Finding, Verdict

__all__ = ["check_bundle"]

_REQUIRED: Final = ("PractitionerRole", "Practitioner", "Organization", "Encounter", "Location")
_DEVICE_AUTHOR: Final = "device-author"

Check = Callable[[View, Entry], Iterator[Finding]]
_CHECKS: Final[dict[str, Check]] = {**people.CHECKS, **content.CHECKS}


def check_bundle(bundle: Any) -> Verdict:
    """Give every rule of :data:`conformance.fhir.rules.RULES` that a document Bundle (plain values) breaks.

    Never raises: a value of a wrong type counts as absent here, and is named by :func:`conformance.fhir.base.validate`.
    """
    return Verdict.of(_check(mapping(bundle)))


def _check(bundle: dict[str, Any]) -> Iterator[Finding]:
    view = View(bundle)
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "document":
        yield view.broken("BDL-001", "/type")
        return
    identifier = mapping(bundle.get("identifier"))
    if not text(identifier.get("system")) or not text(identifier.get("value")):
        yield view.broken("BDL-002", "/identifier")
    if "T" not in text(bundle.get("timestamp")):
        yield view.broken("BDL-003", "/timestamp")
    yield from _entries(view)
    yield from _references(view)
    heads = view.of("Composition")
    if heads:
        yield from composition.check(view, heads[0])
        yield from content.check_kind(view, heads[0])
    for entry in view.entries:
        checker = _CHECKS.get(entry.kind)
        if checker is not None:
            yield from checker(view, entry)


def _entries(view: View) -> Iterator[Finding]:
    seen: set[str] = set()
    for i, raw in enumerate(items(view.bundle.get("entry"))):
        place = f"/entry/{i}"
        resource = mapping(mapping(raw).get("resource"))
        address = text(mapping(raw).get("fullUrl"))
        if not resource.get("resourceType"):
            yield view.broken("BDL-017", place)
            continue
        if not address:
            yield view.broken("BDL-004", place)
        elif address in seen:
            yield view.broken("BDL-005", f"{place}/fullUrl")
        elif address != f"urn:uuid:{text(resource.get('id'))}":
            yield view.broken("BDL-006", f"{place}/fullUrl")
        seen.add(address)
        if resource.get("contained"):
            yield view.broken("BDL-014", f"{place}/resource/contained")
    entries = view.entries
    if entries and entries[0].kind != "Composition":
        yield view.broken("BDL-007", "/entry/0")
    if len(view.of("Composition")) != 1:
        yield view.broken("BDL-008", "/entry", found=str(len(view.of("Composition"))))
    if len(view.of("Patient")) != 1:
        yield view.broken("BDL-009", "/entry", found=str(len(view.of("Patient"))))
    for kind in _REQUIRED:
        if not view.of(kind):
            yield view.broken("BDL-010", "/entry", expected=kind)
    if len(entries) < 7:
        yield view.broken("BDL-011", "/entry", found=str(len(entries)), expected=">= 7")
    authoring = [e for e in view.of("Device") if view.claims(e.resource, _DEVICE_AUTHOR)]
    if len(authoring) > 1:
        yield view.broken("BDL-016", authoring[1].place)


def _references(view: View) -> Iterator[Finding]:
    """References resolve, and everything is reached from the Composition."""
    heads = view.of("Composition")
    reached: set[int] = set()
    stack = [heads[0]] if heads else []
    reached.update(id(e) for e in stack)
    for entry in view.entries:
        entry.links = list(view.links(entry))
    while stack:
        for _, target in stack.pop().links:
            if target is not None and id(target) not in reached:
                reached.add(id(target))
                stack.append(target)
    for entry in view.entries:
        for link, target in entry.links:
            if target is None:
                yield view.broken("BDL-012", link.place)
            elif not link.reference.startswith("urn:uuid:"):
                yield view.broken("BDL-015", link.place)
        if heads and id(entry) not in reached:
            yield view.broken("BDL-013", entry.place, found=entry.kind)
