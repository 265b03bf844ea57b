"""A received mail is classified in the right order, and refused whole when anything in it is false."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from adapters.mss.disposition import build_disposition
from adapters.mss.message import build_mail
from adapters.mss.receive import MailKind, Received, integration_code, receive
from adapters.mss.rules import MailRefused
from adapters.mss.sandbox_notices import Notice, render
from tests.support.mss import CITIZEN, DOCTOR, MATRICULE, PDF, SENDER, WHEN, cda, draft, mail, package, peak_memory
from tests.unit.adapters.mss.test_disposition import answer
from tests.unit.adapters.mss.test_mime import nested
from tests.unit.adapters.mss.test_unpack import FALSE, HOSTILE

PLAIN = b"From: Dr Leroy <%s>\r\nMessage-ID: <9@x.fr>\r\nSubject: %s\r\n%s\r\nBonjour.\r\n"


def plain(subject: bytes = b"Avis", sender: str = DOCTOR, more: bytes = b"") -> bytes:
    return PLAIN % (sender.encode(), subject, more)


def with_archive(archive: bytes) -> bytes:
    return build_mail(draft(package(), archive=archive)).data


def codes(received: Received) -> list[str]:
    return [f.code for f in received.reasons]


def test_a_document_is_read_with_its_patient() -> None:
    """Kind, documents, patient key, identifiers, words, and who wants a receipt."""
    got = receive(mail().data, white_list={"structure.formation.mssante.fr"})
    assert (got.kind, got.accepted, codes(got)) == (MailKind.DOCUMENT, True, [])
    assert got.package is not None
    assert got.package.documents[0].data == cda()
    assert got.package.patient.identifier is not None
    assert got.package.patient.identifier.value == MATRICULE
    assert got.message_id == mail().message_id
    assert got.sender == SENDER
    assert got.receipt_to == SENDER
    assert got.display_subject == "CR d'examens biologiques PAT-TROIS DOMINIQUE 28/03/1979"
    assert "vous transmet" in got.text


def test_the_archive_may_be_named_in_any_case_or_not_at_all() -> None:
    """IHE_XDM.ZIP, a bare Content-Type name, or only its content."""
    data = mail().data
    assert receive(data.replace(b"IHE_XDM.zip", b"IHE_XDM.ZIP")).package is not None
    undisposed = data.replace(b'Content-Disposition: attachment;\r\n filename="IHE_XDM.zip"\r\n', b"")
    assert undisposed != data
    assert receive(undisposed).package is not None
    nameless = undisposed.replace(b'application/zip;\r\n name="IHE_XDM.zip"', b"application/octet-stream")
    assert receive(nameless).package is not None


def test_two_archives_are_one_too_many() -> None:
    """Which one would be the document? Refused."""
    data = mail().data
    boundary = data[data.index(b'boundary="') + 10 :].split(b'"')[0]
    start = data.index(b"--" + boundary + b"\r\nContent-Type: application/zip")
    part = data[start : data.index(b"--" + boundary, start + 10)]
    assert codes(receive(data[:start] + part + data[start:])) == ["MSS-XDM-011"]


def test_a_marker_without_archive_is_refused() -> None:
    """The subject announces a document that is not there."""
    got = receive(plain(b"xdm/1.0/ddm+CR VIAL Paul"))
    assert (got.kind, codes(got)) == (MailKind.DOCUMENT, ["MSS-XDM-012"])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (plain(), MailKind.MESSAGE),
        (plain(sender=CITIZEN), MailKind.CITIZEN),
        (plain(more=b"Auto-Submitted: auto-replied\r\n"), MailKind.AUTOMATIC),
        (plain(more=b"Auto-Submitted: no\r\n"), MailKind.MESSAGE),
        (plain("[KO Intégration système !][902] XDM/1.0/DDM+CR".encode()), MailKind.FAILURE),
        (plain(b"=?utf-8?q?=5BErreur_d=E2=80=99int=C3=A9gration_!=5D_XDM/1.0/DDM+CR?="), MailKind.FAILURE),
    ],
)
def test_a_mail_without_document_is_classified(data: bytes, kind: MailKind) -> None:
    """Failure notices before anything else, since they carry the marker of a document."""
    got = receive(data)
    assert got.kind is kind
    assert got.package is None
    assert got.accepted


def notice(kind: str, code: str = "") -> bytes:
    sent = mail()
    members = {"id": "ntc_1", "to": SENDER, "recipient": DOCTOR, "envelope_id": "dlv_1", "at": WHEN}
    return render(Notice(kind=kind, code=code, **members), sent.data, "op.sandbox")  # type: ignore[arg-type]


def test_reports_come_before_everything() -> None:
    """A report holds the whole original, archive included: it is never imported again."""
    bounced, processed, error = (receive(notice(*k)) for k in [("bounced",), ("processed",), ("error", "902")])
    assert [r.kind for r in (bounced, processed, error)] == [MailKind.DSN, MailKind.MDN, MailKind.MDN]
    assert all(r.package is None and r.receipt_to is None for r in (bounced, processed, error))
    assert bounced.delivery is not None
    assert bounced.delivery.envelope_id == "dlv_1"
    assert error.disposition is not None
    assert (error.disposition.failed, error.disposition.error_code) == (True, "902")
    assert error.subject.startswith("[KO Intégration système !][902] XDM/1.0/DDM+")


def test_a_sender_outside_the_trust_space_is_told() -> None:
    """A warning: the operator enforces the list, the reader is told."""
    got = receive(plain(), white_list={"hopital.formation.mssante.fr"})
    assert (codes(got), got.accepted) == (["MSS-MIME-005"], True)


@pytest.mark.parametrize(
    "content_type", [b"application/pkcs7-mime; smime-type=enveloped-data", b"application/x-pkcs7-mime"]
)
def test_an_encrypted_mail_is_not_read(content_type: bytes) -> None:
    """S/MIME is not part of the trust space: said, not guessed."""
    got = receive(plain(more=b"Content-Type: " + content_type + b"\r\n"))
    assert codes(got) == ["MSS-MIME-003"]


def test_a_signed_mail_is_unwrapped() -> None:
    """multipart/signed around the mail changes nothing to its document."""
    head, _, body = mail().data.partition(b"Content-Type: multipart/mixed;")
    signed = (
        head
        + b"Content-Type: multipart/signed; boundary=sig\r\n\r\n--sig\r\nContent-Type: multipart/mixed;"
        + body
        + b"--sig\r\nContent-Type: application/pkcs7-signature\r\n\r\nx\r\n--sig--\r\n"
    )
    got = receive(signed)
    assert got.package is not None
    assert got.accepted


@pytest.mark.parametrize("trap", HOSTILE)
def test_a_hostile_archive_refuses_the_mail(trap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail is known, its archive refused by name, nothing is written, and the sender is told."""
    monkeypatch.chdir(tmp_path)
    archive = HOSTILE[trap]() or b"\r\n"
    got = receive(with_archive(archive))
    assert (got.kind, codes(got), got.package) == (MailKind.DOCUMENT, ["MSS-XDM-001"], None)
    assert got.receipt_to == SENDER
    notice = build_disposition(with_archive(archive), answer(error_code=integration_code(got.reasons)))
    assert notice is not None
    told = receive(notice.data)
    assert told.disposition is not None
    assert told.disposition.error_code == "906"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", FALSE)
def test_a_false_archive_refuses_the_mail(fault: str) -> None:
    """Wrong hash, mismatching patient and the rest: refused as a whole."""
    make, expected = FALSE[fault]
    got = receive(with_archive(make()))
    assert not got.accepted
    assert got.package is None
    assert expected <= set(codes(got))


def test_a_mismatching_patient_is_told_by_its_own_code() -> None:
    """904: the INS differs."""
    got = receive(with_archive(FALSE["other patient id"][0]()))
    assert integration_code(got.reasons) == "904"
    assert integration_code(()) == ""


@pytest.mark.parametrize(
    "header",
    [
        b"Subject: =?utf-8?q?XDM/1.0/DDM+x=0D=0ABcc:_a@b.fr?=\r\n",
        b"From: =?utf-8?q?x=0A?= <a@b.fr>\r\n",
        b"In-Reply-To: =?utf-8?q?=3Ca@b=3E=0AX:_y?=\r\n",
    ],
)
def test_an_injected_header_refuses_the_mail(header: bytes) -> None:
    """A line break hidden in an encoded word would be a header of the answer: refused, told, not copied."""
    data = header + b"Disposition-Notification-To: c@d.fr\r\n\r\nBonjour.\r\n"
    got = receive(data)
    assert codes(got) == ["MSS-MIME-004"]
    assert got.receipt_to == "c@d.fr"
    told = build_disposition(data, answer(error_code="906"), whole=False)
    assert told is not None
    assert b"\nBcc:" not in told.data
    assert receive(told.data).kind is MailKind.MDN


def test_an_injected_receipt_address_is_not_answered() -> None:
    """Nothing is sent to an address that is not one."""
    got = receive(b"Disposition-Notification-To: =?utf-8?q?x=0D?= <a@b.fr>\r\n\r\nBonjour.\r\n")
    assert (codes(got), got.receipt_to) == (["MSS-MIME-004"], None)


def test_a_header_that_cannot_be_read_at_all_is_an_error() -> None:
    """A NUL in the header: there is nobody to tell."""
    with pytest.raises(MailRefused, match="MSS-MIME-004"):
        receive(b"In-Reply-To: a\x00b\r\n\r\nBonjour.\r\n")


def test_a_header_that_stands_twice_refuses_the_mail() -> None:
    """What one program checks another would not read."""
    got = receive(plain(more=b"From: b@c.fr\r\n"))
    assert codes(got) == ["MSS-MIME-004"]


def test_a_thousand_nested_parts_refuse_the_mail() -> None:
    """At once, and in little memory."""
    data = b"Disposition-Notification-To: c@d.fr\r\nMessage-ID: <1@d.fr>\r\n" + nested(1000)
    with peak_memory() as peak:
        begun = time.process_time()
        got = receive(data)
        assert time.process_time() - begun < 0.5
        assert peak() < 1_000_000
    assert codes(got) == ["MSS-MIME-002"]
    assert (got.receipt_to, got.message_id) == ("c@d.fr", "<1@d.fr>")
    told = build_disposition(data, answer(error_code="906"), whole=False)
    assert told is not None
    assert len(told.data) < 3000


def test_a_large_mail_is_read_in_bounded_memory() -> None:
    """The buffer is shared by all parts: a mail of 12 MB costs a few copies, not one a level."""
    pdf = PDF + random.Random(1).randbytes(3_000_000)
    data = build_mail(draft(package(cda(pdf=pdf))), max_bytes=25_000_000).data
    with peak_memory() as peak:
        assert receive(data).accepted
        assert peak() < 10 * len(data)


def test_no_trait_shows_in_what_may_be_logged() -> None:
    """repr of a received mail names neither the patient nor the sender."""
    shown = repr(receive(mail().data))
    assert not any(word in shown for word in ("PAT-TROIS", MATRICULE, SENDER))


def test_a_report_that_does_not_name_its_type_is_still_a_report() -> None:
    """The parts tell."""
    data = notice("bounced").replace(b"report-type=delivery-status; ", b"")
    assert receive(data).kind is MailKind.DSN
