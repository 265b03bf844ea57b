"""What every call to the FHIR face needs: who asks, what a resource id names, answers in FHIR's own form."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Request, Response
from sqlalchemy import Connection, Row, select

from gateway.api.access import NO_SCOPE, Caller
from gateway.api.receipts import document_of
from gateway.api.record_access import records_of, visit_of
from gateway.context import Gateway
from gateway.problems import Forbidden, NotFound, Problem, rule
from gateway.services.fhir_face import own
from gateway.services.fhir_face.answers import fiche
from gateway.services.fhir_face.search import PATIENT_PARAMETERS
from gateway.services.handles import Target
from gateway.services.records import UNKNOWN_HANDLE, Visit
from gateway.store import blobs
from gateway.store.tables import documents
from gateway.tenants import Tenant
from mappings.xds import vocabulary as v

__all__ = ["FHIR", "base_of", "check_url", "fhir_json", "held", "own_document", "own_fiche", "reader"]

FHIR = "application/fhir+json"

PATIENT_IN_URL = rule(
    "PDSM-URL-001",
    "Un patient ne figure jamais dans une URL.",
    "A patient never stands in a URL.",
    "Cherchez par POST .../_search, les paramètres dans le corps (application/x-www-form-urlencoded).",
    "Search by POST .../_search, the parameters in the body (application/x-www-form-urlencoded).",
    "FHIR R4 search; confidentialité",
)
GONE = rule(
    "PDSM-READ-001",
    "Le document a été supprimé du DMP.",
    "The document was deleted from the DMP.",
    "Aucune action.",
    "Nothing to do.",
    "dmp.md 8.3",
)


def fhir_json(resource: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A resource as the answer."""
    return Response(orjson.dumps(resource), status, headers, media_type=FHIR)


def base_of(gateway: Gateway) -> str:
    """The address of the face."""
    return f"{gateway.settings.base_url.rstrip('/')}/fhir"


def check_url(request: Request) -> None:
    """Refuse a patient in the URL (400), whatever the method."""
    for name in request.query_params:
        if name.partition(":")[0].partition(".")[0] in {p.partition(".")[0] for p in PATIENT_PARAMETERS}:
            raise Problem([PATIENT_IN_URL.finding("", found="patient")], slug="patient-in-url", status=400)


def needs_scope(caller: Caller, *scopes: str) -> None:
    """Raise unless the token holds one of the scopes."""
    if not caller.scopes & set(scopes):
        raise Forbidden([NO_SCOPE.finding("Authorization", expected=" ".join(scopes))], slug="insufficient-scope")


async def reader(
    request: Request, caller: Caller, tenant: Tenant, actor_session: str | None, psc_token: str | None
) -> Visit:
    """The professional who reads."""
    needs_scope(caller, "records:read")
    return await visit_of(request, caller, tenant, actor_session, psc_token)


async def own_document(gateway: Gateway, tenant: Tenant, resource: str) -> Row[Any] | None:
    """The document sent here that a FHIR id names; None for a handle. Raises :class:`NotFound`."""
    name = own.document_id(resource)
    if name is None:
        return None
    row = await gateway.store.read(lambda c: document_of(c, name, [tenant.id]))
    if row is None:
        raise NotFound([UNKNOWN_HANDLE.finding("")])
    return row


async def held(request: Request, visit: Visit, resource: str) -> tuple[Target, Row[Any] | None]:
    """What a handle names, and the document when it was sent here."""
    records = records_of(request)
    target = await records.target(visit, resource)
    return target, await records.own_document(visit.tenant, target.unique_id)


async def own_fiche(gateway: Gateway, tenant: Tenant, document: Row[Any]) -> dict[str, Any]:
    """A document sent here as a DocumentReference; raises 410 once it was deleted."""

    def load(connection: Connection) -> tuple[bytes, tuple[str, frozenset[str], int], str]:
        cda = blobs.get(connection, gateway.vault, document.tenant_id, document.cda)
        former = ""
        if document.replaces is not None:
            row = connection.execute(
                select(documents.c.id).where(
                    documents.c.tenant_id == document.tenant_id, documents.c.unique_id == document.replaces
                )
            ).first()
            known = f"DocumentReference/{own.fhir_id(row.id)}" if row is not None else ""
            former = known or f"DocumentReference?identifier=urn:ietf:rfc:3986|urn:oid:{document.replaces}"
        return cda, own.state_of(connection, document), former

    cda, (status, visibility, version), former = await gateway.store.read(load)
    if status == v.DELETED:
        raise NotFound([GONE.finding("")], slug="deleted", status=410)
    entry = await gateway.compute(_entry, cda, status, visibility, version)
    return fiche(
        entry,
        handle=own.fhir_id(document.id),
        base=base_of(gateway),
        replaces=former,
        custodian=tenant.structure_id,
    )


def _entry(cda: bytes, status: str, visibility: frozenset[str], version: int) -> Any:
    return own.entry_of(cda, status=status, visibility=visibility, version=version)
