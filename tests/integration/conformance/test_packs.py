"""Official packs: taken in, repaired, put to use; the official rules run as they were published."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conformance import terminology
from conformance.cda import check, resolve
from gateway import packs
from gateway.commands.check import app as check_app
from gateway.commands.packs import app as packs_app
from gateway.official.runner import OfficialRules, WarmRules
from gateway.packs import PackError
from tests.support import outside
from tests.support.cda import changed, codes, official, one, tree, written
from tests.support.judge import judge

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
GENDER = "1.2.250.1.213.1.1.5.590"
VOC = "schematrons/profils/structurationMinimale/include/voc-1.2.250.1.213.1.1.5.471-DYNAMIC.xml"


@pytest.fixture(autouse=True)
def shipped_sets() -> Iterator[None]:
    """Whatever a test puts in force is taken back."""
    yield
    terminology.restore()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of packs with the official one in it."""
    folder = tmp_path_factory.mktemp("packs")
    packs.add(outside.packs() / "ans-cda", folder, NOW)
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A tree of the same form with two files to repair."""
    source = outside.packs() / "ans-cda"
    root = tmp_path / "source" / "TestContenuCDA"
    for name in (
        "schematrons/profils/IHE.sch",
        "schematrons/profils/structurationMinimale/include/1.2.250.1.213.1.1.1.1-2017-12-13T103531.sch",
        "infrastructure/cda/CDA_extended.xsd",
        "jeuxDeValeurs/JDV_J07_XdsTypeCode_CISIS.xml",
        "jeuxDeValeurs/JDV_J143_AdministrativeGender_CISIS.xml",
        "schematrons/include/entrees/E_directiveanticipee_int.sch",
    ):
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target)
    ihe = root / "schematrons/profils/IHE.sch"
    ihe.write_text(ihe.read_text("utf-8").replace("E_directiveanticipee_int", "E_directiveAnticipee_int"), "utf-8")
    (root / "schematrons/moteur").mkdir()
    (root / "schematrons/moteur/engine.xml").write_text("<x/>")
    (root / "jeuxDeValeurs/empty.xml").write_text("")
    return root


def test_a_pack_is_repaired_in_the_copy_and_says_so(small: Path, tmp_path: Path) -> None:
    """An include gets the letter case of its file, a missing vocabulary is made; the source is left as it was."""
    before = (small / "schematrons/profils/IHE.sch").read_bytes()
    (pack,) = packs.add(small.parent, tmp_path / "packs", NOW)
    assert sorted(pack.repairs) == [
        "schematrons/profils/IHE.sch: ../include/entrees/E_directiveAnticipee_int.sch -> E_directiveanticipee_int.sch",
        "voc-1.2.250.1.213.1.1.5.471-DYNAMIC.xml <- JDV_J07_XdsTypeCode_CISIS",
        "voc-1.2.250.1.213.1.1.5.590-DYNAMIC.xml <- JDV_J143_AdministrativeGender_CISIS",
    ]
    assert b"E_directiveanticipee_int" in (pack.folder / "schematrons/profils/IHE.sch").read_bytes()
    assert b'code="SYNTH"' in (pack.folder / VOC).read_bytes()
    assert not (pack.folder / "schematrons/moteur").exists()
    assert (small / "schematrons/profils/IHE.sch").read_bytes() == before


def test_a_zip_and_its_folder_are_the_same_pack(small: Path, tmp_path: Path) -> None:
    """What was taken in already is not taken in twice."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(small.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(small.parent).as_posix())
    archive_path = tmp_path / "main.zip"
    archive_path.write_bytes(packed.getvalue())
    folder = tmp_path / "packs"
    first = packs.add(archive_path, folder, NOW)
    assert packs.add(small, folder, NOW + timedelta(days=1)) == first
    assert packs.installed(folder) == first


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("nothing.zip", b"not a zip", "ZIP-SYNTAX-001"),
        ("empty.zip", b"PK\x05\x06" + b"\0" * 18, "jeuxDeValeurs"),
        ("absent.zip", None, "No such file"),
    ],
)
def test_what_is_no_pack_is_refused_by_name(name: str, data: bytes | None, said: str, tmp_path: Path) -> None:
    """An archive that is none, or holds nothing of ours."""
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(PackError, match=said):
        packs.add(tmp_path / name, tmp_path / "packs", NOW)
    assert packs.installed(tmp_path / "packs") == []


def test_a_wrong_file_of_a_pack_is_named(small: Path, tmp_path: Path) -> None:
    """A rule file or a value set that cannot be read."""
    (small / "jeuxDeValeurs/JDV_bad.xml").write_text("<a")
    with pytest.raises(PackError, match=r"jeuxDeValeurs/JDV_bad\.xml: XML-SYNTAX-001"):
        packs.add(small, tmp_path / "packs", NOW)


def test_no_pack_says_how_to_get_one(tmp_path: Path) -> None:
    """The message names the command."""
    with pytest.raises(PackError, match="passerelle packs add"):
        packs.current(tmp_path)
    assert packs.use_value_sets(tmp_path) == ()


def test_a_newer_value_set_of_a_pack_replaces_ours(small: Path, tmp_path: Path) -> None:
    """A code of the newer set is accepted, one it dropped is refused; an older set changes nothing."""
    path = small / "jeuxDeValeurs/JDV_J143_AdministrativeGender_CISIS.xml"
    text = path.read_text("utf-8").replace('code="UN"', 'code="X"')
    path.write_text(text.replace("2021-03-26", "2001-01-01"), "utf-8")
    folder = tmp_path / "packs"
    packs.add(small, folder, NOW)
    assert packs.use_value_sets(folder) == ()
    path.write_text(text.replace("2021-03-26", "2027-01-01"), "utf-8")
    packs.add(small, folder, NOW + timedelta(days=1))
    (taken,) = packs.use_value_sets(folder)
    assert (taken.oid, taken.date) == (GENDER, "2027-01-01")
    gender = "recordTarget/patientRole/patient/administrativeGenderCode"
    for code, refused in (("X", False), ("UN", True)):
        data = changed(written("report"), lambda root, code=code: one(root, gender).set("code", code))  # type: ignore[misc]
        assert ("CDA-HDR-012" in codes(check(data, environment="test").errors)) is refused
    terminology.restore()
    assert ("UN", "2.16.840.1.113883.5.1") in terminology.value_set(GENDER)


def test_the_commands_take_in_and_list(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``packs add`` says what was repaired, ``packs list`` shows it."""
    monkeypatch.setenv("PASSERELLE_DATA_DIR", str(tmp_path / "data"))
    added = CliRunner().invoke(packs_app, ["add", str(small)])
    assert added.exit_code == 0
    assert "réparé" in added.stdout
    listed = CliRunner().invoke(packs_app, ["list"])
    assert listed.stdout.startswith("ans-cda-")
    wrong = CliRunner().invoke(packs_app, ["add", str(tmp_path / "absent")])
    assert wrong.exit_code == 2
    refused = CliRunner().invoke(check_app, ["--official", str(small / "schematrons/profils/IHE.sch")])
    assert refused.exit_code == 2 or "ANS-" not in refused.stdout


def test_check_official_without_a_pack_is_a_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 2, and the command to type."""
    monkeypatch.setenv("PASSERELLE_DATA_DIR", str(tmp_path))
    result = CliRunner().invoke(check_app, ["--official", "-"], input=written("report"))
    assert result.exit_code == 2
    assert "passerelle packs add" in result.output


@pytest.mark.official
@pytest.mark.timeout(300)
def test_the_official_rules_say_what_the_outside_checker_says(installed: Path) -> None:
    """Same verdict as the outside checker, document by document; places resolve; the stylesheets are kept."""
    pack = packs.current(installed)
    rules = OfficialRules(pack)
    summary = written("summary")
    documents = {
        "good": summary,
        "no title": changed(summary, lambda root: root.remove(one(root, "title"))),
        "qualifier": official("eDISP-MED_2024.01"),
        "type": changed(summary, lambda root: one(root, "typeId").set("extension", "X")),
        "structure": changed(summary, lambda root: root.append(one(root, "realmCode"))),
    }
    for name, data in documents.items():
        found = rules.check(data)
        errors = {each.schema for each in found if each.severity == "error"}
        theirs = {number.partition(":")[0] for number in judge().errors(data)}
        assert errors == theirs, name
        for each in found:
            assert each.line or resolve(tree(data), each.location) is not None, each
    judge().save()
    assert {path.name.partition("-")[0] for path in (pack.folder / "compiled").iterdir()} >= {"StrucMin", "IHE"}


@pytest.mark.official
@pytest.mark.timeout(300)
def test_the_official_rules_run_in_a_process_of_their_own(installed: Path) -> None:
    """The process answers several documents, unreadable ones too, and ends when closed."""
    rules = WarmRules(packs.current(installed))
    try:
        assert [each.severity for each in rules.check(b"<a")] == ["error"]
        assert [each for each in rules.check(written("report")) if each.severity == "error"] == []
    finally:
        rules.close()
    assert not rules._process.is_alive()


@pytest.mark.official
@pytest.mark.timeout(300)
def test_check_official_tells_both_verdicts(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our findings first, then the official ones, no value of the document in either."""
    monkeypatch.setenv("PASSERELLE_DATA_DIR", str(installed.parent))
    monkeypatch.setattr("gateway.services.official.current", lambda _: packs.current(installed))
    path = tmp_path / "edisp.xml"
    path.write_bytes(official("eDISP-MED_2024.01"))
    result = CliRunner().invoke(check_app, ["--official", str(path)])
    assert result.exit_code == 1
    assert "CDA-HDR-023" in result.stdout
    assert "ANS-STRUCMIN" in result.stdout
