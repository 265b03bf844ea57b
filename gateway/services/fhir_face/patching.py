"""Changes asked for by JSON Patch: what of a fiche may change, as the gateway's own changes (PDSm flows 03, 04)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonpatch

from gateway.problems import rule
from gateway.services.fhir_face.rules import dicts, text
from gateway.services.record_changes import Change
from mappings.xds import vocabulary as v
from mappings.xds.pdsm_words import EXTENSIONS, code_of

__all__ = ["BadPatch", "changes_of"]

NOT_A_PATCH = rule(
    "PDSM-PATCH-001",
    "Un JSON Patch applicable à la fiche est attendu.",
    "A JSON Patch that applies to the DocumentReference is expected.",
    "Relisez la fiche, puis envoyez application/json-patch+json.",
    "Read the resource again, then send application/json-patch+json.",
    "RFC 6902",
)
NOT_CHANGEABLE = rule(
    "PDSM-PATCH-002",
    "Seuls status, securityLabel et l'extension isArchived changent.",
    "Only status, securityLabel and the isArchived extension change.",
    "Pour changer autre chose, remplacez le document.",
    "To change anything else, replace the document.",
    "PDSm 3.1.1, flux 03 et 04",
)
NO_CHANGE = rule(
    "PDSM-PATCH-003",
    "Ce changement n'est pas possible.",
    "This change is not possible.",
    "Masquer ou démasquer (MASQUE_PS), rendre visible, archiver, ou supprimer (entered-in-error).",
    "Mask or unmask (MASQUE_PS), show, archive, or delete (entered-in-error).",
    "dmp.md 4.5, 8.3",
)


class BadPatch(Exception):
    """A patch that cannot be applied (422) or asks for what does not change (405)."""

    def __init__(self, finding: Any, status: int) -> None:
        self.finding = finding
        self.status = status
        super().__init__(finding.code)


def changes_of(resource: Mapping[str, Any], operations: Any) -> list[Change]:
    """The changes that a patch asks for, in an order that can be followed; raises :class:`BadPatch`."""
    if not isinstance(operations, list) or not operations or len(operations) > 50:
        raise BadPatch(NOT_A_PATCH.finding(""), 422)
    try:
        after = jsonpatch.JsonPatch(operations).apply(resource)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, ValueError, KeyError, IndexError):
        raise BadPatch(NOT_A_PATCH.finding(""), 422) from None
    changed = [name for name in {*resource, *after} if resource.get(name) != after.get(name)]
    other = sorted(set(changed) - {"status", "securityLabel", "extension"})
    if other:
        raise BadPatch(NOT_CHANGEABLE.finding(f"/{other[0]}"), 405)
    out: list[Change] = []
    if "securityLabel" in changed:
        out += _labels(resource.get("securityLabel"), after.get("securityLabel"))
    if "extension" in changed:
        out += _archived(resource.get("extension"), after.get("extension"))
    if "status" in changed:
        # Published both ways: entered-in-error on one page, superseded on another (dmp.md 11.2).
        if after.get("status") not in ("entered-in-error", "superseded"):
            raise BadPatch(NO_CHANGE.finding("/status", found=text(after.get("status"))[:20]), 422)
        out = [Change.DELETE]
    if not out:
        raise BadPatch(NO_CHANGE.finding(""), 422)
    return out


def _codes(value: Any) -> set[str]:
    codes = [code_of(one) for one in dicts(value)]
    return {known[0] for c in codes if c is not None and (known := v.visibility_code(c.code)) is not None}


def _labels(before: Any, after: Any) -> list[Change]:
    held, wanted = _codes(before), _codes(after)
    if wanted - held - {"MASQUE_PS"}:
        # Making visible is one way (dmp.md 4.5).
        raise BadPatch(NO_CHANGE.finding("/securityLabel", found=min(wanted - held)), 422)
    out: list[Change] = []
    if "INVISIBLE_PATIENT" in held - wanted:
        out.append(Change.VISIBLE)
    if "INVISIBLE_REPRESENTANTS_LEGAUX" in held - wanted:
        out.append(Change.VISIBLE_REPRESENTATIVES)
    if "MASQUE_PS" in held - wanted:
        out.append(Change.UNMASK)
    if "MASQUE_PS" in wanted - held:
        out.append(Change.MASK)
    return out


def _archived(before: Any, after: Any) -> list[Change]:
    def flag(value: Any) -> bool:
        return any(e.get("url") == EXTENSIONS["archived"] and e.get("valueBoolean") is True for e in dicts(value))

    def others(value: Any) -> list[dict[str, Any]]:
        return [e for e in dicts(value) if e.get("url") != EXTENSIONS["archived"]]

    if others(before) != others(after):
        raise BadPatch(NOT_CHANGEABLE.finding("/extension"), 405)
    if flag(before) == flag(after):
        return []
    return [Change.ARCHIVE if flag(after) else Change.UNARCHIVE]
