"""What scenarios expect is really compared: each kind of expectation can fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.scenarios import fill, mismatch, read_scenarios


def expectation(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "one.yaml"
    path.write_text(f"scenarios: [{{name: n, get: /, expect: {{json: {text}}}}}]")
    (scenario,) = read_scenarios(path)
    return scenario.content["expect"]["json"]


@pytest.mark.parametrize(
    ("expected", "right", "wrong"),
    [
        ("{a: 1}", {"a": 1, "b": 2}, {"a": 2}),
        ("{a: 1}", {"a": 1}, {}),
        ("{a: 1}", {"a": 1}, [1]),
        ("{a: !absent ''}", {"b": 1}, {"a": 1}),
        ("{a: !any ''}", {"a": None}, {}),
        ("{a: !regex '[0-9]+'}", {"a": "12"}, {"a": "12x"}),
        ("{a: !regex '[0-9]+'}", {"a": "12"}, {"a": 12}),
        ("!exactly {a: 1}", {"a": 1}, {"a": 1, "b": 2}),
        ("!has [1, {b: 2}]", [{"b": 2, "c": 3}, 1], [1, {"b": 3}]),
        ("[1, 2]", [1, 2], [2, 1]),
        ("[1]", [1], [1, 2]),
        ("true", True, 1),
        ("'1'", "1", 1),
    ],
)
def test_an_expectation_can_be_met_and_missed(
    tmp_path: Path, expected: str, right: Any, wrong: Any
) -> None:
    wanted = expectation(tmp_path, expected)

    assert mismatch(wanted, right) is None
    assert mismatch(wanted, wrong) is not None


def test_times_are_put_in(tmp_path: Path) -> None:
    wanted = expectation(tmp_path, "{a: '{t0-60}', b: !regex '{t0_ns+5}', c: ['{now}']}")

    filled = fill(wanted, t0_s=100, now_s=7)

    assert mismatch(filled, {"a": "40", "b": "100000000005", "c": ["7"]}) is None


def test_a_key_that_means_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("scenarios: [{name: n, get: /, expects: {status: 200}}]")

    with pytest.raises(AssertionError):
        read_scenarios(path)
