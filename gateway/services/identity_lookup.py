"""INSi asked at once for a caller: a search by traits, a verification of identities held. Nothing is kept."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from conformance.identity.traits import Traits
from gateway.neighbours import Neighbours
from gateway.settings import Settings
from gateway.tenants import Tenant

if TYPE_CHECKING:
    from adapters.dmp.actor import Actor
    from adapters.insi.assertions import Caller
    from adapters.insi.client import SearchResult
    from adapters.insi.outcomes import Outcome
    from adapters.insi.verification import Claim

__all__ = ["Lookup", "caller_of", "claim_of", "shown", "traits_of"]

_TRAITS = {
    "birthName": "birth_name",
    "firstGivenName": "first_given_name",
    "givenNames": "given_names",
    "sex": "sex",
    "birthDate": "birth_date",
    "birthPlace": "birth_place",
}


def traits_of(value: Mapping[str, Any]) -> Traits:
    """The strict traits of a camelCase object; raises ``TypeError`` on a value that is no text."""
    return Traits.of({ours: value.get(theirs) for theirs, ours in _TRAITS.items()})


def claim_of(value: Mapping[str, Any], reference: str) -> Claim:
    """An identity to verify: ``ins`` (value, authority) and traits; raises ``ValueError`` or ``TypeError``."""
    from adapters.insi.verification import Claim
    from conformance.identifiers import Matricule
    from conformance.identity.history import InsNumber

    ins = value.get("ins")
    if not isinstance(ins, Mapping):
        raise TypeError("ins: expected an object")
    matricule = Matricule.parse(str(ins.get("value", "")), wrong_key=True)
    return Claim(
        number=InsNumber(value=matricule.value, oid=str(ins.get("authority", ""))),
        traits=traits_of(value),
        reference=reference,
    )


def _outcome(outcome: Outcome, language: str) -> dict[str, Any]:
    return {
        "outcome": str(outcome.kind),
        "code": outcome.code,
        "originalCode": outcome.original_code,
        "cause": outcome.cause.in_language(language),
        "fix": outcome.fix.in_language(language),
    }


def shown(result: SearchResult, language: str) -> dict[str, Any]:
    """A search as callers read it: the person found only when the answer stands, with what may be done."""
    out: dict[str, Any] = {**_outcome(result.outcome, language), "calls": len(result.calls)}
    if result.faults:
        ours = {name: theirs for theirs, name in _TRAITS.items()}
        out["faults"] = [{"location": f"/{ours[name]}", "code": code} for name, code in result.faults.items()]
    person, comparison = result.individual, result.comparison
    if person is not None and comparison is not None:
        traits = person.traits.as_dict()
        out["comparison"] = {
            "verdict": comparison.verdict,
            "reasons": list(comparison.reasons),
            "attended": comparison.attended,
            "unattended": comparison.unattended,
        }
        # NO_MATCH is somebody else: nothing of that person is shown, nor may be kept.
        if comparison.verdict != "NO_MATCH":
            out["ins"] = {"value": person.active.value, "authority": person.active.oid}
            out["history"] = [
                {"value": h.value, "authority": h.oid, "start": h.start, "end": h.end} for h in person.history
            ]
            out["traits"] = {theirs: traits[ours] for theirs, ours in _TRAITS.items()}
    return out


def caller_of(actor: Actor, tenant: Tenant) -> Caller:
    """The professional as INSi is told of them; the billing number is the structure's, or its FINESS or SIRET."""
    from adapters.insi.assertions import Caller

    billing = str(tenant.references.get("billingId") or actor.structure_id[1:])
    return Caller(
        name_id=actor.id,
        billing_id=billing,
        sector=actor.sector,
        specialty=actor.specialty.code if actor.specialty else "",
    )


class Lookup:
    """INSi for each structure, opened on first use; raises ``NotConfigured`` when the settings name none."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._neighbours = Neighbours(settings, clock)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._neighbours.close()

    async def search(
        self,
        tenant: Tenant,
        traits: Traits,
        attributes: Iterable[str],
        language: str,
        *,
        asker: Actor | None = None,
        token: str = "",
    ) -> dict[str, Any]:
        """Look one person up, as :meth:`person` does; as callers read it."""
        return shown(await self.person(tenant, traits, attributes, asker=asker, token=token), language)

    async def person(
        self,
        tenant: Tenant,
        traits: Traits,
        attributes: Iterable[str],
        *,
        asker: Actor | None = None,
        token: str = "",
    ) -> SearchResult:
        """Look one person up, in the name of the structure, or of a professional (``asker``) proven by a token."""
        if asker is None:
            return await self._neighbours.insi(tenant).search(traits, attributes=attributes)
        who = asker
        client = self._neighbours.insi_psc(tenant)

        def fresh() -> list[Any]:
            from adapters.insi.assertions import psc_assertion

            return [
                psc_assertion(
                    caller_of(who, tenant),
                    self._settings.psc.issuer,
                    assertion_id=f"_{uuid.uuid4()}",
                    at=self._clock(),
                )
            ]

        bearer = token if self._settings.insi.psc_token == "bearer" else ""  # noqa: S105 - the name of a way
        return await client.search(traits, attributes=attributes, assertions=fresh, bearer=bearer)

    async def verify(self, tenant: Tenant, claims: Iterable[Claim], language: str) -> list[dict[str, Any]]:
        """Verify identities held, in lots; answers carry the caller's references and no trait."""
        return [
            {"reference": result.reference, **_outcome(result.outcome, language)}
            async for result in self._neighbours.insi(tenant).verify_all(claims)
        ]
