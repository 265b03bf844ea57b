"""Opening and closing a gateway: store, keys, pool, couriers, workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from secrets import token_hex
from socket import gethostname
from typing import Any

import structlog
from sqlalchemy import Connection, func, select

from gateway.context import Gateway, make_pool
from gateway.gate import Gate
from gateway.heap import settle
from gateway.journey.breaker import Breaker, RateLimit
from gateway.journey.claims import release_all
from gateway.journey.clock import utc_now
from gateway.journey.lane import Courier
from gateway.journey.retry import RetryPolicy
from gateway.journey.worker import Worker
from gateway.packs import use_value_sets
from gateway.pulse import Pulse
from gateway.services.directory import open_directory
from gateway.services.orders import close_service
from gateway.services.psc_logins import PscLogins
from gateway.settings import Settings
from gateway.store.backup import restored_at
from gateway.store.engine import Store
from gateway.store.ownership import check_master_key, hold_file
from gateway.store.signals import Signals
from gateway.store.tables import deliveries
from gateway.vault import Vault
from security.tokens import AccessTokens

__all__ = ["open_gateway", "start_gateway", "start_workers", "stop_gateway"]

log = structlog.get_logger("passerelle")

#: Seconds between two counts of what waits.
_COUNT_EVERY = 1.0


def open_gateway(settings: Settings, *, pool_processes: int | None = None) -> Gateway:
    """Open everything a gateway needs; fails at once, naming what is missing or wrong."""
    from gateway.store.migrate import upgrade

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    use_value_sets(settings.data_dir / "packs")
    vault = Vault.open_file(settings.master_key or settings.data_dir / "master.key", create=settings.master_key is None)
    held = hold_file(settings.store_url)
    try:
        upgrade(settings.store_url)
        store = Store(settings.store_url, connections=settings.database_connections)
        try:
            check_master_key(store, vault, utc_now())
            restored = store.read_now(restored_at)
            tokens = _tokens(settings)
        except BaseException:
            store.close()
            raise
    except BaseException:
        held.release()
        raise
    processes = settings.pool_processes if pool_processes is None else pool_processes
    return Gateway(
        settings=settings,
        store=store,
        vault=vault,
        pool=make_pool(processes, settings.data_dir / "packs"),
        pool_size=processes,
        tokens=tokens,
        restored_at=restored,
        gate=Gate(documents=settings.max_converting, octets=settings.max_converting_bytes),
        health={"held": held},
    )


def _tokens(settings: Settings) -> AccessTokens:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    path = settings.token_key or settings.data_dir / "tokens.key"
    if settings.token_key is None and not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        with contextlib.suppress(FileExistsError):
            _write_private(
                path,
                key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                ),
            )
    loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise ValueError("token_key must be an elliptic-curve key (P-256)")
    return AccessTokens(settings.base_url.rstrip("/"), loaded, timedelta(seconds=settings.token_seconds))


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def retry_policy(settings: Settings) -> RetryPolicy:
    """The retry policy of the settings."""
    return RetryPolicy(
        first=settings.retry_first_seconds,
        cap=settings.retry_cap_seconds,
        attempts=settings.max_attempts,
        within=timedelta(hours=settings.retry_hours),
    )


async def start_gateway(gateway: Gateway, *, workers: bool, mail_only: bool = False) -> None:
    """Start what runs beside the interface: signals between nodes, measures, the warm pool and, if asked, workers."""
    gateway.signals = Signals(gateway.store)
    gateway.directory = open_directory(gateway.settings)
    if gateway.settings.psc.issuer:
        gateway.psc_logins = PscLogins(gateway.settings, gateway.store, gateway.vault, gateway.clock)
        gateway.mail_sessions.shared = gateway.psc_logins.token
    gateway.pulse = Pulse()
    gateway.pulse.start()
    gateway.health["chores"] = [asyncio.create_task(_count_backlog(gateway), name="backlog")]
    # Accepting does not wait for it: the first documents queue behind the warming of the pool.
    gateway.health["chores"].append(asyncio.create_task(_warm(gateway), name="warm-up"))
    if workers:
        await start_workers(gateway, mail_only=mail_only)


async def _warm(gateway: Gateway) -> None:
    from gateway.services.warmup import warm_up

    try:
        await asyncio.gather(*(gateway.compute(warm_up) for _ in range(max(1, gateway.pool_size))))
    except Exception as exc:  # the first document will pay, or tell what is wrong
        log.error("pool.not_warm", error=type(exc).__name__)
    settle()
    gateway.health["warm"] = True


async def _count_backlog(gateway: Gateway) -> None:
    def count(connection: Connection) -> int:
        query = select(func.count()).select_from(deliveries).where(deliveries.c.ended_at.is_(None))
        return int(connection.execute(query).scalar_one())

    while True:
        try:
            gateway.backlog = await gateway.store.read(count)
        except Exception as exc:  # counted again soon; meanwhile the last figure stands
            log.warning("backlog.not_counted", error=type(exc).__name__)
        await asyncio.sleep(_COUNT_EVERY)


async def start_workers(gateway: Gateway, *, mail_only: bool = False) -> None:
    """Start the lanes, the sealer, the reader of mailboxes and the webhook caller in the running event loop."""
    from gateway.journey.dmp import DmpCourier
    from gateway.journey.hooks import HookCaller
    from gateway.journey.mail import MailCourier
    from gateway.journey.mailbox import MailReceiver
    from gateway.journey.orders import OrderRelays
    from gateway.journey.purge import Purger
    from gateway.journey.qualify import Qualifier
    from gateway.neighbours import Neighbours
    from gateway.services.evidence import Recorder
    from gateway.services.feeds_heads import HeadKeeper
    from gateway.services.feeds_watch import NightWatch

    settings = gateway.settings
    if gateway.store.sqlite:
        # One process writes to a SQLite file: whatever held a lease before this one started is dead.
        await gateway.store.write(release_all)
    policy = retry_policy(settings)
    recorder = Recorder(gateway.store, gateway.vault, gateway.clock)
    neighbours = Neighbours(settings, gateway.clock, recorder, gateway.mail_sessions)
    couriers: list[Courier] = []
    if settings.dmp.base_url and not mail_only:
        qualifier = Qualifier(settings, neighbours)
        couriers.append(DmpCourier(gateway, neighbours, qualifier, **_options(gateway, settings.dmp)))
    if settings.mss.smtp_host:
        couriers.append(MailCourier(gateway, neighbours, **_options(gateway, settings.mss)))
    hooks = HookCaller(
        gateway.store,
        gateway.vault,
        clock=gateway.clock,
        policy=policy,
        allow_private=settings.allow_private_webhooks,
    )
    chores: list[tuple[float, Callable[[], Awaitable[None]]]] = [(settings.poll_seconds, hooks.run)]
    if gateway.psc_logins is not None:
        chores.append((60.0, gateway.psc_logins.keep))
    gateway.health["closers"] = [neighbours.close, hooks.close]
    if not mail_only:
        keeper = HeadKeeper(gateway, neighbours)
        purger, watch = Purger(gateway), NightWatch(gateway)
        chores += [*keeper.chores(), *purger.chores(), *watch.chores()]
        gateway.health["closers"][:0] = [keeper.close, purger.close, watch.close]
    if settings.mss.smtp_host or settings.imap.host:
        receiver = MailReceiver(gateway, neighbours, owner=f"{gethostname()[:40]}:{os.getpid()}:{token_hex(4)}")
        chores += receiver.chores()
        gateway.health["closers"].insert(0, receiver.close)
    if settings.ordonnance.base_url and not mail_only:
        chores.append((settings.poll_seconds, OrderRelays(gateway, policy=policy).run))
    gateway.worker = Worker(
        gateway.store,
        gateway.vault,
        couriers,
        lease=timedelta(seconds=settings.lease_seconds),
        poll=settings.poll_seconds,
        seal_every=settings.seal_seconds,
        clock=gateway.clock,
        chores=chores,
    )
    await gateway.worker.start()
    if gateway.signals is not None:
        gateway.signals.listen(gateway.worker.wake)


def _options(gateway: Gateway, group: Any) -> dict[str, Any]:
    settings = gateway.settings
    return {
        "policy": retry_policy(settings),
        "moment": gateway.moment,
        "breaker": Breaker(
            failures=settings.breaker_failures,
            pause=settings.breaker_pause_seconds,
            cap=settings.breaker_cap_seconds,
        ),
        "rate": RateLimit(per_second=group.max_per_second),
    }


async def stop_gateway(gateway: Gateway) -> None:
    """Stop gracefully: nothing new, what is in flight ends, then every resource is let go."""
    if gateway.signals is not None:
        await gateway.signals.close()
    if gateway.worker is not None:
        await gateway.worker.stop()
        for closer in gateway.health.pop("closers", []):
            await closer()
    chores = gateway.health.pop("chores", [])
    for chore in chores:
        chore.cancel()
    await asyncio.gather(*chores, return_exceptions=True)
    await close_service(gateway)
    for line in (gateway.directory, gateway.psc_logins):
        if line is not None:
            await line.aclose()
    if gateway.pulse is not None:
        await gateway.pulse.stop()
    await asyncio.to_thread(partial(gateway.pool.shutdown, wait=True, cancel_futures=True))
    await asyncio.to_thread(gateway.store.close)
    held = gateway.health.pop("held", None)
    if held is not None:
        held.release()
