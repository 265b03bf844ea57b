"""The XML reader: what is refused before it is used, what is harmless, and how long it takes."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from security.errors import Unreadable, UnsafeInput
from security.xml import CDA_LIMITS, DEFAULT_LIMITS, XmlLimits, canonical, own_transform, parse, parse_own, serialize

_HEAD = '<?xml version="1.0" encoding="{}"?>'


def _code(data: bytes, limits: XmlLimits = DEFAULT_LIMITS) -> str:
    with pytest.raises(UnsafeInput) as caught:
        parse(data, limits)
    return caught.value.code


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "XML-EMPTY-001"),
        (b" \n\t", "XML-EMPTY-001"),
        (b"\xef\xbb\xbf", "XML-EMPTY-001"),
        (b"text", "XML-SYNTAX-001"),
        (b'{"resourceType": "Bundle"}', "XML-SYNTAX-001"),
        (b"<a>", "XML-SYNTAX-001"),
        (b"<a></b>", "XML-SYNTAX-001"),
        (b"<a/><b/>", "XML-SYNTAX-001"),
        (b"<a b=1/>", "XML-SYNTAX-001"),
        (b'<a b="1" b="2"/>', "XML-SYNTAX-001"),
        (b"<p:a/>", "XML-SYNTAX-001"),
        (b"<a>\x01</a>", "XML-SYNTAX-001"),
        (b"<a>&#0;</a>", "XML-SYNTAX-001"),
        (b"<a>&#xD800;</a>", "XML-SYNTAX-001"),
        (b"<a>&foo;</a>", "XML-SYNTAX-001"),
        (b' <?xml version="1.0"?><a/>', "XML-SYNTAX-001"),
        (b'<?xml version="1.0"' + b" " * 600 + b'encoding="UTF-16"?><a/>', "XML-SYNTAX-001"),
        (b"<a>\x00</a>", "XML-NUL-001"),
    ],
)
def test_what_is_not_xml_is_refused(data: bytes, code: str) -> None:
    """Malformed, undeclared, empty, cut, with characters that XML has not."""
    assert _code(data) == code


def test_a_fault_says_its_line_and_never_the_content() -> None:
    """The line helps, the text could be a patient's."""
    with pytest.raises(Unreadable) as caught:
        parse(b"<a>\n<family>DUPONT-SECRET</famille>\n</a>")
    assert caught.value.line == 2
    assert caught.value.__cause__ is None
    assert "DUPONT" not in str(caught.value)
    assert "famille" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        b'<?xml version="1.0"?>\n<!-- c -->\n<?pi x?><!DOCTYPE a><a/>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b'<!DOCTYPE a PUBLIC "-//X" "http://127.0.0.1:9/x.dtd"><a/>',
        b'<!DOCTYPE a [<!ENTITY a "' + b"a" * 50_000 + b'">]><a>' + b"&a;" * 10_000 + b"</a>",
        b'<!DOCTYPE a [<!ENTITY l0 "lol">'
        + b"".join(b'<!ENTITY l%d "%s">' % (i, b"&l%d;" % (i - 1) * 10) for i in range(1, 12))
        + b"]><a>&l11;</a>",
        b'<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:9/e">%p;]><a/>',
        b"\xef\xbb\xbf<!DOCTYPE a><a/>",
        b"\n  <!DOCTYPE a><a/>",
    ],
    ids=["entity", "after comments", "system", "file", "public", "quadratic", "laughs", "parameter", "bom", "spaces"],
)
def test_any_doctype_is_refused_at_once(data: bytes) -> None:
    """Entity bombs and files: no entity is expanded because no DOCTYPE is read."""
    start = time.process_time()
    assert _code(data) == "XML-DTD-001"
    assert time.process_time() - start < 0.05


@pytest.mark.parametrize(
    "data", [b"<a><!DOCTYPE b></a>", b"<a/><!DOCTYPE b>", b"<!doctype html><a/>", b"<!ENTITY x 'y'><a/>"]
)
def test_a_doctype_out_of_its_place_is_malformed(data: bytes) -> None:
    """XML knows it only before the root, in capitals."""
    assert _code(data) == "XML-SYNTAX-001"


def test_text_about_doctypes_is_text() -> None:
    """In escaped text, CDATA, a comment, an attribute or an instruction it is nothing but text."""
    data = (
        b"<?xml version='1.0'?><!-- <!DOCTYPE a> --><?pi <!DOCTYPE a>?>"
        b"<a b='&lt;!DOCTYPE'>&lt;!DOCTYPE html&gt;<![CDATA[<!DOCTYPE x><!ENTITY y>]]></a>"
    )
    root = parse(data)
    assert root.text == "<!DOCTYPE html><!DOCTYPE x><!ENTITY y>"
    assert root.get("b") == "<!DOCTYPE"


@pytest.mark.parametrize("name", ["UTF-8", "utf-8", "utf8", "US-ASCII"])
def test_utf_8_is_read(name: str) -> None:
    """Under its names, with or without a byte order mark."""
    data = _HEAD.format(name).encode() + b"<a>x</a>"
    assert parse(data).text == parse(b"\xef\xbb\xbf" + data).text == "x"
    assert parse("<a>é€𝄞</a>".encode()).text == "é€𝄞"


@pytest.mark.parametrize(
    ("name", "text"), [("ISO-8859-1", "é"), ("iso-8859-15", "œ€"), ("windows-1252", "œ€’"), ("latin1", "ç")]
)
def test_old_single_byte_encodings_are_read(name: str, text: str) -> None:
    """Declared and true, they are read as they are."""
    assert parse((_HEAD.format(name) + f"<a>{text}</a>").encode(name)).text == text


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ((_HEAD.format("UTF-8") + "<a>é</a>").encode("latin-1"), "XML-ENC-001"),
        ("<a>é</a>".encode("latin-1"), "XML-ENC-001"),
        ((_HEAD.format("US-ASCII") + "<a>é</a>").encode(), "XML-ENC-001"),
        ((_HEAD.format("ISO-8859-1") + "<a>é</a>").encode(), "XML-ENC-002"),
        (b"\xef\xbb\xbf" + (_HEAD.format("ISO-8859-1") + "<a>e</a>").encode(), "XML-ENC-002"),
        ((_HEAD.format("UTF-16") + "<a>é</a>").encode(), "XML-ENC-001"),
        ((_HEAD.format("UTF-16") + "<a>é</a>").encode("utf-16"), "XML-ENC-001"),
        ((_HEAD.format("UTF-16") + "<a>é</a>").encode("utf-16-le"), "XML-ENC-001"),
        ((_HEAD.format("UTF-16") + "<a>é</a>").encode("utf-16-be"), "XML-ENC-001"),
        ("<a/>".encode("utf-16-le"), "XML-ENC-001"),
        ("<a/>".encode("utf-32"), "XML-ENC-001"),
        ((_HEAD.format("UTF-8") + "<a/>").encode("utf-32-be"), "XML-ENC-001"),
        ((_HEAD.format("UTF-8") + "<a/>").encode("cp037"), "XML-SYNTAX-001"),
        ((_HEAD.format("UTF-7")).encode() + b"+ADw-a/+AD4-", "XML-ENC-001"),
        (_HEAD.format("UTF-7").replace('"', "'").encode() + b"<a/>", "XML-ENC-001"),
        (_HEAD.format("").encode() + b"<a/>", "XML-ENC-001"),
        (_HEAD.format("&lt;patient&gt;").encode() + b"<a/>", "XML-ENC-001"),
        (b"<a>\xed\xa0\x80</a>", "XML-ENC-001"),
    ],
)
def test_wrong_encodings_are_refused(data: bytes, code: str) -> None:
    """Undeclared, falsely declared, or able to hide what the checks look for; a wrong accent is a wrong name."""
    assert _code(data) == code


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"<a>" + b"<b/>" * 2_000_000 + b"</a>", "XML-COUNT-001"),
        (b"<a>" + b"<b/>" * 250_000 + b"</a>", "XML-COUNT-001"),
        (b"<a " + b" ".join(b'a%d=""' % i for i in range(150_000)) + b"/>", "XML-COUNT-002"),
        (b"<a x='" + b"y" * 11_000_000 + b"'/>", "XML-LIMIT-001"),
        (b"<a" + b"y" * 5_000_000 + b"/>", "XML-LIMIT-001"),
        (b"<a>" * 100_000 + b"</a>" * 100_000, "XML-DEPTH-001"),
        (b"<a>" * 300 + b"</a>" * 300, "XML-DEPTH-001"),
        (b"<" * 150_000, "XML-SYNTAX-001"),
        (b"<!--" + b"-" * 5_000_000, "XML-SYNTAX-001"),
        (b"<?x" + b" " * 5_000_000, "XML-SYNTAX-001"),
    ],
    ids=[
        "2M elements",
        "250k elements",
        "attributes",
        "attribute",
        "name",
        "deep",
        "300 deep",
        "angles",
        "comment",
        "pi",
    ],
)
def test_hostile_sizes_are_refused_fast(data: bytes, code: str) -> None:
    """Under 100 ms of processor, even with the size limit out of the way."""
    start = time.process_time()
    assert _code(data, XmlLimits(max_bytes=20_000_000)) == code
    assert time.process_time() - start < 0.1


def test_limits_are_exact_and_size_comes_first() -> None:
    """The size is a parameter; 200 levels pass, 201 do not."""
    assert _code(b"<a/>", XmlLimits(max_bytes=3)) == "XML-SIZE-001"
    assert parse(b"<a/>", XmlLimits(max_bytes=4)).tag == "a"
    assert parse(b"<a>" * 200 + b"</a>" * 200).tag == "a"
    assert _code(b"<a>" * 201 + b"</a>" * 201) == "XML-DEPTH-001"
    assert _code(b"<a><b><c/></b></a>", XmlLimits(max_depth=2)) == "XML-DEPTH-001"
    assert parse(b"<a><b>x<!-- <c/> --></b></a>", XmlLimits(max_depth=2)).tag == "a"


def test_instructions_inclusions_and_schema_places_are_inert(tmp_path: Path) -> None:
    """Nothing is fetched, included or applied: it all stays in the tree as it came."""
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    data = f"""<?xml version="1.0"?><?xml-stylesheet href="file://{secret}" type="text/xsl"?>
    <a xmlns:xi="http://www.w3.org/2001/XInclude" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
       xml:base="file://{tmp_path}/" xsi:schemaLocation="urn:x http://127.0.0.1:9/x.xsd">
      <xi:include href="secret.txt" parse="text"/><?php echo 1?></a>""".encode()
    root = parse(data)
    written = serialize(root)
    assert b"SECRET" not in written
    assert b"xi:include" in written
    assert b"<?php echo 1?>" in written


def test_a_stylesheet_instruction_is_no_declaration() -> None:
    """An instruction that begins with the same letters does not decide the encoding."""
    assert parse(b'<?xml-stylesheet encoding="UTF-16"?><a/>').tag == "a"


def test_a_clinical_document_costs_little_more_than_its_parsing() -> None:
    """64 kB: the checks cost well under a millisecond beyond lxml itself."""
    one = b'<entry typeCode="DRIV"><observation><code code="1" displayName="Poids"/><value/></observation></entry>'
    data = b'<ClinicalDocument xmlns="urn:hl7-org:v3">' + one * 600 + b"</ClinicalDocument>"
    ours = min(_seconds(lambda: parse(data, CDA_LIMITS)) for _ in range(20))
    bare = min(_seconds(lambda: etree.fromstring(data)) for _ in range(20))
    assert ours - bare < 0.001


def _seconds(work: object) -> float:
    start = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - start


def test_threads_read_at_once() -> None:
    """Nothing is shared between two readings."""
    documents = [f"<a>{'<b>x</b>' * 500}<c>{i}</c></a>".encode() for i in range(40)]
    with ThreadPoolExecutor(4) as pool:
        found = [root.findtext("c") for root in pool.map(parse, documents)]
    assert found == [str(i) for i in range(40)]


_XML_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff", include_characters="\t\n")
)


@given(_XML_TEXT)
def test_text_written_is_text_read(text: str) -> None:
    """Whatever XML can hold comes back as it was."""
    root = etree.Element("a", b=text)
    root.text = text
    back = parse(serialize(root))
    assert (back.text or "") == text
    assert back.get("b") == text


@given(st.binary(max_size=80) | st.text("<>!?/ab='\"&;-[]DOCTYPE x:", max_size=80).map(str.encode))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Whatever comes, a tree or a refusal."""
    for attempt in (data, b"<a>" + data + b"</a>", b"<?xml version='1.0' encoding='" + data):
        with contextlib.suppress(UnsafeInput):
            assert parse(attempt).tag is not None


def test_canonical_form_and_serialisation() -> None:
    """C14N sorts attributes and drops the declaration; serialisation is UTF-8 with or without it."""
    root = parse('<a xmlns:z="urn:z" c="1" b="é"><!-- x --><d/></a>'.encode())
    assert canonical(root) == '<a xmlns:z="urn:z" b="é" c="1"><!-- x --><d></d></a>'.encode()
    assert canonical(root, exclusive=True, with_comments=False) == '<a b="é" c="1"><d></d></a>'.encode()
    assert serialize(root, declaration=False).startswith(b"<a ")
    assert serialize(root).startswith(b"<?xml version='1.0' encoding='UTF-8'?>")


def test_our_own_files_are_read_with_what_they_include(tmp_path: Path) -> None:
    """A schema finds the one it includes by its relative name; a damaged file is named."""
    (tmp_path / "types.xsd").write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:simpleType name="t">'
        '<xs:restriction base="xs:int"/></xs:simpleType></xs:schema>'
    )
    (tmp_path / "main.xsd").write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:include schemaLocation="types.xsd"/>'
        '<xs:element name="a" type="t"/></xs:schema>'
    )
    schema = etree.XMLSchema(parse_own(tmp_path / "main.xsd"))
    assert schema.validate(parse(b"<a>1</a>"))
    assert not schema.validate(parse(b"<a>x</a>"))
    (tmp_path / "bad.xsl").write_text("<a>")
    with pytest.raises(Unreadable, match=r"bad\.xsl"):
        parse_own(tmp_path / "bad.xsl")
    with pytest.raises(OSError, match=r"absent\.xsl"):
        parse_own(tmp_path / "absent.xsl")


def test_our_stylesheets_reach_no_file(tmp_path: Path) -> None:
    """A stylesheet transforms its input, and cannot read another file even when a document makes it try."""
    (tmp_path / "other.xml").write_text("<x>SECRET</x>")
    sheet = tmp_path / "sheet.xsl"
    sheet.write_text(
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
        '<xsl:template match="/"><r><xsl:value-of select="a"/><xsl:if test="a/@read">'
        '<xsl:value-of select="document(a/@read)/x"/></xsl:if></r></xsl:template></xsl:stylesheet>'
    )
    transform = own_transform(sheet)
    assert transform(parse(b"<a>ok</a>")).getroot().text == "ok"
    with pytest.raises(etree.XSLTApplyError):
        transform(parse(f'<a read="file://{tmp_path}/other.xml"/>'.encode()))


@pytest.mark.parametrize("before", [b"", b"<?pi x?>", b"<!-- c -->"])
@pytest.mark.parametrize("exclusive", [False, True])
def test_canonical_form_keeps_the_default_namespace_at_every_depth(before: bytes, exclusive: bool) -> None:
    """A root or an inner element, with or without a prologue: no element falls out of its namespace."""
    root = parse(before + b'<a xmlns="urn:a" xmlns:p="urn:p" xml:lang="fr"><b p:q="1"><c><d><p:e/></d></c></b></a>')
    whole = canonical(root, exclusive=exclusive)
    inner = canonical(root[0], exclusive=exclusive)
    for data in (whole, inner):
        assert b'xmlns=""' not in data
        assert parse(data).find(".//{urn:a}d") is not None
    assert canonical(parse(whole), exclusive=exclusive) == whole
    if not exclusive:
        assert inner.startswith(b'<b xmlns="urn:a" xmlns:p="urn:p" xml:lang="fr" p:q="1">')
    assert before in whole
