"""The rules of a submission that its metadata alone can break: value sets, confidentiality, the set's signature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from adapters.dmp.simulator.caller import Caller
from adapters.dmp.simulator.refusals import RegistryProblem
from adapters.dmp.simulator.state import State
from mappings.xds import DocumentEntry, Submission
from mappings.xds import vocabulary as v
from mappings.xds.check import check_submission
from security.vihf_verify import TrustPolicy
from security.xades import SetSignatureRefused, verify_set_signature

__all__ = [
    "SubmitPolicy",
    "confidentiality_problems",
    "is_signature",
    "metadata_problems",
    "problem",
    "signature_problems",
]

_SIGNATURE: Final = "E1762"


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


def is_signature(entry: DocumentEntry) -> bool:
    return entry.type_code is not None and entry.type_code.code == _SIGNATURE


def problem(context: str, location: str = "", code: str = "XDSRegistryMetadataError") -> RegistryProblem:
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


def metadata_problems(submission: Submission, policy: SubmitPolicy) -> Iterator[RegistryProblem]:
    verdict = check_submission(_with_hashes(submission), both_restrictions=policy.both_restrictions)
    for finding in verdict.errors:
        code = _BY_RULE.get(finding.code, "XDSRegistryMetadataError")
        yield problem(f"{finding.code} {finding.rule.message.fr} {finding.found or ''}".strip(), finding.location, code)
    content = submission.submission_set.content_type
    if content is not None and (content.scheme != v.CONTENT_TYPE_SCHEME or not _content_code(content.code)):
        yield problem("contentTypeCode hors du jeu de valeurs")
    for entry in submission.entries:
        where = entry.entry_uuid
        type_code, class_code = entry.type_code, entry.class_code
        if type_code is None or class_code is None:
            continue
        expected = v.class_of_type(type_code.code)
        if expected is None or type_code.code in policy.refused_types:
            yield problem("typeCode hors du jeu de valeurs", where)
        elif class_code.code != expected[0]:
            yield problem("classCode n'est pas celui du typeCode", where)
        if entry.format_code is not None and entry.format_code.scheme not in _FORMATS:
            yield problem("formatCode d'un autre système", where)
        if entry.facility_type is not None and entry.facility_type.scheme not in _FACILITIES:
            yield problem("healthcareFacilityTypeCode d'un autre système", where)
        if entry.practice_setting is not None and entry.practice_setting.scheme not in _PRACTICES:
            yield problem("practiceSettingCode d'un autre système", where)
        if entry.mime_type not in ("text/xml", "application/dicom"):
            yield problem("mimeType inattendu", where)


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


def confidentiality_problems(
    submission: Submission, caller: Caller, state: State, policy: SubmitPolicy
) -> Iterator[RegistryProblem]:
    patient = None if caller.patient is None else state.patient(caller.patient)
    minor = patient is not None and bool(patient.birth_date)
    for entry in submission.entries:
        if is_signature(entry):
            continue
        codes = {code.code for code in entry.confidentiality}
        secret = "INVISIBLE_REPRESENTANTS_LEGAUX" in codes
        if caller.secret_connection and policy.minors and minor and not secret:
            yield problem("connexion secrète : document visible des représentants légaux", entry.entry_uuid)
        if secret and not minor:
            yield problem("INVISIBLE_REPRESENTANTS_LEGAUX pour un patient majeur", entry.entry_uuid)


def signature_problems(
    submission: Submission, documents: Mapping[str, bytes], policy: SubmitPolicy, now: datetime
) -> Iterator[RegistryProblem]:
    signatures = [entry for entry in submission.entries if is_signature(entry)]
    if len(signatures) != 1:
        yield problem(f"{len(signatures)} signatures du lot, une attendue")
        return
    (signature,) = signatures
    if not any(
        link.kind == v.ASSOCIATION_SIGNS and link.source == signature.entry_uuid for link in submission.associations
    ):
        yield problem("association signs absente", signature.entry_uuid)
    if signature.language != "art" or signature.format_code is None or signature.format_code.scheme != "URN":
        yield problem("fiche de signature mal décrite", signature.entry_uuid)
    restrictions = {code.code for code in signature.confidentiality}
    if not {"MASQUE_PS", "INVISIBLE_PATIENT"} <= restrictions:
        yield problem("la signature n'est pas masquée à tous", signature.entry_uuid)
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
        yield problem(f"signature du lot refusée : {exc}", signature.entry_uuid, "XDSRepositoryMetadataError")
