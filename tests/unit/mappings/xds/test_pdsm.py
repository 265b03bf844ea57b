"""Registry metadata as PDSm resources, and back."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from mappings.xds import Author, DocumentEntry, Organization, Person, Submission
from mappings.xds import vocabulary as v
from mappings.xds.check import check_submission
from mappings.xds.derive import confidentiality_codes
from mappings.xds.pdsm_in import NotPdsm, Provided, read_document_reference, read_list, read_provide_bundle
from mappings.xds.pdsm_out import document_reference, provide_bundle, submission_list
from mappings.xds.pdsm_words import date_time, dtm_of, unique_id_of, unique_identifier
from tests.support import fhir_tools, outside
from tests.unit.mappings.xds.test_ebrim import a_submission

CUSTODIAN = Organization(name="CABINET FICTIF", id="1290099887", authority="1.2.250.1.71.4.2.2")
CONTENT = b"<ClinicalDocument/>"


def a_bundle(submission: Submission | None = None, **options: Any) -> dict[str, Any]:
    """An ITI-65 transaction of one document."""
    return provide_bundle(
        submission or a_submission(), {"D1": CONTENT}, custodian=CUSTODIAN, new_uuid=uuid.uuid4, **options
    )


def same(entry: DocumentEntry, other: DocumentEntry) -> list[str]:
    """The attributes in which two entries differ, ids and status apart."""
    skip = {"entry_uuid", "status"}
    return [n for n in entry.__slots__ if n not in skip and getattr(entry, n) != getattr(other, n)]


@pytest.mark.parametrize("replaced", [None, {"D1": "DocumentReference/12"}])
def test_the_bundle_is_valid_by_the_profiles(tmp_path: Path, replaced: dict[str, str] | None):
    """First and replacing submissions pass the base specification and the PDSm profiles."""
    bundle = a_bundle(replaced=replaced)
    assert fhir_tools.base_errors(bundle) == []
    _, said = fhir_tools.profile_report([bundle], tmp_path)
    errors = [line for line in said.splitlines() if line.strip().startswith("error")]
    # A prose constraint without expression on any relatesTo, and slices of MHD's PATCH that its own examples break.
    noise = ("constr-cdr-rempl", "IHE.MHD.Patch.Parameters")
    assert [line for line in errors if not any(word in line for word in noise)] == []


def test_a_submission_survives_the_round_trip():
    """Reading what was written gives the same metadata and the same bytes."""
    sent = a_submission(comments="Note", confidentiality=confidentiality_codes(None, ("MASQUE_PS",)))
    read = read_provide_bundle(a_bundle(sent))
    (entry,) = read.submission.entries
    assert same(entry, sent.entries[0]) == []
    got, want = read.submission.submission_set, sent.submission_set
    for name in (
        "unique_id",
        "source_id",
        "patient_id",
        "submission_time",
        "title",
        "comments",
        "authors",
        "content_type",
    ):
        assert getattr(got, name) == getattr(want, name), name
    assert list(read.contents.values()) == [CONTENT]
    assert read.order == ("List", "DocumentReference", "Binary")
    assert check_submission(read.submission).ok


def test_a_replacement_names_its_target():
    """relatesTo and the PATCH entry point to the replaced resource."""
    read = read_provide_bundle(a_bundle(replaced={"D1": "DocumentReference/12"}))
    assert list(read.replaced.values()) == ["DocumentReference/12"]
    assert read.order == ("List", "DocumentReference", "Parameters", "Binary")


@pytest.mark.parametrize(
    ("status", "said", "archived"),
    [
        (v.APPROVED, "current", False),
        (v.ARCHIVED, "current", True),
        (v.DEPRECATED, "superseded", False),
        (v.DELETED, "entered-in-error", False),
    ],
)
def test_a_registered_entry_has_ids_version_and_status(status: str, said: str, archived: bool):
    """What a registry gave is in id, identifier, versionId, status and the archive extension; and comes back."""
    name = "urn:uuid:00000000-0000-4000-8000-00000000000a"
    entry = replace(a_submission().entries[0], entry_uuid=name, logical_id="urn:uuid:1", version="3", status=status)
    resource = document_reference(entry, custodian=CUSTODIAN, attachment_url="https://gateway.invalid/Binary/1")
    assert resource["status"] == said
    assert resource["id"] == name.removeprefix("urn:uuid:")
    assert resource["meta"]["versionId"] == "3"
    assert resource["extension"][0]["valueBoolean"] is archived
    assert fhir_tools.base_errors(resource) == []
    assert read_document_reference(resource) == entry


def test_devices_and_several_authors():
    """A device is contained as such; each person and structure stands once."""
    device = Author(person=Person(id="1", family="Automate", given="m1", authority="1.2", name_type="U", id_type="RI"))
    sent = a_submission()
    entry = replace(sent.entries[0], authors=(*sent.entries[0].authors, *sent.entries[0].authors, device))
    resource = document_reference(entry, custodian=CUSTODIAN, attachment_url="urn:uuid:1")
    kinds = sorted(c["resourceType"] for c in resource["contained"])
    assert kinds == ["Device", "Organization", "Patient", "Practitioner", "PractitionerRole"]
    assert fhir_tools.base_errors(resource) == []
    assert read_document_reference(resource, entry_uuid="D1").authors == entry.authors


@pytest.mark.parametrize(
    ("dtm", "fhir"),
    [("20260110083000", "2026-01-10T08:30:00Z"), ("20260110", "2026-01-10"), ("202601", "2026-01"), ("2026", "2026")],
)
def test_times_keep_their_precision(dtm: str, fhir: str):
    """DTM and dateTime say the same instant or date."""
    assert date_time(dtm) == fhir
    assert dtm_of(fhir) == dtm


@pytest.mark.parametrize(
    ("fhir", "dtm"),
    [
        ("2026-01-10T09:30:00+01:00", "20260110083000"),
        ("2026-01-10T09:30:00.123+01:00", "20260110083000"),
        ("2026-01-10T03:30:00-05:00", "20260110083000"),
        (None, ""),
        ("hier", ""),
    ],
)
def test_offsets_are_taken_away(fhir: Any, dtm: str):
    """A local time with offset becomes UTC; what is no time is nothing."""
    assert dtm_of(fhir) == dtm


@pytest.mark.parametrize("unique_id", ["1.2.250.1.999.9.2.1", "1.2.250.1.999.9.2.1^A42"])
def test_unique_ids_with_and_without_extension(unique_id: str):
    """An extension moves the root into the system."""
    assert unique_id_of(unique_identifier(unique_id)) == unique_id


def edit(path: str, change: Callable[[dict[str, Any]], None], **options: Any) -> dict[str, Any]:
    """A bundle with one entry changed, by its kind."""
    bundle = copy.deepcopy(a_bundle(**options))
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == path:
            change(entry)
            return bundle
    raise AssertionError(path)


def drop(kind: str) -> dict[str, Any]:
    """A bundle without the entries of a kind."""
    bundle = a_bundle()
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] != kind]
    return bundle


@pytest.mark.parametrize(
    ("bundle", "code"),
    [
        (lambda: {**a_bundle(), "type": "batch"}, "PDSM-BUNDLE-001"),
        (lambda: {"resourceType": "Patient"}, "PDSM-BUNDLE-001"),
        (lambda: drop("List"), "PDSM-BUNDLE-002"),
        (lambda: drop("DocumentReference"), "PDSM-BUNDLE-002"),
        (lambda: drop("Binary"), "PDSM-ATTACHMENT-001"),
        (lambda: {**a_bundle(), "entry": [{"fullUrl": "urn:uuid:1"}]}, "PDSM-ENTRY-001"),
        (lambda: edit("Binary", lambda e: e["request"].update(method="PUT")), "PDSM-ENTRY-002"),
        (lambda: edit("Binary", lambda e: e.update(fullUrl="http://x/1")), "PDSM-ENTRY-003"),
        (lambda: edit("List", lambda e: e["resource"].update(code={})), "PDSM-ENTRY-004"),
        (lambda: edit("Binary", lambda e: e["resource"].update(resourceType="Practitioner")), "PDSM-ENTRY-005"),
        (lambda: edit("Binary", lambda e: e["resource"].update(data="***")), "PDSM-BINARY-001"),
        (lambda: edit("List", lambda e: e["resource"].update(entry=[])), "PDSM-LIST-001"),
        (lambda: edit("DocumentReference", lambda e: e["resource"].update(content=[])), "PDSM-ATTACHMENT-001"),
        (
            lambda: edit(
                "DocumentReference",
                lambda e: e["resource"].update(relatesTo=[]),
                replaced={"D1": "DocumentReference/12"},
            ),
            "PDSM-PATCH-001",
        ),
    ],
)
def test_what_leads_nowhere_is_refused(bundle: Callable[[], dict[str, Any]], code: str):
    """Each broken rule of a PDSm submission has its refusal and its place."""
    with pytest.raises(NotPdsm) as caught:
        read_provide_bundle(bundle())
    assert caught.value.code == code
    assert caught.value.location.startswith("/")


def test_a_binary_nobody_names_is_refused():
    """Every Binary belongs to a DocumentReference."""
    bundle = a_bundle()
    extra = {"resourceType": "Binary", "contentType": "text/xml", "data": "AA=="}
    bundle["entry"].append({"fullUrl": "urn:uuid:9", "request": {"method": "POST", "url": "Binary"}, "resource": extra})
    with pytest.raises(NotPdsm) as caught:
        read_provide_bundle(bundle)
    assert caught.value.code == "PDSM-BINARY-002"


def test_odd_resources_are_read_without_a_trace():
    """Members of the wrong type are as absent: no exception, empty metadata."""
    junk: dict[str, Any] = {
        "resourceType": "DocumentReference",
        "contained": "x",
        "content": [3],
        "context": [],
        "subject": "x",
        "author": {},
        "securityLabel": [None],
        "meta": 3,
        "identifier": [{"type": 3}],
    }
    entry = read_document_reference(junk, entry_uuid="D1")
    assert entry.unique_id == ""
    assert read_list({"resourceType": "List", "identifier": 3, "extension": [1], "source": None}).authors == ()


def test_published_examples_are_read():
    """The French examples of others: ids, types and classes are found."""
    folder = outside.samples() / "xds" / "pdsm4dmp"
    for name in ("iti65-req-pdsm.json", "iti65-req-pdsm-replace.json", "iti67-resp-pdsm.json"):
        bundle = orjson.loads((folder / name).read_bytes())
        documents = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "DocumentReference"]
        assert documents, name
        for resource in documents:
            entry = read_document_reference(resource)
            assert entry.type_code is not None, name
            assert entry.mime_type, name


def test_a_list_without_documents_is_written():
    """A set of references only has no entry of its own."""
    made = submission_list(a_submission().submission_set, [])
    assert "entry" not in made
    assert read_list(made).unique_id == "1.2.250.1.999.9.1.1"


def test_nothing_of_the_patient_shows_in_a_repr():
    """Printing what was read shows no content."""
    read: Provided = read_provide_bundle(a_bundle())
    assert "279035121518989" not in repr(read)
