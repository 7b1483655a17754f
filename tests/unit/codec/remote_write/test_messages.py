"""Requests of remote write, read back with the protobuf library."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.collections import collections, counters

from tracestore.codec.proto import remote_write_v1_pb2 as v1
from tracestore.codec.proto import remote_write_v2_pb2 as v2
from tracestore.codec.remote_write.columns import columns_of, decode_columns, encode_columns
from tracestore.codec.remote_write.messages import encode_metadata, encode_v1, encode_v2
from tracestore.codec.remote_write.outgoing import plan_requests
from tracestore.codec.remote_write.relabel import relabel_by
from tracestore.codec.remote_write.series import SentSeries, SeriesTable
from tracestore.model.collection import Collection, Family, MetricType
from tracestore.settings.relabel import RelabelRule

SAMPLES_MAX = st.integers(1, 5)


def table_of(collection: Collection) -> SeriesTable:
    table = SeriesTable()
    numbers = columns_of(collection).numbers
    table.add(numbers, collection.labels, collection.families)
    return table


def shown(value: float) -> object:
    return "nan" if math.isnan(value) else value


def expected(collection: Collection):  # type: ignore[no-untyped-def]
    """Say what arrives: labels -> samples, exemplars, histograms, in a plain walk."""
    found: dict[object, tuple[list, list, list]] = defaultdict(lambda: ([], [], []))
    for n, value, time in zip(
        collection.series.tolist(), collection.values.tolist(), collection.times_ms.tolist(),
        strict=True,
    ):  # fmt: skip
        found[n][0].append((shown(value), time))
    exemplars = collection.exemplars
    for i, n in enumerate(exemplars.series.tolist()):
        found[n][1].append(
            (
                {exemplars.label: exemplars.trace_ids[i]},
                shown(exemplars.values[i]),
                exemplars.times_ms[i],
            )
        )
    native = collection.histograms
    for i, n in enumerate([] if native is None else native.series.tolist()):
        span = slice(native.first_bucket[i], native.first_bucket[i + 1])
        buckets = dict(
            zip(
                native.bucket_index[span].tolist(), native.bucket_counts[span].tolist(), strict=True
            )
        )
        found[n][2].append(
            (
                native.counts[i], native.sums[i], native.zero_counts[i], native.zero_threshold,
                native.schema[i], buckets, bool(native.is_reset[i]), collection.time_ms,
            )
        )  # fmt: skip
    return {n: tuple(each) for n, each in found.items()}


def histogram(h):  # type: ignore[no-untyped-def]
    buckets, index, total = {}, 0, 0
    counts = list(h.positive_counts)
    assert bool(counts) != bool(h.positive_deltas) or not h.positive_spans
    for delta in h.positive_deltas:
        total += delta
        counts.append(float(total))
    at = 0
    for span in h.positive_spans:
        assert span.length > 0
        index += span.offset
        for _ in range(span.length):
            buckets[index] = counts[at]
            index, at = index + 1, at + 1
    assert at == len(counts)
    is_int = h.WhichOneof("count") == "count_int"
    assert is_int == (h.WhichOneof("zero_count") == "zero_count_int")
    return (
        float(h.count_int if is_int else h.count_float), h.sum,
        float(h.zero_count_int if is_int else h.zero_count_float), h.zero_threshold,
        h.schema, buckets, h.reset_hint == 1, h.timestamp,
    )  # fmt: skip


def items(series, exemplar_labels):  # type: ignore[no-untyped-def]
    return (
        [(shown(s.value), s.timestamp) for s in series.samples],
        [(exemplar_labels(e), shown(e.value), e.timestamp) for e in series.exemplars],
        [histogram(h) for h in series.histograms],
    )


def read_v1(data: bytes):  # type: ignore[no-untyped-def]
    for series in v1.WriteRequest.FromString(data).timeseries:
        labels = tuple((label.name, label.value) for label in series.labels)
        yield labels, items(series, lambda e: {label.name: label.value for label in e.labels})


def read_v2(data: bytes, families):  # type: ignore[no-untyped-def]
    request = v2.Request.FromString(data)
    assert request.symbols[0] == ""

    def texts(refs):  # type: ignore[no-untyped-def]
        named = [request.symbols[ref] for ref in refs]
        return tuple(zip(named[::2], named[1::2], strict=True))

    for series in request.timeseries:
        labels = texts(series.labels_refs)
        assert series.samples or series.histograms
        families.append((labels, series.metadata.type, request.symbols[series.metadata.help_ref]))
        yield labels, items(series, lambda e: dict(texts(e.labels_refs)))


@settings(max_examples=60)
@given(collections(), SAMPLES_MAX)
def test_requests_hold_what_was_collected(collection: Collection, samples_max: int) -> None:
    sent = SentSeries(table_of(collection), None)
    columns = decode_columns(encode_columns(columns_of(collection)))
    plan = plan_requests(columns, sent, not_before_ms=0, samples_max=samples_max)
    want = sorted(
        ((collection.labels[n], each) for n, each in expected(collection).items()), key=repr
    )
    families: list[object] = []
    got_v1 = [x for batch in plan.batches for x in read_v1(encode_v1(batch, sent.labels_v1()))]
    got_v2 = [
        x for batch in plan.batches for x in read_v2(encode_v2(batch, sent.symbols_v2()), families)
    ]

    assert sorted(got_v1, key=repr) == want
    assert sorted(got_v2, key=repr) == want
    of = {
        (collection.labels[n], {"counter": 1, "gauge": 2, "histogram": 3}[f.type.value], f.help)
        for n, f in collection.families.items()
    }
    assert set(families) <= of
    for batch in plan.batches:
        counts = batch.counts
        assert counts.samples + counts.histograms <= samples_max or batch.stop == batch.start + 1
    assert not plan.dropped


@settings(max_examples=30)
@given(collections())
def test_series_read_back_from_the_queue_are_the_same(collection: Collection) -> None:
    table = table_of(collection)
    numbers = columns_of(collection).numbers
    again = SeriesTable()
    again.add_encoded(table.encode(numbers))
    again.add_encoded(table.encode(numbers))

    assert again.labels == table.labels
    assert again.families == table.families


def test_what_a_receiver_does_not_want_is_counted_by_reason() -> None:
    collection = counters(1_700_000_000_000, [1.0, 2.0, 3.0])
    table = SeriesTable()
    table.add(np.array([0, 1]), collection.labels, collection.families)
    rule = RelabelRule(action="drop", source_labels=("n",), regex="1")
    sent = SentSeries(table, relabel_by([rule]))
    columns = columns_of(collection)

    plan = plan_requests(columns, sent, not_before_ms=0, samples_max=10)
    assert {reason: counts.samples for reason, counts in plan.dropped.items()} == {
        "dropped_series": 1,
        "unknown_series": 1,
    }
    assert [x for x, _ in read_v1(encode_v1(plan.batches[0], sent.labels_v1()))] == [
        collection.labels[0]
    ]
    late = plan_requests(columns, sent, not_before_ms=columns.time_ms + 1, samples_max=10)
    assert late.dropped["too_old"].samples == 1
    assert not late.batches


def test_labels_are_rewritten_in_both_forms() -> None:
    collection = counters(1_700_000_000_000, [1.0])
    table = table_of(collection)
    rule = RelabelRule(source_labels=("n",), target_label="m", replacement="<$1>")
    sent = SentSeries(table, relabel_by([rule]))
    (batch,) = plan_requests(columns_of(collection), sent, not_before_ms=0, samples_max=10).batches
    want = (("__name__", "calls_total"), ("m", "<0>"), ("n", "0"))

    assert [x for x, _ in read_v1(encode_v1(batch, sent.labels_v1()))] == [want]
    assert [x for x, _ in read_v2(encode_v2(batch, sent.symbols_v2()), [])] == [want]


def test_idle_series_leave_the_table() -> None:
    collection = counters(1_700_000_000_000, [1.0, 2.0, 3.0])
    table = table_of(collection)
    table.touch(np.array([0, 1, 2]), 1000)
    table.touch(np.array([2]), 2000)
    assert table.idle_since(1500) == 2
    rest = table.without_idle(1500)

    assert rest.labels == [collection.labels[2]]
    assert rest.rows_of(np.array([0, 1, 2])).tolist() == [-1, -1, 0]


def test_metadata_is_a_request_of_its_own() -> None:
    family = Family(name="x", type=MetricType.HISTOGRAM, help="Time.")
    (found,) = v1.WriteRequest.FromString(encode_metadata([family])).metadata
    assert (found.metric_family_name, found.type, found.help) == ("x", 3, "Time.")


@pytest.mark.parametrize("samples_max", [1, 2, 7])
def test_no_series_is_in_two_requests(samples_max: int) -> None:
    one = counters(1_700_000_000_000, [1.0, 2.0, 3.0])
    twice = Collection(
        tenant=one.tenant, time_ms=one.time_ms, labels=one.labels, families=one.families,
        series=np.array([0, 1, 2, 0, 1, 2]), values=np.arange(6.0),
        times_ms=one.time_ms + np.array([-5, -5, -5, 0, 0, 0]),
    )  # fmt: skip
    sent = SentSeries(table_of(twice), None)
    plan = plan_requests(columns_of(twice), sent, not_before_ms=0, samples_max=samples_max)
    seen = [labels for b in plan.batches for labels, _ in read_v1(encode_v1(b, sent.labels_v1()))]
    assert len(seen) == len(set(seen)) == 3
