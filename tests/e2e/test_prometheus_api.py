"""PromQL over stored spans by HTTP, held against a real Prometheus with what a generator counts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from support.dashboards import DASHBOARDS, expressions, load
from support.naive_metrics_generator import Range, spans_of
from support.otlp import EPOCH_NS
from support.prometheus_history import (
    SAMPLE_S,
    counters_of,
    open_metrics,
    running_history,
    scraped,
)
from support.prometheus_queries import GRAFANA, TABLES
from support.server import Server, running_server
from support.visits import visits

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
T0 = EPOCH_NS // 10**9
LENGTH_S = 600
END = T0 + LENGTH_S


REQUESTS = visits(7, LENGTH_S)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A block, and as many spans in live tables."""
    keep = "--compactor.compaction.block-retention=100y"
    with running_server(tmp_path_factory.mktemp("data") / "store", keep) as server:
        with grpc.insecure_channel(server.otlp_grpc) as channel:
            for place, body in enumerate(REQUESTS):
                if place == len(REQUESTS) // 2:
                    server.wait_until_decoded()
                    assert httpx.post(f"{server.api_url}/flush", timeout=60).status_code == 204
                channel.unary_unary(EXPORT)(body, timeout=30)
        server.wait_until_decoded()
        yield server


@pytest.fixture(scope="module")
def prometheus(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a generator counts of the same spans, and what the server says of itself."""
    over = Range(EPOCH_NS, SAMPLE_S * 10**9, LENGTH_S // SAMPLE_S)
    ask(own(server), "query", query="1")  # so that queries were counted
    own_metrics = httpx.get(f"{server.api_url}/metrics", timeout=60).text
    samples = scraped(own_metrics, [END - 15, END]) + open_metrics(
        counters_of(spans_of(REQUESTS), over), over
    )
    with running_history(tmp_path_factory.mktemp("prometheus"), samples) as found:
        yield found.url


def ask(url: str, path: str, **form: object) -> Any:
    """Ask as Grafana does: a form in the body."""
    response = httpx.post(f"{url}/api/v1/{path}", data=form, timeout=60)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("application/json")
    body = response.json()
    assert body["status"] == "success"
    return body["data"]


def own(server: Server) -> str:
    return f"{server.api_url}/prometheus"


def by_labels(data: Any) -> dict[tuple[tuple[str, str], ...], list[tuple[float, float]]]:
    """Get the samples of each series; a scalar is a series without labels."""
    if data["resultType"] in ("scalar", "string"):
        return {(): [(float(data["result"][0]), float(data["result"][1]))]}
    found = {}
    for one in data["result"]:
        samples = one.get("values") or [one["value"]]
        labels = tuple(sorted(one["metric"].items()))
        assert labels not in found
        found[labels] = [(float(time), float(value)) for time, value in samples]
    return found


def assert_alike(ours: Any, theirs: Any) -> None:
    assert ours["resultType"] == theirs["resultType"]
    left, right = by_labels(ours), by_labels(theirs)
    assert left.keys() == right.keys()
    for labels, samples in right.items():
        assert [time for time, _ in left[labels]] == [time for time, _ in samples], labels
        for (time, value), (_, expected) in zip(left[labels], samples, strict=True):
            assert math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-12) or (
                math.isnan(value) and math.isnan(expected)
            ), (labels, time, value, expected)


@pytest.mark.parametrize("query", GRAFANA + TABLES)
def test_an_instant_query_is_answered_as_by_prometheus(
    server: Server, prometheus: str, query: str
) -> None:
    for time in (END, T0 + 300):
        ours = ask(own(server), "query", query=query, time=time)
        theirs = ask(prometheus, "query", query=query, time=time)
        assert_alike(ours, theirs)
        if "sort" in query:
            order = [one["value"][1] for one in theirs["result"]]
            assert [float(one["value"][1]) for one in ours["result"]] == pytest.approx(
                list(map(float, order))
            )


@pytest.mark.parametrize("query", GRAFANA + TABLES)
def test_a_query_over_a_range_is_answered_as_by_prometheus(
    server: Server, prometheus: str, query: str
) -> None:
    for step in (15, 60):
        form = {"query": query, "start": T0 - 60, "end": END, "step": step}
        assert_alike(
            ask(own(server), "query_range", **form), ask(prometheus, "query_range", **form)
        )


def refused(server: Server, path: str, **params: object) -> tuple[int, str, str]:
    response = httpx.get(f"{own(server)}/api/v1/{path}", params=params, timeout=60)  # type: ignore[arg-type]
    body = response.json()
    assert body["status"] == "error"
    return response.status_code, body["errorType"], body["error"]


CALLS = "traces_spanmetrics_calls_total"


@pytest.mark.parametrize(
    ("path", "params", "status", "kind", "words"),
    [
        ("query", {}, 400, "bad_data", 'parameter "query": parse error'),
        ("query", {"query": "rate(x"}, 400, "bad_data", "unclosed left parenthesis"),
        ("query", {"query": "deriv(x[5m])"}, 400, "bad_data", "not supported by tracestore: func"),
        ("query", {"query": "rate(x[5m:1m])"}, 400, "bad_data", "not supported by tracestore: sub"),
        ("query", {"query": "traces_target_info"}, 400, "bad_data", "the metrics-generator makes"),
        ("query", {"query": "traces_spanmetrics_size_total"}, 400, "bad_data", "is not stored"),
        ("query", {"query": f"rate({CALLS}[300d])"}, 400, "bad_data", "prometheus.max_duration_s"),
        ("query", {"query": "1", "time": "x"}, 400, "bad_data", "to a valid timestamp"),
        ("query", {"query": "1", "timeout": "x"}, 400, "bad_data", "to a valid duration"),
        ("query", {"query": CALLS, "timeout": "0"}, 400, "bad_data", "must be at least 1ms"),
        ("query", {"query": "(" * 5000 + "1"}, 400, "bad_data", "more than 250 parentheses"),
        ("query", {"query": "-" * 5000 + "1"}, 400, "bad_data", "more than 250 parentheses"),
        ("query", {"query": "1 @ -1"}, 400, "bad_data", "before 1970"),
        ("query", {"query": f"{CALLS}{{service=~'a{{1001}}'}}"}, 400, "bad_data", "invalid repeat"),
        (
            *("query", {"query": f"{CALLS} * on (service) {CALLS}", "time": END}),
            *(422, "execution", "many-to-many matching not allowed"),
        ),
        (
            *("query", {"query": f'label_replace({CALLS}, "a", "", "b", "(")', "time": END}),
            *(422, "execution", "invalid regular expression in label_replace()"),
        ),
        ("query_range", {"query": "1", "start": 1}, 400, "bad_data", 'parameter "end"'),
        (
            *("query_range", {"query": "1", "start": 2, "end": 1, "step": 1}),
            *(400, "bad_data", "end timestamp must not be before start time"),
        ),
        (
            *("query_range", {"query": "1", "start": 0, "end": 1, "step": "0s"}),
            *(400, "bad_data", "zero or negative query resolution step"),
        ),
        (
            *("query_range", {"query": "1", "start": 0, "end": 11001, "step": 1}),
            *(400, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries"),
        ),
        (
            *("query_range", {"query": "x[5m]", "start": 0, "end": 1, "step": 1}),
            *(400, "bad_data", 'invalid expression type "range vector" for range query'),
        ),
        ("series", {}, 400, "bad_data", "no match[] parameter provided"),
        ("series", {"match[]": "rate(x[5m])"}, 400, "bad_data", "expected a selector"),
        ("label/a.b/values", {}, 400, "bad_data", 'invalid label name: "a.b"'),
    ],
)
def test_what_cannot_be_answered_is_said_as_by_prometheus(
    server: Server, path: str, params: dict[str, object], status: int, kind: str, words: str
) -> None:
    found = refused(server, path, **params)
    assert found[:2] == (status, kind)
    assert words in found[2]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        *(("series", {"match[]": name}) for name in (CALLS, "traces_spanmetrics_latency_bucket")),
        ("series", {"match[]": [f'{CALLS}{{service="bank"}}', '{server="cart"}']}),
        ("series", {"match[]": "traces_service_graph_request_server_seconds", "limit": 1}),
        ("labels", {}),
        ("labels", {"match[]": CALLS}),
        *((f"label/{name}/values", {}) for name in ("__name__", "service", "le", "server", "no")),
        ("label/__name__/values", {"match[]": '{span_name="charge"}'}),
        ("label/span_name/values", {"match[]": f'{CALLS}{{service=~"b.*"}}'}),
    ],
)
def test_what_there_is_is_told_as_by_prometheus(
    server: Server, prometheus: str, path: str, form: dict[str, Any]
) -> None:
    def told(url: str, **form: Any) -> list[Any]:
        if path.startswith("label/"):  # of Prometheus' own these take GET alone
            params = {"start": T0, "end": END, **form}
            found = httpx.get(f"{url}/api/v1/{path}", params=params, timeout=60).json()["data"]
        else:
            found = ask(url, path, start=T0, end=END, **form)
        # a gauge that the generator makes if it is told to; here it is always there
        gauge = "traces_service_graph_connection_info"
        kept = [one for one in found if one != gauge and one != {"__name__": gauge}]
        return [one for one in kept if not (isinstance(one, dict) and one.get("__name__") == gauge)]

    ours = told(own(server), **form)
    # the other one knows of the server itself, too
    theirs = told(prometheus, **{"match[]": '{__name__=~"traces_.+"}', **form})
    assert sorted(ours, key=str) == sorted(theirs, key=str)


def test_grafana_finds_what_it_asks_by_itself(server: Server) -> None:
    url = own(server)
    assert ask(url, "query", query="1+1")["result"][1] == "2"
    assert ask(url, "status/buildinfo")["version"].startswith("2.")
    assert ask(url, "metadata")["traces_spanmetrics_latency"][0]["type"] == "histogram"
    assert list(ask(url, "metadata", metric=CALLS)) == [CALLS]
    assert ask(url, "rules") == {"groups": []}
    assert ask(url, "alerts") == {"alerts": []}
    assert ask(url, "format_query", query="sum(x)by(y)") == "sum by (y) (x)"


def test_a_series_stays_a_while_as_zero_and_a_counter_counts_as_far_back_as_is_asked(
    server: Server,
) -> None:
    url, total = own(server), f"sum({CALLS})"
    late = END + 600
    (rate,) = ask(url, "query", query=f"sum(rate({CALLS}[1m]))", time=late)["result"]
    assert rate["value"][1] == "0"
    gone = ask(url, "query", query=f"sum(rate({CALLS}[1m]))", time=late + 900)
    assert gone["result"] == []
    everything = str(len(spans_of(REQUESTS)))
    assert ask(url, "query", query=total, time=late)["result"][0]["value"][1] == everything
    assert ask(url, "query", query=total, time=late, lookback_delta="1m")["result"] == []
    assert ask(url, "query", query=total, time=END + 7200)["result"] == []
    (over,) = ask(url, "query", query=f"sum(last_over_time({CALLS}[3h]))", time=END + 7200)[
        "result"
    ]
    assert over["value"][1] == everything


def test_a_range_selector_shows_samples_of_a_counter(server: Server) -> None:
    data = ask(own(server), "query", query=f'{CALLS}{{span_name="GET /"}}[10m]', time=END)
    assert data["resultType"] == "matrix"
    for one in data["result"]:
        times, values = zip(*one["values"], strict=True)
        assert {time % SAMPLE_S for time in times} == {T0 % SAMPLE_S}
        assert list(map(float, values)) == sorted(map(float, values))
    last = sum(float(one["values"][-1][1]) for one in data["result"])
    assert last == len(REQUESTS)


def test_of_many_series_the_first_are_shown(server: Server) -> None:
    url = f"{own(server)}/api/v1/query"
    body = httpx.get(url, params={"query": CALLS, "time": END, "limit": 2}).json()
    assert len(body["data"]["result"]) == 2
    assert body["warnings"] == ["results truncated due to limit"]


def test_what_is_in_the_body_goes_before_the_url(server: Server) -> None:
    answer = httpx.post(f"{own(server)}/api/v1/query?query=1&time=5", data={"query": "2"}).json()
    assert answer["data"]["result"] == [5, "2"]
    unread = httpx.post(f"{own(server)}/api/v1/query?query=1&time=5", json={"query": "2"}).json()
    assert unread["data"]["result"] == [5, "1"]


ON_SPANS = [path for path in DASHBOARDS if path.stem != "server"]


@pytest.mark.parametrize("path", ON_SPANS, ids=lambda path: path.stem)
def test_dashboards_on_spans_show_the_same_from_stored_spans_as_from_prometheus(
    server: Server, prometheus: str, path: Path
) -> None:
    asked = expressions(path)
    assert len(asked) > 8
    for title, query in asked:
        ours = ask(own(server), "query", query=query, time=END)
        assert ours["result"], title
        assert_alike(ours, ask(prometheus, "query", query=query, time=END))
        form = {"query": query, "start": T0, "end": END, "step": 30}
        assert_alike(
            ask(own(server), "query_range", **form), ask(prometheus, "query_range", **form)
        )
    for one in load(path)["templating"]["list"]:
        if one["type"] == "query":
            ((metric, label),) = re.findall(r"label_values\((\w+), (\w+)\)", one["definition"])
            form = {"match[]": metric, "start": T0, "end": END}
            found = httpx.get(f"{own(server)}/api/v1/label/{label}/values", params=form).json()
            assert found["data"], label


def test_the_dashboard_of_the_server_is_answered_by_a_prometheus_that_scrapes_it(
    prometheus: str,
) -> None:
    (path,) = (path for path in DASHBOARDS if path.stem == "server")
    shown = {
        title
        for title, query in expressions(path)
        if ask(prometheus, "query", query=query, time=END)["result"]
    }
    assert shown >= {
        "Spans",
        "Live spans",
        "Blocks",
        "Requests",
        "Queries, p95",
        "Members",
        "CPU",
        "Memory",
    }


def test_exemplars_are_the_slowest_traces_of_histograms(server: Server) -> None:
    def shown(query: str) -> dict[tuple[str, str], list[dict[str, Any]]]:
        found = ask(own(server), "query_exemplars", query=query, start=T0, end=END)
        for one in found:
            assert one["seriesLabels"]["__name__"] == "traces_spanmetrics_latency_bucket"
        labels = [one["seriesLabels"] for one in found]
        pairs = [(each["span_kind"] + each["status_code"], each["le"]) for each in labels]
        return dict(zip(pairs, (one["exemplars"] for one in found), strict=True))

    assert shown(f"rate({CALLS}[5m])") == {}
    bank = '{service="bank", span_name="charge"}'
    query = (
        f"histogram_quantile(0.9, sum by (le) (rate(traces_spanmetrics_latency_bucket{bank}[5m])))"
    )
    found = shown(query)
    slowest: dict[tuple[str, int], tuple[float, set[str]]] = {}
    for one in spans_of(REQUESTS):
        if one.service == "bank" and one.span.name == "charge":
            part = (one.end_ns - EPOCH_NS - 1) // (LENGTH_S * 10**8)
            status = "ERROR" if one.span.status.code == 2 else "UNSET"
            key = f"SPAN_KIND_SERVERSTATUS_CODE_{status}", T0 + (part + 1) * LENGTH_S // 10
            best, traces = slowest.get(key, (-1.0, set()))
            traces = traces if one.seconds == best else set() if one.seconds > best else traces
            if one.seconds >= best:
                trace = one.span.trace_id.hex().lstrip("0")
                slowest[key] = (one.seconds, traces | {trace})
    seen = {}
    for (series, le), exemplars in found.items():
        for one in exemplars:
            seen[series, one["timestamp"]] = (float(one["value"]), one["labels"]["traceID"])
            assert float(one["value"]) <= float(le)
    assert seen.keys() == slowest.keys()
    for key, (value, trace) in seen.items():
        assert value == pytest.approx(slowest[key][0])
        assert trace in slowest[key][1]
