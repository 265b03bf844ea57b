"""Every documented question of ``evaluate``: the same members, and the same answer, by function, HTTP and command."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest
from typer.testing import CliRunner

from conformance.identity.evaluate import OPERATIONS, evaluate
from gateway import tenants
from gateway.app import create_app
from gateway.commands.identity import app as command
from gateway.context import Gateway
from gateway.runtime import open_gateway
from gateway.settings import Settings
from security.tokens import make_client_key

NIR, TEST = "1.2.250.1.213.1.4.8", "1.2.250.1.213.1.4.10"
SIDE = {
    "birth_name": "ADRUN",
    "first_given_name": "ZOE",
    "given_names": "ZOE",
    "sex": "F",
    "birth_date": "1975-12-31",
    "birth_place": "63220",
}
COMPARED = {"verdict", "reasons", "attended", "unattended"}
JUDGED = {"verdict", "code"}

#: Question, members of the answer, and the answer itself where it is short.
SHAPES: list[tuple[dict[str, Any], set[str], dict[str, Any] | None]] = [
    (
        {"op": "matricule", "value": "275126322074974", "authority": NIR, "environment": "production"},
        JUDGED,
        {"verdict": "valid", "code": None},
    ),
    (
        {"op": "matricule", "value": "275126322074975", "authority": NIR, "environment": "test"},
        JUDGED,
        {"verdict": "invalid", "code": "BAD_KEY"},
    ),
    (
        {"op": "matricule", "value": "221042545611404", "authority": TEST, "environment": "test"},
        JUDGED,
        {"verdict": "warning", "code": "BAD_KEY"},
    ),
    (
        {"op": "matricule", "value": "279035121518989", "authority": TEST, "environment": "production"},
        JUDGED,
        {"verdict": "invalid", "code": "rejected_test_oid"},
    ),
    (
        {"op": "normalise", "value": "D’Æion", "kind": "birth_name"},
        {"output", "code"},
        {"output": "D'AEION", "code": None},
    ),
    (
        {"op": "normalise", "value": "Jean--Marc", "kind": "given_name"},
        {"output", "code"},
        {"output": "JEAN--MARC", "code": "DOUBLE_HYPHEN_IN_GIVEN_NAME"},
    ),
    (
        {"op": "compare", "local": SIDE, "insi": SIDE},
        COMPARED,
        {"verdict": "MATCH_EXACT", "reasons": [], "attended": "accept", "unattended": "accept"},
    ),
    ({"op": "compare", "local": SIDE, "insi": SIDE | {"birth_name": "AUTRE"}}, COMPARED, None),
    (
        {"op": "transition", "start": {"status": "QUAL", "attributes": [], "ins": True}, "events": ["FEED_DMP"]},
        {"result", "end"},
        {"result": "ALLOWED", "end": {"status": "QUAL", "attributes": [], "ins": True}},
    ),
    (
        {
            "op": "transition",
            "start": {"status": "PROV", "attributes": [], "ins": False},
            "events": ["INSI_FOUND_ACCEPTED"],
        },
        {"result", "end"},
        {"result": None, "end": {"status": "RECUP", "attributes": [], "ins": True}},
    ),
    (
        {
            "op": "transition",
            "start": {"status": "PROV", "attributes": ["douteux"], "ins": False},
            "events": ["PROOF_HIGH_CHECKED"],
        },
        {"result", "end"},
        {
            "result": "STATUS_LOCKED_BY_ATTRIBUTE",
            "end": {"status": "PROV", "attributes": ["douteux"], "ins": False},
        },
    ),
    (
        {"op": "birth_date", "value": "1955-00-00"},
        {"output", "estimated", "code"},
        {"output": "1955-12-31", "estimated": True, "code": None},
    ),
    (
        {"op": "first_name", "first_given_name": "JEAN", "given_names": "JEAN CHRISTOPHE"},
        {"coherent"},
        {"coherent": True},
    ),
    (
        {
            "op": "datamatrix",
            "identity": {
                "matricule": "275126322074974",
                "oid": NIR,
                "given_names": "ZOE",
                "birth_name": "ADRUN",
                "sex": "F",
                "birth_date": "1975-12-31",
                "birth_place": "63220",
            },
        },
        {"payload"},
        {
            "payload": "IS010000000000000000000000S1275126322074974S21.2.250.1.213.1.4.8\x1d"
            "S3ZOE\x1dS4ADRUN\x1dS5FS631-12-1975S763220"
        },
    ),
    *(
        ({"op": "identifier", "kind": kind, "value": value}, JUDGED, {"verdict": "valid", "code": None})
        for kind, value in (
            ("rpps", "99700870589"),
            ("adeli", "991130972"),
            ("finess", "750712184"),
            ("siren", "732829320"),
            ("siret", "73282932000074"),
            ("ps_idnat", "899700870589"),
            ("struct_idnat", "1750803447"),
            ("cog", "63220"),
        )
    ),
]
IDS = [f"{question['op']}-{n}" for n, (question, _, _) in enumerate(SHAPES)]


def test_every_operation_has_a_shape_here() -> None:
    """The list of this module is that of the code."""
    assert {question["op"] for question, _, _ in SHAPES} == set(OPERATIONS)


@pytest.mark.parametrize(("question", "members", "answer"), SHAPES, ids=IDS)
def test_the_answer_has_the_members_announced(
    question: dict[str, Any], members: set[str], answer: dict[str, Any] | None
) -> None:
    """No member more, none less."""
    given = evaluate(question)
    assert set(given) == members
    assert answer is None or given == answer


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    """A gateway that knows one program, without any national service."""
    one = open_gateway(Settings(data_dir=tmp_path_factory.mktemp("shapes"), pool_processes=0))

    def register(connection: Any) -> None:
        now = datetime.now(UTC)
        tenant = tenants.add_tenant(
            connection, structure_id="1290099886", name="Cabinet", activity_sector="SA07", references={}, now=now
        )
        tenants.add_client(
            connection,
            client_id="vendor",
            name="vendor",
            jwks=make_client_key()[1],
            scopes=("identities:read",),
            acts_for=(tenant.id,),
            actors=None,
            now=now,
        )

    one.store.write_now(register)
    return one


def test_http_answers_alike_in_each_of_its_forms(gateway: Gateway) -> None:
    """One object, a list, JSON lines: what the function says, in the order asked."""
    asked = [question for question, _, _ in SHAPES]
    wanted = [evaluate(question) for question in asked]
    token, _ = gateway.tokens.issue(
        client_id="vendor", scopes=("identities:read",), tenants=[], now=datetime.now(UTC), jti="shapes"
    )

    async def ask() -> list[httpx.Response]:
        app = create_app(gateway=gateway)
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            headers = {"Authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
                path = "/v1/identities/evaluate"
                lines = b"\n".join(orjson.dumps(question) for question in asked)
                one = await client.post(path, json=asked[0])
                every = await client.post(path, json=asked)
                streamed = await client.post(path, content=lines, headers={"Content-Type": "application/x-ndjson"})
                return [one, every, streamed]

    one, every, streamed = asyncio.run(ask())
    assert [answer.status_code for answer in (one, every, streamed)] == [200, 200, 200]
    assert one.json() == wanted[0]
    assert every.json() == wanted
    assert [orjson.loads(line) for line in streamed.content.splitlines()] == wanted


def test_the_command_answers_alike() -> None:
    """``passerelle identity evaluate``: one line out for each line in."""
    asked = [question for question, _, _ in SHAPES]
    done = CliRunner().invoke(command, ["evaluate"], input=b"\n".join(orjson.dumps(question) for question in asked))
    assert done.exit_code == 0, done.output
    assert [orjson.loads(line) for line in done.stdout_bytes.splitlines()] == [evaluate(question) for question in asked]
