"""The Composition and what its header refers to (mapping table, section 2; profiles, sections 4 and 5)."""

from __future__ import annotations

from typing import Final

from mappings.document.header import Act, DocumentBase, Encounter, Order, Participant, Recipient
from mappings.document.people import Author, Organization, Professional
from mappings.document.values import Code
from mappings.fhir.bundle_out import BundleOut
from mappings.fhir.names import SYSTEMS, uri_of
from mappings.fhir.people_out import device, organization, patient, person, related, role
from mappings.fhir.values_out import (
    Json,
    absent,
    address,
    code_concept,
    coding,
    date_time,
    extension,
    identifier,
    period,
    typed,
)
from mappings.xds.vocabulary import class_of_type

__all__ = ["composition", "custodian_of", "legal_of", "order_request"]

PARTICIPATION: Final = "2.16.840.1.113883.5.90"
ACT_CLASS: Final = "2.16.840.1.113883.5.6"
CLASS_SCHEME: Final = "1.2.250.1.213.1.1.4.1"
VISIBILITY: Final = "1.2.250.1.213.1.1.4.13"
LABELS: Final = {"ENT": "Opérateur de saisie", "INF": "Informateur", "PRCP": "Destinataire"}


def legal_of(document: DocumentBase) -> tuple[Professional, str] | None:
    """Who is legally responsible and since when: what the document says, else its first professional author."""
    if (legal := document.legal_authenticator) is not None:
        return legal.professional, legal.time or document.created_at
    first = document.first_professional
    return (first, document.created_at) if first else None


def custodian_of(document: DocumentBase) -> Organization | None:
    """Who keeps the original: what the document says, else the structure of its first author that has one."""
    if document.custodian is not None:
        return document.custodian
    for author in document.authors:
        source = author.professional or author.device
        if source is not None and source.organization is not None:
            return source.organization
    return None


def _party(kind: str, participation: str, reference: Json, *, function: Code | None = None, time: Json | None) -> Json:
    label = LABELS.get(participation)
    parts: list[Json] = [
        {
            "url": "type",
            "valueCodeableConcept": typed(uri_of(PARTICIPATION), participation, **({"text": label} if label else {})),
        }
    ]
    if function is not None:
        parts.append({"url": "function", "valueCodeableConcept": code_concept(function)})
    if time is not None:
        parts.append({"url": "time", "valuePeriod": time or absent()})
    parts.append({"url": "party", "valueReference": reference})
    return extension(kind, extension=parts)


def _author(out: BundleOut, place: str, author: Author) -> Json:
    if author.professional is not None:
        return role(out, place, author.professional, author.function)
    assert author.device is not None  # noqa: S101 - one of the two, checked by the model
    return device(out, place, author.device)


def _recipient(out: BundleOut, place: str, value: Recipient) -> Json:
    return person(out, place, value)


def _participant(out: BundleOut, place: str, value: Participant) -> Json:
    party = person(out, place, value, specialty=value.code, entity_class=value.entity_class)
    # time is 1..1 (FR Composition Document): an unknown one is said to be unknown.
    time = period(value.time) if value.time else {}
    return _party("participant", value.type, party, function=value.function, time=time)


def _event(out: BundleOut, place: str, act: Act, *, principal: bool) -> Json:
    extensions = []
    if principal:
        extensions.append(extension("principal-event", valueBoolean=True))
    if act.performer is not None:
        performer = role(out, f"{place}/performer", act.performer)
        extensions.append(extension("event-performer", valueReference=performer))
    event: Json = {"extension": extensions} if extensions else {}
    codes = [code_concept(act.code)] if act.code else []
    if act.informative:
        # A context mark says so by its class, as in CDA (serviceEvent/@classCode INFO).
        codes.append(typed(uri_of(ACT_CLASS), "INFO"))
    if codes:
        event["code"] = codes
    if act.period is not None and (when := period(act.period)):
        event["period"] = when
    if act.id is not None:
        event["detail"] = [{"identifier": identifier(act.id)}]
    if not event:
        event = absent()
    return event


def _encounter(out: BundleOut, value: Encounter, performer: Professional | None) -> Json:
    location: Json = {"status": "active"}
    if value.location_name:
        location["name"] = value.location_name
    location["type"] = [code_concept(value.facility)]
    if value.location_address is not None and (where := address(value.location_address)):
        location["address"] = where
    sent: Json = {}
    if value.id is not None:
        sent["identifier"] = [identifier(value.id)]
    sent["status"] = "finished" if value.period.end else "unknown"
    sent["class"] = coding(value.code) if value.code else absent()
    sent["subject"] = out.patient
    reference = out.add("Encounter", "/encounter", sent, "encounter")
    resource = out.entries[-1]["resource"]
    where_to = out.add("Location", "/encounter/facility", location, "location")
    participants = []
    if performer is not None:
        participants.append(("PRF", role(out, "/acts/0/performer", performer)))
    if value.responsible is not None:
        participants.append(("PPRF", role(out, "/encounter/responsible", value.responsible)))
    for i, (kind, professional) in enumerate(value.participants):
        participants.append((kind, role(out, f"/encounter/participants/{i}", professional)))
    if participants:
        resource["participant"] = [
            {"type": [typed(uri_of(PARTICIPATION), kind)], "individual": who} for kind, who in participants
        ]
    resource["period"] = period(value.period) or absent()
    if value.discharge_disposition is not None:
        resource["hospitalization"] = {"dischargeDisposition": code_concept(value.discharge_disposition)}
    resource["location"] = [{"location": where_to}]
    out.log.carried("/encounter", "Encounter")
    return reference


def composition(
    out: BundleOut, document: DocumentBase, *, type_code: Code, profile: str, tags: list[Json] | None = None
) -> Json:
    """Write the Composition, the Patient and every resource of the header; gives the Composition, without sections.

    ``tags`` are the former names of the document's model. Raises :class:`Unwritable` when the document has no custodian
    or no one legally responsible.
    """
    sent: Json = {"_tags": tags} if tags else {}
    out.add("Composition", "", sent, profile)
    resource: Json = out.entries[0]["resource"]
    visibility = sorted(document.visibility.codes)
    if visibility:
        resource["meta"]["security"] = [{"system": uri_of(VISIBILITY), "code": code} for code in visibility]
    resource["language"] = document.language
    out.patient = patient(out, document.patient)
    authors = [
        {
            "extension": [extension("author-time", valueDateTime=date_time(author.time or document.created_at))],
            **_author(out, f"/authors/{i}", author),
        }
        for i, author in enumerate(document.authors)
    ]
    for i in range(len(authors)):
        out.log.carried(f"/authors/{i}", "Composition.author")
    custodian = custodian_of(document)
    assert custodian is not None  # noqa: S101 - said missing otherwise
    kept_by = organization(out, "/custodian", custodian)
    out.encounter = _encounter(out, document.encounter, document.acts[0].performer)

    header = [extension("version", valueString=str(document.version_number))]
    _header_extensions(out, document, header)
    resource["extension"] = header
    resource["identifier"] = identifier(document.set_id or out.document_id)
    # ours: R4 Composition has no status in CDA to come from (mapping 2).
    resource["status"] = "amended" if document.version_number > 1 else "final"
    resource["type"] = code_concept(type_code)
    class_code, class_label = _class_of(document.type)
    if class_code:
        resource["category"] = [
            {"coding": [{"system": uri_of(CLASS_SCHEME), "code": class_code, "display": class_label}]}
        ]
    resource["subject"] = out.patient
    resource["encounter"] = out.encounter
    resource["date"] = date_time(document.created_at)
    resource["author"] = authors
    resource["title"] = document.title
    resource["confidentiality"] = document.confidentiality
    resource["attester"] = _attesters(out, document)
    resource["custodian"] = kept_by
    if document.replaces is not None:
        target = {"type": typed(SYSTEMS["v2-0203"], "VN"), **identifier(document.replaces.id)}
        resource["relatesTo"] = [{"code": "replaces", "targetIdentifier": target}]
        out.log.carried("/replaces", "Composition.relatesTo")
    resource["event"] = [_event(out, f"/acts/{i}", act, principal=i == 0) for i, act in enumerate(document.acts)]
    for i in range(len(document.acts)):
        out.log.carried(f"/acts/{i}", "Composition.event")
    return resource


def _class_of(code: Code) -> tuple[str, str]:
    found = class_of_type(code.code)
    return (found[0], found[1]) if found else ("", "")


def _attesters(out: BundleOut, document: DocumentBase) -> list[Json]:
    legal = legal_of(document)
    assert legal is not None  # noqa: S101 - said missing otherwise
    who, when = legal
    attesters = [{"mode": "legal", "time": date_time(when), "party": role(out, "/legalAuthenticator", who)}]
    for i, authentication in enumerate(document.authenticators):
        attesters.append(
            {
                "mode": "professional",
                "time": date_time(authentication.time or document.created_at),
                "party": role(out, f"/authenticators/{i}", authentication.professional),
            }
        )
        out.log.carried(f"/authenticators/{i}", "Composition.attester")
    return attesters


def _header_extensions(out: BundleOut, document: DocumentBase, header: list[Json]) -> None:
    if (enterer := document.data_enterer) is not None:
        when = {"start": date_time(enterer.time or document.created_at)}
        header.append(_party("data-enterer", "ENT", role(out, "/dataEnterer", enterer.professional), time=when))
        out.log.carried("/dataEnterer", "data-enterer-extension")
    for i, informant in enumerate(document.informants):
        place = f"/informants/{i}"
        if informant.professional is not None:
            who = role(out, place, informant.professional)
        else:
            assert informant.related is not None  # noqa: S101 - one of the two, checked by the model
            who = related(out, place, informant.related)
        header.append(_party("informant", "INF", who, time=None))
        out.log.carried(place, "informant-extension")
    for i, recipient in enumerate(document.recipients):
        place = f"/recipients/{i}"
        header.append(_party("recipient", "PRCP", _recipient(out, place, recipient), time=None))
        out.log.carried(place, "information-recipient-extension")
    for i, participant in enumerate(document.participants):
        header.append(_participant(out, f"/participants/{i}", participant))
        out.log.carried(f"/participants/{i}", "ParticipantExtension")
    for i, consent in enumerate(document.consents):
        place = f"/consents/{i}"
        sent: Json = {"identifier": [identifier(consent.id)]} if consent.id else {}
        sent |= {
            "status": "active",
            "scope": typed(SYSTEMS["consent-scope"], "patient-privacy"),
            "category": [code_concept(consent.code)],
            "patient": out.patient,
            # R4 ppc-1 wants a policy; CDA has no such part, so the words of the consent stand for it.
            "policyRule": {"text": consent.code.display or consent.code.code},
        }
        header.append(extension("consent", valueReference=out.add("Consent", place, sent)))
        out.log.carried(place, "consent-extension")
    for i, order in enumerate(document.orders):
        place = f"/orders/{i}"
        header.append(extension("based-on", valueReference=order_request(out, place, order)))
        out.log.carried(place, "event-basedOn")


def order_request(out: BundleOut, place: str, order: Order) -> Json:
    """The ServiceRequest that stands for a request answered by the document."""
    identifiers = [identifier(order.id)]
    if order.accession_number is not None:
        identifiers.append({"type": typed(SYSTEMS["v2-0203"], "ACSN"), **identifier(order.accession_number)})
    return out.add(
        "ServiceRequest",
        place,
        {"identifier": identifiers, "status": "unknown", "intent": "order", "subject": out.patient},
        "service-request",
    )
