"""Terminology: the dated value sets the rules ask for; those of an official pack replace them."""

from __future__ import annotations

from conformance.terminology.svs import NotAValueSet, ValueSet, read_value_set
from conformance.terminology.tables import BUILT_IN, install, restore, value_set, value_sets

__all__ = [
    "BUILT_IN",
    "NotAValueSet",
    "ValueSet",
    "install",
    "read_value_set",
    "restore",
    "value_set",
    "value_sets",
]
