"""Judging a document of any form without keeping or sending it: what ``check`` and ``POST /v1/checks`` answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from conformance.verdict import Finding, Verdict
from gateway.services.convert import form_of_bytes
from gateway.services.files import as_pdf
from gateway.services.intake import (
    UNREADABLE,
    Form,
    IntakeOptions,
    IntakeRefused,
    printed_form,
    read_document,
)

__all__ = ["Environment", "Judgement", "judge"]

Environment = Literal["production", "test"]
#: Codes that say the bytes were no document at all.
_NO_DOCUMENT = frozenset(("CDA-STR-000", UNREADABLE.code))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is thought of a document."""

    form: Form
    verdict: Verdict

    @property
    def word(self) -> Literal["valid", "invalid", "unreadable"]:
        """The verdict in a word; warnings leave a document valid."""
        if any(finding.code in _NO_DOCUMENT for finding in self.verdict.errors):
            return "unreadable"
        return "valid" if self.verdict.ok else "invalid"

    def as_json(self, language: str = "fr") -> dict[str, Any]:
        """The judgement as the interface and the command show it."""
        return {
            "form": self.form,
            "verdict": self.word,
            "findings": [finding.as_json(language) for finding in self.verdict.findings],
        }


def judge(data: bytes, *, environment: Environment = "test", form: Form | None = None) -> Judgement:
    """Judge a CDA, a FHIR document Bundle or the gateway's JSON; never raises on a document.

    A CDA and a Bundle are judged as they are; JSON is judged as a document, then as the CDA written from it.
    """
    known: Any = form or form_of_bytes(data)
    judged = {"cda": _cda, "fhir": _fhir, "json": _json}[known](data, environment)
    return Judgement(form=known, verdict=Verdict.of(judged))


def _cda(data: bytes, environment: Environment) -> list[Finding]:
    from conformance.cda import check

    return list(check(data, environment=environment).findings)


def _fhir(data: bytes, environment: Environment) -> list[Finding]:
    return _document(data, "fhir", environment)


def _json(data: bytes, environment: Environment) -> list[Finding]:
    return _document(data, "json", environment)


def _document(data: bytes, form: Form, environment: Environment) -> list[Finding]:
    """Judge what a document says: its reading, its identity, and the CDA that would be sent."""
    from gateway.services.intake import check_identity_of
    from mappings import cda

    try:
        document, _, found = read_document(data, form, IntakeOptions(environment=environment))
    except IntakeRefused as exc:
        return exc.findings
    findings = [*found, *check_identity_of(document, environment)]
    document = _named(document)
    try:
        document, _ = as_pdf(document)
        written = cda.write(document, pdf=printed_form(document))
    except IntakeRefused as exc:
        return [*findings, *exc.findings]
    except cda.CdaError as exc:
        return [*findings, *exc.findings]
    # The identity was judged above, with places in what was sent.
    written_faults = [each for each in _cda(written.data, environment) if not each.code.startswith("INS-")]
    return findings + written_faults


def _named(document: Any) -> Any:
    """A document that brings no identifier is judged as if it had one: the gateway gives it."""
    from mappings.document.people import Identifier

    changes: dict[str, Any] = {}
    if document.id is None:
        changes["id"] = Identifier(root="2.25.1")
    if document.set_id is None:
        changes["set_id"] = document.id or changes["id"]
    return document.model_copy(update=changes) if changes else document
