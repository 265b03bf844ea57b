"""A real gateway process that ends itself at a named moment: ``python -m tests.support.crashing``.

Settings come from ``PASSERELLE_*`` as for the service; ``CRASH_AT`` is ``moment`` or ``moment:n`` for the nth time. The
hook is given by this program: the service has no such switch.
"""

from __future__ import annotations

import os

import uvicorn

from gateway.app import create_app
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
    """Run the gateway of the settings, with a crash point when one is asked for."""
    configure_logging(level="warning")
    gateway: Gateway = open_gateway(Settings(), pool_processes=0)
    if at := os.environ.get("CRASH_AT"):
        gateway.moment = CrashPoint(at)
    uvicorn.run(
        create_app(gateway=gateway),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_config=None,
        access_log=False,
    )


if __name__ == "__main__":
    main()
