"""The table of outcomes as a page of the reference, so that what is published is what runs."""

from __future__ import annotations

from adapters.dmp.fhir_errors import ISSUES
from adapters.dmp.outcome_table import TABLE, UNKNOWN, Layer

__all__ = ["fhir_error_page", "outcome_page"]

_HEAD = """# DMP outcomes

What each answer of the DMP, or its absence, means for a delivery. One row a layer and code; the code shown to the user
is `DMP-<LAYER>-<code>`, with the DMP's own code and text kept beside it. The page is made from the table the gateway
runs.

| What the caller does next | Meaning |
|---|---|
| `accepted` | done |
| `refused` | final: the same bytes will be refused again |
| `retry` | nothing was done: the same call later |
| `already_there` | the registry says it has it: found by uniqueId, then a success |
| `ask_registry` | may have been done: the registry is asked by uniqueId before anything else |
| `operator` | someone must mend a certificate, a right or a setting; the queue is kept |

A call that changes nothing (status, search, retrieval) is never asked about: `ask_registry` is a `retry` there. A code
that no row names is `refused` and shown as it came, or `ask_registry` when the answer itself was lost or unreadable.
"""

_TITLES = {
    Layer.NETWORK: "Network",
    Layer.TLS: "TLS",
    Layer.HTTP: "HTTP status without a SOAP message",
    Layer.MESSAGE: "Answer that says nothing certain",
    Layer.SOAP: "SOAP faults",
    Layer.REGISTRY: "Registry errors",
    Layer.HL7: "HL7 v3 acknowledgements (TD0.2)",
    Layer.DMP: "DMP statuses",
    Layer.LOCAL: "Found or refused by the gateway itself",
}


def outcome_page() -> str:
    """Write the page."""
    lines = [_HEAD]
    for layer in Layer:
        lines.append(f"## {_TITLES[layer]}\n")
        lines.append("| Code | Next | Cause | What to do |")
        lines.append("|---|---|---|---|")
        for (where, code), row in TABLE.items():
            if where is layer:
                cause, fix = f"{row.cause.fr}<br>{row.cause.en}", f"{row.fix.fr}<br>{row.fix.en}"
                lines.append(f"| `{code}` | `{row.kind}` | {cause} | {fix} |")
        other = UNKNOWN[layer]
        cause, fix = f"{other.cause.fr}<br>{other.cause.en}", f"{other.fix.fr}<br>{other.fix.en}"
        lines.append(f"| any other | `{other.kind}` | {cause} | {fix} |")
        lines.append("")
    return "\n".join(lines)


_FHIR_HEAD = """# Registry errors in FHIR

How an error of the registry is said as an OperationOutcome, and read back. The registry's code travels in
`issue.details.coding` (system `urn:ihe:iti:xds:error`), so that nothing is lost between the two faces; a code that no
row names is 422, `processing`.

| Registry code | HTTP status | `issue.code` |
|---|---|---|
"""


def fhir_error_page() -> str:
    """Write the page of the FHIR correspondence."""
    rows = [f"| `{code}` | {status} | `{issue}` |" for code, (status, issue) in ISSUES.items()]
    return _FHIR_HEAD + "\n".join(rows) + "\n"
