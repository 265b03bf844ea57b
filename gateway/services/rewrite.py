"""Writing a kept document anew once its patient's identity is qualified: the same content, with the INS."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from mappings import cda, fhir
from mappings import document as hub
from mappings.document.people import Patient

__all__ = ["Rewritten", "carries", "rewrite"]

#: What an INSi answer settles; the rest of the patient (address, telephone, guardian) stays as the document has it.
_SETTLED = (
    "ins",
    "status",
    "attributes",
    "ins_checked_on",
    "proof",
    "birth_name",
    "first_given_name",
    "given_names",
    "sex",
    "birth_date",
    "birth_place",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """A document with the patient's qualified identity."""

    model: bytes
    cda: bytes
    fhir: bytes


def carries(cda: bytes, patient: Patient) -> bool:
    """True when a CDA already holds the INS in force: one that INSi replaced since is not to be sent any more."""
    return patient.ins is not None and patient.ins.value.encode() in cda


def rewrite(model: bytes, patient: bytes, pdf: bytes | None) -> Rewritten:
    """Write a document anew with the identity given (both as JSON); ids, dates and content stay the same."""
    document = hub.load(orjson.loads(model))
    identity = Patient.model_validate(orjson.loads(patient))
    merged = document.patient.model_copy(update={name: getattr(identity, name) for name in _SETTLED})
    changed = document.model_copy(update={"patient": merged})
    return Rewritten(
        model=changed.model_dump_json(exclude_none=True).encode(),
        cda=cda.write(changed, pdf=pdf).data,
        fhir=orjson.dumps(fhir.write(changed).bundle),
    )
