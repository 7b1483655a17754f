"""The store's own traces: linked to those of its clients, and never an end in themselves."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import grpc
import httpx
from support.otlp import request, span
from support.server import OWN_GRPC, Server, running_server, wait_until
from support.tempopb import message, method

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
TRACED = (
    "--tracing.enabled=true",
    f"--tracing.otlp-url=http://{OWN_GRPC}",
    "--tracing.export-interval-s=0.05",
)


def spans_of(server: Server, trace_id: str) -> list[dict[str, object]]:
    body = httpx.get(f"{server.api_url}/api/v2/traces/{trace_id}").json()
    groups = body["trace"].get("resourceSpans", ())
    return [s for g in groups for c in g["scopeSpans"] for s in c["spans"]]


def test_a_query_is_part_of_its_clients_trace(tmp_path: Path) -> None:
    with running_server(tmp_path / "store", *TRACED) as server:
        headers = {"traceparent": TRACEPARENT}
        httpx.get(f"{server.api_url}/api/search", params={"q": "{ }"}, headers=headers)
        wait_until(lambda: len(spans_of(server, TRACE_ID)) >= 2)

        by_name = {str(s["name"]): s for s in spans_of(server, TRACE_ID)}
        assert by_name.keys() == {"GET api_search", "query"}
        assert by_name["query"]["parentSpanId"] == by_name["GET api_search"]["spanId"]
        assert by_name["GET api_search"]["kind"] == "SPAN_KIND_SERVER"


def test_a_stream_is_part_of_its_clients_trace(tmp_path: Path) -> None:
    with running_server(tmp_path / "store", *TRACED) as server:
        for number, target in enumerate((server.grpc, server.api_url.removeprefix("http://"))):
            trace_id = f"{number}{TRACE_ID[1:]}"
            metadata = (("traceparent", TRACEPARENT.replace(TRACE_ID, trace_id)),)
            with grpc.insecure_channel(target) as channel:
                for query in ("{}", "{ x"):
                    asked = message("SearchRequest")(Query=query)
                    call = method(channel, "Search")(asked, metadata=metadata, timeout=30)
                    with suppress(grpc.RpcError):  # the second is no TraceQL
                        list(call)
            wait_until(lambda wanted=trace_id: len(spans_of(server, wanted)) >= 4)

            names = sorted(str(s["name"]) for s in spans_of(server, trace_id))
            assert names == ["query", "query", *["tempopb.StreamingQuerier/Search"] * 2]


def test_storing_its_own_spans_makes_no_spans(tmp_path: Path) -> None:
    def received(server: Server) -> float:
        return server.metric("tempo_distributor_spans_received_total")

    with running_server(tmp_path / "store", *TRACED) as server:
        httpx.get(f"{server.api_url}/api/search", params={"q": "{ }"})
        wait_until(lambda: received(server) >= 2)
        before = received(server)
        deadline = time.monotonic() + 1.0  # twenty export intervals
        while time.monotonic() < deadline:
            httpx.get(f"{server.api_url}/ready")
            assert received(server) == before


def test_a_push_is_traced_only_for_a_sender_that_traces_it(tmp_path: Path) -> None:
    with running_server(tmp_path / "store", *TRACED) as server:

        def push(**headers: str) -> None:
            headers |= {"Content-Type": "application/x-protobuf"}
            body = request(spans=[span(trace=1, id=1)])
            httpx.post(f"{server.otlp_http}/v1/traces", content=body, headers=headers)

        push()
        push(traceparent=TRACEPARENT.replace("-01", "-00"))
        push(traceparent=TRACEPARENT)
        wait_until(lambda: len(spans_of(server, TRACE_ID)) >= 1)

        (pushed,) = spans_of(server, TRACE_ID)
        assert pushed["name"] == "otlp push"


def test_off_by_default(tmp_path: Path) -> None:
    with running_server(tmp_path / "store") as server:
        headers = {"traceparent": TRACEPARENT}
        httpx.get(f"{server.api_url}/api/search", params={"q": "{ }"}, headers=headers)

        assert server.metric("tempo_distributor_spans_received_total") == 0
