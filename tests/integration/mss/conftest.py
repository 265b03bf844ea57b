"""Servers shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from security.pki import SandboxPki, make_sandbox_pki
from tests.integration.mss.servers import MailServers, mail_servers, require_servers


@pytest.fixture(scope="package")
def server_pki(tmp_path_factory: pytest.TempPathFactory) -> SandboxPki:
    return make_sandbox_pki(tmp_path_factory.mktemp("server-pki"))


@pytest.fixture(scope="package")
def real_servers(server_pki: SandboxPki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServers]:
    """Postfix and two Dovecots, started once."""
    require_servers()
    with mail_servers(tmp_path_factory.mktemp("mail-servers"), server_pki) as servers:
        yield servers
