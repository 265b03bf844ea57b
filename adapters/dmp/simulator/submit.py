"""ITI-41 as the simulated DMP takes it: every check of a strict registry and repository, then one registration.

Nothing is registered when anything is refused. Sources: IHE ITI TF-2 3.41, 3.42; dmp.md 3, 4, 5, 6.5, 8.4, 10.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final

from lxml import etree

from adapters.dmp.answers import document_content
from adapters.dmp.messages import XDS
from adapters.dmp.mtom import MtomError, Package
from adapters.dmp.simulator.caller import Caller, allowed
from adapters.dmp.simulator.refusals import Refused, RegistryProblem, SoapFault
from adapters.dmp.simulator.state import State
from adapters.dmp.simulator.structure import form_problems
from adapters.dmp.simulator.submit_rules import (
    SubmitPolicy,
    confidentiality_problems,
    is_signature,
    metadata_problems,
    problem,
    signature_problems,
)
from mappings.xds import DocumentEntry, PatientId, RegistryObjects, Submission, document_entry, replaced_unique_id
from mappings.xds import vocabulary as v
from mappings.xds.ebrim import LCM, RIM
from mappings.xds.read import read_objects
from security import xml
from security.errors import UnsafeInput

__all__ = ["SubmitPolicy", "accept", "same_sender", "submit"]

_KOS: Final = "1.2.840.10008.5.1.4.1.1.88.59"


def submit(
    body: etree._Element, package: Package, caller: Caller, state: State, policy: SubmitPolicy, now: datetime
) -> tuple[Submission, dict[str, str]]:
    """Check and register one set. Raises :class:`Refused` or :class:`SoapFault`."""
    patient = None if caller.patient is None else state.patient(caller.patient)
    if not allowed(caller, "TD2.1", patient):
        raise SoapFault("Sender", "DMPAccessDenied", f"Alimentation refusée en mode {caller.mode}")
    listed = body.find(f"{{{LCM}}}SubmitObjectsRequest/{{{RIM}}}RegistryObjectList")
    if listed is None:
        raise Refused.because("XDSRepositoryMetadataError", "SubmitObjectsRequest ou RegistryObjectList absent")
    problems = list(form_problems(listed))
    if problems:
        raise Refused(*problems)
    objects = read_objects(listed)
    submission = _one_submission(objects)
    documents = _documents(body, package, submission, policy)
    return submission, accept(submission, documents, caller, state, policy, now)


def accept(
    submission: Submission,
    documents: Mapping[str, bytes],
    caller: Caller,
    state: State,
    policy: SubmitPolicy,
    now: datetime,
    *,
    signed: bool = True,
) -> dict[str, str]:
    """Check what a set says and register it; gives the entryUUID of each symbolic id. Raises :class:`Refused`.

    ``signed``: the set carries its signature; by FHIR it has none.
    """
    checks: tuple[Callable[[], Iterator[RegistryProblem]], ...] = (
        lambda: metadata_problems(submission, policy),
        lambda: _people(submission, caller, state),
        lambda: _bytes(submission, documents, policy),
        lambda: _coherent(submission, documents),
        lambda: _links(submission, documents, state),
        lambda: _repeated(submission, state, policy),
        lambda: confidentiality_problems(submission, caller, state, policy),
        lambda: signature_problems(submission, documents, policy, now) if signed else iter(()),
    )
    for check in checks:
        if problems := list(check()):
            raise Refused(*problems)
    return state.register(
        submission.submission_set,
        [(entry, documents[entry.entry_uuid]) for entry in submission.entries],
        submission.associations,
        person=caller.person,
        structure=caller.structure,
    )


def _one_submission(objects: RegistryObjects) -> Submission:
    if objects.others:
        raise Refused.because("XDSRegistryMetadataError", f"objet non pris en charge : {objects.others[0]}")
    try:
        submission = objects.submission()
    except ValueError:
        raise Refused.because(
            "XDSRegistryMetadataError", f"{len(objects.submission_sets)} lots de soumission, un attendu"
        ) from None
    if not submission.entries:
        raise Refused.because("XDSRegistryMetadataError", "lot sans document")
    return submission


def _documents(
    body: etree._Element, package: Package, submission: Submission, policy: SubmitPolicy
) -> dict[str, bytes]:
    """Pair documents and entries; each part of the package is used once."""
    documents: dict[str, bytes] = {}
    used: set[int] = set()
    for node in body.iterfind(f"{{{XDS}}}Document"):
        identifier = node.get("id", "")
        try:
            content = document_content(node, package)
        except MtomError as exc:
            raise Refused.because("XDSMissingDocument", f"{exc.code} : document sans contenu", identifier) from None
        if identifier in documents:
            raise Refused.because("XDSRepositoryMetadataError", "Document en double", identifier)
        documents[identifier] = content
        used.add(id(content))
    known = {entry.entry_uuid for entry in submission.entries}
    for entry in known - documents.keys():
        raise Refused.because("XDSMissingDocument", "fiche sans document", entry)
    for identifier in documents.keys() - known:
        raise Refused.because("XDSMissingDocumentMetadata", "document sans fiche", identifier)
    if any(id(content) not in used for content in package.parts.values()):
        raise Refused.because("XDSRepositoryMetadataError", "partie MIME que rien ne référence")
    for identifier, content in documents.items():
        if len(content) > policy.max_document_bytes:
            raise Refused.because(
                "InvalidDocumentContent", f"document de plus de {policy.max_document_bytes} octets", identifier
            )
    if sum(map(len, documents.values())) > policy.max_set_bytes:
        raise Refused.because("InvalidDocumentContent", f"lot de plus de {policy.max_set_bytes} octets")
    return documents


def same_sender(submission: Submission, caller: Caller) -> Iterator[RegistryProblem]:
    """The author of the set is the user and the structure of the assertion (dmp.md 6.5)."""
    for author in submission.submission_set.authors:
        if not any(institution.id == caller.structure for institution in author.institutions):
            yield problem("aucun authorInstitution ne correspond au VIHF")
        if author.person is None or author.person.id != caller.person:
            yield problem("authorPerson du lot n'est pas l'utilisateur du VIHF")


def _people(submission: Submission, caller: Caller, state: State) -> Iterator[RegistryProblem]:
    yield from same_sender(submission, caller)
    patient = submission.submission_set.patient_id
    if patient is None or caller.patient is None or not _same(patient, caller.patient):
        yield problem("le patient du lot n'est pas celui du VIHF", code="XDSPatientIdDoesNotMatch")
        return
    known = state.patient(patient)
    if known is None:
        yield problem("aucun DMP pour ce patient", code="XDSUnknownPatientId")
    elif known.state == "closed":
        yield problem("DMPClosed : le DMP du patient est fermé", code="XDSUnknownPatientId")


def _same(one: PatientId, other: PatientId) -> bool:
    return (one.value, one.authority) == (other.value, other.authority)


def _bytes(submission: Submission, documents: Mapping[str, bytes], policy: SubmitPolicy) -> Iterator[RegistryProblem]:
    for entry in submission.entries:
        content = documents[entry.entry_uuid]
        if policy.require_hash and (not entry.hash or entry.size is None):
            yield problem("hash ou size absent", entry.entry_uuid, "XDSRepositoryMetadataError")
        if entry.hash and entry.hash != hashlib.sha1(content, usedforsecurity=False).hexdigest():
            yield problem("hash différent de celui des octets reçus", entry.entry_uuid, "XDSRepositoryMetadataError")
        if entry.size is not None and entry.size != len(content):
            yield problem("size différent du nombre d'octets reçus", entry.entry_uuid, "XDSRepositoryMetadataError")


#: Attributes that the header of the CDA and the entry must both say (annex "Lien entre l'en-tête CDA et XDS").
_COHERENT: Final[tuple[tuple[str, Callable[[DocumentEntry], object]], ...]] = (
    ("uniqueId", lambda e: e.unique_id),
    ("patientId", lambda e: e.patient_id and (e.patient_id.value, e.patient_id.authority)),
    ("typeCode", lambda e: e.type_code and (e.type_code.code, e.type_code.scheme)),
    ("formatCode", lambda e: e.format_code and (e.format_code.code, e.format_code.scheme)),
    ("creationTime", lambda e: e.creation_time),
    ("languageCode", lambda e: e.language),
    ("serviceStartTime", lambda e: e.service_start_time),
    ("serviceStopTime", lambda e: e.service_stop_time),
    ("healthcareFacilityTypeCode", lambda e: e.facility_type and e.facility_type.code),
    ("practiceSettingCode", lambda e: e.practice_setting and e.practice_setting.code),
    ("legalAuthenticator", lambda e: e.legal_authenticator and e.legal_authenticator.id),
    ("authorPerson", lambda e: [a.person.id for a in e.authors if a.person is not None]),
    ("authorInstitution", lambda e: [i.id for a in e.authors for i in a.institutions]),
    ("title", lambda e: e.title),
    ("eventCodeList", lambda e: sorted(c.code for c in e.events)),
)


def _coherent(submission: Submission, documents: Mapping[str, bytes]) -> Iterator[RegistryProblem]:
    for entry in submission.entries:
        if is_signature(entry) or (entry.format_code is not None and entry.format_code.code == _KOS):
            continue
        try:
            root = xml.parse(documents[entry.entry_uuid], xml.CDA_LIMITS)
        except UnsafeInput as exc:
            yield problem(f"{exc.code} : document illisible", entry.entry_uuid, "InvalidDocumentContent")
            continue
        if root.tag != "{urn:hl7-org:v3}ClinicalDocument":
            yield problem("le document n'est pas un CDA", entry.entry_uuid, "InvalidDocumentContent")
            continue
        derived = document_entry(root, documents[entry.entry_uuid], digest=entry.hash or None)
        for name, get in _COHERENT:
            if get(derived) != get(entry):
                yield problem(
                    f"{name} n'est pas celui de l'en-tête CDA", entry.entry_uuid, "XDSRepositoryMetadataError"
                )


def _links(submission: Submission, documents: Mapping[str, bytes], state: State) -> Iterator[RegistryProblem]:
    entries = {entry.entry_uuid: entry for entry in submission.entries}
    owner = submission.submission_set.entry_uuid
    for link in submission.associations:
        if link.kind == v.ASSOCIATION_HAS_MEMBER:
            if link.source != owner:
                yield problem("HasMember ne part pas du lot", link.entry_uuid)
            if link.submission_set_status not in ("Original", "Reference"):
                yield problem("SubmissionSetStatus absent", link.entry_uuid)
            if link.target not in entries and state.entry(link.target) is None:
                yield problem("document lié inconnu", link.entry_uuid, "UnresolvedReferenceException")
        elif link.kind in (v.ASSOCIATION_REPLACES, v.ASSOCIATION_APPENDS, v.ASSOCIATION_TRANSFORMS):
            yield from _relation(link.source, link.target, link.kind, entries, documents, state)
        elif link.kind == v.ASSOCIATION_SIGNS:
            if link.source not in entries or not is_signature(entries[link.source]) or link.target != owner:
                yield problem("signs ne va pas de la signature au lot", link.entry_uuid)
        else:
            yield problem("type d'association inconnu", link.entry_uuid)


def _relation(
    source: str,
    target: str,
    kind: str,
    entries: Mapping[str, DocumentEntry],
    documents: Mapping[str, bytes],
    state: State,
) -> Iterator[RegistryProblem]:
    failed = "XDSReplaceFailed" if kind == v.ASSOCIATION_REPLACES else "XDSRegistryDeprecatedDocumentError"
    if source not in entries:
        yield problem("association d'un document absent du lot", code="XDSRegistryMetadataError")
        return
    known = state.entry(target)
    if known is None:
        yield problem("document visé inconnu", code="UnresolvedReferenceException")
        return
    patient = entries[source].patient_id
    if patient is None or known.entry.patient_id is None or not _same(patient, known.entry.patient_id):
        yield problem("le document visé est d'un autre patient", code="XDSPatientIdDoesNotMatch")
    if known.entry.status != v.APPROVED:
        yield problem("le document visé n'est plus actif", code=failed)
    if kind != v.ASSOCIATION_REPLACES:
        return
    if known.entry.unique_id == entries[source].unique_id:
        yield problem("un remplacement a un nouvel uniqueId", code=failed)
    try:
        replaced = replaced_unique_id(xml.parse(documents[source], xml.CDA_LIMITS))
    except UnsafeInput:
        return
    if replaced != known.entry.unique_id:
        yield problem("relatedDocument n'est pas le document remplacé", source, "XDSRepositoryMetadataError")


def _repeated(submission: Submission, state: State, policy: SubmitPolicy) -> Iterator[RegistryProblem]:
    if submission.submission_set.unique_id in state.sets:
        yield problem("lot déjà enregistré", code="XDSDuplicateUniqueIdInRegistry")
        return
    for entry in submission.entries:
        known = state.of_unique_id(entry.unique_id)
        if not known:
            continue
        if any(k.entry.hash != entry.hash for k in known):
            yield problem("autre contenu sous le même uniqueId", entry.entry_uuid, "XDSNonIdenticalHash")
        elif policy.refuse_duplicates:
            yield problem("document déjà enregistré", entry.entry_uuid, "XDSDuplicateUniqueIdInRegistry")
