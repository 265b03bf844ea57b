"""The official rules of the ANS on what we write: samples, their variants, and generated documents; no finding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mappings import cda
from tests.support import documents
from tests.support.generated import each
from tests.support.strategies import dispensations, prescriptions, reports

pytestmark = pytest.mark.official

Check = Callable[[bytes], list[str]]

KINDS = {"report": reports, "prescription": prescriptions, "dispensation": dispensations}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_small_document_is_clean(ans_check: Check, kind: str) -> None:
    """The sample of each kind."""
    document = documents.load(getattr(documents, kind)())
    assert ans_check(cda.write(document, pdf=documents.PDF).data) == []


def test_a_report_in_text_is_clean(ans_check: Check) -> None:
    """Level 1 with a text."""
    value = documents.report() | {"mediaType": "text/plain", "content": b"Tout va bien"}
    assert ans_check(cda.write(documents.load(value)).data) == []


def _generated(ans_check: Check, strategy: Any, number: int) -> dict[str, int]:
    """The findings on so many generated documents, each with its count."""
    found: dict[str, int] = {}

    def use(document: Any) -> None:
        for finding in ans_check(cda.write(document).data):
            found[finding] = found.get(finding, 0) + 1

    assert each(strategy, number, use) == number
    return found


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_generated_documents_are_clean(ans_check: Check, kind: str) -> None:
    """A seeded hundred of each kind."""
    assert _generated(ans_check, KINDS[kind], 100) == {}


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_many_generated_documents_are_clean(ans_check: Check, kind: str) -> None:
    """Two thousand of each kind."""
    assert _generated(ans_check, KINDS[kind], 2000) == {}
