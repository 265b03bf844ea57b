"""Clean Bundles of each kind, and what is done to them before they are read."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
import pytest

from mappings import fhir
from mappings.loss import Fate
from tests.support import documents

Json = dict[str, Any]


@cache
def _bytes(kind: str) -> bytes:
    return orjson.dumps(fhir.write(documents.load(getattr(documents, kind)())).bundle)


def bundle(kind: str = "report") -> Json:
    """A fresh clean Bundle of a kind."""
    found: Json = orjson.loads(_bytes(kind))
    return found


def of(value: Json, kind: str, rank: int = 0) -> Json:
    """A resource of a Bundle."""
    found: Json = [e["resource"] for e in value["entry"] if e["resource"]["resourceType"] == kind][rank]
    return found


def head(value: Json) -> Json:
    """The Composition."""
    return of(value, "Composition")


def drop(value: Json, kind: str) -> None:
    """Take the resources of a type away."""
    value["entry"] = [e for e in value["entry"] if e["resource"]["resourceType"] != kind]


def codes(value: Json) -> list[str]:
    """The codes of the refusal of a Bundle."""
    with pytest.raises(fhir.UnreadableBundle) as caught:
        fhir.read(value)
    findings = caught.value.findings
    assert all(f.as_json()["fix"] and f.as_json("en")["message"] for f in findings)
    return [f.code for f in findings]


def add(value: Json, resource: Json, key: str = "00000000-0000-4000-8000-0000000000aa") -> str:
    """Add an entry; gives its address."""
    value["entry"].append({"fullUrl": f"urn:uuid:{key}", "resource": {**resource, "id": key}})
    return f"urn:uuid:{key}"


def lost(value: Json) -> dict[str, bool]:
    """Places lost, and whether clinically."""
    return {i.place: i.clinical for i in fhir.read(value).loss.items if i.fate is Fate.LOST}
