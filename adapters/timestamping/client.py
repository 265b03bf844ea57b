"""Asking a time-stamping authority over HTTP (RFC 3161, 3.4), and checking its answer."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import httpx
from cryptography.x509 import Certificate, ExtendedKeyUsage, ExtensionNotFound
from cryptography.x509.oid import ExtendedKeyUsageOID
from rfc3161_client import (
    HashAlgorithm,
    TimeStampRequest,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from adapters.bounded import read_at_most

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

    With ``roots`` the signature and the chain of the authority are checked too, at the instant it states; the
    authority's own certificate may be among them, for answers that do not bring it.
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
        own = [one for one in roots if _stamps(one)]
        builder = VerifierBuilder(
            roots=[one for one in roots if one not in own], tsa_certificate=own[0] if len(own) == 1 else None
        )
        try:
            builder.build().verify_message(answer, data)
        except (VerificationError, ValueError) as exc:
            raise TimestampRefused("TSA-SIGNATURE") from exc
    return told.gen_time


def _stamps(certificate: Certificate) -> bool:
    try:
        uses = certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value
    except ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.TIME_STAMPING in uses


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
        try:
            return await self._ask(data, certificates=True)
        except TimestampRefused as exc:
            if exc.code != "TSA-UNREADABLE":
                raise
            # Several authorities write their certificates in another order than DER wants; without them all is read.
            return await self._ask(data, certificates=False)

    async def _ask(self, data: bytes, *, certificates: bool) -> bytes:
        builder = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256)
        request = builder.cert_request(cert_request=certificates).build()
        try:
            async with self._http.stream(
                "POST", self._url, content=request.as_bytes(), headers={"Content-Type": _QUERY}
            ) as answer:
                if answer.status_code != 200:
                    raise TimestampRefused("TSA-HTTP")
                body = await read_at_most(answer, _MOST_BYTES)
        except httpx.HTTPError as exc:
            raise TimestampRefused("TSA-NETWORK") from exc
        if len(body) > _MOST_BYTES:
            raise TimestampRefused("TSA-TOO-LARGE")
        checked(body, data, roots=self._roots, request=request)
        return body

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()
