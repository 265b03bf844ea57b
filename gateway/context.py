"""What one running gateway holds: settings, store, vault, pool, tokens, clock. Made once, passed in everywhere."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from gateway.gate import Gate
from gateway.journey.clock import Clock, utc_now
from gateway.journey.worker import Worker
from gateway.pulse import Pulse
from gateway.services.directory import Directory
from gateway.services.mail_sessions import MailSessions
from gateway.services.psc_logins import PscLogins
from gateway.settings import Settings
from gateway.store.engine import Store
from gateway.store.signals import Signals
from gateway.vault import Vault
from security.tokens import AccessTokens

__all__ = ["Gateway", "make_pool", "nothing"]

T = TypeVar("T")


def nothing(name: str) -> None:
    """The hook of a service: named moments pass unnoticed."""


def _warm(packs: Path | None = None) -> None:
    """Load what every conversion needs before the first request asks for it; value sets of a newer pack included."""
    import conformance.cda
    import gateway.services.transit  # noqa: F401
    from mappings import cda, fhir  # noqa: F401

    conformance.cda.prepare()
    if packs is not None:
        from gateway.packs import use_value_sets

        use_value_sets(packs)
    # What is loaded now is never garbage: the collector need not look at it while documents pass.
    gc.collect()
    gc.freeze()


def make_pool(processes: int, packs: Path | None = None) -> Executor:
    """The pool that converts, checks and renders: processes, or one thread when none are wanted (tests)."""
    if processes < 1:
        return ThreadPoolExecutor(2, thread_name_prefix="convert")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gateway.services.transit", "mappings.cda", "mappings.fhir", "conformance.cda"])
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_warm, initargs=(packs,))


@dataclass(slots=True)
class Gateway:
    """One running gateway."""

    settings: Settings
    store: Store
    vault: Vault
    pool: Executor
    tokens: AccessTokens
    clock: Clock = utc_now
    pool_size: int = 1
    worker: Worker | None = None
    signals: Signals | None = None
    pulse: Pulse | None = None
    gate: Gate = field(default_factory=lambda: Gate(documents=32, octets=256 * 1024 * 1024))
    #: Deliveries not ended, as last counted, with those taken in charge since; None before the first count.
    backlog: int | None = None
    #: Called at named moments of a document's way, so that a test may end the process there; a service passes none.
    moment: Callable[[str], None] = nothing
    #: Pro Santé Connect sessions that open mailboxes.
    mail_sessions: MailSessions = field(default_factory=MailSessions)
    #: The health directory; None where the settings name none.
    directory: Directory | None = None
    #: Log-ins by Pro Santé Connect; None where the settings name no provider.
    psc_logins: PscLogins | None = None
    #: When the database was last restored from a backup: what was sent between the two is not in it.
    restored_at: datetime | None = None
    health: dict[str, Any] = field(default_factory=dict)

    def now(self) -> datetime:
        """The present instant."""
        return self.clock()

    def wake(self) -> None:
        """Tell the worker, and those of other nodes, that something may be due."""
        if self.worker is not None:
            self.worker.wake()
        if self.signals is not None:
            self.signals.tell()

    async def compute(self, work: Callable[..., T], *args: Any) -> T:
        """Run CPU work away from the event loop; a pool whose process was killed is made anew and the work redone."""
        pool = self.pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work, *args)
        except BrokenProcessPool:
            if self.pool is pool:
                self.pool = make_pool(self.pool_size, self.settings.data_dir / "packs")
                pool.shutdown(wait=False)
            return await asyncio.get_running_loop().run_in_executor(self.pool, work, *args)
