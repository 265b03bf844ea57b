"""PDSm searches: read into filters of the registry, and the sieve on what it gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest

from gateway.services.fhir_face.search import Asked, BadSearch, read_search
from mappings.xds import Author, Code, DocumentEntry, Person, SubmissionSet
from mappings.xds import vocabulary as v

BASE = {"patient.identifier": "urn:oid:1.2.250.1.213.1.4.10|279035121518989", "status": "current"}
ENTRY = DocumentEntry(
    entry_uuid="urn:uuid:1",
    unique_id="1.2.3",
    type_code=Code(code="11488-4", scheme=v.LOINC),
    class_code=Code(code="10", scheme=v.CLASS_SCHEME),
    confidentiality=(Code(code="N", scheme=v.CONFIDENTIALITY_SCHEME),),
    authors=(Author(person=Person(id="8001")),),
    creation_time="20261120090000",
    service_start_time="20261120083000",
    service_stop_time="20261120085000",
    status=v.APPROVED,
)


def asked(**parameters: str) -> Asked:
    """A search read."""
    return read_search(urlencode({**BASE, **parameters}).encode(), "")


def test_the_registry_filters_what_it_can() -> None:
    """Tokens with their system, statuses, dates; a token without a system is sieved afterwards."""
    read = asked(type="http://loinc.org|11488-4,http://loinc.org|57833-6", creation="ge2026-11-20", format="urn:ihe:x")
    assert [c.code for c in read.filters.types] == ["11488-4", "57833-6"]
    assert read.filters.types[0].scheme == v.LOINC
    assert read.filters.formats == ()
    assert read.filters.created_from == datetime(2026, 11, 20, tzinfo=UTC)
    assert set(read.filters.statuses) == {v.APPROVED, v.ARCHIVED}
    assert asked(status="superseded").filters.statuses == (v.DEPRECATED,)
    assert asked(status="entered-in-error").filters.statuses == ()
    assert read.patient.value == "279035121518989"
    assert "279035121518989" not in repr(read)


@pytest.mark.parametrize(
    ("name", "value", "there"),
    [
        ("creation", "2026", True),
        ("creation", "2026-11", True),
        ("creation", "2026-12", False),
        ("creation", "eq2026-11-20", True),
        ("creation", "ne2026-11-20", False),
        ("creation", "gt2026-11-20", False),
        ("creation", "lt2026-11-21", True),
        ("creation", "2026-11-20T10:00:00+01:00", True),
        ("creation", "2026-11-20T10:00:01+01:00", False),
        ("period-end", "le2026-11-20T08:50:00Z", True),
        ("period-end", "le2026-11-20T08:49:59Z", False),
        ("category", "10", True),
        ("category", "http://x|10", False),
        ("author", "urn:oid:1.2|8001", True),
        ("identifier", "urn:ietf:rfc:3986|urn:oid:1.2.3", True),
        ("identifier", "urn:ietf:rfc:3986|urn:uuid:1", True),
        ("isArchived", "true", False),
        ("security-label", "N,R", True),
    ],
)
def test_the_sieve(name: str, value: str, there: bool) -> None:
    """Each parameter on what the registry gave, precision of dates included."""
    read = read_search(urlencode({**BASE, name: value}).encode(), "")
    assert bool(read.documents([ENTRY])) is there
    assert read.documents([replace(ENTRY, creation_time="", service_stop_time="")]) == [] or name not in (
        "creation",
        "period-end",
    )


@pytest.mark.parametrize(
    "parameters",
    [
        {"status": "current"},
        {"patient.identifier": BASE["patient.identifier"]},
        {**BASE, "patient.identifier": "279035121518989"},
        {**BASE, "colour": "red"},
        {**BASE, "date": "20th of May"},
        {**BASE, "date": "xx2026-01-01"},
        {**BASE, "date": "2026-13"},
    ],
)
def test_a_search_that_cannot_be_done(parameters: dict[str, str]) -> None:
    """Something mandatory missing, unknown, or of a wrong form; no value is repeated."""
    with pytest.raises(BadSearch) as caught:
        read_search(urlencode(parameters).encode(), "")
    assert "279035121518989" not in str(caught.value)
    assert all("279035121518989" not in str(f.found) for f in caught.value.findings)


def test_bytes_that_are_no_form() -> None:
    """Not UTF-8, or a hundred and one fields."""
    for body in (b"\xff", b"&".join(b"a=%d" % n for n in range(101))):
        with pytest.raises(BadSearch):
            read_search(body, "")


def test_submission_sets_are_sieved_too() -> None:
    """By code, date, designation, source and identifier."""
    sent = SubmissionSet(
        entry_uuid="urn:uuid:2",
        unique_id="1.2.9",
        source_id="1.2.8",
        submission_time="20261120090005",
        content_type=Code(code="07", scheme=v.CONTENT_TYPE_SCHEME),
        authors=(Author(person=Person(id="8001")),),
        title="Lot",
    )
    for parameters, there in (
        ({}, True),
        ({"code": "folder"}, False),
        ({"date": "ge2026-11-20"}, True),
        ({"date": "lt2026-11-20"}, False),
        ({"designationType": "07"}, True),
        ({"designationType": "04"}, False),
        ({"sourceId": "urn:oid:1.2.8"}, True),
        ({"source": "8002"}, False),
        ({"title": "lo"}, True),
        ({"identifier": "urn:oid:1.2.9"}, True),
        ({"isArchived": "true"}, False),
    ):
        read = read_search(urlencode({**BASE, "code": "submissionset", **parameters}).encode(), "", lists=True)
        assert bool(read.sets([sent])) is there, parameters
    read = read_search(urlencode({**BASE, "code": "submissionset", "date": "ge2026-11-20"}).encode(), "", lists=True)
    assert read.filters.submitted_from == datetime(2026, 11, 20, tzinfo=UTC)
