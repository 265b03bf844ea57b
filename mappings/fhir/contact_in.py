"""What people and structures share in FHIR: addresses, telecoms, identifiers in any of their forms."""

from __future__ import annotations

from conformance.verdict import Text
from mappings.document.people import Identifier
from mappings.document.values import Address, Telecom
from mappings.fhir.node import Node
from mappings.fhir.source import Source
from mappings.fhir.values_in import address, identifier, telecom

__all__ = ["NO_OID", "contacts", "identifiers", "national"]

NO_OID = Text(
    "Cet identifiant n'a pas d'OID connu : il n'est pas repris.", "This identifier has no known OID: it is not kept."
)
_NOT_KEPT = Text(
    "Cette coordonnée ne peut pas être reprise telle quelle.", "This contact detail cannot be kept as it is."
)


def contacts(source: Source, node: Node) -> tuple[tuple[Address, ...], tuple[Telecom, ...]]:
    """The addresses and telecoms of a resource; a contact point that cannot be kept is lost aloud."""
    places, calls = [], []
    for item in node.nodes("address"):
        if (where := address(item)) is not None:
            places.append(where)
    for item in node.nodes("telecom"):
        if (call := telecom(item)) is not None:
            calls.append(call)
        else:
            source.log.lost(item.place, "ContactPoint", _NOT_KEPT)
    return tuple(places), tuple(calls)


def identifiers(node: Node) -> list[tuple[Node, Identifier | None]]:
    """Each identifier with its hub form, None when its system has no known OID."""
    return [(item, identifier(item)) for item in node.nodes("identifier")]


def national(source: Source, node: Node, root: str) -> Identifier | None:
    """The identifier the hub keeps: the national one in any of its forms, else the first that has an OID."""
    found = identifiers(node)
    for _, value in found:
        if value is not None and value.root == root and value.extension:
            return value
    for item, value in found:
        if value is None:
            source.log.lost(item.place, "Identifier", NO_OID)
    return next((value for _, value in found if value is not None), None)
