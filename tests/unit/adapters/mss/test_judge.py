"""The simulated operator refuses every mail that breaks a rule, and names the rule."""

from __future__ import annotations

import pytest

from adapters.mss.addresses import Audience
from adapters.mss.judge import judge
from adapters.mss.message import build_mail
from adapters.mss.rules import RULES
from tests.support.mss import CITIZEN, DOCTOR, PDF, SENDER, cda, draft, mail, package


def faults(data: bytes, *recipients: str, sender: str = SENDER) -> list[str]:
    return [f.code for f in judge(data, sender=sender, recipients=recipients or (DOCTOR,)).faults]


def test_a_right_mail_has_no_finding() -> None:
    """Documents, both audiences, several of them, structured ones too."""
    assert judge(mail().data, sender=SENDER, recipients=(DOCTOR,)).findings == ()
    assert faults(mail(cda("1"), cda("2")).data) == []
    assert faults(mail(cda(pdf=None), pdfs=(PDF,)).data) == []
    assert faults(mail(cda(ins=None)).data) == []
    assert faults(mail(recipients=(CITIZEN,), audience=Audience.CITIZEN).data, CITIZEN) == []


CHANGES: dict[str, tuple[bytes, bytes, str]] = {
    "another subject": (b"Subject: XDM/1.0/DDM+CR", b"Subject: XDM/1.0/DDM+LR", "MSS-HDR-005"),
    "another patient in the subject": (b"PAT-TROIS DOMINIQUE 28", b"PAT-UN DOMINIQUE 28", "MSS-HDR-005"),
    "another code": (b"X-MSS-CODECDA: 11502-2", b"X-MSS-CODECDA: 34112-3", "MSS-HDR-006"),
    "no code": (b"X-MSS-CODECDA: 11502-2\r\n", b"", "MSS-HDR-006"),
    "another INS status": (b"X-MSS-INS: O", b"X-MSS-INS: N", "MSS-HDR-007"),
    "no product": (b"X-MSS-NIL: NIL-0000\r\n", b"", "MSS-HDR-004"),
    "FIN to a professional": (b"X-MSS-NIL:", b"X-MSS-MES: FIN\r\nX-MSS-NIL:", "MSS-HDR-008"),
    "no Message-ID": (b"Message-ID: <dlv.1@structure.formation.mssante.fr>\r\n", b"", "MSS-HDR-002"),
    "no date": (b"Date: ", b"X-Date: ", "MSS-MIME-001"),
    "receipt elsewhere": (b"-To: <cabinet@", b"-To: <autre@", "MSS-HDR-009"),
    "From twice": (b"X-MSS-NIL:", b"From: x@y.fr\r\nX-MSS-NIL:", "MSS-MIME-004"),
    "a bare line feed": (b"Bonjour,\r\n", b"Bonjour,\n", "MSS-MIME-001"),
    "a byte above 127": (b"Bonjour,", b"Bonjour\xe9", "MSS-MIME-001"),
    "a long line": (b"Bonjour,", b"B" * 1000, "MSS-MIME-001"),
    "the PDF's name": (b"20260401_CR", b"2026_CR", "MSS-PDF-003"),
    "no archive": (b"IHE_XDM.zip", b"AUTRE.zip", "MSS-XDM-012"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_rule_broken_is_named(change: str) -> None:
    """One change, one code."""
    find, new, code = CHANGES[change]
    data = mail().data
    assert find in data
    assert code in faults(data.replace(find, new))


def test_the_sender_is_the_envelopes() -> None:
    """From and MAIL FROM are the same box."""
    assert "MSS-HDR-009" in faults(mail().data, sender="autre@structure.formation.mssante.fr")


def test_the_pdf_beside_is_the_embedded_one() -> None:
    """Another PDF, or none, is refused."""
    made = package(cda(pdf=None))
    structured = build_mail(draft(made, pdfs=(PDF + b"%2",))).data
    level1 = package().data
    archive_of_level1 = build_mail(draft(package(), archive=level1)).data
    assert faults(archive_of_level1) == []
    other = build_mail(draft(made, pdfs=(PDF + b"%2",), archive=level1)).data
    assert faults(other) == ["MSS-PDF-002"]
    assert faults(structured) == []
    none = mail().data.replace(b"application/pdf", b"application/x-pdf")
    assert faults(none) == ["MSS-PDF-001", "MSS-PDF-002"]


def test_a_citizen_gets_only_their_own_qualified_document() -> None:
    """Another matricule, an unqualified identity, or both audiences at once."""
    data = mail(recipients=(CITIZEN,), audience=Audience.CITIZEN).data
    assert faults(data, "179035121518986@patient.mssante.fr") == ["MSS-ADR-006"]
    assert "MSS-PAT-001" in faults(mail(cda(ins=None)).data, CITIZEN)
    assert "MSS-ADR-005" in faults(mail().data, DOCTOR, CITIZEN)


def test_pdfa_is_asked_for_by_setting() -> None:
    """Published examples embed plain PDF, so it is a setting; a PDF that declares part 1 passes."""
    refused = judge(mail().data, sender=SENDER, recipients=(DOCTOR,), require_pdfa=True)
    assert [f.code for f in refused.faults] == ["MSS-PDF-001"]
    pdfa = PDF + b"<pdfaid:part>1</pdfaid:part>"
    passed = judge(mail(cda(pdf=pdfa)).data, sender=SENDER, recipients=(DOCTOR,), require_pdfa=True)
    assert passed.faults == ()


def test_every_rule_speaks_two_languages_and_names_its_source() -> None:
    """Codes, sentences, fixes and clauses are all there."""
    for code, rule in RULES.items():
        assert rule.code == code
        assert all((rule.message.fr, rule.message.en, rule.fix.fr, rule.fix.en, rule.source))
        assert rule.message.fr != rule.message.en
