"""One pooled connection to one environment of the DMP: sends an envelope, gives an envelope or an outcome.

Redirects are never followed, the environment's proxies and certificates never read, no answer is read past its limit,
and nothing hangs longer than its timeout. Whether a failure came before or after the request left decides what may be
done next.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from adapters.dmp.envelope import Envelope, NotSoap, read_envelope
from adapters.dmp.mtom import MtomError, Package, content_type_parameters, read
from adapters.dmp.outcomes import TABLE, Layer, Outcome, http_outcome, outcome
from adapters.dmp.settings import DmpEndpoint
from adapters.network import LeanTransport
from security.errors import UnsafeInput
from security.xml import XmlLimits

__all__ = ["Answer", "ExchangeRecord", "Transport"]

#: The XML of an answer: documents come beside it, but a query may give hundreds of entries.
_ANSWER_LIMITS: Final = XmlLimits(max_bytes=24 * 1024 * 1024, max_elements=400_000)


#: Faults by which a service refuses an assertion, its instant perhaps.
_OF_THE_ASSERTION: Final = frozenset(
    {"DMPInvalidVIHF", "MessageExpired", "FailedAuthentication", "InvalidSecurity", "InvalidSecurityToken"}
)
#: Beyond this the two clocks do not agree (dmp.md 1.2: synchronised by NTP).
_SKEW: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRecord:
    """One call as it went over the wire, for evidence; bodies hold health data and are to be sealed."""

    transaction: str
    message_id: str
    url: str
    started_at: datetime
    request: Sequence[bytes] = field(repr=False)  #: the body in chunks
    request_type: str
    status: int | None  #: None when no answer came
    response: bytes = field(repr=False)
    response_type: str
    outcome: Outcome | None  #: of the transport; None when an envelope was read


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An envelope that came back, with its documents."""

    envelope: Envelope
    package: Package
    status: int


class _Body(httpx.AsyncByteStream):
    """A body in chunks, none joined; says whether it began to leave."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = chunks
        self.started = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.started = True
        for chunk in self._chunks:
            yield chunk


class Transport:
    """The HTTP side of the client; one for each structure and environment, closed with :meth:`aclose`."""

    def __init__(
        self,
        endpoint: DmpEndpoint,
        ssl_context: ssl.SSLContext | None,
        *,
        clock: Callable[[], datetime],
        recorder: Callable[[ExchangeRecord], None] | None = None,
    ) -> None:
        """``ssl_context`` carries the structure's authentication certificate and the trust store."""
        self._endpoint = endpoint
        self._ssl_context = ssl_context
        self._answered = False  # an answer came since the last broken connection
        self._clock = clock
        self._recorder = recorder
        # httpx's transport by itself: neither redirects, cookies, proxies nor credentials have a say here, and what a
        # client does about them costs as much as the call.
        self._http = LeanTransport(
            verify=ssl_context if ssl_context is not None else ssl.create_default_context(),
            limits=httpx.Limits(max_connections=endpoint.connections, max_keepalive_connections=endpoint.connections),
        )
        self._timeout = httpx.Timeout(endpoint.total_timeout, connect=endpoint.connect_timeout).as_dict()
        self._headers = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "keep-alive",
            "User-Agent": f"{endpoint.software.name}/{endpoint.software.version}",
        }
        self._urls: dict[str, httpx.URL] = {}

    async def aclose(self) -> None:
        """Close the pooled connections."""
        await self._http.aclose()

    async def call(
        self,
        transaction: str,
        *,
        url: str,
        content_type: str,
        chunks: Sequence[bytes],
        message_id: str,
    ) -> Answer | Outcome:
        """Send one request and read its answer."""
        started = self._clock()
        body = _Body(chunks)
        status: int | None = None
        kind = ""
        raw = bytearray()
        result: Answer | Outcome
        try:
            async with asyncio.timeout(self._endpoint.total_timeout):
                where = self._urls.get(url)
                if where is None:
                    where = self._urls[url] = httpx.URL(url)  # a handful: those of the endpoint
                request = httpx.Request(
                    "POST",
                    where,
                    stream=body,
                    headers={
                        "Host": where.netloc.decode("ascii"),
                        **self._headers,
                        "Content-Type": content_type,
                        "Content-Length": str(sum(map(len, chunks))),
                    },
                    extensions={"timeout": self._timeout},
                )
                response = await self._http.handle_async_request(request)
                try:
                    status, kind = response.status_code, response.headers.get("content-type", "")
                    limited = await _read(response, raw, self._endpoint.max_answer_bytes)
                finally:
                    await response.aclose()
            result = limited or _interpret(response, bytes(raw), message_id)
            if isinstance(result, Outcome) and result.original_code in _OF_THE_ASSERTION:
                result = _skewed(result, response.headers.get("date", ""), self._clock()) or result
        except TimeoutError:
            # The total time is up: before the body began to leave nothing was done.
            result = outcome(Layer.NETWORK, "timeout" if body.started else "connect_timeout", original_code="Timeout")
        except httpx.HTTPError as exc:
            result = broken_outcome(exc, started=body.started)
            if result.code == "DMP-NETWORK-lost" and status is None:
                result = await self._refused_at_the_door(url) or result
            self._answered = False
        else:
            self._answered = True
        if self._recorder is not None:
            self._recorder(
                ExchangeRecord(
                    transaction=transaction,
                    message_id=message_id,
                    url=url,
                    started_at=started,
                    request=chunks,
                    request_type=content_type,
                    status=status,
                    response=bytes(raw),
                    response_type=kind,
                    outcome=result if isinstance(result, Outcome) else None,
                )
            )
        return result

    async def _refused_at_the_door(self, url: str) -> Outcome | None:
        """After a connection broke without a word, see whether the service refuses our certificate.

        With TLS 1.3 the server judges the client's certificate after the handshake, and its alert is easily lost: a
        new connection on which nothing is sent is then closed at once, where one that is let in stays silent. Asked
        only when no answer came since the last broken connection, and free of effect: no request leaves.
        """
        if self._answered or self._ssl_context is None:
            return None
        parts = httpx.URL(url)
        try:
            async with asyncio.timeout(self._endpoint.connect_timeout):
                reader, writer = await asyncio.open_connection(
                    parts.host, parts.port or 443, ssl=self._ssl_context, server_hostname=parts.host
                )
        except (OSError, TimeoutError):
            return None
        try:
            async with asyncio.timeout(self._endpoint.probe_wait):
                await reader.read(1)
        except TimeoutError:
            return None
        except OSError:
            pass
        finally:
            writer.transport.abort()
        return outcome(Layer.TLS, "client", original_code="closed after the handshake")


async def _read(response: httpx.Response, into: bytearray, limit: int) -> Outcome | None:
    async for chunk in response.aiter_raw():
        if len(into) + len(chunk) > limit:
            into.clear()
            return outcome(Layer.MESSAGE, "too_large", http_status=response.status_code)
        into += chunk
    return None


def _interpret(response: httpx.Response, raw: bytes, message_id: str) -> Answer | Outcome:
    status = response.status_code
    kind = response.headers.get("content-type", "")
    media, _ = content_type_parameters(kind)
    if 300 <= status < 400:
        return http_outcome(status)
    soap = media in ("application/soap+xml", "multipart/related", "text/xml", "application/xop+xml")
    if not soap or not raw:
        if status >= 400:
            return http_outcome(status, retry_after=_retry_after(response))
        return outcome(Layer.MESSAGE, "type", original_code=media[:60] or "none", http_status=status)
    try:
        package = read(kind, raw)
        envelope = read_envelope(package.root, _ANSWER_LIMITS)
    except (MtomError, NotSoap, UnsafeInput) as exc:
        if status >= 400:
            return http_outcome(status, retry_after=_retry_after(response))
        code = getattr(exc, "code", type(exc).__name__)
        return outcome(Layer.MESSAGE, "unreadable", original_code=str(code), http_status=status)
    if envelope.fault is not None:
        return fault_outcome(envelope, status)
    if status >= 400:
        return http_outcome(status, retry_after=_retry_after(response))
    # Some stacks leave RelatesTo out; one that names another message is the answer to another call.
    if envelope.relates_to and _bare(envelope.relates_to) != _bare(message_id):
        return outcome(Layer.MESSAGE, "relates_to", http_status=status)
    return Answer(envelope=envelope, package=package, status=status)


def _skewed(said: Outcome, date: str, now: datetime) -> Outcome | None:
    """The outcome of an assertion refused while the service's clock (HTTP ``Date``) is not ours: to be mended here.

    A refusal would be final, for documents in which nothing is wrong.
    """
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return None
    if theirs.tzinfo is None or abs(theirs - now) <= _SKEW:
        return None
    return outcome(
        Layer.LOCAL,
        "clock_skew",
        original_code=said.original_code,
        text=said.original_text,
        http_status=said.http_status,
    )


def _bare(identifier: str) -> str:
    """A message id without what some stacks take away when they give it back: scheme, hyphens, case."""
    return identifier.lower().removeprefix("urn:").removeprefix("uuid:").replace("-", "")


def fault_outcome(envelope: Envelope, status: int | None) -> Outcome:
    """Give the outcome of a SOAP fault: by its subcode when known, else by its code."""
    fault = envelope.fault
    if fault is None:
        raise ValueError("no fault")
    code = fault.subcode if (Layer.SOAP, fault.subcode) in TABLE else fault.code
    return outcome(Layer.SOAP, code, text=fault.reason, original_code=fault.subcode or fault.code, http_status=status)


def _retry_after(response: httpx.Response) -> int | None:
    value = response.headers.get("retry-after", "")
    return int(value) if value.isdigit() and len(value) < 6 else None


def broken_outcome(exc: httpx.HTTPError, *, started: bool) -> Outcome:
    """Give the outcome of a broken call; ``started`` says whether its body began to leave."""
    name = type(exc).__name__
    tls = _tls_error(exc)
    if tls is not None:
        mine = isinstance(tls, ssl.SSLCertVerificationError)
        return outcome(Layer.TLS, "server" if mine else "client", original_code=getattr(tls, "reason", None) or name)
    if isinstance(exc, httpx.ConnectTimeout):
        return outcome(Layer.NETWORK, "connect_timeout", original_code=name)
    if isinstance(exc, httpx.PoolTimeout):
        return outcome(Layer.NETWORK, "pool", original_code=name)
    if isinstance(exc, httpx.ConnectError) or not started:
        return outcome(Layer.NETWORK, "connect", original_code=name)
    if isinstance(exc, httpx.TimeoutException):
        return outcome(Layer.NETWORK, "timeout", original_code=name)
    return outcome(Layer.NETWORK, "lost", original_code=name)


def _tls_error(exc: BaseException) -> ssl.SSLError | None:
    """Find the TLS alert behind an error: with TLS 1.3 a refused client certificate shows on the first read."""
    seen: BaseException | None = exc
    for _ in range(8):
        if seen is None:
            return None
        if isinstance(seen, ssl.SSLError) and not isinstance(seen, ssl.SSLZeroReturnError | ssl.SSLEOFError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None
