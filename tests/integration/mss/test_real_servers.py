"""Against Postfix and Dovecot: sent, delivered, bounced late, read, answered; the states come from real notices."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from joserfc.jwk import ECKey

from adapters.mss.client import AuthMode, MssAccount, MssClient
from adapters.mss.imap import Fetched, ImapAccount, ImapFailed, ImapMailbox, Position
from adapters.mss.inbox import Handled, Inbox, Seen
from adapters.mss.message import OutgoingMail, Sender, build_mail
from adapters.mss.outcomes import Kind
from adapters.mss.receipts import State
from adapters.mss.receive import MailKind, Received, receive
from adapters.mss.tracking import RecipientState, advance, events
from security.pki import SandboxPki
from security.tls import client_ssl_context
from tests.integration.mss.servers import FULL, GONE, MailServers
from tests.support.mss import DOCTOR, NURSE, SENDER, cda, draft, mail, package

Certificate = Callable[[str], ssl.SSLContext]


@pytest.fixture(scope="module")
def certificate(server_pki: SandboxPki, tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The TLS context of a mailbox: its own client certificate, which names it."""
    folder = tmp_path_factory.mktemp("certificates")

    def make(mailbox: str) -> ssl.SSLContext:
        files = server_pki.authority().issue([("C", "FR"), ("CN", mailbox)], "client").write(folder, mailbox)
        return client_ssl_context(files, server_pki.trust, crl=server_pki.crl)

    return make


@pytest.fixture
def anonymous(server_pki: SandboxPki) -> ssl.SSLContext:
    return client_ssl_context(None, server_pki.trust)


def fresh(**changes: object) -> OutgoingMail:
    """A mail nobody has sent before."""
    number = uuid.uuid4().hex
    return mail(message_id=f"<{number}@structure.formation.mssante.fr>", envelope_id=f"dlv_{number}", **changes)


def submission(servers: MailServers, tls: ssl.SSLContext, **changes: object) -> MssAccount:
    members: dict[str, object] = {
        "host": "localhost",
        "port": servers.submission_certificate,
        "mailbox": SENDER,
        "ssl_context": tls,
        "timeout": 20.0,
    }
    return MssAccount(**(members | changes))  # type: ignore[arg-type]


def reading(servers: MailServers, tls: ssl.SSLContext, mailbox: str, **changes: object) -> ImapAccount:
    members: dict[str, object] = {
        "host": "localhost",
        "port": servers.imap_certificate,
        "mailbox": mailbox,
        "ssl_context": tls,
        "timeout": 20.0,
    }
    return ImapAccount(**(members | changes))  # type: ignore[arg-type]


async def until(box: ImapMailbox, wanted: Callable[[Received], bool]) -> tuple[Fetched, Received]:
    """Wait by IDLE for the mail wanted; what others sent meanwhile is left alone."""
    for _ in range(40):
        for fetched in await box.fetch(Position(), limit=500):
            assert fetched.data is not None
            received = receive(fetched.data)
            if wanted(received):
                return fetched, received
        await box.wait(2)
    raise AssertionError("it never came")


def about(sent: OutgoingMail, kind: MailKind = MailKind.DSN) -> Callable[[Received], bool]:
    """The notice of a kind about a mail sent."""

    def wanted(received: Received) -> bool:
        if received.kind is not kind:
            return False
        if received.delivery is not None:
            return received.delivery.envelope_id == sent.envelope_id
        return received.disposition is not None and received.disposition.original_message_id == sent.message_id

    return wanted


def test_a_document_crosses_both_servers_byte_for_byte(real_servers: MailServers, certificate: Certificate) -> None:
    """Submitted with a client certificate, read over IMAP with another: the same document; delivery is confirmed."""
    sent = fresh()

    async def run() -> None:
        async with MssClient(submission(real_servers, certificate(SENDER))) as client:
            result = await client.send(sent)
            assert result.worst.kind is Kind.ACCEPTED
            assert result.dsn_requested
        async with ImapMailbox(reading(real_servers, certificate(DOCTOR), DOCTOR)) as box:
            fetched, received = await until(box, lambda r: r.message_id == sent.message_id)
            assert received.accepted
            assert received.package is not None
            assert received.package.documents[0].data == cda()
            # Trace headers above, nothing changed below.
            assert fetched.data is not None
            assert fetched.data.endswith(sent.data)
            await box.settle(fetched, folder="Traites")
            assert fetched.uid not in [f.uid for f in await box.fetch(Position(), limit=500)]
        async with ImapMailbox(reading(real_servers, certificate(SENDER), SENDER)) as box:
            _, notice = await until(box, about(sent))
            assert notice.delivery is not None
            (status,) = notice.delivery.recipients
            # Postfix hands over to an LMTP that knows no notices: relayed, as far as anybody will know.
            assert (status.address, status.action, status.state) == (DOCTOR, "relayed", State.DELIVERED)
            assert notice.delivery.original_message_id == sent.message_id

    asyncio.run(run())


def test_late_bounces_come_back_with_their_cause(real_servers: MailServers, certificate: Certificate) -> None:
    """Taken by the operator, refused later: a closed mailbox and a full one, each recipient with its state."""
    sent = fresh(recipients=(DOCTOR, GONE, FULL))

    async def run() -> dict[str, tuple[State, str]]:
        async with MssClient(submission(real_servers, certificate(SENDER))) as client:
            result = await client.send(sent)
            assert {o.kind for o in result.outcomes.values()} == {Kind.ACCEPTED}
        states: dict[str, tuple[State, str]] = {}
        async with ImapMailbox(reading(real_servers, certificate(SENDER), SENDER)) as box:
            while len(states) < 3:
                fetched, notice = await until(box, about(sent))
                assert notice.delivery is not None
                states.update({r.address: (r.state, r.status) for r in notice.delivery.recipients})
                await box.settle(fetched, folder="Traites")
        return states

    assert asyncio.run(run()) == {
        DOCTOR: (State.DELIVERED, "2.0.0"),
        GONE: (State.FAILED, "5.1.1"),
        FULL: (State.FAILED, "5.2.2"),
    }


def test_refusals_at_the_door(real_servers: MailServers, certificate: Certificate) -> None:
    """Unknown mailbox, foreign domain: final, while the good recipient is served."""
    unknown, foreign = "absent@medecin.formation.mssante.fr", "quelquun@ailleurs.example"

    async def run() -> dict[str, str]:
        async with MssClient(submission(real_servers, certificate(SENDER))) as client:
            result = await client.send(fresh(recipients=(unknown, foreign, DOCTOR)))
            return {a: o.code for a, o in result.outcomes.items()}

    assert asyncio.run(run()) == {
        unknown: "MSS-OUT-ADDRESS",
        foreign: "MSS-OUT-POLICY",
        DOCTOR: "MSS-OUT-ACCEPTED",
    }


def test_a_mail_over_the_servers_limit_does_not_leave(real_servers: MailServers, certificate: Certificate) -> None:
    """The SIZE that Postfix announces after STARTTLS decides."""
    big = OutgoingMail(
        data=b"x" * 10_485_761, sender=SENDER, recipients=(DOCTOR,), message_id="<1@x.fr>", envelope_id="e"
    )

    async def run() -> str:
        async with MssClient(submission(real_servers, certificate(SENDER))) as client:
            return (await client.send(big)).worst.code

    assert asyncio.run(run()) == "MSS-OUT-SIZE"


def test_a_mail_read_is_answered_and_the_answer_comes_home(real_servers: MailServers, certificate: Certificate) -> None:
    """The whole round: read, kept, answered with an empty sender, put away; the answer is tied to the sending."""
    sent, bad = fresh(), None
    number = uuid.uuid4().hex
    archive = package().data.replace(b"IHE_XDM/SUBSET01/DOC", b"IHE_XDM/SUBSET01/../")
    bad = build_mail(
        draft(package(), archive=archive, message_id=f"<{number}@structure.formation.mssante.fr>", envelope_id=number)
    )
    kept: dict[str, tuple[MailKind, bool]] = {}

    async def run() -> None:
        async with (
            MssClient(submission(real_servers, certificate(SENDER))) as client,
            ImapMailbox(reading(real_servers, certificate(NURSE), NURSE)) as box,
            MssClient(submission(real_servers, certificate(NURSE), mailbox=NURSE)) as answering,
        ):
            for one in (sent, bad):
                assert (await client.send(one, [NURSE])).worst.kind is Kind.ACCEPTED

            async def handle(seen: Seen) -> Handled:
                kept[seen.received.message_id] = (seen.received.kind, seen.received.accepted)
                return Handled()

            inbox = inbox_of(box, answering)
            position = Position()
            while len(kept) < 2:
                position = await inbox.round(position, handle)
                if len(kept) < 2:
                    await box.wait(5)
            assert await box.fetch(Position()) == []
        async with ImapMailbox(reading(real_servers, certificate(SENDER), SENDER)) as box:
            _, processed = await until(box, about(sent, MailKind.MDN))
            _, refused = await until(box, about(bad, MailKind.MDN))
            assert processed.disposition is not None
            assert not processed.disposition.failed
            assert refused.disposition is not None
            assert (refused.disposition.failed, refused.disposition.error_code) == (True, "906")

    asyncio.run(run())
    assert kept == {sent.message_id: (MailKind.DOCUMENT, True), bad.message_id: (MailKind.DOCUMENT, False)}


def test_a_token_opens_a_personal_mailbox(real_servers: MailServers, anonymous: ssl.SSLContext) -> None:
    """XOAUTH2 for sending and for reading, without any client certificate."""
    sent = fresh()

    def of(mailbox: str):  # type: ignore[no-untyped-def]
        async def token() -> str:
            return real_servers.token(mailbox)

        return token

    async def run() -> None:
        account = submission(real_servers, anonymous, port=real_servers.submission_token, auth=AuthMode.XOAUTH2)
        async with MssClient(account, token=of(SENDER)) as client:
            assert (await client.send(sent)).worst.kind is Kind.ACCEPTED
        box_of = reading(real_servers, anonymous, DOCTOR, port=real_servers.imap_token, auth=AuthMode.XOAUTH2)
        async with ImapMailbox(box_of, token=of(DOCTOR)) as box:
            _, received = await until(box, lambda r: r.message_id == sent.message_id)
            assert received.accepted

    asyncio.run(run())


@pytest.mark.parametrize("fault", ["expired", "foreign key", "wrong issuer", "another mailbox", "rubbish"])
def test_a_wrong_token_is_for_a_person(real_servers: MailServers, anonymous: ssl.SSLContext, fault: str) -> None:
    """Refused at once on both roads, with one fresh token tried; nothing hangs."""
    asked: list[str] = []

    async def token() -> str:
        made = {
            "expired": lambda: real_servers.token(SENDER, seconds=-60),
            "foreign key": lambda: real_servers.token(SENDER, key=ECKey.generate_key("P-256")),
            "wrong issuer": lambda: real_servers.token(SENDER, issuer="https://autre.example"),
            "another mailbox": lambda: real_servers.token(DOCTOR),
            "rubbish": lambda: "rubbish",
        }[fault]()
        asked.append(made)
        return made

    async def run() -> None:
        account = submission(real_servers, anonymous, port=real_servers.submission_token, auth=AuthMode.XOAUTH2)
        async with MssClient(account, token=token) as client:
            outcome = (await client.send(fresh())).worst
            assert (outcome.code, outcome.original_code) == ("MSS-OUT-TOKEN", "535")
        box_of = reading(real_servers, anonymous, SENDER, port=real_servers.imap_token, auth=AuthMode.XOAUTH2)
        async with ImapMailbox(box_of, token=token) as box:
            with pytest.raises(ImapFailed) as failed:
                await box.fetch(Position())
            assert failed.value.outcome.code == "MSS-OUT-TOKEN"

    asyncio.run(run())
    assert len(asked) == 4


@pytest.mark.parametrize("which", ["none", "foreign"])
def test_a_wrong_certificate_is_for_a_person(
    real_servers: MailServers, server_pki: SandboxPki, anonymous: ssl.SSLContext, tmp_path: Path, which: str
) -> None:
    """Postfix says 421 after the handshake, Dovecot refuses the login: both name the certificate."""
    tls = anonymous
    if which == "foreign":
        files = server_pki.foreign().issue([("CN", SENDER)], "client").write(tmp_path, "foreign")
        tls = client_ssl_context(files, server_pki.trust)

    async def run() -> None:
        async with MssClient(submission(real_servers, tls)) as client:
            outcome = (await client.send(fresh())).worst
            assert (outcome.code, outcome.kind) == ("MSS-OUT-CERTIFICATE", Kind.OPERATOR)
        async with ImapMailbox(reading(real_servers, tls, SENDER)) as box:
            with pytest.raises(ImapFailed) as failed:
                await box.fetch(Position())
            assert (failed.value.outcome.code, failed.value.outcome.kind) == ("MSS-OUT-CERTIFICATE", Kind.OPERATOR)

    asyncio.run(run())


def test_a_server_of_another_authority_is_not_read(real_servers: MailServers, tmp_path: Path) -> None:
    """Own trust store on the reading side too."""
    from security.pki import make_sandbox_pki

    other = make_sandbox_pki(tmp_path / "other")
    tls = client_ssl_context(other.mss, other.trust)

    async def run() -> str:
        async with ImapMailbox(reading(real_servers, tls, SENDER)) as box:
            with pytest.raises(ImapFailed) as failed:
                await box.fetch(Position())
            return failed.value.outcome.code

    assert asyncio.run(run()) == "MSS-OUT-SERVER-CERTIFICATE"


def test_only_what_follows_the_position_is_read(real_servers: MailServers, certificate: Certificate) -> None:
    """After the last identifier nothing is read twice; under another validity everything is seen again."""
    first, second = fresh(), fresh()

    async def run() -> None:
        cabinet = "cabinet@hopital.formation.mssante.fr"
        async with (
            MssClient(submission(real_servers, certificate(SENDER))) as client,
            ImapMailbox(reading(real_servers, certificate(cabinet), cabinet)) as box,
        ):
            await client.send(first, [cabinet])
            one, _ = await until(box, lambda r: r.message_id == first.message_id)
            assert await box.fetch(one.position) == []
            await client.send(second, [cabinet])
            await until(box, lambda r: r.message_id == second.message_id)
            (two,) = await box.fetch(one.position)
            assert two.uid > one.uid
            stale = Position(uid_validity=one.uid_validity - 1, last_uid=two.uid)
            assert len(await box.fetch(stale)) == 2
            # Nothing was marked by reading it.
            await box.settle(one, folder="Traites")
            assert [f.uid for f in await box.fetch(stale)] == [two.uid]

    asyncio.run(run())


def test_a_mail_over_the_readers_limit_is_left_there(real_servers: MailServers, certificate: Certificate) -> None:
    """Its size is known, its bytes are not fetched."""
    sent = fresh(sender=Sender(address=SENDER, label="Cabinet"))

    async def run() -> None:
        cabinet = "cabinet@medecin.formation.mssante.fr"
        async with MssClient(submission(real_servers, certificate(SENDER))) as client:
            await client.send(sent, [cabinet])
        async with ImapMailbox(reading(real_servers, certificate(cabinet), cabinet, max_bytes=1000)) as box:
            while not (found := await box.fetch(Position())):
                await box.wait(5)
            assert found[0].data is None
            assert found[0].size > 1000

    asyncio.run(run())


def test_bounced_then_sent_elsewhere_then_read(real_servers: MailServers, certificate: Certificate) -> None:
    """A mailbox that is gone bounces late; the same mail goes elsewhere, is read and handled there: states follow."""
    sent = fresh(recipients=(GONE, NURSE))
    states = {GONE: RecipientState.SUBMITTED, NURSE: RecipientState.SUBMITTED}
    documents: list[bytes] = []

    def follow(received: Received) -> None:
        for event in events(received):
            states[event.recipient] = advance(states[event.recipient], event.kind)

    async def handle(seen: Seen) -> Handled:
        if seen.received.message_id == sent.message_id and seen.received.package is not None:
            documents.append(seen.received.package.documents[0].data)
        return Handled()

    async def run() -> None:
        async with (
            MssClient(submission(real_servers, certificate(SENDER))) as client,
            ImapMailbox(reading(real_servers, certificate(SENDER), SENDER)) as ours,
        ):
            assert (await client.send(sent, [GONE])).worst.kind is Kind.ACCEPTED
            _, bounce = await until(ours, about(sent))
            follow(bounce)
            assert states[GONE] is RecipientState.FAILED
            assert (await client.send(sent, [NURSE])).worst.kind is Kind.ACCEPTED
            async with (
                ImapMailbox(reading(real_servers, certificate(NURSE), NURSE)) as theirs,
                MssClient(submission(real_servers, certificate(NURSE), mailbox=NURSE)) as answering,
            ):
                await until(theirs, lambda r: r.message_id == sent.message_id)
                await inbox_of(theirs, answering).round(Position(), handle)
            _, processed = await until(ours, about(sent, MailKind.MDN))
            follow(processed)

    asyncio.run(run())
    assert documents == [cda()]
    assert states == {GONE: RecipientState.FAILED, NURSE: RecipientState.READ}


def inbox_of(box: ImapMailbox, client: MssClient) -> Inbox:
    async def submit(notice: OutgoingMail) -> Kind:
        return (await client.send(notice)).worst.kind

    return Inbox(
        mailbox=box,
        address=NURSE,
        submit=submit,
        clock=lambda: datetime.now(UTC),
        reporting_ua="passerelle; 0.1",
    )


class LostAnswer:
    """A wire to a server that lets one whole message through, then loses the answer with a reset."""

    def __init__(self, port: int, size: int) -> None:
        self._port = port
        self._size = size
        self._armed = True

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._port)
        passed = 0

        async def onwards() -> None:
            nonlocal passed
            while data := await reader.read(65536):
                passed += len(data)
                forth.write(data)
                await forth.drain()

        async def backwards() -> None:
            while data := await back.read(65536):
                if self._armed and passed > self._size:
                    self._armed = False
                    writer.transport.abort()
                    return
                writer.write(data)

        there = asyncio.create_task(onwards())
        try:
            await backwards()
        finally:
            there.cancel()
            forth.close()
            writer.close()


def test_an_answer_lost_on_the_wire_is_counted_once(real_servers: MailServers, certificate: Certificate) -> None:
    """Postfix took it and its answer never came: the same mail again, one Message-ID, and one key for the reader."""
    cabinet = "alix.moreau@structure.formation.mssante.fr"
    sent = fresh(recipients=(cabinet,))
    keys: list[str] = []

    async def handle(seen: Seen) -> Handled:
        keys.append(seen.key)
        return Handled(answer=False)

    async def run() -> None:
        wire = LostAnswer(real_servers.submission_certificate, sent.size)
        server = await asyncio.start_server(wire, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with (
            server,
            MssClient(submission(real_servers, certificate(SENDER), port=port)) as client,
            ImapMailbox(reading(real_servers, certificate(cabinet), cabinet)) as box,
        ):
            assert (await client.send(sent)).worst.kind is Kind.UNCERTAIN
            assert (await client.send(sent)).worst.kind is Kind.ACCEPTED
            position = Position()
            while len(keys) < 2:
                position = await inbox_of(box, client).round(position, handle)
                if len(keys) < 2:
                    await box.wait(5)

    asyncio.run(run())
    assert len(keys) == 2
    assert len(set(keys)) == 1
