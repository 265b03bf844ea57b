"""Hypothesis strategies for clinical documents: whole, fictitious, and good enough for the official rules.

Codes come from the value sets that the rules check; texts hold accents, markup characters and no-break spaces.
"""

from __future__ import annotations

from tests.support.strategies.dispensation import dispensations
from tests.support.strategies.prescription import prescriptions
from tests.support.strategies.report import reports
from tests.support.strategies.summary import summaries

__all__ = ["dispensations", "prescriptions", "reports", "summaries"]
