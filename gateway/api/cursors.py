"""Opaque cursors of pages: how any is written, and those of pages sorted by an instant and an id, newest first."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

from gateway.problems import Invalid, rule

__all__ = ["BAD_CURSOR", "close_cursor", "open_cursor", "packed", "unpacked"]

BAD_CURSOR = rule(
    "API-PAGE-001",
    "Ce curseur n'est pas valable.",
    "This cursor is not valid.",
    "Relisez depuis le début.",
    "Read again from the start.",
)


def packed(content: bytes) -> str:
    """A cursor that holds these bytes."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def unpacked(cursor: str) -> bytes:
    """The bytes of a cursor; ``ValueError`` for what is none."""
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))


def close_cursor(at: datetime, number: str) -> str:
    """The cursor of the page that follows a row."""
    return packed(f"{at.isoformat()}|{number}".encode())


def open_cursor(cursor: str) -> tuple[datetime, str]:
    """Where a page begins; :class:`Invalid` for what is no cursor of ours."""
    try:
        text = unpacked(cursor).decode()
        at, _, number = text.partition("|")
        return datetime.fromisoformat(at).astimezone(UTC), number
    except ValueError:
        raise Invalid([BAD_CURSOR.finding("cursor")], slug="invalid-cursor") from None
