"""``passerelle posology``: one JSON list for all files, a line a prescription, nothing hidden by a bad file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from typer.testing import CliRunner

from gateway.commands.posology import app
from tests.support import outside

REQUEST: dict[str, Any] = {
    "resourceType": "MedicationRequest",
    "status": "active",
    "intent": "order",
    "medicationCodeableConcept": {"text": "PARACETAMOL 500 mg"},
    "dosageInstruction": [
        {
            "timing": {
                "repeat": {"frequency": 1, "period": 8, "periodUnit": "h", "duration": 5, "durationUnit": "min"}
            },
            "doseAndRate": [{"doseQuantity": {"value": 1.5, "unit": "comprimé"}}],
        }
    ],
}


def run(*arguments: str, sent: bytes | None = None) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, lines, messages."""
    result = CliRunner().invoke(app, list(arguments), input=sent)
    return result.exit_code, orjson.loads(result.stdout), result.stderr


def test_a_line_has_the_five_members(tmp_path: Path) -> None:
    """file, medication, sentence, structured, text_only; the numbers exactly as written."""
    file = tmp_path / "ligne.json"
    file.write_bytes(orjson.dumps(REQUEST))
    code, (line,), _ = run(str(file))
    assert code == 0
    assert line == {
        "file": "ligne.json",
        "medication": "PARACETAMOL 500 mg",
        "sentence": "1,5 comprimé toutes les 8 heures, durée d'administration : 5 minutes",
        "structured": {
            "mode": "normal",
            "dosage": {
                "timing": [{"kind": "every", "period": {"value": "8", "unit": "h"}}],
                "dose": {
                    "low": {"value": "1.5", "unit": "{tablet}", "display": "comprimé"},
                    "high": {"value": "1.5", "unit": "{tablet}", "display": "comprimé"},
                },
            },
        },
        "text_only": ["durée d'administration : 5 minutes"],
    }


def test_the_published_examples_make_one_list() -> None:
    """All files in one call: 89 lines, in the order of the files."""
    files = [str(f) for f in sorted((outside.samples() / "fhir-eprescription").glob("Bundle*.json"))]
    code, lines, messages = run(*files)
    assert (code, len(lines), messages) == (0, 89, "")
    assert [x["file"] for x in lines] == sorted(x["file"] for x in lines)


def test_a_bad_file_does_not_hide_the_others(tmp_path: Path) -> None:
    """Exit code 2 and a message for the bad one; the good ones are printed."""
    good, bad, worse = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "c.json"
    good.write_bytes(orjson.dumps(REQUEST))
    bad.write_bytes(b"{")
    worse.write_bytes(b'{"resourceType": "Patient"}')
    code, lines, messages = run(str(bad), str(good), str(worse), str(tmp_path / "absent.json"), "--english")
    assert code == 2
    assert [x["file"] for x in lines] == ["a.json"]
    assert messages.count("\n") == 3
    assert "This is not a FHIR Bundle." in messages


def test_standard_input_is_a_file_too() -> None:
    """A dash reads the input; no file at all is an empty list only when nothing is prescribed."""
    code, lines, _ = run("-", sent=orjson.dumps(REQUEST))
    assert (code, len(lines)) == (0, 1)
    code, lines, _ = run("-", sent=b'{"resourceType": "Bundle", "type": "searchset"}')
    assert (code, lines) == (0, [])
