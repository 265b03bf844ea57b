"""What the prescriber states of a line, read; and what several kinds of line share."""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from mappings.cda import findings as rules
from mappings.cda.marks_write import MARKS
from mappings.cda.node import Reader, every, first, value_of

__all__ = ["MARK_TEMPLATES", "MarkReader"]

MARK_TEMPLATES = {mark.template: mark.name for mark in MARKS}
_REASON = re.compile(r"(?:oui|non)\s*[:,(]\s*(.+)", re.IGNORECASE | re.DOTALL)


class MarkReader:
    """Collects the statements of one line."""

    __slots__ = ("_reader", "found", "reason")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.found: dict[str, bool] = {}
        self.reason: str | None = None

    def add(self, name: str, observation: etree._Element) -> None:
        """Take one statement."""
        value = value_of(first(observation, "value"))
        if value is None:
            return
        self.found[name] = value == "true"
        if name == "off_label" and (text := self._reader.words(first(observation, "text"))):
            match = _REASON.match(text)
            self.reason = match[1] if match else None

    def fields(self, line: etree._Element, *, medicine: bool) -> dict[str, Any]:
        """The members of the marks; a silence is read as a no, and said."""
        out: dict[str, Any] = {}
        for mark in MARKS if medicine else MARKS[:-1]:
            if mark.name not in self.found:
                self._reader.finding(rules.MISSING_MARK, line)
            out[mark.name] = self.found.get(mark.name, False)
        if medicine:
            out["off_label_reason"] = self.reason
        return out


def repeat_number(line: etree._Element) -> int | None:
    """How many renewals; None when not said."""
    number = next(every(line, "repeatNumber"), None)
    value = value_of(number)
    return int(value) if value is not None and value.isdigit() and int(value) <= 99 else None
