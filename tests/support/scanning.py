"""Searching files byte by byte for what must not be there, from another process.

From this one, closing a database's file would drop the locks that SQLite holds on it here.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

__all__ = ["found_in", "postgres_folder", "postgres_log", "sqlite_files"]

_PROGRAM = """
import base64, json, pathlib, sys
asked = json.load(sys.stdin)
needles = {name: base64.b64decode(value) for name, value in asked["needles"].items()}
hits = []
for name in asked["files"]:
    try:
        held = pathlib.Path(name).read_bytes()
    except FileNotFoundError:
        continue
    hits += [[name, needle] for needle, value in needles.items() if value in held]
json.dump(hits, sys.stdout)
"""


def found_in(files: Iterable[Path], needles: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Which file holds which of these bytes: the file's name and the needle's."""
    asked = {
        "files": [str(file) for file in files],
        "needles": {name: base64.b64encode(value).decode() for name, value in needles.items()},
    }
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], input=json.dumps(asked), capture_output=True, check=True, text=True
    )
    return [(Path(file).name, needle) for file, needle in json.loads(done.stdout)]


def sqlite_files(url: str) -> list[Path]:
    """The file of a database and all that SQLite may put beside it."""
    file = Path(make_url(url).database or "")
    return [file, *(file.with_name(f"{file.name}-{end}") for end in ("wal", "shm", "journal"))]


def postgres_folder(engine: Engine) -> list[Path]:
    """Every file of this database in the server's own folder, once the server has written what it keeps in memory.

    Empty when this process cannot read that folder.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CHECKPOINT"))
        folder = connection.execute(text("SHOW data_directory")).scalar_one()
        number = connection.execute(text("SELECT oid FROM pg_database WHERE datname = current_database()")).scalar_one()
    try:
        return [file for file in (Path(folder) / "base" / str(number)).iterdir() if file.is_file()]
    except OSError:
        return []


def postgres_log(engine: Engine) -> list[Path]:
    """The server's write-ahead log, every segment of it; empty when this process cannot read its folder."""
    with engine.connect() as connection:
        folder = connection.execute(text("SHOW data_directory")).scalar_one()
    try:
        return [file for file in (Path(folder) / "pg_wal").iterdir() if file.is_file()]
    except OSError:
        return []
