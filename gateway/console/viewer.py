"""Who is signed in to the console, and how that becomes an audience of the feeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.services.feeds_roles import ROLES as FEED_ROLES
from gateway.services.feeds_roles import Audience

__all__ = ["OPERATOR", "ROLES", "Viewer"]

#: Who runs the gateway: sees what is stuck and whether services answer, and no count, which it has to keep.
OPERATOR: Final = "operator"
#: Roles and their names on the page: those of the feeds, and the operator.
ROLES: Final = {**{name: role.label.fr for name, role in FEED_ROLES.items()}, OPERATOR: "Exploitant"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """One person signed in."""

    id: str  #: account, or identifier given by the provider; what the ledger names
    name: str
    role: str  #: a key of ``ROLES``
    rpps: str | None = None
    finess: str | None = None
    tenants: tuple[str, ...] | None = None  #: ledgers they may read; None means all
    accreditation: str | None = None

    @property
    def audits(self) -> bool:
        """True when every query is recorded and a purpose is asked for."""
        return self.sees_counts and FEED_ROLES[self.role].audits

    @property
    def sees_counts(self) -> bool:
        """True when counts may be shown."""
        return self.role in FEED_ROLES

    @property
    def sees_lines(self) -> bool:
        """True when single lines, and figures of one person, may be shown."""
        return self.sees_counts and FEED_ROLES[self.role].lines

    @property
    def own_only(self) -> bool:
        """True for somebody who sees their own lines and nothing else."""
        return self.role in ("professional", "structure")

    def audience(self, *, purpose: str = "", legal_basis: str = "") -> Audience:
        """What this person may see of the feeds; raises ``KeyError`` for the operator, who sees none."""
        return Audience(
            role=FEED_ROLES[self.role],
            who=self.id,
            tenants=self.tenants,
            professionals=(self.rpps or "",) if self.role == "professional" else None,
            structures=(self.finess or "",) if self.role == "structure" else None,
            purpose=purpose,
            legal_basis=legal_basis,
            accreditation=self.accreditation,
        )
