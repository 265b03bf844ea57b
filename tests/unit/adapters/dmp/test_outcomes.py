"""One table of outcomes, checked through the client: every code that may come back."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pytest_httpx import HTTPXMock

from adapters.dmp.client import DmpClient, StatusAnswer
from adapters.dmp.envelope import write_fault, write_reply
from adapters.dmp.messages import HL7
from adapters.dmp.outcomes import TABLE, Kind, Layer, Outcome, outcome
from adapters.dmp.prepare import PreparedSubmission
from adapters.dmp.simulator.refusals import RegistryProblem
from adapters.dmp.simulator.replies import registry_response
from mappings.xds import PatientId
from security.pki import Authority
from security.vihf import VihfSigner
from security.xades import SetSigner
from tests.support.dmp import PATIENT, a_doctor, an_endpoint

BASE = "https://dmp.test.invalid/services"
SOAP = {"content-type": "application/soap+xml; charset=utf-8"}

# dmp.md 9: what each registry error means for the caller. Written again here, by hand: the table must agree.
RETRY = (
    "XDSRegistryBusy XDSRepositoryBusy XDSRegistryOutOfResources XDSRepositoryOutOfResources XDSRegistryNotAvailable"
)
ASK = "XDSRegistryError XDSRepositoryError"
THERE = "XDSDuplicateUniqueIdInRegistry"
REFUSED = """XDSUnknownPatientId XDSPatientIdDoesNotMatch XDSNonIdenticalHash XDSNonIdenticalSize
XDSRegistryDuplicateUniqueIdInMessage XDSRepositoryDuplicateUniqueIdInMessage XDSRegistryMetadataError
XDSRepositoryMetadataError XDSMissingDocument XDSMissingDocumentMetadata InvalidDocumentContent XDSReplaceFailed
XDSRegistryDeprecatedDocumentError UnresolvedReferenceException XDSDocumentUniqueIdError XDSMetadataUpdateError
XDSMetadataVersionError XDSMetadataUpdateOperationError XDSMetadataIdentifierError XDSPatientIDReconciliationError
XDSTooManyResults XDSStoredQueryMissingParam XDSStoredQueryParamNumber XDSUnknownStoredQuery XDSUnknownRepositoryId
XDSExtraMetadataNotSaved DMPAccessDenied"""
EXPECTED = {
    **dict.fromkeys(RETRY.split(), Kind.RETRY),
    **dict.fromkeys(ASK.split(), Kind.ASK_REGISTRY),
    **dict.fromkeys(THERE.split(), Kind.ALREADY_THERE),
    **dict.fromkeys(REFUSED.split(), Kind.REFUSED),
}


@pytest.fixture(scope="module")
def signers() -> tuple[VihfSigner, SetSigner]:
    """The structure's signers."""
    credential = Authority.create("TEST AC").issue([("C", "FR"), ("OU", "1290099887"), ("CN", "S")], "sign")
    return (
        VihfSigner(key=credential.private_key, certificate=credential.certificate),  # type: ignore[arg-type]
        SetSigner(key=credential.private_key, certificate=credential.certificate),  # type: ignore[arg-type]
    )


@pytest.fixture
def client(signers: tuple[VihfSigner, SetSigner]) -> DmpClient:
    """A client of an environment that pytest-httpx plays."""
    return DmpClient(an_endpoint(BASE), ssl_context=None, vihf=signers[0], set_signer=signers[1])


PREPARED = PreparedSubmission(
    submission_set_unique_id="1.2.3",
    document_unique_ids=("1.2.4",),
    signature_unique_id="1.2.5",
    patient=PATIENT,
    body=b"<x/>",
    parts=(),
    submission_time="20260110083100",
)


def submit(client: DmpClient) -> Outcome:
    """Send the prepared set."""
    return asyncio.run(client.submit(PREPARED, a_doctor()))


def answer(body: bytes, *, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    """A reply that relates to its request."""

    def reply(request: httpx.Request) -> httpx.Response:
        found = re.search(rb"<a:MessageID>([^<]+)<", request.read())
        assert found is not None
        message = write_reply(action="urn:x", message_id="urn:uuid:1", relates_to=found.group(1).decode(), body=body)
        return httpx.Response(status, headers=SOAP, content=message)

    return reply


def test_the_table_has_every_registry_error():
    """No registry error of the reference is left out, and none is of another kind than it says."""
    table = {code: row.kind for (layer, code), row in TABLE.items() if layer is Layer.REGISTRY}
    assert table == EXPECTED


@pytest.mark.parametrize("code", sorted(EXPECTED))
def test_each_registry_error_reaches_the_caller(client: DmpClient, httpx_mock: HTTPXMock, code: str):
    """The error code and its context are kept, the outcome is that of the table."""
    problem = RegistryProblem(code=code, context="Ce que dit le DMP", location="/x")
    httpx_mock.add_callback(answer(registry_response("Failure", [problem])))
    said = submit(client)
    assert said.kind is EXPECTED[code]
    assert said.code == f"DMP-REGISTRY-{code}"
    assert (said.original_code, said.original_text, said.location) == (code, "Ce que dit le DMP", "/x")
    assert said.cause.fr
    assert said.fix.fr
    assert "Ce que dit" not in repr(said)


@pytest.mark.parametrize(
    ("code", "subcode", "kind"),
    [
        ("Sender", "DMPInvalidCertificate", Kind.OPERATOR),
        ("Sender", "DMPInvalidVIHF", Kind.REFUSED),
        ("Sender", "DMPAccessDenied", Kind.REFUSED),
        ("Sender", "", Kind.REFUSED),
        ("Sender", "Inconnu", Kind.REFUSED),
        ("Receiver", "", Kind.ASK_REGISTRY),
        ("MustUnderstand", "", Kind.OPERATOR),
        ("VersionMismatch", "", Kind.OPERATOR),
        ("DataEncodingUnknown", "", Kind.OPERATOR),
        ("Sender", "InvalidSecurity", Kind.REFUSED),
        ("Sender", "InvalidSecurityToken", Kind.REFUSED),
        ("Sender", "FailedAuthentication", Kind.REFUSED),
        ("Sender", "FailedCheck", Kind.OPERATOR),
        ("Sender", "MessageExpired", Kind.RETRY),
        ("Sender", "ActionNotSupported", Kind.OPERATOR),
    ],
)
def test_each_fault_reaches_the_caller(client: DmpClient, httpx_mock: HTTPXMock, code: str, subcode: str, kind: Kind):
    """The subcode decides when it is known, the code otherwise; the reason is kept."""
    fault = write_fault(code=code, subcode=subcode, reason="Motif", message_id="urn:uuid:2", relates_to="")
    httpx_mock.add_response(status_code=500, headers=SOAP, content=fault)
    said = submit(client)
    assert said.kind is kind
    assert said.original_code == (subcode or code)
    assert said.original_text == "Motif"
    assert said.http_status == 500


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (401, Kind.OPERATOR, "401"),
        (403, Kind.OPERATOR, "403"),
        (404, Kind.OPERATOR, "404"),
        (405, Kind.OPERATOR, "405"),
        (413, Kind.REFUSED, "413"),
        (415, Kind.OPERATOR, "415"),
        (422, Kind.REFUSED, "4xx"),
        (429, Kind.RETRY, "429"),
        (500, Kind.ASK_REGISTRY, "500"),
        (502, Kind.ASK_REGISTRY, "502"),
        (503, Kind.RETRY, "503"),
        (504, Kind.ASK_REGISTRY, "504"),
        (507, Kind.ASK_REGISTRY, "5xx"),
        (301, Kind.OPERATOR, "3xx"),
    ],
)
def test_each_http_status_has_its_outcome(client: DmpClient, httpx_mock: HTTPXMock, status: int, kind: Kind, code: str):
    """Without a SOAP message the status decides; redirects are not followed."""
    httpx_mock.add_response(status_code=status, headers={"location": "https://elsewhere.invalid/", "retry-after": "7"})
    said = submit(client)
    assert (said.kind, said.code, said.original_code) == (kind, f"DMP-HTTP-{code}", str(status))
    assert said.retry_after == (None if status == 301 else 7)


def tls_error(kind: type[ssl.SSLError]) -> httpx.ConnectError:
    """What httpx raises over a TLS alert."""
    raised = httpx.ConnectError("tls")
    raised.__cause__ = kind(1, "alert")
    return raised


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (httpx.ConnectError("no"), Kind.RETRY, "DMP-NETWORK-connect"),
        (httpx.ConnectTimeout("no"), Kind.RETRY, "DMP-NETWORK-connect_timeout"),
        (httpx.PoolTimeout("no"), Kind.RETRY, "DMP-NETWORK-pool"),
        (tls_error(ssl.SSLCertVerificationError), Kind.OPERATOR, "DMP-TLS-server"),
        (tls_error(ssl.SSLError), Kind.OPERATOR, "DMP-TLS-client"),
    ],
)
def test_what_broke_before_the_request_left(
    client: DmpClient, httpx_mock: HTTPXMock, error: httpx.HTTPError, kind: Kind, code: str
):
    """Nothing was sent: retry, or an operator's matter."""
    httpx_mock.add_exception(error)
    said = submit(client)
    assert (said.kind, said.code) == (kind, code)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx.ReadTimeout("no"), "DMP-NETWORK-timeout"),
        (httpx.WriteTimeout("no"), "DMP-NETWORK-timeout"),
        (httpx.ReadError("no"), "DMP-NETWORK-lost"),
        (httpx.WriteError("no"), "DMP-NETWORK-lost"),
        (httpx.RemoteProtocolError("no"), "DMP-NETWORK-lost"),
    ],
)
def test_what_broke_after_the_request_left(client: DmpClient, httpx_mock: HTTPXMock, error: httpx.HTTPError, code: str):
    """The body was on its way: nobody knows, the registry is asked."""

    async def broken(request: httpx.Request) -> httpx.Response:
        await request.aread()
        raise error

    httpx_mock.add_callback(broken)
    said = submit(client)
    assert (said.kind, said.code) == (Kind.ASK_REGISTRY, code)


def test_a_reading_call_is_simply_repeated(client: DmpClient, httpx_mock: HTTPXMock):
    """Where nothing changes, an unknown end is a retry."""

    async def broken(request: httpx.Request) -> httpx.Response:
        await request.aread()
        raise httpx.ReadTimeout("no")

    httpx_mock.add_callback(broken)
    said = asyncio.run(client.patient_status(PATIENT, a_doctor()))
    assert said.outcome.kind is Kind.RETRY


def hl7(acknowledgement: str, *, response: str = "OK", patient: str = "") -> bytes:
    """An answer to TD0.2."""
    return (
        f'<PRPA_IN201308UV02 xmlns="{HL7}">{acknowledgement}<controlActProcess>{patient}<queryAck>'
        f'<queryResponseCode code="{response}"/></queryAck></controlActProcess></PRPA_IN201308UV02>'
    ).encode()


ACK = '<acknowledgement typeCode="{}">{}</acknowledgement>'
DETAIL = '<acknowledgementDetail><code code="{}"/><text>Texte</text></acknowledgementDetail>'


@pytest.mark.parametrize(
    ("body", "kind", "code", "dmp"),
    [
        (hl7(ACK.format("AA", ""), response="NF"), Kind.ACCEPTED, "DMP-ACCEPTED", "none"),
        (hl7(ACK.format("AE", ""), response="NF"), Kind.ACCEPTED, "DMP-ACCEPTED", "none"),
        (hl7(ACK.format("AE", DETAIL.format("DMPClosed"))), Kind.ACCEPTED, "DMP-ACCEPTED", "closed"),
        (hl7(ACK.format("AE", DETAIL.format("DMPFound"))), Kind.REFUSED, "DMP-HL7-DMPFound", None),
        (hl7(ACK.format("AE", "")), Kind.REFUSED, "DMP-HL7-AE", None),
        (hl7(ACK.format("AR", "")), Kind.REFUSED, "DMP-HL7-AR", None),
        (hl7(""), Kind.RETRY, "DMP-MESSAGE-status", None),
        (b'<other xmlns="urn:x"/>', Kind.RETRY, "DMP-MESSAGE-type", None),
        (
            hl7(
                ACK.format("AA", ""),
                patient='<subject1><patient><statusCode code="active"/></patient></subject1>',
            ),
            Kind.ACCEPTED,
            "DMP-ACCEPTED",
            "active",
        ),
        (
            hl7(
                '<acknowledgement><typeCode code="AA"/></acknowledgement>',
                patient='<subject1><patient><statusCode value="terminated"/></patient></subject1>',
            ),
            Kind.ACCEPTED,
            "DMP-ACCEPTED",
            "closed",
        ),
        (
            hl7(ACK.format("AA", ""), patient='<subject1><patient><statusCode code="??"/></patient></subject1>'),
            Kind.ACCEPTED,
            "DMP-ACCEPTED",
            "unknown",
        ),
    ],
)
def test_each_answer_about_a_record(
    client: DmpClient, httpx_mock: HTTPXMock, body: bytes, kind: Kind, code: str, dmp: str | None
):
    """Status, acknowledgement and details of TD0.2, in both spellings of a value."""
    httpx_mock.add_callback(answer(body))
    said: StatusAnswer = asyncio.run(client.patient_status(PATIENT, a_doctor()))
    assert (said.outcome.kind, said.outcome.code) == (kind, code)
    assert (said.status.dmp if said.status else None) == dmp


def test_unknown_codes_are_never_retried_blindly():
    """A code that no row knows is refused, shown as it came; a lost connection is asked about."""
    for layer in Layer:
        said = outcome(layer, "DMPJamaisVu", text="Texte")
        assert said.kind in (Kind.REFUSED, Kind.ASK_REGISTRY)
        assert said.original_code == "DMPJamaisVu"
        assert said.original_text == "Texte"


def test_every_row_speaks_both_languages():
    """Cause and fix in French and in English, for every row."""
    for key, row in TABLE.items():
        assert all((row.cause.fr, row.cause.en, row.fix.fr, row.fix.en)), key


def test_several_errors_give_the_one_that_limits_most(client: DmpClient, httpx_mock: HTTPXMock):
    """A refusal beside a busy registry is a refusal; warnings alone are a success."""
    problems = [
        RegistryProblem(code="XDSRegistryBusy", context="a"),
        RegistryProblem(code="XDSRegistryMetadataError", context="b"),
        RegistryProblem(code="XDSExtraMetadataNotSaved", context="c", warning=True),
    ]
    httpx_mock.add_callback(answer(registry_response("Failure", problems)))
    assert submit(client).original_code == "XDSRegistryMetadataError"
    httpx_mock.add_callback(answer(registry_response("Success", problems[2:])))
    said = submit(client)
    assert said.ok
    assert said.warnings == ("XDSExtraMetadataNotSaved: c",)


def test_a_request_says_who_calls_and_for_whom(client: DmpClient, httpx_mock: HTTPXMock):
    """SOAP 1.2, addressing, the assertion in the header, a fresh message id and assertion at each sending."""
    httpx_mock.add_callback(answer(registry_response("Success", [])), is_reusable=True)
    assert submit(client).ok
    assert submit(client).ok
    first, second = (request.read().decode() for request in httpx_mock.get_requests())
    for text in (first, second):
        assert "<a:To>https://dmp.test.invalid/services/repository</a:To>" in text
        assert "279035121518989^^^&amp;1.2.250.1.213.1.4.10&amp;ISO^NH" in text
    ids = [re.findall(r'MessageID>([^<]+)<|Assertion [^>]*ID="([^"]+)"', text) for text in (first, second)]
    assert ids[0] != ids[1]
    assert PATIENT.value not in str(httpx_mock.get_requests()[0].url)


def test_an_old_login_is_said_as_it_was(client: DmpClient, httpx_mock: HTTPXMock):
    """AuthnInstant is the login in the practice's software, not now."""
    httpx_mock.add_callback(answer(registry_response("Success", [])))
    login = datetime.now(UTC) - timedelta(hours=2)
    asyncio.run(client.submit(PREPARED, a_doctor(authn_instant=login)))
    text = httpx_mock.get_requests()[0].read().decode()
    assert f'AuthnInstant="{login:%Y-%m-%dT%H:%M:%SZ}"' in text


def test_a_patient_is_never_shown(client: DmpClient):
    """Neither a prepared set nor an outcome shows the matricule when printed."""
    assert PATIENT.value not in repr(PREPARED)
    assert PATIENT.value not in repr(PatientId(value=PATIENT.value, authority="1"))
