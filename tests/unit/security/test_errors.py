"""Refusals and public names of the package."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import security
from security.errors import Unreadable, UnsafeInput

MODULES = sorted(module.name for module in pkgutil.iter_modules(security.__path__))


def test_a_refusal_says_its_code_what_was_found_and_what_was_expected() -> None:
    """Short enough for one log line; the line number is kept apart."""
    error = UnsafeInput("XML-SIZE-001", "3 bytes", "at most 2 bytes", line=7)
    assert str(error) == "XML-SIZE-001: 3 bytes; expected at most 2 bytes"
    assert (error.code, error.found, error.expected, error.line) == ("XML-SIZE-001", "3 bytes", "at most 2 bytes", 7)
    assert str(UnsafeInput("X", "y")) == "X: y"


def test_what_cannot_be_read_is_unsafe_too() -> None:
    """One ``except UnsafeInput`` catches whatever the readers refuse."""
    assert issubclass(Unreadable, UnsafeInput)


@pytest.mark.parametrize("name", MODULES)
def test_public_names_exist(name: str) -> None:
    """What a module says is public is there, and is listed once."""
    module = importlib.import_module(f"security.{name}")
    public = module.__all__
    assert len(set(public)) == len(public)
    assert all(hasattr(module, one) for one in public)
