"""The generator's own loop: what is due when, what is written out, and what a failure stops."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import pytest
from support.clocks import ManualClock
from support.generator import BOTH, Counted, settings_of, values_of
from support.otlp import request, span

from tracestore.kernel import SpanBuilder
from tracestore.model.collection import Collection
from tracestore.model.ids import TenantId
from tracestore.services.blocking import BlockingPool
from tracestore.services.generator import infos
from tracestore.services.generator.service import MetricsGenerator
from tracestore.services.tenant_labels import TenantLabels
from tracestore.settings.generator_limits import (
    GeneratorLimits,
    TenantProcessors,
    TenantSpanMetrics,
)
from tracestore.settings.generator_tree import RegistrySettings
from tracestore.settings.tenant_generator import tenant_generator
from tracestore.telemetry import Metrics

TENANT = TenantId("single-tenant")
LIMITS = GeneratorLimits(processors=BOTH, ingestion_time_range_slack_s=1e9)
CALL = request(
    resource={"service.name": "web"},
    spans=[span(trace=1, id=1, kind="client", attributes={"peer.service": "mail"})],
)


class SteppingClock(ManualClock):
    """Others get their turn whenever somebody sleeps."""

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)


class Running:
    """A generator with a sink, on a clock of its own."""

    def __init__(
        self, limits: GeneratorLimits = LIMITS, sink: Callable[[Collection], None] | None = None
    ) -> None:
        self.clock = SteppingClock()
        self.begun_ns = self.clock.time_ns
        self.metrics = Metrics(version="")
        self.taken: list[Collection] = []
        settings = settings_of(registry=RegistrySettings(stale_duration_s=60))
        self.pool = BlockingPool("generate", threads=1, waiting_max=100, refusal="full")
        self.generator = MetricsGenerator(
            settings,
            lambda _: tenant_generator(settings, limits),
            [sink or self.taken.append],
            self.pool,
            self.metrics,
            self.clock,
            labels=TenantLabels(10),
            instance="here",
        )
        builder = SpanBuilder()
        tap = self.generator.tap(TENANT)
        builder.append(CALL)
        tap.take(builder)

    def until(self, is_over: Callable[[], bool]) -> None:
        """Run until something is so, then drain."""

        async def run() -> None:
            task = asyncio.ensure_future(self.generator.run())
            async with asyncio.timeout(30):
                while not is_over():
                    await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.generator.drain()

        try:
            asyncio.run(run())
        finally:
            self.pool.close()

    @property
    def seconds(self) -> float:
        """How long it has run by its own clock."""
        return (self.clock.time_ns - self.begun_ns) / 1e9


def names(collection: Collection) -> set[str]:
    return {dict(labels)["__name__"] for labels in values_of(collection)}


def test_series_are_written_out_at_intervals_and_waiting_ends() -> None:
    running = Running()
    running.until(lambda: len(running.taken) >= 4)
    first, second, third = running.taken[:3]
    assert 15_000 <= second.time_ms - first.time_ms <= 16_000
    assert "traces_service_graph_request_total" not in names(first)
    assert "traces_service_graph_request_total" in names(third), "the client was given up by then"


def test_stale_series_go_and_idle_tenants_with_them() -> None:
    running = Running()
    running.until(lambda: running.seconds > 300)
    assert len(running.taken[0].series) > 0
    assert running.generator.latest(TENANT) is None


def test_a_stop_writes_everything_out_once_more() -> None:
    running = Running()
    running.until(lambda: True)
    assert len(running.taken) == 1
    assert "traces_spanmetrics_calls_total" in names(running.taken[0])


def test_a_tenant_may_be_counted_and_not_written_out() -> None:
    running = Running(dataclasses.replace(LIMITS, disable_collection=True))
    running.until(lambda: running.seconds > 20)
    assert running.taken == []
    shown = running.generator.latest(TENANT)
    assert shown is not None
    assert "traces_spanmetrics_calls_total" in names(shown)


def test_a_sink_that_fails_is_counted_and_tried_again() -> None:
    tried: list[int] = []

    def fail(collection: Collection) -> None:
        tried.append(collection.time_ms)
        raise ValueError("no room")

    running = Running(sink=fail)
    running.until(lambda: len(tried) >= 2)
    name = "tempo_metrics_generator_registry_collections_failed_total"
    assert running.metrics.value(name, tenant=TENANT) == len(tried)


def test_texts_beyond_their_memory_are_forgotten_at_once() -> None:
    registry = RegistrySettings(texts_bytes_max=1 << 20)
    limits = dataclasses.replace(LIMITS, processors=("span-metrics-count",), max_active_series=5)
    counted = Counted(settings=settings_of(registry=registry), limits=limits)
    for first in range(0, 120_000, 20_000):
        names_of = (f"name {number}" for number in range(first, first + 20_000))
        counted.take(request(spans=[span(trace=1, id=1, name=name) for name in names_of]))
    assert sum(counted.values().values()) == 120_000
    assert len(counted.tenant._vocabulary) < 120_000


def test_labels_of_target_info_have_a_bound(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(infos, "LABELS_MAX", 3)
    limits = dataclasses.replace(
        LIMITS,
        processors=("span-metrics-count",),
        processor=TenantProcessors(span_metrics=TenantSpanMetrics(enable_target_info=True)),
    )
    counted = Counted(limits=limits)
    resource = {"service.name": "shop", "a": "1", "b": "2", "c": "3"}
    counted.take(request(resource=resource, spans=[span(trace=1, id=1)]))
    assert counted.value("traces_target_info", job="shop", a="1") == 1
    assert "more attributes than labels" in caplog.text
