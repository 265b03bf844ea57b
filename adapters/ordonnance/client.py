"""The seam to the national e-prescription service: numbers, prescriptions, executions.

Every operation that changes something carries an ``operationId`` chosen by the caller: sent again, it is done once and
answers the same. Numbers and the INS stand in bodies, never in addresses.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import httpx
import orjson

from adapters.bounded import read_at_most
from adapters.ordonnance.outcomes import refusal, unavailable
from security import json as hard_json
from security.errors import UnsafeInput

__all__ = ["OrderService", "OrdonnanceClient", "OrdonnanceSettings"]


class OrderService(Protocol):
    """What any e-prescription service must do; raises :class:`adapters.ordonnance.outcomes.OrderServiceError`."""

    async def number(self, operation: str, prescriber: str) -> str:
        """Give a number for a prescription about to be written."""

    async def register(self, operation: str, body: dict[str, Any]) -> None:
        """Take a numbered prescription."""

    async def cancel(self, operation: str, body: dict[str, Any]) -> None:
        """Cancel a prescription."""

    async def search(self, number: str, ins: dict[str, str]) -> dict[str, Any]:
        """A prescription and what was executed of it."""

    async def execute(self, operation: str, body: dict[str, Any]) -> None:
        """Take what a pharmacy gave."""

    async def cancel_execution(self, operation: str, body: dict[str, Any]) -> None:
        """Take back an execution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdonnanceSettings:
    """Where the service is."""

    base_url: str
    api_key: str = field(default="", repr=False)
    timeout: float = 8.0
    max_answer_bytes: int = 5 * 1024 * 1024


class OrdonnanceClient:
    """The HTTP client of the seam; safe to share between tasks of one event loop."""

    def __init__(self, settings: OrdonnanceSettings, ssl_context: ssl.SSLContext | bool = True) -> None:
        self.settings = settings
        self._http = httpx.AsyncClient(
            base_url=settings.base_url.rstrip("/") + "/",
            verify=ssl_context,
            timeout=settings.timeout,
            trust_env=False,
            follow_redirects=False,
            headers={"Authorization": f"Bearer {settings.api_key}", "Content-Type": "application/json"},
        )

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def number(self, operation: str, prescriber: str) -> str:
        """Give a number for a prescription about to be written."""
        answer = await self._ask("numbers", {"operationId": operation, "prescriber": prescriber})
        number = answer.get("number")
        if not isinstance(number, str) or not 1 <= len(number) <= 64:
            raise unavailable("no_number")
        return number

    async def register(self, operation: str, body: dict[str, Any]) -> None:
        """Take a numbered prescription."""
        await self._ask("prescriptions", {"operationId": operation, **body})

    async def cancel(self, operation: str, body: dict[str, Any]) -> None:
        """Cancel a prescription."""
        await self._ask("prescriptions/cancel", {"operationId": operation, **body})

    async def search(self, number: str, ins: dict[str, str]) -> dict[str, Any]:
        """A prescription and what was executed of it."""
        return await self._ask("prescriptions/search", {"number": number, "ins": ins})

    async def execute(self, operation: str, body: dict[str, Any]) -> None:
        """Take what a pharmacy gave."""
        await self._ask("executions", {"operationId": operation, **body})

    async def cancel_execution(self, operation: str, body: dict[str, Any]) -> None:
        """Take back an execution."""
        await self._ask("executions/cancel", {"operationId": operation, **body})

    async def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            async with self._http.stream("POST", path, content=orjson.dumps(body)) as answer:
                content = await read_at_most(answer, self.settings.max_answer_bytes)
        except httpx.HTTPError as exc:
            raise unavailable(type(exc).__name__) from exc
        if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
            after = answer.headers.get("retry-after", "")
            raise unavailable(f"http_{answer.status_code}", float(after) if after.isdigit() else None)
        try:
            value = hard_json.loads(content, max_bytes=self.settings.max_answer_bytes)
        except UnsafeInput as exc:
            raise unavailable(exc.code) from None
        if not isinstance(value, dict):
            raise unavailable("not_an_object")
        if answer.status_code >= 400:
            code = value.get("code")
            raise refusal(code if isinstance(code, str) else f"HTTP_{answer.status_code}")
        return value
