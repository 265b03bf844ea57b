"""The status machine, the history of numbers, and the datamatrix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.identity.datamatrix import HEADER, DatamatrixError, InsDatamatrix, read_payload, write_payload
from conformance.identity.history import HistoryAction, InsNumber, resolve_matricule
from conformance.identity.status import (
    EVENTS,
    Attribute,
    Event,
    IdentityState,
    Refusal,
    Status,
    StatusError,
    feed_dmp,
    transition,
    transitions,
)
from tests.unit.conformance.identity import vectors


def state_of(value: vectors.Identity) -> IdentityState:
    return IdentityState(status=Status(value[0]), attributes=frozenset(map(Attribute, value[1])), ins=value[2])


@pytest.mark.parametrize(("start", "event", "result", "end"), vectors.TRANSITIONS)
def test_transition_vectors(start: vectors.Identity, event: str, result: str | None, end: vectors.Identity) -> None:
    """Each worked event gives its word and leaves the identity where it should be."""
    assert transitions(state_of(start), [Event(event)]) == (result, state_of(end))


_EVENTS = st.lists(st.sampled_from([e for e in Event if e is not Event.FEED_DMP]), max_size=12)


@given(_EVENTS)
def test_nobody_is_qualified_without_insi_and_a_proof(events: list[Event]) -> None:
    """Every path from PROV to QUAL holds an accepted INSi answer and a high proof, or an app reading."""
    state, found, proof, app = IdentityState(), False, False, False
    for event in events:
        try:
            state = transition(state, event)
        except StatusError:
            continue
        found |= event is Event.INSI_FOUND_ACCEPTED
        proof |= event is Event.PROOF_HIGH_CHECKED
        app |= event is Event.APCV_READ_ACCEPTED
        if state.status is Status.QUAL:
            assert (found and proof) or app
            assert state.ins
            assert feed_dmp(state) is None
        else:
            assert feed_dmp(state) is Refusal.FORBIDDEN_NOT_QUALIFIED
        if state.locked:
            assert (state.status, state.ins) == (Status.PROV, False)


def test_every_event_has_its_row() -> None:
    """The table is complete; only the question has no row."""
    assert set(EVENTS) == set(Event) - {Event.FEED_DMP}


@pytest.mark.parametrize("event", [e for e in Event if e.startswith("INSI_")])
@pytest.mark.parametrize("attribute", [Attribute.DOUTEUX, Attribute.FICTIF])
def test_insi_is_never_called_for_a_locked_identity(event: Event, attribute: Attribute) -> None:
    """Any INSi event on a doubtful or fictitious identity is refused."""
    state = IdentityState(attributes=frozenset({attribute}))
    assert not state.may_call_insi
    assert transitions(state, [event]) == ("INSI_CALL_FORBIDDEN", state)


@pytest.mark.parametrize("event", [Event.PROOF_HIGH_CHECKED, Event.PROOF_LOW_CHECKED, Event.APCV_READ_ACCEPTED])
def test_a_proof_does_not_lift_a_lock(event: Event) -> None:
    """The status of a locked identity stays provisional whatever is shown."""
    state = IdentityState(attributes=frozenset({Attribute.DOUTEUX}))
    assert transitions(state, [event]) == ("STATUS_LOCKED_BY_ATTRIBUTE", state)


def test_a_doubt_cleared_restarts_from_nothing() -> None:
    """After the doubt the identity is provisional, and both steps are needed again."""
    qualified = IdentityState(status=Status.QUAL, ins=True)
    steps = [Event.SET_DOUTEUX, Event.CLEAR_DOUTEUX, Event.FEED_DMP]
    assert transitions(qualified, steps) == ("FORBIDDEN_NOT_QUALIFIED", IdentityState())
    again = [*steps, Event.INSI_FOUND_ACCEPTED, Event.PROOF_HIGH_CHECKED, Event.FEED_DMP]
    assert transitions(qualified, again) == ("ALLOWED", qualified)


def test_a_homonym_keeps_its_status() -> None:
    """homonyme moves nothing, does not block, and is cleared by an event."""
    state = transition(IdentityState(status=Status.QUAL, ins=True), Event.SET_HOMONYME)
    assert (state.status, feed_dmp(state)) == (Status.QUAL, None)
    assert transition(state, Event.CLEAR_HOMONYME).attributes == frozenset()


def test_states_that_cannot_be_are_refused() -> None:
    """fictif stands alone, and a locked identity is provisional."""
    with pytest.raises(StatusError, match="ATTRIBUTES_INCOMPATIBLE"):
        IdentityState(attributes=frozenset({Attribute.FICTIF, Attribute.DOUTEUX}))
    with pytest.raises(StatusError, match="STATUS_LOCKED_BY_ATTRIBUTE"):
        IdentityState(status=Status.QUAL, attributes=frozenset({Attribute.DOUTEUX}))
    with pytest.raises(StatusError, match="FORBIDDEN_NOT_QUALIFIED"):
        transition(IdentityState(), Event.FEED_DMP)


def test_statuses_are_read_in_both_tongues() -> None:
    """Codes of the field and French words of documents."""
    assert [Status.of(w) for w in ("QUAL", "qualifiee", "récupérée", "provisoire")] == ["QUAL", "QUAL", "RECUP", "PROV"]
    with pytest.raises(ValueError, match="quali"):
        Status.of("quali")


NIR, NIA = "1.2.250.1.213.1.4.8", "1.2.250.1.213.1.4.9"
OLD = InsNumber(value="209076322083439", oid=NIR)
NEW = InsNumber(value="109076322083489", oid=NIR)


def test_history_tells_a_change_from_a_collision() -> None:
    """A number the history knows is replaced; one it does not know raises the alarm."""
    assert resolve_matricule(None, NEW) is HistoryAction.ATTACH
    assert resolve_matricule(NEW, NEW, [NEW]) is HistoryAction.UNCHANGED_KEEP_HISTORY
    assert resolve_matricule(OLD, NEW, [OLD, NEW]) is HistoryAction.REPLACE_AND_ARCHIVE
    assert resolve_matricule(OLD, NEW, [NEW]) is HistoryAction.COLLISION_REFUSE_AND_ALERT


def test_a_waiting_number_that_became_a_nir_is_a_replacement() -> None:
    """The same digits under NIA then NIR are one person; the way back is not."""
    waiting = InsNumber(value=NEW.value, oid=NIA)
    assert resolve_matricule(waiting, NEW) is HistoryAction.REPLACE_AND_ARCHIVE
    assert resolve_matricule(NEW, waiting) is HistoryAction.COLLISION_REFUSE_AND_ALERT
    assert NEW.value not in repr(NEW)


def test_a_history_without_keys_is_understood() -> None:
    """INSHISTO may leave the key out."""
    keyless = InsNumber(value=OLD.value[:13], oid=NIR)
    assert resolve_matricule(OLD, NEW, [keyless]) is HistoryAction.REPLACE_AND_ARCHIVE


ZOE = InsDatamatrix(
    matricule="275126322074974",
    oid=NIR,
    given_names="ZOE",
    birth_name="ADRUN",
    sex="F",
    birth_date="1975-12-31",
    birth_place="63220",
)
PAYLOAD = (
    "IS010000000000000000000000S1275126322074974S21.2.250.1.213.1.4.8\x1dS3ZOE\x1dS4ADRUN\x1dS5FS631-12-1975S763220"
)


def test_the_datamatrix_vector() -> None:
    """The published payload is written and read, to the character."""
    assert write_payload(ZOE) == PAYLOAD
    assert read_payload(PAYLOAD) == ZOE
    assert read_payload(f"]d1{PAYLOAD}\r\n") == ZOE
    assert ZOE.traits.first_given_name == "ZOE"
    assert "ADRUN" not in repr(ZOE)


def test_a_full_length_value_takes_no_separator() -> None:
    """An OID of twenty characters and a name of a hundred end by themselves."""
    long = InsDatamatrix(
        matricule="279035121518989",
        oid="1.2.250.1.213.1.4.10",
        given_names="A" * 100,
        birth_name="PAT-TROIS",
        sex="F",
        birth_date="1979-03-28",
    )
    payload = write_payload(long)
    assert f"S21.2.250.1.213.1.4.10S3{'A' * 100}S4PAT-TROIS\x1dS5FS628-03-1979" in payload
    assert payload.endswith("1979")
    assert read_payload(payload) == long


_NAME = st.from_regex(r"[A-Z]{1,20}(-[A-Z]{1,20})?", fullmatch=True)


@given(_NAME, _NAME, st.sampled_from("MF"), st.dates(), st.sampled_from(["", "2A004", "99350"]))
def test_what_is_written_is_read_back(name: str, given_names: str, sex: str, date: object, place: str) -> None:
    """Any identity the format can carry survives the way there and back."""
    identity = InsDatamatrix(
        matricule="275126322074974",
        oid=NIR,
        given_names=given_names,
        birth_name=name,
        sex=sex,
        birth_date=str(date),
        birth_place=place,
    )
    assert read_payload(write_payload(identity)) == identity


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ("", "BAD_HEADER"),
        ("DC04...", "BAD_HEADER"),
        (HEADER, "MISSING_BLOCK"),
        (HEADER + "S9X", "UNKNOWN_BLOCK"),
        (PAYLOAD + "S763220", "REPEATED_BLOCK"),
        (PAYLOAD[:-2], "BAD_LENGTH"),
        (PAYLOAD.replace("S4ADRUN\x1d", "S4\x1d"), "BAD_LENGTH"),
        (PAYLOAD.replace("31-12-1975", "1975-12-31"), "BAD_DATE"),
        (PAYLOAD.replace("S5F", "S5I"), "BAD_SEX"),
        (PAYLOAD.replace("ADRUN", "Adrun"), "BAD_NAME"),
        (PAYLOAD.replace("ZOE", "ZOE--A"), "BAD_NAME"),
        (PAYLOAD.replace("S763220", "S76322X"), "BAD_COG"),
        (PAYLOAD.replace("S1275", "S1975"), "BAD_FIRST_DIGIT"),
    ],
)
def test_a_wrong_datamatrix_is_refused_by_name(payload: str, code: str) -> None:
    """Header, blocks, lengths and values are all checked, and nothing of them is repeated."""
    with pytest.raises(DatamatrixError) as caught:
        read_payload(payload)
    assert caught.value.code == code
    assert "ADRUN" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "code"),
    [({"birth_date": "31/12/1975"}, "BAD_DATE"), ({"oid": "1.2.3"}, "BAD_LENGTH"), ({"sex": "I"}, "BAD_SEX")],
)
def test_what_the_format_cannot_carry_is_not_written(change: dict[str, str], code: str) -> None:
    """The writer is as strict as the reader."""
    values = {name: getattr(ZOE, name) for name in ZOE.__slots__} | change
    with pytest.raises(DatamatrixError) as caught:
        write_payload(InsDatamatrix(**values))
    assert caught.value.code == code
