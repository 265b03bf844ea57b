"""The Bundle being read: entries by address, references resolved, faults gathered, everything accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from conformance.verdict import Finding, Rule, Severity, Text
from mappings.fhir.errors import NotFhir, UnreadableBundle
from mappings.fhir.node import Node, wrong_type
from mappings.loss import LossLog

__all__ = ["MAX_ENTRIES", "Source", "refuse"]

T = TypeVar("T")

#: More entries than any document has; beyond, the Bundle is refused before it is read.
MAX_ENTRIES: Final = 5000
#: Members that point from a whole to its parts: a cycle among them has no end.
_PARTS: Final = {
    "Observation": ("hasMember", "derivedFrom"),
    "DiagnosticReport": ("result",),
    "CarePlan": ("activity", "goal", "partOf", "basedOn"),
    "Organization": ("partOf",),
    "Location": ("partOf",),
    "Encounter": ("partOf",),
    "Medication": ("ingredient",),
    "MedicationRequest": ("basedOn", "priorPrescription"),
    "Procedure": ("partOf", "basedOn"),
    "Composition": ("section",),
}
#: Resources that say who and where: one more of them, unread, says nothing clinical.
_ADMINISTRATIVE: Final = frozenset(
    {"Practitioner", "PractitionerRole", "Organization", "Location", "Device", "RelatedPerson", "Encounter"}
    | {"Provenance", "HealthcareService", "Endpoint", "Binary"}
)
_UNKNOWN_ELEMENT = Text(
    "Cet élément n'a pas de place dans le modèle de la passerelle.", "This element has no place in the gateway's model."
)
_UNUSED = Text(
    "Cette ressource n'est atteinte par aucune section ni par l'en-tête.",
    "This resource is reached by no section and not by the header.",
)
DANGLING = Rule(
    code="FHIR-READ-006",
    message=Text("Cette référence ne désigne aucune entrée du Bundle.", "This reference is to no entry of the Bundle."),
    fix=Text("Ajoutez la ressource au Bundle ou corrigez la référence.", "Add the resource or mend the reference."),
    source="HL7 FHIR R4, Bundle 3.3.1 (documents: every reference resolves)",
    severity=Severity.WARNING,
)


def refuse(code: str, place: str, fr: str, en: str, fix_fr: str, fix_en: str, **more: Any) -> UnreadableBundle:
    """A fault that keeps the Bundle from being read."""
    return UnreadableBundle(code, place, Text(fr, en), Text(fix_fr, fix_en), **more)


class Source:
    """A Bundle and what reading it has shown so far."""

    def __init__(self, bundle: Any, *, kinds: frozenset[str] = frozenset({"document"})) -> None:
        if type(bundle) is not dict or bundle.get("resourceType") != "Bundle":
            raise NotFhir(
                "FHIR-READ-001",
                "",
                Text("Ce n'est pas un Bundle FHIR.", "This is not a FHIR Bundle."),
                Text("Envoyez un Bundle de type document.", "Send a Bundle of type document."),
                expected="Bundle",
            )
        self.root = Node(bundle, None, "")
        self.log = LossLog()
        self.findings: list[Finding] = []
        self.faults: list[UnreadableBundle] = []
        kind = self.root.text("type")
        if kind not in kinds:
            raise refuse(
                "FHIR-READ-002",
                "/type",
                "Ce Bundle n'est pas un document.",
                "This Bundle is not a document.",
                "Envoyez un Bundle de type document, son Composition en premier.",
                "Send a Bundle of type document, its Composition first.",
                expected=" | ".join(sorted(kinds)),
            )
        entries = bundle.get("entry")
        if type(entries) is list and len(entries) > MAX_ENTRIES:
            raise refuse(
                "FHIR-READ-008",
                "/entry",
                "Ce Bundle a trop d'entrées.",
                "This Bundle has too many entries.",
                "Découpez le document.",
                "Split the document.",
                found=str(len(entries)),
                expected=f"<= {MAX_ENTRIES}",
            )
        self.resources: list[Node] = []
        self.authors: set[int] = set()  #: resources that wrote the document
        self.date: str | None = None  #: the document's date
        self._by_reference: dict[str, Node] = {}
        self._used: set[int] = set()
        self._index(self.root.nodes("entry"))
        self._no_cycle()

    # -- entries ----------------------------------------------------------------------------------------------------

    def _index(self, entries: list[Node]) -> None:
        for entry in entries:
            address = entry.text("fullUrl")
            entry.use("link", "search", "request", "response")
            resource = entry.node("resource")
            if resource is None:
                continue
            if not resource.kind:
                raise wrong_type(f"{resource.place}/resourceType", "string")
            self.resources.append(resource)
            if address is not None:
                if address in self._by_reference:
                    raise refuse(
                        "FHIR-READ-010",
                        f"{entry.place}/fullUrl",
                        "Deux entrées ont la même adresse.",
                        "Two entries have the same address.",
                        "Donnez une adresse (fullUrl) à chaque ressource.",
                        "Give each resource an address of its own.",
                    )
                self._by_reference[address] = resource
        for resource in self.resources:
            key = resource.value.get("id")
            if isinstance(key, str):
                # A relative reference is to the resource of that type and id; the address wins when both exist.
                self._by_reference.setdefault(f"{resource.kind}/{key}", resource)
                self._by_reference.setdefault(f"urn:uuid:{key}", resource)
                self._by_reference.setdefault(f"#{key}", resource)

    def of_kind(self, kind: str) -> list[Node]:
        """The entries of a resource type, in order."""
        return [r for r in self.resources if r.kind == kind]

    def _target(self, reference: str, home: Node) -> Node | None:
        if reference.startswith("#"):
            contained = home.value.get("contained")
            if type(contained) is list:
                for i, resource in enumerate(contained):
                    if type(resource) is dict and resource.get("id") == reference[1:]:
                        return Node(resource, home, f"contained/{i}")
        found = self._by_reference.get(reference)
        if found is None and "/_history/" in reference:
            found = self._by_reference.get(reference.split("/_history/")[0])
        if found is None and "://" in reference:
            found = self._by_reference.get("/".join(reference.split("/")[-2:]))
        return found

    def resolve(self, node: Node, key: str, *, required: bool = False) -> Node | None:
        """The resource a Reference member is to; None when absent or logical (identifier only).

        A reference to nothing is a finding, and a fault when ``required``.
        """
        value = node.raw(key)
        return None if value is None else self._resolve(value, node, f"{node.place}/{key}", required=required)

    def resolve_all(self, node: Node, key: str) -> list[tuple[str, Any, Node | None]]:
        """The place, the value and the resource of each Reference of a list member."""
        value = node.raw(key)
        if value is None:
            return []
        if type(value) is not list:
            raise wrong_type(f"{node.place}/{key}", "array")
        places = [f"{node.place}/{key}/{i}" for i in range(len(value))]
        return [(p, v, self._resolve(v, node, p)) for p, v in zip(places, value, strict=True)]

    def _resolve(self, value: Any, node: Node, place: str, *, required: bool = False) -> Node | None:
        if type(value) is not dict:
            raise wrong_type(place, "object")
        reference = value.get("reference")
        if reference is None:
            return None
        if type(reference) is not str:
            raise wrong_type(f"{place}/reference", "string")
        home = node
        while home.parent is not None and not home.kind:
            home = home.parent
        found = self._target(reference, home)
        if found is not None:
            self._used.add(id(found))
            return found
        if required:
            raise UnreadableBundle(DANGLING.code, place, DANGLING.message, DANGLING.fix)
        self.findings.append(DANGLING.finding(place))
        return None

    def use(self, resource: Node) -> None:
        """Say that an entry is reached."""
        self._used.add(id(resource))

    # -- faults -----------------------------------------------------------------------------------------------------

    @contextmanager
    def gather(self, place: Callable[[], str]) -> Iterator[None]:
        """Keep a fault of one part, so that the others are read and told too."""
        try:
            yield
        except UnreadableBundle as fault:
            self.faults.append(fault)
        except ValidationError as exc:
            self.faults.append(contradictory(exc, place()))

    def attempt(self, make: Callable[[], T], node: Node) -> T:
        """Build a hub value, naming the place of a contradiction."""
        try:
            return make()
        except ValidationError as exc:
            raise contradictory(exc, node.place) from None

    def close(self) -> None:
        """Raise the faults gathered; note what nobody read."""
        if self.faults:
            first = self.faults[0]
            first.others = tuple(self.faults[1:])
            raise first
        for resource in self.resources:
            if id(resource) not in self._used:
                clinical = resource.kind not in _ADMINISTRATIVE
                self.log.lost(resource.place, resource.kind, _UNUSED, clinical=clinical)
                continue
            for place in resource.leftovers():
                safety = place.rsplit("/", 1)[-1] in ("modifierExtension", "implicitRules")
                self.log.lost(place, resource.kind, _UNKNOWN_ELEMENT, clinical=safety)

    def same_patient(self, patient: Node) -> None:
        """Refuse an entry about someone else than the document's patient."""
        for resource in self.resources:
            for key in ("subject", "patient"):
                value = resource.value.get(key)
                reference = value.get("reference") if type(value) is dict else None
                if type(reference) is str and self._target(reference, resource) is not patient:
                    self.faults.append(
                        refuse(
                            "FHIR-READ-030",
                            f"{resource.place}/{key}",
                            "Cette ressource porte sur un autre patient que le document, ou sur aucun.",
                            "This resource is about another patient than the document, or about none.",
                            "Référencez le Patient du document.",
                            "Refer to the Patient of the document.",
                        )
                    )

    # -- structure --------------------------------------------------------------------------------------------------

    def _no_cycle(self) -> None:
        """Refuse a resource that is a part of itself, however far; in time linear in the references."""
        edges: dict[int, list[Node]] = {}
        for resource in self.resources:
            for key in _PARTS.get(resource.kind, ()):
                for reference in _references(resource.value.get(key)):
                    target = self._target(reference, resource)
                    if target is not None and target.parent is not resource:
                        edges.setdefault(id(resource), []).append(target)
        done: set[int] = set()
        for start in self.resources:
            if id(start) in done or id(start) not in edges:
                continue
            path: set[int] = {id(start)}
            stack: list[tuple[Node, Iterator[Node]]] = [(start, iter(edges[id(start)]))]
            while stack:
                node, targets = stack[-1]
                following = next(targets, None)
                if following is None:
                    stack.pop()
                    path.discard(id(node))
                    done.add(id(node))
                elif id(following) in path:
                    raise refuse(
                        "FHIR-READ-007",
                        following.place,
                        "Des références en cycle : cette ressource fait partie d'elle-même.",
                        "Cyclic references: this resource is a part of itself.",
                        "Retirez la référence qui ferme le cycle.",
                        "Remove the reference that closes the cycle.",
                    )
                elif id(following) not in done and id(following) in edges:
                    path.add(id(following))
                    stack.append((following, iter(edges[id(following)])))


def _references(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        item = stack.pop()
        if type(item) is dict:
            reference = item.get("reference")
            if isinstance(reference, str):
                yield reference
            stack.extend(item.values())
        elif type(item) is list:
            stack.extend(item)


def contradictory(exc: ValidationError, place: str) -> UnreadableBundle:
    """The fault of content that the hub model refuses: out of format, or contradicting itself."""
    details = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors(include_input=False)[:5])
    return refuse(
        "FHIR-READ-020",
        place,
        "Le contenu est hors format ou se contredit.",
        "The content is out of format or contradicts itself.",
        "Corrigez l'élément nommé.",
        "Mend the element named.",
        expected=details,
    )
