"""What the FHIR face answers: resources of the record under handles, searchsets, transaction responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mappings.xds import DocumentEntry, Organization, SubmissionSet
from mappings.xds.pdsm_out import document_reference, submission_list
from mappings.xds.pdsm_words import PROFILES
from mappings.xds.vocabulary import STRUCTURE_AUTHORITY

__all__ = ["capability", "fiche", "listed", "searchset", "transaction_response"]


def fiche(entry: DocumentEntry, *, handle: str, base: str, replaces: str = "", custodian: str = "") -> dict[str, Any]:
    """An entry of the registry as a DocumentReference, under its handle."""
    author = next((o for a in entry.authors for o in a.institutions if o.id), None)
    owner = Organization(id=custodian, authority=STRUCTURE_AUTHORITY) if custodian else author
    made = document_reference(
        entry,
        # XDS has no custodian: the structure of the document's author stands for it.
        custodian=owner or Organization(name="inconnu"),
        attachment_url=f"{base}/Binary/{handle}",
        replaces=replaces,
    )
    if entry.version:
        made["meta"]["versionId"] = entry.version
    return {**made, "id": handle}


def listed(sent: SubmissionSet, *, handle: str, documents: Sequence[str]) -> dict[str, Any]:
    """A submission set as a List, under its handle, its documents under theirs."""
    made = submission_list(replace(sent, status=""), [f"DocumentReference/{one}" for one in documents])
    return {**made, "id": handle}


def searchset(profile: str, base: str, resources: Sequence[dict[str, Any]], *, summary: bool = False) -> dict[str, Any]:
    """A searchset: its total, and each match at its absolute address."""
    out: dict[str, Any] = {
        "resourceType": "Bundle",
        "meta": {"profile": [PROFILES[profile]]},
        "type": "searchset",
        "total": len(resources),
    }
    entries = [
        {"fullUrl": f"{base}/{r['resourceType']}/{r['id']}", "resource": r, "search": {"mode": "match"}}
        for r in resources
    ]
    if entries and not summary:
        out["entry"] = entries
    return out


def transaction_response(
    order: Sequence[tuple[str, int]], ids: Sequence[str], replaced: Sequence[str]
) -> dict[str, Any]:
    """The answer to ITI-65: one entry for each of the request, in its order (fhir-profiles.md 9.1)."""
    entries: list[dict[str, Any]] = []
    for kind, number in order:
        status, place, version = "201 Created", f"{kind}/{ids[number]}", 1
        if kind == "List":
            place = f"List/{ids[0].replace('doc-', 'set-', 1)}"
        elif kind == "Parameters":
            target = replaced[number]
            status, place, version = "200 OK", target if "/" in target else f"DocumentReference/{target}", 2
        elif kind == "Patient":
            place = f"Patient/{ids[0].replace('doc-', 'pat-', 1)}"
        entries.append({"response": {"status": status, "location": f"{place}/_history/{version}"}})
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [PROFILES["response"]]},
        "type": "transaction-response",
        "entry": entries,
    }


_DOCUMENT_PARAMETERS = (
    ("patient.identifier", "token"),
    ("status", "token"),
    ("identifier", "token"),
    ("type", "token"),
    ("category", "token"),
    ("format", "token"),
    ("facility", "token"),
    ("setting", "token"),
    ("event", "token"),
    ("security-label", "token"),
    ("date", "date"),
    ("creation", "date"),
    ("period", "date"),
    ("period-start", "date"),
    ("period-end", "date"),
    ("author", "token"),
    ("isArchived", "token"),
)
_LIST_PARAMETERS = (
    ("patient.identifier", "token"),
    ("code", "token"),
    ("status", "token"),
    ("date", "date"),
    ("identifier", "token"),
    ("designationType", "token"),
    ("sourceId", "token"),
    ("source", "token"),
    ("title", "string"),
    ("isArchived", "token"),
)
_MHD = "https://profiles.ihe.net/ITI/MHD/CapabilityStatement/IHE.MHD.DocumentResponder"
_RECIPIENT = "https://profiles.ihe.net/ITI/MHD/CapabilityStatement/IHE.MHD.DocumentRecipient"


def capability(base: str, version: str, date: str) -> dict[str, Any]:
    """What the face can do (CapabilityStatement)."""

    def resource(kind: str, profile: str | None, interactions: Sequence[str], parameters: Any = ()) -> dict[str, Any]:
        out: dict[str, Any] = {"type": kind}
        if profile:
            out["supportedProfile"] = [PROFILES[profile]]
        out["interaction"] = [{"code": code} for code in interactions]
        if parameters:
            out["searchParam"] = [{"name": name, "type": kind_of} for name, kind_of in parameters]
        return out

    documents = resource(
        "DocumentReference", "document", ("read", "create", "patch", "delete", "search-type"), _DOCUMENT_PARAMETERS
    )
    documents["documentation"] = (
        "Les recherches se font par POST _search : un patient ne figure jamais dans une URL. "
        "create est ITI-105 ; patch masque, rend visible, archive ou supprime."
    )
    documents["conditionalUpdate"] = False
    measures = resource("Measure", None, ("read", "search-type"), (("url", "uri"), ("version", "token")))
    measures["operation"] = [
        {
            "name": "evaluate-measure",
            "definition": "http://hl7.org/fhir/OperationDefinition/Measure-evaluate-measure",
        }
    ]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "instantiates": [_MHD, _RECIPIENT],
        "software": {"name": "Passerelle", "version": version},
        "implementation": {"description": "Passerelle : PDSm vers le DMP", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "patchFormat": ["application/json-patch+json"],
        "rest": [
            {
                "mode": "server",
                "documentation": "PDSm 3.1.1 (MHD) : ITI-65, ITI-66, ITI-67, ITI-68, ITI-105.",
                "security": {
                    "cors": False,
                    "service": [
                        {
                            "coding": [
                                {
                                    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                                    "code": "SMART-on-FHIR",
                                }
                            ]
                        }
                    ],
                    "description": "SMART Backend Services ; pour lire, Passerelle-Actor-Session ou -Psc-Token.",
                },
                "resource": [
                    documents,
                    resource("List", "list", ("search-type",), _LIST_PARAMETERS),
                    resource("Binary", None, ("read",)),
                    measures,
                ],
                "interaction": [{"code": "transaction"}],
                "operation": [
                    {"name": "validate", "definition": "http://hl7.org/fhir/OperationDefinition/Resource-validate"}
                ],
            }
        ],
    }
