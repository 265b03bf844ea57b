"""The white list in force: its own domains and the national list, replaced only by a likely one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from pytest_httpx import HTTPXMock

from adapters.mss.addresses import CITIZEN_DOMAIN
from adapters.mss.whitelist import NAMESPACE
from gateway.services.white_list import WhiteListKeeper
from gateway.settings import Settings
from security.pki import SandboxPki, make_sandbox_pki

URL = "https://liste.sandbox/liste.xml"


def listed(count: int, when: str = "2026-11-24T04:00:00Z", *, citizen: bool = True) -> bytes:
    """A list of so many domains."""
    names = [f"d{n}.mssante.fr" for n in range(count - citizen)] + [CITIZEN_DOMAIN] * citizen
    rows = "".join(f"<Domaine><Nom>{name}</Nom></Domaine>" for name in names)
    return (
        f'<ListeBlancheMSSante xmlns="{NAMESPACE}"><DateDeGeneration>{when}</DateDeGeneration>'
        f"<ListeDomaines>{rows}</ListeDomaines></ListeBlancheMSSante>"
    ).encode()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> SandboxPki:
    """A trust store."""
    return make_sandbox_pki(tmp_path_factory.mktemp("pki"))


def keeper(folder: Path, **mss: Any) -> WhiteListKeeper:
    """The white list of some settings."""
    return WhiteListKeeper(Settings.model_validate({"data_dir": folder, "mss": {"white_list_minimum": 3, **mss}}))


def test_without_any_list_nothing_is_on_it(tmp_path: Path) -> None:
    """And it says that it knows none, so that what is received is not marked for it."""
    one = keeper(tmp_path)
    assert (one.known, CITIZEN_DOMAIN in one) == (False, False)


def test_own_domains_beside_the_list(tmp_path: Path) -> None:
    """Training domains are not in the national list: they are given by name, whatever their case."""
    (tmp_path / "white-list.xml").write_bytes(listed(4))
    one = keeper(tmp_path, white_list=("Medecin.formation.mssante.fr",))
    assert one.known
    for domain in ("medecin.FORMATION.mssante.fr", "d1.mssante.fr", "D1.mssante.fr", CITIZEN_DOMAIN):
        assert domain in one
    for domain in ("x.d1.mssante.fr", "mssante.fr", 3):
        assert domain not in one


def test_fetched_checked_and_kept(tmp_path: Path, pki: SandboxPki, httpx_mock: HTTPXMock) -> None:
    """A likely list takes its place on disk; one that lost its domains, or an error, changes nothing."""
    one = keeper(tmp_path, white_list_url=URL, trust=pki.trust)
    httpx_mock.add_response(url=URL, content=listed(10))
    asyncio.run(one.refresh())
    assert "d8.mssante.fr" in one
    for answer in (
        {"content": listed(4)},
        {"content": b"<html/>"},
        {"status_code": 403},
        {"content": listed(9, citizen=False)},
    ):
        httpx_mock.add_response(url=URL, **answer)  # type: ignore[arg-type]
        asyncio.run(one.refresh())
        assert "d8.mssante.fr" in one
    assert "d8.mssante.fr" in keeper(tmp_path)


def test_a_checksum_that_differs(tmp_path: Path, pki: SandboxPki, httpx_mock: HTTPXMock) -> None:
    """What is published beside the list is believed before the list."""
    one = keeper(tmp_path, white_list_url=URL, white_list_checksum_url=URL + ".sha256", trust=pki.trust)
    httpx_mock.add_response(url=URL + ".sha256", text="0" * 64 + "  liste.xml")
    httpx_mock.add_response(url=URL, content=listed(10))
    asyncio.run(one.refresh())
    assert not one.known


def test_an_unreadable_copy_is_mended_by_the_next(tmp_path: Path, pki: SandboxPki, httpx_mock: HTTPXMock) -> None:
    """Mail is refused until then, rather than sent to anybody."""
    (tmp_path / "white-list.xml").write_bytes(b"half a fi")
    one = keeper(tmp_path, white_list_url=URL, trust=pki.trust)
    assert CITIZEN_DOMAIN not in one
    httpx_mock.add_response(url=URL, content=listed(5))
    asyncio.run(one.refresh())
    assert CITIZEN_DOMAIN in one


def test_a_file_replaced_by_hand_is_read_again(tmp_path: Path) -> None:
    """Where no address is given the file is watched; an older one is not taken."""
    path = tmp_path / "mine.xml"
    path.write_bytes(listed(5))
    one = keeper(tmp_path, white_list_file=path)
    for moment, content, count in (
        (1, listed(8, "2026-11-25T04:00:00Z"), 8),
        (2, listed(9, "2020-01-01T00:00:00Z"), 8),
    ):
        path.write_bytes(content)
        os.utime(path, (moment, moment))
        asyncio.run(one.refresh())
        assert (f"d{count - 2}.mssante.fr" in one, f"d{count - 1}.mssante.fr" in one) == (True, False)
