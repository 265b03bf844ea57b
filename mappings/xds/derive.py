"""Derive the metadata of a document from its CDA header: one derivation for ebRIM (DMP, XDM) and for FHIR.

Annex "Lien entre l'en-tête CDA et les métadonnées XDS" of the CI-SIS; dmp.md 4.8. Nothing is refused here: what the
header does not say stays empty, and :mod:`mappings.xds.check` names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from lxml import etree

from mappings.xds import vocabulary as v
from mappings.xds.cx import person_id_type
from mappings.xds.model import Author, Code, DocumentEntry, Organization, PatientId, Person
from mappings.xds.times import utc_dtm

__all__ = ["document_entry", "replaced_unique_id", "signature_entry"]

_CDA: Final = "{urn:hl7-org:v3}"
_DICOM: Final = "{urn:dicom-org:ps3-20}"
_NORMAL: Final = Code(code="N", scheme=v.CONFIDENTIALITY_SCHEME, display="Normal")


def _path(path: str) -> str:
    return "/".join(_CDA + step for step in path.split("/"))


# Compiled once: building the names costs as much as the search.
_P: Final[Mapping[str, str]] = {
    name: _path(name)
    for name in (
        "id",
        "code",
        "title",
        "effectiveTime",
        "confidentialityCode",
        "languageCode",
        "templateId",
        "author",
        "functionCode",
        "assignedAuthor",
        "assignedAuthoringDevice",
        "softwareName",
        "manufacturerModelName",
        "assignedPerson/name",
        "representedOrganization",
        "name",
        "family",
        "given",
        "legalAuthenticator/assignedEntity",
        "recordTarget/patientRole",
        "patient",
        "birthTime",
        "administrativeGenderCode",
        "documentationOf/serviceEvent",
        "effectiveTime/low",
        "effectiveTime/high",
        "performer/assignedEntity/representedOrganization/standardIndustryClassCode",
        "standardIndustryClassCode",
        "componentOf/encompassingEncounter/location/healthCareFacility/code",
        "inFulfillmentOf/order",
        "component/nonXMLBody/text",
        "relatedDocument",
        "parentDocument/id",
    )
}


def _text(node: etree._Element | None) -> str:
    return "" if node is None else " ".join("".join(node.itertext()).split())


def _identifier(node: etree._Element | None) -> str:
    if node is None:
        return ""
    root, extension = node.get("root", ""), node.get("extension")
    return f"{root}^{extension}" if extension else root


def _coded(node: etree._Element | None) -> Code | None:
    if node is None or not node.get("code"):
        return None
    return Code(code=node.get("code", ""), scheme=node.get("codeSystem", ""), display=node.get("displayName", ""))


def _entity(role: etree._Element) -> Person:
    """The XCN of an assignedAuthor or an assignedEntity."""
    found = role.find(_P["id"])
    root = "" if found is None else found.get("root", "")
    extension = "" if found is None else found.get("extension", "")
    device = role.find(_P["assignedAuthoringDevice"])
    if device is not None:
        return Person(
            id=extension or root,
            family=_text(device.find(_P["softwareName"])),
            given=_text(device.find(_P["manufacturerModelName"])),
            authority=root,
            name_type="U",
            id_type="RI",
        )
    name = role.find(_P["assignedPerson/name"])
    id_type = "NH" if root in v.INS_AUTHORITIES else person_id_type(extension, root)
    return Person(
        id=extension or root,
        family="" if name is None else _text(name.find(_P["family"])),
        given="" if name is None else _text(name.find(_P["given"])),
        authority=root,
        id_type=id_type,
    )


def _organization(node: etree._Element | None) -> Organization | None:
    if node is None:
        return None
    found, name = node.find(_P["id"]), node.find(_P["name"])
    return Organization(
        name=_text(name),
        id="" if found is None else found.get("extension", ""),
        authority="" if found is None else found.get("root", ""),
        # A digital service is named by its SIREN under 1.3.2 (dmp.md 4.7).
        id_type="SIREN" if found is not None and found.get("root") == "1.3.2" else "IDNST",
    )


def _author(node: etree._Element) -> Author | None:
    role = node.find(_P["assignedAuthor"])
    if role is None:
        return None
    function = node.find(_P["functionCode"])
    label = "" if function is None else function.get("displayName", "")
    specialty = _coded(role.find(_P["code"]))
    person = _entity(role)
    organization = None if person.id_type == "NH" else _organization(role.find(_P["representedOrganization"]))
    return Author(
        person=person,
        institutions=(organization,) if organization is not None else (),
        roles=(label,) if label else (),
        specialties=(specialty,) if specialty is not None else (),
    )


def _patient(
    root: etree._Element, local: PatientId | None
) -> tuple[PatientId | None, PatientId | None, tuple[str, ...]]:
    role = root.find(_P["recordTarget/patientRole"])
    if role is None:
        return None, local, ()
    ins: PatientId | None = None
    own: PatientId | None = None
    for node in role.iterfind(_P["id"]):
        authority, value = node.get("root", ""), node.get("extension", "")
        if not value:
            continue
        if authority in v.INS_AUTHORITIES:
            ins = ins or PatientId(value=value, authority=authority, id_type="NH")
        else:
            own = own or PatientId(value=value, authority=authority, id_type="PI")
    return ins, local or own or ins, _patient_info(role)


def _patient_info(role: etree._Element) -> tuple[str, ...]:
    """PID-5, PID-7, PID-8 of the patient: birth name and first birth given name when the header has them."""
    patient = role.find(_P["patient"])
    if patient is None:
        return ()
    lines: list[str] = []
    name = patient.find(_P["name"])
    if name is not None:
        family = _qualified(name, "family")
        given = _qualified(name, "given")
        if family:
            lines.append(f"PID-5|{family}^{given}^^^^^L")
    birth = patient.find(_P["birthTime"])
    if birth is not None and birth.get("value"):
        lines.append(f"PID-7|{birth.get('value', '')[:8]}")
    gender = patient.find(_P["administrativeGenderCode"])
    if gender is not None and gender.get("code"):
        code = gender.get("code", "")
        # HL7 v3 says UN, table 0001 of HL7 v2 says U.
        lines.append(f"PID-8|{'U' if code == 'UN' else code}")
    return tuple(lines)


def _qualified(name: etree._Element, part: str) -> str:
    first = ""
    for node in name.iterfind(_P[part]):
        value = _text(node).replace("^", " ").replace("&", " ").replace("|", " ")
        if node.get("qualifier") == "BR":
            return value
        first = first or value
    return first


def _format(root: etree._Element) -> Code:
    body = root.find(_P["component/nonXMLBody/text"])
    found = None
    if body is not None:
        found = v.format_of_media(body.get("mediaType", "text/plain"))
    if found is None:
        found = v.format_of_model([node.get("root", "") for node in root.iterfind(_P["templateId"])])
    return Code(code=found.code, scheme=found.scheme, display=found.display)


def _references(root: etree._Element) -> tuple[str, ...]:
    out: list[str] = []
    for order in root.iterfind(_P["inFulfillmentOf/order"]):
        for tag, kind in ((_CDA + "id", v.REFERENCE_ORDER), (_DICOM + "accessionNumber", v.REFERENCE_ACCESSION)):
            node = order.find(tag)
            if node is not None and node.get("root"):
                extension = node.get("extension") or node.get("root", "")
                authority = node.get("root", "") if node.get("extension") else ""
                out.append(f"{extension}^^^&{authority}&ISO^{kind}")
    return tuple(out)


def confidentiality_codes(base: Code | None, visibility: Iterable[str] = ()) -> tuple[Code, ...]:
    """Give the confidentiality codes of an entry: the base code, then the visibility restrictions (dmp.md 4.5).

    Raises ValueError for a restriction that TRE_A07 does not know.
    """
    codes = [base if base is not None else _NORMAL]
    for asked in sorted(visibility):
        row = v.visibility_code(asked)
        if row is None:
            raise ValueError(f"unknown visibility code {asked!r}")
        codes.append(Code(code=row[0], scheme=v.VISIBILITY_SCHEME, display=row[1]))
    return tuple(codes)


def document_entry(
    cda_root: etree._Element,
    cda_bytes: bytes,
    *,
    visibility: frozenset[str] = frozenset(),
    local_patient_id: PatientId | None = None,
    entry_uuid: str = "Document01",
    uri: str = "",
    comments: str = "",
    digest: str | None = None,
) -> DocumentEntry:
    """Derive the document entry of a CDA from its header and its exact bytes.

    ``cda_bytes`` are the bytes that will travel: hash (SHA-1, hexadecimal) and size are theirs. ``visibility`` holds
    codes of TRE_A07, since the CDA header may only say ``N``. ``local_patient_id`` overrides the identifier of the
    header. ``digest`` is the SHA-1 in hexadecimal when the caller has it already. Raises ValueError for an unknown
    visibility code.
    """
    service = cda_root.find(_P["documentationOf/serviceEvent"])
    organization_class = facility = None
    start = stop = ""
    if service is not None:
        organization_class = _coded(
            service.find(_P["performer/assignedEntity/representedOrganization/standardIndustryClassCode"])
        )
        start, stop = _interval(service)
    facility = _coded(cda_root.find(_P["componentOf/encompassingEncounter/location/healthCareFacility/code"]))
    type_code = _coded(cda_root.find(_P["code"]))
    row = v.class_of_type(type_code.code) if type_code is not None else None
    legal = cda_root.find(_P["legalAuthenticator/assignedEntity"])
    patient_id, source_id, info = _patient(cda_root, local_patient_id)
    effective = cda_root.find(_P["effectiveTime"])
    language = cda_root.find(_P["languageCode"])
    authors = tuple(a for node in cda_root.iterfind(_P["author"]) if (a := _author(node)) is not None)
    events = (_coded(node.find(_P["code"])) for node in cda_root.iterfind(_P["documentationOf/serviceEvent"]))
    return DocumentEntry(
        entry_uuid=entry_uuid,
        unique_id=_identifier(cda_root.find(_P["id"])),
        patient_id=patient_id,
        source_patient_id=source_id,
        source_patient_info=info,
        title=_text(cda_root.find(_P["title"])),
        comments=comments,
        class_code=None if row is None else Code(code=row[0], scheme=_class_scheme(row[0]), display=row[1]),
        type_code=type_code,
        format_code=_format(cda_root),
        confidentiality=confidentiality_codes(_coded(cda_root.find(_P["confidentialityCode"])), visibility),
        facility_type=facility,
        practice_setting=organization_class,
        events=tuple(code for code in events if code is not None),
        authors=authors,
        legal_authenticator=None if legal is None else _entity(legal),
        creation_time=utc_dtm("" if effective is None else effective.get("value", "")),
        service_start_time=start,
        service_stop_time=stop,
        language="" if language is None else language.get("code", ""),
        hash=digest or hashlib.sha1(cda_bytes, usedforsecurity=False).hexdigest(),
        size=len(cda_bytes),
        uri=uri,
        reference_ids=_references(cda_root),
    )


def _class_scheme(code: str) -> str:
    return "URN" if code.startswith("urn:") else v.CLASS_SCHEME


def _interval(service: etree._Element) -> tuple[str, str]:
    low, high = service.find(_P["effectiveTime/low"]), service.find(_P["effectiveTime/high"])
    point = service.find(_P["effectiveTime"])
    start = low.get("value", "") if low is not None else ""
    if not start and point is not None:
        start = point.get("value", "")
    return utc_dtm(start), utc_dtm(high.get("value", "") if high is not None else "")


def replaced_unique_id(cda_root: etree._Element) -> str | None:
    """Give the uniqueId of the document that a CDA replaces (``relatedDocument`` RPLC), or None."""
    for related in cda_root.iterfind(_P["relatedDocument"]):
        if related.get("typeCode") == "RPLC":
            return _identifier(related.find(_P["parentDocument/id"])) or None
    return None


def signature_entry(
    *,
    signed: DocumentEntry,
    signature: bytes,
    unique_id: str,
    signing_time: str,
    signer: Author,
    entry_uuid: str = "Signature01",
) -> DocumentEntry:
    """Describe the signature document of a submission set (dmp.md 5).

    ``signed`` is one of the documents of the set: patient, facility and practice are the same. ``signing_time`` is UTC,
    ``YYYYMMDDhhmmss``. ``signer`` is the author of the set, since a structure's certificate names no person.
    """
    return replace(
        signed,
        entry_uuid=entry_uuid,
        unique_id=unique_id,
        source_patient_id=signed.patient_id,
        source_patient_info=(),
        title="Source",
        comments="",
        class_code=Code(code="urn:oid:1.3.6.1.4.1.19376.1.2.1.1.1", scheme="URN", display="Digital Signature"),
        type_code=Code(code="E1762", scheme="ASTM", display="Full Document"),
        format_code=Code(code="http://www.w3.org/2000/09/xmldsig#", scheme="URN", display="Default Signature Style"),
        confidentiality=confidentiality_codes(_NORMAL, ("MASQUE_PS", "INVISIBLE_PATIENT")),
        events=(Code(code="1.2.840.10065.1.12.1.14", scheme="1.2.840.10065.1.12", display="Source"),),
        authors=(signer,),
        legal_authenticator=signer.person,
        creation_time=signing_time,
        service_start_time=signing_time,
        service_stop_time=signing_time,
        language="art",
        hash=hashlib.sha1(signature, usedforsecurity=False).hexdigest(),
        size=len(signature),
        uri="",
        reference_ids=(),
        logical_id="",
        version="",
        status="",
    )
