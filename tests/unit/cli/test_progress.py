"""A sign of life for what takes long, on a terminal only."""

from __future__ import annotations

import io
import threading

from tracestore.cli.progress import progress
from tracestore.clock import SystemClock


class Terminal(io.StringIO):
    """Tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        done = super().write(text)
        self.written.set()
        return done


def test_a_terminal_sees_it_and_the_line_is_gone_at_the_end() -> None:
    stream = Terminal()
    with progress(stream, "searching", SystemClock(), patience_s=0.0):
        assert stream.written.wait(10)

    assert "\r\x1b[Ksearching: 0 s (Ctrl-C stops)" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_what_is_fast_shows_nothing() -> None:
    stream = Terminal()
    with progress(stream, "searching", SystemClock(), patience_s=60.0):
        pass

    assert stream.getvalue() == ""


def test_a_pipe_sees_nothing() -> None:
    stream = io.StringIO()
    threads = threading.active_count()
    with progress(stream, "searching", SystemClock(), patience_s=0.0):
        assert threading.active_count() == threads

    assert stream.getvalue() == ""
