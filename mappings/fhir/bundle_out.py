"""The Bundle being written: entries in order, references, what is shared by the writers of one document."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pybase64

from mappings.document.people import Identifier
from mappings.fhir.ids import derived_id, resource_ids
from mappings.fhir.names import PROFILES
from mappings.fhir.values_out import Json, uuid_identifier
from mappings.loss import LossLog

__all__ = ["BundleOut"]


class BundleOut:
    """Collects the resources of one document; each has an id made from its place, and is referred to by URN."""

    __slots__ = (
        "_cache",
        "_ids",
        "date",
        "document_id",
        "encounter",
        "entries",
        "files",
        "identity_model",
        "log",
        "patient",
    )

    def __init__(self, document_id: Identifier, date: str, identity_model: str = "published") -> None:
        self.document_id = document_id
        self.date = date  #: the document's date, as a dateTime
        self.identity_model = identity_model  #: which FR Core identity status is written
        self.entries: list[Json] = []
        self.files: list[str] = []  #: in base 64, in the order of the entries that hold them
        self.log = LossLog()
        self.patient: Json = {}  #: reference to the patient
        self.encounter: Json = {}  #: reference to the encounter
        self._ids = resource_ids(document_id)
        self._cache: dict[Any, Json] = {}

    def add(self, kind: str, place: str, content: Json, profile: str | None = None) -> Json:
        """Add a resource made from a place of the document; gives the reference to it."""
        key = self._ids(f"{place}#{kind}")
        resource: Json = {"resourceType": kind, "id": key}
        meta: Json = {}
        if profile is not None:
            meta["profile"] = [PROFILES[profile]]
        if (tags := content.pop("_tags", None)) is not None:
            meta["tag"] = tags
        if meta:
            resource["meta"] = meta
        resource.update(content)
        urn = f"urn:uuid:{key}"
        self.entries.append({"fullUrl": urn, "resource": resource})
        return {"reference": urn}

    def file(self, content: bytes) -> str:
        """A file as base64Binary (RFC 4648, 4)."""
        text = pybase64.b64encode_as_string(content)
        self.files.append(text)
        return text

    def shared(self, key: Any) -> Json | None:
        """The reference kept for a value written before."""
        return self._cache.get(key)

    def share(self, key: Any, reference: Json) -> Json:
        """Keep the reference of a value that may come again."""
        self._cache[key] = reference
        return reference

    def business_id(self, given: UUID | None, place: str) -> Json:
        """The identifier of an entry: its own, else the one its CDA gets too, derived from document and place."""
        return uuid_identifier(given or derived_id(self.document_id, place))
