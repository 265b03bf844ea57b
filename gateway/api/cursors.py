"""Opaque cursors of pages sorted by an instant and an id, newest first."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime

from gateway.problems import Invalid, rule

__all__ = ["close_cursor", "open_cursor"]

BAD_CURSOR = rule(
    "API-PAGE-001",
    "Ce curseur n'est pas valable.",
    "This cursor is not valid.",
    "Relisez depuis le début.",
    "Read again from the start.",
)


def close_cursor(at: datetime, number: str) -> str:
    """The cursor of the page that follows a row."""
    return base64.urlsafe_b64encode(f"{at.isoformat()}|{number}".encode()).decode().rstrip("=")


def open_cursor(cursor: str) -> tuple[datetime, str]:
    """Where a page begins; :class:`Invalid` for what is no cursor of ours."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at, _, number = text.partition("|")
        return datetime.fromisoformat(at).astimezone(UTC), number
    except (ValueError, binascii.Error):
        raise Invalid([BAD_CURSOR.finding("cursor")], slug="invalid-cursor") from None
