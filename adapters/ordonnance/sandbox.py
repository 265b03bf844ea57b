"""A simulated national e-prescription service: numbers, prescriptions and executions, strict about each.

It keeps its own count of what was executed and refuses what exceeds it, whatever the gateway thinks. Its messages are
the project's own, since the national ones are not public.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.sandbox_base import Faults, Journal, Listener, abort_connection, admin_app
from adapters.simulator import Simulator
from security import json as hard_json
from security.errors import UnsafeInput

__all__ = ["ORDONNANCE_KEY", "OrdonnanceSandbox"]

#: Largest request taken, in bytes.
_MOST = 10 * 1024 * 1024
ORDONNANCE_KEY = "sandbox-ordonnance-key"
_FAULTS = {
    "unavailable": "answers 503",
    "lost_before": "drops the connection without doing anything",
    "lost_after": "does it, then drops the connection without an answer",
    "refuse": "refuses with parameters.code",
    "html": "answers a page",
}
#: Members each operation must have, and those it may have.
_SHAPES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "numbers": (frozenset({"operationId", "prescriber"}), frozenset()),
    "prescriptions": (
        frozenset({"operationId", "number", "ins", "issuedAt", "lines", "prescription"}),
        frozenset({"validUntil", "replaces"}),
    ),
    "prescriptions/cancel": (frozenset({"operationId", "number", "ins"}), frozenset({"reason"})),
    "prescriptions/search": (frozenset({"number", "ins"}), frozenset()),
    "executions": (
        frozenset({"operationId", "number", "ins", "execution", "at", "pharmacy", "lines", "refused"}),
        frozenset({"replaces"}),
    ),
    "executions/cancel": (frozenset({"operationId", "number", "ins", "execution"}), frozenset({"reason"})),
}
_STATUS = {
    "UNKNOWN_NUMBER": 404,
    "UNKNOWN_EXECUTION": 404,
    "INVALID": 400,
    "NOT_AUTHORISED": 401,
    "FOREIGN_NUMBER": 422,
    "WRONG_PATIENT": 422,
    "UNKNOWN_LINE": 422,
}


class _Refusal(Exception):
    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(slots=True)
class _Held:
    """A prescription of the base and what was executed of it."""

    body: dict[str, Any]
    cancelled: bool = False
    executions: dict[str, dict[str, Any]] = field(default_factory=dict)


class OrdonnanceSandbox(Simulator):
    """The simulated service; ``start`` takes its ports (0 for free ones), ``stop`` gives them back."""

    def __init__(self, *, port: int = 0, api_port: int = 0, host: str = "127.0.0.1", prefix: str = "EPU") -> None:
        self.journal = Journal()
        self.faults = Faults(_FAULTS)
        super().__init__(port, api_port, host=host)
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._given: set[str] = set()
        self._base: dict[str, _Held] = {}
        self._done: dict[str, tuple[bytes, dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def _listeners(self) -> list[Listener]:
        service = Starlette(routes=[Route("/{operation:path}", self._serve, methods=["POST"])])
        admin = admin_app(
            "Simulateur ordonnance numérique",
            self.journal,
            self.faults,
            [Route("/prescriptions", self._list), Route("/numbers", self._accept_number, methods=["POST"])],
        )
        return [
            Listener(app=service, host=self._host, port=self._wanted[0]),
            Listener(app=admin, host=self._host, port=self._wanted[1]),
        ]

    @property
    def base_url(self) -> str:
        """Base of the service."""
        return f"http://{self._host}:{self._ports()[0]}"

    async def _list(self, _: Request) -> Response:
        """What the base holds: numbers, state and quantities; never a patient's trait."""
        with self._lock:
            rows = [
                {
                    "number": number,
                    "cancelled": held.cancelled,
                    "executions": [
                        {k: one[k] for k in ("execution", "pharmacy", "lines", "refused")}
                        for one in held.executions.values()
                    ],
                }
                for number, held in self._base.items()
            ]
        return Response(orjson.dumps(rows), media_type="application/json")

    async def _accept_number(self, request: Request) -> Response:
        """Let a number made elsewhere count as given by the base."""
        value = orjson.loads(await request.body())
        with self._lock:
            self._given.add(str(value["number"]))
        return Response(status_code=204)

    async def _serve(self, request: Request) -> Response:
        operation = request.path_params["operation"]
        body = await request.body()
        fault = self.faults.take(operation)
        name = fault.name if fault else ""
        if name == "lost_before":
            self.journal.record(operation, "lost", request=body, request_type="application/json")
            abort_connection(request.scope)
            return Response(status_code=500)
        if name == "unavailable":
            return self._answer(operation, 503, body, {"code": "UNAVAILABLE"}, "unavailable")
        if name == "html":
            self.journal.record(operation, "html", request=body, status=200)
            return Response("<html>panne</html>", 200, media_type="text/html")
        try:
            if request.headers.get("authorization") != f"Bearer {ORDONNANCE_KEY}":
                raise _Refusal("NOT_AUTHORISED")
            if name == "refuse" and fault is not None:
                raise _Refusal(str(fault.parameters.get("code", "INVALID")))
            value = self._read(operation, body)
            with self._lock:
                answer = self._once(operation, value, body)
        except _Refusal as exc:
            return self._answer(operation, _STATUS.get(exc.code, 409), body, {"code": exc.code}, exc.code)
        if name == "lost_after":
            self.journal.record(operation, "lost_after", request=body, request_type="application/json")
            abort_connection(request.scope)
            return Response(status_code=500)
        return self._answer(operation, 200, body, answer, "accepted")

    def _answer(self, operation: str, status: int, request: bytes, value: dict[str, Any], outcome: str) -> Response:
        body = orjson.dumps(value, default=str)
        self.journal.record(
            operation,
            outcome,
            request=request,
            response=body,
            status=status,
            request_type="application/json",
            response_type="application/json",
        )
        headers = {"Retry-After": "1"} if status == 503 else None
        return Response(body, status, media_type="application/json", headers=headers)

    def _read(self, operation: str, body: bytes) -> dict[str, Any]:
        shape = _SHAPES.get(operation)
        try:
            value = hard_json.loads(body, max_bytes=_MOST)
        except UnsafeInput:
            raise _Refusal("INVALID") from None
        if shape is None or not isinstance(value, dict):
            raise _Refusal("INVALID")
        needed, allowed = shape
        if not needed <= set(value) <= needed | allowed:
            raise _Refusal("INVALID")
        ins = value.get("ins")
        if "ins" in needed and (not isinstance(ins, dict) or set(ins) != {"value", "authority"}):
            raise _Refusal("INVALID")
        return value

    def _once(self, operation: str, value: dict[str, Any], body: bytes) -> dict[str, Any]:
        """Do an operation once an identifier; the same one with another content is refused."""
        identifier = value.get("operationId")
        if identifier is not None and identifier in self._done:
            before, answer = self._done[identifier]
            if before != body:
                raise _Refusal("INVALID")
            return answer
        answer = getattr(self, "_do_" + operation.replace("/", "_"))(value)
        if identifier is not None:
            self._done[identifier] = (body, answer)
        return answer  # type: ignore[no-any-return]

    def _do_numbers(self, value: dict[str, Any]) -> dict[str, Any]:
        number = f"{self._prefix}{next(self._numbers):015d}"
        self._given.add(number)
        return {"number": number}

    def _do_prescriptions(self, value: dict[str, Any]) -> dict[str, Any]:
        number = value["number"]
        if number not in self._given:
            raise _Refusal("FOREIGN_NUMBER")
        if number in self._base:
            raise _Refusal("NUMBER_USED")
        lines = value["lines"]
        if not isinstance(lines, list) or not lines or len({line.get("line") for line in lines}) != len(lines):
            raise _Refusal("INVALID")
        replaced = value.get("replaces")
        if replaced is not None:
            self._held(replaced, value["ins"]).cancelled = True
        self._base[number] = _Held(body=value)
        return {"number": number}

    def _do_prescriptions_cancel(self, value: dict[str, Any]) -> dict[str, Any]:
        held = self._held(value["number"], value["ins"])
        if held.cancelled:
            raise _Refusal("CANCELLED")
        held.cancelled = True
        return {"number": value["number"]}

    def _do_prescriptions_search(self, value: dict[str, Any]) -> dict[str, Any]:
        held = self._held(value["number"], value["ins"])
        return {
            "prescription": held.body["prescription"],
            "number": value["number"],
            "cancelled": held.cancelled,
            "executions": [
                {k: one[k] for k in ("execution", "at", "pharmacy", "lines", "refused")}
                for one in held.executions.values()
            ],
        }

    def _do_executions(self, value: dict[str, Any]) -> dict[str, Any]:
        held = self._held(value["number"], value["ins"])
        # What was given before a cancellation may be told right after it.
        if held.cancelled and value.get("replaces") is None:
            raise _Refusal("CANCELLED")
        until = held.body.get("validUntil")
        # What was given in time may be told late: the day of the act decides, not that of the relay.
        if until is not None and datetime.fromisoformat(value["at"]) > datetime.fromisoformat(until).astimezone(UTC):
            raise _Refusal("EXPIRED")
        replaced = value.get("replaces")
        if replaced is not None and replaced not in held.executions:
            raise _Refusal("UNKNOWN_EXECUTION")
        others = [one for key, one in held.executions.items() if key != replaced]
        self._check_quantities(held, others, value)
        if replaced is not None:
            del held.executions[replaced]
        held.executions[value["execution"]] = value
        return {"execution": value["execution"]}

    def _check_quantities(self, held: _Held, others: list[dict[str, Any]], value: dict[str, Any]) -> None:
        prescribed = {line["line"]: line for line in held.body["lines"]}
        for one in value["lines"]:
            line = prescribed.get(one["line"])
            if line is None:
                raise _Refusal("UNKNOWN_LINE")
            try:
                quantity = Decimal(one["quantity"])
            except (InvalidOperation, TypeError):
                raise _Refusal("INVALID") from None
            if quantity <= 0:
                raise _Refusal("INVALID")
            if line.get("quantity") is None or one.get("excessReason"):
                continue
            most = Decimal(line["quantity"]) * (int(line["renewals"]) + 1)
            before = sum(
                (Decimal(e["quantity"]) for other in others for e in other["lines"] if e["line"] == one["line"]),
                Decimal(0),
            )
            if before + quantity > most:
                raise _Refusal("NOTHING_LEFT")

    def _do_executions_cancel(self, value: dict[str, Any]) -> dict[str, Any]:
        held = self._held(value["number"], value["ins"])
        if held.executions.pop(value["execution"], None) is None:
            raise _Refusal("UNKNOWN_EXECUTION")
        return {"execution": value["execution"]}

    def _held(self, number: str, ins: dict[str, Any]) -> _Held:
        held = self._base.get(number)
        if held is None:
            raise _Refusal("UNKNOWN_NUMBER" if number in self._given else "FOREIGN_NUMBER")
        if held.body["ins"] != ins:
            raise _Refusal("WRONG_PATIENT")
        return held
