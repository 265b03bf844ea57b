"""A medical summary as CDA: VSM 2023.01 (and 1.4 when read), or its successor IPS-FR 2024.01."""

from __future__ import annotations

from mappings.cda.summary_read import read_body
from mappings.cda.summary_write import write_body

__all__ = ["read_body", "write_body"]
