"""Reading what a neighbour answers without ever holding more than was agreed."""

from __future__ import annotations

import httpx

__all__ = ["read_at_most"]


async def read_at_most(response: httpx.Response, limit: int) -> bytes:
    """The body of a streamed answer, cut as soon as it is longer than ``limit`` bytes.

    Counted while reading: an answer without end never fills the memory. What comes back is longer than ``limit`` only
    when the answer was, so that the reader it is given to, which has the same limit, refuses it.
    Raises what httpx does.
    """
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > limit:
            break
    return bytes(body)
