"""Revoked certificates of mail operators, as a running gateway holds them (ECO.1.1.6, ECO.1.1.7).

The last list in force is kept on the disk and loaded into every TLS context that speaks to an operator; without one, or
once it has run out, no operator is spoken to. A refresh that fails changes nothing and is tried again later and later.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from weakref import WeakSet

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.mss.revocations import CrlRefused, fetch_crl, read_crl
from gateway.settings import Settings
from security.keyring import load_certificates

__all__ = ["Revocations"]

log = structlog.get_logger("passerelle.mss")

#: Between two tries of an address that fails: at first, and at most.
_FIRST: Final = timedelta(minutes=15)
_LONGEST: Final = timedelta(hours=24)
_SEPARATOR: Final = b"-----END X509 CRL-----"


class Revocations:
    """The lists of one node."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._mss = settings.mss
        self._clock = clock
        self._path = settings.mss.crl or settings.data_dir / "mss-revoked.pem"
        self._contexts: WeakSet[ssl.SSLContext] = WeakSet()
        self._next: dict[str, datetime] = {}
        self._pause: dict[str, timedelta] = {}
        self._read_at = -1.0

    @property
    def wanted(self) -> bool:
        """True when the settings ask for revocation to be looked at."""
        return self._mss.crl is not None or bool(self._mss.crl_urls)

    def guard(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """Have a context refuse revoked certificates, with the list held now and those to come."""
        if self.wanted:
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
            if self._path.exists():
                context.load_verify_locations(self._path)
            self._contexts.add(context)
        return context

    async def refresh(self) -> None:
        """Fetch what is due where the settings say, or read the file again when somebody replaced it."""
        if not self.wanted or self._mss.trust is None:
            return
        trust = self._mss.trust
        now = self._clock()
        for url in self._mss.crl_urls:
            if self._next.get(url, now) > now:
                continue
            try:
                data = await fetch_crl(url)
                await asyncio.to_thread(self._take, data, trust, now)
            except (CrlRefused, OSError) as refused:
                pause = self._pause[url] = min(self._pause.get(url, _FIRST / 2) * 2, _LONGEST)
                self._next[url] = now + pause
                log.error("mss.crl_kept", code=getattr(refused, "code", type(refused).__name__))
                continue
            self._pause.pop(url, None)
            self._next[url] = now + timedelta(hours=self._mss.crl_hours)
        modified = self._path.stat().st_mtime if self._path.exists() else -1.0
        if modified != self._read_at:
            self._read_at = modified
            for context in list(self._contexts):
                context.load_verify_locations(self._path)

    def _take(self, data: bytes, trust: Path, now: datetime) -> None:
        fresh = read_crl(data, load_certificates(trust), now=now)
        held = {one.issuer: one for one in self._held()}
        former = held.get(fresh.issuer)
        if former is not None and fresh.last_update_utc < former.last_update_utc:
            raise CrlRefused("older_than_held")
        held[fresh.issuer] = fresh
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_suffix(".new")
        aside.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in held.values()))
        aside.replace(self._path)
        log.info("mss.crl_refreshed", lists=len(held), revoked=sum(1 for _ in fresh))

    def _held(self) -> list[x509.CertificateRevocationList]:
        if not self._path.exists():
            return []
        blocks = self._path.read_bytes().split(_SEPARATOR)[:-1]
        return [x509.load_pem_x509_crl(block + _SEPARATOR + b"\n") for block in blocks]
