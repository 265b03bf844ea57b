"""MTOM packages: written by bytes, read strictly and tolerantly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.dmp import mtom
from adapters.dmp.mtom import MtomError, MtomLimits, Part

ROOT = b"<s:Envelope/>"


def package(*parts: Part) -> tuple[str, bytes]:
    """A package of an envelope and parts."""
    kind, chunks = mtom.write([ROOT], parts, boundary="b-1", root_id="root@x", action="urn:a")
    return kind, b"".join(chunks)


def code(kind: str, body: bytes, limits: MtomLimits | None = None) -> str:
    """The code of the refusal."""
    with pytest.raises(MtomError) as caught:
        mtom.read(kind, body, limits)
    return caught.value.code


def test_what_is_written_is_read_back():
    """Parts come back byte for byte, by content id, whatever their line ends."""
    contents = [b"<a/>\r\n", b"\x00\xff\n--b-1x\r\n", b"", b"--b"]
    parts = [Part(content_id=f"D{i}.1@x", content=c) for i, c in enumerate(contents)]
    read = mtom.read(*package(*parts))
    assert read.root == ROOT
    assert [read.content(f"cid:D{i}.1%40x") for i in range(4)] == contents
    assert read.multipart


def test_chunks_are_not_copied():
    """The bytes of a document are in the package as they were given."""
    content = b"x" * 1000
    _, chunks = mtom.write([ROOT], [Part(content_id="a@b", content=content)], boundary="b", root_id="r", action="a")
    assert any(chunk is content for chunk in chunks)


@given(content=st.binary(max_size=200))
def test_any_bytes_survive(content: bytes):
    """Any content that does not hold the boundary comes back."""
    if b"b-1" in content:
        return
    assert mtom.read(*package(Part(content_id="a@b", content=content))).content("cid:a@b") == content


def test_the_header_names_the_root():
    """Content-Type carries boundary, start, type and action."""
    kind, _ = package()
    media, parameters = mtom.content_type_parameters(kind)
    assert media == "multipart/related"
    assert parameters == {
        "boundary": "b-1",
        "type": "application/xop+xml",
        "start": "<root@x>",
        "start-info": "application/soap+xml",
        "action": "urn:a",
    }


def test_a_plain_message_is_a_package_of_one():
    """SOAP without multipart."""
    assert mtom.read("application/soap+xml; charset=utf-8", ROOT).root == ROOT


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("text/html", b"<html>", "MTOM-TYPE-001"),
        ("", b"x", "MTOM-TYPE-001"),
        ("multipart/related", b"--b\r\n", "MTOM-BOUNDARY-001"),
        ('multipart/related; boundary="' + "b" * 71 + '"', b"", "MTOM-BOUNDARY-001"),
        ("multipart/related; boundary=b", b"nothing", "MTOM-BOUNDARY-002"),
        ("multipart/related; boundary=b", b"--bx\r\n\r\n", "MTOM-BOUNDARY-003"),
        ("multipart/related; boundary=b", b"--b\r\nContent-ID: <a>\r\n\r\n<x/>", "MTOM-END-001"),
        ("multipart/related; boundary=b", b"--b\r\nContent-ID <a>\r\n\r\n<x/>\r\n--b--", "MTOM-HEADERS-002"),
        (
            "multipart/related; boundary=b",
            b"--b\r\nX: " + b"y" * 9000 + b"\r\n\r\n<x/>\r\n--b--",
            "MTOM-HEADERS-001",
        ),
        (
            'multipart/related; boundary=b; start="<z>"',
            b"--b\r\nContent-ID: <a>\r\n\r\n<x/>\r\n--b--",
            "MTOM-START-001",
        ),
        (
            "multipart/related; boundary=b",
            b"--b\r\nContent-ID: <a>\r\n\r\n<x/>\r\n--b\r\nContent-ID: <a>\r\n\r\n1\r\n--b--",
            "MTOM-ID-002",
        ),
        (
            "multipart/related; boundary=b",
            b"--b\r\nContent-ID: <a>\r\n\r\n<x/>\r\n--b\r\nX: y\r\n\r\n1\r\n--b--",
            "MTOM-ID-001",
        ),
        (
            "multipart/related; boundary=b",
            b"--b\r\nContent-ID: <a>\r\nContent-Transfer-Encoding: uuencode\r\n\r\n<x/>\r\n--b--",
            "MTOM-ENCODING-001",
        ),
        (
            "multipart/related; boundary=b",
            b"--b\r\nContent-ID: <a>\r\nContent-Transfer-Encoding: base64\r\n\r\n***\r\n--b--",
            "MTOM-ENCODING-002",
        ),
        ("multipart/related; boundary=b", b"--b--", "MTOM-START-001"),
    ],
)
def test_what_is_broken_is_refused(kind: str, body: bytes, expected: str):
    """Each way to break a package has its refusal."""
    assert code(kind, body) == expected


def test_too_many_parts_are_refused():
    """The number of parts is bounded."""
    kind, body = package(*(Part(content_id=f"p{i}@x", content=b"1") for i in range(20)))
    assert code(kind, body) == "MTOM-PARTS-001"
    assert len(mtom.read(kind, body, MtomLimits(max_parts=21)).parts) == 20


@pytest.mark.parametrize(
    ("href", "expected"), [("http://x/a", "MTOM-HREF-001"), ("cid:missing@x", "MTOM-PART-001"), ("", "MTOM-HREF-001")]
)
def test_a_reference_must_lead_to_a_part(href: str, expected: str):
    """Only cid: references to a part that is there."""
    read = mtom.read(*package(Part(content_id="a@b", content=b"1")))
    with pytest.raises(MtomError) as caught:
        read.content(href)
    assert caught.value.code == expected


def test_other_forms_are_read():
    """Line feeds alone, a preamble, folded headers, blanks after the boundary, base64, no id on the root."""
    body = (
        b"preamble\n--b  \nContent-Type: application/xop+xml;\n charset=UTF-8\n\n<x/>\n--b\nContent-ID: <p:1@x>\n"
        b"Content-Transfer-Encoding: base64\n\nYWJj\nZGVm\n--b--\nepilogue"
    )
    read = mtom.read("Multipart/Related; boundary=b", body)
    assert read.root == b"<x/>"
    assert read.content("cid:p%3A1@x") == b"abcdef"
