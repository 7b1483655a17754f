import errno
import os
from pathlib import Path

import pytest
from support.contracts import ObjectStoreContract
from support.disks import FaultyDisk
from support.processes import PROCESSES, compete

from tracestore.clock import SystemClock
from tracestore.errors import ConflictError, InvalidRequestError, SettingsError, UnavailableError
from tracestore.storage.objects.local import TEMPORARY_AGE_NS, LocalObjectStore


def temporary_files(root: Path) -> list[Path]:
    return list((root / "@tracestore" / "temporary").iterdir())


class TestLocalObjectStore(ObjectStoreContract):
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "data" / "deep"

    @pytest.fixture
    def store(self, root: Path) -> LocalObjectStore:
        return LocalObjectStore(root)

    def test_an_object_is_a_file_at_its_path(self, store: LocalObjectStore, root: Path) -> None:
        store.put("blocks/t/b/meta.json", b"{}")

        path = store.local_path("blocks/t/b/meta.json")
        assert path == str(root.resolve() / "blocks/t/b/meta.json")
        assert Path(path).read_bytes() == b"{}"

    def test_put_file_moves(self, store: LocalObjectStore, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"x" * 2_000_000)
        etag = store.put_file("k", str(source))

        assert not source.exists()
        assert store.head("k").etag == etag

    def test_put_file_from_another_file_system_copies(
        self, store: LocalObjectStore, root: Path
    ) -> None:
        memory = Path("/dev/shm")
        if not memory.is_dir() or memory.stat().st_dev == root.stat().st_dev:
            pytest.skip("no second file system")
        source = memory / f"tracestore-test-{os.getpid()}"
        source.write_bytes(b"content")
        store.put_file("k", str(source))

        assert store.get("k") == b"content"
        assert not source.exists()
        assert temporary_files(root) == []

    def test_a_deletion_removes_empty_directories(
        self, store: LocalObjectStore, root: Path
    ) -> None:
        store.put("a/b/c", b"")
        store.put("a/d", b"")
        store.delete("a/b/c")

        assert sorted(path.name for path in (root / "a").iterdir()) == ["d"]

    def test_a_key_cannot_be_a_directory_of_keys(self, store: LocalObjectStore) -> None:
        store.put("a/b", b"")

        for key in ("a", "a/b/c"):
            with pytest.raises(InvalidRequestError, match="another object"):
                store.put(key, b"")
            with pytest.raises(InvalidRequestError, match="another object"):
                store.put_if_absent(key, b"")
            with pytest.raises(ConflictError):
                store.put_if_match(key, b"", "etag")

    def test_links_and_odd_names_are_not_listed(self, store: LocalObjectStore, root: Path) -> None:
        store.put("a", b"")
        (root / "link").symlink_to(root / "a")
        (root / "loop").symlink_to(root)
        (root / os.fsdecode(b"\xff")).write_bytes(b"")

        assert [info.key for info in store.list("")] == ["a"]

    def test_old_temporary_files_are_removed_at_the_start(
        self, store: LocalObjectStore, root: Path
    ) -> None:
        old, new = (root / "@tracestore" / "temporary" / name for name in ("old", "new"))
        now_ns = SystemClock().now_ns()
        for path, age_ns in ((old, TEMPORARY_AGE_NS + 10**9), (new, 0)):
            path.write_bytes(b"half")
            os.utime(path, ns=(now_ns - age_ns,) * 2)
        LocalObjectStore(root)

        assert temporary_files(root) == [new]
        assert list(store.list("")) == []

    def test_content_and_name_are_synced_in_this_order(self, tmp_path: Path) -> None:
        steps: list[str] = []

        class Recording(FaultyDisk):
            def _step(self, name: str) -> None:
                steps.append(name)

        store = LocalObjectStore(tmp_path, disk=Recording())
        store.put("k", b"")
        steps.clear()
        store.put("k", b"x")
        store.put_if_absent("l", b"x")

        assert steps[:5] == ["create", "write", "sync", "rename", "sync_directory"]
        assert steps[5:] == ["create", "write", "sync", "link", "sync_directory"]

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
    @pytest.mark.parametrize("step", ["create", "write", "sync"])
    def test_a_disk_that_refuses_is_unavailable_and_leaves_nothing(
        self, tmp_path: Path, step: str, code: int
    ) -> None:
        disk = FaultyDisk()
        store = LocalObjectStore(tmp_path, disk=disk)
        store.put("k", b"before")
        disk.failing[step] = code
        for write in (store.put, store.put_if_absent):
            with pytest.raises(UnavailableError, match="write object new"):
                write("new", b"x")
        disk.failing.clear()

        assert store.get("k") == b"before"
        assert temporary_files(tmp_path) == []
        store.put("new", b"after")
        assert store.get("new") == b"after"

    def test_a_name_that_cannot_be_synced_leaves_the_outcome_open(self, tmp_path: Path) -> None:
        disk = FaultyDisk()
        store = LocalObjectStore(tmp_path, disk=disk)
        disk.failing["sync_directory"] = errno.EIO
        with pytest.raises(UnavailableError, match="write object k"):
            store.put("k", b"whole")
        disk.failing.clear()

        assert store.get("k") == b"whole"
        assert temporary_files(tmp_path) == []

    def test_a_directory_that_cannot_be_made_is_one_clear_line(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")

        with pytest.raises(SettingsError, match="cannot create the data directory") as caught:
            LocalObjectStore(tmp_path / "file" / "data")
        assert "\n" not in str(caught.value)
        with pytest.raises(SettingsError, match="cannot create the data directory"):
            LocalObjectStore(tmp_path / "file")

    def test_a_directory_without_permission_is_one_clear_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda path, mode: False)

        with pytest.raises(SettingsError, match="permission denied"):
            LocalObjectStore(tmp_path)

    def test_a_file_system_without_links_is_refused(self, tmp_path: Path) -> None:
        disk = FaultyDisk()
        disk.failing["link"] = errno.EPERM

        with pytest.raises(SettingsError, match="no hard links"):
            LocalObjectStore(tmp_path, disk=disk)

    def test_conditional_writes_hold_between_processes(self, root: Path) -> None:
        store = LocalObjectStore(root)
        store.put("counter", b"0")
        with PROCESSES.Pool(3) as pool:
            won = pool.map(compete, [(str(root), number) for number in range(3)], chunksize=1)

        assert store.get("counter") == b"60"
        assert sum(won) == 20
        assert len(list(store.list("once/"))) == 20
