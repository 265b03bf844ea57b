"""Say what is missing or wrong in registry metadata before it is sent, or when it is received.

Optionality of dmp.md 3 and 4.1 for the DMP, mss.md 6.2 for XDM; one table each, one rule each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from conformance.verdict import Finding, Rule, Text, Verdict
from mappings.xds import vocabulary as v
from mappings.xds.model import Author, DocumentEntry, Submission, SubmissionSet
from mappings.xds.times import parse_dtm

__all__ = ["check_entry", "check_submission", "check_submission_set"]

_MISSING: Final = Rule(
    code="XDS-META-001",
    message=Text("Une métadonnée obligatoire manque.", "A required metadata attribute is missing."),
    fix=Text(
        "Complétez l'élément correspondant de l'en-tête CDA.",
        "Fill in the element of the CDA header it comes from.",
    ),
    source="IHE ITI TF-3 4.2.3; CI-SIS, lien entre l'en-tête CDA et les métadonnées XDS",
)
_FORM: Final = Rule(
    code="XDS-META-002",
    message=Text("Une métadonnée n'a pas la forme attendue.", "A metadata attribute has not the expected form."),
    fix=Text("Corrigez la valeur selon la forme attendue.", "Mend the value after the expected form."),
    source="IHE ITI TF-3 4.2.3.1.7",
)
_AUTHORITY: Final = Rule(
    code="XDS-META-003",
    message=Text(
        "Le patient n'est pas identifié par une INS.", "The patient is not identified by a national health identity."
    ),
    fix=Text("Qualifiez l'identité du patient avant l'envoi.", "Qualify the patient's identity before sending."),
    source="dmp.md 4.4",
)
_UNKNOWN_TYPE: Final = Rule(
    code="XDS-META-004",
    message=Text("Le type de document n'a pas de classe connue.", "The document type has no known class."),
    fix=Text(
        "Choisissez un type du jeu JDV_J07-XdsTypeCode-CISIS.", "Choose a type of value set JDV_J07-XdsTypeCode-CISIS."
    ),
    source="NOS ASS_X04-CorrespondanceType-Classe",
)
_CONFIDENTIALITY: Final = Rule(
    code="XDS-META-005",
    message=Text("Les codes de confidentialité ne vont pas ensemble.", "The confidentiality codes do not go together."),
    fix=Text(
        "Envoyez un code de base (N, R ou V) et au plus trois restrictions différentes ; un document n'est pas à la "
        "fois masqué aux professionnels et invisible au patient.",
        "Send one base code (N, R or V) and at most three different restrictions; a document is not both hidden from "
        "professionals and invisible to the patient.",
    ),
    source="dmp.md 4.5, EX_2.1-1050",
)
_PATIENTS: Final = Rule(
    code="XDS-META-006",
    message=Text("Le lot mêle plusieurs patients.", "The submission set mixes several patients."),
    fix=Text("Envoyez un lot par patient.", "Send one set per patient."),
    source="IHE ITI TF-3 4.2.3.3 (XDSPatientIdDoesNotMatch)",
)
_DUPLICATE: Final = Rule(
    code="XDS-META-007",
    message=Text("Un même identifiant figure deux fois dans le lot.", "An identifier stands twice in the set."),
    fix=Text("Donnez à chaque document son propre uniqueId.", "Give each document its own uniqueId."),
    source="IHE ITI TF-3 4.2.4 (XDSRegistryDuplicateUniqueIdInMessage)",
)
_LINK: Final = Rule(
    code="XDS-META-008",
    message=Text(
        "Un document n'est pas rattaché au lot, ou un lien vise un objet absent.",
        "A document is not a member of the set, or a link points to an absent object.",
    ),
    fix=Text("Ajoutez une association HasMember par document.", "Add one HasMember association per document."),
    source="IHE ITI TF-3 4.2.2",
)

_OID: Final = re.compile(r"^[0-2](\.(0|[1-9]\d*))+$")
_HASH: Final = re.compile(r"^[0-9a-f]{40}$")

# Attribute, where it stands in the metadata. dmp.md 4.1: R on submission.
_ENTRY_REQUIRED: Final[tuple[tuple[str, Callable[[DocumentEntry], object]], ...]] = (
    ("uniqueId", lambda e: e.unique_id),
    ("patientId", lambda e: e.patient_id),
    ("sourcePatientId", lambda e: e.source_patient_id),
    ("mimeType", lambda e: e.mime_type),
    ("title", lambda e: e.title),
    ("creationTime", lambda e: e.creation_time),
    ("languageCode", lambda e: e.language),
    ("legalAuthenticator", lambda e: e.legal_authenticator),
    ("serviceStartTime", lambda e: e.service_start_time),
    ("author", lambda e: e.authors),
    ("classCode", lambda e: e.class_code),
    ("typeCode", lambda e: e.type_code),
    ("confidentialityCode", lambda e: e.confidentiality),
    ("formatCode", lambda e: e.format_code),
    ("healthcareFacilityTypeCode", lambda e: e.facility_type),
    ("practiceSettingCode", lambda e: e.practice_setting),
)
_SET_REQUIRED: Final[tuple[tuple[str, Callable[[SubmissionSet], object]], ...]] = (
    ("uniqueId", lambda s: s.unique_id),
    ("sourceId", lambda s: s.source_id),
    ("patientId", lambda s: s.patient_id),
    ("submissionTime", lambda s: s.submission_time),
    ("author", lambda s: s.authors),
    ("contentTypeCode", lambda s: s.content_type),
)


def _unique_id_form(value: str) -> bool:
    oid, separator, extension = value.partition("^")
    if len(value) > 128 or len(oid) > 64 or not _OID.match(oid):
        return False
    return not separator or 0 < len(extension) <= 16


def check_entry(
    entry: DocumentEntry, *, needs_ins: bool = True, needs_file: bool = True, both_restrictions: bool = False
) -> Verdict:
    """Check one document entry.

    ``needs_ins``: the patient must be known by an INS (the DMP; mail to a professional may do without).
    ``needs_file``: hash and size must be there. ``both_restrictions``: MASQUE_PS together with INVISIBLE_PATIENT is
    allowed (a parameter of the DMP, and always so on the signature document).
    """
    return Verdict.of(
        finding.at(f"/DocumentEntry[{entry.entry_uuid}]")
        for finding in _entry(entry, needs_ins, needs_file, both_restrictions)
    )


def _entry(entry: DocumentEntry, needs_ins: bool, needs_file: bool, both: bool) -> Iterator[Finding]:
    signature = entry.type_code is not None and entry.type_code.code == "E1762"
    for name, get in _ENTRY_REQUIRED:
        if name == "patientId" and not needs_ins:
            continue
        if name == "classCode" and entry.type_code is not None and entry.class_code is None:
            yield _UNKNOWN_TYPE.finding("/typeCode", found=entry.type_code.code)
            continue
        if not get(entry):
            yield _MISSING.finding(f"/{name}")
    if entry.unique_id and not _unique_id_form(entry.unique_id):
        yield _FORM.finding("/uniqueId", expected="OID, 64 characters at most")
    for name, value in (
        ("creationTime", entry.creation_time),
        ("serviceStartTime", entry.service_start_time),
        ("serviceStopTime", entry.service_stop_time),
    ):
        if value and parse_dtm(value) is None:
            yield _FORM.finding(f"/{name}", found=value[:20], expected="YYYYMMDDhhmmss, UTC")
    if needs_file:
        if not _HASH.match(entry.hash):
            yield _FORM.finding("/hash", expected="SHA-1, 40 hexadecimal digits")
        if entry.size is None or entry.size <= 0:
            yield _FORM.finding("/size", expected="number of bytes")
    if needs_ins and entry.patient_id is not None and entry.patient_id.authority not in v.INS_AUTHORITIES:
        yield _AUTHORITY.finding("/patientId", found=entry.patient_id.authority)
    yield from _authors(entry.authors, "/author")
    yield from _restrictions(entry, both or signature)


def _authors(authors: tuple[Author, ...], place: str) -> Iterator[Finding]:
    for number, author in enumerate(authors, start=1):
        if author.person is None or not author.person.id:
            yield _MISSING.finding(f"{place}[{number}]/authorPerson")


def _restrictions(entry: DocumentEntry, both: bool) -> Iterator[Finding]:
    codes = entry.confidentiality
    base = [c.code for c in codes if c.scheme != v.VISIBILITY_SCHEME]
    restrictions = [c.code for c in codes if c.scheme == v.VISIBILITY_SCHEME]
    if not codes:
        return
    if len(base) != 1 or base[0] not in ("N", "R", "V"):
        yield _CONFIDENTIALITY.finding("/confidentialityCode", found=" ".join(base), expected="N, R or V, once")
    if len(set(restrictions)) != len(restrictions) or any(v.visibility_code(c) is None for c in restrictions):
        yield _CONFIDENTIALITY.finding("/confidentialityCode", found=" ".join(restrictions))
    if not both and {"MASQUE_PS", "INVISIBLE_PATIENT"} <= set(restrictions):
        yield _CONFIDENTIALITY.finding("/confidentialityCode", found="MASQUE_PS + INVISIBLE_PATIENT", expected="one")


def check_submission_set(sent: SubmissionSet, *, needs_ins: bool = True) -> Verdict:
    """Check the attributes of a submission set. ``needs_ins`` as for :func:`check_entry`."""

    def findings() -> Iterator[Finding]:
        for name, get in _SET_REQUIRED:
            if name == "patientId" and not needs_ins:
                continue
            if not get(sent):
                yield _MISSING.finding(f"/{name}")
        for name, value in (("uniqueId", sent.unique_id), ("sourceId", sent.source_id)):
            if value and not (_unique_id_form(value) and "^" not in value):
                yield _FORM.finding(f"/{name}", expected="OID, 64 characters at most")
        if sent.submission_time and (len(sent.submission_time) != 14 or parse_dtm(sent.submission_time) is None):
            yield _FORM.finding("/submissionTime", found=sent.submission_time[:20], expected="YYYYMMDDhhmmss, UTC")
        if len(sent.authors) > 1:
            yield _FORM.finding("/author", found=str(len(sent.authors)), expected="one sender")
        if needs_ins and sent.patient_id is not None and sent.patient_id.authority not in v.INS_AUTHORITIES:
            yield _AUTHORITY.finding("/patientId", found=sent.patient_id.authority)
        yield from _authors(sent.authors, "/author")

    return Verdict.of(finding.at("/SubmissionSet") for finding in findings())


def check_submission(submission: Submission, *, needs_ins: bool = True, both_restrictions: bool = False) -> Verdict:
    """Check a whole submission: the set, each entry, the links between them, one patient, no repeated identifier."""
    verdict = check_submission_set(submission.submission_set, needs_ins=needs_ins)
    for entry in submission.entries:
        verdict += check_entry(entry, needs_ins=needs_ins, both_restrictions=both_restrictions)
    return verdict + Verdict.of(_links(submission))


def _links(submission: Submission) -> Iterator[Finding]:
    sent = submission.submission_set
    known = {sent.entry_uuid, *(entry.entry_uuid for entry in submission.entries)}
    members = {a.target for a in submission.associations if a.kind == v.ASSOCIATION_HAS_MEMBER}
    for entry in submission.entries:
        if entry.entry_uuid not in members:
            yield _LINK.finding(f"/DocumentEntry[{entry.entry_uuid}]", expected="HasMember")
        if entry.patient_id != sent.patient_id:
            yield _PATIENTS.finding(f"/DocumentEntry[{entry.entry_uuid}]/patientId")
    for number, link in enumerate(submission.associations, start=1):
        if link.source not in known or (not link.target.startswith("urn:uuid:") and link.target not in known):
            yield _LINK.finding(f"/Association[{number}]", found=link.kind.rpartition(":")[2])
    seen: set[str] = {sent.unique_id}
    for entry in submission.entries:
        if entry.unique_id in seen:
            yield _DUPLICATE.finding(f"/DocumentEntry[{entry.entry_uuid}]/uniqueId")
        seen.add(entry.unique_id)
