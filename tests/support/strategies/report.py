"""Reports."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mappings.document.report import Report
from tests.support import documents
from tests.support.strategies.header import TYPES, headers
from tests.support.strategies.values import of, paragraphs, short


def reports() -> st.SearchStrategy[Report]:
    """A report as a PDF or a text."""
    common: dict[str, Any] = {**headers(), "type": TYPES}
    pdf = of(Report, **common, media_type=st.just("application/pdf"), content=st.just(documents.PDF))
    text = of(Report, **common, media_type=st.just("text/plain"), content=paragraphs().map(str.encode))
    return short(pdf | text)
