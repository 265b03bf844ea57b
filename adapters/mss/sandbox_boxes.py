"""The mailboxes of the simulated operator: what each holds, in which folder, with identifiers as IMAP wants them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["BoxMail", "Boxes"]


@dataclass(slots=True, kw_only=True)
class BoxMail:
    """A mail in a mailbox; its bytes are asked for when they are read."""

    uid: int
    load: Callable[[], bytes] = field(repr=False)  #: empty when the bytes were let go
    folder: str = "INBOX"
    flags: set[str] = field(default_factory=set)


class Boxes:
    """All mailboxes, by address; safe from any thread. The oldest mails go first when there are too many."""

    def __init__(self, *, max_mails: int = 50_000, uid_validity: int = 1) -> None:
        self._max = max_mails
        self._lock = threading.Lock()
        self._uids = itertools.count(1)
        self._mails: dict[int, tuple[str, BoxMail]] = {}
        self._by_box: dict[str, dict[int, BoxMail]] = {}
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        self._opened: set[str] = set()
        self.uid_validity = uid_validity

    def deliver(self, address: str, load: Callable[[], bytes]) -> None:
        """Put a mail into a mailbox, and tell those who watch it."""
        key = address.lower()
        with self._lock:
            mail = BoxMail(uid=next(self._uids), load=load)
            self._mails[mail.uid] = (key, mail)
            self._by_box.setdefault(key, {})[mail.uid] = mail
            while len(self._mails) > self._max:
                uid = next(iter(self._mails))
                owner, _ = self._mails.pop(uid)
                self._by_box[owner].pop(uid, None)
            watchers = list(self._watchers.get(key, ()))
        for watcher in watchers:
            watcher()

    def opened(self, address: str) -> bool:
        """True when somebody has opened this mailbox: its reader answers the mails that ask for it."""
        with self._lock:
            return address.lower() in self._opened

    def note_opened(self, address: str) -> None:
        """Note that somebody opened a mailbox."""
        with self._lock:
            self._opened.add(address.lower())

    def content(self, address: str, folder: str = "INBOX") -> list[BoxMail]:
        """The mails of a folder, oldest first."""
        with self._lock:
            return [m for m in self._by_box.get(address.lower(), {}).values() if m.folder.upper() == folder.upper()]

    def watch(self, address: str, tell: Callable[[], None]) -> Callable[[], None]:
        """Be told of each mail that arrives; gives the way to stop."""
        key = address.lower()
        with self._lock:
            self._watchers.setdefault(key, []).append(tell)

        def stop() -> None:
            with self._lock:
                self._watchers[key].remove(tell)

        return stop

    def clear(self) -> None:
        """Empty every mailbox; identifiers go on, so nothing is taken for something else."""
        with self._lock:
            self._mails.clear()
            self._by_box.clear()
