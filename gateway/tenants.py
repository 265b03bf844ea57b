"""Who uses the gateway: structures (tenants), the software that acts for them (clients), and what each may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select

from conformance.identifiers import IdentifierError, StructIdNat
from gateway.ids import new_id
from gateway.store import sql
from gateway.store.plan import run
from gateway.store.tables import client_tenants, clients, tenants

__all__ = [
    "ROLES",
    "SCOPES",
    "Client",
    "GrantError",
    "Tenant",
    "actors_of",
    "add_client",
    "add_tenant",
    "client",
    "may_act",
    "tenant",
    "tenant_of_structure",
    "tenants_of",
]

#: What a token may allow (api.md; SMART Backend Services).
SCOPES = (
    "documents:write",
    "documents:read",
    "dispensations:write",
    "records:read",
    "identities:read",
    "identities:write",
    "messages:write",
    "messages:read",
    "feeds:read",
    "feeds:write",
    "feeds:audit",
    "operations",
)

#: What a client is to the feeds (gateway.services.feeds_roles); without one, its scopes tell.
ROLES = ("professional", "structure", "vendor", "fund", "ars", "national", "dpo")


class GrantError(Exception):
    """A tenant or a client cannot be made or used as asked; ``code`` tells why."""

    def __init__(self, code: str, expected: str = "") -> None:
        self.code = code
        self.expected = expected
        super().__init__(f"{code}: expected {expected}" if expected else code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A contracting structure."""

    id: str
    structure_id: str  #: Struct_IdNat: 1+FINESS, 3+SIRET
    name: str
    activity_sector: str  #: TRE_R02, SA07...
    references: dict[str, Any]  #: mailbox and certificates, by reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program allowed to call, known by its public keys."""

    id: str
    name: str
    jwks: dict[str, Any]
    scopes: tuple[str, ...]
    role: str | None = None  #: one of ``ROLES``
    terms: dict[str, Any] = field(default_factory=dict)  #: accreditation, purpose, legalBasis, allTenants, structures


def structure_number(finess: str | None, siret: str | None) -> str:
    """The Struct_IdNat of a FINESS or a SIRET; raises :class:`GrantError` when the number is wrong."""
    raw = f"1{finess}" if finess else f"3{siret}" if siret else ""
    try:
        return str(StructIdNat.parse(raw))
    except IdentifierError as exc:
        raise GrantError("TENANT-ID-001", "a FINESS of 9 characters or a SIRET of 14 digits, with a right key") from exc


def add_tenant(
    connection: Connection,
    *,
    structure_id: str,
    name: str,
    activity_sector: str,
    references: dict[str, Any],
    now: datetime,
) -> Tenant:
    """Make a tenant; raises :class:`GrantError` when the structure already is one."""
    if connection.execute(select(tenants.c.id).where(tenants.c.structure_id == structure_id)).first():
        raise GrantError("TENANT-DUP-001", "a structure that is not a tenant yet")
    row = {
        "id": new_id("tnt", now),
        "structure_id": structure_id,
        "name": name,
        "activity_sector": activity_sector,
        "references": references,
    }
    connection.execute(tenants.insert().values(**row, created_at=now))
    return Tenant(**row)  # type: ignore[arg-type]


def add_client(
    connection: Connection,
    *,
    client_id: str,
    name: str,
    jwks: dict[str, Any],
    scopes: tuple[str, ...],
    acts_for: tuple[str, ...],
    actors: tuple[str, ...] | None,
    now: datetime,
    role: str | None = None,
    terms: dict[str, Any] | None = None,
) -> Client:
    """Make a client that may act for the tenants listed, as any of their professionals or those listed only."""
    if role is not None and role not in ROLES:
        raise GrantError("CLIENT-ROLE-001", f"a role among {', '.join(ROLES)}")
    if role == "professional" and not actors:
        raise GrantError("CLIENT-ROLE-002", "the professional, by --actor")
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise GrantError("CLIENT-SCOPE-001", f"scopes among {', '.join(SCOPES)}")
    if not jwks.get("keys"):
        raise GrantError("CLIENT-KEY-001", "a JWKS with at least one public key")
    if any("d" in key or key.get("kty") == "oct" for key in jwks["keys"]):
        raise GrantError("CLIENT-KEY-002", "public keys only")
    if connection.execute(select(clients.c.id).where(clients.c.id == client_id)).first():
        raise GrantError("CLIENT-DUP-001", "a client id not taken yet")
    connection.execute(
        clients.insert().values(
            id=client_id,
            name=name,
            jwks=jwks,
            scopes=list(scopes),
            role=role,
            terms=terms or {},
            created_at=now,
        )
    )
    for tenant_id in acts_for:
        if tenant(connection, tenant_id) is None:
            raise GrantError("CLIENT-TENANT-001", "tenants that exist")
        connection.execute(
            client_tenants.insert().values(
                client_id=client_id, tenant_id=tenant_id, actors=list(actors) if actors is not None else None
            )
        )
    return Client(id=client_id, name=name, jwks=jwks, scopes=scopes, role=role, terms=terms or {})


def tenant(connection: Connection, tenant_id: str) -> Tenant | None:
    """The tenant of an id, unless disabled."""
    row = sql.find(connection, tenants, id=tenant_id)
    return _tenant(row) if row is not None and row.disabled_at is None else None


def tenant_of_structure(connection: Connection, structure_id: str) -> Tenant | None:
    """The tenant of a structure, unless disabled."""
    row = connection.execute(
        select(tenants).where(tenants.c.structure_id == structure_id, tenants.c.disabled_at.is_(None))
    ).first()
    return _tenant(row) if row else None


def _tenant(row: Any) -> Tenant:
    return Tenant(
        id=row.id,
        structure_id=row.structure_id,
        name=row.name,
        activity_sector=row.activity_sector,
        references=row.references,
    )


def client(connection: Connection, client_id: str) -> Client | None:
    """The client of an id, unless disabled."""
    row = sql.find(connection, clients, id=client_id)
    if row is not None and row.disabled_at is not None:
        return None
    if row is None:
        return None
    return Client(
        id=row.id, name=row.name, jwks=row.jwks, scopes=tuple(row.scopes), role=row.role, terms=row.terms or {}
    )


def tenants_of(connection: Connection, client_id: str) -> list[Tenant]:
    """The tenants a client may act for."""
    return [_tenant(row) for row in run(connection, _entrusted(), {"client": client_id}).rows]


@cache
def _entrusted() -> Select[Any]:
    return (
        select(tenants)
        .join(client_tenants, client_tenants.c.tenant_id == tenants.c.id)
        .where(client_tenants.c.client_id == bindparam("client"), tenants.c.disabled_at.is_(None))
        .order_by(tenants.c.id)
    )


def actors_of(connection: Connection, client_id: str) -> list[str] | None:
    """The professionals (PS_IdNat) a client is bound to over its tenants; None when it is bound to none in one."""
    rows = connection.execute(select(client_tenants.c.actors).where(client_tenants.c.client_id == client_id)).scalars()
    found: set[str] = set()
    for actors in rows:
        if actors is None:
            return None
        found.update(actors)
    return sorted(found)


def may_act(connection: Connection, client_id: str, who: Tenant, actor_id: str, actor_structure: str | None) -> bool:
    """True when the client's grant for the tenant covers this professional, acting for the tenant's structure."""
    row = sql.find(connection, client_tenants, client_id=client_id, tenant_id=who.id)
    if row is None or actor_structure != who.structure_id:
        return False
    return row.actors is None or actor_id in row.actors
