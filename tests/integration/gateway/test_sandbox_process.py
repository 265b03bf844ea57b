"""The simulators in a process of their own: as those in ours, and gone when who started them is."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import psutil

from adapters.sandbox_process import SandboxProcess


def test_simulators_apart_answer_and_leave(tmp_path: Path) -> None:
    """Addresses, settings and certificates are given; the process ends with its standard input."""
    with SandboxProcess(tmp_path, structure_id="1290099886", structure_name="CABINET FICTIF") as sandbox:
        there = psutil.Process(sandbox.pid)
        assert there.ppid() == os.getpid()
        for name in ("dmp", "insi", "mss", "psc", "directory", "ordonnance"):
            assert httpx.get(f"{sandbox.addresses[name]['api']}/", trust_env=False).status_code < 500
        settings = sandbox.environment()
        assert settings["PASSERELLE_DMP__BASE_URL"] == sandbox.addresses["dmp"]["services"]
        assert Path(settings["PASSERELLE_DMP__AUTH_CERTIFICATE"]).is_file()
        assert sandbox.pki.auth.cert_path == Path(settings["PASSERELLE_DMP__AUTH_CERTIFICATE"])
    assert not there.is_running()
    assert sandbox.pid == 0
