"""The offline checker: were the promises kept? It reads what clients wrote down and what the simulators received.

Nothing of the gateway is read: not its database, not its log. A history is a list of lines, each durable before the
next step of its client: ``invoke`` before a request leaves, ``ok`` once its receipt was read, ``info`` when the answer
was lost, ``counted`` with the gateway's own count at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

__all__ = ["check", "read_histories"]


def read_histories(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """The lines of several clients; a last line cut short by a crash of the client is left out."""
    lines: list[dict[str, Any]] = []
    for path in paths:
        for raw in path.read_bytes().splitlines():
            try:
                lines.append(orjson.loads(raw))
            except orjson.JSONDecodeError:
                continue
    return lines


def check(
    history: Iterable[Mapping[str, Any]],
    registry: Iterable[Mapping[str, Any]],
    mails: Iterable[Mapping[str, Any]],
) -> list[str]:
    """What is wrong, in words; empty when every promise was kept.

    ``registry`` is the DMP simulator's list of entries, ``mails`` the operator simulator's list of mails.
    """
    asked: dict[str, Mapping[str, Any]] = {}
    promised: set[str] = set()
    counted: Mapping[str, Any] | None = None
    for line in history:
        if line["event"] == "invoke":
            asked[line["uniqueId"]] = line
        elif line["event"] == "ok":
            promised.add(line["uniqueId"])
        elif line["event"] == "counted":
            counted = line
    wrong: list[str] = []
    entries = Counter(str(row["uniqueId"]) for row in registry)
    for unique_id, times in sorted(entries.items()):
        if times > 1:
            wrong.append(f"{unique_id}: {times} entries in the registry")
        if unique_id not in asked:
            wrong.append(f"{unique_id}: in the registry, never asked for")
    for unique_id in sorted(promised - entries.keys()):
        wrong.append(f"{unique_id}: promised, not in the registry")

    # The same Message-ID again is the same mail, as its receiver knows; another Message-ID is another mail.
    messages: dict[str, set[str]] = {}
    for mail in mails:
        for document in mail["documents"]:
            messages.setdefault(str(document["uniqueId"]), set()).add(str(mail["messageId"]))
    wrong += [f"{u}: mailed {len(ids)} times" for u, ids in sorted(messages.items()) if len(ids) > 1]
    wrong += [f"{u}: mailed, never asked for" for u in sorted(messages.keys() - asked.keys())]
    for unique_id in sorted(promised - messages.keys()):
        if asked[unique_id].get("mail"):
            wrong.append(f"{unique_id}: promised by mail, not mailed")

    if counted is None:
        wrong.append("the gateway was never asked for its count")
    else:
        if counted["dmp"] != len(entries):
            wrong.append(f"{counted['dmp']} counted, {len(entries)} in the registry")
        if counted["mss"] != len(messages):
            wrong.append(f"{counted['mss']} mails counted, {len(messages)} received")
    return wrong
