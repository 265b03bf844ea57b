"""Client of the directory: few calls, cached, under its rate limit; an outage never stops a delivery."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

import httpx

from adapters.bounded import read_at_most
from adapters.directory.entries import DirectoryEntry, read_bundle
from security import json as hard_json
from security.errors import UnsafeInput

__all__ = ["Agreement", "DirectoryClient", "DirectorySettings", "DirectoryUnavailable"]


class DirectoryUnavailable(Exception):
    """The directory cannot answer now; ``code`` says how, ``retry_after`` when it said so."""

    def __init__(self, code: str, retry_after: float | None = None) -> None:
        self.code = code
        self.retry_after = retry_after
        super().__init__(code)


class Agreement(StrEnum):
    """What the directory thinks of a person at a structure."""

    AGREES = "agrees"
    UNKNOWN_PERSON = "unknown_person"
    INACTIVE = "inactive"
    OTHER_PLACE = "other_place"  #: known, but not at this structure


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySettings:
    """Where the directory is and how much one may ask of it (ins-identity.md 11.4)."""

    base_url: str
    api_key: str = field(default="", repr=False)
    calls_per_second: float = 17.0
    cache_seconds: float = 86_400.0
    cache_size: int = 10_000
    timeout: float = 10.0
    max_answer_bytes: int = 5 * 1024 * 1024


class DirectoryClient:
    """Looks practitioners and structures up; safe to share between tasks of one event loop."""

    def __init__(
        self,
        settings: DirectorySettings,
        ssl_context: ssl.SSLContext | bool = True,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self._monotonic = monotonic
        self._sleep = sleep
        self._next = 0.0
        self._cache: OrderedDict[str, tuple[float, tuple[DirectoryEntry, ...]]] = OrderedDict()
        self._http = httpx.AsyncClient(
            base_url=settings.base_url.rstrip("/") + "/",
            verify=ssl_context,
            timeout=settings.timeout,
            trust_env=False,
            follow_redirects=False,
            headers={"ESANTE-API-KEY": settings.api_key, "Accept": "application/fhir+json"},
        )

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def practitioner(self, rpps: str) -> DirectoryEntry | None:
        """The practitioner of a RPPS with places and mailboxes, or None; raises :class:`DirectoryUnavailable`."""
        found = await self._ask(
            f"rpps|{rpps}",
            "PractitionerRole",
            {
                "practitioner.identifier": f"https://rpps.esante.gouv.fr|{rpps}",
                "_include": ["PractitionerRole:practitioner", "PractitionerRole:organization"],
                "active": "true",
            },
        )
        entry = next((entry for entry in found if entry.id == f"8{rpps}"), None)
        if entry is not None:
            return entry
        # Somebody without a place of practice has no role: the search by roles does not find them.
        alone = await self._ask(f"person|{rpps}", "Practitioner", {"identifier": f"https://rpps.esante.gouv.fr|{rpps}"})
        return next((entry for entry in alone if entry.id == f"8{rpps}"), None)

    async def structure(self, identifier: str) -> DirectoryEntry | None:
        """The structure of a Struct_IdNat, or None; raises :class:`DirectoryUnavailable`."""
        found = await self._ask(f"structure|{identifier}", "Organization", {"identifier": identifier[1:]})
        return next((entry for entry in found if entry.id == identifier), None)

    async def owner_of(self, address: str) -> list[DirectoryEntry]:
        """Who a mailbox belongs to; raises :class:`DirectoryUnavailable`."""
        return list(await self._ask(f"mailbox|{address}", "Organization", {"mailbox-mss:exact": address}))

    async def agreement(self, rpps: str, structure: str) -> Agreement:
        """Does this person exist and practise at this structure?"""
        entry = await self.practitioner(rpps)
        if entry is None:
            return Agreement.UNKNOWN_PERSON
        if not entry.active:
            return Agreement.INACTIVE
        if any(place.structure == structure and place.active for place in entry.places):
            return Agreement.AGREES
        return Agreement.OTHER_PLACE

    async def _ask(self, key: str, resource: str, query: dict[str, str | list[str]]) -> tuple[DirectoryEntry, ...]:
        now = self._monotonic()
        cached = self._cache.get(key)
        if cached is not None and now - cached[0] < self.settings.cache_seconds:
            self._cache.move_to_end(key)
            return cached[1]
        await self._pace()
        try:
            # POST _search: what is asked does not stand in addresses and their logs.
            asked = {**query, "_count": "50"}
            async with self._http.stream("POST", f"{resource}/_search", data=asked) as answer:
                body = await read_at_most(answer, self.settings.max_answer_bytes)
        except httpx.HTTPError as exc:
            raise DirectoryUnavailable(type(exc).__name__) from exc
        if answer.status_code in (404, 410):
            return self._keep(key, now, ())
        if answer.status_code != 200:
            after = answer.headers.get("retry-after", "")
            raise DirectoryUnavailable(f"http_{answer.status_code}", float(after) if after.isdigit() else None)
        try:
            value = hard_json.loads(body, max_bytes=self.settings.max_answer_bytes)
        except UnsafeInput as exc:
            raise DirectoryUnavailable(exc.code) from None
        if not isinstance(value, dict) or value.get("resourceType") != "Bundle":
            raise DirectoryUnavailable("not_a_bundle")
        return self._keep(key, now, tuple(read_bundle(value)))

    def _keep(self, key: str, now: float, entries: tuple[DirectoryEntry, ...]) -> tuple[DirectoryEntry, ...]:
        self._cache[key] = (now, entries)
        while len(self._cache) > self.settings.cache_size:
            self._cache.popitem(last=False)
        return entries

    def forget_mailbox(self, address: str) -> int:
        """Ask anew next time about whoever was said to have this mailbox, once it proved closed; how many answers."""
        wanted = address.lower()
        stale = [
            key
            for key, (_, entries) in self._cache.items()
            if any(box.address.lower() == wanted for entry in entries for box in entry.mailboxes)
        ]
        for key in stale:
            del self._cache[key]
        return len(stale)

    def forget(self, identifier: str) -> None:
        """Ask anew next time about a RPPS or a structure, once what was told of it proved wrong."""
        for kind in ("rpps", "person", "structure"):
            self._cache.pop(f"{kind}|{identifier}", None)

    async def _pace(self) -> None:
        now = self._monotonic()
        at = max(now, self._next)
        self._next = at + 1.0 / self.settings.calls_per_second
        if at > now:
            await self._sleep(at - now)
