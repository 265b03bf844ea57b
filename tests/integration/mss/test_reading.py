"""Mailboxes of the simulated operator are read over IMAP: kept, answered, put away, in that order."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import httpx
import pytest

from adapters.mss.client import AuthMode, MssAccount, MssClient
from adapters.mss.imap import ImapAccount, ImapFailed, ImapMailbox, Position
from adapters.mss.inbox import Handled, Inbox, NoticeDelayed, Seen
from adapters.mss.message import OutgoingMail, Sender, build_mail
from adapters.mss.outcomes import Kind
from adapters.mss.receive import MailKind, receive
from adapters.mss.sandbox import MssSandbox
from adapters.mss.sandbox_notices import Notice, render
from adapters.mss.sandbox_smtp import SmtpSettings
from security.pki import SandboxPki, make_sandbox_pki
from security.tls import client_ssl_context
from tests.support.mss import DOCTOR, SENDER, cda, draft, mail, package
from tests.unit.adapters.mss.test_mime import nested
from tests.unit.adapters.mss.test_unpack import HOSTILE

US = SENDER


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> SandboxPki:
    return make_sandbox_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def shared(pki: SandboxPki) -> Iterator[MssSandbox]:
    with MssSandbox(pki) as sandbox:
        yield sandbox


@pytest.fixture
def operator(shared: MssSandbox) -> Iterator[MssSandbox]:
    shared.clear()
    shared.faults.clear()
    yield shared
    shared.faults.clear()


@pytest.fixture(scope="module")
def tls(pki: SandboxPki) -> ssl.SSLContext:
    return client_ssl_context(pki.mss, pki.trust)


def box(operator: MssSandbox, tls: ssl.SSLContext, **changes: object) -> ImapMailbox:
    members: dict[str, object] = {"host": "localhost", "port": operator.imap_port, "mailbox": US, "ssl_context": tls}
    return ImapMailbox(ImapAccount(timeout=5.0, **(members | changes)))  # type: ignore[arg-type]


def test_mails_are_read_in_order_and_put_away(operator: MssSandbox, tls: ssl.SSLContext) -> None:
    """Nothing is marked by reading; after settling the inbox is empty and the mail stands in its folder."""
    operator.deliver(US, mail().data)
    operator.deliver(US, mail(message_id="<2@x.fr>").data)

    async def run() -> None:
        async with box(operator, tls) as mailbox:
            first, second = await mailbox.fetch(Position())
            assert (first.data, second.size) == (mail().data, len(second.data or b""))
            assert [m.uid for m in await mailbox.fetch(Position(), limit=1)] == [first.uid]
            assert [m.uid for m in await mailbox.fetch(first.position)] == [second.uid]
            await mailbox.settle(first, folder="Traites")
            assert [m.uid for m in await mailbox.fetch(Position())] == [second.uid]
            assert await mailbox.fetch(second.position) == []

    asyncio.run(run())
    assert [m.flags for m in operator.boxes.content(US, "Traites")] == [{"\\SEEN"}]


def test_an_arrival_ends_the_wait(operator: MssSandbox, tls: ssl.SSLContext) -> None:
    """IDLE: a mail that arrives is known at once; without one the time passes; one that came before is not missed."""

    async def run() -> list[bool]:
        async with box(operator, tls) as mailbox:
            await mailbox.fetch(Position())
            quiet = await mailbox.wait(0.05)
            waiting = asyncio.create_task(mailbox.wait(30))
            await asyncio.sleep(0)
            await asyncio.to_thread(operator.deliver, US, mail().data)
            told = await waiting
            assert len(await mailbox.fetch(Position())) == 1
            operator.deliver(US, mail(message_id="<2@x.fr>").data)
            return [quiet, told, await mailbox.wait(30)]

    assert asyncio.run(run()) == [False, True, True]


def test_a_rebuilt_mailbox_is_read_anew(operator: MssSandbox, tls: ssl.SSLContext) -> None:
    """Another UIDVALIDITY: everything is seen again, and a mail fetched before is not settled by mistake."""
    operator.deliver(US, mail().data)

    async def run() -> None:
        async with box(operator, tls) as mailbox:
            (old,) = await mailbox.fetch(Position())
        operator.boxes.uid_validity += 1
        async with box(operator, tls) as mailbox:
            (again,) = await mailbox.fetch(old.position)
            assert (again.uid, again.uid_validity) == (old.uid, old.uid_validity + 1)
            await mailbox.settle(old, folder="Traites")
            assert len(await mailbox.fetch(Position())) == 1

    asyncio.run(run())


def test_a_lost_connection_is_opened_again(operator: MssSandbox, tls: ssl.SSLContext, pki: SandboxPki) -> None:
    """One failed round, then the next one works."""

    async def run() -> None:
        async with box(operator, tls) as mailbox:
            await mailbox.fetch(Position())
            assert mailbox._imap is not None
            mailbox._imap.socket().shutdown(socket.SHUT_RDWR)
            with pytest.raises(ImapFailed) as failed:
                await mailbox.fetch(Position())
            assert failed.value.outcome.kind is Kind.RETRY
            assert await mailbox.fetch(Position()) == []

    asyncio.run(run())


def test_who_may_not_read_is_told_why(operator: MssSandbox, pki: SandboxPki, tls: ssl.SSLContext) -> None:
    """No certificate, another mailbox, no STARTTLS, nobody there: each its outcome."""

    async def outcome(mailbox: ImapMailbox) -> tuple[str, Kind]:
        async with mailbox:
            with pytest.raises(ImapFailed) as failed:
                await mailbox.fetch(Position())
            return failed.value.outcome.code, failed.value.outcome.kind

    anonymous = client_ssl_context(None, pki.trust)
    assert asyncio.run(outcome(box(operator, anonymous))) == ("MSS-OUT-CERTIFICATE", Kind.OPERATOR)
    assert asyncio.run(outcome(box(operator, tls, mailbox="a@ailleurs.example"))) == ("MSS-OUT-TOKEN", Kind.OPERATOR)
    assert asyncio.run(outcome(box(operator, tls, port=9))) == ("MSS-OUT-NETWORK", Kind.RETRY)
    assert asyncio.run(outcome(box(operator, tls, auth=AuthMode.PLAIN))) == ("MSS-OUT-TOKEN", Kind.OPERATOR)


def test_a_token_reads_too(pki: SandboxPki) -> None:
    """XOAUTH2, with one fresh token after a refusal."""
    given = iter(["stale", "good"])

    async def token() -> str:
        return next(given)

    async def run(operator: MssSandbox) -> int:
        account = ImapAccount(
            host="localhost",
            port=operator.imap_port,
            mailbox=US,
            ssl_context=client_ssl_context(None, pki.trust),
            auth=AuthMode.XOAUTH2,
            timeout=5.0,
        )
        async with ImapMailbox(account, token=token) as mailbox:
            return len(await mailbox.fetch(Position()))

    with MssSandbox(
        pki,
        settings=SmtpSettings(auth=AuthMode.XOAUTH2),
        require_certificate=False,
        check_token=lambda user, secret: (user, secret) == (US, "good"),
    ) as operator:
        operator.deliver(US, mail().data)
        assert asyncio.run(run(operator)) == 1


def reader(operator: MssSandbox, tls: ssl.SSLContext, mailbox: ImapMailbox, client: MssClient) -> Inbox:
    async def submit(notice: OutgoingMail) -> Kind:
        return (await client.send(notice)).worst.kind

    return Inbox(
        mailbox=mailbox,
        address=US,
        submit=submit,
        clock=lambda: datetime(2026, 11, 24, tzinfo=UTC),
        reporting_ua="passerelle; 0.1",
    )


def sender(operator: MssSandbox, tls: ssl.SSLContext) -> MssClient:
    return MssClient(MssAccount(host="localhost", port=operator.smtp_port, mailbox=US, ssl_context=tls, timeout=5.0))


def from_doctor(**changes: object) -> bytes:
    return build_mail(draft(sender=Sender(address=DOCTOR, label="Dr Leroy"), recipients=(US,), **changes)).data


HOSTILE_MAILS = {
    **{
        trap: (
            lambda make=make, trap=trap: from_doctor(archive=make() or b"\r\n", message_id=f"<{abs(hash(trap))}@x.fr>")
        )
        for trap, make in HOSTILE.items()
    },
    "a thousand nested parts": lambda: (
        f"From: {DOCTOR}\r\nMessage-ID: <nested@x.fr>\r\nDisposition-Notification-To: {DOCTOR}\r\n".encode()
        + nested(1000)
    ),
    "header injection": lambda: (
        f"From: {DOCTOR}\r\nMessage-ID: <injected@x.fr>\r\nDisposition-Notification-To: {DOCTOR}\r\n".encode()
        + b"Subject: =?utf-8?q?XDM/1.0/DDM+x=0D=0ABcc:_a@b.fr?=\r\n\r\nx\r\n"
    ),
}


def test_hostile_mails_are_refused_told_and_put_aside(operator: MssSandbox, tls: ssl.SSLContext) -> None:
    """Each refused as a whole and named; its sender gets an error notice; a good mail among them is filed."""
    for make in HOSTILE_MAILS.values():
        operator.deliver(US, make())
    operator.deliver(US, from_doctor(message_id="<good@x.fr>"))
    seen: dict[str, tuple[bool, int]] = {}

    async def handle(one: Seen) -> Handled:
        received = one.received
        documents = len(received.package.documents) if received.package is not None else 0
        seen[received.message_id] = (received.accepted, documents)
        return Handled()

    async def run() -> None:
        async with box(operator, tls) as mailbox, sender(operator, tls) as client:
            await reader(operator, tls, mailbox, client).round(Position(), handle)

    asyncio.run(run())
    assert seen.pop("<good@x.fr>") == (True, 1)
    assert len(seen) == len(HOSTILE_MAILS)
    assert set(seen.values()) == {(False, 0)}
    assert operator.boxes.content(US) == []
    assert len(operator.boxes.content(US, "Rejetes")) == len(HOSTILE_MAILS)
    assert len(operator.boxes.content(US, "Traites")) == 1
    told = [receive(raw) for raw in operator.inbox(DOCTOR)]
    assert {t.kind for t in told} == {MailKind.MDN}
    failed = {t.disposition.original_message_id for t in told if t.disposition is not None and t.disposition.failed}
    assert failed == set(seen)
    assert len(told) == len(HOSTILE_MAILS) + 1


def test_a_mail_whose_handling_fails_is_seen_again(operator: MssSandbox, tls: ssl.SSLContext) -> None:
    """Kept first, answered after: a failure before that leaves the mail where it was, unanswered."""
    operator.deliver(US, from_doctor())
    rounds: list[str] = []

    async def handle(one: Seen) -> Handled:
        rounds.append(one.key)
        if len(rounds) == 1:
            raise RuntimeError("the disk is full")
        return Handled(error_code="902")

    async def run() -> None:
        async with box(operator, tls) as mailbox, sender(operator, tls) as client:
            inbox = reader(operator, tls, mailbox, client)
            with pytest.raises(RuntimeError, match="disk"):
                await inbox.round(Position(), handle)
            assert operator.inbox(DOCTOR) == []
            position = await inbox.round(Position(), handle)
            assert await inbox.round(position, handle) == position

    asyncio.run(run())
    assert rounds[0] == rounds[1]
    (raw,) = operator.inbox(DOCTOR)
    notice = receive(raw).disposition
    assert notice is not None
    assert notice.error_code == "902"


@pytest.mark.parametrize("willing", [True, False])
def test_notices_are_handled_together_or_one_by_one(operator: MssSandbox, tls: ssl.SSLContext, willing: bool) -> None:
    """Those that follow one another come as one; where that cannot be, each comes alone, in order, and is put away."""
    notices = [render(notice_of(number), mail().data, "operator.test.invalid") for number in range(3)]
    for raw in (*notices[:2], from_doctor(), notices[2]):
        operator.deliver(US, raw)
    alone: list[MailKind] = []
    together: list[list[str]] = []

    async def handle(one: Seen) -> Handled:
        alone.append(one.received.kind)
        return Handled()

    async def several(some: Sequence[Seen]) -> bool:
        together.append([one.received.message_id for one in some])
        return willing

    async def run() -> None:
        async with box(operator, tls) as mailbox, sender(operator, tls) as client:
            inbox = reader(operator, tls, mailbox, client)
            position = await inbox.round(Position(), handle, notices=several)
            assert await mailbox.fetch(position) == []

    asyncio.run(run())
    assert together == [["<n0@operator.test.invalid>", "<n1@operator.test.invalid>"]]
    assert alone == [*([MailKind.DSN] * (0 if willing else 2)), MailKind.DOCUMENT, MailKind.DSN]
    assert operator.boxes.content(US) == []
    assert len(operator.boxes.content(US, "Traites")) == 4
    assert len(operator.inbox(DOCTOR)) == 1


def notice_of(number: int) -> Notice:
    """A notice that a mail of ours was delivered."""
    return Notice(
        id=f"n{number}",
        kind="delivered",
        to=US,
        recipient=DOCTOR,
        at=datetime(2026, 11, 24, tzinfo=UTC),
        envelope_id="",
        code="2.0.0",
    )


def test_a_notice_that_cannot_leave_keeps_the_mail_waiting(operator: MssSandbox, tls: ssl.SSLContext) -> None:
    """The answer is owed: the mail is seen again, and the answer bears the same Message-ID."""
    operator.deliver(US, from_doctor())
    operator.faults.set("4xx", transaction="MAIL")

    async def handle(one: Seen) -> Handled:
        return Handled()

    async def run() -> None:
        async with box(operator, tls) as mailbox, sender(operator, tls) as client:
            inbox = reader(operator, tls, mailbox, client)
            with pytest.raises(NoticeDelayed) as delayed:
                await inbox.round(Position(), handle)
            await inbox.round(Position(), handle)
            (raw,) = operator.inbox(DOCTOR)
            assert str(delayed.value) == receive(raw).message_id

    asyncio.run(run())


def test_a_mail_over_the_limit_is_named_and_put_aside(operator: MssSandbox, tls: ssl.SSLContext) -> None:
    """Its bytes are not fetched; nobody can be answered."""
    operator.deliver(US, from_doctor())
    found: list[str] = []

    async def handle(one: Seen) -> Handled:
        found.extend(f.code for f in one.received.reasons)
        return Handled()

    async def run() -> None:
        async with box(operator, tls, max_bytes=1000) as mailbox, sender(operator, tls) as client:
            await reader(operator, tls, mailbox, client).round(Position(), handle)

    asyncio.run(run())
    assert found == ["MSS-MIME-002"]
    assert len(operator.boxes.content(US, "Rejetes")) == 1


def test_the_simulator_shows_what_it_holds(operator: MssSandbox, tls: ssl.SSLContext) -> None:
    """Over HTTP: deliveries go in; messages, notices and the white list come out."""
    api = operator.api
    assert httpx.post(f"{api}/deliveries", content=from_doctor(), trust_env=False).json() == {"delivered": 1}
    assert httpx.post(f"{api}/deliveries", content=b"x", trust_env=False).status_code == 400
    assert operator.inbox(US) == [from_doctor()]

    async def run() -> None:
        async with sender(operator, tls) as client:
            assert (await client.send(mail())).worst.kind is Kind.ACCEPTED

    asyncio.run(run())
    (message,) = httpx.get(f"{api}/messages", params={"messageId": mail().message_id}, trust_env=False).json()
    assert httpx.get(f"{api}/messages/{message['id']}", trust_env=False).json() == message
    assert httpx.get(f"{api}/messages/none", trust_env=False).status_code == 404
    delivered, processed = httpx.get(f"{api}/notices", trust_env=False).json()
    assert (delivered["kind"], processed["kind"]) == ("delivered", "processed")
    raw = httpx.get(f"{api}/notices/{processed['id']}/raw", trust_env=False).content
    assert receive(raw).kind is MailKind.MDN
    assert b"medecin.formation.mssante.fr" in httpx.get(f"{api}/listeblanchemssante.xml", trust_env=False).content


def test_old_mails_make_room(pki: SandboxPki, tls: ssl.SSLContext) -> None:
    """Bytes are kept up to a limit; the lines stay."""
    made = [mail(message_id=f"<{n}@x.fr>") for n in range(5)]
    with MssSandbox(pki, max_bytes=2 * made[0].size + 100) as operator:

        async def run() -> None:
            async with sender(operator, tls) as client:
                for one in made:
                    assert (await client.send(one)).worst.kind is Kind.ACCEPTED

        asyncio.run(run())
        assert [bool(m.raw) for m in operator.messages] == [False, False, False, True, True]
        assert len(operator.inbox(DOCTOR)) == 2
        oldest = operator.messages[0].id
        assert httpx.get(f"{operator.api}/messages/{oldest}/raw", trust_env=False).status_code == 404
    assert package(cda()).documents
