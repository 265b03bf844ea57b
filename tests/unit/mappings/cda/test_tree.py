"""The tree a CDA is written as: its bytes are those libxml2 makes of the same tree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.cda import writing
from mappings.cda.build import PHARM, SDTC, V3, XSI_TYPE, root_element, sub, templates, text_element
from mappings.cda.tree import ACCESSION, Element, grown, sub_element, written
from security.xml import CDA_LIMITS, canonical, parse
from tests.support import documents

_TEXT = st.text(alphabet="aé<>&\"'\t\n\r \u00a0\U0001f600]", max_size=12)
_TAGS = st.sampled_from([f"{V3}id", f"{V3}text", f"{{{PHARM}}}name", f"{{{SDTC}}}deceasedInd"])
_NAMES = st.sampled_from(["root", "ID", "code", "codeSystem", XSI_TYPE, f"{{{SDTC}}}valueSet"])


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> Element:
    """Elements of every namespace, with texts before, between and after."""
    made = Element(draw(_TAGS), draw(st.dictionaries(_NAMES, _TEXT, max_size=4)))
    made.text = draw(st.none() | _TEXT)
    for _ in range(draw(st.integers(0, 3)) if depth else 0):
        if draw(st.booleans()):
            inner = draw(trees(depth=depth - 1))
            inner.tail = draw(st.none() | _TEXT)
            made.append(inner)
        else:
            templates(made, draw(st.lists(st.sampled_from(["1.2", "1.3.4"]), max_size=3)))
    return made


@given(inner=trees())
def test_the_bytes_are_those_of_libxml2(inner: Element) -> None:
    """Order of attributes, escapes, empty elements: canonical form, which reading again does not change."""
    root = root_element("ClinicalDocument")
    root.append(inner)
    data = written(root)
    assert data == canonical(grown(root))
    assert data == canonical(parse(data, CDA_LIMITS))


@pytest.mark.parametrize("make", [documents.report, documents.prescription, documents.dispensation, documents.summary])
def test_so_are_those_of_whole_documents(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each kind of document."""
    document = documents.load(make(94_001))
    data = writing.write(document, pdf=documents.PDF).data
    monkeypatch.setattr(writing, "written", lambda root: canonical(grown(root)))
    assert data == writing.write(document, pdf=documents.PDF).data
    assert data == canonical(parse(data, CDA_LIMITS))


def test_a_rare_namespace_is_declared_where_it_stands() -> None:
    """As DICOM's accession number asks."""
    root = root_element("ClinicalDocument")
    sub_element(sub(root, "order"), f"{{{ACCESSION}}}accessionNumber", {"root": "1.2", "extension": "A&B"})
    data = written(root)
    assert b'<ps3-20:accessionNumber xmlns:ps3-20="urn:dicom-org:ps3-20" extension="A&amp;B" root="1.2">' in data
    assert data == canonical(grown(root))


def test_markup_of_others_is_kept_as_it_was_read() -> None:
    """Its comments and its own namespaces included; the rest of the document is the same."""
    markup = b'<text xmlns="urn:hl7-org:v3"><!-- un --><list xmlns:a="urn:a" a:b="1"><item>deux</item></list></text>'
    root = root_element("ClinicalDocument")
    templates(root, ["1.2.3"])
    root.append(parse(markup, CDA_LIMITS))
    text_element(root, "title", "trois")
    data = written(root)
    assert b'<templateId root="1.2.3"></templateId><text><!-- un --><list xmlns:a="urn:a" a:b="1"><item>' in data
    assert data.endswith(b"</text><title>trois</title></ClinicalDocument>")


@pytest.mark.parametrize("wrong", ["\x00", "a\x1fb", "\x0b", "\ud800", "\ufffe", "\uffff"])
@pytest.mark.parametrize("where", ["text", "tail", "value"])
def test_what_xml_cannot_hold_is_refused(wrong: str, where: str) -> None:
    """Wherever it stands, as libxml2 refuses it."""
    root = root_element("ClinicalDocument")
    inner = text_element(root, "title", wrong if where == "text" else "a", ID=wrong if where == "value" else "b")
    inner.tail = wrong if where == "tail" else None
    with pytest.raises(ValueError, match=r"XML|surrogates"):
        written(root)


@pytest.mark.parametrize("right", ["\u007f", "\u0085", "\ufffd", "\uffee", "\U0001ffff", "\t\n\r"])
def test_what_xml_can_hold_is_written(right: str) -> None:
    """Rare as it is."""
    root = root_element("ClinicalDocument")
    text_element(root, "title", right)
    assert parse(written(root), CDA_LIMITS)[0].text == right


def test_an_element_holds_what_was_added_last() -> None:
    """For the words that follow it."""
    root = root_element("text")
    with pytest.raises(LookupError):
        _ = root.last
    inner = sub(root, "br")
    assert root.last is inner
    assert (bool(inner), len(inner), len(root)) == (True, 0, 1)
