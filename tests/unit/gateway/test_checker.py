"""The offline checker of the crash tests finds each kind of broken promise, and nothing when all were kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.checker import check, read_histories


def kept() -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Two documents promised, one of them by mail too, and one in doubt that arrived all the same."""
    history: list[dict[str, Any]] = [
        {"event": "invoke", "uniqueId": "1", "mail": True},
        {"event": "ok", "uniqueId": "1"},
        {"event": "invoke", "uniqueId": "2", "mail": False},
        {"event": "ok", "uniqueId": "2"},
        {"event": "invoke", "uniqueId": "3", "mail": False},
        {"event": "info", "uniqueId": "3"},
        {"event": "counted", "dmp": 3, "mss": 1},
    ]
    registry = [{"uniqueId": name} for name in "123"]
    mails = [
        {"messageId": "<a>", "documents": [{"uniqueId": "1"}]},
        {"messageId": "<a>", "documents": [{"uniqueId": "1"}]},
    ]
    return history, registry, mails


def test_kept_promises_are_found_kept() -> None:
    """A document whose answer was lost may be there; the same Message-ID twice is one mail."""
    assert check(*kept()) == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("lost", "1: promised, not in the registry"),
        ("double", "2: 2 entries in the registry"),
        ("unasked", "9: in the registry, never asked for"),
        ("mailed twice", "1: mailed 2 times"),
        ("not mailed", "1: promised by mail, not mailed"),
        ("miscounted", "3 counted, 4 in the registry"),
        ("not counted", "the gateway was never asked for its count"),
        ("mail miscounted", "2 mails counted, 1 received"),
    ],
)
def test_each_broken_promise_is_told(fault: str, said: str) -> None:
    """Lost, doubled, invented, mailed twice or never, miscounted."""
    history, registry, mails = kept()
    if fault == "lost":
        del registry[0]
    elif fault == "double":
        registry.append({"uniqueId": "2"})
    elif fault in ("unasked", "miscounted"):
        registry.append({"uniqueId": "9"})
    elif fault == "mailed twice":
        mails.append({"messageId": "<b>", "documents": [{"uniqueId": "1"}]})
    elif fault == "not mailed":
        mails.clear()
    elif fault == "not counted":
        history.pop()
    else:
        history[-1]["mss"] = 2
    assert said in check(history, registry, mails)


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    """A client that died in the middle of a line does not stop the checker."""
    path = tmp_path / "history"
    path.write_bytes(b'{"event":"invoke","uniqueId":"1"}\n{"event":"o')
    assert read_histories([path]) == [{"event": "invoke", "uniqueId": "1"}]
