"""Handles: the same for the same caller, nothing for anybody else, over after a time."""

from __future__ import annotations

from datetime import timedelta

from gateway.services.handles import Target, keep, open_handle
from gateway.store.engine import Store
from gateway.tenants import Tenant
from gateway.vault import Vault
from mappings.xds import PatientId
from tests.unit.gateway.conftest import HandClock

PATIENT = PatientId(value="279035121518989", authority="1.2.250.1.213.1.4.10")
TARGET = Target(patient=PATIENT, unique_id="1.2.3", repository="1.2.4", mime_type="text/xml", sha1="00")


def handle_of(store: Store, vault: Vault, tenant: Tenant, clock: HandClock, client: str, actor: str) -> str:
    """The handle of the document for a caller."""
    return store.write_now(
        lambda c: keep(c, vault, tenant=tenant.id, client=client, actor=actor, targets=[TARGET], now=clock(), hours=24)
    )[0]


def opened(store: Store, vault: Vault, tenant: Tenant, clock: HandClock, *who: str) -> Target | None:
    """What a handle names for a caller."""
    client, actor, handle = who
    return store.read_now(
        lambda c: open_handle(c, vault, tenant=tenant.id, client=client, actor=actor, handle=handle, now=clock())
    )


def test_a_handle_names_its_document_for_its_caller_only(
    store: Store, vault: Vault, tenant: Tenant, clock: HandClock
) -> None:
    """Stable, fit for a FHIR id, without the patient in it; another program or professional gets nothing."""
    handle = handle_of(store, vault, tenant, clock, "a", "8001")
    assert handle == handle_of(store, vault, tenant, clock, "a", "8001")
    assert handle.isalnum()
    assert len(handle) <= 64
    assert PATIENT.value not in handle
    assert opened(store, vault, tenant, clock, "a", "8001", handle) == TARGET
    assert opened(store, vault, tenant, clock, "b", "8001", handle) is None
    assert opened(store, vault, tenant, clock, "a", "8002", handle) is None
    assert handle_of(store, vault, tenant, clock, "a", "8002") != handle
    assert handle_of(store, vault, tenant, clock, "b", "8001") != handle


def test_a_handle_ends(store: Store, vault: Vault, tenant: Tenant, clock: HandClock) -> None:
    """After a day it names nothing; searching again gives the same one anew."""
    handle = handle_of(store, vault, tenant, clock, "a", "8001")
    clock.at += timedelta(hours=25)
    assert opened(store, vault, tenant, clock, "a", "8001", handle) is None
    assert handle_of(store, vault, tenant, clock, "a", "8001") == handle
    assert opened(store, vault, tenant, clock, "a", "8001", handle) == TARGET


def test_many_handles_at_once(store: Store, vault: Vault, tenant: Tenant, clock: HandClock) -> None:
    """A search of a thousand documents, twice."""
    targets = [Target(patient=PATIENT, unique_id=f"1.2.3.{n}") for n in range(1000)]
    for _ in range(2):
        names = store.write_now(
            lambda c: keep(c, vault, tenant=tenant.id, client="a", actor="8001", targets=targets, now=clock(), hours=1)
        )
        assert len(set(names)) == 1000
