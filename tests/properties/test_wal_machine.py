"""Any sequence of appends, rotations, drops, failures and crashes, against a list."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.clocks import ManualClock
from support.disks import FaultyDisk
from support.wal import open_wal, replay_all

from tracestore.errors import UnavailableError
from tracestore.settings.wal_tree import WalSettings
from tracestore.storage.wal.segment import segment_path

PAYLOADS = st.binary(max_size=300) | st.builds(bytes.__mul__, st.binary(max_size=9), st.just(90))
"""What does not compress, and what does."""


class WalMachine(RuleBasedStateMachine):
    """The model: the payloads of each segment that is not dropped, in order of append."""

    @initialize()
    def start(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="tracestore-wal-"))
        self.directory = self.root / "shop"
        self.clock = ManualClock()
        self.disk = FaultyDisk()
        self.model: dict[str, list[bytes]] = {}
        self.sealed: list[str] = []
        self.current: list[str] = []
        self.torn: set[str] = set()
        """Segments with an unfinished write; a later process writes to others."""
        self.open()

    def open(self) -> None:
        self.wal = open_wal(
            self.directory,
            settings=WalSettings(segment_bytes_max=600),
            clock=self.clock,
            disk=self.disk,
        )

    def teardown(self) -> None:
        if hasattr(self, "wal"):
            self.wal.close()
            shutil.rmtree(self.root)

    def acknowledge(self, segment: str, payload: bytes) -> None:
        if segment not in self.model:
            assert segment > max(self.model, default="")
            self.model[segment] = []
            self.current.append(segment)
        assert segment == max(self.model)
        self.model[segment].append(payload)

    @rule(batch=st.lists(PAYLOADS, min_size=1, max_size=5))
    def append(self, batch: list[bytes]) -> None:
        waiting = [(payload, self.wal.append(payload)) for payload in batch]
        for payload, done in waiting:
            self.acknowledge(done.result(10).segment, payload)

    @rule(payload=st.binary(max_size=300), step=st.sampled_from(["write", "sync", "create"]))
    def append_to_a_disk_that_fails(self, payload: bytes, step: str) -> None:
        self.disk.failing[step] = errno.EIO
        done = self.wal.append(payload)
        try:
            self.acknowledge(done.result(10).segment, payload)
            assert step == "create"
        except UnavailableError:
            pass
        self.disk.failing.clear()

    @rule(payload=st.binary(min_size=1, max_size=300), space=st.integers(0, 40))
    def append_to_a_full_disk(self, payload: bytes, space: int) -> None:
        self.disk.capacity = min(space, len(payload))
        done = self.wal.append(payload)
        assert isinstance(done.exception(10), UnavailableError)
        self.disk.capacity = None

    @rule()
    def rotate(self) -> None:
        sealed = self.wal.rotate()
        assert [name for name in sealed if name in self.model] == self.current
        self.sealed += sealed
        self.current = []

    @rule(share=st.integers(1, 100))
    def drop(self, share: int) -> None:
        """Drop some of what is sealed; how much that is depends on how the log groups commits."""
        count = -(-len(self.sealed) * share // 100)
        gone, self.sealed = self.sealed[:count], self.sealed[count:]
        self.wal.drop(gone)
        for name in gone:
            self.model.pop(name, None)

    @rule(torn=st.binary(max_size=50), back_s=st.integers(-3, 3))
    def crash(self, torn: bytes, back_s: int) -> None:
        """End the process: an unfinished write may be at the end of the newest segment."""
        self.wal.close()
        newest = max(self.wal.segments(), default=None)
        if newest is not None and newest not in self.torn:
            self.torn.add(newest)
            with segment_path(self.directory, newest).open("ab") as file:
                file.write(torn[:31])
        self.clock.advance(back_s)
        self.open()
        self.sealed = self.wal.segments()
        self.current = []

    @invariant()
    def what_was_acknowledged_is_what_is_replayed(self) -> None:
        if not hasattr(self, "wal"):
            return
        found, stats = replay_all(self.directory)
        assert {name: records for name, records in found.items() if records} == self.model
        assert stats.quarantined == 0
        assert set(self.wal.segments()) >= set(self.model)
        assert stats.torn <= len(self.torn)
        on_disk = [path.stat().st_size for path in self.directory.glob("*.wal")]
        assert sum(on_disk) == self.wal.size


TestWalMachine = WalMachine.TestCase
TestWalMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
