"""``passerelle mail`` reads and makes mails by hand: JSON out, exit codes that mean something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.commands.mail import app
from tests.support.mss import CITIZEN, DOCTOR, MATRICULE, PDF, SENDER, cda, mail, package
from tests.unit.adapters.mss.test_receive import notice, plain, with_archive
from tests.unit.adapters.mss.test_unpack import FALSE, HOSTILE


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def read(path: Path, data: bytes, *options: str) -> tuple[dict[str, Any], int]:
    path.write_bytes(data)
    result = run("read", path, *options)
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer, result.exit_code


@pytest.mark.parametrize("suffix", ["eml", "zip"])
def test_a_right_mail_and_a_right_archive_are_accepted(tmp_path: Path, suffix: str) -> None:
    """Verdict, documents with path, size, hash and type, and the patient's match keys."""
    data = mail().data if suffix == "eml" else package().data
    answer, status = read(tmp_path / f"a.{suffix}", data)
    assert (answer["verdict"], answer["kind"], answer["reasons"], status) == ("accepted", "document", [], 0)
    (document,) = answer["documents"]
    assert document["path"] == "IHE_XDM/SUBSET01/DOC00001.XML"
    assert (document["size"], document["typeCode"]) == (len(cda()), "11502-2")
    assert len(document["sha1"]) == 40
    assert answer["patient"] == {
        "matricule": MATRICULE,
        "authority": "1.2.250.1.213.1.4.10",
        "birthName": "PAT-TROIS",
        "firstGivenName": "DOMINIQUE",
        "birthDate": "1979-03-28",
        "sex": "F",
    }


@pytest.mark.parametrize("trap", sorted(HOSTILE.keys() - {"empty", "truncated", "not an archive"}))
def test_a_hostile_archive_is_rejected(tmp_path: Path, trap: str) -> None:
    """Exit 1, the reason named, no document, nothing written beside; in a mail or alone."""
    for name, data in (("a.zip", HOSTILE[trap]()), ("a.eml", with_archive(HOSTILE[trap]()))):
        answer, status = read(tmp_path / name, data)
        assert (answer["verdict"], status, answer["documents"]) == ("rejected", 1, [])
        assert answer["reasons"][0]["code"] == "MSS-XDM-001"
        assert answer["reasons"][0]["text"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.eml", "a.zip"]


@pytest.mark.parametrize("fault", FALSE)
def test_a_false_archive_is_rejected_by_its_rule(tmp_path: Path, fault: str) -> None:
    """Every fault has its code in the reasons."""
    make, expected = FALSE[fault]
    answer, status = read(tmp_path / "a.zip", make())
    assert (answer["verdict"], status) == ("rejected", 1)
    assert expected <= {r["code"] for r in answer["reasons"]}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.eml", b""),
        ("a.eml", b"\x00\x01\x02"),
        ("a.eml", b"just words"),
        ("a.zip", b"no archive"),
        ("a.zip", b"PK\x03\x04"),
    ],
)
def test_what_is_neither_mail_nor_archive_is_unreadable(tmp_path: Path, name: str, data: bytes) -> None:
    """Exit 2."""
    (tmp_path / name).write_bytes(data)
    assert run("read", tmp_path / name).exit_code == 2
    assert run("read", tmp_path / "absent.eml").exit_code == 2


def test_notices_are_read(tmp_path: Path) -> None:
    """DSN and MDN by their kind, with what they say; a plain mail is another kind."""
    answer, status = read(tmp_path / "a.eml", notice("bounced"))
    assert (answer["kind"], status) == ("dsn", 0)
    assert answer["delivery"]["envelopeId"] == "dlv_1"
    assert answer["delivery"]["recipients"][0]["state"] == "failed"
    answer, _ = read(tmp_path / "a.eml", notice("error", "902"))
    assert (answer["kind"], answer["disposition"]["errorCode"]) == ("mdn", "902")
    answer, status = read(tmp_path / "a.eml", plain())
    assert (answer["kind"], answer["detail"], answer["verdict"], status) == ("other", "message", "accepted", 0)
    answer, _ = read(tmp_path / "a.eml", plain("[KO Intégration système !][904] XDM/1.0/DDM+x".encode()))
    assert (answer["kind"], answer["failure"]["errorCode"]) == ("other", "904")


def test_reasons_come_in_english_on_demand(tmp_path: Path) -> None:
    """--lang en."""
    answer, _ = read(tmp_path / "a.eml", plain(b"XDM/1.0/DDM+x"), "--lang", "en")
    assert answer["reasons"][0]["text"] == "The message carries no document."


def test_a_mail_is_made_and_read_back(tmp_path: Path) -> None:
    """build writes what read accepts, for a professional and for the patient."""
    source, out = tmp_path / "a.xml", tmp_path / "out.eml"
    source.write_bytes(cda())
    for to in (DOCTOR, CITIZEN):
        result = run("build", source, "-o", out, "--to", to, "--from", SENDER, "--label", "Cabinet")
        assert result.exit_code == 0, result.output
        answer, status = read(out, out.read_bytes())
        assert (status, answer["verdict"], len(answer["documents"])) == (0, "accepted", 1)


def test_an_archive_is_made(tmp_path: Path) -> None:
    """Several documents of one patient, and the PDF of a structured one in a mail."""
    first, second, pdf, out = (tmp_path / n for n in ("1.xml", "2.xml", "2.pdf", "out.zip"))
    first.write_bytes(cda("1", pdf=None))
    second.write_bytes(cda("2"))
    pdf.write_bytes(PDF)
    assert run("build", first, second, "-o", out).exit_code == 0
    answer, status = read(out, out.read_bytes())
    assert (status, len(answer["documents"])) == (0, 2)
    eml = tmp_path / "out.eml"
    result = run("build", first, "--pdf", pdf, "-o", eml, "--to", DOCTOR, "--from", SENDER)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        (["--to", "josé@x.fr", "--from", SENDER], 1, "MSS-ADR-001"),
        (["--to", "179035121518986@patient.mssante.fr", "--from", SENDER], 1, "MSS-ADR-006"),
        (["--to", DOCTOR, "--to", CITIZEN, "--from", SENDER], 1, "MSS-ADR-005"),
        (["--to", DOCTOR, "--from", SENDER, "--label", "a\r\nBcc: x@y.fr"], 1, "MSS-HDR-001"),
        (["--to", DOCTOR], 2, ""),
        (["--from", SENDER], 2, ""),
    ],
)
def test_what_may_not_be_sent_is_not_made(tmp_path: Path, options: list[str], status: int, code: str) -> None:
    """Refused with the reasons, nothing written."""
    source, out = tmp_path / "a.xml", tmp_path / "out.eml"
    source.write_bytes(cda())
    result = run("build", source, "-o", out, *options)
    assert result.exit_code == status
    assert not out.exists()
    if code:
        assert code in {r["code"] for r in json.loads(result.stdout)["reasons"]}
