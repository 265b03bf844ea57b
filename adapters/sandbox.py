"""All the simulators as one: DMP, INSi and the MSSanté operator, on loopback, with certificates of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from adapters.directory.sandbox import API_KEY, DirectorySandbox
from adapters.dmp.sandbox import DmpSandbox
from adapters.insi.sandbox import SANDBOX_IDAM, InsiSandbox
from adapters.mss.sandbox import SANDBOX_DOMAINS, MssSandbox
from adapters.ordonnance.sandbox import ORDONNANCE_KEY, OrdonnanceSandbox
from adapters.psc.sandbox import CLIENT_ID, CLIENT_SECRET, PscSandbox
from security.pki import CredentialFiles, SandboxPki, make_sandbox_pki

__all__ = ["Ports", "Sandbox", "structure_certificates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Ports of the simulators; 0 takes a free one."""

    dmp: int = 0
    dmp_api: int = 0
    insi: int = 0
    insi_api: int = 0
    smtp: int = 0
    mss_api: int = 0
    psc: int = 0
    psc_api: int = 0
    directory: int = 0
    directory_api: int = 0
    ordonnance: int = 0
    ordonnance_api: int = 0


class Sandbox:
    """The simulators, started together; ``addresses`` tells where they are."""

    def __init__(
        self,
        folder: Path,
        *,
        structure_id: str = "1290099886",
        structure_name: str = "CABINET FICTIF",
        ports: Ports | None = None,
        **options: Any,
    ) -> None:
        chosen = ports or Ports()
        self.folder = folder
        self.pki: SandboxPki = make_sandbox_pki(
            folder / "pki", structure_id=structure_id, structure_name=structure_name
        )
        self.dmp = DmpSandbox(self.pki, port=chosen.dmp, api_port=chosen.dmp_api, **options.get("dmp", {}))
        self.psc = PscSandbox(self.pki, port=chosen.psc, api_port=chosen.psc_api, **options.get("psc", {}))
        self.insi = InsiSandbox(
            self.pki,
            port=chosen.insi,
            api_port=chosen.insi_api,
            token_holder=self.psc.holder,
            **options.get("insi", {}),
        )
        self.mss = MssSandbox(self.pki, smtp_port=chosen.smtp, api_port=chosen.mss_api, **options.get("mss", {}))
        self.directory = DirectorySandbox(
            port=chosen.directory, api_port=chosen.directory_api, **options.get("directory", {})
        )
        self.ordonnance = OrdonnanceSandbox(
            port=chosen.ordonnance, api_port=chosen.ordonnance_api, **options.get("ordonnance", {})
        )

    def start(self) -> Self:
        """Start all of them; returns once they answer."""
        for one in (self.dmp, self.insi, self.mss, self.psc, self.directory, self.ordonnance):
            one.start()
        return self

    def stop(self) -> None:
        """Stop all of them."""
        for one in (self.ordonnance, self.directory, self.psc, self.mss, self.insi, self.dmp):
            one.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def addresses(self) -> dict[str, dict[str, str]]:
        """Where the simulators' own interfaces are, as the access file of the demonstration names them."""
        return {
            "dmp": {"api": self.dmp.api_url, "services": self.dmp.base_url},
            "insi": {"api": self.insi.api_url, "services": self.insi.url},
            "psc": {"api": self.psc.api_url, "services": self.psc.issuer},
            "directory": {"api": self.directory.api_url, "services": self.directory.base_url},
            "ordonnance": {"api": self.ordonnance.api_url, "services": self.ordonnance.base_url},
            "mss": {
                "api": self.mss.api,
                "smtp": f"127.0.0.1:{self.mss.smtp_port}",
                "imap": f"127.0.0.1:{self.mss.imap_port}",
            },
        }

    def environment(self) -> dict[str, str]:
        """The settings of a gateway that talks to these simulators, as environment variables."""
        pki = self.pki
        return {
            "PASSERELLE_ENVIRONMENT": "test",
            # Everybody here is fictitious: test identities count.
            "PASSERELLE_FEEDS__POLICY": "fr-rehearsal-1",
            # No Pro Santé Connect here: the calling software says who consults.
            "PASSERELLE_RECORDS_ACTOR": "declared",
            "PASSERELLE_DMP__BASE_URL": self.dmp.base_url,
            "PASSERELLE_DMP__PARAMETERS_URL": f"{self.dmp.api_url}/web/dmp/documents/param-lps",
            "PASSERELLE_DMP__TRUST": str(pki.trust),
            "PASSERELLE_DMP__AUTH_CERTIFICATE": str(pki.auth.cert_path),
            "PASSERELLE_DMP__AUTH_KEY": str(pki.auth.key_path),
            "PASSERELLE_DMP__SIGN_CERTIFICATE": str(pki.sign.cert_path),
            "PASSERELLE_DMP__SIGN_KEY": str(pki.sign.key_path),
            "PASSERELLE_INSI__URL": self.insi.url,
            "PASSERELLE_INSI__PSC_URL": self.insi.assertion_url,
            "PASSERELLE_INSI__TRUST": str(pki.trust),
            "PASSERELLE_INSI__CERTIFICATE": str(pki.insi.cert_path),
            "PASSERELLE_INSI__KEY": str(pki.insi.key_path),
            "PASSERELLE_INSI__IDAM": SANDBOX_IDAM,
            # The qualification platform answers under the real authorities for its fictitious people.
            "PASSERELLE_INSI__REMAP_TEST_AUTHORITY": "true",
            "PASSERELLE_PSC__ISSUER": self.psc.issuer,
            "PASSERELLE_PSC__WALLET": self.psc.wallet,
            "PASSERELLE_PSC__CLIENT_ID": CLIENT_ID,
            "PASSERELLE_PSC__CLIENT_SECRET": CLIENT_SECRET,
            "PASSERELLE_PSC__TRUST": str(pki.trust),
            "PASSERELLE_DIRECTORY__BASE_URL": self.directory.base_url,
            "PASSERELLE_DIRECTORY__API_KEY": API_KEY,
            "PASSERELLE_ORDONNANCE__BASE_URL": self.ordonnance.base_url,
            "PASSERELLE_ORDONNANCE__API_KEY": ORDONNANCE_KEY,
            "PASSERELLE_MSS__SMTP_HOST": "127.0.0.1",
            "PASSERELLE_MSS__SMTP_PORT": str(self.mss.smtp_port),
            "PASSERELLE_IMAP__HOST": "127.0.0.1",
            "PASSERELLE_IMAP__PORT": str(self.mss.imap_port),
            "PASSERELLE_MSS__TRUST": str(pki.trust),
            "PASSERELLE_MSS__CERTIFICATE": str(pki.mss.cert_path),
            "PASSERELLE_MSS__KEY": str(pki.mss.key_path),
            "PASSERELLE_MSS__MAILBOX": "cabinet@structure.formation.mssante.fr",
            "PASSERELLE_MSS__WHITE_LIST": "[" + ",".join(f'"{name}"' for name in SANDBOX_DOMAINS) + "]",
        }


def structure_certificates(pki: SandboxPki, folder: Path, *, structure_id: str, structure_name: str) -> dict[str, str]:
    """Certificates of another structure from the sandbox's authority, as a tenant's references."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = pki.authority()
    out: dict[str, str] = {}
    for reference, usage, name in (
        ("dmp", "client", "PASSERELLE"),
        ("dmpSign", "sign", "PASSERELLE SIGN"),
        ("insi", "client", "INSI-AUTO"),
        ("mss", "client", "PASSERELLE MSS"),
    ):
        subject = [("C", "FR"), ("O", structure_name), ("OU", structure_id), ("CN", name)]
        files: CredentialFiles = authority.issue(subject, usage).write(folder, reference)  # type: ignore[arg-type]
        out[f"{reference}Certificate"] = str(files.cert_path)
        out[f"{reference}Key"] = str(files.key_path)
    return out
