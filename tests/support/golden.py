"""Reads ``tests/golden/*.test``; the format is in the README beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
_EVAL = re.compile(r"eval (?P<name>\w+) (?:(?P<start>\d+)\.\.(?P<end>\d+)s )?(?P<query>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenCase:
    """One query and what it must match."""

    name: str
    query: str
    expected: str
    window_s: tuple[int, int] | None
    is_pending: bool

    def __str__(self) -> str:
        return self.name


def read_cases(pattern: str) -> list[GoldenCase]:
    """Read the cases of all files that match a pattern."""
    cases = []
    for path in sorted(GOLDEN.glob(pattern)):
        is_pending = False
        lines = iter(path.read_text().splitlines())
        for line in lines:
            if line == "pending":
                is_pending = True
            elif found := _EVAL.fullmatch(line):
                window = (int(found["start"]), int(found["end"])) if found["start"] else None
                cases.append(
                    GoldenCase(
                        name=found["name"],
                        query=found["query"],
                        expected=next(lines).strip(),
                        window_s=window,
                        is_pending=is_pending,
                    )
                )
            else:
                assert not line or line.startswith("#"), f"{path.name}: cannot read {line!r}"
    assert cases, f"no golden cases in {pattern}"
    return cases
