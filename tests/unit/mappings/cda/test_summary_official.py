"""The official rules of the ANS on the summaries we write; and every row of the model written at least once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mappings import cda
from mappings.cda.medication_line_write import PATIENT_INSTRUCTION, REFERENCE
from mappings.cda.medication_write import PRODUCT
from mappings.cda.section_allergies_write import ALLERGY
from mappings.cda.section_allergies_write import CONCERN as ALLERGY_CONCERN
from mappings.cda.section_measures_write import (
    ENCOUNTER,
    PREGNANCY,
    REQUEST,
    RESULT,
    RESULTS,
    SURVEY,
    SURVEYED,
    VITAL_SIGN,
    VITAL_SIGNS,
)
from mappings.cda.section_observations_write import FAMILY, HABIT, RELATIVE, SUBJECT
from mappings.cda.section_parts import CERTAINTY, CLINICAL_STATUS, COMMENT, CRITICALITY, HEALTH_STATUS, SEVERITY
from mappings.cda.section_plans import IPS_VIGILANCE, NOTHING_SAID, PLANS, WRAPPERS
from mappings.cda.section_problems_write import CONCERN, PROBLEM
from mappings.cda.section_procedures_write import DONE, PLANNED
from mappings.cda.section_products_write import DEVICE, RANK, VACCINE
from mappings.cda.section_treatments_write import TREATMENT
from mappings.document.summary import Absence
from tests.support import documents
from tests.support.generated import each
from tests.support.strategies import summaries
from tests.unit.mappings.cda.support import find, tree

Check = Callable[[bytes], list[str]]

ENTRIES = (
    CONCERN,
    PROBLEM,
    DONE,
    PLANNED,
    ALLERGY_CONCERN,
    ALLERGY,
    SEVERITY,
    CLINICAL_STATUS,
    HEALTH_STATUS,
    CERTAINTY,
    CRITICALITY,
    COMMENT,
    REFERENCE,
    HABIT,
    FAMILY,
    SUBJECT,
    RELATIVE,
    TREATMENT,
    PATIENT_INSTRUCTION,
    PRODUCT,
    VACCINE,
    RANK,
    DEVICE,
    VITAL_SIGNS,
    VITAL_SIGN,
    RESULTS,
    RESULT,
    SURVEY,
    SURVEYED,
    PREGNANCY,
    REQUEST,
    ENCOUNTER,
    ("1.2.250.1.213.1.1.3.18",),
)


def generated(number: int, use: Callable[[Any], object]) -> None:
    """Use so many seeded summaries."""
    assert each(summaries, number, use) == number


@pytest.mark.official
@pytest.mark.parametrize("profile", ["VSM-2023.01", "IPS-FR-2024.01"])
def test_a_summary_is_clean(ans_check: Check, profile: str) -> None:
    """The sample, with its printed copy."""
    document = documents.load(documents.summary() | {"profile": profile})
    assert ans_check(cda.write(document, pdf=documents.PDF).data) == []


@pytest.mark.official
@pytest.mark.parametrize("profile", ["VSM-2023.01", "IPS-FR-2024.01"])
@pytest.mark.parametrize("part", [None, {"absence": "none-known"}, {"absence": "no-information"}, {"text": "Mots"}])
def test_a_summary_without_entries_is_clean(ans_check: Check, profile: str, part: dict[str, str] | None) -> None:
    """Nothing said, none known, no information, words alone: everywhere at once."""
    assert ans_check(cda.write(empty(profile, part)).data) == []


def empty(profile: str, part: dict[str, str] | None) -> Any:
    """A summary whose sections all say the same."""
    names = [(plan_field(name)) for name in PLANS if name not in ("occupational_risks", "vigilance")]
    value = documents.summary() | {"profile": profile, "vigilance": None}
    value |= {name: part for name in names if name != "advanceDirectives"}
    return documents.load(value)


def plan_field(name: str) -> str:
    """The member of the JSON form."""
    head, *others = name.split("_")
    return head + "".join(each.capitalize() for each in others)


def _findings(ans_check: Check, number: int) -> dict[str, int]:
    found: dict[str, int] = {}

    def use(document: Any) -> None:
        for finding in ans_check(cda.write(document).data):
            found[finding] = found.get(finding, 0) + 1

    generated(number, use)
    return found


@pytest.mark.official
@pytest.mark.timeout(300)
def test_generated_summaries_are_clean(ans_check: Check) -> None:
    """A seeded hundred, both profiles."""
    assert _findings(ans_check, 100) == {}


@pytest.mark.official
@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_many_generated_summaries_are_clean(ans_check: Check) -> None:
    """Two thousand."""
    assert _findings(ans_check, 2000) == {}


@pytest.mark.timeout(180)
def test_every_row_of_the_model_is_written() -> None:
    """Sections, entries with all their templates, statements of absence: each in some document."""
    seen: set[tuple[str, ...]] = set()
    codes: set[str] = set()
    texts: set[str] = set()

    def use(document: Any) -> None:
        root = tree(cda.write(document).data)
        seen.update(_templates(root))
        codes.update(str(each) for each in find(root, "//@code"))
        texts.update(each.text or "" for each in find(root, "//h:text/h:paragraph"))

    planned = documents.summary()
    planned["procedures"]["entries"][0]["planned"] = True
    use(documents.load(planned))
    for profile in ("VSM-2023.01", "IPS-FR-2024.01"):
        for absence in Absence:
            use(empty(profile, {"absence": absence.value}))
    generated(100, use)
    missing = [oids for oids in ENTRIES if not any(set(oids) <= set(each) for each in seen)]
    assert missing == []
    plans = [*PLANS.values(), *WRAPPERS.values(), IPS_VIGILANCE]
    assert [plan.title for plan in plans if plan.templates not in seen] == []
    bare = [plan for plan in plans if plan.coded]
    assert all(tuple(oid for oid in plan.templates if oid not in plan.coded) in seen for plan in bare)
    for plan in PLANS.values():
        for absence in Absence:
            said = plan.absence_code(absence)
            assert said is None or said.code in codes
    assert NOTHING_SAID in texts


def _templates(root: Any) -> Iterator[tuple[str, ...]]:
    for parent in find(root, "//*[h:templateId]"):
        yield tuple(str(each.get("root")) for each in find(parent, "h:templateId"))
