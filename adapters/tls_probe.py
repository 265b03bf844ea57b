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
    error, certain = _once(host, port, context, patience)
    if error is None or certain:
        return error
    # A connection that only closed may be the network's doing: a refusal is one that comes again.
    return _once(host, port, context, patience)[0]


def _once(host: str, port: int, context: ssl.SSLContext, patience: float) -> tuple[ssl.SSLError | None, bool]:
    """What one connection met, and whether it leaves no doubt."""
    try:
        plain = socket.create_connection((host, port), timeout=5)
    except OSError:
        return None, True  # the network itself: not a refusal
    shaken = False
    with plain:
        try:
            with context.wrap_socket(plain, server_hostname=host) as secured:
                shaken = True
                secured.settimeout(patience)
                secured.recv(1)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            pass
        except ssl.SSLError as error:
            return error, True
        except TimeoutError:
            return None, True  # it waits for our request, or says nothing at all: no refusal
        except OSError:
            if not shaken:
                return None, True
    # Closed before a request was made, some servers giving no alert: only the handshake can be the reason.
    return ssl.SSLError(1, "the server closed the connection after the handshake"), False
