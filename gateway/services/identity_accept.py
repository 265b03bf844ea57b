"""A person accepts what INSi answers about a patient whose documents wait (ins-identity.md 4, attended calls).

INSi is asked again at that moment, and must name the number the person saw. An equivalence is accepted on confirmation;
an answer to be reviewed only with a proof checked anew and a reason, which is kept; another person's never.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from adapters.insi.outcomes import Kind
from conformance.identity.status import Event, Refusal, StatusError
from gateway import identities
from gateway.context import Gateway
from gateway.identities import Identity
from gateway.journey.tally import tally_identity
from gateway.problems import Busy, Conflict, Invalid, rule
from gateway.services import identity as service
from gateway.services.identity_lookup import Lookup
from gateway.tenants import Tenant
from gateway.traits import strict_traits

if TYPE_CHECKING:
    from adapters.insi.client import SearchResult
    from adapters.insi.messages import Individual

__all__ = ["Acceptance", "accept"]

NOT_FOUND = rule(
    "API-IDT-013",
    "L'INSi ne donne pas une et une seule personne.",
    "INSi does not give one and only one person.",
    "Vérifiez les traits avec le patient ; sans réponse, l'identité reste à qualifier.",
    "Check the traits with the patient; without an answer the identity remains to be qualified.",
)
OTHER_PERSON = rule(
    "API-IDT-014",
    "L'INSi donne une autre personne : rien n'en est gardé.",
    "INSi gives another person: nothing of the answer is kept.",
    "Vérifiez les traits avec une pièce d'identité, ou signalez un doute (SET_DOUTEUX).",
    "Check the traits against a proof of identity, or report a doubt (SET_DOUTEUX).",
)
NUMBER_SEEN = rule(
    "API-IDT-015",
    "Le numéro accepté n'est pas celui que donne l'INSi.",
    "The number accepted is not the one INSi gives.",
    "Montrez la réponse de l'INSi (POST /v1/identities/search) et renvoyez le matricule qu'elle porte.",
    "Show INSi's answer (POST /v1/identities/search) and send the matricule it holds.",
)
REVIEW = rule(
    "API-IDT-016",
    "Cette réponse demande un nouveau contrôle de la pièce d'identité et un motif.",
    "This answer needs the proof of identity checked anew, and a reason.",
    "Contrôlez la pièce d'identité, puis donnez proof et reason.",
    "Check the proof of identity, then give proof and reason.",
)
COLLISION = rule(
    "API-IDT-017",
    "L'INSi donne un autre numéro que celui de ce dossier, qu'il ne connaît pas comme ancien numéro.",
    "INSi gives another number than this file's, and does not know that one as a former number.",
    "Ne fusionnez rien : faites examiner le dossier par la cellule d'identitovigilance.",
    "Merge nothing: have the file examined by whoever watches over identities.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What the person says."""

    matricule: str  #: the number they saw
    proof: str | None
    reason: str | None
    by: str


async def accept(
    gateway: Gateway, lookup: Lookup, tenant: Tenant, identity_id: str, said: Acceptance
) -> tuple[Identity, int]:
    """Ask INSi and apply its answer; the identity, and how many deliveries it let go.

    Raises :class:`StatusError` for an identity that is locked, :class:`Conflict`, :class:`Invalid`, or :class:`Busy`
    while INSi does not answer; ``NotConfigured`` without INSi.
    """
    held = await gateway.store.read(lambda c: identities.load(c, gateway.vault, identity_id))
    if service.state_of(held.patient).locked:
        raise StatusError(Refusal.INSI_CALL_FORBIDDEN)
    traits = strict_traits(held.patient)
    result = await lookup.person(tenant, traits, ())
    person = _judged(result, held, said)

    def work(connection: Connection) -> tuple[Identity, int]:
        now = gateway.now()
        identity = identities.load(connection, gateway.vault, identity_id)
        if strict_traits(identity.patient) != traits:
            # Changed while INSi was asked: the answer is about somebody else's traits.
            raise Conflict([OTHER_PERSON.finding("/event")], slug="identity-changed")
        found = service.found_of(person)
        decided = replace(identity, decisions=(*identity.decisions, _decision(result, traits.as_dict(), said, now)))
        changed = service.apply(connection, gateway.vault, decided, Event.INSI_FOUND_ACCEPTED, now=now, found=found)
        if said.proof is not None:
            changed = service.apply(
                connection, gateway.vault, changed, Event.PROOF_HIGH_CHECKED, now=now, proof=said.proof
            )
        tally_identity(
            connection,
            gateway.vault,
            changed,
            kind="ins.check",
            state="verified" if identity.patient.ins else "retrieved",
            operation=f"{identity.id}/accepted/{identity.version}",
            now=now,
        )
        return changed, service.release(connection, gateway.vault, changed, now=now, by=said.by)

    return await gateway.store.write(work)


def _judged(result: SearchResult, held: Identity, said: Acceptance) -> Individual:
    """The person INSi names, when a human may accept them; raises otherwise."""
    outcome, person, comparison = result.outcome, result.individual, result.comparison
    if outcome.kind in (Kind.RETRY, Kind.OPERATOR):
        raise Busy([NOT_FOUND.finding("/event", found=outcome.code)], slug="insi-unavailable")
    if person is None or comparison is None:
        raise Conflict([NOT_FOUND.finding("/event", found=outcome.code)], slug="insi-not-found")
    if comparison.attended == "refuse":
        reasons = ", ".join(comparison.reasons)
        raise Conflict([OTHER_PERSON.finding("/event", found=reasons)], slug="insi-other-person")
    if person.active.value != said.matricule.upper():
        raise Conflict([NUMBER_SEEN.finding("/matricule")], slug="insi-other-number")
    if service.collides(held.patient, service.found_of(person), person):
        raise Conflict([COLLISION.finding("/event")], slug="insi-collision")
    if comparison.attended == "recheck_proof" and not (said.proof and said.reason):
        missing = [name for name in ("proof", "reason") if not getattr(said, name)]
        raise Invalid([REVIEW.finding(f"/{name}", found=", ".join(comparison.reasons)) for name in missing])
    return person


def _decision(result: SearchResult, local: dict[str, Any], said: Acceptance, now: Any) -> dict[str, Any]:
    comparison = result.comparison
    return {
        "at": now.isoformat(),
        "by": said.by,
        "verdict": comparison.verdict if comparison is not None else "",
        "reasons": list(comparison.reasons) if comparison is not None else [],
        "reason": said.reason,
        "local": local,
    }
