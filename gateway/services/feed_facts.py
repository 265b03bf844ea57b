"""What the ledger says of a document beside its codes: read once from the document itself, when it comes in. Pure.

The digest finds the same content sent again under another number: it leaves out what changes at every sending
(identifiers, versions, dates of writing, visibility) and the patient, whom the ledger knows by a commitment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import orjson

__all__ = ["care_mode", "facts_of", "rpps"]

#: Members of the hub model that change at every sending, or that say who rather than what (incentives note, 6.1).
VOLATILE: Final = (
    "id",
    "setId",
    "versionNumber",
    "replaces",
    "createdAt",
    "visibility",
    "confidentiality",
    "patient",
    "legalAuthenticator",
    "authenticators",
    "dataEnterer",
    "custodian",
    "recipients",
    "schemaVersion",
    # The printed form of structured content carries its own date of printing.
    "pdf",
)

#: Encounters (JDV_J142) during which patient and professional are in one place. ``VR`` says that they are not, and not
#: whether it was a téléconsultation or a meeting of professionals: the calling software has to say which.
_TOGETHER: Final = frozenset("AMB IMP EMER HH FLD EXTERNE SEANCE".split())
#: What the ledger takes (:mod:`gateway.feeds.entry`): a document of others may hold anything.
_PERSON: Final = re.compile(r"[0-9A-Z]{8,14}")
_CODE: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:/^|+-]{0,127}")


def rpps(identifier: str | None) -> str | None:
    """The RPPS of a PS_IdNat (``8`` and 11 digits); another national number as it is; None for what is neither."""
    if not identifier or _PERSON.fullmatch(identifier) is None:
        return None
    return identifier[1:] if len(identifier) == 12 and identifier.startswith("8") else identifier


def care_mode(encounter: str | None) -> str | None:
    """``presentiel`` for an encounter face to face; None when the code does not tell."""
    return "presentiel" if encounter in _TOGETHER else None


def _without_times(author: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in author.items() if name != "time"}


def facts_of(document: Any, model: bytes) -> dict[str, Any]:
    """The facts of a hub document; ``model`` is its JSON.

    ``digest`` is a plain SHA-256, never kept: whoever keeps it keys it first. ``encounter`` is the visit's or stay's
    own identifier, kept as a commitment only.
    """
    tree = orjson.loads(model)
    content = {name: value for name, value in tree.items() if name not in VOLATILE}
    content["authors"] = [_without_times(author) for author in tree["authors"]]
    people = [author.professional for author in document.authors if author.professional is not None]
    legal = document.legal_authenticator
    stay, place = document.encounter.id, document.encounter.facility.code
    reference = None if stay is None else f"{stay.root}|{stay.extension or ''}"
    if reference is None and document.kind == "dispensation":
        # A dispensation is its own visit: the measures of pharmacies count dispensations.
        own = document.set_id or document.id
        reference = f"{own.root}|{own.extension or ''}"
    return {
        "digest": sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        "encounter": reference,
        "care_mode": care_mode(document.encounter.code.code if document.encounter.code else None),
        "care_place": place if _CODE.fullmatch(place) else None,
        "doc_format": _format(document),
        "authors": list(dict.fromkeys(filter(None, (rpps(one.id.extension or one.id.root) for one in people)))),
        "legal_author": rpps(legal.professional.id.extension or legal.professional.id.root) if legal else None,
    }


def _format(document: Any) -> str:
    """``pdf``, ``text`` or ``structured``: what a reader's software can make of the content."""
    if document.kind == "report":
        return "pdf" if document.media_type == "application/pdf" else "text"
    media_type = getattr(document, "media_type", None)
    if media_type:
        return "pdf" if media_type == "application/pdf" else "text"
    return "structured"
