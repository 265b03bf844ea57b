"""Real mail servers on loopback: Postfix and Dovecot from Debian's packages, configured in a folder of their own.

Two roads lead in, as at an operator: one asks for a client certificate (applicative mailbox), the other for a Pro Santé
Connect token (XOAUTH2). Both deliver to the same mailboxes. Nothing of the machine's own configuration is read.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.demonstration import free_port
from security.pki import SandboxPki
from tests.support.outside import missing

POSTFIX = "/usr/lib/postfix/sbin/master"
ISSUER = "https://psc.sandbox"
DOMAINS = (
    "structure.formation.mssante.fr",
    "medecin.formation.mssante.fr",
    "hopital.formation.mssante.fr",
)
USERS = tuple(f"{name}@{domain}" for domain in DOMAINS for name in ("cabinet", "camille.leroy", "alix.moreau"))
GONE = "parti@medecin.formation.mssante.fr"
FULL = "pleine@medecin.formation.mssante.fr"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServers:
    """Ports and keys of the running servers."""

    submission_certificate: int
    submission_token: int
    imap_certificate: int
    imap_token: int
    folder: Path
    key: ECKey

    def token(self, mailbox: str, *, seconds: int = 120, issuer: str = ISSUER, key: ECKey | None = None) -> str:
        """An access token for a mailbox, as Pro Santé Connect would sign it."""
        now = int(time.time())
        claims = {"iss": issuer, "sub": mailbox, "iat": now, "exp": now + seconds}
        return jwt.encode({"alg": "ES256", "typ": "JWT"}, claims, key or self.key)


def require_servers() -> None:
    """Skip, or fail in the full run, where the servers are not installed or root is not ours."""
    for program in ("postfix", "dovecot"):
        path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
        if path is None:
            missing(program, "install the packages of .ci/debian-packages.txt")
    if os.geteuid() != 0:
        missing("root", "Postfix starts as root only")


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, each another one."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)


def dovecot_config(folder: Path, pki: SandboxPki, *, imap: int, lmtp: int, sasl: int, certificate: bool) -> str:
    """One Dovecot: IMAP with STARTTLS, LMTP for Postfix, a SASL service for it; maildirs under ``mail``."""
    user = pwd.getpwnam("mail")
    asks = (
        f"""
ssl_ca = <{pki.folder}/authority-and-crl.pem
ssl_verify_client_cert = yes
auth_ssl_require_client_cert = yes
auth_ssl_username_from_cert = yes
ssl_cert_username_field = commonName
auth_mechanisms = external
passdb {{
  driver = static
  args = nopassword=y
}}
"""
        if certificate
        else f"""
auth_mechanisms = xoauth2
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {folder}/oauth2.conf
}}
"""
    )
    return f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
instance_name = {folder.name}
listen = 127.0.0.1
protocols = imap lmtp
mail_location = maildir:~/Maildir
mail_plugins = quota
mail_uid = {user.pw_uid}
mail_gid = {user.pw_gid}
first_valid_uid = {user.pw_uid}
ssl = required
ssl_min_protocol = TLSv1.2
ssl_cert = <{pki.server.cert_path}
ssl_key = <{pki.server.key_path}
{asks}
userdb {{
  driver = passwd-file
  args = {folder.parent}/users
}}
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {sasl}
  }}
}}
# Refusals are tested by the dozen: none is slowed down, and none slows the next one down.
auth_failure_delay = 0
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
protocol lmtp {{
  auth_ssl_require_client_cert = no
  ssl = no
}}
plugin {{
  quota = maildir:User quota
  quota_rule = *:storage=50M
  quota_exceeded_message = Mailbox is full
}}
"""


def postfix_config(folder: Path, pki: SandboxPki, *, certificate: int, token: int, lmtp: int, sasl: int) -> None:
    """One Postfix: two submission ports, virtual mailboxes over LMTP, a few addresses that bounce late."""
    folder.mkdir(parents=True)
    # GONE is accepted at RCPT and refused at delivery: what a late bounce is.
    (folder / "mailboxes").write_text("".join(f"{user} x\n" for user in (*USERS, FULL, GONE)))
    (folder / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
myhostname = localhost
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_transport = error:no local mail
virtual_mailbox_domains = {" ".join(DOMAINS)}
virtual_mailbox_maps = texthash:{folder}/mailboxes
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
lmtp_host_lookup = native
smtp_host_lookup = native
smtputf8_enable = no
message_size_limit = 10485760
smtpd_tls_security_level = encrypt
smtpd_tls_mandatory_protocols = >=TLSv1.2
smtpd_tls_cert_file = {pki.server.cert_path}
smtpd_tls_key_file = {pki.server.key_path}
smtpd_tls_CAfile = {pki.trust}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = reject_unauth_destination, reject_unlisted_recipient
smtpd_delay_reject = no
minimal_backoff_time = 300s
notify_classes =
""")
    sasl_options = f"""
  -o smtpd_tls_req_ccert=no
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sasl_type=dovecot
  -o smtpd_sasl_path=inet:127.0.0.1:{sasl}
  -o smtpd_sasl_security_options=noanonymous
  -o smtpd_tls_auth_only=yes
  -o smtpd_sender_restrictions=permit_sasl_authenticated,reject"""
    (folder / "master.cf").write_text(f"""
127.0.0.1:{certificate} inet n - n - - smtpd
  -o smtpd_tls_ask_ccert=yes
  -o smtpd_tls_req_ccert=yes
127.0.0.1:{token} inet n - n - - smtpd{sasl_options}
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
tlsmgr    unix - - n 1000? 1 tlsmgr
proxymap  unix - - n - - proxymap
lmtp      unix - - n - - lmtp
smtp      unix - - n - - smtp
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
postlog   unix-dgram n - n - 1 postlogd
""")
    (folder / "data").mkdir()
    owner = pwd.getpwnam("postfix")
    os.chown(folder / "data", owner.pw_uid, owner.pw_gid)
    (folder / "queue").mkdir()
    subprocess.run(["/usr/sbin/postfix", "-c", str(folder), "check"], check=True, capture_output=True, timeout=60)


def wait_for(port: int, greeting: bytes, process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """Wait until a server greets on its port."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.settimeout(5)
            if sock.recv(64).startswith(greeting):
                return
        time.sleep(0.05)
    raise RuntimeError(f"no greeting on port {port}")


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server in the foreground, stopped by its own process at the end."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


@contextlib.contextmanager
def mail_servers(folder: Path, pki: SandboxPki) -> Iterator[MailServers]:
    """Start both Dovecots and Postfix; stop them at the end."""
    key = ECKey.generate_key("P-256")
    submission_certificate, submission_token, imap_certificate, imap_token, *inner = free_ports(8)
    lmtp, sasl, lmtp_token, sasl_certificate = inner
    for place in (folder, folder.parent, *folder.parents):
        with contextlib.suppress(OSError):
            place.chmod(place.stat().st_mode | 0o111)  # the servers run as users of their own
    (pki.folder / "authority-and-crl.pem").write_bytes(pki.trust.read_bytes() + pki.crl.read_bytes())
    mail = folder / "mail"
    mail.mkdir()
    owner = pwd.getpwnam("mail")
    os.chown(mail, owner.pw_uid, owner.pw_gid)
    uid, gid = owner.pw_uid, owner.pw_gid
    lines = [f"{user}::{uid}:{gid}::{mail}/{user}::" for user in USERS]
    lines.append(f"{FULL}::{uid}:{gid}::{mail}/{FULL}::userdb_quota_rule=*:bytes=1k")
    (folder / "users").write_text("\n".join(lines) + "\n")
    configs = []
    for name, certificate in (("certificate", True), ("token", False)):
        place = folder / name
        (place / "keys/default/ES256").mkdir(parents=True)
        public = key.public_key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (place / "keys/default/ES256/default").write_bytes(public)
        (place / "oauth2.conf").write_text(f"""
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={place}/keys/
issuers = {ISSUER}
username_attribute = sub
""")
        config = place / "dovecot.conf"
        config.write_text(
            dovecot_config(
                place,
                pki,
                imap=imap_certificate if certificate else imap_token,
                lmtp=lmtp if certificate else lmtp_token,
                sasl=sasl_certificate if certificate else sasl,
                certificate=certificate,
            )
        )
        configs.append(config)
    postfix_config(
        folder / "postfix", pki, certificate=submission_certificate, token=submission_token, lmtp=lmtp, sasl=sasl
    )
    with contextlib.ExitStack() as stack:
        first, second = (
            stack.enter_context(running("/usr/sbin/dovecot", "-F", "-c", str(config))) for config in configs
        )
        wait_for(imap_certificate, b"* OK", first)
        wait_for(imap_token, b"* OK", second)
        postfix = stack.enter_context(running(POSTFIX, "-c", str(folder / "postfix"), "-d"))
        wait_for(submission_certificate, b"220", postfix)
        yield MailServers(
            submission_certificate=submission_certificate,
            submission_token=submission_token,
            imap_certificate=imap_certificate,
            imap_token=imap_token,
            folder=folder,
            key=key,
        )
