"""Ledger entries made up for tests: fictitious people, real shapes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.feeds.entry import LedgerEntry, entry_id, opaque_hash

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
DOCTOR = "10100000001"
PRACTICE = "750000018"


def fed(number: int, *, state: str = "accepted", **changes: Any) -> LedgerEntry:
    """One report fed to the DMP, number ``number`` of a made-up series; ``changes`` replace any field."""
    when = START + timedelta(minutes=number)
    values: dict[str, Any] = {
        "entry_id": entry_id("test", f"operation-{number}", 1, state),
        "kind": "dmp.document",
        "state": state,
        "recorded_at": when + timedelta(seconds=2),
        "submitted_at": when,
        "accepted_at": when + timedelta(seconds=1) if state == "accepted" else None,
        "actor_rpps": DOCTOR,
        "actor_profession": "10",
        "structure_finess": PRACTICE,
        "patient_commit": opaque_hash("patient", f"patient-{number % 7}"),
        "ins_status": "qualifiee",
        "lineage_ref": opaque_hash("lineage", f"lineage-{number}"),
        "version_no": 1,
        "content_digest": opaque_hash("content", f"content-{number}"),
        "doc_type": "11488-4",
        "doc_format": "pdf",
    }
    return LedgerEntry(**(values | changes))
