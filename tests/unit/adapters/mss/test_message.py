"""The mail is exactly what MSSanté asks for, and always the same bytes."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage

import pytest

from adapters.mss.addresses import Audience
from adapters.mss.documents import read_document
from adapters.mss.headers import attachment_head
from adapters.mss.message import Draft, Sender, build_mail, document_codes, pdf_name, sender_label, subject
from adapters.mss.mime import parse
from adapters.mss.rules import MailRefused
from tests.support.mss import CITIZEN, DOCTOR, NURSE, PDF, SENDER, WHEN, cda, draft, mail, package


def read(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def attachments(message: EmailMessage) -> list[tuple[str | None, str, bytes]]:
    return [(p.get_filename(), p.get_content_type(), p.get_content()) for p in message.iter_attachments()]


def test_the_subject_follows_the_national_form() -> None:
    """Marker, label, birth name in capitals, first name, birth date (ECO.2.1.3)."""
    assert read(mail().data)["Subject"] == "XDM/1.0/DDM+CR d'examens biologiques PAT-TROIS DOMINIQUE 28/03/1979"


def test_several_documents_share_a_subject_that_counts_them() -> None:
    """Several documents of one patient: their number stands for the label."""
    documents = [read_document(cda(str(n))) for n in (1, 2)]
    assert subject(documents, birth_date=False) == "XDM/1.0/DDM+2 documents PAT-TROIS DOMINIQUE"


def test_the_label_is_cut_and_names_lose_their_accents() -> None:
    """Forty characters of label; the accents of the label are kept unless the setting says otherwise."""
    document = read_document(
        cda(family="Ébène-Lœuf", given="Zoé", label="Compte rendu d'hospitalisation détaillé et long")
    )
    assert subject([document]) == "XDM/1.0/DDM+Compte rendu d'hospitalisation détaillé EBENE-LOEUF Zoe 28/03/1979"
    assert "detaille" in subject([document], accents=False)


def test_the_headers_speak_of_the_documents() -> None:
    """Codes comma-separated, INS, product reference, receipt to the sending box itself."""
    message = read(mail(cda("1"), cda("2", code="34112-3")).data)
    assert message["X-MSS-CODECDA"] == "11502-2,34112-3"
    assert message["X-MSS-INS"] == "O"
    assert message["X-MSS-NIL"] == "NIL-0000"
    assert message["X-MSS-MES"] is None
    assert message["Disposition-Notification-To"] == f"<{SENDER}>"
    assert message["From"] == f"Cabinet médical fictif <{SENDER}>"
    assert message["To"] == DOCTOR
    assert message["Sender"] is None
    assert message["Message-ID"] == "<dlv.1@structure.formation.mssante.fr>"


def test_without_qualified_ins_the_header_says_so() -> None:
    """X-MSS-INS: N when the CDA carries no INS."""
    assert read(mail(cda(ins=None)).data)["X-MSS-INS"] == "N"


def test_one_archive_and_one_pdf_for_each_document() -> None:
    """The PDF beside is the embedded one, byte for byte, under the national name (ECO.2.1.5, ECO.2.1.6)."""
    made = package(cda("1"), cda("2"))
    found = attachments(read(build_mail(draft(made)).data))
    assert found == [
        ("IHE_XDM.zip", "application/zip", made.data),
        ("20260401_CR d'examens biologiques_PAT-TROIS_DOMINIQUE.pdf", "application/pdf", PDF),
        ("20260401_CR d'examens biologiques 2_PAT-TROIS_DOMINIQUE.pdf", "application/pdf", PDF),
    ]


def test_a_structured_document_comes_with_the_pdf_given() -> None:
    """Level 3 embeds none: the caller gives it, and the folder number ends its name."""
    made = package(cda(pdf=None))
    other = PDF + b"% other"
    found = attachments(read(build_mail(draft(made, pdfs=(other,), folder_numbers=("A-77",))).data))
    assert found[1] == ("20260401_CR d'examens biologiques_PAT-TROIS_DOMINIQUE_A-77.pdf", "application/pdf", other)


def test_a_name_with_accents_survives_as_rfc2231() -> None:
    """File names keep spaces, apostrophes and accents; separators and path characters are taken out."""
    document = read_document(cda(label="Lettre de liaison à l'entrée / sortie", family="L_E/B", given="Zoé"))
    assert pdf_name(document) == "20260401_Lettre de liaison à l'entrée sortie_L E B_Zoé.pdf"
    made = package(cda(label="Lettre à l'entrée", given="Zoé"))
    assert attachments(read(build_mail(draft(made)).data))[1][0] == "20260401_Lettre à l'entrée_PAT-TROIS_Zoé.pdf"


def test_the_same_draft_gives_the_same_bytes() -> None:
    """A retry is the same mail, boundary included; ASCII only, CRLF only."""
    first, second = mail().data, mail().data
    assert first == second
    assert first.isascii()
    assert first.count(b"\n") == first.count(b"\r\n")
    assert max(map(len, first.split(b"\r\n"))) <= 998


def test_the_text_tells_a_person_what_it_is() -> None:
    """French words that say who sends what, and how to read it; no clinical content."""
    body = read(mail().data).get_body()
    assert body is not None
    text = body.get_content()
    assert "Cabinet médical fictif vous transmet un document de santé concernant un même patient" in text
    assert "- CR d'examens biologiques du 01/04/2026" in text
    assert "IHE_XDM.zip contient le même document" in text
    assert "remplace" not in text


def test_the_patient_reads_other_words() -> None:
    """The patient's message speaks to them; a closed one says that no answer is possible."""
    message = read(mail(recipients=(CITIZEN,), audience=Audience.CITIZEN, close_conversation=True).data)
    body = message.get_body()
    assert body is not None
    assert "vous concernant" in body.get_content()
    assert "pas possible de répondre" in body.get_content()
    assert message["X-MSS-MES"] == "FIN"


def test_a_replacement_says_so_in_words() -> None:
    """The new version tells a person that the old one is no longer to be used."""
    body = read(mail(cda(replaces="1.2.250.1.999.7.0")).data).get_body()
    assert body is not None
    assert "remplace une version" in body.get_content()


def test_the_callers_own_words_are_kept() -> None:
    """A body given by the caller replaces the default one."""
    body = read(mail(body="Bonjour,\r\nvoici l'été.\r\n.\r\n").data).get_body()
    assert body is not None
    assert body.get_content().splitlines() == ["Bonjour,", "voici l'été.", "."]


def test_an_answer_stays_in_its_conversation() -> None:
    """In-Reply-To and References (ECO.2.2.2), and a mail without document has no marker."""
    sent = build_mail(
        Draft(
            sender=Sender(address=SENDER, label="Cabinet"),
            recipients=(DOCTOR, NURSE),
            audience=Audience.PROFESSIONAL,
            message_id="<2@x.fr>",
            envelope_id="e2",
            date=WHEN,
            product_reference="NIL-0000",
            plain_subject="Réponse à votre demande d'avis",
            body="D'accord.",
            in_reply_to="<1@x.fr>",
            references=("<0@x.fr>", "<1@x.fr>"),
            reply_to=NURSE,
        )
    )
    message = read(sent.data)
    assert message["In-Reply-To"] == "<1@x.fr>"
    assert message["References"] == "<0@x.fr> <1@x.fr>"
    assert message["Reply-To"] == NURSE
    assert message["Subject"] == "Réponse à votre demande d'avis"
    assert message["X-MSS-CODECDA"] is None
    assert message["X-MSS-NIL"] == "NIL-0000"
    assert message.get_content_type() == "text/plain"
    assert parse(sent.data).text() == "D'accord.\r\n"


def test_a_personal_label_joins_its_parts() -> None:
    """Title and entity are optional (ECO.2.2.7)."""
    assert sender_label(title="Dr", given="Odile", family="Kervella", entity="Cabinet") == "Dr_Odile_KERVELLA_Cabinet"
    assert sender_label(given="Odile", family="Kervella") == "Odile_KERVELLA"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"sender": Sender(address=SENDER, label="Cabinet\r\nBcc: x@y.fr")}, "MSS-HDR-001"),
        ({"product_reference": "NIL\nX: y"}, "MSS-HDR-001"),
        ({"product_reference": " "}, "MSS-HDR-004"),
        ({"message_id": "<a@b>\r\nBcc: x@y.fr"}, "MSS-HDR-001"),
        ({"message_id": "a@b"}, "MSS-HDR-002"),
        ({"in_reply_to": "<a b@c>"}, "MSS-HDR-002"),
        ({"references": ("<a@b>", "x")}, "MSS-HDR-002"),
        ({"envelope_id": ""}, "MSS-HDR-003"),
        ({"envelope_id": "é"}, "MSS-HDR-003"),
        ({"envelope_id": "a b"}, "MSS-HDR-003"),
        ({"reply_to": "a@b.fr\r\nX: y"}, "MSS-HDR-001"),
        ({"recipients": ()}, "MSS-ADR-003"),
        ({"recipients": ("josé@x.fr",)}, "MSS-ADR-001"),
        ({"close_conversation": True}, "MSS-HDR-008"),
        ({"archive": b""}, "MSS-XDM-012"),
        ({"pdfs": (b"not a pdf",)}, "MSS-PDF-001"),
        ({"pdfs": (PDF + b"changed",)}, "MSS-PDF-002"),
    ],
)
def test_a_draft_that_breaks_a_rule_is_not_written(change: dict[str, object], code: str) -> None:
    """Each fault has its code, before any connection."""
    with pytest.raises(MailRefused) as error:
        build_mail(draft(**change))
    assert code in {f.code for f in error.value.findings}


def test_a_control_character_from_the_document_never_reaches_a_header() -> None:
    """Labels and names come from the CDA: an escaped line break in it is refused."""
    with pytest.raises(MailRefused, match="MSS-HDR-001"):
        mail(cda(label="CR&#10;Bcc: x@y.fr"))
    with pytest.raises(MailRefused, match="MSS-HDR-001"):
        mail(cda(code="11502-2&#13;"))


def test_a_structured_document_without_pdf_is_refused() -> None:
    """ECO.2.1.1 wants both."""
    with pytest.raises(MailRefused, match="MSS-PDF-001"):
        mail(cda(pdf=None))


def test_an_unqualified_document_is_not_written_for_a_citizen() -> None:
    """Even a citizen address that is given is refused when a document carries no INS."""
    with pytest.raises(MailRefused, match="MSS-PAT-001"):
        mail(cda(ins=None), recipients=(CITIZEN,), audience=Audience.CITIZEN)


def test_two_patients_never_share_a_mail() -> None:
    """The draft checks again what the archive checked."""
    made = package()
    other = read_document(cda("2", family="AUTRE"))
    with pytest.raises(MailRefused, match="MSS-PAT-007"):
        build_mail(draft(made, documents=(*made.documents, other)))


def test_a_mail_over_the_limit_is_refused_whole() -> None:
    """Neither the archive nor the PDF is dropped to make it fit."""
    with pytest.raises(MailRefused) as error:
        build_mail(draft(), max_bytes=2000)
    (finding,) = error.value.findings
    assert (finding.code, finding.expected) == ("MSS-SIZE-001", "2000 octets au plus")


def test_nothing_of_the_patient_shows_in_repr() -> None:
    """Logs may print these objects."""
    shown = repr(draft()) + repr(mail()) + repr(package())
    assert "PAT-TROIS" not in shown
    assert "279035121518989" not in shown
    assert document_codes(replace(draft()).documents) == "11502-2"


@pytest.mark.parametrize(
    "name",
    [
        "20261120_Compte rendu_ÉLÉONORE_Jérôme.pdf",
        "20261120_" + "é" * 90 + "_Z_Z.pdf",
        "œuf & 'a%b' (c).pdf",
        "漢字😀.pdf",
    ],
)
def test_the_name_of_a_file_is_read_by_every_reader(name: str) -> None:
    """A name beyond ASCII is read back by the standard library and by our own reader, on lines of the usual length."""
    head = attachment_head("pdf", name)
    assert max(map(len, head.split(b"\r\n"))) <= 78
    part = read(b"MIME-Version: 1.0\r\n" + head + b"JVBERi0=\r\n")
    assert (part.get_filename(), part.get_content_type(), part.get_content()) == (name, "application/pdf", b"%PDF-")
    assert parse(b"MIME-Version: 1.0\r\n" + head + b"JVBERi0=\r\n").filename == name
