"""Bad networks between the gateway and its neighbours: each document once in the registry, mailed and counted."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy.engine import make_url

from tests.integration.crash.test_crash_points import send
from tests.support import documents
from tests.support.feeding import judge, settle
from tests.support.nemesis import Nemesis, Toxic, nemesis
from tests.support.postgres import fresh_database
from tests.support.process import GatewayProcess, History, gateway_process

numbers = itertools.count(140_000)

#: A submission is larger than all that a connection asked before it (TLS, the status of the record).
_SUBMITTED = 14_000

TOXICS = {
    "refused": Toxic(refuse=True, times=2),
    "slow": Toxic(latency=0.02, times=2),
    "sliced": Toxic(slice=97, times=2),
    "reset in the handshake": Toxic(reset_up=200, times=2),
    "reset in the request": Toxic(reset_up=9_000, times=2),
    "reset in the answer": Toxic(cut_answer_after=5_000, times=2),
    "half closed": Toxic(half_close=True, times=2),
    "silent": Toxic(silent=True, times=1),
    "done, then the answer lost": Toxic(lose_answer_after=_SUBMITTED, times=2),
}


class Network:
    """A node whose DMP and operator are behind proxies."""

    def __init__(self, node: GatewayProcess, dmp: Nemesis, mss: Nemesis, folder: Path) -> None:
        self.node = node
        self.dmp = dmp
        self.mss = mss
        self.history = History(folder / "history.jsonl")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """One node for the table below; each row leaves it as it found it."""
    folder = tmp_path_factory.mktemp("network")
    with gateway_process(folder) as one:
        there = one.sandbox.environment()
        dmp = urlsplit(there["PASSERELLE_DMP__BASE_URL"])
        smtp = (there["PASSERELLE_MSS__SMTP_HOST"], int(there["PASSERELLE_MSS__SMTP_PORT"]))
        with nemesis(dmp.hostname or "", dmp.port or 0) as before_dmp, nemesis(*smtp) as before_mss:
            one.settings = {
                "PASSERELLE_DMP__BASE_URL": dmp._replace(netloc=f"{dmp.hostname}:{before_dmp.port}").geturl(),
                "PASSERELLE_MSS__SMTP_PORT": str(before_mss.port),
                "PASSERELLE_MSS__TIMEOUT_SECONDS": "3",
                "PASSERELLE_MSS__MAX_WAIT_SECONDS": "0.2",
                "PASSERELLE_MAX_ATTEMPTS": "30",
            }
            one.start()
            network = Network(one, before_dmp, before_mss, folder)
            yield network
            one.stop()
            network.history.close()


@pytest.mark.parametrize("toxic", TOXICS)
def test_whatever_the_network_does(network: Network, toxic: str) -> None:
    """Connections in use are cut, the next ones are hurt, and in the end each document is where it should be, once."""
    for proxy in (network.dmp, network.mss):
        proxy.hurt = 0
        proxy.set(TOXICS[toxic], cut=True)
    for mail in (True, False):
        assert send(network.node, network.history, documents.report(next(numbers)), mail=mail)
    settle(network.node, network.history, seconds=120)
    assert network.dmp.hurt
    assert network.mss.hurt
    for proxy in (network.dmp, network.mss):
        proxy.set()
    assert judge(network.node.sandbox, [network.history.path]) == []


def ready(one: GatewayProcess) -> int:
    """The status of readiness; it answers even when the database does not."""
    return httpx.get(f"{one.base_url}/health/ready", trust_env=False, timeout=60).status_code


def until_ready(one: GatewayProcess, status: int) -> None:
    """Wait until readiness says so."""
    deadline = time.monotonic() + 90
    while ready(one) != status:
        assert time.monotonic() < deadline, one.log()
        time.sleep(0.1)


def test_a_database_gone_and_back(tmp_path: Path) -> None:
    """Its server unreachable: refused with 503, told on readiness; back, and nothing was lost or doubled."""
    with fresh_database() as url:
        where = make_url(url)
        with nemesis(where.host or "127.0.0.1", where.port or 5432) as way:
            through = where.set(host="127.0.0.1", port=way.port).render_as_string(hide_password=False)
            with gateway_process(tmp_path, database_url=through) as one:
                history = History(tmp_path / "history.jsonl")
                one.start()
                assert send(one, history, documents.report(next(numbers)), mail=True)
                waiting = documents.report(next(numbers))
                client = one.client()
                client.token()
                way.set(Toxic(refuse=True), cut=True)
                until_ready(one, 503)
                assert httpx.get(f"{one.base_url}/health/live", trust_env=False, timeout=30).status_code == 200
                refused = client.request("GET", "/v1/documents")
                assert (refused.status_code, "Retry-After" in refused.headers) == (503, True), refused.text
                client.http.close()
                way.set()
                until_ready(one, 200)
                assert send(one, history, waiting)
                settle(one, history, seconds=120)
                one.stop()
                history.close()
                assert judge(one.sandbox, [history.path]) == []
