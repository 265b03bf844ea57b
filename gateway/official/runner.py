"""Running the official rules of a pack on documents, with saxonche, here or in a process of their own that stays warm.

The rules take seconds to load and hundreds of megabytes: they are for the command line and for tests, never for a
request.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from lxml import etree

from conformance.cda.model import HL7
from gateway.official.rules import load_schema
from gateway.official.stylesheet import stylesheet
from gateway.packs import Pack, PackError
from security.errors import UnsafeInput
from security.xml import CDA_LIMITS, parse, parse_own

__all__ = ["OfficialFinding", "OfficialRules", "WarmRules"]

#: The Schematrons that every document must follow.
GENERIC: Final = {
    "IHE": "profils/IHE.sch",
    "ModelesDeContenusCDA": "profils/CI-SIS_ModelesDeContenusCDA.sch",
    "StrucMin": "profils/structurationMinimale/ASIP-STRUCT-MIN-StrucMin.sch",
    "Modeles_ANS": "profils/CI-SIS_Modeles_ANS.sch",
}
#: How a document says which model it follows: template, its version, Schematron. The first row that fits wins.
_VOLETS: Final = (
    ("1.2.250.1.213.1.1.1.13", "201310", "CI-SIS_VSM_1.4_2022.01"),
    ("1.2.250.1.213.1.1.1.13", "2022.01", "CI-SIS_VSM_1.4_2022.01"),
    ("1.2.250.1.213.1.1.1.13", None, "CI-SIS_VSM_2023.01"),
    ("1.2.250.1.213.1.1.1.51", None, "CI-SIS_IPS-FR_2024.01"),
    ("1.2.250.1.213.1.1.1.39", None, "CI-SIS_EP-MED-DM_2024.01"),
    ("1.2.250.1.213.1.1.1.54", None, "CI-SIS_eDISP-MED_2024.01"),
)
# The header's rules all hang on the typeId; a wrong one gives a single warning, which is therefore an error here.
_NO_HEADER_RULE: Final = "descendant-or-self::hl7:ClinicalDocument"


@dataclass(frozen=True, slots=True)
class OfficialFinding:
    """An official assertion that a document breaks."""

    schema: str
    severity: str  #: error or warning
    rule: str
    location: str
    message: str
    line: int | None = None


class OfficialRules:
    """The rules of one pack, each Schematron loaded when it is first needed."""

    def __init__(self, pack: Pack) -> None:
        try:
            from saxonche import PySaxonApiError, PySaxonProcessor
        except ImportError as exc:
            raise PackError("saxonche est absent / is absent: pip install 'passerelle-dmp[official]'") from exc
        self._error: type[Exception] = PySaxonApiError
        self._saxon: Any = PySaxonProcessor(license=False)
        self._folder = pack.folder / "schematrons"
        self._xsd = pack.folder / "infrastructure" / "cda" / "CDA_extended.xsd"
        self._cache = pack.folder / "compiled"
        self._compiled: dict[str, Any] = {}

    @cached_property
    def schema(self) -> etree.XMLSchema:
        """The published CDA schema."""
        return etree.XMLSchema(parse_own(self._xsd))

    def check(self, data: bytes) -> list[OfficialFinding]:
        """Run every rule that applies to a document."""
        try:
            root = parse(data, CDA_LIMITS)
        except UnsafeInput as exc:
            return [OfficialFinding("XML", "error", exc.code, "", f"{exc.found} ; {exc.expected}", exc.line)]
        found = list(self._structure(root))
        node = self._saxon.parse_xml(xml_text=etree.tostring(root, encoding="unicode"))
        names = [*GENERIC, *(volet for volet in (self.volet(root),) if volet is not None)]
        for name in names:
            found += self._run(name, node)
        return found

    def volet(self, root: etree._Element) -> str | None:
        """The model a document claims, when the pack has its rules."""
        claimed = {each.get("root"): each.get("extension") for each in root.iterchildren(f"{HL7}templateId")}
        for template, extension, name in _VOLETS:
            if template in claimed and extension in (None, claimed[template]) and self._file(name).exists():
                return name
        return None

    def _file(self, name: str) -> Path:
        return self._folder / GENERIC.get(name, f"{name}.sch")

    def _structure(self, root: etree._Element) -> Iterator[OfficialFinding]:
        self.schema.validate(root.getroottree())
        for entry in self.schema.error_log:
            # The schema's own message repeats values; the kind of fault and the line are enough to find it.
            yield OfficialFinding("XSD", "error", entry.type_name, "", entry.type_name, entry.line)

    def _run(self, name: str, node: Any) -> Iterator[OfficialFinding]:
        try:
            report = self._executable(name).transform_to_string(xdm_node=node)
        except self._error as exc:
            kind = str(exc).split(":", 1)[0][:80]
            yield OfficialFinding(name, "error", "", "/ClinicalDocument", f"could not run ({kind})")
            return
        for each in parse(report.encode(), _REPORT_LIMITS):
            message = " ".join("".join(str(text) for text in each.itertext()).split())
            severity = "error" if message.startswith(_NO_HEADER_RULE) else each.get("s", "error")
            yield OfficialFinding(name, severity, each.get("r", ""), each.get("l", ""), message)

    def _executable(self, name: str) -> Any:
        if name not in self._compiled:
            xslt = self._saxon.new_xslt30_processor()
            self._compiled[name] = xslt.compile_stylesheet(stylesheet_text=self._text(name))
        return self._compiled[name]

    def _text(self, name: str) -> str:
        """The stylesheet of a Schematron, kept beside the pack once made."""
        source = self._file(name)
        digest = hashlib.sha256(_OURS + str(source).encode()).hexdigest()[:12]
        kept = self._cache / f"{name}-{digest}.xsl"
        if kept.exists():
            return kept.read_text("utf-8")
        text = stylesheet(load_schema(source), source.as_uri())
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            part = kept.with_suffix(f".{os.getpid()}")
            part.write_text(text, "utf-8")
            part.replace(kept)
        except OSError:
            return text  # a pack that cannot be written to is compiled each time
        return text


_REPORT_LIMITS: Final = CDA_LIMITS
_OURS: Final = b"".join((Path(__file__).parent / f"{name}.py").read_bytes() for name in ("rules", "stylesheet"))


def _serve(pack: Pack, pipe: Any) -> None:
    """The life of the warm process: documents in, findings out, until the pipe closes."""
    try:
        rules = OfficialRules(pack)
    except PackError as exc:
        pipe.send(exc)
        return
    pipe.send(None)
    while True:
        try:
            data = pipe.recv_bytes()
        except EOFError:
            return
        try:
            pipe.send(rules.check(data))
        except PackError as exc:
            pipe.send(exc)


class WarmRules:
    """The official rules in a process of their own: what they hold in memory goes when they are closed."""

    def __init__(self, pack: Pack) -> None:
        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(pack, other), daemon=True)
        self._process.start()
        other.close()
        self._answer()

    def check(self, data: bytes) -> list[OfficialFinding]:
        """Run every rule that applies to a document. Raises :class:`PackError` when the rules themselves are wrong."""
        self._pipe.send_bytes(data)
        found: list[OfficialFinding] = self._answer()
        return found

    def _answer(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise PackError("le processus des règles officielles s'est arrêté / the official rules stopped") from None
        if isinstance(answer, PackError):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()
