"""What the ledger says of a document beside its codes."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.services.feed_facts import care_mode, facts_of, rpps
from tests.support import documents


def facts(tree: dict[str, Any]) -> dict[str, Any]:
    """The facts of a document in our JSON."""
    document = documents.load(tree)
    return facts_of(document, document.model_dump_json(exclude_none=True).encode())


@pytest.mark.parametrize("make", [documents.report, documents.prescription, documents.summary])
def test_the_same_content_sent_again_has_the_same_digest(make: Any) -> None:
    """Another number, another writing date, another version: the content is what is compared."""
    first = make(1)
    again = {**first, "id": {"root": "2.25.999"}, "setId": {"root": "2.25.998"}, "versionNumber": 3}
    again["createdAt"] = "2026-11-23T10:00:00+01:00"
    again["visibility"] = {"maskedFromProfessionals": True}
    again["patient"] = {**first["patient"], "insCheckedOn": "2026-11-23"}
    assert facts(again)["digest"] == facts(first)["digest"]


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Autre titre"},
        {"acts": [{**documents.report(1)["acts"][0], "period": {"start": "2025-01-01T10:00:00+01:00"}}]},
    ],
)
def test_another_content_or_another_act_has_another_digest(change: dict[str, Any]) -> None:
    """A renewal at another visit is another document, however alike its words."""
    assert facts({**documents.report(1), **change})["digest"] != facts(documents.report(1))["digest"]


def test_forms_are_told_apart() -> None:
    """A PDF, a text and structured content: rules count the last apart."""
    plain = {**documents.report(1), "mediaType": "text/plain", "content": "Qm9uam91cg=="}
    assert facts(documents.report(1))["doc_format"] == "pdf"
    assert facts(plain)["doc_format"] == "text"
    assert facts(documents.summary(1))["doc_format"] == "structured"


def test_the_stay_is_the_documents_own_and_a_dispensation_is_its_own() -> None:
    """The visit's identifier when there is one; a dispensation without one is its own visit."""
    report = documents.report(1)
    report["encounter"] = {**report["encounter"], "id": {"root": "1.2.250.1.999.7", "extension": "SEJOUR1"}}
    assert facts(report)["encounter"] == "1.2.250.1.999.7|SEJOUR1"
    assert facts(documents.report(1))["encounter"] is None
    assert facts(documents.dispensation(1))["encounter"]


def test_authors_and_the_legal_one_are_named_by_rpps() -> None:
    """Every professional author, once; the legal author when the document names one."""
    report = documents.report(1)
    other = {**report["authors"][0]["professional"], "id": {"root": "1.2.250.1.71.4.2.1", "extension": "810000000017"}}
    report["authors"] = [*report["authors"], {"professional": other}]
    report["legalAuthenticator"] = {"professional": other}
    told = facts(report)
    assert told["authors"] == ["99700218896", "10000000017"]
    assert told["legal_author"] == "10000000017"


@pytest.mark.parametrize(
    ("given", "expected"),
    [("899700218896", "99700218896"), ("0A123456", "0A123456"), ("3412/01", None), ("", None), (None, None)],
)
def test_national_numbers(given: str | None, expected: str | None) -> None:
    """An RPPS without its prefix, another national number as it is, nothing for a local code."""
    assert rpps(given) == expected


def test_a_virtual_encounter_says_no_mode() -> None:
    """VR is also a meeting of professionals: the software says which, or nobody does."""
    assert care_mode("AMB") == "presentiel"
    assert care_mode("VR") is None
    assert care_mode(None) is None
