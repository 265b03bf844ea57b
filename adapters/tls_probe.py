"""Why a TLS connection broke: a question the HTTP client cannot answer by itself.

Under TLS 1.3 a server refuses the client's certificate after the handshake looks done. The HTTP client is then already
writing its request and only sees a broken pipe, which looks like a passing network fault: it would be retried for ever.
One connection that writes nothing and reads tells the two apart.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from urllib.parse import urlsplit

__all__ = ["tls_refusal"]


async def tls_refusal(url: str, context: ssl.SSLContext, *, patience: float = 0.5) -> ssl.SSLError | None:
    """Connect, write nothing, and give the TLS alert the server sends within ``patience`` seconds, or None."""
    parts = urlsplit(url)
    return await asyncio.to_thread(_ask, parts.hostname or "", parts.port or 443, context, patience)


def _ask(host: str, port: int, context: ssl.SSLContext, patience: float) -> ssl.SSLError | None:
    try:
        plain = socket.create_connection((host, port), timeout=5)
    except OSError:
        return None  # the network itself: not a refusal
    with plain:
        try:
            with context.wrap_socket(plain, server_hostname=host) as secured:
                secured.settimeout(patience)
                secured.recv(1)
        except ssl.SSLError as error:
            return error
        except TimeoutError:
            return None  # it waits for our request: we are welcome
        except OSError:
            pass
    # Closed before a request was made, some servers giving no alert: only the handshake can be the reason.
    return ssl.SSLError(1, "the server closed the connection after the handshake")
