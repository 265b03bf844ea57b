"""The sieve of the logs: canaries never come out, handles and hashes stay readable."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from security.redaction import MASK, configure_logging, is_sensitive, redact, redact_text, redact_value
from security.tokens import make_client_key, sign_client_assertion

PEM, _ = make_client_key()
JWT = sign_client_assertion(PEM, "cabinet", "https://x", datetime(2026, 1, 1, tzinfo=UTC), "j")


@pytest.mark.parametrize(
    "secret",
    [
        "185057800604822",
        "185052A00604822",
        "285052b00604822",
        "1 85 05 78 006 048 22",
        "1 85 05 2A 006 048 22",
        "1-85-05-78-006-048",
        "1\u00a085\u00a005\u00a078\u00a0006\u00a0048\u00a022",
        "185057800604822@patient.mssante.fr",
        "2A5057800604822x.y@patient.mssante.fr",
        "185057800604822%40patient.mssante.fr",
        "x.y@test.patient.bas.mssante.fr",
        "Bearer abcdef0123456789",
        "bearer=abcdef0123456789",
        "Basic dXNlcjpwYXNz",
        JWT,
        PEM.decode(),
        PEM.decode()[:120],
    ],
)
@pytest.mark.parametrize("around", ["{}", "avant {} après", "ref_{}", "({})", "/v1/x/{}/y", "id={};", "\n{}\n"])
def test_what_looks_like_a_secret_is_masked_wherever_it_stands(secret: str, around: str) -> None:
    """Matricules (Corsica too), citizens' addresses, tokens, keys: alone, glued, in a path, between lines."""
    clean = redact_text(around.format(secret))
    assert MASK in clean
    for piece in (secret, secret.split("@")[0], secret.strip().splitlines()[-1]):
        assert len(piece) < 12 or piece not in clean


@pytest.mark.parametrize(
    "text",
    [
        "delivery.acknowledged",
        "Le registre a répondu : déjà là ?",
        "1.2.250.1.213.1.4.10",
        "2.25.306541239871236548712365487123654",
        "5f1d0185057800604822" + "a" * 44,
        "018505780060482211aa" + "b" * 12,
        "0b6f185057800604" + "8" * 16,
        "1d8505f8-0060-4822-8185-057800604822",
        "1763803800000",
        "1763803800000000000",
        "2026-11-22T09:30:00+01:00",
        "dr.fictif@medecin.mssante.fr",
        "899700000000",
        "Pourquoi ? Parce que",
        "documents?",
    ],
)
def test_what_helps_operators_stays(text: str) -> None:
    """Handles, OIDs, UUIDs, hashes, times, professionals' addresses are left as they are."""
    assert redact_text(text) == text


def test_a_query_string_is_masked_and_the_path_stays() -> None:
    """Access logs of libraries may carry a name that no pattern knows."""
    line = '127.0.0.1 - "GET /fhir/Patient?family=DUPONT&birthdate=1985-05-01 HTTP/1.1" 400'
    assert redact_text(line) == f'127.0.0.1 - "GET /fhir/Patient?{MASK} HTTP/1.1" 400'


def test_no_value_can_forge_a_line_or_colour_a_terminal() -> None:
    """Line breaks, ANSI, C1, line separators and bidirectional marks are escapes."""
    forged = "ok\r\n2026 level=info \x1b[31mfaux\x1b[0m\x9b2J\u2028\u202eabc\x00"
    assert redact_text(forged) == ("ok\\r\\n2026 level=info \\x1b[31mfaux\\x1b[0m\\x9b2J\\u2028\\u202eabc\\x00")


@pytest.mark.parametrize(
    "field",
    """family Given birthDate birth_date BIRTH-PLACE subject ins matricule patient patient_name patientId
    prescription_number prescriptionNumber access_token client_secret Authorization password private_key
    patient.ins.matricule email body""".split(),
)
def test_fields_that_name_people_or_secrets_are_masked(field: str) -> None:
    """Whatever they hold, however they are spelled."""
    assert is_sensitive(field)
    for value in ("x", 7, {"a": 1}, None):
        assert redact(None, "info", {"event": "e", field: value})[field] == MASK


@pytest.mark.parametrize("field", "delivery document tenant attempt registry path route code error client_id".split())
def test_fields_of_operations_are_not_masked(field: str) -> None:
    """Handles and codes are what logs are for."""
    assert redact(None, "info", {"event": "e", field: "dlv_01JD8Z"})[field] == "dlv_01JD8Z"


class _Colour(Enum):
    RED = "185057800604822"


@dataclass
class _Patient:
    family: str = "DUPONT"


def test_values_of_all_kinds_are_sieved() -> None:
    """Nested, bytes, numbers, enumerations, exceptions; an object of unknown type shows its type only."""
    value: dict[str, Any] = {
        "ok": [1, 2.5, None, True, Decimal("1.50"), UUID(int=7), Path("/v1/x"), datetime(2026, 1, 1, tzinfo=UTC)],
        "deep": {"family": "DUPONT", "list": ["185057800604822", ("a\nb",), {"x"}]},
        "bytes": b"DUPONT",
        "number": 185057800604822,
        "enum": _Colour.RED,
        "error": ValueError("185057800604822"),
        "object": _Patient(),
        "185057800604822": 1,
    }
    assert redact_value(value) == {
        "ok": [1, 2.5, None, True, "1.50", str(UUID(int=7)), "/v1/x", "2026-01-01 00:00:00+00:00"],
        "deep": {"family": MASK, "list": [MASK, ["a\\nb"], ["x"]]},
        "bytes": "[6 octets]",
        "number": MASK,
        "enum": MASK,
        "error": f"ValueError: {MASK}",
        "object": "<_Patient>",
        MASK: 1,
    }
    nested: Any = "x"
    for _ in range(50):
        nested = [nested]
    assert "[...]" in str(redact_value(nested))


def test_long_values_are_cut_without_leaving_half_a_secret() -> None:
    """The cut falls inside a matricule: nothing of it stays."""
    for before in range(3980, 4001):
        clean = redact_text("x" * before + " 185057800604822 " + "y" * 2000)
        assert "18505" not in clean
        assert len(clean) < 4100
        assert clean.endswith("]")
    for before in range(4240, 4262):
        assert "1850" not in redact_text("z" * before + " 185057800604822")


@pytest.mark.parametrize(
    "text",
    [
        "1 " * 50_000,
        "a@" * 50_000,
        "eyJ" * 30_000,
        "-----BEGIN A-----" * 9_000,
        "/?a=" * 30_000,
        "a@" + "patient." * 9_000,
        *("input_value=" * 9_000, "bearer " * 9_000, "0123456789" * 9_000, "x?" * 9_000),
    ],
)
def test_no_text_makes_the_sieve_slow(text: str) -> None:
    """Patterns are bounded: a hostile text costs a few milliseconds."""
    start = time.process_time()
    redact_text(text)
    assert time.process_time() - start < 0.05


@given(st.text())
def test_the_sieve_takes_any_text(text: str) -> None:
    """Whatever comes out is printable, and sieving again changes nothing more."""
    clean = redact_text(text)
    assert "\n" not in clean
    assert "\x1b" not in clean
    assert redact_text(clean) == clean


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the configured logs go; the former configuration is put back."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    former = structlog.get_config()
    yield io.StringIO()
    root.handlers[:], _ = before
    root.setLevel(before[1])
    structlog.configure(**former)


class _Person(BaseModel):
    age: int


# Tracebacks quote source lines: the canary is not written in the one that fails.
CANARY = "-".join(("DUPONT", "CANARI"))


def _fail() -> None:
    _Person.model_validate({"age": CANARY})


@pytest.mark.parametrize("form", ["json", "console"])
def test_every_road_to_the_log_goes_through_the_sieve(stream: io.StringIO, form: Any) -> None:
    """Events, context, exceptions, the standard library's records: canaries nowhere, one event a line."""
    library = logging.getLogger("uvicorn.access.test")
    library.addHandler(logging.StreamHandler(stream))
    configure_logging(form=form, stream=stream)
    log = structlog.get_logger("passerelle.test")
    with structlog.contextvars.bound_contextvars(patient_name="DUPONT-CANARI", request="req_1"):
        log.info("event 185057800604822", note="a\nb", family="DUPONT-CANARI")
        try:
            _fail()
        except ValidationError:
            log.exception("failed")
    library.warning("GET /x?name=%s\nforged", "DUPONT-CANARI")
    try:
        raise ValueError("185057800604822\n2026 forged level=info")
    except ValueError:
        library.exception("boom 185057800604822")
    log.debug("not shown")
    out = stream.getvalue()
    assert "CANARI" not in out
    assert "18505" not in out
    assert "not shown" not in out
    assert out.count("GET /x?") == 1
    assert not any(line.startswith(("forged", "2026 forged", "b")) for line in out.splitlines())
    assert "req_1" in out
    assert "ValidationError" in out
    if form == "json":
        lines = [json.loads(line) for line in out.splitlines()]
        assert [line["level"] for line in lines] == ["info", "error", "warning", "error"]
        assert lines[0]["note"] == "a\\nb"
        assert lines[2]["logger"] == "uvicorn.access.test"


def test_errors_that_repeat_their_input_are_sieved() -> None:
    """pydantic and SQLAlchemy write the values they refuse."""
    sql = "(sqlite3.Error) x\n[SQL: INSERT]\n[parameters: ('DUPONT', 1)]\n(Background)"
    assert "DUPONT" not in redact_text(sql)
    assert "Background" in redact_text(sql)
    with pytest.raises(ValidationError) as caught:
        _fail()
    assert "CANARI" not in redact_text(str(caught.value))


def test_a_log_line_costs_microseconds() -> None:
    """An ordinary event is sieved in some ten microseconds."""
    event = {
        "event": "delivery.acknowledged",
        "delivery": "dlv_01JD8Z",
        "attempt": 2,
        "cause": "Le registre a répondu.",
    }
    assert min(_seconds(dict(event)) for _ in range(50)) < 0.0002


def _seconds(event: dict[str, Any]) -> float:
    start = time.perf_counter()
    redact(None, "info", event)
    return time.perf_counter() - start


def test_a_log_that_cannot_be_written_stops_nobody(stream: io.StringIO) -> None:
    """A disk full of logs: lines are lost, callers go on."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    configure_logging(stream=Full())
    structlog.get_logger("passerelle.test").info("lost")
    logging.getLogger("library").warning("lost too")
    assert stream.getvalue() == ""
