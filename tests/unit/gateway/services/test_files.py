"""Reports in RTF, JPEG or TIFF: made into a PDF before a CDA is written, whatever the way they come in."""

from __future__ import annotations

import base64
import io
from typing import Any

import orjson
import pytest
from PIL import Image

from gateway.services.checks import judge
from gateway.services.convert import ConvertRefused, translate
from gateway.services.files import as_pdf
from gateway.services.intake import IntakeOptions, IntakeRefused, convert
from mappings import cda, fhir
from tests.support import documents

RTF = rb"{\rtf1\ansi Compte rendu d'op\'e9ration\par}"
RTF_WITH_IMAGE = rb"{\rtf1\ansi Logo {\pict\pngblip 89504e47}\par Compte rendu\par}"


def picture(form: str) -> bytes:
    """A small picture."""
    out = io.BytesIO()
    Image.new("RGB", (40, 60), "white").save(out, form)
    return out.getvalue()


FILES = {"text/rtf": RTF, "image/jpeg": picture("JPEG"), "image/tiff": picture("TIFF")}


def report(media_type: str, content: bytes) -> Any:
    """A report whose file is of some type."""
    value = documents.report() | {"mediaType": media_type, "content": base64.b64encode(content).decode()}
    return documents.load(value)


def sent(media_type: str, content: bytes, form: str) -> bytes:
    """The same as a vendor sends it."""
    document = report(media_type, content)
    if form == "fhir":
        return orjson.dumps(fhir.write(document).bundle)
    return bytes(document.model_dump_json(by_alias=True, exclude_none=True).encode())


@pytest.mark.parametrize("form", ["json", "fhir"])
@pytest.mark.parametrize("media_type", sorted(FILES))
def test_a_report_in_another_form_comes_in_as_a_pdf(media_type: str, form: Any) -> None:
    """Model, CDA and Bundle all carry the PDF."""
    made = convert(sent(media_type, FILES[media_type], form), form, IntakeOptions(fresh_oid="2.25.1"))
    read = cda.read(made.cda).document
    assert read.kind == "report"
    assert (read.media_type, read.content[:8]) == ("application/pdf", b"%PDF-1.4")
    assert made.pdf == read.content
    again: Any = fhir.read(orjson.loads(made.fhir)).document
    assert again.content == read.content
    # The shape of the INS checks is FHIR's alone: nothing else is lost.
    assert {item["place"] for item in made.loss["items"]} <= {"/patient/insCheckedOn", "/patient/proof"}


def test_a_cda_that_carries_a_picture_is_read_and_written_with_a_pdf() -> None:
    """Level 1 documents of others carry pictures; ours never do."""
    pdf = base64.b64encode(documents.PDF)
    data = cda.write(documents.load(documents.report())).data
    met = data.replace(pdf, base64.b64encode(FILES["image/jpeg"])).replace(b"application/pdf", b"image/jpeg")
    assert met != data
    done = translate(met, "cda")
    assert b'mediaType="application/pdf"' in done.data
    as_it_was = orjson.loads(translate(met, "json").data)
    assert as_it_was["mediaType"] == "image/jpeg"


def test_what_the_pdf_does_not_show_is_in_the_report() -> None:
    """The picture of an RTF file: lost, said on the page and in the report; the text is carried."""
    done = translate(sent("text/rtf", RTF_WITH_IMAGE, "json"), "cda")
    lost = [item for item in done.loss.as_json()["items"] if item["place"] == "/content"]  # type: ignore[attr-defined]
    assert [(item["fate"], item["name"]) for item in lost] == [("lost", "image")]


@pytest.mark.parametrize("media_type", sorted(FILES))
def test_a_file_that_is_not_of_its_type_is_refused_by_name(media_type: str) -> None:
    """At every door; the content is not quoted."""
    data = sent(media_type, b"\x00\x01 DUPONT", "json")
    with pytest.raises(IntakeRefused) as refused:
        convert(data, "json", IntakeOptions(fresh_oid="2.25.1"))
    with pytest.raises(ConvertRefused) as not_converted:
        translate(data, "cda")
    for findings in (refused.value.findings, not_converted.value.findings, judge(data).verdict.findings):
        told = next(each for each in findings if each.code == "DOC-FILE-001")
        assert told.location == "/content"
        assert "DUPONT" not in str(told.as_json())


def test_other_documents_stay_as_they_are() -> None:
    """A PDF, a text, a prescription."""
    for value in (documents.report(), documents.prescription()):
        document = documents.load(value)
        assert as_pdf(document)[0] is document
