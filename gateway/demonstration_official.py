"""The official CDA examples of a pack, moved to the test authority, for the demonstration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

__all__ = ["Sample", "official_documents"]

_REAL = (b'"1.2.250.1.213.1.4.8"', b'"1.2.250.1.213.1.4.9"', b'"1.2.250.1.213.1.4.11"')
_TEST = b'"1.2.250.1.213.1.4.10"'

_FORMER = re.compile(rb"<relatedDocument\b.*?</relatedDocument>", re.DOTALL)

_DOCTOR = {
    "id": {"root": "1.2.250.1.71.4.2.1", "extension": "899700218896"},
    "family": "KERVELLA",
    "given": "Odile",
    "specialty": {
        "code": "G15_10/SM54",
        "display": "Médecin - Médecine Générale (SM)",
        "system": "1.2.250.1.213.1.1.4.5",
    },
    "organization": {"id": {"root": "1.2.250.1.71.4.2.2", "extension": "1290099886"}, "name": "CABINET FICTIF"},
}
_PHARMACIST = {
    "id": {"root": "1.2.250.1.71.4.2.1", "extension": "810123456781"},
    "family": "MORVAN",
    "given": "Yann",
    "specialty": {
        "code": "G15_21/A",
        "display": "Pharmacien titulaire d'officine",
        "system": "1.2.250.1.213.1.1.4.5",
    },
    "organization": {"id": {"root": "1.2.250.1.71.4.2.2", "extension": "1750803447"}, "name": "PHARMACIE FICTIVE"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One official example as it is sent."""

    name: str
    data: bytes
    metadata: bytes
    expect: str = "delivered"
    dispensation: bool = False


def official_documents(folder: Path) -> Iterator[Sample]:
    """The examples of a folder: each once; the dispensation first as published (refused), then mended."""
    for path in sorted(folder.glob("*.xml")):
        data = path.read_bytes()
        for real in _REAL:
            data = data.replace(real, _TEST)
        dispensation = path.name.startswith("eDISP")
        metadata = orjson.dumps(
            {
                "actor": _PHARMACIST if dispensation else _DOCTOR,
                "deliverTo": {
                    "dmp": True,
                    "mss": {
                        "recipients": [{"address": "dr.morel@medecin.formation.mssante.fr", "kind": "professional"}]
                    },
                },
            }
        )
        if b'qualifier="SP"' in data:
            # A known defect of the published example: this qualifier left the header's rules (cda-header.md 4).
            yield Sample(
                name=f"{path.stem} (tel que publié)",
                data=data,
                metadata=metadata,
                expect="refused",
                dispensation=dispensation,
            )
            data = data.replace(b'qualifier="SP"', b'qualifier="CL"')
            # Its list of given names leaves the first one out, which no INSi answer would agree with.
            data = data.replace(b"<given>ISABELLE</given>", b"<given>RUTH ISABELLE</given>")
        # An example that replaces a version nobody fed here starts its own lineage.
        data = _FORMER.sub(b"", data)
        yield Sample(name=path.stem, data=data, metadata=metadata, dispensation=dispensation)
