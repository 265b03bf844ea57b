"""Why a state changed, in words, with the words of the remote service kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from conformance.verdict import Text
from gateway.journey.states import CAUSES, CauseCode

__all__ = ["Cause", "cause_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a state changed: a stable code and its words, with the words of the remote service kept apart."""

    code: str
    text: Text
    fix: Text
    original_code: str | None = None
    original_text: str | None = None
    behind: str | None = None  #: our code of the last failure, when the cause is that there were too many

    def outcome(self) -> dict[str, Any]:
        """The outcome as the interface shows it, in both languages."""
        behind = {"behind": self.behind} if self.behind else {}
        return {
            "code": self.code,
            **behind,
            "originalCode": self.original_code,
            "originalText": self.original_text,
            "cause": {"fr": self.text.fr, "en": self.text.en},
            "fix": {"fr": self.fix.fr, "en": self.fix.en},
        }


def cause_of(code: CauseCode) -> Cause:
    """The cause of a code of the gateway's own table."""
    text, fix = CAUSES[code]
    return Cause(code=str(code), text=text, fix=fix)
