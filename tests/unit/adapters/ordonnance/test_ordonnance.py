"""The client and the strict simulator of the e-prescription service, on a real socket, faults included."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

from adapters.ordonnance.client import OrdonnanceClient, OrdonnanceSettings
from adapters.ordonnance.outcomes import REFUSALS, Kind, OrderServiceError, Outcome, refusal
from adapters.ordonnance.sandbox import ORDONNANCE_KEY, OrdonnanceSandbox

INS = {"value": "279035121518989", "authority": "1.2.250.1.213.1.4.10"}


@pytest.fixture
def sandbox() -> Iterator[OrdonnanceSandbox]:
    """A service of its own."""
    with OrdonnanceSandbox() as one:
        yield one


def using(sandbox: OrdonnanceSandbox, work: Callable[[OrdonnanceClient], Awaitable[Any]], key: str = "") -> Any:
    """Run some calls with a client."""

    async def run() -> Any:
        settings = OrdonnanceSettings(base_url=sandbox.base_url, api_key=key or ORDONNANCE_KEY, timeout=5)
        async with OrdonnanceClient(settings) as client:
            return await work(client)

    return asyncio.run(run())


def failure(sandbox: OrdonnanceSandbox, work: Callable[[OrdonnanceClient], Awaitable[Any]], key: str = "") -> Outcome:
    """The outcome of calls that fail."""
    with pytest.raises(OrderServiceError) as caught:
        using(sandbox, work, key)
    return caught.value.outcome


def registration(number: str, **changes: Any) -> dict[str, Any]:
    """A prescription of two boxes, renewed once."""
    return {
        "number": number,
        "ins": INS,
        "issuedAt": "2026-11-24T09:00:00+00:00",
        "validUntil": "2027-02-24T23:59:59+00:00",
        "lines": [{"line": "a", "quantity": "2", "renewals": 1}],
        "prescription": {"kind": "prescription"},
        **changes,
    }


def execution(number: str, name: str, quantity: str = "1", **changes: Any) -> dict[str, Any]:
    """Something given."""
    return {
        "number": number,
        "ins": INS,
        "execution": name,
        "at": "2026-11-25T09:00:00+00:00",
        "pharmacy": "1750803447",
        "lines": [{"line": "a", "quantity": quantity, "complete": None, "code": "FFP"}],
        "refused": [],
        **changes,
    }


async def registered(client: OrdonnanceClient) -> str:
    """A number, and its prescription taken."""
    number = await client.number("op-n", "1290099886")
    await client.register("op-r", registration(number))
    return number


def test_the_whole_way(sandbox: OrdonnanceSandbox) -> None:
    """Number, registration, executions, what is known of them, one taken back, a cancellation."""

    async def work(client: OrdonnanceClient) -> dict[str, Any]:
        number = await registered(client)
        await client.execute("op-1", execution(number, "e1"))
        await client.execute("op-2", execution(number, "e2", "3"))
        await client.cancel_execution("op-3", {"number": number, "ins": INS, "execution": "e1"})
        await client.cancel("op-4", {"number": number, "ins": INS})
        return await client.search(number, INS)

    found = using(sandbox, work)
    assert [one["execution"] for one in found["executions"]] == ["e2"]
    assert found["cancelled"] is True
    listed = httpx.get(f"{sandbox.api_url}/prescriptions", trust_env=False).json()
    assert [one["cancelled"] for one in listed] == [True]


def test_the_same_operation_is_done_once(sandbox: OrdonnanceSandbox) -> None:
    """Sent again it answers the same; the same identifier for something else is refused."""

    async def work(client: OrdonnanceClient) -> int:
        assert await client.number("op", "x") == await client.number("op", "x")
        number = await registered(client)
        for _ in range(3):
            await client.execute("op-1", execution(number, "e1"))
        return len((await client.search(number, INS))["executions"])

    assert using(sandbox, work) == 1

    async def other(client: OrdonnanceClient) -> None:
        await client.number("op", "y")

    assert failure(sandbox, other).original_code == "INVALID"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"number": "AILLEURS"}, "FOREIGN_NUMBER"),
        ({"ins": {**INS, "value": "255069999999934"}}, "WRONG_PATIENT"),
        ({"lines": [{"line": "z", "quantity": "1"}]}, "UNKNOWN_LINE"),
        ({"lines": [{"line": "a", "quantity": "5"}]}, "NOTHING_LEFT"),
        ({"lines": [{"line": "a", "quantity": "-1"}]}, "INVALID"),
        ({"at": "2027-03-01T09:00:00+00:00"}, "EXPIRED"),
        ({"replaces": "none"}, "UNKNOWN_EXECUTION"),
        ({"surprise": 1}, "INVALID"),
    ],
)
def test_what_the_service_refuses(sandbox: OrdonnanceSandbox, change: dict[str, Any], code: str) -> None:
    """Each refusal has its code, our own, and words in French."""

    async def work(client: OrdonnanceClient) -> None:
        number = await registered(client)
        await client.execute("op-1", {**execution(number, "e1"), **change})

    outcome = failure(sandbox, work)
    assert outcome.kind is Kind.REFUSED
    assert outcome.original_code == code
    assert outcome.code == REFUSALS[code][0]
    assert outcome.cause.fr


def test_a_correction_replaces(sandbox: OrdonnanceSandbox) -> None:
    """The former execution no longer counts, even after a cancellation."""

    async def work(client: OrdonnanceClient) -> list[str]:
        number = await registered(client)
        await client.execute("op-1", execution(number, "e1", "4"))
        await client.cancel("op-c", {"number": number, "ins": INS})
        await client.execute("op-2", execution(number, "e2", "3", replaces="e1"))
        return [one["execution"] for one in (await client.search(number, INS))["executions"]]

    assert using(sandbox, work) == ["e2"]


def test_a_replacing_prescription_cancels_the_former(sandbox: OrdonnanceSandbox) -> None:
    """A number serves once; the prescription replaced takes nothing more."""

    async def work(client: OrdonnanceClient) -> None:
        former = await registered(client)
        number = await client.number("op-n2", "x")
        await client.register("op-r2", registration(number, replaces=former))
        with pytest.raises(OrderServiceError, match="ORD-NAT-006"):
            await client.register("op-r3", registration(number))
        await client.execute("op-1", execution(former, "e1"))

    assert failure(sandbox, work).original_code == "CANCELLED"


@pytest.mark.parametrize("fault", ["unavailable", "lost_before", "lost_after", "html"])
def test_outages_are_told_apart_from_refusals(sandbox: OrdonnanceSandbox, fault: str) -> None:
    """To be tried again; and what was done before the answer was lost is not done twice."""

    async def work(client: OrdonnanceClient) -> int:
        number = await registered(client)
        sandbox.faults.set(fault, transaction="executions")
        with pytest.raises(OrderServiceError) as caught:
            await client.execute("op-1", execution(number, "e1"))
        assert caught.value.outcome.kind is Kind.UNAVAILABLE
        if fault == "unavailable":
            assert caught.value.outcome.retry_after == 1.0
        await client.execute("op-1", execution(number, "e1"))
        return len((await client.search(number, INS))["executions"])

    assert using(sandbox, work) == 1


def test_access(sandbox: OrdonnanceSandbox) -> None:
    """Another key is refused."""
    assert failure(sandbox, lambda c: c.number("op", "x"), key="other").original_code == "NOT_AUTHORISED"


def test_an_unknown_code_is_kept() -> None:
    """A code nobody foresaw keeps its words."""
    assert refusal("NEW_THING").outcome.original_code == "NEW_THING"
    assert refusal("NEW_THING").outcome.code == "ORD-NAT-099"


@pytest.mark.parametrize("answer", [{"number": ""}, {"number": 7}, {}])
def test_a_number_must_be_one(httpx_mock: HTTPXMock, answer: dict[str, Any]) -> None:
    """An answer without a number is no number."""
    httpx_mock.add_response(json=answer)

    async def run() -> None:
        async with OrdonnanceClient(OrdonnanceSettings(base_url="http://service.invalid")) as client:
            await client.number("op", "x")

    with pytest.raises(OrderServiceError) as caught:
        asyncio.run(run())
    assert caught.value.outcome.kind is Kind.UNAVAILABLE
