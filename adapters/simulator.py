"""What every simulated service does: start, stop, and say where it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from adapters.sandbox_base import Listener, Server, serve_all

__all__ = ["Simulator"]


class Simulator(ABC):
    """A service and its control interface; ``start`` takes its ports (0 for free ones), ``stop`` gives them back.

    ``ports`` are those wished for, in the order of the listeners: the service's, then the control interface's.
    """

    def __init__(self, *ports: int, host: str) -> None:
        self._host = host
        self._wanted = ports
        self._server: Server | None = None

    @abstractmethod
    def _listeners(self) -> list[Listener]:
        """The service on one address or more, then the control interface."""

    def start(self) -> Self:
        """Serve in a thread; returns once every address answers."""
        self._server = serve_all(self._listeners())
        return self

    def stop(self) -> None:
        """Stop serving; a second call does nothing."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _ports(self) -> tuple[int, ...]:
        if self._server is None:
            raise RuntimeError("the simulator is not started")
        return self._server.ports

    @property
    def api_url(self) -> str:
        """Where one looks inside."""
        return f"http://{self._host}:{self._ports()[-1]}"
