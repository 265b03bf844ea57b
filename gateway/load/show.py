"""The live picture of a load: latency percentiles and backlog on a terminal; a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.load.run import Figures, Load, percentile

__all__ = ["screen"]

_SPAN = 5.0  #: seconds in one point of the curves


@contextmanager
def screen(*, quiet: bool) -> Iterator[Callable[[Figures, Load], None]]:
    """What shows the figures; nothing when quiet."""
    if quiet:
        yield lambda figures, load: None
        return
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    with Live(console=console, refresh_per_second=2, transient=False) as live:

        def draw(figures: Figures, load: Load) -> None:
            width, height = min(console.width, 110), 18
            live.update(Text.from_ansi(_plot(figures, width, height) + "\n" + _line(figures)))

        yield draw


def _line(figures: Figures) -> str:
    now = time.perf_counter() - figures.began
    window = [took * 1000 for at, took in figures.recent if now - at <= _SPAN]
    backlog = figures.backlog[-1][1] if figures.backlog else 0
    refused = sum(n for status, n in figures.statuses.items() if status != "202")
    return (
        f"{now:6.0f} s  envoyés {figures.sent}  acceptés {figures.accepted}  refusés {refused}  "
        f"p50 {percentile(window, 0.5):.0f} ms  p99 {percentile(window, 0.99):.0f} ms  en attente {backlog}"
    )


def _lines() -> Callable[[Figures, Load], None]:
    last = 0.0

    def tell(figures: Figures, load: Load) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last >= _SPAN:
            last = now
            sys.stderr.write(_line(figures) + "\n")
            sys.stderr.flush()

    return tell


def _plot(figures: Figures, width: int, height: int) -> str:
    import plotext

    buckets: dict[int, list[float]] = {}
    for at, took in figures.recent:
        buckets.setdefault(int(at / _SPAN), []).append(took * 1000)
    times = [(bucket + 1) * _SPAN for bucket in sorted(buckets)]
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    figure.theme("simple")
    figure.title("Latence d'acceptation (ms) et envois en attente")

    def curve(xs: list[float], ys: list[float], label: str, side: str) -> None:
        signal = figure.signal(xs, ys, yside=side)
        signal.lines()
        signal.label(label)
        figure.draw(signal)

    if times:
        for share, label in ((0.5, "p50"), (0.99, "p99")):
            curve(times, [percentile(buckets[b], share) for b in sorted(buckets)], label, "left")
    if figures.backlog:
        curve([at for at, _ in figures.backlog], [float(n) for _, n in figures.backlog], "en attente", "right")
    return str(figure.build())
