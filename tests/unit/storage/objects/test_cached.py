import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.clocks import ManualClock
from support.contracts import ObjectStoreContract

from tracestore.clock import SystemClock
from tracestore.errors import SettingsError, UnavailableError
from tracestore.storage.objects.cached import CachedObjectStore
from tracestore.storage.objects.disk_cache import DiskCache
from tracestore.storage.objects.memory import MemoryObjectStore

KEY = "blocks/t/b/spans.parquet"
MIB = 1 << 20


class CountingStore(MemoryObjectStore):
    """Counts the ranges that are read; waits for ``gate`` if there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[int, int]] = []
        self.gate: threading.Event | None = None

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        if self.gate is not None:
            assert self.gate.wait(30)
        self.reads += ranges
        return super().get_ranges(key, ranges)


def cache_files(directory: Path) -> list[Path]:
    return [path for path in directory.glob("??/*") if path.is_file()]


class TestCachedObjectStore(ObjectStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> CachedObjectStore:
        disk = DiskCache(tmp_path / "cache", 64 * MIB, SystemClock())
        return CachedObjectStore(MemoryObjectStore(), disk)


def test_a_range_is_read_once_and_again_after_a_restart_not(tmp_path: Path) -> None:
    inner = CountingStore()
    inner.put(KEY, b"0123456789")
    for _ in range(2):
        store = CachedObjectStore(inner, DiskCache(tmp_path, 64 * MIB, SystemClock()))
        assert store.get_ranges(KEY, [(0, 3), (5, 2), (0, 3)]) == [b"012", b"56", b"012"]
        assert store.get_range(KEY, 5, 2) == b"56"

    assert inner.reads == [(0, 3), (5, 2)]


def test_what_changes_is_never_kept(tmp_path: Path) -> None:
    inner = MemoryObjectStore()
    store = CachedObjectStore(inner, DiskCache(tmp_path, 64 * MIB, SystemClock()))
    for key in ("index/latest.json", "blocks/t/b/meta.json", "leases/x.json"):
        inner.put(key, b"one")
        assert store.get(key) == b"one"
        inner.put(key, b"two")
        assert store.get(key) == b"two"
        assert store.get_range(key, 0, 1) == b"t"


def test_many_who_ask_at_once_cause_one_read() -> None:
    inner = CountingStore()
    inner.put(KEY, b"x" * 100)
    inner.gate = threading.Event()
    store = CachedObjectStore(inner, None)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(store.get_ranges, KEY, [(0, 10), (20, n + 1)]) for n in range(8)]
        inner.gate.set()
        for n, answer in enumerate(answers):
            assert answer.result(30) == [b"x" * 10, b"x" * (n + 1)]

    assert len(inner.reads) - len(set(inner.reads)) <= 7, "ranges in flight are shared"


def test_a_failed_read_is_told_to_all_and_tried_again_the_next_time() -> None:
    class Failing(MemoryObjectStore):
        fails = True

        def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
            if self.fails:
                raise UnavailableError("no")
            return super().get_ranges(key, ranges)

    inner = Failing()
    inner.put(KEY, b"abc")
    store = CachedObjectStore(inner, None)
    with pytest.raises(UnavailableError):
        store.get_range(KEY, 0, 1)
    inner.fails = False
    assert store.get_range(KEY, 0, 1) == b"a"


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_file_is_a_miss_and_goes(tmp_path: Path, damage: str) -> None:
    disk = DiskCache(tmp_path, 64 * MIB, SystemClock())
    disk.put("name", b"content")
    (path,) = cache_files(tmp_path)
    whole = path.read_bytes()
    disk.put("another", b"whole")
    (another,) = set(cache_files(tmp_path)) - {path}
    broken = {
        "cut": whole[:-3],
        "flip": whole[:-1] + bytes([whole[-1] ^ 1]),
        "empty": b"",
        "other": another.read_bytes(),
    }
    path.write_bytes(broken[damage])

    assert disk.get("name") is None
    assert not path.exists()
    assert disk.get("another") == b"whole"


def test_the_bound_holds_for_all_who_share_and_the_oldest_go_first(tmp_path: Path) -> None:
    clock = ManualClock()
    caches = [DiskCache(tmp_path, 2 * MIB, clock) for _ in range(3)]
    caches[0].put("used", b"u" * 1000)
    for number in range(600):
        clock.advance(1.0)
        caches[number % 3].put(f"n{number}", bytes([number % 256]) * 10_000)
        assert caches[0].get("used") is not None
        if number % 20 == 0:
            assert sum(path.stat().st_size for path in cache_files(tmp_path)) <= 2 * MIB

    assert caches[1].get("n599") == bytes([599 % 256]) * 10_000
    assert caches[1].get("n0") is None


def test_a_directory_that_cannot_be_used_is_a_mistake_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="file"):
        DiskCache(tmp_path / "file", MIB, SystemClock())
