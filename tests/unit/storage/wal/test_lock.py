import os
from pathlib import Path

import pytest
from support.processes import PROCESSES, lock_fails_with

from tracestore.errors import SettingsError
from tracestore.storage.wal.lock import DirectoryLock


def test_a_second_holder_is_told_the_process_of_the_first(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path / "data")

    with pytest.raises(SettingsError, match=f"in use by process {os.getpid()}:"):
        DirectoryLock(tmp_path / "data")
    with PROCESSES.Pool(1) as pool:
        assert str(os.getpid()) in pool.apply(lock_fails_with, (str(tmp_path / "data"),))
    lock.release()
    lock.release()
    DirectoryLock(tmp_path / "data").release()
