#!/usr/bin/env python3
"""Write docs/reference/rules.md: every rule of the code, what it says in both languages, how to mend it, its source.

``scripts/make_rules_doc.py`` writes it; with ``--check`` it says whether it is out of date (exit 1). A test runs it.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PAGE = ROOT / "docs" / "reference" / "rules.md"
PACKAGES = ("security", "conformance", "mappings", "adapters", "gateway")
#: Modules that do something when imported, or need what a plain install has not.
SKIPPED = ("gateway.store.migrations", "gateway.__main__")
TITLES = {
    "CDA-STR": "CDA: structure",
    "CDA-DT": "CDA: data types of the header",
    "CDA-HDR": "CDA: header",
    "CDA-SEC": "CDA: sections",
    "CDA-ENT": "CDA: entries",
    "CDA-NAR": "CDA: narrative and links",
    "CDA-PDF": "CDA: files",
    "CDA-VSM": "CDA: medical summary (VSM)",
    "CDA-IPS": "CDA: patient summary (IPS-FR)",
    "CDA-PRE": "CDA: prescription (eP-MED-DM)",
    "CDA-DIS": "CDA: dispensation (eDISP-MED)",
    "INS": "Identity (INS)",
    "FHIR": "FHIR Bundles",
    "XDS": "Registry metadata",
}
HEAD = """\
# Rules

<!-- Written by scripts/make_rules_doc.py from the code: change the code, then run it. -->

Every rule has a stable code; what it says may be improved, what it means does not change. A finding adds the place
(an XPath of local names for a CDA, a JSON pointer for JSON), the line, what was found (never a patient's trait) and
what was expected. `error` refuses a document, `warning` and `information` do not. French first, then English.

`passerelle check FILE` and `POST /v1/checks` judge a document by these rules; a document that is fed passes the same.
The rules on CDA are at least as strict as the official Schematrons of ANS for the kinds Passerelle writes, and more:
time zones, reversed intervals, links that lead nowhere, a wrong typeId, files that are not what they claim.

"""


def rules() -> dict[str, list[Any]]:
    """Every rule that stands in a module of ours, by code; one that is worded twice has both wordings."""
    from conformance.verdict import Rule

    def inside(value: Any, depth: int = 0) -> Iterator[Rule]:
        if isinstance(value, Rule):
            yield value
        elif isinstance(value, dict) and depth < 2:
            for each in value.values():
                yield from inside(each, depth + 1)
        elif isinstance(value, (tuple, list, frozenset, set)) and depth < 2:
            for each in value:
                yield from inside(each, depth + 1)

    found: dict[str, list[Rule]] = {}
    for package in PACKAGES:
        for info in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if info.name.startswith(SKIPPED):
                continue
            for value in list(vars(importlib.import_module(info.name)).values()):
                for rule in inside(value):
                    if rule not in (same := found.setdefault(rule.code, [])):
                        same.append(rule)
    return dict(sorted(found.items()))


def _family(code: str) -> str:
    parts = code.split("-")
    head = "-".join(parts[:2])
    return head if head in TITLES else parts[0]


def page() -> str:
    """The whole page."""
    known = rules()
    families: dict[str, list[Any]] = {}
    for code, worded in known.items():
        families.setdefault(_family(code), []).append(worded)
    order = sorted(families, key=lambda name: (list(TITLES).index(name) if name in TITLES else len(TITLES), name))
    out = [HEAD, f"{len(known)} rules.\n\n"]
    out += [f"- [{TITLES.get(name, name)}](#{name.lower()}) ({len(families[name])})\n" for name in order]
    out.append("- [Templates of CDA bodies](#templates): what each asks for\n\n")
    for name in order:
        out.append(f'<a id="{name.lower()}"></a>\n\n## {TITLES.get(name, name)}\n\n')
        for worded in families[name]:
            out.append(f'<a id="{worded[0].code}"></a>\n\n')
            out += [
                f"**{rule.code}** ({rule.severity}). {rule.message.fr} {rule.fix.fr}  \n"
                f"{rule.message.en} {rule.fix.en}  \n*{rule.source}*\n\n"
                for rule in worded
            ]
    out += _templates()
    return "".join(out)


def _templates() -> Iterator[str]:
    """The tables of templates: one row each, what the shared rules ask of it."""
    from conformance.cda.templates import TEMPLATES
    from conformance.terminology import value_set

    yield '<a id="templates"></a>\n\n## Templates of CDA bodies\n\n'
    yield "What an element that claims a template must be and hold; the code is the rule that says so.\n\n"
    for template in TEMPLATES.values():
        yield f"**{template.oid}** {template.name[0]} / {template.name[1]}\n\n"
        for part in template.parts:
            yield f"- {part.rule.code}{f': {part.expected}' if part.expected else ''}\n"
        for binding in template.bindings:
            yield f"- {binding.rule.code}: {' ; '.join(value_set(oid).title for oid in binding.sets)}\n"
        yield "\n"


def main() -> int:
    """Write the page, or say that it differs."""
    wanted = page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
        return 0
    checking = "--check" in sys.argv[1:]
    if not checking:
        PAGE.write_text(wanted, encoding="utf-8")
    print(("out of date: " if checking else "written: ") + "docs/reference/rules.md")  # noqa: T201
    return 1 if checking else 0


if __name__ == "__main__":
    sys.exit(main())
