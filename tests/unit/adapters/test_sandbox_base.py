"""The common ground of the simulators."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator

import httpx
import pytest
from cryptography import x509
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from adapters.sandbox_base import (
    Faults,
    Journal,
    Listener,
    abort_connection,
    admin_app,
    client_certificate,
    serve,
    serve_all,
)
from security.pki import CredentialFiles, SandboxPki, make_sandbox_pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> SandboxPki:
    return make_sandbox_pki(tmp_path_factory.mktemp("pki"))


def server_context(pki: SandboxPki) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.server.cert_path, pki.server.key_path)
    context.load_verify_locations(pki.trust)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(pki: SandboxPki, files: CredentialFiles | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki.trust))
    if files is not None:
        context.load_cert_chain(files.cert_path, files.key_path)
    return context


async def who(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the CN of the client, or drop the connection on /drop."""
    if scope["path"] == "/drop":
        abort_connection(scope)
        return
    if scope["path"] == "/hang":
        await asyncio.Event().wait()
    der = client_certificate(scope)
    text = x509.load_der_x509_certificate(der).subject.rfc4514_string() if der else "nobody"
    await PlainTextResponse(text)(scope, receive, send)


@pytest.fixture
def admin() -> Iterator[tuple[Journal, Faults, httpx.Client]]:
    journal, faults = Journal(), Faults({"slow": "waits", "drop": "drops"})
    app = admin_app("Essai <1>", journal, faults)
    with serve(app) as server, httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        yield journal, faults, client


def test_the_application_learns_who_its_tls_client_is(pki: SandboxPki) -> None:
    """The peer's certificate stands in the scope, on every request of the connection."""
    with (
        serve(who, server_context(pki)) as server,
        httpx.Client(verify=client_context(pki, pki.insi), trust_env=False) as client,
    ):
        for _ in range(2):
            assert "CN=INSI-AUTO" in client.get(f"https://localhost:{server.port}/").text


def test_a_client_without_certificate_does_not_get_in(pki: SandboxPki) -> None:
    """With CERT_REQUIRED the handshake itself refuses."""
    with (
        serve(who, server_context(pki)) as server,
        httpx.Client(verify=client_context(pki, None), trust_env=False) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.get(f"https://localhost:{server.port}/")


def test_plain_http_has_no_tls_peer_and_two_applications_share_a_thread(pki: SandboxPki) -> None:
    """serve_all gives one port a listener; without TLS nobody is known."""
    listeners = [Listener(app=who), Listener(app=who, ssl_context=server_context(pki))]
    with serve_all(listeners) as server, httpx.Client(trust_env=False) as client:
        assert len(set(server.ports)) == 2
        assert client.get(f"http://127.0.0.1:{server.port}/").text == "nobody"


def test_a_dropped_connection_and_a_hanging_one_do_not_keep_the_server_from_stopping() -> None:
    """abort_connection resets; stop cancels what still runs; a second stop does nothing."""
    server = serve(who)
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        with pytest.raises(httpx.TransportError):
            client.get("/drop")
        with pytest.raises(httpx.ReadTimeout):
            client.get("/hang", timeout=0.05)
        server.stop()
        server.stop()
        with pytest.raises(httpx.ConnectError):
            client.get("/")


def test_a_taken_port_is_said_at_once() -> None:
    """Binding happens in the caller's thread, so the error reaches it."""
    with serve(who) as server, pytest.raises(OSError, match="in use"):
        serve(who, port=server.port)


def test_the_journal_shows_what_was_exchanged(admin: tuple[Journal, Faults, httpx.Client]) -> None:
    """The list has id, transaction and outcome; each side is given raw, with its type."""
    journal, _, client = admin
    first = journal.record("TD2.1", "accepted", request=b"<a/>", response=b"<b/>", status=200, details={"entries": 1})
    journal.record("TD0.2", "refused", request=b"{}", request_type="application/json")
    lines = client.get("/exchanges").json()
    assert [(line["transaction"], line["outcome"]) for line in lines] == [("TD2.1", "accepted"), ("TD0.2", "refused")]
    assert lines[0]["id"] == first.id
    assert lines[0]["entries"] == 1
    assert len(client.get("/exchanges?transaction=TD2.1").json()) == 1
    assert client.get("/exchanges?limit=1").json()[0]["outcome"] == "refused"
    assert client.get(f"/exchanges/{first.id}/request").content == b"<a/>"
    answer = client.get(f"/exchanges/{first.id}/response")
    assert (answer.content, answer.headers["content-type"]) == (b"<b/>", "application/xml")
    assert client.get("/exchanges/exc_9/request").status_code == 404
    assert client.get(f"/exchanges/{first.id}/request_type").status_code == 404
    assert "Essai &lt;1&gt;" in client.get("/").text
    assert client.delete("/exchanges").status_code == 204
    assert client.get("/exchanges").json() == []


def test_the_journal_lets_old_bytes_go_but_keeps_count() -> None:
    """Past the limit the oldest bodies are dropped, then the oldest lines; counts stay."""
    journal = Journal(max_bytes=10, max_exchanges=3)
    for _ in range(5):
        journal.record("T", "accepted", request=b"123456")
    lines = journal.all()
    assert [line.id for line in lines] == ["exc_000003", "exc_000004", "exc_000005"]
    assert [line.request for line in lines] == [None, None, b"123456"]
    assert journal.counts["T", "accepted"] == 5


def test_faults_are_used_up_in_order_and_by_transaction() -> None:
    """A switch with a count fires that many times; one without stays until cleared."""
    faults = Faults({"a": "", "b": ""})
    faults.set("a", count=2, transaction="T1", parameters={"seconds": 3})
    faults.set("b", count=None)
    taken = faults.take("T1")
    assert taken is not None
    assert (taken.name, taken.number("seconds", 1), taken.number("other", 1)) == ("a", 3.0, 1.0)
    assert [f.name for f in (faults.take("T2"), faults.take("T1"), faults.take("T1")) if f] == ["b", "a", "b"]
    assert faults.take("T1", "a") is None
    faults.clear()
    assert faults.take("T1") is None


def test_faults_are_switched_over_http(admin: tuple[Journal, Faults, httpx.Client]) -> None:
    """One or several at a time; GET says what is on and what is known; DELETE clears."""
    _, faults, client = admin
    assert client.post("/faults", json={"fault": "slow", "count": 2}).status_code == 200
    client.post("/faults", json=[{"fault": "drop", "count": None}])
    state = client.get("/faults").json()
    assert [(f["fault"], f["count"]) for f in state["active"]] == [("slow", 2), ("drop", None)]
    assert state["known"] == {"slow": "waits", "drop": "drops"}
    assert client.delete("/faults").json()["active"] == []
    assert faults.take("x") is None


@pytest.mark.parametrize(
    "body", [b"{", b"3", b'{"fault": 1}', b'{"fault": "no"}', b'{"fault": "slow", "count": 0}',
             b'{"fault": "slow", "count": "x"}', b'{"fault": "slow", "parameters": 3}']
)  # fmt: skip
def test_a_wrong_fault_is_refused_by_name(admin: tuple[Journal, Faults, httpx.Client], body: bytes) -> None:
    """What is not understood is a 400 that says what is expected, and switches nothing."""
    _, faults, client = admin
    answer = client.post("/faults", content=body)
    assert answer.status_code == 400
    assert "error" in answer.json()
    assert faults.as_json()["active"] == []
