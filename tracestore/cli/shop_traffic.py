"""The process that sends the shop's traffic: ``python -m tracestore.cli.shop_traffic``.

It speaks to the server as any application does, through the OpenTelemetry SDK and its OTLP/gRPC
exporter, and ends when its standard input is closed, which also happens if its parent dies.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

from tracestore.cli.shop import PlannedSpan, Visit
from tracestore.cli.shop_visits import SERVICES, Shop
from tracestore.clock import Clock, SystemClock
from tracestore.logs import configure_logging
from tracestore.version import package_version

HISTORY_RATE = 3.0
"""Traces per second of the past; less than live, so that the first look does not have to wait."""
_BATCH_SPANS = 1024
_QUEUE_SPANS = 65536
_EXPORT_DELAY_MS = 250
_FLUSH_TIMEOUT_MS = 10_000
_TICK_S = 0.1


class SeededIds(IdGenerator):  # type: ignore[misc]  # the SDK is not followed by mypy
    """IDs by a seed, so that a run can be repeated."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def generate_span_id(self) -> int:
        return self._chance.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._chance.getrandbits(128) or 1


class Sender:
    """One tracer provider per service, as if they were processes, and one processor for all."""

    def __init__(self, processor: SpanProcessor, chance: random.Random) -> None:
        self._processor = processor
        ids = SeededIds(chance)
        self._tracers = {s: self._provider(s, ids).get_tracer("shop", "1.4.2") for s in SERVICES}
        self._contexts: dict[PlannedSpan, trace.SpanContext] = {}
        """Contexts of producer spans, which later visits link to."""

    def _provider(self, service: str, ids: IdGenerator) -> TracerProvider:
        resource = Resource.create(
            {
                "service.name": service,
                "service.namespace": "shop",
                "service.version": package_version(),
                "service.instance.id": f"{service}-0",
                "deployment.environment.name": "demo",
                "k8s.namespace.name": "shop",
                "k8s.pod.name": f"{service}-7d9c5b6f4-{hash_name(service) % 100000:05d}",
                "host.name": f"node-{hash_name(service) % 3}",
            }
        )
        provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        return provider

    def send(self, visit: Visit, start_ns: int) -> None:
        """Make the spans of a visit that began at ``start_ns``."""
        contexts: dict[PlannedSpan, trace.SpanContext] = {}
        for planned in visit.spans:
            parent = None
            if planned.parent is not None:
                span = trace.NonRecordingSpan(contexts[planned.parent])
                parent = trace.set_span_in_context(span)
            contexts[planned] = self._emit(planned, parent, contexts, start_ns)
        for planned, context in contexts.items():
            if planned.kind.name == "PRODUCER":
                self._contexts[planned] = context
        while len(self._contexts) > 10_000:
            del self._contexts[next(iter(self._contexts))]

    def _emit(
        self,
        planned: PlannedSpan,
        parent: Context | None,
        contexts: dict[PlannedSpan, trace.SpanContext],
        start_ns: int,
    ) -> trace.SpanContext:
        linked = [contexts.get(link) or self._contexts.get(link) for link in planned.links]
        span = self._tracers[planned.service].start_span(
            planned.name,
            context=parent or Context(),
            kind=trace.SpanKind[planned.kind.name],
            attributes=planned.attributes,
            links=[trace.Link(context) for context in linked if context is not None],
            start_time=start_ns + int(planned.start_s * 1e9),
        )
        for happening in planned.happenings:
            at_ns = start_ns + int(happening.at_s * 1e9)
            if happening.error is None:
                span.add_event(happening.name, happening.attributes, timestamp=at_ns)
                continue
            try:
                raise happening.error
            except type(happening.error) as error:
                span.record_exception(error, timestamp=at_ns)
        if planned.error is not None:
            span.set_status(trace.Status(trace.StatusCode.ERROR, planned.error))
        span.end(end_time=start_ns + int(planned.end_s * 1e9))
        context: trace.SpanContext = span.get_span_context()
        return context

    def close(self) -> None:
        """Send what is left."""
        self._processor.force_flush(_FLUSH_TIMEOUT_MS)
        self._processor.shutdown()


def hash_name(name: str) -> int:
    """Make a number of a name, the same in every run."""
    return int(sum(ord(letter) * 31**place for place, letter in enumerate(name)) % 2**31)


def send_history(sender: Sender, shop: Shop, now_ns: int, history_s: float) -> None:
    """Send what happened in the ``history_s`` seconds before ``now_ns``."""
    visits = int(history_s * HISTORY_RATE)
    for number in range(visits):
        visit = shop.next_visit()
        ended_s = history_s * (visits - 1 - number) / max(visits, 1)
        sender.send(visit, now_ns - int((ended_s + visit.duration_s) * 1e9))


def send_live(
    sender: Sender, shop: Shop, clock: Clock, *, rate: float, stop: threading.Event
) -> None:
    """Send ``rate`` traces a second, each as it ends, until ``stop``."""
    started_ns = clock.monotonic_ns()
    sent = 0
    while not stop.wait(_TICK_S):
        due = int((clock.monotonic_ns() - started_ns) / 1e9 * rate)
        # After a pause of the machine the backlog is dropped, not sent in one burst.
        sent = max(sent, due - int(rate))
        while sent < due:
            visit = shop.next_visit()
            sender.send(visit, clock.now_ns() - int(visit.duration_s * 1e9))
            sent += 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run until standard input is closed."""
    parser = argparse.ArgumentParser(prog="python -m tracestore.cli.shop_traffic")
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--history-s", type=float, required=True)
    parser.add_argument("--seed", type=int)
    given = parser.parse_args(argv)

    configure_logging(level="error", log_format="logfmt")
    stop = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    clock = SystemClock()
    processor = BatchSpanProcessor(
        OTLPSpanExporter(endpoint=given.endpoint, insecure=True),
        max_queue_size=_QUEUE_SPANS,
        max_export_batch_size=_BATCH_SPANS,
        schedule_delay_millis=_EXPORT_DELAY_MS,
    )
    sender = Sender(processor, random.Random(given.seed))
    shop = Shop(random.Random(given.seed))
    send_history(sender, shop, clock.now_ns(), given.history_s)
    send_live(sender, shop, clock, rate=given.rate, stop=stop)
    sender.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
