"""Span metrics: how many spans, how long, how large, by service, name, kind, status and dimensions.

Source: wire contract, 17.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracestore.kernel import TextTable
from tracestore.model import span_metrics as names
from tracestore.services.generator.histograms import Observations
from tracestore.services.generator.instruments import Counter
from tracestore.services.generator.latency import Latencies, LatencyKinds
from tracestore.services.generator.policies import Policies
from tracestore.services.generator.reading import SpanBatch, present_or_empty
from tracestore.services.generator.sanitizing import SpanNames
from tracestore.services.generator.series import Context, Group, SeriesInstrument
from tracestore.services.generator.vocabulary import ABSENT, Numbers, Vocabulary
from tracestore.services.generator.weights import SpanWeights
from tracestore.settings.generator_tree import DimensionMapping, SpanMetricsSettings

Column = Callable[[SpanBatch], Numbers]

COUNT: Final = "span-metrics-count"
LATENCY: Final = "span-metrics-latency"
SIZE: Final = "span-metrics-size"
PARTS: Final = frozenset({COUNT, LATENCY, SIZE})


class SpanMetrics:
    """Counts every span. Used by one thread at a time."""

    name = "span-metrics"

    def __init__(
        self,
        settings: SpanMetricsSettings,
        parts: frozenset[str],
        kinds: LatencyKinds,
        *,
        sanitization: str = "",
    ) -> None:
        """Args:
        parts: which of ``PARTS`` are made.
        kinds: which histograms, and how.
        sanitization: of names of spans: ``enabled``, ``dry_run``, or empty for off.
        """
        self._settings = settings
        self._sanitization = sanitization
        self.span_names = SpanNames()
        self._policies = Policies(settings.filter_policies)
        self._weights = SpanWeights(
            ratio_key=settings.span_multiplier_key,
            use_trace_state=settings.enable_tracestate_span_multiplier,
        )
        self._names = _NamedNumbers()
        self._jobs = JobLabels()
        self._columns = self._make_columns()
        self._calls = Counter(names.CALLS, "Spans.") if COUNT in parts else None
        self._size = Counter(names.SIZE, "Bytes of spans.") if SIZE in parts else None
        self._latency = (
            Latencies(
                names.LATENCY, "Duration of spans, in seconds.", settings.histogram_buckets, kinds
            )
            if LATENCY in parts
            else None
        )
        instruments: list[SeriesInstrument] = []
        instruments += [one for one in (self._calls, self._size) if one is not None]
        if self._latency is not None:
            instruments.extend(self._latency.instruments)
        self.group = Group(list(self._columns), instruments)
        self.groups = (self.group,)

    def _make_columns(self) -> dict[str, Column]:
        """Label -> how to get it; of two that have one name the later one stays."""
        intrinsic = self._settings.intrinsic_dimensions
        every: dict[str, Column] = {
            names.SERVICE: lambda batch: batch.services,
            names.SPAN_NAME: self._span_name,
            names.SPAN_KIND: self._names.kinds,
            names.STATUS_CODE: self._names.statuses,
            names.STATUS_MESSAGE: lambda batch: batch.text("status_message"),
        }
        columns = {name: every[name] for name in every if getattr(intrinsic, name)}
        for key in self._settings.dimensions:
            columns[names.dimension_label(key)] = _attribute(key)
        for mapping in self._settings.dimension_mappings:
            columns[names.dimension_label(mapping.name)] = MappedLabel(mapping).numbers
        if self._settings.enable_target_info:
            columns[names.JOB] = self._jobs.jobs
            if self._settings.enable_instance_label:
                columns[names.INSTANCE] = _resource_attribute("service.instance.id")
        return columns

    def _span_name(self, batch: SpanBatch) -> Numbers:
        sent = batch.text("name")
        if not self._sanitization:
            return sent
        sanitized = self.span_names.of(batch.vocabulary, sent)
        return sanitized if self._sanitization == "enabled" else sent

    def consume(self, batch: SpanBatch, context: Context) -> int:
        """Count spans. Returns: how many a filter left out."""
        kept = self._policies.kept(batch)
        chosen = slice(None) if kept is None else np.nonzero(kept)[0]
        columns = [present_or_empty(column(batch)) for column in self._columns.values()]
        rows = np.stack(columns, axis=1) if columns else np.empty((len(batch), 0), np.int32)
        places = self.group.places(np.ascontiguousarray(rows[chosen]), context)
        weights = self._weights.of(batch)
        weights = None if weights is None else weights[chosen]
        if self._calls is not None:
            self._calls.add(places, weights)
        if self._size is not None:
            self._size.add(places, batch.field("wire_size")[chosen].astype(np.float64))
        if self._latency is not None:
            seen = Observations(
                places=places,
                seconds=batch.seconds[chosen],
                weights=weights,
                trace_ids=batch.trace_ids[chosen],
            )
            self._latency.observe(seen, context.now_s)
        return 0 if kept is None else len(batch) - len(places)

    def forget(self) -> None:
        """Forget what numbers of texts meant, for the vocabulary is another one."""
        self._policies.forget()
        self.span_names = SpanNames()
        self._names = _NamedNumbers()
        self._jobs = JobLabels()
        self._columns = self._make_columns()

    def used(self) -> list[Numbers]:
        """Name the numbers of texts that are in use."""
        return [self.group.entities.rows[1:].reshape(-1)]

    def renumber(self, numbers: Numbers) -> None:
        """Put new numbers of texts for the old ones."""
        self.group.entities.renumber(numbers)
        self.forget()


def _attribute(key: str) -> Column:
    return lambda batch: batch.attribute(key)


def _resource_attribute(key: str) -> Column:
    return lambda batch: batch.resource_attribute(key)


class _NamedNumbers:
    """Kinds and status codes by the numbers of their names."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, ...], Numbers] = {}

    def kinds(self, batch: SpanBatch) -> Numbers:
        return self._of(batch, "kind", names.KIND_NAMES)

    def statuses(self, batch: SpanBatch) -> Numbers:
        return self._of(batch, "status_code", names.STATUS_NAMES)

    def _of(self, batch: SpanBatch, field: str, texts: tuple[str, ...]) -> Numbers:
        if texts not in self._made:
            self._made[texts] = batch.vocabulary.numbers(pa.array(texts, pa.string()))
        known, codes = self._made[texts], batch.field(field)
        odd = (codes < 0) | (codes >= len(texts))
        if not odd.any():
            plain: Numbers = known[codes]
            return plain
        digits = batch.vocabulary.numbers(pc.cast(pa.array(codes[odd]), pa.string()))
        found = known[np.where(odd, 0, codes)]
        found[odd] = digits
        return found


class JobLabels:
    """``job`` of resources: namespace and name of the service, or its name."""

    def __init__(self) -> None:
        self._pairs = TextTable()
        self._of_pairs = np.empty(0, np.int32)

    def jobs(self, batch: SpanBatch) -> Numbers:
        """Get the job of each span: (n,), the empty text where a service has no name."""
        of_spans: Numbers = self.of_resources(batch)[batch.field("resource")]
        return of_spans

    def of_resources(self, batch: SpanBatch) -> Numbers:
        """Get the job of each resource of the head."""
        pairs = np.stack(
            [
                present_or_empty(batch.of_resources("service.namespace")),
                present_or_empty(batch.of_resources("service.name")),
            ],
            axis=1,
        )
        numbers = self._pairs.intern_rows(np.ascontiguousarray(pairs))
        known = len(self._of_pairs)
        if known < len(self._pairs):
            new = self._pairs.rows(2, known)
            space, name = (batch.vocabulary.take(np.ascontiguousarray(new[:, i])) for i in (0, 1))
            full = pc.if_else(
                pc.equal(space, ""), name, pc.binary_join_element_wise(space, name, "/")
            )
            jobs = pc.if_else(pc.equal(name, ""), "", full)
            self._of_pairs = np.concatenate([self._of_pairs, batch.vocabulary.numbers(jobs)])
        found: Numbers = self._of_pairs[numbers]
        return found


class MappedLabel:
    """A label that is put together of several attributes."""

    def __init__(self, mapping: DimensionMapping) -> None:
        self._mapping = mapping
        self._parts = TextTable()
        self._joined = np.empty(0, np.int32)

    def numbers(self, batch: SpanBatch) -> Numbers:
        """Get the label of each span: (n,)."""
        keys = self._mapping.source_labels
        parts = np.stack([present_or_empty(batch.attribute(key)) for key in keys], axis=1)
        numbers = self._parts.intern_rows(np.ascontiguousarray(parts))
        known = len(self._joined)
        if known < len(self._parts):
            new = self._parts.rows(len(keys), known)
            self._joined = np.concatenate([self._joined, self._join(batch.vocabulary, new)])
        found: Numbers = self._joined[numbers]
        return found

    def _join(self, vocabulary: Vocabulary, rows: Numbers) -> Numbers:
        columns = [
            vocabulary.take(np.where(column == 0, np.int32(ABSENT), column)) for column in rows.T
        ]
        if len(columns) == 1:  # a join of one column would leave its nulls out
            return vocabulary.numbers(columns[0].fill_null(""))
        joined = pc.binary_join_element_wise(*columns, self._mapping.join, null_handling="skip")
        return vocabulary.numbers(joined)
