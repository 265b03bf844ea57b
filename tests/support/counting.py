"""Three counts that know nothing of one another: plain SQL over the lines, the sealed chain, and the simulators.

They must say the same: how many lines of each sort, and, name by name, what reached the registry, the mailboxes and
the e-prescription base.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import httpx
from sqlalchemy import Connection, func, select, text

from adapters.sandbox import Sandbox
from gateway.feeds.counts import counts
from gateway.feeds.entry import opaque_hash
from gateway.feeds.ledger import seal, tenants_to_seal
from gateway.feeds.tables import entries
from gateway.feeds.verification import all_tenants, recount, verify
from gateway.store.engine import Store
from tests.support.feeding import mails_of, registry_of

__all__ = ["differences", "seal_all", "wait_sealed"]

Sort = tuple[str, str, str, str, str]  #: tenant, month, service, outcome, type

_PLAIN = text(
    "SELECT tenant, substr(day, 1, 7), kind, state, coalesce(doc_type, ''), count(*) FROM feed_entries "
    "GROUP BY tenant, substr(day, 1, 7), kind, state, coalesce(doc_type, '')"
)


def seal_all(store: Store) -> None:
    """Seal what a node that was stopped or killed left behind."""
    for tenant in store.read_now(tenants_to_seal):
        while store.write_now(lambda c, t=tenant: seal(c, t)).more:  # type: ignore[misc]
            pass


def wait_sealed(store: Store, seconds: float = 20) -> None:
    """Wait until the running node sealed everything."""
    deadline = time.monotonic() + seconds
    while store.read_now(tenants_to_seal):
        assert time.monotonic() < deadline, "lines stay unsealed"
        time.sleep(0.05)


def differences(store: Store, sandbox: Sandbox) -> list[str]:
    """What differs between the three counts, in words; empty when they agree. Everything is sealed by now."""
    wrong = store.read_now(_inside)
    names = store.read_now(_names)
    return wrong + _outside(names, sandbox)


def _inside(connection: Connection) -> list[str]:
    """Plain SQL, the running totals as the interface reads them, and the chain line by line."""
    plain: Counter[Sort] = Counter()
    for tenant, month, kind, state, doc_type, number in connection.execute(_PLAIN):
        plain[(tenant, month, kind, state, doc_type)] += number
    by = ("tenant", "month", "outcome", "type")
    totals: Counter[Sort] = Counter()
    for row in counts(connection, by=by, max_groups=1_000_000):
        group = row.group
        totals[(group["tenant"], group["month"], row.service, group["outcome"], group["type"])] += row.count
    chain: Counter[Sort] = Counter()
    wrong: list[str] = []
    for tenant in all_tenants(connection):
        for key, number in recount(connection, tenant).items():
            chain[(tenant, key[0], key[1], key[2], key[3] or "")] += number
        wrong += [f"{tenant}: {finding.code}" for finding in verify(connection, tenant).verdict.findings]
    for name, other in (("totals", totals), ("chain", chain)):
        for sort in sorted(plain.keys() | other.keys()):
            if plain[sort] != other[sort]:
                wrong.append(f"{'/'.join(sort)}: {plain[sort]} by SQL, {other[sort]} in the {name}")
    return wrong


def _names(connection: Connection) -> dict[str, Counter[str]]:
    """What the ledger says reached each service, name by name."""

    def of(column: Any, kind: str, state: str) -> Counter[str]:
        query = select(column, func.count()).where(entries.c.kind == kind, entries.c.state == state).group_by(column)
        return Counter(
            {(key.hex() if isinstance(key, bytes) else str(key)): number for key, number in connection.execute(query)}
        )

    return {
        "dmp": of(entries.c.unique_id_hash, "dmp.document", "accepted"),
        "deleted": of(entries.c.unique_id_hash, "dmp.document", "deleted"),
        "mss": of(entries.c.target_receipt, "mss.message", "submitted"),
        "orders": Counter(
            {
                state: connection.execute(
                    select(func.count()).where(entries.c.kind == "eprescription", entries.c.state == state)
                ).scalar_one()
                for state in ("created", "dispensed")
            }
        ),
    }


def _outside(names: dict[str, Counter[str]], sandbox: Sandbox) -> list[str]:
    # The registry writes an entry anew at each change of metadata, under the same uniqueId.
    there = [row for row in registry_of(sandbox) if row["status"] != "Deleted"]
    fed = {opaque_hash("unique-id", str(row["uniqueId"])) for row in there} | names["deleted"].keys()
    mailed = {str(mail["messageId"]) for mail in mails_of(sandbox) if mail["documents"]}
    wrong = _compared("registry", names["dmp"], fed) + _compared("mailboxes", names["mss"], mailed)
    held = httpx.get(f"{sandbox.ordonnance.api_url}/prescriptions", trust_env=False, timeout=30).json()
    made = sum(len(one["executions"]) for one in held)
    for state, number in (("created", len(held)), ("dispensed", made)):
        if names["orders"][state] != number:
            wrong.append(f"{names['orders'][state]} e-prescriptions {state}, {number} in the national base")
    return wrong


def _compared(place: str, counted: Counter[str], there: Iterable[str]) -> list[str]:
    there = set(there)
    wrong = [f"{name}: counted {times} times" for name, times in sorted(counted.items()) if times > 1]
    wrong += [f"{name}: counted, not in the {place}" for name in sorted(counted.keys() - there)]
    return wrong + [f"{name}: in the {place}, not counted" for name in sorted(there - counted.keys())]
