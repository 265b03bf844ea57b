"""A Bundle seen by the rules: its entries, what their references are to, and tolerant access to members."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from conformance.fhir.names import EXTENSIONS, PROFILES, extension_name
from conformance.fhir.rules import RULES
from conformance.verdict import Finding

__all__ = ["Entry", "Link", "View", "absent", "codes", "extensions", "items", "mapping", "reference", "text"]

_ABSENT: Final = EXTENSIONS["data-absent"]


def mapping(value: Any) -> dict[str, Any]:
    """The object, empty for anything else."""
    return value if type(value) is dict else {}


def items(value: Any) -> list[Any]:
    """The list, empty for anything else."""
    return value if type(value) is list else []


def text(value: Any) -> str:
    """The string, empty for anything else."""
    return value if type(value) is str else ""


def codes(value: Any) -> list[tuple[str, str]]:
    """System and code of each coding of a CodeableConcept, or of each of a list of them."""
    found: list[tuple[str, str]] = []
    for one in value if type(value) is list else [value]:
        for coding in items(mapping(one).get("coding")):
            symbol = text(mapping(coding).get("code"))
            if symbol:
                found.append((text(coding.get("system")), symbol))
    return found


def extensions(value: Any, name: str) -> list[dict[str, Any]]:
    """The extensions of a short name."""
    found = []
    for item in items(mapping(value).get("extension")):
        url = mapping(item).get("url")
        if type(url) is str and extension_name(url) == name:
            found.append(item)
    return found


def absent(value: Any) -> bool:
    """True when a value says why it is missing."""
    return any(mapping(e).get("url") == _ABSENT for e in items(mapping(value).get("extension")))


def reference(value: Any) -> str:
    """The address a Reference gives, empty when it is only logical."""
    return text(mapping(value).get("reference"))


class Entry:
    """An entry of the Bundle."""

    __slots__ = ("kind", "links", "place", "resource")

    def __init__(self, resource: dict[str, Any], place: str) -> None:
        self.resource = resource
        self.place = place
        self.kind = text(resource.get("resourceType"))
        self.links: list[tuple[Link, Entry | None]] = []


class Link(NamedTuple):
    """A reference and where it stands."""

    reference: str
    place: str


class View:
    """The entries by address, and the findings made on them."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        self.bundle = bundle
        self.entries: list[Entry] = []
        self._by_address: dict[str, Entry] = {}
        self._by_kind: dict[str, list[Entry]] = {}
        for i, raw in enumerate(items(bundle.get("entry"))):
            resource = mapping(mapping(raw).get("resource"))
            if not text(resource.get("resourceType")):
                continue
            entry = Entry(resource, f"/entry/{i}/resource")
            self.entries.append(entry)
            self._by_kind.setdefault(entry.kind, []).append(entry)
            address = text(raw.get("fullUrl"))
            if address:
                self._by_address.setdefault(address, entry)
            if key := text(resource.get("id")):
                self._by_address.setdefault(f"{entry.kind}/{key}", entry)

    def of(self, kind: str) -> list[Entry]:
        """The entries of a resource type."""
        return self._by_kind.get(kind, [])

    def target(self, address: str) -> Entry | None:
        """The entry an address is of."""
        return self._by_address.get(address)

    def kind_of(self, value: Any) -> str:
        """The type of the resource a Reference is to, empty when it resolves to nothing."""
        found = self.target(reference(value))
        return found.kind if found is not None else ""

    def claims(self, resource: dict[str, Any], profile: str) -> bool:
        """True when a resource says that it follows a profile, by its short name."""
        claimed = items(mapping(resource.get("meta")).get("profile"))
        return any(type(p) is str and p.split("|")[0] == PROFILES[profile] for p in claimed)

    def links(self, entry: Entry) -> Iterator[tuple[Link, Entry | None]]:
        """Every literal reference of an entry, with the entry it is to."""
        stack: list[tuple[Any, str]] = [(entry.resource, entry.place)]
        while stack:
            value, place = stack.pop()
            if type(value) is dict:
                given = value.get("reference")
                if type(given) is str and not given.startswith("#"):
                    yield Link(given, f"{place}/reference"), self._by_address.get(given)
                stack.extend((v, f"{place}/{k}") for k, v in value.items() if type(v) in (dict, list))
            else:
                stack.extend((v, f"{place}/{i}") for i, v in enumerate(value) if type(v) in (dict, list))

    def broken(self, code: str, place: str, *, found: str | None = None, expected: str | None = None) -> Finding:
        """The finding of a rule at a place."""
        return RULES[f"FHIR-{code}"].finding(place, found=found, expected=expected)
