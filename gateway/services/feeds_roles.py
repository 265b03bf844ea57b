"""Who may see what of the feeds: seven roles, each a line of one table, and what is asked of those who audit.

The operator of the gateway is none of them: it keeps the ledger and cannot rewrite it (users.md, 1.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from conformance.verdict import Text
from gateway.problems import Forbidden, rule
from gateway.services.feed_facts import rpps
from gateway.tenants import Client

__all__ = ["ROLES", "Audience", "Role", "audience_of", "narrowed", "said_of"]

NO_PURPOSE = rule(
    "FEED-ACCESS-001",
    "Une consultation de contrôle dit sa finalité et sa base légale.",
    "A query of control states its purpose and its legal basis.",
    "Envoyez les en-têtes Passerelle-Purpose et Passerelle-Legal-Basis, de 3 à 200 caractères.",
    "Send the headers Passerelle-Purpose and Passerelle-Legal-Basis, of 3 to 200 characters.",
    "incentives 7",
)
NO_LINES = rule(
    "FEED-ACCESS-002",
    "Ce rôle voit des comptes, pas des lignes ni des professionnels.",
    "This role sees counts, not lines or professionals.",
    "Demandez des comptes par type, mois, profession ou structure.",
    "Ask for counts by type, month, profession or structure.",
    "incentives 7",
)
OUTSIDE = rule(
    "FEED-ACCESS-003",
    "Ce professionnel ou cette structure n'est pas dans votre habilitation.",
    "This professional or structure is not in your grant.",
    "Demandez ce qui vous est confié.",
    "Ask for what is entrusted to you.",
    "users 1.3",
)
NO_WRITING = rule(
    "FEED-ACCESS-004",
    "Ce rôle ne peut pas entrer ces chiffres.",
    "This role may not enter these numbers.",
    "Les chiffres d'un payeur sont entrés par lui ; ceux d'un logiciel ou d'une structure, par eux.",
    "A payer's numbers are entered by the payer; those of a program or a structure, by them.",
    "incentives 6.4",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One way of looking at the feeds."""

    name: str
    label: Text
    lines: bool  #: sees lines, pseudonymised
    named: bool  #: sees figures of one professional
    audits: bool  #: states purpose and legal basis; each query is an entry of the ledger
    origins: frozenset[str]  #: whose numbers it may enter

    @property
    def suppressed(self) -> bool:
        """Small cells of crossed counts are withheld."""
        return self.audits


_OWN: Final = frozenset(["lgo", "declared", "structure"])
_PAYER: Final = frozenset(["cnam", "ars", "atih", "declared"])


def _role(name: str, fr: str, en: str, *, sees: str, audits: bool, origins: frozenset[str]) -> Role:
    return Role(
        name=name,
        label=Text(fr, en),
        lines="lines" in sees,
        named="persons" in sees,
        audits=audits,
        origins=origins,
    )


ROLES: Final[Mapping[str, Role]] = {
    one.name: one
    for one in (
        _role(
            "professional",
            "Professionnel",
            "Professional",
            sees="lines persons",
            audits=False,
            origins=frozenset(["declared"]),
        ),
        _role("structure", "Structure", "Structure", sees="lines persons", audits=False, origins=_OWN),
        _role("vendor", "Éditeur", "Vendor", sees="lines persons", audits=False, origins=_OWN),
        _role("fund", "Caisse", "Fund", sees="lines persons", audits=True, origins=_PAYER),
        _role("ars", "Agence régionale", "Regional agency", sees="lines persons", audits=True, origins=_PAYER),
        # Aggregates first; lines only on a motivated case, which is a fund's (incentives note, 7).
        _role("national", "National", "National", sees="", audits=True, origins=_PAYER),
        _role(
            "dpo",
            "Délégué à la protection des données",
            "Data protection officer",
            sees="lines persons",
            audits=True,
            origins=frozenset(),
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Somebody who looks at the feeds, what they may see, and why they look."""

    role: Role
    who: str  #: client or account
    tenants: tuple[str, ...] | None  #: whose ledgers; None means all
    professionals: tuple[str, ...] | None = None  #: only these persons' lines (RPPS)
    structures: tuple[str, ...] | None = None  #: only these sites' lines (FINESS)
    purpose: str = ""
    legal_basis: str = ""
    accreditation: str | None = None

    @property
    def pseudonym_purpose(self) -> str:
        """What patients' pseudonyms are made for: lists for one purpose can be joined, others cannot."""
        if self.role.audits:
            return " ".join(self.purpose.casefold().split())
        return f"{self.role.name}/{self.who}"

    def may_see_lines(self) -> None:
        """Raise :class:`Forbidden` for a role that sees counts only."""
        if not self.role.lines:
            raise Forbidden([NO_LINES.finding("")], slug="lines-not-granted")

    def check_subject(self, by: str, identifier: str) -> None:
        """Raise :class:`Forbidden` for a professional or a structure outside the grant."""
        if by == "rpps":
            if not self.role.named:
                raise Forbidden([NO_LINES.finding("professional")], slug="lines-not-granted")
            granted = self.professionals
        else:
            # A person sees figures of their own; those of a structure hold others' too.
            granted = () if self.professionals is not None else self.structures
        if granted is not None and identifier not in granted:
            raise Forbidden([OUTSIDE.finding("professional" if by == "rpps" else "structure")], slug="not-granted")

    def may_enter(self, origin: str) -> None:
        """Raise :class:`Forbidden` when this role may not enter numbers of that origin."""
        if origin not in self.role.origins:
            expected = ", ".join(sorted(self.role.origins)) or "-"
            raise Forbidden([NO_WRITING.finding("origin", expected=expected)], slug="origin-not-granted")


def _stated(value: object) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text if 3 <= len(text) <= 200 and text.isprintable() else ""


def audience_of(
    client: Client,
    scopes: frozenset[str],
    tenants: Sequence[str],
    actors: Sequence[str] | None,
    *,
    purpose: str | None = None,
    legal_basis: str | None = None,
    accreditation: str | None = None,
) -> Audience:
    """What a client may see of the feeds, and why it looks; raises :class:`Forbidden` when an auditor says no reason.

    A client without a role is a fund's when its token audits, else a vendor's. What its grant states as its standing
    purpose, legal basis and accreditation serves when the request states none.
    """
    role = ROLES[client.role or ("fund" if "feeds:audit" in scopes else "vendor")]
    terms = client.terms
    why = _stated(purpose) or _stated(terms.get("purpose"))
    basis = _stated(legal_basis) or _stated(terms.get("legalBasis"))
    if role.audits:
        lacking = [name for name, said in (("Passerelle-Purpose", why), ("Passerelle-Legal-Basis", basis)) if not said]
        if lacking:
            raise Forbidden([NO_PURPOSE.finding(name) for name in lacking], slug="purpose-required")
    own = None
    if role.name == "professional":
        own = tuple(filter(None, (rpps(actor) for actor in actors or ())))
    return Audience(
        role=role,
        who=client.id,
        tenants=None if terms.get("allTenants") else tuple(tenants),
        professionals=own,
        structures=tuple(terms["structures"]) if terms.get("structures") else None,
        purpose=why,
        legal_basis=basis,
        accreditation=_stated(accreditation) or terms.get("accreditation"),
    )


def narrowed(audience: Audience, where: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Filters of a caller, narrowed to the grant; raises :class:`Forbidden` for what is asked outside of it."""
    out: dict[str, Sequence[str]] = dict(where)
    if not audience.role.named and "professional" in out:
        raise Forbidden([NO_LINES.finding("professional")], slug="lines-not-granted")
    granted_by = (
        ("professional", audience.professionals),
        ("structure", audience.structures),
        ("tenant", audience.tenants),
    )
    for name, granted in granted_by:
        asked = out.get(name)
        if granted is None or (asked is None and name == "tenant"):
            continue
        if asked is not None and not set(asked) <= set(granted):
            raise Forbidden([OUTSIDE.finding(name)], slug="not-granted")
        out[name] = list(asked or granted)
    return out


def said_of(audience: Audience) -> dict[str, Any]:
    """The audience as manifests and answers state it."""
    return {
        "role": audience.role.name,
        "who": audience.who,
        "purpose": audience.purpose or None,
        "legalBasis": audience.legal_basis or None,
        "accreditation": audience.accreditation,
    }
