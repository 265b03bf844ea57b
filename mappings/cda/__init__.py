"""CDA R2 of the CI-SIS: documents written and read."""

from __future__ import annotations

from mappings.cda.errors import CdaError, MissingPart, NotCda, Unwritable
from mappings.cda.reading import CdaReading, read
from mappings.cda.writing import CdaDocument, write

__all__ = ["CdaDocument", "CdaError", "CdaReading", "MissingPart", "NotCda", "Unwritable", "read", "write"]
