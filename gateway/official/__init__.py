"""The official rules of a pack the operator has installed, run as they were published: on demand, never for a request.

``rules`` reads the Schematrons, ``stylesheet`` turns one into XSLT, ``runner`` runs them with saxonche (an optional
extra) in a process of its own that stays warm.
"""

from __future__ import annotations
