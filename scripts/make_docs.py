#!/usr/bin/env python3
"""Write the reference pages that come from the code: settings, commands, HTTP interface, document format.

``scripts/make_docs.py`` writes them; with ``--check`` it says which are out of date (exit 1). A test runs it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
REFERENCE = ROOT / "docs" / "reference"
NOTE = "<!-- Written by scripts/make_docs.py from the code: change the code, then run it. -->\n\n"


def settings() -> str:
    """Every setting, from the model that reads them."""
    from pydantic import BaseModel

    from gateway.settings import Settings

    def rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
        for name, field in model.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from rows(inner, f"{prefix}{name.upper()}__")
                continue
            default = field.get_default(call_default_factory=True)
            shown = "" if default in (None, "", ()) else f"`{default}`"
            kind = str(inner).replace("typing.", "").replace("<class '", "").replace("'>", "").replace("|", "or")
            kind = kind.replace("pathlib._local.Path", "path").replace("pathlib.Path", "path")
            yield f"| `{prefix}{name.upper()}` | {kind} | {shown} | {field.description or ''} |"

    lines = ["| variable | type | default | meaning |", "|---|---|---|---|", *rows(Settings, "PASSERELLE_")]
    return (
        "# Settings\n\n"
        + NOTE
        + "Read once at start, from the environment; a wrong one stops the start and is named.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def commands() -> str:
    """Help of every command, as the terminal shows it."""
    from gateway.cli import COMMANDS

    def shown(*words: str) -> str:
        out = subprocess.run(
            [sys.executable, "-c", "from gateway.cli import main; main()", *words, "--help"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={"COLUMNS": "100", "NO_COLOR": "1", "PATH": "", "TERM": "dumb", "LANG": "C.UTF-8"},
            check=True,
        )
        return out.stdout.replace("-c [", "passerelle [").replace("Usage: -c", "Usage: passerelle").rstrip()

    parts = [f"```\n{shown()}\n```\n"]
    for name in COMMANDS:
        parts.append(f"## `passerelle {name}`\n\n```\n{shown(name)}\n```\n")
    return "# Commands\n\n" + NOTE + "\n".join(parts)


def openapi() -> str:
    """The OpenAPI document."""
    from gateway.app import create_app

    return json.dumps(create_app().openapi(), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def http() -> str:
    """A table of the HTTP interface, from the OpenAPI document."""
    described = json.loads(openapi())
    lines = ["| request | what it does | answers |", "|---|---|---|"]
    for path, verbs in described["paths"].items():
        for verb, one in verbs.items():
            answers = ", ".join(sorted(one["responses"]))
            lines.append(f"| `{verb.upper()} {path}` | {one.get('summary', '')} | {answers} |")
    head = (
        "The whole description is [openapi.json](openapi.json), and `/docs` of a running gateway.\n\n"
        "Manners: JSON members are camelCase, times RFC 3339 with offset, ids opaque. `Idempotency-Key` on every POST\n"
        "that creates. `Accept-Language` decides the language of messages; codes never change. Refusals are\n"
        "`application/problem+json` with every fault (code, place, found, expected, fix), or an OperationOutcome for\n"
        "callers who speak FHIR. Pages by opaque `cursor`. No patient datum in an address.\n\n"
    )
    return "# HTTP interface\n\n" + NOTE + head + "\n".join(lines) + "\n"


def document() -> str:
    """Every member of the document format, from the hub model."""
    from mappings.document import Dispensation, MedicalSummary, Prescription, Report

    seen: dict[str, Any] = {}
    tops = (Report, Prescription, MedicalSummary, Dispensation)
    for top in tops:
        schema = top.model_json_schema()
        seen.update(schema.get("$defs", {}))
        seen[top.__name__] = {k: v for k, v in schema.items() if k != "$defs"}

    def kind(value: dict[str, Any]) -> str:
        if "$ref" in value:
            name = value["$ref"].rsplit("/", 1)[-1]
            return f"[{name}](#{name.lower().replace('[', '').replace(']', '').replace('_', '')})"
        if "anyOf" in value:
            return " or ".join(kind(v) for v in value["anyOf"] if v.get("type") != "null")
        if value.get("type") == "array":
            return f"list of {kind(value.get('items', {}))}"
        if "enum" in value:
            return ", ".join(f"`{v}`" for v in value["enum"])
        if "const" in value:
            return f"`{value['const']}`"
        return str(value.get("type", "value"))

    parts = []
    order = [t.__name__ for t in tops] + sorted(set(seen) - {t.__name__ for t in tops})
    for name in order:
        schema = seen[name]
        if "properties" not in schema:
            values = ", ".join(f"`{v}`" for v in schema.get("enum", []))
            parts.append(f"## {name}\n\n{schema.get('description', '')}\n\nOne of: {values}\n")
            continue
        lines = ["| member | type | required | meaning |", "|---|---|---|---|"]
        required = set(schema.get("required", []))
        for member, value in schema["properties"].items():
            text = str(value.get("description", "")).replace("|", "\\|").replace("\n", " ")
            lines.append(f"| `{member}` | {kind(value)} | {'yes' if member in required else ''} | {text} |")
        parts.append(f"## {name}\n\n{schema.get('description', '')}\n\n" + "\n".join(lines) + "\n")
    head = (
        "What vendors send to `POST /v1/documents` as `document`. Version 1.0 (`schemaVersion`). Whole examples\n"
        "stand in [docs/examples](../examples). Units are UCUM; terminologies are named by OID.\n\n"
    )
    return "# Document format\n\n" + NOTE + head + "\n".join(parts)


PAGES = {
    "settings.md": settings,
    "commands.md": commands,
    "openapi.json": openapi,
    "http.md": http,
    "document.md": document,
}


def main() -> int:
    """Write the pages, or say which differ."""
    checking = "--check" in sys.argv[1:]
    stale = []
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        path, wanted = REFERENCE / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != wanted:
            stale.append(name)
            if not checking:
                path.write_text(wanted, encoding="utf-8")
    for name in stale:
        print(("out of date: " if checking else "written: ") + f"docs/reference/{name}")  # noqa: T201
    return 1 if checking and stale else 0


if __name__ == "__main__":
    sys.exit(main())
