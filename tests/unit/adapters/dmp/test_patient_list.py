"""TD0.4: what is asked, and what is read of answers whose form is not public."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from adapters.dmp.outcomes import Kind
from adapters.dmp.patient_list import ListedBy, PatientListForm, patient_list_request, read_patient_list
from security.xml import parse

SINCE = datetime(2026, 11, 2, 9, 30, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("form", "written"),
    [("date", "2026-11-02"), ("dateTime", "2026-11-02T09:30:00+01:00"), ("dtm", "20261102083000")],
)
def test_the_date_is_written_as_the_environment_wants_it(form: str, written: str) -> None:
    """The form of the date and the namespace are settings."""
    made = patient_list_request(
        SINCE,
        ListedBy.LAST_DOCUMENT,
        PatientListForm(namespace="urn:x", date=form),  # type: ignore[arg-type]
    )
    root = parse(made)
    assert root.tag == "{urn:x}patientList"
    assert [child.text for child in root] == [written, "LASTDOC"]


def test_an_instant_without_zone_is_refused() -> None:
    """Nobody knows which hour is meant."""
    with pytest.raises(ValueError, match="zone"):
        patient_list_request(datetime(2026, 1, 1), ListedBy.LAST_DOCUMENT, PatientListForm())


@pytest.mark.parametrize(
    "patient",
    [
        '<patient><id root="1.2.250.1.213.1.4.10" extension="279035121518989"/><lastDocDate>20260110</lastDocDate>'
        "<dateAutorisation>20260109</dateAutorisation></patient>",
        "<p><ins>279035121518989^^^&amp;1.2.250.1.213.1.4.10&amp;ISO^NH</ins><dateDernierDocument>20260110"
        '</dateDernierDocument><authorizationDate value="20260109"/></p>',
    ],
)
def test_a_patient_is_known_by_an_ins_wherever_it_stands(patient: str) -> None:
    """HL7 v3 or v2, whatever the elements are called; names and other ids are not kept."""
    body = (
        '<r:patientListResponse xmlns:r="urn:si-dmp-patients"><output><status>DMPOk</status><context>1</context>'
        f"{patient}<patient><name>PAT-TROIS</name><id root='1.2.3' extension='9'/></patient></output>"
        "</r:patientListResponse>"
    )
    read = read_patient_list(parse(body.encode()))
    assert read.outcome.ok
    (one,) = read.patients
    assert (one.patient.value, one.last_document, one.last_authorization) == ("279035121518989", "20260110", "20260109")
    assert "279035121518989" not in repr(read)


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        ("<x/>", Kind.ASK_REGISTRY, "DMP-MESSAGE-type"),
        ("<patientListResponse/>", Kind.ASK_REGISTRY, "DMP-MESSAGE-status"),
        (
            "<patientListResponse><status>DMPNew</status><context>non</context></patientListResponse>",
            Kind.REFUSED,
            "DMP-DMP-DMPNew",
        ),
    ],
)
def test_what_is_no_list_is_said(body: str, kind: Kind, code: str) -> None:
    """Another message, no status, a refusal: each has its outcome, and no patient."""
    read = read_patient_list(parse(body.encode()))
    assert (read.outcome.kind, read.outcome.code, read.patients) == (kind, code, ())
