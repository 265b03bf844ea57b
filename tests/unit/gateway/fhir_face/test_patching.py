"""JSON Patches on a fiche, said as the gateway's own changes."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.services.fhir_face.patching import BadPatch, changes_of
from gateway.services.record_changes import Change
from mappings.xds.pdsm_words import EXTENSIONS

NEW = "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
OLD = NEW.replace("Statut", "Status")


def label(code: str, system: str = NEW) -> dict[str, Any]:
    """A label of visibility."""
    return {"coding": [{"system": system, "code": code}]}


FICHE: dict[str, Any] = {
    "resourceType": "DocumentReference",
    "status": "current",
    "securityLabel": [label("N"), label("INVISIBLE_PATIENT")],
    "extension": [{"url": "x", "valueString": "y"}, {"url": EXTENSIONS["archived"], "valueBoolean": False}],
    "description": "d",
}


def op(kind: str, path: str, value: Any = None) -> dict[str, Any]:
    """An operation."""
    return {"op": kind, "path": path, **({} if value is None else {"value": value})}


@pytest.mark.parametrize(
    ("operations", "changes"),
    [
        ([op("add", "/securityLabel/-", label("MASQUE_PS"))], [Change.MASK]),
        ([op("add", "/securityLabel/-", label("MASQUE_PS", OLD))], [Change.MASK]),
        ([op("replace", "/securityLabel/0", label("MASQUE_PS"))], [Change.MASK]),
        ([op("remove", "/securityLabel/1")], [Change.VISIBLE]),
        ([op("replace", "/securityLabel/1", label("MASQUE_PS"))], [Change.VISIBLE, Change.MASK]),
        ([op("replace", "/extension/1/valueBoolean", True)], [Change.ARCHIVE]),
        (
            [
                op("remove", "/extension/1"),
                op("add", "/extension/-", {"url": EXTENSIONS["archived"], "valueBoolean": True}),
            ],
            [Change.ARCHIVE],
        ),
        ([op("replace", "/status", "entered-in-error")], [Change.DELETE]),
        ([op("replace", "/status", "superseded")], [Change.DELETE]),
    ],
)
def test_each_flow(operations: list[dict[str, Any]], changes: list[Change]) -> None:
    """Masking in both spellings, showing, archiving, deleting in both published ways."""
    assert changes_of(FICHE, operations) == changes


def test_the_other_way_round() -> None:
    """Unmasked, brought back from the archive."""
    masked = {**FICHE, "securityLabel": [label("N"), label("MASQUE_PS")]}
    assert changes_of(masked, [op("remove", "/securityLabel/1")]) == [Change.UNMASK]
    archived = {**FICHE, "extension": [{"url": EXTENSIONS["archived"], "valueBoolean": True}]}
    assert changes_of(archived, [op("replace", "/extension/0/valueBoolean", False)]) == [Change.UNARCHIVE]


@pytest.mark.parametrize(
    ("operations", "status"),
    [
        ([op("replace", "/description", "e")], 405),
        ([op("add", "/extension", [{"url": EXTENSIONS["archived"], "valueBoolean": True}])], 405),
        ([op("add", "/securityLabel/-", label("INVISIBLE_REPRESENTANTS_LEGAUX"))], 422),
        ([op("replace", "/status", "current")], 422),
        ([op("replace", "/status", "preliminary")], 422),
        ([op("replace", "/nothing/here", 1)], 422),
        ([op("test", "/status", "superseded")], 422),
        ([op("spoil", "/status")], 422),
        ([{"path": "/status"}], 422),
        ([], 422),
        ({}, 422),
        ([op("test", "/status", "current")] * 51, 422),
    ],
)
def test_what_may_not_be(operations: Any, status: int) -> None:
    """Another member is a 405; a change that is none or not possible, and no patch at all, are 422."""
    with pytest.raises(BadPatch) as caught:
        changes_of(FICHE, operations)
    assert caught.value.status == status
