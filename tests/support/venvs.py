"""Real packages of PyPI that do not go together with ours, in a venv in the cache of pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

INSTALL_S_MAX = 300
"""A registry may be slow; a test that installs has this much more time."""


def install(cache: pytest.Cache, name: str, packages: Sequence[str]) -> Path:
    """Install packages in a venv. Where that does not work the test skips, but not in CI.

    Args:
        name: of the venv.
        packages: with their versions; others than last time are installed besides.

    Returns: directory of its programs.
    """
    directory = cache.mkdir(name)
    programs = directory / "bin"
    listed = directory / "installed.txt"  # written last: what broke off is begun again
    if listed.exists() and listed.read_text().split() == list(packages):
        return programs
    commands = (
        [sys.executable, "-m", "venv", "--clear", str(directory)],
        [str(programs / "python"), "-m", "pip", "install", "--quiet", *packages],
    )
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_S_MAX)
    except (OSError, subprocess.SubprocessError) as error:
        if os.environ.get("CI") == "true":  # noqa: TID251 - tests may ask where they run
            raise
        pytest.skip(f"pip cannot install {packages[0]}: {error}")
    listed.write_text("\n".join(packages))
    return programs
