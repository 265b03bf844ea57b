"""Signing heads after activity and daily, and sending each day's out of the gateway: stamped, filed, mailed.

Whoever keeps one head can show that a history was rewritten, even by whoever holds the signing key: that is why they
leave (incentives note, 6.3).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
from cryptography.x509 import load_pem_x509_certificates
from sqlalchemy import Connection, select

from adapters.mss.addresses import Audience, PatientConsent, check_recipients
from adapters.mss.message import Draft, Sender, build_mail
from adapters.mss.outcomes import Kind
from adapters.mss.rules import MailRefused
from adapters.timestamping import TimestampClient, TimestampRefused
from gateway import tenants
from gateway.context import Gateway
from gateway.feeds import departures
from gateway.feeds.departures import Departure
from gateway.feeds.heads import sign_due
from gateway.neighbours import Neighbours, NotConfigured
from gateway.services.feeds_proofs import keep_public_key, public_pem, signing_key
from gateway.store.engine import BACKGROUND
from gateway.store.tables import tenants as structures

__all__ = ["HeadKeeper"]

log = structlog.get_logger("passerelle.feeds")

#: How many times a time-stamp is waited for before copies leave without it.
_PATIENCE: Final = 3
_MOST_SECONDS: Final = 60.0


class HeadKeeper:
    """The chore of the worker that signs heads and lets them out."""

    def __init__(self, gateway: Gateway, neighbours: Neighbours) -> None:
        self._gateway = gateway
        self._neighbours = neighbours
        self._settings = gateway.settings.feeds
        self._key = signing_key(gateway.settings)
        self._known = False
        self._stamper = self._timestamping()
        self._ways: dict[str, Callable[[Departure, dict[str, Any]], Awaitable[str]]] = {}
        if self._stamper is not None:
            self._ways["timestamp"] = self._stamp
        if self._settings.drop_folder is not None:
            self._ways["folder"] = self._file
        if self._settings.mail_to:
            self._ways["mail"] = self._mail

    def _timestamping(self) -> TimestampClient | None:
        settings = self._settings
        if not settings.timestamp_url:
            return None
        from security.tls import client_ssl_context

        roots = load_pem_x509_certificates(settings.timestamp_roots.read_bytes()) if settings.timestamp_roots else ()
        return TimestampClient(
            settings.timestamp_url,
            ssl_context=client_ssl_context(None, settings.timestamp_trust) if settings.timestamp_trust else None,
            roots=roots,
            timeout=settings.timestamp_seconds,
        )

    def chores(self) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
        """What the worker runs, and how often in seconds."""
        return [(min(self._settings.head_seconds, _MOST_SECONDS), self.keep_heads)]

    async def close(self) -> None:
        """Let go of the connections."""
        if self._stamper is not None:
            await self._stamper.aclose()

    async def keep_heads(self) -> None:
        """Sign the heads that are due, make the day's bundle, send out what has not left."""
        gateway, now = self._gateway, self._gateway.now()
        after = timedelta(seconds=self._settings.head_seconds)

        def sign(connection: Connection) -> list[Departure]:
            if not self._known:
                keep_public_key(connection, self._key.public_key(), now)
            sign_due(connection, self._key, now=now, after=after)
            departures.make_bundle(connection, self._key, now=now, channels=tuple(self._ways))
            return departures.due(connection, now=now)

        waiting = await gateway.store.write(sign, BACKGROUND)
        self._known = True
        for one in waiting:
            if one.channel in self._ways and not self._awaits_stamp(one, waiting):
                await self._leave(one)

    @staticmethod
    def _awaits_stamp(one: Departure, waiting: list[Departure]) -> bool:
        return one.channel != "timestamp" and any(
            other.day == one.day and other.channel == "timestamp" and other.attempts < _PATIENCE for other in waiting
        )

    async def _leave(self, one: Departure) -> None:
        store, now = self._gateway.store, self._gateway.now()
        if not await store.write(lambda c: departures.claim(c, one, now=now), BACKGROUND):
            return
        bundle = await store.read(lambda c: departures.bundle_of(c, one.day))
        if bundle is None:
            return
        try:
            detail, ok = await self._ways[one.channel](one, bundle), True
        except (TimestampRefused, NotConfigured, MailRefused, OSError, _NotTaken) as exc:
            detail, ok = _why(exc), False
            log.warning("feeds.heads_kept_in", channel=one.channel, day=one.day, code=detail)
        done = partial(departures.settle, one=one, now=self._gateway.now(), detail=detail, ok=ok)
        await store.write(done, BACKGROUND)

    async def _stamp(self, one: Departure, bundle: dict[str, Any]) -> str:
        if self._stamper is None:
            raise NotConfigured("feeds.timestamp_url")
        response = await self._stamper.stamp(bytes.fromhex(bundle["root"]))
        await self._gateway.store.write(lambda c: departures.stamped(c, one.day, response), BACKGROUND)
        return self._settings.timestamp_url

    async def _file(self, one: Departure, bundle: dict[str, Any]) -> str:
        folder = self._settings.drop_folder
        if folder is None:
            raise NotConfigured("feeds.drop_folder")
        await asyncio.to_thread(self._write, folder, one.day, bundle)
        return f"heads-{one.day}.json"

    def _write(self, folder: Path, day: str, bundle: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in (
            (f"heads-{day}.json", orjson.dumps(bundle, option=orjson.OPT_INDENT_2)),
            ("feeds.pub.pem", public_pem(self._key.public_key()).encode()),
        ):
            # Whole or not at all: whoever watches the folder never reads half a file.
            part = folder / f".{name}.part"
            part.write_bytes(data)
            part.replace(folder / name)

    async def _mail(self, one: Departure, bundle: dict[str, Any]) -> str:
        settings = self._gateway.settings
        owner = await self._gateway.store.read(_first_tenant)
        if owner is None:
            raise NotConfigured("tenants")
        line = self._neighbours.mss(owner)
        mailbox = settings.mss.mailbox or line.mailbox
        _, recipients = check_recipients(
            list(self._settings.mail_to),
            patient=PatientConsent(qualified=False),
            white_list=line.white_list,
            allow_unqualified=True,
            environment=settings.environment,
        )
        left = f"heads-{one.day}"
        mail = build_mail(
            Draft(
                sender=Sender(address=mailbox, label=line.label),
                recipients=recipients,
                audience=Audience.PROFESSIONAL,
                # The same number for the same day: a second sending is recognised as such.
                message_id=f"<{left}.{bundle['root'][:16]}@{mailbox.rpartition('@')[2]}>",
                envelope_id=left,
                date=datetime.fromisoformat(bundle["made_at"]),
                product_reference=settings.mss.nil,
                plain_subject=f"Têtes signées du journal des alimentations, {one.day}",
                body=_letter(bundle),
                request_receipt=False,
            ),
            max_bytes=settings.mss.max_message_bytes,
        )
        result = await line.client.send(mail)
        if result.worst.kind is not Kind.ACCEPTED:
            raise _NotTaken(result.worst.code)
        return f"{len(recipients)} boîte(s)"


class _NotTaken(Exception):
    """The operator did not take the mail."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def _why(exc: BaseException) -> str:
    if isinstance(exc, MailRefused):
        return exc.findings[0].code
    if isinstance(exc, NotConfigured):
        return f"setting {exc.missing}"
    if isinstance(exc, OSError):
        return os.strerror(exc.errno) if exc.errno else type(exc).__name__
    return str(getattr(exc, "code", type(exc).__name__))


def _first_tenant(connection: Connection) -> tenants.Tenant | None:
    found = connection.execute(
        select(structures.c.id).where(structures.c.disabled_at.is_(None)).order_by(structures.c.id).limit(1)
    ).scalar_one_or_none()
    return None if found is None else tenants.tenant(connection, found)


def _letter(bundle: dict[str, Any]) -> str:
    return (
        f"Têtes signées du journal des alimentations au {bundle['day']}.\n\n"
        "Gardez ce courriel : les lignes qui suivent l'accolade ouvrante, mises dans un fichier, permettent de montrer "
        "plus tard que le journal n'a pas été réécrit :\n"
        f"  passerelle feeds verify --head heads-{bundle['day']}.json\n\n"
        + orjson.dumps(bundle, option=orjson.OPT_INDENT_2).decode()
        + "\n"
    )
