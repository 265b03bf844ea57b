"""When things go wrong on the wire: what the client says, and what the registry holds."""

from __future__ import annotations

import random
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.dmp.messages import DocumentRequest
from adapters.dmp.outcomes import TABLE, Kind, Layer, Outcome
from security.pki import Authority, SandboxPki
from security.tls import client_ssl_context
from tests.support.dmp import OPEN_PATIENT, PATIENT, Bench, a_bench, a_doctor, a_document, run

DOCTOR = a_doctor()
UNIQUE_ID = "1.2.250.1.999.9.2.101"


def submit(bench: Bench, fault: str, parameters: dict[str, Any] | None = None, **options: Any) -> tuple[Outcome, int]:
    """Send one document under a fault; gives the outcome and how many entries the registry has of it."""
    bench.sandbox.faults.set(fault, parameters=parameters, transaction="TD2.1a")

    async def scenario() -> Outcome:
        async with bench.client(**options) as client:
            return await client.submit(client.prepare([a_document(UNIQUE_ID)], DOCTOR), DOCTOR)

    return run(scenario()), len(bench.sandbox.state.of_unique_id(UNIQUE_ID))


@pytest.mark.parametrize(
    ("fault", "parameters", "kind", "code", "entries"),
    [
        ("latency", {"seconds": 0.01}, Kind.ACCEPTED, "DMP-ACCEPTED", 1),
        ("http_error", {"status": 500}, Kind.ASK_REGISTRY, "DMP-HTTP-500", 0),
        ("http_error", {"status": 503, "retry_after": 30}, Kind.RETRY, "DMP-HTTP-503", 0),
        ("http_error", {"status": 502}, Kind.ASK_REGISTRY, "DMP-HTTP-502", 0),
        ("http_error", {"status": 403}, Kind.OPERATOR, "DMP-HTTP-403", 0),
        ("http_error", {"status": 418}, Kind.REFUSED, "DMP-HTTP-4xx", 0),
        ("http_error", {"status": 302}, Kind.OPERATOR, "DMP-HTTP-3xx", 0),
        ("html", {}, Kind.ASK_REGISTRY, "DMP-MESSAGE-type", 0),
        ("wrong_content_type", {}, Kind.ASK_REGISTRY, "DMP-MESSAGE-type", 1),
        ("lost_before", {}, Kind.ASK_REGISTRY, "DMP-NETWORK-lost", 0),
        ("lost_after_acceptance", {}, Kind.ASK_REGISTRY, "DMP-NETWORK-lost", 1),
        ("soap_fault", {"code": "Receiver"}, Kind.ASK_REGISTRY, "DMP-SOAP-Receiver", 0),
        ("soap_fault", {"code": "Sender", "subcode": "DMPNew"}, Kind.REFUSED, "DMP-SOAP-Sender", 0),
        ("soap_fault", {"code": "MustUnderstand"}, Kind.OPERATOR, "DMP-SOAP-MustUnderstand", 0),
        ("registry_error", {"code": "XDSRegistryBusy"}, Kind.RETRY, "DMP-REGISTRY-XDSRegistryBusy", 0),
        ("registry_error", {"code": "XDSRepositoryError"}, Kind.ASK_REGISTRY, "DMP-REGISTRY-XDSRepositoryError", 0),
        ("registry_error", {"code": "DMPQuiSait"}, Kind.REFUSED, "DMP-REGISTRY-DMPQuiSait", 0),
        ("failure_without_error", {}, Kind.REFUSED, "DMP-MESSAGE-no_error", 0),
        ("success_with_error", {}, Kind.ASK_REGISTRY, "DMP-MESSAGE-contradiction", 1),
        ("partial_success", {}, Kind.ASK_REGISTRY, "DMP-MESSAGE-partial", 1),
        ("unknown_status", {}, Kind.ASK_REGISTRY, "DMP-MESSAGE-status", 1),
        ("wrong_relates_to", {}, Kind.ASK_REGISTRY, "DMP-MESSAGE-relates_to", 1),
        ("not_xml", {}, Kind.ASK_REGISTRY, "DMP-MESSAGE-unreadable", 0),
        ("truncated_multipart", {}, Kind.ASK_REGISTRY, "DMP-MESSAGE-unreadable", 1),
        ("wrong_boundary", {}, Kind.ASK_REGISTRY, "DMP-MESSAGE-unreadable", 1),
        ("expired_assertion", {}, Kind.REFUSED, "DMP-SOAP-DMPInvalidVIHF", 0),
    ],
)
def test_each_fault_has_its_outcome(
    bench: Bench, fault: str, parameters: dict[str, Any], kind: Kind, code: str, entries: int
):
    """What happened decides what may be done next, and the registry holds what it says."""
    outcome, count = submit(bench, fault, parameters)
    assert (outcome.kind, outcome.code, count) == (kind, code, entries)
    assert outcome.cause.fr
    assert outcome.cause.en
    if parameters.get("retry_after"):
        assert outcome.retry_after == 30


def switches() -> list[tuple[Layer, str, str, dict[str, Any]]]:
    """For each row of the table that a service can cause by its answer: the fault to switch on."""
    out: list[tuple[Layer, str, str, dict[str, Any]]] = []
    for layer, code in TABLE:
        if layer is Layer.REGISTRY:
            out.append((layer, code, "registry_error", {"code": code}))
        elif layer is Layer.SOAP:
            general = code in ("Sender", "Receiver", "MustUnderstand", "VersionMismatch", "DataEncodingUnknown")
            out.append((layer, code, "soap_fault", {"code": code} if general else {"code": "Sender", "subcode": code}))
        elif layer is Layer.HTTP and code.isdigit():
            out.append((layer, code, "http_error", {"status": int(code)}))
    return out


@pytest.mark.parametrize("layer", [Layer.REGISTRY, Layer.SOAP, Layer.HTTP])
def test_each_row_of_the_error_table_over_mutual_tls(bench: Bench, layer: Layer):
    """Refused by each code as its row says, and the same set passes once the fault is gone."""
    rows = [row for row in switches() if row[0] is layer]
    assert len(rows) > 8

    async def scenario() -> None:
        async with bench.client(probe_wait=0.01) as client:
            prepared = client.prepare([a_document(UNIQUE_ID)], DOCTOR)
            for _, code, fault, parameters in rows:
                bench.sandbox.faults.set(fault, parameters=parameters, transaction="TD2.1a")
                outcome = await client.submit(prepared, DOCTOR)
                assert outcome.kind is TABLE[(layer, code)].kind, code
                assert outcome.code == f"DMP-{layer.value.upper()}-{code}"
                assert outcome.original_code == code
            assert bench.sandbox.state.entries() == []
            assert (await client.submit(prepared, DOCTOR)).ok

    run(scenario())


def test_an_answer_without_end_is_cut(bench: Bench):
    """More than the limit is not read, and memory stays bounded."""
    outcome, _ = submit(bench, "huge", {"bytes": 200_000_000})
    assert outcome.code == "DMP-MESSAGE-too_large"
    outcome, _ = submit(bench, "huge", {"bytes": 8 * 1024 * 1024}, max_answer_bytes=1024 * 1024)
    assert outcome.code == "DMP-MESSAGE-too_large"


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_wrong_is_an_operators_matter(bench: Bench, hours: int):
    """Assertions of another hour are refused: the clock is named, and no document is given up for it."""

    async def scenario() -> Outcome:
        async with bench.client() as client:
            wrong = client._clock = client._transport._clock = lambda: datetime.now(UTC) + timedelta(hours=hours)
            prepared = client.prepare([a_document(UNIQUE_ID)], a_doctor(authn_instant=wrong() - timedelta(minutes=5)))
            return await client.submit(prepared, DOCTOR)

    outcome = run(scenario())
    assert (outcome.kind, outcome.code) == (Kind.OPERATOR, "DMP-LOCAL-clock_skew"), outcome
    assert outcome.original_code == "DMPInvalidVIHF"
    assert "NTP" in outcome.fix.fr


def test_nothing_hangs_longer_than_its_timeout(bench: Bench):
    """A service that takes the request and says nothing is left after the total time."""
    start = time.monotonic()
    outcome, count = submit(bench, "timeout", {"seconds": 30}, total_timeout=0.4)
    assert time.monotonic() - start < 5
    assert (outcome.kind, outcome.code, count) == (Kind.ASK_REGISTRY, "DMP-NETWORK-timeout", 0)


def test_a_service_that_is_not_there_is_a_retry(bench: Bench):
    """A refused connection did nothing: the same call later."""

    async def scenario() -> Outcome:
        client = bench.client()
        endpoint = type(client.endpoint).at(
            "https://127.0.0.1:9/x", software=client.endpoint.software, source_id="1.2.3"
        )
        client._transport._endpoint = client.endpoint = endpoint
        async with client:
            return await client.submit(client.prepare([a_document(UNIQUE_ID)], DOCTOR), DOCTOR)

    assert run(scenario()).code == "DMP-NETWORK-connect"


@pytest.mark.parametrize(
    ("fault", "code"),
    [("missing_part", "DMP-MESSAGE-unreadable"), ("truncated_multipart", "DMP-MESSAGE-unreadable")],
)
def test_a_retrieval_without_its_document_may_be_repeated(bench: Bench, fault: str, code: str):
    """Reading changes nothing: a broken answer is asked for again."""
    bench.sandbox.faults.set(fault, transaction="TD3.2")

    async def scenario() -> Outcome:
        async with bench.client() as client:
            document = a_document(UNIQUE_ID, ins=OPEN_PATIENT.value)
            assert (await client.submit(client.prepare([document], DOCTOR), DOCTOR)).ok
            entry = bench.sandbox.state.entries()[0].entry
            wanted = DocumentRequest(
                repository_unique_id=entry.repository_unique_id, document_unique_id=entry.unique_id
            )
            return (await client.retrieve([wanted], OPEN_PATIENT, DOCTOR)).outcome

    outcome = run(scenario())
    assert (outcome.kind, outcome.code) == (Kind.RETRY, code)


# --- TLS -------------------------------------------------------------------------------------------------------------


def call_with(bench: Bench, tls: ssl.SSLContext) -> Outcome:
    """Ask for a status with another TLS context."""

    async def scenario() -> Outcome:
        async with bench.client(tls=tls) as client:
            return (await client.patient_status(PATIENT, DOCTOR)).outcome

    return run(scenario())


SUBJECT = [("C", "FR"), ("O", "CABINET FICTIF"), ("OU", "1290099887"), ("CN", "AUTH")]


def with_certificate(pki: SandboxPki, folder: Path, authority: Authority, **options: Any) -> ssl.SSLContext:
    """A context with a certificate made for the occasion."""
    files = authority.issue(SUBJECT, options.pop("usage", "client"), **options).write(folder, "odd")
    return client_ssl_context(files, pki.trust)


def test_a_foreign_server_is_not_talked_to(bench: Bench, tmp_path: Path):
    """A server of another authority is refused before anything is said."""
    foreign = tmp_path / "foreign.pem"
    foreign.write_bytes(SandboxPki.foreign().pem)
    outcome = call_with(bench, client_ssl_context(bench.pki.auth, foreign))
    assert (outcome.kind, outcome.code) == (Kind.OPERATOR, "DMP-TLS-server")


@pytest.mark.parametrize("case", ["none", "foreign", "expired", "future", "server"])
def test_a_client_certificate_that_is_not_right_is_an_operators_matter(bench: Bench, tmp_path: Path, case: str):
    """No certificate, another authority's, out of date, or for another use."""
    now = datetime.now(UTC)
    mine = bench.pki.authority()
    if case == "none":
        tls = client_ssl_context(None, bench.pki.trust)
    elif case == "foreign":
        tls = with_certificate(bench.pki, tmp_path, SandboxPki.foreign())
    elif case == "expired":
        tls = with_certificate(
            bench.pki, tmp_path, mine, not_before=now - timedelta(days=9), not_after=now - timedelta(days=1)
        )
    elif case == "future":
        tls = with_certificate(
            bench.pki, tmp_path, mine, not_before=now + timedelta(days=1), not_after=now + timedelta(days=9)
        )
    else:
        tls = with_certificate(bench.pki, tmp_path, mine, usage="server")
    outcome = call_with(bench, tls)
    assert (outcome.kind, outcome.code) == (Kind.OPERATOR, "DMP-TLS-client"), outcome


def test_another_structures_certificate_is_refused(bench: Bench, tmp_path: Path):
    """The TLS certificate and the assertion are of one structure."""
    subject = [("C", "FR"), ("OU", "1290099888"), ("CN", "AUTH")]
    files = bench.pki.authority().issue(subject, "client").write(tmp_path, "other")
    outcome = call_with(bench, client_ssl_context(files, bench.pki.trust))
    assert outcome.original_code == "DMPInvalidCertificate"


def test_a_revoked_certificate_is_refused(tmp_path: Path):
    """The simulator reads the list of revoked certificates."""
    from security.pki import make_sandbox_pki

    pki = make_sandbox_pki(tmp_path)
    odd = pki.authority().issue(SUBJECT, "client")
    files = odd.write(tmp_path / "more", "revoked")
    pki.revoke(odd.certificate)
    bench = a_bench(tmp_path)
    try:
        outcome = call_with(bench, client_ssl_context(files, pki.trust))
    finally:
        bench.sandbox.stop()
    assert (outcome.kind, outcome.code) == (Kind.OPERATOR, "DMP-TLS-client")


# --- exactly one in the registry ---


@pytest.mark.parametrize("policy", ["ask", "resend_same_set"])
def test_lost_answers_leave_one_entry(bench: Bench, policy: str):
    """200 seeded runs: answers lost before, after, or spoiled; asking or resending the same set ends with one entry."""
    dice = random.Random(20260110)
    faults = ["lost_after_acceptance", "lost_before", "truncated_multipart", "unknown_status", "not_xml"]

    async def scenario() -> None:
        async with bench.client(probe_wait=0.005) as client:
            for number in range(200):
                unique_id = f"1.2.250.1.999.9.3.{number + 1}"
                prepared = client.prepare([a_document(unique_id)], DOCTOR)
                bench.sandbox.faults.set(dice.choice(faults), count=dice.choice([1, 1, 2]), transaction="TD2.1a")
                outcome = await client.submit(prepared, DOCTOR)
                for _ in range(6):
                    if outcome.kind is Kind.ACCEPTED:
                        break
                    if outcome.kind is Kind.ALREADY_THERE or (outcome.kind is Kind.ASK_REGISTRY and policy == "ask"):
                        outcome, _ = await client.confirm(prepared, DOCTOR)
                    else:
                        outcome = await client.submit(prepared, DOCTOR)
                assert outcome.ok, outcome
                bench.sandbox.faults.clear()
                assert len(bench.sandbox.state.of_unique_id(unique_id)) == 1

    run(scenario())
    assert len(bench.sandbox.state.entries()) == 400
