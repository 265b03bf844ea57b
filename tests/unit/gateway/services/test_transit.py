"""A large converted document between processes."""

from __future__ import annotations

import os
import pickle
from typing import Any

import orjson
import pytest

from gateway.problems import Invalid, Unreadable
from gateway.services import intake
from gateway.services.envelope import Envelope, open_body
from gateway.services.intake import IntakeOptions, IntakeRefused
from gateway.services.transit import Parcel, Unopened, convert, open_and_convert, open_parcel
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


def test_the_printed_form_made_here_travels_once_too() -> None:
    """The PDF of a prescription stands in its CDA alone: what comes out is the same."""
    body = body_of(documents.prescription)
    packed = convert(body, "json", OPTIONS)
    assert isinstance(packed, Parcel)
    assert (len(packed.cda), len(packed.fhir)) == (2, 1)
    assert open_parcel(pickle.loads(pickle.dumps(packed))) == intake.convert(body, "json", OPTIONS)  # noqa: S301


@pytest.mark.parametrize("make", [documents.report, documents.dispensation])
def test_a_small_one_is_left_alone(make: Any) -> None:
    """Looking for its file would cost more than it saves."""
    body = body_of(make)
    packed = convert(body, "json", OPTIONS)
    assert isinstance(packed, intake.Intake)
    assert open_parcel(packed) is packed


def request_of(**beside: Any) -> bytes:
    """A request in our JSON."""
    document = documents.load(documents.report(93_002))
    return orjson.dumps({"document": document.model_dump(mode="json", exclude_none=True, by_alias=True), **beside})


def test_a_request_read_where_it_is_converted_gives_the_same() -> None:
    """Document and envelope, as when it is opened first."""
    body = request_of(allowLoss=True, deliverTo={"dmp": False})
    sent = open_body(body, "application/json", 10**8)
    opened = open_and_convert(body, 10**8, OPTIONS)
    assert not isinstance(opened, Unopened)
    envelope, made = pickle.loads(pickle.dumps(opened))  # noqa: S301 - our own bytes
    assert envelope == sent.envelope
    assert open_parcel(made) == intake.convert(sent.body, sent.form, OPTIONS)


def test_a_document_alone_needs_no_envelope() -> None:
    """Its envelope is the one of those who say nothing."""
    body = body_of(documents.report)
    opened = open_and_convert(body, 10**8, OPTIONS)
    assert not isinstance(opened, Unopened)
    assert opened[0] == Envelope()
    assert open_parcel(opened[1]) == intake.convert(body, "json", OPTIONS)


@pytest.mark.parametrize(
    ("body", "unreadable", "code"),
    [
        (b"{", True, "DOC-READ-001"),
        (b"[]", False, "API-JSON-001"),
        (request_of(deliverTo={"fax": True}), False, None),
        (request_of() + b" " * 200, True, "DOC-READ-001"),
    ],
)
def test_a_request_that_cannot_be_opened_is_told_as_before(body: bytes, unreadable: bool, code: str | None) -> None:
    """With the same faults as when it is opened first."""
    limit = len(request_of()) + 100
    with pytest.raises((Invalid, Unreadable)) as refused:
        open_body(body, "application/json", limit)
    opened = open_and_convert(body, limit, OPTIONS)
    assert isinstance(opened, Unopened)
    assert opened.unreadable is unreadable is isinstance(refused.value, Unreadable)
    assert opened.faults == refused.value.faults
    assert code in (None, opened.faults[0].code)


def test_a_file_over_the_limit_is_refused_before_it_is_decoded() -> None:
    """By its place, as when the document comes alone."""
    body = request_of()
    options = IntakeOptions(fresh_oid="1.2.3", now=OPTIONS.now, max_document_bytes=len(documents.PDF) // 2)
    with pytest.raises(IntakeRefused) as refused:
        open_and_convert(body, 10**8, options)
    assert refused.value.too_large
    assert refused.value.findings[0].location == "/content"
