"""Names of the metrics that are made of spans, and how their labels are written.

One place for both ways to them: the generator, which counts spans as they come, and the API that
counts stored ones. What a span or an edge becomes must not depend on who counts it.

Source: wire contract, section 17.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

CALLS: Final = "traces_spanmetrics_calls_total"
LATENCY: Final = "traces_spanmetrics_latency"
SIZE: Final = "traces_spanmetrics_size_total"
TARGET_INFO: Final = "traces_target_info"
HOST_INFO: Final = "traces_host_info"
REQUESTS: Final = "traces_service_graph_request_total"
FAILED_REQUESTS: Final = "traces_service_graph_request_failed_total"
SERVER_SECONDS: Final = "traces_service_graph_request_server_seconds"
CLIENT_SECONDS: Final = "traces_service_graph_request_client_seconds"
MESSAGING_SECONDS: Final = "traces_service_graph_request_messaging_system_seconds"
CONNECTION_INFO: Final = "traces_service_graph_connection_info"

SERVICE: Final = "service"
SPAN_NAME: Final = "span_name"
SPAN_KIND: Final = "span_kind"
STATUS_CODE: Final = "status_code"
STATUS_MESSAGE: Final = "status_message"
JOB: Final = "job"
INSTANCE: Final = "instance"
INTRINSIC_LABELS: Final = (SERVICE, SPAN_NAME, SPAN_KIND, STATUS_CODE, STATUS_MESSAGE)
RESERVED_LABELS: Final = frozenset({*INTRINSIC_LABELS, JOB, INSTANCE})
"""A dimension of one of these names gets two underscores before it."""

CLIENT: Final = "client"
SERVER: Final = "server"
CONNECTION_TYPE: Final = "connection_type"
VIRTUAL_NODE: Final = "virtual_node"
"""Both a label, and the connection type of an edge of which one side was never seen."""
MESSAGING_SYSTEM: Final = "messaging_system"
DATABASE: Final = "database"
USER: Final = "user"
"""The client of a request that comes from nowhere."""

KIND_NAMES: Final = (
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
)
"""By number of OTLP; another number is its digits."""
STATUS_NAMES: Final = ("STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR")

OVERFLOW_LABELS: Final = (("metric_overflow", "true"),)
"""The one series of a family that stands for those beyond the limit."""

_NO_LABEL = re.compile(r"[^a-zA-Z0-9_]")


def label_name(attribute: str) -> str:
    """Write the key of an attribute as a label: ``http.status_code`` -> ``http_status_code``."""
    return _NO_LABEL.sub("_", attribute)


def dimension_label(attribute: str) -> str:
    """Write the key of a dimension of span metrics as a label that is none of ours."""
    label = label_name(attribute)
    return f"__{label}" if label in RESERVED_LABELS else label


def value_text(value: object) -> str:
    """Write the value of an attribute as a label has it: plain decimals, ``true``.

    Arrays are written as Tempo does: ``[a b]`` without the blank.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return _float_text(value)
        case tuple() | list():
            return f"[{''.join(map(value_text, value))}]"
    return str(value)


def _float_text(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def le_text(bound: float) -> str:
    """Write the upper bound of a bucket, in seconds: no exponent, no trailing zeros."""
    if bound == float("inf"):
        return "+Inf"
    text = f"{bound:.17f}" if "e" in repr(bound) else repr(bound)
    return text.rstrip("0").rstrip(".") if "." in text else text


def le_texts(bounds: Iterable[float]) -> tuple[str, ...]:
    """Write the bounds of all buckets, ``+Inf`` last."""
    return (*(le_text(bound) for bound in bounds), "+Inf")
