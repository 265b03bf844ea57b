"""A time-stamping authority on a loopback socket: OpenSSL's own, asked over HTTP, with switches to misbehave."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OPENSSL = shutil.which("openssl") or "openssl"
CONFIG = """
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[tsa_cert]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[tsa]
default_tsa = tsa1
[tsa1]
dir = {folder}
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
{chain}
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.250.1.999.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""


def openssl(*words: str | Path) -> None:
    """Run a command of OpenSSL."""
    subprocess.run([OPENSSL, *map(str, words)], check=True, capture_output=True)


@dataclass
class Authority:
    """A running authority."""

    url: str
    root: Path
    folder: Path
    asked: list[bytes] = field(default_factory=list)
    fault: str = ""  #: down, nonsense, other_data


def _make(folder: Path, chain: bool) -> None:
    config = folder / "tsa.cnf"
    config.write_text(CONFIG.format(folder=folder, chain=f"certs = {folder}/ca.pem" if chain else ""))
    (folder / "serial").write_text("01\n")
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
    openssl(
        *("req", "-x509", *ec, "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-days", "30"),
        *("-subj", "/CN=Autorite fictive", "-config", config, "-extensions", "ca"),
    )
    openssl(
        *("req", *ec, "-keyout", folder / "tsa.key", "-out", folder / "tsa.csr", "-subj", "/CN=Horodatage fictif"),
        *("-config", config),
    )
    openssl(
        *("x509", "-req", "-in", folder / "tsa.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key"),
        *("-out", folder / "tsa.pem", "-days", "30", "-extfile", config, "-extensions", "tsa_cert"),
    )


@contextmanager
def authority(folder: Path, *, chain: bool = False) -> Iterator[Authority]:
    """An authority with certificates of its own; with ``chain`` it adds them all, in the order of OpenSSL."""
    folder.mkdir(parents=True, exist_ok=True)
    _make(folder, chain)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["content-length"]))
            assert self.headers["content-type"] == "application/timestamp-query"
            one.asked.append(query)
            if one.fault == "down":
                self.send_error(503)
                return
            body = b"nonsense"
            if one.fault != "nonsense":
                with lock:
                    body = self._answer(one.asked[0] if one.fault == "other_data" else query)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _answer(self, query: bytes) -> bytes:
            (folder / "query.tsq").write_bytes(query)
            openssl(
                *("ts", "-reply", "-queryfile", folder / "query.tsq", "-out", folder / "reply.tsr"),
                *("-config", folder / "tsa.cnf"),
            )
            return (folder / "reply.tsr").read_bytes()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one = Authority(url=f"http://127.0.0.1:{server.server_port}/tsa", root=folder / "ca.pem", folder=folder)
    thread = threading.Thread(target=server.serve_forever, name="tsa", daemon=True)
    thread.start()
    try:
        yield one
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
