"""Receipts from rows, in the caller's language and in Paris time."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from gateway.api.shapes import DeliveryOut, Fault, HistoryRow, Outcome, Receipt, words
from gateway.store.tables import deliveries, documents, history

__all__ = ["local", "receipt"]

PARIS = ZoneInfo("Europe/Paris")


def local(at: datetime | None) -> datetime | None:
    """An instant as the clock on the wall shows it, with its offset, to the second."""
    return at.astimezone(PARIS).replace(microsecond=0) if at else None


def _delivery(row: Row[Any], language: str) -> DeliveryOut:
    outcome = None
    if row.outcome:
        outcome = Outcome(
            code=row.outcome["code"],
            original_code=row.outcome.get("originalCode"),
            original_text=row.outcome.get("originalText"),
            cause=words(row.outcome.get("cause"), language),
            fix=words(row.outcome.get("fix"), language),
        )
    english = language == "en"
    return DeliveryOut(
        id=row.id,
        to=row.destination,
        action=row.action,
        state=row.state,
        reason=row.reason,
        cause=row.cause_en if english else row.cause_fr,
        fix=row.fix_en if english else row.fix_fr,
        recipients=row.recipients or None,
        attempts=row.attempts,
        next_attempt_at=local(row.next_attempt_at) if row.state in ("queued", "retrying", "uncertain") else None,
        expires_at=local(row.expires_at) if row.state == "held" else None,
        outcome=outcome,
        reference=(row.receipt or {}).get("reference"),
    )


def receipt(connection: Connection, document: Row[Any], language: str, *, whole: bool = False) -> Receipt:
    """The receipt of a document; with ``whole`` its history too."""
    rows = connection.execute(
        select(deliveries).where(deliveries.c.document_id == document.id).order_by(deliveries.c.rank)
    )
    base = f"/v1/documents/{document.id}"
    out = Receipt(
        id=document.id,
        state=document.state,
        kind=document.kind,
        unique_id=document.unique_id,
        received_at=document.received_at.astimezone(PARIS).replace(microsecond=0),
        deliveries=[_delivery(row, language) for row in rows],
        loss={key: document.loss[key] for key in ("carried", "textOnly", "lost")},
        warnings=[Fault.model_validate(pair["en" if language == "en" else "fr"]) for pair in document.warnings],
        links={
            "self": base,
            "cda": f"{base}/cda",
            "fhir": f"{base}/fhir",
            "loss": f"{base}/loss",
            "view": f"{base}/view",
        },
    )
    if whole:
        out.history = [
            HistoryRow(
                at=local(row.at),
                subject="delivery" if row.delivery_id else "document",
                id=row.delivery_id or row.document_id,
                from_=row.from_state,
                to=row.to_state,
                code=row.code,
                cause=row.cause_en if language == "en" else row.cause_fr,
                by=row.by,
            )
            for row in connection.execute(
                select(history).where(history.c.document_id == document.id).order_by(history.c.id)
            )
        ]
    return out


def document_of(connection: Connection, document_id: str, tenant_ids: list[str]) -> Row[Any] | None:
    """The document of an id, when it belongs to one of the caller's tenants."""
    return connection.execute(
        select(documents).where(documents.c.id == document_id, documents.c.tenant_id.in_(tenant_ids))
    ).first()
