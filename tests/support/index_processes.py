"""Processes that commit to one index at once, or hold a lease until they are paused."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from support.blocks import block_meta

from tracestore.clock import SystemClock
from tracestore.errors import ConflictError, FencedError
from tracestore.model.block_meta import BlockMeta
from tracestore.model.ids import WriterId
from tracestore.settings.s3_tree import S3Settings
from tracestore.storage.index.blocklist import BlockRef, ref_of
from tracestore.storage.index.commits import CommitLog, CommitSettings
from tracestore.storage.index.writers import Fence
from tracestore.storage.leases import LeaseStore
from tracestore.storage.objects.interface import ObjectStore
from tracestore.storage.objects.local import LocalObjectStore

Place = str | S3Settings
"""A directory or a bucket, to be passed to another process."""
SETTINGS = CommitSettings(checkpoint_commits=16, attempts_max=10_000, backoff_s_max=0.05)
SHARED = 6
"""Blocks that each process wants to replace."""


class NoMetrics:
    """Nobody looks."""

    def request(
        self, operation: str, outcome: str, seconds: float, sent_bytes: int, received_bytes: int
    ) -> None:
        """Forget it."""


def open_place(place: Place) -> ObjectStore:
    """Open it in this process."""
    if isinstance(place, str):
        return LocalObjectStore(place)
    from tracestore.storage.objects.s3_start import open_s3

    settings = replace(place, check_conditional_writes=False)
    return open_s3(settings, NoMetrics(), SystemClock(), random.Random())


def open_log(place: Place, name: str) -> CommitLog:
    """Open its index as a process of that name."""
    rng = random.Random(name)
    return CommitLog(open_place(place), SystemClock(), rng, writer=name, settings=SETTINGS)


def shared_block(number: int) -> BlockMeta:
    """A block that all processes see at the start."""
    return block_meta(f"shared-{number}")


@dataclass(frozen=True, slots=True)
class Diary:
    """A file in which a process writes what it was told, a line at a time."""

    path: Path

    def write(self, line: str) -> None:
        """Add a line; whoever kills the process afterwards leaves it whole."""
        with self.path.open("a") as file:
            file.write(line + "\n")

    def lines(self) -> list[list[str]]:
        """Read it."""
        text = self.path.read_text() if self.path.exists() else ""
        return [line.split() for line in text.splitlines()]


def flush_and_compact(place: Place, name: str, turns: int, diary: Path, until: Path | None) -> None:
    """Add a block each turn; put one in the place of the last two now and then; and of shared ones.

    Goes on after its turns until the file ``until`` is there. Writes ``ack SEQUENCE BLOCK`` for
    what has happened, ``lost BLOCK`` for what was refused.
    """
    log, said = open_log(place, name), Diary(diary)
    rng = random.Random(name)
    held: list[BlockMeta] = []

    def commit(meta: BlockMeta, remove: list[BlockRef]) -> bool:
        try:
            sequence = log.commit(log.new_change(add=[meta], remove=remove))
        except ConflictError:
            said.write(f"lost {meta.id}")
            return False
        said.write(f"ack {sequence} {meta.id}")
        return True

    shared = rng.sample(range(SHARED), SHARED)
    for turn in itertools.count():
        if turn >= turns and (until is None or until.exists()):
            return
        flushed = block_meta(f"{name}-{turn}")
        commit(flushed, [])
        held.append(flushed)
        if turn % 3 == 2:
            merged = block_meta(f"{name}-{turn}-merged")
            commit(merged, [ref_of(one) for one in held[-2:]])
            held = [*held[:-2], merged]
        if turn < SHARED:
            number = shared[turn]
            commit(block_meta(f"{name}-for-{number}"), [ref_of(shared_block(number))])


def hold_until_told(
    place: Place, name: str, writer: WriterId, ttl_s: float, pipe: Connection
) -> None:
    """Take a lease and renew it until told to go on; then do all that only a holder may.

    Sends ``held``, then what came of each deed.
    """
    log = open_log(place, name)
    leases = LeaseStore(open_place(place), SystemClock(), random.Random(name), holder=name)
    lease = leases.acquire("work", ttl_s)
    assert lease is not None
    log.catch_up()
    pipe.send("held")
    while not pipe.poll(ttl_s / 4):
        # paused in here at any point; what it knows of itself is then of the past
        lease.renew()
    pipe.recv()

    def commit_fenced() -> str:
        change = log.new_change(add=[block_meta("late")], fence=Fence(writer=writer, epoch=0))
        try:
            return f"committed {log.commit(change)}"
        except FencedError:
            return "fenced"

    def renew() -> str:
        return "renewed" if lease.renew() else "lost"

    deeds: list[Callable[[], str]] = [commit_fenced, renew, commit_fenced]
    for deed in deeds:
        pipe.send(deed())
    pipe.send("held" if lease.is_held else "not held")
    lease.release()
    pipe.send("released")
