"""Patient, professionals, structures, devices and relatives as FHIR resources (mapping table, section 2)."""

from __future__ import annotations

import re
from typing import Any, Final

from mappings.document.header import Participant, Recipient
from mappings.document.people import (
    Device,
    Identifier,
    IdentityStatus,
    Organization,
    Patient,
    Professional,
    RelatedPerson,
    Sex,
)
from mappings.document.values import Address, Code, Telecom
from mappings.fhir.bundle_out import BundleOut
from mappings.fhir.names import IDENTIFIERS, SYSTEMS, uri_of
from mappings.fhir.values_out import (
    Json,
    absent,
    address,
    code_concept,
    coding,
    date_time,
    extension,
    identifier,
    national_identifiers,
    telecom,
    typed,
)

__all__ = ["device", "organization", "patient", "person", "related", "role"]

INS_BY_AUTHORITY: Final = {
    IDENTIFIERS[name]["system"][8:]: IDENTIFIERS[name] for name in ("ins-nir", "ins-nia", "ins-test", "ins-demo")
}
GENDERS: Final = {Sex.MALE: "male", Sex.FEMALE: "female", Sex.UNDETERMINED: "unknown"}
#: Identity status by FR Core model (ins-identity 7): the published one says QUAL as VALI with an INS.
STATUSES: Final = {
    "published": {
        IdentityStatus.PROVISIONAL: "PROV",
        IdentityStatus.RETRIEVED: "RECUP",
        IdentityStatus.VALIDATED: "VALI",
        IdentityStatus.QUALIFIED: "VALI",
    },
    "ballot": {
        IdentityStatus.PROVISIONAL: "PROV",
        IdentityStatus.RETRIEVED: "RECUP",
        IdentityStatus.VALIDATED: "VALI",
        IdentityStatus.QUALIFIED: "QUAL",
    },
}
ATTRIBUTES: Final = {"homonyme": "HOMA", "douteux": "DOUT", "fictif": "FICT"}
ROLE_CLASS: Final = "2.16.840.1.113883.5.110"
PROFESSION: Final = "1.2.250.1.213.1.1.4.5"
_DOCTOR: Final = re.compile(r"G15_([0-9]+)(?:/(SM[0-9]+))?\Z")


def _contact(out: Json, addresses: tuple[Address, ...], telecoms: tuple[Telecom, ...], *, at_home: bool = True) -> None:
    places, calls = map(address, addresses), map(telecom, telecoms)
    if not at_home:
        # org-2, org-3: nothing of a structure is of use "home".
        places, calls = map(_not_home, places), map(_not_home, calls)
    if written := [a for a in places if a]:
        out["address"] = written
    if reached := list(calls):
        out["telecom"] = reached


def _not_home(value: Json) -> Json:
    return {k: v for k, v in value.items() if k not in ("use", "extension")} if value.get("use") == "home" else value


def _human_name(family: str | None, given: str | None, prefix: str | None, suffix: str | None) -> Json:
    out: Json = {}
    if family:
        out["family"] = family
    if given:
        out["given"] = [given]
    if prefix:
        out["prefix"] = [prefix]
    if suffix:
        out["suffix"] = [suffix]
    return out


def _reliability(out: BundleOut, value: Patient) -> Json:
    ballot = out.identity_model == "ballot"
    model = "identity-status-ballot" if ballot else "identity-status-published"
    parts: list[Json] = [
        {
            "url": "identityStatus",
            "valueCoding": {"system": SYSTEMS[model], "code": STATUSES[out.identity_model][value.status]},
        }
    ]
    if value.ins_checked_on:
        parts.append({"url": "dateInterrogationINSi", "valueDate": value.ins_checked_on[:10]})
    if value.proof:
        parts.append(
            {"url": "validationMode", "valueCoding": {"system": SYSTEMS["identity-proof"], "code": value.proof}}
        )
    for attribute in value.attributes:
        if not attribute:
            continue
        known = ATTRIBUTES.get(attribute)
        system = SYSTEMS["identity-comment-ballot" if ballot else model]
        note: Json = {"system": system, "code": known} if known else {"display": attribute}
        # The published model writes a Coding, the ballot a CodeableConcept.
        parts.append(
            {"url": "comment", "valueCodeableConcept": {"coding": [note]}}
            if ballot
            else {"url": "comment", "valueCoding": note}
        )
    return extension("identity-reliability", extension=parts)


def _local(value: Identifier) -> Json:
    row = IDENTIFIERS["local"]
    return {"use": row["use"], "type": typed(row["typeSystem"], row["type"]), **identifier(value)}


def patient(out: BundleOut, value: Patient) -> Json:
    """The Patient: INS only when qualified, birth name, traits, and how sure the identity is."""
    sent: Json = {}
    extensions = [_reliability(out, value)]
    if value.birth_place or value.birth_place_name:
        place: Json = {}
        if value.birth_place:
            place["extension"] = [
                extension("insee-code", valueCoding={"system": SYSTEMS["commune"], "code": value.birth_place})
            ]
        if value.birth_place_name:
            place["city"] = value.birth_place_name
        extensions.append(extension("birth-place", valueAddress=place))
    sent["extension"] = extensions
    identifiers = []
    ins, row = value.ins, INS_BY_AUTHORITY.get(value.ins.authority) if value.ins else None
    profile = "patient"
    if ins is not None and row is not None and value.qualified:
        profile = "patient-ins"
        identifiers.append(
            {
                "use": row["use"],
                "type": typed(SYSTEMS["identifier-type"], row["type"]),
                "system": row["system"],
                "value": ins.value,
            }
        )
    identifiers.extend(map(_local, value.identifiers))
    if identifiers:
        sent["identifier"] = identifiers
    official: Json = {"use": "official", "family": value.birth_name}
    if value.first_given_name:
        official["given"] = [value.first_given_name]
    if value.given_names:
        official = {"extension": [extension("given-names", valueString=value.given_names)], **official}
    sent["name"] = [official]
    if value.used_name or value.used_given_name:
        sent["name"].append({"use": "usual", **_human_name(value.used_name, value.used_given_name, None, None)})
    sent["gender"] = GENDERS[value.sex]
    sent["birthDate"] = value.birth_date[:10]
    if len(value.birth_date) > 10:
        sent["_birthDate"] = {"extension": [extension("birth-time", valueDateTime=date_time(value.birth_date))]}
    if value.deceased_at:
        sent["deceasedDateTime"] = date_time(value.deceased_at)
    elif value.deceased is not None:
        sent["deceasedBoolean"] = value.deceased
    if value.multiple_birth_order:
        sent["multipleBirthInteger"] = value.multiple_birth_order
    _contact(sent, value.addresses, value.telecoms)
    if value.guardian is not None:
        sent["contact"] = [_guardian(value.guardian)]
    out.log.carried("/patient", "Patient")
    return out.add("Patient", "/patient", sent, profile)


def _relationship(value: RelatedPerson) -> list[Json]:
    out = [typed(uri_of(ROLE_CLASS), value.relation_class)]
    if value.relation:
        out.append(code_concept(value.relation))
    return out


def _guardian(value: RelatedPerson) -> Json:
    relationship = _relationship(value)
    if value.relation_class != "GUARD":
        relationship.insert(0, typed(uri_of(ROLE_CLASS), "GUARD"))
    sent: Json = {"relationship": relationship, "name": _human_name(value.family, value.given, None, None)}
    if value.telecoms:
        sent["telecom"] = [telecom(t) for t in value.telecoms]
    written = [a for a in map(address, value.addresses) if a]
    if written:
        sent["address"] = written[0]
    return sent


def related(out: BundleOut, place: str, value: RelatedPerson) -> Json:
    """A RelatedPerson."""
    sent: Json = {"patient": out.patient, "relationship": _relationship(value)}
    sent["name"] = [_human_name(value.family, value.given, None, None)]
    _contact(sent, value.addresses, value.telecoms)
    return out.add("RelatedPerson", place, sent, "related-person")


def organization(out: BundleOut, place: str, value: Organization) -> Json:
    """An Organization, written once for equal structures."""
    if (known := out.shared(value)) is not None:
        return known
    sent: Json = {}
    if value.id is not None:
        sent["identifier"] = national_identifiers(value.id)
    sent["active"] = True
    if value.practice_setting is not None:
        sent["type"] = [code_concept(value.practice_setting)]
    if value.name:
        sent["name"] = value.name
    elif value.id is None:
        sent["_name"] = absent()  # org-1 wants a name or an identifier
    _contact(sent, value.addresses, value.telecoms, at_home=False)
    return out.share(value, out.add("Organization", place, sent, "organization"))


def _profession(code: Code | None) -> Json:
    """The coded profession: TRE_G15 and TRE_R38 apart when the CDA code holds both (``G15_10/SM26``)."""
    if code is None:
        return {}
    match = _DOCTOR.match(code.code) if code.system == PROFESSION else None
    if match is None:
        return {"code": [code_concept(code)]}
    profession: Json = {"coding": [{"system": SYSTEMS["profession"], "code": match[1]}]}
    if code.display:
        profession["text"] = code.display
    out: Json = {"code": [profession]}
    if match[2]:
        out["specialty"] = [typed(SYSTEMS["specialty"], match[2])]
    return out


def person(
    out: BundleOut,
    place: str,
    value: Professional | Recipient | Participant,
    *,
    specialty: Code | None = None,
    function: Code | None = None,
    entity_class: str | None = None,
) -> Json:
    """A PractitionerRole with its Practitioner and Organization; each written once for equal values.

    A professional acts in a situation of practice: never a bare Practitioner (FR Composition Document: party).
    """
    who = (value.id, value.family, value.given, value.prefix, value.suffix, value.addresses)
    key = ("role", who, value.telecoms, value.organization, specialty, function, entity_class)
    if (known := out.shared(key)) is not None:
        return known
    sent: Json = {}
    role_place = f"{place}/role"
    # The role comes before what it refers to: keep its rank, fill it after.
    reference = out.add("PractitionerRole", role_place, sent, "practitioner-role")
    resource = out.entries[-1]["resource"]
    if any(who):
        practitioner = out.shared(("practitioner", who))
        if practitioner is None:
            body: Json = {}
            if value.id is not None:
                body["identifier"] = national_identifiers(value.id)
            if name := _human_name(value.family, value.given, value.prefix, value.suffix):
                body["name"] = [name]
            _contact(body, value.addresses, ())
            practitioner = out.share(
                ("practitioner", who), out.add("Practitioner", f"{place}/practitioner", body, "practitioner")
            )
        resource["practitioner"] = practitioner
    if value.organization is not None:
        resource["organization"] = organization(out, f"{place}/organization", value.organization)
    codes = _profession(specialty)
    if function is not None:
        codes.setdefault("code", []).append({"coding": [coding(function)], "text": FUNCTION})
    if entity_class is not None:
        codes.setdefault("code", []).append(typed(uri_of(ROLE_CLASS), entity_class))
    resource.update(codes)
    if value.telecoms:
        resource["telecom"] = [telecom(t) for t in value.telecoms]
    return out.share(key, reference)


#: Words that tell the function (JDV_J47) from the profession among the codes of a role.
FUNCTION: Final = "Rôle fonctionnel"


def role(out: BundleOut, place: str, value: Professional, function: Code | None = None) -> Json:
    """The PractitionerRole of a professional."""
    key: Any = ("professional", id(value), function)
    if (known := out.shared(key)) is not None:
        return known
    return out.share(
        key,
        person(out, place, value, specialty=value.specialty, function=function),
    )


def device(out: BundleOut, place: str, value: Device) -> Json:
    """The Device that wrote the document by itself."""
    sent: Json = {
        "identifier": [identifier(value.id)],
        "deviceName": [
            {"name": value.software, "type": "user-friendly-name"},
            {"name": value.manufacturer_model, "type": "model-name"},
        ],
    }
    if value.code is not None:
        sent["type"] = code_concept(value.code)
    reference = out.add("Device", place, sent, "device-author")
    if value.organization is not None:
        resource = out.entries[-1]["resource"]
        resource["owner"] = organization(out, f"{place}/organization", value.organization)
    return reference
