"""A load against a gateway that answers as told: what is sent, what is counted, what the summary says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pytest_httpx import HTTPXMock

from gateway.load.run import Figures, Load, Target, parse_mix, percentile, read_metrics, run
from security.tokens import make_client_key

METRICS = """# HELP passerelle_deliveries_open Deliveries open.
passerelle_deliveries_open{destination="dmp"} 0
passerelle_deliveries_open{destination="mss"} 0
passerelle_resident_bytes{part="gateway"} 1.5e+08
passerelle_resident_bytes{part="pool"} 5e+07
passerelle_cpu_seconds{part="gateway"} %(cpu)s
passerelle_cpu_seconds{part="pool"} 1.0
passerelle_event_loop_lag_p99_seconds 0.012
process_cpu_seconds_total 99
"""


class Service:
    """A gateway and a registry in memory."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.twice = 0
        self.lost = 0
        self.tokens = 0
        self.metrics = 0
        self.answers: Callable[[int], int] = lambda number: 202

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        path = request.url.path
        if path == "/oauth/token":
            self.tokens += 1
            return httpx.Response(200, json={"access_token": f"t{self.tokens}", "expires_in": 3600})
        if path == "/metrics":
            self.metrics += 1
            return httpx.Response(200, text=METRICS % {"cpu": 2.0 if self.metrics == 1 else 3.0})
        if path == "/dmp/entries":
            held = self.taken[self.lost :]
            return httpx.Response(200, json=[{"uniqueId": one} for one in [*held, *held[: self.twice], "another"]])
        assert re.fullmatch(r"Bearer t\d+", request.headers["authorization"])
        if path == "/v1/feeds/counts":
            rows = [{"service": "dmp.document", "by": {"outcome": "accepted"}, "count": 1000 + len(self.taken)}]
            rows.append({"service": "mss.message", "by": {"outcome": "accepted"}, "count": 7})
            return httpx.Response(200, json={"rows": rows})
        assert path == "/v1/documents"
        unique_id = orjson.loads(request.content)["document"]["id"]["root"]
        assert request.headers["idempotency-key"] == unique_id
        status = self.answers(len(self.taken))
        if status == 0:
            self.answers = lambda number: 202
            raise httpx.ReadTimeout("late", request=request)
        if status == 202:
            self.taken.append(unique_id)
        else:
            self.answers = lambda number: 202
        return httpx.Response(status, json={})


@pytest.fixture
def service(httpx_mock: HTTPXMock) -> Service:
    """What answers every request."""
    made = Service()
    httpx_mock.add_callback(made, is_reusable=True)
    return made


@pytest.fixture
def access(tmp_path: Path) -> Path:
    """An access file of a gateway on this machine."""
    key = tmp_path / "client.pem"
    key.write_bytes(make_client_key("P-256")[0])
    client = {"client_id": "one", "private_key": str(key), "scopes": "documents:write feeds:read"}
    path = tmp_path / "access.json"
    path.write_bytes(
        orjson.dumps(
            {
                "base_url": "http://127.0.0.1:8080",
                "clients": {"vendor": client, "pharmacy": client},
                "simulators": {"dmp": {"api": "http://127.0.0.1:8081/dmp"}},
            }
        )
    )
    return path


async def loaded(access: Path, **changes: Any) -> tuple[Figures, dict[str, Any], int]:
    """A short load; its figures, its summary, and how often it was shown."""
    shown: list[int] = []
    asked: dict[str, Any] = {"rate": 200.0, "seconds": 0.0975, "mix": {"prescription": 1.0}, "pdf_bytes": 2_000}
    load = Load(**(asked | changes))
    figures, summary = await run(load, Target.read(access), lambda figures, load: shown.append(figures.sent))
    return figures, summary, len(shown)


@pytest.mark.anyio
async def test_all_that_is_sent_is_accounted_for(access: Path, service: Service) -> None:
    """Twenty at two hundred a second: sent, accepted, delivered and counted alike, what a document costs worked out."""
    figures, summary, shown = await loaded(access)
    assert [summary[name] for name in ("sent", "accepted", "delivered", "counted", "duplicates")] == [20] * 4 + [0]
    assert len(set(service.taken)) == 20
    assert summary["backlog"] == 0
    assert summary["rss_mb"] == 200.0
    assert summary["event_loop_lag_p99_ms"] == 12.0
    assert summary["gateway_cpu_ms_per_document"] == 50.0  # one second of processor for twenty
    assert summary["cpu_ms_per_document_by_part"] == {"gateway": 50.0, "pool": 0.0}
    assert summary["statuses"] == {"202": 20}
    assert 0 < summary["p50_ms"] <= summary["p99_ms"]
    assert len(figures.latencies) == 20
    assert shown >= 1
    assert service.tokens == 1


@pytest.mark.anyio
async def test_what_is_lost_or_twice_shows(access: Path, service: Service) -> None:
    """The registry decides: three it has not, two entries one too many; what others fed is not ours."""
    service.lost, service.twice = 3, 2
    _, summary, _ = await loaded(access)
    assert (summary["accepted"], summary["delivered"], summary["duplicates"]) == (20, 17, 2)


@pytest.mark.anyio
@pytest.mark.parametrize(("status", "name"), [(503, "503"), (422, "422"), (0, "ReadTimeout")])
async def test_a_refusal_is_counted_by_its_status(access: Path, service: Service, status: int, name: str) -> None:
    """And is neither accepted, nor in the latencies."""
    service.answers = lambda number: status
    figures, summary, _ = await loaded(access)
    assert summary["statuses"] == {name: 1, "202": 19}
    assert (summary["sent"], summary["accepted"], len(figures.latencies)) == (20, 19, 19)


@pytest.mark.anyio
async def test_a_pharmacy_sends_what_it_dispensed(access: Path, service: Service) -> None:
    """With a token of its own; each structure's ledger is read."""
    _, summary, _ = await loaded(access, mix={"dispensation": 1.0})
    assert service.tokens == 2
    assert summary["accepted"] == 20


@pytest.mark.parametrize("where", ["base_url", "simulator"])
def test_only_this_machine_is_loaded(access: Path, where: str) -> None:
    """An address elsewhere is refused before anything is sent."""
    said = orjson.loads(access.read_bytes())
    if where == "base_url":
        said["base_url"] = "https://passerelle.example"
    else:
        said["simulators"]["dmp"]["api"] = "http://192.0.2.1/dmp"
    access.write_bytes(orjson.dumps(said))
    with pytest.raises(ValueError, match="is not this machine"):
        Target.read(access)


def test_names_and_addresses_of_this_machine() -> None:
    """By name, by either version of the protocol."""
    for base in ("http://localhost:1", "http://127.0.0.9:1", "http://[::1]:1"):
        assert Target(base_url=base, clients={}, simulators={}).base_url == base


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vsm", "could not convert"),
        ("letter=1", "unknown kind"),
        ("vsm=-1", "negative"),
        ("vsm=0,report=0", "no share"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(text: str, said: str) -> None:
    """By its fault, the kinds there are named."""
    with pytest.raises(ValueError, match=said):
        parse_mix(text)


def test_a_mix() -> None:
    """Shares need not add up to anything."""
    assert parse_mix("vsm=15, report=50") == {"vsm": 15.0, "report": 50.0}


def test_percentiles_and_metrics() -> None:
    """Of none, of one, of a hundred; labels kept, what is not ours left out."""
    assert percentile([], 0.5) == 0.0
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([float(n) for n in range(100, 0, -1)], 0.99) == 100.0
    read = read_metrics(METRICS % {"cpu": 2.5})
    assert read["passerelle_cpu_seconds"] == {"part=gateway": 2.5, "part=pool": 1.0}
    assert read["passerelle_event_loop_lag_p99_seconds"] == {"": 0.012}
    assert "process_cpu_seconds_total" not in read
