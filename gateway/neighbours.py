"""The services a tenant's deliveries talk to: one client a structure and destination, keys loaded once."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway import __version__
from gateway.journey.clock import Clock
from gateway.services.mail_sessions import MailSessions
from gateway.settings import ImapSettings, MssSettings, Settings
from gateway.tenants import Tenant

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from adapters.dmp.client import DmpClient
    from adapters.dmp.parameters import ParameterKeeper
    from adapters.dmp.settings import DmpEndpoint
    from adapters.insi.client import InsiClient
    from adapters.mss.client import MssClient
    from adapters.mss.imap import ImapMailbox
    from gateway.services.evidence import Recorder
    from gateway.services.revocations import Revocations
    from gateway.services.white_list import WhiteListKeeper

__all__ = ["DmpLine", "MssLine", "Neighbours", "NotConfigured"]


log = structlog.get_logger("passerelle.mss")


class NotConfigured(Exception):
    """A service is asked for that the settings do not name; ``missing`` is the setting."""

    def __init__(self, missing: str) -> None:
        self.missing = missing
        super().__init__(f"setting {missing} is empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class DmpLine:
    """How one structure reaches the DMP."""

    client: DmpClient


@dataclass(frozen=True, slots=True, kw_only=True)
class MssLine:
    """How one structure sends mail."""

    client: MssClient
    mailbox: str
    label: str
    white_list: Container[str]


def _trace(*, mailbox: str, message_id: str, action: str, answer: str) -> None:
    """Keep a trace of what was asked of the operator and what it answered, failures included (ECO.4.1.1)."""
    log.info("mss.trace", mailbox=mailbox, message=message_id, action=action, answer=answer)


@dataclass(frozen=True, slots=True)
class _Trust:
    trust: Path


class Neighbours:
    """Clients of the national services, made on first use and kept."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        recorder: Recorder | None = None,
        sessions: MailSessions | None = None,
    ) -> None:
        self._settings = settings
        self._sessions = sessions or MailSessions()
        self._white_list: WhiteListKeeper | None = None
        self._revocations: Revocations | None = None
        self._clock = clock
        self._recorder = recorder if settings.dmp.keep_exchanges else None
        self._dmp: dict[str, DmpLine] = {}
        self._parameters: ParameterKeeper | None = None
        self._mss: dict[str, MssLine] = {}
        self._insi: dict[str, InsiClient] = {}
        self._insi_psc: dict[str, InsiClient] = {}

    async def close(self) -> None:
        """Let go of every connection."""
        for line in self._dmp.values():
            await line.client.aclose()
        for mail in self._mss.values():
            await mail.client.close()
        for client in (*self._insi.values(), *self._insi_psc.values()):
            await client.aclose()

    def dmp(self, tenant: Tenant) -> DmpLine:
        """The tenant's line to the DMP; raises :class:`NotConfigured`."""
        line = self._dmp.get(tenant.id)
        if line is None:
            line = self._dmp[tenant.id] = self._open_dmp(tenant)
        return line

    def insi(self, tenant: Tenant) -> InsiClient:
        """The tenant's client of INSi; raises :class:`NotConfigured`."""
        client = self._insi.get(tenant.id)
        if client is None:
            client = self._insi[tenant.id] = self._open_insi(tenant)
        return client

    def insi_psc(self, tenant: Tenant) -> InsiClient:
        """The client by which a professional asks INSi through Pro Santé Connect; raises :class:`NotConfigured`."""
        client = self._insi_psc.get(tenant.id)
        if client is None:
            from security.tls import client_ssl_context

            insi = self._settings.insi
            trust = self._path(tenant, "insiTrust", insi.trust, "insi.trust")
            client = self._insi_psc[tenant.id] = self._insi_client(
                tenant, insi.psc_url, "insi.psc_url", client_ssl_context(None, trust)
            )
        return client

    def mss(self, tenant: Tenant) -> MssLine:
        """The tenant's mailbox; raises :class:`NotConfigured`."""
        line = self._mss.get(tenant.id)
        if line is None:
            line = self._mss[tenant.id] = self._open_mss(tenant)
        return line

    @property
    def white_list(self) -> WhiteListKeeper:
        """The white list in force, one for all structures."""
        if self._white_list is None:
            from gateway.services.white_list import WhiteListKeeper

            self._white_list = WhiteListKeeper(self._settings)
        return self._white_list

    @property
    def revocations(self) -> Revocations:
        """The lists of revoked certificates in force, for every operator."""
        if self._revocations is None:
            from gateway.services.revocations import Revocations

            self._revocations = Revocations(self._settings, self._clock)
        return self._revocations

    def mailbox_of(self, tenant: Tenant) -> str:
        """The address of a tenant's mailbox; empty when it has none."""
        return str(tenant.references.get("mailbox") or self._settings.mss.mailbox)

    def imap(self, tenant: Tenant, executor: Executor | None = None) -> ImapMailbox:
        """A connection of its own to the tenant's mailbox, to be closed by whoever asked; :class:`NotConfigured`.

        ``executor`` runs its blocking dialogue.
        """
        from adapters.mss.client import AuthMode
        from adapters.mss.imap import ImapAccount, ImapMailbox

        imap = self._settings.imap
        if not imap.host:
            raise NotConfigured("imap.host")
        mailbox = self.mailbox_of(tenant)
        if not mailbox:
            raise NotConfigured("mss.mailbox")
        account = ImapAccount(
            host=imap.host,
            port=imap.port,
            mailbox=mailbox,
            ssl_context=self._mail_context(tenant, imap),
            auth=AuthMode(imap.auth),
            password=imap.password.get_secret_value(),
            implicit_tls=imap.implicit_tls,
            timeout=imap.timeout_seconds,
            max_bytes=imap.max_message_bytes,
        )
        token = self._sessions.source(mailbox, tenant.id) if imap.auth == "xoauth2" else None
        return ImapMailbox(account, token=token, executor=executor)

    def _mail_context(self, tenant: Tenant, group: MssSettings | ImapSettings) -> ssl.SSLContext:
        """TLS towards the operator: with the structure's certificate, or without one where a token opens the box."""
        from security.tls import client_ssl_context

        mss = self._settings.mss
        certificate, key = group.certificate or mss.certificate, group.key or mss.key
        trust = self._path(tenant, "mssTrust", group.trust or mss.trust, "mss.trust")
        if group.auth == "xoauth2" and certificate is None and "mssCertificate" not in tenant.references:
            return self.revocations.guard(client_ssl_context(None, trust))
        return self.revocations.guard(self._context(tenant, "mss", _Trust(trust), certificate, key))

    def _path(self, tenant: Tenant, reference: str, default: Path | None, setting: str) -> Path:
        """A file by reference: the tenant's own, else the installation's."""
        own = tenant.references.get(reference)
        path = Path(own) if own else default
        if path is None:
            raise NotConfigured(setting)
        return path

    def _context(
        self, tenant: Tenant, name: str, group: Any, certificate: Path | None, key: Path | None
    ) -> ssl.SSLContext:
        from security.keyring import KeyRef, open_files
        from security.tls import client_ssl_context

        trust = self._path(tenant, f"{name}Trust", group.trust, f"{name}.trust")
        path = self._path(tenant, f"{name}Certificate", certificate, f"{name}.certificate")
        key_path = Path(own) if (own := tenant.references.get(f"{name}Key")) else key
        return client_ssl_context(open_files(KeyRef(name=name, path=path, key_path=key_path, usage="client")), trust)

    def _open_dmp(self, tenant: Tenant) -> DmpLine:
        from adapters.dmp.client import DmpClient
        from adapters.dmp.settings import DmpEndpoint
        from security.keyring import KeyRef, open_files
        from security.vihf import Software, VihfProfile, VihfSigner
        from security.xades import SetSigner

        dmp = self._settings.dmp
        if not dmp.base_url:
            raise NotConfigured("dmp.base_url")
        endpoint = DmpEndpoint.at(
            dmp.base_url,
            software=Software(
                name=dmp.lps_name, version=dmp.lps_version, homologation=dmp.homologation_id, id=dmp.lps_id
            ),
            source_id=dmp.source_id,
            processing_code="P" if self._settings.environment == "production" else "D",
            vihf=VihfProfile(
                version=dmp.vihf_version,
                algorithm=dmp.vihf_signature,
                mode_attribute=dmp.vihf_mode_attribute,
                dn_order=dmp.vihf_issuer,
            ),
            set_digest=dmp.set_signature,
            max_document_bytes=dmp.max_document_bytes,
            max_set_bytes=dmp.max_set_bytes,
            both_restrictions=self._both_restrictions(),
            total_timeout=dmp.timeout_seconds,
            connections=dmp.concurrency,
        )
        sign_path = self._path(tenant, "dmpSignCertificate", dmp.sign_certificate, "dmp.sign_certificate")
        own_key = tenant.references.get("dmpSignKey")
        key = open_files(KeyRef(name="dmp.sign", path=sign_path, key_path=Path(own_key) if own_key else dmp.sign_key))
        private = key.private_key
        if not isinstance(private, rsa.RSAPrivateKey):
            raise NotConfigured("dmp.sign_key: an RSA key")
        options: dict[str, Any] = {
            "ssl_context": self._context(tenant, "dmp", dmp, dmp.auth_certificate, dmp.auth_key),
            "vihf": VihfSigner(key=private, certificate=key.certificate, profile=endpoint.vihf),
            "set_signer": SetSigner(key=private, certificate=key.certificate, digest=dmp.set_signature),
            "clock": self._clock,
            "recorder": None if self._recorder is None else self._recorder.of(tenant.id, "dmp"),
        }
        client = DmpClient(endpoint, **options) if dmp.protocol == "xds" else self._twin(endpoint, options)
        return DmpLine(client=client)

    def _both_restrictions(self) -> bool:
        told = self._parameters.known.both_restrictions if self._parameters is not None else None
        return self._settings.dmp.both_restrictions if told is None else told

    async def refresh_parameters(self) -> None:
        """Read the DMP's system parameters when a day has passed, and have every line follow them."""
        if self._parameters is None:
            from adapters.dmp.parameters import ParameterKeeper
            from security.tls import client_ssl_context

            dmp = self._settings.dmp
            trusted = client_ssl_context(None, dmp.trust) if dmp.trust and dmp.parameters_url else None
            self._parameters = ParameterKeeper(dmp.parameters_url, ssl_context=trusted, clock=self._clock)
        await self._parameters.current()
        both = self._both_restrictions()
        for line in self._dmp.values():
            if line.client.endpoint.both_restrictions is not both:
                line.client.endpoint = replace(line.client.endpoint, both_restrictions=both)

    def _twin(self, endpoint: DmpEndpoint, options: dict[str, Any]) -> DmpClient:
        from adapters.dmp.twin import FhirDmpClient

        dmp = self._settings.dmp
        return FhirDmpClient(dmp.fhir_url or f"{dmp.base_url.rstrip('/')}/fhir", endpoint, **options)

    def _open_insi(self, tenant: Tenant) -> InsiClient:
        insi = self._settings.insi
        if not insi.url:
            raise NotConfigured("insi.url")
        return self._insi_client(
            tenant, insi.url, "insi.url", self._context(tenant, "insi", insi, insi.certificate, insi.key)
        )

    def _insi_client(self, tenant: Tenant, url: str, setting: str, context: ssl.SSLContext) -> InsiClient:
        from adapters.insi.client import InsiClient, InsiSettings
        from adapters.insi.soap import LpsContext
        from conformance.identifiers import INS_NIA, INS_NIR, INS_NIR_TEST

        insi = self._settings.insi
        if not url:
            raise NotConfigured(setting)
        remap = {INS_NIR: INS_NIR_TEST, INS_NIA: INS_NIR_TEST} if insi.remap_test_authority else {}
        return InsiClient(
            InsiSettings(
                url=url,
                context=LpsContext(
                    idam=insi.idam,
                    software=f"urn:lps:{insi.software.lower()}:{__version__}",
                    version=__version__,
                    instance=str(uuid.uuid5(uuid.NAMESPACE_OID, tenant.id)),
                    emitter=tenant.structure_id,
                ),
                environment=self._settings.environment,
                oid_map=remap if self._settings.environment == "test" else {},
                timeout=insi.timeout_seconds,
                max_calls=insi.max_calls,
            ),
            context,
            clock=self._clock,
        )

    def _open_mss(self, tenant: Tenant) -> MssLine:
        from adapters.mss.client import AuthMode, MssAccount, MssClient

        mss = self._settings.mss
        if not mss.smtp_host:
            raise NotConfigured("mss.smtp_host")
        mailbox = self.mailbox_of(tenant)
        if not mailbox:
            raise NotConfigured("mss.mailbox")
        account = MssAccount(
            host=mss.smtp_host,
            port=mss.smtp_port,
            mailbox=mailbox,
            ssl_context=self._mail_context(tenant, mss),
            auth=AuthMode(mss.auth),
            password=mss.password.get_secret_value(),
            timeout=mss.timeout_seconds,
            max_connections=mss.concurrency,
        )
        return MssLine(
            client=MssClient(
                account,
                token=self._sessions.source(mailbox, tenant.id) if mss.auth == "xoauth2" else None,
                recorder=_trace,
            ),
            mailbox=mailbox,
            label=str(tenant.references.get("mailboxLabel") or tenant.name),
            white_list=self.white_list,
        )
