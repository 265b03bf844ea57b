"""The Annuaire Santé as the gateway uses it: the mailbox of a professional or a structure, and a check of authors.

A recipient named by number needs the directory's answer. The check of authors does not: it warns, waits a moment at
most, and is left out while the directory is down; nothing it says refuses a document.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import structlog

from adapters.directory.client import Agreement, DirectoryClient, DirectoryUnavailable
from adapters.directory.client import DirectorySettings as Line
from adapters.directory.entries import DirectoryEntry, Mailbox
from conformance.verdict import Finding, Rule, Severity, Text
from gateway.problems import Busy, Invalid, rule
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.services.envelope import MailRecipient

__all__ = ["Directory", "Reached", "looked_up", "open_directory", "resolved"]

log = structlog.get_logger("passerelle.directory")

NOT_CONFIGURED = rule(
    "API-DIR-001",
    "Un destinataire donné par son numéro demande l'annuaire, qui n'est pas réglé sur cette passerelle.",
    "A recipient given by number needs the directory, which is not configured on this gateway.",
    "Donnez l'adresse, ou renseignez les réglages directory.",
    "Give the address, or fill in the directory settings.",
)
DOWN = rule(
    "API-DIR-002",
    "L'annuaire ne répond pas : l'adresse du destinataire n'est pas connue.",
    "The directory does not answer: the recipient's address is not known.",
    "Recommencez après le délai indiqué, ou donnez l'adresse.",
    "Try again after the delay given, or give the address.",
)
UNKNOWN_NUMBER = rule(
    "API-DIR-003",
    "L'annuaire ne connaît pas ce professionnel ou cette structure, ou ne les dit plus en activité.",
    "The directory does not know this professional or structure, or says they no longer practise.",
    "Vérifiez le numéro RPPS ou l'identifiant de la structure.",
    "Check the RPPS number or the identifier of the structure.",
)
NO_MAILBOX = rule(
    "API-DIR-004",
    "L'annuaire ne publie aucune adresse MSSanté pour ce destinataire.",
    "The directory publishes no MSSanté address for this recipient.",
    "Demandez son adresse au destinataire et donnez-la dans address.",
    "Ask the recipient for the address and give it in address.",
    "mss.md 3.2",
)
WHICH_PLACE = rule(
    "API-DIR-005",
    "Ce professionnel exerce en plusieurs lieux : il faut dire lequel.",
    "This professional practises in several places: say which one.",
    "Donnez aussi structure, l'un des lieux attendus.",
    "Give structure too, one of the places expected.",
    "mss.md 3.2",
)
ONE_OF = rule(
    "API-DIR-006",
    "Un destinataire est donné par son adresse, ou par rpps, structure ou les deux.",
    "A recipient is given by address, or by rpps, structure or both.",
    "Donnez address seule, ou rpps, ou structure, ou rpps avec structure.",
    "Give address alone, or rpps, or structure, or rpps with structure.",
)


def _warning(code: str, fr: str, en: str) -> Rule:
    return Rule(
        code=code,
        message=Text(fr, en),
        fix=Text(
            "Vérifiez le numéro RPPS de l'auteur et sa structure d'exercice dans le paramétrage du logiciel.",
            "Check the author's RPPS number and structure in the settings of your software.",
        ),
        source="ins-identity.md 11.4",
        severity=Severity.WARNING,
    )


#: What the directory may say against an author. A warning: the directory may be late, the document is not refused.
DISAGREEMENTS: Mapping[Agreement, Rule] = {
    Agreement.UNKNOWN_PERSON: _warning(
        "DIR-AUTHOR-001", "L'annuaire ne connaît pas cet auteur.", "The directory does not know this author."
    ),
    Agreement.INACTIVE: _warning(
        "DIR-AUTHOR-002",
        "L'annuaire ne dit plus cet auteur en activité.",
        "The directory says this author no longer practises.",
    ),
    Agreement.OTHER_PLACE: _warning(
        "DIR-AUTHOR-003",
        "L'annuaire ne connaît pas à cet auteur d'exercice dans cette structure.",
        "The directory knows of no practice of this author at this structure.",
    ),
}
UNKNOWN_STRUCTURE = _warning(
    "DIR-AUTHOR-004",
    "L'annuaire ne connaît pas la structure de cet auteur.",
    "The directory does not know the structure of this author.",
)

#: Authors of one document who are checked.
_MOST_CHECKED: Final = 5
#: Kind of a recipient, by the type of the mailbox (mss.md 3.1).
_KINDS = {"ORG": "structure", "APP": "application"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Whom a number names, and the mailboxes that reach them, the surest first."""

    name: str
    mailboxes: tuple[Mailbox, ...] = field(repr=False)
    places: tuple[str, ...] = ()  #: structures where they practise


class Directory:
    """The directory for one node: answers cached, one question at a time for the same number."""

    def __init__(
        self,
        client: DirectoryClient,
        *,
        wait: float = 0.5,
        pause: float = 30.0,
        check_authors: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._wait = wait
        self._pause = pause
        self._check = check_authors
        self._monotonic = monotonic
        self._silent_until = 0.0
        self._asking: dict[tuple[str, str], asyncio.Task[Rule | None]] = {}

    async def aclose(self) -> None:
        """Let go of the connections and of the questions under way."""
        for task in list(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        await self._client.aclose()

    def closed(self, address: str) -> None:
        """A mailbox proved closed or unknown: whoever was said to have it is asked about anew (mss.md 10)."""
        if forgotten := self._client.forget_mailbox(address):
            log.info("directory.doubted", answers=forgotten)

    async def reached(self, rpps: str | None, structure: str | None) -> Reached | None:
        """Who a RPPS, a structure, or a RPPS at a structure names; None when unknown or no longer active.

        Raises :class:`adapters.directory.client.DirectoryUnavailable`.
        """
        entry: DirectoryEntry | None
        if rpps is not None:
            entry = await self._client.practitioner(rpps[-11:])
        else:
            entry = await self._client.structure(structure or "")
        if entry is None or not entry.active:
            return None
        places = tuple(sorted({place.structure for place in entry.places if place.active}))
        if rpps is not None and structure is not None and structure not in places:
            # Known, but not there: a box of another place is not the one meant.
            return Reached(name=entry.name, mailboxes=(), places=places)
        return Reached(name=entry.name, mailboxes=tuple(entry.usable_mailboxes(structure)), places=places)

    async def disagreements(self, people: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Finding]:
        """Warnings about professionals (a place; ``id``, ``structure``) whom the directory does not know there.

        Never raises, never waits longer than the setting: what is not known in time is not said.
        """
        if not self._check or self._monotonic() < self._silent_until:
            return []
        asked: dict[str, asyncio.Task[Rule | None]] = {}
        for place, one in islice(people, _MOST_CHECKED):
            number, structure = str(one["id"]), str(one.get("structure") or "")
            if len(number) == 12 and number.startswith("8") and structure:
                asked[place] = self._ask(number[1:], structure)
        pending = [task for task in asked.values() if not task.done()]
        if pending:
            await asyncio.wait(pending, timeout=self._wait)
        found = []
        for place, task in asked.items():
            if task.done() and not task.cancelled() and (broken := task.result()) is not None:
                found.append(broken.finding(place))
        return found

    def _ask(self, rpps: str, structure: str) -> asyncio.Task[Rule | None]:
        key = (rpps, structure)
        task = self._asking.get(key)
        if task is None or task.done():
            task = self._asking[key] = asyncio.create_task(self._judge(rpps, structure), name="directory")
            task.add_done_callback(lambda done: self._asking.pop(key, None))
        return task

    async def _judge(self, rpps: str, structure: str) -> Rule | None:
        try:
            said = await self._client.agreement(rpps, structure)
            if said is Agreement.OTHER_PLACE and await self._client.structure(structure) is None:
                return UNKNOWN_STRUCTURE
            return DISAGREEMENTS.get(said)
        except DirectoryUnavailable as exc:
            log.warning("directory.silent", code=exc.code)
            self._silent_until = self._monotonic() + max(self._pause, exc.retry_after or 0.0)
            return None


def open_directory(settings: Settings) -> Directory | None:
    """The directory of the settings, or None when none is named."""
    said = settings.directory
    if not said.base_url:
        return None
    from security.tls import client_ssl_context

    client = DirectoryClient(
        Line(
            base_url=said.base_url,
            api_key=said.api_key.get_secret_value(),
            calls_per_second=said.calls_per_second,
            cache_seconds=said.cache_seconds,
            timeout=said.timeout_seconds,
        ),
        client_ssl_context(None, said.trust) if said.trust else True,
    )
    return Directory(client, wait=said.wait_seconds, pause=said.pause_seconds, check_authors=said.check_authors)


async def resolved(
    directory: Directory | None, recipients: Sequence[MailRecipient], *, place: str = ""
) -> list[dict[str, Any]]:
    """Recipients with their addresses, those given by number looked up; ``confidence`` says how sure an address is.

    Raises :class:`Invalid` with every fault, :class:`Busy` while the directory does not answer.
    """
    out: list[dict[str, Any]] = []
    faults: list[Finding] = []
    for index, one in enumerate(recipients):
        where = f"{place}/recipients/{index}"
        numbered = one.rpps is not None or one.structure is not None
        if numbered == (one.address is not None):
            faults.append(ONE_OF.finding(where))
        elif one.address is not None:
            out.append({"address": one.address, "kind": one.kind, "place": where})
        elif directory is None:
            faults.append(NOT_CONFIGURED.finding(where))
        else:
            found = await _found(directory, one, where)
            if isinstance(found, Finding):
                faults.append(found)
            else:
                kind = _KINDS.get(found.kind, "professional")
                out.append(
                    {"address": found.address, "kind": kind, "confidence": str(found.confidence), "place": where}
                )
    if faults:
        raise Invalid(faults)
    return out


async def looked_up(directory: Directory | None, one: MailRecipient) -> Reached:
    """Whom a number names, for a person to choose a mailbox; raises :class:`Invalid` or :class:`Busy`."""
    if one.address is not None or (one.rpps is None and one.structure is None):
        raise Invalid([ONE_OF.finding("")])
    if directory is None:
        raise Busy([NOT_CONFIGURED.finding("")], slug="not-configured")
    who = await _asked(directory, one, "")
    if who is None:
        raise Invalid([UNKNOWN_NUMBER.finding("")])
    return who


async def _asked(directory: Directory, one: MailRecipient, where: str) -> Reached | None:
    try:
        return await directory.reached(one.rpps, one.structure)
    except DirectoryUnavailable as exc:
        wait = int(exc.retry_after or 30)
        raise Busy([DOWN.finding(where, found=exc.code)], slug="directory-unavailable", retry_after=wait) from None


async def _found(directory: Directory, one: MailRecipient, where: str) -> Mailbox | Finding:
    who = await _asked(directory, one, where)
    if who is None:
        return UNKNOWN_NUMBER.finding(where)
    if who.mailboxes:
        return who.mailboxes[0]
    if one.rpps is not None and len(who.places) > 1 and one.structure is None:
        return WHICH_PLACE.finding(where, expected=", ".join(who.places))
    if one.structure is not None and one.rpps is not None and one.structure not in who.places:
        return WHICH_PLACE.finding(where, found=one.structure, expected=", ".join(who.places) or None)
    return NO_MAILBOX.finding(where)
