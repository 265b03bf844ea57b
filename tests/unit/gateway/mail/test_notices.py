"""Notices and recipients: tied by envelope or message, heard once, counted once, whatever the order they come in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from adapters.mss.receive import Received, receive
from conformance.verdict import Text
from gateway.feeds.tables import entries
from gateway.journey import recipients
from gateway.journey.cause import Cause
from gateway.journey.incoming import apply_notice, is_notice
from gateway.store.mail_tables import mail_recipient_history
from gateway.store.tables import webhook_calls, webhooks
from tests.support.mss import CITIZEN, DOCTOR, NURSE
from tests.unit.gateway.mail.conftest import Sent

SILENT = Cause(code="MSS-OUT-SILENT", text=Text("Rien.", "Nothing."), fix=Text("Appelez.", "Call."))


def hear(sent: Sent, received: Received, tenant: str | None = None) -> int:
    """Apply a notice; how many recipients it changed."""
    assert is_notice(received)
    return sent.store.write_now(
        lambda c: apply_notice(c, sent.vault, tenant or sent.tenant.id, received, now=sent.clock())
    )


def counted(sent: Sent) -> list[tuple[str, str, int]]:
    """What the ledger has of mail: state, class and recipients of each entry."""
    rows = sent.store.read_now(
        lambda c: c.execute(
            select(entries.c.state, entries.c.recipient_class, entries.c.recipients)
            .where(entries.c.kind == "mss.message")
            .order_by(entries.c.id)
        ).all()
    )
    return [tuple(row) for row in rows]


def test_a_delivery_then_a_reading(sent: Sent) -> None:
    """Each moves its own recipient, with its row of history and its entry."""
    assert hear(sent, sent.delivered(DOCTOR)) == 1
    assert hear(sent, sent.processed(DOCTOR)) == 1
    assert sent.states() == ["read", "submitted"]
    assert counted(sent) == [("delivered", "ps", 1), ("read", "ps", 1)]
    rows = sent.store.read_now(lambda c: c.execute(select(mail_recipient_history)).all())
    assert [(row.from_state, row.to_state, row.by) for row in rows][-2:] == [
        ("submitted", "delivered", "notice:dsn"),
        ("delivered", "read", "notice:mdn"),
    ]


def test_the_same_notice_twice_changes_once(sent: Sent) -> None:
    """The operator repeats itself: one change, one entry."""
    assert [hear(sent, sent.delivered(NURSE)) for _ in range(3)] == [1, 0, 0]
    assert counted(sent) == [("delivered", "bal_org", 1)]


def test_a_late_bounce_after_a_delivery(sent: Sent) -> None:
    """Delivered, then refused further on: failed; the delivery notice that comes again does not undo it."""
    assert hear(sent, sent.delivered()) == 1
    assert hear(sent, sent.bounce()) == 1
    assert hear(sent, sent.delivered()) == 0
    assert sent.states()[0] == "failed"
    assert counted(sent) == [("delivered", "ps", 1), ("failed", "ps", 1)]
    (row, _) = sent.rows()
    assert (row.code, row.original_code) == ("MSS-OUT-ADDRESS", "5.1.1")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("5.1.1", "MSS-OUT-ADDRESS"),
        ("5.2.2", "MSS-OUT-MAILBOX-FULL"),
        ("4.4.7", "MSS-OUT-EXPIRED"),
        ("5.7.1", "MSS-OUT-POLICY"),
    ],
)
def test_what_a_bounce_means(sent: Sent, status: str, code: str) -> None:
    """The enhanced status decides the cause, in words of the table of outcomes."""
    hear(sent, sent.bounce(status=status))
    assert sent.rows()[0].code == code


def test_tied_by_message_id_without_envelope(sent: Sent) -> None:
    """An operator that gives no envelope id back: the Message-ID of the returned header ties the notice."""
    assert hear(sent, sent.bounce(NURSE, envelope_id="")) == 1
    assert sent.states() == ["submitted", "failed"]


def test_a_notice_about_a_mail_of_somebody_else(sent: Sent) -> None:
    """An unknown envelope and an unknown message, or another structure's: nothing changes."""
    stranger = sent.processed()
    assert hear(sent, stranger, tenant="tnt_other") == 0
    assert sent.states() == ["submitted", "submitted"]


def test_an_address_that_is_no_recipient_of_ours(sent: Sent) -> None:
    """Two recipients, and a notice about a third: whose it is cannot be told."""
    assert hear(sent, sent.bounce("autre@hopital.formation.mssante.fr")) == 0


def test_an_integration_error_has_its_words(sent: Sent) -> None:
    """The code of the table, and its label, as the recipient's software said."""
    hear(sent, sent.processed(code="904"))
    row = sent.rows()[0]
    assert (row.state, row.code, row.cause_fr) == ("failed", "MSS-MDN-904", "INS différent de celui du dossier local")


def test_words_of_mon_espace_sante_are_a_bounce(sent: Sent) -> None:
    """No report, only a plain mail that answers ours and says it was not delivered."""
    text = (
        f"From: {CITIZEN}\r\nTo: cabinet@structure.formation.mssante.fr\r\n"
        f"Subject: Message non =?utf-8?q?distribu=C3=A9?=\r\nMessage-ID: <n1@patient.mssante.fr>\r\n"
        f"In-Reply-To: {sent.message_id}\r\n\r\nLa messagerie est close.\r\n"
    )
    received = receive(text.encode())
    # Two recipients: which one is not said, so nothing is guessed.
    assert hear(sent, received) == 0
    plain = receive(text.replace("non =?utf-8?q?distribu=C3=A9?=", "bien re=C3=A7u").encode())
    assert not is_notice(plain)


def test_silence_then_news(sent: Sent) -> None:
    """Unknown after the delay, each counted once; a later notice still counts."""
    sent.clock.forward(days=3)

    def silence() -> int:
        return sent.store.write_now(
            lambda c: recipients.silent(
                c, sent.vault, now=sent.clock(), after=timedelta(days=2), cause=SILENT, by="gateway:mss"
            )
        )

    assert [silence(), silence()] == [2, 0]
    assert sent.states() == ["unknown", "unknown"]
    hear(sent, sent.delivered(DOCTOR))
    assert sent.states() == ["delivered", "unknown"]
    assert [state for state, _, _ in counted(sent)] == ["unknown", "unknown", "delivered"]


def test_a_notice_may_overtake_our_own_note(sent: Sent) -> None:
    """Told before we wrote that the operator has it: the recipient goes straight on."""
    sent.change(0, "pending")
    assert hear(sent, sent.delivered(DOCTOR)) == 1
    assert sent.states()[0] == "delivered"


def test_the_callers_webhook_is_told_without_an_address(sent: Sent) -> None:
    """One call, to the client that sent the document, with ids and cause only."""

    def listen(connection: Any) -> None:
        for number, client in (("whk_1", "client"), ("whk_2", "other")):
            connection.execute(
                webhooks.insert().values(
                    id=number,
                    tenant_id=sent.tenant.id,
                    client_id=client,
                    url="https://example.test/",
                    sealed_secret=b"x",
                    created_at=sent.clock(),
                )
            )

    sent.store.write_now(listen)
    hear(sent, sent.bounce())
    (call,) = sent.store.read_now(lambda c: c.execute(select(webhook_calls)).all())
    assert call.webhook_id == "whk_1"
    assert call.body["type"] == "message.failed"
    assert call.body["outcome"]["code"] == "MSS-OUT-ADDRESS"
    assert DOCTOR not in str(call.body)


def test_addresses_stand_nowhere_in_clear(sent: Sent) -> None:
    """Sealed in the row, found by a keyed hash, shown masked when a citizen's."""
    row = sent.rows()[0]
    assert DOCTOR.encode() not in bytes(row.sealed)
    assert recipients.address_of(sent.vault, row) == DOCTOR
    assert recipients.shown(sent.vault, row) == DOCTOR
