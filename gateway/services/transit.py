"""A converted document on its way back from the process that made it: a large file travels once, not once a form.

Model, CDA and FHIR each hold the printed form in base64. Between processes each byte is copied several times over, and
memory taken anew for it; a report of 3.5 MB would travel as 18.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pybase64

from conformance.verdict import Finding
from gateway.pieces import cut
from gateway.problems import Invalid, Unreadable
from gateway.services import intake
from gateway.services.envelope import Envelope, split_json
from gateway.services.intake import Form, Intake, IntakeOptions, Values

__all__ = ["Parcel", "Unopened", "convert", "open_and_convert", "open_parcel"]

#: Bytes of a file below which looking for it costs more than it saves.
_LARGE = 8 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Unopened:
    """A request that is not in our JSON, or says beside its document what it may not."""

    faults: tuple[Finding, ...]
    unreadable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """An intake whose forms were cut where they hold the file."""

    intake: Intake
    model: tuple[bytes, ...]
    cda: tuple[bytes, ...]
    fhir: tuple[bytes, ...]


def convert(body: bytes, form: Form, options: IntakeOptions) -> Intake | Parcel:
    """Convert as :func:`gateway.services.intake.convert` does; a large result comes packed."""
    return _packed(intake.convert(body, form, options))


def open_and_convert(body: bytes, limit: int, options: IntakeOptions) -> tuple[Envelope, Intake | Parcel] | Unopened:
    """Read a request in our JSON, once, and convert its document; what is said beside it comes too.

    ``options`` but for the loss the request accepts. Raises :class:`gateway.services.intake.IntakeRefused`.
    """
    try:
        value, form, envelope = split_json(body, limit)
    except (Invalid, Unreadable) as refused:
        return Unopened(faults=refused.faults, unreadable=isinstance(refused, Unreadable))
    said = Envelope() if envelope is None else envelope
    values = Values(value=value, size=len(body))
    return said, _packed(intake.convert(values, form, replace(options, allow_loss=said.allow_loss)))


def _packed(made: Intake) -> Intake | Parcel:
    if made.pdf is None or len(made.pdf) < _LARGE:
        return made
    text = pybase64.b64encode(made.pdf)
    return Parcel(
        intake=replace(made, model=b"", cda=b"", fhir=b""),
        model=cut(made.model, text),
        cda=cut(made.cda, text),
        fhir=cut(made.fhir, text),
    )


def open_parcel(parcel: Intake | Parcel) -> Intake:
    """The intake, whole."""
    if isinstance(parcel, Intake):
        return parcel
    text = pybase64.b64encode(parcel.intake.pdf or b"")
    return replace(parcel.intake, model=text.join(parcel.model), cda=text.join(parcel.cda), fhir=text.join(parcel.fhir))
