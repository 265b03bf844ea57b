"""Changes to documents of a record: masked, shown, archived, deleted, replaced."""

from __future__ import annotations

from dataclasses import replace as changed
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Request, Response
from sqlalchemy import Connection, Row

from gateway.api.access import NO_SCOPE, Caller, Language, gateway_of, needs
from gateway.api.documents import PROBLEMS, taken
from gateway.api.receipts import document_of, receipt
from gateway.api.record_access import (
    NOT_IN_DMP,
    ActorSession,
    PscToken,
    TenantHeader,
    TestCase,
    ask,
    check_grant,
    fed_document,
    named,
    records_of,
    visit_of,
)
from gateway.api.record_answers import found_json
from gateway.api.record_shapes import ChangeIn, schema_of
from gateway.api.records import out_of
from gateway.api.shapes import Receipt
from gateway.api.taking import Coming, announced, read_sent, take
from gateway.context import Gateway
from gateway.journey.changes import Asked, NotFed, ask_change
from gateway.problems import Conflict, Forbidden, Invalid, NotFound, rule
from gateway.services.consulting import NO_SESSION, Session, open_session
from gateway.services.envelope import Sent
from gateway.services.evidence import about
from gateway.services.intake import Intake
from gateway.services.record_changes import Change
from gateway.services.records import UNKNOWN_HANDLE
from gateway.store.tables import documents
from security import json
from security.errors import UnsafeInput

__all__ = ["check_reading", "queue_change", "router"]

router = APIRouter(prefix="/v1/records/documents", tags=["records"])

OTHER_TARGET = rule(
    "API-RECORD-012",
    "Le document envoyé ne dit pas remplacer celui-là.",
    "The document sent does not say that it replaces this one.",
    "Mettez dans replaces (relatedDocument RPLC) l'identifiant du document remplacé.",
    "Put the replaced document's identifier in replaces (relatedDocument RPLC).",
)

_CHANGES = {
    "mask": Change.MASK,
    "unmask": Change.UNMASK,
    "visible": Change.VISIBLE,
    "visible_to_representatives": Change.VISIBLE_REPRESENTATIVES,
    "archive": Change.ARCHIVE,
    "unarchive": Change.UNARCHIVE,
}


@router.patch(
    "/{handle}",
    summary="Mask, show or archive a document",
    responses={202: {"model": Receipt, "description": "Queued behind what was asked before"}, **PROBLEMS},
    openapi_extra=schema_of(ChangeIn),
)
async def change(
    request: Request,
    handle: str,
    language: Language,
    caller: Annotated[Caller, Depends(needs("documents:write"))],
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
) -> Response:
    """Mask a document from professionals or unmask it, show it to the patient, archive it or bring it back (TD3.3).

    A document that this gateway fed is changed in the order of what was sent for it: 202, and a delivery to follow.
    Any other is changed at once: 200, and the document as it is now.
    """
    check_reading(caller)
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    asked = await ask(request, ChangeIn)
    visit = await visit_of(request, caller, tenant, actor_session, psc_token)
    target, own = await named(request, gateway, visit, handle)
    if own is not None:
        return await _queued(gateway, caller, own, _CHANGES[asked.action], visit.session, language, test_case)
    with about(test_case=test_case):
        changed = await records_of(request).change(visit, target, _CHANGES[asked.action])
    return out_of(found_json(changed))


@router.delete(
    "/{handle}",
    summary="Delete a document",
    responses={
        202: {"model": Receipt, "description": "Queued behind what was asked before"},
        204: {"description": "Deleted"},
        **PROBLEMS,
    },
)
async def delete(
    request: Request,
    handle: str,
    language: Language,
    caller: Annotated[Caller, Depends(needs("documents:write"))],
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
) -> Response:
    """Delete a document from the record (TD3.3c), which only its author and the structure that fed it may do.

    What this gateway fed (`doc_...`, or a handle) is deleted in the order of what was sent for it, in the structure's
    name: no session is needed, and a sending that has not begun is stopped instead. Any other is deleted at once.
    """
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    if handle.startswith("doc_"):
        own = await fed_document(gateway, tenant, handle)
        session = None
        if actor_session:
            session = open_session(gateway.vault, tenant, caller.client.id, actor_session, gateway.now())
            await check_grant(gateway, caller, tenant, session)
        return await _queued(gateway, caller, own, Change.DELETE, session, language, test_case)
    check_reading(caller)
    visit = await visit_of(request, caller, tenant, actor_session, psc_token)
    target, known = await named(request, gateway, visit, handle)
    if known is not None:
        return await _queued(gateway, caller, known, Change.DELETE, visit.session, language, test_case)
    with about(test_case=test_case):
        await records_of(request).change(visit, target, Change.DELETE)
    return Response(status_code=204)


def check_reading(caller: Caller) -> None:
    """Raise unless the token may read records."""
    if "records:read" not in caller.scopes:
        raise Forbidden([NO_SCOPE.finding("Authorization", expected="records:read")], slug="insufficient-scope")


async def queue_change(
    gateway: Gateway,
    caller: Caller,
    document: Row[Any],
    change: Change,
    session: Session | None,
    test_case: str | None,
) -> Asked:
    """Queue a change of what this gateway fed, and set the workers going; raises :class:`Conflict`."""
    if change is not Change.DELETE and (session is None or not session.strong):
        raise Forbidden([NO_SESSION.finding("Passerelle-Actor-Session")], slug="actor-required")

    def work(connection: Connection) -> Asked:
        # Locked: two changes of one document asked at once have their order all the same.
        row = connection.execute(documents.select().where(documents.c.id == document.id).with_for_update()).one()
        try:
            return ask_change(
                connection,
                gateway.vault,
                row,
                change,
                session=session,
                by=f"client:{caller.client.id}",
                now=gateway.now(),
                test_case=test_case,
            )
        except NotFed:
            raise Conflict([NOT_IN_DMP.finding("")], slug="not-in-dmp") from None

    asked = await gateway.store.write(work)
    gateway.wake()
    return asked


async def _queued(
    gateway: Gateway,
    caller: Caller,
    document: Row[Any],
    change: Change,
    session: Session | None,
    language: str,
    test_case: str | None,
) -> Response:
    """Queue a change; the receipt names its delivery."""
    await queue_change(gateway, caller, document, change, session, test_case)

    def load(connection: Connection) -> Receipt:
        row = document_of(connection, document.id, [document.tenant_id])
        if row is None:
            raise NotFound([UNKNOWN_HANDLE.finding("")])
        return receipt(connection, row, language)

    return out_of(await gateway.store.read(load), 202, {"Location": f"/v1/documents/{document.id}"})


@router.put(
    "/{handle}",
    status_code=202,
    response_model=Receipt,
    summary="Replace a document",
    responses=PROBLEMS,
)
async def replace(
    request: Request,
    handle: str,
    language: Language,
    caller: Annotated[Caller, Depends(needs("documents:write", "dispensations:write"))],
    actor_session: ActorSession = None,
    psc_token: PscToken = None,
    idempotency_key: Annotated[str | None, Header(description="One value a document, kept by the sender.")] = None,
    test_case: TestCase = None,
    passerelle_tenant: TenantHeader = None,
    passerelle_actor: Annotated[str | None, Header(description="PS_IdNat of the actor, when not the author.")] = None,
) -> Response:
    """Replace a document by a new version (TD2.1b): the same bodies as `POST /v1/documents`, the same receipt.

    Our JSON may leave out `replaces`, `setId` and `versionNumber`; a CDA or a Bundle must name what it replaces.
    """
    gateway = gateway_of(request)
    tenant = caller.acting_for(passerelle_tenant)
    if handle.startswith("doc_"):
        own = await fed_document(gateway, tenant, handle)
        former = own.unique_id
        known: Row[Any] | None = own
    else:
        visit = await visit_of(request, caller, tenant, actor_session, psc_token)
        target, known = await named(request, gateway, visit, handle)
        former = target.unique_id

    def amend(intake: Intake) -> Intake:
        if intake.replaces != former:
            raise Invalid([OTHER_TARGET.finding("/replaces/id", found=intake.replaces, expected=former)])
        return intake

    with gateway.gate.enter(announced(request)):
        sent, content = await read_sent(request, gateway)
        coming = Coming(
            sent=_as_new_version(sent, former, known),
            content=content,
            key=idempotency_key,
            actor=passerelle_actor,
            test_case=test_case,
            amend=amend,
        )
        done = await take(request, gateway, caller, tenant, coming)
    return await taken(gateway, done, caller, language)


def _as_new_version(sent: Sent, former: str, known: Row[Any] | None) -> Sent:
    """Our JSON with what it left out: the version replaced, and its place in the line of versions."""
    if sent.form != "json":
        return sent
    try:
        value = json.loads(sent.body, max_bytes=len(sent.body) + 1)
    except UnsafeInput:
        return sent  # its fault is told by whoever reads it next
    if not isinstance(value, dict):
        return sent
    value.setdefault("replaces", {"id": _identifier(former)})
    if known is not None:
        value.setdefault("setId", _identifier(known.set_id))
        value.setdefault("versionNumber", known.version_number + 1)
    return changed(sent, body=orjson.dumps(value, default=str))


def _identifier(text: str) -> dict[str, str]:
    root, _, extension = text.partition("^")
    return {"root": root, "extension": extension} if extension else {"root": root}
