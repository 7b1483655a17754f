"""The shop's visits as spans of the SDK."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tracestore.cli.shop import Kind
from tracestore.cli.shop_traffic import Sender, send_history
from tracestore.cli.shop_visits import SERVICES, Shop

NOW_NS = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def sent() -> Iterator[tuple[ReadableSpan, ...]]:
    memory = InMemorySpanExporter()
    sender = Sender(SimpleSpanProcessor(memory), random.Random(1))
    send_history(sender, Shop(random.Random(1)), NOW_NS, 100.0)
    yield memory.get_finished_spans()
    sender.close()


def test_every_service_has_its_resource(sent: tuple[ReadableSpan, ...]) -> None:
    assert {span.resource.attributes["service.name"] for span in sent} == set(SERVICES)
    assert {span.resource.attributes["service.namespace"] for span in sent} == {"shop"}


def test_parents_are_of_the_same_trace(sent: tuple[ReadableSpan, ...]) -> None:
    traces = {span.context.span_id: span.context.trace_id for span in sent}

    assert len(traces) == len(sent)
    assert len(set(traces.values())) == 300
    for span in sent:
        if span.parent is not None:
            assert traces[span.parent.span_id] == span.context.trace_id


def test_links_lead_to_producers_that_were_sent(sent: tuple[ReadableSpan, ...]) -> None:
    producers = {s.context.span_id for s in sent if s.kind.name == Kind.PRODUCER.name}
    links = [link.context.span_id for span in sent for link in span.links]

    assert links
    assert set(links) <= producers


def test_exceptions_are_recorded_with_type_message_and_stack(
    sent: tuple[ReadableSpan, ...],
) -> None:
    events = [e for span in sent for e in span.events if e.name == "exception"]

    assert events
    for event in events:
        assert event.attributes["exception.type"].endswith("Error")
        assert event.attributes["exception.message"]
        assert "Traceback" in event.attributes["exception.stacktrace"]


def test_the_history_ends_now(sent: tuple[ReadableSpan, ...]) -> None:
    assert max(span.end_time for span in sent) <= NOW_NS
    assert max(span.end_time for span in sent) > NOW_NS - 1_000_000_000
    assert min(span.end_time for span in sent) > NOW_NS - 110_000_000_000


def test_the_same_seed_gives_the_same_ids() -> None:
    runs = []
    for _ in range(2):
        memory = InMemorySpanExporter()
        sender = Sender(SimpleSpanProcessor(memory), random.Random(5))
        send_history(sender, Shop(random.Random(5)), NOW_NS, 5.0)
        runs.append([(s.context.trace_id, s.context.span_id, s.name) for s in sent_by(memory)])
        sender.close()

    assert runs[0] == runs[1]


def sent_by(memory: InMemorySpanExporter) -> tuple[ReadableSpan, ...]:
    return memory.get_finished_spans()
