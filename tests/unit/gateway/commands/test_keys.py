"""``passerelle keys check``: what is wrong with certificates, told before the first call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
from typer.testing import CliRunner

from gateway import tenants
from gateway.commands.keys import app
from gateway.services.keys import PROBLEMS, CheckedKey, inventory
from gateway.settings import Settings
from gateway.store.engine import Store
from gateway.store.migrate import upgrade
from gateway.tenants import Tenant
from security.pki import SandboxPki, make_sandbox_pki

whole = typer.Typer()
whole.add_typer(app, name="keys")
STRUCTURE = "1290099886"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> SandboxPki:
    """Certificates of a structure."""
    return make_sandbox_pki(tmp_path_factory.mktemp("pki"), structure_id=STRUCTURE, structure_name="CABINET FICTIF")


def settings_of(pki: SandboxPki, folder: Path, **dmp: Any) -> Settings:
    """Settings that name the certificates."""
    return Settings.model_validate(
        {
            "data_dir": folder,
            "dmp": {
                "trust": pki.trust,
                "auth_certificate": pki.auth.cert_path,
                "auth_key": pki.auth.key_path,
                "sign_certificate": pki.sign.cert_path,
                "sign_key": pki.sign.key_path,
                **dmp,
            },
            "insi": {"trust": pki.trust, "certificate": pki.insi.cert_path, "key": pki.insi.key_path},
        }
    )


def structure(number: str = STRUCTURE, **references: str) -> Tenant:
    """A structure of the installation."""
    return Tenant(id=f"tnt_{number}", structure_id=number, name="X", activity_sector="SA07", references=references)


def codes(keys: list[CheckedKey]) -> dict[str, list[str]]:
    """The faults of each key."""
    return {key.name: [p.code for p in key.problems] for key in keys}


def test_good_certificates_are_good(pki: SandboxPki, tmp_path: Path) -> None:
    """Each certificate once, with its use, its subject and its end, and no fault."""
    keys = inventory(settings_of(pki, tmp_path), [structure()], datetime.now(UTC))
    assert codes(keys) == {"dmp.auth_certificate": [], "dmp.sign_certificate": [], "insi.certificate": []}
    assert {key.structure for key in keys} == {STRUCTURE}
    assert [key.usage for key in keys] == ["client", "sign", "client"]
    assert all(key.days is not None and key.days > 0 and key.ends is not None for key in keys)


def test_a_certificate_of_another_structure_is_told(pki: SandboxPki, tmp_path: Path) -> None:
    """The installation's certificate serves its structure; one without its own does not get it unnoticed."""
    keys = inventory(settings_of(pki, tmp_path), [structure(), structure("1750803447")], datetime.now(UTC))
    wrong = [key for key in keys if key.problems]
    assert {key.tenant for key in wrong} == {"1750803447"}
    assert {p.code for key in wrong for p in key.problems} == {"KEY-STRUCTURE-001"}


def test_certificates_put_for_one_another_are_told(pki: SandboxPki, tmp_path: Path) -> None:
    """The authentication certificate does not sign; INSi wants its own."""
    swapped = settings_of(
        pki,
        tmp_path,
        sign_certificate=pki.auth.cert_path,
        sign_key=pki.auth.key_path,
    )
    found = codes(inventory(swapped, [structure()], datetime.now(UTC)))
    assert found["dmp.sign_certificate"] == ["KEY-USAGE-001"]
    named = structure(insiCertificate=str(pki.auth.cert_path), insiKey=str(pki.auth.key_path))
    assert codes(inventory(settings_of(pki, tmp_path), [named], datetime.now(UTC)))["insiCertificate"] == [
        "KEY-NAME-001"
    ]


@pytest.mark.parametrize(("before", "alarm"), [(59, 60), (29, 30), (6, 7), (-1, 0)])
def test_the_end_of_a_certificate_is_announced(pki: SandboxPki, tmp_path: Path, before: int, alarm: int) -> None:
    """Sixty, thirty and seven days before, then once it is over."""
    settings = settings_of(pki, tmp_path)
    ends = min(k.ends for k in inventory(settings, [], datetime.now(UTC)) if k.ends is not None)
    first = min(
        inventory(settings, [], ends - timedelta(days=before)), key=lambda k: k.days if k.days is not None else 0
    )
    assert first.alarm == alarm
    assert ("KEY-DATE-002" in {p.code for p in first.problems}) is (alarm == 0)


def test_a_foreign_authority_and_an_open_file_are_told(pki: SandboxPki, tmp_path: Path) -> None:
    """Whom nobody here trusts, and what every account may read."""
    (tmp_path / "other.pem").write_bytes(pki.foreign().pem)
    key = tmp_path / "open.key"
    key.write_bytes(Path(str(pki.auth.key_path)).read_bytes())
    key.chmod(0o644)
    found = codes(
        inventory(settings_of(pki, tmp_path, trust=tmp_path / "other.pem", auth_key=key), [], datetime.now(UTC))
    )
    assert found["dmp.auth_certificate"] == ["KEY-MODE-001"]
    assert found["dmp.sign_certificate"] == ["KEY-CHAIN-001"]


@pytest.fixture
def installation(pki: SandboxPki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation on files, with one structure, named by the environment."""
    for name, value in {
        "DATA_DIR": tmp_path,
        "DMP__TRUST": pki.trust,
        "DMP__AUTH_CERTIFICATE": pki.auth.cert_path,
        "DMP__AUTH_KEY": pki.auth.key_path,
    }.items():
        monkeypatch.setenv(f"PASSERELLE_{name}", str(value))
    url = Settings().store_url
    upgrade(url)
    store = Store(url)
    store.write_now(
        lambda c: tenants.add_tenant(
            c,
            structure_id=STRUCTURE,
            name="CABINET FICTIF",
            activity_sector="SA07",
            references={},
            now=datetime.now(UTC),
        )
    )
    store.close()
    return tmp_path


def test_the_command_says_it_and_its_exit_code_too(
    pki: SandboxPki, installation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good: 0 and a line each. Near its end, or wrong: 1, with the code, what was found and what to do."""
    good = CliRunner().invoke(whole, ["keys", "check"])
    assert good.exit_code == 0, good.output
    assert "dmp.auth_certificate" in good.stdout
    assert "bon" in good.stdout
    assert CliRunner().invoke(whole, ["keys", "check", "--within", "36500"]).exit_code == 1
    monkeypatch.setenv("PASSERELLE_DMP__SIGN_CERTIFICATE", str(pki.auth.cert_path))
    monkeypatch.setenv("PASSERELLE_DMP__SIGN_KEY", str(pki.auth.key_path))
    wrong = CliRunner().invoke(whole, ["keys", "check", "--json"])
    assert wrong.exit_code == 1
    assert [orjson.loads(line)["usage"] for line in wrong.stdout_bytes.splitlines()] == ["client", "sign"]
    monkeypatch.setenv("PASSERELLE_DMP__AUTH_CERTIFICATE", str(installation / "absent.pem"))
    absent = CliRunner().invoke(whole, ["keys", "check", "--json"])
    assert absent.exit_code == 1
    lines = [orjson.loads(line) for line in absent.stdout_bytes.splitlines()]
    assert lines[0]["problems"][0]["code"] == "KEY-READ-001"
    assert lines[0]["problems"][0]["fix"]


def test_every_fault_has_its_words() -> None:
    """Each code of the keyring is explained, with a way to mend it."""
    import re

    import security.keyring

    source = Path(str(security.keyring.__file__)).read_text()
    used = set(re.findall(r'"(KEY-[A-Z0-9]+-\d{3})"', source)) - {"KEY-UNAVAILABLE-001"}
    assert used == set(PROBLEMS)
