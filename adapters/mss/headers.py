"""Write header fields: at once when they are plain, by the standard library when they must be encoded or folded."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import quote

__all__ = ["address_field", "addresses_field", "attachment_head", "field"]

_LINE = 78  # RFC 5322 2.1.1: lines should be no longer
_PIECE = 60  # characters of a parameter on one line, its name and number beside it
#: What stands as it is in an extended parameter, beside letters and digits (RFC 2231 7, attribute-char).
_ATTRIBUTE = "!#$&+-.^_`{|}~"
_PLAIN = re.compile(r"[!-~](?:[ -~]*[!-~])?")
#: A display name that needs neither quotes nor encoding (RFC 5322 3.2.3, words of atoms).
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


def field(name: str, value: str) -> bytes:
    """One unstructured field with its line end, encoded per RFC 2047 and folded where it must be.

    The caller has refused control characters. ``=?`` in a plain value would be read as an encoded word: it is encoded.
    """
    line = f"{name}: {value}"
    if len(line) <= _LINE and _PLAIN.fullmatch(value) and "=?" not in value:
        return line.encode("ascii") + b"\r\n"
    return _by_library(name, value)


@functools.lru_cache(maxsize=256)  # a tenant's mailboxes stand in every mail it sends
def address_field(name: str, address: str, label: str = "") -> bytes:
    """A field of one mailbox, with the name people see when there is one."""
    if not label:
        return field(name, address)
    line = f"{name}: {label} <{address}>"
    if len(line) <= _LINE and _PHRASE.fullmatch(label) and "=?" not in label:
        return line.encode("ascii") + b"\r\n"
    return _by_library(name, Address(display_name=label, addr_spec=address))


def addresses_field(name: str, addresses: Sequence[str]) -> bytes:
    """A field of several mailboxes, folded between two of them."""
    return f"{name}: {f',{chr(13)}{chr(10)} '.join(addresses)}\r\n".encode("ascii")


def _by_library(name: str, value: object) -> bytes:
    message = EmailMessage(policy=SMTP)
    message[name] = value
    return message.as_bytes().removesuffix(b"\r\n")


@functools.lru_cache(maxsize=8)
def _plain_head(subtype: str, name: str) -> bytes:
    return _attachment_head(subtype, name)


def attachment_head(subtype: str, name: str, *, constant: bool = False) -> bytes:
    """The fields of a base64 attachment and the empty line after them; ``constant`` ones are kept for later."""
    return _plain_head(subtype, name) if constant else _attachment_head(subtype, name)


def _attachment_head(subtype: str, name: str) -> bytes:
    if name.isascii() and not re.search(r'["\\\x00-\x1f\x7f]', name):
        return (
            f'Content-Type: application/{subtype};\r\n name="{name}"\r\n'
            f'Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n filename="{name}"\r\n\r\n'
        ).encode("ascii")
    if name.isprintable():
        return (
            f"Content-Type: application/{subtype}\r\nContent-Transfer-Encoding: base64\r\n"
            f"Content-Disposition: attachment;\r\n {_extended('filename', name)}\r\n\r\n"
        ).encode("ascii")
    part = EmailMessage(policy=SMTP)
    part["Content-Type"] = f"application/{subtype}"
    part["Content-Transfer-Encoding"] = "base64"
    part.add_header("Content-Disposition", "attachment", filename=name)
    return part.as_bytes()


def _extended(parameter: str, value: str) -> str:
    """A parameter in UTF-8 (RFC 2231 4), on several lines when it is long (3), no character cut in two."""
    lines = ["utf-8''"]
    for character in value:
        written = quote(character, safe=_ATTRIBUTE)
        if len(lines[-1]) + len(written) > _PIECE:
            lines.append("")
        lines[-1] += written
    if len(lines) == 1:
        return f"{parameter}*={lines[0]}"
    return ";\r\n ".join(f"{parameter}*{number}*={line}" for number, line in enumerate(lines))
