"""The client against scripted answers: outcomes, restraint, and what never leaves."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

from adapters.insi import outcomes
from adapters.insi.assertions import Caller, psc_assertion
from adapters.insi.client import InsiClient, InsiSettings
from adapters.insi.messages import Answer, CardData, write_answer
from adapters.insi.outcomes import OUTCOMES, Kind
from adapters.insi.pacing import Breaker, Pace
from adapters.insi.people import PUBLISHED
from adapters.insi.soap import LpsContext, SoapFault, write_fault
from conformance.identity.traits import Traits

CONTEXT = LpsContext(idam="D1", software="urn:lps:passerelle:0.1", version="0.1", instance="i")
SOAP = {"content-type": "application/soap+xml"}
ZOE = PUBLISHED[0]


def settings(**changes: Any) -> InsiSettings:
    return InsiSettings(**{"url": "https://insi.example/lps", "context": CONTEXT, **changes})


def run(work: Callable[[InsiClient], Awaitable[Any]], **changes: Any) -> Any:
    async def all_of_it() -> Any:
        async with InsiClient(settings(**changes), ssl.create_default_context()) as client:
            return await work(client)

    return asyncio.run(all_of_it())


def answer(code: str, individual: Any = None) -> bytes:
    return write_answer("x", Answer(code=code, label="libelle", individual=individual))


@pytest.mark.parametrize(
    ("status", "content", "headers", "code"),
    [
        (200, answer("00", ZOE.individual), SOAP, "INSI-CR-00"),
        (200, answer("07"), SOAP, "INSI-CR-99"),
        (200, b"<html/>", {"content-type": "text/html"}, "INSI-ANS-001"),
        (200, b"<a/>", SOAP, "INSI-ANS-001"),
        (500, b"<a/>", SOAP, "INSI-HTTP-001"),
        (500, write_fault(SoapFault(side="Receiver", code="insi_102")), SOAP, "INSI-FLT-001"),
        (500, write_fault(SoapFault(side="Sender", code="desir_550")), SOAP, "INSI-FLT-002"),
        (500, write_fault(SoapFault(side="Sender", code="desir_560")), SOAP, "INSI-FLT-003"),
        (500, write_fault(SoapFault(side="Sender", code="autre_1")), SOAP, "INSI-FLT-004"),
        (500, write_fault(SoapFault(side="Receiver", subcode="siram_77")), SOAP, "INSI-FLT-005"),
        (400, write_fault(SoapFault(side="Sender", code="autre_1")), SOAP, "INSI-FLT-004"),
        (503, b"", {}, "INSI-HTTP-001"),
        (429, b"", {}, "INSI-HTTP-001"),
        (403, b"", {}, "INSI-HTTP-002"),
        (404, b"", {}, "INSI-HTTP-002"),
        (302, b"", {"location": "https://elsewhere.example/"}, "INSI-HTTP-002"),
    ],
)
def test_each_answer_has_one_outcome(
    httpx_mock: HTTPXMock, status: int, content: bytes, headers: dict[str, str], code: str
) -> None:
    """Status, content type, fault and result code: one row of the table each; redirects are not followed."""
    httpx_mock.add_response(status_code=status, content=content, headers=headers)
    result = run(lambda client: client.search(ZOE.traits))
    assert result.outcome.code == code
    assert (result.individual is None) is (code != "INSI-CR-00")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx.ReadTimeout("x"), "INSI-NET-001"),
        (httpx.ConnectTimeout("x"), "INSI-NET-001"),
        (httpx.ConnectError("x"), "INSI-NET-002"),
    ],
)
def test_a_broken_network_is_tried_again(httpx_mock: HTTPXMock, error: Exception, code: str) -> None:
    """Time-outs and refused connections are passing faults."""
    httpx_mock.add_exception(error)
    outcome = run(lambda client: client.search(ZOE.traits)).outcome
    assert (outcome.code, outcome.kind) == (code, Kind.RETRY)


def test_tls_errors_are_told_apart() -> None:
    """A server we do not trust, a certificate it refuses, and a mere end of stream."""
    untrusted = httpx.ConnectError("x")
    untrusted.__cause__ = ssl.SSLCertVerificationError(1, "x")
    untrusted.__cause__.verify_message = "self-signed"  # type: ignore[attr-defined]
    refused = httpx.ReadError("x")
    refused.__context__ = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED]")
    ended = httpx.ReadError("x")
    ended.__context__ = ssl.SSLEOFError(8, "EOF occurred")
    assert [outcomes.of_exception(e).code for e in (untrusted, refused, ended)] == [
        "INSI-TLS-001",
        "INSI-TLS-002",
        "INSI-NET-002",
    ]


@pytest.mark.parametrize("attribute", ["douteux", "fictif"])
def test_nothing_is_sent_for_a_locked_identity(httpx_mock: HTTPXMock, attribute: str) -> None:
    """The call itself is forbidden."""
    result = run(lambda client: client.search(ZOE.traits, attributes=[attribute]))
    assert (result.outcome.code, result.calls) == ("INSI-REQ-002", ())
    assert httpx_mock.get_requests() == []


def test_nothing_is_sent_when_a_trait_breaks_the_profile(httpx_mock: HTTPXMock) -> None:
    """The trait at fault is named, and the service is left alone."""
    traits = Traits(**{**ZOE.traits.as_dict(), "sex": "I"})
    result = run(lambda client: client.search(traits))
    assert (result.outcome.code, result.faults) == ("INSI-REQ-001", {"sex": "SEX_UNDETERMINED"})
    assert httpx_mock.get_requests() == []


def test_the_ladder_stops_at_the_first_technical_fault(httpx_mock: HTTPXMock) -> None:
    """A fault at the second rung ends the walk: the rest would not mean anything."""
    httpx_mock.add_response(content=answer("01"), headers=SOAP)
    fault = write_fault(SoapFault(side="Receiver", code="insi_102"))
    httpx_mock.add_response(status_code=500, content=fault, headers=SOAP)
    traits = Traits(**{**ZOE.traits.as_dict(), "given_names": "ZOE LEA ANNE"})
    result = run(lambda client: client.search(traits))
    assert [c.outcome.code for c in result.calls] == ["INSI-CR-01", "INSI-FLT-001"]
    assert result.outcome.kind is Kind.RETRY


def test_several_once_stays_several_at_the_end(httpx_mock: HTTPXMock) -> None:
    """02, then nobody with the place, then nobody under the next names: the answer is still that there are several."""
    for code in ("02", "01", "01", "01"):
        httpx_mock.add_response(content=answer(code), headers=SOAP)
    traits = Traits(**{**ZOE.traits.as_dict(), "given_names": "ZOE LEA"})
    result = run(lambda client: client.search(traits))
    assert result.outcome.kind is Kind.SEVERAL
    assert [c.with_place for c in result.calls] == [False, True, False, False]


def test_the_cap_of_calls_holds_with_places(httpx_mock: HTTPXMock) -> None:
    """Rungs with and without the place count alike."""
    httpx_mock.add_response(content=answer("02"), headers=SOAP, is_reusable=True)
    traits = Traits(**{**ZOE.traits.as_dict(), "given_names": "ZOE LEA ANNE"})
    assert len(run(lambda client: client.search(traits), max_calls=3).calls) == 3


def test_a_search_by_card_without_local_traits_has_no_comparison(httpx_mock: HTTPXMock) -> None:
    """Nothing to compare with: the person is given, the verdict is not."""
    httpx_mock.add_response(content=answer("00", ZOE.individual), headers=SOAP, is_reusable=True)
    card = CardData(number="2751263220749", key="74")
    alone = run(lambda client: client.search_card(card))
    assert (alone.individual, alone.comparison) == (ZOE.individual, None)
    beside = run(lambda client: client.search_card(card, ZOE.traits))
    assert beside.comparison.verdict == "MATCH_EXACT"


def test_the_request_says_its_action_and_goes_where_it_should(httpx_mock: HTTPXMock) -> None:
    """SOAP 1.2 content type with the action; no trait in the URL."""
    httpx_mock.add_response(content=answer("01"), headers=SOAP)
    run(lambda client: client.search(ZOE.traits))
    (request,) = httpx_mock.get_requests()
    assert str(request.url) == "https://insi.example/lps"
    assert request.headers["content-type"].startswith("application/soap+xml; charset=utf-8; action=")


def test_an_answer_without_end_is_not_kept_in_memory(httpx_mock: HTTPXMock) -> None:
    """Past the limit reading stops, and the answer is unreadable."""
    httpx_mock.add_response(content=b"<a>" + b"x" * (9 * 1024 * 1024), headers=SOAP)
    assert run(lambda client: client.search(ZOE.traits)).outcome.code == "INSI-ANS-001"


def test_a_reset_in_mid_answer_asks_tls_why(httpx_mock: HTTPXMock) -> None:
    """With nobody at the address the probe has nothing to say, and the fault stays a passing one."""
    httpx_mock.add_exception(httpx.ReadError("reset"))
    outcome = run(lambda client: client.search(ZOE.traits), url="https://127.0.0.1:1/lps").outcome
    assert outcome.code == "INSI-NET-002"


def test_settings_refuse_what_would_be_dangerous() -> None:
    """Authorities are renamed on test platforms only; the verification module must exist."""
    with pytest.raises(ValueError, match="oid_map"):
        settings(oid_map={"a": "b"})
    with pytest.raises(ValueError, match="verification"):
        settings(verification="officielle-1")


def test_calls_are_spaced_and_suspended() -> None:
    """So many a second; a number of failures in a row closes the door for a while."""
    now = [0.0]
    breaker = Breaker(2, 60, lambda: now[0])
    breaker.saw(failure=True)
    breaker.saw(failure=False)
    breaker.saw(failure=True)
    assert not breaker.open
    breaker.saw(failure=True)
    assert breaker.open
    now[0] = 61
    assert not breaker.open
    breaker.saw(failure=True)
    assert breaker.open

    async def three() -> float:
        loop = asyncio.get_running_loop()
        pace = Pace(200, loop.time)
        start = loop.time()
        for _ in range(3):
            await pace.wait()
        return loop.time() - start

    assert asyncio.run(three()) >= 0.009


def test_every_outcome_is_complete() -> None:
    """Each row says what happened and what to do, in both languages, under a stable code."""
    for code, meaning in OUTCOMES.items():
        assert code.startswith("INSI-")
        assert all((*meaning.cause, *meaning.fix))


def test_the_assertion_of_pro_sante_connect_is_unsigned_and_named_so() -> None:
    """Its specialty has another name, and no signature stands in it."""
    caller = Caller(name_id="899700870589", billing_id="750803447", sector="SA07", specialty="SM26", profession="10")
    root = psc_assertion(caller, "CN=x", assertion_id="_1", at=datetime(2026, 11, 20, tzinfo=UTC))
    names = [node.get("Name") for node in root.iter("{*}Attribute")]
    assert names == ["identifiantFacturation", "secteurActivite", "codeSpecialiteAMO", "gipProfessionCode"]
    assert root.find("{*}Subject/{*}NameID").get("NameQualifier") == "PSC"  # type: ignore[union-attr]
    assert root.find("{*}Signature") is None
    with pytest.raises(ValueError, match="underscore"):
        psc_assertion(caller, "CN=x", assertion_id="1", at=datetime(2026, 11, 20, tzinfo=UTC))
