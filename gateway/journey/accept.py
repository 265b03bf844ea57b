"""Taking a document in charge: document, deliveries, history and ledger rows in one transaction, then a receipt.

A receipt is a promise: it is given only after the commit, and each delivery it names ends in exactly one of the end
states of :mod:`gateway.journey.states`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import orjson
from sqlalchemy import Connection, func, select

from gateway import identities
from gateway.ids import new_id
from gateway.journey import recipients
from gateway.journey.record import cause_of, note, settle_document
from gateway.journey.states import ENDED, CauseCode, Delivery
from gateway.journey.tally import kept_facts, tally_submission
from gateway.problems import Busy, Conflict, rule
from gateway.services.intake import Intake
from gateway.store import blobs, sql
from gateway.store.engine import Again
from gateway.store.tables import deliveries, documents, idempotency
from gateway.vault import Vault
from mappings.document.people import Patient
from mappings.document.values import moment_key

__all__ = ["Accepted", "Request", "accept", "queue", "replay"]

KEY_REUSED = rule(
    "API-IDEM-002",
    "Cette clé d'idempotence a déjà servi pour un autre contenu.",
    "This idempotency key already served for another content.",
    "Utilisez une clé neuve pour un nouveau contenu.",
    "Use a fresh key for a new content.",
)
ID_REUSED = rule(
    "API-IDEM-003",
    "Un autre document porte déjà cet identifiant unique.",
    "Another document already has this unique identifier.",
    "Donnez un nouvel identifiant, ou envoyez une nouvelle version qui remplace la première.",
    "Give a new identifier, or send a new version that replaces the first.",
)
TOO_MANY = rule(
    "API-LOAD-001",
    "Trop de documents attendent déjà.",
    "Too many documents are waiting already.",
    "Recommencez après le délai indiqué.",
    "Try again after the delay given.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who sends what, for whom, and where it should go."""

    tenant: str
    client: str
    actor: dict[str, Any]
    intake: Intake
    body_mac: str
    idempotency_key: str | None
    to_dmp: bool = True
    recipients: tuple[dict[str, Any], ...] = ()  #: {"address", "kind"}
    options: dict[str, Any] = field(default_factory=dict)
    test_case: str | None = None  #: homologation test the exchanges are kept under
    counting: dict[str, Any] = field(default_factory=dict)  #: what the caller says for the count (envelope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The document taken in charge, or the one taken earlier under the same key or id."""

    document_id: str
    replayed: bool


def replay(connection: Connection, client: str, key: str, body_mac: str) -> Accepted | None:
    """What the same key gave before; raises :class:`Conflict` (422) when it served another content."""
    row = sql.find(connection, idempotency, client_id=client, key=key)
    if row is None or row.document_id is None:
        return None
    if row.body_mac != body_mac:
        raise Conflict([KEY_REUSED.finding("Idempotency-Key")], slug="idempotency-key-reused", status=422)
    return Accepted(document_id=row.document_id, replayed=True)


def accept(
    connection: Connection,
    vault: Vault,
    request: Request,
    *,
    now: datetime,
    hold_days: int,
    max_pending: int,
    mail_unqualified: bool = False,
    pending: int | None = None,
) -> Accepted:
    """Keep a document and its deliveries in the caller's transaction.

    ``pending`` is how many deliveries wait, when the caller knows it; else they are counted.
    """
    intake = request.intake
    if request.idempotency_key is not None:
        earlier = replay(connection, request.client, request.idempotency_key, request.body_mac)
        if earlier is not None:
            return earlier
    known = sql.find(connection, documents, tenant_id=request.tenant, unique_id=intake.unique_id)
    if known is not None:
        if known.model != vault.address(request.tenant, intake.model):
            raise Conflict([ID_REUSED.finding("/id")], slug="unique-id-reused")
        _remember_key(connection, request, known.id, now)
        return Accepted(document_id=known.id, replayed=True)
    if pending is None:
        open_ones = select(func.count()).select_from(deliveries).where(deliveries.c.ended_at.is_(None))
        pending = connection.execute(open_ones).scalar_one()
    if pending >= max_pending:
        raise Busy([TOO_MANY.finding("")], retry_after=30)

    patient = Patient.model_validate(orjson.loads(intake.patient))
    checked = moment_key(patient.ins_checked_on) if patient.ins_checked_on else None
    identity = identities.remember(connection, vault, request.tenant, patient, checked, now)
    document_id = new_id("doc", now)
    pdf = blobs.put(connection, vault, request.tenant, intake.pdf, now) if intake.pdf else None
    # Kept once: the model and the Bundle hold it too. The CDA is kept whole, it is what the others are made from.
    inside = [blobs.Piece.encoded(pdf, intake.pdf)] if pdf is not None and intake.pdf else []
    kept: dict[str, Any] = {
        "id": document_id,
        "tenant_id": request.tenant,
        "client_id": request.client,
        "kind": intake.kind,
        "type_code": intake.type_code,
        "type_system": intake.type_system,
        "unique_id": intake.unique_id,
        "set_id": intake.set_id,
        "version_number": intake.version_number,
        "replaces": intake.replaces,
        "form": intake.form,
        "state": "accepted",
        "identity_id": identity.id,
        "actor_id": str(request.actor["id"]),
        "actor": request.actor,
        "model": blobs.put(connection, vault, request.tenant, intake.model, now, pieces=inside),
        "cda": blobs.put(connection, vault, request.tenant, intake.cda, now),
        "cda_qualified": intake.cda_qualified,
        "fhir": blobs.put(connection, vault, request.tenant, intake.fhir, now, pieces=inside),
        "pdf": pdf,
        "loss": intake.loss,
        "warnings": [{"fr": f.as_json("fr"), "en": f.as_json("en")} for f in intake.warnings],
        "visibility": list(intake.visibility),
        "tally": kept_facts(
            connection,
            vault,
            request.tenant,
            client=request.client,
            actor=request.actor,
            facts=intake.facts,
            counting=request.counting,
        ),
        "acted_at": moment_key(intake.acted_at),
        "received_at": now,
        "updated_at": now,
    }
    sql.add(connection, documents, kept)
    by = f"client:{request.client}"
    note(connection, at=now, tenant=request.tenant, document=document_id, to="accepted", by=by)
    document: Any = SimpleNamespace(**kept)  # as its row: reading it back would cost more than keeping it
    rank = int(now.timestamp() * 1_000_000)
    if request.to_dmp:
        delivery = queue(
            connection,
            vault,
            tenant=request.tenant,
            document=document_id,
            destination="dmp",
            rank=rank,
            lineage=intake.set_id,
            now=now,
            by=by,
            held=not identity.qualified,
            hold_days=hold_days,
            test_case=request.test_case,
        )
        tally_submission(connection, vault, document, delivery, now, identity)
    professional = [r for r in request.recipients if r.get("kind") != "citizen"]
    citizen = [r for r in request.recipients if r.get("kind") == "citizen"]
    # A patient's message is never the professionals' one (mss.md 2.6).
    for offset, group in enumerate((professional, citizen), start=1):
        if group:
            # Professionals may be mailed about an unqualified identity where a setting says so, patients never.
            held = not identity.qualified and (group is citizen or not mail_unqualified)
            queue(
                connection,
                vault,
                tenant=request.tenant,
                document=document_id,
                destination="mss",
                rank=rank + offset,
                # A patient's message that waits does not keep professionals waiting.
                lineage=f"{intake.set_id}#citizen" if group is citizen else intake.set_id,
                now=now,
                by=by,
                held=held,
                hold_days=hold_days,
                request={"recipients": group, **request.options},
            )
    if not request.to_dmp and not request.recipients:
        settle_document(connection, document, at=now, by=by)  # kept only: there is nothing to wait for
    _remember_key(connection, request, document_id, now)
    return Accepted(document_id=document_id, replayed=False)


def queue(
    connection: Connection,
    vault: Vault,
    *,
    tenant: str,
    destination: str,
    rank: int,
    lineage: str,
    now: datetime,
    by: str,
    held: bool,
    hold_days: int,
    document: str | None = None,
    message: str | None = None,
    request: dict[str, Any] | None = None,
    test_case: str | None = None,
) -> Any:
    """Keep one delivery, of a document or of a message, with its recipients and its first row of history.

    Gives what was kept, by the names of its columns.
    """
    cause = cause_of(CauseCode.IDENTITY_NOT_QUALIFIED) if held else None
    state = Delivery.HELD if held else Delivery.QUEUED
    delivery_id = new_id("dlv", now)
    kept: dict[str, Any] = {
        "id": delivery_id,
        "tenant_id": tenant,
        "document_id": document,
        "message_id": message,
        "destination": destination,
        "action": "feed",
        "rank": rank,
        "lineage": lineage,
        "state": str(state),
        "reason": cause.code if cause else None,
        "cause_fr": cause.text.fr if cause else None,
        "cause_en": cause.text.en if cause else None,
        "fix_fr": cause.fix.fr if cause else None,
        "fix_en": cause.fix.en if cause else None,
        "recipients": len(request["recipients"]) if request else 0,
        "request": blobs.put(connection, vault, tenant, orjson.dumps(request), now) if request else None,
        # A held delivery is looked at at once too: the INSi may complete the identity by itself.
        "next_attempt_at": now,
        "expires_at": now + timedelta(days=hold_days) if held else None,
        "test_case": test_case,
        "created_at": now,
        "updated_at": now,
    }
    sql.add(connection, deliveries, kept)
    if request:
        recipients.enrol(connection, vault, tenant, delivery_id, request["recipients"], now)
    note(
        connection,
        at=now,
        tenant=tenant,
        document=document,
        message=message,
        delivery=delivery_id,
        to=str(state),
        by=by,
        cause=cause,
    )
    row: Any = SimpleNamespace(**kept)
    return row


def _remember_key(connection: Connection, request: Request, document_id: str, now: datetime) -> None:
    if request.idempotency_key is None:
        return
    added = blobs.insert_ignore(
        connection,
        idempotency,
        {
            "client_id": request.client,
            "key": request.idempotency_key,
            "tenant_id": request.tenant,
            "body_mac": request.body_mac,
            "document_id": document_id,
            "created_at": now,
        },
    )
    if not added:
        # Another node served the same key meanwhile: nothing of this is kept, its receipt is given instead.
        raise Again


#: Deliveries that still have something to do.
OPEN = tuple(str(state) for state in Delivery if state not in ENDED)
