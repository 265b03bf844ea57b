"""Who consults a record: a professional authenticated by Pro Santé Connect, for one session with one program.

Reading the DMP speaks in the name of a person strongly authenticated (``INDIRECTE_RENFORCEE``, dmp.md 1.3, 6.3). The
seam is :class:`PscVerifier`: an access token in, the professional out. In the test environment a setting lets the
calling software declare the person instead. A session is a sealed text, bound to the program it was given to; nothing
is stored.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from adapters.dmp.actor import Actor
from gateway.problems import Busy, Forbidden, Invalid, Unauthenticated, rule
from gateway.settings import Settings
from gateway.tenants import Tenant
from gateway.vault import Vault
from security.vihf import Coded

if TYPE_CHECKING:
    from adapters.psc.userinfo import Professional

__all__ = [
    "METHODS",
    "PscVerifier",
    "Session",
    "actor_of",
    "declared",
    "open_session",
    "proven",
    "seal_session",
    "session_of_person",
]

_G15: Final = "1.2.250.1.71.1.2.7"
_R01: Final = "1.2.250.1.71.4.2.5"
_CLASSES: Final = "urn:oasis:names:tc:SAML:2.0:ac:classes:"

#: How the professional logged in -> AuthnContextClassRef. Only strong means may consult (dmp.md 1.3).
METHODS: Final[Mapping[str, str]] = {
    "cps": f"{_CLASSES}SmartcardPKI",
    "e-cps": f"{_CLASSES}MobileTwoFactorUnregistered",
    "psc": f"{_CLASSES}MobileTwoFactorUnregistered",
}
_PASSWORD: Final = f"{_CLASSES}Password"

NO_SESSION = rule(
    "API-CONSULT-001",
    "Consulter un dossier demande un professionnel authentifié.",
    "Consulting a record needs an authenticated professional.",
    "Envoyez le jeton Pro Santé Connect dans Passerelle-Psc-Token, ou une session dans Passerelle-Actor-Session.",
    "Send the Pro Santé Connect token in Passerelle-Psc-Token, or a session in Passerelle-Actor-Session.",
    "dmp.md 1.3",
)
BAD_SESSION = rule(
    "API-CONSULT-002",
    "La session du professionnel n'est pas valable ou a pris fin.",
    "The professional's session is not valid or has ended.",
    "Ouvrez une nouvelle session (POST /v1/records/sessions).",
    "Open a new session (POST /v1/records/sessions).",
)
DECLARED_FORBIDDEN = rule(
    "API-CONSULT-003",
    "Ici, seul Pro Santé Connect authentifie le professionnel.",
    "Here, only Pro Santé Connect authenticates the professional.",
    "Envoyez le jeton Pro Santé Connect dans Passerelle-Psc-Token.",
    "Send the Pro Santé Connect token in Passerelle-Psc-Token.",
)
PSC_ABSENT = rule(
    "API-CONSULT-004",
    "Pro Santé Connect n'est pas réglé sur cette passerelle.",
    "Pro Santé Connect is not configured on this gateway.",
    "Renseignez les réglages psc.",
    "Fill in the psc settings.",
)
PSC_REFUSED = rule(
    "API-CONSULT-005",
    "Pro Santé Connect ne reconnaît pas ce jeton.",
    "Pro Santé Connect does not accept this token.",
    "Demandez au professionnel de s'authentifier de nouveau.",
    "Ask the professional to authenticate again.",
)
NO_SITUATION = rule(
    "API-CONSULT-006",
    "Le professionnel n'a pas une et une seule situation d'exercice dans la structure.",
    "The professional has not one and only one exercise in the structure.",
    "Précisez la profession de l'exercice choisi, ou vérifiez la structure.",
    "State the profession of the exercise chosen, or check the structure.",
    "dmp.md 6.3",
)
NOT_A_PROFESSIONAL = rule(
    "API-CONSULT-007",
    "Le professionnel désigné n'est pas complet : identifiant national, profession et structure.",
    "The professional named is not complete: national identifier, profession and structure.",
    "Donnez son identifiant, sa spécialité (G15_10/SM54...) et la structure du compte.",
    "Give an identifier, a specialty (G15_10/SM54...) and the account's structure.",
)


class PscVerifier(Protocol):
    """What turns an access token of Pro Santé Connect into the professional it was given to."""

    async def professional(self, token: str) -> Professional:
        """Ask the provider; raises ``PermissionError`` when it refuses the token, ``ConnectionError`` when silent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A professional who may consult, until a time."""

    actor: Actor
    method: str  #: cps, e-cps or psc; ``local`` for one the calling software vouches for, who may not consult
    expires_at: datetime

    @property
    def strong(self) -> bool:
        """True when the person was strongly authenticated: only then a record is read in their name."""
        return self.method in METHODS

    def as_json(self) -> dict[str, Any]:
        """The session as values, to be sealed."""
        a = self.actor
        return {
            "id": a.id,
            "family": a.family,
            "given": a.given,
            "profession": _coded(a.profession),
            "specialty": _coded(a.specialty) if a.specialty else None,
            "structure": [a.structure_id, a.structure_name, a.sector],
            "role": a.role,
            "authenticated": a.authn_instant.isoformat(),
            "method": self.method,
            "expires": self.expires_at.isoformat(),
        }

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> Session:
        """Read what :meth:`as_json` wrote."""
        structure_id, name, sector = value["structure"]
        method = value["method"]
        context = METHODS.get(method, _PASSWORD)
        return cls(
            actor=Actor(
                id=value["id"],
                family=value["family"],
                given=value["given"],
                profession=Coded(**value["profession"]),
                specialty=Coded(**value["specialty"]) if value["specialty"] else None,
                structure_id=structure_id,
                structure_name=name,
                sector=sector,
                role=value["role"],
                authn_instant=datetime.fromisoformat(value["authenticated"]),
                authn_context=context,
                # Public clients repeat the class here; what else the DMP takes is not published (dmp.md 1.3).
                authn_declaration=context if method in METHODS else None,
            ),
            method=method,
            expires_at=datetime.fromisoformat(value["expires"]),
        )


def _coded(code: Coded) -> dict[str, str]:
    return {"code": code.code, "system": code.system, "system_name": code.system_name, "display": code.display}


def actor_of(said: Mapping[str, Any], tenant: Tenant, *, authenticated_at: datetime) -> Actor:
    """The caller of the DMP out of a described professional (:func:`gateway.services.intake.describe_actor`)."""
    specialty = said.get("specialty") or {}
    profession, _, skill = str(specialty.get("code") or "").removeprefix("G15_").partition("/")
    label = str(specialty.get("display") or "")
    first, _, second = label.partition(" - ")
    return Actor(
        id=str(said["id"]),
        family=str(said.get("family") or ""),
        given=str(said.get("given") or ""),
        profession=Coded(code=profession, system=_G15, system_name="G15", display=first),
        specialty=Coded(code=skill, system=_R01, system_name="R01", display=second or label) if skill else None,
        structure_id=tenant.structure_id,
        structure_name=tenant.name,
        sector=tenant.activity_sector,
        role=str(said.get("function") or ""),
        authn_instant=authenticated_at,
    )


def declared(
    said: Mapping[str, Any],
    tenant: Tenant,
    *,
    method: str,
    authenticated_at: datetime,
    settings: Settings,
    now: datetime,
) -> Session:
    """A session for a professional whom the calling software authenticated; where the settings allow it."""
    if settings.records_actor != "declared":
        raise Forbidden([DECLARED_FORBIDDEN.finding("/actor")], slug="psc-required")
    if said.get("structure") != tenant.structure_id or not (said.get("specialty") or {}).get("code"):
        raise Invalid([NOT_A_PROFESSIONAL.finding("/actor")], slug="invalid-request")
    at = min(authenticated_at, now - timedelta(seconds=1))
    return _session(actor_of(said, tenant, authenticated_at=at), method, at, settings)


async def proven(
    verifier: PscVerifier | None,
    token: str,
    tenant: Tenant,
    *,
    profession: str | None,
    settings: Settings,
    now: datetime,
) -> Session:
    """A session for the professional behind an access token of Pro Santé Connect."""
    if verifier is None:
        raise Busy([PSC_ABSENT.finding("Passerelle-Psc-Token", found="psc.issuer")], slug="not-configured")
    try:
        person = await verifier.professional(token)
    except PermissionError as exc:
        raise Unauthenticated([PSC_REFUSED.finding("Passerelle-Psc-Token", found=str(exc))], slug="psc") from None
    except ConnectionError as exc:
        raise Busy([PSC_REFUSED.finding("Passerelle-Psc-Token", found=str(exc))], slug="psc-unavailable") from None
    return session_of_person(person, tenant, profession=profession, settings=settings, now=now)


def session_of_person(
    person: Professional, tenant: Tenant, *, profession: str | None, settings: Settings, now: datetime
) -> Session:
    """A session for a professional whom the provider just named; :class:`Forbidden` without one exercise there."""
    fitting = [
        s
        for s in person.situations
        if s.activity.structure_id == tenant.structure_id
        and profession in (None, s.profession, f"{s.profession}/{s.specialty}")
    ]
    if len(fitting) != 1:
        choices = sorted({f"{s.profession}/{s.specialty}".rstrip("/") for s in fitting})
        found = ", ".join(choices) or "aucune"
        raise Forbidden([NO_SITUATION.finding("/profession", found=found, expected="une")], slug="psc-situation")
    chosen = fitting[0]
    # For pharmacists the second role is the section of their order (dmp.md 6.2).
    skill = chosen.specialty or chosen.activity.pharmacist_section
    sector = chosen.activity.sector.partition("^")[0]
    actor = Actor(
        id=person.id,
        family=chosen.family,
        given=chosen.given,
        profession=Coded(code=chosen.profession, system=_G15, system_name="G15"),
        specialty=Coded(code=skill, system=_R01, system_name="R01") if skill else None,
        structure_id=tenant.structure_id,
        structure_name=chosen.activity.structure_name or tenant.name,
        sector=sector or tenant.activity_sector,
        authn_instant=now - timedelta(seconds=1),
    )
    return _session(actor, "psc", now, settings)


def _session(actor: Actor, method: str, at: datetime, settings: Settings) -> Session:
    context = METHODS.get(method, _PASSWORD)
    strong = method in METHODS
    return Session(
        actor=replace(actor, authn_context=context, authn_declaration=context if strong else None),
        method=method,
        expires_at=at + timedelta(minutes=settings.records_session_minutes),
    )


def _name(client: str) -> str:
    return f"actor-session|{client}"


def seal_session(vault: Vault, tenant: Tenant, client: str, session: Session) -> str:
    """The session as a text only this program can use, for this structure."""
    sealed = vault.seal(tenant.id, orjson.dumps(session.as_json()), _name(client))
    return "ses_" + base64.urlsafe_b64encode(sealed).decode("ascii").rstrip("=")


def open_session(vault: Vault, tenant: Tenant, client: str, text: str, now: datetime) -> Session:
    """Read a session text; raises :class:`Unauthenticated` when it is another's, altered or over."""
    raw = text.removeprefix("ses_")
    try:
        sealed = base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_", validate=True)
        session = Session.of_json(orjson.loads(vault.open(tenant.id, sealed, _name(client))))
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise Unauthenticated([BAD_SESSION.finding("Passerelle-Actor-Session")], slug="actor-session") from None
    if session.expires_at <= now.astimezone(UTC):
        raise Unauthenticated([BAD_SESSION.finding("Passerelle-Actor-Session", found="expirée")], slug="actor-session")
    return session
