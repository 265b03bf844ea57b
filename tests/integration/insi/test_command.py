"""``passerelle identity search`` and ``verify`` against the simulator."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from adapters.insi.people import generate
from adapters.insi.sandbox import SANDBOX_IDAM, InsiSandbox
from gateway.commands.identity import app
from security.pki import SandboxPki


@pytest.fixture
def environment(insi: InsiSandbox, pki: SandboxPki) -> dict[str, str]:
    return {
        "PASSERELLE_ENVIRONMENT": "test",
        "PASSERELLE_INSI__URL": insi.url,
        "PASSERELLE_INSI__TRUST": str(pki.trust),
        "PASSERELLE_INSI__CERTIFICATE": str(pki.insi.cert_path),
        "PASSERELLE_INSI__KEY": str(pki.insi.key_path),
        "PASSERELLE_INSI__IDAM": SANDBOX_IDAM,
        "PASSERELLE_INSI__REMAP_TEST_AUTHORITY": "true",
    }


def ask(command: str, questions: list[Any], environment: dict[str, str]) -> list[dict[str, Any]]:
    lines = b"\n".join(q if isinstance(q, bytes) else orjson.dumps(q) for q in questions)
    result = CliRunner().invoke(app, [command], input=lines, env=environment)
    assert result.exit_code == 0, result.output
    return [orjson.loads(line) for line in result.stdout_bytes.splitlines()]


def test_people_are_searched_line_by_line(environment: dict[str, str]) -> None:
    """Found with its comparison, not sendable with its faults, not a question with its code."""
    zoe = {
        "birth_name": "Adrun",
        "first_given_name": "Zoé",
        "sex": "F",
        "birth_date": "1975-12-31",
        "birth_place": "63220",
    }
    found, unsent, locked, wrong = ask(
        "search", [zoe, zoe | {"sex": "I"}, zoe | {"attributes": ["douteux"]}, b"{"], environment
    )
    assert found["ins"] == {"value": "275126322074974", "authority": "1.2.250.1.213.1.4.10"}
    assert (found["outcome"], found["comparison"]["verdict"], found["calls"]) == ("found", "MATCH_EXACT", 1)
    assert (unsent["code"], unsent["faults"]) == ("INSI-REQ-001", {"sex": "SEX_UNDETERMINED"})
    assert locked["code"] == "INSI-REQ-002"
    assert wrong == {"error": "JSON-SYNTAX-001"}


def test_identities_held_are_verified_under_the_authority_they_are_kept_with(environment: dict[str, str]) -> None:
    """Answers carry the reference and no trait; those kept under the test authority are asked about under the real."""
    people = [p for p in generate(12) if p.individual is not None and p.individual.active.oid.endswith(".8")]
    held = [
        {
            "reference": f"p{n}",
            "matricule": p.individual.active.value,
            "oid": "1.2.250.1.213.1.4.10",
            **p.traits.as_dict(),
        }
        for n, p in enumerate(people)
        if p.individual is not None
    ]
    wrong = held[0] | {"reference": "swapped", "sex": "M"}
    out = ask("verify", [*held, wrong, {"reference": "short", "matricule": "1"}], environment)
    answers = {line["reference"]: line.get("code") or line["error"] for line in out}
    assert answers == {**{h["reference"]: "INSI-VER-OK" for h in held}, "swapped": "INSI-VER-KO", "short": "BAD_FORMAT"}
    assert people[0].traits.birth_name not in str(out)


def test_what_insi_says_of_somebody_else_is_not_shown(environment: dict[str, str]) -> None:
    """NO_MATCH: the verdict and its reasons, and nothing of the person found."""
    wrong = {
        "birth_name": "TCHITCHI",
        "first_given_name": "OLA",
        "given_names": "OLA CATARINA",
        "sex": "F",
        "birth_date": "1936-06-21",
        "birth_place": "63220",
    }
    (found,) = ask("search", [wrong], environment)
    assert found["comparison"]["verdict"] == "NO_MATCH"
    assert not {"ins", "traits", "history"} & set(found)


def _listen(terminal: int, heard: list[bytes]) -> None:
    """What is shown, until the other end is closed."""
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 65536):
            heard.append(data)


def test_a_terminal_sees_a_bar_and_a_file_only_answers(environment: dict[str, str], tmp_path: Path) -> None:
    """Progress goes to the terminal of standard error, answers to standard output, one a line."""
    people = [p for p in generate(60) if p.individual is not None]
    base = tmp_path / "base.jsonl"
    base.write_bytes(
        b"".join(
            orjson.dumps(
                {
                    "reference": f"p{n}",
                    "matricule": p.individual.active.value,
                    "oid": p.individual.active.oid,
                    **p.traits.as_dict(),
                }
            )
            + b"\n"
            for n, p in enumerate(people)
            if p.individual is not None
        )
    )
    ours, theirs = pty.openpty()
    heard: list[bytes] = []
    reader = threading.Thread(target=_listen, args=(ours, heard))
    reader.start()
    done = subprocess.run(
        [sys.executable, "-c", "from gateway.cli import main; main()", "identity", "verify", str(base)],
        env=os.environ | environment | {"TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=120,
        check=False,
    )
    os.close(theirs)
    reader.join(30)
    os.close(ours)
    shown = b"".join(heard).decode(errors="replace")
    assert done.returncode == 0, shown
    assert len(done.stdout.splitlines()) == len(people)
    assert f"{len(people)} identités vérifiées" in shown
    assert people[0].traits.birth_name not in shown
