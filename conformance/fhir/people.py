"""Rules of the patient and of the other resources of a header (fhir-profiles, section 5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from conformance.fhir.names import IDENTIFIERS
from conformance.fhir.view import Entry, View, absent, codes, extensions, items, mapping, text
from conformance.verdict import Finding

__all__ = ["CHECKS"]

_INS: Final = {
    IDENTIFIERS[name]["system"]: IDENTIFIERS[name] for name in ("ins-nir", "ins-nia", "ins-test", "ins-demo")
}
_PROFESSIONALS: Final = frozenset({IDENTIFIERS["professional"]["system"], IDENTIFIERS["rpps"]["system"]})
_COG: Final = re.compile(r"[0-9][0-9AB][0-9]{3}\Z")
_QUALIFIED: Final = frozenset({"VALI", "QUAL"})


def _patient(view: View, entry: Entry) -> Iterator[Finding]:
    resource, place = entry.resource, entry.place
    statuses, comments = _reliability(resource)
    if not statuses:
        yield view.broken("PAT-001", f"{place}/extension")
    has_ins = False
    for i, raw in enumerate(items(resource.get("identifier"))):
        identifier = mapping(raw)
        row = _INS.get(text(identifier.get("system")))
        types = {code for _, code in codes(identifier.get("type"))}
        # The billing number has the system of the INS: the type tells them apart, never the system alone.
        if row is None or "NH" in types or "PI" in types:
            continue
        has_ins = True
        ill = row["type"] not in types or identifier.get("use") not in (row["use"], "old")
        if ill or len(text(identifier.get("value"))) != 15:
            yield view.broken("PAT-002", f"{place}/identifier/{i}")
    yield from _names(view, resource, place, has_ins)
    if resource.get("gender") not in ("male", "female", "unknown"):
        yield view.broken("PAT-006", f"{place}/gender")
    if not text(resource.get("birthDate")):
        yield view.broken("PAT-007", f"{place}/birthDate")
    if has_ins and statuses and not statuses & _QUALIFIED:
        yield view.broken("PAT-008", f"{place}/identifier", found=min(statuses))
    if comments & {"DOUT", "FICT"} and statuses != {"PROV"}:
        yield view.broken("PAT-009", f"{place}/extension")
    if view.claims(resource, "patient-ins") and not has_ins:
        yield view.broken("PAT-010", f"{place}/identifier")
    for born in extensions(resource, "birth-place"):
        for code in extensions(born.get("valueAddress"), "insee-code"):
            if not _COG.match(text(mapping(code.get("valueCoding")).get("code"))):
                yield view.broken("PAT-011", f"{place}/extension")


def _reliability(resource: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The codes of the status and of the comments."""
    statuses: set[str] = set()
    comments: set[str] = set()
    for extension in extensions(resource, "identity-reliability"):
        for part in items(extension.get("extension")):
            found = mapping(part)
            symbols = {text(mapping(found.get("valueCoding")).get("code"))}
            symbols |= {code for _, code in codes(found.get("valueCodeableConcept"))}
            if found.get("url") == "identityStatus":
                statuses |= symbols
            elif found.get("url") == "comment":
                comments |= symbols
    return statuses - {""}, comments - {""}


def _names(view: View, resource: dict[str, Any], place: str, has_ins: bool) -> Iterator[Finding]:
    official = [mapping(n) for n in items(resource.get("name")) if mapping(n).get("use") == "official"]
    if len(official) != 1:
        yield view.broken("PAT-003", f"{place}/name", found=str(len(official)), expected="1")
        return
    if not text(official[0].get("family")).strip():
        yield view.broken("PAT-004", f"{place}/name")
    if has_ins:
        listed = [x for x in extensions(official[0], "given-names") if text(x.get("valueString"))]
        if len(items(official[0].get("given"))) != 1 or not listed:
            yield view.broken("PAT-005", f"{place}/name")


def _role(view: View, entry: Entry) -> Iterator[Finding]:
    if not view.kind_of(entry.resource.get("practitioner")):
        yield view.broken("ACT-001", entry.place)
    if not view.kind_of(entry.resource.get("organization")):
        yield view.broken("ACT-002", entry.place)


def _practitioner(view: View, entry: Entry) -> Iterator[Finding]:
    systems = {text(mapping(i).get("system")) for i in items(entry.resource.get("identifier"))}
    if not systems & _PROFESSIONALS:
        yield view.broken("ACT-003", f"{entry.place}/identifier")
    if not any(text(mapping(n).get("family")) for n in items(entry.resource.get("name"))):
        yield view.broken("ACT-004", f"{entry.place}/name")


def _organization(view: View, entry: Entry) -> Iterator[Finding]:
    named = text(entry.resource.get("name")) or absent(entry.resource.get("_name"))
    if not items(entry.resource.get("identifier")) and not named:
        yield view.broken("ACT-005", entry.place)


def _encounter(view: View, entry: Entry) -> Iterator[Finding]:
    resource = entry.resource
    if not all(resource.get(k) for k in ("class", "status", "period")):
        yield view.broken("ACT-006", entry.place)
    places = [mapping(x).get("location") for x in items(resource.get("location"))]
    if not any(view.kind_of(p) == "Location" for p in places):
        yield view.broken("ACT-007", entry.place)


def _location(view: View, entry: Entry) -> Iterator[Finding]:
    if not codes(entry.resource.get("type")):
        yield view.broken("ACT-008", f"{entry.place}/type")


CHECKS: Final[dict[str, Callable[[View, Entry], Iterator[Finding]]]] = {
    "Patient": _patient,
    "PractitionerRole": _role,
    "Practitioner": _practitioner,
    "Organization": _organization,
    "Encounter": _encounter,
    "Location": _location,
}
