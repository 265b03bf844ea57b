"""Ledger entries made up for tests: fictitious people, real shapes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from hashlib import sha512
from typing import Any

from gateway.feeds.entry import COLUMNS, LedgerEntry, entry_id, opaque_hash

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


def many(number: int, *, structures: int = 200, doctors: int = 5, seed: int = 0) -> Iterator[tuple[Any, ...]]:
    """Rows for large ledgers, as the database holds them: a year of feeds of several structures, quick to make.

    Eight in ten are accepted, the rest refused; one in twenty is a new version.
    """
    types = ("11488-4", "11490-0", "57833-6", "60591-5", "11502-2")
    reasons = ("dmp_closed", "opposition", "identity_not_qualified")
    at = {name: place for place, name in enumerate(COLUMNS)}
    template: list[Any] = [None] * len(COLUMNS)
    for name, value in (
        ("kind", "dmp.document"), ("attempt", 1), ("test", False), ("ins_status", "qualifiee"),
        ("actor_profession", "10"), ("software_id", "logiciel"), ("software_version", "1.0"), ("doc_format", "pdf"),
        ("version_no", 1), ("doc_type_system", "2.16.840.1.113883.6.1"),
    ):  # fmt: skip
        template[at[name]] = value
    days = [(date(2026, 1, 1) + timedelta(days=n)).isoformat() for n in range(365)]
    hours = [f"T{8 + n:02d}:" for n in range(10)]
    sixty = [f"{n:02d}" for n in range(60)]
    seconds = [f":{n:02d}.000Z" for n in range(60)]
    finess = [f"75{seed % 100:02d}{n:05d}" for n in range(structures)]
    people = [f"1{seed:04d}{n:06d}" for n in range(structures * doctors)]
    base = b"%d/" % seed
    entry, lineage, content, patient = (at[n] for n in ("entry_id", "lineage_ref", "content_digest", "patient_commit"))
    state, day, who, where = (at[n] for n in ("state", "day", "actor_rpps", "structure_finess"))
    doc, why, recorded, submitted, accepted = (
        at[n] for n in ("doc_type", "reason", "recorded_at", "submitted_at", "accepted_at")
    )
    patients: list[bytes] = []
    former = b""
    for n in range(number):
        row = template.copy()
        structure = n % structures
        civil = days[n * 365 // number]
        instant = civil + hours[n % 10] + sixty[n % 60] + seconds[n // 60 % 60]
        # Four opaque values of 32 bytes out of one hash: they only have to differ.
        made = sha512(b"%b%d" % (base, n)).digest()
        if n < 50_021:
            patients.append(made[8:40])
        own = made[16:48]
        row[entry] = made[:32]
        row[lineage] = former if n % 20 == 0 and n else own
        row[content] = made[32:]
        row[patient] = patients[n % 50_021]
        former = own
        row[who] = people[structure * doctors + n // structures % doctors]
        row[where] = finess[structure]
        row[doc] = types[n % 5]
        row[day] = civil
        row[submitted] = row[recorded] = instant
        if n % 10 < 8:
            row[state], row[accepted] = "accepted", instant
        else:
            row[state], row[why] = "rejected", reasons[n % 3]
        yield tuple(row)
