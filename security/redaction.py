"""The one sieve that every log line goes through: nothing that identifies a patient, no secret, no forged line.

Two nets. Fields with a telling name are masked whatever they hold; texts are searched for what looks like a matricule,
a citizen's address (it *is* the matricule), a PEM, a token or a query string. Control characters are written as
escapes, so that no value can start a line or colour a terminal.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Literal, TextIO, cast
from uuid import UUID

import orjson
import structlog

__all__ = ["MASK", "configure_logging", "is_sensitive", "redact", "redact_text", "redact_value"]

MASK = "[masqué]"
_LONGEST = 4000  # characters of one value
_LONGEST_TRACE = 20_000  # of a traceback
_TAIL = 256  # longer than a matricule or an address
_DEEPEST = 6

# Compared without case, "_", "-" or "." (``birthDate``, ``birth_date`` and ``BIRTH-DATE`` are one).
_FIELDS = frozenset(
    """family given givens name names surname lastname firstname firstnames maidenname mothersname sex gender
    subject ins nir nia matricule insvalue traits trait prescriptionnumber
    email mail phone telecom telephone address recipients recipient
    password passphrase secret authorization cookie setcookie assertion clientassertion apikey privatekey pem
    body payload content narrative xml cda query querystring""".split()
)
_PREFIXES = ("birth", "patient", "naissance")
_SUFFIXES = ("token", "secret", "password", "passphrase", "privatekey", "matricule", "assertion")
_HARMLESS = (datetime, date, time, timedelta, Decimal, UUID, PurePath)

_PATTERNS = re.compile(
    r"""
      (?P<hash> (?<![0-9A-Za-z]) (?: [0-9a-f]{128} | [0-9a-f]{96} | [0-9a-f]{64} | [0-9a-f]{40} | [0-9a-f]{32}
              | [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12} ) (?![0-9A-Za-z]) )
    | (?P<pem> -----BEGIN\ [A-Z0-9 ]{1,40}----- .*? (?: -----END\ [A-Z0-9 ]{1,40}----- | \Z ) )
    | (?P<jwt> eyJ[A-Za-z0-9_-]{12,} (?: \. [A-Za-z0-9_-]* )* )
    | (?P<bearer> (?i:bearer|basic|dpop) [\s=:]{1,4} [A-Za-z0-9._~+/=-]{8,} )
    | (?P<address> (?<![A-Za-z0-9._%+-]) [A-Za-z0-9._%+-]{1,64} (?:@|%40) (?: [A-Za-z0-9-]{1,63}\. ){0,4}
              (?i:patient) \. (?: [A-Za-z0-9-]{1,63}\. ){0,4} (?i:mssante\.fr) )
    # What pydantic and SQLAlchemy repeat of the values in their errors.
    | (?P<input> (?<=input_value=) .*? (?= ,\ input_type | \n | \Z ) )
    | (?P<parameters> (?<=\[parameters:) [^\n]* )
    # Sex, year, month, department (2A, 2B), commune, order, key: in one run, or in the usual groups.
    | (?P<matricule> (?<!\d) [1-9] (?: \d{4} (?: \d\d | 2[ABab] ) \d{8}
              | [\ .\u00a0\u202f-] \d\d [\ .\u00a0\u202f-] \d\d [\ .\u00a0\u202f-] (?: \d\d | 2[ABab] )
                [\ .\u00a0\u202f-] \d{3} [\ .\u00a0\u202f-] \d{3} (?: [\ .\u00a0\u202f-] \d\d )? ) (?!\d) )
    | (?P<query> (?<=[A-Za-z0-9_/.-]) \? [A-Za-z0-9_.\[\]:%$-]{1,80} = [^\s"'<>]* )
    """,
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"query": "?" + MASK, "hash": ""}
# One of these must be there for the patterns to find anything: most texts have none.
_HINT = re.compile(r"\d[0-9ABab .\u00a0\u202f-]{12}|@|%40|-----|eyJ|\?|input_value|\[parameters|(?i:bearer|basic|dpop)")

# C0, DEL, C1, line separators, and the marks that turn the direction of writing around.
_CONTROLS = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(32), *range(127, 160), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_CONTROLS |= {10: "\\n", 13: "\\r", 9: "\\t"}
_MULTILINE = ("exception", "stack")


def is_sensitive(field: str) -> bool:
    """Say whether a field of this name is masked whatever it holds."""
    folded = field.lower().replace("_", "").replace("-", "").replace(".", "")
    return folded in _FIELDS or folded.startswith(_PREFIXES) or folded.endswith(_SUFFIXES)


def redact_text(text: str) -> str:
    """Mask what identifies or opens something in a text, and write its control characters as escapes."""
    whole = len(text)
    text = _sieved(text, _LONGEST)
    if not text.isprintable():
        text = text.translate(_CONTROLS)
    return text if whole <= _LONGEST else f"{text}[+{whole - _LONGEST}]"


def _sieved(text: str, longest: int) -> str:
    # Cut first, so that the time is bounded; then once more, so that half a matricule at the cut does not stay.
    cut = len(text) > longest
    if cut:
        text = text[: longest + _TAIL]
    if _HINT.search(text):
        text = _PATTERNS.sub(_mask, text)
    return text[: min(longest, len(text) - _TAIL)] if cut else text


def _mask(found: re.Match[str]) -> str:
    kind = found.lastgroup or ""
    return found[0] if kind == "hash" else _WORDS.get(kind, MASK)


def redact_value(value: object, depth: int = 0) -> Any:
    """Make any value fit for a log; objects of unknown types become their type's name."""
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, int):
        # A matricule kept as a number.
        return MASK if 10**14 <= value < 10**15 else value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} octets]"
    if isinstance(value, _HARMLESS):
        return redact_text(str(value))
    if isinstance(value, BaseException):
        return redact_text(f"{type(value).__name__}: {value}")
    if depth >= _DEEPEST:
        return "[...]"
    if isinstance(value, Mapping):
        return {
            redact_text(str(key)): MASK if is_sensitive(str(key)) else redact_value(inner, depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value(inner, depth + 1) for inner in value]
    return f"<{type(value).__name__}>"


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Sieve one event: the structlog processor that stands right before the renderer."""
    for key in list(event):
        value = event[key]
        if key in _MULTILINE and isinstance(value, str):
            # Lines stay lines, each with a mark that no value can imitate at the start of one.
            clean = _sieved(value, _LONGEST_TRACE)
            event[key] = "\n".join("  | " + line.translate(_CONTROLS) for line in clean.splitlines())
        elif key != "event" and is_sensitive(key):
            event[key] = MASK
        else:
            event[key] = redact_value(value)
        clean_key = redact_text(key)
        if clean_key != key:
            event[clean_key] = event.pop(key)
    return event


def _render_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class _Unfailing:
    """A stream whose failures are nobody's but its own: a disk full of logs must not stop those who write them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or lose the line."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            return 0

    def flush(self) -> None:
        """Flush, or not."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def configure_logging(
    *,
    level: str = "info",
    form: Literal["json", "console"] = "json",
    stream: TextIO | None = None,
) -> None:
    """Send all logs, ours and those of libraries, through the sieve to one stream (standard error by default)."""
    target = cast("TextIO", _Unfailing(stream or sys.stderr))
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        _render_json
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=target.isatty(), timestamp_key="at", exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, redact, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared[:-2], structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                redact,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in list(logging.root.manager.loggerDict):
        # Libraries that brought their own handlers (uvicorn) would go around the sieve.
        library = logging.getLogger(name)
        library.handlers[:] = []
        library.propagate = True
    # It tells the very bytes it signs, where a VIHF names its patient: not even a threshold of "debug" lets that out.
    logging.getLogger("signxml").setLevel(logging.WARNING)
