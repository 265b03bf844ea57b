"""Taking a document to the DMP: identity, opposition, record status, one submission set kept before it leaves.

The order matters. The set's ids and bytes are committed before the first byte leaves; whoever finds a delivery that was
*sending* asks the registry first, since the answer may have been lost after the DMP accepted (dmp.md 9, last row).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, Row, update

from adapters.dmp.actor import Actor
from adapters.dmp.outcomes import Kind, Layer, Outcome
from adapters.dmp.outcomes import outcome as outcome_of
from adapters.dmp.prepare import (
    DocumentTooLarge,
    InvalidSubmission,
    OutgoingDocument,
    PreparedSubmission,
)
from conformance.verdict import Text
from gateway import identities
from gateway.context import Gateway
from gateway.journey.changes import ChangeCarrier, patient_id
from gateway.journey.courier import CourierBase, Load, Stop
from gateway.journey.qualify import Qualifier
from gateway.journey.record import Cause, LostLease, cause_of, move
from gateway.journey.states import CauseCode, Delivery
from gateway.neighbours import DmpLine, Neighbours
from gateway.services.consulting import actor_of
from gateway.services.evidence import about
from gateway.services.rewrite import Rewritten, carries, rewrite
from gateway.store import blobs, sql
from gateway.store.tables import deliveries, documents

__all__ = ["DmpCourier"]

log = structlog.get_logger("passerelle.dmp")

#: The registry was asked and has nothing of the set: the same set goes again.
NOT_IN_REGISTRY = "DMP-LOCAL-not_found"

TOO_LARGE = Text("Le document dépasse la taille que le DMP accepte.", "The document is larger than the DMP takes.")
TOO_LARGE_FIX = Text(
    "Réduisez le PDF (définition des images), puis envoyez une nouvelle version.",
    "Make the PDF smaller (image resolution), then send a new version.",
)
INVALID = Text(
    "Les métadonnées tirées du document ne sont pas complètes.",
    "The metadata drawn from the document are not complete.",
)
INVALID_FIX = Text(
    "Complétez l'en-tête du document (auteur, structure, acte), puis envoyez une nouvelle version.",
    "Complete the document's header (author, structure, act), then send a new version.",
)


def cause_from(outcome: Outcome) -> Cause:
    """The cause of an outcome of the DMP, its own code and words kept."""
    return Cause(
        code=outcome.code,
        text=outcome.cause,
        fix=outcome.fix,
        original_code=outcome.original_code or None,
        original_text=outcome.original_text or None,
    )


#: Records held to be open at once: more than a minute of any load.
_MOST_OPEN = 10_000


def _record_key(load: Load, identity: identities.Identity) -> tuple[str, int, str]:
    """Whose record, and who asks for it; another INS is another record."""
    return identity.id, identity.version, load.document.actor_id


#: Outcomes that say the DMP cannot serve, rather than something of the document.
_DOWN = frozenset({Kind.RETRY, Kind.ASK_REGISTRY})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    prepared: PreparedSubmission
    fresh: bool  #: no byte of it has left yet


class DmpCourier(CourierBase):
    """Feeds the DMP."""

    destination = "dmp"

    def __init__(self, gateway: Gateway, neighbours: Neighbours, qualifier: Qualifier, **options: Any) -> None:
        super().__init__(gateway.store, gateway.vault, clock=gateway.clock, **options)
        self.gateway = gateway
        self.neighbours = neighbours
        self.qualifier = qualifier
        self.changes = ChangeCarrier(self)
        #: Records found open, and until when they are held to be: which patient and which professional, by our ids.
        self._open: dict[tuple[str, int, str], datetime] = {}
        self.concurrency = gateway.settings.dmp.concurrency

    async def carry(self, delivery: Row[Any]) -> None:
        """Bring one claimed delivery as far as it goes now."""
        with about(delivery=delivery.id, test_case=delivery.test_case):
            await self._carry(delivery)

    async def _carry(self, delivery: Row[Any]) -> None:
        try:
            load = await self.load(delivery)
            line = self.neighbours.dmp(load.tenant)
            if delivery.action != "feed":
                await self.changes.carry(load, line)
                return
            at = min(load.document.received_at, self.clock() - timedelta(seconds=1))
            # The practice's software vouches for the login; the gateway knows when the document was handed over.
            actor = actor_of(load.document.actor, load.tenant, authenticated_at=at)
            ready = await self._already_prepared(load)
            if ready is not None and not ready.fresh:
                await self._ask_first(load, line, actor, ready.prepared)
            else:
                if self._older_than_restore(load):
                    await self._ask_by_id(load, line, actor)
                kept = ready or await self._prepare(load, line, actor)
                await self._send(load, line, actor, kept.prepared, sending=ready is None)
        except Stop:
            return

    def _heard(self, outcome: Outcome) -> None:
        self.heard(up=outcome.kind not in _DOWN, retry_after=outcome.retry_after)

    async def _already_prepared(self, load: Load) -> _Ready | None:
        delivery = load.delivery
        if delivery.prepared is None:
            return None
        stored = await self.read_blob(delivery.tenant_id, delivery.prepared)
        # Once a set was on its way, only the registry knows: a retry after a clear refusal never left a doubt.
        doubt = delivery.state in (str(Delivery.SENDING), str(Delivery.UNCERTAIN))
        return _Ready(prepared=PreparedSubmission.load(stored), fresh=not doubt)

    async def _ask_first(self, load: Load, line: DmpLine, actor: Actor, prepared: PreparedSubmission) -> None:
        """The answer was lost: is the document in the registry? Only then decide."""
        if self._resends:
            await self._send(load, line, actor, prepared)
            return
        await self._ask(load, line, actor, prepared)

    @property
    def _resends(self) -> bool:
        return self.gateway.settings.dmp.after_lost_answer == "resend_same_set"

    async def _ask(
        self, load: Load, line: DmpLine, actor: Actor, prepared: PreparedSubmission, *, known: bool = False
    ) -> None:
        """Ask the registry for the document; ``known`` when it has just said that it has the set."""
        outcome, entries = await line.client.confirm(prepared, actor)
        self._heard(outcome)
        self.moment("after_ask")
        if outcome.kind is Kind.ACCEPTED:
            await self._acknowledge(load, prepared, entry=entries.get(prepared.document_unique_ids[0]))
        elif outcome.code == NOT_IN_REGISTRY and not known:
            await self._send(load, line, actor, prepared)
        elif outcome.kind is Kind.REFUSED:
            await self.finish(load.delivery, Delivery.DEAD_LETTER, cause_from(outcome))
        else:
            await self.try_later(
                load.delivery, Delivery.UNCERTAIN, cause_from(outcome), retry_after=outcome.retry_after
            )

    def _older_than_restore(self, load: Load) -> bool:
        """A document from before the database was restored may have been fed by what the restored one does not know.

        So may one accepted again since, whose first receipt is lost: then it was made before.
        """
        restored = self.gateway.restored_at
        return restored is not None and min(load.document.received_at, load.document.acted_at) < restored

    async def _ask_by_id(self, load: Load, line: DmpLine, actor: Actor) -> None:
        """Is the document in the registry, whatever set brought it? Returns when not; else raises :class:`Stop`."""
        delivery = load.delivery
        identity = await self._qualified(load)
        found = await line.client.find_by_unique_id(load.document.unique_id, patient_id(identity), actor)
        said = found.outcome
        self._heard(said)
        if said.kind is Kind.ACCEPTED and not found.entry_uuids:
            return
        if said.kind is Kind.ACCEPTED and len(found.entry_uuids) == 1:
            if await self._now(delivery) is not Delivery.SENDING:
                await self.finish(delivery, Delivery.SENDING, None, values={"next_attempt_at": self.clock()})
            unique_id = load.document.unique_id
            receipt = {"reference": unique_id, "uniqueId": unique_id, "entryUuid": found.entry_uuids[0]}
            await self.finish(delivery, Delivery.ACKNOWLEDGED, None, receipt=receipt)
        elif said.kind in (Kind.RETRY, Kind.ASK_REGISTRY, Kind.OPERATOR):
            after = 300 if said.kind is Kind.OPERATOR else said.retry_after
            await self.try_later(delivery, Delivery.RETRYING, cause_from(said), retry_after=after)
        else:
            more = said if said.kind is Kind.REFUSED else outcome_of(Layer.LOCAL, "ambiguous")
            await self.finish(delivery, Delivery.DEAD_LETTER, cause_from(more))
        raise Stop

    async def _now(self, delivery: Row[Any]) -> Delivery:
        return Delivery(await self.store.read(lambda c: sql.value(c, deliveries, "state", id=delivery.id)))

    async def _prepare(self, load: Load, line: DmpLine, actor: Actor) -> _Ready:
        """Everything that must hold before a set is made; then the set, kept with the state *sending*."""
        delivery = load.delivery
        identity = await self._qualified(load)
        await self._check_record(load, line, actor, identity)
        replaces = await self._replaced_entry(load, line, actor, identity)
        rewritten = await self._with_ins(load, identity)
        content = rewritten.cda if rewritten else load.cda
        await self.neighbours.refresh_parameters()
        try:
            document = OutgoingDocument(
                content=content, visibility=frozenset(load.document.visibility), replaces=replaces
            )
            prepared = await asyncio.to_thread(line.client.prepare, [document], actor)
        except DocumentTooLarge as exc:
            cause = Cause(
                code=exc.code, text=TOO_LARGE, fix=TOO_LARGE_FIX, original_text=f"{exc.size} > {exc.limit} octets"
            )
            await self.finish(delivery, Delivery.REFUSED, cause)
            raise Stop from exc
        except InvalidSubmission as exc:
            codes = ", ".join(sorted({f.code for f in exc.verdict.errors}))
            cause = Cause(code="invalid_metadata", text=INVALID, fix=INVALID_FIX, original_text=codes)
            await self.finish(delivery, Delivery.REFUSED, cause)
            raise Stop from exc
        await self.store.write(lambda c: self._commit_set(c, load, prepared, rewritten))
        self.moment("after_prepare")
        return _Ready(prepared=prepared, fresh=True)

    def _commit_set(
        self, connection: Connection, load: Load, prepared: PreparedSubmission, rewritten: Rewritten | None
    ) -> None:
        now = self.clock()
        tenant = load.delivery.tenant_id
        row = sql.find(connection, deliveries, id=load.delivery.id)
        if row is None or row.fence != load.delivery.fence:
            raise LostLease(load.delivery.id)
        cda, content = load.document.cda, load.cda
        if rewritten is not None:
            former = load.document
            cda, content = blobs.put(connection, self.vault, tenant, rewritten.cda, now), rewritten.cda
            connection.execute(
                update(documents)
                .where(documents.c.id == load.document.id)
                .values(
                    superseded=[*(former.superseded or ()), former.model, former.cda, former.fhir],
                    model=blobs.put(connection, self.vault, tenant, rewritten.model, now),
                    cda=cda,
                    fhir=blobs.put(connection, self.vault, tenant, rewritten.fhir, now),
                    cda_qualified=True,
                    updated_at=now,
                )
            )
        # The set holds the CDA as it is kept: once is enough, and it stays for as long as the set may leave.
        held = [blobs.Piece.plain(cda, content)]
        address = blobs.put(connection, self.vault, tenant, prepared.dump(), now, pieces=held)
        move(
            connection,
            self.vault,
            row,
            Delivery.SENDING,
            at=now,
            by=self.by,
            fence=load.delivery.fence,
            values={"prepared": address, "next_attempt_at": now},
        )

    async def _qualified(self, load: Load) -> identities.Identity:
        identity = load.identity
        if not identity.qualified or self.qualifier.stale(identity, self.clock()):
            identity = await self.qualifier.ensure(self, load)
        if load.delivery.state == str(Delivery.HELD):
            # Settled while it was being held: it leaves as if it had been released.
            await self.let_go(load.delivery)
            raise Stop
        if await self.store.look(lambda c: identities.opposed(c, identity.id, "dmp")):
            await self.finish(load.delivery, Delivery.REFUSED, cause_of(CauseCode.PATIENT_OPPOSED))
            raise Stop
        return identity

    async def _check_record(self, load: Load, line: DmpLine, actor: Actor, identity: identities.Identity) -> None:
        """TD0.2: is there an open record for this INS?"""
        dmp = self.gateway.settings.dmp
        now = self.clock()
        known = _record_key(load, identity)
        if not dmp.check_status:
            return
        # A homologation test is to show the question each time.
        if load.delivery.test_case is None and self._open.get(known, now) > now:
            return
        answer = await line.client.patient_status(patient_id(identity), actor)
        outcome, status = answer.outcome, answer.status
        self._heard(outcome)
        if outcome.kind is Kind.ACCEPTED and status is not None and status.may_feed:
            self._hold_open(known, now + timedelta(seconds=dmp.status_seconds))
            return
        if outcome.kind in (Kind.RETRY, Kind.ASK_REGISTRY):
            await self.try_later(load.delivery, Delivery.RETRYING, cause_from(outcome), retry_after=outcome.retry_after)
        elif outcome.kind is Kind.OPERATOR:
            await self.try_later(load.delivery, Delivery.RETRYING, cause_from(outcome), retry_after=300)
        elif outcome.kind is Kind.REFUSED:
            await self.finish(load.delivery, Delivery.REFUSED, cause_from(outcome))
        else:
            await self.finish(load.delivery, Delivery.REFUSED, cause_of(CauseCode.NO_DMP))
        raise Stop

    def _hold_open(self, known: tuple[str, int, str], until: datetime) -> None:
        self._open.pop(known, None)
        self._open[known] = until
        while len(self._open) > _MOST_OPEN:
            del self._open[next(iter(self._open))]

    async def _replaced_entry(
        self, load: Load, line: DmpLine, actor: Actor, identity: identities.Identity
    ) -> str | None:
        """The entryUUID of the version this document replaces, from the registry (TD3.1b)."""
        former = load.document.replaces
        if former is None:
            return None

        # Asked at each time: masking, here or elsewhere, gives the entry another id (incentives note, 5.1).
        answer = await line.client.find_by_unique_id(former, patient_id(identity), actor)
        outcome = answer.outcome
        self._heard(outcome)
        if outcome.kind is Kind.ACCEPTED and len(answer.entry_uuids) == 1:
            return str(answer.entry_uuids[0])
        if outcome.kind in (Kind.RETRY, Kind.ASK_REGISTRY, Kind.OPERATOR):
            await self.try_later(load.delivery, Delivery.RETRYING, cause_from(outcome), retry_after=outcome.retry_after)
            raise Stop
        await self.finish(
            load.delivery,
            Delivery.REFUSED,
            Cause(
                code="replaced_not_found",
                text=Text("La version à remplacer n'est pas dans le DMP.", "The version to replace is not in the DMP."),
                fix=Text("Envoyez le document comme première version.", "Send the document as a first version."),
            ),
        )
        raise Stop

    async def _with_ins(self, load: Load, identity: identities.Identity) -> Rewritten | None:
        if load.document.cda_qualified and carries(load.cda, identity.patient):
            return None
        document = load.document
        model = await self.read_blob(document.tenant_id, document.model)
        pdf = await self.read_blob(document.tenant_id, document.pdf) if document.pdf else None
        patient = orjson.dumps(identity.patient.model_dump(mode="json", exclude_none=True))
        return await self.gateway.compute(rewrite, model, patient, pdf)

    async def _send(
        self, load: Load, line: DmpLine, actor: Actor, prepared: PreparedSubmission, *, sending: bool = False
    ) -> None:
        """Send the set; ``sending`` when it was just kept, with the state that says so."""
        delivery = load.delivery
        if not sending and delivery.state != str(Delivery.SENDING):
            await self.finish(delivery, Delivery.SENDING, None, values={"next_attempt_at": self.clock()})
        self.moment("before_send")
        outcome = await line.client.submit(prepared, actor)
        self.moment("after_send")
        self._heard(outcome)
        if outcome.kind is not Kind.ACCEPTED:
            # The record may be why: it is asked about before the next document.
            self._open.pop(_record_key(load, load.identity), None)
        log.info(
            "dmp.answered",
            delivery=delivery.id,
            outcome=str(outcome.kind),
            code=outcome.code,
            original=outcome.original_code,
            attempt=delivery.attempts + 1,
        )
        cause = cause_from(outcome)
        if outcome.kind is Kind.ACCEPTED:
            await self._acknowledge(load, prepared, entry=None)
        elif outcome.kind is Kind.ALREADY_THERE and self._resends:
            # The first sending was registered: what is left is to find it.
            await self._ask(load, line, actor, prepared, known=True)
        elif outcome.kind in (Kind.ASK_REGISTRY, Kind.ALREADY_THERE):
            # Never guessed: the registry is asked by whoever claims it next.
            await self.try_later(delivery, Delivery.UNCERTAIN, cause, retry_after=outcome.retry_after)
        elif outcome.kind is Kind.RETRY:
            await self.try_later(delivery, Delivery.RETRYING, cause, retry_after=outcome.retry_after)
        elif outcome.kind is Kind.OPERATOR:
            await self.try_later(delivery, Delivery.RETRYING, cause, retry_after=300)
        else:
            await self.finish(delivery, Delivery.REFUSED, cause)

    async def _acknowledge(self, load: Load, prepared: PreparedSubmission, *, entry: str | None) -> None:
        self.moment("before_ack")
        await self.finish(
            load.delivery,
            Delivery.ACKNOWLEDGED,
            None,
            receipt={
                "reference": prepared.submission_set_unique_id,
                "submissionSet": prepared.submission_set_unique_id,
                "uniqueId": prepared.document_unique_ids[0],
                "entryUuid": entry,
            },
            values={"attempts": load.delivery.attempts + 1},
        )
        self.moment("after_ack")
