"""A mail is answered once, in the national form, and never in a loop."""

from __future__ import annotations

import email
import email.policy

import pytest

from adapters.mss.disposition import Answer, build_disposition, receipt_address
from adapters.mss.mime import parse
from adapters.mss.receipts import parse_disposition
from tests.support.mss import DOCTOR, SENDER, WHEN, mail


def answer(**changes: str) -> Answer:
    members = {"mailbox": DOCTOR, "recipient": DOCTOR, "message_id": "<n@x.fr>", "reporting_ua": "passerelle; 0.1"}
    return Answer(date=WHEN, **(members | changes))


def test_a_processed_mail_is_told_so() -> None:
    """Three parts in order, the complete original once, the original subject, an empty envelope sender."""
    sent = mail()
    notice = build_disposition(sent.data, answer())
    assert notice is not None
    assert (notice.sender, notice.recipients) == ("", (SENDER,))
    message = email.message_from_bytes(notice.data, policy=email.policy.default)
    assert message["Subject"] == "XDM/1.0/DDM+CR d'examens biologiques PAT-TROIS DOMINIQUE 28/03/1979"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["In-Reply-To"] == sent.message_id
    assert message["Disposition-Notification-To"] is None
    parts = parse(notice.data)
    assert [p.content_type for p in parts.children] == [
        "text/plain",
        "message/disposition-notification",
        "message/rfc822",
    ]
    assert parts.children[2].content().rstrip() == sent.data.rstrip()
    fields = parts.children[1].content().decode()
    assert "Disposition: automatic-action/MDN-sent-automatically; processed" in fields
    assert f"Original-Message-ID: {sent.message_id}" in fields
    assert "Error" not in fields


def test_an_error_holds_its_code_everywhere() -> None:
    """Subject, words, disposition and Error field say the same code (LPS 1.1.3)."""
    notice = build_disposition(mail().data, answer(error_code="902"))
    assert notice is not None
    parts = parse(notice.data)
    assert parts.header("Subject").startswith("[KO Intégration système !][902] XDM/1.0/DDM+")
    assert "Code : 902\r\nMotif : Identifiant patient inconnu" in parts.children[0].text()
    assert b"Error: 902^Identifiant patient inconnu^applicationErrorCondition|E^Error^errorSeverity" in (
        parts.children[1].content()
    )
    got = parse_disposition(parts)
    assert got is not None
    assert (got.failed, got.error_code, got.recipient) == (True, "902", DOCTOR)


def test_a_label_of_ones_own_loses_its_accents_in_the_field() -> None:
    """Fields of a notice are ASCII."""
    notice = build_disposition(mail().data, answer(error_code="906", label="Pièce jointe illisible"))
    assert notice is not None
    assert b"Error: 906^Piece jointe illisible^" in notice.data
    assert notice.data.isascii()


@pytest.mark.parametrize(
    "data",
    [
        b"From: a@b.fr\r\n\r\n",
        b"Disposition-Notification-To: a@b.fr\r\nAuto-Submitted: auto-replied\r\n\r\n",
        b"Disposition-Notification-To: nobody\r\n\r\n",
        b"Disposition-Notification-To: a@b.fr\r\nContent-Type: multipart/report; boundary=x\r\n\r\n",
        "Disposition-Notification-To: a@b.fr\r\nSubject: [KO Intégration système !][902] x\r\n\r\n".encode(),
    ],
)
def test_some_mails_are_never_answered(data: bytes) -> None:
    """No request, an automatic mail, a false address, a report, a failure notice."""
    assert receipt_address(parse(data)) is None
    assert build_disposition(data, answer()) is None
