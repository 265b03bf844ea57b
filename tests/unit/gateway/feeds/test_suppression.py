"""Small cells are withheld where they could point at a person, and cannot be had by subtraction."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.feeds.counts import Count
from gateway.feeds.suppression import crossed, suppress

BY = ("type", "structure", "month")


def cells(numbers: dict[tuple[str, str, str], int]) -> list[Count]:
    return [
        Count(service="dmp.document", group=dict(zip(BY, key, strict=True)), count=number)
        for key, number in numbers.items()
    ]


def test_only_crossed_counts_are_withheld() -> None:
    """Kind, place and time together; two of the three may be shown."""
    assert crossed(BY)
    assert not crossed(("type", "month"))
    assert not crossed(("structure", "month"))
    counts = cells({("a", "s", "2026-01"): 3})
    assert suppress(counts, by=("type", "month"))[0].count == 3
    assert suppress(counts, by=BY)[0].shown == "< 11"


def test_a_lone_small_cell_takes_the_next_smallest_with_it() -> None:
    """Otherwise the total of the month would give it away."""
    counts = cells({("a", "s", "2026-01"): 3, ("b", "s", "2026-01"): 40, ("c", "s", "2026-01"): 400})
    assert [cell.count for cell in suppress(counts, by=BY)] == [None, None, 400]


def test_ten_is_small_and_eleven_is_not() -> None:
    """The limit is under 11."""
    counts = cells({("a", "s", "2026-01"): 10, ("a", "s", "2026-02"): 11, ("a", "t", "2026-03"): 12})
    assert next(cell.shown for cell in suppress(counts, by=BY)) == "< 11"
    alone = cells({("a", "s", "2026-01"): 11})
    assert suppress(alone, by=BY)[0].shown == "11"


@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.sampled_from("st"), st.sampled_from(["2026-01", "2026-02"])),
        st.integers(1, 60),
        max_size=12,
    )
)
def test_no_small_cell_ever_shows(numbers: dict[tuple[str, str, str], int]) -> None:
    """Whatever the table, what is shown is 11 or more, and what is shown is true."""
    for cell, count in zip(suppress(cells(numbers), by=BY), cells(numbers), strict=True):
        assert cell.count is None or (cell.count == count.count >= 11)
