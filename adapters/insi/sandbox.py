"""The INSi simulator: as strict as the real service, on real sockets, with people nobody will miss.

Two listeners: mutual TLS with an organisation certificate and no assertion, and server TLS with assertions: signed by a
card, or unsigned beside the Pro Santé Connect token of the same person (``token_holder`` knows whose a token is).
``GET {api}/people`` lists who is known, ``POST {api}/people`` adds one, ``PUT {api}/settings`` switches how given names
are looked up; exchanges and faults as for every simulator.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
from lxml import etree
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.insi import verification
from adapters.insi.messages import BY_CARD, Answer, Individual, write_answer
from adapters.insi.people import PUBLISHED, TECHNICAL_FAULT, Person, Population, generate, person
from adapters.insi.sandbox_checks import (
    AssertionPolicy,
    Refused,
    check_assertions,
    check_certificate,
    check_request,
    check_traits,
    sender,
)
from adapters.insi.soap import CONTENT_TYPE, Envelope, Malformed, SoapFault, child, open_envelope, text_of, write_fault
from adapters.insi.verification import Claim, Draft1
from adapters.sandbox_base import (
    Faults,
    Journal,
    Listener,
    abort_connection,
    admin_app,
    client_certificate,
)
from adapters.simulator import Simulator
from conformance.identifiers import INS_NIR, INS_NIR_TEST, IdentifierError, Matricule
from security import json
from security.errors import UnsafeInput
from security.keyring import load_certificates, server_ssl_context
from security.pki import SandboxPki

__all__ = ["FAULTS", "SANDBOX_IDAM", "InsiSandbox"]

#: The authorisation number the simulator knows.
SANDBOX_IDAM: Final = "PASSERELLE-SANDBOX"
_MAX_REQUEST: Final = 8 * 1024 * 1024
_LABELS: Final = {"00": "OK", "01": "Aucune identite trouvee", "02": "Plusieurs identites trouvees"}

FAULTS: Final = {
    "latency": "waits `seconds` (2) before answering",
    "timeout": "never answers",
    "drop": "resets the connection without an answer",
    "lost_answer": "does the work, then resets the connection",
    "http_503": "answers HTTP 503 without a SOAP message",
    "siram_40": "answers with the technical fault siram_40 / insi_102",
    "truncated": "cuts the answer in two",
    "content_type": "answers text/html",
    "wrong_key": "returns a matricule whose key is wrong",
    "oid_10": "returns the matricule under the test authority .10",
    "lower_case": "returns traits in lower case",
    "no_key": "leaves the key out",
}
_ALTERING: Final = ("wrong_key", "oid_10", "lower_case", "no_key")


class InsiSandbox(Simulator):
    """The simulator as a library: ``start`` it, point a client at :attr:`url`, ``stop`` it. Ports 0 take free ones."""

    def __init__(
        self,
        pki: SandboxPki,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_port: int = 0,
        assertion_port: int = 0,
        people: Iterable[Person] | None = None,
        generated: int = 200,
        idams: Iterable[str] = (SANDBOX_IDAM,),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        polls_before_lot: int = 0,
        token_holder: Callable[[str], str | None] = lambda token: None,
    ) -> None:
        super().__init__(port, assertion_port, api_port, host=host)
        self.journal = Journal()
        self.faults = Faults(FAULTS)
        self.people = Population(people if people is not None else [*PUBLISHED, *generate(generated)])
        self.first_name_only = False
        self._pki = pki
        self._idams = frozenset(idams)
        self._clock = clock
        self._verification = Draft1()
        self._lots: dict[str, _Lot] = {}
        self._lot_numbers = itertools.count(1)
        self._polls = polls_before_lot
        self._token_holder = token_holder
        # Captured answers bind the envelope to one prefix or another: clients must take any.
        self._style = random.Random(1)  # noqa: S311 - a choice of prefix

    def _listeners(self) -> list[Listener]:
        port, assertion_port, api_port = self._wanted
        policy = AssertionPolicy(roots=_roots(self._pki.trust))
        return [
            Listener(
                app=Starlette(routes=[self._route(None)]),
                ssl_context=server_ssl_context(self._pki.server, self._pki.trust),
                host=self._host,
                port=port,
            ),
            Listener(
                app=Starlette(routes=[self._route(policy)]),
                ssl_context=server_ssl_context(self._pki.server, None),
                host=self._host,
                port=assertion_port,
            ),
            Listener(
                app=admin_app("Simulateur INSi", self.journal, self.faults, self._admin_routes()),
                host=self._host,
                port=api_port,
            ),
        ]

    @property
    def url(self) -> str:
        """Where a structure calls, with mutual TLS."""
        return f"https://{self._host}:{self._ports()[0]}/lps"

    @property
    def assertion_url(self) -> str:
        """Where a professional calls, with a signed assertion."""
        return f"https://{self._host}:{self._ports()[1]}/lps"

    def _route(self, policy: AssertionPolicy | None) -> Route:
        async def lps(request: Request) -> Response:
            return await self._serve(request, policy)

        return Route("/lps", lps, methods=["POST"])

    async def _serve(self, request: Request, policy: AssertionPolicy | None) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > _MAX_REQUEST:
                return Response("too large", 413)
        handled = self._handle(bytes(body), client_certificate(request.scope), policy, self._holder(request))
        response = await self._misbehave(handled)
        self.journal.record(
            handled.operation,
            handled.outcome,
            request=bytes(body),
            response=bytes(response.body) if response is not None else b"",
            status=response.status_code if response is not None else None,
        )
        if handled.hangs:
            # Until the client gives up: its disconnection is the next message.
            await request.receive()
        if response is None:
            abort_connection(request.scope)
            return Response(status_code=503)
        return response

    async def _misbehave(self, handled: _Handled) -> Response | None:
        """The answer as the fault switches leave it; None drops the connection."""
        content, status, kind = handled.content, handled.status, CONTENT_TYPE
        names = [n for n in FAULTS if n not in _ALTERING]
        while (fault := self.faults.take(handled.operation, *names)) is not None:
            handled.outcome = f"{handled.outcome}, {fault.name}"
            if fault.name == "latency":
                await asyncio.sleep(fault.number("seconds", 2))
                continue
            if fault.name == "timeout":
                handled.hangs = True
                return None
            if fault.name in ("drop", "lost_answer"):
                return None
            if fault.name == "http_503":
                content, status, kind = b"Service Unavailable", 503, "text/plain"
            elif fault.name == "siram_40":
                content, status = write_fault(TECHNICAL_FAULT), 500
            elif fault.name == "truncated":
                content = content[: len(content) // 2]
            elif fault.name == "content_type":
                kind = "text/html"
            break
        return Response(content, status, media_type=kind)

    def _holder(self, request: Request) -> str | None:
        """Whose Pro Santé Connect token came with a call."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self._token_holder(token) if scheme.lower() == "bearer" and token else None

    def _handle(
        self, body: bytes, certificate: bytes | None, policy: AssertionPolicy | None, holder: str | None
    ) -> _Handled:
        handled = _Handled()
        try:
            if policy is None:
                check_certificate(certificate)
            envelope = _open(body)
            handled.operation = check_request(envelope, self._idams)
            self._check_mode(envelope, handled.operation, policy, holder)
            self._answer(handled, envelope)
        except Refused as refused:
            handled.outcome = refused.fault.code
            handled.status, handled.content = 500, write_fault(refused.fault, technical=refused.fault.code)
        return handled

    def _check_mode(
        self, envelope: Envelope, operation: str, policy: AssertionPolicy | None, holder: str | None
    ) -> None:
        if policy is not None:
            check_assertions(envelope, policy, with_card=operation == BY_CARD, now=self._clock(), holder=holder)
        elif (security := envelope.block("wsse", "Security")) is not None and len(security):
            raise sender("sim_223", "Aucune assertion n'est attendue avec un certificat d'organisation.")

    def _answer(self, handled: _Handled, envelope: Envelope) -> None:
        operation, payload = handled.operation, envelope.payload
        if operation == verification.UNIT:
            (claim,) = self._claims(payload, 1)
            confirmed = self._confirms(claim)
            handled.outcome = "confirmed" if confirmed else "not_confirmed"
            handled.content = self._verification.write_unit(confirmed)
        elif operation == verification.DEPOSIT:
            lot = f"LOT{next(self._lot_numbers):06d}"
            claims = self._claims(payload, Draft1.max_lot)
            self._lots[lot] = _Lot([(c.reference, self._confirms(c)) for c in claims], self._polls)
            handled.outcome, handled.content = "deposited", self._verification.write_deposit(lot)
        elif operation == verification.RETRIEVAL:
            handled.content = self._retrieve(payload)
            handled.outcome = "retrieved"
        else:
            found = self._search(operation, payload)
            code = "01" if not found else "00" if len(found) == 1 else "02"
            individual = self._alter(operation, found[0]) if code == "00" else None
            handled.outcome = code
            handled.content = write_answer(
                operation,
                Answer(code=code, label=_LABELS[code], individual=individual),
                relates_to=envelope.message_id,
                prefix=self._style.choice(("S", "soap", "env", "ns2")),
            )

    def _claims(self, payload: etree._Element, most: int) -> list[Claim]:
        claims = verification.read_claims(payload)
        if not 1 <= len(claims) <= most:
            raise sender("sim_230", f"1 à {most} identités attendues.")
        return claims

    def _confirms(self, claim: Claim) -> bool:
        # Never traits in a verification: only whether all of them are right.
        known = self._by_number(claim.number.value)
        if known is None or known.individual is None or known.individual.active != claim.number:
            return False
        ours, theirs = known.traits, claim.traits
        return (ours.birth_name, ours.given_names, ours.sex, ours.birth_date, ours.birth_place) == (
            theirs.birth_name,
            theirs.given_names,
            theirs.sex,
            theirs.birth_date,
            theirs.birth_place,
        )

    def _by_number(self, number: str) -> Person | None:
        try:
            return self.people.by_number(number)
        except IdentifierError:
            return None

    def _retrieve(self, payload: etree._Element) -> bytes:
        number = text_of(payload, "NumeroLot")
        lot = self._lots.get(number)
        if lot is None:
            raise sender("sim_231", "Lot inconnu ou déjà retiré.")
        if lot.polls_left:
            lot.polls_left -= 1
            return self._verification.write_lot(None)
        del self._lots[number]
        return self._verification.write_lot(lot.answers)

    def _search(self, operation: str, payload: etree._Element) -> list[Individual]:
        if operation == BY_CARD:
            return self._by_card(payload)
        found = self.people.search(*check_traits(payload), first_only=self.first_name_only)
        for one in found:
            if one.fault is not None:
                raise Refused(one.fault)
        return [one.individual for one in found if one.individual is not None]

    def _by_card(self, payload: etree._Element) -> list[Individual]:
        number = text_of(child(payload, "MatriculeIndividu"), "NumIdentifiant")
        if not number:
            raise sender("sim_240", "MatriculeIndividu manque.")
        one = self._by_number(number)
        if one is None or one.individual is None:
            return []
        name, born = text_of(payload, "NomNaissance"), text_of(payload, "DateNaissance")
        if name not in ("", one.traits.birth_name) or born not in ("", one.traits.birth_date):
            return []
        return [one.individual]

    def _alter(self, operation: str, individual: Individual) -> Individual:
        fault = self.faults.take(operation, *_ALTERING)
        if fault is None:
            return individual
        active, traits = individual.active, individual.traits
        if fault.name == "wrong_key":
            wrong = f"{int(active.value[13:]) % 97 + 1:02d}"
            return replace(individual, active=replace(active, value=active.value[:13] + wrong))
        if fault.name == "no_key":
            return replace(individual, active=replace(active, value=active.value[:13]))
        if fault.name == "oid_10":
            return replace(individual, active=replace(active, oid=INS_NIR_TEST))
        return replace(individual, traits=replace(traits, birth_name=traits.birth_name.lower()))

    def _admin_routes(self) -> list[Route]:
        async def people(request: Request) -> Response:
            if request.method == "POST":
                self.people.add(_read_person(await request.body()))
                return Response(status_code=204)
            listed = [_show(p) for p in self.people]
            return Response(orjson.dumps(listed), media_type="application/json")

        async def settings(request: Request) -> Response:
            asked = _object(await request.body())
            if asked.get("givenNames") not in ("any", "first"):
                raise HTTPException(400, "givenNames: expected any or first")
            self.first_name_only = asked["givenNames"] == "first"
            return Response(status_code=204)

        return [
            Route("/people", people, methods=["GET", "POST"]),
            Route("/settings", settings, methods=["PUT"]),
        ]


@dataclass(slots=True)
class _Handled:
    operation: str = "unknown"
    outcome: str = ""
    content: bytes = b""
    status: int = 200
    hangs: bool = False  # no answer ever comes


@dataclass(slots=True)
class _Lot:
    answers: list[tuple[str, bool]]
    polls_left: int


def _roots(trust: Path) -> tuple[Any, ...]:
    return load_certificates(trust)


def _open(body: bytes) -> Envelope:
    try:
        return open_envelope(body)
    except Malformed as error:
        raise Refused(
            SoapFault(
                side="Sender",
                subcode="sim_200",
                code="sim_200",
                severity="erreur",
                text=f"Message illisible ({error.code}).",
            )
        ) from error


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except UnsafeInput as error:
        raise HTTPException(400, error.code) from None
    if not isinstance(value, dict):
        raise HTTPException(400, "expected an object")
    return value


def _read_person(body: bytes) -> Person:
    value = _object(body)
    names = ("birthName", "givenNames", "sex", "birthDate", "birthPlace", "matricule")
    texts = [value.get(name, "") for name in names]
    if not all(isinstance(text, str) for text in texts):
        raise HTTPException(400, f"expected texts: {', '.join(names)}, oid")
    try:
        Matricule.parse(texts[5])
    except IdentifierError as error:
        raise HTTPException(400, f"matricule: {error.code}") from None
    return person(*texts, oid=str(value.get("oid") or INS_NIR))


def _show(one: Person) -> dict[str, Any]:
    known = one.individual
    return {
        "birthName": one.traits.birth_name,
        "givenNames": one.traits.given_names,
        "sex": one.traits.sex,
        "birthDate": one.traits.birth_date,
        "birthPlace": one.traits.birth_place,
        "matricule": known.active.value if known is not None else None,
        "oid": known.active.oid if known is not None else None,
        "history": [] if known is None else [{"matricule": h.value, "oid": h.oid} for h in known.history],
        "fault": one.fault.code if one.fault is not None else None,
    }
