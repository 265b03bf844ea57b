"""Opening and closing a gateway: store, keys, pool, couriers, workers."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import structlog

from gateway.context import Gateway, make_pool
from gateway.journey.claims import release_all
from gateway.journey.retry import RetryPolicy
from gateway.journey.worker import Courier, Worker
from gateway.settings import Settings
from gateway.store.engine import Store
from gateway.vault import Vault
from security.tokens import AccessTokens

__all__ = ["open_gateway", "start_workers", "stop_gateway"]

log = structlog.get_logger("passerelle")


def open_gateway(settings: Settings, *, pool_processes: int | None = None) -> Gateway:
    """Open everything a gateway needs; fails at once, naming what is missing or wrong."""
    from gateway.store.migrate import upgrade

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    vault = Vault.open_file(settings.master_key or settings.data_dir / "master.key", create=settings.master_key is None)
    upgrade(settings.store_url)
    store = Store(settings.store_url)
    processes = settings.pool_processes if pool_processes is None else pool_processes
    return Gateway(
        settings=settings,
        store=store,
        vault=vault,
        pool=make_pool(processes),
        tokens=_tokens(settings),
    )


def _tokens(settings: Settings) -> AccessTokens:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    path = settings.token_key or settings.data_dir / "tokens.key"
    if settings.token_key is None and not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
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
        first=settings.retry_first_seconds, cap=settings.retry_cap_seconds, attempts=settings.max_attempts
    )


async def start_workers(gateway: Gateway) -> None:
    """Start the lanes, the sealer and the webhook caller in the running event loop."""
    from gateway.journey.dmp import DmpCourier
    from gateway.journey.hooks import HookCaller
    from gateway.journey.mail import MailCourier
    from gateway.journey.qualify import Qualifier
    from gateway.neighbours import Neighbours
    from gateway.services.evidence import Recorder

    settings = gateway.settings
    if gateway.store.sqlite:
        # One process writes to a SQLite file: whatever held a lease before this one started is dead.
        await gateway.store.write(release_all)
    policy = retry_policy(settings)
    neighbours = Neighbours(settings, gateway.clock, Recorder(gateway.store, gateway.vault, gateway.clock))
    couriers: list[Courier] = []
    if settings.dmp.base_url:
        qualifier = Qualifier(settings, neighbours)
        couriers.append(DmpCourier(gateway, neighbours, qualifier, policy=policy, moment=gateway.moment))
    if settings.mss.smtp_host:
        couriers.append(MailCourier(gateway, neighbours, policy=policy, moment=gateway.moment))
    hooks = HookCaller(
        gateway.store,
        gateway.vault,
        clock=gateway.clock,
        policy=policy,
        allow_private=settings.allow_private_webhooks,
    )
    gateway.health["closers"] = [neighbours.close, hooks.close]
    gateway.worker = Worker(
        gateway.store,
        gateway.vault,
        couriers,
        lease=timedelta(seconds=settings.lease_seconds),
        poll=settings.poll_seconds,
        seal_every=settings.seal_seconds,
        clock=gateway.clock,
        chores=[hooks.run],
    )
    await gateway.worker.start()


async def stop_gateway(gateway: Gateway) -> None:
    """Stop gracefully: nothing new, what is in flight ends, then every resource is let go."""
    if gateway.worker is not None:
        await gateway.worker.stop()
        for closer in gateway.health.pop("closers", []):
            await closer()
    gateway.pool.shutdown(wait=True, cancel_futures=True)
    await asyncio.to_thread(gateway.store.close)
