"""Where the process opens its object store, by the settings."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from tracestore.clock import Clock
from tracestore.errors import SettingsError
from tracestore.query.block_source import BlockSource
from tracestore.query.read_ahead import ReadAhead
from tracestore.query.source import SpanSource
from tracestore.services.instruments import StoreInstruments
from tracestore.settings.tree import StorageSettings
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.local import LocalObjectStore
from tracestore.storage.objects.measured import MeasuredObjectStore
from tracestore.telemetry import Metrics

log = logging.getLogger(__name__)

CACHE_DIRECTORY = "cache"
"""In the data directory."""


def open_store(settings: StorageSettings, metrics: Metrics, clock: Clock) -> ObjectStore:
    """Open what holds blocks, index and leases; its requests are measured.

    Raises: SettingsError naming what the operator should mend.
    """
    instruments = StoreInstruments(metrics)
    if settings.backend == "s3":
        return _open_bucket(settings, metrics, clock)
    return MeasuredObjectStore(LocalObjectStore(settings.path), instruments, clock)


def make_reading(
    settings: StorageSettings,
) -> Callable[[Sequence[SpanSource]], AbstractContextManager[Sequence[SpanSource]]]:
    """Make what blocks pass through before a query has them; those in a bucket are read ahead."""
    blocks_max = settings.read_ahead_blocks
    if settings.backend == "local" or blocks_max == 0:
        return nullcontext
    executor = ThreadPoolExecutor(blocks_max, "read-ahead")

    @contextmanager
    def reading(blocks: Sequence[SpanSource]) -> Iterator[Sequence[SpanSource]]:
        known = [block for block in blocks if isinstance(block, BlockSource)]
        assert len(known) == len(blocks), "only blocks are read ahead"
        ahead = ReadAhead(known, executor, blocks_max=blocks_max)
        try:
            yield ahead.sources
        finally:
            ahead.close()

    return reading


def _open_bucket(settings: StorageSettings, metrics: Metrics, clock: Clock) -> ObjectStore:
    """Open a bucket behind the cache on disk; boto3 is loaded here and for nobody else."""
    from tracestore.storage.objects.cached import CachedObjectStore
    from tracestore.storage.objects.disk_cache import DiskCache
    from tracestore.storage.objects.s3_start import open_s3

    store = open_s3(settings.s3, StoreInstruments(metrics), clock, random.SystemRandom())
    chosen = settings.disk_cache
    disk = None
    if chosen.bytes_max:
        path = chosen.path or str(Path(settings.path) / CACHE_DIRECTORY)
        try:
            disk = DiskCache(path, chosen.bytes_max, clock)
        except SettingsError as error:
            if chosen.path:
                raise SettingsError(f"storage.disk_cache.path: {error}") from error
            log.warning("no cache on disk", extra={"error": str(error)})
    if disk is not None:
        kept = disk
        metrics.cache_bytes.labels("disk").set_function(lambda: kept.bytes_held)
        metrics.cache_hits.labels("disk").set_function(lambda: kept.hits)
        metrics.cache_misses.labels("disk").set_function(lambda: kept.misses)
    return CachedObjectStore(store, disk)
