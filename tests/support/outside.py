"""Where the outside material is: packs, samples and checkers, named by environment variables.

An absent one skips the test and says so; under ``PASSERELLE_TESTS_STRICT=1`` (set by the full run) it fails, by name.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

STRICT = os.environ.get("PASSERELLE_TESTS_STRICT") == "1"


def missing(what: str, how: str) -> None:
    """Skip, or fail under the strict setting, saying what is absent and how to give it."""
    message = f"{what} is absent: {how}"
    if STRICT:
        pytest.fail(message)
    pytest.skip(message)


def _folder(variable: str) -> Path:
    value = os.environ.get(variable, "")
    if not value or not Path(value).is_dir():
        missing(variable, f"set {variable} to the folder that holds it")
    return Path(value).resolve()


def packs() -> Path:
    """The folder of official material (``ans-cda``, ``xds``, ``fhir``)."""
    return _folder("PASSERELLE_PACKS")


def samples() -> Path:
    """The folder of documents and messages written by others."""
    return _folder("PASSERELLE_SAMPLES")


def tools() -> Path:
    """The folder of outside checkers."""
    return _folder("PASSERELLE_TOOLS")


@functools.cache
def load_tool(name: str) -> ModuleType:
    """Import one outside checker (``ans_check``, ``xds_check``, ``fhir_fast``) from its folder."""
    path = tools() / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
