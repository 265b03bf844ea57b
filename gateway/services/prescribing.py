"""Writing a prescription: its number, its printed code, its order; and what the national service is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import orjson

from conformance.verdict import Finding
from gateway.orders.code import SignedCode, write_code
from gateway.orders.life import order_of
from gateway.problems import rule
from gateway.services.intake import IntakeOptions, IntakeRefused, read_document
from gateway.services.order_store import SHARED
from gateway.vault import Vault
from mappings import document as hub
from mappings.document.people import Identifier
from mappings.document.prescription import Prescription

__all__ = ["Draft", "code_text", "number_it", "read_prescription", "registration"]

NOT_PRESCRIPTION = rule(
    "ORD-061",
    "Ce document n'est pas une prescription.",
    "This document is not a prescription.",
    "Envoyez une prescription ici, et les autres documents à /v1/documents.",
    "Send a prescription here, and other documents to /v1/documents.",
)
NO_INS = rule(
    "ORD-060",
    "Une e-prescription demande l'INS du patient.",
    "An e-prescription needs the patient's INS.",
    "Récupérez l'INS, puis recommencez ; sinon envoyez la prescription à /v1/documents, sans numéro.",
    "Retrieve the INS, then try again; else send the prescription to /v1/documents, without a number.",
)

#: Lines that bring no id get one made of the document's, so that the same document always has the same.
_LINES = UUID("8d0a4b1e-6f0f-5d53-9f0b-6d5d1f0b2c11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A prescription read, before its number."""

    model: bytes
    number: str | None
    whole: bool  #: it may leave as it came: number and line ids are in it
    loss: dict[str, Any]
    warnings: tuple[Finding, ...]


def read_prescription(body: bytes, form: Any, options: IntakeOptions, fresh: str) -> Draft:
    """Read what a prescriber sends, and give each line its id; raises :class:`IntakeRefused`."""
    document, loss, warnings = read_document(body, form, options)
    if not isinstance(document, Prescription):
        raise IntakeRefused([NOT_PRESCRIPTION.finding("/kind")])
    if document.patient.ins is None:
        raise IntakeRefused([NO_INS.finding("/patient/ins")])
    whole = document.number is not None and document.id is not None and all(line.id for line in document.lines)
    if document.id is None:
        document = document.model_copy(update={"id": Identifier(root=fresh)})
    lines = tuple(
        line if line.id else line.model_copy(update={"id": uuid5(_LINES, f"{document.id}#{rank}")})
        for rank, line in enumerate(document.lines)
    )
    document = document.model_copy(update={"lines": lines})
    return Draft(
        model=document.model_dump_json(exclude_none=True).encode(),
        number=document.number,
        whole=whole,
        loss=loss.as_json(),
        warnings=tuple(warnings),
    )


def code_text(vault: Vault, document: Prescription, number: str, serial: str) -> str:
    """The text of the signed 2D code of a prescription."""
    order = order_of(document)
    code = SignedCode(
        number=number,
        issued_on=order.issued_at.date(),
        last_day=order.valid_until.date() if order.valid_until else None,
        serial=serial,
    )
    return write_code(code, vault.key(SHARED, "code"))


def number_it(model: bytes, number: str, code: str | None, version: dict[str, Any]) -> bytes:
    """The prescription with its number, its printed code and, when it replaces another, its place in the lineage."""
    document = hub.load(orjson.loads(model))
    if not isinstance(document, Prescription):
        raise TypeError("only a prescription is numbered")
    changes: dict[str, Any] = {"number": number}
    if code is not None and document.code_image is None and document.pdf is None:
        from mappings.rendering.codes import png

        changes["code_image"] = png(code)
    value = document.model_copy(update=changes).model_dump(mode="json", exclude_none=True, by_alias=True)
    value.update(version)
    return orjson.dumps(value)


def registration(document: Prescription, number: str, replaces: str | None) -> dict[str, Any]:
    """What the national service is told of a new prescription."""
    order = order_of(document)
    light = document.model_copy(update={"pdf": None, "code_image": None})
    body: dict[str, Any] = {
        "number": number,
        "ins": document.patient.ins.model_dump(mode="json") if document.patient.ins else {},
        "issuedAt": order.issued_at.isoformat(),
        "lines": [
            {
                "line": line.id,
                "quantity": str(line.quantity) if line.quantity is not None else None,
                "renewals": line.renewals,
            }
            for line in order.lines
        ],
        "prescription": light.model_dump(mode="json", exclude_none=True, by_alias=True),
    }
    if order.valid_until is not None:
        body["validUntil"] = order.valid_until.isoformat()
    if replaces is not None:
        body["replaces"] = replaces
    return body
