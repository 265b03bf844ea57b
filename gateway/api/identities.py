"""Identities to qualify: the work list, and what people report about a patient's identity."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection, select

from conformance.identity.status import Event
from gateway import identities
from gateway.api.access import Caller, Language, gateway_of, needs
from gateway.api.documents import PROBLEMS, READ_PROBLEMS
from gateway.api.identity_questions import NO_INSI, lookup_of
from gateway.api.receipts import local
from gateway.api.shapes import IdentityEventIn, IdentityOut, PendingIdentity
from gateway.context import Gateway
from gateway.neighbours import NotConfigured
from gateway.problems import Busy, Conflict, Invalid, NotFound, rule
from gateway.services import identity as service
from gateway.services.identity_accept import Acceptance, accept
from gateway.store.tables import identities as table

__all__ = ["router"]

router = APIRouter(prefix="/v1/identities", tags=["identities"])

UNKNOWN = rule(
    "API-IDT-001",
    "Cette identité n'existe pas pour vous.",
    "This identity does not exist for you.",
    "Prenez l'identifiant dans la liste des identités à qualifier.",
    "Take the id from the list of identities to qualify.",
)
BAD_EVENT = rule(
    "API-IDT-002",
    "Cet événement n'est pas connu ou ne vient pas de l'appelant.",
    "This event is not known or does not come from the caller.",
    "Donnez un événement parmi ceux attendus.",
    "Give one of the expected events.",
)
REFUSED_EVENT = rule(
    "API-IDT-003",
    "L'état de l'identité ne permet pas cet événement.",
    "The state of the identity does not allow this event.",
    "Levez d'abord le doute (CLEAR_DOUTEUX), puis recommencez.",
    "Clear the doubt first (CLEAR_DOUTEUX), then try again.",
)

NO_NUMBER = rule(
    "API-IDT-018",
    "Accepter une réponse de l'INSi demande le numéro montré.",
    "Accepting an answer of INSi needs the number shown.",
    "Donnez matricule, tel que l'a donné POST /v1/identities/search.",
    "Give matricule, as POST /v1/identities/search gave it.",
)

#: What a person may report by themselves; an answer of INSi is asked for again when a person accepts it.
_ALLOWED = (
    Event.PROOF_HIGH_CHECKED,
    Event.PROOF_LOW_CHECKED,
    Event.SET_DOUTEUX,
    Event.SET_HOMONYME,
    Event.CLEAR_DOUTEUX,
    Event.CLEAR_HOMONYME,
    Event.SET_FICTIF,
    Event.STRICT_TRAIT_EDITED,
)


@router.get("/pending", response_model=list[PendingIdentity], summary="Identities to qualify", responses=READ_PROBLEMS)
async def pending(
    request: Request,
    language: Language,
    caller: Annotated[Caller, Depends(needs("identities:read", "identities:write"))],
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """Patients whose documents wait, the longest waiting first, with what is missing for each."""
    gateway = gateway_of(request)
    rows = await gateway.store.read(lambda c: service.waiting(c, gateway.vault, caller.tenant_ids, limit=limit))
    out = [
        PendingIdentity(
            id=row.identity.id,
            status=str(row.identity.patient.status),
            missing=service.missing(row.identity.patient),
            documents=row.documents,
            oldest=local(row.oldest) or row.oldest,
            cause=row.cause.in_language(language) if row.cause else None,
            fix=row.fix.in_language(language) if row.fix else None,
        ).model_dump(mode="json", by_alias=True, exclude_none=True)
        for row in rows
    ]
    return JSONResponse(out, headers={"Cache-Control": "no-store"})


@router.post("/{identity_id}/events", response_model=IdentityOut, summary="Report what was done", responses=PROBLEMS)
async def report(
    request: Request,
    identity_id: str,
    said: IdentityEventIn,
    language: Language,
    caller: Annotated[Caller, Depends(needs("identities:write", "documents:write"))],
) -> Response:
    """Report that a proof was checked, a doubt raised or lifted, or that the patient objects to a sending.

    With `INSI_FOUND_ACCEPTED` a person who saw both sets of traits accepts INSi's answer: it is asked again, must name
    the `matricule` shown, and an answer to be reviewed needs `proof` and `reason`; another person's is never accepted.

    Documents that waited for this identity leave by themselves as soon as it is qualified.
    """
    gateway = gateway_of(request)
    event = None
    if said.event == Event.INSI_FOUND_ACCEPTED:
        return await _accepted(request, caller, identity_id, said)
    if said.event != "OPPOSED":
        if said.event not in _ALLOWED:
            words = ", ".join((Event.INSI_FOUND_ACCEPTED, *_ALLOWED, "OPPOSED"))
            raise Invalid([BAD_EVENT.finding("/event", expected=words)])
        event = Event(said.event)
    elif said.opposition is None:
        raise Invalid([BAD_EVENT.finding("/opposition", expected="dmp, mss, mss_citizen")])
    by = f"client:{caller.client.id}"
    now = gateway.now()

    def work(connection: Connection) -> tuple[identities.Identity, int]:
        row = connection.execute(
            select(table.c.id).where(table.c.id == identity_id, table.c.tenant_id.in_(caller.tenant_ids))
        ).first()
        if row is None:
            raise NotFound([UNKNOWN.finding("")])
        identity = identities.load(connection, gateway.vault, identity_id)
        if event is None:
            scope = said.opposition or "dmp"
            identities.object_to(connection, identity_id, scope, by, now)
            return identity, service.refuse_for_opposition(connection, gateway.vault, identity, scope, now=now, by=by)
        identity = service.apply(connection, gateway.vault, identity, event, now=now, proof=said.proof)
        released = service.release(connection, gateway.vault, identity, now=now, by=by)
        if not released:
            service.look_again(connection, identity, now)
        return identity, released

    try:
        identity, released = await gateway.store.write(work)
    except service.StatusError as exc:
        raise Conflict([REFUSED_EVENT.finding("/event", found=str(exc.refusal))], slug="event-refused") from None
    return _told(gateway, identity, released)


async def _accepted(request: Request, caller: Caller, identity_id: str, said: IdentityEventIn) -> Response:
    """A person accepts what INSi answers."""
    gateway = gateway_of(request)
    if said.matricule is None:
        raise Invalid([NO_NUMBER.finding("/matricule")])
    row = await gateway.store.read(
        lambda c: c.execute(
            select(table.c.tenant_id).where(table.c.id == identity_id, table.c.tenant_id.in_(caller.tenant_ids))
        ).first()
    )
    if row is None:
        raise NotFound([UNKNOWN.finding("")])
    tenant = next(one for one in caller.tenants if one.id == row.tenant_id)
    acceptance = Acceptance(
        matricule=said.matricule, proof=said.proof, reason=said.reason, by=f"client:{caller.client.id}"
    )
    try:
        identity, released = await accept(gateway, lookup_of(request), tenant, identity_id, acceptance)
    except service.StatusError as exc:
        raise Conflict([REFUSED_EVENT.finding("/event", found=str(exc.refusal))], slug="event-refused") from None
    except NotConfigured as exc:
        raise Busy([NO_INSI.finding("", found=exc.missing)], slug="not-configured") from None
    return _told(gateway, identity, released)


def _told(gateway: Gateway, identity: identities.Identity, released: int) -> Response:
    gateway.wake()
    out = IdentityOut(
        id=identity.id,
        status=str(identity.patient.status),
        attributes=list(identity.patient.attributes),
        has_ins=identity.patient.ins is not None,
        checked_at=local(identity.checked_at),
        missing=service.missing(identity.patient),
        released=released,
    )
    return JSONResponse(out.model_dump(mode="json", by_alias=True, exclude_none=True))
