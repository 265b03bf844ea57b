"""What to do when INSi names another matricule than the one held: a person's number may change, rarely.

NIA to NIR, change of sex in civil status, correction of the registry: the earlier numbers come as ``INSHISTO`` and are
kept identically (EXI REC 08). The three words are this project's rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from conformance.identifiers import INS_NIA, INS_NIR

__all__ = ["HistoryAction", "InsNumber", "resolve_matricule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InsNumber:
    """A matricule with its authority, active or of the past; ``repr`` hides the number."""

    value: str  #: fifteen characters; thirteen when INSi gave no key
    oid: str
    start: str | None = None  #: dates as INSi gave them, even when illogical
    end: str | None = None

    def same_person_number(self, other: InsNumber) -> bool:
        """True when number and authority agree; dates and a missing key do not matter."""
        return self.oid == other.oid and self.value[:13] == other.value[:13]

    def __repr__(self) -> str:
        return f"InsNumber(oid={self.oid!r})"


class HistoryAction(StrEnum):
    """What to do with the number held."""

    ATTACH = "attach"  #: none was held
    UNCHANGED_KEEP_HISTORY = "unchanged_keep_history"
    REPLACE_AND_ARCHIVE = "replace_and_archive"
    COLLISION_REFUSE_AND_ALERT = "collision_refuse_and_alert"


def resolve_matricule(stored: InsNumber | None, active: InsNumber, history: Iterable[InsNumber] = ()) -> HistoryAction:
    """Decide between keeping, replacing and refusing, from the number held and an INSi answer.

    The history may repeat the active number, as captured answers do. A NIA that became a NIR with the same digits is a
    replacement even when the history says nothing of it.
    """
    if stored is None:
        return HistoryAction.ATTACH
    if stored.same_person_number(active):
        return HistoryAction.UNCHANGED_KEEP_HISTORY
    became_nir = stored.oid == INS_NIA and active.oid == INS_NIR and stored.value[:13] == active.value[:13]
    if became_nir or any(stored.same_person_number(old) for old in history):
        return HistoryAction.REPLACE_AND_ARCHIVE
    return HistoryAction.COLLISION_REFUSE_AND_ALERT
