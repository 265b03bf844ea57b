"""Client and simulated directory: places, mailboxes with their confidence, cache, rate limit, outages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.directory.client import Agreement, DirectoryClient, DirectorySettings, DirectoryUnavailable
from adapters.directory.entries import Confidence, read_bundle
from adapters.directory.sandbox import API_KEY, DirectorySandbox


@pytest.fixture(scope="module")
def directory() -> Iterator[DirectorySandbox]:
    """One directory for the tests."""
    with DirectorySandbox(calls_per_second=1000) as one:
        yield one


def run(directory: DirectorySandbox, ask: Any, **settings: Any) -> Any:
    """Ask something of a fresh client."""

    async def inside() -> Any:
        options = {"api_key": API_KEY, "base_url": directory.base_url, **settings}
        async with DirectoryClient(DirectorySettings(**options)) as client:
            return await ask(client)

    return asyncio.run(inside())


def test_a_practitioner_with_places_and_mailboxes(directory: DirectorySandbox) -> None:
    """The box of the workplace is preferred; an ordinary address is no mailbox."""
    entry = run(directory, lambda c: c.practitioner("99700218896"))
    assert entry.id == "899700218896"
    assert [place.structure for place in entry.places] == ["1290099886"]
    assert entry.places[0].profession == "10"
    best = entry.best_mailbox("1290099886")
    assert best.address == "odile.kervella.cabinet@medecin.formation.mssante.fr"
    assert best.confidence is Confidence.PLACE
    assert all("example" not in box.address for box in entry.mailboxes)
    assert "kervella" not in repr(best)


def test_a_red_listed_box_is_never_offered(directory: DirectorySandbox) -> None:
    """The next best is the structure's own."""
    entry = run(directory, lambda c: c.practitioner("10456789014"))
    assert entry.best_mailbox("1290099886").address == "cabinet@structure.formation.mssante.fr"
    assert entry.best_mailbox("1590780193").confidence is Confidence.PLACE


@pytest.mark.parametrize(
    ("rpps", "structure", "wanted"),
    [
        ("99700218896", "1290099886", Agreement.AGREES),
        ("99700218896", "1590780193", Agreement.OTHER_PLACE),
        ("10456789014", "1590780193", Agreement.AGREES),
        ("10112233449", "1290099886", Agreement.INACTIVE),
        ("10000000000", "1290099886", Agreement.UNKNOWN_PERSON),
    ],
)
def test_does_this_person_practise_there(
    directory: DirectorySandbox, rpps: str, structure: str, wanted: Agreement
) -> None:
    """Author and structure must exist and agree."""
    assert run(directory, lambda c: c.agreement(rpps, structure)) is wanted


def test_structures_and_owners(directory: DirectorySandbox) -> None:
    """By national identifier, whichever form the resource holds, and by mailbox."""
    assert run(directory, lambda c: c.structure("1590780193")).name == "HOPITAL FICTIF"
    assert run(directory, lambda c: c.structure("1000000000")) is None
    owners = run(directory, lambda c: c.owner_of("officine@pharmacien.formation.mssante.fr"))
    assert [owner.id for owner in owners] == ["1750803447"]


def test_answers_are_kept_for_a_while(directory: DirectorySandbox) -> None:
    """The same question is asked once, until the cache is too old; nothing asked stands in an address."""
    directory.journal.clear()
    now = [0.0]

    async def inside() -> None:
        settings = DirectorySettings(api_key=API_KEY, base_url=directory.base_url, cache_seconds=10)
        async with DirectoryClient(settings, monotonic=lambda: now[0], sleep=lambda _: asyncio.sleep(0)) as client:
            for _ in range(5):
                await client.practitioner("99700218896")
            assert len(directory.journal) == 1
            now[0] = 11.0
            await client.practitioner("99700218896")
            assert len(directory.journal) == 2

    asyncio.run(inside())


def test_calls_keep_under_the_limit(directory: DirectorySandbox) -> None:
    """Seventeen a second at most, by waiting rather than by failing."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def inside() -> None:
        settings = DirectorySettings(api_key=API_KEY, base_url=directory.base_url, calls_per_second=10)
        async with DirectoryClient(settings, monotonic=lambda: 100.0, sleep=sleep) as client:
            for number in range(5):
                await client.structure(f"159078019{number}")

    asyncio.run(inside())
    assert waits == pytest.approx([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ("fault", "code"), [("unavailable", "http_503"), ("too_many", "http_429"), ("html", "JSON-SYNTAX-001")]
)
def test_an_outage_is_said(directory: DirectorySandbox, fault: str, code: str) -> None:
    """Named, never cached, with the directory's own delay."""
    directory.faults.set(fault)
    with pytest.raises(DirectoryUnavailable) as said:
        run(directory, lambda c: c.structure("1590780193"))
    assert said.value.code.startswith(code.rpartition("-")[0] if "JSON" in code else code)
    assert run(directory, lambda c: c.structure("1590780193")) is not None


def test_a_wrong_key_is_an_operator_matter(directory: DirectorySandbox) -> None:
    """401, said as it came."""
    with pytest.raises(DirectoryUnavailable, match="http_401"):
        run(directory, lambda c: c.structure("1590780193"), api_key="wrong")


@pytest.mark.parametrize("bundle", [{}, {"entry": None}, {"entry": [None, 3, {"resource": []}]}, {"entry": [{}]}])
def test_odd_bundles_give_nothing(bundle: dict[str, Any]) -> None:
    """Never a failure of ours."""
    assert read_bundle(bundle) == []


def test_somebody_without_a_place_is_found_by_the_second_question(directory: DirectorySandbox) -> None:
    """No role says where they practise: their own mailbox still does."""
    entry = run(directory, lambda c: c.practitioner("10098765430"))
    assert entry.places == ()
    assert entry.best_mailbox().confidence is Confidence.PERSON


def test_which_place_is_never_guessed(directory: DirectorySandbox) -> None:
    """Two places and no box of one's own: nothing is offered until a place is stated."""
    entry = run(directory, lambda c: c.practitioner("10456789014"))
    assert entry.usable_mailboxes() == []
    assert [box.address for box in entry.usable_mailboxes("1590780193")] == [
        "erwan.legoff@hopital.formation.mssante.fr",
        "cardiologie@hopital.formation.mssante.fr",
    ]


def test_an_answer_proved_wrong_is_forgotten(directory: DirectorySandbox) -> None:
    """After ``forget`` the directory is asked anew."""

    async def ask(client: DirectoryClient) -> int:
        await client.practitioner("99700218896")
        before = len(directory.journal.all())
        await client.practitioner("99700218896")
        assert len(directory.journal.all()) == before
        client.forget("99700218896")
        await client.practitioner("99700218896")
        return len(directory.journal.all()) - before

    assert run(directory, ask) == 1
