"""Sending at a steady rate, whatever the gateway does: each document leaves at its time; a late one is not made up."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import random
import re
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from gateway.load.documents import KINDS, Template, templates
from security.tokens import sign_client_assertion

__all__ = ["Figures", "Load", "Target", "parse_mix", "run"]

#: Which client of the access file sends each kind of document; a pharmacy sends what it dispensed.
_SENDER = {"dispensation": "pharmacy"}
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: Requests under way above which no other is begun: a stalled gateway must not fill our memory.
_MOST = 500


def parse_mix(text: str) -> dict[str, float]:
    """Read ``vsm=15,report=50``: the share of each kind; raises :class:`ValueError`."""
    mix: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.strip().partition("=")
        if name not in KINDS:
            raise ValueError(f"unknown kind {name!r}: expected {', '.join(sorted(KINDS))}")
        mix[name] = float(share)
        if mix[name] < 0:
            raise ValueError(f"the share of {name} is negative")
    if not sum(mix.values()):
        raise ValueError("no share is above zero")
    return mix


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the gateway is and who calls it, from the access file of a demonstration."""

    base_url: str
    clients: Mapping[str, Mapping[str, Any]]
    simulators: Mapping[str, Mapping[str, str]]

    @classmethod
    def read(cls, path: Path) -> Target:
        """Read an access file; raises :class:`ValueError` when an address is not of this machine."""
        said = orjson.loads(path.read_bytes())
        target = cls(base_url=said["base_url"], clients=said["clients"], simulators=said.get("simulators", {}))
        addresses = [target.base_url, *(s["api"] for s in target.simulators.values() if "api" in s)]
        for address in addresses:
            host = urlsplit(address).hostname or ""
            if host != "localhost" and not _loopback(host):
                raise ValueError(f"{host} is not this machine: load is made on loopback only")
        return target


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(slots=True, kw_only=True)
class Figures:
    """What happened so far."""

    sent: int = 0
    accepted: int = 0
    late: int = 0  #: not begun: too many were under way
    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)  #: seconds, of accepted documents
    recent: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=20_000))
    began: float = 0.0
    backlog: list[tuple[float, int]] = field(default_factory=list)  #: seconds since the start, deliveries open
    rss_mb: list[tuple[float, float]] = field(default_factory=list)
    cpu_seconds: dict[str, list[float]] = field(default_factory=dict)  #: by part: first and last reading
    lag_p99_ms: float = 0.0
    unique_ids: set[str] = field(default_factory=set)  #: of accepted documents


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of the values stay under; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


_METRIC = re.compile(r"^(passerelle_\w+)(?:\{([^}]*)\})? ([0-9.e+-]+|\+Inf)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def read_metrics(text: str) -> dict[str, dict[str, float]]:
    """Prometheus' text as name -> labels -> value, of the gateway's own figures."""
    out: dict[str, dict[str, float]] = {}
    for name, labels, value in _METRIC.findall(text):
        key = ",".join(f"{k}={v}" for k, v in _LABEL.findall(labels))
        out.setdefault(name, {})[key] = float(value)
    return out


class _Caller:
    """One client of the gateway with its token."""

    def __init__(self, http: httpx.AsyncClient, base_url: str, said: Mapping[str, Any]) -> None:
        self._http = http
        self._base = base_url
        self._id = said["client_id"]
        self._scopes = said["scopes"]
        self._pem = Path(said["private_key"]).read_bytes()
        self._token = ""
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        """The header that says who calls."""
        async with self._lock:
            if time.monotonic() > self._until:
                url = f"{self._base}/oauth/token"
                assertion = sign_client_assertion(
                    self._pem, self._id, url, datetime.now(UTC), secrets.token_urlsafe(16)
                )
                answer = await self._http.post(
                    "/oauth/token",
                    data={
                        "grant_type": "client_credentials",
                        "client_assertion_type": _ASSERTION,
                        "client_assertion": assertion,
                        "scope": self._scopes,
                    },
                )
                answer.raise_for_status()
                body = answer.json()
                self._token = body["access_token"]
                self._until = time.monotonic() + body["expires_in"] - 60
            return {"Authorization": f"Bearer {self._token}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send."""

    rate: float  #: documents a second
    seconds: float
    mix: Mapping[str, float]
    mailed: float = 0.5  #: share that goes to a mailbox too
    pdf_bytes: int = 60_000
    drain: float = 60.0  #: seconds to wait, at most, for what was accepted to be delivered


async def run(load: Load, target: Target, show: Callable[[Figures, Load], None]) -> tuple[Figures, dict[str, Any]]:
    """Send, wait for the deliveries, and give the figures with the summary."""
    figures = Figures()
    number_of_run = secrets.randbelow(8_999_999) + 1_000_000
    ready = {kind: templates(kind, mailed=load.mailed, pdf_bytes=load.pdf_bytes) for kind in load.mix}
    limits = httpx.Limits(max_connections=128, max_keepalive_connections=128)
    async with httpx.AsyncClient(
        base_url=target.base_url, trust_env=False, timeout=60, limits=limits, follow_redirects=False
    ) as http:
        callers = {
            name: _Caller(http, target.base_url, target.clients[name])
            for name in {_SENDER.get(kind, "vendor") for kind in load.mix} | {"vendor"}
        }
        for caller in callers.values():
            await caller.headers()
        figures.began = time.perf_counter()
        before = await _counted(http, callers)
        watcher = asyncio.create_task(_watch(http, figures, load, show))
        await _send_all(load, figures, http, callers, ready, number_of_run)
        sending = time.perf_counter() - figures.began
        await _drain(http, figures, load.drain)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        await _measure(http, figures)
        show(figures, load)
        counted = await _counted(http, callers) - before
        delivered, duplicates = await _delivered(target, figures)
    return figures, _summary(load, figures, sending, counted, delivered, duplicates)


async def _send_all(
    load: Load,
    figures: Figures,
    http: httpx.AsyncClient,
    callers: Mapping[str, _Caller],
    ready: Mapping[str, list[Template]],
    number_of_run: int,
) -> None:
    rng = random.Random(number_of_run)  # noqa: S311 - a mix, not a secret
    kinds, shares = list(load.mix), list(load.mix.values())
    under_way: set[asyncio.Task[None]] = set()
    for number in itertools.count():
        due = figures.began + number / load.rate
        if due - figures.began >= load.seconds:
            break
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        if len(under_way) >= _MOST:
            figures.late += 1
            continue
        kind = rng.choices(kinds, shares)[0]
        template = ready[kind][number % len(ready[kind])]
        caller = callers[_SENDER.get(kind, "vendor")]
        task = asyncio.create_task(_send(figures, http, caller, template, number_of_run, number))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    if under_way:
        await asyncio.wait(under_way)


async def _send(
    figures: Figures, http: httpx.AsyncClient, caller: _Caller, template: Template, run_number: int, number: int
) -> None:
    unique_id, body = template.numbered(run_number, number)
    headers = {**await caller.headers(), "Content-Type": "application/json", "Idempotency-Key": unique_id}
    figures.sent += 1
    before = time.perf_counter()
    try:
        answer = await http.post("/v1/documents", content=body, headers=headers)
    except httpx.HTTPError as exc:
        figures.statuses[type(exc).__name__] += 1
        return
    took = time.perf_counter() - before
    figures.statuses[str(answer.status_code)] += 1
    if answer.status_code == 202:
        figures.accepted += 1
        figures.unique_ids.add(unique_id)
        figures.latencies.append(took)
        figures.recent.append((time.perf_counter() - figures.began, took))


async def _measure(http: httpx.AsyncClient, figures: Figures) -> int:
    """Read the gateway's figures; gives how many deliveries are open."""
    answer = await http.get("/metrics")
    answer.raise_for_status()
    said = read_metrics(answer.text)
    at = time.perf_counter() - figures.began
    backlog = int(sum(said.get("passerelle_deliveries_open", {}).values()))
    figures.backlog.append((at, backlog))
    figures.rss_mb.append((at, sum(said.get("passerelle_resident_bytes", {}).values()) / 1e6))
    for part, seconds in said.get("passerelle_cpu_seconds", {}).items():
        readings = figures.cpu_seconds.setdefault(part.removeprefix("part="), [seconds, seconds])
        readings[1] = seconds
    figures.lag_p99_ms = said.get("passerelle_event_loop_lag_p99_seconds", {}).get("", 0.0) * 1000
    return backlog


async def _watch(http: httpx.AsyncClient, figures: Figures, load: Load, show: Callable[[Figures, Load], None]) -> None:
    while True:
        try:
            await _measure(http, figures)
        except httpx.HTTPError:
            figures.statuses["metrics unread"] += 1
        show(figures, load)
        await asyncio.sleep(1.0)


async def _drain(http: httpx.AsyncClient, figures: Figures, seconds: float) -> None:
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline and await _measure(http, figures):
        await asyncio.sleep(0.5)


async def _counted(http: httpx.AsyncClient, callers: Mapping[str, _Caller]) -> int:
    """Documents that the ledger says the DMP accepted, for every structure that sends."""
    total = 0
    for caller in callers.values():
        answer = await http.get("/v1/feeds/counts", params={"by": "outcome"}, headers=await caller.headers())
        answer.raise_for_status()
        for row in answer.json()["rows"]:
            if row["service"] == "dmp.document" and row["by"]["outcome"] == "accepted":
                total += row["count"]
    return total


async def _delivered(target: Target, figures: Figures) -> tuple[int, int]:
    """How many accepted documents the simulated registry holds, and how many entries are one too many."""
    if "dmp" not in target.simulators:
        return 0, 0
    async with httpx.AsyncClient(trust_env=False, timeout=120) as http:
        answer = await http.get(f"{target.simulators['dmp']['api']}/entries")
        answer.raise_for_status()
        entries = Counter(str(row["uniqueId"]) for row in orjson.loads(answer.content))
    mine = {unique_id: entries[unique_id] for unique_id in figures.unique_ids if unique_id in entries}
    return len(mine), sum(mine.values()) - len(mine)


def _summary(
    load: Load, figures: Figures, sending: float, counted: int, delivered: int, duplicates: int
) -> dict[str, Any]:
    spent = {part: last - first for part, (first, last) in figures.cpu_seconds.items()}
    each = 1000 / max(1, figures.accepted)
    milliseconds = [value * 1000 for value in figures.latencies]
    return {
        "sent": figures.sent,
        "accepted": figures.accepted,
        "delivered": delivered,
        "counted": counted,
        "duplicates": duplicates,
        "p50_ms": round(percentile(milliseconds, 0.50), 1),
        "p99_ms": round(percentile(milliseconds, 0.99), 1),
        "backlog": figures.backlog[-1][1] if figures.backlog else 0,
        "gateway_cpu_ms_per_document": round(sum(spent.values()) * each, 2),
        "rss_mb": round(figures.rss_mb[-1][1], 1) if figures.rss_mb else 0.0,
        "rate": load.rate,
        "seconds": round(sending, 1),
        "accepted_per_second": round(figures.accepted / sending, 1) if sending else 0.0,
        "not_begun": figures.late,
        "statuses": dict(sorted(figures.statuses.items())),
        "cpu_ms_per_document_by_part": {part: round(seconds * each, 2) for part, seconds in sorted(spent.items())},
        "event_loop_lag_p99_ms": round(figures.lag_p99_ms, 1),
        "backlog_most": max((count for _, count in figures.backlog), default=0),
        "rss_mb_per_minute": round(_slope(figures.rss_mb), 2),
    }


def _slope(points: list[tuple[float, float]]) -> float:
    """Growth a minute by least squares, the first third left out: a pool that fills is not a leak."""
    kept = points[len(points) // 3 :]
    if len(kept) < 3:
        return 0.0
    middle_x = sum(x for x, _ in kept) / len(kept)
    middle_y = sum(y for _, y in kept) / len(kept)
    spread = sum((x - middle_x) ** 2 for x, _ in kept)
    return 60 * sum((x - middle_x) * (y - middle_y) for x, y in kept) / spread if spread else 0.0
