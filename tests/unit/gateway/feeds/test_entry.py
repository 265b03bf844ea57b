"""An entry's shape, its canonical form and its keys."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.feeds.entry import (
    COLUMNS,
    EntryError,
    LedgerEntry,
    canonical,
    entry_id,
    lineage_ref,
    link_hash,
    opaque_hash,
    payload,
    row_of,
    stamp,
)
from security import json as security_json
from tests.support.feeds import fed

_TEXT = st.text(st.characters(blacklist_categories=["Cs"]))


def test_the_payload_holds_what_was_said_and_nothing_empty() -> None:
    """Members without a value are left out; times are UTC; the day is that of Paris."""
    late = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    entry = fed(1, submitted_at=late, accepted_at=late, co_authors_rpps=("10100000002",))
    said = json.loads(payload(row_of(entry)))
    assert said["schema"] == "feed-entry/1"
    assert said["accepted_at"] == "2026-12-31T23:30:00.000Z"
    assert said["day"] == "2027-01-01"
    assert said["co_authors_rpps"] == "10100000002"
    assert said["patient_commit"] == entry.patient_commit
    assert said["test"] is False
    assert None not in said.values()


def test_the_zone_of_a_time_changes_nothing() -> None:
    """One instant written in two zones makes one payload."""
    paris = timezone(timedelta(hours=2))
    when = datetime(2026, 7, 1, 0, 30, tzinfo=paris)
    assert payload(row_of(fed(1, accepted_at=when))) == payload(row_of(fed(1, accepted_at=when.astimezone(UTC))))


@given(_TEXT, st.dictionaries(st.sampled_from(["b", "a", "Z"]), st.integers(-(2**53) + 1, 2**53 - 1)))
def test_the_fast_canonical_form_is_that_of_rfc_8785(text: str, details: dict[str, int]) -> None:
    """The form that is hashed is the one any RFC 8785 library, or the standard library, writes."""
    value = {"target_receipt": text, "details": details, "test": True, "none": None}
    expected = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert canonical(value) == expected == security_json.canonical(value)


def test_a_link_is_the_hash_of_its_canonical_json() -> None:
    """The link formula can be redone with any JSON library."""
    previous, hashed = sha256(b"previous").digest(), sha256(b"payload").digest()
    written = canonical({"chain": 'té"nant', "seq": 12, "prev_hash": previous.hex(), "payload_hash": hashed.hex()})
    assert link_hash(canonical('té"nant'), 12, previous, hashed) == sha256(written).digest()


def test_the_key_of_an_entry_tells_attempts_and_states_apart() -> None:
    """Same operation, attempt and state: same key; anything else: another key."""
    keys = {
        entry_id("dmp", "op-1", 1, "rejected"),
        entry_id("dmp", "op-1", 2, "rejected"),
        entry_id("dmp", "op-1", 2, "accepted"),
        entry_id("mss", "op-1", 1, "rejected"),
    }
    assert len(keys) == 4
    assert entry_id("dmp", "op-1", 1, "rejected") in keys


def test_a_lineage_follows_set_id_then_the_replaced_document() -> None:
    """A replacement with its own uniqueId stays in the lineage of what it replaces, with or without a setId."""
    first = lineage_ref(set_id=None, unique_id="1.2.3")
    assert lineage_ref(set_id=None, unique_id="1.2.4", previous=first) == first
    assert lineage_ref(set_id=None, unique_id="1.2.3", previous=first) == first
    by_set = lineage_ref(set_id="1.2.9", unique_id="1.2.3")
    assert lineage_ref(set_id="1.2.9", unique_id="1.2.4", previous=by_set) == by_set


@pytest.mark.parametrize(
    ("changes", "code", "place"),
    [
        ({"state": "delivered"}, "FEED-ENTRY-001", "state"),
        ({"kind": "fax"}, "FEED-ENTRY-001", "state"),
        ({"entry_id": "abc"}, "FEED-ENTRY-003", "entry_id"),
        ({"patient_commit": "1" * 63}, "FEED-ENTRY-003", "patient_commit"),
        ({"actor_rpps": "Dr Martin"}, "FEED-ENTRY-004", "actor_rpps"),
        ({"structure_finess": "12"}, "FEED-ENTRY-004", "structure_finess"),
        ({"siret": "12"}, "FEED-ENTRY-004", "siret"),
        ({"reason": "le patient ne veut pas"}, "FEED-ENTRY-004", "reason"),
        ({"care_mode": "fax"}, "FEED-ENTRY-005", "care_mode"),
        ({"ins_status": "QUALIFIED"}, "FEED-ENTRY-005", "ins_status"),
        ({"attempt": 0}, "FEED-ENTRY-006", "attempt"),
        ({"co_authors_rpps": ("x",)}, "FEED-ENTRY-004", "co_authors_rpps"),
    ],
)
def test_a_malformed_field_is_named_and_not_repeated(changes: dict[str, Any], code: str, place: str) -> None:
    """The error gives the code and the field, never the value."""
    with pytest.raises(EntryError) as caught:
        fed(1, **changes)
    assert (caught.value.code, caught.value.place) == (code, place)
    assert not any(len(str(value)) > 2 and str(value) in str(caught.value) for value in changes.values())


def test_a_time_without_offset_is_refused() -> None:
    """A naive time would be counted in whichever zone the machine happens to be in."""
    with pytest.raises(EntryError, match="FEED-ENTRY-002"):
        stamp(datetime(2026, 1, 1))


def test_every_column_comes_from_a_field() -> None:
    """The columns are the fields of an entry plus the derived day."""
    assert set(COLUMNS) - {"day"} == set(LedgerEntry.__slots__)
    assert opaque_hash("a", "bc") != opaque_hash("ab", "c")
