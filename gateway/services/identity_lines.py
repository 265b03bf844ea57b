"""Identity questions as JSON lines: one line in, one line out, whatever the line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import orjson

from conformance.identity.evaluate import evaluate
from security import json
from security.errors import UnsafeInput

__all__ = ["MAX_LINE", "answers"]

#: One question is a few hundred bytes; a longer line is not one.
MAX_LINE: Final = 64 * 1024


def answers(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Answer questions in JSON lines, one line out for each line in; a blank line is skipped."""
    for line in lines:
        if not line.strip():
            continue
        try:
            question = json.loads(line, max_bytes=MAX_LINE)
        except UnsafeInput as error:
            yield orjson.dumps({"error": error.code}) + b"\n"
            continue
        try:
            yield orjson.dumps(evaluate(question)) + b"\n"
        except (TypeError, ValueError):
            # A lone surrogate survives in the answer and has no UTF-8 form.
            yield b'{"error":"unexpected value"}\n'
