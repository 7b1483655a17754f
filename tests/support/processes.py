"""What tests run in processes of their own."""

from __future__ import annotations

import multiprocessing

from tracestore.errors import ConflictError, SettingsError
from tracestore.storage.objects.local import LocalObjectStore
from tracestore.storage.wal.lock import DirectoryLock

PROCESSES = multiprocessing.get_context("spawn")


def compete(arguments: tuple[str, int]) -> int:
    """Count up 20 times by conditional replacement; return how many of 20 objects it created."""
    root, number = arguments
    store = LocalObjectStore(root)
    won = 0
    for turn in range(20):
        try:
            store.put_if_absent(f"once/{turn}", b"%d" % number)
            won += 1
        except ConflictError:
            assert int(store.get(f"once/{turn}")) in range(3)
        while True:
            value, etag = store.get_with_etag("counter")
            try:
                store.put_if_match("counter", b"%d" % (int(value) + 1), etag)
            except ConflictError:
                continue
            break
    return won


def lock_fails_with(directory: str) -> str:
    """Return the message with which a directory's lock is refused."""
    try:
        DirectoryLock(directory)
    except SettingsError as error:
        return str(error)
    return ""
