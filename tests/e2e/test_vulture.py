"""What Tempo's own acceptance tool does: write traces by Jaeger's gRPC, and find them every way."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from support.flat_requests import read_request, whole
from support.jaeger import post_spans
from support.server import Server, running_server

POST_SPANS = "/jaeger.api_v2.CollectorService/PostSpans"
START_S = 1_700_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("data") / "store") as server:
        yield server


def make_batches(rng: random.Random) -> tuple[int, list[dict[str, Any]]]:
    """Make a trace of some processes, each with spans that carry random tags and logs."""
    trace = rng.getrandbits(127) + 1
    spans = [rng.getrandbits(63) + 1 for _ in range(12)]

    def tags() -> dict[str, Any]:
        return {f"vulture-{rng.randrange(100)}": f"{rng.getrandbits(40):x}" for _ in range(3)}

    def span(number: int) -> dict[str, Any]:
        return {
            "trace": trace,
            "id": spans[number],
            **({"parent": spans[rng.randrange(number)]} if number else {}),
            "name": f"op-{rng.randrange(50)}",
            "start_us": START_S * 1_000_000 + number,
            "duration_us": rng.randrange(1, 100_000),
            "tags": {**tags(), "n": rng.randrange(1000)},
            "logs": [(START_S * 1_000_000 + number + 1, tags())],
        }

    made = [span(number) for number in range(len(spans))]
    processes = [
        {"service_name": f"vulture-process-{n}", "tags": {"cluster": f"{n}"}} for n in range(3)
    ]
    return trace, [{"process": process, "spans": made[n::3]} for n, process in enumerate(processes)]


def expected(batches: list[dict[str, Any]]) -> dict[str, Any]:
    """What the trace must look like, read off the batches."""
    found = {}
    for batch in batches:
        process = batch["process"]
        for span in batch["spans"]:
            found[f"{span['id']:016x}"] = {
                "resource": {"service.name": process["service_name"], **process["tags"]},
                "scope": ("", ""),
                "trace": f"{span['trace']:032x}",
                "id": f"{span['id']:016x}",
                "parent": f"{span['parent']:016x}" if "parent" in span else "",
                "state": "",
                "name": span["name"],
                "kind": "unspecified",
                "start": span["start_us"] * 1000,
                "end": (span["start_us"] + span["duration_us"]) * 1000,
                "status": ("unset", ""),
                "attributes": {**span["tags"], "n": whole(span["tags"]["n"])},
                "events": [(at * 1000, "", fields) for at, fields in span["logs"]],
                "links": [],
            }
    return found


def get(server: Server, path: str, **params: Any) -> httpx.Response:
    reply = httpx.get(f"{server.api_url}{path}", params=params, timeout=30)
    assert reply.status_code == 200, reply.text
    return reply


@pytest.mark.parametrize("seed", [1, 2])
def test_a_trace_is_found_every_way(server: Server, seed: int) -> None:
    rng = random.Random(seed)
    trace, batches = make_batches(rng)
    with grpc.insecure_channel(server.jaeger_grpc) as channel:
        for batch in batches:
            channel.unary_unary(POST_SPANS)(post_spans(batch), timeout=30)
    window = {"start": START_S - 600, "end": START_S + 600}
    key, value = next(iter(batches[0]["spans"][0]["tags"].items()))

    whole_trace = httpx.get(
        f"{server.api_url}/api/traces/{trace:032x}",
        params=window,
        headers={"Accept": "application/protobuf"},
    )
    by_tags = get(server, "/api/search", tags=f"{key}={value}", **window).json()
    by_query = get(server, "/api/search", q=f'{{.{key} = "{value}"}}', **window).json()
    rate = get(
        server,
        "/api/metrics/query_range",
        q=f'{{.{key} = "{value}"}} | count_over_time()',
        step="60s",
        **window,
    ).json()

    assert {span["id"]: span for span in read_request(whole_trace.content)} == expected(batches)
    for found in (by_tags, by_query):
        assert [int(t["traceID"], 16) for t in found["traces"]] == [trace]
    samples = [s for series in rate["series"] for s in series["samples"]]
    assert sum(sample.get("value", 0) for sample in samples) == 1
