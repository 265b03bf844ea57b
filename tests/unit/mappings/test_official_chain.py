"""The official CDA examples as FHIR and as CDA again: every clinical entry is there, differences are in one table."""

from __future__ import annotations

import orjson
import pytest

from mappings import cda, fhir
from mappings.loss import Fate
from mappings.projection import projected
from security import json
from tests.support import documents, outside
from tests.unit.mappings.cda.support import find, tree

NAMES = (
    "DOC_NON_STRUCTURE_CDA-R2-N1",
    "IPS-FR_2024.01",
    "VSM_1.4_2022.01",
    "eDISP-MED_2024.01",
    "eP-MED-DM_2024.01_PosoNonStruct",
    "eP-MED-DM_2024.01_PosoStruct",
)

WORDS = "the narrative of the section says it, and is carried"
#: What an official example and the CDA written after FHIR do not share, by the name in the reports, each with why.
DIFFERENCES = {
    (Fate.LOST, "author"): "the author of a section or of a referenced line: those of the document stand for them",
    (Fate.LOST, "functionCode"): "the role of the performer of the act: no member of the hub",
    (Fate.LOST, "category"): "FHIR has no place for the kind of a relative's disease",
    (Fate.LOST, "version_number"): "FHIR names the document replaced by its id alone",
    (Fate.TEXT_ONLY, "IVL_TS"): "a duration told twice with another end, in an instruction changed at dispensing",
    (Fate.TEXT_ONLY, "author"): WORDS,
    (Fate.TEXT_ONLY, "performer"): WORDS,
    (Fate.TEXT_ONLY, "participant"): WORDS,
    (Fate.TEXT_ONLY, "approachSiteCode"): WORDS,
    (Fate.TEXT_ONLY, "targetSiteCode"): WORDS,
    (Fate.TEXT_ONLY, "priorityCode"): WORDS,
    (Fate.TEXT_ONLY, "referenceRange"): WORDS,
    (Fate.TEXT_ONLY, "reference"): "a link to a document outside: the words name it",
    (Fate.TEXT_ONLY, "code"): "an observation whose code is a nullFlavor: its words are in the narrative",
    (Fate.TEXT_ONLY, "entryRelationship"): WORDS,
    (Fate.TEXT_ONLY, "high"): "the end of something planned: the hub has one moment",
    (Fate.TEXT_ONLY, "section 44939-7"): "a section that no summary of the reference has: kept as vigilance points",
    (Fate.TEXT_ONLY, "entry 1.2.250.1.213.1.1.3.210"): "the entry of that section, kept with its words",
    (Fate.TEXT_ONLY, "entry 1.2.250.1.213.1.1.3.54"): "advance directives are words in the hub, with their files",
}


@pytest.mark.parametrize("name", NAMES)
def test_an_official_example_goes_through_fhir_and_back(name: str) -> None:
    """CDA, hub, Bundle bytes, hub, CDA bytes, hub: nothing clinical is lost, and the content is the projected one."""
    data = (outside.packs() / "ans-cda" / "ExemplesCDA" / f"{name}.xml").read_bytes()
    first = cda.read(data)
    written = fhir.write(first.document)
    second = fhir.read(json.loads(orjson.dumps(written.bundle), decimals=True))
    again = cda.write(second.document, pdf=documents.PDF)
    third = cda.read(again.data)
    steps = (first, written, second, again, third)
    items = [item for step in steps for item in step.loss.items if item.fate is not Fate.CARRIED]
    assert not any(step.loss.refuses for step in steps)
    # An entry is named by all its templates: the French one is enough.
    told = {(item.fate, " ".join(item.name.split(" ")[:2])) for item in items}
    assert told - set(DIFFERENCES) == set()
    assert second.document == projected(first.document, "fhir")
    wanted = projected(second.document, "cda")
    if "pdf" in type(wanted).model_fields:
        # The printed copy of a document that has none is given by the caller.
        wanted = wanted.model_copy(update={"pdf": getattr(third.document, "pdf")})  # noqa: B009
    assert third.document == wanted


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_of_an_official_example_is_accounted_for(name: str) -> None:
    """Each section and each entry of it has its line in the report: carried, or kept in words."""
    data = (outside.packs() / "ans-cda" / "ExemplesCDA" / f"{name}.xml").read_bytes()
    reading = cda.read(data)
    root = tree(data)
    told: dict[str, int] = {}
    for item in reading.loss.items:
        last = item.place.rpartition("/")[2].partition("[")[0]
        if last in ("section", "entry"):
            told[item.place] = told.get(item.place, 0) + 1
            assert item.fate is not Fate.LOST
    assert sum(place.rpartition("/")[2].startswith("section") for place in told) == len(find(root, "//h:section"))
    assert sum(place.rpartition("/")[2].startswith("entry") for place in told) == len(find(root, "//h:section/h:entry"))


def test_the_table_holds_only_differences() -> None:
    """A row that no example needs leaves the table."""
    met = set()
    for name in NAMES:
        first = cda.read((outside.packs() / "ans-cda" / "ExemplesCDA" / f"{name}.xml").read_bytes())
        items = (*first.loss.items, *fhir.write(first.document).loss.items)
        met |= {(item.fate, " ".join(item.name.split(" ")[:2])) for item in items}
    assert set(DIFFERENCES) - met == set()
    assert all(DIFFERENCES.values())
