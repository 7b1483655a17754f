"""``tracestore block`` and ``tracestore usage`` on what servers leave: a bucket and a directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.otlp import request, span
from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures
from support.server import Server, running_server

from tracestore.cli.main import main


def send(server: Server, first: int, service: str, tenant: str) -> None:
    spans = [
        span(trace=first, id=number, name="pay", attributes={"user": f"user-{number}", "ok": True})
        for number in range(1, 4)
    ]
    body = request(resource={"service.name": service}, spans=spans)
    headers = {"Content-Type": "application/x-protobuf", "X-Scope-OrgID": tenant}
    answer = httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers, timeout=60)
    assert answer.status_code == 200


def flush(server: Server) -> None:
    assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204


def printed(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(list(words)) == code
    return capsys.readouterr().out


def read_json(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    return json.loads(printed(capsys, *words, "--json", code=code))


def test_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    with running_server(data, "--multitenancy-enabled") as server:
        send(server, 1, "shop", "acme")
        flush(server)
        send(server, 2, "bank", "acme")
        send(server, 3, "shop", "acme")
        send(server, 4, "mail", "other")
        flush(server)
    where = f"--data={data}"

    blocks = read_json(capsys, "block", "ls", where)
    assert [(one["tenant"], one["spans"], one["traces"]) for one in blocks] == [
        ("acme", 6, 2),
        ("acme", 3, 1),
        ("other", 3, 1),
    ]
    text = printed(capsys, "block", "ls", where, "--tenant=acme")
    assert "other" not in text
    assert "2 blocks, 9 spans" in text

    name = blocks[0]["id"]
    inspected = read_json(capsys, "block", "inspect", name, where)
    tables = {table["table"]: table for table in inspected["tables"]}
    assert {name: table["rows"] for name, table in tables.items()} == {
        "spans": 6,
        "events": 0,
        "links": 0,
        "traces": 2,
        "resources": 2,
        "scopes": 1,
    }
    assert (
        sum(table["stored_bytes"] for table in tables.values()) + inspected["filters_bytes"]
        == inspected["bytes"]
    )
    columns = {column["name"]: column for column in tables["spans"]["columns"]}
    assert columns["span.user"]["type"] == "string"
    assert (columns["span.user"]["values"], columns["span.user"]["distinct"]) == (6, 3)
    assert (columns["span.ok"]["type"], columns["span.ok"]["distinct"]) == ("bool", 1)
    fast = read_json(capsys, "block", "inspect", name, where, "--fast")
    columns = {column["name"]: column for column in fast["tables"][0]["columns"]}
    assert (columns["span.user"]["distinct"], columns["flags"]["distinct"]) == (3, None)
    assert "span.user" in printed(capsys, "block", "inspect", name, where)

    usage = read_json(capsys, "usage", where)["tenants"]
    assert [(one["tenant"], one["blocks"], one["spans"]) for one in usage] == [
        ("acme", 2, 9),
        ("other", 1, 3),
    ]
    for one in usage:
        assert one["bytes"] == sum(part["bytes"] for part in one["attributes"] + one["columns"])
        estimated = sum(part["bytes_estimated"] for part in one["services"])
        assert abs(one["bytes"] - estimated) <= len(one["services"])
    assert {one["service"]: one["spans"] for one in usage[0]["services"]} == {"shop": 6, "bank": 3}
    assert {"span", "resource"} == {one["scope"] for one in usage[0]["attributes"]}
    text = printed(capsys, "usage", where, "--top=1")
    assert "services of acme, in proportion to spans:" in text
    assert "more service: --top 0 shows all" in text

    assert [one["problems"] for one in read_json(capsys, "block", "verify", where)] == [[], [], []]
    spans = data / "blocks" / "acme" / name / "spans.parquet"
    content = bytearray(spans.read_bytes())
    content[-20] ^= 1
    spans.write_bytes(content)
    (found,) = read_json(capsys, "block", "verify", name, where, code=1)
    assert "checksum" in found["problems"][0]["text"]
    assert "problem: " in printed(capsys, "block", "verify", where, "--tenant=acme", code=1)
    assert "sound" in printed(capsys, "block", "verify", where, "--tenant=other")


def test_a_bucket(
    tmp_path: Path,
    s3: S3Place,  # noqa: F811 - the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = s3.flags()
    with running_server(tmp_path, *where) as server:
        send(server, 1, "shop", "")
        flush(server)
        (block,) = read_json(capsys, "block", "ls", *where)
        assert read_json(capsys, "block", "verify", *where)[0]["problems"] == []
        assert read_json(capsys, "usage", *where)["tenants"][0]["spans"] == 3
        inspected = read_json(capsys, "block", "inspect", block["id"][:20], *where)
        assert inspected["spans"] == 3
    s3.store().delete(f"blocks/single-tenant/{block['id']}/links.parquet")
    (found,) = read_json(capsys, "block", "verify", *where, code=1)
    assert found["problems"][0]["text"] == "the object is missing"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["block", "look"], "unknown command block look"),
        (["block", "inspect"], "name one block"),
        (["block", "inspect", "0190"], "no block 0190 is in the index"),
        (["block", "ls", "--tenant=nobody"], "tenant nobody has no blocks"),
        (["block", "ls", "--output=xml"], "expected text or json"),
        (["usage", "--top=many"], "expected a whole number"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, f"--data={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_nothing_there_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_json(capsys, "block", "ls", f"--data={tmp_path}") == []
    assert printed(capsys, "block", "verify", f"--data={tmp_path}") == "no blocks\n"
    assert read_json(capsys, "usage", f"--data={tmp_path}") == {"tenants": []}
