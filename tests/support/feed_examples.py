"""The worked examples of the incentives note, as the entries that a year of feeds would have left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.feeds.entry import LedgerEntry, entry_id, opaque_hash
from tests.support.feeds import PRACTICE, fed

FIRST = datetime(2023, 1, 9, 9, tzinfo=UTC)
SECOND_SITE = "690000026"
#: The médecin traitant of the second example, the pharmacy of the third.
REGULAR_DOCTOR = "10100000033"
PHARMACY = "750803447"


def example_1() -> list[LedgerEntry]:
    """556 submissions of one doctor over two practices: 16 refused, 21 new versions, 14 maskings, 505 lineages."""
    out: list[LedgerEntry] = []

    def add(number: int, when: datetime, state: str = "accepted", attempt: int = 1, **changes: Any) -> None:
        out.append(
            fed(
                number,
                state=state,
                entry_id=entry_id("example", f"{number}", attempt, state),
                submitted_at=when,
                accepted_at=when if state == "accepted" else None,
                recorded_at=when,
                structure_finess=PRACTICE if number % 2 else SECOND_SITE,
                **changes,
            )
        )

    for number in range(505):
        # 8 unqualified, 3 tests, 6 deleted; of the 488 others, 17 share the patient and the day of the one before.
        changes: dict[str, Any] = {"patient_commit": opaque_hash("patient", str(number))}
        when = FIRST + timedelta(hours=12 * number)
        if number < 8:
            changes["ins_status"] = "validee"
        elif number < 11:
            changes["test"] = True
        elif number >= 505 - 34 and number % 2 == 0:
            changes["patient_commit"] = opaque_hash("patient", str(number - 1))
            when = FIRST + timedelta(hours=12 * (number - 1), minutes=5)
        add(number, when, **changes)
    for number in range(11, 17):
        add(number, FIRST + timedelta(days=300), "deleted", reason="wrong_patient")
    for number in range(100, 121):
        add(number, FIRST + timedelta(days=310), attempt=2, version_no=2, content_digest=opaque_hash("v2", str(number)))
    for number in range(200, 214):
        add(number, FIRST + timedelta(days=320), attempt=3)
    for number in range(600, 616):
        add(number, FIRST + timedelta(days=number - 600), "rejected", reason="dmp_closed")
    return out


def example_2(doctor: str = REGULAR_DOCTOR) -> list[LedgerEntry]:
    """131 ALD patients with a summary in the DMP, 98 of them structured; others that the indicator leaves out."""
    out: list[LedgerEntry] = []
    for number in range(131 + 20):
        when = datetime(2022, 3, 1, 9, tzinfo=UTC) + timedelta(hours=5 * number)
        out.append(
            fed(
                10_000 + number,
                entry_id=entry_id("example-2", f"{doctor}/{number}", 1, "accepted"),
                actor_rpps=doctor,
                submitted_at=when,
                accepted_at=when,
                recorded_at=when,
                doc_type="SYNTH",
                doc_type_system="1.2.250.1.213.1.1.4.12",
                doc_format="structured" if number < 98 else "pdf",
                # The last twenty are not in the list of the payer or of the doctor's software.
                ald_listed=number < 131,
                patient_commit=opaque_hash("patient", f"ald-{number}"),
                lineage_ref=opaque_hash("lineage", f"vsm-{doctor}-{number}"),
                content_digest=opaque_hash("content", f"vsm-{number}"),
            )
        )
    return out


def example_3(executed: int = 15_622) -> list[LedgerEntry]:
    """A pharmacy's year: prescriptions executed, 42 reviews fed, 1,150 dispensations with an exchange."""
    day = datetime(2024, 1, 2, 9, tzinfo=UTC)
    shared: dict[str, Any] = {
        "actor_rpps": "10123456781",
        "actor_profession": "21",
        "structure_finess": PHARMACY,
        "patient_commit": None,
    }

    def made(kind: str, state: str, name: str, when: datetime, **fields: Any) -> LedgerEntry:
        return LedgerEntry(
            entry_id=entry_id("example-3", name, 1, state),
            kind=kind,
            state=state,
            recorded_at=when,
            submitted_at=when,
            accepted_at=when,
            **(shared | fields),
        )

    out = [
        made(
            "eprescription",
            "dispensed",
            f"erx-{number}",
            day + timedelta(minutes=30 * number),
            lineage_ref=opaque_hash("lineage", f"erx-{number}"),
        )
        for number in range(executed)
    ]
    out += [
        made(
            "dmp.document",
            "accepted",
            f"review-{number}",
            day + timedelta(days=number),
            doc_type="78601-2",
            doc_type_system="2.16.840.1.113883.6.1",
            ins_status="qualifiee",
            lineage_ref=opaque_hash("lineage", f"review-{number}"),
        )
        for number in range(42)
    ]
    # Two recipients of one exchange are one dispensation with an exchange.
    out += [
        made(
            "mss.message",
            "delivered",
            f"exchange-{number}",
            day + timedelta(hours=7 * (number // 2)),
            unique_id_hash=opaque_hash("message", str(number // 2)),
            encounter_commit=opaque_hash("visit", str(number // 2)),
            recipients=1,
        )
        for number in range(2 * 1_150)
    ]
    return out
