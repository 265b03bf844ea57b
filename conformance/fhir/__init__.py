"""FHIR R4 document Bundles of the French guides: everyday rules, and the base specification at the edge."""

from __future__ import annotations

from conformance.fhir.check import check_bundle
from conformance.fhir.rules import RULES

__all__ = ["RULES", "check_bundle"]
