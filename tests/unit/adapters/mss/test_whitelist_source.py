"""The published list is fetched with care, and a failure leaves the kept one."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from pathlib import Path

import httpx
import pytest
from pytest_httpx import HTTPXMock

from adapters.mss.rules import MailRefused
from adapters.mss.whitelist import WhiteListFile
from adapters.mss.whitelist_source import PUBLISHED, refresh
from tests.unit.adapters.mss.test_whitelist import MANY, published

CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CHECKSUM = "https://listes.example/checksum"


@pytest.fixture
def kept(tmp_path: Path) -> WhiteListFile:
    return WhiteListFile(tmp_path / "list.xml", min_domains=5)


def test_a_likely_list_is_taken(httpx_mock: HTTPXMock, kept: WhiteListFile) -> None:
    """Fetched, checked against its checksum, kept on disk."""
    data = published(*MANY)
    httpx_mock.add_response(url=CHECKSUM, text=f"{hashlib.sha256(data).hexdigest()}  liste.xml\n")
    httpx_mock.add_response(url=PUBLISHED, content=data)
    assert len(asyncio.run(refresh(kept, context=CONTEXT, checksum_url=CHECKSUM))) == 21
    assert "d1.mssante.fr" in (kept.current or ())


@pytest.mark.parametrize(
    ("status", "content"), [(403, b""), (200, b"<html>challenge</html>"), (302, b""), (200, published("a.fr"))]
)
def test_anything_else_leaves_the_kept_list(
    httpx_mock: HTTPXMock, kept: WhiteListFile, status: int, content: bytes
) -> None:
    """A refusal, a challenge page, a redirection, too few domains."""
    kept.refresh(published(*MANY))
    before = kept.current
    httpx_mock.add_response(url=PUBLISHED, status_code=status, content=content, headers={"location": "https://x.fr/"})
    with pytest.raises(MailRefused, match="MSS-WL"):
        asyncio.run(refresh(kept, context=CONTEXT))
    assert kept.current is before


def test_a_wrong_checksum_refuses_the_list(httpx_mock: HTTPXMock, kept: WhiteListFile) -> None:
    """The file is not the one that was published."""
    httpx_mock.add_response(url=CHECKSUM, text="0" * 64)
    httpx_mock.add_response(url=PUBLISHED, content=published(*MANY))
    with pytest.raises(MailRefused, match="MSS-WL-001"):
        asyncio.run(refresh(kept, context=CONTEXT, checksum_url=CHECKSUM))
    assert kept.current is None


def test_an_unreachable_server_is_named(httpx_mock: HTTPXMock, kept: WhiteListFile) -> None:
    """The kind of network error is told."""
    httpx_mock.add_exception(httpx.ConnectTimeout("slow"))
    with pytest.raises(MailRefused) as error:
        asyncio.run(refresh(kept, context=CONTEXT))
    assert error.value.findings[0].found == "ConnectTimeout"
