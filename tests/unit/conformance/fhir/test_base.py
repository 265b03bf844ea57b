"""The base specification at the edge."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from conformance.fhir.base import validate
from mappings import fhir
from tests.support import documents


def bundle() -> dict[str, Any]:
    """A clean Bundle."""
    found: dict[str, Any] = orjson.loads(orjson.dumps(fhir.write(documents.load(documents.summary())).bundle))
    return found


def test_a_clean_bundle_is_clean() -> None:
    """Nothing is found in what the gateway writes."""
    assert validate(bundle()).findings == ()


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("/entry/1/resource/birthDate", lambda b: b["entry"][1]["resource"].update(birthDate="28/03/1979")),
        ("/entry/1/resource/foo", lambda b: b["entry"][1]["resource"].update(foo=1)),
        ("/entry/0/resource/title", lambda b: b["entry"][0]["resource"].update(title="")),
    ],
)
def test_what_is_not_fhir_is_named_at_its_place(place: str, change: Any) -> None:
    """A date, an unknown member, an empty string: found where they stand, without their value."""
    value = bundle()
    change(value)
    verdict = validate(value)
    assert not verdict.ok
    assert all(f.found is None for f in verdict.findings)
    assert any(f.location.startswith(place.rsplit("/", 1)[0]) for f in verdict.findings)


def test_a_flood_of_faults_is_bounded() -> None:
    """A hostile Bundle gets a hundred findings, not one a value."""
    value = {"resourceType": "Bundle", "type": "document", "entry": [{"x": 1} for _ in range(500)]}
    assert 0 < len(validate(value).findings) <= 100


@pytest.mark.parametrize("value", [None, "x", [], {"resourceType": "Patient"}])
def test_another_value_is_not_a_bundle(value: Any) -> None:
    """No exception, a finding."""
    assert not validate(value).ok
