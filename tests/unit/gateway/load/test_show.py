"""What a load shows while it runs."""

from __future__ import annotations

import time

import pytest

from gateway.load.run import Figures, Load
from gateway.load.show import _plot, screen

LOAD = Load(rate=1.0, seconds=1.0, mix={"report": 1.0})


def figures() -> Figures:
    """A load a minute old."""
    made = Figures(sent=12, accepted=10, began=time.perf_counter() - 60)
    made.statuses.update({"202": 10, "503": 2})
    made.recent.extend((float(at), 0.05) for at in range(60))
    made.backlog = [(1.0, 4), (59.0, 7)]
    return made


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """One now, not one for each call; sent, accepted, refused, percentiles and backlog."""
    with screen(quiet=False) as show:
        show(figures(), LOAD)
        show(figures(), LOAD)
    (line,) = capsys.readouterr().err.splitlines()
    for words in ("envoyés 12", "acceptés 10", "refusés 2", "p50 50 ms", "en attente 7"):
        assert words in line


def test_nothing_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """A summary in JSON is read by programs."""
    with screen(quiet=True) as show:
        show(figures(), LOAD)
    assert capsys.readouterr() == ("", "")


def test_the_curves() -> None:
    """Both percentiles and the backlog; nothing yet is no fault."""
    drawn = _plot(figures(), 100, 18)
    for words in ("p50", "p99", "en attente"):
        assert words in drawn
    assert _plot(Figures(), 100, 18)
