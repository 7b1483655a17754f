"""A short run of the fuzzer on a kernel with bounds checks, in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZER = Path(__file__).resolve().parents[2] / "bench" / "fuzz_kernel.py"
INPUTS_MIN = 20
"""Far below what a slow machine does in the time; zero would mean that nothing was tried."""


@pytest.mark.timeout(900)
def test_short_run_finds_nothing(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """A crash, a hang, an index out of bounds or a difference from protobuf ends the process badly.

    The build (about 30 CPU seconds) is kept in the cache of pytest and made again when a source
    changes.
    """
    assert pytestconfig.cache is not None
    builds = pytestconfig.cache.mkdir("checked-kernel")
    options = ["--checked", "--seconds=6", "--seed=1", "--generated=40"]
    done = subprocess.run(
        [sys.executable, str(FUZZER), *options, f"--build-dir={builds}", f"--last={tmp_path}/last"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counted = re.search(r"^([\d,]+) inputs in", done.stdout, re.MULTILINE)
    assert counted, done.stdout
    assert int(counted[1].replace(",", "")) >= INPUTS_MIN, done.stdout
