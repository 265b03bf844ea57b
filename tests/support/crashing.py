"""A real gateway node that may end itself at a named moment: ``python -m tests.support.crashing``.

Settings come from ``PASSERELLE_*`` as for the service. ``CRASH_AT`` is ``moment`` or ``moment:n`` for the nth time;
``SEEDED_BUG`` names a fault put in on purpose, which the history checker must find. The hooks are given by this
program: the service has no such switches.
"""

from __future__ import annotations

import asyncio
import os

from gateway.app import create_app
from gateway.commands.worker import run_worker
from gateway.context import Gateway
from gateway.runtime import open_gateway
from gateway.settings import Settings
from security.redaction import configure_logging


class CrashPoint:
    """Ends the process, without any farewell, the nth time a moment comes."""

    def __init__(self, at: str) -> None:
        name, _, count = at.partition(":")
        self.name = name
        self.left = int(count or 1)

    def __call__(self, moment: str) -> None:
        if moment == self.name:
            self.left -= 1
            if self.left == 0:
                os._exit(137)


def main() -> None:
    """Run a node of the settings: the interface with its workers, or workers alone when ``ROLE`` says so."""
    configure_logging(level="warning")
    bug = os.environ.get("SEEDED_BUG")
    if bug:
        from tests.support import seeded_bugs

        seeded_bugs.put_in(bug)
    settings = Settings()
    gateway: Gateway = open_gateway(settings, pool_processes=0)
    if at := os.environ.get("CRASH_AT"):
        gateway.moment = CrashPoint(at)
    if os.environ.get("ROLE") == "worker":
        asyncio.run(run_worker(gateway))
        return
    import uvicorn

    from gateway.connections import bounded, raise_file_limit

    uvicorn.run(
        create_app(gateway=gateway),
        http=bounded(raise_file_limit(settings.max_connections), settings.connection_seconds),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main()
