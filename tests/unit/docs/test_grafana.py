"""The provisioning file of the docs: valid, linked to itself, and its patterns find real lines."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tracestore.logs import configure_logging

FILE = Path(__file__).parents[3] / "docs" / "grafana" / "datasources.yaml"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def sources() -> dict[str, Any]:
    return {source["uid"]: source for source in yaml.safe_load(FILE.read_text())["datasources"]}


def uids(node: Any) -> list[str]:
    """Find all references to data sources."""
    if isinstance(node, list):
        return [uid for item in node for uid in uids(item)]
    if not isinstance(node, dict):
        return []
    own = [node["datasourceUid"]] if "datasourceUid" in node else []
    return own + [uid for value in node.values() for uid in uids(value)]


def test_every_link_leads_to_a_data_source(sources: dict[str, Any]) -> None:
    linked = set(uids(list(sources.values())))
    # a Prometheus is there for what applications and the metrics-generator write to it
    assert linked == set(sources) - {"prometheus"}


def test_the_service_graph_needs_no_other_server(sources: dict[str, Any]) -> None:
    traces = sources["tracestore"]
    metrics = sources[traces["jsonData"]["serviceMap"]["datasourceUid"]]
    assert metrics["type"] == "prometheus"
    assert metrics["url"] == f"{traces['url']}/prometheus"


def line_with_trace_id(log_format: str) -> str:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure_logging(level="info", log_format=log_format, stream=stream)
        logging.getLogger("test").info("hello", extra={"trace_id": TRACE_ID})
    finally:
        root.handlers[:], root.level = handlers, level
    return stream.getvalue()


@pytest.mark.parametrize(
    "line",
    [
        f"2026-01-01 INFO [app] [trace_id={TRACE_ID} span_id=00f067aa0ba902b7] hello",
        f'{{"msg":"hello","traceID":"{TRACE_ID}"}}',
        f'{{"msg": "hello", "traceId": "{TRACE_ID}"}}',
        f'level=info traceID={TRACE_ID} msg="hello"',
        f'{{"log":"{{\\"trace_id\\":\\"{TRACE_ID}\\"}}"}}',
    ],
)
def test_a_trace_id_is_found_in_lines_of_common_loggers(sources: dict[str, Any], line: str) -> None:
    pattern = sources["loki"]["jsonData"]["derivedFields"][0]["matcherRegex"]

    match = re.search(pattern, line)

    assert match is not None
    assert match[1] == TRACE_ID


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_a_trace_id_is_found_in_our_own_lines(sources: dict[str, Any], log_format: str) -> None:
    pattern = sources["loki"]["jsonData"]["derivedFields"][0]["matcherRegex"]

    match = re.search(pattern, line_with_trace_id(log_format))

    assert match is not None
    assert match[1] == TRACE_ID
