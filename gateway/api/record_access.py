"""What every call about a record needs: the question read, the structure, the professional, the connections."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import Header, Request
from pydantic import ValidationError
from sqlalchemy import Connection, Row

from conformance.identity.check import check_identity
from conformance.identity.traits import Traits
from conformance.verdict import Severity
from gateway import identities, tenants
from gateway.api.access import Caller, gateway_of, read_body
from gateway.api.receipts import document_of
from gateway.api.record_shapes import PatientIn
from gateway.api.shapes import Shape
from gateway.api.taking import WRONG_ACTOR
from gateway.context import Gateway
from gateway.journey.changes import patient_id
from gateway.problems import Conflict, Forbidden, Invalid, NotFound, Unreadable, rule
from gateway.services.consulting import NO_SESSION, Session, actor_of, open_session, proven
from gateway.services.faults import findings_of
from gateway.services.handles import Target
from gateway.services.intake import describe_actor
from gateway.services.records import UNKNOWN_HANDLE, Records, Visit
from gateway.tenants import Tenant
from mappings.document.people import Professional
from mappings.xds import PatientId
from security import json
from security.errors import UnsafeInput
from security.vihf import Purpose

__all__ = [
    "ActorSession",
    "PscToken",
    "TenantHeader",
    "TestCase",
    "ask",
    "check_grant",
    "fed_document",
    "local_session",
    "named",
    "patient_of",
    "records_of",
    "session_of",
    "visit_of",
]

M = TypeVar("M", bound=Shape)
_MAX_BODY = 256 * 1024

UNREADABLE = rule(
    "API-RECORD-010",
    "La question n'est pas lisible.",
    "The question cannot be read.",
    "Envoyez un objet JSON.",
    "Send a JSON object.",
)

NOT_IN_DMP = rule(
    "API-RECORD-013",
    "Le document n'est pas dans le DMP et n'y sera pas.",
    "The document is not in the DMP and will not be.",
    "Aucune action : il n'y a rien à modifier.",
    "Nothing to do: there is nothing to change.",
)

ActorSession = Annotated[str | None, Header(alias="Passerelle-Actor-Session", description="Session of the reader.")]
PscToken = Annotated[
    str | None, Header(alias="Passerelle-Psc-Token", description="Access token of Pro Santé Connect of the reader.")
]
TenantHeader = Annotated[
    str | None, Header(alias="Passerelle-Tenant", description="Structure acted for, when several.")
]
TestCase = Annotated[
    str | None,
    Header(alias="Passerelle-Test-Case", max_length=80, description="Homologation test exchanges are kept under."),
]


async def ask(request: Request, model: type[M]) -> M:
    """The question of a request; raises :class:`Unreadable` or :class:`Invalid` with every fault."""
    try:
        value = json.loads(await read_body(request, _MAX_BODY))
    except UnsafeInput as error:
        raise Unreadable([UNREADABLE.finding("", found=error.code)]) from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Invalid(list(findings_of(error)), slug="invalid-request") from None


def records_of(request: Request) -> Records:
    """The gateway's way to records; opened at the first question."""
    records: Records | None = getattr(request.app.state, "records", None)
    if records is None:
        gateway = gateway_of(request)
        records = request.app.state.records = Records(gateway)
        gateway.health.setdefault("closers", []).append(records.close)
    return records


def patient_of(asked: PatientIn, gateway: Gateway) -> PatientId:
    """The patient asked about, the number and the traits given checked together; raises :class:`Invalid`."""
    given = {
        name: getattr(asked, name) or ""
        for name in ("birth_name", "first_given_name", "given_names", "sex", "birth_date", "birth_place")
    }
    verdict = check_identity(
        matricule=asked.ins.value,
        oid=asked.ins.authority,
        environment=gateway.settings.environment,
        traits=Traits(**given),
        status="qualifiee",
    )
    # What was not given is not asked for: only the number names the record.
    faults = [
        f
        for f in verdict.findings
        if f.severity is Severity.ERROR and not (f.found == "absent" and "/ins" not in f.location)
    ]
    if faults:
        raise Invalid(faults, slug="invalid-identity")
    return PatientId(value=asked.ins.value.strip().upper(), authority=asked.ins.authority.strip(), id_type="NH")


def local_session(actor: Professional, tenant: Tenant, gateway: Gateway) -> Session:
    """A professional for whom the calling software vouches: enough to ask for a status, not to read."""
    from datetime import timedelta

    now = gateway.now()
    said = describe_actor(actor)
    if said["structure"] != tenant.structure_id:
        raise Forbidden([WRONG_ACTOR.finding("/actor")], slug="actor-not-granted")
    return Session(
        actor=actor_of(said, tenant, authenticated_at=now - timedelta(seconds=1)),
        method="local",
        expires_at=now + timedelta(minutes=1),
    )


async def session_of(
    request: Request, caller: Caller, tenant: Tenant, actor_session: str | None, psc: str | None
) -> Session:
    """The professional behind a request's headers; raises when there is none."""
    gateway = gateway_of(request)
    if actor_session:
        return open_session(gateway.vault, tenant, caller.client.id, actor_session, gateway.now())
    if psc:
        verifier: Any = getattr(request.app.state, "psc_verifier", None)
        return await proven(verifier, psc, tenant, profession=None, settings=gateway.settings, now=gateway.now())
    raise Forbidden([NO_SESSION.finding("Passerelle-Actor-Session")], slug="actor-required")


async def visit_of(
    request: Request,
    caller: Caller,
    tenant: Tenant,
    actor_session: str | None,
    psc: str | None,
    *,
    purpose: str = "normal",
    fallback: Session | None = None,
) -> Visit:
    """Who asks, checked against the program's grant; ``fallback`` serves when no header names a professional."""
    gateway = gateway_of(request)
    if fallback is not None and not (actor_session or psc):
        session = fallback
    else:
        session = await session_of(request, caller, tenant, actor_session, psc)
    await check_grant(gateway, caller, tenant, session)
    return Visit(tenant=tenant, client=caller.client.id, session=session, purpose=Purpose(purpose))


async def check_grant(gateway: Gateway, caller: Caller, tenant: Tenant, session: Session) -> None:
    """The program may act as this professional; raises :class:`Forbidden`."""
    actor = session.actor
    allowed = await gateway.store.read(
        lambda c: tenants.may_act(c, caller.client.id, tenant, actor.id, actor.structure_id)
    )
    if not allowed:
        raise Forbidden([WRONG_ACTOR.finding("Passerelle-Actor-Session")], slug="actor-not-granted")


async def named(request: Request, gateway: Gateway, visit: Visit, handle: str) -> tuple[Target, Row[Any] | None]:
    """What a handle names, and the document when this gateway fed it; ``doc_...`` names what was sent here."""
    records = records_of(request)
    if handle.startswith("doc_"):
        return await _own(gateway, visit.tenant, handle)
    target = await records.target(visit, handle)
    return target, await records.own_document(visit.tenant, target.unique_id)


async def _own(gateway: Gateway, tenant: Tenant, document_id: str) -> tuple[Target, Row[Any]]:
    def load(connection: Connection) -> tuple[Target, Row[Any]]:
        row = document_of(connection, document_id, [tenant.id])
        if row is None:
            raise NotFound([UNKNOWN_HANDLE.finding("")])
        try:
            patient = patient_id(identities.load(connection, gateway.vault, row.identity_id))
        except ValueError:
            raise Conflict([NOT_IN_DMP.finding("")], slug="not-in-dmp") from None
        return Target(patient=patient, unique_id=row.unique_id), row

    return await gateway.store.read(load)


async def fed_document(gateway: Gateway, tenant: Tenant, document_id: str) -> Row[Any]:
    """The document that was sent here under an id; raises :class:`NotFound`."""

    def load(connection: Connection) -> Row[Any]:
        row = document_of(connection, document_id, [tenant.id])
        if row is None:
            raise NotFound([UNKNOWN_HANDLE.finding("")])
        return row

    return await gateway.store.read(load)
