"""A mail that left, and notices about it, without any server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, select

from adapters.mss.disposition import Answer, build_disposition
from adapters.mss.message import build_mail
from adapters.mss.receive import Received, receive
from adapters.mss.sandbox_notices import Notice, render
from gateway.journey import recipients, threads
from gateway.store.engine import Store
from gateway.store.mail_tables import mail_recipients, mail_sent
from gateway.store.tables import deliveries
from gateway.tenants import Tenant
from gateway.vault import Vault
from tests.support.mss import DOCTOR, NURSE, draft
from tests.unit.gateway.conftest import HandClock, Intakes


@dataclass(slots=True)
class Sent:
    """A mail to a doctor and a nurse that our operator took charge of."""

    store: Store
    vault: Vault
    clock: HandClock
    tenant: Tenant
    delivery: str
    message_id: str
    envelope_id: str
    data: bytes

    def rows(self) -> list[Any]:
        """Its recipients."""
        return self.store.read_now(lambda c: recipients.of_delivery(c, self.delivery))

    def states(self) -> list[str]:
        """Their states."""
        return [row.state for row in self.rows()]

    def change(self, rank: int, state: str) -> bool:
        """Bring a recipient to a state."""

        def work(connection: Connection) -> bool:
            row = recipients.of_delivery(connection, self.delivery)[rank]
            return recipients.change(connection, self.vault, row, state, at=self.clock(), by="test", count=False)

        return self.store.write_now(work)

    def bounce(self, address: str = DOCTOR, *, envelope_id: str | None = None, status: str = "5.1.1") -> Received:
        """The operator's notice that it could not deliver to an address."""
        return self._delivery("bounced", address, envelope_id, status)

    def delivered(self, address: str = DOCTOR, *, envelope_id: str | None = None) -> Received:
        """The operator's notice that it delivered to an address."""
        return self._delivery("delivered", address, envelope_id, "")

    def _delivery(self, kind: Any, address: str, envelope_id: str | None, status: str) -> Received:
        notice = Notice(
            id="ntc_1",
            kind=kind,
            to="cabinet@structure.formation.mssante.fr",
            recipient=address,
            envelope_id=self.envelope_id if envelope_id is None else envelope_id,
            at=self.clock(),
            code=status,
        )
        return receive(render(notice, self.data, "operateur.sandbox"))

    def processed(self, address: str = DOCTOR, code: str = "") -> Received:
        """A recipient's notice that it was handled, or why it was not."""
        answer = Answer(
            mailbox=address,
            recipient=address,
            message_id="<mdn.1@medecin.formation.mssante.fr>",
            date=self.clock(),
            reporting_ua="test; test",
            error_code=code,
        )
        made = build_disposition(self.data, answer)
        assert made is not None
        return receive(made.data)


@pytest.fixture
def sent(intakes: Intakes, store: Store, vault: Vault, tenant: Tenant, clock: HandClock) -> Sent:
    """A document mailed to two recipients, both submitted."""
    request = intakes.request(
        to_dmp=False,
        recipients=({"address": DOCTOR, "kind": "professional"}, {"address": NURSE, "kind": "structure"}),
    )
    document = intakes.take(request).document_id
    delivery = store.read_now(
        lambda c: c.execute(select(deliveries.c.id).where(deliveries.c.document_id == document)).scalar_one()
    )
    mail = build_mail(draft(recipients=(DOCTOR, NURSE), message_id="<m1@structure.formation.mssante.fr>"))

    def work(connection: Connection) -> None:
        thread = threads.begin(connection, tenant.id, "professional", None, clock())
        connection.execute(
            mail_sent.insert().values(
                delivery_id=delivery,
                tenant_id=tenant.id,
                mailbox="cabinet@structure.formation.mssante.fr",
                message_id=mail.message_id,
                envelope_id=mail.envelope_id,
                thread_id=thread,
                references=[],
                prepared_at=clock(),
            )
        )
        for row in recipients.of_delivery(connection, delivery):
            recipients.change(connection, vault, row, "submitted", at=clock(), by="test", count=False)

    store.write_now(work)
    assert store.read_now(lambda c: len(c.execute(select(mail_recipients)).all())) == 2
    return Sent(store, vault, clock, tenant, delivery, mail.message_id, mail.envelope_id, mail.data)
