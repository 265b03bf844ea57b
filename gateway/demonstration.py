"""The demonstration: a gateway and the simulators on free loopback ports, in a folder of its own.

Everything goes over HTTP, SMTP and SOAP on sockets, as it would elsewhere; nothing leaves the machine.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from gateway import tenants
from gateway.journey.clock import utc_now
from security.tokens import make_client_key, sign_client_assertion

__all__ = ["Access", "Client", "Demonstration", "Role"]

CABINET = ("1290099886", "CABINET FICTIF", "SA07", "cabinet@structure.formation.mssante.fr")
PHARMACY = ("1750803447", "PHARMACIE FICTIVE", "SA33", "officine@pharmacien.formation.mssante.fr")

SCOPES: dict[str, tuple[str, ...]] = {
    "vendor": (
        "documents:write",
        "documents:read",
        "identities:read",
        "identities:write",
        "messages:write",
        "messages:read",
        "feeds:read",
        "feeds:write",
        "records:read",
    ),
    "pharmacy": (
        "dispensations:write",
        "documents:read",
        "messages:write",
        "messages:read",
        "feeds:read",
        "feeds:write",
    ),
    "auditor": ("feeds:audit", "feeds:read", "feeds:write"),
    "professional": ("feeds:read",),
    "operator": ("operations", "documents:read"),
}


#: The professional whose own lines the professional's client sees.
DOCTOR = "899700218896"
#: Towards the feeds: role, and what the grant states once for every query.
STANDING: dict[str, tuple[str, dict[str, Any]]] = {
    "vendor": ("vendor", {"segurRef": "DEMO-0001"}),
    "pharmacy": ("structure", {}),
    "professional": ("professional", {}),
    "auditor": (
        "fund",
        {
            "purpose": "démonstration",
            "legalBasis": "données fictives",
            "accreditation": "DEMO-AGREMENT-1",
        },
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One ready client of the demonstration."""

    client_id: str
    private_key: Path
    scopes: tuple[str, ...]


@dataclass(slots=True)
class Client:
    """A caller of the interface that keeps its token fresh."""

    base_url: str
    role: Role
    http: httpx.Client
    _token: str = ""
    _until: float = 0.0
    _pem: bytes = field(default=b"", repr=False)

    @classmethod
    def open(cls, base_url: str, role: Role) -> Client:
        """A caller for a role."""
        http = httpx.Client(base_url=base_url, trust_env=False, timeout=30)
        return cls(base_url, role, http, _pem=role.private_key.read_bytes())

    def token(self) -> str:
        """An access token, asked for anew a minute before it ends."""
        if time.monotonic() > self._until:
            url = f"{self.base_url}/oauth/token"
            assertion = sign_client_assertion(self._pem, self.role.client_id, url, utc_now(), secrets.token_urlsafe(16))
            answer = self.http.post(
                "/oauth/token",
                data={
                    "grant_type": "client_credentials",
                    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    "client_assertion": assertion,
                    "scope": " ".join(self.role.scopes),
                },
            )
            answer.raise_for_status()
            body = answer.json()
            self._token = body["access_token"]
            self._until = time.monotonic() + body["expires_in"] - 60
        return self._token

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Call the interface with the role's token."""
        headers = {"Authorization": f"Bearer {self.token()}", **options.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **options)


@dataclass(slots=True)
class Access:
    """Where everything is, for the access file."""

    base_url: str
    roles: dict[str, Role]
    simulators: dict[str, dict[str, str]]
    people: dict[str, dict[str, str]] = field(default_factory=dict)  #: who may sign in to the console

    def as_json(self) -> dict[str, Any]:
        """The access file (``--access-file``)."""
        return {
            "base_url": self.base_url,
            "token_url": f"{self.base_url}/oauth/token",
            "clients": {
                name: {
                    "client_id": role.client_id,
                    "private_key": str(role.private_key),
                    "scopes": " ".join(role.scopes),
                }
                for name, role in self.roles.items()
            },
            "simulators": self.simulators,
            "console": {"url": f"{self.base_url}/console", "accounts": self.people},
        }


def free_port() -> int:
    """A port of loopback that nobody has, and that nobody is given by chance before it is taken.

    The system gives ports from 32768 up to whoever asks for any, each outgoing connection included: one of those, free
    now, may be somebody's when it is bound.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Demonstration:
    """A gateway with its simulators, tenants and clients, ready to be called."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        pool_processes: int = 1,
        settings: dict[str, Any] | None = None,
        apart: bool = False,
    ) -> None:
        """``apart`` runs the simulators in a process of their own, so that figures are the gateway's."""
        self.folder = folder
        self.port = port or free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._pool = pool_processes
        self._settings = settings or {}
        self._apart = apart
        self.access: Access | None = None
        self.sandbox: Any = None
        self.gateway: Any = None

    @contextmanager
    def running(self) -> Iterator[Demonstration]:
        """Start all of it; stop all of it."""
        from adapters.sandbox import Sandbox, structure_certificates
        from adapters.sandbox_process import SandboxProcess
        from gateway.runtime import open_gateway
        from gateway.settings import Settings

        # Pro Santé Connect sends people back to the gateway and its console, wherever they listen this time.
        ways = ("/console/signin/psc/return", "/v1/psc/callback")
        back = {"redirect_uris": ("https://gateway.invalid/callback", *(self.base_url + way for way in ways))}
        kind: type[Sandbox | SandboxProcess] = SandboxProcess if self._apart else Sandbox
        with kind(self.folder / "sandbox", structure_id=CABINET[0], structure_name=CABINET[1], psc=back) as sandbox:
            self.sandbox = sandbox
            nested = _nested(sandbox.environment())
            # Heads are signed as one looks.
            nested["feeds"] = {**nested.get("feeds", {}), "head_seconds": 1.0}
            for name, value in self._settings.items():
                nested[name] = {**nested.get(name, {}), **value} if isinstance(value, dict) else value
            settings = Settings.model_validate(
                {
                    **nested,
                    "base_url": self.base_url,
                    "data_dir": self.folder / "gateway",
                    "poll_seconds": 0.1,
                    "seal_seconds": 0.2,
                    "allow_private_webhooks": True,
                    "pool_processes": self._pool,
                }
            )
            self.gateway = open_gateway(settings)
            pharmacy = structure_certificates(
                sandbox.pki, self.folder / "pharmacy", structure_id=PHARMACY[0], structure_name=PHARMACY[1]
            )
            roles = self._register(pharmacy)
            self.access = Access(self.base_url, roles, sandbox.addresses, self._people())
            with _serving(self.gateway, self.port):
                yield self

    def _register(self, pharmacy: dict[str, str]) -> dict[str, Role]:
        roles: dict[str, Role] = {}
        keys = self.folder / "clients"
        keys.mkdir(parents=True, exist_ok=True)
        now = utc_now()

        def add(connection: Any) -> None:
            ids = {}
            for (structure, name, sector, mailbox), references in ((CABINET, {}), (PHARMACY, pharmacy)):
                # Started again in the same folder: who is there stays, documents included.
                known = tenants.tenant_of_structure(connection, structure)
                made = known or tenants.add_tenant(
                    connection,
                    structure_id=structure,
                    name=name,
                    activity_sector=sector,
                    references={"mailbox": mailbox, **references},
                    now=now,
                )
                ids[structure] = made.id
            for role, scopes in SCOPES.items():
                path = keys / f"{role}.pem"
                if path.exists() and tenants.client(connection, f"demo-{role}") is not None:
                    roles[role] = Role(client_id=f"demo-{role}", private_key=path, scopes=scopes)
                    continue
                pem, jwks = make_client_key("P-256")
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(pem)
                acts_for = {
                    "vendor": (ids[CABINET[0]],),
                    "professional": (ids[CABINET[0]],),
                    "pharmacy": (ids[PHARMACY[0]],),
                }.get(role, tuple(ids.values()))
                tenants.add_client(
                    connection,
                    client_id=f"demo-{role}",
                    name=f"Démonstration ({role})",
                    jwks=jwks,
                    scopes=scopes,
                    acts_for=acts_for,
                    actors=(DOCTOR,) if role == "professional" else None,
                    role=STANDING.get(role, (None, {}))[0],
                    terms=STANDING.get(role, (None, {}))[1],
                    now=now,
                )
                roles[role] = Role(client_id=f"demo-{role}", private_key=path, scopes=scopes)

        self.gateway.store.write_now(add)
        return roles

    def _people(self) -> dict[str, dict[str, str]]:
        """Accounts of the console, with passwords made for this run."""
        from gateway.console.accounts import add_account, find

        standing: dict[str, dict[str, Any]] = {
            "auditor": {"role": "fund", "name": "Caisse fictive", "everywhere": True},
            "professional": {"role": "professional", "name": "Médecin fictif", "rpps": DOCTOR.removeprefix("8")},
            "operator": {"role": "operator", "name": "Exploitation"},
        }
        made = {name: {"login": name, "password": secrets.token_urlsafe(15)} for name in standing}

        def add(connection: Any) -> None:
            for name, options in standing.items():
                if find(connection, name) is not None:
                    made[name]["login"] = f"{name}-{secrets.token_hex(3)}"  # its password is known to nobody any more
                add_account(connection, **{**made[name], **options}, now=utc_now())

        self.gateway.store.write_now(add)
        return made

    def client(self, role: str) -> Client:
        """A caller for a role."""
        if self.access is None:
            raise RuntimeError("the demonstration is not running")
        return Client.open(self.base_url, self.access.roles[role])


def _nested(environment: dict[str, str]) -> dict[str, Any]:
    """Settings as nested values out of ``PASSERELLE_GROUP__NAME`` variables."""
    out: dict[str, Any] = {}
    for name, value in environment.items():
        parts = name.removeprefix("PASSERELLE_").lower().split("__")
        target = out
        for part in parts[:-1]:
            target = target.setdefault(part, {})
        target[parts[-1]] = orjson.loads(value) if value.startswith("[") else value
    return out


@contextmanager
def _serving(gateway: Any, port: int) -> Iterator[None]:
    import uvicorn

    from gateway.app import create_app

    server = uvicorn.Server(
        uvicorn.Config(
            create_app(gateway=gateway),
            host="127.0.0.1",
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
    )
    thread = threading.Thread(target=server.run, name="gateway", daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the gateway did not start")
        time.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(20)
