"""A converted document on its way back from the process that made it: a large file travels once, not once a form.

Model, CDA and FHIR each hold the printed form in base64. Between processes each byte is copied several times over; a
report of 3.5 MB would travel as 18.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace

from gateway.services import intake
from gateway.services.intake import Form, Intake, IntakeOptions

__all__ = ["Parcel", "convert", "open_parcel"]

#: Bytes of a file below which looking for it costs more than it saves.
_LARGE = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """An intake whose forms were cut where they hold the file."""

    intake: Intake
    model: tuple[bytes, ...]
    cda: tuple[bytes, ...]
    fhir: tuple[bytes, ...]


def convert(body: bytes, form: Form, options: IntakeOptions) -> Intake | Parcel:
    """Convert as :func:`gateway.services.intake.convert` does; a large result comes packed."""
    made = intake.convert(body, form, options)
    if made.pdf is None or len(made.pdf) < _LARGE:
        return made
    text = base64.b64encode(made.pdf)
    return Parcel(
        intake=replace(made, model=b"", cda=b"", fhir=b""),
        model=tuple(made.model.split(text)),
        cda=tuple(made.cda.split(text)),
        fhir=tuple(made.fhir.split(text)),
    )


def open_parcel(parcel: Intake | Parcel) -> Intake:
    """The intake, whole."""
    if isinstance(parcel, Intake):
        return parcel
    text = base64.b64encode(parcel.intake.pdf or b"")
    return replace(parcel.intake, model=text.join(parcel.model), cda=text.join(parcel.cda), fhir=text.join(parcel.fhir))
