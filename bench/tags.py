"""What autocomplete costs over many blocks, and on a key with a million values: CPU milliseconds.

python bench/tags.py --blocks 100 --spans 10000
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parent))
from load import START_NS, batch, pair, requests, resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tracestore import kernel
from tracestore.api.tag_answers import find_names, find_values
from tracestore.api.tag_params import parse_names, parse_values
from tracestore.clock import SystemClock
from tracestore.codec.tags_json import render_names_v2_json, render_values_v2_json
from tracestore.model.ids import SINGLE_TENANT, BlockId
from tracestore.query.block_source import BlockSource
from tracestore.query.control import QueryControl
from tracestore.query.source import SpanSource
from tracestore.services.ingester.live import LiveSource
from tracestore.settings.tree import BlockSettings, QuerySettings
from tracestore.storage.block.cache import BlockCache
from tracestore.storage.block.table_reader import SpanTablesReader, TableReader
from tracestore.storage.block.writer import BlockIdentity, BlockWriter
from tracestore.storage.objects.local import LocalObjectStore

T = TypeVar("T")
SETTINGS = QuerySettings()
CART = '{ resource.service.name = "cart-api" && name = }'
VALUES = [
    ("resource.service.name", ""),
    ("resource.k8s.pod.name", ""),
    ("name", ""),
    ("rootName", ""),
    ("status", ""),
    ("span.http.response.status_code", ""),
    (".http.route", ""),
    ("span.queue.wait_ms", ""),
    ("event.exception.message", ""),
    ("span.user.id", ""),
    ("span.url.path", ""),
    ("span.request.id", ""),
    ("name", CART),
    ("span.user.id", CART),
    ("rootName", CART),
]
NAMES = [("", ""), ("span", ""), ("", CART)]


def write_block(
    store: LocalObjectStore, cache: BlockCache, reader: TableReader, number: int
) -> BlockSource:
    """Write a block and open it."""
    writer = BlockWriter(store, BlockSettings(), SystemClock())
    identity = BlockIdentity(id=BlockId(f"{number * 0x9E3779B9:032x}"), tenant=SINGLE_TENANT)
    return BlockSource(store, writer.write(reader, identity), cache)


def million(spans: int) -> Iterator[bytes]:
    """Yield requests of spans each of which has a text, a number and a route of its own."""
    rng = random.Random(7)
    resources = [resource(0, 0)]
    for first in range(0, spans, 1000):
        made = []
        for number in range(first, min(first + 1000, spans)):
            span = Span(
                trace_id=rng.randbytes(16),
                span_id=rng.randbytes(8),
                name="GET /",
                start_time_unix_nano=START_NS + number,
                end_time_unix_nano=START_NS + number + 1000,
            )
            span.attributes.extend([pair("session.id", rng.randbytes(16).hex()), pair("n", number)])
            made.append((number, 0, span.SerializeToString()))
        yield batch(made, resources)


def values(sources: list[SpanSource], cache: BlockCache, tag: str, text: str) -> tuple[int, int]:
    """Ask for values as the API does. Returns: how many, and the bytes of the answer."""
    params = parse_values({"q": text}, tag, SETTINGS, now_s=0, is_legacy=False)
    control = QueryControl(clock=SystemClock())
    found = find_values(sources, params, SETTINGS, control, cache=cache)
    return len(found.texts), len(render_values_v2_json(found))


def names(sources: list[SpanSource], scope: str, text: str) -> tuple[int, int]:
    """Ask for names as the API does. Returns: how many, and the bytes of the answer."""
    params = parse_names({"scope": scope, "q": text}, SETTINGS, now_s=0, is_legacy=False)
    found = find_names(sources, params, SETTINGS, QueryControl(clock=SystemClock()))
    return len(found.flat), len(render_names_v2_json(found))


def cpu_ms(work: Callable[[], T]) -> tuple[float, T]:
    """Time one call."""
    begin = time.process_time_ns()
    result = work()
    return (time.process_time_ns() - begin) / 1e6, result


def report(title: str, work: Callable[[], tuple[int, int]], runs: int) -> None:
    """Print the first call and the median of some more."""
    cold, _ = cpu_ms(work)
    warm = sorted(cpu_ms(work)[0] for _ in range(runs))
    count, size = work()
    print(f"{cold:>9.1f} {warm[runs // 2]:>9.1f} {count:>8} {size:>9}  {title}", flush=True)


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=100)
    parser.add_argument("--spans", type=int, default=10_000, help="spans of a block")
    parser.add_argument("--distinct", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    head = f"{'cold ms':>9} {'warm ms':>9} {'found':>8} {'bytes':>9}  "
    with tempfile.TemporaryDirectory() as directory:
        store, cache = LocalObjectStore(Path(directory)), BlockCache(1 << 30)
        sources: list[SpanSource] = []
        for number in range(arguments.blocks):
            made = list(requests(arguments.spans, seed=number))
            reader = SpanTablesReader(kernel.build_tables(made))
            sources.append(write_block(store, cache, reader, number))
        print(f"{head}{arguments.blocks} blocks of {arguments.spans} spans")
        for scope, text in NAMES:
            report(f"names {scope} {text}", partial(names, sources, scope, text), arguments.runs)
        for tag, text in VALUES:
            work = partial(values, sources, cache, tag, text)
            report(f"{tag} {text}", work, arguments.runs)

        builder = kernel.SpanBuilder()
        for request in million(arguments.distinct):
            builder.append(request)
        frozen = builder.freeze()
        live: list[SpanSource] = [LiveSource(frozen, "live")]
        block: list[SpanSource] = [write_block(store, cache, frozen, arguments.blocks)]
        for title, one in (("live tables", live), ("a block", block)):
            print(f"\n{head}{title}, {arguments.distinct} values of a key")
            for tag in ("span.session.id", "span.n", "name"):
                report(tag, partial(values, one, cache, tag, ""), arguments.runs)


if __name__ == "__main__":
    main()
