"""Messages of other software are read as the index of the samples says: strict about meaning, tolerant about form."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import orjson
import pytest

from adapters.dmp import mtom
from adapters.dmp.answers import document_content, read_query, read_registry_response, read_retrieved
from adapters.dmp.envelope import SOAP11, NotSoap, read_envelope
from adapters.dmp.mtom import MtomError, Package
from adapters.dmp.outcomes import Kind
from adapters.dmp.simulator.structure import form_problems
from mappings.xds.ebrim import RIM
from security import xml
from security.errors import UnsafeInput
from tests.support import outside


@functools.cache
def index() -> tuple[dict[str, Any], ...]:
    """The rows of the index."""
    return tuple(orjson.loads((folder() / "index.json").read_bytes())["files"])


def folder() -> Path:
    """Where the samples are."""
    return outside.samples() / "xds"


def data(name: str) -> bytes:
    """One sample."""
    return (folder() / name).read_bytes()


def rows(*, kind: str | None = None, packaging: str | None = None, transactions: tuple[str, ...] = ()) -> list[str]:
    """The names of some samples."""
    return [
        r["file"]
        for r in index()
        if (kind is None or r["kind"] == kind)
        and (packaging is None or r["packaging"] == packaging)
        and (not transactions or r["transaction"] in transactions)
    ]


def test_every_envelope_is_read():
    """Any prefix, header order and form of addressing: action and body are found."""
    names = [n for n in rows(packaging="envelope") if n.endswith(".xml")]
    assert len(names) > 40
    for name in names:
        envelope = read_envelope(data(name))
        empty = name == "nist-toolkit/envelope-empty-body.xml"
        assert (envelope.body is None) is empty, name


@pytest.mark.parametrize(
    ("name", "action", "message_id"),
    [
        ("nist-toolkit/iti41-req-envelope.xml", True, True),
        ("nist-toolkit/iti41-req-no-messageid.xml", True, False),
        ("nist-toolkit/iti41-req-no-action.xml", False, False),
        ("nist-toolkit/iti18-req-envelope-no-messageid.xml", True, False),
        ("nist-toolkit/iti42-req-default-namespaces.xml", True, True),
        ("wxdsb/iti18-req-italian-fse.xml", True, True),
        ("connect/iti41-req-connect.xml", False, False),
    ],
)
def test_missing_addressing_is_seen(name: str, action: bool, message_id: bool):
    """What a strict endpoint refuses is visible: no Action, no MessageID."""
    envelope = read_envelope(data(name))
    assert (bool(envelope.action), bool(envelope.message_id)) == (action, message_id)


def test_message_ids_are_opaque():
    """A MessageID without urn: is given back as it came."""
    assert read_envelope(data("wxdsb/iti18-req-italian-fse.xml")).message_id.startswith("uuid:")


def test_soap_11_is_told_apart():
    """A SOAP 1.1 envelope is read, and its version is known."""
    assert read_envelope(data("epd/soap11-artifact-response.xml")).version == SOAP11


@pytest.mark.parametrize(
    "name", ["nist-toolkit/envelope-not-well-formed.xml", "nist-toolkit/iti41-req-xdr-minimal.xml"]
)
def test_what_is_no_envelope_is_refused(name: str):
    """Malformed XML and a bare body are refused without a trace."""
    with pytest.raises((NotSoap, UnsafeInput)):
        read_envelope(data(name))


@pytest.mark.parametrize(
    ("name", "documents"),
    [
        ("nist-toolkit/iti41-req-xop-axis2.mime.txt", 1),
        ("nist-toolkit/iti41-req-multipart-inline-base64.mime.txt", 0),
        ("nist-toolkit/iti41-req-xop-body.mime.txt", 1),
    ],
)
def test_multipart_bodies_are_read(name: str, documents: int):
    """Line feeds for line ends, an epilogue, one part only: the envelope and its documents come out."""
    raw = data(name)
    first = next(line for line in raw.splitlines() if line.startswith(b"--")).strip()[2:].decode()
    package = mtom.read(f'multipart/related; boundary="{first}"', raw)
    assert read_envelope(package.root).body is not None
    assert len(package.parts) == documents
    body = read_envelope(package.root).body
    assert body is not None
    for node in body.iter("{urn:ihe:iti:xds-b:2007}Document"):
        assert document_content(node, package)


@pytest.mark.parametrize("name", ["nist-toolkit/iti41-req-xop-axis2.http.txt", "epd/iti41-resp-mtom-cxf.http.txt"])
def test_whole_http_messages_are_read(name: str):
    """Unquoted boundaries, ids with colons, a multipart answer without documents."""
    raw = data(name).replace(b"\r\n", b"\n")
    head, _, body = raw.partition(b"\n\n")
    kind = next(
        line.partition(b":")[2].strip().decode()
        for line in head.replace(b"\n ", b" ").replace(b"\n\t", b" ").split(b"\n")
        if line.lower().startswith(b"content-type:")
    )
    package = mtom.read(kind, body)
    envelope = read_envelope(package.root)
    assert envelope.body is not None


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("nist-toolkit/iti41-resp-success.xml", Kind.ACCEPTED, "DMP-ACCEPTED"),
        ("nist-toolkit/iti41-resp-failure-six-errors.xml", Kind.REFUSED, "DMP-REGISTRY-XDSRegistryMetadataError"),
        ("wxdsb/iti42-resp.xml", Kind.ACCEPTED, "DMP-ACCEPTED"),
        ("connect/iti41-resp-connect.xml", Kind.ACCEPTED, "DMP-ACCEPTED"),
        ("connect/iti38-resp-registrybusy.xml", Kind.RETRY, "DMP-REGISTRY-XDSRegistryBusy"),
        ("connect/iti38-resp-toomanyresults.xml", Kind.REFUSED, "DMP-REGISTRY-XDSTooManyResults"),
        ("connect/iti38-resp-unknownstoredquery.xml", Kind.REFUSED, "DMP-REGISTRY-XDSUnknownStoredQuery"),
        ("connect/iti38-resp-missingparam.xml", Kind.REFUSED, "DMP-REGISTRY-XDSStoredQueryMissingParam"),
    ],
)
def test_answers_in_envelopes_have_their_outcome(name: str, kind: Kind, code: str):
    """Success and each error are understood, with or without addressing."""
    body = read_envelope(data(name)).body
    assert body is not None
    outcome = read_registry_response(body)
    assert (outcome.kind, outcome.code) == (kind, code)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nist-toolkit/registryresponse-success-with-error.xml", "DMP-MESSAGE-contradiction"),
        ("nist-toolkit/registryresponse-failure-without-errors.xml", "DMP-MESSAGE-no_error"),
        ("nist-toolkit/iti18-resp-no-status.xml", "DMP-MESSAGE-status"),
    ],
)
def test_contradictory_answers_are_no_success(name: str, code: str):
    """A success that carries an error, a failure without one, no status at all."""
    assert read_registry_response(xml.parse(data(name))).code == code


@pytest.mark.parametrize(
    ("name", "references", "entries"),
    [
        ("nist-toolkit/iti18-resp-objectrefs.xml", True, False),
        ("nist-toolkit/iti18-resp-leafclass.xml", False, True),
        ("openxds/iti18-resp-finddocuments.xml", False, True),
    ],
)
def test_query_answers_are_read(name: str, references: bool, entries: bool):
    """References and whole objects, whoever wrote them."""
    outcome, objects = read_query(xml.parse(data(name)))
    assert outcome.ok
    assert bool(objects.references) is references
    assert bool(objects.entries) is entries


def test_retrieved_documents_are_read_inline_and_by_reference():
    """Inline base64 as fallback; a documentation value in its place, and a missing part, are refused."""
    body = read_envelope(data("nist-toolkit/iti43-resp-inline-wsa-mustunderstand.xml")).body
    assert body is not None
    outcome, documents = read_retrieved(body, Package(root=b""))
    assert outcome.ok
    assert all(d.content for d in documents)
    with pytest.raises(MtomError):
        read_retrieved(xml.parse(data("openxds/iti43-resp-ellipsis-document.xml")), Package(root=b""))
    body = read_envelope(data("epd/iti43-resp-xop-root-part.xml")).body
    assert body is not None
    with pytest.raises(MtomError):
        read_retrieved(body, Package(root=b""))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nist-toolkit/fault-soap12-not-mtom.xml", "Sender"),
        ("connect/fault-receiver.xml", "Receiver"),
        ("connect/fault-short.xml", "Receiver"),
    ],
)
def test_faults_are_read(name: str, code: str):
    """A fault is one whatever its prefixes, its header or the words of SOAP 1.1."""
    fault = read_envelope(data(name)).fault
    assert fault is not None
    assert fault.code == code


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("nist-toolkit/iti41-req-slot-after-name.xml", "mal placé"),
        ("nist-toolkit/iti41-req-association-to-itself.xml", "lui-même"),
        ("nist-toolkit/iti41-req-classifiedobject-unknown.xml", "qui porte la classification"),
        ("xcads/iti41-req-empty-list.xml", "vide"),
    ],
)
def test_malformed_metadata_is_refused_by_the_simulator(name: str, word: str):
    """Schema order, self-reference, unknown objects, an empty list."""
    listed = next(xml.parse(data(name)).iter(f"{{{RIM}}}RegistryObjectList"))
    assert any(word in problem.context for problem in form_problems(listed))


def test_acceptable_metadata_has_the_form_a_registry_wants():
    """What the index takes for good raises no fault of form beyond the objects the DMP does not use."""
    names = [
        "nist-toolkit/iti41-req-two-documents.xml",
        "nist-toolkit/iti41-req-append.xml",
        "nist-toolkit/iti42-req-bare.xml",
    ]
    for name in names:
        listed = next(xml.parse(data(name)).iter(f"{{{RIM}}}RegistryObjectList"))
        # Templates: placeholders stand for ids of objects that are elsewhere.
        contexts = [p.context for p in form_problems(listed) if "absent" not in p.context]
        assert contexts == [], name
