"""What callers see, and the way a document travels: HTTP, command line, journey, store, ledger."""

from __future__ import annotations

__version__ = "0.1.0"
