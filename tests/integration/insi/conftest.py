"""A running INSi simulator, and clients that talk to it over mutual TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from adapters.insi.client import InsiClient, InsiSettings
from adapters.insi.sandbox import SANDBOX_IDAM, InsiSandbox
from adapters.insi.soap import LpsContext
from security.keyring import client_ssl_context
from security.pki import CredentialFiles, SandboxPki, make_sandbox_pki

_T = TypeVar("_T")
#: Opens a client, runs one piece of work with it, closes it.
Use = Callable[..., _T]


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> SandboxPki:
    return make_sandbox_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def running(pki: SandboxPki) -> Iterator[InsiSandbox]:
    with InsiSandbox(pki) as sandbox:
        yield sandbox


@pytest.fixture
def insi(running: InsiSandbox) -> InsiSandbox:
    running.journal.clear()
    running.faults.clear()
    running.first_name_only = False
    return running


@pytest.fixture
def use(insi: InsiSandbox, pki: SandboxPki) -> Callable[..., object]:
    """Run ``work(client)`` with a client of these settings; ``files`` changes the certificate."""

    def run(
        work: Callable[[InsiClient], Awaitable[_T]],
        *,
        files: CredentialFiles | None = pki.insi,
        trust: Path = pki.trust,
        idam: str = SANDBOX_IDAM,
        **settings: object,
    ) -> _T:
        context = LpsContext(
            idam=idam,
            software="urn:lps:passerelle:0.1",
            version="0.1",
            instance="6f1c5ba0-6b3c-4d2e-9d0c-1f2a3b4c5d6e",
            emitter="10B0152872",
        )
        values = {"url": insi.url, "context": context, "timeout": 5.0, **settings}

        async def all_of_it() -> _T:
            async with InsiClient(InsiSettings(**values), client_ssl_context(files, trust)) as client:
                return await work(client)

        return asyncio.run(all_of_it())

    return run
