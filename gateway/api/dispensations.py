"""E-prescriptions for pharmacies: found by number and INS, dispensed in one or several goes, corrected, cancelled."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field, ValidationError
from sqlalchemy import Connection, Row, select

from gateway.api import relaying
from gateway.api.access import Caller, Language, gateway_of, needs, read_body
from gateway.api.documents import PROBLEMS, READ_PROBLEMS
from gateway.api.order_shapes import OrderOut, order_out
from gateway.api.prescriptions import NOTHING_TO_SEND
from gateway.api.receipts import local
from gateway.api.shapes import Fault, Shape
from gateway.api.taking import BAD_KEY, NO_KEY, body_mac
from gateway.context import Gateway
from gateway.orders.code import REPLAYED, BadCode, SignedCode, read_code
from gateway.orders.rules import FOREIGN, RULES, UNKNOWN, WRONG_PATIENT
from gateway.orders.states import OrderState
from gateway.problems import Busy, Conflict, Invalid, NotFound, Unreadable, rule
from gateway.services import order_store, orders
from gateway.services.dispensing import DispensationIn, read_dispensation
from gateway.services.faults import findings_of
from gateway.services.intake import UNREADABLE
from gateway.services.order_relays import send_again
from gateway.services.order_store import SHARED, StoredOrder
from gateway.store.order_tables import dispensations, order_relays
from mappings.document.base import Part
from mappings.document.people import Ins
from mappings.rendering.codes import CodeUnreadable, read_payload
from security import json as hard_json
from security.errors import UnsafeInput

__all__ = ["router"]

router = APIRouter(tags=["dispensations"])

NOT_FOUND = rule(
    "ORD-042",
    "Cette dispensation n'existe pas pour vous.",
    "This dispensation does not exist for you.",
    "Vérifiez l'identifiant reçu à l'envoi ; seule la pharmacie qui a dispensé peut corriger ou annuler.",
    "Check the identifier received when sending; only the pharmacy that dispensed may correct or cancel.",
)
NO_NAME = rule(
    "ORD-044",
    "Il faut le numéro ou le code scanné, avec l'INS du patient ; ou une ordonnance papier.",
    "The number or the scanned code is needed, with the patient's INS; or a paper prescription.",
    "Donnez number (ou code) et ins ; sinon paper et patient.",
    "Give number (or code) and ins; else paper and patient.",
)
NOT_REACHED = rule(
    "ORD-045",
    "Ce numéro n'est pas connu ici et la base nationale ne répond pas.",
    "This number is not known here and the national base does not answer.",
    "Recommencez plus tard, ou dispensez sur l'ordonnance papier, sans numéro.",
    "Try again later, or dispense on the paper prescription, without a number.",
)


class SearchIn(Part):
    """What finds an e-prescription."""

    number: str | None = Field(None, min_length=1, max_length=64)
    code: str | None = Field(None, max_length=400, description="Text of the scanned 2D code.")
    ins: Ins


class CancelIn(Part):
    """Why a dispensation is cancelled."""

    reason: str | None = Field(None, max_length=400)


class RelayOut(Shape):
    """What the national service said of it."""

    state: str = Field(description="none, queued, accepted, refused or abandoned.")
    attempts: int = 0
    code: str | None = None
    original_code: str | None = None
    cause: str | None = None
    fix: str | None = None


class DispensationOut(Shape):
    """A dispensation taken in charge."""

    id: str
    state: str = Field(description="kept, corrected or cancelled.")
    dispensed_at: datetime
    corrects: str | None = None
    document: str | None = Field(None, description="Its eDISP-MED document; absent when no medicine was given.")
    relay: RelayOut
    warnings: list[Fault] = Field(default_factory=list)
    order: OrderOut | None = None
    links: dict[str, str] = Field(default_factory=dict)


async def _json_of(request: Request, gateway: Gateway) -> tuple[Any, bytes]:
    body = await read_body(request, gateway.settings.max_body_bytes)
    try:
        return hard_json.loads(body, max_bytes=gateway.settings.max_body_bytes), body
    except UnsafeInput as exc:
        raise Unreadable([UNREADABLE.finding("", found=f"{exc.code} {exc.found}", expected=exc.expected)]) from None


def _out(out: Shape, status: int = 200, headers: dict[str, str] | None = None) -> JSONResponse:
    content = out.model_dump(mode="json", by_alias=True, exclude_none=True)
    return JSONResponse(content, status, {"Cache-Control": "no-store", **(headers or {})})


def _scanned(gateway: Gateway, text: str) -> SignedCode | str:
    """What a scanned code says: signed, or the number of the unsigned project format; refused with its reason."""
    if gateway.settings.ordonnance.code == "project-1":
        try:
            return read_payload(text).number
        except CodeUnreadable:
            raise Invalid([RULES["ORD-050"].finding("/code")], slug="invalid-code") from None
    try:
        return read_code(text, gateway.vault.key(SHARED, "code"), today=gateway.now().date())
    except BadCode as exc:
        raise Invalid([RULES[exc.code].finding("/code")], slug="invalid-code") from None


_USED = frozenset({OrderState.DISPENSED, OrderState.CANCELLED, OrderState.REPLACED})


async def _find(
    gateway: Gateway, number: str | None, code: str | None, ins: Ins, *, to_give: bool
) -> tuple[StoredOrder, str]:
    """The order a pharmacist means; raises :class:`NotFound`, :class:`Invalid` or :class:`Busy` with the reason."""
    scanned = _scanned(gateway, code) if code is not None else None
    wanted = scanned.number if isinstance(scanned, SignedCode) else scanned or number
    if not wanted:
        raise Invalid([NO_NAME.finding("/number")])
    stored, answered = await orders.find(gateway, wanted.strip(), ins)
    if stored is None:
        if answered == "WRONG_PATIENT":
            raise Invalid([WRONG_PATIENT.finding("/ins")], slug="wrong-patient")
        if answered == "FOREIGN_NUMBER":
            raise NotFound([FOREIGN.finding("/number")], slug="foreign-number")
        if not answered and gateway.settings.ordonnance.base_url:
            raise Busy([NOT_REACHED.finding("/number")], slug="service-unavailable", retry_after=30)
        raise NotFound([UNKNOWN.finding("/number")], slug="unknown-number")
    if stored.row.ins_lookup != order_store.ins_key(gateway.vault, ins):
        raise Invalid([WRONG_PATIENT.finding("/ins")], slug="wrong-patient")
    if isinstance(scanned, SignedCode):
        stale = bool(stored.serial) and scanned.serial != stored.serial
        if stale or (to_give and stored.view.state in _USED):
            raise Conflict([REPLAYED.finding("/code", found=str(stored.view.state))], slug="code-replayed")
    return stored, answered


@router.post("/v1/orders/search", response_model=OrderOut, summary="Find an e-prescription", responses=PROBLEMS)
async def search(
    request: Request,
    language: Language,
    caller: Annotated[Caller, Depends(needs("dispensations:write"))],
) -> Response:
    """Find an e-prescription by its number, or its scanned code, and the patient's INS; see what may still be given."""
    gateway = gateway_of(request)
    value, _ = await _json_of(request, gateway)
    try:
        said = SearchIn.model_validate(value)
    except ValidationError as exc:
        raise Invalid(list(findings_of(exc))) from None
    stored, answered = await _find(gateway, said.number, said.code, said.ins, to_give=False)
    out = order_out(stored, own=False, fresh=bool(answered))
    return _out(out, headers={"ETag": f'"{stored.row.version}"'})


@router.post(
    "/v1/dispensations",
    status_code=202,
    response_model=DispensationOut,
    summary="Relay a dispensation",
    responses=PROBLEMS,
)
async def dispense(
    request: Request,
    language: Language,
    caller: Annotated[Caller, Depends(needs("dispensations:write"))],
    idempotency_key: Annotated[str | None, Header(description="One value a dispensation.")] = None,
    passerelle_tenant: Annotated[str | None, Header(description="Structure acted for, when several.")] = None,
) -> Response:
    """Relay what was given and refused of an e-prescription, or of a paper one: kept, fed to the DMP, told.

    Accepted (202) even when the national service is down: the relay is settled later. When another pharmacy came
    first, the answer (409) says what is left.
    """
    return await _relay(request, language, caller, idempotency_key, passerelle_tenant, None)


@router.post(
    "/v1/dispensations/{dispensation_id}/correct",
    status_code=202,
    response_model=DispensationOut,
    summary="Correct a dispensation",
    responses=PROBLEMS,
)
async def correct(
    request: Request,
    dispensation_id: str,
    language: Language,
    caller: Annotated[Caller, Depends(needs("dispensations:write"))],
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """Replace a dispensation by what was really given: the former no longer counts, its document is replaced."""
    gateway = gateway_of(request)
    row = await gateway.store.read(lambda c: _own(c, caller, dispensation_id))
    return await _relay(request, language, caller, idempotency_key, row.tenant_id, row)


async def _relay(
    request: Request,
    language: str,
    caller: Caller,
    key: str | None,
    wanted: str | None,
    corrects: Row[Any] | None,
) -> Response:
    gateway = gateway_of(request)
    tenant = caller.acting_for(wanted)
    if key is None:
        raise Invalid([NO_KEY.finding("Idempotency-Key")])
    if not (1 <= len(key) <= 200 and key.isprintable()):
        raise Invalid([BAD_KEY.finding("Idempotency-Key")])
    value, body = await _json_of(request, gateway)
    mac = body_mac(gateway, tenant, body)
    known = await gateway.store.read(lambda c: relaying.earlier(c, caller.client.id, key, mac))
    if known is None:
        said = read_dispensation(value)
        order_id = await _order_of(gateway, said, corrects)
        known = await relaying.keep(
            gateway, said, order_id, caller=caller, tenant=tenant, key=key, mac=mac, corrects=corrects
        )
    done = known
    out = await gateway.store.read(lambda c: _shown(c, gateway, caller, done.id, language))
    headers = {"Location": f"/v1/dispensations/{done.id}"}
    if done.replayed:
        headers["Idempotent-Replayed"] = "true"
    return _out(out, 202, headers)


async def _order_of(gateway: Gateway, said: DispensationIn, corrects: Row[Any] | None) -> str | None:
    if corrects is not None:
        return str(corrects.order_id) if corrects.order_id else None
    if said.number is None and said.code is None:
        if said.paper is None:
            raise Invalid([NO_NAME.finding("/number")])
        return None
    if said.ins is None:
        raise Invalid([NO_NAME.finding("/ins")])
    if said.patient is not None and said.patient.ins is not None and said.patient.ins != said.ins:
        raise Invalid([WRONG_PATIENT.finding("/patient/ins")], slug="wrong-patient")
    stored, _ = await _find(gateway, said.number, said.code, said.ins, to_give=True)
    return str(stored.row.id)


def _own(connection: Connection, caller: Caller, dispensation_id: str) -> Row[Any]:
    row = connection.execute(
        select(dispensations).where(
            dispensations.c.id == dispensation_id, dispensations.c.tenant_id.in_(caller.tenant_ids)
        )
    ).first()
    if row is None:
        raise NotFound([NOT_FOUND.finding("")])
    return row


def _shown(
    connection: Connection, gateway: Gateway, caller: Caller, dispensation_id: str, language: str
) -> DispensationOut:
    row = _own(connection, caller, dispensation_id)
    english = language == "en"
    relay = connection.execute(
        select(order_relays).where(order_relays.c.dispensation_id == row.id, order_relays.c.action == "execute")
    ).first()
    order = None
    if row.order_id is not None:
        order = order_out(order_store.load(connection, gateway.vault, row.order_id, gateway.now()), own=False)
    return DispensationOut(
        id=row.id,
        state=row.state,
        dispensed_at=local(row.acted_at) or row.acted_at,
        corrects=row.corrects,
        document=row.document_id,
        relay=RelayOut(
            state=row.relay,
            attempts=relay.attempts if relay else 0,
            code=relay.code if relay else None,
            original_code=relay.original_code if relay else None,
            cause=(relay.cause_en if english else relay.cause_fr) if relay else None,
            fix=(relay.fix_en if english else relay.fix_fr) if relay else None,
        ),
        warnings=[Fault.model_validate(pair["en" if english else "fr"]) for pair in row.warnings],
        order=order,
        links={
            "self": f"/v1/dispensations/{row.id}",
            **({"document": f"/v1/documents/{row.document_id}"} if row.document_id else {}),
        },
    )


@router.get(
    "/v1/dispensations/{dispensation_id}",
    response_model=DispensationOut,
    summary="Read a dispensation",
    responses=READ_PROBLEMS,
)
async def read(
    request: Request,
    dispensation_id: str,
    language: Language,
    caller: Annotated[Caller, Depends(needs("dispensations:write", "documents:read"))],
) -> Response:
    """A dispensation of your pharmacy, what the national service said of it, and the order as it stands."""
    gateway = gateway_of(request)
    return _out(await gateway.store.read(lambda c: _shown(c, gateway, caller, dispensation_id, language)))


@router.post(
    "/v1/dispensations/{dispensation_id}/cancel",
    response_model=DispensationOut,
    summary="Cancel a dispensation",
    responses=PROBLEMS,
)
async def cancel(
    request: Request,
    dispensation_id: str,
    said: CancelIn,
    language: Language,
    caller: Annotated[Caller, Depends(needs("dispensations:write"))],
) -> Response:
    """Take a dispensation back whole: what it gave may be given again, and its document leaves the DMP.

    Asked again, it answers the same.
    """
    gateway = gateway_of(request)
    by, now = f"client:{caller.client.id}", gateway.now()

    def work(connection: Connection) -> None:
        row = _own(connection, caller, dispensation_id)
        if row.state != "cancelled":
            relaying.take_back(connection, gateway, row, by=by, reason=said.reason, now=now)

    await gateway.store.write(work)
    gateway.wake()
    return _out(await gateway.store.read(lambda c: _shown(c, gateway, caller, dispensation_id, language)))


@router.post(
    "/v1/dispensations/{dispensation_id}/resend",
    status_code=202,
    response_model=DispensationOut,
    summary="Tell the national base of a dispensation again",
    responses=PROBLEMS,
)
async def resend(
    request: Request,
    dispensation_id: str,
    language: Language,
    caller: Annotated[Caller, Depends(needs("dispensations:write"))],
) -> Response:
    """Send again a relay given up after days of outage, under its own operation: it is never done twice."""
    gateway = gateway_of(request)
    by, now = f"client:{caller.client.id}", gateway.now()

    def work(connection: Connection) -> int:
        row = _own(connection, caller, dispensation_id)
        if row.order_id is None:
            return 0
        return send_again(
            connection, gateway.vault, row.order_id, dispensation=row.id, by=by, tenant=row.tenant_id, now=now
        )

    if not await gateway.store.write(work):
        raise Conflict([NOTHING_TO_SEND.finding("")], slug="nothing-to-send")
    gateway.wake()
    return _out(await gateway.store.read(lambda c: _shown(c, gateway, caller, dispensation_id, language)), 202)
