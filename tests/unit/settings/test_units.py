"""Durations, sizes and numbers as people write them."""

from __future__ import annotations

import pytest

from tracestore.settings import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("10us", 1e-5),
        ("7d", 604800.0),
        ("168h0m0s", 604800.0),
        ("-5s", -5.0),
        ("1y", 31536000.0),
    ],
)
def test_durations_with_units(text: str, seconds: float) -> None:
    assert units.parse_unit_duration(text) == pytest.approx(seconds)
    assert units.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "5m3", "five", "--5s", "1e3s"])
def test_durations_without_sense_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="with a unit"):
        units.parse_unit_duration(text)


def test_a_bare_number_is_seconds_in_our_own_spelling() -> None:
    assert units.parse_duration("2.5") == 2.5
    with pytest.raises(ValueError, match="with a unit"):
        units.parse_duration("nan")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("52428800", 52428800),
        ("64MiB", 64 * 1024**2),
        ("64 MiB", 64 * 1024**2),
        ("64Mi", 64 * 1024**2),
        ("1.5GiB", 3 * 1024**3 // 2),
        ("10MB", 10_000_000),
        ("1e6", 1_000_000),
        ("100_000", 100_000),
        ("512b", 512),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "lots", "64MX", "1.5.5", "MiB"])
def test_sizes_without_sense_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size in bytes"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "number"), [("42", 42), ("-1", -1), ("0x10", 16), ("1e3", 1000), ("010", 10)]
)
def test_whole_numbers(text: str, number: int) -> None:
    assert units.parse_integer(text) == number


@pytest.mark.parametrize("text", ["", "1.5", "x", "inf", "nan", "1 2"])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        units.parse_integer(text)


@pytest.mark.parametrize("text", ["true", "True", "yes", "on", "1", "T"])
def test_truth(text: str) -> None:
    assert units.parse_boolean(text) is True


@pytest.mark.parametrize("text", ["false", "FALSE", "no", "off", "0"])
def test_falsehood(text: str) -> None:
    assert units.parse_boolean(text) is False


@pytest.mark.parametrize("text", ["", "2", "maybe"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="true or false"):
        units.parse_boolean(text)


def test_mebibytes() -> None:
    assert units.parse_mebibytes("16") == 16 * 1024**2
