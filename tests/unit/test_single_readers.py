"""What comes from outside is read in one place only: XML, JSON and ZIP each have one reader, in ``security``.

The test reads the source as a tree, follows the names each module imports, and refuses any other use of a parser.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "adapters", "mappings", "conformance", "security")

# Dotted names (or whole modules) that parse, and the one module where each may stand.
_XML = "security/xml.py"
_JSON = "security/json.py"
_ZIP = "security/zip.py"
READERS = {
    **{
        f"lxml.etree.{name}": _XML
        for name in (
            "fromstring fromstringlist parse XML XMLID XMLDTDID XMLParser XMLPullParser HTML HTMLParser iterparse "
            "ETCompatXMLParser XMLTreeBuilder XSLT"
        ).split()
    },
    "lxml.html": _XML,
    "lxml.objectify": _XML,
    "xml": _XML,
    "bs4": _XML,
    "xmltodict": _XML,
    "json.load": _JSON,
    "json.loads": _JSON,
    "json.JSONDecoder": _JSON,
    "orjson.loads": _JSON,
    "jiter": _JSON,
    "pydantic_core.from_json": _JSON,
    "zipfile.ZipFile": _ZIP,
    "zipfile.PyZipFile": _ZIP,
    "zipfile.Path": _ZIP,
    "tarfile": _ZIP,
    "shutil.unpack_archive": _ZIP,
    "yaml.load": "nowhere",
    "yaml.full_load": "nowhere",
    "yaml.unsafe_load": "nowhere",
    "pickle.load": "nowhere",
    "pickle.loads": "nowhere",
    "marshal.loads": "nowhere",
}
# Methods that parse, whatever the object: of pydantic models and adapters, of HTTP requests and responses.
METHODS = {"model_validate_json": _JSON, "validate_json": _JSON, "parse_raw": _JSON}

# Writes only.
HARMLESS = ("xml.sax.saxutils",)

_TABLE = "reads a table shipped with the package"
_STORE = "reads back from the store what the gateway wrote there itself"
_SIMULATOR = "control interface of a simulator, on the loopback, outside any gateway"
_DEMO = "the demonstration's client reads the gateway's own answers and the examples shipped with it"
_VERIFIER = "the offline verifier ships with every export and imports nothing of ours; it bounds what it reads itself"
_LOAD = "the load generator reads this machine's own gateway, simulators and access file"
# (file, name) -> why it is no reading of outside data. An entry that is no longer needed fails the test.
ALLOWED: dict[tuple[str, str], str] = {
    ("adapters/dmp/prepare.py", "orjson.loads"): _STORE,
    ("adapters/dmp/sandbox.py", "orjson.loads"): _SIMULATOR,
    ("adapters/dmp/updates.py", "orjson.loads"): _STORE,
    ("adapters/ordonnance/sandbox.py", "orjson.loads"): _SIMULATOR,
    ("adapters/sandbox_base.py", "orjson.loads"): _SIMULATOR,
    ("adapters/sandbox_process.py", "json.loads"): _SIMULATOR,
    (
        "conformance/cda/rulebook.py",
        "yaml.load",
    ): "a subclass of SafeLoader, for the rule files shipped with the package",
    ("gateway/api/prescriptions.py", "orjson.loads"): "reads back the model that the intake wrote itself",
    ("gateway/journey/purge.py", "orjson.loads"): _STORE,
    ("gateway/services/addressing.py", "orjson.loads"): _STORE,
    ("gateway/services/feeds_watch.py", "orjson.loads"): _STORE,
    ("gateway/services/persons.py", "orjson.loads"): _STORE,
    ("gateway/vault.py", "orjson.loads"): "the operator's own key file, readable by its owner alone",
    ("gateway/store/blobs.py", "orjson.loads"): _STORE,
    ("gateway/commands/demo.py", "json()"): _DEMO,
    ("gateway/commands/demo.py", "orjson.loads"): _DEMO,
    ("gateway/demonstration.py", "json()"): _DEMO,
    ("gateway/demonstration.py", "orjson.loads"): "reads the operator's own environment variables",
    ("gateway/feeds/bulk.py", "orjson.loads"): _STORE,
    ("gateway/feeds/entry.py", "orjson.loads"): _STORE,
    ("gateway/feeds/imports.py", "orjson.loads"): _STORE,
    ("gateway/feeds/measures.py", "orjson.loads"): _STORE,
    ("gateway/feeds/offline.py", "json.loads"): _VERIFIER,
    ("gateway/feeds/offline.py", "orjson.loads"): _VERIFIER,
    ("gateway/feeds/offline.py", "zipfile.ZipFile"): _VERIFIER,
    ("gateway/feeds/periods.py", "orjson.loads"): _STORE,
    ("gateway/feeds/rulebook.py", "yaml.load"): "a subclass of SafeLoader that allows less: no anchors, no tags",
    ("gateway/identities.py", "orjson.loads"): _STORE,
    ("gateway/journey/accept.py", "orjson.loads"): _STORE,
    ("gateway/journey/changes.py", "orjson.loads"): _STORE,
    ("gateway/journey/letter.py", "orjson.loads"): _STORE,
    ("gateway/journey/mail.py", "orjson.loads"): _STORE,
    ("gateway/journey/orders.py", "orjson.loads"): _STORE,
    ("gateway/services/consulting.py", "orjson.loads"): "opens a token that the gateway sealed itself",
    ("gateway/services/evidence.py", "orjson.loads"): _STORE,
    ("gateway/services/handles.py", "orjson.loads"): _STORE,
    ("gateway/services/order_store.py", "orjson.loads"): _STORE,
    ("gateway/services/prescribing.py", "orjson.loads"): "reads back the model that the intake wrote itself",
    ("gateway/services/rewrite.py", "orjson.loads"): _STORE,
    ("gateway/store/types.py", "orjson.loads"): _STORE,
    ("mappings/rendering/words.py", "json.loads"): _TABLE,
    ("mappings/xds/vocabulary.py", "orjson.loads"): _TABLE,
    ("gateway/api/feeds_access.py", "orjson.loads"): "opens a cursor whose authentication code was checked first",
    ("gateway/api/fhir_submission.py", "orjson.loads"): _STORE,
    ("gateway/feeds/departures.py", "orjson.loads"): _STORE,
    ("gateway/load/run.py", "orjson.loads"): _LOAD,
    ("gateway/load/run.py", "json()"): _LOAD,
    ("gateway/services/feed_facts.py", "orjson.loads"): _STORE,
    ("gateway/services/feeds_exports.py", "orjson.loads"): _STORE,
    ("gateway/services/messages.py", "orjson.loads"): _STORE,
}


def _sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def _imports(tree: ast.AST) -> dict[str, str]:
    """Map each local name to the dotted name it stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, names)
        return f"{base}.{node.attr}" if base else None
    return None


def _is_fine(call: ast.Call, names: dict[str, str]) -> bool:
    """Say whether a call reads a file that stands beside its module, or only writes an archive."""
    name = _dotted(call.func, names)
    if name in ("json.loads", "orjson.loads") and call.args:
        return any(isinstance(node, ast.Name) and node.id == "__file__" for node in ast.walk(call.args[0]))
    mode = call.args[1] if len(call.args) > 1 else None
    return name == "zipfile.ZipFile" and isinstance(mode, ast.Constant) and mode.value in ("w", "x")


def uses(source: str) -> set[tuple[str, int]]:
    """Give every reader a source uses, as (name, line)."""
    tree = ast.parse(source)
    names = _imports(tree)
    found: set[tuple[str, int]] = set()
    fine = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_fine(node, names)}
    for node in ast.walk(tree):
        if id(node) in fine:
            continue
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            dotted = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute | ast.Name):
            dotted = [name] if (name := _dotted(node, names)) else []
            if isinstance(node, ast.Attribute) and node.attr in METHODS:
                found.add((node.attr, node.lineno))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "json":
            # ``response.json()`` and ``request.json()``: a call without arguments on something that is no module.
            if not node.args and not node.keywords and _dotted(node.func, names) is None:
                found.add(("json()", node.lineno))
            continue
        else:
            continue
        for one in dotted:
            if one.startswith(HARMLESS):
                continue
            for reader in READERS:
                if one == reader or one.startswith(reader + "."):
                    found.add((reader, node.lineno))
    return found


def test_every_reader_stands_in_its_one_module() -> None:
    """No module parses outside data by itself; what is allowed has its reason, and is still used."""
    faults: list[str] = []
    unused = set(ALLOWED)
    for path in _sources():
        file = path.relative_to(ROOT).as_posix()
        for name, line in sorted(uses(path.read_text("utf-8")), key=lambda use: use[1]):
            home = {**READERS, **METHODS, "json()": _JSON}[name]
            if file == home:
                continue
            if (file, name) in ALLOWED:
                unused.discard((file, name))
                continue
            faults.append(f"{file}:{line} uses {name}, which belongs to {home}")
    assert not faults, "\n".join(faults)
    assert not unused, f"no longer needed in ALLOWED: {sorted(unused)}"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from lxml import etree\netree.fromstring(b'')", "lxml.etree.fromstring"),
        ("from lxml import etree as e\np = e.XMLParser()", "lxml.etree.XMLParser"),
        ("from lxml.etree import parse as p", "lxml.etree.parse"),
        ("import lxml.etree\nlxml.etree.iterparse(f)", "lxml.etree.iterparse"),
        ("from lxml import etree\nread = etree.XML", "lxml.etree.XML"),
        ("from lxml import html", "lxml.html"),
        ("import xml.etree.ElementTree as ET", "xml"),
        ("from xml.dom import minidom", "xml"),
        ("def f():\n    import json\n    return json.loads('')", "json.loads"),
        ("import orjson\nreaders = {'json': orjson.loads}", "orjson.loads"),
        ("from orjson import loads as l", "orjson.loads"),
        ("import zipfile as z\nz.ZipFile(f)", "zipfile.ZipFile"),
        ("import zipfile\nzipfile.ZipFile(f, mode)", "zipfile.ZipFile"),
        ("from zipfile import ZipFile", "zipfile.ZipFile"),
        ("async def f(request):\n    return await request.json()", "json()"),
        ("client.get('x').json()", "json()"),
        ("Model.model_validate_json(body)", "model_validate_json"),
    ],
)
def test_the_walk_sees_each_way_of_reading(source: str, name: str) -> None:
    """Aliases, imports inside functions, bare references, methods."""
    assert name in {found for found, _ in uses(source)}


@pytest.mark.parametrize(
    "source",
    [
        "from security import json\njson.loads(b'')",
        "from security.xml import parse\nparse(b'')",
        "from lxml import etree\netree.tostring(etree.Element('a'))",
        "import orjson\norjson.dumps({})",
        "from security import xml\nxml.parse(b'')",
        "import json\njson.dumps({})",
        "from xml.sax.saxutils import escape\nescape('')",
        "import zipfile\nzipfile.ZipFile(f, 'w')",
        "import orjson\nfrom pathlib import Path\norjson.loads((Path(__file__).parent / 'x.json').read_bytes())",
    ],
)
def test_the_walk_lets_our_readers_and_writers_be(source: str) -> None:
    """Our own readers share names with the libraries', and writing is no reading."""
    assert uses(source) == set()
