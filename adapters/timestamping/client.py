"""Asking a time-stamping authority over HTTP (RFC 3161, 3.4), and checking its answer."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import httpx
from cryptography.x509 import Certificate
from rfc3161_client import (
    HashAlgorithm,
    TimeStampRequest,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

__all__ = ["TimestampClient", "TimestampRefused", "checked", "stamped_at"]

_QUERY: Final = "application/timestamp-query"
_MOST_BYTES: Final = 64 * 1024
_GRANTED: Final = frozenset([0, 1])  # granted, grantedWithMods (RFC 3161, 2.4.2)


class TimestampRefused(Exception):
    """The authority gave no time-stamp that holds; ``code`` tells why, and never anything of what was stamped."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def _read(data: bytes) -> TimeStampResponse:
    try:
        return decode_timestamp_response(data)
    except ValueError as exc:
        raise TimestampRefused("TSA-UNREADABLE") from exc


def checked(
    response: bytes, data: bytes, *, roots: Sequence[Certificate] = (), request: TimeStampRequest | None = None
) -> datetime:
    """The instant that a time-stamp response gives to ``data``; raises :class:`TimestampRefused` when it does not hold.

    With ``roots`` the signature and the chain of the authority are checked too, at the instant it states.
    """
    answer = _read(response)
    if int(answer.status) not in _GRANTED:
        raise TimestampRefused("TSA-REFUSED")
    told = answer.tst_info
    if told.message_imprint.message != hashlib.sha256(data).digest():
        raise TimestampRefused("TSA-OTHER-DATA")
    if request is not None and told.nonce != request.nonce:
        raise TimestampRefused("TSA-NONCE")
    if roots:
        builder = VerifierBuilder(roots=list(roots))
        try:
            builder.build().verify_message(answer, data)
        except VerificationError as exc:
            raise TimestampRefused("TSA-SIGNATURE") from exc
    return told.gen_time


def stamped_at(response: bytes) -> datetime:
    """The instant a time-stamp response states, unchecked."""
    return _read(response).tst_info.gen_time


class TimestampClient:
    """Asks one authority for time-stamps; the answer is kept whole, so that anybody's tool can check it."""

    def __init__(
        self,
        url: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        roots: Sequence[Certificate] = (),
        timeout: float = 15.0,
    ) -> None:
        self._url = url
        self._roots = tuple(roots)
        verify: ssl.SSLContext | bool = ssl_context if ssl_context is not None else True
        self._http = httpx.AsyncClient(verify=verify, timeout=timeout, trust_env=False, follow_redirects=False)

    async def stamp(self, data: bytes) -> bytes:
        """The DER of a TimeStampResp over the SHA-256 of ``data``; raises :class:`TimestampRefused`."""
        request = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).build()
        body = b""
        try:
            async with self._http.stream(
                "POST", self._url, content=request.as_bytes(), headers={"Content-Type": _QUERY}
            ) as answer:
                if answer.status_code != 200:
                    raise TimestampRefused("TSA-HTTP")
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > _MOST_BYTES:
                        raise TimestampRefused("TSA-TOO-LARGE")
        except httpx.HTTPError as exc:
            raise TimestampRefused("TSA-NETWORK") from exc
        checked(body, data, roots=self._roots, request=request)
        return body

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()
