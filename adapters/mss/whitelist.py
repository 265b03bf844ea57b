"""The white list of MSSanté: the domains mail may go to, checked for likelihood, the last good copy kept."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from adapters.mss.addresses import CITIZEN_DOMAIN
from adapters.mss.rules import refuse
from security.errors import UnsafeInput
from security.xml import XmlLimits, parse

__all__ = ["NAMESPACE", "WhiteList", "WhiteListFile", "accept_refresh", "read_white_list"]

#: Read on a copy of 13/03/2025 published by the ANS.
NAMESPACE = "https://listeblanche.mssante.fr/schema"
_LIMITS = XmlLimits(max_bytes=32 * 1024 * 1024, max_elements=400_000, max_depth=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhiteList:
    """The domains of the trust space at one date."""

    generated_at: datetime
    domains: frozenset[str] = field(
        repr=False
    )  #: lower case; a domain stands for itself only, never for its subdomains

    def __contains__(self, domain: object) -> bool:
        return isinstance(domain, str) and domain.lower() in self.domains

    def __len__(self) -> int:
        return len(self.domains)


def read_white_list(data: bytes, *, sha256: str | None = None) -> WhiteList:
    """Read the list as published; ``sha256`` is the hexadecimal checksum published beside it, when there is one.

    Raises :class:`MailRefused` (MSS-WL-001).
    """
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256.strip().lower():
        raise refuse("MSS-WL-001", found="empreinte SHA-256 différente")
    try:
        root = parse(data, _LIMITS)
    except UnsafeInput as exc:
        raise refuse("MSS-WL-001", found=exc.code) from exc
    if root.tag != f"{{{NAMESPACE}}}ListeBlancheMSSante":
        raise refuse("MSS-WL-001", found="autre racine", expected="ListeBlancheMSSante")
    when = root.findtext(f"{{{NAMESPACE}}}DateDeGeneration", "").strip()
    try:
        generated_at = datetime.fromisoformat(when)
    except ValueError:
        raise refuse("MSS-WL-001", found="date de génération illisible") from None
    if generated_at.tzinfo is None:
        raise refuse("MSS-WL-001", found="date de génération sans fuseau", expected="UTC")
    # One row per operator certificate: the same domain stands several times.
    names = (n.text.strip().lower() for n in root.iterfind(f".//{{{NAMESPACE}}}Domaine/{{{NAMESPACE}}}Nom") if n.text)
    return WhiteList(generated_at=generated_at, domains=frozenset(filter(None, names)))


def accept_refresh(
    current: WhiteList | None, candidate: WhiteList, *, min_domains: int = 1000, max_shrink: float = 0.5
) -> WhiteList:
    """Check that a new list is likely before it takes the place of the current one.

    It must hold thousands of domains, the citizens' one among them, be no older than the current one, and not have lost
    more than ``max_shrink`` of its domains. Raises :class:`MailRefused` (MSS-WL-002): keep the current list then.
    """
    if len(candidate) < min_domains:
        raise refuse("MSS-WL-002", found=f"{len(candidate)} domaines", expected=f"au moins {min_domains}")
    if CITIZEN_DOMAIN not in candidate:
        raise refuse("MSS-WL-002", found=f"sans {CITIZEN_DOMAIN}")
    if current is not None:
        if candidate.generated_at < current.generated_at:
            raise refuse("MSS-WL-002", found="plus ancienne que la liste en place")
        if len(candidate) < len(current) * (1 - max_shrink):
            raise refuse("MSS-WL-002", found=f"{len(candidate)} domaines", expected=f"près de {len(current)}")
    return candidate


class WhiteListFile:
    """The last good copy of the list on disk; a failed refresh never stops sending."""

    def __init__(self, path: Path, *, min_domains: int = 1000) -> None:
        self._path = path
        self._min_domains = min_domains
        self.current = read_white_list(path.read_bytes()) if path.exists() else None

    def refresh(self, data: bytes, *, sha256: str | None = None) -> WhiteList:
        """Take a downloaded list in, after checks, and replace the file whole or not at all.

        Raises :class:`MailRefused` (MSS-WL-001, MSS-WL-002) and then leaves list and file as they were.
        """
        candidate = accept_refresh(self.current, read_white_list(data, sha256=sha256), min_domains=self._min_domains)
        partial = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        partial.write_bytes(data)
        partial.replace(self._path)
        self.current = candidate
        return candidate
