"""Bytes made to harm: each is refused by one named finding, or told within bounds, before it costs anything."""

from __future__ import annotations

import base64
import time

import pytest

from conformance.cda import check, prepare
from conformance.cda.report import MAX_FINDINGS
from tests.support.cda import written

NS = b"xmlns='urn:hl7-org:v3'"
XINCLUDE = b"<x:include xmlns:x='http://www.w3.org/2001/XInclude' href='file:///etc/passwd' parse='text'/>"
LOCATION = (
    b"xmlns:i='http://www.w3.org/2001/XMLSchema-instance' i:schemaLocation='urn:hl7-org:v3 http://192.0.2.1/a.xsd'"
)
#: Seconds of processor, ten times what is asked: a shared machine is slow. The benchmark holds the figure itself.
BOUND = 1.0


def document(inside: bytes, attributes: bytes = b"") -> bytes:
    """A CDA that holds something."""
    return b"<ClinicalDocument " + NS + b" " + attributes + b">" + inside + b"</ClinicalDocument>"


def bomb() -> bytes:
    """Ten entities, each ten times the one before."""
    entities = b"".join(b"<!ENTITY e%d '%s'>" % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 10))
    return b"<!DOCTYPE a [<!ENTITY e0 'ha'>" + entities + b"]><ClinicalDocument " + NS + b">&e9;</ClinicalDocument>"


UNREAD = {
    "entity bomb": (bomb(), "XML-DTD-001"),
    "quadratic bomb": (
        b"<!DOCTYPE a [<!ENTITY e '" + b"x" * 100_000 + b"'>]><a>" + b"&e;" * 1000 + b"</a>",
        "XML-DTD-001",
    ),
    "external entity": (b"<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>", "XML-DTD-001"),
    "doctype": (b"<!-- a --><?b c?><!DOCTYPE a SYSTEM 'http://192.0.2.1/a.dtd'><a/>", "XML-DTD-001"),
    "2M empty elements": (document(b"<a/>" * 2_000_000), "XML-COUNT-001"),
    "depth 10,000": (document(b"<a>" * 10_000 + b"</a>" * 10_000), "XML-DEPTH-001"),
    "depth of 250": (document(b"<a>" * 250 + b"</a>" * 250), "XML-DEPTH-001"),
    "UTF-16 declared UTF-8": ("<?xml version='1.0' encoding='UTF-8'?><a/>".encode("utf-16"), "XML-ENC-001"),
    "UTF-16 without mark": ("<?xml version='1.0' encoding='UTF-8'?><a/>".encode("utf-16-le"), "XML-ENC-001"),
    "UTF-8 declared UTF-16": (b"<?xml version='1.0' encoding='UTF-16'?><a/>", "XML-ENC-001"),
    "NUL": (document(b"<title>a\x00b</title>"), "XML-NUL-001"),
    "attribute of 9 MB": (document(b"", b"ID='" + b"x" * 9_000_000 + b"'"), "XML-LIMIT-001"),
    "attribute of 70 kB": (document(b'<id root = "a>b" extension=\'' + b"y" * 70_000 + b"'/>"), "XML-LIMIT-001"),
    "90,000 attributes": (document(b"", b" ".join(b"a%d='1'" % n for n in range(90_000))), "XML-COUNT-002"),
    "3,000 attributes": (document(b"", b" ".join(b"a%d='1'" % n for n in range(3_000))), "XML-COUNT-002"),
    "comments": (document(b"<!---->" * 150_000), "XML-COUNT-003"),
    "50 MB of base64": (document(b"<text>" + base64.b64encode(b"%PDF" * 10_000_000) + b"</text>"), "XML-SIZE-001"),
    "cut short": (written("report")[:-20], "XML-SYNTAX-001"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_harms_is_refused_by_name(name: str) -> None:
    """One finding, which says the limit; little processor."""
    data, code = UNREAD[name]
    start = time.process_time()
    (finding,) = check(data).findings
    assert time.process_time() - start < BOUND
    assert finding.code == "CDA-STR-000"
    assert (finding.found or "").split()[0] == code


TOLD = {
    "90,000 elements": document(b"<a/>" * 90_000),
    "90,000 names": document(b"".join(b"<a%d/>" % n for n in range(90_000))),
    "40,000 templates": document(b"<templateId root='1.2.3'/>" * 40_000),
    "a tree of 50,000": document((b"<a>" * 190 + b"</a>" * 190) * 260),
    "500 attributes": document(b"", b" ".join(b"a%d='1'" % n for n in range(500))),
    "words in an attribute": document(b"<telecom use='" + b"WP " * 20_000 + b"'/>"),
    "nulls": document((b"<author nullFlavor='NI'>" * 150 + b"</author>" * 150) * 200),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_can_be_read_costs_little_however_wrong(name: str) -> None:
    """Findings are bounded, and so is the work for them: places of brothers are not counted anew for each."""
    prepare()
    start = time.process_time()
    verdict = check(TOLD[name])
    assert time.process_time() - start < 4 * BOUND
    assert not verdict.ok
    assert len(verdict.findings) <= MAX_FINDINGS + 1


def test_nothing_is_fetched_or_included() -> None:
    """XInclude is an element that CDA does not have; a schemaLocation is an attribute like another."""
    verdict = check(document(XINCLUDE))
    assert "CDA-STR-002" in {finding.code for finding in verdict.findings}
    assert "root:" not in "".join(f"{finding.found}{finding.expected}" for finding in verdict.findings)
    data = written("report").replace(b"<ClinicalDocument ", b"<ClinicalDocument " + LOCATION + b" ", 1)
    assert check(data, environment="test").findings == check(written("report"), environment="test").findings


def test_a_long_text_is_no_long_attribute() -> None:
    """What looks like an attribute in a text, or stands in one, is left alone."""
    for text in (b'a="' + b"x" * 100_000, b"='" + b"x" * 100_000 + b"'"):
        codes = {finding.code for finding in check(document(b"<title>" + text + b"</title>")).findings}
        assert "CDA-STR-000" not in codes
