"""Ten thousand questions about identity a second on one core, half of them comparisons; a patient base verified."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice

import orjson

from conformance.identity.evaluate import evaluate
from gateway.services.identity_lines import answers

NIR = "1.2.250.1.213.1.4.8"
RATE = 10_000
ROUNDS = 10
COUNT = 4000


def questions() -> Iterator[bytes]:
    """Comparisons that differ in each trait, and between them one question of every other kind."""
    base = {
        "birth_name": "D'ARTAGNAN DE L'HERAULT",
        "first_given_name": "Pierre-Alain",
        "given_names": "PIERRE-ALAIN GUNTHER",
        "sex": "M",
        "birth_date": "2001-06-17",
        "birth_place": "63220",
    }
    sides = [
        base,
        base | {"birth_name": "D ARTAGNAN DE L HERAULT"},
        base | {"first_given_name": "GUNTHER"},
        base | {"given_names": "PIERRE-ALAIN"},
        base | {"sex": "I"},
        base | {"birth_date": "2001-06-00"},
        base | {"birth_place": ""},
        base | {"birth_name": "Éléonore Straße"},
    ]
    others = [
        {"op": "matricule", "value": "101066322075460", "authority": NIR, "environment": "production"},
        {"op": "normalise", "value": "François-Xavier", "kind": "given_name"},
        {
            "op": "transition",
            "start": {"status": "PROV", "attributes": [], "ins": False},
            "events": ["INSI_FOUND_ACCEPTED", "PROOF_HIGH_CHECKED", "FEED_DMP"],
        },
        {"op": "birth_date", "value": "1958-00-00"},
        {"op": "first_name", "first_given_name": "JEAN", "given_names": "JEAN CHRISTOPHE PIERRE"},
        {"op": "identifier", "kind": "finess", "value": "2A0000014"},
        {"op": "identifier", "kind": "rpps", "value": "99700218896"},
        {
            "op": "datamatrix",
            "identity": {"matricule": "101066322075460", "oid": NIR, **base, "given_names": "PIERRE-ALAIN GUNTHER"},
        },
    ]
    comparing = cycle([{"op": "compare", "local": side, "insi": base} for side in sides])
    for other in cycle(others):
        yield orjson.dumps(next(comparing)) + b"\n"
        yield orjson.dumps(other) + b"\n"


def best(work: Callable[[], object]) -> float:
    """Processor seconds of the best of some rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def test_ten_thousand_evaluations_a_second(record_property: Callable[[str, object], None]) -> None:
    """JSON lines in, JSON lines out, guarded reading included; beside them a SHA-256 of the same lines, for scale."""
    lines = list(islice(questions(), COUNT))
    found = list(answers(lines))
    assert len(found) == COUNT
    assert not [line for line in found if b'"error"' in line]
    whole = best(lambda: list(answers(lines)))
    asked = [orjson.loads(line) for line in lines]
    alone = best(lambda: [evaluate(question) for question in asked])
    scale = best(lambda: [hashlib.sha256(line * 100).digest() for line in lines])
    record_property("evaluations_a_second", round(COUNT / whole))
    record_property("evaluations_a_second_without_json", round(COUNT / alone))
    record_property("times_a_sha256_of_a_hundred_copies", round(whole / scale, 2))
    assert COUNT / whole >= RATE, f"{COUNT / whole:.0f} a second"
