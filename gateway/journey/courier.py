"""What every courier does the same way: load what a delivery is about, write what became of it, plan what follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

from sqlalchemy import Connection, Row, select, update

from conformance.verdict import Text
from gateway import identities
from gateway.identities import Identity
from gateway.journey.breaker import Breaker, RateLimit
from gateway.journey.clock import Clock
from gateway.journey.record import Cause, LostLease, cause_of, move
from gateway.journey.retry import RetryPolicy
from gateway.journey.states import ENDED, CauseCode, Delivery
from gateway.store import blobs, sql
from gateway.store.engine import Store
from gateway.store.tables import deliveries, documents
from gateway.store.tables import identities as identity_rows
from gateway.tenants import Tenant, tenant
from gateway.vault import Vault

__all__ = ["CourierBase", "Load", "Stop"]

#: How long before a held delivery is looked at again after a fault of ours.
_LATER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A delivery and everything it is about."""

    delivery: Row[Any]
    document: Row[Any]
    identity: Identity
    tenant: Tenant
    cda: bytes


class Stop(Exception):
    """The delivery goes no further for now: it was moved, or given back."""


class CourierBase:
    """Common work of couriers; each write is one transaction, under the delivery's fence."""

    destination = ""
    concurrency = 4

    def __init__(
        self,
        store: Store,
        vault: Vault,
        *,
        clock: Clock,
        policy: RetryPolicy,
        random: Random | None = None,
        moment: Callable[[str], None],
        breaker: Breaker | None = None,
        rate: RateLimit | None = None,
    ) -> None:
        self.store = store
        self.vault = vault
        self.clock = clock
        self.policy = policy
        self.random = random or Random()  # noqa: S311 - jitter, not a secret
        #: Called at named moments, so that a test may end the process there.
        self.moment = moment
        self.breaker = breaker or Breaker()
        self.rate = rate or RateLimit()
        self.trials: set[str] = set()

    @property
    def by(self) -> str:
        """How history names this courier."""
        return f"gateway:{self.destination}"

    def heard(self, *, up: bool, retry_after: float | None = None) -> None:
        """Note whether the destination could serve just now, whatever it said of the document."""
        if up:
            self.breaker.succeeded()
        else:
            self.breaker.failed(self.clock(), retry_after)

    async def load(self, delivery: Row[Any]) -> Load:
        """Everything a delivery is about, read in one go."""

        def read(connection: Connection) -> Load:
            document = sql.find(connection, documents, id=delivery.document_id)
            if document is None:
                raise LookupError("the document is gone")
            owner = tenant(connection, delivery.tenant_id)
            if owner is None:
                raise LookupError("the tenant is disabled")
            return Load(
                delivery=delivery,
                document=document,
                identity=identities.load(connection, self.vault, document.identity_id),
                tenant=owner,
                cda=blobs.get(connection, self.vault, delivery.tenant_id, document.cda),
            )

        return await self.store.read(read)

    async def read_blob(self, tenant_id: str, address: str) -> bytes:
        """The bytes at an address."""
        return await self.store.read(lambda c: blobs.get(c, self.vault, tenant_id, address))

    async def finish(
        self,
        delivery: Row[Any],
        to: Delivery,
        cause: Cause | None,
        *,
        receipt: dict[str, Any] | None = None,
        values: dict[str, Any] | None = None,
    ) -> None:
        """Bring the delivery to a state, its ledger entry in the same transaction."""

        await self.store.write(lambda c: self.bring(c, delivery, to, cause, receipt=receipt, values=values))

    def bring(
        self,
        connection: Connection,
        delivery: Row[Any],
        to: Delivery,
        cause: Cause | None,
        *,
        receipt: dict[str, Any] | None = None,
        values: dict[str, Any] | None = None,
    ) -> None:
        """What :meth:`finish` does, in a transaction of the caller's."""
        # Read again under the transaction: the state may have changed since the claim (withdrawn, for instance).
        row = sql.find(connection, deliveries, id=delivery.id)
        if row is None or row.fence != delivery.fence:
            raise LostLease(delivery.id)
        move(
            connection,
            self.vault,
            row,
            to,
            at=self.clock(),
            by=self.by,
            cause=cause,
            fence=delivery.fence,
            receipt=receipt,
            values=values,
        )

    async def try_later(
        self,
        delivery: Row[Any],
        to: Delivery,
        cause: Cause,
        *,
        retry_after: float | None = None,
        count: bool = True,
    ) -> None:
        """Plan another attempt, or give the delivery to a person (dead letter) when attempts or their time are spent.

        A trial of a destination held to be down is not the delivery's own failure, and spends no attempt.
        """
        now = self.clock()
        attempts = delivery.attempts + 1 if count and delivery.id not in self.trials else delivery.attempts
        first = delivery.first_failed_at or now
        if self.policy.exhausted(attempts) or now - first >= self.policy.within:
            spent = cause_of(CauseCode.TOO_MANY_ATTEMPTS)
            last = Cause(
                code=str(CauseCode.TOO_MANY_ATTEMPTS),
                text=Text(
                    f"{spent.text.fr} Dernière cause : {cause.text.fr}", f"{spent.text.en} Last: {cause.text.en}"
                ),
                fix=spent.fix,
                original_code=cause.original_code or cause.code,
                original_text=cause.original_text,
                behind=cause.code,
            )
            await self.finish(delivery, Delivery.DEAD_LETTER, last, values={"attempts": attempts})
            return
        wait = self.policy.delay(attempts, self.random, retry_after)
        values: dict[str, Any] = {"attempts": attempts, "first_failed_at": first, "next_attempt_at": now + wait}
        await self._again(delivery, to, cause, values)

    async def stumbled(self, delivery: Row[Any]) -> None:
        """Plan another attempt after a fault of the gateway itself; it counts, so that none is tried for ever."""

        def read(connection: Connection) -> Row[Any]:
            return connection.execute(select(deliveries).where(deliveries.c.id == delivery.id)).one()

        row = await self.store.read(read)
        cause = cause_of(CauseCode.INTERNAL_FAULT)
        if row.fence != delivery.fence or Delivery(row.state) in ENDED:
            return
        if row.state == str(Delivery.HELD):
            await self._again(row, Delivery.HELD, cause, {"next_attempt_at": self.clock() + _LATER})
        else:
            # Bytes may have left: whoever looks at it next asks the destination first.
            doubt = row.state in (str(Delivery.SENDING), str(Delivery.UNCERTAIN))
            await self.try_later(row, Delivery.UNCERTAIN if doubt else Delivery.RETRYING, cause)

    async def hold(
        self, delivery: Row[Any], cause: Cause, *, identity: Identity, days: int, look_again: timedelta
    ) -> None:
        """Have a delivery wait for its identity; looked at again after a while, expired after ``days``.

        ``identity`` is what was looked at: when it changed meanwhile, the delivery is looked at again at once.
        """
        now = self.clock()
        values: dict[str, Any] = {"next_attempt_at": now + look_again}
        if delivery.state != str(Delivery.HELD):
            values["expires_at"] = now + timedelta(days=days)

        def unless_changed(connection: Connection) -> dict[str, Any]:
            # Locked: whoever qualifies the identity lets go what is held, and must see this delivery held.
            version = connection.execute(
                select(identity_rows.c.version).where(identity_rows.c.id == identity.id).with_for_update()
            ).scalar_one()
            return {} if version == identity.version else {"next_attempt_at": now}

        await self._again(delivery, Delivery.HELD, cause, values, refine=unless_changed)

    async def let_go(self, delivery: Row[Any]) -> None:
        """Have a held delivery whose identity is settled leave in its order: it is claimed anew, as queued."""
        values = {"next_attempt_at": self.clock(), "expires_at": None}
        await self._again(delivery, Delivery.QUEUED, cause_of(CauseCode.QUALIFIED), values)

    async def _again(
        self,
        delivery: Row[Any],
        to: Delivery,
        cause: Cause,
        planned: dict[str, Any],
        *,
        refine: Callable[[Connection], dict[str, Any]] | None = None,
    ) -> None:
        def work(connection: Connection) -> None:
            values = planned | (refine(connection) if refine else {})
            row = sql.find(connection, deliveries, id=delivery.id)
            if row is None or row.fence != delivery.fence:
                raise LostLease(delivery.id)
            if row.state == str(to):
                changed = connection.execute(
                    update(deliveries)
                    .where(deliveries.c.id == row.id, deliveries.c.fence == delivery.fence)
                    .values(
                        reason=cause.code,
                        cause_fr=cause.text.fr,
                        cause_en=cause.text.en,
                        fix_fr=cause.fix.fr,
                        fix_en=cause.fix.en,
                        lease_owner=None,
                        lease_until=None,
                        updated_at=self.clock(),
                        **values,
                    )
                )
                if changed.rowcount != 1:
                    raise LostLease(delivery.id)
                return
            move(
                connection,
                self.vault,
                row,
                to,
                at=self.clock(),
                by=self.by,
                cause=cause,
                fence=delivery.fence,
                values=values,
            )

        await self.store.write(work)
