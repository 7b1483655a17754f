"""Real packages of npm for tests: installed once, kept in the cache of pytest."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

INSTALL_S_MAX = 300
"""A registry may be slow; a test that installs has this much more time."""


def install(cache: pytest.Cache, name: str, packages: Sequence[str]) -> Path:
    """Install packages in a directory of their own. Without npm the test skips, but not in CI.

    Args:
        name: of the directory.
        packages: with their versions; others than last time are installed anew.
    """
    directory = cache.mkdir(name)
    listed = directory / "installed.txt"  # written last: what broke off is begun again
    if listed.exists() and listed.read_text().split() == list(packages):
        return directory
    npm = shutil.which("npm") or "npm"
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", directory, *packages]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_S_MAX)
    except (OSError, subprocess.SubprocessError) as error:
        if os.environ.get("CI") == "true":  # noqa: TID251 - tests may ask where they run
            raise
        pytest.skip(f"npm cannot install {packages[0]}: {error}")
    listed.write_text("\n".join(packages))
    return directory


def copy_script(directory: Path, script: Path) -> Path:
    """Put a script beside the packages, where its imports are found."""
    shutil.copy(script, directory)
    return directory / script.name
