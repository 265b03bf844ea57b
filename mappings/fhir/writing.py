"""Write a clinical document as a FHIR R4 document Bundle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from conformance.verdict import Text
from mappings.document import AnyDocument, Dispensation, MedicalSummary, Prescription, Report
from mappings.document.header import DocumentBase
from mappings.document.values import Code
from mappings.fhir.bundle_out import BundleOut
from mappings.fhir.dispensation_out import dispensation_sections, prescription_order
from mappings.fhir.errors import Unwritable
from mappings.fhir.header_out import composition, custodian_of, legal_of
from mappings.fhir.names import LOINC, PROFILES
from mappings.fhir.other_out import other_sections, other_tags
from mappings.fhir.people_out import role
from mappings.fhir.prescription_out import context_events, number_detail, prescription_sections
from mappings.fhir.report_out import report_sections
from mappings.fhir.summary_out import IPS_TYPE, model_tags, summary_sections
from mappings.fhir.values_out import Json, date_time, identifier, spell
from mappings.loss import LossReport
from mappings.projection import losses

__all__ = ["FhirDocument", "IdentityModel", "write"]

#: Which form of the FR Core identity status is written: the published 2.1, or the 2.2 ballot (ins-identity 7).
IdentityModel = Literal["published", "ballot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirDocument:
    """A document Bundle as plain values, ready for ``orjson``, and what of the source it could not hold."""

    bundle: Json
    loss: LossReport


def write(
    document: AnyDocument,
    *,
    timestamp: str | None = None,
    identity_model: IdentityModel = "published",
) -> FhirDocument:
    """Write a document as a FHIR document Bundle: same document, same Bundle.

    ``timestamp`` is the instant at which the Bundle is put together (RFC 3339), the document's date when absent.
    Resource ids are derived from the document's id. The INS is written only when the identity is qualified. Raises
    :class:`Unwritable` (a ValueError), with every fault in ``findings``, when the document has no id, custodian or
    legal authenticator. Source: FR Document Core (FHIR) 0.1.0, fr-bundle-document; FR Patient Summary 0.1.0 for
    summaries.
    """
    if faults := list(_missing(document)):
        faults[0].others = tuple(faults[1:])
        raise faults[0]
    assert document.id is not None  # noqa: S101 - said missing otherwise
    out = BundleOut(document.id, date_time(document.created_at), identity_model)
    profile = "bundle"
    if isinstance(document, Report):
        header = composition(out, document, type_code=document.type, profile="composition")
        header["section"] = report_sections(out, document)
    elif isinstance(document, Prescription):
        header = composition(out, document, type_code=document.type, profile="composition")
        if (number := number_detail(document)) is not None:
            header["event"][0]["detail"] = [number, *header["event"][0].get("detail", ())]
        header["event"] += context_events(document)
        header["section"] = prescription_sections(out, document, _first_party(out, document))
    elif isinstance(document, Dispensation):
        header = composition(out, document, type_code=document.type, profile="composition")
        header["extension"] += prescription_order(out, document)
        header["section"] = dispensation_sections(out, document, _first_party(out, document))
    elif isinstance(document, MedicalSummary):
        profile = "bundle-ips"
        ips = Code(code=IPS_TYPE, system=LOINC)
        header = composition(
            out,
            document,
            type_code=document.type if document.type.code == IPS_TYPE else ips,
            profile="composition-ips",
            tags=model_tags(document),
        )
        header["section"] = summary_sections(out, document)
    else:
        header = composition(out, document, type_code=document.type, profile="composition", tags=other_tags(document))
        header["section"] = other_sections(out, document)
    # What is not held as it is comes from the reviewed table, so that report and projection cannot disagree.
    out.log.extend(losses(document, "fhir"))
    bundle: Json = {
        "resourceType": "Bundle",
        "meta": {"profile": [PROFILES[profile]]},
        "identifier": identifier(document.id),
        "type": "document",
        "timestamp": date_time(timestamp or document.created_at),
        "entry": spell(out.entries, out.files),
    }
    return FhirDocument(bundle=bundle, loss=out.log.report())


def _missing(document: DocumentBase) -> Iterator[Unwritable]:
    """Each part that the document must get before it can be written."""
    if document.id is None:
        yield Unwritable(
            "FHIR-WRITE-001",
            "/id",
            Text("L'identifiant du document doit être donné avant l'écriture.", "The identifier must be given."),
            Text("Donnez « id ».", "Give id."),
        )
    if custodian_of(document) is None:
        yield Unwritable(
            "FHIR-WRITE-002",
            "/custodian",
            Text("La structure qui conserve le document manque.", "The custodian is missing."),
            Text("Donnez « custodian », ou la structure de l'auteur.", "Give a custodian, or the author's structure."),
        )
    if legal_of(document) is None:
        yield Unwritable(
            "FHIR-WRITE-003",
            "/legalAuthenticator",
            Text("Le responsable du document manque.", "The legal authenticator is missing."),
            Text("Donnez « legalAuthenticator ».", "Give legalAuthenticator."),
        )


def _first_party(out: BundleOut, document: DocumentBase) -> Json:
    """The role of the first author who is a person, else of who is legally responsible: prescriber, pharmacist."""
    for i, author in enumerate(document.authors):
        if author.professional is not None:
            return role(out, f"/authors/{i}", author.professional, author.function)
    legal = legal_of(document)
    assert legal is not None  # noqa: S101 - said missing otherwise
    return role(out, "/legalAuthenticator", legal[0])
