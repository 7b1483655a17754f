"""TraceQL metrics of a running server: live, flushed, and the words of what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from support.otlp import EPOCH_NS, request_of
from support.reference_dataset import TRACES
from support.server import Server, running_server

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
T0 = EPOCH_NS // 10**9
TEMPO_FIELDS = {"series", "metrics"}
STATS = {
    "inspectedTraces",
    "inspectedBytes",
    "totalBlocks",
    "completedJobs",
    "totalJobs",
    "totalBlockBytes",
    "inspectedSpans",
}


def send(server: Server, letters: str) -> None:
    with grpc.insecure_channel(server.otlp_grpc) as channel:
        for letter in letters:
            body = request_of(TRACES[letter])
            channel.unary_unary(EXPORT)(body, timeout=30)
    server.wait_until_decoded()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The reference data set: two blocks and live tables, one trace sent twice."""
    with running_server(tmp_path_factory.mktemp("data") / "store") as server:
        for letters in ("AB", "CB"):
            send(server, letters)
            assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204
        send(server, "DE")
        yield server


def get(server: Server, path: str = "query_range", **query: object) -> httpx.Response:
    url = f"{server.api_url}/api/metrics/{path}"
    return httpx.get(url, params=query, timeout=30)  # type: ignore[arg-type]


def answer(server: Server, text: str, path: str = "query_range", **query: object) -> Any:
    asked = {"q": text, "start": T0, "end": T0 + 180, "step": "60s"} | query
    response = get(server, path, **asked)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def test_a_range_has_a_sample_for_each_interval(server: Server) -> None:
    body = answer(server, "{ status = error } | rate() by(kind)", step="60")

    assert set(body) == TEMPO_FIELDS
    assert set(body["metrics"]) <= STATS
    assert body["metrics"]["totalJobs"] == body["metrics"]["completedJobs"] == 3
    kinds = [series["labels"] for series in body["series"]]
    assert kinds[0] == [{"key": "kind", "value": {"stringValue": "client"}}]
    assert [label[0]["value"]["stringValue"] for label in kinds] == [
        "client",
        "consumer",
        "internal",
        "server",
    ]
    assert body["series"][0]["samples"] == [
        {"timestampMs": f"{T0}000"},
        {"timestampMs": f"{T0 + 60}000", "value": 0.05},
        {"timestampMs": f"{T0 + 120}000"},
        {"timestampMs": f"{T0 + 180}000"},
    ]


def test_an_instant_has_one_value_and_nothing_else(server: Server) -> None:
    body = answer(server, "{ status = error } | count_over_time()", "query", step="nonsense")

    assert set(body) == TEMPO_FIELDS
    assert body["series"] == [
        {"labels": [{"key": "__name__", "value": {"stringValue": "count_over_time"}}], "value": 6}
    ]


def test_without_data_there_are_no_series_but_zeros(server: Server) -> None:
    assert answer(server, '{ name = "nosuch" } | rate() by(name)')["series"] == []
    (series,) = answer(server, '{ name = "nosuch" } | rate()')["series"]
    assert series["samples"] == [{"timestampMs": f"{T0 + 60 * n}000"} for n in range(4)]
    assert "exemplars" not in series


def test_exemplars_open(server: Server) -> None:
    body = answer(server, "{ span.retries > 0 } | max_over_time(duration) by(resource.env)")

    exemplars = [one for series in body["series"] for one in series["exemplars"]]
    assert len(exemplars) == 4  # one per trace: A, B, D, E
    for exemplar in exemplars:
        labels = {label["key"]: label["value"] for label in exemplar["labels"]}
        assert set(labels) >= {"trace:id", "span.retries", "duration", "resource.env"}
        assert exemplar["value"] > 0
        trace_id = labels["trace:id"]["stringValue"]
        found = httpx.get(f"{server.api_url}/api/v2/traces/{trace_id}", timeout=30).json()
        starts = {
            int(span["startTimeUnixNano"]) // 10**6
            for group in found["trace"]["resourceSpans"]
            for scoped in group["scopeSpans"]
            for span in scoped["spans"]
        }
        assert int(exemplar["timestampMs"]) in starts


@pytest.mark.parametrize(
    ("tail", "query", "count"),
    [
        ("", {}, 5),
        ("", {"exemplars": 2}, 2),
        ("", {"exemplars": 0}, 5),
        (" with(exemplars=false)", {"exemplars": 7}, 0),
        (" with(exemplars=3)", {"exemplars": 7}, 3),
        (" with(exemplars=true)", {}, 5),
    ],
)
def test_exemplars_are_as_many_as_asked_for(
    server: Server, tail: str, query: dict[str, object], count: int
) -> None:
    (series,) = answer(server, f"{{}} | rate(){tail}", step="10s", **query)["series"]
    assert len(series.get("exemplars", [])) == count


def test_too_many_series_are_cut_off_and_it_says_so(server: Server) -> None:
    whole = answer(server, "{} | count_over_time() by(kind)")
    body = answer(server, "{} | count_over_time() by(kind)", maxSeries=2)

    assert body["status"] == "PARTIAL"
    assert body["message"] == (
        "Response exceeds maximum series limit of 2, a partial response is returned. "
        "Warning: the accuracy of each individual value is not guaranteed."
    )
    assert [s["samples"] for s in body["series"]] == [s["samples"] for s in whole["series"][:2]]
    assert "status" not in answer(server, "{} | count_over_time() by(kind)", maxSeries=5)


def test_what_was_just_sent_is_counted(server: Server) -> None:
    """Nothing is cut off at the end, and an absent end is now."""
    body = get(server, q="{} | count_over_time()", since="1d").json()
    assert body["series"][0]["samples"][-1]


RANGE = {"start": T0, "end": T0 + 180}


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"start": 5, "end": 5}, "end must be greater than start"),
        ({"start": T0, "end": T0 - 1}, "end must be greater than start"),
        (
            {"start": T0, "end": T0 + 86401},
            "metrics query time range exceeds the maximum allowed duration of 24h0m0s",
        ),
        (
            {"start": T0, "end": T0 + 86400, "step": "1ms"},
            "step of 1ms is too small, minimum step for given range is 8.64s",
        ),
        (
            RANGE | {"step": "0"},
            "step of 0s is too small, minimum step for given range is 18ms",
        ),
        (RANGE | {"step": "-1s"}, 'cannot parse "-1s": step must be positive'),
        (RANGE | {"step": "x"}, 'cannot parse "x" to a valid duration'),
        (
            {"start": "x"},
            (
                "rpc error: code = Code(400) desc = could not parse 'start' parameter: "
                'parsing time "x" as "2006-01-02T15:04:05.999999999Z07:00": '
                'cannot parse "x" as "2006"'
            ),
        ),
        (
            {"since": "x"},
            (
                "rpc error: code = Code(400) desc = could not parse 'since' parameter: "
                'not a valid duration string: "x"'
            ),
        ),
        (RANGE | {"q": "{}"}, "not a metrics query"),
        (
            RANGE | {"q": "{"},
            (
                "parse error at line 1, col 2: syntax error: unexpected end of input; "
                "expected a value, - or } …"
            ),
        ),
        (
            RANGE | {"q": "{} | quantile_over_time(duration, 1.5)"},
            "compiling query: quantile must be between 0 and 1: 1.5",
        ),
        (
            RANGE | {"q": "{} | compare({}, 0)"},
            "compiling query: compare() top number of values must be an integer between 1 and 1000",
        ),
        (
            RANGE | {"q": "{} | rate() by(.a, .b, .c, .d, .e, .f)"},
            "compiling query: rate() by more than 5 labels is not yet supported",
        ),
    ],
)
@pytest.mark.parametrize("path", ["query_range", "query"])
def test_refusals_say_what_is_wrong(
    server: Server, path: str, query: dict[str, object], text: str
) -> None:
    response = get(server, path, **({"q": "{} | rate()"} | query))

    if path == "query" and "step" in query:
        assert response.status_code == 200
        return
    assert response.status_code == 400
    is_parsed = "parse error" in text and path == "query"
    expected = f"compiling query: {text}" if is_parsed else text
    if expected.endswith("…"):
        assert response.text.startswith(expected[: expected.index("expected")])
    else:
        assert response.text == expected
