"""Where a long content stands in what holds it: a file in the document that carries it."""

from __future__ import annotations

__all__ = ["cut", "where"]

#: Bytes by which a content is looked for, and how many places that begin so are compared.
_KNOWN_BY = 64
_TRIES = 4


def where(data: bytes, content: bytes, start: int = 0) -> int:
    """The first place of a content in bytes, from ``start`` on; -1 when it is not there.

    As ``data.find(content, start)``, without the table that a search for something so long makes first.
    """
    head = content[:_KNOWN_BY]
    at = start - 1
    for _ in range(_TRIES):
        at = data.find(head, at + 1)
        if at < 0 or data.startswith(content, at):
            return at
    # What repeats itself is left to the search whose time is bounded.
    return data.find(content, at + 1)


def cut(data: bytes, content: bytes) -> tuple[bytes, ...]:
    """What stands around each place of a content: joined by it again, they make the same bytes.

    Raises ValueError for an empty content.
    """
    if not content:
        raise ValueError("an empty content stands everywhere")
    parts = []
    reached = 0
    while (at := where(data, content, reached)) >= 0:
        parts.append(data[reached:at])
        reached = at + len(content)
    parts.append(data[reached:])
    return tuple(parts)
