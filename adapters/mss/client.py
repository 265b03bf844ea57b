"""Hand mails to the operator: SMTP submission over STARTTLS, connections reused, one outcome a recipient.

Nothing is ever sent in clear. What an answer or a lost connection means is in :mod:`adapters.mss.outcomes`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException, SMTPResponseException
from aiosmtplib.errors import SMTPServerDisconnected

from adapters.mss import outcomes
from adapters.mss.message import OutgoingMail
from adapters.mss.outcomes import Kind, Outcome, Phase

__all__ = ["AuthMode", "MssAccount", "MssClient", "Recorder", "SendResult"]

TokenSource = Callable[[], Awaitable[str]]


class AuthMode(StrEnum):
    """What the operator asks for after the TLS handshake."""

    NONE = "none"  #: the client certificate is enough (applicative mailbox)
    EXTERNAL = "external"  #: SASL EXTERNAL, the mailbox as authorization identity
    PLAIN = "plain"
    XOAUTH2 = "xoauth2"  #: a Pro Santé Connect access token (personal and organisational mailboxes)


@dataclass(frozen=True, slots=True, kw_only=True)
class MssAccount:
    """One mailbox at an operator, and how to send from it."""

    host: str
    port: int = 587
    mailbox: str
    #: own trust store (IGC-Santé), client certificate when the operator wants one, TLS 1.2 at least
    ssl_context: ssl.SSLContext = field(repr=False)
    auth: AuthMode = AuthMode.NONE
    password: str = field(default="", repr=False)  #: PLAIN only
    local_hostname: str = "localhost"  #: name given in EHLO
    implicit_tls: bool = False  #: TLS from the first byte (465), where an operator offers only that
    timeout: float = 60.0  #: seconds for each answer
    max_connections: int = 2
    max_idle: float = 60.0  #: seconds before an unused connection is no longer trusted
    max_messages: int = 500  #: messages over one connection


class Recorder(Protocol):
    """Keeps evidence of exchanges (ECO.4.1.1): who, when, what was asked, what was answered, failures included."""

    def __call__(self, *, mailbox: str, message_id: str, action: str, answer: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResult:
    """What became of one attempt, recipient by recipient."""

    outcomes: dict[str, Outcome] = field(repr=False)
    dsn_requested: bool = False  #: the operator announced DSN, so notices will come
    server_text: str = ""  #: the operator's words after the final dot, with its queue id

    @property
    def worst(self) -> Outcome:
        """The outcome that decides what the sending as a whole needs next."""
        order = [Kind.OPERATOR, Kind.UNCERTAIN, Kind.RETRY, Kind.REFUSED, Kind.ACCEPTED]
        return min(self.outcomes.values(), key=lambda o: order.index(o.kind))


class _Failed(Exception):
    """The attempt ended before any recipient was judged."""

    def __init__(self, outcome: Outcome, *, lost: bool = False) -> None:
        self.outcome = outcome
        self.lost = lost  #: the connection is gone, or no longer to be used
        super().__init__(outcome.code)


class _Connection:
    __slots__ = ("_transports", "messages", "smtp", "used_at")

    def __init__(self, smtp: SMTP) -> None:
        self.smtp = smtp
        self.messages = 0
        self.used_at = time.monotonic()
        self._transports: list[asyncio.BaseTransport] = []

    def keep(self) -> None:
        """Remember the transport in use: the library forgets it at the first error."""
        if self.smtp.transport is not None:
            self._transports.append(self.smtp.transport)

    def hang_up(self) -> None:
        """End the connection at once; a graceful TLS farewell could wait for a peer that is gone."""
        for transport in reversed(self._transports):
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        self.smtp.close()


class MssClient:
    """Sends mails from one mailbox; safe to share between tasks of one event loop."""

    def __init__(
        self, account: MssAccount, *, token: TokenSource | None = None, recorder: Recorder | None = None
    ) -> None:
        if account.auth is AuthMode.XOAUTH2 and token is None:
            raise ValueError("XOAUTH2 needs a source of access tokens")
        if account.ssl_context.verify_mode is not ssl.CERT_REQUIRED or not account.ssl_context.check_hostname:
            raise ValueError("the TLS context must verify the server's certificate and name")
        self.account = account
        self._token = token
        self._recorder = recorder
        self._idle: list[_Connection] = []
        self._slots = asyncio.Semaphore(account.max_connections)

    async def __aenter__(self) -> MssClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Say goodbye on every idle connection."""
        while self._idle:
            await self._quit(self._idle.pop())
        await asyncio.sleep(0)  # lets the loop close the sockets that were hung up

    async def send(self, mail: OutgoingMail, recipients: Sequence[str] | None = None) -> SendResult:
        """Send one mail, to all its recipients or to those given (the ones still due after a partial success).

        Never raises for what the operator or the network does: every recipient has an outcome.
        """
        due = tuple(recipients if recipients is not None else mail.recipients)
        if not due:
            raise ValueError("no recipient")
        async with self._slots:
            try:
                return await self._attempt(mail, due)
            except _Failed as failed:
                self._record(mail, "connect", failed.outcome)
                return SendResult(outcomes=dict.fromkeys(due, failed.outcome))

    async def _attempt(self, mail: OutgoingMail, due: Sequence[str]) -> SendResult:
        connection = self._take_idle()
        if connection is not None:
            try:
                return await self._dialogue(connection, mail, due)
            except _Failed as failed:
                # An idle connection may have been closed by the server meanwhile: nothing was sent, connect anew.
                if not failed.lost:
                    raise
        return await self._dialogue(await self._connect(), mail, due)

    async def _dialogue(self, connection: _Connection, mail: OutgoingMail, due: Sequence[str]) -> SendResult:
        try:
            await self._mail_from(connection.smtp, mail)
            result = await self._envelope_and_data(connection.smtp, mail, due)
        except _Failed as failed:
            if failed.lost:
                connection.hang_up()
            else:
                await self._put_back(connection)
            raise
        except BaseException:
            # Cancelled in the middle of a dialogue: this connection's next answer would be misread.
            connection.hang_up()
            raise
        await self._put_back(connection)
        return result

    # Connections

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            fresh = time.monotonic() - connection.used_at < self.account.max_idle
            if fresh and connection.smtp.is_connected:
                return connection
            connection.hang_up()
        return None

    async def _put_back(self, connection: _Connection) -> None:
        connection.messages += 1
        connection.used_at = time.monotonic()
        if not connection.smtp.is_connected:
            connection.hang_up()
        elif connection.messages >= self.account.max_messages:
            await self._quit(connection)
        else:
            self._idle.append(connection)

    async def _quit(self, connection: _Connection) -> None:
        with contextlib.suppress(SMTPException, OSError):
            await connection.smtp.quit(timeout=5)
        connection.hang_up()

    async def _connect(self) -> _Connection:
        account = self.account
        smtp = SMTP(
            hostname=account.host,
            port=account.port,
            use_tls=account.implicit_tls,
            # STARTTLS is ours to ask for: the library's automatic mode would go on in clear without it.
            start_tls=False,
            tls_context=account.ssl_context,
            local_hostname=account.local_hostname,
            timeout=account.timeout,
        )
        connection = _Connection(smtp)
        try:
            async with _phase(Phase.CONNECT):
                await smtp.connect()
            connection.keep()
            raw = smtp.get_transport_info("socket")
            if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
                # Small commands must not wait for the acknowledgement of the last one (40 ms each).
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not account.implicit_tls:
                async with _phase(Phase.CONNECT):
                    await smtp.ehlo()
                if not smtp.supports_extension("starttls"):
                    raise _Failed(outcomes.local("no_starttls", phase=Phase.STARTTLS))
                async with _phase(Phase.STARTTLS):
                    await smtp.starttls()
                connection.keep()
            async with _phase(Phase.AFTER_STARTTLS):
                await smtp.ehlo()
            await self._authenticate(smtp)
        except BaseException:
            connection.hang_up()
            raise
        return connection

    async def _authenticate(self, smtp: SMTP) -> None:
        account = self.account
        if account.auth is AuthMode.NONE:
            return
        if account.auth.value not in smtp.server_auth_methods:
            raise _Failed(outcomes.reply(504, f"AUTH {account.auth.value.upper()} not announced", Phase.AUTH))
        async with _phase(Phase.AUTH):
            if account.auth is AuthMode.EXTERNAL:
                identity = base64.b64encode(account.mailbox.encode("ascii"))
                answer = await smtp.execute_command(b"AUTH", b"EXTERNAL", identity)
                if answer.code == 334:
                    answer = await smtp.execute_command(identity)
                if answer.code != 235:
                    raise SMTPAuthenticationError(answer.code, answer.message)
            elif account.auth is AuthMode.PLAIN:
                await smtp.auth_plain(account.mailbox, account.password)
            else:
                await self._xoauth2(smtp)

    async def _xoauth2(self, smtp: SMTP) -> None:
        if self._token is None:  # refused by the constructor
            raise SMTPException("no source of access tokens")
        try:
            # Access tokens live some two minutes: a fresh one a connection, never kept (ECO.1.2.5).
            await smtp.auth_xoauth2(self.account.mailbox, await self._token())
        except SMTPAuthenticationError as refused:
            if refused.code != 535:
                raise
            await smtp.auth_xoauth2(self.account.mailbox, await self._token())

    # One mail

    async def _mail_from(self, smtp: SMTP, mail: OutgoingMail) -> None:
        options: list[str] = []
        if smtp.supports_extension("size"):
            limit = smtp.esmtp_extensions.get("size", "").strip()
            if limit.isdigit() and 0 < int(limit) < mail.size:
                raise _Failed(outcomes.local("size", phase=Phase.MAIL, text=f"SIZE {limit}, message {mail.size}"))
            options.append(f"SIZE={mail.size}")
        if smtp.supports_extension("dsn"):
            options += ["RET=HDRS", f"ENVID={_xtext(mail.envelope_id)}"]
        async with _phase(Phase.MAIL):
            await smtp.mail(mail.sender, options=options)

    async def _envelope_and_data(self, smtp: SMTP, mail: OutgoingMail, due: Sequence[str]) -> SendResult:
        dsn = smtp.supports_extension("dsn")
        judged: dict[str, Outcome] = {}
        accepted: list[str] = []
        try:
            for address in due:
                options = ["NOTIFY=SUCCESS,FAILURE,DELAY", f"ORCPT=rfc822;{_xtext(address)}"] if dsn else []
                try:
                    async with _phase(Phase.RCPT):
                        await smtp.rcpt(address, options=options)
                except _Failed as failed:
                    if failed.lost:
                        raise  # no recipient is reached
                    judged[address] = failed.outcome
                    self._record(mail, "RCPT", failed.outcome)
                else:
                    accepted.append(address)
            if not accepted:
                with contextlib.suppress(SMTPException, OSError):
                    await smtp.rset()
                return SendResult(outcomes=judged, dsn_requested=dsn)
            final = await self._data(smtp, mail)
        except _Failed as failed:
            # Lost: what was judged stands, the others share the fate of the connection.
            smtp.close()
            final = failed.outcome
            accepted = [a for a in due if a not in judged]
        self._record(mail, "DATA", final)
        judged.update(dict.fromkeys(accepted, final))
        return SendResult(
            outcomes={a: judged[a] for a in due},
            dsn_requested=dsn,
            server_text=final.original_text if final.kind is Kind.ACCEPTED else "",
        )

    async def _data(self, smtp: SMTP, mail: OutgoingMail) -> Outcome:
        """Send the message itself; an answer with a code leaves the connection usable."""
        async with _phase(Phase.DATA):
            answer = await smtp.execute_command(b"DATA")
        if answer.code != 354:
            with contextlib.suppress(SMTPException, OSError):
                await smtp.rset()
            return outcomes.reply(answer.code, answer.message, Phase.DATA)
        protocol = smtp.protocol
        if protocol is None:
            raise _Failed(outcomes.lost(Phase.DATA, SMTPServerDisconnected("Connection lost")), lost=True)
        async with _phase(Phase.FINAL_DOT):
            # Built with CRLF throughout, so only leading dots need care (RFC 5321 4.5.2).
            protocol.write(_stuffed(mail.data))
            final = await protocol.read_response(timeout=self.account.timeout)
        if not 200 <= final.code < 300:
            return outcomes.reply(final.code, final.message, Phase.FINAL_DOT)
        return outcomes.sent(final.code, final.message)

    def _record(self, mail: OutgoingMail, action: str, outcome: Outcome) -> None:
        if self._recorder is not None:
            answer = f"{outcome.code} {outcome.original_code} {outcome.original_text}".strip()
            self._recorder(mailbox=self.account.mailbox, message_id=mail.message_id, action=action, answer=answer)


def _stuffed(data: bytes) -> bytes:
    body = data.replace(b"\r\n.", b"\r\n..")
    if body.startswith(b"."):
        body = b"." + body
    return body + (b".\r\n" if body.endswith(b"\r\n") else b"\r\n.\r\n")


def _xtext(text: str) -> str:
    """Encode an ESMTP parameter value (RFC 3461 4)."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text)


@contextlib.asynccontextmanager
async def _phase(phase: Phase) -> AsyncIterator[None]:
    """Turn whatever goes wrong inside into an outcome that knows the moment."""
    try:
        yield
    except SMTPResponseException as exc:
        if exc.code < 0:  # the library's mark for an answer it could not read
            raise _Failed(outcomes.lost(phase, exc), lost=True) from exc
        raise _Failed(outcomes.reply(exc.code, exc.message, phase), lost=exc.code == 421) from exc
    except ssl.SSLCertVerificationError as exc:
        outcome = outcomes.local("server_certificate", phase=phase, error=exc, text=exc.verify_message)
        raise _Failed(outcome, lost=True) from exc
    except ssl.SSLError as exc:
        reason = "client_certificate" if "CERTIFICATE" in (exc.reason or "").upper() else "network"
        raise _Failed(outcomes.local(reason, phase=phase, error=exc, text=exc.reason or ""), lost=True) from exc
    except (SMTPException, OSError) as exc:
        # Up to TLS 1.2 a server that refuses the client certificate resets the connection within the handshake (2.2).
        refused = phase is Phase.STARTTLS and isinstance(exc, SMTPServerDisconnected) and "upgrading" in str(exc)
        raise _Failed(outcomes.lost(Phase.AFTER_STARTTLS if refused else phase, exc), lost=True) from exc
