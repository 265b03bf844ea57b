"""An object of the JSON being read: its place, and which of its members were used.

What a reader does not take is known at the end, so the loss report can name every element of the source.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from conformance.verdict import Text
from mappings.fhir.errors import UnreadableBundle
from mappings.fhir.names import extension_name

__all__ = ["Json", "Node", "wrong_type"]

Json = dict[str, Any]

#: Members that say nothing of the content: read or not, nothing is lost.
_SILENT: Final = frozenset({"id", "resourceType", "meta", "text", "language", "fhir_comments", "contained"})


def wrong_type(place: str, expected: str) -> UnreadableBundle:
    """The fault of a member that is not of its FHIR type."""
    return UnreadableBundle(
        "FHIR-READ-012",
        place,
        Text("Cet élément n'a pas le type FHIR attendu.", "This element is not of its FHIR type."),
        Text("Corrigez le JSON selon la définition de l'élément (FHIR R4).", "Mend the JSON after the R4 definition."),
        expected=expected,
    )


class Node:
    """One JSON object and its place; members are taken by type, and taken members are remembered."""

    __slots__ = ("_extensions", "_place", "children", "key", "parent", "seen", "value")

    def __init__(self, value: Any, parent: Node | None, key: str) -> None:
        self.value: Json = value
        self.parent = parent
        self.key = key
        self.seen: set[str] = set()
        self.children: list[Node] = []
        self._extensions: dict[str, list[Node]] | None = None
        self._place: str | None = None
        if type(value) is not dict:
            raise wrong_type(self.place, "object")
        if parent is not None:
            parent.children.append(self)

    @property
    def place(self) -> str:
        """JSON pointer of the object."""
        if self._place is None:
            above = self.parent.place if self.parent is not None else ""
            self._place = f"{above}/{self.key}" if self.key else above
        return self._place

    @property
    def kind(self) -> str:
        """The resource type, empty for what is not a resource."""
        kind = self.value.get("resourceType")
        return kind if isinstance(kind, str) else ""

    def raw(self, key: str) -> Any:
        """A member as it is, None when absent."""
        self.seen.add(key)
        return self.value.get(key)

    def text(self, key: str) -> str | None:
        """A string member; None when absent or blank."""
        self.seen.add(key)
        value = self.value.get(key)
        if value is None:
            return None
        if type(value) is not str:
            raise wrong_type(f"{self.place}/{key}", "string")
        return value.strip() or None

    def flag(self, key: str) -> bool | None:
        """A boolean member."""
        self.seen.add(key)
        value = self.value.get(key)
        if value is not None and type(value) is not bool:
            raise wrong_type(f"{self.place}/{key}", "boolean")
        return value

    def integer(self, key: str) -> int | None:
        """An integer member."""
        value = self.decimal(key)
        if value is None:
            return None
        if value != value.to_integral_value():
            raise wrong_type(f"{self.place}/{key}", "integer")
        return int(value)

    def decimal(self, key: str) -> Decimal | None:
        """A number member, exact as written."""
        self.seen.add(key)
        value = self.value.get(key)
        if value is None:
            return None
        if type(value) is int:
            return Decimal(value)
        if type(value) is float:
            return Decimal(repr(value))
        if type(value) is Decimal:
            return value
        raise wrong_type(f"{self.place}/{key}", "number")

    def node(self, key: str) -> Node | None:
        """An object member."""
        self.seen.add(key)
        value = self.value.get(key)
        return None if value is None else Node(value, self, key)

    def nodes(self, key: str) -> list[Node]:
        """The objects of a list member."""
        self.seen.add(key)
        value = self.value.get(key)
        if value is None:
            return []
        if type(value) is not list:
            raise wrong_type(f"{self.place}/{key}", "array")
        return [Node(item, self, f"{key}/{i}") for i, item in enumerate(value)]

    def texts(self, key: str) -> list[str]:
        """The strings of a list member."""
        self.seen.add(key)
        value = self.value.get(key)
        if value is None:
            return []
        if type(value) is not list or not all(type(item) is str for item in value):
            raise wrong_type(f"{self.place}/{key}", "array of strings")
        return [item.strip() for item in value if item.strip()]

    def extensions(self, name: str) -> list[Node]:
        """The extensions of a short name; taking them marks them used."""
        if self._extensions is None:
            self._extensions = {}
            for node in self.nodes("extension"):
                url = node.value.get("url")
                key = extension_name(url) if isinstance(url, str) else None
                self._extensions.setdefault(key or "", []).append(node)
        found = self._extensions.get(name, [])
        for node in found:
            node.seen.add("url")
        return found

    def extension(self, name: str) -> Node | None:
        """The first extension of a short name."""
        found = self.extensions(name)
        return found[0] if found else None

    def parts(self) -> dict[str, list[Node]]:
        """The sub-extensions of a complex extension, by their relative address."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes("extension"):
            url = node.text("url")
            found.setdefault(url or "", []).append(node)
        return found

    def tags(self) -> list[tuple[str, str, str | None]]:
        """The tags of a resource: system, code, display."""
        meta = self.value.get("meta")
        found = meta.get("tag") if type(meta) is dict else None
        out = []
        for tag in found if type(found) is list else ():
            if type(tag) is not dict:
                continue
            system, code, display = tag.get("system"), tag.get("code"), tag.get("display")
            if type(system) is str and type(code) is str:
                out.append((system, code, display if type(display) is str else None))
        return out

    def use(self, *keys: str) -> None:
        """Say that members are accounted for."""
        self.seen.update(keys)

    def leftovers(self) -> list[str]:
        """Places of the members that nobody took, in this object and those read from it."""
        out: list[str] = []
        stack = [self]
        while stack:
            node = stack.pop()
            if node.key.startswith("extension/") and not node.seen:
                out.append(node.place)
                continue
            extra = node.value.keys() - node.seen - _SILENT
            if extra:
                place = node.place
                out.extend(f"{place}/{key}" for key in sorted(extra) if key[0] != "_" or key[1:] not in node.value)
            stack.extend(node.children)
        return sorted(out)
