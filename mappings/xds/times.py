"""Times between CDA (local, with offset) and XDS metadata (UTC)."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

__all__ = ["dtm", "parse_dtm", "utc_dtm"]

_TS = re.compile(r"^(\d{4,14})(?:\.\d{1,6})?([+-]\d{4})?$")
_FORMATS = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


@functools.cache
def _france() -> tzinfo:
    return ZoneInfo("Europe/Paris")


def utc_dtm(value: str) -> str:
    """Turn an HL7 TS into the UTC DTM of XDS, keeping its precision; an empty or unreadable one gives an empty text.

    A date alone stays a date: it has no offset to take away (dmp.md 4.8). An hour without offset is French local time,
    which is what producers mean when they forget it.
    """
    match = _TS.match(value)
    if match is None or len(match.group(1)) not in _FORMATS:
        return ""
    digits, offset = match.groups()
    if len(digits) <= 8:
        return digits
    form = _FORMATS[len(digits)]
    try:
        local = datetime.strptime(digits, form)
        zone = _zone(offset) if offset else _france()
        # A half-hour offset moves the minutes: an hour alone then gains them.
        utc = local.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return ""
    return utc.strftime(form if utc.minute == 0 or len(digits) > 10 else _FORMATS[12])


@functools.cache
def _zone(offset: str) -> tzinfo:
    sign = -1 if offset[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5])))


def dtm(moment: datetime) -> str:
    """Write an instant as the UTC DTM of XDS, ``YYYYMMDDhhmmss``. The instant must have a zone."""
    if moment.tzinfo is None:
        raise ValueError("an instant without time zone")
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S")


def parse_dtm(value: str) -> datetime | None:
    """Read a UTC DTM of any precision; None when it is not one."""
    if not value.isdigit() or len(value) not in _FORMATS:
        return None
    try:
        return datetime.strptime(value, _FORMATS[len(value)]).replace(tzinfo=UTC)
    except ValueError:
        return None
