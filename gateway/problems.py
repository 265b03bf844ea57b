"""Every refusal a caller may meet, as RFC 9457 problems with all their faults.

The tree::

    Problem
    ├── Invalid          422  the document or the request breaks rules; each fault has its place
    ├── Unreadable       400  the bytes are not what they claim to be
    ├── TooLarge         413
    ├── Unsupported      415
    ├── Unauthenticated  401
    ├── Forbidden        403  scope, tenant or actor outside the grant
    ├── NotFound         404
    ├── Conflict         409
    └── Busy             503  or 429, with Retry-After
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from conformance.verdict import Finding, Rule, Severity, Text

__all__ = [
    "Busy",
    "Conflict",
    "Forbidden",
    "Invalid",
    "NotFound",
    "Problem",
    "TooLarge",
    "Unauthenticated",
    "Unreadable",
    "Unsupported",
]

BASE = "https://passerelle.example/problems/"


class Problem(Exception):
    """A refusal with its faults."""

    status = 500
    slug = "internal"
    title = Text("Erreur interne", "Internal error")

    def __init__(
        self,
        faults: Sequence[Finding] = (),
        *,
        detail: Text | None = None,
        headers: dict[str, str] | None = None,
        slug: str | None = None,
        status: int | None = None,
    ) -> None:
        self.faults = tuple(faults)
        self.detail = detail
        self.headers = headers or {}
        if slug is not None:
            self.slug = slug
        if status is not None:
            self.status = status
        super().__init__(f"{self.status} {self.slug}: {', '.join(sorted({f.code for f in self.faults}))}")

    def as_json(self, language: str, request_id: str) -> dict[str, Any]:
        """The problem document in one language."""
        detail = self.detail.in_language(language) if self.detail else _summary(self.faults, language)
        out: dict[str, Any] = {
            "type": BASE + self.slug,
            "title": self.title.in_language(language),
            "status": self.status,
            "detail": detail,
            "requestId": request_id,
        }
        if self.faults:
            out["faults"] = [fault.as_json(language) for fault in self.faults]
        return out


def _summary(faults: Iterable[Finding], language: str) -> str:
    errors = sum(f.severity is Severity.ERROR for f in faults)
    warnings = sum(f.severity is Severity.WARNING for f in faults)
    if language == "en":
        parts = [f"{errors} error{'s' if errors != 1 else ''}"]
        if warnings:
            parts.append(f"{warnings} warning{'s' if warnings != 1 else ''}")
        return ", ".join(parts) + "."
    parts = [f"{errors} erreur{'s' if errors > 1 else ''}"]
    if warnings:
        parts.append(f"{warnings} avertissement{'s' if warnings > 1 else ''}")
    return ", ".join(parts) + "."


class Invalid(Problem):
    """The document or the request breaks rules."""

    status = 422
    slug = "invalid-document"
    title = Text("Le document n'est pas valide", "The document is not valid")


class Unreadable(Problem):
    """The bytes are not what they claim to be."""

    status = 400
    slug = "unreadable"
    title = Text("Le contenu est illisible", "The content cannot be read")


class TooLarge(Problem):
    """The body is over the limit."""

    status = 413
    slug = "too-large"
    title = Text("Le contenu est trop volumineux", "The content is too large")


class Unsupported(Problem):
    """The media type is not one the resource takes."""

    status = 415
    slug = "unsupported-media-type"
    title = Text("Ce type de contenu n'est pas accepté", "This content type is not accepted")


class Unauthenticated(Problem):
    """No token, or one that does not hold."""

    status = 401
    slug = "unauthenticated"
    title = Text("Authentification requise", "Authentication required")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("headers", {"WWW-Authenticate": "Bearer"})
        super().__init__(*args, **kwargs)


class Forbidden(Problem):
    """The token does not allow this."""

    status = 403
    slug = "forbidden"
    title = Text("Action non autorisée", "Not allowed")


class NotFound(Problem):
    """Nothing here under that name for this caller."""

    status = 404
    slug = "not-found"
    title = Text("Introuvable", "Not found")


class Conflict(Problem):
    """The request collides with what is already there or under way."""

    status = 409
    slug = "conflict"
    title = Text("Conflit avec l'état actuel", "Conflict with the present state")


class Busy(Problem):
    """The gateway takes no more for now."""

    status = 503
    slug = "busy"
    title = Text("Service momentanément saturé", "Service busy for now")

    def __init__(self, *args: Any, retry_after: int = 5, **kwargs: Any) -> None:
        kwargs.setdefault("headers", {"Retry-After": str(retry_after)})
        super().__init__(*args, **kwargs)


def rule(code: str, fr: str, en: str, fix_fr: str, fix_en: str, source: str = "api.md") -> Rule:
    """Make a rule of the interface itself."""
    return Rule(code=code, message=Text(fr, en), fix=Text(fix_fr, fix_en), source=source)
