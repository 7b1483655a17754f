"""One index, many processes: contention, kill -9, SIGSTOP; a holder of a lease that was paused."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from support.blocks import block_meta
from support.index_processes import (
    SHARED,
    Diary,
    Place,
    flush_and_compact,
    hold_until_told,
    open_log,
    open_place,
    shared_block,
)
from support.processes import PROCESSES
from support.s3 import S3Place, s3, s3_server  # noqa: F401 - fixtures
from support.server import wait_until

from tracestore.clock import SystemClock
from tracestore.model.ids import BlockId, TenantId, WriterId
from tracestore.storage.index.blocklist import Commit, ref_of
from tracestore.storage.index.check import check_index
from tracestore.storage.index.commits import CommitLog
from tracestore.storage.index.objects import read_latest
from tracestore.storage.index.writers import Adoption, WalHome, Writer, WriterChange
from tracestore.storage.leases import LeaseStore

SHOP = TenantId("shop")
PROCESS_COUNT = 8
TURNS = 12
KILLED = (0, 1)
PAUSED = 2
TIMEOUT_S = 120.0
TTL_S = 0.6


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        return str(tmp_path / "store")
    bucket: S3Place = request.getfixturevalue("s3")
    return bucket.settings


@contextmanager
def running(processes: list[BaseProcess]) -> Iterator[None]:
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
            process.join()


def test_processes_that_commit_at_once_lose_nothing_and_order_everything(
    place: Place, tmp_path: Path
) -> None:
    reader = open_log(place, "reader")
    reader.commit(reader.new_change(add=[shared_block(n) for n in range(SHARED)]))
    diaries = [Diary(tmp_path / f"diary-{n}") for n in range(PROCESS_COUNT)]
    ends = tmp_path / "ends"
    untils = [ends if n in (*KILLED, PAUSED) else None for n in range(PROCESS_COUNT)]
    processes: list[BaseProcess] = [
        PROCESSES.Process(
            target=flush_and_compact, args=(place, f"p{n}", TURNS, diaries[n].path, untils[n])
        )
        for n in range(PROCESS_COUNT)
    ]
    follower = open_log(place, "follower")
    seen = [follower.catch_up().sequence]
    with running(processes):
        interfere(processes, diaries, ends, lambda: seen.append(follower.catch_up().sequence))
    assert seen == sorted(seen)
    codes = [process.exitcode for process in processes]
    assert codes == [-signal.SIGKILL if n in KILLED else 0 for n in range(PROCESS_COUNT)]
    judge(place, diaries, follower)


def interfere(processes, diaries, ends, look) -> None:  # type: ignore[no-untyped-def]  # of the test alone
    """Kill two in the middle, pause one for a while; look at the index until all have ended."""

    def has_begun(number: int, lines: int) -> bool:
        look()
        return len(diaries[number].lines()) >= lines

    for number, lines in zip(KILLED, (3, 6), strict=True):
        wait_until(lambda number=number, lines=lines: has_begun(number, lines), TIMEOUT_S)
        processes[number].kill()
    wait_until(lambda: has_begun(PAUSED, 2), TIMEOUT_S)
    os.kill(processes[PAUSED].pid, signal.SIGSTOP)
    others = [n for n in range(PROCESS_COUNT) if n not in (*KILLED, PAUSED)]
    wait_until(lambda: look() or not any(processes[n].is_alive() for n in others), TIMEOUT_S)
    ends.touch()
    os.kill(processes[PAUSED].pid, signal.SIGCONT)
    wait_until(lambda: look() or not processes[PAUSED].is_alive(), TIMEOUT_S)


def judge(place: Place, diaries: list[Diary], follower: CommitLog) -> None:
    """Compare the log with what the processes were told, and with a list made by hand."""
    commits = follower.read_after(0)
    assert [commit.sequence for commit in commits] == list(range(1, len(commits) + 1))
    assert len({commit.id for commit in commits}) == len(commits)
    born = [meta.id for commit in commits for meta in commit.add]
    assert len(set(born)) == len(born)
    at = {meta.id: commit.sequence for commit in commits for meta in commit.add}
    for diary in diaries:
        told = [(int(line[1]), line[2]) for line in diary.lines() if line[0] == "ack"]
        assert told == sorted(told)
        assert [(at[BlockId(name)], name) for _, name in told] == told
        assert not {line[1] for line in diary.lines() if line[0] == "lost"} & set(born)

    expected = by_hand(commits)
    newest = follower.catch_up()
    assert {meta.id for meta in newest.blocks(SHOP)} == expected
    assert open_log(place, "late").catch_up() == newest
    for number in range(SHARED):
        assert sum(name.endswith(f"-for-{number}") for name in born) == 1
    store = open_place(place)
    assert read_latest(store).checkpoint >= len(commits) - 2 * 16
    damage = [found for found in check_index(store).problems if found.key.startswith("index/")]
    assert damage == []


def by_hand(commits: list[Commit]) -> set[BlockId]:
    """Apply commits; each removed block has to be there."""
    names: set[BlockId] = set()
    for commit in commits:
        names |= {meta.id for meta in commit.add}
        gone = {ref.id for ref in commit.remove}
        assert gone <= names
        names -= gone
    return names


def test_a_paused_holder_of_a_lease_does_no_harm_when_it_wakes_up(place: Place) -> None:
    paused_id, other_id = WriterId("paused"), WriterId("other")
    log = open_log(place, "other")
    writers = tuple(
        Writer(id=id, instance=id, address="", wal=WalHome.BUCKET, owner=id)
        for id in (paused_id, other_id)
    )
    log.commit(log.new_change(writers=WriterChange(open=writers)))
    mine, theirs = PROCESSES.Pipe()
    process: BaseProcess = PROCESSES.Process(
        target=hold_until_told, args=(place, "paused", paused_id, TTL_S, theirs)
    )
    with running([process]):
        assert receive(mine) == "held"
        leases = LeaseStore(open_place(place), SystemClock(), random.Random(9), holder="other")
        until = time.monotonic() + 3 * TTL_S
        while time.monotonic() < until:
            assert leases.acquire("work", TTL_S) is None
            time.sleep(TTL_S / 10)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        began = time.monotonic()
        taken = []
        wait_until(lambda: bool(taken.append(leases.acquire("work", TTL_S)) or taken[-1]), 30)
        assert time.monotonic() - began > TTL_S / 2
        lease = taken[-1]
        assert lease is not None
        assert lease.token == 2
        adopted = WriterChange(adopt=(Adoption(writer=paused_id, owner=other_id, epoch=1),))
        log.commit(log.new_change(writers=adopted))
        assert lease.renew()
        mine.send("go on")
        os.kill(process.pid, signal.SIGCONT)

        said = [receive(mine) for _ in range(5)]
        assert said == ["fenced", "lost", "fenced", "not held", "released"]
        assert lease.renew()
        assert leases.acquire("work", TTL_S) is None
    assert log.catch_up().find(ref_of(block_meta("late"))) is None
    assert log.catch_up().writers[paused_id].owner == other_id


def receive(pipe) -> str:  # type: ignore[no-untyped-def]  # multiprocessing's Connection
    assert pipe.poll(60), "the process says nothing"
    said: str = pipe.recv()
    return said
