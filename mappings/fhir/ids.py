"""Identifiers derived from the document: the same document gives the same Bundle."""

from __future__ import annotations

from hashlib import sha1
from typing import Final
from uuid import UUID

from mappings.cda.build import derived_id
from mappings.document.people import Identifier

__all__ = ["derived_id", "resource_ids"]

#: Namespace of resource ids: RFC 4122 name-based UUID of the URL ``urn:passerelle:fhir``.
_NAMESPACE: Final = UUID("9a919906-9e0f-5ccf-af62-a9b5d6c205dc").bytes


class resource_ids:  # noqa: N801 - used as a function: ids = resource_ids(document.id); ids("/lines/0")
    """Gives the id of the resource made from a place of the document (JSON pointer), as lower-case UUID text."""

    __slots__ = ("_start",)

    def __init__(self, document_id: Identifier) -> None:
        self._start = sha1(
            _NAMESPACE + f"{document_id.root}^{document_id.extension or ''}#".encode(), usedforsecurity=False
        )

    def __call__(self, place: str) -> str:
        digest = self._start.copy()
        digest.update(place.encode())
        # RFC 4122 4.3: version 5, variant 10xx. Written out here because uuid.uuid5 hashes the whole name each time.
        text = digest.hexdigest()
        variant = "89ab"[int(text[16], 16) & 3]
        return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"
