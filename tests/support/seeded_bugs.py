"""Faults put into a node on purpose, each of which the history checker must find."""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import Any

__all__ = ["put_in"]


def put_in(name: str) -> None:
    """Put a fault into this process."""
    {"receipt_before_commit": _receipt_before_commit, "mail_before_commit": _mail_before_commit}[name]()


def _receipt_before_commit() -> None:
    """Send the receipt first, commit a moment later."""
    from fastapi.responses import JSONResponse

    from gateway.api import documents
    from gateway.journey.accept import Accepted

    take = documents.take
    background: set[asyncio.Task[Any]] = set()

    async def early(*args: Any) -> Accepted:
        async def late() -> None:
            await asyncio.sleep(0.3)
            await take(*args)
            args[1].wake()

        background.add(asyncio.get_running_loop().create_task(late()))
        return Accepted(document_id="doc_0", replayed=False)

    async def promise(*_: Any) -> JSONResponse:
        return JSONResponse({"id": "doc_0"}, 202)

    documents.take = early
    documents.taken = promise


def _mail_before_commit() -> None:
    """Send a mail whose Message-ID nobody kept."""
    from gateway.journey import letter, mail

    build = letter.build_mail

    def fresh(draft: Any, *args: Any, **options: Any) -> Any:
        from dataclasses import replace

        return build(replace(draft, message_id=f"<{secrets.token_hex(8)}@test.invalid>"), *args, **options)

    # The node dies between the operator's answer and its own commit, which costs nothing to one that kept the mail.
    def die(self: Any, moment: str) -> None:
        if moment == "after_send":
            os._exit(137)

    letter.build_mail = fresh
    mail.MailCourier._commit_mail = lambda *_: None  # type: ignore[method-assign]
    mail.MailCourier.moment = property(lambda self: lambda moment: die(self, moment), lambda *_: None)  # type: ignore[assignment]
