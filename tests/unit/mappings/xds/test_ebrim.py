"""Writing registry metadata as ebRIM, and reading it back from anyone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from lxml import etree

from mappings.xds import Association, Code, PatientId, Submission, SubmissionSet, document_entry, vocabulary
from mappings.xds.ebrim import RIM, submit_objects_request, xdm_metadata
from mappings.xds.read import read_objects
from security import xml
from security.errors import UnsafeInput
from tests.support import outside
from tests.support.cda_samples import INS, TEST_AUTHORITY, canonical_cda


def a_submission(**options: object) -> Submission:
    data, root = canonical_cda()
    entry = replace(document_entry(root, data, entry_uuid="D1"), **options)  # type: ignore[arg-type]
    sent = SubmissionSet(
        entry_uuid="SS",
        unique_id="1.2.250.1.999.9.1.1",
        source_id="1.2.250.1.999.9",
        patient_id=entry.patient_id,
        submission_time="20260110083100",
        title="Lot",
        comments="Envoi du jour",
        authors=entry.authors,
        content_type=Code(code="07", scheme="1.2.250.1.213.2.2", display="Consultation, soins externes"),
        intended_recipients=("|^KERVELLA^Odile",),
    )
    link = Association(
        kind=vocabulary.ASSOCIATION_HAS_MEMBER, source="SS", target="D1", submission_set_status="Original"
    )
    return Submission(submission_set=sent, entries=(entry,), associations=(link,))


def test_the_request_is_schema_valid(xds_check: Callable[[bytes], list[str]]):
    """METADATA.XML passes the ebRS and ebRIM schemas."""
    assert xds_check(xdm_metadata(a_submission(uri="DOC0001.XML", reference_ids=("1^^^&1.2&ISO^x",)))) == []


def test_children_stand_in_schema_order():
    """Inside an object: slots, name, description, version, classifications, identifiers."""
    root = submit_objects_request(a_submission(comments="Note", version="2"))
    order = ["Slot", "Name", "Description", "VersionInfo", "Classification", "ExternalIdentifier"]
    for node in root.iter(f"{{{RIM}}}ExtrinsicObject", f"{{{RIM}}}RegistryPackage"):
        names = [etree.QName(child).localname for child in node]
        assert names == sorted(names, key=order.index)


def test_ids_are_unique():
    """Every object and inner object has an id of its own."""
    root = submit_objects_request(a_submission())
    ids = [node.get("id") for node in root.iter() if node.get("id")]
    assert len(ids) == len(set(ids))


def test_what_is_written_is_read_back():
    """Writing then reading gives the same values."""
    sent = a_submission(
        comments="Note", uri="DOC0001.XML", logical_id="urn:uuid:1", version="2", repository_unique_id="1.2", status="x"
    )
    again = read_objects(submit_objects_request(sent)).submission()
    assert again.entries == sent.entries
    assert again.submission_set == sent.submission_set
    assert again.associations == (replace(sent.associations[0], entry_uuid="Association01"),)


def test_a_loose_marking_classification_is_accepted():
    """The submission set may be marked outside the package, as most registries write it."""
    root = submit_objects_request(a_submission())
    package = root.find(f".//{{{RIM}}}RegistryPackage")
    assert package is not None
    (mark,) = package.findall(f"{{{RIM}}}Classification[@classificationNode]")
    package.getparent().append(mark)
    assert read_objects(root).submission().submission_set.unique_id == "1.2.250.1.999.9.1.1"


def test_loose_classifications_and_identifiers_are_found():
    """Classifications and identifiers may stand beside their object."""
    root = submit_objects_request(a_submission())
    entry = root.find(f".//{{{RIM}}}ExtrinsicObject")
    assert entry is not None
    for child in entry.findall(f"{{{RIM}}}Classification") + entry.findall(f"{{{RIM}}}ExternalIdentifier"):
        entry.getparent().append(child)
    read = read_objects(root).entries[0]
    assert read == a_submission().entries[0]


def test_a_folder_is_not_a_submission_set():
    """A package without the mark is reported as another object, and the submission needs exactly one set."""
    root = submit_objects_request(a_submission())
    package = root.find(f".//{{{RIM}}}RegistryPackage")
    assert package is not None
    for mark in package.findall(f"{{{RIM}}}Classification[@classificationNode]"):
        package.remove(mark)
    objects = read_objects(root)
    assert objects.others == ("RegistryPackage",)
    with pytest.raises(ValueError, match="0 submission sets"):
        objects.submission()


def test_a_wrongly_spelled_restriction_is_read_right():
    """The historic typo of INVISIBLE_REPRESENTANTS_LEGAUX is understood."""
    wrong = Code(code="INVISIBLE_REPRENSANTS_LEGAUX", scheme=vocabulary.VISIBILITY_SCHEME, display="x")
    root = submit_objects_request(a_submission(confidentiality=(wrong,)))
    assert read_objects(root).entries[0].confidentiality[0].code == "INVISIBLE_REPRESENTANTS_LEGAUX"


def test_the_patient_never_shows_in_a_repr():
    """Printing metadata shows no matricule and no trait."""
    shown = repr(a_submission())
    assert INS not in shown
    assert "PAT-TROIS" not in shown
    assert PatientId(value=INS, authority=TEST_AUTHORITY) == a_submission().entries[0].patient_id


def foreign_samples() -> list[Path]:
    """Every well-formed submission, update and answer among the samples."""
    folder = outside.samples() / "xds"
    rows = orjson.loads((folder / "index.json").read_bytes())["files"]
    wanted = ("ITI-41", "ITI-42", "ITI-57", "ITI-18")
    return [
        folder / row["file"]
        for row in rows
        if row["transaction"] in wanted and row["packaging"] in ("envelope", "bare") and row["file"].endswith(".xml")
    ]


def test_foreign_messages_are_read_whole():
    """Objects of other software are all found, whatever the prefixes and the place of the classifications."""
    paths = foreign_samples()
    assert len(paths) > 30
    for path in paths:
        data = path.read_bytes()
        try:
            objects = read_objects(xml.parse(data))
        except UnsafeInput:
            continue
        written = len(re.findall(rb"<(?:\w+:)?ExtrinsicObject[\s>]", data))
        assert len(objects.entries) == written, path.name
        links = len(re.findall(rb"<(?:\w+:)?Association[\s>]", data))
        assert len(objects.associations) == links, path.name
