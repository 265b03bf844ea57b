"""Each row of the rights matrices over mutual TLS: one call that passes, one that is refused, in each mode."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

import adapters.dmp.simulator.caller as rights_module
from adapters.dmp import updates
from adapters.dmp.actor import Actor
from adapters.dmp.client import DmpClient
from adapters.dmp.messages import DocumentRequest
from adapters.dmp.outcomes import Outcome
from adapters.dmp.search import SearchFilters
from adapters.dmp.simulator.state import REPOSITORY, Patient
from mappings.xds import DocumentEntry
from mappings.xds import vocabulary as v
from security.vihf import Coded, Mode, Purpose, VihfClaims
from tests.support.cda_samples import RPPS, STRUCTURE
from tests.support.dmp import OPEN_PATIENT, Bench, a_doctor, a_document, run

MATRIX: dict[str, Any] = orjson.loads((Path(rights_module.__file__).parent / "data" / "rights.json").read_bytes())
MODES = ("DIRECTE", "INDIRECTE", "INDIRECTE_RENFORCEE")
PURPOSES = ("normal", "centre_15", "bris_de_glace")
OTHER = a_doctor(id="899900000017", family="MARTIN", given="Paul")
#: The restriction a document must have for a change to ask for the right of a row.
HIDDEN = {"TD3.2-masked": "MASQUE_PS", "TD3.3a-unmask": "MASQUE_PS", "TD3.3b": "INVISIBLE_PATIENT"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accessing(Actor):
    """Someone who accesses in one manner, whatever is asked."""

    purpose: str = "normal"

    def claims(self, *arguments: Any, **options: Any) -> VihfClaims:
        """The assertion says how the record is accessed."""
        return Actor.claims(self, *arguments, **{**options, "purpose": Purpose(self.purpose)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A call of one cell of a matrix: who, how, and whose document."""

    column: str
    purpose: str
    mine: bool

    @property
    def actor(self) -> Actor:
        """The caller of the column, always the same person."""
        roles: dict[str, dict[str, Any]] = {
            "cps": {
                "profession": Coded(code="60", system="1.2.250.1.71.1.2.7", system_name="G15", display="Infirmier"),
                "specialty": None,
            },
            "occupational": {
                "specialty": Coded(code="SM25", system="1.2.250.1.71.4.2.5", system_name="R01", display="Travail")
            },
            "staff": {
                "profession": Coded(code="SECRETARIAT_MEDICAL", system="1.2.250.1.213.1.1.4.6", display="Secrétariat"),
                "specialty": None,
            },
        }
        person = a_doctor(**roles.get(self.column, {}))
        values = {name: getattr(person, name) for name in Actor.__slots__}
        return Accessing(purpose=self.purpose, **values)


def cells(mode: str, right: str) -> tuple[Cell | None, Cell | None]:
    """A cell of a row that passes and one that is refused; None where the row has no such cell."""
    passing: list[Cell] = []
    refused: list[Cell] = []
    for column, line in MATRIX[mode][right].items():
        if (right, column) == ("TD0.4", "treating"):
            continue  # a call without a patient makes nobody a treating doctor
        for purpose, cell in zip(PURPOSES, line.split(), strict=True):
            mine = Cell(column=column, purpose=purpose, mine=True)
            theirs = Cell(column=column, purpose=purpose, mine=False)
            if cell == "y":
                passing.append(theirs if right in OF_A_DOCUMENT else mine)
            elif cell == "n":
                refused.append(mine)
            elif cell == "own":
                passing.append(mine)
                refused.append(theirs)
            elif cell in ("structure", "allowed", "own_or_allowed"):
                passing.append(mine)
    # Refusals that hang on whose the document is say more than those of a closed column.
    refused.sort(key=lambda c: c.mine)
    return (passing[0] if passing else None), (refused[0] if refused else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a transaction is given."""

    client: DmpClient
    actor: Actor
    mode: Mode
    entry: DocumentEntry  #: as the registry has it

    def change(self, codes: Callable[[DocumentEntry], tuple[Any, ...]]) -> Awaitable[Outcome]:
        """Change who sees the document."""
        made = updates.prepare_confidentiality(self.entry, codes(self.entry), **self._options())
        return self.client.update(made, self.actor, mode=self.mode)

    def status(self, new: str) -> Awaitable[Outcome]:
        """Change the status of the document."""
        made = updates.prepare_status(
            self.entry.entry_uuid, original=v.APPROVED, new=new, patient=OPEN_PATIENT, **self._options()
        )
        return self.client.update(made, self.actor, mode=self.mode)

    def _options(self) -> dict[str, Any]:
        return {
            "actor": self.actor,
            "endpoint": self.client.endpoint,
            "set_unique_id": "1.2.250.1.999.9.7.99",
            "now": datetime.now(UTC),
        }


async def _status(c: Call) -> Outcome:
    return (await c.client.patient_status(OPEN_PATIENT, c.actor, mode=c.mode)).outcome


async def _add(c: Call) -> Outcome:
    return await c.client.set_authorization(OPEN_PATIENT, c.actor, add=True, mode=c.mode)


async def _remove(c: Call) -> Outcome:
    return await c.client.set_authorization(OPEN_PATIENT, c.actor, add=False, mode=c.mode)


async def _give_up(c: Call) -> Outcome:
    return await c.client.set_authorization(OPEN_PATIENT, c.actor, add=False, treating_doctor=True, mode=c.mode)


async def _list(c: Call) -> Outcome:
    since = datetime.now(UTC) - timedelta(days=1)
    return (await c.client.authorized_records(c.actor, since=since, mode=c.mode)).outcome


async def _feed(c: Call) -> Outcome:
    prepared = c.client.prepare([a_document("1.2.250.1.999.9.2.902", ins=OPEN_PATIENT.value)], c.actor)
    return await c.client.submit(prepared, c.actor, mode=c.mode)


async def _search(c: Call) -> Outcome:
    return (await c.client.search(SearchFilters(), OPEN_PATIENT, c.actor, mode=c.mode)).outcome


async def _reference(c: Call) -> Outcome:
    return (await c.client.find_by_unique_id(c.entry.unique_id, OPEN_PATIENT, c.actor, mode=c.mode)).outcome


async def _retrieve(c: Call) -> Outcome:
    asked = [DocumentRequest(repository_unique_id=REPOSITORY, document_unique_id=c.entry.unique_id)]
    return (await c.client.retrieve(asked, OPEN_PATIENT, c.actor, mode=c.mode)).outcome


CALLS: dict[str, Callable[[Call], Awaitable[Outcome]]] = {
    "TD0.2": _status,
    "TD0.3-add": _add,
    "TD0.3-remove": _remove,
    "TD0.3-give-up": _give_up,
    "TD0.4": _list,
    "TD2.1": _feed,
    "TD3.1": _search,
    "TD3.1-reference": _reference,
    "TD3.2": _retrieve,
    "TD3.2-masked": _retrieve,
    "TD3.3a-mask": lambda c: c.change(updates.mask),
    "TD3.3a-unmask": lambda c: c.change(updates.unmask),
    "TD3.3b": lambda c: c.change(updates.show_to_patient),
    "TD3.3c": lambda c: c.status(v.DELETED),
    "TD3.3d": lambda c: c.status(v.ARCHIVED),
}
OF_A_DOCUMENT = frozenset(right for right in CALLS if right.startswith("TD3.")) - {"TD3.1", "TD3.1-reference"}


async def _try(bench: Bench, client: DmpClient, mode: str, right: str, cell: Cell) -> Outcome:
    """Feed the document that the cell is about, then make the call."""
    state = bench.sandbox.state
    state.clear()
    state.add_patient(
        Patient(
            matricule=OPEN_PATIENT.value,
            authorizations={RPPS: "VALIDE", OTHER.id: "VALIDE", STRUCTURE: "VALIDE"},
            treating_doctor=RPPS if cell.column == "treating" else "",
        )
    )
    owner = a_doctor() if cell.mine else OTHER
    hidden = HIDDEN.get(right)
    document = a_document(
        "1.2.250.1.999.9.2.901",
        ins=OPEN_PATIENT.value,
        rpps=owner.id,
        visibility=frozenset({hidden} if hidden else ()),
    )
    assert (await client.submit(client.prepare([document], owner), owner)).ok
    entry = state.of_unique_id("1.2.250.1.999.9.2.901")[-1].entry
    return await CALLS[right](Call(client=client, actor=cell.actor, mode=Mode(mode), entry=entry))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("right", sorted(CALLS))
def test_each_row_of_the_rights_passes_and_is_refused(bench: Bench, mode: str, right: str) -> None:
    """What the matrix gives is done; what it does not is refused, with the reason in words."""
    passing, refused = cells(mode, right)
    assert passing is not None or refused is not None

    async def scenario() -> None:
        async with bench.client() as client:
            if passing is not None:
                outcome = await _try(bench, client, mode, right, passing)
                assert outcome.ok, (passing, outcome.code, outcome.original_text)
            if refused is not None:
                outcome = await _try(bench, client, mode, right, refused)
                assert not outcome.ok, refused
                assert outcome.original_code in ("DMPAccessDenied", "XDSDocumentUniqueIdError"), refused
                assert outcome.cause.fr

    run(scenario())


def test_every_row_is_tried() -> None:
    """The rows of the data file are those tried, and each has in some mode a cell that passes and one refused."""
    for mode in MODES:
        assert set(MATRIX[mode]) == set(CALLS)
    for right in CALLS:
        found = [cells(mode, right) for mode in MODES]
        assert any(passing for passing, _ in found), right
        assert any(refused for _, refused in found), right
