"""A sign of life on a terminal while something takes long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from tracestore.clock import Clock

PATIENCE_S = 0.7
"""Nothing is shown of what is faster."""
INTERVAL_S = 0.2
_CLEAR_LINE = "\r\x1b[K"


@contextmanager
def progress(
    stream: TextIO, what: str, clock: Clock, *, patience_s: float = PATIENCE_S
) -> Iterator[None]:
    """Show what goes on, and for how long, in a line that is gone at the end.

    Not on a stream that is no terminal.
    """
    if not stream.isatty():
        yield
        return
    done = threading.Event()
    started_ns = clock.monotonic_ns()

    def draw() -> None:
        wait_s = patience_s
        shown = False
        while not done.wait(wait_s):
            seconds = (clock.monotonic_ns() - started_ns) // 1_000_000_000
            stream.write(f"{_CLEAR_LINE}{what}: {seconds} s (Ctrl-C stops)")
            stream.flush()
            shown, wait_s = True, INTERVAL_S
        if shown:
            stream.write(_CLEAR_LINE)
            stream.flush()

    thread = threading.Thread(target=draw, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
