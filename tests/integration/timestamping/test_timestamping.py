"""Time-stamps asked of a real authority, and checked by another tool."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificates

from adapters.timestamping import TimestampClient, TimestampRefused, checked, stamped_at
from tests.support.tsa import OPENSSL, Authority, authority


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """An authority."""
    with authority(tmp_path_factory.mktemp("tsa")) as one:
        yield one


@pytest.fixture(autouse=True)
def _well(tsa: Authority) -> Iterator[None]:
    yield
    tsa.fault = ""


def ask(tsa: Authority, data: bytes, *, trusted: bool = True) -> bytes:
    """A time-stamp over some bytes."""
    roots = load_pem_x509_certificates(tsa.root.read_bytes()) if trusted else ()

    async def once() -> bytes:
        client = TimestampClient(tsa.url, roots=roots)
        try:
            return await client.stamp(data)
        finally:
            await client.aclose()

    return asyncio.run(once())


def test_a_time_stamp_holds_for_its_data_and_openssl_agrees(tsa: Authority, tmp_path: Path) -> None:
    """The instant is now; another tool checks the very bytes kept."""
    data = os.urandom(32)
    response = ask(tsa, data)
    roots = load_pem_x509_certificates(tsa.root.read_bytes())
    at = checked(response, data, roots=roots)
    assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)
    assert stamped_at(response) == at
    (tmp_path / "data").write_bytes(data)
    (tmp_path / "reply.tsr").write_bytes(response)
    command = [OPENSSL, "ts", "-verify", "-data", "data", "-in", "reply.tsr", "-CAfile", str(tsa.root)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)


def test_a_time_stamp_of_other_data_or_of_a_stranger_does_not_hold(tsa: Authority, tmp_path: Path) -> None:
    """Other bytes, an edited answer, an authority one does not trust: refused, each by its code."""
    data = os.urandom(32)
    response = ask(tsa, data)
    with pytest.raises(TimestampRefused, match="TSA-OTHER-DATA"):
        checked(response, data + b"x")
    with pytest.raises(TimestampRefused, match="TSA-UNREADABLE"):
        checked(response[:40], data)
    with authority(tmp_path / "stranger") as other:
        roots = load_pem_x509_certificates(other.root.read_bytes())
        with pytest.raises(TimestampRefused, match="TSA-SIGNATURE"):
            checked(response, data, roots=roots)
    edited = response[:-8] + bytes(8)
    with pytest.raises(TimestampRefused, match=r"TSA-SIGNATURE|TSA-UNREADABLE"):
        checked(edited, data, roots=load_pem_x509_certificates(tsa.root.read_bytes()))


@pytest.mark.parametrize(
    ("fault", "code"),
    [("down", "TSA-HTTP"), ("nonsense", "TSA-UNREADABLE"), ("other_data", "TSA-OTHER-DATA")],
)
def test_an_authority_that_misbehaves_gives_nothing(tsa: Authority, fault: str, code: str) -> None:
    """Down, nonsense, an answer to another question (a replay)."""
    ask(tsa, b"first of all")
    tsa.fault = fault
    with pytest.raises(TimestampRefused, match=code):
        ask(tsa, os.urandom(16), trusted=False)


def test_an_authority_that_orders_its_certificates_its_own_way(tmp_path: Path) -> None:
    """It is asked again without them; its own certificate, given with the roots, then checks the signature."""
    with authority(tmp_path / "tsa", chain=True) as other:
        other.root.write_bytes(other.root.read_bytes() + (other.folder / "tsa.pem").read_bytes())
        data = os.urandom(32)
        response = ask(other, data)
        assert len(other.asked) == 2
        roots = load_pem_x509_certificates(other.root.read_bytes())
        assert checked(response, data, roots=roots) == stamped_at(response)
        with pytest.raises(TimestampRefused, match="TSA-SIGNATURE"):
            checked(response, data, roots=roots[:1])


def test_nobody_at_the_address(tmp_path: Path) -> None:
    """A connection refused is told by its code."""
    gone = Authority(url="http://127.0.0.1:9/tsa", root=tmp_path, folder=tmp_path)
    with pytest.raises(TimestampRefused, match="TSA-NETWORK"):
        ask(gone, b"data", trusted=False)
