"""The SMTP side of the operator's simulator: STARTTLS or nothing, a client certificate, DSN, and faults at every step.

The delivery extension of RFC 3461 is part of the dialogue, which no Python server library offers.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import ssl
from dataclasses import dataclass, field
from typing import Protocol

from cryptography import x509

from adapters.mss.client import AuthMode
from adapters.mss.sandbox_wire import Closed, TlsUpgradeServer, Wire
from adapters.sandbox_base import Faults

__all__ = ["Envelope", "Operator", "Reply", "SmtpSettings", "credentials", "smtp_server"]

Reply = tuple[int, str]
_ADDRESS = re.compile(r"<([^<>\s]*)>((?: \S+)*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings:
    """How the simulated operator speaks."""

    hostname: str = "operateur.sandbox"
    max_bytes: int = 25 * 1024 * 1024
    max_recipients: int = 100
    auth: AuthMode = AuthMode.NONE
    dsn: bool = True  #: announce RFC 3461, as Postfix does


@dataclass(slots=True)
class Envelope:
    """One transaction: who sends to whom, with which delivery notices."""

    sender: str
    envelope_id: str = ""
    return_full: bool = False
    recipients: list[str] = field(default_factory=list)
    notify: dict[str, frozenset[str]] = field(default_factory=dict)
    mailbox: str = ""  #: authenticated mailbox, when there is an authentication
    certificate: x509.Certificate | None = None


class Operator(Protocol):
    """What the dialogue asks of the operator behind it; each answer is an SMTP reply."""

    faults: Faults
    connections: int

    def check_login(self, mode: AuthMode, mailbox: str, secret: str) -> bool: ...

    def check_sender(self, envelope: Envelope) -> Reply: ...

    def check_recipient(self, envelope: Envelope, address: str) -> Reply: ...

    def receive(self, envelope: Envelope, data: bytes) -> Reply: ...


def smtp_server(operator: Operator, context: ssl.SSLContext, settings: SmtpSettings) -> TlsUpgradeServer:
    """The submission service of an operator."""

    async def dialogue(wire: Wire) -> None:
        operator.connections += 1
        await _Dialogue(operator, context, settings, wire).run()

    return TlsUpgradeServer(dialogue)


class _Dialogue:
    """One connection, command by command (RFC 5321)."""

    def __init__(self, operator: Operator, context: ssl.SSLContext, settings: SmtpSettings, wire: Wire) -> None:
        self._operator = operator
        self._context = context
        self._settings = settings
        self._wire = wire
        self._greeted = False
        self._tls = False
        self._mailbox = ""
        self._certificate: x509.Certificate | None = None
        self._envelope: Envelope | None = None
        self._commands = {
            "EHLO": self._ehlo,
            "HELO": self._ehlo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": self._noop,
        }

    async def run(self) -> None:
        if self._operator.faults.take("CONNECT", "unavailable") is not None:
            await self._say(421, "4.3.2 Service not available")
            return
        await self._say(220, f"{self._settings.hostname} ESMTP")
        while True:
            try:
                line = (await self._wire.line()).decode("ascii").removesuffix("\r\n")
            except UnicodeDecodeError:
                await self._say(500, "5.5.2 Commands are ASCII")
                continue
            verb, _, argument = line.partition(" ")
            verb = verb.upper()
            if verb == "QUIT":
                await self._say(221, "2.0.0 Bye")
                return
            slow = self._operator.faults.take(verb, "slow_bytes")
            self._wire.byte_delay = slow.number("seconds", 0.02) if slow is not None else 0.0
            handler = self._commands.get(verb)
            if handler is None:
                await self._say(502, "5.5.1 Command not implemented")
            elif not self._tls and verb not in ("EHLO", "HELO", "STARTTLS", "NOOP"):
                await self._say(530, "5.7.0 Must issue a STARTTLS command first")
            else:
                await handler(argument)

    async def _say(self, code: int, text: str) -> None:
        await self._wire.send(f"{code} {text}\r\n")

    async def _ehlo(self, argument: str) -> None:
        if not argument.strip():
            await self._say(501, "5.5.4 EHLO needs a name")
            return
        self._greeted = True
        self._envelope = None
        lines = [self._settings.hostname, "ENHANCEDSTATUSCODES", "PIPELINING"]
        if not self._tls:
            if self._operator.faults.take("EHLO", "no_starttls") is None:
                lines.append("STARTTLS")
        else:
            lines += [f"SIZE {self._settings.max_bytes}", "8BITMIME"]
            if self._settings.dsn:
                lines.append("DSN")
            if self._settings.auth is not AuthMode.NONE:
                lines.append(f"AUTH {self._settings.auth.value.upper()}")
        text = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
        await self._wire.send(text)

    async def _starttls(self, argument: str) -> None:
        if self._tls:
            await self._say(503, "5.5.1 TLS already active")
            return
        if argument:
            await self._say(501, "5.5.4 No parameters allowed")
            return
        await self._say(220, "2.0.0 Ready to start TLS")
        await self._wire.start_tls(self._context)
        if self._operator.faults.take("STARTTLS", "eof_after_starttls") is not None:
            raise Closed
        self._tls = True
        self._greeted = False
        self._envelope = None
        self._certificate = self._wire.peer()

    async def _auth(self, argument: str) -> None:
        mode, _, initial = argument.partition(" ")
        if mode.upper() != self._settings.auth.value.upper() or self._settings.auth is AuthMode.NONE:
            await self._say(504, "5.5.4 Unrecognized authentication type")
            return
        if not initial:
            await self._say(334, "")
            initial = (await self._wire.line()).decode("ascii", "replace").strip()
        try:
            answer = base64.b64decode(initial if initial != "=" else "", validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            await self._say(501, "5.5.2 Cannot decode the response")
            return
        mailbox, secret = credentials(self._settings.auth, answer)
        if self._operator.check_login(self._settings.auth, mailbox, secret):
            self._mailbox = mailbox
            await self._say(235, "2.7.0 Authentication successful")
            return
        if self._settings.auth is AuthMode.XOAUTH2:
            # The client must answer the explanation with an empty line before it gets its 535.
            await self._say(334, base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode())
            await self._wire.line()
        await self._say(535, "5.7.8 Authentication credentials invalid")

    async def _mail(self, argument: str) -> None:
        if not self._greeted:
            await self._say(503, "5.5.1 Send EHLO first")
            return
        if self._settings.auth is not AuthMode.NONE and not self._mailbox:
            await self._say(530, "5.7.0 Authentication required")
            return
        if self._envelope is not None:
            await self._say(503, "5.5.1 Nested MAIL command")
            return
        parsed = _path(argument, "FROM:")
        if parsed is None:
            await self._say(501, "5.5.4 Syntax: MAIL FROM:<address>")
            return
        sender, parameters = parsed
        size = parameters.get("SIZE", "0")
        if not size.isdigit() or int(size) > self._settings.max_bytes:
            await self._say(552, "5.3.4 Message size exceeds fixed limit")
            return
        if parameters.keys() - {"SIZE", "BODY", "RET", "ENVID"}:
            await self._say(555, "5.5.4 Unsupported option")
            return
        envelope = Envelope(
            sender=sender,
            envelope_id=_decode_xtext(parameters.get("ENVID", "")),
            return_full=parameters.get("RET", "").upper() == "FULL",
            mailbox=self._mailbox,
            certificate=self._certificate,
        )
        if (faulty := self._fault("MAIL")) is not None:
            await self._say(*faulty)
            return
        code, text = self._operator.check_sender(envelope)
        if code == 250:
            self._envelope = envelope
        await self._say(code, text)

    async def _rcpt(self, argument: str) -> None:
        if self._envelope is None:
            await self._say(503, "5.5.1 Need MAIL command")
            return
        parsed = _path(argument, "TO:")
        if parsed is None or not parsed[0]:
            await self._say(501, "5.5.4 Syntax: RCPT TO:<address>")
            return
        address, parameters = parsed
        if parameters.keys() - {"NOTIFY", "ORCPT"}:
            await self._say(555, "5.5.4 Unsupported option")
            return
        if len(self._envelope.recipients) >= self._settings.max_recipients:
            await self._say(452, "4.5.3 Too many recipients")
            return
        if (faulty := self._fault("RCPT")) is not None:
            await self._say(*faulty)
            return
        code, text = self._operator.check_recipient(self._envelope, address)
        if code == 250:
            self._envelope.recipients.append(address)
            self._envelope.notify[address] = frozenset(parameters.get("NOTIFY", "").upper().split(",")) - {""}
        await self._say(code, text)

    async def _data(self, argument: str) -> None:
        envelope = self._envelope
        if envelope is None or not envelope.recipients:
            await self._say(503, "5.5.1 Need RCPT command")
            return
        await self._say(354, "End data with <CR><LF>.<CR><LF>")
        data = await self._wire.message(self._settings.max_bytes)
        self._envelope = None
        if self._operator.faults.take("DATA", "reset_in_data") is not None:
            self._wire.abort()
            raise Closed
        if data is None:
            await self._say(552, "5.3.4 Message size exceeds fixed limit")
            return
        if (faulty := self._fault("DATA")) is not None:
            await self._say(*faulty)
            return
        code, text = self._operator.receive(envelope, data)
        if code == 250 and self._operator.faults.take("DATA", "reset_after_dot") is not None:
            self._wire.abort()  # kept, but the answer is lost
            raise Closed
        if code == 250 and (silent := self._operator.faults.take("DATA", "silent_after_dot")) is not None:
            await asyncio.sleep(silent.number("seconds", 60))
        await self._say(code, text)

    async def _rset(self, argument: str) -> None:
        self._envelope = None
        await self._say(250, "2.0.0 Ok")

    async def _noop(self, argument: str) -> None:
        await self._say(250, "2.0.0 Ok")

    def _fault(self, verb: str) -> Reply | None:
        fault = self._operator.faults.take(verb, "4xx", "5xx", *(("greylisting", "quota") if verb == "RCPT" else ()))
        if fault is None:
            return None
        if fault.name == "greylisting":
            return 450, "4.2.0 Greylisted, try again in 5 minutes"
        if fault.name == "quota":
            return int(fault.number("code", 552)), "5.2.2 Mailbox full"
        default = 451 if fault.name == "4xx" else 550
        family = "4.3.0" if fault.name == "4xx" else "5.7.1"
        text = str(fault.parameters.get("text", f"{family} Fault asked of the simulator"))
        return int(fault.number("code", default)), " ".join(text.split())


def _path(argument: str, keyword: str) -> tuple[str, dict[str, str]] | None:
    if argument[: len(keyword)].upper() != keyword:
        return None
    match = _ADDRESS.fullmatch(argument[len(keyword) :].strip())
    if match is None or not match[1].isascii():
        return None
    parameters: dict[str, str] = {}
    for parameter in match[2].split():
        name, _, value = parameter.partition("=")
        parameters[name.upper()] = value
    return match[1], parameters


def credentials(mode: AuthMode, answer: str) -> tuple[str, str]:
    """Take mailbox and secret out of a decoded SASL response."""
    if mode is AuthMode.XOAUTH2:
        fields = dict(part.partition("=")[::2] for part in answer.split("\x01") if part)
        return fields.get("user", ""), fields.get("auth", "").removeprefix("Bearer ")
    if mode is AuthMode.PLAIN:
        parts = answer.split("\x00")
        return (parts[1], parts[2]) if len(parts) == 3 else ("", "")
    return answer, ""


def _decode_xtext(text: str) -> str:
    return re.sub(r"\+([0-9A-F]{2})", lambda m: chr(int(m.group(1), 16)), text)
