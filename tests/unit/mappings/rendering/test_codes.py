"""2D codes are written, and read back from a picture."""

from __future__ import annotations

import io
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mappings.rendering.codes import (
    CodeUnreadable,
    PayloadFormat,
    PrescriptionCode,
    Symbology,
    modules,
    png,
    read,
    read_payload,
    svg,
    write_payload,
)
from mappings.rendering.images import ImageUnreadable
from security.xml import parse


@pytest.mark.parametrize("symbology", list(Symbology))
def test_a_code_is_read_back(symbology: Symbology) -> None:
    """PNG in, the same text out, with its symbology."""
    found = read(png("Ordonnance n° 42 é", symbology))
    assert [(f.text, f.symbology) for f in found] == [("Ordonnance n° 42 é", symbology.value)]


def test_bytes_keep_their_separators() -> None:
    """Control characters (FNC1 stand-ins, GS) cross unchanged."""
    content = b"IS01000000\x1dSABC\x1d"
    assert read(png(content))[0].data == content


def test_a_code_is_found_in_a_scanned_page() -> None:
    """The code is found inside a larger grey JPEG, turned by a quarter."""
    page = Image.new("L", (900, 1200), 235)
    page.paste(Image.open(io.BytesIO(png("EPU42", scale=8))).convert("L"), (300, 500))
    out = io.BytesIO()
    page.rotate(90, expand=True).save(out, "JPEG", quality=80)
    assert [f.text for f in read(out.getvalue())] == ["EPU42"]


def test_an_empty_page_has_no_code() -> None:
    """Nothing found is an empty list, not an error."""
    out = io.BytesIO()
    Image.new("L", (200, 200), 255).save(out, "PNG")
    assert read(out.getvalue()) == []


@pytest.mark.parametrize("data", [b"", b"not an image", b"\x89PNG\r\n\x1a\n broken", b"GIF89a"])
def test_what_is_not_an_image_is_refused_by_name(data: bytes) -> None:
    """Damaged bytes give the named error."""
    with pytest.raises(ImageUnreadable):
        read(data)


def test_the_svg_draws_the_same_modules() -> None:
    """As many dark modules as the code has, and no DOCTYPE."""
    rows = modules("EPU42")
    root = parse(svg("EPU42").encode())
    path = root[1].get("d") or ""
    drawn = sum(int(run.split("v")[0]) for run in path.split("h")[1:] if "v" in run)
    assert drawn == sum(map(sum, rows))
    assert len(rows) == len(rows[0])


@pytest.mark.parametrize("content", ["", "x" * 5000])
def test_what_does_not_fit_is_refused_without_quoting_it(content: str) -> None:
    """The error gives the length, never the content."""
    with pytest.raises(ValueError, match=f"^{len(content)} characters") as caught:
        modules(content)
    assert "xxx" not in str(caught.value)


def test_a_code_is_the_same_every_time() -> None:
    """Same content, same bytes."""
    assert png("EPU42") == png("EPU42")
    assert svg("EPU42") == svg("EPU42")


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=64), st.none() | st.dates())
def test_the_prescription_payload_comes_back(number: str, issued: date | None) -> None:
    """Any opaque number crosses the project format."""
    code = PrescriptionCode(number=number, issued_on=issued and issued.replace(year=max(issued.year, 1000)))
    assert read_payload(write_payload(code)) == code


def test_the_payload_names_itself_a_project_format() -> None:
    """Nobody can take it for the national format."""
    assert write_payload(PrescriptionCode(number="EPU42", issued_on=date(2026, 11, 20))).startswith(
        "PASSERELLE-EP1;EPU42;20261120;"
    )


def test_the_number_alone_is_a_format_too() -> None:
    """The setting chooses the payload."""
    code = PrescriptionCode(number="EPU42")
    assert write_payload(code, PayloadFormat.NUMBER) == "EPU42"
    assert read_payload(" EPU42\n", PayloadFormat.NUMBER) == code


def _sealed(body: str) -> str:
    good = write_payload(PrescriptionCode(number="1"))
    assert good.startswith("PASSERELLE-EP1;1;;")
    import hashlib

    return f"{body};{hashlib.sha256(body.encode()).hexdigest()[:8].upper()}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "another format"),
        ("EPU42", "another format"),
        (write_payload(PrescriptionCode(number="EPU42")).replace("42", "43"), "check"),
        (write_payload(PrescriptionCode(number="EPU42"))[:-1], "check"),
        (_sealed("PASSERELLE-EP1;42"), "four fields"),
        (_sealed("PASSERELLE-EP1;42;20261341"), "date"),
        (_sealed("PASSERELLE-EP1;;20261120"), "number"),
        (_sealed("PASSERELLE-EP1;" + "9" * 70 + ";"), "number"),
    ],
)
def test_a_misread_code_is_refused_without_quoting_it(text: str, fault: str) -> None:
    """The fault is named, the number is not."""
    with pytest.raises(CodeUnreadable, match=fault) as caught:
        read_payload(text)
    assert "EPU" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "x" * 65, "a\x00b"])
def test_a_bare_number_has_bounds(text: str) -> None:
    """Empty, too long or with controls: refused."""
    with pytest.raises(CodeUnreadable):
        read_payload(text, PayloadFormat.NUMBER)


def test_a_payload_needs_a_number() -> None:
    """No number, no code."""
    with pytest.raises(ValueError, match="number"):
        write_payload(PrescriptionCode(number=""))
