"""Check a PDSm submission whole: every fault found, each with its place in the Bundle (fhir-profiles.md 9.2).

Plain values in, findings out. What only the document can tell (its identifier, its type) is compared in
:mod:`gateway.services.fhir_face.coherence`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from conformance.terminology import value_set
from conformance.verdict import Finding
from gateway.services.fhir_face.words import found
from mappings.xds import vocabulary as v
from mappings.xds.pdsm_words import EXTENSIONS, code_of, patient_of, unique_id_of

__all__ = [
    "check_bundle",
    "check_fiche",
    "dicts",
    "kind_of",
    "member",
    "resource_of",
    "same_target",
    "target_of",
    "text",
]

#: Members of a fiche that must be there; of ``pdsm-simplified-publish`` fewer are required, the gateway asks for these.
_REQUIRED: Final = (
    "contained",
    "masterIdentifier",
    "status",
    "type",
    "category",
    "subject",
    "date",
    "author",
    "custodian",
    "securityLabel",
    "content",
)
_ATTACHMENT: Final = ("contentType", "language", "title", "creation")
_CONTEXT: Final = ("facilityType", "practiceSetting", "sourcePatientInfo")

#: Value sets of the codes of a fiche: the CI-SIS ones, wider than the DMP's, which judges in the end.
_SETS: Final = {
    "type": "1.2.250.1.213.1.1.5.471",  # JDV_J07
    "facilityType": "1.2.250.1.213.1.1.5.466",  # JDV_J02
    "practiceSetting": "1.2.250.1.213.1.1.5.467",  # JDV_J04
}


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; nothing for another value."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def member(value: Any, *names: str) -> Any:
    """A member inside members; None when any of them is absent."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def text(value: Any) -> str:
    """A text; empty for another value."""
    return value if isinstance(value, str) else ""


def kind_of(resource: Mapping[str, Any]) -> str:
    """The type of a resource."""
    return text(resource.get("resourceType"))


#: Documents of one submission; each becomes a set of its own, all are kept in one transaction.
MOST_DOCUMENTS: Final = 50


def check_bundle(bundle: Mapping[str, Any], structure: str) -> Iterator[Finding]:
    """Check an ITI-65 transaction; ``structure`` is that of the caller (Struct_IdNat)."""
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "transaction":
        yield found("PDSM-BDL-001").finding("/type", found=text(bundle.get("type"))[:40] or None)
        return
    entries = dicts(bundle.get("entry"))
    yield from _entries(entries)
    lists = [(i, e["resource"]) for i, e in enumerate(entries) if kind_of(resource_of(e)) == "List"]
    fiches = [(i, e) for i, e in enumerate(entries) if kind_of(resource_of(e)) == "DocumentReference"]
    if len(lists) != 1:
        yield found("PDSM-BDL-002").finding("/entry", found=str(len(lists)), expected="1")
    if not fiches:
        yield found("PDSM-BDL-003").finding("/entry")
    if len(fiches) > MOST_DOCUMENTS:
        yield found("PDSM-BDL-007").finding("/entry", found=str(len(fiches)), expected=f"{MOST_DOCUMENTS} au plus")
        return
    binaries = {text(e.get("fullUrl")): (i, e["resource"]) for i, e in enumerate(entries) if _is(e, "Binary")}
    used: list[str] = []
    for index, entry in fiches:
        place = f"/entry/{index}/resource"
        resource = entry["resource"]
        yield from check_fiche(resource, place, structure)
        yield from _attachment(resource, place, binaries, used)
    for url, (index, _) in binaries.items():
        if used.count(url) != 1:
            yield found("PDSM-ATT-002").finding(f"/entry/{index}", found=f"{used.count(url)} fiche(s)")
    for index, resource in lists:
        urls = {text(e.get("fullUrl")) for _, e in fiches}
        yield from _list(resource, f"/entry/{index}/resource", urls)
    yield from _together([r for _, r in lists], [e["resource"] for _, e in fiches])
    yield from _patches(entries, [e["resource"] for _, e in fiches])


def resource_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The resource of an entry; empty when it has none."""
    resource = entry.get("resource")
    return resource if isinstance(resource, dict) else {}


def _is(entry: Mapping[str, Any], kind: str) -> bool:
    return kind_of(resource_of(entry)) == kind


def _entries(entries: list[dict[str, Any]]) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        place = f"/entry/{index}"
        kind = kind_of(resource_of(entry))
        method = text(member(entry, "request", "method"))
        url = text(entry.get("fullUrl"))
        if kind not in ("List", "DocumentReference", "Binary", "Parameters", "Patient"):
            yield found("PDSM-BDL-004").finding(place, found=kind[:40] or "absent")
            continue
        if kind == "List" and _list_code(resource_of(entry)) != "submissionset":
            code = _list_code(resource_of(entry))
            yield found("PDSM-BDL-004").finding(f"{place}/resource/code", found=code[:40] or "absent")
        if not url.startswith("urn:uuid:") or url in seen:
            yield found("PDSM-BDL-005").finding(f"{place}/fullUrl", found="en double" if url in seen else "absent")
        seen.add(url)
        wanted = "PATCH" if kind == "Parameters" else "POST"
        if method != wanted or (wanted == "POST" and text(member(entry, "request", "url")) != kind):
            yield found("PDSM-BDL-006").finding(f"{place}/request", found=method[:10] or "absent", expected=wanted)


def _list_code(resource: Mapping[str, Any]) -> str:
    code = code_of(resource.get("code"))
    return code.code if code is not None else ""


# --- the set -----------------------------------------------------------------------------------------------------


def _list(resource: dict[str, Any], place: str, urls: set[str]) -> Iterator[Finding]:
    rule = found("PDSM-LST-001")
    for name in ("contained", "subject", "date", "source"):
        if not resource.get(name):
            yield rule.finding(f"{place}/{name}", found="absent")
    for name, value in (("status", "current"), ("mode", "working")):
        if resource.get(name) != value:
            yield rule.finding(f"{place}/{name}", found=text(resource.get(name))[:20] or "absent", expected=value)
    extensions = {text(e.get("url")): e for e in dicts(resource.get("extension"))}
    if code_of(member(extensions.get(EXTENSIONS["designation"]), "valueCodeableConcept")) is None:
        yield rule.finding(f"{place}/extension", found="absent", expected="ihe-designationType")
    if not text(member(extensions.get(EXTENSIONS["source-id"]), "valueIdentifier", "value")).startswith("urn:oid:"):
        yield rule.finding(f"{place}/extension", found="absent", expected="ihe-sourceId, urn:oid:")
    for number, identifier in enumerate(dicts(resource.get("identifier"))):
        at = f"{place}/identifier/{number}"
        if not identifier.get("use") or code_of(identifier.get("type")) is None:
            yield found("PDSM-DOC-005").finding(at)
        kind = code_of(identifier.get("type"))
        if (kind is None or kind.code == "uniqueId") and not text(identifier.get("value")).startswith("urn:oid:"):
            yield found("PDSM-LST-004").finding(f"{at}/value")
    items = [text(member(e, "item", "reference")) for e in dicts(resource.get("entry"))]
    for number, item in enumerate(items):
        if item not in urls:
            yield found("PDSM-LST-002").finding(f"{place}/entry/{number}/item")
    for _ in urls - set(items):
        yield found("PDSM-LST-003").finding(f"{place}/entry")
    yield from _references(resource, place)


# --- one fiche ---------------------------------------------------------------------------------------------------


def check_fiche(resource: dict[str, Any], place: str, structure: str, *, published: bool = False) -> Iterator[Finding]:
    """Check one DocumentReference to be stored; ``published`` for ITI-105, whose attachment holds its data."""
    missing = found("PDSM-DOC-001")
    for name in _REQUIRED:
        if not resource.get(name):
            yield missing.finding(f"{place}/{name}", found="absent")
    for name in ("docStatus", "modifierExtension", *(("identifier",) if published else ())):
        if name in resource:
            yield found("PDSM-DOC-002").finding(f"{place}/{name}")
    if resource.get("status") not in (None, "current"):
        yield found("PDSM-DOC-003").finding(f"{place}/status", found=text(resource.get("status"))[:20])
    for name in ("category", "content"):
        if len(dicts(resource.get(name))) > 1:
            yield found("PDSM-DOC-004").finding(f"{place}/{name}", found=str(len(resource[name])), expected="1")
    content = next(iter(dicts(resource.get("content"))), {})
    at = f"{place}/content/0"
    attachment = member(content, "attachment") or {}
    for name in (*_ATTACHMENT, *(("data",) if published else ("url", "size", "hash"))):
        if attachment.get(name) in (None, ""):
            yield missing.finding(f"{at}/attachment/{name}", found="absent")
    if ("url" if published else "data") in attachment:
        yield found("PDSM-DOC-002").finding(f"{at}/attachment/{'url' if published else 'data'}")
    if code_of(content.get("format")) is None:
        yield missing.finding(f"{at}/format", found="absent")
    context = resource.get("context") if isinstance(resource.get("context"), dict) else {}
    for name in _CONTEXT:
        if not member(context, name):
            yield missing.finding(f"{place}/context/{name}", found="absent")
    if not member(context, "period", "start"):
        yield missing.finding(f"{place}/context/period/start", found="absent")
    yield from _identifiers(resource, place)
    yield from _codes(resource, place)
    yield from _references(resource, place)
    yield from _custodian(resource, place, structure)
    if len(dicts(resource.get("relatesTo"))) > 1 or any(
        r.get("code") != "replaces" for r in dicts(resource.get("relatesTo"))
    ):
        yield found("PDSM-RPL-001").finding(f"{place}/relatesTo")


def _identifiers(resource: Mapping[str, Any], place: str) -> Iterator[Finding]:
    rule = found("PDSM-DOC-005")
    master = resource.get("masterIdentifier")
    if isinstance(master, dict):
        kind = code_of(master.get("type"))
        if master.get("use") != "usual":
            found_use = text(master.get("use"))[:20] or "absent"
            yield rule.finding(f"{place}/masterIdentifier/use", found=found_use, expected="usual")
        if kind is None or kind.code != "uniqueId":
            yield rule.finding(f"{place}/masterIdentifier/type", found="absent", expected="uniqueId")
        if not unique_id_of(master):
            yield rule.finding(f"{place}/masterIdentifier/value", found="absent", expected="urn:oid:")
    for number, identifier in enumerate(dicts(resource.get("identifier"))):
        if not identifier.get("use") or code_of(identifier.get("type")) is None:
            yield rule.finding(f"{place}/identifier/{number}")


def _codes(resource: Mapping[str, Any], place: str) -> Iterator[Finding]:
    rule = found("PDSM-DOC-006")
    context = resource.get("context")
    for name, holder, at in (
        ("type", resource, place),
        ("facilityType", context, f"{place}/context"),
        ("practiceSetting", context, f"{place}/context"),
    ):
        code = code_of(member(holder, name))
        wanted = value_set(_SETS[name])
        if code is not None and (code.code, code.scheme) not in wanted:
            yield rule.finding(f"{at}/{name}", found=code.code[:40], expected=wanted.name)
    kind, category = code_of(resource.get("type")), code_of(next(iter(dicts(resource.get("category"))), None))
    expected = v.class_of_type(kind.code) if kind is not None else None
    if category is not None and expected is not None and category.code != expected[0]:
        yield rule.finding(f"{place}/category/0", found=category.code[:40], expected=expected[0])
    base: list[str] = []
    restrictions: list[str] = []
    for number, label in enumerate(dicts(resource.get("securityLabel"))):
        code = code_of(label)
        if code is None:
            continue
        if code.code in ("N", "R", "V"):
            base.append(code.code)
        elif (known := v.visibility_code(code.code)) is not None:
            restrictions.append(known[0])
        else:
            at = f"{place}/securityLabel/{number}"
            yield rule.finding(at, found=code.code[:40], expected="TRE_A07-StatutVisibiliteDocument")
    if resource.get("securityLabel") and (len(base) != 1 or len(set(restrictions)) != len(restrictions)):
        yield found("PDSM-DOC-007").finding(f"{place}/securityLabel", found=" ".join((*base, *restrictions))[:80])


def _custodian(resource: Mapping[str, Any], place: str, structure: str) -> Iterator[Finding]:
    reference = text(member(resource.get("custodian"), "reference"))
    for contained in dicts(resource.get("contained")):
        if f"#{text(contained.get('id'))}" == reference:
            values = {text(i.get("value")) for i in dicts(contained.get("identifier"))}
            if structure not in values:
                yield found("PDSM-ORG-001").finding(f"{place}/custodian")


#: Members whose target must be contained (aggregation), wherever they stand in a fiche or a set.
_INSIDE: Final = frozenset({"author", "authenticator", "custodian", "source", "sourcePatientInfo", "practitioner"})


def _references(resource: Mapping[str, Any], place: str) -> Iterator[Finding]:
    contained = dicts(resource.get("contained"))
    names = {f"#{text(c.get('id'))}": number for number, c in enumerate(contained)}
    aimed: set[str] = set()
    for owner, at, reference in _walk(resource, place, ""):
        if reference.startswith("#"):
            aimed.add(reference)
            if reference not in names:
                yield found("PDSM-REF-001").finding(at)
        elif owner in _INSIDE:
            yield found("PDSM-REF-002").finding(at, found=reference.partition("/")[0][:40] or "absent")
    for name, number in names.items():
        if name not in aimed:
            kind = kind_of(contained[number])
            yield found("PDSM-REF-003").finding(f"{place}/contained/{number}", found=kind[:40])
    for number, one in enumerate(contained):
        if one.get("contained"):
            yield found("PDSM-REF-004").finding(f"{place}/contained/{number}/contained")


def _walk(node: Any, place: str, owner: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str):
            yield owner, place, node["reference"]
        for name, value in node.items():
            yield from _walk(value, f"{place}/{name}", name)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _walk(value, f"{place}/{number}", owner)


# --- what the entries say of one another -------------------------------------------------------------------------


def _attachment(
    resource: Mapping[str, Any], place: str, binaries: Mapping[str, tuple[int, dict[str, Any]]], used: list[str]
) -> Iterator[Finding]:
    content = next(iter(dicts(resource.get("content"))), {})
    url = text(member(content, "attachment", "url"))
    at = f"{place}/content/0/attachment"
    name = next((n for n in binaries if url and (n == url or n.endswith(url.removeprefix("Binary/")))), None)
    if name is None:
        if url:
            yield found("PDSM-ATT-001").finding(f"{at}/url")
        return
    used.append(name)
    index, binary = binaries[name]
    if text(binary.get("contentType")) != text(member(content, "attachment", "contentType")):
        yield found("PDSM-ATT-003").finding(f"/entry/{index}/resource/contentType")


def _together(lists: list[dict[str, Any]], fiches: list[dict[str, Any]]) -> Iterator[Finding]:
    patients = [patient_of(member(resource.get("subject"), "identifier")) for resource in (*lists, *fiches)]
    for fiche in fiches:
        name = text(member(fiche.get("context"), "sourcePatientInfo", "reference")).removeprefix("#")
        inside = next((c for c in dicts(fiche.get("contained")) if c.get("id") == name), {})
        ids = [p for i in dicts(inside.get("identifier")) if (p := patient_of(i)) is not None and p.id_type == "NH"]
        patients.append(ids[0] if ids else None)
    if len({(p.value, p.authority) if p is not None else None for p in patients}) > 1 or None in patients:
        yield found("PDSM-PAT-001").finding("/entry", expected="un même patient partout, par son INS")
    seen: set[str] = set()
    for fiche in fiches:
        unique_id = unique_id_of(fiche.get("masterIdentifier"))
        if unique_id and unique_id in seen:
            yield found("PDSM-DUP-001").finding("/entry")
        seen.add(unique_id)


def target_of(fiche: Mapping[str, Any]) -> str:
    """What a fiche replaces: a reference, or the identifier of the document as ``urn:oid:``; empty when nothing."""
    for related in dicts(fiche.get("relatesTo")):
        target = related.get("target")
        if text(member(target, "reference")):
            return text(member(target, "reference"))
        if unique_id := unique_id_of(member(target, "identifier")):
            return f"urn:oid:{unique_id}"
    return ""


def same_target(one: str, other: str) -> bool:
    """True when two references name the same fiche: by id, or by the identifier of its document."""
    return bool(one) and _key(one) == _key(other)


def _key(reference: str) -> str:
    plain = unquote(reference)
    return plain.rpartition("urn:oid:")[2] if "urn:oid:" in plain else plain.removeprefix("DocumentReference/")


def _patches(entries: list[dict[str, Any]], fiches: list[dict[str, Any]]) -> Iterator[Finding]:
    targets = [target_of(fiche) for fiche in fiches]
    patched: list[str] = []
    for index, entry in enumerate(entries):
        if not _is(entry, "Parameters"):
            continue
        url = text(member(entry, "request", "url"))
        place = f"/entry/{index}"
        if not any(same_target(url, t) for t in targets) or any(same_target(url, p) for p in patched):
            yield found("PDSM-RPL-004").finding(f"{place}/request/url")
        patched.append(url)
        said = {}
        for parameter in dicts(resource_of(entry).get("parameter")):
            for part in dicts(parameter.get("part")):
                value = next((x for k, x in part.items() if k.startswith("value")), None)
                said[text(part.get("name"))] = text(value)
        if said != {"path": "DocumentReference.status", "type": "replace", "value": "superseded"}:
            yield found("PDSM-RPL-004").finding(f"{place}/resource/parameter")
