"""Notices of every grammar in use become the same typed events."""

from __future__ import annotations

import pytest

from adapters.mss.mime import parse
from adapters.mss.receipts import (
    State,
    is_failure_subject,
    message_id,
    parse_delivery,
    parse_disposition,
    parse_failure,
)

# As Postfix 3.7 writes it: folded diagnostic, prefixed recipients, the envelope id of the sender.
BOUNCE = b"""From: MAILER-DAEMON@op.fr (Mail Delivery System)
Content-Type: multipart/report; report-type=delivery-status; boundary="B1"

--B1
Content-Type: text/plain

words
--B1
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; op.fr
Original-Envelope-Id: dlv+2B1
X-Postfix-Queue-ID: 5F3
Arrival-Date: Tue, 24 Nov 2026 10:00:00 +0100 (CET)

Final-Recipient: rfc822; a@b.fr
Original-Recipient: rfc822;a@b.fr
Action: failed
Status: 5.2.2
Remote-MTA: dns; b.fr
Diagnostic-Code: smtp; 552 5.2.2 <a@b.fr> Mailbox
    is full

Final-Recipient: rfc822; 279035121518989@patient.mssante.fr
Action: relayed
Status: 2.0.0

Final-Recipient: rfc822; c@b.fr
Action: delayed
Status: 4.4.1

--B1
Content-Type: message/rfc822

From: x@y.fr
Message-ID:
 <1@y.fr>

body
--B1--
"""


def test_a_delivery_notice_is_read_recipient_by_recipient() -> None:
    """Envelope id decoded, diagnostic unfolded, relayed counted as delivered."""
    got = parse_delivery(parse(BOUNCE))
    assert got is not None
    assert (got.envelope_id, got.original_message_id) == ("dlv+1", "<1@y.fr>")
    full, relayed, delayed = got.recipients
    assert (full.address, full.state, full.status, full.smtp_code) == ("a@b.fr", State.FAILED, "5.2.2", "552")
    assert full.diagnostic == "552 5.2.2 <a@b.fr> Mailbox is full"
    assert (relayed.state, relayed.action) == (State.DELIVERED, "relayed")
    assert delayed.state is State.DELAYED


def test_a_diagnostic_tells_no_matricule() -> None:
    """Servers quote the recipient they refuse: a citizen's is hidden."""
    data = BOUNCE.replace(b"<a@b.fr> Mailbox", b"<279035121518989@patient.mssante.fr> Mailbox 279035121518989")
    got = parse_delivery(parse(data))
    assert got is not None
    assert "279035121518989" not in got.recipients[0].diagnostic


def test_without_status_there_is_no_notice() -> None:
    """A report without its machine part is none."""
    assert parse_delivery(parse(b"Subject: x\n\nx")) is None
    assert parse_disposition(parse(b"Subject: x\n\nx")) is None
    assert parse_failure(parse(b"Subject: XDM/1.0/DDM+CR\n\nx")) is None


MDN = """Content-Type: multipart/report; report-type=disposition-notification; boundary=B

--B

words
--B
Content-Type: message/disposition-notification

Reporting-UA: x
Original-Recipient: rfc822;a@b.fr
Final-Recipient: rfc822;app@b.fr
{id}{fields}

--B
Content-Type: message/rfc822

Message-ID: <1@y.fr>

body
--B--
"""
AUTOMATIC = "Disposition: automatic-action/MDN-sent-automatically; "


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (AUTOMATIC + "processed", ("processed", False, "", True)),
        (
            AUTOMATIC + "processed/error\nError: 902^Identifiant patient inconnu^x|E^Error^y",
            ("processed", True, "902", True),
        ),
        (AUTOMATIC + "processed/Error: 904^INS différent", ("processed", True, "904", True)),
        (AUTOMATIC + "processed/Failure", ("processed", True, "", True)),
        (AUTOMATIC + "processed\nFailure: broken", ("processed", True, "", True)),
        ("Disposition: manual-action/MDN-sent-manually; displayed", ("displayed", False, "", False)),
        ("Disposition: automatic-action/MDN-sent-automatically;\n displayed", ("displayed", False, "", True)),
        (AUTOMATIC + "deleted/Error: no patient", ("deleted", True, "", True)),
        ("Disposition: manual-action/MDN-sent-manually; deleted", ("deleted", True, "", False)),
        ("X: y", ("", False, "", False)),
    ],
)
def test_every_grammar_of_disposition_is_understood(fields: str, expected: tuple[str, bool, str, bool]) -> None:
    """Current, older and IHE forms (mss.md 8.1)."""
    data = MDN.format(id="Original-Message-ID: <1@y.fr>\n", fields=fields).encode()
    got = parse_disposition(parse(data))
    assert got is not None
    assert (got.disposition, got.failed, got.error_code, got.automatic) == expected
    assert (got.original_message_id, got.recipient) == ("<1@y.fr>", "a@b.fr")


def test_the_returned_mail_gives_the_identifier_when_the_field_lacks() -> None:
    """Original-Message-ID is required but not always there."""
    got = parse_disposition(parse(MDN.format(id="", fields=AUTOMATIC + "processed").encode()))
    assert got is not None
    assert got.original_message_id == "<1@y.fr>"


@pytest.mark.parametrize(
    ("subject", "code"),
    [
        ("[KO Intégration système !][903] XDM/1.0/DDM+CR", "903"),
        ("[Erreur d'intégration !] XDM/1.0/DDM+CR", "906"),
    ],
)
def test_a_notice_for_people_is_known_by_its_subject(subject: str, code: str) -> None:
    """The code stands between brackets; without one it is the other error."""
    data = f"Subject: {subject}\nIn-Reply-To: <1@y.fr>\n\nx".encode()
    got = parse_failure(parse(data))
    assert got is not None
    assert (got.error_code, got.original_message_id) == (code, "<1@y.fr>")
    assert is_failure_subject(subject)
    assert not is_failure_subject("Re: " + subject)


def test_a_message_id_is_taken_out_of_its_surroundings() -> None:
    """Angle brackets kept; nothing when there is none."""
    assert message_id(" x <a.b@c> y") == "<a.b@c>"
    assert message_id("a@b") == ""
