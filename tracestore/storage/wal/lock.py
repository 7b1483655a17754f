"""One process a directory: two that share a write-ahead log would drop each other's records."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from tracestore.errors import SettingsError, UnavailableError
from tracestore.storage.disk import OS_DISK, prepare_directory

LOCK_NAME = "@lock"
"""No tenant may carry an ``@``, so the name is free in a directory of tenants too."""


class DirectoryLock:
    """Holds a directory for this process until ``release``, or until the process ends.

    Raises: SettingsError if another process holds it, naming its process ID.
    """

    def __init__(self, directory: str | Path) -> None:
        path = Path(directory)
        prepare_directory(path, OS_DISK, purpose="data directory")
        self._descriptor = -1
        try:
            descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise SettingsError(f"cannot lock the directory {path}: {error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise UnavailableError(f"cannot lock the directory {path}: {error}") from error
            raise SettingsError(
                f"the directory {path} is in use by process {holder or 'unknown'}: "
                f"stop it, or set another storage path"
            ) from error
        self._descriptor = descriptor
        _write_pid(descriptor)

    def release(self) -> None:
        """Let go. Harmless if done already."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _write_pid(descriptor: int) -> None:
    """Leave the process ID for the message of whoever comes second; a full disk may keep it out."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        return
