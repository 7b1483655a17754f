"""``tracestore retention plan``: what it says goes is what a compactor takes away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.otlp import request, span
from support.server import Server, running_server, wait_until

from tracestore.cli.main import main

OVERRIDES = """
overrides:
  acme:
    compaction:
      block_retention: 1h
      retention_rules:
        {status=error}: 876000h
        '{ name = "short" }': 30m
  other:
    compaction:
      block_retention: 876000h
      retention_rules:
        - {query: '{ name = "b" }', keep: 1h}
"""


def send(server: Server, tenant: str, *names: str) -> None:
    spans = [
        span(trace=number, id=1, name=name, status="error" if name == "bad" else None)
        for number, name in enumerate(names, start=1)
    ]
    body = request(resource={"service.name": "shop"}, spans=spans)
    headers = {"Content-Type": "application/x-protobuf", "X-Scope-OrgID": tenant}
    answer = httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers, timeout=60)
    assert answer.status_code == 200


def plan(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["retention", "plan", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def stored(server: Server, tenant: str) -> list[str]:
    url = f"{server.api_url}/api/search"
    headers = {"X-Scope-OrgID": tenant}
    found = httpx.get(url, params={"q": "{ }", "limit": 100}, headers=headers, timeout=60).json()
    return sorted(trace["rootTraceName"] for trace in found.get("traces", ()))


def test_what_is_planned_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides, data = tmp_path / "overrides.yaml", tmp_path / "data"
    overrides.write_text(OVERRIDES)
    flags = [
        "--multitenancy-enabled",
        f"--overrides.per-tenant-override-config={overrides}",
        "--compactor.compaction.compaction-cycle=0.3s",
    ]
    with running_server(data, *flags, "--compactor.disabled") as server:
        send(server, "acme", "plain", "bad", "short", "pinned")
        send(server, "other", "a", "b")
        pin = f"{server.api_url}/api/traces/4/pin"
        assert httpx.post(pin, headers={"X-Scope-OrgID": "acme"}).status_code == 201
        assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204

    where = [*flags[:2], f"--storage.path={data}"]
    planned = plan(capsys, *where)
    assert [(r["tenant"], r["rule"], r["traces"]) for r in planned["rules"]] == [
        ("acme", '{ name = "short" }', 1),
        ("acme", "block_retention", 1),
        ("acme", "{status=error}", 1),
        ("acme", "pinned", 1),
        ("other", '{ name = "b" }', 1),
        ("other", "block_retention", 1),
    ]
    now_ns = planned["now_ns"]
    due = [r["due_ns"] for r in planned["blocks"]]
    assert [d is not None and d <= now_ns for d in due] == [True, True, False, False, True, False]
    soon = plan(capsys, *where, "--within=0s", "--tenant=acme")
    assert [r["rule"] for r in soon["rules"]] == ['{ name = "short" }', "block_retention"]
    assert main(["retention", "plan", *where]) == 0
    assert "never" in capsys.readouterr().out

    with running_server(data, *flags) as server:
        wait_until(lambda: stored(server, "acme") == ["bad", "pinned"])
        wait_until(lambda: stored(server, "other") == ["a"])
    left = plan(capsys, *where, "--within=0s")
    assert left["rules"] == []
