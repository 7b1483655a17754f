"""The few file operations that durability rests on, as one seam.

The write-ahead log and the local object store write through a ``Disk``, so that a test can let any
of them fail and can count the syncs. It raises ``OSError`` as the kernel does; its callers turn
that into the error taxonomy with ``unavailable`` and ``prepare_directory``.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from tracestore.errors import SettingsError, UnavailableError

BUFFERS_MAX = 512
"""Buffers of one gathered write; below the smallest IOV_MAX in use (1024)."""

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ELOOP)


class Disk:
    """The operating system's files. Thread-safe; holds no state."""

    def create(self, path: str) -> int:
        """Create a file that must not exist, for writing. Returns the descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def write(self, descriptor: int, buffers: Sequence[bytes | memoryview]) -> None:
        """Write all buffers in order at the file's position.

        Raises: OSError; then any part may have been written.
        """
        for first in range(0, len(buffers), BUFFERS_MAX):
            pending = [memoryview(part) for part in buffers[first : first + BUFFERS_MAX]]
            while pending:
                written = os.writev(descriptor, pending)
                while pending and written >= len(pending[0]):
                    written -= len(pending.pop(0))
                if pending:
                    pending[0] = pending[0][written:]

    def sync(self, descriptor: int) -> None:
        """Make the content of the file, and the size it needs, durable."""
        os.fdatasync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to ``size`` and place the next write there."""
        os.ftruncate(descriptor, size)
        os.lseek(descriptor, size, os.SEEK_SET)

    def close(self, descriptor: int) -> None:
        """Give the descriptor back."""
        os.close(descriptor)

    def rename(self, source: str, target: str) -> None:
        """Put ``source`` in the place of ``target``, atomically."""
        os.rename(source, target)

    def link(self, source: str, target: str) -> None:
        """Give ``source`` a second name that must not exist, atomically."""
        os.link(source, target)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        os.unlink(path)

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


OS_DISK = Disk()


def unavailable(action: str, error: OSError) -> UnavailableError:
    """Turn a failed file operation into the error that asks for a retry."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UnavailableError(f"cannot {action}: the disk is full ({error})", retry_after_s=5.0)
    return UnavailableError(f"cannot {action}: {error}")


def prepare_directory(path: Path, disk: Disk, *, purpose: str) -> None:
    """Create a directory with its parents, durably, and see that it can be used.

    Args:
        purpose: what the operator knows the directory as, for the message.

    Raises: SettingsError if it cannot be created, written or read, UnavailableError if it is full.
    """
    try:
        make_directories(path, disk)
    except OSError as error:
        raise _startup_error(f"cannot create the {purpose} {path}", error) from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError(f"cannot read and write the {purpose} {path}: permission denied")


def make_directories(path: Path, disk: Disk) -> None:
    """Create a directory with its parents; each new name is synced. Raises: OSError."""
    missing = []
    current = path
    while not current.is_dir():
        missing.append(current)
        if current.parent == current:
            break
        current = current.parent
    for directory in reversed(missing):
        directory.mkdir(mode=0o750, exist_ok=True)
        disk.sync_directory(str(directory.parent))


def _startup_error(action: str, error: OSError) -> SettingsError | UnavailableError:
    reason = error.strerror or str(error)
    if error.errno in _REFUSED:
        return SettingsError(f"{action}: {reason.lower()}")
    return UnavailableError(f"{action}: {reason.lower()}")
