"""The compactor of a real server: blocks become one, answers stay, pins and retention hold."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
from support.otlp import EPOCH_NS, request, span
from support.server import Server, running_server, wait_until

FLAGS = (
    "--compactor.compaction.compaction-cycle=0.3s",
    "--compactor.compaction.compacted-block-retention=1s",
    "--compactor.compaction.min-input-blocks=2",
)
NOW_S = 1_700_000_000  # long ago: the windows are closed


def send(server: Server, start_s: float, *spans: tuple[int, int, str]) -> None:
    """Send spans (trace, ID, name) and have them written as a block."""
    start_ms = start_s * 1e3 - EPOCH_NS / 1e6
    made = [span(trace=trace, id=id, name=name, start_ms=start_ms) for trace, id, name in spans]
    body = request(resource={"service.name": "shop"}, spans=made)
    headers = {"content-type": "application/x-protobuf"}
    answer = httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers)
    assert answer.status_code == 200
    assert httpx.post(f"{server.api_url}/flush", timeout=30).status_code == 204


def names(server: Server, trace: int) -> list[str]:
    answer = httpx.get(f"{server.api_url}/api/traces/{trace:032x}")
    if answer.status_code == 404:
        return []
    scopes = [s for batch in answer.json()["batches"] for s in batch["scopeSpans"]]
    return sorted(one["name"] for scope in scopes for one in scope["spans"])


def blocks(server: Server) -> float:
    return server.metric("tempodb_blocklist_length")


def test_blocks_become_one_and_their_objects_go(tmp_path: Path) -> None:
    retention = "--compactor.compaction.block-retention=100y"
    with running_server(tmp_path, *FLAGS, retention) as server:
        for number in range(3):
            send(server, NOW_S + number, (1, number + 1, f"part {number}"), (2 + number, 9, "own"))
        wait_until(lambda: blocks(server) == 1)
        assert names(server, 1) == ["part 0", "part 1", "part 2"]
        query = {"q": "{ } | count() = 3"}
        found = httpx.get(f"{server.api_url}/api/search", params=query).json()["traces"]
        assert [trace["traceID"] for trace in found] == ["1"]
        wait_until(lambda: len(list((tmp_path / "blocks").glob("*/*/meta.json"))) == 1)
        assert server.metric("tempodb_compaction_errors_total") == 0


def test_retention_pins_and_rules(tmp_path: Path) -> None:
    overrides = tmp_path / "overrides.yaml"
    overrides.write_text(
        "overrides: {'*': {compaction: {block_retention: 1h, retention_rules: {"
        "'{name=`kept`}': 876000h}}}}"
    )
    flag = f"--overrides.per-tenant-override-config={overrides}"
    with running_server(tmp_path / "data", *FLAGS, flag) as server:
        pin = f"{server.api_url}/api/traces/{1:032x}/pin"
        assert httpx.get(pin).status_code == 404
        assert httpx.post(pin).status_code == 201
        assert httpx.post(pin).status_code == 200
        assert httpx.get(pin).json()["pinned"] is True
        send(server, NOW_S, (1, 1, "pinned"), (2, 2, "gone"), (3, 3, "kept"))
        send(server, time.time(), (4, 4, "new"))  # noqa: TID251 - a real server's clock
        wait_until(lambda: names(server, 2) == [])
        assert names(server, 1) == ["pinned"]
        assert names(server, 3) == ["kept"]
        assert names(server, 4) == ["new"]
        assert httpx.delete(pin).status_code == 204
        assert httpx.get(pin).status_code == 404
