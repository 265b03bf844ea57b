"""Preparing a submission: ids, metadata, signature and bytes that will not change any more."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from adapters.dmp.messages import XDS
from adapters.dmp.mtom import XOP
from adapters.dmp.prepare import PreparedSubmission, SubmissionIds, canonical_document, prepare_submission
from mappings.xds import vocabulary as v
from mappings.xds.read import read_objects
from security import xml
from security.pki import Authority
from security.vihf_verify import TrustPolicy
from security.xades import SetSigner, verify_set_signature
from tests.support.cda_samples import level1_cda
from tests.support.dmp import a_doctor, a_document, an_endpoint

NOW = datetime.now(UTC)
IDS = SubmissionIds(submission_set="1.2.250.1.999.9.1.1", signature="1.2.250.1.999.9.1.2", signature_xml_id="_b1")


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The authority of the signature certificate."""
    return Authority.create("TEST AC")


@pytest.fixture(scope="module")
def signer(authority: Authority) -> SetSigner:
    """The structure's signer."""
    credential = authority.issue([("C", "FR"), ("OU", "1290099887"), ("CN", "S")], "sign")
    return SetSigner(key=credential.private_key, certificate=credential.certificate)  # type: ignore[arg-type]


def prepare(signer: SetSigner, *documents: object, **options: object) -> PreparedSubmission:
    """Prepare documents at a fixed instant."""
    return prepare_submission(
        list(documents) or [a_document("1.2.250.1.999.9.2.1")],  # type: ignore[arg-type]
        actor=a_doctor(),
        endpoint=an_endpoint("https://dmp.test.invalid"),
        signer=signer,
        ids=IDS,
        now=NOW,
        **options,  # type: ignore[arg-type]
    )


def test_the_same_input_gives_the_same_bytes(signer: SetSigner):
    """Nothing but the given ids and instant enters a prepared set."""
    assert prepare(signer) == prepare(signer)


def test_what_was_stored_is_what_is_sent(signer: SetSigner):
    """Dumping and loading gives the same set; anything else is refused."""
    prepared = prepare(signer)
    stored = prepared.dump()
    assert PreparedSubmission.load(stored) == prepared
    for broken in (b"", b"{}\n", stored[:-1], stored + b"x"):
        with pytest.raises(ValueError, match=r"prepared submission|unexpected|empty"):
            PreparedSubmission.load(broken)


def test_metadata_documents_and_parts_agree(signer: SetSigner, xds_check: Callable[[bytes], list[str]]):
    """Each entry has its document element, each document element its part, hash and size are those of the part."""
    prepared = prepare(signer, a_document("1.2.250.1.999.9.2.1"), a_document("1.2.250.1.999.9.2.2"))
    assert xds_check(prepared.body) == []
    root = xml.parse(prepared.body)
    submission = read_objects(root).submission()
    assert [e.unique_id for e in submission.entries] == [
        "1.2.250.1.999.9.2.1",
        "1.2.250.1.999.9.2.2",
        IDS.signature,
    ]
    documents = list(root.iterfind(f"{{{XDS}}}Document"))
    assert [d.get("id") for d in documents] == [e.entry_uuid for e in submission.entries]
    hrefs = [d[0].get("href") for d in documents]
    assert hrefs == ["cid:" + p.content_id.replace("@", "%40") for p in prepared.parts]
    assert all(d[0].tag == f"{{{XOP}}}Include" for d in documents)
    for entry, part in zip(submission.entries, prepared.parts, strict=True):
        assert entry.hash == hashlib.sha1(part.content, usedforsecurity=False).hexdigest()
        assert entry.size == len(part.content)
    kinds = sorted(a.kind.rpartition(":")[2] for a in submission.associations)
    assert kinds == ["HasMember", "HasMember", "HasMember", "signs"]
    assert prepared.size == sum(len(p.content) for p in prepared.parts)


def test_the_signature_covers_what_travels(signer: SetSigner, authority: Authority):
    """The set's signature verifies against the bytes of the parts."""
    prepared = prepare(signer)
    verified = verify_set_signature(
        prepared.parts[-1].content,
        set_unique_id=IDS.submission_set,
        documents={"1.2.250.1.999.9.2.1": prepared.parts[0].content},
        policy=TrustPolicy(roots=(authority.certificate,)),
        now=NOW,
    )
    assert verified.documents == ("1.2.250.1.999.9.2.1",)


def test_a_document_travels_in_canonical_form():
    """Declaration and quotes go, instructions and comments around the root stay; doing it again changes nothing."""
    written = b"<?xml version='1.0' encoding='UTF-8'?>\n<?xml-stylesheet href='x'?><!-- c -->" + level1_cda()
    once = canonical_document(xml.parse(written, xml.CDA_LIMITS))
    assert once.startswith(b"<?xml-stylesheet href='x'?>\n<!-- c -->\n<ClinicalDocument")
    assert canonical_document(xml.parse(once, xml.CDA_LIMITS)) == once


def test_relations_are_associations(signer: SetSigner):
    """Replacing, completing and linking existing documents."""
    old, other = "urn:uuid:00000000-0000-4000-8000-00000000000a", "urn:uuid:00000000-0000-4000-8000-00000000000b"
    prepared = prepare(
        signer,
        a_document("1.2.250.1.999.9.2.1", replaces=old),
        a_document("1.2.250.1.999.9.2.2", appends_to=other),
        linked=[other],
    )
    links = read_objects(xml.parse(prepared.body)).associations
    assert (v.ASSOCIATION_REPLACES, "Document01", old) in [(a.kind, a.source, a.target) for a in links]
    assert (v.ASSOCIATION_APPENDS, "Document02", other) in [(a.kind, a.source, a.target) for a in links]
    assert ("Reference", other) in [(a.submission_set_status, a.target) for a in links]


def test_the_sender_is_the_author_of_the_set(signer: SetSigner):
    """Author and institution of the set are those of the caller, of the document those of its header."""
    prepared = prepare_submission(
        [a_document("1.2.250.1.999.9.2.1")],
        actor=a_doctor(id="899900000017", family="MARTIN"),
        endpoint=an_endpoint("https://dmp.test.invalid"),
        signer=signer,
        ids=IDS,
        now=NOW,
    )
    submission = read_objects(xml.parse(prepared.body)).submission()
    people = [a.person.id for a in submission.submission_set.authors if a.person]
    assert people == ["899900000017"]
    assert [a.person.id for a in submission.entries[0].authors if a.person] == ["810009876543"]
    assert [a.person.id for a in submission.entries[1].authors if a.person] == ["899900000017"]
    assert submission.submission_set.authors[0].specialties[0].code == "G15_10/SM54"


def test_fresh_ids_are_oids():
    """New ids are OIDs under 2.25, and an XML name."""
    ids = SubmissionIds.fresh()
    assert ids.submission_set.startswith("2.25.")
    assert len(ids.submission_set) <= 64
    assert ids.signature_xml_id.startswith("_")
    assert ids != SubmissionIds.fresh()
