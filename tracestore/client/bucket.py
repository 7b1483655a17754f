"""A bucket as a backend: its blocks, and the logs in it, only read.

Where it is and how it is asked comes from the settings of the environment
(``TRACESTORE_STORAGE__S3__ENDPOINT`` and so on) and the usual AWS chain. What a running ingester
keeps in a log on its own disk is in no bucket: a warning says so.
"""

from __future__ import annotations

import logging
import random
import threading
from concurrent.futures import ThreadPoolExecutor

from tracestore.client.engine import EngineBackend
from tracestore.clock import Clock, SystemClock
from tracestore.errors import InvalidRequestError, UnavailableError
from tracestore.model.ids import SINGLE_TENANT, parse_tenant_id
from tracestore.query.block_source import BlockSource
from tracestore.query.read_ahead import ReadAhead
from tracestore.query.source import SpanSource
from tracestore.services.live.orphans import BucketOrphans
from tracestore.settings.flags import parse_arguments
from tracestore.settings.load import load_settings
from tracestore.settings.tree import Settings
from tracestore.storage.index.blocklist import BlockList, merge_newest_first
from tracestore.storage.index.commits import CommitLog
from tracestore.storage.index.writers import WalHome
from tracestore.storage.objects.cached import CachedObjectStore
from tracestore.storage.objects.s3_start import open_s3
from tracestore.storage.wal.ranges import same_log

log = logging.getLogger(__name__)

SCHEME = "s3://"
ATTEMPTS = 8
"""Times that a snapshot is tried while servers flush."""


class _NoMetrics:
    """Nobody looks at the requests of a command."""

    def request(
        self, operation: str, outcome: str, seconds: float, sent_bytes: int, received_bytes: int
    ) -> None:
        """Forget it."""


class BucketBackend(EngineBackend):
    """Asks one bucket; each question sees it as it is then. Thread-safe.

    Args:
        place: ``s3://BUCKET`` or ``s3://BUCKET/PREFIX``.
        tenant: whose spans are looked at, ``a|b`` for several; None: those of a server without
            tenants.

    Raises: InvalidRequestError if a name is bad; SettingsError if the bucket cannot be used.
    """

    def __init__(
        self, place: str, *, tenant: str | None = None, clock: Clock | None = None
    ) -> None:
        super().__init__(clock or SystemClock())
        self._place = place
        names = [SINGLE_TENANT] if tenant is None else map(parse_tenant_id, tenant.split("|"))
        self._tenants = tuple(sorted(set(names)))
        self._is_named = tenant is not None
        settings = _settings_of(place)
        rng = random.SystemRandom()
        bucket = open_s3(settings.storage.s3, _NoMetrics(), self._clock, rng, writes=False)
        self._store = CachedObjectStore(bucket, None)
        self._commits = CommitLog(self._store, self._clock, rng, writer="reader")
        self._logs = BucketOrphans(
            self._store,
            attribute_columns_max=settings.storage.block.attribute_columns_max,
            bytes_max=settings.ingester.wal.bucket.orphan_bytes_max,
        )
        self._ahead_max = settings.storage.read_ahead_blocks
        self._executor = ThreadPoolExecutor(max(1, self._ahead_max), "read-ahead")
        self._lock = threading.Lock()
        """One look at index and logs at a time."""

    @property
    def name(self) -> str:
        return self._place

    def sources(self) -> list[SpanSource]:
        with self._lock:
            blocks, live = self._snapshot()
        self._warn(blocks)
        metas = merge_newest_first(blocks.blocks(tenant) for tenant in self._tenants)
        opened = [BlockSource(self._store, meta, self._cache) for meta in metas]
        if not self._ahead_max:
            return [*live, *opened]
        return [*live, *ReadAhead(opened, self._executor, blocks_max=self._ahead_max).sources]

    def _snapshot(self) -> tuple[BlockList, list[SpanSource]]:
        """Read index and logs until the index says the same of the logs as before."""
        blocks = self._commits.catch_up()
        for _ in range(ATTEMPTS):
            live: list[SpanSource] = []
            for writer in blocks.writers.values():
                if writer.wal is WalHome.BUCKET:
                    live += self._logs.sources(writer, self._tenants, blocks)
            before, blocks = blocks, self._commits.catch_up()
            if blocks.writers.keys() == before.writers.keys() and all(
                same_log(id, before, blocks) for id in blocks.writers
            ):
                return blocks, live
        raise UnavailableError(f"{self._place} changed {ATTEMPTS} times while it was read")

    def _warn(self, blocks: BlockList) -> None:
        """Say what is not looked at."""
        on_disks = sorted(w.instance for w in blocks.writers.values() if w.wal is WalHome.DISK)
        if on_disks:
            log.warning(
                "spans that %s has in no block yet are in the log on its disk, not in %s: ask a "
                "server for those",
                ", ".join(on_disks),
                self._place,
            )
        others = sorted(set(blocks.tenants) - set(self._tenants))
        if others and not self._is_named:
            log.warning(
                "%s holds spans of %d other tenants, which are not looked at unless named: %s",
                self._place,
                len(others),
                ", ".join(others[:10]),
            )


def _settings_of(place: str) -> Settings:
    bucket, _, prefix = place.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise InvalidRequestError(f"{place!r} names no bucket: s3://BUCKET/PREFIX")
    flags = ["--storage.backend=s3", f"--storage.s3.bucket={bucket}"]
    flags.append(f"--storage.s3.prefix={prefix.strip('/')}")
    return load_settings(parse_arguments(flags)).settings
