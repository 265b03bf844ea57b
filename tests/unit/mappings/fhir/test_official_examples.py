"""The official CDA examples as FHIR: accepted by the outside checkers, read back the same, nothing clinical lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from conformance.fhir import check_bundle
from conformance.fhir.base import validate
from mappings import cda, fhir
from mappings.loss import Fate
from mappings.projection import projected
from tests.support import fhir_tools, outside, strategies
from tests.support.generated import each
from tests.unit.mappings.fhir.others import others
from tests.unit.mappings.fhir.summaries import summaries

NAMES = (
    "DOC_NON_STRUCTURE_CDA-R2-N1",
    "IPS-FR_2024.01",
    "VSM_1.4_2022.01",
    "eDISP-MED_2024.01",
    "eP-MED-DM_2024.01_PosoNonStruct",
    "eP-MED-DM_2024.01_PosoStruct",
)
#: What these documents hold that FHIR does not: reviewed.
LOST = {"version_number", "category"}


def example(name: str) -> Any:
    """The document of an official example."""
    return cda.read((outside.packs() / "ans-cda" / "ExemplesCDA" / f"{name}.xml").read_bytes()).document


@pytest.mark.parametrize("name", NAMES)
def test_an_official_example_comes_back_from_fhir(name: str) -> None:
    """CDA, hub, FHIR, hub: the same document, as the reviewed table says."""
    document = example(name)
    written = fhir.write(document)
    reading = fhir.read(orjson.loads(orjson.dumps(written.bundle)))
    assert reading.document == projected(document, "fhir")
    assert [i for i in reading.loss.items if i.fate is not Fate.CARRIED] == []
    assert {i.name for i in written.loss.items if i.fate is not Fate.CARRIED} <= LOST
    assert not written.loss.refuses


@pytest.mark.parametrize("name", NAMES)
def test_an_official_example_is_clean_fhir(name: str) -> None:
    """Our rules, the base schema and fhir.resources find nothing in the Bundle."""
    bundle = fhir.write(example(name)).bundle
    assert check_bundle(bundle).errors == ()
    assert fhir_tools.base_errors(bundle) == []
    assert validate(bundle).findings == ()


def test_the_profile_checker_accepts_the_official_examples(tmp_path: Path) -> None:
    """Base invariants and every profile of the pack that has a snapshot."""
    code, words = fhir_tools.profile_report([fhir.write(example(name)).bundle for name in NAMES], tmp_path)
    assert code == 0, words


def _drawn(kind: Any, count: int) -> list[Any]:
    """A fixed set of generated documents."""
    found: list[Any] = []
    each(kind, count, found.append)
    return found


@pytest.mark.parametrize(
    "kind",
    [strategies.reports, strategies.prescriptions, strategies.dispensations, summaries, others],
    ids=["report", "prescription", "dispensation", "summary", "other"],
)
def test_the_profile_checker_accepts_generated_documents(kind: Any, tmp_path: Path) -> None:
    """A seeded dozen of each kind, in one run of the checker."""
    bundles = [fhir.write(document).bundle for document in _drawn(kind, 12)]
    code, words = fhir_tools.profile_report(bundles, tmp_path)
    assert code == 0, "\n".join(line for line in words.splitlines() if " error " in line)[:3000]


@pytest.mark.long
@pytest.mark.parametrize(
    "kind",
    [strategies.reports, strategies.prescriptions, strategies.dispensations, summaries, others],
    ids=["report", "prescription", "dispensation", "summary", "other"],
)
@pytest.mark.timeout(4 * 3600)
def test_two_thousand_documents_of_each_kind_are_clean(kind: Any) -> None:
    """Base schema, fhir.resources and the round trip, at length."""

    def clean(document: Any) -> None:
        bundle = fhir.write(document).bundle
        assert fhir_tools.base_errors(bundle) == []
        assert validate(bundle).findings == ()
        assert fhir.read(orjson.loads(orjson.dumps(bundle))).document == projected(document, "fhir")

    assert each(kind, 2000, clean) == 2000
