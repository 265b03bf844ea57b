"""Reading the structures' mailboxes: one reader a mailbox, wherever it runs; nothing marked before it is kept.

A mailbox is read by the node that holds its lease. What follows a position is handled mail by mail: notices move the
states of what we sent, the rest is kept; only then is a mail marked and put away. IDLE tells what arrives, and a look
now and then makes up for what IDLE does not tell.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection, or_, select, update

from adapters.mss.imap import ImapFailed, ImapMailbox, Position
from adapters.mss.inbox import Folders, Handled, Inbox, Seen
from adapters.mss.message import OutgoingMail
from adapters.mss.outcomes import Kind
from adapters.mss.receive import MailKind, integration_code
from adapters.mss.tracking import EventKind, events
from conformance.verdict import Text
from gateway import __version__
from gateway.context import Gateway
from gateway.journey import recipients
from gateway.journey.answers import Answerer
from gateway.journey.cause import Cause
from gateway.journey.incoming import apply_notice, is_notice, keep
from gateway.neighbours import Neighbours, NotConfigured
from gateway.services.mail_sessions import NoMailSession
from gateway.services.received import UNREAD, Unfolded, unfold
from gateway.store import blobs
from gateway.store.engine import BACKGROUND, NORMAL, StoreUnavailable
from gateway.store.mail_tables import mail_recipients, mailboxes
from gateway.store.tables import tenants as tenant_rows
from gateway.tenants import Tenant, tenant

__all__ = ["MailReceiver"]

log = structlog.get_logger("passerelle.mss")

#: Longest wait for what a server may tell, so that leases are kept and a stop is heard.
_SLICE = 20.0
#: Seconds left to what follows a mail that has just arrived.
_GATHER = 0.2
#: Readers at work at once on one node; each waits in a thread of its own.
_MOST = 64
_LONGEST_PAUSE = 300.0

SILENT = Cause(
    code="MSS-OUT-SILENT",
    text=Text(
        "Aucune nouvelle de ce destinataire : nul ne sait si le message est arrivé.",
        "No news of this recipient: nobody knows whether the message arrived.",
    ),
    fix=Text("Appelez le destinataire, ou renvoyez.", "Call the recipient, or send again."),
)


@dataclass(slots=True)
class _Reader:
    tenant: Tenant
    address: str
    task: asyncio.Task[None] | None = None
    mailbox: ImapMailbox | None = None
    failures: int = 0


class MailReceiver:
    """Reads every mailbox of the node's structures, answers their senders and notes who stays silent."""

    def __init__(self, gateway: Gateway, neighbours: Neighbours, *, owner: str) -> None:
        self._gateway = gateway
        self._neighbours = neighbours
        self._owner = owner
        self._settings = gateway.settings
        self._answerer = Answerer(gateway, neighbours)
        self._readers: dict[tuple[str, str], _Reader] = {}
        self._threads = ThreadPoolExecutor(_MOST, thread_name_prefix="mailbox")
        self._stop = asyncio.Event()
        self._lease = timedelta(seconds=self._settings.lease_seconds)

    def chores(self) -> list[tuple[float, Any]]:
        """What the worker does now and then for the mail: seconds between two times, and what."""
        mss, poll = self._settings.mss, self._settings.poll_seconds
        out: list[tuple[float, Any]] = [(max(1.0, min(mss.unknown_after_hours * 900, 300.0)), self.silent)]
        out.append((mss.white_list_hours * 3600 if mss.white_list_url else 60.0, self._neighbours.white_list.refresh))
        if self._neighbours.revocations.wanted:
            out.append((60.0, self._neighbours.revocations.refresh))
        if self._settings.imap.host:
            out += [(min(self._settings.imap.poll_seconds, 30.0), self.watch), (poll, self._answerer.run)]
        return out

    async def close(self) -> None:
        """Leave every mailbox; what is being read is found again."""
        self._stop.set()
        for reader in self._readers.values():
            if reader.mailbox is not None:
                reader.mailbox.abort()
        tasks = [reader.task for reader in self._readers.values() if reader.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=5)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        with contextlib.suppress(Exception):  # the leases end by themselves all the same
            await self._gateway.store.write(
                lambda c: c.execute(
                    update(mailboxes)
                    .where(mailboxes.c.lease_owner == self._owner)
                    .values(lease_owner=None, lease_until=None)
                ),
                NORMAL,
            )

    # Who is read

    async def watch(self) -> None:
        """Have a reader for each mailbox of each structure, and none for those that are gone."""
        wanted = await self._gateway.store.read(self._boxes)
        for key, reader in list(self._readers.items()):
            if key not in wanted and reader.task is not None:
                reader.task.cancel()
                del self._readers[key]
        for key, owner in wanted.items():
            known = self._readers.get(key)
            if known is not None and known.task is not None and not known.task.done():
                continue
            if len(self._readers) >= _MOST and known is None:
                log.error("mailbox.too_many", most=_MOST)
                return
            reader = self._readers[key] = _Reader(owner, key[1])
            reader.task = asyncio.create_task(self._read(reader), name=f"mailbox-{owner.id}")

    def _boxes(self, connection: Connection) -> dict[tuple[str, str], Tenant]:
        """The mailboxes to read; one that several structures share belongs to none of them alone, and is left."""
        found: dict[str, list[Tenant]] = {}
        ids = connection.execute(select(tenant_rows.c.id).where(tenant_rows.c.disabled_at.is_(None))).scalars()
        for number in list(ids):
            owner = tenant(connection, number)
            address = self._neighbours.mailbox_of(owner) if owner is not None else ""
            if owner is not None and address:
                found.setdefault(address.lower(), []).append(owner)
        for owners in found.values():
            if len(owners) > 1:
                log.error("mailbox.shared", structures=[one.id for one in owners])
        return {(owners[0].id, address): owners[0] for address, owners in found.items() if len(owners) == 1}

    # One mailbox

    async def _read(self, reader: _Reader) -> None:
        try:
            while not self._stop.is_set():
                pause = await self._turn(reader)
                if pause:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), pause)
        finally:
            if reader.mailbox is not None:
                reader.mailbox.abort()
                await reader.mailbox.close()

    async def _turn(self, reader: _Reader) -> float:
        """Handle what arrived, then wait for more; gives how long to pause before the next turn."""
        poll = self._settings.imap.poll_seconds
        try:
            position = await self._gateway.store.write(lambda c: self._claim(c, reader), NORMAL)
            if position is None:
                return min(poll, self._lease.total_seconds())  # another node reads it
            mailbox = reader.mailbox
            if mailbox is None:
                mailbox = reader.mailbox = self._neighbours.imap(reader.tenant, self._threads)
            position = await self._round(reader, mailbox, position)
            reader.failures = 0
            longest = min(poll, _SLICE, self._lease.total_seconds() / 2)
            if await mailbox.wait(longest):
                # Mails come several at once, notices above all: those that follow are read with the first.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _GATHER)
        except (ImapFailed, NotConfigured, NoMailSession) as exc:
            return self._failed(reader, exc)
        except Exception as exc:  # a fault of ours: the mail is found again at the next turn
            if not self._stop.is_set():
                log.error("mailbox.failed", tenant=reader.tenant.id, error=type(exc).__name__)
                log.debug("mailbox.trace", exc_info=exc)
            reader.failures += 1
            return self._pause(reader)
        return 0.0

    def _failed(self, reader: _Reader, exc: ImapFailed | NotConfigured | NoMailSession) -> float:
        if self._stop.is_set():
            return 0.0
        code = exc.outcome.code if isinstance(exc, ImapFailed) else type(exc).__name__
        reader.failures += 1
        log.warning("mailbox.unread", tenant=reader.tenant.id, code=code, failures=reader.failures)
        return self._pause(reader)

    def _pause(self, reader: _Reader) -> float:
        first = self._settings.retry_first_seconds
        return float(min(first * 2 ** min(reader.failures - 1, 20), _LONGEST_PAUSE))

    async def _round(self, reader: _Reader, mailbox: ImapMailbox, position: Position) -> Position:
        async def submit(notice: OutgoingMail) -> Kind:
            # Notices go their own durable way (gateway.journey.answers): none is asked for here.
            raise AssertionError(notice.message_id)

        white_list = self._neighbours.white_list
        imap = self._settings.imap
        inbox = Inbox(
            mailbox=mailbox,
            address=reader.address,
            submit=submit,
            clock=self._gateway.clock,
            reporting_ua=f"passerelle; Passerelle {__version__}",
            white_list=white_list if white_list.known else None,
            folders=Folders(processed=imap.processed_folder, rejected=imap.rejected_folder),
            accept_rooted_uri=imap.accept_rooted_uri,
        )

        async def handle(seen: Seen) -> Handled:
            return await self._handle(reader, seen)

        async def notices(some: Sequence[Seen]) -> bool:
            return await self._notices(reader, some)

        while True:
            reached = await inbox.round(position, handle, limit=imap.batch, notices=notices)
            if reached == position:
                return position
            position = reached
            await self._gateway.store.write(partial(self._note_position, reader, reached), NORMAL)

    async def _notices(self, reader: _Reader, some: Sequence[Seen]) -> bool:
        """Apply notices in their order in one transaction; false when one of them stands in the way of the others."""
        try:
            await self._gateway.store.write(lambda c: self._apply(c, reader, some), NORMAL)
        except StoreUnavailable:
            raise
        except Exception as exc:  # then each by itself
            log.warning("mss.notices_apart", count=len(some), error=type(exc).__name__)
            return False
        self._closed(some)
        return True

    def _apply(self, connection: Connection, reader: _Reader, some: Sequence[Seen]) -> None:
        now, kept = self._gateway.now(), self._settings.mss.keep_exchanges
        for seen in some:
            raw = seen.fetched.data if kept else None
            apply_notice(connection, self._gateway.vault, reader.tenant.id, seen.received, now=now, raw=raw)

    def _closed(self, some: Sequence[Seen]) -> None:
        """Tell the directory of the mailboxes that notices say are no more."""
        directory = self._gateway.directory
        if directory is None:
            return
        for event in (event for seen in some for event in events(seen.received)):
            if event.kind is EventKind.BOUNCED and event.code.startswith("5.1."):
                directory.closed(event.recipient)

    async def _handle(self, reader: _Reader, seen: Seen) -> Handled:
        gateway, received = self._gateway, seen.received
        now = gateway.now()
        if is_notice(received):
            await gateway.store.write(lambda c: self._apply(c, reader, [seen]), NORMAL)
            self._closed([seen])
            return Handled(answer=False)
        if received.accepted and received.kind is MailKind.AUTOMATIC:
            return Handled(answer=False)
        read: list[Unfolded] = []
        if received.accepted and received.package is not None:
            read = [await self._unfold(document.data) for document in received.package.documents]
        number = await gateway.store.write(
            lambda c: keep(
                c,
                gateway.vault,
                reader.tenant.id,
                reader.address,
                seen,
                read,
                now=now,
                environment=self._settings.environment,
                answer_matched=self._settings.imap.answer == "matched",
            ),
            NORMAL,
        )
        refusal = "" if received.accepted else integration_code(received.reasons)
        codes = sorted({f.code for f in received.reasons})
        log.info("mss.received", received=number, kind=str(received.kind), refusal=refusal, reasons=codes)
        return Handled(answer=False, error_code=refusal)

    async def _unfold(self, data: bytes) -> Unfolded:
        try:
            return await self._gateway.compute(unfold, data)
        except Exception as exc:  # what a stranger wrote must not stop the mailbox
            log.error("mss.unread", error=type(exc).__name__)
            return Unfolded(findings=(UNREAD.finding(""),))

    # Where reading stands

    def _claim(self, connection: Connection, reader: _Reader) -> Position | None:
        """Take or keep the lease of a mailbox; where its reading stands, or None when another node has it."""
        now = self._gateway.now()
        where = [mailboxes.c.tenant_id == reader.tenant.id, mailboxes.c.address == reader.address]
        if not self._gateway.store.sqlite:  # one process writes to a SQLite file: whoever held a lease there is dead
            where.append(
                or_(
                    mailboxes.c.lease_owner.is_(None),
                    mailboxes.c.lease_owner == self._owner,
                    mailboxes.c.lease_until < now,
                )
            )
        blobs.insert_ignore(
            connection,
            mailboxes,
            {"tenant_id": reader.tenant.id, "address": reader.address, "uid_validity": 0, "last_uid": 0},
        )
        taken = connection.execute(
            update(mailboxes)
            .where(*where)
            .values(lease_owner=self._owner, lease_until=now + self._lease)
            .returning(mailboxes.c.uid_validity, mailboxes.c.last_uid)
        ).first()
        return Position(uid_validity=taken.uid_validity, last_uid=taken.last_uid) if taken is not None else None

    def _note_position(self, reader: _Reader, position: Position, connection: Connection) -> None:
        now = self._gateway.now()
        connection.execute(
            update(mailboxes)
            .where(
                mailboxes.c.tenant_id == reader.tenant.id,
                mailboxes.c.address == reader.address,
                mailboxes.c.lease_owner == self._owner,
            )
            .values(
                uid_validity=position.uid_validity,
                last_uid=position.last_uid,
                read_at=now,
                lease_until=now + self._lease,
            )
        )

    # Silence

    async def silent(self) -> None:
        """Say of the recipients nobody has told anything of for too long that nothing is known."""
        gateway = self._gateway
        now, after = gateway.now(), timedelta(hours=self._settings.mss.unknown_after_hours)
        overdue = (
            select(mail_recipients.c.id)
            .where(mail_recipients.c.state == "submitted", mail_recipients.c.submitted_at <= now - after)
            .limit(1)
        )
        while await gateway.store.read(lambda c: c.execute(overdue).first()) is not None:
            await gateway.store.write(
                lambda c: recipients.silent(c, gateway.vault, now=now, after=after, cause=SILENT, by="gateway:mss"),
                BACKGROUND,
            )
