"""Reads the golden files of the language, ``tests/golden/traceql_*.test``."""

from __future__ import annotations

from pathlib import Path

GOLDEN = Path(__file__).parent.parent / "golden"


def read_cases(name: str) -> list[tuple[str, str]]:
    """Get (ID, rest of the line) of each case.

    A line that begins with ``>`` belongs to the case before; it is appended behind a newline.
    """
    cases: list[tuple[str, str]] = []
    for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith(">"):
            identifier, text = cases[-1]
            cases[-1] = (identifier, f"{text}\n{line[1:].strip()}")
        else:
            identifier, _, text = line.partition("  ")
            cases.append((identifier, text.strip()))
    assert cases
    assert len({identifier for identifier, _ in cases}) == len(cases)
    return cases
