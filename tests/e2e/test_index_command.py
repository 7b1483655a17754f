"""``tracestore index`` on what servers leave: a bucket with one that runs, and a data directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.otlp import request, span
from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures
from support.server import Server, running_server

import tracestore
from tracestore.cli.main import main


def send(server: Server, trace: int) -> None:
    body = request(resource={"service.name": "shop"}, spans=[span(trace=trace, id=1, name="pay")])
    headers = {"Content-Type": "application/x-protobuf"}
    answer = httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers, timeout=60)
    assert answer.status_code == 200
    assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204


def checked(capsys: pytest.CaptureFixture[str], where: list[str], *, code: int) -> dict[str, Any]:
    assert main(["index", "check", *where, "--output=json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_bucket(
    tmp_path: Path,
    s3: S3Place,  # noqa: F811 - the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = s3.flags()
    with running_server(tmp_path, *where) as server:
        send(server, 1)
        send(server, 2)
        found = checked(capsys, where, code=0)
        assert found["blocks"] == 2
        assert [(one["wal"], one["answers"]) for one in found["writers"]] == [("disk", True)]
        writer = found["writers"][0]["id"]

        assert main(["index", "rebuild", *where]) == 1
        assert "servers are running" in capsys.readouterr().err
        assert main(["index", "forget-writer", writer, "--yes", *where]) == 1
        assert "is alive" in capsys.readouterr().err
        send(server, 3)
        server.kill()
    assert checked(capsys, where, code=0)["writers"][0]["answers"] is False

    store = s3.store()
    for info in list(store.list("index/")):
        store.delete(info.key)
    blocks = [info.key for info in store.list("blocks/") if info.key.endswith("meta.json")]
    assert main(["index", "rebuild", *where, "--output=json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["blocks"], report["was_whole"], len(blocks)) == (3, False, 3)
    assert checked(capsys, where, code=0)["blocks"] == 3
    store.delete(blocks[0])
    assert checked(capsys, where, code=1)["problems"] == [
        {"key": blocks[0], "text": "the object is missing"}
    ]


def test_a_writer_whose_disk_is_lost(
    tmp_path: Path,
    s3: S3Place,  # noqa: F811 - the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = s3.flags()
    with running_server(tmp_path, *where) as server:
        writer = checked(capsys, where, code=0)["writers"][0]["id"]
        server.kill()

    assert main(["index", "forget-writer", *where]) == 1
    assert "name the writer" in capsys.readouterr().err
    assert main(["index", "forget-writer", "nobody", *where]) == 1
    assert f"open are: {writer}" in capsys.readouterr().err
    assert main(["index", "forget-writer", writer, *where]) == 1
    assert "are given up for ever; --yes" in capsys.readouterr().err
    assert len(checked(capsys, where, code=0)["writers"]) == 1
    assert main(["index", "forget-writer", writer, *where, "--yes"]) == 0
    assert "is forgotten by commit" in capsys.readouterr().out
    assert checked(capsys, where, code=0)["writers"] == []


def test_a_data_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_server(tmp_path) as server:
        send(server, 1)
        data = ["--data", str(next(tmp_path.rglob("index")).parent)]
        assert checked(capsys, data, code=0)["blocks"] == 1
        assert main(["index", "rebuild", *data]) == 1
        assert "in use by process" in capsys.readouterr().err
    (first,) = (Path(data[1]) / "index").glob("*1.json")
    first.write_bytes(b"{")
    assert main(["index", "check", *data]) == 1
    assert f"problem: index/{first.name}: index object is not JSON" in capsys.readouterr().out
    assert main(["index", "rebuild", *data]) == 0
    assert "commit 2 begins the index anew: 1 block" in capsys.readouterr().out
    assert main(["index", "check", *data]) == 0
    assert "0 problems found" in capsys.readouterr().out
    assert len(tracestore.open(data[1]).search("{}").traces) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["what"], "unknown command index what, known are check, rebuild, forget-writer"),
        (["check", "--data"], "--data needs a value"),
        (["check", "--data=s3://"], "names no bucket"),
        (["check", "--data=no/such/directory"], "there is no data directory no/such/directory"),
        (["rebuild", "--data=no/such/directory"], "there is no data directory no/such/directory"),
        (["check", "--output=yaml"], "expected text or json"),
        (["check", "--nonsense"], "nonsense"),
    ],
)
def test_mistakes_are_told(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", *words]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--help"], ["check", "--help"], ["rebuild", "-h"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", *words]) == 0
    assert "usage: tracestore index check" in capsys.readouterr().out
