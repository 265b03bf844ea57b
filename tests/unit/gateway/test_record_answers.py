"""What a reader is told of a document of the record."""

from __future__ import annotations

import pytest

from gateway.api.record_answers import found_json
from gateway.services.records import Found
from mappings.xds import Code, DocumentEntry
from mappings.xds import vocabulary as v


def told(**changes: object) -> dict[str, object]:
    """A document as the interface tells it."""
    entry = DocumentEntry(entry_uuid="urn:uuid:1", unique_id="1.2.3", mime_type="text/xml", **changes)  # type: ignore[arg-type]
    return found_json(Found(handle="h", entry=entry, fed_here=None)).model_dump(mode="json", by_alias=True)


@pytest.mark.parametrize(
    ("class_code", "type_code", "by_patient"),
    [
        (("90", v.CLASS_SCHEME), ("11488-4", v.LOINC), True),
        (("90", "1.2.3"), ("11488-4", v.LOINC), False),
        (("10", v.CLASS_SCHEME), ("DOCPAT01", "1.2.250.1.213.1.1.4.12"), True),
        (("10", v.CLASS_SCHEME), ("11488-4", v.LOINC), False),
    ],
)
def test_a_patients_own_document_is_known(
    class_code: tuple[str, str], type_code: tuple[str, str], by_patient: bool
) -> None:
    """By its class, or its type (EX_3.1-1040)."""
    said = told(
        class_code=Code(code=class_code[0], scheme=class_code[1]),
        type_code=Code(code=type_code[0], scheme=type_code[1]),
    )
    assert said["byPatient"] is by_patient


def test_the_reader_is_warned() -> None:
    """Each restriction has its words (EX_3.2-1025); an open document has none."""
    codes = ("N", "MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX")
    said = told(confidentiality=tuple(Code(code=code, scheme="x") for code in codes))
    assert said["visibility"] == list(codes[1:])
    notices = said["notices"]
    assert isinstance(notices, list)
    assert len(notices) == 3
    assert told(confidentiality=(Code(code="N", scheme="x"),))["notices"] == []
