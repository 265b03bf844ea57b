"""Large documents over HTTP: what fits is fed, what cannot is refused by name before anything is made of it."""

from __future__ import annotations

import itertools
import os
from typing import Any

import httpx
import orjson
import psutil

from gateway.demonstration import Client, Demonstration
from tests.acceptance.conftest import follow, simulator
from tests.support import documents

numbers = itertools.count(81_000)
MB = 1_000_000
LIMIT = 5 * 1024 * 1024


def send(vendor: Client, size: int) -> httpx.Response:
    """A report as a PDF of about so many bytes, with its metadata."""
    document = documents.load(documents.report(next(numbers)))
    said = document.model_dump(mode="json", exclude_none=True, by_alias=True, exclude={"content", "media_type"})
    content = documents.PDF[:-6] + os.urandom(size)
    files = {
        "metadata": ("m.json", orjson.dumps({"document": said}), "application/json"),
        "file": ("r.pdf", content, "application/pdf"),
    }
    return vendor.request("POST", "/v1/documents", files=files)


def test_a_large_report_is_fed(running: Demonstration, vendor: Client) -> None:
    """3.5 MB of PDF reach the registry whole."""
    answer = send(vendor, 3_500_000)
    assert answer.status_code == 202, answer.text
    assert follow(vendor, answer.json()["id"], seconds=60)["state"] == "completed"
    stored = simulator(running, "dmp", f"/documents/{answer.json()['uniqueId']}").content
    assert len(stored) > 4_600_000


def test_a_document_that_cannot_fit_is_refused_by_name(vendor: Client) -> None:
    """20 MB, or just above what fits once in base64: 413, the limit named, and no base64 was made of it."""
    before = psutil.Process().memory_info().rss
    huge = send(vendor, 19_900_000)
    assert huge.status_code == 413
    assert huge.json()["type"].endswith("/document-too-large")
    fault = huge.json()["faults"][0]
    assert fault["code"] == "document_too_large"
    assert str(LIMIT) in fault["expected"]
    assert fault["fix"]
    # The body in a few copies, sender's side included; twice 27 MB of base64 would not fit in this.
    assert psutil.Process().memory_info().rss - before < 160 * MB
    for size, status in ((LIMIT * 3 // 4 + 1, 413), (LIMIT * 3 // 4 - 60_000, 202)):
        assert send(vendor, size).status_code == status


def test_the_whole_document_counts(vendor: Client) -> None:
    """A CDA just above the limit, and a report in our JSON whose CDA would be."""
    document = documents.load(documents.report(next(numbers), documents.PDF[:-6] + os.urandom(LIMIT * 3 // 4 - 1000)))
    body = orjson.dumps({"document": document.model_dump(mode="json", exclude_none=True, by_alias=True)})
    answer = vendor.request("POST", "/v1/documents", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["faults"][0]["code"] == "document_too_large"
    cda = b"<ClinicalDocument xmlns='urn:hl7-org:v3'>" + b" " * LIMIT + b"</ClinicalDocument>"
    refused = vendor.request("POST", "/v1/documents", content=cda, headers={"Content-Type": "application/xml"})
    assert refused.status_code == 413
    assert refused.json()["faults"][0]["code"] == "document_too_large"


def test_base64_over_the_limit_is_not_decoded(vendor: Client) -> None:
    """In our JSON and in a FHIR Bundle: the member whose text alone is over the limit is named, whatever it holds."""
    long = "*" * (LIMIT + 1)  # no base64: decoding it would tell another fault
    document = documents.load(documents.report(next(numbers))).model_dump(mode="json", exclude_none=True, by_alias=True)
    asked: list[tuple[str, dict[str, Any], str]] = [
        ("application/json", {"document": {**document, "content": long}}, "/content"),
        (
            "application/fhir+json",
            {"resourceType": "Bundle", "type": "document", "entry": [{"resource": {"data": long}}]},
            "Bundle.entry[0].resource.data",
        ),
    ]
    for kind, body, place in asked:
        answer = vendor.request(
            "POST", "/v1/documents", content=orjson.dumps(body), headers={"Content-Type": kind, "Idempotency-Key": kind}
        )
        assert answer.status_code == 413, answer.text[:500]
        said = answer.json()
        if "faults" in said:
            (fault,) = said["faults"]
            assert (fault["code"], fault["location"]) == ("document_too_large", place)
            assert str(LIMIT) in fault["expected"]
        else:
            (issue,) = said["issue"]
            assert issue["code"] == "too-long"
            assert "document_too_large" in answer.text
            assert issue["expression"] == [place]
            assert str(LIMIT) in answer.text
