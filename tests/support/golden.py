"""Reads ``tests/golden/*.test``; the format is in the README beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
_SHOW = re.compile(r"show (?P<name>\w+) (?P<query>.*)")
_EVAL = re.compile(r"eval (?P<name>\w+) (?:(?P<start>\d+)\.\.(?P<end>\d+)s )?(?P<query>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenCase:
    """One query and what it must match."""

    name: str
    query: str
    expected: str
    window_s: tuple[int, int] | None

    def __str__(self) -> str:
        return self.name


def read_cases(pattern: str) -> list[GoldenCase]:
    """Read the cases of all files that match a pattern."""
    cases = []
    for path in sorted(GOLDEN.glob(pattern)):
        lines = iter(path.read_text().splitlines())
        for line in lines:
            if found := _EVAL.fullmatch(line):
                window = (int(found["start"]), int(found["end"])) if found["start"] else None
                cases.append(
                    GoldenCase(
                        name=found["name"],
                        query=found["query"],
                        expected=next(lines).strip(),
                        window_s=window,
                    )
                )
            else:
                assert not line or line.startswith("#"), f"{path.name}: cannot read {line!r}"
    assert cases, f"no golden cases in {pattern}"
    return cases


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCase:
    """One query and what its answer shows: a line a spanset with attributes, a line a span."""

    name: str
    query: str
    lines: list[str]

    def __str__(self) -> str:
        return self.name


def read_shown_cases(path: Path = GOLDEN / "results.test") -> list[ShownCase]:
    """Read the cases of what answers show."""
    cases: list[ShownCase] = []
    for line in path.read_text().splitlines():
        if found := _SHOW.fullmatch(line):
            cases.append(ShownCase(name=found["name"], query=found["query"], lines=[]))
        elif line.startswith("  "):
            cases[-1].lines.append(line.strip())
        else:
            assert not line or line.startswith("#"), f"{path.name}: cannot read {line!r}"
    assert cases, f"no golden cases in {path.name}"
    return cases
