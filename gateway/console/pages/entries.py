"""Where does this line come from? One entry, its history, its receipts, its proof, and the proof worked out again."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from gateway.console.asking import ask
from gateway.console.proof import prove, recompute
from gateway.console.web import Refusal, Route, page_of
from gateway.problems import NotFound
from gateway.services.feeds import history_for, key_of
from gateway.services.feeds_proofs import public_keys, signing_key

__all__ = ["router"]

router = APIRouter(prefix="/console/entries", include_in_schema=False, route_class=Route)

#: Fields of an entry in the order they are read, with what they are called.
FIELDS: Final = (
    ("day", "Jour"),
    ("kind", "Service"),
    ("state", "Issue"),
    ("reason", "Motif"),
    ("attempt", "Tentative"),
    ("occurred_at", "Acte"),
    ("submitted_at", "Envoi"),
    ("accepted_at", "Réponse du service"),
    ("recorded_at", "Inscription"),
    ("actor_rpps", "Professionnel"),
    ("actor_profession", "Profession"),
    ("actor_role", "Agit comme"),
    ("on_behalf_of_rpps", "Pour le compte de"),
    ("co_authors_rpps", "Autres auteurs"),
    ("structure_finess", "Structure"),
    ("legal_finess", "FINESS juridique"),
    ("patient", "Patient (pseudonyme)"),
    ("ins_status", "Statut de l'INS"),
    ("test", "Essai"),
    ("care_mode", "Mode de prise en charge"),
    ("care_place", "Lieu de prise en charge"),
    ("doc_type", "Type de document"),
    ("doc_format", "Format"),
    ("version_no", "Version"),
    ("recipient_class", "Destinataire"),
    ("recipients", "Destinataires"),
    ("target_receipt", "Accusé du service"),
    ("software_id", "Logiciel"),
    ("software_version", "Version du logiciel"),
)


@router.get("/{entry}")
async def entry(request: Request, entry: str) -> Response:
    """One entry; with ``verify``, every hash up to the signed head is computed again on the server."""
    page = await page_of(request, lambda who: who.sees_lines)
    verify = page.one("verify") == "1"
    key = signing_key(page.gateway.settings).public_key()

    def read(connection: Connection) -> dict[str, Any] | None:
        try:
            lines = history_for(connection, page.audience, entry, keys=key_of(page.gateway.vault))
        except NotFound:
            return None
        own = next(one for one in lines if one["entry_id"] == entry)
        proof = prove(connection, own["tenant"], entry)
        keys = [key, *public_keys(connection)]
        checked = recompute(connection, entry, proof, keys) if verify and proof is not None else None
        return {"own": own, "lines": lines, "proof": proof, "checked": checked}

    found = await ask(page, read, scope={"entry": entry[:64]}, rows=lambda value: len(value["lines"]) if value else 0)
    if found is None:
        raise Refusal(
            404,
            "Cette ligne n'existe pas pour vous.",
            "Son identifiant est fait de 64 chiffres hexadécimaux ; elle est peut-être hors de votre habilitation.",
        )
    return page.render("entry.html", entry=entry, fields=FIELDS, details=found["own"].get("details"), **found)
