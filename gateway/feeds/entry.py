"""One line of the ledger of feeds: what happened, to whose credit, with what outcome, and nothing clinical.

The canonical form of an entry is its JSON by RFC 8785 (members without a value are left out); its SHA-256 is the
``payload_hash``. Sealing later links it: ``entry_hash = SHA-256(JCS({chain, payload_hash, prev_hash, seq}))``.
An entry is stored as columns only, and its canonical form is rebuilt from them, so that no column can drift from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

__all__ = [
    "COLUMNS",
    "COUNTED",
    "EMBEDDED",
    "FIELDS",
    "GENESIS",
    "KINDS",
    "SCHEMA",
    "EntryError",
    "LedgerEntry",
    "as_json",
    "canonical",
    "entry_id",
    "leaf",
    "lineage_ref",
    "link_hash",
    "opaque_hash",
    "paris_day",
    "payload",
    "row_of",
    "stamp",
]

PARIS: Final = ZoneInfo("Europe/Paris")
#: The link before the first one.
GENESIS: Final = bytes(32)
#: Version of the canonical form, carried in every payload.
SCHEMA: Final = "feed-entry/1"

#: Kinds of entries and the states each may be in (incentives note, 6.1; the last four families are evidence).
KINDS: Final[Mapping[str, frozenset[str]]] = {
    "dmp.document": frozenset(
        "submitted accepted rejected abandoned expired withdrawn replaced metadata_changed deleted".split()
    ),
    "mss.message": frozenset(
        "submitted delivered read failed unknown rejected abandoned expired withdrawn duplicate".split()
    ),
    "eprescription": frozenset("submitted created cancelled dispensed rejected abandoned expired withdrawn".split()),
    "ins.check": frozenset("verified retrieved not_found mismatch failed".split()),
    "apcv.use": frozenset("used refused".split()),
    "ecps.session": frozenset("authenticated refused".split()),
    "attestation": frozenset("declared withdrawn".split()),
    "measure.imported": frozenset("imported declared".split()),
    "membership": frozenset("declared ended".split()),
    "correction": frozenset(["corrected"]),
    "conflict": frozenset(["refused"]),
    "period.closed": frozenset("closed amended".split()),
    "audit.query": frozenset(["answered"]),
    "subject.erased": frozenset(["erased"]),
}

#: States that stand for a positive answer of the service: what a bare count counts.
COUNTED: Final[Mapping[str, frozenset[str]]] = {
    "dmp.document": frozenset(["accepted"]),
    "mss.message": frozenset(["delivered"]),
    "eprescription": frozenset("created dispensed".split()),
    "ins.check": frozenset("verified retrieved".split()),
    "apcv.use": frozenset(["used"]),
    "ecps.session": frozenset(["authenticated"]),
}

#: Name and type of every field, in the order of the table's columns.
FIELDS: Final[tuple[tuple[str, str], ...]] = (
    ("entry_id", "hash"),
    ("kind", "text"),
    ("state", "text"),
    ("attempt", "int"),
    ("day", "text"),
    ("occurred_at", "text"),
    ("submitted_at", "text"),
    ("accepted_at", "text"),
    ("recorded_at", "text"),
    ("actor_rpps", "text"),
    ("actor_profession", "text"),
    ("actor_role", "text"),
    ("on_behalf_of_rpps", "text"),
    ("co_authors_rpps", "text"),
    ("structure_finess", "text"),
    ("legal_finess", "text"),
    ("siret", "text"),
    ("software_id", "text"),
    ("software_version", "text"),
    ("segur_ref", "text"),
    ("patient_commit", "hash"),
    ("ald_listed", "bool"),
    ("test", "bool"),
    ("ins_status", "text"),
    ("encounter_commit", "hash"),
    ("care_mode", "text"),
    ("care_place", "text"),
    ("lineage_ref", "hash"),
    ("version_no", "int"),
    ("unique_id_hash", "hash"),
    ("content_digest", "hash"),
    ("doc_type", "text"),
    ("doc_type_system", "text"),
    ("doc_format", "text"),
    ("recipient_class", "text"),
    ("recipients", "int"),
    ("target_receipt", "text"),
    ("reason", "text"),
    ("supersedes", "hash"),
    ("corrects", "hash"),
    ("details", "json"),
)
COLUMNS: Final[tuple[str, ...]] = tuple(name for name, _ in FIELDS)
#: Fields a re-sent entry may differ in and still be the same: the ledger's own clock.
OWN_CLOCK: Final = frozenset(["recorded_at"])

_HEX: Final = re.compile(r"[0-9a-f]{64}")
_PERSON: Final = re.compile(r"[0-9A-Z]{8,14}")
_CODE: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:/^|+-]{0,127}")
_FINESS: Final = re.compile(r"[0-9][0-9AB][0-9]{7}")
_SIRET: Final = re.compile(r"[0-9]{14}")
_CARE_MODES: Final = frozenset("presentiel teleconsultation telesoin tele_expertise".split())
_INS_STATUSES: Final = frozenset("provisoire recuperee validee qualifiee".split())
_FORMATS: Final = frozenset("structured pdf text".split())
_RECIPIENTS: Final = frozenset("ps bal_org bal_app citizen".split())
_ROLES: Final = frozenset("professional substitute delegate structure software".split())


class EntryError(ValueError):
    """A field of a ledger entry does not have the form it must have.

    ``code`` is stable, ``place`` names the field; the value itself is never repeated.
    """

    def __init__(self, code: str, place: str, expected: str) -> None:
        self.code = code
        self.place = place
        self.expected = expected
        super().__init__(f"{code}: {place}: expected {expected}")


def canonical(value: object) -> bytes:
    """Write JSON by RFC 8785, for values without floats and with ASCII member names."""
    # With ASCII names, code point order is the UTF-16 order that RFC 8785 asks for, and orjson escapes as it does.
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def stamp(when: datetime) -> str:
    """Write an instant as UTC with milliseconds, the one form a ledger holds; raises ``EntryError`` when naive."""
    if when.tzinfo is None:
        raise EntryError("FEED-ENTRY-002", "time", "a time with its offset")
    return when.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def paris_day(when: datetime) -> str:
    """The civil day in Europe/Paris (``2026-11-22``): conventions count in French days, whatever the zone given."""
    return when.astimezone(PARIS).date().isoformat()


def entry_id(source: str, operation: str, attempt: int, state: str) -> str:
    """Make the idempotency key of an entry: the same outcome of the same attempt always gives the same key."""
    return sha256(canonical([source, operation, attempt, state])).hexdigest()


def opaque_hash(purpose: str, value: str) -> str:
    """Hash an identifier without personal meaning (a uniqueId, a setId) so that it joins without being read."""
    return sha256(canonical([purpose, value])).hexdigest()


def lineage_ref(*, set_id: str | None, unique_id: str, previous: str | None = None) -> str:
    """Name the lineage of a document over its versions.

    The CDA ``setId`` when there is one; else the lineage of the document it replaces (``previous``); else its own
    uniqueId, as the first of its chain (incentives note, 5.1: entryUUID changes at every masking and is never used).
    """
    if set_id:
        return opaque_hash("lineage", set_id)
    return previous or opaque_hash("lineage", unique_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One outcome, as the ledger keeps it (incentives note, 6.1).

    Times carry their offset; hashes are 64 hexadecimal digits.
    """

    entry_id: str  #: idempotency key, see :func:`entry_id`
    kind: str  #: a key of ``KINDS``
    state: str  #: one of the states of the kind
    recorded_at: datetime  #: ledger clock
    attempt: int = 1
    occurred_at: datetime | None = None  #: the act, or the discharge
    submitted_at: datetime | None = None  #: gateway clock
    accepted_at: datetime | None = None  #: the target's answer
    actor_rpps: str | None = None  #: the professional credited
    actor_profession: str | None = None  #: profession code (TRE_G15)
    actor_role: str | None = None  #: professional, substitute, delegate, structure, software
    on_behalf_of_rpps: str | None = None  #: the doctor substituted, or the one a delegate acts for
    co_authors_rpps: tuple[str, ...] = ()  #: other authors of the same document
    structure_finess: str | None = None  #: geographic FINESS
    legal_finess: str | None = None
    siret: str | None = None
    software_id: str | None = None
    software_version: str | None = None
    segur_ref: str | None = None  #: Ségur referencing number
    patient_commit: str | None = None  #: see ``gateway.feeds.subjects``
    ald_listed: bool | None = None  #: in the list given by the payer or the doctor's software
    test: bool = False  #: test identity, test certificate or rehearsal platform
    ins_status: str | None = None  #: provisoire, recuperee, validee, qualifiee
    encounter_commit: str | None = None
    care_mode: str | None = None  #: presentiel, teleconsultation, telesoin, tele_expertise
    care_place: str | None = None  #: code of the place of care
    lineage_ref: str | None = None  #: see :func:`lineage_ref`
    version_no: int | None = None
    unique_id_hash: str | None = None
    content_digest: str | None = None  #: keyed digest of the CDA without its volatile parts
    doc_type: str | None = None  #: type code of the document
    doc_type_system: str | None = None  #: OID of its code system
    doc_format: str | None = None  #: structured, pdf, text
    recipient_class: str | None = None  #: ps, bal_org, bal_app, citizen
    recipients: int | None = None  #: how many addresses one message went to
    target_receipt: str | None = None  #: identifiers of the acknowledgement, not its content
    reason: str | None = None  #: code, for what was refused, excluded or deleted
    supersedes: str | None = None
    corrects: str | None = None
    details: Mapping[str, Any] | None = None  #: figures of a closing, an import or a query; never of a patient

    def __post_init__(self) -> None:
        """Refuse what could not be counted or proved later; raises ``EntryError``."""
        if self.state not in KINDS.get(self.kind, ()):
            raise EntryError("FEED-ENTRY-001", "state", "a state of the kind, one of the table KINDS")
        if _HEX.fullmatch(self.entry_id) is None:
            raise EntryError("FEED-ENTRY-003", "entry_id", "64 hexadecimal digits")
        for name in _HASHES:
            if (value := getattr(self, name)) is not None and _HEX.fullmatch(value) is None:
                raise EntryError("FEED-ENTRY-003", name, "64 hexadecimal digits")
        for name, pattern, expected in _SHAPES:
            if (value := getattr(self, name)) is not None and pattern.fullmatch(value) is None:
                raise EntryError("FEED-ENTRY-004", name, expected)
        for name, codes in _CODED:
            if (value := getattr(self, name)) is not None and value not in codes:
                raise EntryError("FEED-ENTRY-005", name, f"one of {', '.join(sorted(codes))}")
        if self.attempt < 1:
            raise EntryError("FEED-ENTRY-006", "attempt", "1 or more")
        for other in self.co_authors_rpps:
            if _PERSON.fullmatch(other) is None:
                raise EntryError("FEED-ENTRY-004", "co_authors_rpps", "professional identifiers")

    @property
    def counted_at(self) -> datetime:
        """The instant that dates the outcome: the target's answer, else the sending, else the ledger's clock."""
        return self.accepted_at or self.submitted_at or self.recorded_at


_HASHES: Final = tuple(name for name, kind in FIELDS if kind == "hash" and name != "entry_id")
_SHAPES: Final = (
    ("actor_rpps", _PERSON, "a professional identifier (RPPS)"),
    ("on_behalf_of_rpps", _PERSON, "a professional identifier (RPPS)"),
    ("structure_finess", _FINESS, "9 characters (FINESS)"),
    ("legal_finess", _FINESS, "9 characters (FINESS)"),
    ("siret", _SIRET, "14 digits (SIRET)"),
    ("actor_profession", _CODE, "a code"),
    ("care_place", _CODE, "a code"),
    ("doc_type", _CODE, "a code"),
    ("doc_type_system", _CODE, "a code"),
    ("reason", _CODE, "a code"),
)
_CODED: Final = (
    ("actor_role", _ROLES),
    ("care_mode", _CARE_MODES),
    ("ins_status", _INS_STATUSES),
    ("doc_format", _FORMATS),
    ("recipient_class", _RECIPIENTS),
)


def _optional_stamp(when: datetime | None) -> str | None:
    return None if when is None else stamp(when)


def row_of(entry: LedgerEntry) -> tuple[Any, ...]:
    """The values of an entry in the order of ``COLUMNS``, as the database holds them (hashes as 32 bytes)."""
    times = {
        "recorded_at": stamp(entry.recorded_at),
        "occurred_at": _optional_stamp(entry.occurred_at),
        "submitted_at": _optional_stamp(entry.submitted_at),
        "accepted_at": _optional_stamp(entry.accepted_at),
        "day": paris_day(entry.counted_at),
        "co_authors_rpps": " ".join(entry.co_authors_rpps) or None,
        "details": None if entry.details is None else canonical(entry.details).decode(),
    }
    values: list[Any] = []
    for name, kind in FIELDS:
        value = times[name] if name in times else getattr(entry, name)
        if kind == "hash" and value is not None:
            value = bytes.fromhex(value)
        values.append(value)
    return tuple(values)


_FROM_STORE: Final[Mapping[str, Callable[[Any], Any] | None]] = {
    "text": None,
    "int": None,
    # SQLite gives a boolean back as 0 or 1, and psycopg a bytea as memoryview or bytes.
    "bool": bool,
    "hash": lambda value: bytes(value).hex(),
    "json": orjson.loads,
}
_READERS: Final = tuple((name, _FROM_STORE[kind]) for name, kind in FIELDS)


def as_json(row: Sequence[Any]) -> dict[str, Any]:
    """The members of an entry as its canonical JSON holds them, from its stored values in the order of ``COLUMNS``."""
    out: dict[str, Any] = {"schema": SCHEMA}
    for (name, read), value in zip(_READERS, row, strict=True):
        if value is not None:
            out[name] = value if read is None else read(value)
    return out


def payload(row: Sequence[Any]) -> bytes:
    """The canonical JSON (RFC 8785) of an entry, from its stored values in the order of ``COLUMNS``."""
    return orjson.dumps(as_json(row), option=orjson.OPT_SORT_KEYS)


def link_hash(chain: bytes, seq: int, prev_hash: bytes, payload_hash: bytes) -> bytes:
    """Hash one link; ``chain`` is the chain's name already written as a JSON string (``canonical(name)``)."""
    return sha256(
        b'{"chain":%b,"payload_hash":"%b","prev_hash":"%b","seq":%d}'
        % (chain, payload_hash.hex().encode(), prev_hash.hex().encode(), seq)
    ).digest()


def leaf(entry_hash: bytes) -> bytes:
    """The leaf of the Merkle tree for one sealed entry: its link hash, hashed as RFC 6962 hashes a leaf."""
    return sha256(b"\x00" + entry_hash).digest()


#: Members that an export adds around a payload; kept apart so that a payload never holds them.
EMBEDDED: Final = ("seq", "prev_hash", "entry_hash")
