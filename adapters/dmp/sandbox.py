"""The simulated DMP as a program or a library: real sockets, mutual TLS, an interface to look inside.

``DmpSandbox(pki).start()`` serves the SOAP services over mutual TLS below ``/si-dmp-server/v2/services`` and an
interface over plain HTTP: what was received, documents, entries, patients, fault switches.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from cryptography import x509
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from adapters.dmp.simulator.caller import CallerPolicy, Doorman
from adapters.dmp.simulator.fhir_face import FhirFace
from adapters.dmp.simulator.service import FAULTS, Service
from adapters.dmp.simulator.state import Patient, State, entry_json
from adapters.dmp.simulator.submit import SubmitPolicy
from adapters.sandbox_base import Faults, Journal, Listener, admin_app
from adapters.simulator import Simulator
from security.pki import SandboxPki
from security.tls import server_ssl_context
from security.vihf_verify import TrustPolicy

__all__ = ["DmpSandbox"]

_BASE = "/si-dmp-server/v2/services"


def _now() -> datetime:
    return datetime.now(UTC)


class DmpSandbox(Simulator):
    """A DMP of one's own, with state; start and stop it, or use it as a context manager."""

    def __init__(
        self,
        pki: SandboxPki,
        *,
        port: int = 0,
        api_port: int = 0,
        host: str = "127.0.0.1",
        refuse_duplicates: bool = False,
        allow_sha1: bool = True,
        max_document_bytes: int = 5 * 1024 * 1024,
        max_set_bytes: int = 10 * 1024 * 1024,
        both_restrictions: bool = False,
        require_hash: bool = False,
        structure_pairs: dict[str, str] | None = None,
        clock: Callable[[], datetime] = _now,
        max_age: timedelta = timedelta(minutes=5),
    ) -> None:
        """Port 0 takes a free one. ``allow_sha1`` is for the set signature and the assertion (the kit's vintage)."""
        roots = tuple(x509.load_pem_x509_certificates(pki.trust.read_bytes()))
        trust = TrustPolicy(roots=roots, allow_sha1=allow_sha1, max_age=max_age)
        super().__init__(port, api_port, host=host)
        self._pki = pki
        self.state = State()
        self.journal = Journal()
        self.faults = Faults(FAULTS)
        self.policy = SubmitPolicy(
            trust=trust,
            max_document_bytes=max_document_bytes,
            max_set_bytes=max_set_bytes,
            refuse_duplicates=refuse_duplicates,
            both_restrictions=both_restrictions,
            require_hash=require_hash,
        )
        self.service = Service(
            state=self.state,
            doorman=Doorman(CallerPolicy(trust=trust, structure_pairs=structure_pairs or {})),
            policy=self.policy,
            journal=self.journal,
            faults=self.faults,
            clock=clock,
            # Multipart and envelope come on top of the documents.
            max_request_bytes=max_set_bytes + 4 * 1024 * 1024,
        )
        self.fhir = FhirFace(
            state=self.state,
            doorman=self.service.doorman,
            policy=self.policy,
            journal=self.journal,
            faults=self.faults,
            clock=clock,
            base=_BASE + "/fhir",
        )

    def _listeners(self) -> list[Listener]:
        port, api_port = self._wanted
        return [
            Listener(
                app=self._soap(),
                ssl_context=server_ssl_context(self._pki.server, self._pki.trust, crl=self._pki.crl),
                host=self._host,
                port=port,
            ),
            Listener(app=self._admin(), host=self._host, port=api_port),
        ]

    @property
    def base_url(self) -> str:
        """Where the services are; ``/registry``, ``/repository``, ``/patients`` and ``/habilitations`` below it."""
        return f"https://{self._host}:{self._ports()[0]}{_BASE}"

    @property
    def fhir_url(self) -> str:
        """Where the same record is served by PDSm."""
        return f"{self.base_url}/fhir"

    # --- applications ------------------------------------------------------------------------------------------------

    def _soap(self) -> Starlette:
        return Starlette(
            routes=[
                *self.fhir.routes(),
                Route(_BASE + "/{service}", self.service.handle, methods=["POST"]),
                # The system parameters are a public file of the DMP (dmp.md 1.2).
                Route("/web/dmp/documents/param-lps", self._parameters),
            ]
        )

    async def _parameters(self, request: Request) -> Response:
        values = {
            "fonctions-gestion-mineurs": self.policy.minors,
            "cumul-invisible_patient-masque_ps": self.policy.both_restrictions,
        }
        lines = "".join(f'<parametre nom="{name}" valeur="{str(v).lower()}"/>' for name, v in values.items())
        return Response(
            f'<?xml version="1.0" encoding="UTF-8"?><parametres>{lines}</parametres>', media_type="application/xml"
        )

    def _admin(self) -> Starlette:
        routes: list[BaseRoute] = [
            Route("/documents/{unique_id}", self._document),
            Route("/entries", self._entries),
            Route("/entries", self._forget, methods=["DELETE"]),
            Route("/patients", self._patient, methods=["POST"]),
            Route("/web/dmp/documents/param-lps", self._parameters),
        ]
        return admin_app("DMP simulé", self.journal, self.faults, routes)

    async def _document(self, request: Request) -> Response:
        content = self.state.document(request.path_params["unique_id"])
        if content is None:
            raise HTTPException(404, "no such document")
        return Response(content, media_type="application/xml", headers={"x-content-type-options": "nosniff"})

    async def _entries(self, request: Request) -> Response:
        wanted = request.query_params
        lines = [entry_json(registered) for registered in self.state.entries()]
        for name in ("uniqueId", "submissionSet", "status", "type"):
            if name in wanted:
                lines = [line for line in lines if line[name] == wanted[name]]
        return Response(orjson.dumps(lines), media_type="application/json")

    async def _forget(self, request: Request) -> Response:
        self.state.clear()
        return Response(status_code=204)

    async def _patient(self, request: Request) -> Response:
        try:
            asked: dict[str, Any] = orjson.loads(await request.body())
            patient = Patient(**asked)
        except (orjson.JSONDecodeError, TypeError):
            raise HTTPException(400, "expected a patient: matricule, state, authorizations, treating_doctor") from None
        self.state.add_patient(patient)
        return Response(status_code=204)
