"""Value sets: a name, an OID, a date, and the codes allowed; read from the SVS form in which ANS publishes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from lxml import etree

__all__ = ["NotAValueSet", "ValueSet", "read_value_set"]

_SVS = "{urn:ihe:iti:svs:2008}"


class NotAValueSet(ValueError):
    """The file is no SVS value set, or has no identifier."""


@dataclass(frozen=True, slots=False, kw_only=True)
class ValueSet:
    """The codes allowed in one place. IHE ITI TF-2, 3.48."""

    oid: str
    name: str  #: as ANS names it, without ``.tabs``
    date: str  #: of its last revision, ``YYYY-MM-DD``, empty when unknown
    codes: dict[tuple[str, str], str]  #: (code, system) -> label
    source: str = ""

    @cached_property
    def bare(self) -> frozenset[str]:
        """The codes without their systems."""
        return frozenset(code for code, _ in self.codes)

    @cached_property
    def systems(self) -> frozenset[str]:
        """The code systems it draws from."""
        return frozenset(system for _, system in self.codes)

    def __contains__(self, key: object) -> bool:
        return key in self.codes

    def label(self, code: str, system: str) -> str | None:
        """What a code of the set means, None when it is not of the set."""
        return self.codes.get((code, system))

    @property
    def title(self) -> str:
        """The name without prefix and suffix of the publisher, with the OID: for messages."""
        return f"{self.name.removesuffix('_CISIS')} ({self.oid})"

    def as_table(self) -> dict[str, dict[str, str]]:
        """The codes by system, as the shipped tables hold them."""
        table: dict[str, dict[str, str]] = {}
        for (code, system), label in self.codes.items():
            table.setdefault(system, {})[code] = label
        return table

    @classmethod
    def of_table(cls, oid: str, table: dict[str, dict[str, str]], *, name: str, date: str, source: str) -> ValueSet:
        """Make a set from codes by system."""
        codes = {(code, system): label for system, labels in table.items() for code, label in labels.items()}
        return cls(oid=oid, name=name, date=date, codes=codes, source=source)


def read_value_set(root: etree._Element, source: str = "") -> ValueSet:
    """Read a ``RetrieveValueSetResponse``. Raises :class:`NotAValueSet`."""
    found = root.find(f"{_SVS}ValueSet")
    oid = found.get("id") if found is not None else None
    if root.tag != f"{_SVS}RetrieveValueSetResponse" or found is None or not oid:
        raise NotAValueSet("no ValueSet with an id in a RetrieveValueSetResponse")
    codes = {
        (concept.get("code", ""), concept.get("codeSystem", "")): " ".join((concept.get("displayName") or "").split())
        for concept in found.iter(f"{_SVS}Concept")
        if concept.get("code")
    }
    return ValueSet(
        oid=oid,
        name=(found.get("displayName") or oid).removesuffix(".tabs"),
        date=(found.get("revisionDate") or found.get("effectiveDate") or "")[:10],
        codes=codes,
        source=source,
    )
