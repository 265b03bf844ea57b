"""Completing a patient's identity with INSi before a document leaves, without ever deciding for a person.

Only an exact match is accepted unattended; an equivalent or doubtful one waits for somebody (ins-identity.md 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import structlog
from sqlalchemy import Connection, Row

from adapters.insi.outcomes import Kind
from conformance.identity.comparison import Comparison
from conformance.identity.status import Event
from gateway import identities
from gateway.identities import Identity
from gateway.journey.record import Cause, cause_of
from gateway.journey.states import CauseCode
from gateway.journey.tally import tally_identity
from gateway.neighbours import Neighbours, NotConfigured
from gateway.services import identity as service
from gateway.services.identity import found_of
from gateway.settings import Settings
from gateway.tenants import Tenant
from gateway.traits import strict_traits

if TYPE_CHECKING:
    from adapters.insi.messages import Individual
    from adapters.insi.outcomes import Outcome
    from gateway.journey.courier import CourierBase

__all__ = ["About", "Qualifier", "Verification"]

log = structlog.get_logger("passerelle.insi")

#: How long before INSi is asked again about an identity that waits for a person.
LOOK_AGAIN = timedelta(hours=12)
#: How long before INSi is asked again after a technical failure.
SOON = timedelta(seconds=30)


def cause_from(outcome: Outcome) -> Cause:
    """Why a delivery waits, in the words of what INSi answered."""
    return Cause(code=outcome.code, text=outcome.cause, fix=outcome.fix, original_code=outcome.original_code)


class About(Protocol):
    """A delivery that waits for the identity it is about."""

    @property
    def delivery(self) -> Row[Any]:
        """The row claimed."""
        ...

    @property
    def identity(self) -> Identity:
        """The patient."""
        ...

    @property
    def tenant(self) -> Tenant:
        """The structure that sends."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What is needed to ask INSi about the patient of any delivery."""

    delivery: Row[Any]
    identity: Identity
    tenant: Tenant


class Qualifier:
    """Asks INSi and applies what it answers to the identity."""

    def __init__(self, settings: Settings, neighbours: Neighbours) -> None:
        self._settings = settings
        self._neighbours = neighbours

    def stale(self, identity: Identity, now: datetime) -> bool:
        """True when a qualified INS was checked too long ago, or at a date nobody knows."""
        if identity.checked_at is None:
            return True
        return now - identity.checked_at > timedelta(days=self._settings.insi.max_age_days)

    async def ensure(self, courier: CourierBase, load: About) -> Identity:
        """The identity of a delivery, qualified; else the delivery is held (and :class:`Stop` raised)."""
        from gateway.journey.courier import Stop

        identity = load.identity
        if service.state_of(identity.patient).locked:
            await self._hold(courier, load, cause_of(CauseCode.IDENTITY_NOT_QUALIFIED), LOOK_AGAIN)
            raise Stop
        try:
            client = self._neighbours.insi(load.tenant)
        except NotConfigured:
            # Without INSi, what the structure states is what there is.
            if identity.qualified:
                return identity
            await self._hold(courier, load, cause_of(CauseCode.IDENTITY_NOT_QUALIFIED), LOOK_AGAIN)
            raise Stop from None
        traits = strict_traits(identity.patient)
        result = await client.search(traits)
        kind = result.outcome.kind
        log.info("insi.answered", identity=identity.id, outcome=str(kind), code=result.outcome.code)
        if kind in (Kind.RETRY, Kind.OPERATOR):
            await self._hold(courier, load, cause_from(result.outcome), SOON)
            raise Stop
        if kind is not Kind.FOUND or result.individual is None or result.comparison is None:
            if identity.qualified and kind is not Kind.NOT_FOUND:
                # Several people, or an answer that does not hold: it says nothing against the number held.
                await self._hold(courier, load, cause_from(result.outcome), LOOK_AGAIN)
                raise Stop
            return await self._not_found(courier, load)
        return await self._found(courier, load, result.comparison, result.individual)

    async def _found(self, courier: CourierBase, load: About, comparison: Comparison, person: Individual) -> Identity:
        from gateway.journey.courier import Stop

        accepted = comparison.unattended == "accept"
        event = Event.INSI_FOUND_ACCEPTED if accepted else Event.INSI_FOUND_REJECTED
        found = found_of(person) if accepted else None

        def work(connection: Connection) -> Identity | None:
            fresh = identities.load(connection, courier.vault, load.identity.id)
            if fresh.version != load.identity.version:
                # A person, or another delivery, settled it meanwhile: what INSi said is about what it was before.
                return None
            if found is not None and service.collides(fresh.patient, found, person):
                return fresh
            changed = service.apply(connection, courier.vault, fresh, event, now=courier.clock(), found=found)
            state = ("verified" if fresh.patient.ins else "retrieved") if accepted else "mismatch"
            self._tally(connection, courier, load, changed, state)
            service.release(connection, courier.vault, changed, now=courier.clock(), by="gateway:insi")
            return changed

        held = load.delivery.state == "held"
        identity = await courier.store.write(work)
        if identity is None:
            return await self._again(courier, load)
        if not accepted or (found is not None and identity.patient.ins != found.ins):
            await self._hold(courier, load, cause_of(CauseCode.IDENTITY_MISMATCH), LOOK_AGAIN, identity)
            raise Stop
        if not identity.qualified:
            await self._hold(courier, load, cause_of(CauseCode.IDENTITY_NOT_QUALIFIED), LOOK_AGAIN, identity)
            raise Stop
        if held:
            # Released with the others of this patient: it is claimed anew, in its order.
            raise Stop
        return identity

    async def _not_found(self, courier: CourierBase, load: About) -> Identity:
        from gateway.journey.courier import Stop

        if load.identity.qualified:
            event = Event.INSI_VERIFY_KO

            def drop(connection: Connection) -> Identity | None:
                fresh = identities.load(connection, courier.vault, load.identity.id)
                if fresh.version != load.identity.version:
                    return None
                changed = service.apply(connection, courier.vault, fresh, event, now=courier.clock())
                self._tally(connection, courier, load, changed, "not_found")
                return changed

            dropped = await courier.store.write(drop)
            if dropped is None:
                return await self._again(courier, load)
            await self._hold(courier, load, cause_of(CauseCode.IDENTITY_MISMATCH), LOOK_AGAIN, dropped)
            raise Stop
        await self._hold(courier, load, cause_of(CauseCode.IDENTITY_NOT_QUALIFIED), LOOK_AGAIN)
        raise Stop

    async def _again(self, courier: CourierBase, load: About) -> NoReturn:
        """Leave a delivery whose identity changed while INSi was asked; it is looked at again at once."""
        from gateway.journey.courier import Stop

        await self._hold(courier, load, cause_of(CauseCode.IDENTITY_NOT_QUALIFIED), LOOK_AGAIN)
        raise Stop

    def _tally(self, connection: Connection, courier: CourierBase, load: About, identity: Identity, state: str) -> None:
        delivery = load.delivery
        tally_identity(
            connection,
            courier.vault,
            identity,
            kind="ins.check",
            state=state,
            operation=f"{delivery.id}/{delivery.fence}/insi",
            now=courier.clock(),
        )

    async def _hold(
        self,
        courier: CourierBase,
        load: About,
        cause: Cause,
        look_again: timedelta,
        identity: Identity | None = None,
    ) -> None:
        await courier.hold(
            load.delivery,
            cause,
            identity=identity or load.identity,
            days=self._settings.hold_days,
            look_again=look_again,
        )
