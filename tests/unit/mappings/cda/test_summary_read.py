"""Summaries of others: official examples, older versions, unknown parts, statements that there is nothing."""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable

import pytest
from lxml import etree

from mappings import cda, fhir
from mappings.document.summary import Absence, MedicalSummary, Section
from mappings.loss import Fate
from tests.support import documents, outside
from tests.unit.mappings.cda.support import changed, data_of, find, one, remove, setting, tree

V3 = "{urn:hl7-org:v3}"


def example(name: str) -> bytes:
    """An official example of the pack."""
    return (outside.packs() / "ans-cda" / "ExemplesCDA" / name).read_bytes()


def summary(data: bytes) -> MedicalSummary:
    """The summary read from bytes."""
    found = cda.read(data).document
    assert isinstance(found, MedicalSummary)
    return found


def counts(document: MedicalSummary) -> dict[str, int]:
    """How many entries each part has."""
    return {
        name: len(part.entries)
        for name in type(document).model_fields
        if isinstance(part := getattr(document, name), Section) and part.entries
    }


def fates(data: bytes) -> Counter[str]:
    """How many parts met each fate."""
    return Counter(str(item.fate) for item in cda.read(data).loss.items)


# --- Official examples ----------------------------------------------------------------------------


def test_the_official_vsm_loses_nothing() -> None:
    """Every entry of the VSM 1.4 example; only the author of an act stays in words."""
    reading = cda.read(example("VSM_1.4_2022.01.xml"))
    document = reading.document
    assert isinstance(document, MedicalSummary)
    assert document.profile == "VSM-2023.01"
    assert counts(document) == {
        "problems": 2,
        "history": 2,
        "procedures": 1,
        "allergies": 1,
        "lifestyle": 2,
        "family_history": 1,
        "treatments": 2,
    }
    assert document.vigilance is not None
    assert document.vigilance.startswith("ECG Hémibloc")
    assert document.occupational_risks is not None
    assert [item.name for item in reading.loss.items if item.fate is not Fate.CARRIED] == ["author"]
    assert not reading.loss.refuses


def test_words_beside_a_medicine_are_kept_with_their_structure() -> None:
    """The official narrative says "1 cp/j" where the entry says another dose: both are kept, nobody chooses."""
    treatments = summary(example("VSM_1.4_2022.01.xml")).treatments
    assert treatments is not None
    first = treatments.entries[0]
    assert first.posology.text == "1 cp/j"
    assert first.posology.dosage is not None
    assert first.posology.dosage.dose is not None
    assert first.period is not None
    assert first.period.start == "2019-08-11"
    assert first.posology.dosage.period is None


def test_the_official_ips_is_read_whole() -> None:
    """Every section and entry accounted for; what has no place in the hub is kept in words."""
    data = example("IPS-FR_2024.01.xml")
    reading = cda.read(data)
    document = reading.document
    assert isinstance(document, MedicalSummary)
    assert document.profile == "IPS-FR-2024.01"
    assert counts(document) == {
        "problems": 5,
        "history": 2,
        "procedures": 2,
        "allergies": 1,
        "treatments": 1,
        "devices": 2,
        "functional_status": 3,
        "vital_signs": 1,
        "lifestyle": 4,
        "family_history": 1,
        "immunizations": 2,
        "pregnancies": 4,
        "care_plan": 9,
        "results": 2,
    }
    assert document.vigilance is not None
    assert "Effets indésirables prévisibles liés aux médicaments" in document.vigilance
    assert document.advance_directives is not None
    assert [each.label for each in document.attachments] == [
        "Directives anticipées",
        "Attestation de la carte vitale",
        "Attestation de mutuelle",
    ]
    assert not reading.loss.refuses
    root = tree(data)
    for path in ("//h:structuredBody//h:section", "//h:structuredBody//h:entry"):
        for element in find(root, path):
            where = root.getroottree().getelementpath(element).replace(V3, "")
            steps = [f"/ClinicalDocument/{where}", f"/ClinicalDocument/{where}".replace("[1]", "")]
            assert any(item.place.replace("[1]", "") in steps for item in reading.loss.items), where


@pytest.mark.parametrize("name", ["VSM_1.4_2022.01.xml", "IPS-FR_2024.01.xml"])
def test_an_official_example_comes_back(name: str) -> None:
    """Read, written and read again: the same entries, nothing more is lost."""
    first = summary(example(name))
    data = cda.write(first).data
    again = cda.read(data)
    assert counts(again.document) == counts(first)  # type: ignore[arg-type]
    assert not again.loss.refuses
    for part in ("problems", "allergies", "treatments"):
        assert getattr(again.document, part) == getattr(first, part)


@pytest.mark.parametrize("name", ["VSM_1.4_2022.01.xml", "IPS-FR_2024.01.xml"])
def test_an_official_example_survives_fhir(name: str) -> None:
    """CDA, Bundle and CDA again: no clinical loss on any leg, and the same number of entries."""
    first = summary(example(name))
    bundle = fhir.write(first)
    back = fhir.read(bundle.bundle)
    last = cda.write(back.document)
    assert [each.loss.refuses for each in (bundle, back, last)] == [False, False, False]
    assert counts(summary(last.data)) == counts(first)


# --- Metamorphic ----------------------------------------------------------------------------------

ENTRIES = {
    "11450-4": "problems",
    "11348-0": "history",
    "47519-4": "procedures",
    "48765-2": "allergies",
    "29762-2": "lifestyle",
    "10157-6": "family_history",
    "10160-0": "treatments",
}


@pytest.mark.parametrize("code", sorted(ENTRIES))
def test_without_an_entry_only_that_entry_is_missing(code: str) -> None:
    """Removed from the source, it is absent from the result, and nothing else changes."""
    value = documents.summary()
    for part in ("problems", "history", "procedures", "allergies", "lifestyle", "familyHistory", "treatments"):
        value[part]["entries"] = [copy.deepcopy(value[part]["entries"][0]) for _ in range(3)]
    data = data_of(value)
    before = summary(data)
    after = summary(changed(data, remove(f"//h:section[h:code/@code='{code}']/h:entry[2]")))
    name = ENTRIES[code]
    part = getattr(before, name)
    kept = part.model_copy(update={"entries": (part.entries[0], part.entries[2])})
    # The words of a removed posology stay in the narrative, without a reference: they are not repeated.
    assert getattr(after, name).entries == kept.entries
    assert after.model_copy(update={name: None}) == before.model_copy(update={name: None})


def test_an_unknown_entry_is_named_and_its_words_kept() -> None:
    """An entry of an unknown template: the report names the template, the section keeps its words."""

    def add(root: etree._Element) -> None:
        section = one(root, "//h:section[h:code/@code='11450-4']")
        paragraph = etree.SubElement(one(section, "h:text"), f"{V3}paragraph", {"ID": "inconnu"})
        paragraph.text = "Constat inconnu"
        entry = etree.SubElement(section, f"{V3}entry")
        act = etree.SubElement(entry, f"{V3}encounter", {"classCode": "ENC", "moodCode": "EVN"})
        etree.SubElement(act, f"{V3}templateId", {"root": "1.2.3.4.5"})
        text = etree.SubElement(act, f"{V3}text")
        etree.SubElement(text, f"{V3}reference", {"value": "#inconnu"})

    reading = cda.read(changed(data_of(documents.summary()), add))
    (item,) = [each for each in reading.loss.items if each.fate is not Fate.CARRIED]
    assert item.fate is Fate.TEXT_ONLY
    assert item.name == "encounter 1.2.3.4.5"
    assert item.place.endswith("/section/entry[2]")
    problems = summary(changed(data_of(documents.summary()), add)).problems
    assert problems is not None
    assert problems.text == "Constat inconnu"


def test_an_unknown_entry_without_words_is_a_clinical_loss() -> None:
    """Nothing to read: the conversion must not pass unless the caller allows it."""

    def add(root: etree._Element) -> None:
        section = one(root, "//h:section[h:code/@code='11450-4']")
        act = etree.SubElement(etree.SubElement(section, f"{V3}entry"), f"{V3}encounter")
        etree.SubElement(act, f"{V3}templateId", {"root": "1.2.3.4.5"})

    assert cda.read(changed(data_of(documents.summary()), add)).loss.refuses


def test_an_unknown_section_keeps_its_words() -> None:
    """A section that the hub does not have: its words join the points of vigilance, under its title."""

    def change(root: etree._Element) -> None:
        section = one(root, "//h:section[h:code/@code='11348-0']")
        for template in find(section, "h:templateId"):
            section.remove(template)
        one(section, "h:code").set("code", "99999-9")
        one(section, "h:title").text = "Autre"

    reading = cda.read(changed(data_of(documents.summary()), change))
    document = reading.document
    assert isinstance(document, MedicalSummary)
    assert document.history is None
    assert document.vigilance is not None
    assert "Autre :\n" in document.vigilance
    assert "Pneumopathie" in document.vigilance
    assert "section 99999-9" in {item.name for item in reading.loss.items if item.fate is Fate.TEXT_ONLY}
    assert not reading.loss.refuses


@pytest.mark.parametrize(
    ("code", "tag"), [("11450-4", "problems"), ("48765-2", "allergies"), ("10160-0", "treatments")]
)
def test_a_section_is_known_by_its_code_too(code: str, tag: str) -> None:
    """Templates are often incomplete in the field."""
    data = changed(data_of(documents.summary()), remove(f"//h:section[h:code/@code='{code}']/h:templateId"))
    assert getattr(summary(data), tag) == getattr(summary(data_of(documents.summary())), tag)


# --- None, no information, negation ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("problems", "no-known-problems"),
        ("procedures", "no-known-procedures"),
        ("allergies", "no-known-allergies"),
        ("treatments", "no-known-medications"),
    ],
)
def test_none_and_no_information_are_told_apart(name: str, code: str) -> None:
    """By the code, whatever the words."""
    value = documents.summary()
    value[name] = {"absence": "none-known"}
    data = data_of(value)
    assert getattr(summary(data), name) == Section(absence=Absence.NONE_KNOWN)
    unknown = code.replace("no-known-", "no-").removesuffix("s").replace("allergie", "allergy") + "-info"
    other = changed(data, setting(f"//*[@code='{code}']", "code", unknown))
    assert getattr(summary(other), name) == Section(absence=Absence.NO_INFORMATION)


def test_a_partial_statement_is_not_a_general_one() -> None:
    """No known food allergy does not say that there is no allergy: the words are kept."""
    value = documents.summary()
    value["allergies"] = {"absence": "none-known"}

    def narrow(root: etree._Element) -> None:
        coded = one(root, "//*[@code='no-known-allergies']")
        coded.set("code", "no-known-food-allergies")
        anchor = one(coded, "h:originalText/h:reference").get("value", "").removeprefix("#")
        one(root, f"//*[@ID='{anchor}']").text = "Aucune allergie alimentaire connue"

    allergies = summary(changed(data_of(value), narrow)).allergies
    assert allergies == Section(text="Aucune allergie alimentaire connue")


@pytest.mark.parametrize(
    ("path", "name", "words"),
    [
        ("//h:section[h:code/@code='11450-4']//h:observation[h:value/@code='E11.9']", "problems", "Absence de"),
        ("//h:procedure", "procedures", "Non réalisé"),
        ("//h:section[h:code/@code='48765-2']//h:observation[h:participant]", "allergies", "Pas d'allergie"),
        ("//h:section[h:code/@code='10160-0']//h:substanceAdministration", "treatments", "Ne prend pas"),
    ],
)
def test_what_is_denied_is_never_read_as_present(path: str, name: str, words: str) -> None:
    """A negated entry becomes words, said as a negation."""
    data = changed(data_of(documents.summary()), setting(path, "negationInd", "true"))
    found = getattr(summary(data), name)
    assert found.entries == ()
    assert found.text.startswith(words)
    assert fates(data)["textOnly"] >= 1


# --- Words ----------------------------------------------------------------------------------------


def test_words_of_a_flat_wrapper_are_kept() -> None:
    """A VSM may say all of a chapter in one text."""
    value = documents.summary()
    value |= dict.fromkeys(("problems", "history", "procedures", "allergies"))

    def say(root: etree._Element) -> None:
        one(root, "//h:section[h:code/@code='34117-2']/h:text/h:paragraph").text = "Aucun antécédent notable"

    document = summary(changed(data_of(value), say))
    assert document.problems == Section(text="Aucun antécédent notable")
    assert document.history is None


def test_what_an_entry_holds_beyond_the_model_is_kept_in_words() -> None:
    """Site, method, author: said in the text of the section, and in the report."""

    def add(root: etree._Element) -> None:
        act = one(root, "//h:procedure")
        index = list(act).index(one(act, "h:effectiveTime"))
        site = etree.Element(f"{V3}targetSiteCode", {"code": "1", "codeSystem": "1.2.3", "displayName": "cæcum"})
        act.insert(index + 1, site)

    procedures = summary(changed(data_of(documents.summary()), add)).procedures
    assert procedures is not None
    assert procedures.text == "Appendicectomie (localisation) : cæcum"
    assert len(procedures.entries) == 1


def test_paragraphs_that_no_entry_refers_to_are_words() -> None:
    """Beside the entries, wherever they stand; what an entry refers to is not repeated."""

    def add(root: etree._Element) -> None:
        text = one(root, "//h:section[h:code/@code='11450-4']/h:text")
        etree.SubElement(text, f"{V3}paragraph").text = "Revu avec le patient"

    problems = summary(changed(data_of(documents.summary()), add)).problems
    assert problems is not None
    assert problems.text == "Revu avec le patient"


def test_a_second_section_of_a_kind_is_added_to_the_first() -> None:
    """Nothing is dropped because it comes twice."""

    def twice(root: etree._Element) -> None:
        component = one(root, "//h:component[h:section/h:code/@code='11450-4']")
        component.addnext(copy.deepcopy(component))

    problems = summary(changed(data_of(documents.summary()), twice)).problems
    assert problems is not None
    assert len(problems.entries) == 2


def test_a_joined_file_that_cannot_be_read_is_a_clinical_loss() -> None:
    """Not base64: the entry is named, the conversion must not pass unless allowed."""
    value = documents.summary() | {"attachments": [{"title": "Directives", "content": documents.PDF}]}

    def spoil(root: etree._Element) -> None:
        one(root, "//h:section[h:code/@code='55107-7']//h:observationMedia/h:value").text = "é"

    data = data_of(value)
    assert [each.title for each in summary(data).attachments] == ["Directives"]
    spoilt = cda.read(changed(data, spoil))
    assert isinstance(spoilt.document, MedicalSummary)
    assert spoilt.document.attachments == ()
    assert spoilt.loss.refuses


# --- Bad input ------------------------------------------------------------------------------------


def test_an_end_before_its_start_is_a_loss() -> None:
    """The start is kept, the contradiction is said and is clinical."""
    data = changed(
        data_of(documents.summary()),
        setting("//h:section[h:code/@code='11348-0']//h:observation/h:effectiveTime/h:high", "value", "1990"),
    )
    reading = cda.read(data)
    assert isinstance(reading.document, MedicalSummary)
    assert reading.document.history is not None
    assert reading.document.history.entries[0].period.end is None
    assert reading.loss.refuses


def test_too_many_entries_are_named_in_bounded_time() -> None:
    """The hub's bound is kept, each entry beyond is a clinical loss."""

    def crowd(root: etree._Element) -> None:
        section = one(root, "//h:section[h:code/@code='47519-4']")
        entry = one(section, "h:entry")
        for _ in range(2_499):
            section.append(copy.deepcopy(entry))

    data = changed(data_of(documents.summary()), crowd)
    start = time.process_time()
    reading = cda.read(data)
    assert time.process_time() - start < 5
    assert isinstance(reading.document, MedicalSummary)
    assert reading.document.procedures is not None
    assert len(reading.document.procedures.entries) == 2000
    assert sum(item.fate is Fate.LOST for item in reading.loss.items) == 500
    assert reading.loss.refuses


def test_words_beyond_the_bound_are_reported() -> None:
    """A text of a megabyte is cut, and said to be."""

    def swell(root: etree._Element) -> None:
        text = one(root, "//h:section[h:code/@code='11450-4']/h:text")
        etree.SubElement(text, f"{V3}paragraph").text = "mot " * 200_000

    reading = cda.read(changed(data_of(documents.summary()), swell))
    assert isinstance(reading.document, MedicalSummary)
    assert reading.document.problems is not None
    assert 19_990 < len(reading.document.problems.text or "") <= 20_000
    assert reading.loss.refuses


@pytest.mark.parametrize(
    "change",
    [
        remove("//h:section[h:code/@code='11450-4']//h:value"),
        remove("//h:section[h:code/@code='48765-2']//h:participant"),
        remove("//h:section[h:code/@code='10160-0']//h:consumable"),
        remove("//h:section[h:code/@code='29762-2']//h:observation/h:value"),
        remove("//h:section[h:code/@code='10157-6']//h:component"),
        remove("//h:section/h:text"),
        remove("//h:section/h:code"),
        setting("//h:statusCode", "code", "inventé"),
        setting("//h:effectiveTime/h:low", "value", "hier"),
    ],
)
def test_incomplete_entries_never_raise(change: Callable[[etree._Element], None]) -> None:
    """What is left is read, what is missing is reported."""
    assert isinstance(cda.read(changed(data_of(documents.summary()), change)).document, MedicalSummary)
