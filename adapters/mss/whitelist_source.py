"""Fetch the white list where it is published; its server's certificate is of IGC-Santé, so the trust store is given."""

from __future__ import annotations

import ssl

import httpx

from adapters.bounded import read_at_most
from adapters.mss.rules import refuse
from adapters.mss.whitelist import WhiteList, WhiteListFile

__all__ = ["PUBLISHED", "fetch", "refresh"]

PUBLISHED = "https://espacedeconfiance.mssante.fr/listeblanchemssante.xml"
_MAX_BYTES = 32 * 1024 * 1024


async def fetch(url: str = PUBLISHED, *, context: ssl.SSLContext, timeout: float = 60.0) -> bytes:
    """Download a published file, bounded, without following redirections.

    Raises :class:`MailRefused` (MSS-WL-001) on anything but a 200, or on an unreachable server.
    """
    try:
        async with (
            httpx.AsyncClient(verify=context, trust_env=False, timeout=timeout, follow_redirects=False) as client,
            client.stream("GET", url) as response,
        ):
            if response.status_code != 200:
                raise refuse("MSS-WL-001", found=f"HTTP {response.status_code}", expected="HTTP 200")
            content = await read_at_most(response, _MAX_BYTES)
    except httpx.HTTPError as exc:
        raise refuse("MSS-WL-001", found=type(exc).__name__) from exc
    if len(content) > _MAX_BYTES:
        raise refuse("MSS-WL-001", found=f"plus de {_MAX_BYTES} octets")
    return content


async def refresh(
    kept: WhiteListFile, url: str = PUBLISHED, *, context: ssl.SSLContext, checksum_url: str | None = None
) -> WhiteList:
    """Fetch the list, check it (with the checksum published beside it, when there is one), and replace the kept one.

    Raises :class:`MailRefused` and then leaves the kept list as it was: a failed refresh never stops sending.
    """
    sha256 = None
    if checksum_url is not None:
        # "<hexadecimal digits>  <file name>", as sha256sum writes it.
        words = (await fetch(checksum_url, context=context)).decode("ascii", "replace").split()
        sha256 = words[0] if words else ""
    return kept.refresh(await fetch(url, context=context), sha256=sha256)
