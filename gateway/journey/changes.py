"""Changes to documents this gateway fed: asked for, kept, then carried to the DMP in the order of their document.

A deletion or a masking is a delivery like a feed: claimed by lease behind what was asked before for the same document,
its set kept before it leaves. After a lost answer the document is read again where the caller may read it; where not
(a deletion in the structure's own name), the same set is sent again, which the registry knows by its uniqueId.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from sqlalchemy import Connection, Row, func, select, update

from adapters.dmp import messages
from adapters.dmp.actor import Actor
from adapters.dmp.client import QueryAnswer
from adapters.dmp.outcomes import Kind, Layer, Outcome, outcome
from adapters.dmp.updates import CannotChange, PreparedUpdate
from conformance.verdict import Text
from gateway.identities import Identity
from gateway.ids import new_id
from gateway.journey.courier import CourierBase, Load, Stop
from gateway.journey.record import Cause, LostLease, cause_of, move, note
from gateway.journey.states import CauseCode, Delivery
from gateway.services.consulting import Session, actor_of
from gateway.services.record_changes import Change, is_done, prepare
from gateway.store import blobs
from gateway.store.tables import deliveries, documents
from gateway.vault import Vault
from mappings.xds import DocumentEntry, PatientId
from mappings.xds import vocabulary as v
from security.vihf import Mode

if TYPE_CHECKING:
    from gateway.neighbours import DmpLine

__all__ = ["Asked", "ChangeCarrier", "NotFed", "ask_change", "patient_id"]

log = structlog.get_logger("passerelle.dmp")

#: Errors of a registry that holds another state than the one the set was made for: it is read anew.
_STALE: Final = frozenset({"XDSMetadataVersionError", "XDSMetadataUpdateError", "UnresolvedReferenceException"})
#: The status sent is not the present one, which a deletion in the structure's name has no way to read.
_OTHER_STATUS: Final = "XDSMetadataUpdateError"

NOT_FED = Cause(
    code="not_in_dmp",
    text=Text("Le document n'est pas dans le DMP.", "The document is not in the DMP."),
    fix=Text("Aucune action : il n'y a rien à modifier.", "Nothing to do: there is nothing to change."),
)
SESSION_OVER = Cause(
    code="session_over",
    text=Text(
        "La session du professionnel a pris fin avant que la demande puisse partir.",
        "The professional's session ended before the request could leave.",
    ),
    fix=Text(
        "Ouvrez une nouvelle session, puis redemandez la modification.", "Open a new session, then ask for it again."
    ),
)


class NotFed(Exception):
    """The document never reached the DMP, nor will it: there is nothing to change there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What became of a request: a delivery, or a feed that was stopped before it left."""

    delivery: str
    withdrawn: bool = False  #: the feed itself was withdrawn, nothing will leave


def ask_change(
    connection: Connection,
    vault: Vault,
    document: Row[Any],
    change: Change,
    *,
    session: Session | None,
    by: str,
    now: datetime,
    test_case: str | None = None,
) -> Asked:
    """Queue a change behind what was asked before for the same document; raises :class:`NotFed`, or ``Purged``.

    A deletion stops a feed that has not begun, unless something was asked behind it. Asking again for what is already
    queued last gives the same delivery.
    """
    feeds = connection.execute(
        select(deliveries)
        .where(
            deliveries.c.document_id == document.id,
            deliveries.c.destination == "dmp",
            deliveries.c.action == "feed",
        )
        .order_by(deliveries.c.rank.desc())
    ).all()
    if document.purged_at is not None:
        # Whom it is about is forgotten: a search of the record finds it, and changes it there.
        raise blobs.Purged(document.id)
    feed = feeds[0] if feeds else None
    if feed is None or (feed.ended_at is not None and feed.state != str(Delivery.ACKNOWLEDGED)):
        raise NotFed(document.id)
    if _deleted(connection, document.id):
        raise NotFed(document.id)
    last = connection.execute(
        select(deliveries)
        .where(
            deliveries.c.tenant_id == document.tenant_id,
            deliveries.c.lineage == document.set_id,
            deliveries.c.destination == "dmp",
        )
        .order_by(deliveries.c.rank.desc())
        .limit(1)
    ).one()
    unsent = feed.prepared is None and feed.state in ("queued", "held", "retrying")
    if change is Change.DELETE and unsent and last.id == feed.id:
        withdrawn = cause_of(CauseCode.WITHDRAWN_BY_CALLER)
        move(connection, vault, feed, Delivery.WITHDRAWN, at=now, by=by, cause=withdrawn)
        return Asked(delivery=feed.id, withdrawn=True)
    if last.document_id == document.id and last.action == str(change) and last.ended_at is None:
        return Asked(delivery=last.id)
    delivery_id = new_id("dlv", now)
    asked = orjson.dumps(session.as_json() if session is not None else None)
    connection.execute(
        deliveries.insert().values(
            id=delivery_id,
            tenant_id=document.tenant_id,
            document_id=document.id,
            destination="dmp",
            action=str(change),
            rank=max(int(now.timestamp() * 1_000_000), last.rank + 1),
            lineage=document.set_id,
            state=str(Delivery.QUEUED),
            request=blobs.put(connection, vault, document.tenant_id, asked, now),
            next_attempt_at=now,
            test_case=test_case,
            created_at=now,
            updated_at=now,
        )
    )
    note(
        connection,
        at=now,
        tenant=document.tenant_id,
        document=document.id,
        delivery=delivery_id,
        to=str(Delivery.QUEUED),
        by=by,
        cause=Cause(
            code=f"asked_{change}",
            text=Text(f"Modification demandée dans le DMP : {change}.", f"Change asked for in the DMP: {change}."),
            fix=Text("Aucune action.", "Nothing to do."),
        ),
    )
    return Asked(delivery=delivery_id)


class ChangeCarrier:
    """Carries changes for the courier of the DMP."""

    def __init__(self, courier: CourierBase) -> None:
        self._courier = courier

    async def carry(self, load: Load, line: DmpLine) -> None:
        """Bring one claimed change as far as it goes now; raises :class:`Stop`."""
        delivery = load.delivery
        change = Change(delivery.action)
        courier = self._courier
        if not await courier.store.read(lambda c: _was_fed(c, delivery.document_id)):
            await courier.finish(delivery, Delivery.REFUSED, NOT_FED)
            raise Stop
        actor = await self._actor(load, change)
        prepared = None
        if delivery.prepared is not None:
            prepared = PreparedUpdate.load(await courier.read_blob(delivery.tenant_id, delivery.prepared))
        doubt = delivery.state in (str(Delivery.SENDING), str(Delivery.UNCERTAIN))
        if prepared is None or (doubt and change is not Change.DELETE):
            # Read again: after a lost answer, the registry itself says whether it was done.
            prepared = await self._prepare(load, line, actor, change, doubt)
        await self._send(load, line, actor, change, prepared, doubt)

    async def _actor(self, load: Load, change: Change) -> Actor:
        courier, delivery, now = self._courier, load.delivery, self._courier.clock()
        session = None
        if delivery.request is not None:
            kept = orjson.loads(await courier.read_blob(delivery.tenant_id, delivery.request))
            session = Session.of_json(kept) if kept else None
        if change is Change.DELETE:
            # Open to the structure's own name (dmp.md 1.4), which needs no session.
            at = min(load.document.received_at, now - timedelta(seconds=1))
            return session.actor if session else actor_of(load.document.actor, load.tenant, authenticated_at=at)
        if session is None or session.expires_at <= now:
            await courier.finish(delivery, Delivery.REFUSED, SESSION_OVER)
            raise Stop
        return session.actor

    async def _prepare(self, load: Load, line: DmpLine, actor: Actor, change: Change, doubt: bool) -> PreparedUpdate:
        entry = await self._entry(load, line, actor, change, doubt)
        try:
            prepared = prepare(
                change,
                entry,
                actor=actor,
                endpoint=line.client.endpoint,
                fresh=uuid.uuid4(),
                now=self._courier.clock(),
            )
        except CannotChange:
            if not is_done(change, entry):
                incomplete = outcome(Layer.REGISTRY, "XDSMetadataVersionError")
                await self._later(load, incomplete)
            await self._done(load, entry.unique_id, unchanged=not doubt)
            raise Stop from None
        await self._keep(load, prepared)
        return prepared

    async def _entry(self, load: Load, line: DmpLine, actor: Actor, change: Change, doubt: bool) -> DocumentEntry:
        """The entry as the registry has it now; of a deletion in the structure's name, its reference only."""
        document, patient = load.document, patient_id(load.identity)
        by_id = [("XDSDocumentEntryUniqueId", messages.query_list([document.unique_id]))]
        found: tuple[DocumentEntry, ...] = ()
        answer = QueryAnswer(outcome=outcome(Layer.LOCAL, "not_found"))
        if change is not Change.DELETE or actor.authn_declaration is not None:
            answer = await line.client.query("GetDocuments", by_id, patient, actor)
            found = answer.objects.entries
        if change is Change.DELETE and not found:
            reference = await line.client.find_by_unique_id(document.unique_id, patient, actor)
            answer = QueryAnswer(outcome=reference.outcome)
            status = await self._courier.store.read(lambda c: _known_status(c, document))
            found = tuple(
                DocumentEntry(entry_uuid=one, unique_id=document.unique_id, patient_id=patient, status=status)
                for one in reference.entry_uuids
            )
        self._heard(answer.outcome)
        if not answer.outcome.ok:
            await self._judge(load, answer.outcome, doubt)
        if len(found) > 1:
            await self._judge(load, outcome(Layer.LOCAL, "ambiguous"), doubt)
        if not found:
            await self._courier.finish(load.delivery, Delivery.REFUSED, NOT_FED)
            raise Stop
        return found[0]

    async def _keep(self, load: Load, prepared: PreparedUpdate) -> None:
        """The set, kept with the state *sending* before it leaves."""
        courier, delivery = self._courier, load.delivery

        def work(connection: Connection) -> None:
            now = courier.clock()
            row = connection.execute(select(deliveries).where(deliveries.c.id == delivery.id)).one()
            if row.fence != delivery.fence:
                raise LostLease(delivery.id)
            address = blobs.put(connection, courier.vault, delivery.tenant_id, prepared.dump(), now)
            if row.state == str(Delivery.SENDING):
                changed = connection.execute(
                    update(deliveries)
                    .where(deliveries.c.id == row.id, deliveries.c.fence == delivery.fence)
                    .values(prepared=address, updated_at=now)
                )
                if changed.rowcount != 1:
                    raise LostLease(delivery.id)
                return
            move(
                connection,
                courier.vault,
                row,
                Delivery.SENDING,
                at=now,
                by=courier.by,
                fence=delivery.fence,
                values={"prepared": address, "next_attempt_at": now},
            )

        await courier.store.write(work)
        courier.moment("after_prepare")

    async def _send(
        self, load: Load, line: DmpLine, actor: Actor, change: Change, prepared: PreparedUpdate, doubt: bool
    ) -> None:
        courier, delivery = self._courier, load.delivery
        if await self._state(delivery) != Delivery.SENDING:
            await courier.finish(delivery, Delivery.SENDING, None, values={"next_attempt_at": courier.clock()})
        courier.moment("before_send")
        mode = Mode.INDIRECT if change is Change.DELETE else Mode.REINFORCED
        said = await line.client.update(prepared, actor, mode=mode)
        courier.moment("after_send")
        self._heard(said)
        log.info(
            "dmp.answered",
            delivery=delivery.id,
            action=str(change),
            outcome=str(said.kind),
            code=said.code,
            original=said.original_code,
            attempt=delivery.attempts + 1,
        )
        if said.kind is Kind.ACCEPTED or said.original_code == "XDSDuplicateUniqueIdInRegistry":
            # A set the registry has already is this very one: its id is ours alone, and was kept before it left.
            await self._done(load, load.document.unique_id)
        elif said.original_code in _STALE and (change is not Change.DELETE or said.original_code != _OTHER_STATUS):
            await self._later(load, said)
        elif said.original_code == _OTHER_STATUS and doubt:
            # Deleted by the set whose answer was lost, or archived by somebody else: only a person can tell.
            await courier.finish(delivery, Delivery.DEAD_LETTER, _cause(said))
        else:
            await self._judge(load, said, doubt)

    async def _judge(self, load: Load, said: Outcome, doubt: bool) -> None:
        """Write what an outcome other than success makes of the delivery; raises :class:`Stop`.

        ``doubt`` is about an earlier sending: it stays until the registry has answered.
        """
        courier, delivery = self._courier, load.delivery
        if said.kind in (Kind.RETRY, Kind.ASK_REGISTRY, Kind.OPERATOR):
            sent = await self._state(delivery) in (Delivery.SENDING, Delivery.UNCERTAIN)
            unsure = sent and (doubt or said.kind is Kind.ASK_REGISTRY)
            after = 300 if said.kind is Kind.OPERATOR else said.retry_after
            to = Delivery.UNCERTAIN if unsure else Delivery.RETRYING
            await courier.try_later(delivery, to, _cause(said), retry_after=after)
        else:
            await courier.finish(delivery, Delivery.REFUSED, _cause(said))
        raise Stop

    async def _later(self, load: Load, said: Outcome) -> None:
        """The registry holds another version than the one read: let go of the set and read again soon."""
        courier, delivery = self._courier, load.delivery

        def forget(connection: Connection) -> None:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id == delivery.id, deliveries.c.fence == delivery.fence)
                .values(prepared=None)
            )

        await courier.store.write(forget)
        await courier.try_later(delivery, Delivery.RETRYING, _cause(said), retry_after=1)
        raise Stop

    async def _done(self, load: Load, unique_id: str, *, unchanged: bool = False) -> None:
        courier, delivery = self._courier, load.delivery
        if await self._state(delivery) not in (Delivery.SENDING, Delivery.UNCERTAIN):
            await courier.finish(delivery, Delivery.SENDING, None, values={"next_attempt_at": courier.clock()})
        courier.moment("before_ack")
        receipt: dict[str, Any] = {"reference": unique_id, "uniqueId": unique_id}
        if unchanged:
            receipt["unchanged"] = True
        await courier.finish(
            delivery, Delivery.ACKNOWLEDGED, None, receipt=receipt, values={"attempts": delivery.attempts + 1}
        )
        courier.moment("after_ack")

    async def _state(self, delivery: Row[Any]) -> Delivery:
        def read(connection: Connection) -> str:
            return str(
                connection.execute(select(deliveries.c.state).where(deliveries.c.id == delivery.id)).scalar_one()
            )

        return Delivery(await self._courier.store.read(read))

    def _heard(self, said: Outcome) -> None:
        down = said.kind in (Kind.RETRY, Kind.ASK_REGISTRY)
        self._courier.heard(up=not down, retry_after=said.retry_after)


def _cause(said: Outcome) -> Cause:
    return Cause(
        code=said.code,
        text=said.cause,
        fix=said.fix,
        original_code=said.original_code or None,
        original_text=said.original_text or None,
    )


def patient_id(identity: Identity) -> PatientId:
    """The patient as the DMP knows them: by the INS; raises ValueError without one."""
    ins = identity.patient.ins
    if ins is None:
        raise ValueError("no INS")
    return PatientId(value=ins.value, authority=ins.authority, id_type="NH")


def _was_fed(connection: Connection, document_id: str) -> bool:
    return bool(
        connection.execute(
            select(func.count())
            .select_from(deliveries)
            .where(
                deliveries.c.document_id == document_id,
                deliveries.c.destination == "dmp",
                deliveries.c.action == "feed",
                deliveries.c.state == str(Delivery.ACKNOWLEDGED),
            )
        ).scalar_one()
    )


def _deleted(connection: Connection, document_id: str) -> bool:
    return (
        connection.execute(
            select(deliveries.c.id).where(
                deliveries.c.document_id == document_id,
                deliveries.c.action == str(Change.DELETE),
                deliveries.c.state == str(Delivery.ACKNOWLEDGED),
            )
        ).first()
        is not None
    )


def _known_status(connection: Connection, document: Row[Any]) -> str:
    """The status of a document by our own record (TD3.1b does not tell it): replaced, archived, or active."""
    replaced = connection.execute(
        select(deliveries.c.id)
        .join(documents, documents.c.id == deliveries.c.document_id)
        .where(
            documents.c.tenant_id == document.tenant_id,
            documents.c.replaces == document.unique_id,
            deliveries.c.destination == "dmp",
            deliveries.c.action == "feed",
            deliveries.c.state == str(Delivery.ACKNOWLEDGED),
        )
    ).first()
    if replaced is not None:
        return v.DEPRECATED
    last = connection.execute(
        select(deliveries.c.action)
        .where(
            deliveries.c.document_id == document.id,
            deliveries.c.action.in_((str(Change.ARCHIVE), str(Change.UNARCHIVE))),
            deliveries.c.state == str(Delivery.ACKNOWLEDGED),
        )
        .order_by(deliveries.c.rank.desc())
    ).first()
    return v.ARCHIVED if last is not None and last.action == str(Change.ARCHIVE) else v.APPROVED
