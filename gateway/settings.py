"""Everything that can be configured, read once from ``PASSERELLE_*`` variables or a file, and checked at start."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = [
    "DmpSettings",
    "FeedsSettings",
    "ImapSettings",
    "InsiSettings",
    "MssSettings",
    "OrdonnanceSettings",
    "PscSettings",
    "Settings",
]


class _Group(BaseModel):
    model_config = {"extra": "forbid", "frozen": True}


class DmpSettings(_Group):
    """Where the DMP is and how to speak to it; every value of an environment, none built in."""

    base_url: str = Field("", description="https://{host}/si-dmp-server/v2/services, without a path after it.")
    protocol: Literal["xds", "pdsm"] = Field(
        "xds", description="How documents travel: XDS.b (SOAP), or its FHIR twin where the environment offers it."
    )
    fhir_url: str = Field("", description="FHIR base of the twin; base_url followed by /fhir when empty.")
    trust: Path | None = Field(None, description="PEM of the authorities the server's certificate must come from.")
    auth_certificate: Path | None = Field(None, description="Structure certificate for TLS, PEM or PKCS#12.")
    auth_key: Path | None = None
    sign_certificate: Path | None = Field(None, description="Structure signature certificate (VIHF and sets).")
    sign_key: Path | None = None
    source_id: str = Field("1.2.250.1.999.9", description="OID of the sending system (XDS sourceId).")
    lps_name: str = "PASSERELLE"
    lps_version: str = "0.1"
    lps_id: str = "0001"
    homologation_id: str = Field("TEST-0000", description="LPS_ID_HOMOLOGATION_DMP, given by the CNDA.")
    vihf_version: Literal["3.0", "4.0"] = "3.0"
    vihf_signature: Literal["rsa-sha256", "rsa-sha1"] = Field(
        "rsa-sha256", description="Algorithm of the assertion's signature; rsa-sha1 for environments of the old kit."
    )
    vihf_mode_attribute: Literal["Authentification_mode", "Authentification_Mode"] = Field(
        "Authentification_mode", description="Name of the attribute of the mode, which public sources spell both ways."
    )
    vihf_issuer: Literal["rfc4514", "encoded"] = Field(
        "rfc4514", description="Order of the issuer's name: CN first, or as the certificate has it."
    )
    set_signature: Literal["sha1", "sha256"] = Field("sha1", description="Algorithm of the submission-set signature.")
    after_lost_answer: Literal["ask", "resend_same_set"] = "ask"
    check_status: bool = Field(True, description="Ask the DMP whether the record is open before feeding (TD0.2).")
    status_seconds: float = Field(
        0.0,
        ge=0,
        description="How long a record found open is held to be open, for one patient and one professional: the "
        "documents of one encounter then ask once. 0 asks before each document.",
    )
    timeout_seconds: float = 12.0
    max_document_bytes: int = 5 * 1024 * 1024
    max_set_bytes: int = 10 * 1024 * 1024
    parameters_url: str = Field(
        "", description="The DMP's file of system parameters, read once a day; empty: the settings alone."
    )
    both_restrictions: bool = Field(
        False,
        description="A document may be masked to professionals and hidden from the patient at once, where the file of "
        "parameters does not say.",
    )
    concurrency: int = Field(8, ge=1, description="Deliveries under way at once, a node.")
    max_per_second: float = Field(0.0, ge=0, description="Most deliveries begun a second, a node; 0 for no limit.")
    keep_exchanges: bool = Field(True, description="Keep each exchange, sealed, as evidence for homologation.")


class InsiSettings(_Group):
    """Where the INSi teleservice is."""

    url: str = ""
    psc_url: str = Field(
        "",
        description="Where a professional calls by Pro Santé Connect; empty: only the structure's certificate calls.",
    )
    psc_token: Literal["bearer", "none"] = Field(
        "bearer",
        description="How the token travels beside the unsigned assertion: in Authorization, or not at all. The "
        "national way is not public.",
    )
    trust: Path | None = None
    certificate: Path | None = Field(None, description="ORG AUTH_CLI certificate whose CN is INSI-AUTO.")
    key: Path | None = None
    idam: str = Field("TEST-IDAM", description="CNDA authorisation number of the software.")
    software: str = "PASSERELLE"
    sender: str = Field("1290099886", description="Emetteur: structure identifier of the certificate.")
    timeout_seconds: float = 10.0
    max_calls: int = 6
    max_age_days: int = Field(365 * 3, description="An INS checked longer ago is verified again before feeding.")
    remap_test_authority: bool = Field(
        False, description="Answers of the qualification platform under .8/.9 are kept under the test authority .10."
    )


class PscSettings(_Group):
    """Pro Santé Connect: who the practitioner is."""

    issuer: str = Field("", description="Empty: nobody logs in by Pro Santé Connect.")
    wallet: str = Field("", description="Authorisation endpoint.")
    client_id: str = ""
    client_secret: SecretStr = Field(SecretStr(""), description="Empty with a client certificate.")
    redirect_uri: str = Field(
        "", description="Where browsers come back, as declared there; base_url and /v1/psc/callback if empty."
    )
    trust: Path | None = Field(None, description="PEM of authorities; the system's when empty.")
    certificate: Path | None = Field(None, description="Client certificate (tls_client_auth), PEM or PKCS#12.")
    key: Path | None = None
    acr: str = Field("eidas1", description="acr_values asked for.")
    login_minutes: int = Field(10, ge=1, le=60, description="How long a log-in may take.")
    session_hours: float = Field(
        12.0, gt=0, le=24, description="Longest life of a session that opens a mailbox, renewed or not."
    )
    renew_minutes: float = Field(10.0, gt=0, description="How long such a session rests before it is renewed.")


class DirectorySettings(_Group):
    """The Annuaire Santé: mailboxes by RPPS or structure, and whether an author practises where they say."""

    base_url: str = Field("", description="FHIR base, ending in /fhir/v2; empty: the directory is not asked.")
    api_key: SecretStr = Field(SecretStr(""), description="Sent in ESANTE-API-KEY.")
    trust: Path | None = Field(None, description="PEM of authorities; the system's when empty.")
    cache_seconds: float = Field(86_400.0, gt=0, description="How long an answer is believed.")
    calls_per_second: float = Field(17.0, gt=0, description="Most questions a second, a node.")
    timeout_seconds: float = Field(10.0, gt=0, description="Of one question.")
    check_authors: bool = Field(True, description="Warn when an author does not practise where the document says.")
    wait_seconds: float = Field(
        0.5, ge=0, description="How long a document waits for that check; later answers serve the next ones."
    )
    pause_seconds: float = Field(30.0, ge=0, description="How long the check is left out after the directory failed.")


class OrdonnanceSettings(_Group):
    """The national e-prescription service, and what is asked of dispensations."""

    base_url: str = Field("", description="Empty: prescriptions get no number, dispensations are not relayed.")
    api_key: SecretStr = SecretStr("")
    trust: Path | None = Field(None, description="PEM of authorities; the system's when empty.")
    timeout_seconds: float = 8.0
    relay_days: int = Field(30, ge=1, description="How long an outage of the service is waited out.")
    code: Literal["signed", "project-1"] = Field(
        "signed",
        description="2D code of the printed form, project formats both, since the national one is not public: sealed "
        "by the gateway, or number and date with a check against misreading.",
    )
    first_days: int = Field(
        92,
        ge=1,
        description="Longest time to the first dispensation: three months (CSP R5132-22; its text was not read).",
    )
    secured_days: int = Field(
        3,
        ge=1,
        description="The same for a secured prescription, the day it was written not counted (CSP R5132-33).",
    )
    early_days: int = Field(
        7,
        ge=0,
        description="How long before the end of a delivery the next may be given; a project rule, no text says.",
    )
    skew_seconds: int = Field(600, ge=0, description="How far ahead a pharmacy's clock may be.")
    presentations_file: Path | None = Field(None, description="CIS_CIP_bdpm.txt of the public medicine database.")
    generics_file: Path | None = Field(None, description="CIS_GENER_bdpm.txt of the public medicine database.")


class MssSettings(_Group):
    """The operator's servers and the mailbox that sends."""

    smtp_host: str = ""
    smtp_port: int = 587
    trust: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    crl: Path | None = Field(
        None, description="PEM of the lists of revoked certificates; mss-revoked.pem in data_dir if empty and fetched."
    )
    crl_urls: tuple[str, ...] = Field(
        (), description="Where those lists are published; without crl nor crl_urls revocation is not looked at."
    )
    crl_hours: float = Field(24.0, gt=0, description="How often they are fetched.")
    auth: Literal["none", "external", "plain", "xoauth2"] = Field(
        "none", description="After TLS: nothing, SASL EXTERNAL, PLAIN, or a Pro Santé Connect token."
    )
    password: SecretStr = Field(SecretStr(""), description="PLAIN only.")
    mailbox: str = Field("", description="Applicative mailbox: envelope sender and From.")
    label: str = Field("Passerelle", description="Sender label people see.")
    nil: str = Field("TEST-NIL", description="X-MSS-NIL: product reference.")
    white_list: tuple[str, ...] = Field(
        (), description="Domains mail may go to, beside those of the list; without any of them all mail is refused."
    )
    white_list_file: Path | None = Field(
        None, description="Last good copy of the national list; white-list.xml in data_dir if empty."
    )
    white_list_url: str = Field("", description="Where the national list is published; empty: it is not fetched.")
    white_list_checksum_url: str = Field("", description="SHA-256 published beside it, when there is one.")
    white_list_hours: float = Field(24.0, gt=0, description="How often the list is fetched.")
    white_list_minimum: int = Field(1000, ge=1, description="A list with fewer domains is not believed.")
    timeout_seconds: float = 12.0
    max_message_bytes: int = 10 * 1024 * 1024
    max_wait_seconds: float = Field(3600.0, description="Longest wait before the same mail goes again.")
    send_unqualified: bool = Field(
        False, description="Mail professionals about an unqualified identity (X-MSS-INS: N)."
    )
    unknown_after_hours: float = Field(
        48.0, gt=0, description="Silence after which a recipient of a mail is said to be unknown."
    )
    keep_exchanges: bool = Field(
        True, description="Keep each mail with the operator's answer, and each notice about it, sealed, as evidence."
    )
    concurrency: int = Field(4, ge=1, description="Mails under way at once, a node.")
    max_per_second: float = Field(0.0, ge=0, description="Most mails begun a second, a node; 0 for no limit.")


class ImapSettings(_Group):
    """Where the mailboxes that send are read; those of each structure, else ``mss.mailbox``."""

    host: str = Field("", description="Empty: no mailbox is read.")
    port: int = 143
    implicit_tls: bool = Field(False, description="TLS from the first byte (993), where an operator offers only that.")
    trust: Path | None = Field(None, description="That of mss if empty; so are certificate and key.")
    certificate: Path | None = None
    key: Path | None = None
    auth: Literal["none", "external", "plain", "xoauth2"] = "external"
    password: SecretStr = Field(SecretStr(""), description="PLAIN only.")
    timeout_seconds: float = 30.0
    poll_seconds: float = Field(60.0, gt=0, description="Longest time between two looks, IDLE or not.")
    max_message_bytes: int = Field(25 * 1024 * 1024, description="A larger mail is left in the mailbox, and told.")
    batch: int = Field(20, ge=1, le=200, description="Mails read in one round.")
    processed_folder: str = "Traites"
    rejected_folder: str = "Rejetes"
    accept_rooted_uri: bool = Field(
        False, description="Also take archives whose URIs begin at IHE_XDM, from peers known for it."
    )
    answer: Literal["acknowledged", "matched"] = Field(
        "acknowledged",
        description="When the sender is told that a document was processed: once the calling software says so, or as "
        "soon as its patient is matched beyond doubt.",
    )
    answer_hours: float = Field(72.0, description="How long a notice is tried before it is given up.")


class FeedsSettings(_Group):
    """The count of what was fed: who keeps its signed heads, by which policy and rules it is told."""

    signing_key: Path | None = Field(
        None, description="PEM of the Ed25519 key that signs heads and exports; feeds.key in data_dir, made, if empty."
    )
    head_seconds: float = Field(60.0, gt=0, description="How soon after new entries a head is signed; daily anyway.")
    verify_hour: int | None = Field(
        2,
        ge=0,
        le=23,
        description="Hour (Paris) from which every ledger is read again whole, once a night; null: never.",
    )
    mail_to: tuple[str, ...] = Field((), description="MSSanté mailboxes of auditors: the day's heads are mailed there.")
    drop_folder: Path | None = Field(None, description="Folder outside the gateway where the day's heads are written.")
    timestamp_url: str = Field("", description="RFC 3161 time-stamping authority asked for the day's heads.")
    timestamp_trust: Path | None = Field(None, description="PEM of authorities for its TLS; the system's when empty.")
    timestamp_roots: Path | None = Field(None, description="PEM of the roots its time-stamps must come from.")
    timestamp_seconds: float = Field(15.0, gt=0, description="How long it may take to answer.")
    policy: str = Field(
        "", description="Counting policy in place of each rule's own: fr-rehearsal-1 where test identities count."
    )
    rules_folder: Path | None = Field(None, description="More rule files (YAML), beside those that come with it.")
    export_folder: Path | None = Field(None, description="Where exports wait; exports in data_dir if empty.")
    export_days: float = Field(7.0, gt=0, description="How long an export can be fetched.")
    small_cell: int = Field(11, ge=1, description="Crossed counts under this are withheld from auditors.")


class Settings(BaseSettings):
    """The gateway's settings; a nested one is ``PASSERELLE_DMP__BASE_URL``."""

    model_config = SettingsConfigDict(
        env_prefix="PASSERELLE_", env_nested_delimiter="__", env_file=None, extra="ignore", frozen=True
    )

    environment: Literal["test", "production"] = "test"
    base_url: str = "http://127.0.0.1:8800"
    data_dir: Path = Path("passerelle-data")
    database_url: str = Field(
        "", description="sqlite:///file or postgresql+psycopg://...; a file in data_dir if empty."
    )
    master_key: Path | None = Field(None, description="File of 32 random bytes that wraps the tenants' keys.")
    token_key: Path | None = Field(None, description="PEM of the key that signs access tokens.")
    token_seconds: int = 300
    hold_days: int = Field(90, description="A delivery held longer expires.")
    retention_days: float = Field(
        90.0, ge=0, description="How long contents, traits and addresses are kept once every delivery has ended."
    )
    evidence_days: float = Field(90.0, ge=0, description="How long exchanges with national services are kept.")
    keys_days: float = Field(90.0, ge=1, description="How long an idempotency key is remembered.")
    purge_minutes: float = Field(60.0, gt=0, description="How often what is past its retention is removed.")
    database_connections: int = Field(10, ge=2, description="Connections that write, a process (PostgreSQL).")
    lease_seconds: float = Field(30.0, gt=0, description="How long a node may be silent before its work is taken over.")
    max_attempts: int = 8
    retry_first_seconds: float = 1.0
    retry_cap_seconds: float = 900.0
    retry_hours: float = Field(24.0, description="After the first failure, when a delivery becomes a dead letter.")
    breaker_failures: int = Field(5, ge=1, description="Failures in a row after which a destination is left alone.")
    breaker_pause_seconds: float = Field(5.0, description="How long it is left alone first; doubled each time.")
    breaker_cap_seconds: float = 60.0
    max_body_bytes: int = 20 * 1024 * 1024
    max_pending: int = Field(50_000, description="Deliveries not ended above which new documents get a 503.")
    max_converting: int = Field(32, ge=1, description="Documents received and converted at once; above, a 503.")
    max_converting_bytes: int = Field(256 * 1024 * 1024, description="Bytes of their bodies at once; above, a 503.")
    max_connections: int = Field(
        4096, ge=16, description="Connections of callers at once; above, the one idle for longest is closed."
    )
    connection_seconds: float = Field(
        20.0, gt=0, description="How long the head of a request may take, and a body may pause."
    )
    pool_processes: int = Field(1, description="Processes that convert, check and render.")
    workers_inside: bool = Field(True, description="serve runs the workers too (always so on SQLite).")
    poll_seconds: float = 0.5
    apcv_max_age_seconds: int = Field(3600, description="An Appli carte Vitale context read longer ago is refused.")
    seal_seconds: float = 0.5
    allow_private_webhooks: bool = Field(False, description="Webhooks to loopback and private addresses (sandbox).")
    records_actor: Literal["psc", "declared"] = Field(
        "psc",
        description="How the professional who consults a record is known: by Pro Santé Connect, or declared by the "
        "calling software (test environment only).",
    )
    records_session_minutes: int = Field(240, ge=1, le=240, description="How long an actor session serves.")
    records_handle_hours: int = Field(24, ge=1, description="How long a handle on a document of a record serves.")
    dmp: DmpSettings = DmpSettings()
    insi: InsiSettings = InsiSettings()
    mss: MssSettings = MssSettings()
    imap: ImapSettings = ImapSettings()
    psc: PscSettings = PscSettings()
    directory: DirectorySettings = DirectorySettings()
    ordonnance: OrdonnanceSettings = OrdonnanceSettings()
    feeds: FeedsSettings = FeedsSettings()
    console_secret: SecretStr | None = None

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if self.environment == "production":
            for name, value in (
                ("dmp.base_url", self.dmp.base_url),
                ("insi.url", self.insi.url),
                ("insi.psc_url", self.insi.psc_url),
                ("directory.base_url", self.directory.base_url),
                ("psc.issuer", self.psc.issuer),
                ("psc.wallet", self.psc.wallet),
                ("mss.white_list_url", self.mss.white_list_url),
                ("feeds.timestamp_url", self.feeds.timestamp_url),
            ):
                if value.startswith("http://"):
                    raise ValueError(f"{name} must be https in production")
            if self.allow_private_webhooks:
                raise ValueError("allow_private_webhooks is for the sandbox only")
            if self.records_actor == "declared":
                raise ValueError("records_actor: declared is for the test environment only")
        if self.psc.certificate is not None and self.psc.trust is None:
            raise ValueError("psc.certificate needs psc.trust")
        longest = max(self.dmp.timeout_seconds, self.mss.timeout_seconds)
        if self.lease_seconds >= 10 and longest * 2 > self.lease_seconds:
            raise ValueError("lease_seconds must be over twice the timeouts of dmp and mss")
        return self

    @property
    def store_url(self) -> str:
        """The database, by default a SQLite file in ``data_dir``."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'passerelle.db'}"
