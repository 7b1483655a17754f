"""CPU seconds per million samples of remote write: into the queue, and out of it as requests.

python bench/remote_write.py [--series 400000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from tracestore.codec.exposition.text import TextWriter
from tracestore.codec.remote_write.columns import columns_of, decode_columns, encode_columns
from tracestore.codec.remote_write.messages import compress, encode_v1, encode_v2
from tracestore.codec.remote_write.outgoing import plan_requests
from tracestore.codec.remote_write.series import SentSeries, SeriesTable
from tracestore.model.collection import Collection, Exemplars, Family, Labels, MetricType
from tracestore.model.ids import SINGLE_TENANT

BUCKETS = [str(0.002 * 2**i) for i in range(14)] + ["+Inf"]
FAMILY = Family(
    name="traces_spanmetrics_latency", type=MetricType.HISTOGRAM, help="Duration of spans."
)


def span_metrics(series: int) -> Collection:
    """Make latency of spans: 17 series for each set of labels."""
    per_set = len(BUCKETS) + 2
    sets = series // per_set
    labels: dict[int, Labels] = {}
    for i in range(sets):
        base = {
            "service": f"service-{i % 200}",
            "span_name": f"GET /api/v1/resource/{i}",
            "span_kind": "SPAN_KIND_SERVER",
            "status_code": "STATUS_CODE_UNSET",
            "__metrics_gen_instance": "tracestore-metrics-generator-0",
        }
        named = [("_bucket", {"le": le}) for le in BUCKETS] + [("_sum", {}), ("_count", {})]
        for j, (suffix, more) in enumerate(named):
            all_labels = base | more | {"__name__": FAMILY.name + suffix}
            labels[i * per_set + j] = tuple(sorted(all_labels.items()))
    count = len(labels)
    rng = np.random.default_rng(7)
    marked = np.sort(rng.choice(count, count // 50, replace=False))
    return Collection(
        tenant=SINGLE_TENANT,
        time_ms=1_760_000_000_000,
        series=np.arange(count),
        values=rng.integers(0, 100_000, count).astype(np.float64),
        times_ms=np.full(count, 1_760_000_000_000),
        labels=labels,
        families=dict.fromkeys(labels, FAMILY),
        exemplars=Exemplars(
            series=marked,
            values=rng.random(len(marked)),
            times_ms=np.full(len(marked), 1_760_000_000_000),
            label="traceID",
            trace_ids=[f"{i:032x}" for i in range(len(marked))],
        ),
    )


def measure(name: str, samples: int, work: Callable[[], object], times: int = 3) -> None:
    """Print the best CPU time of some runs."""
    best = min(_cpu(work) for _ in range(times))
    print(f"{name:44} {best / samples * 1e6:8.3f} CPU-s per million")


def _cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=400_000)
    collection = span_metrics(parser.parse_args().series)
    columns = columns_of(collection)
    count = len(columns.series)
    table = SeriesTable()
    sent = SentSeries(table, None)
    print(f"{count} series, {len(columns.exemplar_ids)} exemplars")
    measure(
        "labels into bytes, once per series", count,
        lambda: table.add(columns.numbers, collection.labels, collection.families), times=1,
    )  # fmt: skip
    measure("labels as symbols (2.0), once per series", count, sent.symbols_v2, times=1)
    measure("sort a collection", count, lambda: columns_of(collection))
    payload = encode_columns(columns)
    print(f"{len(payload) / count:.2f} bytes a sample in the queue")
    measure("into bytes for the queue", count, lambda: encode_columns(columns))
    measure("out of them", count, lambda: decode_columns(payload))
    plan = plan_requests(columns, sent, not_before_ms=0, samples_max=2000)
    measure(
        "plan requests", count,
        lambda: plan_requests(columns, sent, not_before_ms=0, samples_max=2000),
    )  # fmt: skip
    labels, symbols = sent.labels_v1(), sent.symbols_v2()
    for name, encode in (
        ("remote write 1.0", lambda batch: encode_v1(batch, labels)),
        ("remote write 2.0", lambda batch: encode_v2(batch, symbols)),
    ):
        messages = [encode(batch) for batch in plan.batches]
        packed = [compress(message) for message in messages]
        sizes = [sum(map(len, each)) / count for each in (messages, packed)]
        print(f"{name}: {sizes[0]:.1f} bytes a sample, {sizes[1]:.1f} compressed")
        measure(f"{name}, encode", count, lambda e=encode: [e(b) for b in plan.batches])
        measure(f"{name}, compress", count, lambda m=messages: [compress(x) for x in m])
    writer = TextWriter()
    measure(
        "text for a scrape, the first one", count,
        lambda: writer.write(collection, open_metrics=True), times=1,
    )  # fmt: skip
    for open_metrics in (False, True):
        name = "OpenMetrics" if open_metrics else "text 0.0.4"
        measure(
            f"text for a scrape, {name}", count,
            lambda o=open_metrics: writer.write(collection, open_metrics=o),
        )  # fmt: skip


if __name__ == "__main__":
    main()
