"""Revoked operators are not spoken to: lists fetched, believed when signed and in force, kept when the next is not."""

from __future__ import annotations

import asyncio
import http.server
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.mss.client import MssAccount, MssClient
from adapters.mss.outcomes import Kind
from adapters.mss.revocations import CrlRefused, read_crl
from adapters.mss.sandbox import MssSandbox
from gateway.services.revocations import Revocations
from gateway.settings import Settings
from security.pki import SandboxPki, make_sandbox_pki
from security.tls import client_ssl_context
from tests.integration.mss.test_submission import mail
from tests.support.mss import SENDER


class Publisher:
    """A place where lists are published; counts who asks."""

    def __init__(self) -> None:
        self.status, self.body, self.asked = 200, b"", 0
        publisher = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.asked += 1
                self.send_response(publisher.status)
                self.send_header("Content-Length", str(len(publisher.body)))
                self.end_headers()
                self.wfile.write(publisher.body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/crl"


@pytest.fixture
def published() -> Iterator[Publisher]:
    """A publisher for one test."""
    one = Publisher()
    thread = threading.Thread(target=one.server.serve_forever, daemon=True)
    thread.start()
    yield one
    one.server.shutdown()
    one.server.server_close()
    thread.join(10)


@pytest.fixture
def pki(tmp_path: Path) -> SandboxPki:
    """An authority whose certificates a test may revoke."""
    return make_sandbox_pki(tmp_path / "pki")


def der(pem: bytes) -> bytes:
    """A list as authorities publish it."""
    return x509.load_pem_x509_crl(pem).public_bytes(Encoding.DER)


def keeper(pki: SandboxPki, folder: Path, url: str, clock: Any = lambda: datetime.now(UTC)) -> Revocations:
    """The lists of a gateway."""
    settings = Settings.model_validate({"data_dir": folder, "mss": {"trust": pki.trust, "crl_urls": (url,)}})
    return Revocations(settings, clock)


def outcome(operator: MssSandbox, context: ssl.SSLContext) -> Any:
    """What a mail over a context gives."""

    async def run() -> Any:
        account = MssAccount(
            host="localhost", port=operator.smtp_port, mailbox=SENDER, ssl_context=context, timeout=5.0
        )
        async with MssClient(account) as client:
            return (await client.send(mail())).worst

    return asyncio.run(run())


def test_a_server_revoked_meanwhile_is_not_spoken_to(pki: SandboxPki, published: Publisher, tmp_path: Path) -> None:
    """No list: refused. The list: spoken to. The next one names the server: refused, by the very same context."""
    now = [datetime.now(UTC)]
    lists = keeper(pki, tmp_path, published.url, lambda: now[0])
    context = lists.guard(client_ssl_context(pki.mss, pki.trust))
    with MssSandbox(pki) as operator:
        assert outcome(operator, context).code == "MSS-OUT-SERVER-CERTIFICATE"
        published.body = der(pki.authority().crl())
        asyncio.run(lists.refresh())
        assert outcome(operator, context).kind is Kind.ACCEPTED
        server = x509.load_pem_x509_certificate(pki.server.cert_path.read_bytes())
        published.body = der(pki.authority().crl([server], last_update=now[0] - timedelta(minutes=1)))
        now[0] += timedelta(hours=25)
        asyncio.run(lists.refresh())
        assert outcome(operator, context).code == "MSS-OUT-SERVER-CERTIFICATE"


@pytest.mark.parametrize("what", ["page", "403", "foreign", "expired", "older"])
def test_a_list_not_to_believe_changes_nothing(
    pki: SandboxPki, published: Publisher, tmp_path: Path, what: str
) -> None:
    """A challenge page, a refusal, another signer, one run out, one older: the good one stays in force."""
    now = datetime.now(UTC)
    lists = keeper(pki, tmp_path, published.url)
    published.body = der(pki.authority().crl(last_update=now - timedelta(hours=1)))
    asyncio.run(lists.refresh())
    kept = (tmp_path / "mss-revoked.pem").read_bytes()
    server = x509.load_pem_x509_certificate(pki.server.cert_path.read_bytes())
    published.status, published.body = {
        "page": (200, b"<html>verification</html>"),
        "403": (403, b""),
        "foreign": (200, der(SandboxPki.foreign().crl([server]))),
        "expired": (200, der(pki.authority().crl(next_update=now - timedelta(minutes=1)))),
        "older": (200, der(pki.authority().crl([server], last_update=now - timedelta(days=2)))),
    }[what]
    again = keeper(pki, tmp_path, published.url)
    asyncio.run(again.refresh())
    assert (tmp_path / "mss-revoked.pem").read_bytes() == kept


def test_who_refuses_is_left_alone_for_longer_and_longer(pki: SandboxPki, published: Publisher, tmp_path: Path) -> None:
    """A failure is tried again after a quarter of an hour, then half an hour; a success after a day."""
    at = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
    now = [at]
    lists = keeper(pki, tmp_path, published.url, lambda: now[0])
    published.status = 403
    asked = []
    for minutes in (0, 14, 15, 29, 44, 45, 46):
        now[0] = at + timedelta(minutes=minutes)
        asyncio.run(lists.refresh())
        asked.append(published.asked)
    assert asked == [1, 1, 2, 2, 2, 3, 3]


def test_the_file_of_an_administrator_is_read_again(pki: SandboxPki, tmp_path: Path) -> None:
    """Without any address: the list given as a file, and its successor once it is replaced."""
    given = tmp_path / "given.pem"
    given.write_bytes(pki.authority().crl())
    settings = Settings.model_validate({"data_dir": tmp_path, "mss": {"trust": pki.trust, "crl": given}})
    lists = Revocations(settings, lambda: datetime.now(UTC))
    context = lists.guard(client_ssl_context(pki.mss, pki.trust))
    with MssSandbox(pki) as operator:
        assert outcome(operator, context).kind is Kind.ACCEPTED
    asyncio.run(lists.refresh())
    assert not Revocations(Settings(data_dir=tmp_path), lambda: datetime.now(UTC)).wanted


def test_lists_are_read_in_both_forms(pki: SandboxPki) -> None:
    """PEM and DER alike; rubbish is named."""
    authority = pki.authority()
    pem = authority.crl()
    now = datetime.now(UTC)
    assert read_crl(pem, [authority.certificate], now=now) == read_crl(der(pem), [authority.certificate], now=now)
    with pytest.raises(CrlRefused, match="not_a_list"):
        read_crl(b"rubbish", [authority.certificate], now=now)
    with pytest.raises(CrlRefused, match="unknown_issuer"):
        read_crl(pem, [], now=now)
