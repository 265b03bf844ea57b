"""The INSi client: search by traits with the ladder of given names, search by card, verification alone and in lots."""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

import httpx
from lxml import etree

from adapters.bounded import read_at_most
from adapters.insi import ladder, outcomes, verification
from adapters.insi.judge import judge
from adapters.insi.ladder import NotSendable
from adapters.insi.messages import (
    BY_CARD,
    BY_TRAITS,
    Answer,
    CardData,
    Individual,
    parse_answer,
    write_card_search,
    write_trait_search,
)
from adapters.insi.outcomes import Kind, Outcome, outcome
from adapters.insi.pacing import Breaker, Pace
from adapters.insi.soap import ACTION, LIMITS, LpsContext, Malformed, SoapFault, Stamp
from adapters.insi.verification import Claim, VerificationMessages, Verified
from adapters.tls_probe import tls_refusal
from conformance.identity.comparison import Comparison, compare
from conformance.identity.status import Attribute
from conformance.identity.traits import Traits

__all__ = ["Call", "InsiClient", "InsiSettings", "Recorder", "SearchResult", "VerificationResult"]

_LOCKING: Final = frozenset({Attribute.DOUTEUX, Attribute.FICTIF})
_OF_LOTS: Final = frozenset({verification.DEPOSIT, verification.RETRIEVAL})
_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class InsiSettings:
    """How to reach INSi and who we are there. Raises ``ValueError`` on an authority renamed in production."""

    url: str
    context: LpsContext
    environment: str = "production"  #: ``production`` or ``test``
    #: authority returned -> authority kept, for test platforms: INSi's answers with the real ones there
    oid_map: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 20.0  #: seconds, for one whole call
    max_calls: int = ladder.MAX_CALLS  #: of one ladder
    calls_per_second: float | None = None
    breaker_threshold: int = 5  #: technical failures in a row before calls are suspended
    breaker_seconds: float = 60.0
    verification: str = verification.Draft1.version  #: version of the verification messages
    lot_poll_seconds: float = 2.0
    lot_attempts: int = 30
    lot_timeout: float = 60.0  #: seconds, for one call about a lot: thousands of identities are read and written
    lot_tries: int = 3  #: of a whole lot, after a technical failure: a verification changes nothing there
    lot_retry_seconds: float = 1.0  #: before the second try; doubled each time

    def __post_init__(self) -> None:
        if self.environment != "test" and self.oid_map:
            raise ValueError("insi.oid_map is for the test environment only")
        if self.verification not in verification.MODULES:
            raise ValueError(f"insi.verification: expected one of {', '.join(verification.MODULES)}")


class Recorder(Protocol):
    """Keeps the evidence of an exchange; the messages hold traits and must be sealed."""

    def __call__(
        self, *, operation: str, message_id: str, request: bytes, response: bytes, status: int | None, outcome: str
    ) -> None:
        """Take one exchange."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a ladder, without any trait."""

    operation: str
    message_id: str
    outcome: Outcome
    with_place: bool = False  #: the place of birth was sent
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search gave, and how close the person found is to the one asked for."""

    outcome: Outcome
    calls: tuple[Call, ...] = ()
    individual: Individual | None = None  #: None unless the answer stands; never to be kept when rejected
    comparison: Comparison | None = None
    faults: Mapping[str, str] = field(default_factory=dict)  #: trait -> code, when nothing could be sent


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationResult:
    """The answer for one identity already held."""

    reference: str
    outcome: Outcome


class InsiClient:
    """Talks to INSi over mutual TLS; one pooled connection set, safe for many tasks. Close it when done."""

    def __init__(
        self,
        settings: InsiSettings,
        ssl_context: ssl.SSLContext,
        *,
        recorder: Recorder | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._context = ssl_context
        self._recorder = recorder
        self._clock = clock
        self._new_id = new_id
        self._monotonic = monotonic
        self._pace = Pace(settings.calls_per_second, monotonic)
        self._breaker = Breaker(settings.breaker_threshold, settings.breaker_seconds, monotonic)
        self._messages: VerificationMessages = verification.MODULES[settings.verification]
        self._read_answer = _judged(parse_answer, _search_outcome)
        self._read_unit = _judged(self._messages.read_unit, _verified_outcome)
        self._read_deposit = _judged(self._messages.read_deposit, _deposit_outcome)
        self._read_lot = _judged(self._messages.read_lot, _deposit_outcome)
        # Kept authority -> the one INSi answers with, to ask about what a test platform returned.
        self._asked_oids = {kept: returned for returned, kept in reversed(list(settings.oid_map.items()))}
        self._http = httpx.AsyncClient(
            verify=ssl_context,
            trust_env=False,
            timeout=settings.timeout,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=30),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def search(
        self,
        traits: Traits,
        *,
        attributes: Iterable[str] = (),
        assertions: Callable[[], Sequence[etree._Element]] = tuple,
        bearer: str = "",
    ) -> SearchResult:
        """Look a person up by traits, walking the ladder of given names; the best answer comes with its comparison.

        Nothing is sent for a doubtful or fictitious identity, nor when a trait breaks the profile. ``assertions`` gives
        fresh ones for each call in the card and Pro Santé Connect modes; ``bearer`` is the token that proves the
        latter. Never raises on a failure of the service: it is the outcome.
        """
        if not _LOCKING.isdisjoint(attributes):
            return SearchResult(outcome=outcome("INSI-REQ-002"))
        try:
            rungs = ladder.given_name_rungs(traits, limit=self.settings.max_calls)
            ladder.query_of(traits)
        except NotSendable as error:
            return SearchResult(outcome=outcome("INSI-REQ-001"), faults=error.faults)
        return await self._walk(traits, rungs, assertions, bearer)

    async def _walk(
        self, traits: Traits, rungs: list[str], assertions: Callable[[], Sequence[etree._Element]], bearer: str
    ) -> SearchResult:
        calls: list[Call] = []
        several: Outcome | None = None
        for name in rungs:
            # Several people: the place of birth tells them apart, before another given name is tried.
            for with_place in (False, True):
                if len(calls) >= self.settings.max_calls or (with_place and not traits.birth_place.strip()):
                    break
                query = ladder.query_of(traits, name, with_place=with_place)
                stamp = self._stamp()
                request = write_trait_search(query, self.settings.context, stamp, assertions=assertions())
                came, individual, call = await self._search_call(
                    BY_TRAITS, request, stamp, with_place=with_place, bearer=bearer
                )
                calls.append(call)
                if came.kind not in (Kind.NOT_FOUND, Kind.SEVERAL):
                    return self._result(came, calls, individual, traits)
                if came.kind is not Kind.SEVERAL:
                    break
                several = came
        return SearchResult(outcome=several or calls[-1].outcome, calls=tuple(calls))

    def _result(self, came: Outcome, calls: list[Call], individual: Individual | None, traits: Traits) -> SearchResult:
        found = individual if came.kind is Kind.FOUND else None
        return SearchResult(
            outcome=came,
            calls=tuple(calls),
            individual=found,
            comparison=compare(traits, found.traits) if found is not None else None,
        )

    async def search_card(
        self, card: CardData, traits: Traits | None = None, *, assertions: Sequence[etree._Element] = ()
    ) -> SearchResult:
        """Look up the beneficiary read on a Vitale card; compared with the local traits when given."""
        stamp = self._stamp()
        request = write_card_search(card, self.settings.context, stamp, assertions=assertions)
        came, individual, call = await self._search_call(BY_CARD, request, stamp)
        if traits is None:
            found = individual if came.kind is Kind.FOUND else None
            return SearchResult(outcome=came, calls=(call,), individual=found)
        return self._result(came, [call], individual, traits)

    async def _search_call(
        self, operation: str, request: bytes, stamp: Stamp, *, with_place: bool = False, bearer: str = ""
    ) -> tuple[Outcome, Individual | None, Call]:
        start = self._monotonic()
        read, came = await self._exchange(operation, request, stamp.message_id, self._read_answer, bearer)
        individual = read.individual if read is not None else None
        if individual is not None:
            individual, refused = judge(individual, self.settings.environment, self.settings.oid_map)
            if refused is not None:
                came, individual = outcome(refused, came.original_code), None
        call = Call(
            operation=operation,
            message_id=stamp.message_id,
            outcome=came,
            with_place=with_place,
            seconds=self._monotonic() - start,
        )
        return came, individual, call

    async def verify(self, claim: Claim) -> VerificationResult:
        """Ask whether an identity already held is still right: ``found`` means yes, ``not_found`` means no."""
        stamp = self._stamp()
        request = self._messages.unit(self._asked(claim), self.settings.context, stamp)
        _, came = await self._exchange(verification.UNIT, request, stamp.message_id, self._read_unit)
        return VerificationResult(reference=claim.reference, outcome=came)

    async def verify_all(
        self, claims: Iterable[Claim], *, progress: Callable[[int], None] = lambda done: None
    ) -> AsyncIterator[VerificationResult]:
        """Verify a patient base in lots, holding one lot in memory at a time.

        Each claim needs a reference of its own. ``progress`` is told how many are done. A lot that fails again and
        again gives its failure for each of its claims; the next ones are still tried.
        """
        done = 0
        for lot in _lots(claims, self._messages.max_lot):
            for result in await self._persist(lot):
                yield result
            done += len(lot)
            progress(done)

    async def _persist(self, lot: list[Claim]) -> list[VerificationResult]:
        """A lot, tried again after a technical failure; the last answer stands."""
        results = await self._verify_lot(lot)
        for again in range(1, self.settings.lot_tries):
            if any(result.outcome.kind is not Kind.RETRY for result in results):
                break
            await asyncio.sleep(self.settings.lot_retry_seconds * 2 ** (again - 1))
            results = await self._verify_lot(lot)
        return results

    async def _verify_lot(self, lot: list[Claim]) -> list[VerificationResult]:
        def every(came: Outcome) -> list[VerificationResult]:
            return [VerificationResult(reference=c.reference, outcome=came) for c in lot]

        stamp = self._stamp()
        request = self._messages.deposit([self._asked(c) for c in lot], self.settings.context, stamp)
        receipt, came = await self._exchange(verification.DEPOSIT, request, stamp.message_id, self._read_deposit)
        if receipt is None or receipt.fault is not None:
            return every(came)
        for attempt in range(self.settings.lot_attempts):
            if attempt:
                await asyncio.sleep(self.settings.lot_poll_seconds)
            stamp = self._stamp()
            request = self._messages.retrieval(receipt.lot, self.settings.context, stamp)
            answer, came = await self._exchange(verification.RETRIEVAL, request, stamp.message_id, self._read_lot)
            if answer is not None and answer.ready:
                confirmed = {a.reference: _verified_outcome(a) for a in answer.answers}
                missing = outcome("INSI-ANS-001")
                return [
                    VerificationResult(reference=c.reference, outcome=confirmed.get(c.reference, missing)) for c in lot
                ]
            if came.kind not in (Kind.RETRY, Kind.FOUND):
                break
        return every(came if came.kind is not Kind.FOUND else outcome("INSI-NET-001"))

    def _asked(self, claim: Claim) -> Claim:
        oid = self._asked_oids.get(claim.number.oid)
        return claim if oid is None else replace(claim, number=replace(claim.number, oid=oid))

    def _stamp(self) -> Stamp:
        return Stamp(message_id=self._new_id(), bam_id=self._new_id(), lps_id=self._new_id(), at=self._clock())

    async def _exchange(
        self,
        operation: str,
        request: bytes,
        message_id: str,
        interpret: Callable[[bytes], tuple[_Read, Outcome]],
        bearer: str = "",
    ) -> tuple[_Read | None, Outcome]:
        if self._breaker.open:
            return None, outcome("INSI-REQ-003")
        await self._pace.wait()
        answer: _Read | None = None
        response, status = b"", None
        try:
            seconds = self.settings.lot_timeout if operation in _OF_LOTS else self.settings.timeout
            async with asyncio.timeout(seconds):
                status, content_type, response = await self._post(operation, request, bearer, seconds)
        except (httpx.HTTPError, ssl.SSLError, TimeoutError) as error:
            came = await self._why(error)
        else:
            answer, came = _read(status, content_type, response, interpret)
        self._breaker.saw(failure=came.kind is Kind.RETRY)
        if self._recorder is not None:
            self._recorder(
                operation=operation,
                message_id=message_id,
                request=request,
                response=response,
                status=status,
                outcome=came.code,
            )
        return answer, came

    async def _why(self, error: Exception) -> Outcome:
        came = outcomes.of_exception(error)
        if came.code == "INSI-NET-002" and not isinstance(error, httpx.ConnectError):
            # A refused certificate looks like a broken pipe: without asking, it would be retried for ever.
            refusal = await tls_refusal(self.settings.url, self._context)
            return outcomes.of_exception(refusal) if refusal is not None else came
        return came

    async def _post(self, operation: str, request: bytes, bearer: str, seconds: float) -> tuple[int, str, bytes]:
        headers = {"content-type": f'application/soap+xml; charset=utf-8; action="{ACTION}{operation}"'}
        if bearer:
            headers["authorization"] = f"Bearer {bearer}"
        async with self._http.stream(
            "POST", self.settings.url, content=request, headers=headers, timeout=seconds
        ) as response:
            body = await read_at_most(response, LIMITS.max_bytes)
            return response.status_code, response.headers.get("content-type", ""), body


def _read(
    status: int,
    content_type: str,
    body: bytes,
    interpret: Callable[[bytes], tuple[_Read, Outcome]],
) -> tuple[_Read | None, Outcome]:
    # A fault comes with HTTP 500; a proxy's own page is no SOAP message.
    if "xml" not in content_type or status not in (200, 400, 500):
        return None, outcome("INSI-ANS-001", "CONTENT_TYPE") if status == 200 else outcomes.of_http(status)
    try:
        return interpret(body)
    except Malformed as error:
        return None, outcome("INSI-ANS-001", error.code) if status == 200 else outcomes.of_http(status)


def _judged(
    read: Callable[[bytes], _Read], judge_answer: Callable[[_Read], Outcome]
) -> Callable[[bytes], tuple[_Read, Outcome]]:
    def interpret(body: bytes) -> tuple[_Read, Outcome]:
        answer = read(body)
        return answer, judge_answer(answer)

    return interpret


class _Faulty(Protocol):
    @property
    def fault(self) -> SoapFault | None: ...


def _search_outcome(answer: Answer) -> Outcome:
    if answer.fault is not None:
        return outcomes.of_fault(answer.fault)
    return outcomes.of_code(answer.code, answer.label)


def _verified_outcome(answer: Verified) -> Outcome:
    if answer.fault is not None:
        return outcomes.of_fault(answer.fault)
    return outcome("INSI-VER-OK" if answer.confirmed else "INSI-VER-KO")


def _deposit_outcome(answer: _Faulty) -> Outcome:
    return outcomes.of_fault(answer.fault) if answer.fault is not None else outcome("INSI-VER-OK")


def _lots(claims: Iterable[Claim], size: int) -> Iterator[list[Claim]]:
    source = iter(claims)
    while lot := list(islice(source, size)):
        yield lot
