"""A hostile or false archive is refused as a whole, by name, in memory."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.mss.rules import MailRefused
from adapters.mss.unpack import read_package
from tests.support.mss import cda, package, peak_memory

METADATA = "IHE_XDM/SUBSET01/METADATA.XML"
DOCUMENT = "IHE_XDM/SUBSET01/DOC00001.XML"


def entries(*documents: bytes) -> dict[str, bytes]:
    archive = zipfile.ZipFile(io.BytesIO(package(*documents).data))
    return {name: archive.read(name) for name in archive.namelist()}


def pack(files: dict[str, bytes] | list[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, content)
    return target.getvalue()


def refused(data: bytes) -> set[str]:
    with pytest.raises(MailRefused) as error:
        read_package(data)
    return {f.code for f in error.value.findings}


def changed(find: bytes, new: bytes, name: str = METADATA) -> bytes:
    files = entries()
    assert find in files[name]
    files[name] = files[name].replace(find, new)
    return pack(files)


def raw_name(old: str, new: str, files: dict[str, bytes]) -> bytes:
    """Write a name that the library would clean, in both headers."""
    assert len(old) == len(new)
    return pack(files).replace(old.encode(), new.encode())


def link() -> list[tuple[str | zipfile.ZipInfo, bytes]]:
    info = zipfile.ZipInfo("IHE_XDM/SUBSET01/LINK.XML")
    info.create_system = 3
    info.external_attr = 0o120777 << 16
    return [*entries().items(), (info, b"/etc/passwd")]


def encrypted() -> bytes:
    data = bytearray(pack(entries()))
    for at in (m.start() for m in re.finditer(rb"PK\x01\x02", bytes(data))):
        data[at + 8] |= 1
    for at in (m.start() for m in re.finditer(rb"PK\x03\x04", bytes(data))):
        data[at + 6] |= 1
    return bytes(data)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "path traversal": lambda: pack({**entries(), "IHE_XDM/SUBSET01/../../../../EVIL.XML": b"x"}),
    "parent at the start": lambda: pack({**entries(), "../EVIL.XML": b"x"}),
    "absolute name": lambda: pack({**entries(), "/etc/cron.d/evil": b"x"}),
    "drive letter": lambda: pack({**entries(), "C:/EVIL.XML": b"x"}),
    "Windows separators": lambda: raw_name("AxxxB.XML", "A\\..\\B.XML"[:9], {**entries(), "AxxxB.XML": b"x"}),
    "NUL in a name": lambda: raw_name("AxB.XML", "A\x00B.XML", {**entries(), "AxB.XML": b"x"}),
    "duplicate": lambda: raw_name("DOC00009.XML", "DOC00001.XML", {**entries(), "IHE_XDM/SUBSET01/DOC00009.XML": b"x"}),
    "duplicate in another case": lambda: pack({**entries(), "ihe_xdm/subset01/doc00001.xml": b"x"}),
    "symbolic link": lambda: pack(link()),
    "encrypted": encrypted,
    "nested archive by name": lambda: pack({**entries(), "IHE_XDM/SUBSET01/INNER.ZIP": b"x"}),
    "nested archive by content": lambda: pack({**entries(), "IHE_XDM/SUBSET01/INNER.XML": pack({"a": b"b"})}),
    "zip bomb": lambda: pack({**entries(), "IHE_XDM/SUBSET01/BOMB.XML": b"\x00" * 60_000_000}),
    "too many entries": lambda: pack({**entries(), **{f"F{n}": b"x" for n in range(100)}}),
    "long name": lambda: pack({**entries(), "A" * 300: b"x"}),
    "truncated": lambda: package().data[:-40],
    "not an archive": lambda: b"PK\x03\x04 nothing else",
    "empty": lambda: b"",
}


@pytest.mark.parametrize("trap", HOSTILE)
def test_a_hostile_archive_is_refused_whole(trap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bad entry refuses everything; nothing is written, memory stays bounded."""
    monkeypatch.chdir(tmp_path)
    data = HOSTILE[trap]()
    with peak_memory() as peak:
        assert refused(data) == {"MSS-XDM-001"}
        assert peak() < 20_000_000
    assert list(tmp_path.iterdir()) == []


SHA1 = hashlib.sha1(cda(), usedforsecurity=False).hexdigest().encode()
FALSE: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "wrong hash": (lambda: changed(SHA1, b"0" * 40), {"MSS-XDM-005"}),
    "changed document": (lambda: changed(b"Compte rendu 1", b"Compte rendu 2", DOCUMENT), {"MSS-XDM-005"}),
    "wrong size": (lambda: changed(b">%d<" % len(cda()), b">12<"), {"MSS-XDM-006"}),
    "no such file": (lambda: changed(b"DOC00001.XML", b"DOC00007.XML"), {"MSS-XDM-004"}),
    "URI upwards": (lambda: changed(b"DOC00001.XML", b"../SUBSET01/DOC00001.XML"), {"MSS-XDM-004"}),
    "absolute URI": (lambda: changed(b"DOC00001.XML", b"/IHE_XDM/SUBSET01/DOC00001.XML"), {"MSS-XDM-004"}),
    "URI elsewhere": (lambda: changed(b"DOC00001.XML", b"http://x.fr/DOC00001.XML"), {"MSS-XDM-004"}),
    "URI with backslash": (lambda: changed(b"DOC00001.XML", b"..\\DOC00001.XML"), {"MSS-XDM-004"}),
    "other unique id": (lambda: changed(b"1.2.250.1.999.7.1", b"1.2.250.1.999.7.9"), {"MSS-XDM-008"}),
    "other patient id": (lambda: changed(b"279035121518989", b"179035121518986"), {"MSS-XDM-009"}),
    "other name": (lambda: changed(b"PID-5|PAT-TROIS", b"PID-5|AUTRE"), {"MSS-XDM-009"}),
    "other birth date": (lambda: changed(b"PID-7|19790328", b"PID-7|19790329"), {"MSS-XDM-009"}),
    "no set": (lambda: changed(b"a54d6aa5-d40d-43f9-88c5-b4633d873bdd", b"a54d6aa5-0000"), {"MSS-XDM-003"}),
    "no member": (lambda: changed(b'targetObject="Document01"', b'targetObject="Nothing"'), {"MSS-XDM-003"}),
    "a DOCTYPE": (lambda: changed(b"<lcm:", b"<!DOCTYPE x><lcm:"), {"MSS-XDM-003"}),
    "not a request": (lambda: pack({**entries(), METADATA: b"<x/>"}), {"MSS-XDM-003"}),
    "no metadata": (lambda: pack({k: v for k, v in entries().items() if k != METADATA}), {"MSS-XDM-002"}),
}


@pytest.mark.parametrize("fault", FALSE)
def test_a_false_archive_is_refused_by_the_rule_it_breaks(fault: str) -> None:
    """Every check of mss.md 6.5 has its code."""
    make, codes = FALSE[fault]
    assert refused(make()) >= codes


def test_an_expansion_in_a_document_is_refused() -> None:
    """A CDA with a DOCTYPE is not opened; hash and size faults are still told."""
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + cda()
    assert "MSS-XDM-007" in refused(pack({**entries(), DOCUMENT: bomb}))
    assert "MSS-XDM-007" in refused(pack({**entries(), DOCUMENT: b"<html/>"}))


def test_two_patients_in_one_archive_are_refused() -> None:
    """Several sets are fine only when all patients are one (ECO.2.1.1)."""
    second = {k.replace("SUBSET01", "SUBSET02"): v for k, v in entries(cda("2", family="AUTRE")).items()}
    assert "MSS-PAT-007" in refused(pack({**second, **entries(cda("1"))}))
    same = {k.replace("SUBSET01", "SUBSET02"): v for k, v in entries(cda("2")).items()}
    assert len(read_package(pack({**same, **entries(cda("1"))})).documents) == 2


def test_one_wrapping_folder_is_tolerated_and_told() -> None:
    """Some writers put everything in a folder: read, with a warning."""
    got = read_package(pack({f"ENVOI/{name}": content for name, content in entries().items()}))
    assert [f.code for f in got.warnings] == ["MSS-XDM-013"]
    assert got.documents[0].path == f"ENVOI/{DOCUMENT}"


def test_a_rooted_uri_is_for_known_peers_only() -> None:
    """One writer counts the path from IHE_XDM downwards."""
    data = changed(b">DOC00001.XML<", b">SUBSET01/DOC00001.XML<")
    assert refused(data) == {"MSS-XDM-004"}
    assert len(read_package(data, accept_rooted_uri=True).documents) == 1


def test_files_nobody_announces_are_ignored() -> None:
    """A PDF beside the CDA, an AUTORUN: not documents."""
    got = read_package(pack({**entries(), "IHE_XDM/SUBSET01/DOC00001.PDF": b"%PDF-1.4", "AUTORUN.INF": b"x"}))
    assert [d.path for d in got.documents] == [DOCUMENT]


def test_another_type_in_the_metadata_is_only_told() -> None:
    """Reported, not refused: the CDA's own code is what counts."""
    got = read_package(changed(b'nodeRepresentation="11502-2"', b'nodeRepresentation="34112-3"'))
    assert [f.code for f in got.warnings] == ["MSS-XDM-010"]
    assert got.documents[0].document.code == "11502-2"


def test_the_hash_is_compared_without_case() -> None:
    """Forty hexadecimal digits, in either case."""
    assert read_package(changed(SHA1, SHA1.upper())).documents


def test_names_are_matched_in_any_case() -> None:
    """A writer in lower case is read."""
    got = read_package(
        pack(
            {
                n.replace("IHE_XDM/SUBSET01/METADATA.XML", "IHE_XDM/subset01/metadata.xml").replace(
                    "IHE_XDM/SUBSET01", "IHE_XDM/subset01"
                ): c
                for n, c in entries().items()
            }
        )
    )
    assert got.documents[0].path == "IHE_XDM/subset01/DOC00001.XML"


def test_an_action_on_a_document_is_read() -> None:
    """Replacement and deletion are told by an extra metadata whose name ends with action (mss.md 4.6)."""
    slot = b'<Slot name="urn:asip:action"><ValueList><Value>D</Value></ValueList></Slot><Slot name="creationTime">'
    got = read_package(changed(b'<Slot name="creationTime">', slot))
    assert got.documents[0].action == "D"
    assert read_package(package().data).documents[0].action == ""


def test_a_refusal_tells_no_trait() -> None:
    """Findings hold codes, places and hashes, never the patient."""
    with pytest.raises(MailRefused) as error:
        read_package(changed(b"PID-5|PAT-TROIS", b"PID-5|AUTRE"))
    told = str([f.as_json() for f in error.value.findings]) + str(error.value)
    assert not any(word in told for word in ("PAT-TROIS", "AUTRE", "279035121518989"))


def test_a_folder_in_the_metadata_is_tolerated() -> None:
    """IHE has folders, France does not use them: the documents are read all the same."""
    folder = (
        b'<RegistryPackage id="Folder01"/><Association id="F1" '
        b'associationType="urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember" '
        b'sourceObject="Folder01" targetObject="Document01"/></RegistryObjectList>'
    )
    assert len(read_package(changed(b"</RegistryObjectList>", folder)).documents) == 1
