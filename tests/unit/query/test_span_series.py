"""Settings of the metrics that spans make: labels, multipliers, policies; limits and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from support.otlp import request, request_of, resource_spans, scope_spans, span
from support.span_series import ask, counted

from tracestore.errors import InvalidRequestError, LimitExceededError
from tracestore.query.span_series import Family, Matcher, MatchOperator, SeriesQuestion
from tracestore.settings.generator_tree import (
    DimensionMapping,
    FilterPolicy,
    IntrinsicDimensions,
    PolicyAttribute,
    PolicyMatch,
    ServiceGraphsSettings,
    SpanMetricsSettings,
)

BARE = IntrinsicDimensions(service=False, span_name=False, span_kind=False, status_code=False)
SHOP = {"service.name": "shop", "service.namespace": "eu", "service.instance.id": "1", "zone": "a"}


def shop(*spans: object, **more: str) -> bytes:
    return request(resource=SHOP | more, spans=list(spans))  # type: ignore[arg-type]


def call(caller: str, called: str, *, trace: int = 1, **tags: str) -> bytes:
    """A request between two services; each side may have a tag."""
    sides = []
    for number, service, kind in ((1, caller, "client"), (2, called, "server")):
        one = span(
            trace=trace,
            id=number,
            parent=number - 1 or 9,
            kind=kind,
            duration_ms=30 / number,
            attributes={"tag": tags[kind]} if kind in tags else {},
        )
        sides.append(resource_spans([scope_spans([one])], resource={"service.name": service}))
    return request_of(sides)


def test_dimensions_are_of_the_resource_before_the_span() -> None:
    settings = SpanMetricsSettings(
        intrinsic_dimensions=BARE, dimensions=("zone", "http.method", "service", "missing", "n")
    )
    body = shop(
        span(trace=1, id=1, attributes={"zone": "b", "http.method": "GET", "service": "own"}),
        span(trace=1, id=2, attributes={"n": 1e21}),
        span(trace=1, id=3, attributes={"n": [1, 2]}),
        span(trace=1, id=4, attributes={"n": False}),
    )

    assert counted(ask(Family.CALLS, body, spans=settings)) == {
        "__service=own,http_method=GET,zone=a": 1,
        "n=1000000000000000000000,zone=a": 1,
        "n=[12],zone=a": 1,
        "n=false,zone=a": 1,
    }


def test_mappings_join_what_is_there() -> None:
    mapping = DimensionMapping(name="where", source_labels=("zone", "room", "shelf"), join="/")
    settings = SpanMetricsSettings(intrinsic_dimensions=BARE, dimension_mappings=(mapping,))
    body = shop(
        span(trace=1, id=1, attributes={"room": "r", "shelf": "s"}),
        span(trace=1, id=2, attributes={"shelf": "s"}),
    )

    assert counted(ask(Family.CALLS, body, spans=settings)) == {"where=a/r/s": 1, "where=a/s": 1}


def test_job_and_instance_come_with_target_info() -> None:
    settings = SpanMetricsSettings(intrinsic_dimensions=BARE, enable_target_info=True)
    alone = request(resource={"service.name": "bank"}, spans=[span(trace=2, id=1)])

    found = counted(ask(Family.CALLS, shop(span(trace=1, id=1)), alone, spans=settings))
    assert found == {"instance=1,job=eu/shop": 1, "job=bank": 1}


def test_a_span_counts_what_its_sender_left_out() -> None:
    spans = [
        span(trace=1, id=1, status="error", attributes={"ratio": 0.25}),
        span(trace=1, id=2, attributes={"ratio": 0.0}),
        span(trace=1, id=3, trace_state="x=y,ot=th:8", attributes={"ratio": 0.1}),
    ]
    settings = SpanMetricsSettings(
        intrinsic_dimensions=BARE,
        span_multiplier_key="ratio",
        enable_tracestate_span_multiplier=True,
    )

    found = ask(Family.LATENCY, shop(*spans), spans=settings)
    assert (found.counts[0, 0], found.failed[0, 0]) == (7, 4)
    assert found.sums["span"][0, 0] == pytest.approx(0.007)
    assert found.buckets["span"][0, 0, 0] == 7


def test_a_trace_that_was_kept_by_a_ratio_stands_for_others() -> None:
    bodies = [call("shop", "bank", trace=1), call("shop", "bank", trace=2)]

    spans = ask(Family.CALLS, *bodies, weights=(10, 1), by=("span_kind",))
    assert counted(spans) == {"span_kind=SPAN_KIND_CLIENT": 11, "span_kind=SPAN_KIND_SERVER": 11}
    requests = ask(Family.EDGES, *bodies, weights=(10, 1))
    assert counted(requests) == {"client=shop,server=bank": 11}
    assert requests.sums["client"][0, 0] == pytest.approx(11 * 0.03)


def policy(match_type: str, **pairs: str) -> PolicyMatch:
    attributes = (PolicyAttribute(key=k.replace("__", "."), value=v) for k, v in pairs.items())
    return PolicyMatch(match_type=match_type, attributes=tuple(attributes))


GET_PUT_DEL = [
    span(trace=1, id=1, name="get", kind="server", attributes={"a": "xyz"}),
    span(trace=1, id=2, name="put", kind="server"),
    span(trace=1, id=3, name="del", kind="client", status="error"),
]


@pytest.mark.parametrize(
    ("policies", "kept"),
    [
        ([FilterPolicy(include=policy("strict", kind="SPAN_KIND_SERVER"))], {"get", "put"}),
        ([FilterPolicy(exclude=policy("strict", kind="SPAN_KIND_SERVER"))], {"del"}),
        ([FilterPolicy(include=policy("regex", span__a="y"))], {"get"}),
        ([FilterPolicy(include=policy("strict", span__a="y"))], set()),
        ([FilterPolicy(include_any=policy("strict", name="del"))], {"del"}),
        (
            [
                FilterPolicy(include=policy("strict", kind="SPAN_KIND_SERVER", name="get")),
                FilterPolicy(include_any=policy("strict", status="STATUS_CODE_ERROR")),
            ],
            {"get", "del"},
        ),
        (
            [
                FilterPolicy(include_any=policy("regex", resource__zone="a|b")),
                FilterPolicy(exclude=policy("strict", name="put")),
            ],
            {"get", "del"},
        ),
    ],
)
def test_policies_decide_which_spans_count(policies: list[FilterPolicy], kept: set[str]) -> None:
    settings = SpanMetricsSettings(filter_policies=tuple(policies))

    found = ask(Family.CALLS, shop(*GET_PUT_DEL), spans=settings, by=("span_name",))
    assert {dict(labels)["span_name"] for labels in found.labels} == kept


def test_a_side_that_is_left_out_takes_the_other_with_it() -> None:
    client = span(trace=1, id=1, parent=9, kind="client", attributes={"peer.service": "bank"})
    server = span(trace=1, id=2, parent=1, kind="server")
    body = [shop(client), request(resource={"service.name": "bank"}, spans=[server])]
    hidden = FilterPolicy(exclude=policy("strict", resource__service__name="bank"))

    assert len(ask(Family.EDGES, *body).labels) == 1
    settings = ServiceGraphsSettings(filter_policies=(hidden,))
    assert ask(Family.EDGES, *body, graphs=settings).labels == ()


def test_of_two_tries_the_last_before_the_client_counts_and_what_failed() -> None:
    client = span(trace=1, id=1, parent=9, kind="client", duration_ms=50)
    tries = [
        span(trace=1, id=2, parent=1, kind="server", duration_ms=10, status="error"),
        span(trace=1, id=3, parent=1, kind="server", start_ms=20, duration_ms=20),
        span(trace=1, id=4, parent=1, kind="server", start_ms=40, duration_ms=90),
    ]
    body = [shop(client), request(resource={"service.name": "bank"}, spans=tries)]

    found = ask(Family.EDGES, *body)
    assert counted(found) == {"client=shop,server=bank": 1}
    assert found.failed[0, 0] == 1
    assert found.sums["server"][0, 0] == pytest.approx(0.02)
    graph = ask(Family.EDGES, *body, is_graph=True)
    assert (graph.counts[0, 0], graph.failed[0, 0]) == (3, 1)


def test_dimensions_of_a_request_have_a_side() -> None:
    body = call("shop", "bank", client="c", server="s")
    settings = ServiceGraphsSettings(dimensions=("tag",), enable_client_server_prefix=True)

    found = counted(ask(Family.EDGES, body, graphs=settings))
    assert found == {"client=shop,client_tag=c,server=bank,server_tag=s": 1}


def test_without_a_prefix_the_side_that_ended_last_says_it() -> None:
    settings = ServiceGraphsSettings(dimensions=("tag",))
    both = call("shop", "bank", client="c", server="s")
    one = call("shop", "bank", trace=2, server="s")

    found = counted(ask(Family.EDGES, both, one, graphs=settings))
    assert found == {"client=shop,server=bank,tag=c": 1, "client=shop,server=bank,tag=s": 1}


def test_the_virtual_side_is_told_where_that_is_switched_on() -> None:
    settings = ServiceGraphsSettings(enable_virtual_node_label=True)
    body = shop(
        span(trace=1, id=1, kind="server"),
        span(trace=1, id=2, parent=1, kind="client", attributes={"peer.service": "mail"}),
    )

    assert counted(ask(Family.EDGES, body, graphs=settings)) == {
        "client=user,connection_type=virtual_node,server=shop,virtual_node=client": 1,
        "client=shop,connection_type=virtual_node,server=mail,virtual_node=server": 1,
    }


def test_a_message_to_three_is_one_request_but_three_edges_of_a_graph() -> None:
    producer = shop(span(trace=1, id=1, parent=9, kind="producer", duration_ms=1))
    consumers = [
        request(
            resource={"service.name": name},
            spans=[span(trace=1, id=number, parent=1, kind="consumer", start_ms=number)],
        )
        for number, name in ((4, "late"), (2, "early"), (3, "later"))
    ]

    metric = ask(Family.EDGES, producer, *consumers, by=("server",))
    graph = ask(Family.EDGES, producer, *consumers, by=("server",), is_graph=True)
    assert counted(metric) == {"server=early": 1}
    assert counted(graph) == {"server=early": 1, "server=late": 1, "server=later": 1}
    assert graph.sums["messaging"][:, 0] == pytest.approx([0.001, 0.003, 0.002])


def test_a_metric_without_series_is_empty() -> None:
    found = ask(Family.EDGES, shop(span(trace=1, id=1, kind="internal")))

    assert found.labels == ()
    assert found.counts.shape == (0, 1)
    assert found.buckets["server"].shape == (0, 1, len(found.bounds) + 1)


def test_a_label_that_no_metric_has_must_not_be_wanted() -> None:
    body = shop(span(trace=1, id=1))
    some = Matcher(label="cluster", op=MatchOperator.MATCH, value=".+")
    none = Matcher(label="cluster", op=MatchOperator.EQUAL, value="")

    assert ask(Family.CALLS, body, matchers=(some,)).labels == ()
    assert ask(Family.CALLS, body, matchers=(some,)).stats.inspected_bytes == 0
    assert len(ask(Family.CALLS, body, matchers=(none,)).labels) == 1


def test_columns_that_nobody_asks_for_are_not_read() -> None:
    body = shop(*(span(trace=1, id=n, name=f"name {n}") for n in range(1, 200)))

    narrow = ask(Family.CALLS, body, by=("service",)).stats.inspected_bytes
    assert narrow < ask(Family.CALLS, body).stats.inspected_bytes


def test_too_many_series_are_refused() -> None:
    body = shop(*(span(trace=1, id=n, name=f"name {n}") for n in range(1, 5)))

    with pytest.raises(LimitExceededError, match=r"more than 3 series.*max_metrics_series"):
        ask(Family.CALLS, body, series_max=3)
    with pytest.raises(LimitExceededError, match=r"4 series of 9 intervals.*max_metrics_samples"):
        ask(Family.CALLS, body, samples_max=71, points=9)
    assert len(ask(Family.CALLS, body, samples_max=72, points=9).labels) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": Family.SIZE}, "not available from stored spans"),
        ({"step_ns": 0}, "needs steps"),
        ({"filter": "{ a = }"}, "invalid TraceQL query: "),
        ({"filter": "{} | rate()"}, "a filter of spans is expected"),
        (
            {"matchers": (Matcher(label="service", op=MatchOperator.MATCH, value="("),)},
            r"matcher service=~'\(': missing \)",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused(change: dict[str, object], message: str) -> None:
    question = {"family": Family.CALLS} | change

    with pytest.raises(InvalidRequestError, match=message):
        ask(**question)  # type: ignore[arg-type]


def test_the_slowest_and_the_failed_are_named() -> None:
    body = [
        shop(span(trace=n, id=1, kind="server", duration_ms=n, status="error" if n < 3 else None))
        for n in range(1, 6)
    ]

    (shown,) = ask(Family.EDGES, *body, exemplars=True).shown
    assert (shown.slowest, shown.slowest_s) == (f"{5:032x}", 0.005)
    assert (shown.failed, shown.failed_s) == (f"{2:032x}", 0.002)


def test_intervals_count_what_ends_in_them() -> None:
    spans = [span(trace=1, id=n, start_ms=n * 1000, duration_ms=1000) for n in range(4)]
    question = SeriesQuestion(family=Family.CALLS, start_ns=0, step_ns=1, points=1)

    found = ask(Family.CALLS, shop(*spans), step_ns=2_000_000_000, points=2, by=())
    assert question.grid.count == 1
    assert found.labels == ((),)
    assert np.array_equal(found.counts, [[1, 2]])
