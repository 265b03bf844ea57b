"""Verdicts on CDA R2 documents: as strict as the official rules, in milliseconds, each finding with its place.

``check`` judges bytes or a tree; ``RULES`` holds every rule by code; ``resolve`` finds the element a finding is about;
``prepare`` does at once what is otherwise done after some documents.
"""

from __future__ import annotations

from conformance.cda.check import RULES, check
from conformance.cda.places import place, resolve
from conformance.cda.schema import prepare

__all__ = ["RULES", "check", "place", "prepare", "resolve"]
