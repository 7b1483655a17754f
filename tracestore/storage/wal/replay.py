"""Reading a tenant's segments back at the start of a process.

Replay changes nothing but what it must: segments whose records are in a block already are deleted,
damaged ranges are copied to the quarantine. The others stay until the records that they hold are
flushed again and the ingester drops them.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from tracestore.codec.wal_record import WalDamage, WalRecord, decode_segment
from tracestore.errors import InvalidRequestError, UnavailableError
from tracestore.model.ids import TenantId, parse_tenant_id
from tracestore.storage.disk import OS_DISK, Disk, make_directories, unavailable
from tracestore.storage.wal.metrics import NO_WAL_METRICS, WalMetrics
from tracestore.storage.wal.segment import list_segments, segment_path

QUARANTINE = "@quarantine"
"""No tenant may carry an ``@``."""

log = logging.getLogger("tracestore.wal")


@dataclass(slots=True, kw_only=True)
class ReplayStats:
    """What a replay found; filled while it is read."""

    segments: int = 0
    skipped: int = 0
    """Deleted, since a block holds their records."""
    records: int = 0
    payload_bytes: int = 0
    torn: int = 0
    quarantined: int = 0


class Replay:
    """One reading of a tenant's segments.

    Args:
        directory: ``<wal>/<tenant>``; damaged ranges go to ``<wal>/@quarantine``.
        skip: segments that a committed block holds.
    """

    def __init__(
        self,
        directory: str | Path,
        skip: Collection[str] = (),
        *,
        metrics: WalMetrics = NO_WAL_METRICS,
        disk: Disk = OS_DISK,
    ) -> None:
        self._directory = Path(directory)
        self._skip = frozenset(skip)
        self._metrics = metrics
        self._disk = disk
        self.stats = ReplayStats()

    def segments(self) -> Iterator[tuple[str, Iterator[WalRecord]]]:
        """Yield the segments that are not skipped, oldest first, each with its records in order.

        A segment without any readable record is yielded too: it has to be dropped like the others.
        The records must be read before the next segment is asked for.

        Raises: UnavailableError if a file cannot be read, CorruptionError if it is of a newer
            version of this program.
        Cost: memory for one segment and one decompressed record.
        """
        skipped = False
        try:
            names = list_segments(self._directory)
            for name in names:
                if name in self._skip:
                    self._disk.unlink(str(segment_path(self._directory, name)))
                    self.stats.skipped += 1
                    skipped = True
            if skipped:
                self._disk.sync_directory(str(self._directory))
        except OSError as error:
            raise unavailable(f"list WAL segments in {self._directory}", error) from error
        for name in names:
            if name not in self._skip:
                self.stats.segments += 1
                yield name, self._records(name)

    def _records(self, segment: str) -> Iterator[WalRecord]:
        path = segment_path(self._directory, segment)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise unavailable(f"read WAL segment {path}", error) from error
        for item in decode_segment(content, segment):
            if isinstance(item, WalRecord):
                self.stats.records += 1
                self.stats.payload_bytes += len(item.payload)
                self._metrics.replayed(1, len(item.payload))
                yield item
            elif item.torn:
                self.stats.torn += 1
                self._metrics.torn_tail()
                log.info("torn end of a WAL segment was cut off", extra=_where(path, item))
            else:
                self._quarantine(path, segment, item, content)

    def _quarantine(self, path: Path, segment: str, damage: WalDamage, content: bytes) -> None:
        """Keep the bytes for whoever wants to look; a full disk must not stop the start."""
        self.stats.quarantined += 1
        self._metrics.corrupt_record()
        directory = self._directory.parent / QUARANTINE
        target = directory / f"{segment}-{damage.offset}.bin"
        where = _where(path, damage)
        try:
            self._keep(target, content[damage.offset : damage.end])
        except UnavailableError as error:
            where["error"] = str(error)
            log.error("corrupt WAL record could not be put in quarantine", extra=where)
            return
        where["quarantine"] = str(target)
        log.error("corrupt WAL record was put in quarantine", extra=where)

    def _keep(self, target: Path, content: bytes) -> None:
        temporary = target.with_suffix(".part")
        try:
            make_directories(target.parent, self._disk)
            temporary.unlink(missing_ok=True)
            descriptor = self._disk.create(str(temporary))
            try:
                self._disk.write(descriptor, [content])
                self._disk.sync(descriptor)
            finally:
                self._disk.close(descriptor)
            self._disk.rename(str(temporary), str(target))
            self._disk.sync_directory(str(target.parent))
        except OSError as error:
            raise unavailable(f"write {target}", error) from error


def list_tenants(directory: Path) -> list[TenantId]:
    """Name the tenants that have segments below a directory, which need not be there.

    Raises: UnavailableError.
    """
    found = []
    try:
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            if not list_segments(path):
                continue
            try:
                found.append(parse_tenant_id(path.name))
            except InvalidRequestError as error:
                log.error(
                    "directory of WAL segments is not of a tenant, its spans are left out",
                    extra={"directory": str(path), "error": str(error)},
                )
    except OSError as error:
        raise unavailable(f"list WAL directories in {directory}", error) from error
    return found


def check_own_directory(directory: Path, tenant: TenantId) -> None:
    """See that the directory of a tenant, which is there, is not also that of another.

    Raises: UnavailableError where the file system does not tell upper from lower case and a tenant
    has the name already.
    """
    try:
        names = {path.name for path in directory.iterdir()}
    except OSError as error:
        raise unavailable(f"list WAL directories in {directory}", error) from error
    if tenant not in names:
        raise UnavailableError(
            f"tenant {tenant} differs from another by case alone, which the file system of "
            f"{directory} does not tell apart"
        )


def _where(path: Path, damage: WalDamage) -> dict[str, str | int]:
    return {
        "file": str(path),
        "offset": damage.offset,
        "bytes": damage.end - damage.offset,
        "reason": damage.reason,
    }
