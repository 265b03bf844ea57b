"""Matching a received document with a local file: full equality with one qualified file, or a person decides."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.mss.documents import Traits
from adapters.mss.unpack import PatientKey
from gateway import identities
from gateway.services.patient_match import match_patient
from gateway.store.engine import Store
from gateway.tenants import Tenant
from gateway.vault import Vault
from mappings.document.people import Patient
from mappings.xds.model import PatientId
from tests.support import documents
from tests.unit.gateway.conftest import HandClock

TEST = "1.2.250.1.213.1.4.10"
INS = "279035121518989"
TRAITS = {"family": "PAT-TROIS", "given": "DOMINIQUE", "birth_date": "19790328", "sex": "F"}


@pytest.fixture
def remembered(store: Store, vault: Vault, tenant: Tenant, clock: HandClock) -> Any:
    """Make a local file."""

    def make(**changes: Any) -> str:
        patient = Patient.model_validate(documents.PATIENT | changes)
        return store.write_now(lambda c: identities.remember(c, vault, tenant.id, patient, None, clock())).id

    return make


def matched(store: Store, vault: Vault, tenant: Tenant, environment: str = "test", **changes: Any) -> tuple[str, Any]:
    """The match of a document that says so."""
    number = PatientId(value=changes.pop("value", INS), authority=changes.pop("authority", TEST), id_type="NH")
    key = PatientKey(identifier=changes.pop("identifier", number), traits=Traits(**(TRAITS | changes)))
    found = store.read_now(lambda c: match_patient(c, vault, tenant.id, key, environment=environment))
    return found.kind, found.identity


def test_full_equality(store: Store, vault: Vault, tenant: Tenant, remembered: Any) -> None:
    """The number and the four traits: filed."""
    identity = remembered()
    assert matched(store, vault, tenant) == ("exact", identity)
    assert matched(store, vault, tenant, family="pat-trois") == ("exact", identity)


@pytest.mark.parametrize(
    "changes",
    [{"family": "PAT-QUATRE"}, {"given": "DENIS"}, {"birth_date": "19790329"}, {"sex": "M"}, {"family": ""}],
)
def test_one_trait_differs(
    store: Store, vault: Vault, tenant: Tenant, remembered: Any, changes: dict[str, str]
) -> None:
    """The number is known, the rest is not the same, or is not said: a doubt, and no file is named."""
    remembered()
    assert matched(store, vault, tenant, **changes) == ("doubtful", None)


@pytest.mark.parametrize(
    "local", [{"status": "recuperee", "proof": None}, {"attributes": ["douteux"]}, {"attributes": ["homonyme"]}]
)
def test_a_local_file_that_is_not_sure(
    store: Store, vault: Vault, tenant: Tenant, remembered: Any, local: dict[str, Any]
) -> None:
    """Not qualified, in doubt, or known to have a homonym: a person decides."""
    remembered(**local)
    assert matched(store, vault, tenant)[0] == "doubtful"


def test_two_files_for_one_number(store: Store, vault: Vault, tenant: Tenant, remembered: Any) -> None:
    """Which of the two is not for software to say."""
    remembered()
    remembered(identifiers=[{"root": "1.2.250.1.999.9.5", "extension": "IPP43"}])
    assert matched(store, vault, tenant) == ("doubtful", None)


def test_unknown_here_known_elsewhere(store: Store, vault: Vault, tenant: Tenant, remembered: Any) -> None:
    """A number nobody has here is unknown; so is one that another structure holds."""
    assert matched(store, vault, tenant) == ("unknown", None)
    remembered()
    other = Tenant(id="tnt_other", structure_id="1", name="x", activity_sector="SA07", references={})
    assert matched(store, vault, other) == ("unknown", None)


@pytest.mark.parametrize(
    "changes",
    [{"identifier": None}, {"authority": "1.2.250.1.999.9.5"}, {"value": "2790351215189"}],
)
def test_no_usable_number(store: Store, vault: Vault, tenant: Tenant, remembered: Any, changes: dict[str, Any]) -> None:
    """None, a local one, or half a number: nothing to match with."""
    remembered()
    assert matched(store, vault, tenant, **changes)[0] == "none"


def test_a_test_number_never_matches_in_production(store: Store, vault: Vault, tenant: Tenant, remembered: Any) -> None:
    """The test authority is for the test environment alone."""
    remembered()
    assert matched(store, vault, tenant, environment="production")[0] == "none"
