"""A full or failing disk under the write-ahead log: senders are told to retry, then all goes on."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import FaultyDisk
from support.wal import open_wal, payloads, replay_all

from tracestore.errors import UnavailableError
from tracestore.settings.wal_tree import WalSettings

PLAIN = WalSettings(compression="none")


@pytest.fixture
def small_file_system(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; skipped where this process may not mount one."""
    target = tmp_path / "small"
    target.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(target)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield target
    subprocess.run(["umount", "-l", str(target)], check=True)


def test_a_file_system_that_fills_up_and_is_emptied(small_file_system: Path) -> None:
    directory = small_file_system / "wal"
    wal = open_wal(directory, settings=PLAIN)
    accepted = []
    for number in range(40):
        payload = os.urandom(16_000) + b"%d" % number
        error = wal.append(payload).exception(10)
        if error is None:
            accepted.append(payload)
        else:
            assert isinstance(error, UnavailableError)
            assert "disk is full" in str(error)
    assert 8 < len(accepted) < 17
    assert payloads(directory) == accepted
    wal.drop(wal.rotate())
    wal.append(b"space again").result(10)
    wal.close()

    found, stats = replay_all(directory)
    assert list(found.values()) == [[b"space again"]]
    assert (stats.torn, stats.quarantined) == (0, 0)


@pytest.mark.parametrize("space", [0, 1, 40, 300, 999])
def test_what_was_written_of_a_refused_record_is_cut_off_again(tmp_path: Path, space: int) -> None:
    disk = FaultyDisk()
    wal = open_wal(tmp_path, settings=PLAIN, disk=disk)
    wal.append(b"before").result(10)
    disk.capacity = space
    for _ in range(3):
        with pytest.raises(UnavailableError, match="disk is full"):
            wal.append(b"x" * 1000).result(10)
    disk.capacity = None
    wal.append(b"after").result(10)
    wal.close()

    found, stats = replay_all(tmp_path)
    assert list(found.values()) == [[b"before", b"after"]]
    assert (stats.torn, stats.quarantined) == (0, 0)


@pytest.mark.parametrize("step", ["write", "sync"])
def test_a_segment_that_cannot_be_cut_back_is_given_up(tmp_path: Path, step: str) -> None:
    disk = FaultyDisk()
    wal = open_wal(tmp_path, settings=PLAIN, disk=disk)
    wal.append(b"before").result(10)
    disk.failing = {step: errno.EIO, "truncate": errno.EIO}
    with pytest.raises(UnavailableError):
        wal.append(b"refused").result(10)
    disk.failing = {}
    after = wal.append(b"after").result(10)
    sealed = wal.rotate()
    wal.close()

    assert len(sealed) == 2
    assert after.segment == sealed[1]
    found, stats = replay_all(tmp_path)
    assert found[sealed[1]] == [b"after"]
    assert found[sealed[0]][0] == b"before"
    assert stats.quarantined == 0


def test_all_who_wait_for_a_failed_sync_are_told(tmp_path: Path) -> None:
    disk = FaultyDisk()
    wal = open_wal(tmp_path, disk=disk)
    disk.failing["sync"] = errno.EIO
    errors = [done.exception(10) for done in [wal.append(b"x") for _ in range(20)]]
    disk.failing.clear()
    wal.append(b"after").result(10)
    wal.close()

    assert all(isinstance(error, UnavailableError) for error in errors)
    assert payloads(tmp_path)[-1] == b"after"


@pytest.mark.parametrize("step", ["create", "sync_directory", "write"])
def test_a_segment_that_cannot_be_created_leaves_no_file(tmp_path: Path, step: str) -> None:
    disk = FaultyDisk()
    wal = open_wal(tmp_path, disk=disk)
    disk.failing[step] = errno.ENOSPC
    for _ in range(3):
        with pytest.raises(UnavailableError, match="full"):
            wal.append(b"x").result(10)
    disk.failing.clear()

    assert list(tmp_path.iterdir()) == []
    wal.append(b"x").result(10)
    assert payloads(tmp_path) == [b"x"]
    wal.close()
