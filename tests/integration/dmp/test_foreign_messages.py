"""The messages of other software, one line each: read as the index of the samples says, by client and simulator.

Strict about meaning, tolerant about form. A message that the index would have accepted may still be refused for what it
says (another country's patient, a transaction the DMP has not, a placeholder), never for how it is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from adapters.mss.rules import MailRefused
from adapters.mss.unpack import read_package
from mappings.xds.pdsm_in import NotPdsm, read_document_reference, read_provide_bundle
from mappings.xds.read import read_objects
from security import json as safe_json
from security import xml
from tests.support.dmp import Bench
from tests.support.foreign import Foreign, assertion_verdict, index, response_outcome

NO_ASSERTION, NO_ADDRESS, UNKNOWN = "DMPInvalidVIHF", "MessageAddressingHeaderRequired", "ActionNotSupported"
FOREIGN_SIGNER = "DMPInvalidCertificate"

#: Requests in an envelope, as they are: what stops them. Those that the index accepts are stopped by their assertion
#: (none, or another country's), or because the DMP has no such transaction.
AS_THEY_ARE: Final = {
    "nist-toolkit/iti41-req-xop-axis2.mime.txt": NO_ASSERTION,
    "nist-toolkit/iti41-req-multipart-inline-base64.mime.txt": NO_ASSERTION,
    "nist-toolkit/iti41-req-xop-axis2.http.txt": NO_ASSERTION,
    "nist-toolkit/iti41-req-plain-soap-wrong-content-type.http.txt": "415",
    "nist-toolkit/iti41-req-xop-body.mime.txt": NO_ASSERTION,
    "nist-toolkit/iti41-req-envelope.xml": NO_ASSERTION,
    "nist-toolkit/iti41-req-no-messageid.xml": NO_ADDRESS,
    "nist-toolkit/iti41-req-no-action.xml": NO_ADDRESS,
    "nist-toolkit/iti42-req-body.xml": UNKNOWN,
    "nist-toolkit/iti42-req-default-namespaces.xml": UNKNOWN,
    "nist-toolkit/iti18-req-envelope-no-messageid.xml": NO_ADDRESS,
    "nist-toolkit/iti43-req-envelope.xml": NO_ASSERTION,
    "nist-toolkit/iti43-req-wrong-order.xml": NO_ASSERTION,
    "nist-toolkit/envelope-empty-body.xml": NO_ADDRESS,
    "nist-toolkit/envelope-not-well-formed.xml": "DMPInvalidMessage",
    "wxdsb/iti18-req-italian-fse.xml": FOREIGN_SIGNER,
    "wxdsb/iti62-req-italian-fse.xml": FOREIGN_SIGNER,
    "wxdsb/iti43-req-italian-fse.xml": FOREIGN_SIGNER,
    "xcads/iti18-req.xml": NO_ASSERTION,
    "xcads/iti38-req-async.xml": UNKNOWN,
    "xcads/iti41-req-empty-list.xml": NO_ASSERTION,
    "xcads/iti43-req-wrong-action.xml": UNKNOWN,
    "xcads/iti62-req-empty.xml": UNKNOWN,
    "xcads/iti86-req.xml": UNKNOWN,
    "xcads/iti18-req-getassociations-xua.xml": FOREIGN_SIGNER,
    "epd/iti18-req-xua.xml": FOREIGN_SIGNER,
    "epd/iti43-req-xua-redacted.xml": FOREIGN_SIGNER,
    "epd/wstrust-issue-req.xml": NO_ADDRESS,
    "connect/iti18-req-by-patient.xml": NO_ADDRESS,
    "connect/iti18-req-by-event-code.xml": NO_ADDRESS,
    "connect/iti41-req-connect.xml": NO_ADDRESS,
}

#: The same with an assertion of ours, and bare bodies in an envelope of ours: what the registry says of their content.
#: Foreign patients have no INS; placeholders stand for ids; folders are not the DMP's.
WITH_OURS: Final = {
    "nist-toolkit/iti41-req-xop-axis2.mime.txt": "XDSRegistryMetadataError",
    "nist-toolkit/iti41-req-multipart-inline-base64.mime.txt": "XDSRegistryMetadataError",
    "nist-toolkit/iti41-req-xop-axis2.http.txt": "XDSRegistryMetadataError",
    "nist-toolkit/iti41-req-xop-body.mime.txt": "XDSRegistryMetadataError",
    "nist-toolkit/iti41-req-envelope.xml": "XDSMissingDocument",
    "nist-toolkit/iti41-req-slot-after-name.xml": "XDSRegistryMetadataError",
    "nist-toolkit/iti41-req-association-to-itself.xml": "XDSRegistryMetadataError",
    "nist-toolkit/iti41-req-classifiedobject-unknown.xml": "XDSRegistryMetadataError",
    "nist-toolkit/iti41-req-limited-metadata.xml": "XDSRegistryMetadataError",
    "nist-toolkit/iti41-req-replace.xml": "XDSRegistryMetadataError",
    "nist-toolkit/iti41-req-append.xml": "XDSRegistryMetadataError",
    "nist-toolkit/iti41-req-folder-and-document.xml": "XDSRegistryMetadataError",
    "nist-toolkit/iti41-req-two-documents.xml": "XDSMissingDocument",
    "nist-toolkit/iti41-req-xdr-minimal.xml": "XDSMissingDocument",
    "nist-toolkit/iti41-req-xdr-minimal-2.xml": "XDSMissingDocument",
    "nist-toolkit/iti42-req-bare.xml": UNKNOWN,
    "nist-toolkit/xdsa-ebxml21-update.xml": UNKNOWN,
    "nist-toolkit/iti18-req-finddocuments-and.xml": "XDSRegistryError",
    "nist-toolkit/iti18-req-finddocuments-author.xml": "XDSRegistryError",
    "nist-toolkit/iti18-req-finddocumentsbyreferenceid.xml": "XDSRegistryError",
    "nist-toolkit/iti18-req-findsubmissionsets-time.xml": "XDSRegistryError",
    "nist-toolkit/iti18-req-findfolders-codelist.xml": "XDSUnknownStoredQuery",
    "nist-toolkit/iti18-req-getall.xml": "XDSUnknownStoredQuery",
    "nist-toolkit/iti18-req-getdocuments-two-uniqueids.xml": "Success",
    "nist-toolkit/iti18-req-getdocuments-home.xml": "Success",
    "nist-toolkit/iti18-req-getfolders.xml": "XDSUnknownStoredQuery",
    "nist-toolkit/iti18-req-getassociations.xml": "Success",
    "nist-toolkit/iti18-req-getdocumentsandassociations.xml": "Success",
    "nist-toolkit/iti18-req-getsubmissionsets.xml": "XDSUnknownStoredQuery",
    "nist-toolkit/iti18-req-getsubmissionsetandcontents-format.xml": "Success",
    "nist-toolkit/iti18-req-getfolderandcontents-confcode.xml": "XDSUnknownStoredQuery",
    "nist-toolkit/iti18-req-getfoldersfordocument.xml": "XDSUnknownStoredQuery",
    "nist-toolkit/iti18-req-getrelateddocuments.xml": "XDSUnknownStoredQuery",
    "nist-toolkit/iti51-req-multipatient.xml": UNKNOWN,
    "nist-toolkit/iti18-req-bad-patientid-format.xml": "XDSRegistryError",
    "nist-toolkit/iti18-req-status-not-quoted.xml": "XDSRegistryError",
    "nist-toolkit/iti18-req-no-status.xml": "XDSStoredQueryMissingParam",
    "nist-toolkit/iti43-req-envelope.xml": "XDSUnknownRepositoryId",
    "nist-toolkit/iti43-req-wrong-order.xml": "XDSRepositoryError",
    "nist-toolkit/iti57-req-update-availability-status.xml": "XDSRegistryMetadataError",
    "nist-toolkit/iti62-req-one.xml": UNKNOWN,
    "nist-toolkit/iti62-req-associations-comments.xml": UNKNOWN,
    "nist-toolkit/iti62-req-many.xml": UNKNOWN,
    "nist-toolkit/iti86-req-two-documents.xml": UNKNOWN,
    "ipf/iti42-req-bare.xml": UNKNOWN,
    "ipf/iti42-req-extra-metadata.xml": UNKNOWN,
    "ipf/iti57-req-update.xml": "XDSRegistryMetadataError",
    "ipf/iti57-req-nonstandard-association.xml": "XDSRegistryMetadataError",
    "ipf/iti51-req.xml": UNKNOWN,
    "ipf/iti41-req-continua.xml": "XDSRegistryMetadataError",
    "openxds/iti18-req-finddocuments.xml": "XDSPatientIdDoesNotMatch",
    "openxds/iti43-req.xml": "XDSUnknownRepositoryId",
    "openxds/iti41-req-truncated-base64.xml": "XDSRegistryMetadataError",
    "openxds/iti41-req-xfrm-rplc.xml": "XDSRegistryMetadataError",
    "connect/iti41-req-no-namespace.xml": "DMPInvalidMessage",
    # The Italian record takes a patient's number without quotes; ITI-18 does not, nor the index for another message.
    "wxdsb/iti18-req-italian-fse.xml": "XDSRegistryError",
    "wxdsb/iti62-req-italian-fse.xml": "XDSRegistryError",
    "wxdsb/iti43-req-italian-fse.xml": "XDSUnknownRepositoryId",
    "xcads/iti18-req.xml": "XDSPatientIdDoesNotMatch",
    "xcads/iti41-req-empty-list.xml": "XDSRegistryMetadataError",
    "xcads/iti18-req-getassociations-xua.xml": "Success",
    "epd/iti18-req-xua.xml": "XDSPatientIdDoesNotMatch",
    "epd/iti43-req-xua-redacted.xml": "XDSUnknownRepositoryId",
}

ACCEPTED = "DMP-ACCEPTED"
#: Answers, as the client reads them.
ANSWERS: Final = {
    "nist-toolkit/iti18-resp-objectrefs.xml": ACCEPTED,
    "nist-toolkit/iti18-resp-no-status.xml": "DMP-MESSAGE-status",
    "nist-toolkit/iti18-resp-leafclass.xml": ACCEPTED,
    "nist-toolkit/iti38-resp-leafclass-envelope.xml": ACCEPTED,
    "nist-toolkit/iti18-resp-objectref-envelope.xml": ACCEPTED,
    "nist-toolkit/iti38-resp-empty-signatureconfirmation.xml": ACCEPTED,
    "nist-toolkit/iti43-resp-inline-wsa-mustunderstand.xml": ACCEPTED,
    "nist-toolkit/iti39-resp-no-home.xml": "DMP-REGISTRY-MyBigError",
    "nist-toolkit/registryresponse-success-with-error.xml": "DMP-MESSAGE-contradiction",
    "nist-toolkit/registryresponse-failure-without-errors.xml": "DMP-MESSAGE-no_error",
    "nist-toolkit/iti41-resp-success.xml": ACCEPTED,
    "nist-toolkit/iti41-resp-failure-six-errors.xml": "DMP-REGISTRY-XDSRegistryMetadataError",
    "nist-toolkit/fault-soap12-not-mtom.xml": "fault Sender",
    "openxds/iti18-resp-finddocuments.xml": ACCEPTED,
    "openxds/iti43-resp-ellipsis-document.xml": "MTOM-DOCUMENT-002",
    "openxds/iti38-resp-empty.xml": ACCEPTED,
    "wxdsb/iti18-resp-italian-fse.xml": ACCEPTED,
    "wxdsb/iti42-resp.xml": ACCEPTED,
    "wxdsb/iti62-resp-italian-fse.xml": ACCEPTED,
    "epd/iti18-resp.xml": ACCEPTED,
    "epd/iti41-resp-mtom-cxf.http.txt": ACCEPTED,
    # A root part without the part it refers to: read, and its document is missed.
    "epd/iti43-resp-xop-root-part.xml": "MTOM-PART-001",
    "connect/iti39-resp-success.xml": "MTOM-PART-001",
    "epd/wstrust-issue-resp-professional.xml": "no answer of a registry: RequestSecurityTokenResponseCollection",
    "epd/wstrust-issue-resp-patient.xml": "no answer of a registry: RequestSecurityTokenResponseCollection",
    "epd/wstrust-issue-resp-representative.xml": "no answer of a registry: RequestSecurityTokenResponseCollection",
    "epd/soap11-artifact-response.xml": "SOAP 1.1",
    "connect/iti38-resp-registrybusy.xml": "DMP-REGISTRY-XDSRegistryBusy",
    "connect/iti38-resp-toomanyresults.xml": "DMP-REGISTRY-XDSTooManyResults",
    "connect/iti38-resp-unknownstoredquery.xml": "DMP-REGISTRY-XDSUnknownStoredQuery",
    "connect/iti38-resp-missingparam.xml": "DMP-REGISTRY-XDSStoredQueryMissingParam",
    "connect/iti39-resp-repositoryerror.xml": "DMP-REGISTRY-XDSRepositoryError",
    "connect/iti39-resp-missingparam.xml": "DMP-REGISTRY-XDSStoredQueryMissingParam",
    "connect/iti41-resp-connect.xml": ACCEPTED,
    "connect/fault-receiver.xml": "fault Receiver",
    "connect/fault-short.xml": "fault Receiver",
    "connect/iti38-resp-many-documents.xml": ACCEPTED,
}

#: Assertions, as the simulator verifies them: read whatever their attributes, none of a trusted signer.
ASSERTIONS: Final = {
    "ipf/saml-xua-swiss.xml": "VIHF-ALGORITHM-001",
    "ipf/saml-security-header-xua.xml": "VIHF-ALGORITHM-001",
    "connect/saml-complete.xml": "VIHF-COUNT-001",
    "connect/saml-missing-values.xml": "VIHF-COUNT-001",
    "connect/saml-auth-framework.xml": "VIHF-COUNT-001",
    "xcads/saml-helseid.xml": "VIHF-CERTIFICATE-002",
    "xcads/saml-helsenorge.xml": "VIHF-CERTIFICATE-001",
}

#: ITI-65 Bundles: all are read; the DMP's own metadata rules refuse foreign patients and code systems.
BUNDLES: Final = (
    "ipf/iti65-req-mhd-comprehensive.json",
    "mag/iti65-req-ch.json",
    "mag/iti65-req.http.txt",
    "xcads/iti65-req-department.json",
    "xcads/iti65-req-create.json",
    "pdsm4dmp/iti65-req-pdsm.json",
    "pdsm4dmp/iti65-req-pdsm-replace.json",
)
#: Other kinds, each with a test of its own below.
OTHERS: Final = (
    "mag/docref-update-req.json",
    "pdsm4dmp/iti105-req-pdsm.json",
    "pdsm4dmp/iti67-resp-pdsm.json",
    "nist-toolkit/xdm-metadata.xml",
    "nist-toolkit/xdm-metadata-minimal.xml",
    "nist-toolkit/xdm-minimal.zip",
    "nist-toolkit/iti65-req-stu3.fhir.xml",
    "ipf/iti67-resp-searchset.fhir.xml",
    "ipf/iti66-resp-searchset.fhir.xml",
    "nist-toolkit/iti41-req-xop-header.txt",
    "nist-toolkit/iti42-req-header.txt",
)


@pytest.fixture
def foreign(bench: Bench) -> Iterator[Foreign]:
    """Foreign software before the simulator."""
    made = Foreign(bench)
    yield made
    made.close()


def test_every_message_of_the_index_is_here() -> None:
    """141 messages, each in a table of this module; what the index rejects is accepted nowhere."""
    tables = [AS_THEY_ARE, WITH_OURS, ANSWERS, ASSERTIONS, dict.fromkeys(BUNDLES, ""), dict.fromkeys(OTHERS, "")]
    assert set().union(*tables) == set(index())
    assert len(index()) == 141
    for name, sample in index().items():
        said = {table[name] for table in tables if name in table}
        if sample.rejected:
            assert not said & {"Success", ACCEPTED, NO_ASSERTION} or WITH_OURS.get(name, "Success") != "Success", name
        elif sample.expect == "accept":
            # How it is written is never why: no fault of form, of addressing or of the media type.
            assert not said & {"415", "DMPInvalidMessage", "DMP-MESSAGE-unreadable"}, name


@pytest.mark.parametrize("name", sorted(AS_THEY_ARE))
def test_requests_as_they_are(foreign: Foreign, name: str) -> None:
    """The very bytes over mutual TLS: read up to what stops them, and answered by a fault that names it."""
    assert foreign.as_it_is(index()[name]) == AS_THEY_ARE[name]


@pytest.mark.parametrize("name", sorted(WITH_OURS))
def test_requests_with_an_assertion_of_ours(foreign: Foreign, name: str) -> None:
    """Let in, a message is judged by what it says: an answer of the registry with its own code."""
    assert foreign.with_an_assertion(index()[name]) == WITH_OURS[name]


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_answers_are_read_by_the_client(name: str) -> None:
    """Any prefix, any addressing or none, one-part multipart; a success that carries an error is none."""
    assert response_outcome(index()[name]) == ANSWERS[name]


@pytest.mark.parametrize("name", sorted(ASSERTIONS))
def test_foreign_assertions_let_nobody_in(bench: Bench, name: str) -> None:
    """Each has its reason: two signers, a certificate cut short or out of date, an algorithm."""
    assert assertion_verdict(index()[name], bench.pki.trust) == ASSERTIONS[name]


@pytest.mark.parametrize("name", BUNDLES)
def test_bundles_are_read_and_judged_by_their_metadata(foreign: Foreign, name: str) -> None:
    """Order of members, urn:uid:, contained organisations: read; a refusal is of the metadata, with its code."""
    sample = index()[name]
    read = read_provide_bundle(safe_json.loads(sample.http()[1]))
    assert len(read.submission.entries) == 1
    assert read.submission.entries[0].unique_id
    assert foreign.by_fhir(sample) == "422 XDSRegistryMetadataError"


def test_resources_that_are_no_bundle(foreign: Foreign) -> None:
    """A DocumentReference, an answer, XML: refused by name where a Bundle is due; the DocumentReference is read."""
    for name in ("mag/docref-update-req.json", "pdsm4dmp/iti105-req-pdsm.json", "pdsm4dmp/iti67-resp-pdsm.json"):
        with pytest.raises(NotPdsm):
            read_provide_bundle(safe_json.loads(index()[name].data))
        assert foreign.by_fhir(index()[name]) == "422 XDSRegistryMetadataError"
    for name in ("nist-toolkit/iti65-req-stu3.fhir.xml", "ipf/iti67-resp-searchset.fhir.xml"):
        assert foreign.by_fhir(index()[name]) == "422 InvalidDocumentContent"
    assert foreign.by_fhir(index()["ipf/iti66-resp-searchset.fhir.xml"]) == "422 InvalidDocumentContent"
    single = read_document_reference(safe_json.loads(index()["pdsm4dmp/iti105-req-pdsm.json"].data))
    assert single.type_code is not None
    found = safe_json.loads(index()["pdsm4dmp/iti67-resp-pdsm.json"].data)
    kinds = {entry["resource"]["resourceType"] for entry in found["entry"]}
    assert "DocumentReference" in kinds


def test_archives_and_their_metadata() -> None:
    """METADATA.XML is read; an archive with a Mac's litter and another letter case too, up to its text document."""
    for name in ("nist-toolkit/xdm-metadata.xml", "nist-toolkit/xdm-metadata-minimal.xml"):
        objects = read_objects(xml.parse(index()[name].data))
        assert (len(objects.submission_sets), len(objects.entries), len(objects.associations)) == (1, 1, 1)
    with pytest.raises(MailRefused) as refused:
        read_package(index()["nist-toolkit/xdm-minimal.zip"].data)
    assert [(f.code, f.location) for f in refused.value.findings] == [("MSS-XDM-007", "IHE_XDM/SUBSET/doc.txt")]


def test_heads_alone(bench: Bench, foreign: Foreign) -> None:
    """An HTTP head without its body is refused as unreadable, not by a trace."""
    for name in ("nist-toolkit/iti41-req-xop-header.txt", "nist-toolkit/iti42-req-header.txt"):
        sample = index()[name]
        assert foreign.as_it_is(sample) == "DMPInvalidMessage"
