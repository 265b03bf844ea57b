"""ITI-57 as the simulated DMP takes it: status changes and new versions of metadata (IHE ITI TF-2 3.57; dmp.md 8.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from lxml import etree

from adapters.dmp.simulator.caller import Caller, allowed
from adapters.dmp.simulator.refusals import Refused, RegistryProblem, SoapFault
from adapters.dmp.simulator.state import Patient, Registered, State
from adapters.dmp.simulator.structure import form_problems
from adapters.dmp.simulator.submit import same_sender
from mappings.xds import Association, DocumentEntry, Submission
from mappings.xds import vocabulary as v
from mappings.xds.check import check_entry, check_submission_set
from mappings.xds.ebrim import LCM, RIM
from mappings.xds.read import read_objects

__all__ = ["TRANSITIONS", "rights_needed", "update"]

#: What may follow what (dmp.md 8.3).
TRANSITIONS: Final = {
    (v.APPROVED, v.ARCHIVED): "TD3.3d",
    (v.ARCHIVED, v.APPROVED): "TD3.3d",
    (v.APPROVED, v.DELETED): "TD3.3c",
    (v.ARCHIVED, v.DELETED): "TD3.3c",
    (v.DEPRECATED, v.DELETED): "TD3.3c",
}


def update(body: etree._Element, caller: Caller, state: State, *, both_restrictions: bool = False) -> None:
    """Check and apply one update. Raises :class:`Refused` or :class:`SoapFault`."""
    listed = body.find(f"{{{RIM}}}RegistryObjectList")
    if body.tag != f"{{{LCM}}}SubmitObjectsRequest" or listed is None:
        raise Refused.because("XDSMetadataUpdateError", "SubmitObjectsRequest attendu")
    problems = list(form_problems(listed))
    if problems:
        raise Refused(*problems)
    objects = read_objects(listed)
    if len(objects.submission_sets) != 1 or objects.others:
        raise Refused.because("XDSMetadataUpdateError", "un lot de soumission attendu")
    submission = objects.submission()
    patient = None if caller.patient is None else state.patient(caller.patient)
    if patient is None:
        raise Refused.because("XDSUnknownPatientId", "aucun DMP pour ce patient")
    _check_set(submission, caller, state)
    with state.lock:
        steps = _plan(submission, caller, state, patient, both_restrictions)
        state.sets[submission.submission_set.unique_id] = (submission.submission_set, "")
        for step in steps:
            step()


def _check_set(submission: Submission, caller: Caller, state: State) -> None:
    sent = submission.submission_set
    problems = [
        RegistryProblem(code="XDSRegistryMetadataError", context=f.rule.message.fr, location=f.location)
        for f in check_submission_set(sent).errors
    ]
    problems += list(same_sender(submission, caller))
    if problems:
        raise Refused(*problems)
    if sent.unique_id in state.sets:
        raise Refused.because("XDSDuplicateUniqueIdInRegistry", "lot déjà enregistré")
    asked = caller.patient
    if sent.patient_id is None or asked is None or sent.patient_id.value != asked.value:
        raise Refused.because("XDSPatientIdDoesNotMatch", "le patient du lot n'est pas celui du VIHF")


def _plan(
    submission: Submission, caller: Caller, state: State, patient: Patient, both: bool
) -> list[Callable[[], None]]:
    entries = {entry.entry_uuid: entry for entry in submission.entries}
    steps: list[Callable[[], None]] = []
    for link in submission.associations:
        if link.kind == v.ASSOCIATION_UPDATE_STATUS:
            steps.append(_status_step(link, caller, state, patient))
        elif link.kind == v.ASSOCIATION_HAS_MEMBER and link.target in entries:
            steps.append(_version_step(link, entries.pop(link.target), submission, caller, state, patient, both))
        else:
            raise Refused.because("XDSMetadataUpdateOperationError", "opération inconnue")
    if entries:
        raise Refused.because("XDSMetadataUpdateError", "fiche sans HasMember")
    if not steps:
        raise Refused.because("XDSMetadataUpdateError", "rien à modifier")
    return steps


def _target(known: Registered | None, patient: Patient) -> Registered:
    if known is None:
        raise Refused.because("XDSMetadataIdentifierError", "document inconnu")
    if known.entry.patient_id is None or known.entry.patient_id.value != patient.matricule:
        raise Refused.because("XDSPatientIDReconciliationError", "document d'un autre patient")
    return known


def _status_step(link: Association, caller: Caller, state: State, patient: Patient) -> Callable[[], None]:
    known = _target(state.entry(link.target), patient)
    current = state.current(known.entry.logical_id)
    if current is None or current.entry.entry_uuid != known.entry.entry_uuid:
        raise Refused.because("XDSMetadataVersionError", "version dépassée")
    if link.original_status != known.entry.status:
        raise Refused.because("XDSMetadataUpdateError", "OriginalStatus n'est pas l'état actuel")
    right = TRANSITIONS.get((link.original_status, link.new_status))
    if right is None:
        raise Refused.because("XDSMetadataUpdateOperationError", "changement d'état impossible")
    if not allowed(caller, right, patient, known):
        raise SoapFault("Sender", "DMPAccessDenied", f"{right} refusé : le document n'est pas de l'appelant")
    return lambda: state.set_status(known.entry.entry_uuid, link.new_status)


def _version_step(
    link: Association,
    entry: DocumentEntry,
    submission: Submission,
    caller: Caller,
    state: State,
    patient: Patient,
    both: bool,
) -> Callable[[], None]:
    if not entry.logical_id:
        raise Refused.because("XDSMetadataIdentifierError", "lid absent")
    known = _target(state.current(entry.logical_id), patient)
    if link.previous_version != known.entry.version:
        raise Refused.because("XDSMetadataVersionError", "PreviousVersion n'est pas la version actuelle")
    if known.entry.status not in (v.APPROVED, v.ARCHIVED):
        raise Refused.because("XDSMetadataUpdateError", "document supprimé ou obsolète")
    verdict = check_entry(entry, both_restrictions=both)
    if not verdict.ok:
        raise Refused(
            *(
                RegistryProblem(code="XDSRegistryMetadataError", context=f.rule.message.fr, location=f.location)
                for f in verdict.errors
            )
        )
    _unchanged(known.entry, entry)
    before = {code.code for code in known.entry.confidentiality}
    after = {code.code for code in entry.confidentiality}
    rights = rights_needed(before, after)
    for right in rights:
        if not allowed(caller, right, patient, known):
            raise SoapFault("Sender", "DMPAccessDenied", f"{right} refusé")

    def step() -> None:
        state.update(known, entry, submission.submission_set.unique_id)

    return step


def rights_needed(before: set[str], after: set[str]) -> list[str]:
    """Give the rights that a change of confidentiality codes asks for; raises Refused for an impossible one."""
    rights: list[str] = []
    if before == after:
        raise Refused.because("XDSMetadataUpdateError", "aucun changement")
    if "MASQUE_PS" in after - before:
        rights.append("TD3.3a-mask")
    if "MASQUE_PS" in before - after:
        rights.append("TD3.3a-unmask")
    invisible = {"INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"}
    if invisible & (before - after):
        rights.append("TD3.3b")
    if invisible & (after - before):
        # Making visible is one-way for software (dmp.md 4.5).
        raise Refused.because("XDSMetadataUpdateOperationError", "un document visible ne redevient pas invisible")
    return rights


def _unchanged(known: DocumentEntry, entry: DocumentEntry) -> None:
    """Only the confidentiality codes may differ from what the registry holds."""
    same = replace(
        entry,
        entry_uuid=known.entry_uuid,
        confidentiality=known.confidentiality,
        status=known.status,
        version=known.version,
        logical_id=known.logical_id,
    )
    if same != known:
        changed = [name for name in known.__slots__ if getattr(same, name) != getattr(known, name)]
        raise Refused.because("XDSMetadataUpdateOperationError", f"métadonnée modifiée : {', '.join(changed)}")
