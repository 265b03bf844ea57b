"""The documents a load is made of: valid, different, of the right size, found again by their number."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.load.documents import KINDS, templates
from gateway.services.intake import IntakeOptions, convert

OPTIONS = IntakeOptions(fresh_oid="1.2.250.1.999.9.2.1", now="2026-11-20T11:00:00+01:00")


def said(body: bytes) -> dict[str, Any]:
    """A request as the gateway reads it."""
    value: dict[str, Any] = orjson.loads(body)
    return value


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_is_taken_without_a_fault(kind: str) -> None:
    """What the gateway refuses would measure refusals; every identity is of the test authority, its key right."""
    for template in templates(kind, count=3, pdf_bytes=2_000):
        unique_id, body = template.numbered(1_234_567, 8)
        document = said(body)["document"]
        assert document["id"] == {"root": unique_id}
        made = convert(orjson.dumps(document), "json", OPTIONS)
        assert made.unique_id == unique_id
        ins = document["patient"]["ins"]
        assert ins["authority"] == "1.2.250.1.213.1.4.10"


def test_numbers_make_different_documents() -> None:
    """Two numbers, two runs: never the same unique identifier; the same number again is the same request."""
    (template,) = templates("report", count=1)
    seen = {template.numbered(run, number)[0] for run in (1_000_000, 2_000_000) for number in (0, 1, 9_999_999)}
    assert len(seen) == 6
    assert template.numbered(1_000_000, 1) == template.numbered(1_000_000, 1)
    first, second = (said(template.numbered(1_000_000, number)[1])["document"] for number in (1, 2))
    assert (first["id"], first["setId"]) != (second["id"], second["setId"])
    assert first["patient"] == second["patient"]


@pytest.mark.parametrize(("mailed", "expected"), [(0.0, {False}), (0.5, {False, True}), (1.0, {True})])
def test_a_share_goes_to_a_mailbox(mailed: float, expected: set[bool]) -> None:
    """None, some, or all; what is mailed says so in its envelope."""
    made = templates("prescription", count=16, mailed=mailed)
    assert {template.mailed for template in made} == expected
    for template in made:
        assert ("mss" in said(template.numbered(1_000_000, 1)[1]).get("deliverTo", {})) is template.mailed


def test_a_report_has_a_pdf_of_the_size_asked_for() -> None:
    """60 kB of PDF is 80 kB of base64."""
    small, large = (len(templates("report", count=1, pdf_bytes=size)[0].body) for size in (10_000, 60_000))
    assert large - small == pytest.approx(50_000 * 4 / 3, rel=0.05)
