"""Changes to what is already in the DMP (TD3.3a-d): prepared, kept, then sent, like a submission.

ITI-57: a change of availability status is an association; a change of confidentiality is a new version of the whole
entry (dmp.md 8.3). Sent again after a lost answer it is the same set, which the registry knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import orjson

from adapters.dmp.actor import Actor
from adapters.dmp.messages import update_request
from adapters.dmp.settings import DmpEndpoint
from mappings.xds import Association, Code, DocumentEntry, PatientId, Submission, SubmissionSet
from mappings.xds import vocabulary as v
from mappings.xds.times import dtm

__all__ = [
    "CannotChange",
    "PreparedUpdate",
    "mask",
    "prepare_confidentiality",
    "prepare_status",
    "show_to_patient",
    "show_to_representatives",
    "unmask",
]

_CONTENT: Final = Code(code="07", scheme=v.CONTENT_TYPE_SCHEME, display="Consultation, soins externes")
_MASK: Final = Code(code="MASQUE_PS", scheme=v.VISIBILITY_SCHEME, display="Masqué aux professionnels de santé")


class CannotChange(Exception):
    """The change asked for makes no sense on this document: it is so already, or its entry is incomplete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedUpdate:
    """An update whose ids and bytes will not change any more."""

    submission_set_unique_id: str
    patient: PatientId
    body: bytes = field(repr=False)

    def dump(self) -> bytes:
        """Write everything as one value to store."""
        head = [self.submission_set_unique_id, self.patient.value, self.patient.authority, self.patient.id_type]
        return orjson.dumps(head) + b"\n" + self.body

    @classmethod
    def load(cls, stored: bytes) -> PreparedUpdate:
        """Read what :meth:`dump` wrote."""
        head, _, body = stored.partition(b"\n")
        unique_id, value, authority, id_type = orjson.loads(head)
        patient = PatientId(value=value, authority=authority, id_type=id_type)
        return cls(submission_set_unique_id=unique_id, patient=patient, body=body)


def _set(unique_id: str, patient: PatientId, actor: Actor, endpoint: DmpEndpoint, now: datetime) -> SubmissionSet:
    return SubmissionSet(
        unique_id=unique_id,
        source_id=endpoint.source_id,
        patient_id=patient,
        submission_time=dtm(now),
        authors=(actor.author(),),
        content_type=_CONTENT,
    )


def prepare_status(
    entry_uuid: str,
    *,
    original: str = v.APPROVED,
    new: str,
    patient: PatientId,
    actor: Actor,
    endpoint: DmpEndpoint,
    set_unique_id: str,
    now: datetime,
) -> PreparedUpdate:
    """Prepare a change of status: delete (TD3.3c), archive or unarchive (TD3.3d).

    ``original`` is the status as last known: TD3.1b does not tell it.
    """
    sent = _set(set_unique_id, patient, actor, endpoint, now)
    link = Association(
        kind=v.ASSOCIATION_UPDATE_STATUS,
        source=sent.entry_uuid,
        target=entry_uuid,
        original_status=original,
        new_status=new,
    )
    body = update_request(Submission(submission_set=sent, associations=(link,)))
    return PreparedUpdate(submission_set_unique_id=set_unique_id, patient=patient, body=body)


def prepare_confidentiality(
    entry: DocumentEntry,
    codes: tuple[Code, ...],
    *,
    actor: Actor,
    endpoint: DmpEndpoint,
    set_unique_id: str,
    now: datetime,
) -> PreparedUpdate:
    """Prepare a new version of an entry with other confidentiality codes (TD3.3a, TD3.3b).

    ``entry`` is as the registry last returned it. Raises :class:`CannotChange`.
    """
    if not entry.logical_id or not entry.version or entry.patient_id is None:
        raise CannotChange("the entry has no logical id, version or patient: read it from the registry first")
    if {c.code for c in codes} == {c.code for c in entry.confidentiality}:
        raise CannotChange("the document has these codes already")
    sent = _set(set_unique_id, entry.patient_id, actor, endpoint, now)
    # A symbolic id, and neither status nor version: those are the registry's. Inner ids are written anew.
    changed = replace(entry, entry_uuid="Document01", confidentiality=codes, status="", version="")
    link = Association(
        kind=v.ASSOCIATION_HAS_MEMBER,
        source=sent.entry_uuid,
        target=changed.entry_uuid,
        submission_set_status="Original",
        previous_version=entry.version,
    )
    body = update_request(Submission(submission_set=sent, entries=(changed,), associations=(link,)))
    return PreparedUpdate(submission_set_unique_id=set_unique_id, patient=entry.patient_id, body=body)


def mask(entry: DocumentEntry) -> tuple[Code, ...]:
    """The codes of an entry, hidden from professionals."""
    return (*(c for c in entry.confidentiality if c.code != "MASQUE_PS"), _MASK)


def unmask(entry: DocumentEntry) -> tuple[Code, ...]:
    """The codes of an entry, no longer hidden from professionals."""
    return tuple(c for c in entry.confidentiality if c.code != "MASQUE_PS")


def show_to_patient(entry: DocumentEntry) -> tuple[Code, ...]:
    """The codes of an entry, visible to the patient; there is no way back."""
    return tuple(c for c in entry.confidentiality if c.code != "INVISIBLE_PATIENT")


def show_to_representatives(entry: DocumentEntry) -> tuple[Code, ...]:
    """The codes of an entry, visible to a minor's legal representatives; there is no way back."""
    return tuple(c for c in entry.confidentiality if c.code != "INVISIBLE_REPRESENTANTS_LEGAUX")
