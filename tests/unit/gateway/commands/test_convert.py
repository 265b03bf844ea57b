"""``passerelle convert``: any form to any other, and an exit code that says what became of the document."""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from gateway.commands.convert import app
from gateway.services.convert import form_of_bytes
from mappings import cda, fhir
from tests.support import documents
from tests.support.cda import changed, tree

KINDS = ("report", "prescription", "dispensation", "summary")
PAIRS = list(permutations(("json", "cda", "fhir"), 2))
CLEAN, REFUSED, UNREADABLE, WITH_LOSS = 0, 1, 2, 3


def run(data: bytes, to: str, *options: str) -> tuple[int, bytes, str]:
    """Exit code, document, messages."""
    result = CliRunner().invoke(app, ["-", "--to", to, *options], input=data)
    return result.exit_code, result.stdout_bytes, result.stderr


def _fixed(kind: str) -> Any:
    """A document that every form holds whole: what both forms have given back once."""
    through = cda.read(cda.write(documents.load(getattr(documents, kind)()), pdf=documents.PDF).data).document
    through = fhir.read(orjson.loads(orjson.dumps(fhir.write(through).bundle))).document
    return cda.read(cda.write(through).data).document


@functools.cache
def source(kind: str, form: str) -> bytes:
    """A document of a kind in a form."""
    document = _fixed(kind)
    if form == "json":
        return bytes(document.model_dump_json(exclude_none=True, by_alias=True).encode())
    if form == "cda":
        return cda.write(document).data
    return orjson.dumps(fhir.write(document).bundle)


# --- 0: clean ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "to"), PAIRS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_document_goes_from_any_form_to_any_other(kind: str, start: str, to: str) -> None:
    """Nothing lost, no message, and the way back gives the same document."""
    code, made, said = run(source(kind, start), to)
    assert (code, said) == (CLEAN, "")
    assert form_of_bytes(made) == to
    code, back, _ = run(made, "json")
    assert code == CLEAN
    assert orjson.loads(back) == orjson.loads(run(source(kind, start), "json")[1])


@pytest.mark.parametrize("form", ["json", "cda", "fhir"])
def test_a_document_may_stay_in_its_form(form: str) -> None:
    """Read and written again: the same."""
    code, made, _ = run(source("summary", form), form)
    assert code == CLEAN
    assert run(made, "json")[1] == run(source("summary", form), "json")[1]


# --- 1 and 3: a clinical part that the other form, or the hub, does not hold -------------------------------------


def _unknown_entry(data: bytes) -> bytes:
    """A CDA with one more section, of an unknown template, that holds an entry."""

    def add(root: Any) -> None:
        body = root.find("{*}component/{*}structuredBody")
        body.append(
            tree(
                b'<component xmlns="urn:hl7-org:v3"><section><templateId root="1.2.3.4.5"/>'
                b'<entry><act classCode="ACT" moodCode="EVN"/></entry></section></component>'
            )
        )

    return changed(data, add)


def _unshown_entry(data: bytes) -> bytes:
    """A Bundle with an observation that no section shows."""
    value = orjson.loads(data)
    key = "00000000-0000-4000-8000-0000000000aa"
    seen = {"resourceType": "Observation", "id": key, "status": "final", "code": {"text": "x"}}
    value["entry"].append({"fullUrl": f"urn:uuid:{key}", "resource": seen})
    return orjson.dumps(value)


HARM: dict[str, Callable[[bytes], bytes]] = {"cda": _unknown_entry, "fhir": _unshown_entry}


@pytest.mark.parametrize(("start", "to"), [pair for pair in PAIRS if pair[0] in HARM])
@pytest.mark.parametrize("kind", ["prescription", "dispensation", "summary"])
def test_a_clinical_loss_refuses_unless_it_is_allowed(kind: str, start: str, to: str, tmp_path: Path) -> None:
    """1 with the place and nothing written; 3 with --allow-loss; the loss report says it both times."""
    data, report, out = HARM[start](source(kind, start)), tmp_path / "pertes.json", tmp_path / "sortie"
    code, made, said = run(data, to, "--loss", str(report), "-o", str(out))
    assert (code, made, out.exists()) == (REFUSED, b"", False)
    assert "DOC-LOSS-001" in said
    told = orjson.loads(report.read_bytes())
    assert any(item["clinical"] and item["fate"] == "lost" for item in told["items"])
    code, _, said = run(data, to, "--loss", str(report), "-o", str(out), "--allow-loss")
    assert code == WITH_LOSS
    assert out.stat().st_size > 1000
    assert orjson.loads(report.read_bytes())["lost"] >= 1
    assert "perdus" in said


@pytest.mark.parametrize("to", ["cda", "fhir"])
def test_what_is_lost_without_harm_is_said(to: str) -> None:
    """A line not dispensed is no part of a FHIR document, the date of a check of the INS none of a CDA: 3."""
    value = orjson.loads(source("dispensation", "json"))
    value["patient"]["insCheckedOn"] = "2026-11-02"
    value["refused"] = [{"prescribedLine": "11111111-1111-4111-8111-111111111111", "reason": "rupture"}]
    code, made, said = run(orjson.dumps(value), to, "--english")
    assert (code, form_of_bytes(made)) == (WITH_LOSS, to)
    assert "1 lost" in said


# --- 1: refused, every fault told ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "places"),
    [
        ("cda", {"/patient/identifiers", "/custodian", "/legalAuthenticator"}),
        ("fhir", {"/custodian", "/legalAuthenticator"}),
    ],
)
def test_every_part_that_a_form_needs_is_asked_for_at_once(to: str, places: set[str]) -> None:
    """A machine as author, no custodian, no identifier of the patient: not the first of them alone."""
    value = orjson.loads(source("report", "json"))
    value["authors"] = [{"device": {"id": {"root": "1.2.3"}, "manufacturerModel": "m", "software": "s"}}]
    value["patient"] = {k: v for k, v in value["patient"].items() if k not in ("ins", "identifiers", "status")}
    for name in ("custodian", "legalAuthenticator"):
        value.pop(name, None)
    code, made, said = run(orjson.dumps(value), to)
    assert (code, made) == (REFUSED, b"")
    assert all(place in said for place in places)
    assert len(said.splitlines()) == len(places)


def test_every_fault_of_a_json_document_is_told() -> None:
    """Two bad members, one that is missing, one unknown."""
    value = orjson.loads(source("report", "json"))
    del value["title"]
    value |= {"createdAt": "hier", "confidentiality": "X", "titel": "x"}
    code, _, said = run(orjson.dumps(value), "cda")
    assert code == REFUSED
    assert {"DOC-JSON-001 /title", "DOC-JSON-002 /titel"} <= {" ".join(line.split()[:2]) for line in said.splitlines()}
    assert len(said.splitlines()) == 4


@pytest.mark.parametrize("to", ["json", "fhir"])
def test_every_fault_of_a_cda_header_is_told(to: str) -> None:
    """No date, no type, no author, no body: four findings."""

    def bare(root: Any) -> None:
        for tag in ("effectiveTime", "code", "author", "component"):
            for each in root.findall(f"{{*}}{tag}"):
                root.remove(each)

    code, made, said = run(changed(source("report", "cda"), bare), to)
    assert (code, made) == (REFUSED, b"")
    told = [line.split()[1].rpartition("/")[2] for line in said.splitlines()]
    assert sorted(told) == ["author", "code", "component", "effectiveTime"]


@pytest.mark.parametrize("to", ["json", "cda"])
def test_every_fault_of_a_bundle_is_told(to: str) -> None:
    """Two lines that contradict themselves and a patient without a birth date."""
    value = orjson.loads(source("prescription", "fhir"))
    resources = [entry["resource"] for entry in value["entry"]]
    patient = next(each for each in resources if each["resourceType"] == "Patient")
    del patient["birthDate"]
    for each in resources:
        if each["resourceType"] == "MedicationRequest":
            each["dispenseRequest"] = {"validityPeriod": {"start": "2026-12-01", "end": "2026-01-01"}}
    code, made, said = run(orjson.dumps(value), to)
    assert (code, made) == (REFUSED, b"")
    assert len(said.splitlines()) >= 2


# --- 2: unreadable -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["json", "cda", "fhir"])
@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xfe\x00", b"<ClinicalDocument", b'{"resourceType": "Bundle",', b'{"kind": "report", "kind": "report"}',
     b'<!DOCTYPE x [<!ENTITY a "b">]><ClinicalDocument xmlns="urn:hl7-org:v3"/>', b"[" * 100_000],
    ids=["nothing", "bytes", "cut XML", "cut JSON", "a member twice", "a DTD", "deep"],
)  # fmt: skip
def test_bytes_of_no_form_are_unreadable(data: bytes, to: str) -> None:
    """2, with a code, and nothing written."""
    code, made, said = run(data, to)
    assert (code, made) == (UNREADABLE, b"")
    assert said.startswith("DOC-READ-001")


def test_a_file_that_is_not_there_or_a_form_that_is_not_known_is_wrong_usage(tmp_path: Path) -> None:
    """2 as well."""
    assert CliRunner().invoke(app, [str(tmp_path / "absent"), "--to", "cda"]).exit_code == UNREADABLE
    assert run(source("report", "json"), "hl7v2")[0] == UNREADABLE
