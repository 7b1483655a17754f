"""Signals: the first drains, a later one ends, and a doubled one is one."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

PROGRAM = """
import asyncio, sys
from tracestore.cli.running import run_foreground
from tracestore.settings.load import default_settings

async def serve(stop):
    print("running", flush=True)
    await stop.wait()
    await asyncio.sleep({drain_s})
    {end}

sys.exit(run_foreground(default_settings(), serve))
"""
TIMEOUT_S = 60


@contextmanager
def running(*, drain_s: float, end: str = "pass") -> Iterator[subprocess.Popen[str]]:
    code = PROGRAM.format(drain_s=drain_s, end=end)
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains(number: signal.Signals) -> None:
    with running(drain_s=0) as process:
        process.send_signal(number)

        _, err = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0
        assert f"msg=stopping signal={number.name}" in err


def test_a_doubled_signal_is_one() -> None:
    with running(drain_s=0.2) as process:
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)

        process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0


def test_a_later_signal_does_not_wait_for_the_drain() -> None:
    with running(drain_s=1000) as process:
        for _ in range(100):
            process.send_signal(signal.SIGINT)
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            break

        _, err = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 130
        assert err.endswith("tracestore: second SIGINT, not draining\n")


def test_an_error_is_one_line_and_a_mistake_of_ours_a_traceback() -> None:
    for end, code, traceback in (
        ("raise OSError(28, 'No space left on device', '/data')", 1, False),
        ("raise KeyError('x')", 1, True),
    ):
        with running(drain_s=0, end=end) as process:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=TIMEOUT_S)

            assert process.returncode == code
            assert ("Traceback" in err) is traceback
            assert err.endswith("/data: No space left on device\n") is not traceback
