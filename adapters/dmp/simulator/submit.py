"""ITI-41 as the simulated DMP takes it: every check of a strict registry and repository, then one registration.

Nothing is registered when anything is refused. Sources: IHE ITI TF-2 3.41, 3.42; dmp.md 3, 4, 5, 6.5, 8.4, 10.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
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
from mappings.xds import DocumentEntry, PatientId, RegistryObjects, Submission, document_entry, replaced_unique_id
from mappings.xds import vocabulary as v
from mappings.xds.check import check_submission
from mappings.xds.ebrim import LCM, RIM
from mappings.xds.read import read_objects
from security import xml
from security.errors import UnsafeInput
from security.vihf_verify import TrustPolicy
from security.xades import SetSignatureRefused, verify_set_signature

__all__ = ["SubmitPolicy", "same_sender", "submit"]

_SIGNATURE: Final = "E1762"
_KOS: Final = "1.2.840.10008.5.1.4.1.1.88.59"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitPolicy:
    """What the simulated DMP takes."""

    trust: TrustPolicy  #: of the set signature; SHA-1 by its own setting
    max_document_bytes: int = 5 * 1024 * 1024
    max_set_bytes: int = 10 * 1024 * 1024
    refuse_duplicates: bool = False  #: same uniqueId and hash in a new set: a second entry, or an error
    require_hash: bool = False  #: on the wire (dmp.md 14: unknown)
    both_restrictions: bool = False
    minors: bool = True  #: parameter ``fonctions-gestion-mineurs``
    #: typeCodes refused although known (the DMP's own subset)
    refused_types: frozenset[str] = frozenset()


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
    checks: tuple[Callable[[], Iterator[RegistryProblem]], ...] = (
        lambda: _metadata(submission, policy),
        lambda: _people(submission, caller, state),
        lambda: _bytes(submission, documents, policy),
        lambda: _coherent(submission, documents),
        lambda: _links(submission, documents, state),
        lambda: _repeated(submission, state, policy),
        lambda: _confidential(submission, caller, state, policy),
        lambda: _signed(submission, documents, policy, now),
    )
    for check in checks:
        if problems := list(check()):
            raise Refused(*problems)
    names = state.register(
        submission.submission_set,
        [(entry, documents[entry.entry_uuid]) for entry in submission.entries],
        submission.associations,
        person=caller.person,
        structure=caller.structure,
    )
    return submission, names


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


def _is_signature(entry: DocumentEntry) -> bool:
    return entry.type_code is not None and entry.type_code.code == _SIGNATURE


def _error(context: str, location: str = "", code: str = "XDSRegistryMetadataError") -> RegistryProblem:
    return RegistryProblem(code=code, context=context, location=location)


_BY_RULE: Final = {
    "XDS-META-006": "XDSPatientIdDoesNotMatch",
    "XDS-META-007": "XDSRegistryDuplicateUniqueIdInMessage",
}

#: Coding schemes of the French value sets (dmp.md 4.1, 4.6).
_FORMATS: Final = ("1.3.6.1.4.1.19376.1.2.3", "1.2.250.1.213.1.1.4.2.282", "1.2.840.10008.2.6.1", "URN")
_PRACTICES: Final = ("1.2.250.1.213.1.1.4.9", "1.2.250.1.213.1.1.4.6")
_FACILITIES: Final = ("1.2.250.1.71.4.2.4",)
#: TRE_R209-TypeActivite: two digits, and these are no longer in force.
_OLD_CONTENT_TYPES: Final = frozenset({"05", "06", "10", "23"})


def _metadata(submission: Submission, policy: SubmitPolicy) -> Iterator[RegistryProblem]:
    verdict = check_submission(_with_hashes(submission), both_restrictions=policy.both_restrictions)
    for finding in verdict.errors:
        code = _BY_RULE.get(finding.code, "XDSRegistryMetadataError")
        yield _error(f"{finding.code} {finding.rule.message.fr} {finding.found or ''}".strip(), finding.location, code)
    content = submission.submission_set.content_type
    if content is not None and (content.scheme != v.CONTENT_TYPE_SCHEME or not _content_code(content.code)):
        yield _error("contentTypeCode hors du jeu de valeurs")
    for entry in submission.entries:
        where = entry.entry_uuid
        type_code, class_code = entry.type_code, entry.class_code
        if type_code is None or class_code is None:
            continue
        expected = v.class_of_type(type_code.code)
        if expected is None or type_code.code in policy.refused_types:
            yield _error("typeCode hors du jeu de valeurs", where)
        elif class_code.code != expected[0]:
            yield _error("classCode n'est pas celui du typeCode", where)
        if entry.format_code is not None and entry.format_code.scheme not in _FORMATS:
            yield _error("formatCode d'un autre système", where)
        if entry.facility_type is not None and entry.facility_type.scheme not in _FACILITIES:
            yield _error("healthcareFacilityTypeCode d'un autre système", where)
        if entry.practice_setting is not None and entry.practice_setting.scheme not in _PRACTICES:
            yield _error("practiceSettingCode d'un autre système", where)
        if entry.mime_type not in ("text/xml", "application/dicom"):
            yield _error("mimeType inattendu", where)


def _content_code(code: str) -> bool:
    return len(code) == 2 and code.isdigit() and code not in _OLD_CONTENT_TYPES


def _with_hashes(submission: Submission) -> Submission:
    """The submission with hash and size taken as said: whether they must be on the wire is a setting of its own."""
    return replace(
        submission,
        entries=tuple(
            replace(e, hash=e.hash or "0" * 40, size=e.size if e.size is not None else 1) for e in submission.entries
        ),
    )


def same_sender(submission: Submission, caller: Caller) -> Iterator[RegistryProblem]:
    """The author of the set is the user and the structure of the assertion (dmp.md 6.5)."""
    for author in submission.submission_set.authors:
        if not any(institution.id == caller.structure for institution in author.institutions):
            yield _error("aucun authorInstitution ne correspond au VIHF")
        if author.person is None or author.person.id != caller.person:
            yield _error("authorPerson du lot n'est pas l'utilisateur du VIHF")


def _people(submission: Submission, caller: Caller, state: State) -> Iterator[RegistryProblem]:
    yield from same_sender(submission, caller)
    patient = submission.submission_set.patient_id
    if patient is None or caller.patient is None or not _same(patient, caller.patient):
        yield _error("le patient du lot n'est pas celui du VIHF", code="XDSPatientIdDoesNotMatch")
        return
    known = state.patient(patient)
    if known is None:
        yield _error("aucun DMP pour ce patient", code="XDSUnknownPatientId")
    elif known.state == "closed":
        yield _error("DMPClosed : le DMP du patient est fermé", code="XDSUnknownPatientId")


def _same(one: PatientId, other: PatientId) -> bool:
    return (one.value, one.authority) == (other.value, other.authority)


def _bytes(submission: Submission, documents: Mapping[str, bytes], policy: SubmitPolicy) -> Iterator[RegistryProblem]:
    for entry in submission.entries:
        content = documents[entry.entry_uuid]
        if policy.require_hash and (not entry.hash or entry.size is None):
            yield _error("hash ou size absent", entry.entry_uuid, "XDSRepositoryMetadataError")
        if entry.hash and entry.hash != hashlib.sha1(content, usedforsecurity=False).hexdigest():
            yield _error("hash différent de celui des octets reçus", entry.entry_uuid, "XDSRepositoryMetadataError")
        if entry.size is not None and entry.size != len(content):
            yield _error("size différent du nombre d'octets reçus", entry.entry_uuid, "XDSRepositoryMetadataError")


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
        if _is_signature(entry) or (entry.format_code is not None and entry.format_code.code == _KOS):
            continue
        try:
            root = xml.parse(documents[entry.entry_uuid], xml.CDA_LIMITS)
        except UnsafeInput as exc:
            yield _error(f"{exc.code} : document illisible", entry.entry_uuid, "InvalidDocumentContent")
            continue
        if root.tag != "{urn:hl7-org:v3}ClinicalDocument":
            yield _error("le document n'est pas un CDA", entry.entry_uuid, "InvalidDocumentContent")
            continue
        derived = document_entry(root, documents[entry.entry_uuid], digest=entry.hash or None)
        for name, get in _COHERENT:
            if get(derived) != get(entry):
                yield _error(f"{name} n'est pas celui de l'en-tête CDA", entry.entry_uuid, "XDSRepositoryMetadataError")


def _links(submission: Submission, documents: Mapping[str, bytes], state: State) -> Iterator[RegistryProblem]:
    entries = {entry.entry_uuid: entry for entry in submission.entries}
    owner = submission.submission_set.entry_uuid
    for link in submission.associations:
        if link.kind == v.ASSOCIATION_HAS_MEMBER:
            if link.source != owner:
                yield _error("HasMember ne part pas du lot", link.entry_uuid)
            if link.submission_set_status not in ("Original", "Reference"):
                yield _error("SubmissionSetStatus absent", link.entry_uuid)
            if link.target not in entries and state.entry(link.target) is None:
                yield _error("document lié inconnu", link.entry_uuid, "UnresolvedReferenceException")
        elif link.kind in (v.ASSOCIATION_REPLACES, v.ASSOCIATION_APPENDS, v.ASSOCIATION_TRANSFORMS):
            yield from _relation(link.source, link.target, link.kind, entries, documents, state)
        elif link.kind == v.ASSOCIATION_SIGNS:
            if link.source not in entries or not _is_signature(entries[link.source]) or link.target != owner:
                yield _error("signs ne va pas de la signature au lot", link.entry_uuid)
        else:
            yield _error("type d'association inconnu", link.entry_uuid)


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
        yield _error("association d'un document absent du lot", code="XDSRegistryMetadataError")
        return
    known = state.entry(target)
    if known is None:
        yield _error("document visé inconnu", code="UnresolvedReferenceException")
        return
    patient = entries[source].patient_id
    if patient is None or known.entry.patient_id is None or not _same(patient, known.entry.patient_id):
        yield _error("le document visé est d'un autre patient", code="XDSPatientIdDoesNotMatch")
    if known.entry.status != v.APPROVED:
        yield _error("le document visé n'est plus actif", code=failed)
    if kind != v.ASSOCIATION_REPLACES:
        return
    if known.entry.unique_id == entries[source].unique_id:
        yield _error("un remplacement a un nouvel uniqueId", code=failed)
    try:
        replaced = replaced_unique_id(xml.parse(documents[source], xml.CDA_LIMITS))
    except UnsafeInput:
        return
    if replaced != known.entry.unique_id:
        yield _error("relatedDocument n'est pas le document remplacé", source, "XDSRepositoryMetadataError")


def _repeated(submission: Submission, state: State, policy: SubmitPolicy) -> Iterator[RegistryProblem]:
    if submission.submission_set.unique_id in state.sets:
        yield _error("lot déjà enregistré", code="XDSDuplicateUniqueIdInRegistry")
        return
    for entry in submission.entries:
        known = state.of_unique_id(entry.unique_id)
        if not known:
            continue
        if any(k.entry.hash != entry.hash for k in known):
            yield _error("autre contenu sous le même uniqueId", entry.entry_uuid, "XDSNonIdenticalHash")
        elif policy.refuse_duplicates:
            yield _error("document déjà enregistré", entry.entry_uuid, "XDSDuplicateUniqueIdInRegistry")


def _confidential(
    submission: Submission, caller: Caller, state: State, policy: SubmitPolicy
) -> Iterator[RegistryProblem]:
    patient = None if caller.patient is None else state.patient(caller.patient)
    minor = patient is not None and bool(patient.birth_date)
    for entry in submission.entries:
        if _is_signature(entry):
            continue
        codes = {code.code for code in entry.confidentiality}
        secret = "INVISIBLE_REPRESENTANTS_LEGAUX" in codes
        if caller.secret_connection and policy.minors and minor and not secret:
            yield _error("connexion secrète : document visible des représentants légaux", entry.entry_uuid)
        if secret and not minor:
            yield _error("INVISIBLE_REPRESENTANTS_LEGAUX pour un patient majeur", entry.entry_uuid)


def _signed(
    submission: Submission, documents: Mapping[str, bytes], policy: SubmitPolicy, now: datetime
) -> Iterator[RegistryProblem]:
    signatures = [entry for entry in submission.entries if _is_signature(entry)]
    if len(signatures) != 1:
        yield _error(f"{len(signatures)} signatures du lot, une attendue")
        return
    (signature,) = signatures
    if not any(
        link.kind == v.ASSOCIATION_SIGNS and link.source == signature.entry_uuid for link in submission.associations
    ):
        yield _error("association signs absente", signature.entry_uuid)
    if signature.language != "art" or signature.format_code is None or signature.format_code.scheme != "URN":
        yield _error("fiche de signature mal décrite", signature.entry_uuid)
    restrictions = {code.code for code in signature.confidentiality}
    if not {"MASQUE_PS", "INVISIBLE_PATIENT"} <= restrictions:
        yield _error("la signature n'est pas masquée à tous", signature.entry_uuid)
    others = {entry.unique_id: documents[entry.entry_uuid] for entry in submission.entries if entry is not signature}
    try:
        verify_set_signature(
            documents[signature.entry_uuid],
            set_unique_id=submission.submission_set.unique_id,
            documents=others,
            policy=policy.trust,
            now=now,
        )
    except SetSignatureRefused as exc:
        yield _error(f"signature du lot refusée : {exc}", signature.entry_uuid, "XDSRepositoryMetadataError")
