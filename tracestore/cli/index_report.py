"""What ``tracestore index`` found, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from tracestore.cli.screen import Cell, Column, Ink, Screen
from tracestore.model.words import bytes_words, counted, duration_words
from tracestore.storage.index.check import CheckReport, OpenWriter
from tracestore.storage.index.rebuild import RebuildReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of asking an address who is there."""

    instance: str = ""
    """Name of the process; empty: nobody answered."""
    writer: str = ""
    error: str = ""


Answers = Mapping[str, Answer]
"""By address."""
SILENT = Answer(error="it has no address")
SHOWN_MAX = 50
"""Lines of one kind that a person is shown; JSON has all of them."""
_WRITERS = (
    Column("WRITER"),
    Column("INSTANCE", shrinks=True),
    Column("ADDRESS"),
    Column("WAL"),
    Column("LOG", right=True),
    Column("OPEN FOR", right=True),
    Column("STATE", shrinks=True),
)


def show_check(screen: Screen, report: CheckReport, answers: Answers, *, now_ns: int) -> None:
    """Print what a check found."""
    screen.write(f"commit {report.sequence}, checkpoint {report.checkpoint}")
    screen.write(f"{counted(report.blocks, 'block')}, {bytes_words(report.block_bytes)}")
    if report.removed:
        waiting = f"{counted(report.removed, 'removed block')}, {bytes_words(report.removed_bytes)}"
        screen.write(f"{waiting}, to be deleted")
    if report.writers:
        screen.write(f"{counted(len(report.writers), 'open writer')}:")
        rows = [_writer_cells(one, answers, now_ns) for one in report.writers]
        screen.table(_WRITERS, rows)
    if report.orphans:
        size = bytes_words(report.orphan_bytes)
        screen.write(f"{counted(len(report.orphans), 'object')} that nothing refers to, {size}:")
        for orphan in report.orphans[:SHOWN_MAX]:
            age = duration_words(max(0, now_ns - orphan.modified_ns))
            screen.write(f"  {orphan.key}  {bytes_words(orphan.bytes)}, {age} old")
        _more(screen, len(report.orphans))
    for problem in report.problems[:SHOWN_MAX]:
        screen.line(Cell("problem: ", Ink.ERROR), Cell(f"{problem.key}: {problem.text}"))
    _more(screen, len(report.problems))
    screen.write(f"{counted(len(report.problems), 'problem')} found")


def show_rebuild(screen: Screen, report: RebuildReport) -> None:
    """Print what a rebuild did."""
    screen.write(
        f"commit {report.sequence} begins the index anew: {counted(report.blocks, 'block')}, "
        f"{counted(report.removed, 'block')} known as removed, "
        f"{counted(report.writers, 'open writer')}"
    )
    if not report.was_whole:
        screen.write("the old log was not whole: blocks whose removal it forgot may be back, and")
        screen.write("their spans are then in two blocks until compaction puts them together")
    for kind, keys in (
        ("unreadable, left out", report.unreadable),
        ("not committed, left out", [f"{ref.tenant}/{ref.id}" for ref in report.uncommitted]),
        ("lost: no meta.json", [f"{ref.tenant}/{ref.id}" for ref in report.lost]),
    ):
        for key in keys[:SHOWN_MAX]:
            screen.write(f"{kind}: {key}")
        _more(screen, len(keys))


def as_json(report: CheckReport | RebuildReport, answers: Answers) -> str:
    """Write a report as one JSON object."""
    values = asdict(report)
    for one in values.get("writers", ()) if isinstance(report, CheckReport) else ():
        one |= one.pop("writer")
        one["answers"] = bool(answers.get(one["address"], SILENT).instance)
    return json.dumps(values, indent=2)


def _writer_cells(one: OpenWriter, answers: Answers, now_ns: int) -> tuple[Cell, ...]:
    writer = one.writer
    answer = answers.get(writer.address, SILENT)
    if writer.owner != writer.id:
        state = Cell(f"adopted by {writer.owner}")
    elif answer.instance:
        state = Cell("answers" if answer.writer == writer.id else f"{answer.instance} is there")
    else:
        state = Cell(f"silent: {answer.error}", Ink.ERROR)
    return (
        Cell(writer.id, Ink.NUMBER),
        Cell(writer.instance, Ink.NAME),
        Cell(writer.address or "-"),
        Cell(writer.wal),
        Cell(bytes_words(one.wal_bytes) if one.wal_objects else "-"),
        Cell(duration_words(max(0, now_ns - writer.opened_ns))),
        state,
    )


def _more(screen: Screen, count: int) -> None:
    if count > SHOWN_MAX:
        screen.write(f"  and {count - SHOWN_MAX} more: --output json has all")
