"""What may be changed of a document of a record, once it is there (TD3.3a-d), in one list for every way in."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from adapters.dmp import updates
from adapters.dmp.actor import Actor
from adapters.dmp.prepare import new_oid
from adapters.dmp.settings import DmpEndpoint
from adapters.dmp.updates import CannotChange, PreparedUpdate
from mappings.xds import Code, DocumentEntry
from mappings.xds import vocabulary as v

__all__ = ["Change", "is_done", "prepare"]


class Change(StrEnum):
    """A change, as deliveries and callers name it."""

    DELETE = "delete"
    MASK = "mask"  #: hidden from professionals
    UNMASK = "unmask"
    VISIBLE = "visible"  #: to the patient; there is no way back
    VISIBLE_REPRESENTATIVES = "visible_reps"  #: to a minor's legal representatives; no way back either
    ARCHIVE = "archive"
    UNARCHIVE = "unarchive"


_CODES: Final[Mapping[Change, Callable[[DocumentEntry], tuple[Code, ...]]]] = {
    Change.MASK: updates.mask,
    Change.UNMASK: updates.unmask,
    Change.VISIBLE: updates.show_to_patient,
    Change.VISIBLE_REPRESENTATIVES: updates.show_to_representatives,
}
_STATUSES: Final[Mapping[Change, str]] = {
    Change.DELETE: v.DELETED,
    Change.ARCHIVE: v.ARCHIVED,
    Change.UNARCHIVE: v.APPROVED,
}


def is_done(change: Change, entry: DocumentEntry) -> bool:
    """True when the entry is already as the change would make it."""
    wanted = _CODES.get(change)
    if wanted is not None:
        return {c.code for c in wanted(entry)} == {c.code for c in entry.confidentiality}
    return entry.status == _STATUSES[change]


def prepare(
    change: Change, entry: DocumentEntry, *, actor: Actor, endpoint: DmpEndpoint, fresh: uuid.UUID, now: datetime
) -> PreparedUpdate:
    """Prepare a change of an entry as the registry last gave it; ``fresh`` is a new UUID.

    Raises :class:`adapters.dmp.updates.CannotChange` when it is so already, or the entry is incomplete.
    """
    set_id = new_oid(fresh)
    if is_done(change, entry):
        raise CannotChange("the document is so already")
    codes = _CODES.get(change)
    if codes is not None:
        return updates.prepare_confidentiality(
            entry, codes(entry), actor=actor, endpoint=endpoint, set_unique_id=set_id, now=now
        )
    if entry.patient_id is None:
        raise CannotChange("the entry names no patient")
    return updates.prepare_status(
        entry.entry_uuid,
        original=entry.status or v.APPROVED,
        new=_STATUSES[change],
        patient=entry.patient_id,
        actor=actor,
        endpoint=endpoint,
        set_unique_id=set_id,
        now=now,
    )
