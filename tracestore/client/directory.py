"""A data directory as a backend: its blocks and its write-ahead log, only read.

It answers as a server on the same directory would, with the same functions, whether one is running
or not. Limits of a server that protect it from its users do not hold here.
"""

from __future__ import annotations

import logging
import random
import threading
from pathlib import Path

from tracestore.client.engine import EngineBackend
from tracestore.client.wal_view import EMPTY, SegmentGoneError, read_wal
from tracestore.clock import Clock, SystemClock
from tracestore.errors import InvalidRequestError, UnavailableError
from tracestore.model.ids import SINGLE_TENANT, parse_tenant_id
from tracestore.query.block_source import BlockSource
from tracestore.query.source import SpanSource
from tracestore.storage.index.blocklist import BlockList, merge_newest_first
from tracestore.storage.index.commits import CommitLog
from tracestore.storage.objects.local import LocalObjectStore
from tracestore.storage.wal.replay import list_tenants

log = logging.getLogger(__name__)

WAL_DIRECTORY = "wal"
KNOWN_PARTS = ("index", "blocks", WAL_DIRECTORY)
TENANTS_TOLD = 10
"""Tenants that a warning names."""
ATTEMPTS = 8
"""Times that a snapshot is tried while a server flushes."""


class DirectoryBackend(EngineBackend):
    """Asks one data directory; each question sees it as it is then. Thread-safe.

    Args:
        tenant: whose spans are looked at, ``a|b`` for several; None: those of a server without
            tenants.

    Raises: InvalidRequestError if it is not a data directory, or a name is bad.
    """

    def __init__(
        self, directory: Path, *, tenant: str | None = None, clock: Clock | None = None
    ) -> None:
        _check_directory(directory)
        super().__init__(clock or SystemClock())
        names = [SINGLE_TENANT] if tenant is None else map(parse_tenant_id, tenant.split("|"))
        self._tenants = tuple(sorted(set(names)))
        self._is_named = tenant is not None
        self._directory = directory
        self._store = LocalObjectStore(directory, clock=self._clock, read_only=True)
        self._commits = CommitLog(self._store, self._clock, random.Random(0), writer="reader")
        self._lock = threading.Lock()
        """Guards the one below."""
        self._wals = dict.fromkeys(self._tenants, EMPTY)

    @property
    def name(self) -> str:
        return str(self._directory)

    def sources(self) -> list[SpanSource]:
        """Get everything there is now, without gap or double.

        Raises: UnavailableError, CorruptionError.
        """
        with self._lock:
            blocks = self._snapshot()
            wals = [self._wals[tenant] for tenant in self._tenants]
        if not self._is_named:
            self._warn_of_tenants(blocks)
        live: list[SpanSource] = [wal.source for wal in wals if wal.source is not None]
        metas = merge_newest_first(blocks.blocks(tenant) for tenant in self._tenants)
        return live + [BlockSource(self._store, meta, self._cache) for meta in metas]

    def _warn_of_tenants(self, blocks: BlockList) -> None:
        """Say whose spans are not looked at, if nobody was named."""
        logged = list_tenants(self._directory / WAL_DIRECTORY)
        others = sorted({*blocks.tenants, *logged} - set(self._tenants))
        if others:
            more = ", ..." if len(others) > TENANTS_TOLD else ""
            log.warning(
                "%s holds spans of tenants too, which are not looked at unless one is named: %s%s",
                self._directory,
                ", ".join(others[:TENANTS_TOLD]),
                more,
            )

    def _snapshot(self) -> BlockList:
        """Read log and index until no block of the index holds a segment that was read.

        A flush commits the block before it drops the segments: a segment that is gone is in the
        index when that is read again.
        """
        blocks = self._commits.catch_up()
        for _ in range(ATTEMPTS):
            try:
                for tenant in self._tenants:
                    self._wals[tenant] = read_wal(
                        self._directory / WAL_DIRECTORY,
                        tenant,
                        skip=blocks.wal_segments(tenant),
                        known=self._wals[tenant],
                    )
            except SegmentGoneError:
                blocks = self._commits.catch_up()
                continue
            blocks = self._commits.catch_up()
            if all(
                blocks.wal_segments(tenant).isdisjoint(wal.names)
                for tenant, wal in self._wals.items()
            ):
                return blocks
        raise UnavailableError(
            f"{self._directory} changed {ATTEMPTS} times while it was read: try again"
        )


def _check_directory(directory: Path) -> None:
    if not directory.is_dir():
        raise InvalidRequestError(f"there is no directory {directory}")
    if not any((directory / part).is_dir() for part in KNOWN_PARTS):
        raise InvalidRequestError(
            f"{directory} is not a data directory: it holds none of {', '.join(KNOWN_PARTS)}"
        )
    if not (directory / WAL_DIRECTORY).is_dir():
        log.warning(
            "%s holds no write-ahead log: if the server keeps it elsewhere (ingester.wal.path), "
            "what is in no block yet is missing from the answers",
            directory,
        )
