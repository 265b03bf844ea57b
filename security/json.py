"""The one reader of JSON that comes from outside, the writer, and the canonical form that is hashed.

Refused before anything uses the content: too large, UTF-16, not JSON (NaN and Infinity are not), nested too deeply,
the same member twice in an object (two readers would see two documents), a NUL in a text, a number that no dose or
code needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import jiter
import orjson

from security.errors import Unreadable, UnsafeInput

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_ITEMS", "canonical", "dumps", "loads"]

MAX_BYTES = 5 * 1024 * 1024  #: a document with its PDF in base64 (``dmp.md`` 10)
MAX_DEPTH = 64  #: a FHIR document Bundle needs some 15; jiter itself stops at 200
MAX_ITEMS = 250_000  #: values in all

# What stands outside strings, made coarse: one kind of bracket, one digit, one exponent mark, nothing else.
_COARSE = bytes.maketrans(b"{}123456789.E", b"[]0000000000e")
_REST = bytes(set(range(256)) - set(b"[]{}0123456789.eE,tfn"))
# Decimal("1e-999999999") is small, writing it out is a gigabyte; no dose or code has so many digits.
_MAX_DIGITS = 64
_TOO_LARGE = re.compile(rb"[0-9.][eE][+-]?0*[1-9][0-9]{2}")
_PLACE = re.compile(r"at line (\d+) column (\d+)$")
_REPEATED = re.compile(r'Detected duplicate key "([A-Za-z_][A-Za-z0-9_.-]{0,40})" at')


def loads(
    data: bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    max_items: int = MAX_ITEMS,
    decimals: bool = False,
) -> Any:
    """Read JSON from bytes.

    With ``decimals``, numbers with a fraction or an exponent come as :class:`~decimal.Decimal`, exactly as written
    (``1.50`` keeps its zero); otherwise as floats. Integers keep all their digits either way. A byte order mark is
    skipped. Raises :class:`UnsafeInput` (a limit is broken) and :class:`Unreadable` (not JSON).
    """
    if len(data) > max_bytes:
        raise UnsafeInput("JSON-SIZE-001", f"{len(data)} bytes", f"at most {max_bytes} bytes")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in data[:4]:
        raise UnsafeInput("JSON-ENC-001", "UTF-16 or UTF-32", "UTF-8")
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    # Fewer bytes than values allowed need no counting.
    if len(data) > max_items and (
        data.count(b",") + data.count(b"[") + data.count(b"{") > max_items or data.count(b'"') > 4 * max_items
    ):
        raise UnsafeInput("JSON-COUNT-001", f"more than {max_items} values", f"at most {max_items} values")
    escapes = b"\\" in data
    outside = _outside_strings(data, escapes)
    coarse = outside.translate(_COARSE, _REST)
    if b"0" * (_MAX_DIGITS + 1) in coarse or (b"0e" in coarse and _TOO_LARGE.search(outside)):
        raise UnsafeInput("JSON-NUMBER-001", "a number too long or too large", "64 digits, exponents under 100")
    try:
        # Only member names are cached by jiter, so that no patient's text outlives the call in a cache.
        value = jiter.from_json(
            data,
            allow_inf_nan=False,
            catch_duplicate_keys=True,
            cache_mode="keys",
            float_mode="decimal" if decimals else "float",
        )
    except ValueError as exc:
        raise _refusal(data, str(exc), max_depth) from None
    _check_depth(coarse, max_depth)
    if escapes and rb"\u0000" in data and _has_nul(value):
        raise UnsafeInput("JSON-NUL-001", "a NUL character", "text without NUL")
    return value


def _outside_strings(data: bytes, escapes: bool) -> bytes:
    """Give what stands outside the strings: brackets, numbers, punctuation (exact when the data is JSON)."""
    if escapes:
        # Pairs of backslashes first, from the left as a reader takes them: what then escapes a quote truly does.
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b",".join(data.split(b'"')[::2])


def _check_depth(coarse: bytes, max_depth: int) -> None:
    brackets = coarse.translate(None, b"0e,tfn")
    for _ in range(max_depth):  # each turn takes the innermost level away, at the speed of memchr
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise UnsafeInput("JSON-DEPTH-001", f"depth over {max_depth}", f"at most {max_depth}")


def _refusal(data: bytes, message: str, max_depth: int) -> UnsafeInput:
    # jiter's message is not passed on: it can name a member, which the sender chose.
    place = _PLACE.search(message)
    line = int(place[1]) if place else None
    if message.startswith("Detected duplicate key"):
        named = _REPEATED.match(message)
        found = f"member {named[1]} twice" if named else "a member twice"
        return UnsafeInput("JSON-DUPLICATE-001", found, "each member once in an object", line=line)
    if message.startswith("recursion limit"):
        return UnsafeInput("JSON-DEPTH-001", f"depth over {max_depth}", f"at most {max_depth}", line=line)
    if not data.strip():
        return Unreadable("JSON-EMPTY-001", "no content", "a JSON document")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return UnsafeInput("JSON-ENC-001", "bytes that are not UTF-8", "UTF-8")
    where = f"line {place[1]} column {place[2]}" if place else "an unknown place"
    return Unreadable("JSON-SYNTAX-001", f"malformed at {where}", "JSON", line=line)


def _has_nul(value: Any) -> bool:
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            if "\x00" in node:
                return True
        elif isinstance(node, dict):
            stack.extend(node.keys())
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return False


def _plain(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(format(value, "f").encode("ascii"))
    raise TypeError(f"{type(value).__name__} has no JSON form")


def dumps(value: object, *, indent: bool = False) -> bytes:
    """Write JSON as UTF-8 bytes; decimals are written exactly, members stay in order; raises TypeError."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2 if indent else None)


_canonical: Callable[[Any], bytes] | None = None


def canonical(value: Any) -> bytes:
    """Write the one canonical form of a value (JSON Canonicalization Scheme, RFC 8785), to be hashed or signed.

    Strings, booleans, integers up to 2**53, floats, lists and objects; raises ValueError for anything else, decimals
    included (write them as strings).
    """
    global _canonical  # the library is imported where it is first used
    if _canonical is None:
        import rfc8785

        _canonical = rfc8785.dumps
    return _canonical(value)
