"""The archive has the layout, the metadata and the bytes IHE XDM asks for, and reads back."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable

import pytest

from adapters.mss.package import build_package, document_uri, intended_recipient
from adapters.mss.rules import MailRefused
from adapters.mss.unpack import read_package
from mappings.xds.read import read_objects
from security.xml import parse
from tests.support import outside
from tests.support.mss import AUTHORITY, DOCTOR, MATRICULE, PRODUCER, cda, package, set_info


def names(data: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(data)).namelist()


def entry(data: bytes, name: str) -> bytes:
    return zipfile.ZipFile(io.BytesIO(data)).read(name)


def test_the_layout_is_that_of_ihe_xdm() -> None:
    """Helper files at the root, one set, documents under names that come from no user."""
    assert names(package(cda("1"), cda("2")).data) == [
        "INDEX.HTM",
        "README.TXT",
        "IHE_XDM/SUBSET01/METADATA.XML",
        "IHE_XDM/SUBSET01/DOC00001.XML",
        "IHE_XDM/SUBSET01/DOC00002.XML",
    ]
    assert document_uri(12) == "DOC00012.XML"


def test_the_bytes_are_plain_and_reproducible() -> None:
    """The same input gives the same archive; deflate, no flag, no ZIP64, version 20."""
    data = package().data
    assert data == package().data
    for info in zipfile.ZipFile(io.BytesIO(data)).infolist():
        assert (info.flag_bits, info.compress_type, info.extract_version, info.external_attr) == (0, 8, 20, 0)


def test_documents_travel_byte_for_byte() -> None:
    """Hash and size are those of the bytes in the archive."""
    document = cda()
    made = package(document)
    assert entry(made.data, "IHE_XDM/SUBSET01/DOC00001.XML") == document
    (written,) = made.submission.entries
    assert (written.hash, written.size) == (hashlib.sha1(document, usedforsecurity=False).hexdigest(), len(document))
    assert written.uri == "DOC00001.XML"


def test_the_metadata_pass_the_outside_schemas(xds_check: Callable[[bytes], list[str]]) -> None:
    """METADATA.XML is a bare SubmitObjectsRequest, valid against the OASIS schemas."""
    made = build_package([cda("1"), cda("2")], set_info(intended_recipients=(intended_recipient(DOCTOR),)), PRODUCER)
    metadata = entry(made.data, "IHE_XDM/SUBSET01/METADATA.XML")
    assert parse(metadata).tag == "{urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0}SubmitObjectsRequest"
    assert xds_check(metadata) == []


def test_the_metadata_say_what_the_headers_say() -> None:
    """One set, one entry and one HasMember a document, the patient's INS, the recipient."""
    made = build_package([cda("1"), cda("2")], set_info(intended_recipients=(intended_recipient(DOCTOR),)), PRODUCER)
    objects = read_objects(parse(entry(made.data, "IHE_XDM/SUBSET01/METADATA.XML")))
    submission = objects.submission()
    assert submission.submission_set.patient_id is not None
    assert (submission.submission_set.patient_id.value, submission.submission_set.patient_id.authority) == (
        MATRICULE,
        AUTHORITY,
    )
    assert submission.submission_set.intended_recipients == (f"||^^Internet^{DOCTOR}",)
    assert [e.unique_id for e in submission.entries] == ["1.2.250.1.999.7.1", "1.2.250.1.999.7.2"]
    assert [(a.target, a.submission_set_status) for a in submission.associations] == [
        ("Document01", "Original"),
        ("Document02", "Original"),
    ]


def test_a_replacement_is_linked_when_the_receivers_entry_is_known() -> None:
    """RPLC needs the receiver's entryUUID, which a sender by mail seldom has."""
    document = cda(replaces="1.2.250.1.999.7.0")
    plain = build_package([document], set_info(), PRODUCER)
    assert [a.kind.rpartition(":")[2] for a in plain.submission.associations] == ["HasMember"]
    known = set_info(replaced_entries={"1.2.250.1.999.7.0": "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c2"})
    linked = build_package([document], known, PRODUCER)
    assert [a.kind.rpartition(":")[2] for a in linked.submission.associations] == ["HasMember", "RPLC"]


def test_the_readme_is_ascii_and_knows_no_patient() -> None:
    """README.TXT: institution, software, organisation; CRLF; independent of the content (IHE ITI-32)."""
    readme = entry(package().data, "README.TXT")
    assert readme.isascii()
    assert readme.count(b"\n") == readme.count(b"\r\n")
    assert b"Cabinet medical fictif" in readme
    assert b"Passerelle 0.1.0" in readme
    assert b"PAT-TROIS" not in readme


def test_the_index_escapes_what_it_shows() -> None:
    """INDEX.HTM is opened by a browser from a disk: no markup from the document, no script, no remote resource."""
    index = entry(package(cda(family="A&lt;script&gt;B")).data, "INDEX.HTM").decode()
    assert "A&lt;script&gt;B" in index
    assert "<script" not in index
    assert 'href="README.TXT"' in index
    assert 'href="IHE_XDM/SUBSET01/DOC00001.XML"' in index
    assert "Cabinet médical fictif" in index


def test_an_archive_reads_back() -> None:
    """What is written is what is read: documents, patient key, no warning."""
    made = package(cda("1"), cda("2"))
    got = read_package(made.data)
    assert [d.data for d in got.documents] == [cda("1"), cda("2")]
    assert [d.unique_id for d in got.documents] == ["1.2.250.1.999.7.1", "1.2.250.1.999.7.2"]
    assert got.patient.identifier is not None
    assert got.patient.identifier.value == MATRICULE
    assert got.patient.traits.family == "PAT-TROIS"
    assert got.warnings == ()
    assert got.sha256 == hashlib.sha256(made.data).hexdigest()


@pytest.mark.parametrize(
    "name", ["DOC_NON_STRUCTURE_CDA-R2-N1", "VSM_1.4_2022.01", "eP-MED-DM_2024.01_PosoStruct", "eDISP-MED_2024.01"]
)
def test_the_national_examples_travel(name: str, xds_check: Callable[[bytes], list[str]]) -> None:
    """Every official example packs with valid metadata and reads back as it was."""
    document = (outside.packs() / "ans-cda" / "ExemplesCDA" / f"{name}.xml").read_bytes()
    made = package(document)
    assert xds_check(entry(made.data, "IHE_XDM/SUBSET01/METADATA.XML")) == []
    assert read_package(made.data).documents[0].data == document


def test_an_unqualified_identity_travels_with_its_local_number() -> None:
    """No INS anywhere; the local number identifies the patient."""
    got = read_package(package(cda(ins=None)).data)
    assert got.patient.identifier is None
    assert got.documents[0].metadata.source_patient_id is not None
    assert got.documents[0].metadata.source_patient_id.value == "IPP-PAT-TROIS"


def test_nothing_unreadable_or_mixed_is_packed() -> None:
    """No document, no CDA, or two patients: refused with their codes."""
    with pytest.raises(MailRefused, match="MSS-XDM-012"):
        build_package([], set_info(), PRODUCER)
    with pytest.raises(MailRefused, match="MSS-XDM-007"):
        build_package([b"<x/>"], set_info(), PRODUCER)
    with pytest.raises(MailRefused, match="MSS-XDM-007"):
        build_package([b"<x"], set_info(), PRODUCER)
    with pytest.raises(MailRefused, match="MSS-PAT-007"):
        package(cda("1"), cda("2", family="AUTRE"))
    with pytest.raises(MailRefused, match="MSS-PAT-007"):
        package(cda("1"), cda("2", ins=None))
