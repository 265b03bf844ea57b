"""The white list of MSSanté as a running gateway holds it: its own domains, and the national list kept fresh.

A refresh that fails, or brings a list that is not likely, changes nothing: the last good one stays in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container

import structlog

from adapters.mss.rules import MailRefused
from adapters.mss.whitelist import WhiteListFile, accept_refresh, read_white_list
from adapters.mss.whitelist_source import fetch
from gateway.settings import Settings

__all__ = ["WhiteListKeeper"]

log = structlog.get_logger("passerelle.mss")


class WhiteListKeeper(Container[str]):
    """Tells whether mail may go to a domain; the same object whatever the list becomes."""

    def __init__(self, settings: Settings) -> None:
        mss = settings.mss
        self._settings = settings
        self._own = frozenset(domain.lower() for domain in mss.white_list)
        self._path = mss.white_list_file or settings.data_dir / "white-list.xml"
        self._read_at = -1.0
        try:
            self._kept: WhiteListFile | None = WhiteListFile(self._path, min_domains=mss.white_list_minimum)
            self._read_at = self._modified()
        except MailRefused as refused:
            # Mail is refused rather than sent to anybody; the next refresh may mend it.
            log.error("white_list.unreadable", code=refused.code)
            self._kept = None

    @property
    def known(self) -> bool:
        """True when there is a list at all."""
        return bool(self._own) or (self._kept is not None and self._kept.current is not None)

    def __contains__(self, domain: object) -> bool:
        if not isinstance(domain, str):
            return False
        current = self._kept.current if self._kept is not None else None
        return domain.lower() in self._own or (current is not None and domain in current)

    def _modified(self) -> float:
        return self._path.stat().st_mtime if self._path.exists() else -1.0

    async def refresh(self) -> None:
        """Fetch the list where the settings say, or read the file again when somebody replaced it."""
        try:
            if self._settings.mss.white_list_url:
                await self._fetch()
            elif self._modified() != self._read_at:
                await asyncio.to_thread(self._read_again)
        except MailRefused as refused:
            log.error("white_list.kept", code=refused.code, found=refused.findings[0].found)

    async def _fetch(self) -> None:
        from security.tls import client_ssl_context

        mss = self._settings.mss
        if mss.trust is None:
            log.error("white_list.kept", code="MSS-WL-001", found="mss.trust")
            return
        context = client_ssl_context(None, mss.trust)
        sha256 = None
        if mss.white_list_checksum_url:
            # "<hexadecimal digits>  <file name>", as sha256sum writes it.
            words = (await fetch(mss.white_list_checksum_url, context=context)).decode("ascii", "replace").split()
            sha256 = words[0] if words else ""
        data = await fetch(mss.white_list_url, context=context)
        await asyncio.to_thread(self._take, data, sha256)

    def _take(self, data: bytes, sha256: str | None) -> None:
        if self._kept is None:
            # What was on the disk could not be read: a good list takes its place.
            accept_refresh(
                None, read_white_list(data, sha256=sha256), min_domains=self._settings.mss.white_list_minimum
            )
            self._path.unlink(missing_ok=True)
            self._kept = WhiteListFile(self._path, min_domains=self._settings.mss.white_list_minimum)
        domains = len(self._kept.refresh(data, sha256=sha256))
        self._read_at = self._modified()
        log.info("white_list.refreshed", domains=domains)

    def _read_again(self) -> None:
        data = self._path.read_bytes()
        self._read_at = self._modified()
        minimum = self._settings.mss.white_list_minimum
        current = self._kept.current if self._kept is not None else None
        candidate = accept_refresh(current, read_white_list(data), min_domains=minimum)
        if self._kept is None:
            self._kept = WhiteListFile(self._path, min_domains=minimum)
        self._kept.current = candidate
        log.info("white_list.refreshed", domains=len(candidate))
