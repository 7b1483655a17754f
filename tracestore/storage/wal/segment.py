"""One append-only segment file: what is in it up to ``size`` is durable.

Not thread-safe: the writer of the log owns it. It raises ``OSError``; the log decides what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tracestore.codec.wal_record import EncodedRecord, encode_segment_header, segment_seed
from tracestore.storage.disk import Disk

SUFFIX = ".wal"


def segment_path(directory: Path, segment: str) -> Path:
    """Return where a segment lies."""
    return directory / f"{segment}{SUFFIX}"


def list_segments(directory: Path) -> list[str]:
    """Return the IDs of the segments of a directory, oldest first. Raises: OSError."""
    if not directory.is_dir():
        return []
    return sorted(path.name.removesuffix(SUFFIX) for path in directory.glob(f"*{SUFFIX}"))


class Segment:
    """A segment that is being written.

    States: open -> sealed. After a failed append it is open at its old size, or sealed if the file
    could not be brought back to it.
    """

    def __init__(self, directory: Path, segment: str, disk: Disk) -> None:
        """Create the file. Raises: OSError; then there is none, unless removing it failed too."""
        self.id = segment
        self.records = 0
        self.sealed = False
        self._disk = disk
        self._seed = segment_seed(segment)
        path = str(segment_path(directory, segment))
        header = encode_segment_header()
        self.size = len(header)
        self._descriptor = disk.create(path)
        try:
            disk.write(self._descriptor, [header])
            disk.sync_directory(str(directory))
        except OSError:
            self.seal()
            disk.unlink(path)
            raise

    def append(self, records: Sequence[EncodedRecord]) -> list[int]:
        """Write records and sync them, once. Returns their offsets.

        Raises: OSError; then none of them is in the segment as far as the disk allows: what was
            written of them is cut off again, so that it cannot come back as a damaged record.
        """
        assert not self.sealed
        buffers: list[bytes | memoryview] = []
        offsets = []
        end = self.size
        for record in records:
            offsets.append(end)
            buffers += record.seal(self._seed)
            end += record.size
        try:
            self._disk.write(self._descriptor, buffers)
            self._disk.sync(self._descriptor)
        except OSError:
            self._cut_back()
            raise
        self.size = end
        self.records += len(records)
        return offsets

    def seal(self) -> None:
        """End writing. What was appended is durable already."""
        if self.sealed:
            return
        self.sealed = True
        try:
            self._disk.close(self._descriptor)
        except OSError:
            return

    def _cut_back(self) -> None:
        """Return the file to its last good size; a file that refuses takes no more records."""
        try:
            self._disk.truncate(self._descriptor, self.size)
            self._disk.sync(self._descriptor)
        except OSError:
            self.seal()
