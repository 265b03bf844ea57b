"""The certificates and keys of an installation and of its structures: opened, checked, and how long they last."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog
from sqlalchemy import Connection, select

from conformance.verdict import Text
from gateway import tenants
from gateway.settings import Settings
from gateway.store.tables import tenants as tenant_rows
from gateway.tenants import Tenant

if TYPE_CHECKING:
    from cryptography import x509

    from gateway.context import Gateway
    from security.keyring import KeyProblem, KeyRef

__all__ = ["PROBLEMS", "CheckedKey", "all_tenants", "announce", "days_left", "inventory"]

log = structlog.get_logger("passerelle.keys")

#: What each fault of a key means, and how to mend it.
PROBLEMS: Final[dict[str, tuple[Text, Text]]] = {
    "KEY-SOURCE-001": (
        Text("La source de la clé n'est pas connue.", "The source of the key is not known."),
        Text("Donnez un fichier PEM ou PKCS#12.", "Give a PEM or PKCS#12 file."),
    ),
    "KEY-READ-001": (
        Text("Le certificat ou sa clé ne peut pas être lu.", "The certificate or its key cannot be read."),
        Text(
            "Vérifiez le chemin, le format (PEM, PKCS#12) et le mot de passe.",
            "Check the path, the format (PEM, PKCS#12) and the passphrase.",
        ),
    ),
    "KEY-MODE-001": (
        Text("D'autres comptes peuvent lire la clé.", "Other accounts can read the key."),
        Text("Réservez le fichier à son propriétaire (chmod 600).", "Keep the file to its owner (chmod 600)."),
    ),
    "KEY-MATCH-001": (
        Text("La clé n'est pas celle du certificat.", "The key is not the certificate's."),
        Text("Donnez la clé générée avec ce certificat.", "Give the key made with this certificate."),
    ),
    "KEY-DATE-001": (
        Text("Le certificat n'est pas encore en vigueur.", "The certificate is not in force yet."),
        Text("Vérifiez l'horloge, ou attendez la date de début.", "Check the clock, or wait for its first day."),
    ),
    "KEY-DATE-002": (
        Text("Le certificat a expiré.", "The certificate has expired."),
        Text(
            "Commandez son remplaçant auprès de l'IGC-Santé : il n'est pas renouvelé tout seul.",
            "Order its successor from IGC-Santé: it is not renewed by itself.",
        ),
    ),
    "KEY-USAGE-001": (
        Text("Le certificat n'est pas fait pour cet usage.", "The certificate is not made for this use."),
        Text(
            "Utilisez le certificat d'authentification pour TLS, le certificat de signature (cachet) pour signer.",
            "Use the authentication certificate for TLS, the signature certificate (seal) to sign.",
        ),
    ),
    "KEY-STRUCTURE-001": (
        Text("Le certificat est celui d'une autre structure.", "The certificate is another structure's."),
        Text(
            "Donnez à cette structure ses propres certificats (références du compte).",
            "Give this structure its own certificates (references of the tenant).",
        ),
    ),
    "KEY-NAME-001": (
        Text("Le nom du certificat n'est pas celui attendu par le service.", "The service expects another name."),
        Text("Pour l'INSi, commandez un certificat INSI-AUTO.", "For INSi, order an INSI-AUTO certificate."),
    ),
    "KEY-CHAIN-001": (
        Text("L'autorité qui a émis le certificat n'est pas reconnue.", "The certificate's authority is not trusted."),
        Text(
            "Ajoutez les autorités de l'IGC-Santé au fichier de confiance, ou changez de certificat.",
            "Add the authorities of IGC-Santé to the trust file, or change the certificate.",
        ),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedKey:
    """One certificate and its key, checked."""

    name: str  #: the setting, or the structure's reference
    tenant: str | None  #: structure number it is used for
    usage: str
    subject: str  #: CN
    structure: str  #: OU
    issuer: str  #: CN
    ends: datetime | None
    days: int | None  #: whole days left; negative once over
    alarm: Literal[60, 30, 7, 0] | None  #: near its end: within so many days, 0 when over
    problems: tuple[KeyProblem, ...]

    def as_json(self) -> dict[str, Any]:
        """The key as the command shows it; never the key itself."""
        return {
            "name": self.name,
            "structure": self.tenant,
            "usage": self.usage,
            "subject": self.subject,
            "organizationalUnit": self.structure,
            "issuer": self.issuer,
            "notAfter": self.ends.isoformat() if self.ends else None,
            "daysLeft": self.days,
            "alarm": self.alarm,
            "problems": [
                {
                    "code": p.code,
                    "found": p.found,
                    "expected": p.expected,
                    "cause": PROBLEMS[p.code][0].fr,
                    "fix": PROBLEMS[p.code][1].fr,
                }
                for p in self.problems
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """A use of a certificate: settings name it, a structure may have its own."""

    group: str
    reference: str
    certificate: str
    key: str
    usage: Literal["client", "sign"]
    of_structure: bool
    common_names: tuple[str, ...] = ()


_USES: Final = (
    _Use(
        group="dmp",
        reference="dmp",
        certificate="auth_certificate",
        key="auth_key",
        usage="client",
        of_structure=True,
    ),
    _Use(
        group="dmp",
        reference="dmpSign",
        certificate="sign_certificate",
        key="sign_key",
        usage="sign",
        of_structure=True,
    ),
    _Use(
        group="insi",
        reference="insi",
        certificate="certificate",
        key="key",
        usage="client",
        of_structure=True,
        common_names=("INSI-AUTO", "INSI-MANU"),
    ),
    _Use(group="mss", reference="mss", certificate="certificate", key="key", usage="client", of_structure=False),
)


def all_tenants(connection: Connection) -> list[Tenant]:
    """Every structure that is not disabled."""
    ids = connection.execute(select(tenant_rows.c.id).where(tenant_rows.c.disabled_at.is_(None))).scalars().all()
    return [found for one in ids if (found := tenants.tenant(connection, one)) is not None]


def inventory(settings: Settings, structures: Iterable[Tenant], now: datetime) -> list[CheckedKey]:
    """Open and check every certificate that settings and structures name; each once for a use and a structure."""
    out: list[CheckedKey] = []
    seen: set[tuple[Path, str, str | None]] = set()
    for ref, trust, owner in _references(settings, list(structures)):
        use = (ref.path, ref.name, ref.structure_id)
        if use not in seen:
            seen.add(use)
            out.append(_checked(ref, trust, owner, now))
    return out


def _references(settings: Settings, structures: list[Tenant]) -> Iterator[tuple[KeyRef, Path | None, Tenant | None]]:
    from security.keyring import KeyRef

    owners: list[Tenant | None] = [*structures] or [None]
    for use in _USES:
        group = getattr(settings, use.group)
        for owner in owners:
            own = owner.references if owner is not None else {}
            mine = own.get(f"{use.reference}Certificate")
            path = Path(mine) if mine else getattr(group, use.certificate)
            if path is None:
                continue
            own_key = own.get(f"{use.reference}Key")
            key = Path(own_key) if own_key else (None if mine else getattr(group, use.key))
            trust = own.get(f"{use.group}Trust") or group.trust
            ref = KeyRef(
                name=f"{use.reference}Certificate" if mine else f"{use.group}.{use.certificate}",
                path=path,
                key_path=key,
                usage=use.usage,
                structure_id=owner.structure_id if owner is not None and use.of_structure else None,
                common_names=use.common_names,
            )
            yield ref, Path(trust) if trust else None, owner


def _checked(ref: KeyRef, trust: Path | None, owner: Tenant | None, now: datetime) -> CheckedKey:
    from cryptography.x509.oid import NameOID

    from security.keyring import KeyProblem, Keyring, attribute_values, expiry_alarm, load_certificates

    roots: tuple[x509.Certificate, ...] = ()
    problems: list[KeyProblem] = []
    if trust is not None:
        try:
            roots = load_certificates(trust)
        except (OSError, ValueError) as exc:
            problems.append(
                KeyProblem(code="KEY-READ-001", name=ref.name, found=type(exc).__name__, expected="a PEM trust file")
            )
    ring = Keyring.load([ref], now=now, trust=roots)
    problems += ring.problems
    certificate = ring.certificates().get(ref.name)
    common: dict[str, Any] = {
        "name": ref.name,
        "tenant": owner.structure_id if owner is not None else None,
        "usage": ref.usage,
        "problems": tuple(problems),
    }
    if certificate is None:
        return CheckedKey(subject="", structure="", issuer="", ends=None, days=None, alarm=None, **common)

    def first(name: x509.Name, oid: Any) -> str:
        return next(iter(attribute_values(name, oid)), "")

    ends = certificate.not_valid_after_utc
    return CheckedKey(
        subject=first(certificate.subject, NameOID.COMMON_NAME),
        structure=first(certificate.subject, NameOID.ORGANIZATIONAL_UNIT_NAME),
        issuer=first(certificate.issuer, NameOID.COMMON_NAME),
        ends=ends,
        days=(ends - now) // timedelta(days=1),
        alarm=expiry_alarm(certificate, now),
        **common,
    )


async def _inventory(gateway: Gateway) -> list[CheckedKey]:
    structures = await gateway.store.read(all_tenants)
    return await asyncio.to_thread(inventory, gateway.settings, structures, gateway.now())


async def announce(gateway: Gateway) -> None:
    """Say in the log, at start, which keys are wrong or near their end."""
    for key in await _inventory(gateway):
        for problem in key.problems:
            log.error("key.wrong", key=key.name, structure=key.tenant, code=problem.code)
        if key.alarm is not None:
            log.warning("key.ends_soon", key=key.name, structure=key.tenant, days=key.days, alarm=key.alarm)


async def days_left(gateway: Gateway) -> list[tuple[str, str, int]]:
    """Each key, the structure it serves, its days left; read again once an hour."""
    now = gateway.now()
    kept = gateway.health.get("keys")
    if kept is None or now - kept[0] > timedelta(hours=1):
        kept = gateway.health["keys"] = (now, await _inventory(gateway))
    return [
        (key.name, key.tenant or "", (key.ends - now) // timedelta(days=1)) for key in kept[1] if key.ends is not None
    ]
