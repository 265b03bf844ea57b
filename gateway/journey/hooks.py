"""Telling callers the end of their deliveries: signed posts, tried again like deliveries, never a clinical word."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import cache
from random import Random
from typing import Any

import httpx
import orjson
import structlog
from sqlalchemy import Connection, Row, Select, bindparam, or_, select, update

from gateway import __version__
from gateway.journey.clock import Clock
from gateway.journey.retry import RetryPolicy
from gateway.store import sql
from gateway.store.engine import NORMAL, Store
from gateway.store.tables import webhook_calls, webhooks
from gateway.store.types import Instant
from gateway.vault import Vault
from security.addresses import AddressRefused, check_url
from security.webhooks import sign

__all__ = ["HookCaller", "address_problem"]

log = structlog.get_logger("passerelle.webhooks")


async def address_problem(url: str, *, allow_private: bool) -> str | None:
    """Why an address may not be called, or None; its host is looked up, so this is done off the event loop."""
    try:
        await asyncio.to_thread(check_url, url, allow_private=allow_private)
    except AddressRefused as exc:
        return exc.code
    return None


@cache
def _some_due() -> Select[Any]:
    """One call that may be due, whoever makes it."""
    calls = webhook_calls.c
    return (
        select(calls.id)
        .where(calls.state == "queued", calls.next_attempt_at <= bindparam("now", type_=Instant))
        .limit(1)
    )


class HookCaller:
    """Posts what is due to the registered addresses."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        *,
        clock: Clock,
        policy: RetryPolicy,
        allow_private: bool,
        timeout: float = 10.0,
    ) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._policy = policy
        self._allow_private = allow_private
        self._timeout = timeout
        self._random = Random()  # noqa: S311 - jitter, not a secret
        self._client = httpx.AsyncClient(
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
            headers={"User-Agent": f"Passerelle/{__version__}"},
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def run(self) -> None:
        """Post every call that is due now."""
        if not await self._store.look(self._anything):
            return
        rows = await self._store.write(self._claim, NORMAL)
        if rows:
            await asyncio.gather(*(self._post(row) for row in rows))

    def _anything(self, connection: Connection) -> bool:
        # Asked several times a second, mostly for nothing: a read costs a fraction of a write.
        return sql.anything(connection, _some_due(), {"now": self._clock()})

    def _claim(self, connection: Connection) -> list[Row[Any]]:
        now = self._clock()
        due = (
            select(webhook_calls.c.id)
            .where(
                webhook_calls.c.state == "queued",
                webhook_calls.c.next_attempt_at <= now,
                or_(webhook_calls.c.lease_until.is_(None), webhook_calls.c.lease_until < now),
            )
            .order_by(webhook_calls.c.next_attempt_at)
            .limit(16)
            .with_for_update(skip_locked=True)
        )
        ids = list(connection.execute(due).scalars())
        if not ids:
            return []
        connection.execute(
            update(webhook_calls)
            .where(webhook_calls.c.id.in_(ids))
            .values(lease_until=now + timedelta(seconds=self._timeout * 3), attempts=webhook_calls.c.attempts + 1)
        )
        return list(
            connection.execute(
                select(
                    webhook_calls,
                    webhooks.c.url,
                    webhooks.c.sealed_secret,
                    webhooks.c.tenant_id,
                    webhooks.c.disabled_at,
                )
                .join(webhooks, webhooks.c.id == webhook_calls.c.webhook_id)
                .where(webhook_calls.c.id.in_(ids))
            )
        )

    async def _post(self, row: Row[Any]) -> None:
        state, wait = "done", timedelta(0)
        if row.disabled_at is None:
            state, wait = await self._attempt(row)
        now = self._clock()
        await self._store.write(
            lambda c: c.execute(
                update(webhook_calls)
                .where(webhook_calls.c.id == row.id)
                .values(state=state, next_attempt_at=now + wait, lease_until=None)
            ),
            NORMAL,
        )

    async def _attempt(self, row: Row[Any]) -> tuple[str, timedelta]:
        body = orjson.dumps(row.body)
        secret = self._vault.open(row.tenant_id, row.sealed_secret, row.webhook_id).decode()
        try:
            # The address is looked at again at each call: a name may have moved to a private range since.
            where = await asyncio.to_thread(check_url, row.url, allow_private=self._allow_private)
            answer = await self._client.post(
                where.pinned_url,
                content=body,
                headers={
                    "Host": where.authority,
                    "Content-Type": "application/json",
                    "Passerelle-Signature": sign(secret, body, self._clock()),
                },
                extensions={"sni_hostname": where.host},
            )
            if answer.is_success:
                return "done", timedelta(0)
            error = f"http_{answer.status_code}"
        except (httpx.HTTPError, AddressRefused) as exc:
            error = type(exc).__name__
        if self._policy.exhausted(row.attempts):
            log.warning("webhook.given_up", webhook=row.webhook_id, call=row.id, error=error)
            return "failed", timedelta(0)
        return "queued", self._policy.delay(row.attempts, self._random)
