"""``tracestore sampling try`` says of stored traces what a server with that policy would do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.otlp import request, span
from support.sampling import is_kept_by
from support.server import running_server

from tracestore.cli.main import main

POLICY = """
sampling: [{keep: '{status=error}'}, {keep: '{trace:duration > 2s}'}, {keep_ratio: 0.25}]
drop: '{span.http.target = "/health"}'
"""
TRACES = 80
KEPT = {n for n in range(1, TRACES + 1) if is_kept_by(0.25, n.to_bytes(16, "big"))}


def parts() -> list[bytes]:
    """Two blocks: trace 101 is slow, and 102 has an error, only with its part in the second."""
    first = [span(trace=n, id=1) for n in range(1, TRACES + 1)]
    first += [span(trace=n, id=1) for n in (101, 102)]
    first += [span(trace=103, id=1, attributes={"http.target": "/health"}, status="error")]
    second = [
        span(trace=101, id=2, start_ms=3000),
        span(trace=102, id=2, status="error"),
        span(trace=104, id=1, status="error"),
    ]
    return [request(resource={"service.name": "shop"}, spans=each) for each in (first, second)]


def tried(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["sampling", "try", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_policy_is_tried_on_what_is_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, policy = tmp_path / "data", tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    with running_server(data, "--compactor.disabled") as server:
        headers = {"Content-Type": "application/x-protobuf"}
        for body in parts():
            sent = httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers)
            assert sent.status_code == 200
            assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204
    where = [f"--data={data}", f"--policy={policy}"]

    found = tried(capsys, *where)
    rules = {(r["rule"], r["decision"]): (r["traces"], r["spans"]) for r in found["rules"]}
    assert rules == {
        ('drop: {span.http.target = "/health"}', "drop"): (1, 1),
        ("keep: {status=error}", "keep"): (2, 3),
        ("keep: {trace:duration > 2s}", "keep"): (1, 2),
        ("keep_ratio: 0.25", "keep"): (len(KEPT), len(KEPT)),
        ("keep_ratio: 0.25", "drop"): (TRACES - len(KEPT), TRACES - len(KEPT)),
    }
    (total,) = found["totals"]
    assert total["kept_traces"] == len(KEPT) + 3
    assert total["dropped_spans"] == TRACES - len(KEPT) + 1
    stored = sum(path.stat().st_size for path in data.glob("blocks/*/*/*")) - sum(
        path.stat().st_size for path in data.glob("blocks/*/*/meta.json")
    )
    assert total["kept_bytes"] + total["dropped_bytes"] == pytest.approx(stored, abs=20)
    assert 0 < total["saved_share"] < 1

    assert main(["sampling", "try", *where]) == 0
    text = capsys.readouterr().out
    assert f"kept {len(KEPT) + 3} traces of {TRACES + 4}" in text
    assert tried(capsys, *where, "--last=24h")["totals"][0]["kept_traces"] == 0

    config = tmp_path / "config.yaml"
    config.write_text("overrides: {defaults: {drop: '{ status = error }'}}")
    own = tried(capsys, f"--data={data}", f"--config={config}")
    assert [(r["rule"], r["decision"], r["traces"]) for r in own["rules"]] == [
        ("drop: { status = error }", "drop", 3),
        ("(no rule)", "keep", TRACES + 1),
    ]
    for given, text in (
        ("[{keep: '{status=error}'}, {keep_ratio: 0}]", None),
        ("sampling: [{keep_ratio: 2}]", "policy.yaml:1: sampling: entry 'keep_ratio: 2'"),
        ("samplin: []", "samplin"),
        ("sampling: []", "there is no sampling policy"),
        ("{sampling: [], server: {}}", "unknown key server"),
    ):
        policy.write_text(given)
        if text is None:
            assert tried(capsys, *where)["totals"][0]["kept_traces"] == 3
        else:
            assert main(["sampling", "try", *where]) == 1
            assert text in capsys.readouterr().err
    assert main(["sampling", "try", f"--data={data}"]) == 1
    assert "no tenant has a sampling policy" in capsys.readouterr().err
