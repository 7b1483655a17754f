"""The memory of a merge, as a process has it: the shapes of ``bench/merge_memory``, smaller."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MB = 10**6
PROMISED_BYTES = 500 * MB
"""For any input."""
ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("shape", "spans", "bytes_max"),
    [("large", 300_000, 280 * MB), ("texts", 1200, PROMISED_BYTES)],
)
def test_memory_stays_where_it_is_whatever_the_size_of_a_trace(
    tmp_path: Path, shape: str, spans: int, bytes_max: int
) -> None:
    """A million spans were 1,062 MiB, 300,000 of them 364 MiB, when a trace was one row group."""
    command = [sys.executable, str(ROOT / "bench" / "merge_memory.py"), shape]
    written = ["--spans", str(spans), "--blocks", "3", "--write", str(tmp_path)]
    subprocess.run([*command, *written], check=True, timeout=100)
    merge = [*command, "--merge", str(tmp_path)]
    found = json.loads(subprocess.run(merge, check=True, capture_output=True, timeout=100).stdout)
    assert found["spans_in"] >= spans
    assert found["spans_out"] == found["spans_in"]
    assert found["peak_mib"] * 1024 * 1024 < bytes_max, found
