"""FHIR packages as packs: read in each form they come in, dated, their value sets in force for every check."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from conformance import terminology
from gateway import packs
from gateway.commands.check import app as check_app
from gateway.commands.packs import app as packs_app
from gateway.packs import PackError
from gateway.services.checks import judge
from tests.support import outside
from tests.support.cda import changed, codes, one, written

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
GENDER = "1.2.250.1.213.1.1.5.590"
HL7_GENDER = "2.16.840.1.113883.5.1"
#: A gender no shipped table knows.
NEW = changed(
    written("report"),
    lambda root: one(root, "recordTarget/patientRole/patient/administrativeGenderCode").set("code", "X"),
)
SYSTEM: dict[str, Any] = {
    "resourceType": "CodeSystem",
    "url": "https://example.org/CodeSystem/gender",
    "identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{HL7_GENDER}"}],
    "status": "active",
    "content": "complete",
    "date": "2027-02-03",
    "concept": [{"code": "M"}, {"code": "F", "concept": [{"code": "X", "display": "autre"}]}],
}
VALUES: dict[str, Any] = {
    "resourceType": "ValueSet",
    "url": "https://example.org/ValueSet/gender",
    "identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{GENDER}"}],
    "version": "2.0.1",
    "title": "JDV essai",
    "status": "active",
    "date": "2027-02-03T10:00:00+01:00",
    "compose": {"include": [{"system": SYSTEM["url"]}]},
}


@pytest.fixture(autouse=True)
def shipped_sets() -> Iterator[None]:
    """Whatever a test puts in force is taken back."""
    yield
    terminology.restore()


def package(*resources: dict[str, Any]) -> bytes:
    """A package as the FHIR registry gives it."""
    about = {"name": "example.gender", "version": "2.0.1", "fhirVersions": ["4.0.1"]}
    files = {"package.json": about, **{f"{r['resourceType']}-{n}.json": r for n, r in enumerate(resources)}}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, value in files.items():
            data = orjson.dumps(value)
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def tgz(tmp_path: Path) -> Path:
    """A package with one value set that stands for a shipped one."""
    path = tmp_path / "gender.tgz"
    path.write_bytes(package(SYSTEM, VALUES))
    return path


def test_every_official_package_is_taken_in_and_dated(tmp_path: Path) -> None:
    """Folders side by side are packages of their own; the same material twice is one pack."""
    added = packs.add(outside.packs() / "fhir", tmp_path, NOW)
    by_name = {each.name: each for each in added}
    assert {
        "annuaire-1.2.0-snapshot-2",
        "pdsm-3.1.1",
        "mhd-4.2.4-current",
        "eprescription-1.1.0-ballot",
    } <= by_name.keys()
    assert by_name["pdsm-3.1.1"].version == "3.1.1"
    assert by_name["pdsm-3.1.1"].date == "2026-06-30"
    assert "pdsm-submissionset-comprehensive" in by_name["pdsm-3.1.1"].rules
    assert by_name["mhd-4.2.4-current"].value_sets == 5
    assert all(each.schematrons == () for each in added)
    again = packs.add(outside.packs() / "fhir", tmp_path, NOW + timedelta(days=1))
    assert again == added
    assert packs.use_value_sets(tmp_path) == ()
    with pytest.raises(PackError, match="passerelle packs add"):
        packs.current(tmp_path)


def test_a_package_of_the_registry_is_named_and_numbered_by_its_own_file(tgz: Path, tmp_path: Path) -> None:
    """``package.json`` says name and version; its folder and its archive are one pack."""
    (pack,) = packs.add(tgz, tmp_path / "packs", NOW)
    assert (pack.kind, pack.name, pack.version, pack.date) == ("fhir", "example.gender", "2.0.1", "2027-02-03")
    folder = tmp_path / "unpacked"
    with tarfile.open(tgz) as archive:
        archive.extractall(folder, filter="data")
    assert packs.add(folder, tmp_path / "packs", NOW) == [pack]


def test_a_value_set_in_fhir_replaces_the_shipped_table(tgz: Path, tmp_path: Path) -> None:
    """Found by its OID, its codes by the OID of their system; what it does not hold any more is refused."""
    assert "CDA-HDR-012" in codes(judge(NEW).verdict.errors)
    packs.add(tgz, tmp_path / "packs", NOW)
    (taken,) = packs.use_value_sets(tmp_path / "packs")
    assert (taken.oid, taken.date, len(taken.codes)) == (GENDER, "2027-02-03", 3)
    assert judge(NEW).word == "valid"
    old = changed(NEW, lambda r: one(r, "recordTarget/patientRole/patient/administrativeGenderCode").set("code", "UN"))
    assert "CDA-HDR-012" in codes(judge(old).verdict.errors)


def listed(*concepts: str, **more: Any) -> dict[str, Any]:
    """The value set with its codes listed."""
    include = {"system": f"urn:oid:{HL7_GENDER}", "concept": [{"code": code} for code in concepts], **more}
    return VALUES | {"compose": {"include": [include]}}


@pytest.mark.parametrize(
    ("resource", "number"),
    [
        (listed("M", "X"), 2),
        (VALUES | {"expansion": {"contains": [{"system": f"urn:oid:{HL7_GENDER}", "code": "X"}]}}, 1),
        (VALUES | {"url": f"urn:oid:{GENDER}", "identifier": []}, 3),
        # What these hold only a terminology server can tell, or no OID says what they are: nothing is replaced.
        (listed("M", filter=[{"property": "concept", "op": "is-a", "value": "M"}]), 0),
        (VALUES | {"compose": VALUES["compose"] | {"exclude": [{"system": SYSTEM["url"]}]}}, 0),
        (VALUES | {"compose": {"include": [{"system": "https://example.org/unknown"}]}}, 0),
        (VALUES | {"identifier": []}, 0),
        (listed("M", "X") | {"date": "2001-01-01"}, 0),
    ],
)
def test_only_a_set_whose_codes_are_all_known_is_put_in_force(resource: Any, number: int, tmp_path: Path) -> None:
    """Listed, expanded or whole; never in part, never older than what is shipped."""
    path = tmp_path / "one.tgz"
    path.write_bytes(package(SYSTEM, resource))
    packs.add(path, tmp_path / "packs", NOW)
    assert sum(len(each.codes) for each in packs.use_value_sets(tmp_path / "packs")) == number


def test_the_newest_set_of_all_packs_is_in_force(tgz: Path, tmp_path: Path) -> None:
    """Whatever the order in which packs were added."""
    folder = tmp_path / "packs"
    later = tmp_path / "later.tgz"
    later.write_bytes(package(SYSTEM, listed("X") | {"date": "2028-01-01"}))
    packs.add(later, folder, NOW)
    packs.add(tgz, folder, NOW + timedelta(days=1))
    (taken,) = packs.use_value_sets(folder)
    assert (taken.date, set(taken.codes)) == ("2028-01-01", {("X", HL7_GENDER)})


def test_commands_use_the_value_sets_of_packs(tgz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``packs list`` says how many of a pack are in force, and a plain ``check`` judges by them."""
    monkeypatch.setenv("PASSERELLE_DATA_DIR", str(tmp_path / "data"))
    document = tmp_path / "new.xml"
    document.write_bytes(NEW)
    assert CliRunner().invoke(check_app, [str(document)]).exit_code == 1
    added = CliRunner().invoke(packs_app, ["add", str(tgz)])
    assert added.exit_code == 0
    assert "example.gender, 2.0.1, 2027-02-03" in added.stdout
    rows = CliRunner().invoke(packs_app, ["list"]).stdout.splitlines()
    assert len(rows) == 1
    assert rows[0].split("\t")[1:4] == ["example.gender", "2.0.1", "2027-02-03"]
    assert rows[0].split("\t")[5:7] == ["1", "1"]
    assert CliRunner().invoke(check_app, [str(document)]).exit_code == 0


def test_a_pack_spoilt_since_is_named_at_start(tgz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the first request: neither the service nor the command starts, and both say which file is wrong."""
    from gateway.runtime import open_gateway
    from gateway.settings import Settings

    monkeypatch.setenv("PASSERELLE_DATA_DIR", str(tmp_path))
    (pack,) = packs.add(tgz, tmp_path / "packs", NOW)
    for name in ("value-sets.json", "pack.json"):
        (pack.folder / name).write_bytes(b'{"sets": {')
        with pytest.raises(PackError, match=f"{pack.id}/{name}"):
            open_gateway(Settings(data_dir=tmp_path, pool_processes=0))
        result = CliRunner().invoke(check_app, ["-"], input=NEW)
        assert result.exit_code == 2
        assert f"{pack.id}/{name}" in result.output
    assert CliRunner().invoke(packs_app, ["list"]).exit_code == 2


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"package/ValueSet-a.json": b"{"}, r"package/ValueSet-a\.json: JSON-SYNTAX-001"),
        ({"package/a.txt": b"x"}, "neither schematrons"),
        ({"package/Patient-a.json": b'{"resourceType": "Patient"}'}, "neither schematrons"),
        ({"../ValueSet-a.json": b"{}"}, "ZIP-NAME-001"),
    ],
)
def test_a_wrong_file_of_a_package_is_named(files: dict[str, bytes], said: str, tmp_path: Path) -> None:
    """Nothing is kept of a package that is wrong, or none."""
    path = tmp_path / "wrong.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    with pytest.raises(PackError, match=said):
        packs.add(path, tmp_path / "packs", NOW)
    assert packs.installed(tmp_path / "packs") == []
