"""The IMAP side of the operator's simulator: the part of IMAP4rev1 that a reader of mail needs, over TLS only.

RFC 3501 with IDLE (2177), MOVE (6851) and UIDPLUS (4315) as far as ``UID`` commands go; anything else is answered BAD.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import ssl
from collections.abc import Iterable
from typing import Protocol

from adapters.mss.client import AuthMode
from adapters.mss.sandbox_boxes import Boxes, BoxMail
from adapters.mss.sandbox_smtp import credentials
from adapters.mss.sandbox_wire import Closed, TlsUpgradeServer, Wire
from adapters.sandbox_base import Faults

__all__ = ["ImapOperator", "imap_server"]

_COMMAND = re.compile(r"(\S+) (UID )?([A-Z]+)(?: (.*))?", re.IGNORECASE)
_FLAGS = re.compile(r"\\[A-Za-z]+")
_CAPABILITIES = "IMAP4rev1 SASL-IR IDLE MOVE UIDPLUS"


class ImapOperator(Protocol):
    """What the dialogue asks of the operator behind it."""

    faults: Faults
    boxes: Boxes

    def check_reader(self, mode: AuthMode, mailbox: str, secret: str, wire: Wire) -> bool: ...


def imap_server(operator: ImapOperator, context: ssl.SSLContext, mode: AuthMode) -> TlsUpgradeServer:
    """The reading service of an operator."""

    async def dialogue(wire: Wire) -> None:
        await _Dialogue(operator, context, mode, wire).run()

    return TlsUpgradeServer(dialogue)


class _Bad(Exception):
    """The command is not one of ours, or is ill formed."""


class _No(Exception):
    """The command is refused."""


class _Dialogue:
    """One connection, command by command."""

    def __init__(self, operator: ImapOperator, context: ssl.SSLContext, mode: AuthMode, wire: Wire) -> None:
        self._operator = operator
        self._context = context
        # With mutual TLS alone the mailbox is still to be named, as EXTERNAL does.
        self._mode = AuthMode.EXTERNAL if mode is AuthMode.NONE else mode
        self._wire = wire
        self._tls = False
        self._mailbox = ""
        self._folder = ""
        self._told = 0  # how many mails the client knows of

    async def run(self) -> None:
        await self._wire.send("* OK IMAP4rev1 simulator ready\r\n")
        while True:
            line = (await self._wire.line(8192)).decode("ascii", "replace").removesuffix("\r\n")
            match = _COMMAND.fullmatch(line)
            if match is None:
                await self._wire.send("* BAD not a command\r\n")
                continue
            tag, uid, verb, rest = match[1], bool(match[2]), match[3].upper(), match[4] or ""
            if verb == "LOGOUT":
                await self._wire.send(f"* BYE\r\n{tag} OK LOGOUT completed\r\n")
                return
            try:
                text = await self._command(tag, f"UID {verb}" if uid else verb, rest)
            except _Bad as bad:
                text = f"BAD {bad}"
            except _No as no:
                text = f"NO {no}"
            await self._wire.send(f"{tag} {text}\r\n")
            if verb == "STARTTLS" and text.startswith("OK"):
                await self._wire.start_tls(self._context)
                self._tls = True

    async def _command(self, tag: str, verb: str, rest: str) -> str:
        if verb == "CAPABILITY":
            await self._wire.send(f"* CAPABILITY {self._capabilities()}\r\n")
            return "OK CAPABILITY completed"
        if verb == "STARTTLS" and not self._tls:
            return "OK begin TLS negotiation"
        if not self._tls:
            raise _No("[PRIVACYREQUIRED] STARTTLS first")
        if verb == "NOOP":
            await self._tell()
            return "OK NOOP completed"
        if verb == "AUTHENTICATE":
            return await self._authenticate(rest)
        if not self._mailbox:
            raise _No("[AUTHENTICATIONFAILED] authenticate first")
        if verb == "SELECT":
            return await self._select(rest)
        if verb == "CREATE":
            return "OK CREATE completed"
        if not self._folder:
            raise _Bad("SELECT first")
        if verb == "IDLE":
            return await self._idle()
        arguments = rest.split(" ", 1)
        if verb == "UID SEARCH":
            return await self._search(rest)
        if verb == "UID FETCH" and len(arguments) == 2:
            return await self._fetch(*arguments)
        if verb == "UID STORE" and len(arguments) == 2:
            return await self._store(*arguments)
        if verb == "UID MOVE" and len(arguments) == 2:
            return await self._move(*arguments)
        raise _Bad(f"{verb} is not known here")

    def _capabilities(self) -> str:
        if not self._tls:
            return "IMAP4rev1 STARTTLS LOGINDISABLED"
        return f"{_CAPABILITIES} AUTH={self._mode.value.upper()}"

    async def _authenticate(self, rest: str) -> str:
        mechanism, _, initial = rest.partition(" ")
        if mechanism.upper() != self._mode.value.upper():
            raise _No("[CANNOT] unsupported mechanism")
        if not initial:
            await self._wire.send("+ \r\n")
            initial = (await self._wire.line(8192)).decode("ascii", "replace").strip()
        try:
            answer = base64.b64decode(initial if initial != "=" else "", validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            raise _Bad("cannot decode the response") from None
        mailbox, secret = credentials(self._mode, answer)
        if not self._operator.check_reader(self._mode, mailbox, secret, self._wire):
            if self._mode is AuthMode.XOAUTH2:
                explained = base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode()
                await self._wire.send(f"+ {explained}\r\n")
                await self._wire.line(8192)
            raise _No("[AUTHENTICATIONFAILED] Authentication failed.")
        self._mailbox = mailbox
        return "OK authenticated"

    async def _select(self, rest: str) -> str:
        self._folder = _name(rest)
        self._operator.boxes.note_opened(self._mailbox)
        mails = self._mails()
        self._told = len(mails)
        next_uid = max((m.uid for m in mails), default=0) + 1
        await self._wire.send(
            f"* FLAGS (\\Seen \\Deleted)\r\n* {len(mails)} EXISTS\r\n* 0 RECENT\r\n"
            f"* OK [UIDVALIDITY {self._operator.boxes.uid_validity}] valid\r\n* OK [UIDNEXT {next_uid}] next\r\n"
        )
        return "OK [READ-WRITE] SELECT completed"

    def _mails(self) -> list[BoxMail]:
        return self._operator.boxes.content(self._mailbox, self._folder)

    def _chosen(self, numbers: str) -> list[BoxMail]:
        mails = self._mails()
        highest = max((m.uid for m in mails), default=0)
        return [m for m in mails if any(low <= m.uid <= high for low, high in _ranges(numbers, highest))]

    async def _search(self, rest: str) -> str:
        words = rest.upper().split()
        found: Iterable[BoxMail] = self._mails()
        while words:
            word = words.pop(0)
            if word == "UID" and words:
                chosen = {m.uid for m in self._chosen(words.pop(0))}
                found = [m for m in found if m.uid in chosen]
            elif word == "UNDELETED":
                found = [m for m in found if "\\DELETED" not in m.flags]
            elif word == "UNSEEN":
                found = [m for m in found if "\\SEEN" not in m.flags]
            elif word != "ALL":
                raise _Bad(f"SEARCH {word} is not known here")
        numbers = "".join(f" {m.uid}" for m in found)
        await self._wire.send(f"* SEARCH{numbers}\r\n")
        return "OK SEARCH completed"

    async def _fetch(self, numbers: str, wanted: str) -> str:
        words = set(wanted.strip("()").upper().split())
        if words - {"UID", "RFC822.SIZE", "BODY.PEEK[]", "FLAGS"}:
            raise _Bad("FETCH item not known here")
        order = {m.uid: n for n, m in enumerate(self._mails(), 1)}
        for mail in self._chosen(numbers):
            data = mail.load() if words & {"RFC822.SIZE", "BODY.PEEK[]"} else b""
            if not data and words & {"RFC822.SIZE", "BODY.PEEK[]"}:
                continue
            items = [f"UID {mail.uid}"]
            if "FLAGS" in words:
                items.append(f"FLAGS ({' '.join(sorted(mail.flags))})")
            if "RFC822.SIZE" in words:
                items.append(f"RFC822.SIZE {len(data)}")
            head = f"* {order[mail.uid]} FETCH ({' '.join(items)}"
            if "BODY.PEEK[]" in words:
                await self._wire.send_bytes(f"{head} BODY[] {{{len(data)}}}\r\n".encode() + data + b")\r\n")
            else:
                await self._wire.send(f"{head})\r\n")
        return "OK FETCH completed"

    async def _store(self, numbers: str, rest: str) -> str:
        how, _, flags = rest.partition(" ")
        if how.upper() not in ("+FLAGS", "+FLAGS.SILENT"):
            raise _Bad("only +FLAGS is known here")
        for mail in self._chosen(numbers):
            mail.flags |= {f.upper() for f in _FLAGS.findall(flags)}
        return "OK STORE completed"

    async def _move(self, numbers: str, folder: str) -> str:
        order = [m.uid for m in self._mails()]
        chosen = self._chosen(numbers)
        for mail in chosen:
            mail.folder = _name(folder)
        for mail in reversed(chosen):
            await self._wire.send(f"* {order.index(mail.uid) + 1} EXPUNGE\r\n")
        self._told -= len(chosen)
        return "OK MOVE completed"

    async def _tell(self) -> None:
        if self._folder and (count := len(self._mails())) > self._told:
            self._told = count
            await self._wire.send(f"* {count} EXISTS\r\n")

    async def _idle(self) -> str:
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()

        def tell() -> None:
            loop.call_soon_threadsafe(arrived.set)

        stop = self._operator.boxes.watch(self._mailbox, tell)
        await self._wire.send("+ idling\r\n")
        done = loop.create_task(self._wire.line())
        try:
            while not done.done():
                await self._tell()
                arrived.clear()
                waiting = loop.create_task(arrived.wait())
                await asyncio.wait({done, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
        finally:
            stop()
            done.cancel()
        if done.cancelled() or (await done).strip().upper() != b"DONE":
            raise Closed
        return "OK IDLE completed"


def _name(text: str) -> str:
    return text.strip().strip('"')


def _ranges(numbers: str, highest: int) -> list[tuple[int, int]]:
    out = []
    for part in numbers.split(","):
        low, _, high = part.partition(":")
        ends = [highest if end == "*" else int(end) if end.isdecimal() else -1 for end in (low, high or low)]
        if min(ends) < 0:
            raise _Bad("not a set of identifiers")
        out.append((min(ends), max(ends)))
    return out
