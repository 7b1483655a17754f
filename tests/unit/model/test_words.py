"""Numbers and times as people read them."""

from __future__ import annotations

import pytest

from tracestore.model.words import counted, duration_words, printable, time_words


@pytest.mark.parametrize(
    ("duration_ns", "words"),
    [
        (0, "0ns"),
        (999, "999ns"),
        (1_000, "1µs"),
        (1_234, "1.23µs"),
        (1_500_000, "1.5ms"),
        (12_345_678, "12.3ms"),
        (120_000_000, "120ms"),
        (1_000_000_000, "1s"),
        (59_940_000_000, "59.9s"),
        (60_000_000_000, "1m00s"),
        (125_400_000_000, "2m05s"),
        (11_220_000_000_000, "3h07m"),
        (-5_000_000, "-5ms"),
    ],
)
def test_duration(duration_ns: int, words: str) -> None:
    assert duration_words(duration_ns) == words


@pytest.mark.parametrize(
    ("time_ns", "words"),
    [
        (0, "1970-01-01 00:00:00.000"),
        (1_700_000_040_123_999_999, "2023-11-14 22:14:00.123"),
        (-1, "-1ns"),
        (1 << 80, f"{1 << 80}ns"),
    ],
)
def test_time(time_ns: int, words: str) -> None:
    assert time_words(time_ns) == words


def test_counts() -> None:
    assert [counted(n, "span") for n in (0, 1, 2)] == ["0 spans", "1 span", "2 spans"]


def test_what_steers_a_terminal_is_escaped_and_writing_stays() -> None:
    assert printable("naïve 東京") == "naïve 東京"
    assert printable("a\x1b[2J\nb\u202e") == "a\\x1b[2J\\nb\\u202e"
