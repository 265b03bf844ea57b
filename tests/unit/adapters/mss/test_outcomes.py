"""Every answer and every loss has one outcome, with a cause and a fix in two languages."""

from __future__ import annotations

import pytest

from adapters.mss import outcomes
from adapters.mss.outcomes import Kind, Phase

# mss.md 2.2 and 10, and the generic list of the HL7v2 volume.
REPLIES = [
    (Phase.FINAL_DOT, 250, "2.0.0 queued", "MSS-OUT-ACCEPTED", Kind.ACCEPTED),
    (Phase.AFTER_STARTTLS, 421, "4.7.1 Error: No client certificate presented", "MSS-OUT-CERTIFICATE", Kind.OPERATOR),
    (Phase.CONNECT, 421, "4.3.2 busy", "MSS-OUT-TEMPORARY", Kind.RETRY),
    (Phase.AUTH, 535, "5.7.8 Client didn't present valid SSL certificate", "MSS-OUT-CERTIFICATE", Kind.OPERATOR),
    (Phase.AUTH, 535, "5.7.8 bad token", "MSS-OUT-TOKEN", Kind.OPERATOR),
    (Phase.AUTH, 454, "4.7.0 later", "MSS-OUT-TEMPORARY", Kind.RETRY),
    (Phase.MAIL, 530, "5.7.0 auth", "MSS-OUT-TOKEN", Kind.OPERATOR),
    (Phase.MAIL, 553, "5.7.1 not owner", "MSS-OUT-SENDER", Kind.OPERATOR),
    (Phase.MAIL, 552, "5.3.4 size", "MSS-OUT-SIZE", Kind.REFUSED),
    (Phase.FINAL_DOT, 552, "5.3.4 size", "MSS-OUT-SIZE", Kind.REFUSED),
    (Phase.FINAL_DOT, 552, "size", "MSS-OUT-SIZE", Kind.REFUSED),
    (Phase.RCPT, 552, "5.2.2 full", "MSS-OUT-MAILBOX-FULL", Kind.REFUSED),
    (Phase.RCPT, 550, "5.1.1 unknown", "MSS-OUT-ADDRESS", Kind.REFUSED),
    (Phase.RCPT, 550, "no such user", "MSS-OUT-ADDRESS", Kind.REFUSED),
    (Phase.RCPT, 553, "5.1.3 syntax", "MSS-OUT-ADDRESS", Kind.REFUSED),
    (Phase.RCPT, 554, "5.7.1 relay denied", "MSS-OUT-POLICY", Kind.REFUSED),
    (Phase.RCPT, 550, "5.7.1 denied", "MSS-OUT-POLICY", Kind.REFUSED),
    (Phase.RCPT, 450, "4.2.0 greylisted", "MSS-OUT-GREYLISTED", Kind.RETRY),
    (Phase.RCPT, 451, "4.7.1 greylisted", "MSS-OUT-GREYLISTED", Kind.RETRY),
    (Phase.RCPT, 452, "4.2.2 full", "MSS-OUT-MAILBOX-FULL-LATER", Kind.RETRY),
    (Phase.RCPT, 452, "4.5.3 too many", "MSS-OUT-TOO-MANY-RECIPIENTS", Kind.RETRY),
    (Phase.RCPT, 452, "4.3.1 disk", "MSS-OUT-TEMPORARY", Kind.RETRY),
    (Phase.MAIL, 503, "5.5.1 order", "MSS-OUT-PROTOCOL", Kind.OPERATOR),
    (Phase.STARTTLS, 454, "4.7.0 TLS", "MSS-OUT-TEMPORARY", Kind.RETRY),
    (Phase.STARTTLS, 502, "5.5.1 no", "MSS-OUT-STARTTLS", Kind.OPERATOR),
    (Phase.FINAL_DOT, 499, "unheard of", "MSS-OUT-TEMPORARY", Kind.RETRY),
    (Phase.FINAL_DOT, 599, "unheard of", "MSS-OUT-REFUSED", Kind.REFUSED),
]


@pytest.mark.parametrize(("phase", "code", "text", "expected", "kind"), REPLIES)
def test_a_reply_is_read_by_its_moment(phase: Phase, code: int, text: str, expected: str, kind: Kind) -> None:
    """The same code means other things at other moments; code and text are kept."""
    outcome = outcomes.reply(code, text, phase)
    assert (outcome.code, outcome.kind) == (expected, kind)
    assert (outcome.original_code, outcome.original_text) == (str(code), text)


@pytest.mark.parametrize("phase", Phase)
def test_no_reply_is_left_without_outcome(phase: Phase) -> None:
    """Every code at every moment has a cause and a fix in both languages; a final one is never tried again."""
    for code in range(400, 600):
        outcome = outcomes.reply(code, "", phase)
        assert all((outcome.cause.fr, outcome.cause.en, outcome.fix.fr, outcome.fix.en))
        assert outcome.kind not in (Kind.ACCEPTED, Kind.UNCERTAIN)
        assert outcome.kind is not Kind.RETRY or (code < 500 and outcome.retry_after is not None)


@pytest.mark.parametrize("phase", Phase)
def test_a_lost_connection_is_read_by_its_moment(phase: Phase) -> None:
    """Uncertain only once the message was handed over; the certificate right after the handshake; else the network."""
    outcome = outcomes.lost(phase, ConnectionResetError())
    expected = {Phase.FINAL_DOT: Kind.UNCERTAIN, Phase.AFTER_STARTTLS: Kind.OPERATOR}.get(phase, Kind.RETRY)
    assert outcome.kind is expected
    assert outcome.original_code == "ConnectionResetError"


def test_a_silent_server_after_the_handshake_is_ill_not_strict() -> None:
    """A server that judges a certificate closes; one that says nothing is tried again."""
    assert outcomes.lost(Phase.AFTER_STARTTLS, TimeoutError()).kind is Kind.RETRY


def test_remote_words_are_safe_to_show() -> None:
    """One line, bounded, no matricule; nothing of the escape sequences."""
    text = outcomes.remote_text(
        "550 <279035121518989@patient.mssante.fr>\r\nX: \x1b[31m 2 790351215189 89 279035121518989"
    )
    assert "279035121518989" not in text
    assert text.isprintable()
    assert len(outcomes.remote_text("x" * 5000)) == 500
