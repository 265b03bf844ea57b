"""Receipts from rows, in the caller's language and in Paris time."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from gateway.api.shapes import DeliveryOut, Fault, HistoryRow, Outcome, Receipt, RecipientOut, words
from gateway.feeds.heads import kept_heads
from gateway.services.mail_view import recipient_history, recipients_by_delivery, threads_by_delivery
from gateway.store import sql
from gateway.store.tables import deliveries, documents, history
from gateway.vault import Vault

__all__ = ["delivered", "document_of", "local", "receipt", "told"]

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


def delivered(
    connection: Connection, rows: list[Row[Any]], language: str, vault: Vault | None = None
) -> list[DeliveryOut]:
    """Deliveries as a caller reads them; with ``vault`` the recipients of mail too."""
    out = [_delivery(row, language) for row in rows]
    mails = [row.id for row in rows if row.destination == "mss"]
    if vault is None or not mails:
        return out
    states = recipients_by_delivery(connection, vault, mails)
    threads = threads_by_delivery(connection, mails)
    for one in out:
        one.thread = threads.get(one.id)
        if one.id in states:
            one.recipient_states = [
                RecipientOut.model_validate(
                    said | {"at": local(said["at"]), "cause": words(said["cause"], language) or None}
                )
                for said in states[one.id]
            ]
    return out


def told(connection: Connection, rows: list[Row[Any]], mails: list[str], language: str) -> list[HistoryRow]:
    """Rows of history as a caller reads them, with the changes of the recipients of mail in their place."""

    def row_of(row: Any, subject: str, number: str) -> HistoryRow:
        return HistoryRow(
            at=local(row.at),
            subject=subject,
            id=number,
            from_=row.from_state,
            to=row.to_state,
            code=row.code,
            cause=row.cause_en if language == "en" else row.cause_fr,
            by=row.by,
        )

    def own(row: Row[Any]) -> HistoryRow:
        if row.delivery_id:
            return row_of(row, "delivery", row.delivery_id)
        return row_of(row, "document" if row.document_id else "message", row.document_id or row.message_id)

    both = [(row.at, own(row)) for row in rows]
    both += [(row.at, row_of(row, "recipient", row.recipient_id)) for row in recipient_history(connection, mails)]
    return [shown for _, shown in sorted(both, key=lambda pair: pair[0])]


def receipt(
    connection: Connection,
    document: Row[Any],
    language: str,
    *,
    whole: bool = False,
    vault: Vault | None = None,
    head: bool = True,
) -> Receipt:
    """The receipt of a document; with ``whole`` its history too, with ``vault`` the recipients of its mails.

    With ``head`` it carries the last signed head of the ledger, which so leaves the gateway with every receipt.
    """
    rows = sorted(sql.rows(connection, deliveries, document_id=document.id), key=lambda row: row.rank)
    base = f"/v1/documents/{document.id}"
    out = Receipt(
        id=document.id,
        state=document.state,
        kind=document.kind,
        unique_id=document.unique_id,
        received_at=document.received_at.astimezone(PARIS).replace(microsecond=0),
        purged_at=local(document.purged_at),
        deliveries=delivered(connection, rows, language, vault),
        ledger_head=_head(connection, document.tenant_id) if head else None,
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
        changes = connection.execute(select(history).where(history.c.document_id == document.id).order_by(history.c.id))
        mails = [row.id for row in rows if row.destination == "mss"]
        out.history = told(connection, list(changes), mails, language)
    return out


def _head(connection: Connection, tenant: str) -> dict[str, Any] | None:
    kept = kept_heads(connection, tenant, limit=1)
    return kept[0].as_json() if kept else None


def document_of(connection: Connection, document_id: str, tenant_ids: list[str]) -> Row[Any] | None:
    """The document of an id, when it belongs to one of the caller's tenants."""
    row = sql.find(connection, documents, id=document_id)
    return row if row is not None and row.tenant_id in tenant_ids else None
