"""The form a reader asks for, and a document given in it."""

from __future__ import annotations

import orjson
import pytest

from gateway.services.renditions import FORMS, NotRendered, choose, render
from tests.support import documents


@pytest.fixture(scope="module")
def cda_bytes() -> bytes:
    """A CDA that carries a PDF."""
    from mappings import cda

    return cda.write(documents.load(documents.report(1)), pdf=documents.PDF).data


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "application/xml"),
        ("*/*", "application/xml"),
        ("text/xml", "application/xml"),
        ("application/*;q=0.5, text/html", "text/html"),
        ("text/html;q=0.4, application/pdf;q=0.6", "application/pdf"),
        ("TEXT/HTML", "text/html"),
        ("application/fhir+json, */*;q=0.1", "application/fhir+json"),
        ("application/pdf;q=0, */*", "application/xml"),
        ("text/html;q=abc", None),
        ("image/png", None),
        ("", "application/xml"),
    ],
)
def test_the_form_preferred(accept: str | None, form: str | None) -> None:
    """The heaviest weight first, an exact name before a range, the CDA itself when all is taken."""
    assert choose(accept) == form


def test_each_form_of_a_document(cda_bytes: bytes) -> None:
    """The bytes themselves, a page, the PDF carried, a FHIR document with what it could not carry."""
    assert render(cda_bytes, FORMS[0]).data == cda_bytes
    assert b"<html" in render(cda_bytes, "text/html").data
    assert render(cda_bytes, "application/pdf").data == documents.PDF
    made = render(cda_bytes, "application/fhir+json")
    assert orjson.loads(made.data)["type"] == "document"
    assert made.loss is not None
    assert made.loss["lost"] == 0


@pytest.mark.parametrize("form", FORMS[1:])
def test_what_is_no_cda_is_not_rendered(form: str) -> None:
    """Another XML, or no XML: one error, which travels between processes."""
    import pickle

    for data in (b"<a/>", b"\x00"):
        with pytest.raises(NotRendered) as caught:
            render(data, form)
        assert pickle.loads(pickle.dumps(caught.value)).code == caught.value.code  # noqa: S301 - ours
