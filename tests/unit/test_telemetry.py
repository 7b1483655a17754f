"""Series and log lines as scrapers and log readers see them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tracestore.instruments import render_metrics_docs
from tracestore.logs import configure_logging
from tracestore.telemetry import Metrics

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.fixture
def log_stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_every_declared_series_is_exposed_with_its_name_and_type() -> None:
    metrics = Metrics(version="1.2.3")
    lines = metrics.render().decode().splitlines()

    for series in metrics.declared():
        assert f"# TYPE {series.name} {series.type}" in lines
    assert not [line for line in lines if "_created" in line]


def test_receiver_counters_have_no_total_and_grow() -> None:
    metrics = Metrics(version="1.2.3")
    metrics.accepted_spans.labels(receiver="otlp/otlp_receiver", transport="grpc").inc(41)
    metrics.accepted_spans.labels(receiver="otlp/otlp_receiver", transport="grpc").inc()
    text = metrics.render().decode()

    line = 'tempo_receiver_accepted_spans{receiver="otlp/otlp_receiver",transport="grpc"} 42.0\n'
    assert line in text
    assert "# TYPE tempo_receiver_accepted_spans counter\n" in text
    assert "tempo_receiver_accepted_spans_total" not in text


def test_a_counter_may_be_read_from_elsewhere() -> None:
    metrics = Metrics(version="1.2.3")
    metrics.cache_hits.labels("block").set_function(lambda: 7)
    text = metrics.render().decode()

    assert "# TYPE tracestore_cache_hits_total counter\n" in text
    assert 'tracestore_cache_hits_total{cache="block"} 7.0\n' in text


def test_the_text_parses_and_names_version_and_process() -> None:
    text = Metrics(version="1.2.3").render().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}

    assert families["tempo_build_info"].samples[0].labels["version"] == "1.2.3"
    assert families["process_resident_memory_bytes"].samples[0].value > 0


def test_two_processes_worth_of_metrics_do_not_meet() -> None:
    one, other = Metrics(version="1"), Metrics(version="1")
    one.wal_records.inc(3)

    assert one.value("tracestore_wal_records_total") == 3
    assert other.value("tracestore_wal_records_total") == 0


def test_the_documentation_names_every_series() -> None:
    current = render_metrics_docs(Metrics(version="").declared())
    assert DOCS.read_text(encoding="utf-8") == current, "run: python -m tracestore.cli.docs"


def test_logfmt_quotes_what_needs_it(log_stream: io.StringIO) -> None:
    configure_logging(level="info", log_format="logfmt", stream=log_stream)
    extra = {"key": "a b", "offset": 7, "empty": "", "yes": True, "quote": 'x"y\n'}
    logging.getLogger("tracestore.wal").warning("torn tail", extra=extra)
    line = log_stream.getvalue()

    assert line.endswith(
        'level=warn logger=tracestore.wal msg="torn tail" '
        'key="a b" offset=7 empty="" yes=true quote="x\\"y\\n"\n'
    )
    assert line.startswith("ts=20")
    assert line.split()[0].endswith("Z")


def test_json_lines_carry_fields_and_exceptions(log_stream: io.StringIO) -> None:
    configure_logging(level="debug", log_format="json", stream=log_stream)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("x").exception("failed", extra={"block": "b1"})
    record = json.loads(log_stream.getvalue())

    assert (record["level"], record["msg"], record["block"]) == ("error", "failed", "b1")
    assert record["exception"].endswith("ValueError: broken")


def test_the_level_holds_back_lesser_lines(log_stream: io.StringIO) -> None:
    configure_logging(level="error", log_format="logfmt", stream=log_stream)
    logging.getLogger("x").warning("not shown")

    assert log_stream.getvalue() == ""
