"""``passerelle identity`` from the command line."""

from __future__ import annotations

from pathlib import Path

import orjson
import typer
from typer.testing import CliRunner

from gateway.commands.identity import app
from gateway.services.identity_lines import answers

whole = typer.Typer()
whole.add_typer(app, name="identity")
QUESTION = b'{"op":"identifier","kind":"cog","value":"2A004"}'
ANSWER = {"verdict": "valid", "code": None}


def test_questions_on_standard_input_are_answered_line_by_line() -> None:
    """One JSON line out for each line in, wrong ones included, in order."""
    lines = b"\n".join([QUESTION, b"", b"{", b'{"op":"x"}', QUESTION])
    result = CliRunner().invoke(whole, ["identity", "evaluate"], input=lines)
    assert result.exit_code == 0
    out = [orjson.loads(line) for line in result.stdout_bytes.splitlines()]
    assert len(out) == 4
    assert out[0] == out[3] == ANSWER
    assert out[1] == {"error": "JSON-SYNTAX-001"}
    assert list(out[2]) == ["error"]


def test_questions_of_a_file_are_answered(tmp_path: Path) -> None:
    """A path reads the questions from a file."""
    source = tmp_path / "questions.jsonl"
    source.write_bytes(QUESTION)
    result = CliRunner().invoke(whole, ["identity", "evaluate", str(source)])
    assert orjson.loads(result.stdout_bytes) == ANSWER


def test_an_endless_line_is_one_error() -> None:
    """A line past the limit is refused whole, and the next one is answered."""
    result = CliRunner().invoke(whole, ["identity", "evaluate"], input=b"[" * 300_000 + b"\n" + QUESTION)
    out = [orjson.loads(line) for line in result.stdout_bytes.splitlines()]
    assert [list(line) for line in out] == [["error"], ["verdict", "code"]]


def test_a_lone_surrogate_does_not_stop_the_stream() -> None:
    """A text without UTF-8 form gets an error, and the stream goes on."""
    strange = b'{"op":"normalise","kind":"birth_name","value":"\\ud800"}'
    first, second = answers([strange, QUESTION])
    assert "error" in orjson.loads(first)
    assert orjson.loads(second) == ANSWER


def test_a_file_that_is_not_there_is_said_plainly() -> None:
    """A wrong path is an error of use, not a traceback."""
    result = CliRunner().invoke(whole, ["identity", "evaluate", "/nowhere/questions.jsonl"])
    assert result.exit_code == 2
    assert "questions.jsonl" in result.output


def test_without_a_service_the_missing_setting_is_named() -> None:
    """search and verify say which setting is empty."""
    for command in ("search", "verify"):
        result = CliRunner().invoke(whole, ["identity", command], input=b"{}", env={"PASSERELLE_INSI__URL": ""})
        assert result.exit_code == 2
        assert "insi.url" in result.output
