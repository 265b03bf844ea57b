"""Any other CDA: read without raising, every section and entry accounted for, written again with its words."""

from __future__ import annotations

from typing import Any

import pytest

from mappings import cda
from mappings.document import OtherDocument
from mappings.loss import Fate
from tests.support import documents, outside
from tests.unit.mappings.cda.support import changed, data_of, find, one, remove, setting, tree

BIOLOGY = """<structuredBody xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xmlns:lab="urn:oid:1.3.6.1.4.1.19376.1.3.2"><component><section>
<templateId root="1.3.6.1.4.1.19376.1.3.3.2.1"/><id root="11111111-2222-4333-8444-555555555555"/>
<code code="18719-5" displayName="Biochimie" codeSystem="2.16.840.1.113883.6.1"/><title>Biochimie</title>
<component><section><code code="18720-3" displayName="Glycémie" codeSystem="2.16.840.1.113883.6.1"/>
<title>Glycémie</title>
<text><table><tbody><tr><td><content ID="g1">Glucose</content></td><td>5,1 mmol/L</td></tr></tbody></table>
<renderMultiMedia referencedObject="img1"/></text>
<entry><templateId root="1.3.6.1.4.1.19376.1.3.1"/><act classCode="ACT" moodCode="EVN"><code nullFlavor="NA"/>
<entryRelationship typeCode="COMP"><organizer classCode="BATTERY" moodCode="EVN">
<code code="24320-4" displayName="Glycémie" codeSystem="2.16.840.1.113883.6.1"/><statusCode code="completed"/>
<effectiveTime value="20261119081500+0100"/>
<component><observation classCode="OBS" moodCode="EVN"><id root="11111111-2222-4333-8444-666666666666"/>
<code code="14749-6" displayName="Glucose" codeSystem="2.16.840.1.113883.6.1"/><text><reference value="#g1"/></text>
<effectiveTime value="20261119081500+0100"/><value xsi:type="PQ" value="5.1" unit="mmol/L"/>
<interpretationCode code="N" codeSystem="2.16.840.1.113883.5.83"/>
<referenceRange><observationRange/></referenceRange></observation></component>
<component><observation classCode="OBS" moodCode="EVN">
<code code="2345-7" displayName="Rapport" codeSystem="2.16.840.1.113883.6.1"/>
<value xsi:type="RTO_PQ_PQ"><numerator value="1"/><denominator value="64"/></value></observation></component>
<component><procedure classCode="PROC" moodCode="EVN"><code nullFlavor="NA"/></procedure></component>
</organizer></entryRelationship></act></entry>
<entry><encounter classCode="ENC" moodCode="EVN"><templateId root="9.9.9"/></encounter></entry>
<entry><observationMedia classCode="OBS" moodCode="EVN" ID="img1">
<value mediaType="image/png" representation="B64">iVBORw0KGgo=</value></observationMedia></entry>
</section></component></section></component></structuredBody>"""


@pytest.fixture
def biology() -> bytes:
    """A laboratory report: nested sections, a battery of observations, an image, an entry of an unknown family."""

    def change(root: Any) -> None:
        component = one(root, "h:component")
        component.clear()
        component.append(tree(BIOLOGY.encode()))

    return changed(data_of(documents.report()), change)


def other(reading: cda.CdaReading) -> OtherDocument:
    """The document that was read."""
    assert isinstance(reading.document, OtherDocument)
    return reading.document


def test_sections_are_kept_with_their_words(biology: bytes) -> None:
    """Nested as they were, text and markup."""
    document = other(cda.read(biology))
    (outer,) = document.sections
    assert (outer.title, outer.text, outer.templates) == ("Biochimie", None, ("1.3.6.1.4.1.19376.1.3.3.2.1",))
    (inner,) = outer.sections
    assert inner.text == "Glucose 5,1 mmol/L"
    assert inner.markup is not None
    assert inner.markup.startswith('<text xmlns="urn:hl7-org:v3"><table>')
    assert [(each.anchor, each.media_type) for each in inner.attachments] == [("img1", "image/png")]


def test_entries_of_a_known_family_are_read(biology: bytes) -> None:
    """A group of results with their values, whatever the acts around it."""
    (entry,) = other(cda.read(biology)).sections[0].sections[0].entries
    assert entry.results is not None
    assert entry.content is entry.results
    glucose, ratio = entry.results.results
    assert glucose.value.quantity is not None
    assert (str(glucose.value.quantity.value), glucose.value.quantity.unit) == ("5.1", "mmol/L")
    assert glucose.observed_at == "2026-11-19T08:15:00+01:00"
    assert ratio.value.text == "1/64"


def test_entries_of_a_summary_are_read_in_any_document() -> None:
    """A liaison letter with a treatment, a problem and an allergy: by the template of the entry."""
    data = changed(data_of(documents.summary()), setting("/h:ClinicalDocument/h:templateId[3]", "root", "1.2.3.4"))
    found: dict[str, int] = {}

    def walk(sections: Any) -> None:
        for section in sections:
            for entry in section.entries:
                name = next(n for n in type(entry).model_fields if getattr(entry, n) is not None)
                found[name] = found.get(name, 0) + 1
            walk(section.sections)

    walk(other(cda.read(data)).sections)
    assert found == {
        "problem": 2,
        "procedure": 1,
        "allergy": 1,
        "lifestyle": 1,
        "family": 1,
        "treatment": 1,
    }


def test_the_report_accounts_for_every_section_and_entry(biology: bytes) -> None:
    """Carried, or kept in words: the unknown template is named."""
    root = tree(biology)
    reading = cda.read(biology)
    named = {item.place: item for item in reading.loss.items}
    sections, entries = find(root, "//h:section"), find(root, "//h:entry")
    assert sum(item.name == "section" and item.fate is Fate.CARRIED for item in named.values()) == len(sections)
    body = "/ClinicalDocument/component/structuredBody/component/section/component/section"
    assert [named[f"{body}/entry[{i + 1}]"].fate for i in range(len(entries))] == ["carried", "textOnly", "carried"]
    assert "9.9.9" in named[f"{body}/entry[2]"].name
    assert not reading.loss.refuses


def test_an_entry_without_words_nor_family_is_lost(biology: bytes) -> None:
    """A section without text keeps nothing of it: clinical."""

    def mute(root: Any) -> None:
        remove("//h:section/h:text")(root)

    assert cda.read(changed(biology, mute)).loss.refuses


def test_it_is_written_again_with_its_words_and_files(biology: bytes) -> None:
    """The entries are told as kept in words; the markup is the same to the byte."""
    document = other(cda.read(biology))
    out = cda.write(document)
    again = other(cda.read(out.data))
    kept = again.sections[0].sections[0]
    before = document.sections[0].sections[0]
    assert (kept.markup, kept.text, kept.attachments, kept.id) == (
        before.markup,
        before.text,
        before.attachments,
        kept.id,
    )
    assert [item.place for item in out.loss.items if item.fate is Fate.TEXT_ONLY] == [
        "/sections/0/sections/0/entries/0"
    ]


@pytest.mark.parametrize("markup", ["<b/>", "<text xmlns='urn:hl7-org:v3'>", "<!DOCTYPE a><a/>", "texte"])
def test_markup_that_is_no_narrative_block_is_refused(biology: bytes, markup: str) -> None:
    """It came from outside: the hardened parser reads it, and only a text element passes."""
    value = other(cda.read(biology)).model_dump()
    value["sections"][0]["markup"] = markup
    with pytest.raises(cda.Unwritable) as caught:
        cda.write(documents.load(value))
    assert (caught.value.code, caught.value.place) == ("CDA-WRITE-006", "/sections/0/markup")


def test_words_without_markup_become_paragraphs(biology: bytes) -> None:
    """A document made from another form has words alone."""
    value = other(cda.read(biology)).model_dump()
    value["sections"] = [{"title": "Conclusion", "text": "Rien à signaler\nÀ revoir"}]
    root = tree(cda.write(documents.load(value)).data)
    assert [e.text for e in find(root, "//h:section/h:text/h:paragraph")] == ["Rien à signaler", "À revoir"]


NAMES = (
    "IPS-FR_2024.01",
    "VSM_1.4_2022.01",
    "eDISP-MED_2024.01",
    "eP-MED-DM_2024.01_PosoStruct",
    "eP-MED-DM_2024.01_PosoNonStruct",
)


@pytest.mark.parametrize("name", NAMES)
def test_any_official_document_passes_the_tolerant_reader(name: str) -> None:
    """With its template unknown, each is still read whole: no section missing, every entry named in the report."""
    data = (outside.packs() / "ans-cda" / "ExemplesCDA" / f"{name}.xml").read_bytes()
    unknown = changed(data, setting("/h:ClinicalDocument/h:templateId[position()>2]", "root", "1.2.3.4"))
    reading = cda.read(unknown)
    root = tree(unknown)
    places = [item.place for item in reading.loss.items]
    assert len([p for p in places if p.rpartition("/")[2].startswith("section")]) == len(find(root, "//h:section"))
    entries = [p for p in places if p.rpartition("/")[2].partition("[")[0] == "entry"]
    assert len(entries) == len(find(root, "//h:section/h:entry"))
    assert len(other(reading).sections) == len(find(root, "//h:structuredBody/h:component"))
    assert other(cda.read(cda.write(other(reading)).data)).sections[0].title == other(reading).sections[0].title
