"""A trace by ID, filtered, as text and for language models, over HTTP."""

from collections.abc import Iterator

import httpx
import pytest
from support.otlp import request, span
from support.server import Server, running_server

BODY = request(
    resource={"service.name": "shop"},
    spans=[
        span(trace=0xAB, id=1, name="GET /", kind="server"),
        span(trace=0xAB, id=2, parent=1, name="call", kind="client", start_ms=1),
        span(trace=0xAB, id=2, parent=1, name="called", kind="server", start_ms=2),
        span(trace=0xAB, id=3, parent=2, name="query", attributes={"rows": 7}, start_ms=3),
    ],
)
FILTERED = "Trace filtered, only a subset of spans matching the filter is returned"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("data") / "store") as server:
        headers = {"Content-Type": "application/x-protobuf"}
        httpx.post(f"{server.otlp_http}/v1/traces", content=BODY, headers=headers)
        server.wait_until_decoded()
        yield server


def get(server: Server, accept: str = "", trace: str = "ab", **query: object) -> httpx.Response:
    url = f"{server.api_url}/api/v2/traces/{trace}"
    return httpx.get(url, params=query, headers={"Accept": accept or "*/*"}, timeout=30)  # type: ignore[arg-type]


def names(reply: httpx.Response) -> list[str]:
    groups = reply.json()["trace"].get("resourceSpans", ())
    return [s["name"] for g in groups for c in g["scopeSpans"] for s in c["spans"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"q": "{ span.rows = 7 }"}, ["query"]),
        (
            {"q": "{ span.rows = 7 }", "keep_hierarchy": "true"},
            ["GET /", "call", "called", "query"],
        ),
        ({"q": '{ name = "called" }', "match_depth": 1}, ["called", "query"]),
        ({"q": '{ name = "call" }'}, ["call"]),
        ({"q": '{ resource.service.name = "bank" }'}, []),
    ],
)
def test_a_filter_keeps_what_matches(
    server: Server, query: dict[str, object], expected: list[str]
) -> None:
    reply = get(server, **query)

    assert names(reply) == expected
    is_whole = len(expected) == 4
    assert reply.json().get("status") == (None if is_whole else "PARTIAL")
    assert reply.json().get("message") == (None if is_whole else FILTERED)


@pytest.mark.parametrize("query", ["{", "{} >> {}", "{} | count() > 1", "{ name > 1 }"])
def test_what_is_no_filter_is_refused(server: Server, query: str) -> None:
    reply = get(server, q=query)

    assert reply.status_code == 400
    assert reply.text.startswith("invalid TraceQL filter: ")


def test_a_tree_for_a_terminal(server: Server) -> None:
    reply = get(server, format="text")

    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.text.splitlines()[0].startswith(f"trace {'ab'.zfill(32)}  ")
    assert [line.split("shop")[1].strip() for line in reply.text.splitlines()[2:]] == [
        "GET /",
        "└─ call",
        "└─ called",
        "└─ query",
    ]


def test_a_trace_that_is_not_there_is_404_as_text_only(server: Server) -> None:
    as_text, plain = get(server, trace="cd", format="text"), get(server, trace="cd")

    assert (as_text.status_code, plain.status_code) == (404, 200)


def test_language_models_have_a_form_of_their_own(server: Server) -> None:
    reply = get(server, "application/vnd.grafana.llm")

    assert reply.headers["content-type"] == "application/vnd.grafana.llm+json"
    assert reply.json()["trace"]["services"][0]["serviceName"] == "shop"
    v1 = httpx.get(
        f"{server.api_url}/api/traces/ab", headers={"Accept": "application/vnd.grafana.llm"}
    )
    assert v1.headers["content-type"] == "application/vnd.grafana.llm+json"
    assert v1.json().keys() == {"batches"}
