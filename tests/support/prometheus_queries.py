"""What Grafana asks of Prometheus for its service graph, and more of the PromQL that is answered.

Source: wire contract, section 14.9.
"""

from __future__ import annotations

_GRAPH = "traces_service_graph_request"
_FOUR = [
    f"{_GRAPH}_server_seconds_sum",
    f"{_GRAPH}_total",
    f"{_GRAPH}_failed_total",
    f"{_GRAPH}_server_seconds_bucket",
]
_NAMESPACES = "client_service_namespace, server_service_namespace"
_LINK = '{client="shop",server="cart"}'

GRAFANA = [
    *(f"sum by (client, server) (rate({name}[600s]))" for name in _FOUR),
    *(f'sum by (client, server) (rate({name}{{client="shop"}}[600s]))' for name in _FOUR),
    *(f"group by (client, connection_type, server) ({name})" for name in _FOUR),
    *(f'group by (client, connection_type, server) ({name}{{server="cart"}})' for name in _FOUR),
    *(f"sum by (client, server, {_NAMESPACES}) (rate({name}{{}}[600s]))" for name in _FOUR),
    *(f"group by (client, connection_type, server, {_NAMESPACES}) ({name}{{}})" for name in _FOUR),
    (
        'topk(5, sum(rate(traces_spanmetrics_calls_total{span_kind="SPAN_KIND_SERVER"}[600s])) '
        "by (span_name))"
    ),
    (
        'topk(5, sum(rate(traces_spanmetrics_calls_total{status_code="STATUS_CODE_ERROR",'
        'span_name=~"put|charge"}[600s])) by (span_name))'
    ),
    (
        'histogram_quantile(.9, sum(rate(traces_spanmetrics_latency_bucket{span_name=~"put"}'
        "[600s])) by (le))"
    ),
    f"sum by (client, server)(rate({_GRAPH}_total{_LINK}[60s]))",
    (
        f"histogram_quantile(0.9, sum(rate({_GRAPH}_server_seconds_bucket{_LINK}[60s])) "
        "by (le, client, server))"
    ),
    f"sum by (client, server)(rate({_GRAPH}_failed_total{_LINK}[60s]))",
]
"""Section 14.9 with its variables filled in."""

_CALLS = "traces_spanmetrics_calls_total"
_ERRORS = f'{_CALLS}{{status_code="STATUS_CODE_ERROR"}}'
_LATENCY = "traces_spanmetrics_latency"

TABLES = [
    f"sum by (service) (rate({_CALLS}[5m]))",
    f"sum by (service) (increase({_CALLS}[5m] offset 1m))",
    f"sum by (service) (rate({_ERRORS}[5m])) / sum by (service) (rate({_CALLS}[5m]))",
    f"sum(rate({_ERRORS}[2m])) or vector(0)",
    f"sum(rate({_CALLS}[2m])) without (span_name, status_code)",
    f"histogram_quantile(0.95, sum by (le, service) (rate({_LATENCY}_bucket[5m])))",
    # not 0.5: where a rank is on the border of two buckets, rounding decides between them
    f"histogram_quantile(0.53, sum by (service, le) (rate({_LATENCY}_bucket[1m]))) * 1000",
    f"histogram_quantile(2, {_LATENCY}_bucket)",
    f"sum by (service) (rate({_LATENCY}_sum[5m])) / sum by (service) (rate({_LATENCY}_count[5m]))",
    f'sum by (le) (rate({_LATENCY}_bucket{{le=~"0.1.*|.Inf", service="bank"}}[5m]))',
    f"avg by (service) (rate({_CALLS}[5m]))",
    f"max by (service) (rate({_CALLS}[5m])) - min by (service) (rate({_CALLS}[5m]))",
    f"count by (service) ({_CALLS})",
    f"count({_CALLS}) by (status_code) > 2",
    f"bottomk(2, sum by (service) (rate({_LATENCY}_sum[5m])))",
    f"quantile(0.3, rate({_CALLS}[5m]))",
    f"stddev by (service) (rate({_CALLS}[5m]))",
    f"stdvar(rate({_CALLS}[5m]))",
    f"sort_desc(sum by (span_name) (increase({_CALLS}[5m])))",
    f"sort(sum by (span_name) (increase({_CALLS}[5m])))",
    f"clamp(sum by (service) (increase({_CALLS}[5m])), 1, 20)",
    f"round(sum by (service) (rate({_CALLS}[5m])), 0.01)",
    f"sum by (service) (rate({_CALLS}[5m])) > bool 0.1",
    f"0.1 < sum by (service) (rate({_CALLS}[5m]))",
    f'label_replace(sum by (service) (rate({_CALLS}[5m])), "to", "x-$1", "service", "(.).*")',
    f'label_join(sum by (service) (rate({_CALLS}[5m])), "to", "-", "service", "service")',
    f"sum by (service) (rate({_CALLS}[5m])) and on (service) count by (service) ({_ERRORS})",
    f"sum by (service) (rate({_CALLS}[5m])) unless sum by (service) (rate({_ERRORS}[1m]))",
    (
        f"sum by (service, span_name) (rate({_CALLS}[5m])) / on (service) group_left "
        f"sum by (service) (rate({_CALLS}[5m]))"
    ),
    f"absent({_CALLS}{{service='nobody', x=~'y'}})",
    f"absent({_CALLS})",
    f"-sum by (service) (rate({_CALLS}[5m]))",
    f"sum(rate({_CALLS}[5m])) ^ 2 % 3 + time() * 0",
    f"scalar(sum(rate({_CALLS}[5m]))) + 1",
    (
        f"sum by (client, server) (rate({_GRAPH}_client_seconds_sum[5m])) "
        f"/ sum by (client, server) (rate({_GRAPH}_client_seconds_count[5m]))"
    ),
    f"sum by (service) (rate({_CALLS}[5m] @ end()))",
    f"sum(rate({_CALLS}[5m])) / ignoring(a) sum(rate({_CALLS}[5m] @ 1700000400))",
    '{__name__=~"traces_service_graph_request_.*total", server="cart"}',
    f'{_CALLS}{{service!="shop", span_name!~"get.*", status_code=""}}',
    "1 + 1",
    "vector(1)",
    "time()",
    "-1 ^ 0.5",
    "2 > bool 1",
    "vector(1) / 0",
    "nothing_of_this_name",
]
"""Tables and panels that are made by hand."""
