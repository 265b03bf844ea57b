"""The rights matrices, cell by cell where it matters: who may do what, in which mode."""

from __future__ import annotations

from typing import Any, cast

import pytest

from adapters.dmp.simulator.caller import Caller, allowed, dn_parts
from adapters.dmp.simulator.state import Patient, Registered, State
from mappings.xds import Author, DocumentEntry, PatientId, Person, SubmissionSet
from security.vihf import Coded
from security.vihf_verify import VerifiedVihf

G15 = "1.2.250.1.71.1.2.7"
ME = "810009876543"
ASSERTION = cast("VerifiedVihf", None)


def caller(kind: str, mode: str, purpose: str = "normal") -> Caller:
    """A caller of a column of the matrix."""
    profession = Coded(code="60", system=G15)
    specialty: Coded | None = None
    if kind in ("doctor", "treating", "occupational"):
        profession = Coded(code="10", system=G15)
        specialty = Coded(code="SM25" if kind == "occupational" else "SM54", system="1.2.250.1.71.4.2.5")
    elif kind == "staff":
        profession = Coded(code="SECRETARIAT_MEDICAL", system="1.2.250.1.213.1.1.4.6")
    return Caller(
        assertion=ASSERTION,
        mode=mode,
        purpose=purpose,
        person=ME,
        structure="1290099887",
        profession=profession,
        specialty=specialty,
        patient=None,
        secret_connection=False,
    )


def patient(kind: str) -> Patient:
    """A patient; the caller is the treating doctor when that is the column."""
    return Patient(matricule="279035121518989", treating_doctor=ME if kind == "treating" else "")


def document(author: str = "899900000017", structure: str = "1290000000") -> Registered:
    """A document of someone."""
    entry = DocumentEntry(entry_uuid="urn:uuid:1", authors=(Author(person=Person(id=author)),))
    return Registered(entry=entry, set_unique_id="1", owner_person=author, owner_structure=structure, sequence=1)


MINE = document(author=ME)
OURS = document(structure="1290099887")
THEIRS = document()
D, I, A = "DIRECTE", "INDIRECTE", "INDIRECTE_RENFORCEE"  # noqa: E741


@pytest.mark.parametrize(
    ("right", "mode", "kind", "passes", "refused"),
    [
        ("TD0.2", D, "cps", ["normal", "centre_15", "bris_de_glace"], []),
        ("TD0.2", I, "structure", ["normal", "centre_15"], ["bris_de_glace"]),
        ("TD0.3-add", D, "cps", ["normal"], ["centre_15", "bris_de_glace"]),
        ("TD0.3-add", D, "doctor", ["normal"], ["centre_15", "bris_de_glace"]),
        ("TD0.3-add", D, "occupational", [], ["normal"]),
        ("TD0.3-add", D, "staff", ["normal"], []),
        ("TD0.3-add", I, "structure", [], ["normal", "centre_15"]),
        ("TD0.3-add", A, "staff", ["normal"], []),
        ("TD0.3-remove", D, "staff", [], ["normal"]),
        ("TD0.3-remove", A, "cps", ["normal"], ["bris_de_glace"]),
        ("TD0.4", D, "staff", ["normal"], []),
        ("TD0.4", I, "structure", ["normal"], ["centre_15"]),
        ("TD2.1", D, "cps", ["normal", "centre_15", "bris_de_glace"], []),
        ("TD2.1", D, "treating", ["normal", "bris_de_glace"], []),
        ("TD2.1", I, "structure", ["normal", "centre_15"], []),
        ("TD2.1", A, "cps", [], ["normal", "centre_15", "bris_de_glace"]),
        ("TD2.1", A, "doctor", [], ["normal"]),
        ("TD2.1", A, "treating", [], ["normal", "bris_de_glace"]),
        ("TD2.1", A, "staff", [], ["normal"]),
        ("TD3.1", D, "doctor", ["normal", "centre_15", "bris_de_glace"], []),
        ("TD3.1", D, "staff", [], ["normal"]),
        ("TD3.1", I, "structure", [], ["normal", "centre_15"]),
        ("TD3.1", A, "staff", [], ["normal"]),
        ("TD3.1-reference", I, "structure", ["normal", "centre_15"], []),
        ("TD3.1-reference", A, "staff", ["normal"], []),
        ("TD3.2", D, "occupational", [], ["normal"]),
        ("TD3.2", D, "cps", ["normal"], []),
        ("TD3.2", I, "structure", [], ["normal"]),
        ("TD3.2", A, "cps", ["normal", "bris_de_glace"], []),
        ("TD3.3a-mask", D, "doctor", ["normal"], ["centre_15", "bris_de_glace"]),
        ("TD3.3a-mask", I, "structure", [], ["normal"]),
        ("TD3.3a-mask", A, "staff", [], ["normal"]),
        ("TD3.3b", A, "treating", ["normal"], ["bris_de_glace"]),
        ("TD3.3b", I, "structure", [], ["normal"]),
        ("TD3.3d", I, "structure", [], ["normal"]),
    ],
)
def test_rights_that_ask_nothing_of_the_document(
    right: str, mode: str, kind: str, passes: list[str], refused: list[str]
):
    """Cells with yes and no, in each manner of access."""
    for purpose in passes:
        assert allowed(caller(kind, mode, purpose), right, patient(kind)), purpose
    for purpose in refused:
        assert not allowed(caller(kind, mode, purpose), right, patient(kind)), purpose


@pytest.mark.parametrize(
    ("right", "mode", "kind", "passes", "refused"),
    [
        ("TD3.3a-unmask", D, "doctor", [MINE], [THEIRS, OURS]),
        ("TD3.3a-unmask", D, "treating", [MINE, THEIRS], []),
        ("TD3.3a-unmask", A, "cps", [MINE], [THEIRS]),
        ("TD3.3d", D, "cps", [MINE], [THEIRS]),
        ("TD3.3d", D, "treating", [THEIRS], []),
        ("TD3.3d", A, "doctor", [MINE, THEIRS], []),
        ("TD3.3d", A, "cps", [MINE], [THEIRS]),
        ("TD3.3c", D, "treating", [MINE], [THEIRS]),
        ("TD3.3c", D, "staff", [OURS], [THEIRS]),
        ("TD3.3c", I, "structure", [OURS], [THEIRS]),
        ("TD3.3c", A, "staff", [OURS], [THEIRS]),
        ("TD3.3c", A, "doctor", [MINE], [THEIRS]),
        ("TD3.2-masked", D, "cps", [MINE], [THEIRS]),
        ("TD3.2-masked", D, "treating", [THEIRS], []),
        ("TD3.2-masked", A, "doctor", [MINE], [THEIRS]),
        ("TD3.2-masked", I, "structure", [], [OURS]),
    ],
)
def test_rights_that_depend_on_whose_the_document_is(
    right: str, mode: str, kind: str, passes: list[Registered], refused: list[Registered]
):
    """Cells with own documents and the structure's documents."""
    for target in passes:
        assert allowed(caller(kind, mode), right, patient(kind), target)
    for target in refused:
        assert not allowed(caller(kind, mode), right, patient(kind), target)


def test_masked_documents_in_an_emergency():
    """Break-glass and regulation see masked documents when the patient allows it."""
    for purpose in ("bris_de_glace", "centre_15"):
        one = patient("doctor")
        assert allowed(caller("doctor", A, purpose), "TD3.2-masked", one, THEIRS)
        one.allows_break_glass = False
        assert not allowed(caller("doctor", A, purpose), "TD3.2-masked", one, THEIRS)
        assert allowed(caller("doctor", A, purpose), "TD3.2-masked", one, MINE)


def test_an_unknown_right_is_nobodys():
    """What the matrix does not name is refused."""
    assert not allowed(caller("doctor", D), "ITI-62", patient("doctor"))


def test_distinguished_names_are_compared_by_their_parts():
    """Order, blanks and escapes do not matter; values do."""
    one = dn_parts(r"CN=A B,OU=1290099887,O=CABINET\, FICTIF,C=FR")
    assert one == dn_parts(r"C=FR, O=CABINET\, FICTIF, OU=1290099887, CN=A B")
    assert one == dn_parts(r"C=FR, O=CABINET\2C FICTIF, OU=1290099887, cn=A B")
    assert one != dn_parts(r"C=FR, O=CABINET, OU=1290099887, CN=A B")


@pytest.mark.parametrize(
    ("value", "authority", "known"),
    [
        ("279035121518989", "1.2.250.1.213.1.4.10", True),
        ("180032B02040123", "1.2.250.1.213.1.4.10", True),
        ("297022A02077878", "1.2.250.1.213.1.4.10", True),
        ("160012B02077713", "1.2.250.1.213.1.4.10", False),
        ("279035121518988", "1.2.250.1.213.1.4.10", False),
        ("27903512151898", "1.2.250.1.213.1.4.10", False),
        ("279035121518989", "1.2.250.1.213.1.4.8", False),
    ],
)
def test_who_has_a_record(value: str, authority: str, known: bool):
    """Any right matricule of the test authority, but those configured without."""
    found = State().patient(PatientId(value=value, authority=authority))
    assert (found is not None) is known


def test_documents_are_let_go_when_there_are_too_many():
    """Contents are kept up to a number of bytes; entries stay."""
    state = State(keep_bytes=250)
    for number in range(4):
        entry = DocumentEntry(entry_uuid="D", unique_id=f"1.{number}")
        state.register(
            SubmissionSet(unique_id=f"2.{number}"), [(entry, b"x" * 100)], [], person=ME, structure="1290099887"
        )
    kept: list[Any] = [state.document(f"1.{n}") for n in range(4)]
    assert [k is not None for k in kept] == [False, False, True, True]
    assert len(state.entries()) == 4
