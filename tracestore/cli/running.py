"""Runs a server in the foreground: logs, signals, exit codes. Shared by ``serve`` and ``demo``."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tracestore.cli.failure import describe, is_answer
from tracestore.cli.memory import tune_process
from tracestore.errors import SettingsError
from tracestore.logs import configure_logging
from tracestore.settings.load import LoadedSettings
from tracestore.settings.tree import Settings

log = logging.getLogger(__name__)

FORCED_EXIT_CODE = 130
WRITING_TARGETS = ("all", "scalable-single-binary", "ingester")
"""Targets that have a write-ahead log."""
SAME_SIGNAL_S = 1.0
"""Signals this close are one: ``timeout`` and shells signal the process and then its group."""


def run_foreground(
    loaded: LoadedSettings, run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]
) -> int:
    """Run a coroutine until SIGINT or SIGTERM sets its event and it has drained.

    A second signal ends the process at once; what was acknowledged is in the log then.

    Returns: the exit code: 0 after draining, 1 for an error, which is one line on stderr.
    """
    server = loaded.settings.server
    configure_logging(level=server.log_level, log_format=server.log_format)
    tune_process()
    for warning in loaded.warnings:
        log.warning(warning)
    try:
        asyncio.run(_until_signal(run))
    except Exception as error:
        if not is_answer(error):
            raise
        print(f"tracestore: {describe(error)}", file=sys.stderr)
        return 1
    return 0


async def _until_signal(run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    force_from_s = math.inf

    def on_signal(name: str) -> None:
        nonlocal force_from_s
        if not stop.is_set():
            log.info("stopping", extra={"signal": name})
            stop.set()
            force_from_s = loop.time() + SAME_SIGNAL_S
        elif loop.time() >= force_from_s:
            print(f"tracestore: second {name}, not draining", file=sys.stderr, flush=True)
            os._exit(FORCED_EXIT_CODE)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number.name)
    await run(stop)


def check_directories(settings: Settings) -> None:
    """Make the data directories that the target needs, and see that they can be used.

    Raises:
        SettingsError: one cannot be made, read or written.
    """
    named = {}
    has_log = settings.target in WRITING_TARGETS and not settings.ingester.wal.path
    if has_log or (settings.target != "distributor" and settings.storage.backend == "local"):
        named["storage.path"] = settings.storage.path
    if settings.target in WRITING_TARGETS:
        named["ingester.wal.path"] = settings.ingester.wal.path
    for setting, name in named.items():
        if name:
            _check_directory(setting, Path(name))


def _check_directory(setting: str, directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        next(directory.iterdir(), None)
    except OSError as error:
        reason = "not a directory" if directory.is_file() else error.strerror
        raise SettingsError(
            f"cannot use data directory {directory} ({setting}): {reason}"
        ) from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError(f"cannot write to data directory {directory} ({setting})")
