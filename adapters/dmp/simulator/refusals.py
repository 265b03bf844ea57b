"""How the simulated DMP says no: a SOAP fault for the caller, registry errors for the content."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Refused", "RegistryProblem", "SoapFault"]


class SoapFault(Exception):
    """Answered by a SOAP fault."""

    def __init__(self, code: str, subcode: str, reason: str, *, status: int = 500) -> None:
        self.code = code
        self.subcode = subcode
        self.reason = reason
        self.status = status
        super().__init__(f"{code}/{subcode}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryProblem:
    """One registry error."""

    code: str  #: as in IHE ITI TF-3 Table 4.2.4.1-2
    context: str = field(repr=False)
    location: str = ""
    warning: bool = False


class Refused(Exception):
    """Answered by a registry response that lists errors."""

    def __init__(self, *problems: RegistryProblem) -> None:
        self.problems = problems
        super().__init__(", ".join(p.code for p in problems))

    @classmethod
    def because(cls, code: str, context: str, location: str = "") -> Refused:
        """One error."""
        return cls(RegistryProblem(code=code, context=context, location=location))
