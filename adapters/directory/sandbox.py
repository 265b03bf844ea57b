"""A simulated directory: practitioners and structures who do not exist, and the searches the client needs."""

from __future__ import annotations

import time
from collections import deque
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.sandbox_base import Faults, Journal, Listener, admin_app
from adapters.simulator import Simulator

__all__ = ["API_KEY", "DirectorySandbox"]

API_KEY = "sandbox-key"
_FAULTS = {"unavailable": "answers 503", "too_many": "answers 429 with Retry-After", "html": "answers a page"}
_EMAIL = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-contact-point-email-type"
_BOX = "https://interop.esante.gouv.fr/ig/fhir/annuaire/StructureDefinition/as-ext-mailbox-mss-metadata"
_G15 = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"


def _mailbox(address: str, kind: str, *, red: bool = False) -> dict[str, Any]:
    return {
        "system": "email",
        "value": address,
        "extension": [
            {"url": _EMAIL, "valueCoding": {"code": "MSSANTE"}},
            {
                "url": _BOX,
                "extension": [{"url": "type", "valueCode": kind}, {"url": "listeRouge", "valueBoolean": red}],
            },
        ],
    }


_ORGANIZATIONS: dict[str, dict[str, Any]] = {
    "o1": {
        "resourceType": "Organization",
        "id": "o1",
        "active": True,
        "name": "CABINET FICTIF",
        "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "1290099886"}],
        "telecom": [
            _mailbox("cabinet@structure.formation.mssante.fr", "ORG"),
            {"system": "email", "value": "contact@cabinet-fictif.example"},
        ],
    },
    "o2": {
        "resourceType": "Organization",
        "id": "o2",
        "active": True,
        "name": "HOPITAL FICTIF",
        "identifier": [{"system": "https://finess.esante.gouv.fr", "value": "590780193"}],
        "telecom": [_mailbox("cardiologie@hopital.formation.mssante.fr", "ORG")],
    },
    "o3": {
        "resourceType": "Organization",
        "id": "o3",
        "active": True,
        "name": "PHARMACIE FICTIVE",
        "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "1750803447"}],
        "telecom": [_mailbox("officine@pharmacien.formation.mssante.fr", "ORG")],
    },
}
_PRACTITIONERS: dict[str, dict[str, Any]] = {
    "p1": {
        "resourceType": "Practitioner",
        "id": "p1",
        "active": True,
        "identifier": [
            {"system": "https://rpps.esante.gouv.fr", "value": "99700218896"},
            {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "899700218896"},
        ],
        "name": [{"family": "KERVELLA", "given": ["Odile"]}],
        "telecom": [_mailbox("odile.kervella@medecin.formation.mssante.fr", "PER")],
    },
    "p2": {
        "resourceType": "Practitioner",
        "id": "p2",
        "active": True,
        "identifier": [{"system": "https://rpps.esante.gouv.fr", "value": "10456789014"}],
        "name": [{"family": "LE GOFF", "given": ["Erwan"]}],
        "telecom": [_mailbox("rouge@medecin.formation.mssante.fr", "PER", red=True)],
    },
    "p3": {
        "resourceType": "Practitioner",
        "id": "p3",
        "active": False,
        "identifier": [{"system": "https://rpps.esante.gouv.fr", "value": "10112233449"}],
        "name": [{"family": "ANCIEN", "given": ["Paul"]}],
    },
    "p4": {
        "resourceType": "Practitioner",
        "id": "p4",
        "active": True,
        "identifier": [{"system": "https://rpps.esante.gouv.fr", "value": "10123456781"}],
        "name": [{"family": "MORVAN", "given": ["Yann"]}],
    },
    # Retired from every place, and still with a mailbox of her own.
    "p5": {
        "resourceType": "Practitioner",
        "id": "p5",
        "active": True,
        "identifier": [{"system": "https://rpps.esante.gouv.fr", "value": "10098765430"}],
        "name": [{"family": "TANGUY", "given": ["Soizic"]}],
        "telecom": [_mailbox("soizic.tanguy@medecin.formation.mssante.fr", "PER")],
    },
}
_ROLES: list[dict[str, Any]] = [
    {
        "resourceType": "PractitionerRole",
        "id": f"r{number}",
        "active": True,
        "practitioner": {"reference": f"Practitioner/{person}"},
        "organization": {"reference": f"Organization/{place}"},
        "code": [{"coding": [{"system": _G15, "code": "21" if person == "p4" else "10"}]}],
        "telecom": boxes,
    }
    for number, (person, place, boxes) in enumerate(
        [
            ("p1", "o1", [_mailbox("odile.kervella.cabinet@medecin.formation.mssante.fr", "PER")]),
            ("p2", "o1", []),
            ("p2", "o2", [_mailbox("erwan.legoff@hopital.formation.mssante.fr", "PER")]),
            ("p3", "o1", []),
            ("p4", "o3", []),
        ],
        1,
    )
]


class DirectorySandbox(Simulator):
    """The simulated directory; ``start`` takes its ports (0 for free ones), ``stop`` gives them back."""

    def __init__(
        self, *, port: int = 0, api_port: int = 0, host: str = "127.0.0.1", calls_per_second: int = 17
    ) -> None:
        self.journal = Journal()
        self.faults = Faults(_FAULTS)
        super().__init__(port, api_port, host=host)
        self._limit = calls_per_second
        self._recent: deque[float] = deque()

    def _listeners(self) -> list[Listener]:
        fhir = Starlette(routes=[Route("/fhir/v2/{resource}/_search", self._search, methods=["POST"])])
        admin = admin_app("Simulateur Annuaire Santé", self.journal, self.faults)
        return [
            Listener(app=fhir, host=self._host, port=self._wanted[0]),
            Listener(app=admin, host=self._host, port=self._wanted[1]),
        ]

    @property
    def base_url(self) -> str:
        """Base of the FHIR interface."""
        return f"http://{self._host}:{self._ports()[0]}/fhir/v2"

    async def _search(self, request: Request) -> Response:
        resource = request.path_params["resource"]
        body = await request.body()
        now = time.monotonic()
        while self._recent and now - self._recent[0] > 1:
            self._recent.popleft()
        self._recent.append(now)
        fault = self.faults.take(resource)
        if request.headers.get("esante-api-key") != API_KEY:
            return self._answer(resource, 401, body, _outcome("login"))
        if fault is not None and fault.name == "unavailable":
            return self._answer(resource, 503, body, _outcome("transient"))
        if fault is not None and fault.name == "html":
            return Response("<html>panne</html>", 200, media_type="text/html")
        if (fault is not None and fault.name == "too_many") or len(self._recent) > self._limit:
            return self._answer(resource, 429, body, _outcome("throttled"), {"Retry-After": "1"})
        asked = parse_qs(body.decode())
        found = _find(resource, asked)
        if found is None:
            return self._answer(resource, 400, body, _outcome("not-supported"))
        bundle = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(found),
            "entry": [{"resource": one} for one in found],
        }
        return self._answer(resource, 200, body, bundle)

    def _answer(
        self, resource: str, status: int, request: bytes, value: object, headers: dict[str, str] | None = None
    ) -> Response:
        body = orjson.dumps(value)
        self.journal.record(resource, f"http_{status}", request=request, response=body, status=status)
        return Response(body, status, media_type="application/fhir+json", headers=headers)


def _outcome(code: str) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code}]}


def _find(resource: str, asked: dict[str, list[str]]) -> list[dict[str, Any]] | None:
    if resource == "PractitionerRole" and "practitioner.identifier" in asked:
        wanted = asked["practitioner.identifier"][0].rpartition("|")[2]
        people = {key for key, one in _PRACTITIONERS.items() if any(i["value"] == wanted for i in one["identifier"])}
        roles = [r for r in _ROLES if r["practitioner"]["reference"].rpartition("/")[2] in people]
        included = [_PRACTITIONERS[key] for key in sorted(people)] if roles else []
        places = sorted({r["organization"]["reference"].rpartition("/")[2] for r in roles})
        return [*roles, *included, *(_ORGANIZATIONS[key] for key in places)]
    if resource == "Practitioner" and "identifier" in asked:
        wanted = asked["identifier"][0].rpartition("|")[2]
        return [one for one in _PRACTITIONERS.values() if any(i["value"] == wanted for i in one["identifier"])]
    if resource == "Organization" and "identifier" in asked:
        wanted = asked["identifier"][0]
        return [
            one
            for one in _ORGANIZATIONS.values()
            if any(i["value"] in (wanted, f"1{wanted}", f"2{wanted}", f"3{wanted}") for i in one["identifier"])
        ]
    if resource == "Organization" and "mailbox-mss:exact" in asked:
        wanted = asked["mailbox-mss:exact"][0]
        return [one for one in _ORGANIZATIONS.values() if any(t["value"] == wanted for t in one["telecom"])]
    return None
