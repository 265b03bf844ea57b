"""What every part of the hub model shares: frozen, strict about unknown members, camelCase in JSON."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

import pybase64
from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic.alias_generators import to_camel

__all__ = ["Bytes64", "Part"]


class Part(BaseModel):
    """A part of a clinical document: immutable, its JSON in camelCase, unknown members refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        str_strip_whitespace=True,
        ser_json_inf_nan="constants",
        allow_inf_nan=False,
    )


def _decode(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("expected base64 text")
    try:
        return pybase64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        pass
    # Padding after whole groups says nothing and is let be.
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None


#: Bytes whose JSON form is base64 (RFC 4648 section 4, no line breaks).
Bytes64 = Annotated[
    bytes,
    PlainValidator(_decode),
    PlainSerializer(pybase64.b64encode_as_string, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
