"""The metrics of one tenant: its processors, their series, and the texts of its labels.

Spans come from the thread that decodes; collections and the end of waiting come from another. One
lock is held for each batch and each collection.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Protocol

import numpy as np

from tracestore.clock import Clock
from tracestore.kernel import SpanBuilder
from tracestore.model.collection import Collection
from tracestore.model.ids import TenantId
from tracestore.services.generator.collecting import Naming, collect
from tracestore.services.generator.counts import (
    OUTSIDE_SLACK,
    SPAN_METRICS_FILTERED,
    GeneratorCounts,
)
from tracestore.services.generator.infos import HOST_INFO, HostInfo, TargetInfo
from tracestore.services.generator.latency import LatencyKinds
from tracestore.services.generator.reading import SPANS_PER_BATCH, HeadReader, SpanBatch
from tracestore.services.generator.series import Budget, Context, Group
from tracestore.services.generator.service_graphs import PARTS as GRAPH_PARTS
from tracestore.services.generator.service_graphs import ServiceGraphs
from tracestore.services.generator.span_metrics import PARTS as SPAN_PARTS
from tracestore.services.generator.span_metrics import SpanMetrics
from tracestore.services.generator.vocabulary import Numbers, Vocabulary
from tracestore.settings.generator_limits import TenantGenerator
from tracestore.settings.generator_tree import GeneratorSettings

INSTANCE_LABEL = "__metrics_gen_instance"
ENTITY_LIMITER = "entity"
UNUSED_TEXTS_MIN = 50_000
"""A vocabulary is made anew once it has so many texts more than twice those in use."""


_GENERATIONS = itertools.count(1)
"""A tenant that was forgotten and comes back numbers its series anew."""


class Processor(Protocol):
    """What all processors have in common."""

    @property
    def name(self) -> str:
        """What Tempo calls it."""

    @property
    def groups(self) -> tuple[Group, ...]:
        """Its series."""

    def used(self) -> list[Numbers]:
        """Name the numbers of texts that are in use."""

    def renumber(self, numbers: Numbers) -> None:
        """Put new numbers of texts for the old ones, and forget what they meant."""

    def forget(self) -> None:
        """Forget what numbers of texts meant."""


class RetiredError(Exception):
    """The metrics were let go between finding them and counting: find them anew."""


class TenantMetrics:
    """Counts the spans of a tenant. Thread-safe."""

    def __init__(
        self,
        tenant: TenantId,
        settings: GeneratorSettings,
        config: Callable[[], TenantGenerator],
        clock: Clock,
        counts: GeneratorCounts,
        *,
        instance: str,
    ) -> None:
        """Args:
        config: what holds for the tenant now; the same object while nothing changes.
        instance: names this process in a label of all series.
        """
        self.tenant = tenant
        self.next_collection_ns = 0
        """Monotonic time of the next collection."""
        self.touched_ns = clock.monotonic_ns()
        """Monotonic time of the last span."""
        self._settings = settings
        self._config = config
        self._clock = clock
        self._counts = counts
        self._instance = instance
        self._lock = threading.Lock()
        self._vocabulary = self._new_vocabulary()
        self._texts_bytes_max = settings.registry.texts_bytes_max
        self._holds: TenantGenerator | None = None
        self._spans: SpanMetrics | None = None
        self._graphs: ServiceGraphs | None = None
        self._targets: TargetInfo | None = None
        self._hosts: HostInfo | None = None
        self._generation = next(_GENERATIONS)
        self._numbers: dict[int, Group] = {}
        self._next_number = 1
        self._budget = Budget()
        self._series_shown = 0
        self._is_retired = False

    def _new_vocabulary(self) -> Vocabulary:
        return Vocabulary(bytes_max=self._settings.registry.max_label_value_length)

    def reader(self) -> HeadReader:
        """Make what reads a head."""
        return HeadReader(self._vocabulary)

    def consume(self, reader: HeadReader, builder: SpanBuilder) -> None:
        """Count what is new in a head. Raises: RetiredError."""
        stop = builder.spans
        if stop == reader.rows:
            return
        with self._lock:
            if self._is_retired:
                raise RetiredError
            self._follow()
            self.touched_ns = self._clock.monotonic_ns()
            if not self._processors:
                reader.rows = stop
                return
            while reader.rows < stop:
                if reader.vocabulary is not self._vocabulary:
                    reader.forget(self._vocabulary)
                batch = reader.read(builder, min(stop, reader.rows + SPANS_PER_BATCH))
                self._consume(batch)
                if self._vocabulary.memory_bytes > self._texts_bytes_max:
                    self._forget_texts()

    def _consume(self, batch: SpanBatch) -> None:
        assert self._holds is not None
        self._counts.received(len(batch), int(batch.field("wire_size").sum()))
        slack_ns = int(self._holds.slack_s * 1e9)
        away = np.abs(batch.end_ns - self._clock.now_ns())
        in_time = away <= slack_ns
        if not in_time.all():
            late = len(batch) - int(in_time.sum())
            self._counts.discarded(late, OUTSIDE_SLACK, "all")
            batch = batch.only(np.nonzero(in_time)[0])
        if len(batch) == 0:
            return
        context = self._context()
        if self._spans is not None:
            filtered = self._spans.consume(batch, context)
            self._counts.discarded(filtered, SPAN_METRICS_FILTERED, self._spans.name)
        if self._targets is not None:
            self._targets.consume(batch, context)
        if self._graphs is not None:
            self._counts.paired(self._graphs.consume(batch, context))
        if self._hosts is not None:
            self._hosts.consume(batch, context)
        self._counts.limited(context.refused)

    def _context(self) -> Context:
        now_s = self._clock.monotonic_ns() / 1e9
        return Context(now_s=now_s, vocabulary=self._vocabulary, budget=self._budget)

    @property
    def _processors(self) -> list[Processor]:
        every = (self._spans, self._targets, self._graphs, self._hosts)
        return [one for one in every if one is not None]

    def _follow(self) -> None:
        """Begin or end processors as the configuration says. What changes begins at zero."""
        holds = self._config()
        if holds is self._holds:
            return
        before, self._holds = self._holds, holds
        if holds == before:
            return
        parts, processor = holds.processors, holds.processor
        kinds = LatencyKinds.of(holds.limits)

        def is_same(section: str, every: frozenset[str]) -> bool:
            return (
                before is not None
                and getattr(before.processor, section) == getattr(processor, section)
                and before.processors & every == parts & every
                and LatencyKinds.of(before.limits) == kinds
                and before.limits.span_name_sanitization == holds.limits.span_name_sanitization
            )

        if not is_same("span_metrics", SPAN_PARTS):
            spans, self._spans, self._targets = processor.span_metrics, None, None
            if parts & SPAN_PARTS:
                self._spans = SpanMetrics(
                    spans, parts, kinds, sanitization=holds.limits.span_name_sanitization
                )
                self._targets = TargetInfo(spans) if spans.enable_target_info else None
        if not is_same("service_graphs", GRAPH_PARTS):
            self._graphs = None
            if parts & GRAPH_PARTS:
                self._graphs = ServiceGraphs(processor.service_graphs, parts, kinds)
        if not is_same("host_info", frozenset({HOST_INFO})):
            self._hosts = HostInfo(processor.host_info) if HOST_INFO in parts else None
        self._number_groups()
        self._budget = self._new_budget(holds)

    def _number_groups(self) -> None:
        """Give new groups numbers that none ever had."""
        groups = [group for processor in self._processors for group in processor.groups]
        kept = {number: group for number, group in self._numbers.items() if group in groups}
        for group in groups:
            if group not in kept.values():
                kept[self._next_number] = group
                self._next_number += 1
        self._numbers = kept

    def _new_budget(self, holds: TenantGenerator) -> Budget:
        by_entity = self._settings.limiter_type == ENTITY_LIMITER
        return Budget(
            series_max=0 if by_entity else holds.limits.max_active_series,
            entities_max=holds.limits.max_active_entities if by_entity else 0,
            label_values_max=holds.limits.max_cardinality_per_label,
            groups=tuple(self._numbers.values()),
        )

    def expire(self) -> None:
        """End the waiting of requests whose other side does not come."""
        with self._lock:
            if self._graphs is not None:
                context = self._context()
                self._counts.paired(self._graphs.expire(context))
                self._counts.limited(context.refused)

    @property
    def interval_s(self) -> float:
        """How often series are written out."""
        return self._config().collection_interval_s

    @property
    def is_collected(self) -> bool:
        """Whether series are written out at all."""
        return not self._config().limits.disable_collection

    def collect(self) -> Collection | None:
        """Take all series, to be written out. None: there are no processors."""
        return self._collect(begins=True)

    def latest(self) -> Collection | None:
        """Take all series, to be looked at."""
        return self._collect(begins=False)

    def _collect(self, *, begins: bool) -> Collection | None:
        with self._lock:
            self._follow()
            if not self._processors:
                return None
            now_ms = self._clock.now_ns() // 1_000_000
            found = collect(
                self.tenant,
                self._numbers,
                self._vocabulary,
                self._naming(),
                now_ms,
                begins=begins,
                generation=self._generation,
            )
            self._show()
            return found

    def _show(self) -> None:
        groups = self._numbers.values()
        series = sum(len(group.entities) * group.width for group in groups)
        self._counts.added(max(0, series - self._series_shown))
        self._series_shown = series
        self._counts.active(series, self._budget.series_max, [one.name for one in self._processors])
        if self._spans is not None and self._holds and self._holds.limits.span_name_sanitization:
            self._counts.span_names(*self._spans.span_names.counts())

    def _naming(self) -> Naming:
        registry = self._settings.registry
        assert self._holds is not None
        external = dict(registry.external_labels) | {INSTANCE_LABEL: self._instance}
        if registry.inject_tenant_id_as:
            external[registry.inject_tenant_id_as] = self.tenant
        return Naming(
            external=tuple(external.items()),
            name_bytes_max=registry.max_label_name_length,
            trace_id_label=self._holds.limits.trace_id_label_name,
        )

    def prune(self) -> None:
        """Let series go that no span touched for long, and texts that nothing uses."""
        now_s = self._clock.monotonic_ns() / 1e9
        before_s = now_s - self._settings.registry.stale_duration_s
        with self._lock:
            gone = 0
            for group in self._numbers.values():
                gone += group.entities.prune(before_s) * group.width
                group.forget_values()
            self._counts.removed(gone)
            self._series_shown -= gone
            self._forget_texts()

    def _forget_texts(self) -> None:
        """Begin a new vocabulary with the texts that are in use, if most are not."""
        used = [numbers for processor in self._processors for numbers in processor.used()]
        kept = np.unique(np.concatenate([np.zeros(1, np.int32), *used]))
        if len(self._vocabulary) >= 2 * len(kept) + UNUSED_TEXTS_MIN:
            self._renumber(kept)
        most = self._settings.registry.texts_bytes_max
        self._texts_bytes_max = max(most, 2 * self._vocabulary.memory_bytes)

    def _renumber(self, kept: Numbers) -> None:
        old, self._vocabulary = self._vocabulary, self._new_vocabulary()
        numbers = np.zeros(len(old), np.int32)
        numbers[kept] = self._vocabulary.numbers(old.take(kept))
        for processor in self._processors:
            processor.renumber(numbers)
        for group in self._numbers.values():
            group.forget_values()

    def retire(self, before_ns: int) -> bool:
        """Take no spans any more, if there is no series and none has come since a monotonic time.

        Returns: whether that is so.
        """
        with self._lock:
            has_series = any(len(group.entities) for group in self._numbers.values())
            self._is_retired = not has_series and self.touched_ns < before_ns
            return self._is_retired
