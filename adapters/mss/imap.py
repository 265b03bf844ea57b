"""Read a mailbox over IMAP: STARTTLS or nothing, nothing marked before it is kept, identifiers that survive a rebuild.

The standard library's client, in a thread: it has STARTTLS and answers a refused XOAUTH2 token correctly. What goes
wrong comes out in the vocabulary of :mod:`adapters.mss.outcomes`.
"""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from adapters.mss import outcomes
from adapters.mss.client import AuthMode, TokenSource
from adapters.mss.outcomes import Outcome, Phase

__all__ = ["Fetched", "ImapAccount", "ImapFailed", "ImapMailbox", "Mailbox", "Position"]

_T = TypeVar("_T")
_UIDS = re.compile(rb"\d+")
_SIZE = re.compile(rb"UID (\d+)[^)]*RFC822\.SIZE (\d+)|RFC822\.SIZE (\d+)[^)]*UID (\d+)")
_NAMED = re.compile(rb"\bUID (\d+)\b")
#: Octets under which mails are fetched several at once.
_SMALL = 64 * 1024
_FOLDER = re.compile(r"[A-Za-z0-9._ -]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImapAccount:
    """One mailbox at an operator, and how to read it."""

    host: str
    port: int = 143
    mailbox: str
    #: own trust store (IGC-Santé), client certificate when the operator wants one, TLS 1.2 at least
    ssl_context: ssl.SSLContext = field(repr=False)
    auth: AuthMode = AuthMode.EXTERNAL
    password: str = field(default="", repr=False)  #: PLAIN only
    implicit_tls: bool = False  #: TLS from the first byte (993), where an operator offers only that
    timeout: float = 30.0  #: seconds for each answer
    max_bytes: int = 25 * 1024 * 1024  #: a larger mail is not fetched


class ImapFailed(Exception):
    """The mailbox could not be read; the outcome says why and what to do."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(outcome.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a mailbox was read. When the validity changes, identifiers start anew and everything is seen again."""

    uid_validity: int = 0
    last_uid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A mail as the server holds it; ``data`` is None when it is over the limit and was left there."""

    uid: int
    uid_validity: int
    size: int
    data: bytes | None = field(repr=False)

    @property
    def position(self) -> Position:
        """How far the mailbox is read once this mail is kept."""
        return Position(uid_validity=self.uid_validity, last_uid=self.uid)


class Mailbox(Protocol):
    """What a reader of mail needs of a mailbox; IMAP offers it, and so does the simulator."""

    async def fetch(self, after: Position, *, limit: int = 50) -> list[Fetched]:
        """The mails that follow a position, oldest first, at most ``limit``."""
        ...

    async def settle(self, *mails: Fetched, folder: str) -> None:
        """Mark mails as read and move them to a folder; only after they were kept durably."""
        ...

    async def wait(self, seconds: float) -> bool:
        """Wait until something arrives, at most so long; True when something may have arrived."""
        ...

    async def close(self) -> None:
        """Leave the mailbox."""
        ...


class ImapMailbox:
    """A mailbox on a real server. One connection, opened again when it is lost."""

    def __init__(
        self, account: ImapAccount, *, token: TokenSource | None = None, executor: Executor | None = None
    ) -> None:
        if account.auth is AuthMode.XOAUTH2 and token is None:
            raise ValueError("XOAUTH2 needs a source of access tokens")
        if account.ssl_context.verify_mode is not ssl.CERT_REQUIRED or not account.ssl_context.check_hostname:
            raise ValueError("the TLS context must verify the server's certificate and name")
        self.account = account
        self._token = token
        self._executor = executor  # where the blocking dialogue runs; the loop's own by default
        self._imap: imaplib.IMAP4 | None = None
        self._uid_validity = 0
        self._folders: set[str] = set()
        self._capabilities: frozenset[str] = frozenset()
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> ImapMailbox:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def fetch(self, after: Position, *, limit: int = 50) -> list[Fetched]:
        """See :class:`Mailbox`. Raises :class:`ImapFailed`."""
        return await self._with(lambda imap: self._fetch(imap, after, limit))

    async def settle(self, *mails: Fetched, folder: str) -> None:
        """See :class:`Mailbox`; does nothing when the server's identifiers have changed meanwhile."""
        if not _FOLDER.fullmatch(folder):
            raise ValueError("a folder name is plain ASCII")
        await self._with(lambda imap: self._settle(imap, mails, folder))

    async def wait(self, seconds: float) -> bool:
        """See :class:`Mailbox`: by IDLE where the server has it, else one NOOP at the end of the time."""
        # Renewed well under the half hour after which servers hang up (RFC 2177).
        return await self._with(lambda imap: self._wait(imap, min(seconds, 28 * 60)))

    async def close(self) -> None:
        """Say goodbye."""
        async with self._lock:
            imap, self._imap = self._imap, None
            if imap is not None:
                await self._thread(lambda: _logout(imap))

    def abort(self) -> None:
        """Hang up at once; whatever is under way in a thread ends with :class:`ImapFailed`."""
        imap = self._imap
        if imap is not None:
            with contextlib.suppress(OSError):
                imap.sock.shutdown(socket.SHUT_RDWR)

    # In the thread

    async def _thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def _with(self, work: Callable[[imaplib.IMAP4], _T]) -> _T:
        async with self._lock:
            if self._imap is None:
                token = await self._token() if self._token is not None else ""
                try:
                    self._imap = await self._thread(lambda: self._open(token))
                except ImapFailed as refused:
                    if self._token is None or refused.outcome.code != "MSS-OUT-TOKEN":
                        raise
                    # One fresh token, never a password (ECO.1.2.7).
                    again = await self._token()
                    self._imap = await self._thread(lambda: self._open(again))
            imap = self._imap
            try:
                return await self._thread(lambda: _guarded(Phase.DATA, lambda: work(imap)))
            except BaseException:
                # Half a dialogue: the next answer would be misread.
                self._imap = None
                _hang_up(imap)
                raise

    def _open(self, token: str) -> imaplib.IMAP4:
        account = self.account
        context = account.ssl_context
        if account.implicit_tls:
            imap: imaplib.IMAP4 = _guarded(
                Phase.STARTTLS,
                lambda: imaplib.IMAP4_SSL(account.host, account.port, ssl_context=context, timeout=account.timeout),
            )
        else:
            imap = _guarded(Phase.CONNECT, lambda: imaplib.IMAP4(account.host, account.port, timeout=account.timeout))
        try:
            if not account.implicit_tls:
                if "STARTTLS" not in imap.capabilities:
                    raise ImapFailed(outcomes.local("no_starttls", phase=Phase.STARTTLS))
                _guarded(Phase.STARTTLS, lambda: imap.starttls(context))
            _guarded(Phase.AUTH, lambda: self._login(imap, token))
            _guarded(Phase.DATA, lambda: self._select(imap))
            self._folders.clear()
        except BaseException:
            _hang_up(imap)
            raise
        return imap

    def _login(self, imap: imaplib.IMAP4, token: str) -> None:
        account = self.account
        if account.auth is AuthMode.NONE:
            # The certificate may have opened the mailbox already; else the mailbox is named as EXTERNAL does.
            if imap.state != "AUTH":
                imap.authenticate("EXTERNAL", lambda _: account.mailbox.encode("ascii"))
        elif account.auth is AuthMode.EXTERNAL:
            imap.authenticate("EXTERNAL", lambda _: account.mailbox.encode("ascii"))
        elif account.auth is AuthMode.PLAIN:
            secret = f"\0{account.mailbox}\0{account.password}".encode()
            imap.authenticate("PLAIN", lambda _: secret)
        else:
            initial = f"user={account.mailbox}\x01auth=Bearer {token}\x01\x01".encode("ascii")
            # A refusal comes as a challenge, to be answered with an empty line.
            answers = iter((initial, b""))
            imap.authenticate("XOAUTH2", lambda _: next(answers, b""))

    def _select(self, imap: imaplib.IMAP4) -> None:
        # A server says more once it knows who asks, and the library only remembers what it said before.
        said = b" ".join(line for line in _ok(imap.capability()) if line)
        self._capabilities = frozenset(said.decode("ascii", "replace").upper().split())
        _ok(imap.select("INBOX"))
        validity = imap.response("UIDVALIDITY")[1]
        self._uid_validity = int(validity[-1] or 0) if validity else 0

    def _fetch(self, imap: imaplib.IMAP4, after: Position, limit: int) -> list[Fetched]:
        _ok(imap.noop())
        imap.response("EXISTS")  # forgotten: what arrives from here on is told by the next one
        first = after.last_uid + 1 if after.uid_validity == self._uid_validity else 1
        found = _ok(imap.uid("SEARCH", "UNDELETED", "UID", f"{first}:*"))
        # "n:*" always names the last mail, even when its identifier is under n.
        uids = sorted(uid for line in found if line for uid in map(int, _UIDS.findall(line)) if uid >= first)[:limit]
        if not uids:
            return []
        sizes = self._sizes(imap, uids)
        out = []
        small = [uid for uid in uids if sizes.get(uid, _SMALL) < _SMALL]
        bodies = self._bodies(imap, small) if len(small) > 1 else {}
        for uid in uids:
            size = sizes.get(uid)
            if size is None:
                continue  # gone meanwhile
            data = (bodies.get(uid) or self._body(imap, uid)) if size <= self.account.max_bytes else None
            if data is None and size <= self.account.max_bytes:
                continue
            out.append(Fetched(uid=uid, uid_validity=self._uid_validity, size=size, data=data))
        return out

    def _sizes(self, imap: imaplib.IMAP4, uids: list[int]) -> dict[int, int]:
        sizes: dict[int, int] = {}
        for line in _ok(imap.uid("FETCH", ",".join(map(str, uids)), "(UID RFC822.SIZE)")):
            match = _SIZE.search(line) if isinstance(line, bytes) else None
            if match is not None:
                uid, size = (match[1], match[2]) if match[1] else (match[4], match[3])
                sizes[int(uid)] = int(size)
        return sizes

    def _body(self, imap: imaplib.IMAP4, uid: int) -> bytes | None:
        # PEEK: nothing is marked as read before it is kept.
        for item in _ok(imap.uid("FETCH", str(uid), "(UID BODY.PEEK[])")):
            if isinstance(item, tuple) and len(item) > 1:
                return bytes(item[1])
        return None

    def _bodies(self, imap: imaplib.IMAP4, uids: list[int]) -> dict[int, bytes]:
        """Small mails in one answer, as notices are; those that cannot be told apart are left to be asked for alone."""
        out: dict[int, bytes] = {}
        for item in _ok(imap.uid("FETCH", ",".join(map(str, uids)), "(UID BODY.PEEK[])")):
            named = _NAMED.search(item[0]) if isinstance(item, tuple) and len(item) > 1 else None
            if named is not None:
                out[int(named[1])] = bytes(item[1])
        return out

    def _settle(self, imap: imaplib.IMAP4, mails: Sequence[Fetched], folder: str) -> None:
        uid = ",".join(str(mail.uid) for mail in mails if mail.uid_validity == self._uid_validity)
        if not uid:
            return
        _ok(imap.uid("STORE", uid, "+FLAGS.SILENT", "(\\Seen)"))
        if folder not in self._folders:
            imap.create(f'"{folder}"')  # answers NO when it is there already
            self._folders.add(folder)
        if "MOVE" in self._capabilities:
            _ok(imap.uid("MOVE", uid, f'"{folder}"'))
            return
        _ok(imap.uid("COPY", uid, f'"{folder}"'))
        _ok(imap.uid("STORE", uid, "+FLAGS.SILENT", "(\\Deleted)"))
        if "UIDPLUS" in self._capabilities:
            # Without UIDPLUS an EXPUNGE would take away what somebody else marked: the mail stays, marked.
            _ok(imap.uid("EXPUNGE", uid))

    def _wait(self, imap: imaplib.IMAP4, seconds: float) -> bool:
        if self._arrived(imap):
            return True
        if "IDLE" not in self._capabilities:
            select.select([], [], [], seconds)
            return self._arrived(imap)
        tag = imap._new_tag()
        imap.send(tag + b" IDLE\r\n")
        arrived = False
        while not (line := imap.readline()).startswith(b"+"):
            if not line or line.startswith(tag):
                raise imaplib.IMAP4.abort("IDLE refused")
            arrived = arrived or b"EXISTS" in line
        deadline = time.monotonic() + seconds
        while not arrived and (left := deadline - time.monotonic()) > 0:
            if _readable(imap, left):
                line = imap.readline()
                if not line:
                    raise imaplib.IMAP4.abort("connection lost")
                arrived = b"EXISTS" in line
        imap.send(b"DONE\r\n")
        while not (line := imap.readline()).startswith(tag):
            if not line:
                raise imaplib.IMAP4.abort("connection lost")
            arrived = arrived or b"EXISTS" in line
        return arrived

    def _arrived(self, imap: imaplib.IMAP4) -> bool:
        """True when the server told of a new mail since the last fetch."""
        _ok(imap.noop())
        return bool(imap.untagged_responses.get("EXISTS"))


def _readable(imap: imaplib.IMAP4, seconds: float) -> bool:
    # What TLS has already decrypted does not show on the socket.
    sock = imap.socket()
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return True
    return bool(select.select([sock], [], [], seconds)[0])


def _ok(answer: tuple[str, Any]) -> list[Any]:
    kind, data = answer
    if kind != "OK":
        text = data[-1] if data else b""
        raise imaplib.IMAP4.error(text.decode("utf-8", "replace") if isinstance(text, bytes) else kind)
    return list(data)


def _logout(imap: imaplib.IMAP4) -> None:
    with contextlib.suppress(imaplib.IMAP4.error, OSError):
        imap.logout()
    _hang_up(imap)


def _hang_up(imap: imaplib.IMAP4) -> None:
    with contextlib.suppress(OSError):
        imap.shutdown()


@contextlib.contextmanager
def _translated(phase: Phase) -> Iterator[None]:
    """Turn whatever goes wrong inside into :class:`ImapFailed`."""
    try:
        yield
    except ImapFailed:
        raise
    except ssl.SSLCertVerificationError as exc:
        outcome = outcomes.local("server_certificate", phase=phase, error=exc, text=exc.verify_message)
        raise ImapFailed(outcome) from exc
    except ssl.SSLError as exc:
        reason = "client_certificate" if "CERTIFICATE" in (exc.reason or "").upper() else "network"
        raise ImapFailed(outcomes.local(reason, phase=phase, error=exc, text=exc.reason or "")) from exc
    except imaplib.IMAP4.abort as exc:
        # The connection ended; right after the handshake that is how a refused client certificate looks (2.2).
        lost = Phase.AFTER_STARTTLS if phase is Phase.STARTTLS else phase
        raise ImapFailed(outcomes.lost(lost, exc)) from exc
    except imaplib.IMAP4.error as exc:
        raise ImapFailed(_refusal(str(exc), phase)) from exc
    except OSError as exc:
        raise ImapFailed(outcomes.lost(phase, exc)) from exc


def _guarded(phase: Phase, work: Callable[[], _T]) -> _T:
    with _translated(phase):
        return work()


def _refusal(text: str, phase: Phase) -> Outcome:
    """A NO or BAD: at login it is certificate or token, later the mailbox."""
    if phase is Phase.AUTH:
        reason = "client_certificate" if "certificate" in text.lower() else "token"
        return outcomes.local(reason, phase=phase, text=text)
    return outcomes.reply(451, text, phase)
