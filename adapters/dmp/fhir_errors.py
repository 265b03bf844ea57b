"""Errors of the registry said in FHIR, and back (fhir-profiles.md 9.1, dmp.md 9).

One table: an XDS error code, the HTTP status and the OperationOutcome issue code that say the same. Going back, the
code of the registry travels in ``details.coding``, so that nothing is lost between the two faces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from adapters.dmp.outcomes import Kind, Layer, Outcome, http_outcome, outcome
from conformance.verdict import Text

__all__ = ["ISSUES", "SYSTEM", "issue_of", "operation_outcome", "read_operation_outcome"]

#: Coding system of registry and DMP codes in ``details.coding``.
SYSTEM: Final = "urn:ihe:iti:xds:error"

#: XDS error -> HTTP status, FHIR issue type.
ISSUES: Final[Mapping[str, tuple[int, str]]] = {
    "XDSUnknownPatientId": (404, "not-found"),
    "XDSPatientIdDoesNotMatch": (422, "business-rule"),
    "XDSDuplicateUniqueIdInRegistry": (409, "duplicate"),
    "XDSNonIdenticalHash": (409, "conflict"),
    "XDSNonIdenticalSize": (409, "conflict"),
    "XDSRegistryDuplicateUniqueIdInMessage": (422, "duplicate"),
    "XDSRepositoryDuplicateUniqueIdInMessage": (422, "duplicate"),
    "XDSRegistryMetadataError": (422, "invalid"),
    "XDSRepositoryMetadataError": (422, "invalid"),
    "XDSMissingDocument": (422, "required"),
    "XDSMissingDocumentMetadata": (422, "required"),
    "InvalidDocumentContent": (422, "invalid"),
    "XDSReplaceFailed": (409, "conflict"),
    "XDSRegistryDeprecatedDocumentError": (409, "conflict"),
    "UnresolvedReferenceException": (422, "not-found"),
    "XDSDocumentUniqueIdError": (404, "not-found"),
    "XDSMetadataUpdateError": (422, "business-rule"),
    "XDSMetadataVersionError": (412, "conflict"),
    "XDSMetadataUpdateOperationError": (405, "not-supported"),
    "XDSMetadataIdentifierError": (404, "not-found"),
    "XDSPatientIDReconciliationError": (422, "business-rule"),
    "XDSRegistryBusy": (503, "transient"),
    "XDSRepositoryBusy": (503, "transient"),
    "XDSRegistryOutOfResources": (503, "transient"),
    "XDSRepositoryOutOfResources": (503, "transient"),
    "XDSRegistryNotAvailable": (503, "transient"),
    "XDSRegistryError": (500, "exception"),
    "XDSRepositoryError": (500, "exception"),
    "XDSTooManyResults": (400, "too-costly"),
    "XDSStoredQueryMissingParam": (400, "required"),
    "XDSStoredQueryParamNumber": (400, "value"),
    "XDSUnknownStoredQuery": (400, "not-supported"),
    "XDSUnknownRepositoryId": (404, "not-found"),
    "XDSExtraMetadataNotSaved": (422, "informational"),
    "DMPAccessDenied": (403, "forbidden"),
    "DMPInvalidVIHF": (401, "security"),
    "DMPInvalidCertificate": (401, "security"),
    "DMPClosed": (404, "not-found"),
}


def issue_of(code: str) -> tuple[int, str]:
    """Give the HTTP status and the issue type of a registry or DMP code; an unknown one is a processing error."""
    return ISSUES.get(code, (422, "processing"))


def operation_outcome(code: str, text: Text | str, *, location: str = "", diagnostics: str = "") -> dict[str, Any]:
    """Write one error as an OperationOutcome; ``text`` is for people, French first."""
    words = text if isinstance(text, str) else text.fr
    issue: dict[str, Any] = {
        "severity": "error",
        "code": issue_of(code)[1],
        "details": {"coding": [{"system": SYSTEM, "code": code}], "text": words},
    }
    if location:
        issue["expression"] = [location]
    if diagnostics:
        issue["diagnostics"] = diagnostics
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def read_operation_outcome(resource: Any, status: int, *, retry_after: int | None = None) -> Outcome:
    """Give the outcome of a FHIR refusal: by the registry's code when it carries one, else by the HTTP status."""
    issues = resource.get("issue") if isinstance(resource, dict) else None
    for issue in issues if isinstance(issues, list) else []:
        if not isinstance(issue, dict) or issue.get("severity") not in ("error", "fatal"):
            continue
        details = issue.get("details")
        details = details if isinstance(details, dict) else {}
        text = str(details.get("text") or issue.get("diagnostics") or "")
        codings = details.get("coding")
        for coding in codings if isinstance(codings, list) else []:
            if isinstance(coding, dict) and coding.get("code"):
                code = str(coding["code"])
                layer = Layer.SOAP if code in ("DMPInvalidVIHF", "DMPInvalidCertificate") else Layer.REGISTRY
                return outcome(layer, code, text=text, http_status=status, retry_after=retry_after)
        if issue.get("code") == "duplicate":
            return outcome(
                Layer.REGISTRY,
                "XDSDuplicateUniqueIdInRegistry",
                text=text,
                original_code="duplicate",
                http_status=status,
            )
        said = http_outcome(status, text=text, retry_after=retry_after)
        # A refusal in words is one, whatever the status class makes of it.
        if said.kind is Kind.OPERATOR and status in (404, 405):
            return outcome(Layer.HTTP, "4xx", text=text, original_code=str(issue.get("code")), http_status=status)
        return said
    return http_outcome(status, retry_after=retry_after)
