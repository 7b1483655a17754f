"""``tracestore index``: checks the index, recreates it, forgets a writer that is gone for ever."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tracestore.cli.index_report import Answer, Answers, as_json, show_check, show_rebuild
from tracestore.cli.opening import WHERE_USAGE, open_bucket, parse_where, read_settings
from tracestore.cli.screen import Screen
from tracestore.cli.subcommands import run_subcommand
from tracestore.clock import SystemClock
from tracestore.errors import SettingsError
from tracestore.model.ids import WriterId
from tracestore.settings.client import read_client_environment
from tracestore.settings.tree import Settings
from tracestore.storage.index.check import check_index
from tracestore.storage.index.commits import CommitLog
from tracestore.storage.index.old_log import read_old_log
from tracestore.storage.index.rebuild import rebuild
from tracestore.storage.index.writers import WalHome, Writer, WriterChange, Writers
from tracestore.storage.wal.lock import DirectoryLock

USAGE = f"""\
usage: tracestore index check          [flags]
       tracestore index rebuild        [flags]
       tracestore index forget-writer ID --yes [flags]

check: whether the log of commits is whole, its checkpoints say what it says, every block has its
objects with their sizes; lists what nothing refers to and who may hold spans that no block has.
Only reads, while servers run or not. Exit code 1 if something is wrong.

rebuild: makes the index anew from the blocks, if check finds its log damaged. Refuses while a
server is running; --running does it all the same.

forget-writer: gives up the write-ahead log of a process whose disk is lost. Every answer says that
spans are missing while the index waits for it. --yes: the spans on that disk are given up.

{WHERE_USAGE}  --output FORMAT        text, json [text]
"""
OUTPUTS = ("text", "json")


def run_index(argv: Sequence[str]) -> int:
    """Run the command. Returns: the exit code. Raises: TracestoreError."""
    return run_subcommand("index", _COMMANDS, argv, usage=USAGE)


def _check(argv: Sequence[str]) -> int:
    arguments, _ = parse_where(argv, switches=frozenset(), values=frozenset({"output"}))
    if "help" in arguments.switches:
        print(USAGE, end="")
        return 0
    output = _output(arguments.extra)
    settings = read_settings(arguments)
    report = check_index(open_bucket(settings, writes=False))
    answers = _ask([one.writer for one in report.writers], settings)
    if output == "json":
        print(as_json(report, answers))
    else:
        show_check(_screen(), report, answers, now_ns=SystemClock().now_ns())
    return 1 if report.problems else 0


def _rebuild(argv: Sequence[str]) -> int:
    switches = frozenset({"running"})
    arguments, given = parse_where(argv, switches=switches, values=frozenset({"output"}))
    if "help" in arguments.switches:
        print(USAGE, end="")
        return 0
    output = _output(arguments.extra)
    settings = read_settings(arguments)
    with _alone(settings, is_forced="running" in given):
        store = open_bucket(settings, writes=True)
        _refuse_while_running(read_old_log(store).writers(), settings, "running" in given)
        report = rebuild(store, SystemClock(), random.SystemRandom(), writer=_name())
    if output == "json":
        print(as_json(report, {}))
    else:
        show_rebuild(_screen(), report)
    return 1 if report.lost or report.unreadable_blocks else 0


def _forget_writer(argv: Sequence[str]) -> int:
    named = [word for word in argv[:1] if not word.startswith("-")]
    rest = argv[len(named) :]
    arguments, given = parse_where(rest, switches=frozenset({"yes"}), values=frozenset())
    if "help" in arguments.switches:
        print(USAGE, end="")
        return 0
    if not named:
        raise SettingsError("name the writer: tracestore index forget-writer ID; check lists them")
    settings = read_settings(arguments)
    with _alone(settings, is_forced=True):
        store = open_bucket(settings, writes=True)
        commits = CommitLog(store, SystemClock(), random.SystemRandom(), writer=_name())
        writer = _writer_to_forget(commits.catch_up().writers, WriterId(named[0]), settings)
        if "yes" not in given:
            raise SettingsError(
                f"writer {writer.id} of {writer.instance} has its log on its own disk: "
                "acknowledged spans that are in no block are given up for ever; --yes if that disk "
                "is lost"
            )
        change = commits.new_change(writers=WriterChange(close=(writer.id,)))
        sequence = commits.commit(change)
    print(f"writer {writer.id} of {writer.instance} is forgotten by commit {sequence}")
    return 0


_COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "check": _check,
    "rebuild": _rebuild,
    "forget-writer": _forget_writer,
}


def _writer_to_forget(writers: Writers, id: WriterId, settings: Settings) -> Writer:
    """Find the writer, and refuse to forget one whose spans can still be had."""
    writer = writers.get(id)
    if writer is None:
        open_ones = ", ".join(sorted(writers)) or "none"
        raise SettingsError(f"writer {id} is not in the index; open are: {open_ones}")
    if writer.wal is WalHome.BUCKET:
        raise SettingsError(
            f"writer {id} has its log in the bucket, where nothing is lost: a running server "
            "adopts it and writes its spans to blocks"
        )
    said = _ask([writer], settings).get(writer.address)
    if said is not None and said.writer == id:
        raise SettingsError(f"writer {id} is alive: {said.instance} answers at {writer.address}")
    return writer


@contextmanager
def _alone(settings: Settings, *, is_forced: bool) -> Iterator[None]:
    """Hold the lock of a data directory, so that no server starts on it meanwhile.

    Raises: SettingsError if one is running.
    """
    if settings.storage.backend != "local":
        yield
        return
    directory = Path(settings.storage.path)
    if not directory.is_dir():
        raise SettingsError(f"there is no data directory {directory}")
    if is_forced:
        yield
        return
    lock = DirectoryLock(directory)
    try:
        yield
    finally:
        lock.release()


def _refuse_while_running(writers: Writers, settings: Settings, is_forced: bool) -> None:
    alive = {said.instance for said in _ask(writers.values(), settings).values()} - {""}
    if alive and not is_forced:
        raise SettingsError(
            f"servers are running on this bucket ({', '.join(sorted(alive))}): stop all of "
            "them, or add --running; those that go on read the new index by themselves within a "
            "minute"
        )


def _ask(writers: Iterable[Writer], settings: Settings) -> Answers:
    """Ask the processes of writers who they are."""
    addresses = {writer.address for writer in writers if writer.address}
    if not addresses:
        return {}
    # gRPC takes a while to import; other commands need none of it.
    from tracestore.services.members.asking import ask_each

    said = asyncio.run(ask_each(addresses, settings.members))
    return {
        address: Answer(error=one)
        if isinstance(one, str)
        else Answer(instance=one.instance, writer=one.writer)
        for address, one in said.items()
    }


def _output(extra: Mapping[str, str]) -> str:
    output = extra.get("output", OUTPUTS[0])
    if output not in OUTPUTS:
        raise SettingsError(f"flag --output: expected {' or '.join(OUTPUTS)}, got {output!r}")
    return output


def _screen() -> Screen:
    return Screen.of(sys.stdout, colour=read_client_environment().colour)


def _name() -> str:
    return f"{socket.gethostname()}:{os.getpid()} (tracestore index)"
