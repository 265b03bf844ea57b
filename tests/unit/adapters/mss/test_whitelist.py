"""The white list is read as published, and replaced only by a likely one."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.mss.rules import MailRefused
from adapters.mss.whitelist import NAMESPACE, WhiteListFile, accept_refresh, read_white_list


def published(*names: str, when: str = "2026-11-24T04:00:00Z", citizen: bool = True) -> bytes:
    listed = [*names, *(["patient.mssante.fr"] if citizen else [])]
    rows = "".join(
        f"<Domaine><Nom>{n}</Nom><Description>d</Description><DNCertificatOperateur>CN={i}</DNCertificatOperateur>"
        "<ResponsableContact>r</ResponsableContact><SupportContact>s</SupportContact><DateMAJ>2026</DateMAJ></Domaine>"
        for n in listed
        for i in (1, 2)
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><ListeBlancheMSSante xmlns="{NAMESPACE}">'
        f"<DateDeGeneration>{when}</DateDeGeneration><ListeDomaines>{rows}</ListeDomaines></ListeBlancheMSSante>"
    ).encode()


MANY = [f"d{n}.mssante.fr" for n in range(20)]


def test_domains_are_read_once_each_in_lower_case() -> None:
    """A domain stands once per operator certificate; one name has capitals; no wildcard, no suffix."""
    got = read_white_list(published("Medecin.mssante.fr", "mssante.apicrypt.org"))
    assert len(got) == 3
    assert "medecin.mssante.fr" in got
    assert "MEDECIN.mssante.fr" in got
    assert "mssante.apicrypt.org" in got
    assert "a.medecin.mssante.fr" not in got
    assert "mssante.fr" not in got
    assert got.generated_at == datetime(2026, 11, 24, 4, tzinfo=UTC)


def test_the_checksum_published_beside_is_checked() -> None:
    """SHA-256 in hexadecimal, in any case."""
    data = published()
    assert read_white_list(data, sha256=hashlib.sha256(data).hexdigest().upper())
    with pytest.raises(MailRefused, match="MSS-WL-001"):
        read_white_list(data, sha256="0" * 64)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>Access denied</html>",
        b"<!DOCTYPE x><ListeBlancheMSSante/>",
        published(when="yesterday"),
        published(when="2026-11-24T04:00:00"),
    ],
)
def test_anything_else_is_not_a_list(data: bytes) -> None:
    """A challenge page, a DOCTYPE, a date without zone."""
    with pytest.raises(MailRefused, match="MSS-WL-001"):
        read_white_list(data)


def test_an_unlikely_list_does_not_replace_the_current_one() -> None:
    """Too few, without the citizens, older, or half gone."""
    current = read_white_list(published(*MANY))
    for data in (
        published("a.mssante.fr"),
        published(*MANY, citizen=False),
        published(*MANY, when="2026-11-23T04:00:00Z"),
        published(*MANY[:9]),
    ):
        with pytest.raises(MailRefused, match="MSS-WL-002"):
            accept_refresh(current, read_white_list(data), min_domains=5)
    newer = read_white_list(published(*MANY, "new.mssante.fr", when="2026-11-25T04:00:00Z"))
    assert accept_refresh(current, newer, min_domains=5) is newer
    assert accept_refresh(None, newer, min_domains=5) is newer


def test_the_last_good_copy_survives_a_bad_refresh(tmp_path: Path) -> None:
    """A refused list changes neither the list in use nor the file; a good one is found again at the next start."""
    path = tmp_path / "list.xml"
    kept = WhiteListFile(path, min_domains=5)
    assert kept.current is None
    kept.refresh(published(*MANY))
    with pytest.raises(MailRefused):
        kept.refresh(b"<html/>")
    with pytest.raises(MailRefused):
        kept.refresh(published("a.mssante.fr"))
    assert kept.current is not None
    assert len(kept.current) == 21
    again = WhiteListFile(path, min_domains=5)
    assert again.current == kept.current
    assert [p.name for p in tmp_path.iterdir()] == ["list.xml"]
