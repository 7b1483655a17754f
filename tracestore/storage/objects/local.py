"""A directory as an object store: the embedded default.

Content is written to a temporary file of the same file system, synced, and then given its name
(``rename``, or ``link`` where the name must not exist), after which the directory is synced: so an
object appears whole or not at all, and is durable when the call returns. Writers of one key, in
this or in other processes of the machine, take turns through ``flock``; creation needs no turn,
since ``link`` itself is atomic. Nothing else of a file system's behaviour is relied on.

An etag is the hash of the content, so equal contents have equal etags, as in S3. An object larger
than ``HASHED_BYTES_MAX`` is told apart by size, file number and modification time instead, because
a listing must not read whole tables; the objects that are replaced conditionally (pointers, leases)
are far smaller.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tracestore.clock import Clock, SystemClock
from tracestore.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    SettingsError,
)
from tracestore.model.times import SECOND_NS
from tracestore.storage.disk import (
    OS_DISK,
    Disk,
    make_directories,
    prepare_directory,
    unavailable,
)
from tracestore.storage.objects.interface import ObjectInfo
from tracestore.storage.objects.keys import RESERVED_PART, check_key, check_prefix, is_key

HASHED_BYTES_MAX = 1 << 20
"""Largest object whose etag is the hash of its content."""
TEMPORARY_AGE_NS = 3600 * SECOND_NS
"""A temporary file that nobody touched for so long belongs to a process that died."""
LOCKS = 64
"""Writers of different keys rarely wait for one another; a key's lock is chosen by hash."""
ATTEMPTS = 8
"""Times a name is tried while others remove the directory that a deletion left empty."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


class LocalObjectStore:
    """Objects as files below ``root``; keys are their paths.

    A key may not be a directory of other keys; ``layout.py`` never asks for that.

    Args:
        root: the data directory; created if it is not there. What else lies in it (the write-ahead
            log) is never touched, and not listed as long as prefixes come from ``layout.py``.
        read_only: nothing is created or changed, and writing is refused with SettingsError.

    Raises: SettingsError if the directory cannot be created, written, or holds no hard links.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        clock: Clock | None = None,
        disk: Disk = OS_DISK,
        read_only: bool = False,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self._disk = disk
        self._read_only = read_only
        if not read_only:
            prepare_directory(Path(root), disk, purpose="data directory")
        self._root = Path(root).resolve()
        self._temporary = self._root / RESERVED_PART / "temporary"
        self._locks = self._root / RESERVED_PART / "locks"
        if read_only:
            return
        for directory in (self._temporary, self._locks):
            prepare_directory(directory, disk, purpose="data directory")
        self._remove_stale()
        self._check_links()

    def put(self, key: str, content: bytes | memoryview) -> str:
        path = self._path(key)
        return self._write(key, content, lambda temporary: self._replace(key, temporary, path))

    def put_if_absent(self, key: str, content: bytes | memoryview) -> str:
        path = self._path(key)
        if path.is_file():
            raise ConflictError(f"object {key} exists already")
        return self._write(key, content, lambda temporary: self._create(key, temporary, path))

    def put_if_match(self, key: str, content: bytes | memoryview, etag: str) -> str:
        path = self._path(key)

        def exchange(temporary: str) -> None:
            with self._turn(key):
                if self._etag_now(path) != etag:
                    raise ConflictError(f"object {key} is not of etag {etag}")
                self._name(key, path, lambda: self._disk.rename(temporary, str(path)))

        return self._write(key, content, exchange)

    def put_file(self, key: str, path: str) -> str:
        self._require_writable(key)
        target = self._path(key)
        try:
            source = self._on_this_file_system(path)
            descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.utime(descriptor, ns=(self._clock.now_ns(),) * 2)
                self._disk.sync(descriptor)
                etag = self._etag(descriptor)
            finally:
                os.close(descriptor)
            self._replace(key, source, target)
            if source != path:
                self._disk.unlink(path)
        except OSError as error:
            raise unavailable(f"move {path} to object {key}", error) from error
        return etag

    def get(self, key: str) -> bytes:
        with self._open(key) as descriptor:
            return _read(descriptor, 0, os.fstat(descriptor).st_size)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        with self._open(key) as descriptor:
            return _read(descriptor, offset, length)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        with self._open(key) as descriptor:
            return [_read(descriptor, offset, length) for offset, length in ranges]

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        with self._open(key) as descriptor:
            content = _read(descriptor, 0, os.fstat(descriptor).st_size)
            return content, self._etag(descriptor)

    def head(self, key: str) -> ObjectInfo:
        with self._open(key) as descriptor:
            return self._info(key, descriptor)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        for key in self._walk(prefix.rpartition("/")[0], prefix.encode(), after.encode()):
            try:
                yield self.head(key)
            except NotFoundError:
                continue

    def delete(self, key: str) -> None:
        self._require_writable(key)
        path = self._path(key)
        try:
            with self._turn(key):
                self._disk.unlink(str(path))
                self._disk.sync_directory(str(path.parent))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        except OSError as error:
            raise unavailable(f"delete object {key}", error) from error
        self._remove_empty(path.parent)

    def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            check_key(key)
        for key in keys:
            self.delete(key)

    def local_path(self, key: str) -> str | None:
        return str(self._path(key))

    def _require_writable(self, key: str) -> None:
        if self._read_only:
            raise SettingsError(f"cannot change object {key}: {self._root} is open for reading")

    def _path(self, key: str) -> Path:
        check_key(key)
        return self._root / key

    def _write(self, key: str, content: bytes | memoryview, publish: Callable[[str], None]) -> str:
        """Write ``content`` to a temporary file and let ``publish`` give it its name."""
        self._require_writable(key)
        temporary = self._temporary_name()
        try:
            descriptor = self._disk.create(temporary)
            try:
                try:
                    self._disk.write(descriptor, [content])
                    os.utime(descriptor, ns=(self._clock.now_ns(),) * 2)
                    self._disk.sync(descriptor)
                    etag = _hash_etag(content) or _stat_etag(os.fstat(descriptor))
                finally:
                    self._disk.close(descriptor)
                publish(temporary)
            finally:
                self._forget(temporary)
        except OSError as error:
            raise unavailable(f"write object {key}", error) from error
        return etag

    def _replace(self, key: str, temporary: str, path: Path) -> None:
        with self._turn(key):
            self._name(key, path, lambda: self._disk.rename(temporary, str(path)))

    def _create(self, key: str, temporary: str, path: Path) -> None:
        try:
            self._name(key, path, lambda: self._disk.link(temporary, str(path)))
        except FileExistsError as error:
            if path.is_dir():
                raise _is_a_prefix(key) from error
            raise ConflictError(f"object {key} exists already") from error

    def _name(self, key: str, path: Path, give_name: Callable[[], None]) -> None:
        """Give a file its name, with the directories that lead there, durably."""
        for attempt in range(ATTEMPTS):
            try:
                make_directories(path.parent, self._disk)
                give_name()
                self._disk.sync_directory(str(path.parent))
            except FileNotFoundError:
                if attempt + 1 == ATTEMPTS:
                    raise
            except (IsADirectoryError, NotADirectoryError) as error:
                raise _is_a_prefix(key) from error
            except FileExistsError as error:
                if not path.exists():
                    raise _is_a_prefix(key) from error
                raise
            else:
                return

    @contextmanager
    def _turn(self, key: str) -> Iterator[None]:
        """Hold the lock of a key against the threads and processes of this machine."""
        name = self._locks / f"{zlib.crc32(key.encode()) % LOCKS:02d}"
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _open(self, key: str) -> Iterator[int]:
        """Open an object for reading. Raises: NotFoundError, UnavailableError."""
        path = self._path(key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                    raise NotFoundError(f"no object {key}")
                yield descriptor
            finally:
                os.close(descriptor)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"no object {key}") from error
        except OSError as error:
            raise unavailable(f"read object {key}", error) from error

    def _info(self, key: str, descriptor: int) -> ObjectInfo:
        status = os.fstat(descriptor)
        return ObjectInfo(
            key=key,
            bytes=status.st_size,
            etag=self._etag(descriptor),
            modified_ns=status.st_mtime_ns,
        )

    def _etag(self, descriptor: int) -> str:
        status = os.fstat(descriptor)
        if status.st_size > HASHED_BYTES_MAX:
            return _stat_etag(status)
        content = _read(descriptor, 0, status.st_size)
        return _hash_etag(content) or _stat_etag(status)

    def _etag_now(self, path: Path) -> str | None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return self._etag(descriptor)
        except IsADirectoryError:
            return None
        finally:
            os.close(descriptor)

    def _on_this_file_system(self, path: str) -> str:
        """Return a path of the same content that can be renamed into the store."""
        if os.stat(path).st_dev == os.stat(self._temporary).st_dev:
            return path
        temporary = self._temporary_name()
        try:
            shutil.copyfile(path, temporary)
        except OSError:
            self._forget(temporary)
            raise
        return temporary

    def _walk(self, directory: str, prefix: bytes, after: bytes) -> Iterator[str]:
        """Yield the keys below a directory, ascending.

        Cost: memory for the names in the directories of one path.
        """
        for name, is_directory in self._entries(directory):
            key = f"{directory}/{name}" if directory else name
            encoded = key.encode()
            if is_directory:
                encoded += b"/"
                reaches = encoded.startswith(prefix) or prefix.startswith(encoded)
                if reaches and (encoded > after or after.startswith(encoded)):
                    yield from self._walk(key, prefix, after)
            elif encoded.startswith(prefix) and encoded > after and is_key(key):
                yield key

    def _entries(self, directory: str) -> Sequence[tuple[str, bool]]:
        """List names; a directory sorts where the keys below it do, that is with its slash."""
        found = []
        try:
            with os.scandir(self._root / directory) as entries:
                for entry in entries:
                    key = f"{directory}/{entry.name}" if directory else entry.name
                    if not is_key(key):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        found.append((f"{entry.name}/".encode(), entry.name, True))
                    elif entry.is_file(follow_symlinks=False):
                        found.append((entry.name.encode(), entry.name, False))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise unavailable(f"list {directory or 'the data directory'}", error) from error
        return [(name, is_directory) for _, name, is_directory in sorted(found)]

    def _remove_empty(self, directory: Path) -> None:
        """Remove directories that a deletion left empty; one that is in use again stays."""
        while directory != self._root:
            try:
                directory.rmdir()
            except OSError:
                return
            directory = directory.parent

    def _temporary_name(self) -> str:
        return str(self._temporary / os.urandom(16).hex())

    def _forget(self, temporary: str) -> None:
        """Remove a temporary file, if it is still there; else the next start removes it."""
        try:
            os.unlink(temporary)
        except OSError:
            return

    def _remove_stale(self) -> None:
        oldest_ns = self._clock.now_ns() - TEMPORARY_AGE_NS
        for path in self._temporary.iterdir():
            try:
                if path.stat().st_mtime_ns < oldest_ns:
                    path.unlink()
            except OSError:
                continue

    def _check_links(self) -> None:
        """See at the start that conditional creation works here, not at the first commit."""
        source = self._temporary_name()
        try:
            os.close(self._disk.create(source))
            try:
                self._disk.link(source, f"{source}.link")
                os.unlink(f"{source}.link")
            finally:
                self._forget(source)
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise SettingsError(
                    f"the file system of the data directory {self._root} has no hard links"
                ) from error
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return
            raise unavailable(f"write to the data directory {self._root}", error) from error


def _is_a_prefix(key: str) -> InvalidRequestError:
    return InvalidRequestError(f"object key {key!r} is, or lies below, another object's path")


def _hash_etag(content: bytes | memoryview) -> str | None:
    if len(content) > HASHED_BYTES_MAX:
        return None
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _stat_etag(status: os.stat_result) -> str:
    return f"{status.st_size:x}-{status.st_ino:x}-{status.st_mtime_ns:x}"


def _read(descriptor: int, offset: int, length: int) -> bytes:
    """Read ``length`` bytes, fewer only at the end of the file."""
    first = os.pread(descriptor, length, offset)
    if len(first) == length or not first:
        return first
    parts = [first]
    got = len(first)
    while got < length:
        part = os.pread(descriptor, length - got, offset + got)
        if not part:
            break
        parts.append(part)
        got += len(part)
    return b"".join(parts)
