"""The DMP's system parameters: a public XML file that software reads once a day (dmp.md 1.2).

It switches features on and off for everybody. Its form is not public beyond the names of its parameters: a value is the
text of an element of that name, or stands beside the name in an element's attributes.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import httpx
import structlog
from lxml import etree

from adapters.bounded import read_at_most
from security import xml
from security.errors import UnsafeInput

__all__ = ["DmpParameters", "ParameterKeeper", "read_parameters"]

log = structlog.get_logger("passerelle.dmp")

_LIMITS: Final = xml.XmlLimits(max_bytes=1024 * 1024)
_DAILY: Final = timedelta(hours=24)
_AGAIN: Final = timedelta(hours=1)
_TIMEOUT: Final = 5.0
_BOOLEANS: Final = {"true": True, "1": True, "oui": True, "false": False, "0": False, "non": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class DmpParameters:
    """What the file says; None where it says nothing."""

    #: ``cumul-invisible_patient-masque_ps``: a document may be hidden from the patient and from professionals at once
    both_restrictions: bool | None = None
    minors: bool | None = None  #: ``fonctions-gestion-mineurs``


def read_parameters(data: bytes) -> DmpParameters:
    """Read the file. Raises :class:`security.errors.UnsafeInput`."""
    root = xml.parse(data, _LIMITS)
    values: dict[str, bool] = {}
    for node in root.iter(etree.Element):
        words = [str(value).strip() for value in node.attrib.values()]
        words += [etree.QName(node).localname, (node.text or "").strip()]
        told = next((_BOOLEANS[word.lower()] for word in words if word.lower() in _BOOLEANS), None)
        for name in ("cumul-invisible_patient-masque_ps", "fonctions-gestion-mineurs"):
            if name in words and told is not None:
                values[name] = told
    return DmpParameters(
        both_restrictions=values.get("cumul-invisible_patient-masque_ps"),
        minors=values.get("fonctions-gestion-mineurs"),
    )


class ParameterKeeper:
    """The parameters as last read: once a day, and an hour after a failure; the last ones known hold meanwhile."""

    def __init__(self, url: str, *, ssl_context: ssl.SSLContext | None, clock: Callable[[], datetime]) -> None:
        """An empty ``url`` reads nothing. ``ssl_context`` says whom to trust for an https address."""
        self._url = url
        self._ssl = ssl_context
        self._clock = clock
        self._next: datetime | None = None
        self.known = DmpParameters()

    async def current(self) -> DmpParameters:
        """The parameters, read again when it is time; a failure is logged and changes nothing."""
        now = self._clock()
        if not self._url or (self._next is not None and now < self._next):
            return self.known
        self._next = now + _AGAIN  # whoever asks meanwhile takes what is known
        try:
            self.known = await self._read()
        except (httpx.HTTPError, UnsafeInput) as exc:
            log.warning("dmp.parameters.unread", error=type(exc).__name__)
        else:
            self._next = now + _DAILY
        return self.known

    async def _read(self) -> DmpParameters:
        verify = self._ssl if self._ssl is not None else ssl.create_default_context()
        async with (
            httpx.AsyncClient(verify=verify, trust_env=False, timeout=_TIMEOUT) as http,
            http.stream("GET", self._url, headers={"Accept-Encoding": "identity"}) as answer,
        ):
            answer.raise_for_status()
            return read_parameters(await read_at_most(answer, _LIMITS.max_bytes))
