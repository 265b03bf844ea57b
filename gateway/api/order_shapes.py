"""The JSON of prescriptions, orders and dispensations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from gateway.api.receipts import local
from gateway.api.shapes import Fault, Shape
from gateway.services.order_store import StoredOrder

__all__ = ["EventOut", "LineOut", "OrderOut", "order_out"]


class LineOut(Shape):
    """One line, and what may still be given of it."""

    id: str
    label: str
    device: bool
    state: str = Field(description="prescribed, partially-dispensed, dispensed, not-dispensed, cancelled or expired.")
    prescribed: str | None = Field(None, description="Quantity of one delivery; absent when the prescriber gave none.")
    unit: str | None = None
    left: str | None = Field(None, description="What may still be given in the delivery under way.")
    renewals: int
    renewals_left: int
    deliveries_made: int
    given: str = Field(description="Everything given on the line, all deliveries together.")
    excess: str | None = Field(None, description="What went over the quantity prescribed, with a stated reason.")
    substitutable: bool
    refused: str | None = Field(None, description="Why it was not given, when it was refused last.")


class EventOut(Shape):
    """One thing that happened to an order."""

    seq: int
    kind: str
    at: datetime
    by: str
    dispensation: str | None = None
    acted_at: datetime | None = None
    lines: list[dict[str, Any]] = Field(default_factory=list)
    refused: list[dict[str, Any]] = Field(default_factory=list)
    reason: str | None = None


class OrderOut(Shape):
    """An e-prescription and where it stands."""

    id: str
    number: str
    state: str
    version: int = Field(description="Changes whenever what may still be given changes.")
    issued_at: datetime
    valid_until: datetime | None = None
    prescriber: dict[str, Any]
    lines: list[LineOut]
    contested: list[str] = Field([], description="Dispensations that the national service refused.")
    fresh: bool | None = Field(None, description="The national service could be asked just now.")
    replaces: str | None = None
    document: str | None = None
    warnings: list[Fault] = Field(default_factory=list)
    events: list[EventOut] = Field(default_factory=list)
    links: dict[str, str] = Field(default_factory=dict)


def _number(value: Any) -> str:
    return format(value.normalize(), "f") if value else "0"


def order_out(stored: StoredOrder, *, own: bool, fresh: bool | None = None) -> OrderOut:
    """An order as the interface shows it; ``own`` shows the prescriber's document too."""
    row, view = stored.row, stored.view
    first = stored.prescription.first_professional
    prescriber: dict[str, Any] = {}
    if first is not None:
        prescriber = {
            "id": first.id.extension,
            "family": first.family,
            "given": first.given,
            "structure": first.organization.name if first.organization else None,
        }
    out = OrderOut(
        id=row.id,
        number=stored.number,
        state=str(view.state),
        version=row.version,
        issued_at=local(stored.order.issued_at) or stored.order.issued_at,
        valid_until=local(stored.order.valid_until),
        prescriber=prescriber,
        fresh=fresh,
        replaces=row.replaces,
        contested=sorted(view.contested),
        lines=[
            LineOut(
                id=one.line.id,
                label=one.line.label,
                device=one.line.device,
                state=str(one.state),
                prescribed=_number(one.line.quantity) if one.line.quantity is not None else None,
                unit=one.line.unit,
                left=_number(one.left) if one.left is not None else None,
                renewals=one.line.renewals,
                renewals_left=one.renewals_left,
                deliveries_made=one.made,
                given=_number(one.total),
                excess=_number(one.excess) if one.excess else None,
                substitutable=one.line.substitutable,
                refused=one.refused,
            )
            for one in view.lines.values()
        ],
        events=[
            EventOut(
                seq=event.seq,
                kind=str(event.kind),
                at=local(event.at) or event.at,
                by=event.by if own or not event.by.startswith("client:") else "client",
                dispensation=event.dispensation,
                acted_at=local(event.acted_at),
                lines=[
                    {
                        "line": g.line,
                        "quantity": _number(g.quantity),
                        "completeness": g.code,
                        **({"excess": _number(g.excess), "excessReason": g.excess_reason} if g.excess else {}),
                    }
                    for g in event.given
                ],
                refused=[{"line": r.line, "reason": r.reason} for r in event.refused],
                reason=event.reason,
            )
            for event in stored.events
        ],
    )
    if own and row.document_id:
        out.document = row.document_id
        base = f"/v1/documents/{row.document_id}"
        out.links = {
            "self": f"/v1/prescriptions/{row.id}",
            "document": base,
            "printed": f"/v1/prescriptions/{row.id}/pdf",
            "cda": f"{base}/cda",
            "fhir": f"{base}/fhir",
        }
    return out
