"""What became of a call to the DMP, in one vocabulary: every error code, fault, status and broken connection.

One table, :data:`adapters.dmp.outcome_table.TABLE`: a row a layer and code. What the DMP said is kept beside it, code
and text, since the homologation asks that both reach the user. The whole list of DMP codes is an annex of SEL-MP-037:
an unknown code is refused and shown as it came.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from adapters.dmp.outcome_table import TABLE, UNKNOWN, Kind, Layer, Row
from conformance.verdict import Text

__all__ = ["TABLE", "Kind", "Layer", "Outcome", "Row", "accepted", "outcome"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one call."""

    kind: Kind
    code: str  #: ours, stable: ``DMP-<LAYER>-<code>``
    cause: Text
    fix: Text
    original_code: str = ""  #: as it came
    #: as it came; may quote the patient, so it is shown to the user and never logged
    original_text: str = field(default="", repr=False)
    location: str = field(default="", repr=False)
    http_status: int | None = None
    retry_after: int | None = None  #: seconds
    warnings: tuple[str, ...] = field(default=(), repr=False)

    @property
    def ok(self) -> bool:
        """True when the call was done."""
        return self.kind is Kind.ACCEPTED


def outcome(
    layer: Layer,
    code: str,
    *,
    text: str = "",
    original_code: str | None = None,
    location: str = "",
    http_status: int | None = None,
    retry_after: int | None = None,
) -> Outcome:
    """Give the outcome of a code. ``original_code`` is what came on the wire when the row is of a wider kind."""
    row = TABLE.get((layer, code)) or UNKNOWN[layer]
    return Outcome(
        kind=row.kind,
        code=f"DMP-{layer.value.upper()}-{code or 'unknown'}",
        cause=row.cause,
        fix=row.fix,
        original_code=code if original_code is None else original_code,
        original_text=text,
        location=location,
        http_status=http_status,
        retry_after=retry_after,
    )


_ACCEPTED: Final = Outcome(
    kind=Kind.ACCEPTED, code="DMP-ACCEPTED", cause=Text("Le DMP a accepté.", "The DMP accepted."), fix=Text("", "")
)


def accepted(
    *, original_code: str = "", text: str = "", http_status: int | None = None, warnings: tuple[str, ...] = ()
) -> Outcome:
    """Give the outcome of a success; warnings are kept."""
    return replace(
        _ACCEPTED, original_code=original_code, original_text=text, http_status=http_status, warnings=warnings
    )


def http_outcome(status: int, *, text: str = "", retry_after: int | None = None) -> Outcome:
    """Give the outcome of an HTTP status without a SOAP message."""
    code = str(status) if (Layer.HTTP, str(status)) in TABLE else f"{status // 100}xx"
    return outcome(Layer.HTTP, code, text=text, original_code=str(status), http_status=status, retry_after=retry_after)
