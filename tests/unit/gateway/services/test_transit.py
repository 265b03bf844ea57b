"""A large converted document between processes."""

from __future__ import annotations

import os
import pickle
from typing import Any

import orjson
import pytest

from gateway.services import intake
from gateway.services.intake import IntakeOptions
from gateway.services.transit import Parcel, convert, open_parcel
from tests.support import documents

OPTIONS = IntakeOptions(fresh_oid="1.2.250.1.999.9.2.1", now="2026-11-20T09:00:00+01:00")


def body_of(make: Any, **options: Any) -> bytes:
    """A document in our JSON."""
    document = documents.load(make(93_001, **options))
    return orjson.dumps(document.model_dump(mode="json", exclude_none=True, by_alias=True))


def test_a_large_file_travels_once() -> None:
    """The same document comes out; what is written between is a third as large."""
    body = body_of(documents.report, content=documents.PDF[:-6] + os.urandom(900_000))
    whole = intake.convert(body, "json", OPTIONS)
    packed = convert(body, "json", OPTIONS)
    assert isinstance(packed, Parcel)
    sent = pickle.dumps(packed)
    assert open_parcel(pickle.loads(sent)) == whole  # noqa: S301 - our own bytes
    assert len(sent) < len(pickle.dumps(whole)) / 3


@pytest.mark.parametrize("make", [documents.report, documents.prescription])
def test_a_small_one_is_left_alone(make: Any) -> None:
    """Looking for its file would cost more than it saves."""
    body = body_of(make)
    packed = convert(body, "json", OPTIONS)
    assert isinstance(packed, intake.Intake)
    assert open_parcel(packed) is packed
