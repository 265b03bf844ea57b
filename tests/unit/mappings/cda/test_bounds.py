"""Bad input: contradictory, enormous, deep; named findings or a refusal, in bounded time and memory."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest

from mappings import cda
from mappings.document import OtherDocument
from security.errors import UnsafeInput
from tests.support import documents
from tests.unit.mappings.cda.support import changed, data_of, find, one, setting

PRESCRIPTION = data_of(documents.prescription())
REPORT = data_of(documents.report())
UNKNOWN = setting("/h:ClinicalDocument/h:templateId[position()>2]", "root", "1.2.3.4")


def test_two_patients_are_refused() -> None:
    """A document about two people is about nobody."""

    def double(root: Any) -> None:
        target = one(root, "h:recordTarget")
        target.addnext(copy.deepcopy(target))

    with pytest.raises(cda.NotCda) as caught:
        cda.read(changed(REPORT, double))
    assert caught.value.code == "CDA-READ-003"


def test_more_lines_than_the_model_holds_are_refused_by_name() -> None:
    """The error says which member does not fit; nothing is cut in silence."""

    def many(root: Any) -> None:
        entry = find(root, "//h:entry[h:substanceAdministration]")[0]
        for _ in range(250):
            entry.addnext(copy.deepcopy(entry))

    with pytest.raises(cda.NotCda) as caught:
        cda.read(changed(PRESCRIPTION, many))
    assert caught.value.code == "CDA-READ-005"
    assert "lines" in str(caught.value)


def test_ten_thousand_entries_are_accounted_for_in_bounded_time() -> None:
    """Each has its place; the time grows with their number, not with its square."""

    def many(root: Any) -> None:
        section = one(root, "//h:section[h:code/@code='55112-7']")
        for _ in range(10_000):
            entry = section.makeelement("{urn:hl7-org:v3}entry")
            entry.append(section.makeelement("{urn:hl7-org:v3}act"))
            section.append(entry)

    value = documents.prescription() | {"comment": "x"}
    data = changed(changed(data_of(value), UNKNOWN), many)
    start = time.process_time()
    reading = cda.read(data)
    assert time.process_time() - start < 10
    places = {item.place for item in reading.loss.items if item.name == "act"}
    assert len(places) == 10_000


def test_a_huge_narrative_is_kept_or_named() -> None:
    """Within the bound of the hub it is kept; beyond, the report names what is left out, as clinical."""

    def long(root: Any) -> None:
        paragraph = one(root, "//h:section[h:code/@code='55112-7']/h:text/h:paragraph/h:content")
        paragraph.text = "mot " * 200_000

    value = documents.prescription() | {"comment": "x"}
    reading = cda.read(changed(changed(data_of(value), UNKNOWN), long))
    assert isinstance(reading.document, OtherDocument)
    assert any(item.name == "text" and item.clinical for item in reading.loss.items)
    assert reading.loss.refuses


def test_a_comment_too_long_is_a_clinical_loss() -> None:
    """The caller decides: nothing is cut in silence."""
    value = documents.prescription() | {"comment": "x"}

    def long(root: Any) -> None:
        one(root, "//h:section[h:code/@code='55112-7']/h:text/h:paragraph/h:content").text = "mot " * 2000

    reading = cda.read(changed(data_of(value), long))
    assert {item.name for item in reading.loss.items if item.fate == "lost"} == {"comment"}
    assert reading.loss.refuses


def test_a_title_too_long_is_cut_and_said() -> None:
    """The only text that is: it identifies nothing."""
    reading = cda.read(changed(REPORT, lambda root: setattr(one(root, "h:title"), "text", "mot " * 200)))
    assert len(reading.document.title) <= 255
    assert [item.name for item in reading.loss.items if item.fate == "textOnly"] == ["title"]


@pytest.mark.parametrize("depth", [40, 400])
def test_deep_nesting_is_read_or_refused_by_the_parser(depth: int) -> None:
    """Sections in sections, as deep as the parser lets them."""
    opening = '<component><section><title xmlns="urn:hl7-org:v3">t</title>' * depth
    closing = "</section></component>" * depth
    body = f'<structuredBody xmlns="urn:hl7-org:v3">{opening}{closing}</structuredBody>'.encode()
    start, end = REPORT.index(b"<nonXMLBody"), REPORT.index(b"</nonXMLBody>") + len(b"</nonXMLBody>")
    data = REPORT[:start] + body + REPORT[end:]
    if depth > 100:
        with pytest.raises(UnsafeInput):
            cda.read(data)
        return
    document = cda.read(data).document
    assert isinstance(document, OtherDocument)
    levels, sections = 0, document.sections
    while sections:
        levels, sections = levels + 1, sections[0].sections
    assert levels == depth


def test_a_dose_without_unit_and_an_end_before_its_start_are_read_and_said() -> None:
    """Nothing says of what the dose is; a reversed period keeps its start."""

    def change(root: Any) -> None:
        line = find(root, "//h:entry/h:substanceAdministration")[0]
        for each in find(line, "h:doseQuantity/*"):
            del each.attrib["unit"]
        one(line, "h:effectiveTime/h:high").set("value", "20200101")

    reading = cda.read(changed(PRESCRIPTION, change))
    assert [finding.code for finding in reading.findings] == ["CDA-READ-104", "CDA-READ-109"]
    assert reading.loss.refuses


def test_a_loop_of_references_is_read_once() -> None:
    """An ID inside the text it refers to: the reader follows one step."""

    def loop(root: Any) -> None:
        content = one(root, "//h:section[h:code/@code='55112-7']/h:text/h:paragraph/h:content")
        reference = content.makeelement("{urn:hl7-org:v3}reference", {"value": f"#{content.get('ID')}"})
        content.append(reference)

    value = documents.prescription() | {"comment": "x"}
    assert cda.read(changed(data_of(value), loop)).document.kind == "prescription"
