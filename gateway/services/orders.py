"""The national service as the interface uses it: numbers at once, orders found there, executions made elsewhere."""

from __future__ import annotations

import ssl
from decimal import Decimal
from typing import Any, cast

import structlog
from sqlalchemy import Connection

from adapters.ordonnance.client import OrderService, OrdonnanceClient, OrdonnanceSettings
from adapters.ordonnance.outcomes import Kind, OrderServiceError
from gateway.context import Gateway
from gateway.orders.life import EventKind, Given, Refused
from gateway.orders.products import Presentations, read_presentations
from gateway.orders.rules import OrderRules
from gateway.services import order_store
from gateway.services.order_store import StoredOrder
from gateway.settings import Settings
from mappings import document as hub
from mappings.document.people import Ins
from mappings.document.prescription import Prescription
from mappings.document.values import moment_key

__all__ = ["NoNumber", "close_service", "find", "open_service", "rules_of", "service_of", "take_number"]

log = structlog.get_logger("passerelle.orders")


def open_service(settings: Settings) -> OrdonnanceClient | None:
    """A client of the national service; None when the settings name none."""
    group = settings.ordonnance
    if not group.base_url:
        return None
    context: ssl.SSLContext | bool = ssl.create_default_context(cafile=str(group.trust)) if group.trust else True
    return OrdonnanceClient(
        OrdonnanceSettings(
            base_url=group.base_url, api_key=group.api_key.get_secret_value(), timeout=group.timeout_seconds
        ),
        context,
    )


def service_of(gateway: Gateway) -> OrderService | None:
    """The running gateway's client of the service, made on first use; None when there is no service."""
    if "ordonnance" not in gateway.health:
        gateway.health["ordonnance"] = open_service(gateway.settings)
    return cast(OrderService | None, gateway.health["ordonnance"])


async def close_service(gateway: Gateway) -> None:
    """Let go of the client's connections."""
    client = gateway.health.pop("ordonnance", None)
    if client is not None:
        await client.aclose()


def rules_of(gateway: Gateway) -> OrderRules:
    """The rules of dispensation as the settings have them; tables of products are read once."""
    kept = gateway.health.get("order_rules")
    if kept is None:
        from datetime import timedelta

        group = gateway.settings.ordonnance
        table = Presentations()
        if group.presentations_file is not None:
            generics = group.generics_file.read_bytes() if group.generics_file else b""
            table = read_presentations(group.presentations_file.read_bytes(), generics)
        kept = gateway.health["order_rules"] = OrderRules(
            first_days=group.first_days,
            secured_days=group.secured_days,
            early_days=group.early_days,
            skew=timedelta(seconds=group.skew_seconds),
            presentations=table,
        )
    return cast(OrderRules, kept)


class NoNumber(Exception):
    """The national service gives no number now; ``code`` is its own when it refused."""

    def __init__(self, code: str | None) -> None:
        self.code = code
        super().__init__(code or "unavailable")


async def take_number(gateway: Gateway, operation: str, structure: str) -> str:
    """A number for a prescription about to be written, the same for the same operation; raises :class:`NoNumber`."""
    service = service_of(gateway)
    if service is None:
        raise NoNumber("not_configured")
    try:
        return await service.number(operation, structure)
    except OrderServiceError as exc:
        raise NoNumber(exc.outcome.original_code if exc.outcome.kind is Kind.REFUSED else None) from None


async def find(gateway: Gateway, number: str, ins: Ins) -> tuple[StoredOrder | None, str]:
    """The order of a number, refreshed by the national service, and what that service said.

    ``found``, the code of its refusal, or nothing when it could not be asked.

    An order written through another gateway is kept from what the service says of it; so are executions made elsewhere.
    The order may be another patient's: whoever asks compares the INS. Raises :class:`OrderServiceError` when the
    service refuses.
    """
    service = service_of(gateway)
    answer: dict[str, Any] | None = None
    said = ""
    if service is not None:
        try:
            answer = await service.search(number, ins.model_dump(mode="json"))
            said = "found"
        except OrderServiceError as exc:
            said = exc.outcome.original_code if exc.outcome.kind is Kind.REFUSED else ""
    known = await gateway.store.read(lambda c: order_store.by_number(c, gateway.vault, number))
    if known is None and answer is None:
        return None, said
    if answer is not None and (known is None or await _news(gateway, known, answer)):
        try:
            known = await gateway.store.write(lambda c: _bring(c, gateway, number, answer))
        except (ValueError, KeyError, TypeError) as exc:
            # What the service holds was written by another software; this one reads what it can.
            log.warning("order.not_read", error=type(exc).__name__)
            if known is None:
                return None, said
    order_id = str(known)
    return await gateway.store.read(lambda c: order_store.load(c, gateway.vault, order_id, gateway.now())), said


async def _news(gateway: Gateway, order_id: str, answer: dict[str, Any]) -> bool:
    stored = await gateway.store.read(lambda c: order_store.load(c, gateway.vault, order_id, gateway.now()))
    seen = {event.dispensation for event in stored.events}
    return any(one["execution"] not in seen for one in answer["executions"]) or (
        bool(answer["cancelled"]) and not (stored.view.cancelled or stored.view.replaced)
    )


def _bring(connection: Connection, gateway: Gateway, number: str, answer: dict[str, Any]) -> str:
    """Keep what the national service knows and this gateway does not."""
    vault, now = gateway.vault, gateway.now()
    order_id = order_store.by_number(connection, vault, number)
    if order_id is None:
        prescription = hub.load(answer["prescription"])
        if not isinstance(prescription, Prescription):
            raise TypeError("not a prescription")
        order_id = order_store.create(
            connection, vault, prescription, number=number, serial="", now=now, by="service:ordonnance"
        )
        order_store.append(connection, vault, order_id, EventKind.REGISTERED, at=now, by="service:ordonnance")
    order_store.lock(connection, order_id)
    stored = order_store.load(connection, vault, order_id, now)
    seen = {event.dispensation for event in stored.events}
    for one in answer["executions"]:
        if one["execution"] in seen:
            continue
        order_store.append(
            connection,
            vault,
            order_id,
            EventKind.DISPENSED,
            at=now,
            by=f"structure:{one['pharmacy']}",
            dispensation=one["execution"],
            acted_at=moment_key(one["at"]),
            given=tuple(
                Given(
                    line=line["line"],
                    quantity=Decimal(line["quantity"]),
                    closes=line.get("complete"),
                    code=line.get("code", ""),
                    excess_reason=line.get("excessReason"),
                )
                for line in one["lines"]
            ),
            refused=tuple(Refused(line=line["line"], reason=line["reason"]) for line in one["refused"]),
        )
    if answer["cancelled"] and not (stored.view.cancelled or stored.view.replaced):
        order_store.append(connection, vault, order_id, EventKind.CANCELLED, at=now, by="service:ordonnance")
    return order_id
