"""A destination that fails is left alone, tried with one delivery, and told once; rates are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gateway.journey.breaker import Breaker, RateLimit

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """So many seconds later."""
    return NOW + timedelta(seconds=seconds)


def broken(**options: float) -> Breaker:
    """A breaker that five failures just opened."""
    breaker = Breaker(random=Random(1), **options)  # type: ignore[arg-type]
    for _ in range(5):
        breaker.failed(NOW)
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_does_not() -> None:
    """Four failures, a success and four more leave it closed; a fifth in a row opens it."""
    breaker = Breaker()
    for _ in range(2):
        for _ in range(4):
            breaker.failed(NOW)
        assert not breaker.open
        breaker.succeeded()
    for _ in range(5):
        breaker.failed(NOW)
    assert breaker.open
    assert breaker.since == NOW


def test_while_open_nothing_leaves_then_one_at_a_time() -> None:
    """No delivery during the pause, one after it, none while that one is under way; a success opens the way."""
    breaker = broken(pause=10.0)
    assert breaker.allowance(after(4.9), 8, 0) == 0
    assert breaker.allowance(after(10.1), 8, 0) == 1
    assert breaker.allowance(after(10.1), 8, 1) == 0
    breaker.succeeded()
    assert breaker.allowance(after(10.1), 8, 1) == 8


def test_the_pauses_grow_up_to_their_cap() -> None:
    """Each failed trial waits longer, never more than the cap."""
    breaker = broken(pause=1.0, cap=20.0)
    for _ in range(12):
        breaker.failed(NOW)
    assert breaker.allowance(after(9.9), 1, 0) == 0
    assert breaker.allowance(after(20.1), 1, 0) == 1


def test_the_destination_s_own_delay_is_obeyed() -> None:
    """A single Retry-After stops the lane for as long, without an incident; while open it is the least pause."""
    breaker = Breaker()
    breaker.failed(NOW, retry_after=30)
    breaker.failed(NOW, retry_after=5)
    assert not breaker.open
    assert breaker.allowance(after(29), 8, 0) == 0
    assert breaker.allowance(after(31), 8, 0) == 8
    breaker = broken(pause=1.0)
    breaker.failed(NOW, retry_after=120)
    assert breaker.allowance(after(119), 8, 0) == 0


def test_down_and_up_are_told_once() -> None:
    """One piece of news for each change, however many failures make it."""
    breaker = Breaker()
    assert breaker.news() is None
    for _ in range(9):
        breaker.failed(NOW)
    assert breaker.news() is True
    breaker.failed(NOW)
    assert breaker.news() is None
    breaker.succeeded()
    breaker.succeeded()
    assert breaker.news() is False
    assert breaker.news() is None


def test_no_limit_lets_everything_leave() -> None:
    """Zero is no limit."""
    rate = RateLimit()
    rate.spend(1000)
    assert rate.allowance(NOW, 7) == 7


@given(
    st.floats(0.5, 200),
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 50)), min_size=1, max_size=50),
)
def test_a_rate_is_never_exceeded(per_second: float, looks: list[tuple[float, int]]) -> None:
    """Over any stretch, no more leave than the rate allows, but a quarter of a second's worth or one."""
    rate = RateLimit(per_second=per_second)
    elapsed, left = 0.0, 0
    for wait, wanted in looks:
        elapsed += wait
        allowed = rate.allowance(after(elapsed), wanted)
        assert 0 <= allowed <= wanted
        rate.spend(allowed)
        left += allowed
    assert left <= elapsed * per_second + max(1.0, per_second / 4) + 1e-6 * len(looks) + 1e-3
