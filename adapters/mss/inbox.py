"""Empty a mailbox: read each mail, hand it over, tell its sender, then put it away, in that order and never another.

What is handed over is kept by the caller before anything is answered; a mail whose handling fails is found again at the
next round, and an answer sent twice bears the same Message-ID.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from adapters.mss.disposition import Answer, build_disposition
from adapters.mss.imap import Fetched, Mailbox, Position
from adapters.mss.message import OutgoingMail
from adapters.mss.outcomes import Kind
from adapters.mss.receive import MailKind, Received, integration_code, receive
from adapters.mss.rules import MailRefused, rule

__all__ = ["NOTICES", "Folders", "Handled", "Handler", "Inbox", "Notices", "Seen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where mails go once handled, so that the mailbox stays tidy."""

    processed: str = "Traites"
    rejected: str = "Rejetes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """What the caller did with a mail, and what its sender is told."""

    answer: bool = True  #: a disposition notice is sent when it was asked for
    error_code: str = ""  #: of the table of integration errors; empty when it was filed or kept for a person
    label: str = ""  #: what went wrong, without any trait


#: Bytes above which a mail is read in a thread.
_LARGE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A mail as it is handed over."""

    fetched: Fetched
    received: Received
    key: str  #: Message-ID and hash of the archive: the same mail twice has the same key


Handler = Callable[[Seen], Awaitable[Handled]]
#: Handles notices together, none of which is answered; false, with nothing kept, when they must be handled one by one.
Notices = Callable[[Sequence[Seen]], Awaitable[bool]]

#: What tells the fate of a mail: short, never answered, many at once.
NOTICES = frozenset({MailKind.DSN, MailKind.MDN, MailKind.FAILURE})


@dataclass(slots=True, kw_only=True)
class Inbox:
    """Reads one mailbox for one tenant."""

    mailbox: Mailbox
    address: str  #: the mailbox's own address: From of the notices
    submit: Callable[[OutgoingMail], Awaitable[Kind]]
    clock: Callable[[], datetime]
    reporting_ua: str
    white_list: Container[str] | None = None
    folders: Folders = field(default_factory=Folders)
    accept_rooted_uri: bool = False

    async def round(
        self, after: Position, handle: Handler, *, limit: int = 50, notices: Notices | None = None
    ) -> Position:
        """Handle what follows a position; give the new one.

        Notices that follow one another are given to ``notices`` together when there is one. Stops at the first mail
        whose handling raises, and lets the exception out with everything before it settled. Raises
        :class:`adapters.mss.imap.ImapFailed` when the mailbox cannot be read.
        """
        position = after
        done: list[tuple[Seen, str]] = []
        together: list[Seen] = []

        async def alone(seen: Seen) -> None:
            handled = await handle(seen)
            if handled.answer:
                await self._answer(seen, handled)
            refused = bool(handled.error_code) or not seen.received.accepted
            done.append((seen, self.folders.rejected if refused else self.folders.processed))

        async def told() -> None:
            some, together[:] = list(together), []
            if notices is not None and len(some) > 1 and await notices(some):
                done.extend((one, self.folders.processed) for one in some)
                return
            for one in some:
                await alone(one)

        try:
            for fetched in await self.mailbox.fetch(after, limit=limit):
                # A notice is read in a moment; what carries documents would hold the loop.
                large = fetched.data is not None and len(fetched.data) > _LARGE
                seen = await asyncio.to_thread(self._read, fetched) if large else self._read(fetched)
                if seen.received.accepted and seen.received.kind in NOTICES:
                    together.append(seen)
                    continue
                await told()
                await alone(seen)
            await told()
        finally:
            for folder, some in groupby(done, key=lambda pair: pair[1]):
                settled = [seen.fetched for seen, _ in some]
                await self.mailbox.settle(*settled, folder=folder)
                position = settled[-1].position
        return position

    def _read(self, fetched: Fetched) -> Seen:
        if fetched.data is None:
            found = f"{fetched.size} octets"
            received = Received(kind=MailKind.MESSAGE, message_id="", reasons=(rule("MSS-MIME-002", found=found),))
            return Seen(fetched=fetched, received=received, key=f"{fetched.uid_validity}:{fetched.uid}")
        try:
            received = receive(fetched.data, white_list=self.white_list, accept_rooted_uri=self.accept_rooted_uri)
        except MailRefused as refused:
            received = Received(kind=MailKind.MESSAGE, message_id="", reasons=refused.findings)
        content = received.package.sha256 if received.package is not None else hashlib.sha256(fetched.data).hexdigest()
        return Seen(fetched=fetched, received=received, key=f"{received.message_id}:{content}")

    async def _answer(self, seen: Seen, handled: Handled) -> None:
        received, data = seen.received, seen.fetched.data
        if received.receipt_to is None or data is None:
            return
        code = handled.error_code or integration_code(received.reasons)
        # Derived from the mail answered: an answer sent again is the same answer.
        number = hashlib.sha256(f"{self.address}:{seen.key}:{code}".encode()).hexdigest()[:32]
        answer = Answer(
            mailbox=self.address,
            recipient=self.address,
            message_id=f"<mdn.{number}@{self.address.rpartition('@')[2]}>",
            date=self.clock(),
            reporting_ua=self.reporting_ua,
            error_code=code,
            label=handled.label,
        )
        notice = build_disposition(data, answer, mail=received.mail, whole=received.accepted)
        if notice is not None and await self.submit(notice) in (Kind.RETRY, Kind.OPERATOR):
            raise NoticeDelayed(notice.message_id)


class NoticeDelayed(Exception):
    """The disposition notice could not be handed over yet; the mail stays in the mailbox and is seen again."""
